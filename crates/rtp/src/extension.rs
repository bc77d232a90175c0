//! RTP header extensions by name: the URIs of SDP (`a=extmap`), the ids of one session, and the values that
//! the server itself reads or writes.

/// A header extension that this project knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExtensionKind {
    /// Media section (RFC 9143).
    Mid,
    /// RTP stream within a section (RFC 8852).
    Rid,
    /// The stream that a retransmission repairs (RFC 8852).
    RepairedRid,
    /// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportCc,
    /// Absolute send time (WebRTC, `abs-send-time`).
    AbsSendTime,
    /// Audio level (RFC 6464).
    AudioLevel,
    /// Dependency descriptor (AV1 RTP specification, appendix A).
    DependencyDescriptor,
    /// Absolute capture time (WebRTC, `abs-capture-time`).
    AbsCaptureTime,
    /// Coordination of video orientation (3GPP TS 26.114).
    VideoOrientation,
    /// Playout delay limits (WebRTC).
    PlayoutDelay,
    /// Content type: camera or screen (WebRTC).
    VideoContentType,
    /// Encoder and network timing (WebRTC).
    VideoTiming,
    /// Colour space and HDR metadata (WebRTC).
    ColorSpace,
    /// Transmission time offset (RFC 5450).
    TransmissionOffset,
    /// Allocation of simulcast and scalable layers (WebRTC).
    VideoLayersAllocation,
}

const KINDS: usize = 15;

impl ExtensionKind {
    /// All kinds.
    pub const ALL: [Self; KINDS] = [
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::TransportCc,
        Self::AbsSendTime,
        Self::AudioLevel,
        Self::DependencyDescriptor,
        Self::AbsCaptureTime,
        Self::VideoOrientation,
        Self::PlayoutDelay,
        Self::VideoContentType,
        Self::VideoTiming,
        Self::ColorSpace,
        Self::TransmissionOffset,
        Self::VideoLayersAllocation,
    ];

    /// The URI in SDP.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::TransportCc => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::VideoContentType => "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
            Self::VideoTiming => "http://www.webrtc.org/experiments/rtp-hdrext/video-timing",
            Self::ColorSpace => "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
            Self::TransmissionOffset => "urn:ietf:params:rtp-hdrext:toffset",
            Self::VideoLayersAllocation => {
                "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"
            }
        }
    }

    /// The kind with this URI, compared exactly.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.uri() == uri)
    }
}

/// Which id stands for which kind within one session or media section. Fixed size, cheap to copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionMap {
    /// The id of each kind by the kind's number; 0 for none (0 is never a valid id).
    ids: [u8; KINDS],
}

impl ExtensionMap {
    /// No extension.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives `kind` the id `id` (1 to 255), instead of one that it had. Returns whether it was done: an id of
    /// 0 or one that another kind has is refused.
    pub fn insert(&mut self, kind: ExtensionKind, id: u8) -> bool {
        if id == 0 || self.kind(id).is_some_and(|other| other != kind) {
            return false;
        }
        self.ids[kind as usize] = id;
        true
    }

    /// Takes the kind's id away.
    pub fn remove(&mut self, kind: ExtensionKind) {
        self.ids[kind as usize] = 0;
    }

    /// The id of `kind`.
    #[inline]
    pub fn id(&self, kind: ExtensionKind) -> Option<u8> {
        let id = self.ids[kind as usize];
        (id != 0).then_some(id)
    }

    /// The kind of `id`.
    #[inline]
    pub fn kind(&self, id: u8) -> Option<ExtensionKind> {
        if id == 0 {
            return None;
        }
        self.ids.iter().position(|&found| found == id).map(|number| ExtensionKind::ALL[number])
    }

    /// Every kind that has an id, in the order of [`ExtensionKind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (ExtensionKind, u8)> + '_ {
        ExtensionKind::ALL.into_iter().filter_map(|kind| Some((kind, self.id(kind)?)))
    }
}

/// Loudness of one packet (RFC 6464).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// Whether the sender thinks that it is voice.
    pub voice: bool,
    /// Level in -dBov: 0 is the loudest, 127 silence.
    pub level: u8,
}

impl AudioLevel {
    /// Reads an element's value; `None` if it is empty.
    #[inline]
    pub fn decode(value: &[u8]) -> Option<Self> {
        let first = *value.first()?;
        Some(Self { voice: first & 0x80 != 0, level: first & 0x7F })
    }

    /// The element's value.
    #[inline]
    pub fn encode(self) -> [u8; 1] {
        [(u8::from(self.voice) << 7) | self.level.min(127)]
    }
}

/// Reads a transport-wide sequence number; `None` if the value is too short. The two further bytes of version
/// 2 of the extension are not read.
#[inline]
pub fn decode_transport_cc(value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// Writes a transport-wide sequence number.
#[inline]
pub fn encode_transport_cc(sequence: u16) -> [u8; 2] {
    sequence.to_be_bytes()
}

/// Longest mid or rid that is accepted. Browsers use 1 to 3 bytes; a one-byte extension header holds 16.
pub const MAX_STREAM_NAME: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_uri() {
        for kind in ExtensionKind::ALL {
            assert_eq!(ExtensionKind::from_uri(kind.uri()), Some(kind));
            assert_eq!(ExtensionKind::ALL[kind as usize], kind);
        }
        assert_eq!(ExtensionKind::from_uri("urn:ietf:params:rtp-hdrext:encrypt"), None);
    }

    #[test]
    fn ids_and_kinds_find_each_other() {
        let mut map = ExtensionMap::new();
        assert!(map.insert(ExtensionKind::Mid, 4) && map.insert(ExtensionKind::AudioLevel, 10));
        assert_eq!(map.id(ExtensionKind::Mid), Some(4));
        assert_eq!(map.kind(10), Some(ExtensionKind::AudioLevel));
        assert_eq!((map.id(ExtensionKind::Rid), map.kind(5), map.kind(0)), (None, None, None));
        assert!(!map.insert(ExtensionKind::Rid, 4), "taken by mid");
        assert!(!map.insert(ExtensionKind::Rid, 0), "0 is no id");
        assert!(map.insert(ExtensionKind::Mid, 7), "a kind can move");
        assert_eq!((map.kind(4), map.kind(7)), (None, Some(ExtensionKind::Mid)));
        let all: Vec<_> = map.iter().collect();
        assert_eq!(all, [(ExtensionKind::Mid, 7), (ExtensionKind::AudioLevel, 10)]);
        map.remove(ExtensionKind::Mid);
        assert_eq!(map.id(ExtensionKind::Mid), None);
    }

    #[test]
    fn audio_levels_as_in_rfc_6464() {
        let spoken = AudioLevel::decode(&[0x80 | 30]).unwrap();
        assert_eq!(spoken, AudioLevel { voice: true, level: 30 });
        assert_eq!(spoken.encode(), [0x9E]);
        assert_eq!(AudioLevel::decode(&[127, 0, 0]).unwrap(), AudioLevel { voice: false, level: 127 });
        assert_eq!(
            AudioLevel { voice: false, level: 255 }.encode(),
            [127],
            "quieter than silence is silence"
        );
        assert_eq!(AudioLevel::decode(&[]), None);
    }

    #[test]
    fn transport_sequence_numbers_are_big_endian() {
        assert_eq!(decode_transport_cc(&encode_transport_cc(0xFFFE)), Some(0xFFFE));
        assert_eq!(decode_transport_cc(&[0x12, 0x34, 0x80, 0x01]), Some(0x1234), "version 2 has two more");
        assert_eq!(decode_transport_cc(&[1]), None);
    }
}
