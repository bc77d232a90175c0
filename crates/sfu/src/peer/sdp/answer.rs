//! The text of an answer (RFC 8829 §5.3): every offered section in its place, one ICE-lite transport with
//! us as DTLS server, described in full in each accepted section and with candidates in the first.

use std::collections::HashMap;

use super::Setup;
use super::negotiator::{Content, Section};
use super::text::{Lines, LocalTransport};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The session description.
    pub sdp: String,
    /// Which track is sent on which section: LiveKit's `SessionDescription.mid_to_track_id`.
    pub mid_to_track_id: HashMap<String, String>,
}

/// Bytes of an answered video section with Chromium's list of codecs.
const TYPICAL_SECTION: usize = 3000;

/// Writes the answer to the offer that the sections come from.
pub(super) fn write(
    session_id: u64,
    version: u64,
    bundle: &[String],
    sections: &[Section],
    transport: &LocalTransport<'_>,
) -> Answer {
    let bundle: Vec<&str> = bundle.iter().map(String::as_str).collect();
    let mut lines = Lines::new(sections.len() * TYPICAL_SECTION, session_id, version, &bundle);
    let mut mid_to_track_id = HashMap::new();
    for section in sections {
        let first = bundle.first().is_some_and(|mid| *mid == section.mid);
        match &section.content {
            Content::Rtp(rtp) => {
                lines.media(&section.media, &section.protocol, rtp, section.preferences);
                lines.transport(&section.mid, transport, Setup::Passive, first);
                lines.rtp(rtp, section.send.as_ref(), section.preferences);
                if let Some(send) = &section.send {
                    mid_to_track_id.insert(section.mid.clone(), send.track.track_sid.clone());
                }
            }
            Content::Data { .. } => {
                let Section { media, protocol, mid, .. } = section;
                lines.data(media, protocol, mid, transport, Setup::Passive, first);
            }
            Content::Rejected => {
                lines.rejected(&section.media, &section.protocol, &section.formats, &section.mid)
            }
        }
    }
    Answer { sdp: lines.into_text(), mid_to_track_id }
}
