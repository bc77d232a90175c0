//! Which of the offered codecs are taken: those the core can forward, each with its retransmission payload
//! type (RFC 4588), and RED over Opus. Redundancy for pictures (RED, ULPFEC, FlexFEC) is not taken: the core repairs
//! their loss by retransmission.

use std::sync::Arc;

use rtp::codec::CodecKind;

use super::MediaKind;
use super::parse::{Feedback, MediaDescription, Payload};

/// A codec as both sides know it on one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedCodec {
    /// Payload type, 0–63 or 96–127.
    pub payload_type: u8,
    /// Payload type of its retransmissions, if they were offered.
    pub rtx_payload_type: Option<u8>,
    /// Which codec.
    pub kind: CodecKind,
    /// Format parameters as offered; empty if there were none.
    pub fmtp: String,
    /// Generic NACK.
    pub nack: bool,
    /// Picture loss indication.
    pub pli: bool,
    /// Full intra request.
    pub fir: bool,
    /// Transport-wide feedback.
    pub transport_cc: bool,
    /// Receiver estimated maximum bitrate.
    pub remb: bool,
}

impl NegotiatedCodec {
    /// The value of a format parameter, by its name regardless of case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.fmtp, name)
    }
}

/// The taken codecs of a section, in the offered order, and every taken payload type (codecs and
/// retransmissions) in the order of the `m=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CodecSet {
    pub(super) codecs: Arc<[NegotiatedCodec]>,
    pub(super) payload_types: Vec<u8>,
}

impl CodecSet {
    /// What of the section's payload types is taken, given the codecs the core is set to forward.
    pub(super) fn new(media: &MediaDescription<'_>, kind: MediaKind, enabled: &[CodecKind]) -> Self {
        let mut codecs: Vec<NegotiatedCodec> = media
            .payloads
            .iter()
            .filter_map(|payload| {
                let codec = codec_of(payload, kind).filter(|codec| enabled.contains(codec))?;
                Some(negotiated(payload, codec))
            })
            .collect();
        let is_opus: Vec<u8> = codecs
            .iter()
            .filter(|codec| codec.kind == CodecKind::Opus)
            .map(|codec| codec.payload_type)
            .collect();
        codecs.retain(|codec| codec.kind != CodecKind::Red || is_red_over(&codec.fmtp, &is_opus));
        for payload in media.payloads.iter().filter(|payload| payload.encoding.eq_ignore_ascii_case("rtx")) {
            let associated = payload.fmtp.and_then(|fmtp| parameter(fmtp, "apt")?.parse::<u8>().ok());
            let codec = codecs.iter_mut().find(|codec| Some(codec.payload_type) == associated);
            if let Some(codec) = codec {
                codec.rtx_payload_type.get_or_insert(payload.payload_type);
            }
        }
        let taken = |payload_type: u8| {
            codecs.iter().any(|codec| {
                codec.payload_type == payload_type || codec.rtx_payload_type == Some(payload_type)
            })
        };
        let payload_types = media
            .payloads
            .iter()
            .map(|payload| payload.payload_type)
            .filter(|number| taken(*number))
            .collect();
        Self { codecs: codecs.into(), payload_types }
    }

    /// The codec with this payload type.
    pub(super) fn codec(&self, payload_type: u8) -> Option<&NegotiatedCodec> {
        self.codecs.iter().find(|codec| codec.payload_type == payload_type)
    }

    /// The codec that this payload type retransmits.
    pub(super) fn retransmitted(&self, payload_type: u8) -> Option<&NegotiatedCodec> {
        self.codecs.iter().find(|codec| codec.rtx_payload_type == Some(payload_type))
    }
}

fn negotiated(payload: &Payload<'_>, kind: CodecKind) -> NegotiatedCodec {
    let Feedback { nack, pli, fir, transport_cc, remb } = payload.feedback;
    NegotiatedCodec {
        payload_type: payload.payload_type,
        rtx_payload_type: None,
        kind,
        fmtp: payload.fmtp.unwrap_or_default().to_owned(),
        nack,
        pli,
        fir,
        transport_cc,
        remb,
    }
}

/// The codec of a payload type, if it is one the core can forward in this profile.
fn codec_of(payload: &Payload<'_>, kind: MediaKind) -> Option<CodecKind> {
    let parameter = |name| payload.fmtp.and_then(|fmtp| parameter(fmtp, name));
    let is = |name: &str| payload.encoding.eq_ignore_ascii_case(name);
    match (kind, payload.clock_rate, payload.channels) {
        // RFC 7587 §7: always 48 kHz and two channels, whatever is encoded.
        (MediaKind::Audio, 48_000, 2) if is("opus") => Some(CodecKind::Opus),
        // RFC 2198 §5 with the clock of what it repeats.
        (MediaKind::Audio, 48_000, 2) if is("red") => Some(CodecKind::Red),
        (MediaKind::Video, 90_000, _) if is("VP8") => Some(CodecKind::Vp8),
        // Profiles 1 and 3 (4:2:2 and more) are decoded by few; without a profile it is 0 (RFC 9628 §6.1).
        (MediaKind::Video, 90_000, _) if is("VP9") => {
            matches!(parameter("profile-id"), None | Some("0" | "2")).then_some(CodecKind::Vp9)
        }
        // Without a mode it is 0, single NAL units (RFC 6184 §8.1); mode 2 is interleaved.
        (MediaKind::Video, 90_000, _) if is("H264") => {
            matches!(parameter("packetization-mode"), None | Some("0" | "1")).then_some(CodecKind::H264)
        }
        // The main profile; it is what holds when none is said (AV1 RTP specification §7.2.3).
        (MediaKind::Video, 90_000, _) if is("AV1") => {
            matches!(parameter("profile"), None | Some("0")).then_some(CodecKind::Av1)
        }
        _ => None,
    }
}

/// Whether format parameters of RED (`111/111`) name blocks of these payload types only.
fn is_red_over(fmtp: &str, payload_types: &[u8]) -> bool {
    fmtp.split('/').all(|block| block.trim().parse().is_ok_and(|block| payload_types.contains(&block)))
}

/// Encoding name, clock rate and channels for an `a=rtpmap` line.
pub(super) fn rtpmap(kind: CodecKind) -> &'static str {
    match kind {
        CodecKind::Opus => "opus/48000/2",
        CodecKind::Red => "red/48000/2",
        CodecKind::Vp8 => "VP8/90000",
        CodecKind::Vp9 => "VP9/90000",
        CodecKind::H264 => "H264/90000",
        CodecKind::Av1 => "AV1/90000",
    }
}

/// The value of a parameter in `name=value;name=value`, by its name regardless of case.
fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
