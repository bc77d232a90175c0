//! What the server offers on a section for a track: every codec it forwards, each in the profiles that
//! publishers were seen to use, under payload types of its own that never change; and the header extensions.
//!
//! All of it in every section: what a track needs is there whatever its publisher does next, and BUNDLE wants
//! one meaning per payload type anyway (RFC 9143 §9.1).

use std::sync::Arc;

use rtp::codec::CodecKind;
use rtp::extension::{ExtensionKind, ExtensionMap};

use super::codec::CodecSet;
use super::section::{AnswerExtension, ReceiveSection, RtpSection};
use super::{Direction, MediaKind, NegotiatedCodec, NegotiatorSettings, SectionIndex};

/// Codec, payload type, payload type of retransmissions, format parameters. H264 in the profiles of Chromium
/// (baseline, constrained baseline, main, high) and Safari (constrained high), each with the packetization that
/// they publish; level 3.1 is no limit where levels may differ. AV1 took the last numbers below 64, as in Chromium.
const CODECS: &[(CodecKind, u8, Option<u8>, &str)] = &[
    (CodecKind::Opus, 111, None, "minptime=10;useinbandfec=1"),
    (CodecKind::Red, 63, None, "111/111"),
    (CodecKind::Vp8, 96, Some(97), ""),
    (CodecKind::Vp9, 98, Some(99), "profile-id=0"),
    (CodecKind::Vp9, 100, Some(101), "profile-id=2"),
    (
        CodecKind::H264,
        102,
        Some(103),
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
    ),
    (
        CodecKind::H264,
        104,
        Some(105),
        "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f",
    ),
    (
        CodecKind::H264,
        106,
        Some(107),
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    ),
    (
        CodecKind::H264,
        108,
        Some(109),
        "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f",
    ),
    (
        CodecKind::H264,
        112,
        Some(113),
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f",
    ),
    (
        CodecKind::H264,
        114,
        Some(115),
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f",
    ),
    (
        CodecKind::H264,
        116,
        Some(117),
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f",
    ),
    (CodecKind::Av1, 45, Some(46), ""),
];

/// Bytes of a section in an offer: enough for what [`Catalogue`] writes with IPv6 candidates and a long msid (a
/// test compares). Too high a figure refuses tracks that would fit, too low a one lets offers outgrow the
/// client's answer.
pub(super) fn section_bytes(kind: MediaKind) -> usize {
    match kind {
        MediaKind::Audio => 1_200,
        MediaKind::Video => 4_400,
        MediaKind::Application => 2_000,
    }
}

/// What is offered, as if a client had offered it to us.
pub(super) struct Catalogue {
    audio: RtpSection,
    video: RtpSection,
}

impl Catalogue {
    /// What the settings allow of it.
    pub(super) fn of(settings: &NegotiatorSettings) -> Self {
        Self { audio: section(settings, MediaKind::Audio), video: section(settings, MediaKind::Video) }
    }

    /// What a section of this kind offers.
    pub(super) fn section(&self, kind: MediaKind) -> &RtpSection {
        if kind == MediaKind::Audio { &self.audio } else { &self.video }
    }
}

fn section(settings: &NegotiatorSettings, kind: MediaKind) -> RtpSection {
    let is_video = kind == MediaKind::Video;
    let listed = || {
        CODECS
            .iter()
            .filter(move |(codec, ..)| codec.is_video() == is_video && settings.codecs.contains(codec))
    };
    let codecs: Vec<NegotiatedCodec> = listed()
        .map(|(codec, payload_type, rtx, fmtp)| NegotiatedCodec {
            payload_type: *payload_type,
            rtx_payload_type: *rtx,
            kind: *codec,
            fmtp: (*fmtp).to_owned(),
            nack: is_video,
            pli: is_video,
            fir: is_video,
            transport_cc: true,
            remb: is_video,
        })
        .collect();
    let payload_types = listed().flat_map(|(_, media, rtx, _)| [*media].into_iter().chain(*rtx)).collect();
    let codec_set = Arc::new(CodecSet { codecs: codecs.into(), payload_types });
    let mut extensions = Vec::new();
    for (kind, id) in settings.extensions.iter().zip(1..) {
        let belongs = match kind {
            // Nothing that is sent is simulcast.
            ExtensionKind::Rid | ExtensionKind::RepairedRid => false,
            ExtensionKind::AudioLevel => !is_video,
            ExtensionKind::DependencyDescriptor => is_video,
            _ => true,
        };
        if belongs {
            extensions.push(AnswerExtension { kind: *kind, id, direction: None });
        }
    }
    RtpSection {
        direction: Direction::RecvOnly,
        extensions,
        extmap_allow_mixed: true,
        rtcp_rsize: true,
        layers: Vec::new(),
        simulcast: false,
        receive: ReceiveSection {
            index: SectionIndex(0),
            mid: String::new(),
            kind,
            stream_id: None,
            track_id: None,
            codecs: Arc::clone(&codec_set.codecs),
            extensions: ExtensionMap::default(),
            rids: Vec::new(),
            ssrcs: Vec::new(),
            rtx_pairs: Vec::new(),
            sim_group: Vec::new(),
            active: false,
        },
        codec_set,
        send_extensions: ExtensionMap::default(),
    }
}
