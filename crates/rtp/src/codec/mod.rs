//! What may be read of a codec's payload: its descriptor and the bytes that stay clear under end-to-end
//! encryption, and nothing behind them. VP8: descriptor and first byte. VP9: descriptor. H264: NAL unit
//! headers. AV1: aggregation header, better the dependency descriptor, which is no payload at all. RED's block headers are
//! sealed with the rest under end-to-end encryption, so then it is not used.

pub mod av1;
mod bits;
pub mod dependency_descriptor;
pub mod h264;
pub mod red;
pub mod vp8;
pub mod vp9;

/// A codec that is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CodecKind {
    /// Opus (RFC 7587).
    Opus,
    /// Opus with copies of earlier frames (RFC 2198, `audio/red`).
    Red,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628).
    Vp9,
    /// H.264 (RFC 6184).
    H264,
    /// AV1 (AV1 RTP specification).
    Av1,
}

impl CodecKind {
    /// All codecs.
    pub const ALL: [Self; 6] = [Self::Opus, Self::Red, Self::Vp8, Self::Vp9, Self::H264, Self::Av1];

    /// Ticks of the RTP clock per second.
    #[inline]
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus | Self::Red => 48_000,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::Av1 => 90_000,
        }
    }

    /// Whether it is a video codec.
    #[inline]
    pub fn is_video(self) -> bool {
        !matches!(self, Self::Opus | Self::Red)
    }

    /// The encoding name in SDP (`a=rtpmap`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Red => "red",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
            Self::Av1 => "AV1",
        }
    }

    /// The codec with this encoding name; case does not matter (RFC 8866 §6.6).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }
}

/// What stands in front of a frame's bytes in a packet of VP8 or VP9; read once per packet for all who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadDescriptor {
    /// RFC 7741 §4.2.
    Vp8(vp8::Descriptor),
    /// RFC 9628 §4.2.
    Vp9(vp9::Descriptor),
}

impl PayloadDescriptor {
    /// Reads a payload without padding; `None` if it is malformed, or of another codec.
    pub fn parse(codec: CodecKind, payload: &[u8]) -> Option<Self> {
        match codec {
            CodecKind::Vp8 => vp8::Descriptor::parse(payload).ok().map(Self::Vp8),
            CodecKind::Vp9 => vp9::Descriptor::parse(payload).ok().map(Self::Vp9),
            CodecKind::Opus | CodecKind::Red | CodecKind::H264 | CodecKind::Av1 => None,
        }
    }
}

/// Whether a stream can be joined at this packet: it is the first of a key frame (for scalable streams of the
/// lowest spatial layer's). Every audio packet is.
///
/// `payload` is the payload without padding, `descriptor` what [`PayloadDescriptor::parse`] made of it, `dd` the packet's
/// dependency descriptor if it has one; only AV1 uses it. For H264 a stream without parameter sets in band also begins at an IDR slice: a caller that must
/// not begin in the middle of a picture compares the timestamp with the packet before.
pub fn is_keyframe_start(
    codec: CodecKind,
    payload: &[u8],
    descriptor: Option<&PayloadDescriptor>,
    dd: Option<&dependency_descriptor::Descriptor>,
) -> bool {
    match codec {
        CodecKind::Opus | CodecKind::Red => true,
        CodecKind::Vp8 | CodecKind::Vp9 => descriptor.is_some_and(|descriptor| match descriptor {
            PayloadDescriptor::Vp8(descriptor) => descriptor.is_keyframe(payload),
            PayloadDescriptor::Vp9(descriptor) => descriptor.is_keyframe_start(),
        }),
        CodecKind::H264 => h264::is_keyframe_start(payload),
        CodecKind::Av1 => match dd {
            Some(descriptor) => descriptor.is_keyframe_start(),
            None => av1::AggregationHeader::parse(payload).is_ok_and(|h| h.is_keyframe_start()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_sdp_in_any_case() {
        for codec in CodecKind::ALL {
            assert_eq!(CodecKind::from_name(codec.name()), Some(codec));
            assert_eq!(CodecKind::from_name(&codec.name().to_lowercase()), Some(codec));
        }
        assert_eq!(CodecKind::from_name("rtx"), None);
        assert_eq!(CodecKind::Opus.clock_rate(), 48_000);
        assert!(CodecKind::Av1.is_video() && !CodecKind::Opus.is_video() && !CodecKind::Red.is_video());
    }

    #[test]
    fn each_codec_says_where_a_stream_can_be_joined() {
        let cases: [(CodecKind, &[u8], &[u8]); 4] = [
            (CodecKind::Vp8, &[0x10, 0x00], &[0x10, 0x01]),
            (CodecKind::Vp9, &[0x88, 0x01], &[0xC8, 0x01]),
            (CodecKind::H264, &[0x67], &[0x41]),
            (CodecKind::Av1, &[0x08], &[0x00]),
        ];
        let is_start = |codec, payload: &[u8]| {
            is_keyframe_start(codec, payload, PayloadDescriptor::parse(codec, payload).as_ref(), None)
        };
        for (codec, first, other) in cases {
            assert!(is_start(codec, first), "{codec:?}");
            assert!(!is_start(codec, other), "{codec:?}");
            assert!(!is_start(codec, &[]), "{codec:?}");
        }
        assert!(is_start(CodecKind::Opus, &[]));
    }

    #[test]
    fn for_av1_the_dependency_descriptor_overrules_the_payload() {
        // One template, one decode target: a frame without dependencies that brings its structure.
        let bytes = [0xC0, 0, 1, 0x80, 0x00, 0xE0];
        let descriptor = dependency_descriptor::Descriptor::parse(&bytes, None).unwrap();
        assert!(is_keyframe_start(CodecKind::Av1, &[0x00], None, Some(&descriptor)));
        let structure = descriptor.structure.as_deref();
        let later = dependency_descriptor::Descriptor::parse(&[0xC0, 0, 2], structure).unwrap();
        assert!(!is_keyframe_start(CodecKind::Av1, &[0x08], None, Some(&later)));
    }
}
