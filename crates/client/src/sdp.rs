//! What the client reads from an answer beside what the WebRTC stack reads: which track each section
//! carries. And the one thing it removes: candidates with mDNS names, which the stack cannot parse.

use std::collections::BTreeMap;

/// One section of an answer (RFC 8866 section 5.14).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Section {
    /// `audio`, `video` or `application`.
    pub(crate) media: String,
    /// Port 0: refused.
    pub(crate) rejected: bool,
    /// The answerer sends in it.
    pub(crate) sending: bool,
    /// The answerer receives in it.
    pub(crate) receiving: bool,
    /// Stream and track of `a=msid` (RFC 8830).
    pub(crate) msid: Option<(String, String)>,
}

impl Section {
    /// The track id of LiveKit's form `PA_x|TR_y TR_y`, from either half.
    pub(crate) fn track_sid(&self) -> Option<&str> {
        let (stream, track) = self.msid.as_ref()?;
        if track.starts_with("TR_") {
            return Some(track);
        }
        stream.split_once('|').map(|(_, sid)| sid).filter(|sid| sid.starts_with("TR_"))
    }
}

/// The sections of a session description by their `mid`; sections without one are left out.
pub(crate) fn sections(sdp: &str) -> BTreeMap<String, Section> {
    let mut sections = BTreeMap::new();
    let mut current: Option<(Option<String>, Section)> = None;
    let mut close = |current: &mut Option<(Option<String>, Section)>| {
        if let Some((Some(mid), section)) = current.take() {
            sections.insert(mid, section);
        }
    };
    for line in sdp.lines() {
        if let Some(rest) = line.strip_prefix("m=") {
            close(&mut current);
            let mut words = rest.split_ascii_whitespace();
            let media = words.next().unwrap_or_default().to_owned();
            let rejected = words.next() == Some("0");
            current = Some((
                None,
                Section { media, rejected, sending: true, receiving: true, ..Section::default() },
            ));
            continue;
        }
        let Some((mid, section)) = current.as_mut() else { continue };
        match line {
            "a=sendonly" => section.receiving = false,
            "a=recvonly" => section.sending = false,
            "a=inactive" => (section.sending, section.receiving) = (false, false),
            _ => {
                if let Some(value) = line.strip_prefix("a=mid:") {
                    *mid = Some(value.trim().to_owned());
                } else if let Some(value) = line.strip_prefix("a=msid:") {
                    let (stream, track) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
                    section.msid = Some((stream.to_owned(), track.to_owned()));
                }
            }
        }
    }
    close(&mut current);
    sections
}

/// Whether a candidate names its host by mDNS (`….local`); such names are for browsers on one link.
pub(crate) fn is_mdns(candidate: &str) -> bool {
    candidate.split_ascii_whitespace().any(|word| word.to_ascii_lowercase().ends_with(".local"))
}

/// The description without candidates that have mDNS names.
pub(crate) fn without_mdns(sdp: &str) -> String {
    sdp.lines()
        .filter(|line| !(line.starts_with("a=candidate:") && is_mdns(line)))
        .flat_map(|line| [line, "\r\n"])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\n\
        m=audio 42131 UDP/TLS/RTP/SAVPF 111\r\n\
        a=candidate:1 1 udp 2113937151 192.0.2.2 42131 typ host\r\n\
        a=candidate:2 1 udp 2113937151 3f0c9a1e.local 42131 typ host\r\n\
        a=mid:0\r\n\
        a=sendonly\r\n\
        a=msid:PA_remote|TR_ra TR_ra\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
        a=mid:1\r\n\
        a=inactive\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 96\r\n\
        a=mid:2\r\n\
        a=recvonly\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\n\
        a=mid:3\r\n\
        a=sendonly\r\n\
        a=msid:PA_remote|TR_rv e2b9\r\n";

    #[test]
    fn the_answer_says_which_section_carries_which_track() {
        let sections = sections(ANSWER);
        assert_eq!(sections.len(), 4);
        assert_eq!(sections["0"].track_sid(), Some("TR_ra"));
        assert!(sections["0"].sending && !sections["0"].receiving);
        assert!(!sections["1"].sending && !sections["1"].receiving);
        assert!(sections["2"].rejected && sections["2"].receiving);
        assert_eq!(sections["3"].track_sid(), Some("TR_rv"));
        assert_eq!(sections["1"].track_sid(), None);
    }

    #[test]
    fn candidates_with_mdns_names_are_dropped_and_nothing_else() {
        let kept = without_mdns(ANSWER);
        assert!(!kept.contains(".local"));
        assert_eq!(kept.lines().count(), ANSWER.lines().count() - 1);
    }
}
