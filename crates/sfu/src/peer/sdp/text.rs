//! The text of our descriptions, line by line; [`answer`](super::answer) and [`offerer`](super::offerer) say what.

use std::fmt::Write;
use std::net::SocketAddr;

use rtp::codec::CodecKind;

use super::codec::rtpmap;
use super::section::{Preferences, RtpSection, SendSection};
use super::{Direction, NegotiatedCodec, Setup};

/// Our side of the transport.
#[derive(Clone, Copy, Debug)]
pub struct LocalTransport<'a> {
    /// Our ICE user fragment.
    pub ice_ufrag: &'a str,
    /// Our ICE password.
    pub ice_pwd: &'a str,
    /// Where we can be reached, best first.
    pub candidates: &'a [SocketAddr],
    /// Our certificate: the value of an `a=fingerprint` line (see [`fingerprint_value`](super::fingerprint_value)).
    pub fingerprint: &'a str,
    /// Our SCTP port.
    pub sctp_port: u16,
    /// Bytes of the largest message we take.
    pub max_message_size: u32,
}

/// A description being written.
pub(super) struct Lines(String);

impl Lines {
    /// The session level: an ICE-lite agent (RFC 8839 §5.3) with everything in one group (RFC 9143).
    pub(super) fn new(capacity: usize, session_id: u64, version: u64, bundle: &[&str]) -> Self {
        let mut lines = Self(String::with_capacity(capacity));
        lines.put(format_args!("v=0"));
        lines.put(format_args!("o=- {session_id} {version} IN IP4 127.0.0.1"));
        lines.put(format_args!("s=-"));
        lines.put(format_args!("t=0 0"));
        lines.put(format_args!("a=ice-lite"));
        if !bundle.is_empty() {
            lines.put(format_args!("a=group:BUNDLE {}", bundle.join(" ")));
        }
        lines.put(format_args!("a=msid-semantic: WMS *"));
        lines
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(line);
        self.0.push_str("\r\n");
    }

    pub(super) fn media(&mut self, media: &str, protocol: &str, rtp: &RtpSection, preferences: Preferences) {
        let _ = write!(self.0, "m={media} 9 {protocol}");
        for payload_type in rtp.payload_types(preferences) {
            let _ = write!(self.0, " {payload_type}");
        }
        self.put(format_args!(""));
        self.put(format_args!("c=IN IP4 0.0.0.0"));
        self.put(format_args!("a=rtcp:9 IN IP4 0.0.0.0"));
    }

    pub(super) fn transport(
        &mut self,
        mid: &str,
        transport: &LocalTransport<'_>,
        setup: Setup,
        with_candidates: bool,
    ) {
        if with_candidates {
            for (index, address) in transport.candidates.iter().enumerate() {
                self.put(format_args!("a=candidate:{}", candidate(index, *address)));
            }
            self.put(format_args!("a=end-of-candidates"));
        }
        self.put(format_args!("a=ice-ufrag:{}", transport.ice_ufrag));
        self.put(format_args!("a=ice-pwd:{}", transport.ice_pwd));
        self.put(format_args!("a=ice-options:trickle ice2"));
        self.put(format_args!("a=fingerprint:{}", transport.fingerprint));
        self.put(format_args!("a=setup:{}", setup.as_str()));
        self.put(format_args!("a=mid:{mid}"));
    }

    pub(super) fn rtp(&mut self, rtp: &RtpSection, send: Option<&SendSection>, preferences: Preferences) {
        for extension in &rtp.extensions {
            let uri = extension.kind.uri();
            match extension.direction {
                Some(direction) => {
                    self.put(format_args!("a=extmap:{}/{} {uri}", extension.id, direction.as_str()));
                }
                None => self.put(format_args!("a=extmap:{} {uri}", extension.id)),
            }
        }
        if rtp.extmap_allow_mixed {
            self.put(format_args!("a=extmap-allow-mixed"));
        }
        let direction = Direction::new(send.is_some(), rtp.direction.sends());
        self.put(format_args!("a={}", direction.as_str()));
        if let Some(SendSection { track, .. }) = send {
            let (participant, stream, track) = (&track.participant_sid, track.stream, &track.track_sid);
            // The way LiveKit's clients take it apart; which track it is they learn from `mid_to_track_id`.
            self.put(format_args!("a=msid:{participant}|{stream} {track}"));
        }
        self.put(format_args!("a=rtcp-mux"));
        if rtp.rtcp_rsize {
            self.put(format_args!("a=rtcp-rsize"));
        }
        for payload_type in rtp.payload_types(preferences) {
            if let Some(codec) = rtp.codec_set.codec(payload_type) {
                self.codec(codec, preferences, send.is_some_and(|send| send.track.stereo));
            } else if let Some(codec) = rtp.codec_set.retransmitted(payload_type) {
                self.put(format_args!("a=rtpmap:{payload_type} rtx/90000"));
                self.put(format_args!("a=fmtp:{payload_type} apt={}", codec.payload_type));
            }
        }
        self.layers(rtp);
        if let Some(send) = send {
            self.sources(rtp, send);
        }
    }

    fn codec(&mut self, codec: &NegotiatedCodec, preferences: Preferences, sends_stereo: bool) {
        let payload_type = codec.payload_type;
        self.put(format_args!("a=rtpmap:{payload_type} {}", rtpmap(codec.kind)));
        let feedback = [
            (codec.remb, "goog-remb"),
            (codec.transport_cc, "transport-cc"),
            (codec.fir, "ccm fir"),
            (codec.nack, "nack"),
            (codec.pli, "nack pli"),
        ];
        for (_, name) in feedback.into_iter().filter(|(offered, _)| *offered) {
            self.put(format_args!("a=rtcp-fb:{payload_type} {name}"));
        }
        let parameters = format_parameters(codec, preferences, sends_stereo);
        if !parameters.is_empty() {
            self.put(format_args!("a=fmtp:{payload_type} {parameters}"));
        }
    }

    fn layers(&mut self, rtp: &RtpSection) {
        if rtp.layers.is_empty() {
            return;
        }
        for layer in &rtp.layers {
            let separator = if layer.restrictions.is_empty() { "" } else { " " };
            self.put(format_args!("a=rid:{} recv{separator}{}", layer.rid, layer.restrictions));
        }
        if rtp.simulcast {
            self.put(format_args!("a=simulcast:recv {}", rtp.receive.rids.join(";")));
        }
    }

    fn sources(&mut self, rtp: &RtpSection, send: &SendSection) {
        let track = &send.track;
        let has_rtx = rtp.codec_set.codecs.iter().any(|codec| codec.rtx_payload_type.is_some());
        let rtx = track.rtx_ssrc.filter(|_| has_rtx);
        // Without the group Firefox takes retransmissions for source 0.
        if let Some(rtx) = rtx {
            self.put(format_args!("a=ssrc-group:FID {} {rtx}", track.ssrc));
        }
        for ssrc in [Some(track.ssrc), rtx].into_iter().flatten() {
            self.put(format_args!("a=ssrc:{ssrc} cname:{}", track.cname));
        }
    }

    /// A section for data channels (RFC 8841).
    pub(super) fn data(
        &mut self,
        media: &str,
        protocol: &str,
        mid: &str,
        transport: &LocalTransport<'_>,
        setup: Setup,
        with_candidates: bool,
    ) {
        self.put(format_args!("m={media} 9 {protocol} webrtc-datachannel"));
        self.put(format_args!("c=IN IP4 0.0.0.0"));
        self.transport(mid, transport, setup, with_candidates);
        self.put(format_args!("a=sctp-port:{}", transport.sctp_port));
        self.put(format_args!("a=max-message-size:{}", transport.max_message_size));
    }

    /// A refused section: port 0 and nothing to negotiate (RFC 8829 §5.3.1), in or out of the group.
    pub(super) fn rejected(&mut self, media: &str, protocol: &str, formats: &str, mid: &str) {
        self.put(format_args!("m={media} 0 {protocol} {formats}"));
        self.put(format_args!("c=IN IP4 0.0.0.0"));
        self.put(format_args!("a=inactive"));
        if !mid.is_empty() {
            self.put(format_args!("a=mid:{mid}"));
        }
    }
}

/// What we say about a codec that we receive. Profiles and packetization repeat the offer, as they must
/// agree. What the offerer says of itself as a receiver (Firefox: `max-fs`, `max-fr`) is left out, or it would
/// come back as a limit on what it sends. Chromium reads its own starting rate from the answer.
fn format_parameters(codec: &NegotiatedCodec, preferences: Preferences, sends_stereo: bool) -> String {
    let repeated: &[&str] = match codec.kind {
        CodecKind::Opus => {
            // Each side says what it wants to receive, and in `sprop-stereo` what it will send (RFC 7587 §7.1):
            // livekit-client asks its decoder for two channels where it finds that.
            let dtx = if preferences.dtx { ";usedtx=1" } else { "" };
            let stereo = if preferences.stereo { ";stereo=1" } else { "" };
            let sent = if sends_stereo { ";sprop-stereo=1" } else { "" };
            return format!("minptime=10;useinbandfec=1{dtx}{stereo}{sent}");
        }
        CodecKind::Red => return codec.fmtp.clone(), // which payload types it repeats
        CodecKind::Vp8 => &[],
        CodecKind::Vp9 => &["profile-id"],
        CodecKind::H264 => &["level-asymmetry-allowed", "packetization-mode", "profile-level-id"],
        CodecKind::Av1 => &["profile", "level-idx", "tier"],
    };
    let kept = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default().trim();
        name.starts_with("x-google-") || repeated.iter().any(|repeated| name.eq_ignore_ascii_case(repeated))
    };
    codec.fmtp.split(';').map(str::trim).filter(kept).collect::<Vec<_>>().join(";")
}

/// A host candidate for component 1 over UDP (RFC 8839 §5.1). The local preference falls with the position,
/// so that clients prefer what comes first (RFC 8445 §5.1.2.1).
fn candidate(index: usize, address: SocketAddr) -> String {
    const HOST_TYPE_PREFERENCE: u32 = 126;

    let local_preference = u32::from(u16::MAX).saturating_sub(u32::try_from(index).unwrap_or(u32::MAX));
    let priority = (HOST_TYPE_PREFERENCE << 24) + (local_preference << 8) + 255;
    let (foundation, ip, port) = (index + 1, address.ip(), address.port());
    format!("{foundation} 1 udp {priority} {ip} {port} typ host")
}
