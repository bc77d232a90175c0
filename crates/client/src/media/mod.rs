//! Media to publish. A [`MediaSource`] says when its next frame is due and makes it as RTP payloads; the
//! client numbers, seals and sends them. Nothing here encodes or decodes.

use std::time::Duration;

mod annex_b;
mod h264;
mod ivf;
mod keyframe;
mod ogg;
mod packets;
mod seal;
pub mod stamp;
mod synthetic;
mod vp8;

pub use annex_b::AnnexBVideo;
pub use ivf::IvfVideo;
pub(crate) use keyframe::starts_key_frame;
pub use ogg::OggOpus;
pub use seal::FrameSeal;
pub use synthetic::{AudioLevel, SyntheticAudio, SyntheticVideo, VideoLayerSpec};

pub use crate::negotiation::Kind;

/// The largest RTP payload a source may make: fits 1200 bytes of UDP payload with header, extensions, RTX
/// prefix and authentication tag.
pub const MAX_PAYLOAD: usize = 1140;

/// A codec that can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// AV1 RTP payload format.
    Av1,
}

impl Codec {
    /// The MIME type, as LiveKit writes it.
    pub fn mime(self) -> &'static str {
        match self {
            Self::Opus => "audio/opus",
            Self::Vp8 => "video/VP8",
            Self::Vp9 => "video/VP9",
            Self::H264 => "video/H264",
            Self::Av1 => "video/AV1",
        }
    }

    /// RTP clock rate in Hz.
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            _ => 90_000,
        }
    }

    /// Audio or video.
    pub fn kind(self) -> Kind {
        match self {
            Self::Opus => Kind::Audio,
            _ => Kind::Video,
        }
    }
}

/// One encoding of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Restriction id (`q`, `h`, `f`) of a simulcast layer; `None` for the only encoding.
    pub rid: Option<&'static str>,
    /// Pixels; 0 for audio.
    pub width: u32,
    /// Pixels; 0 for audio.
    pub height: u32,
    /// Bits per second, roughly.
    pub bitrate: u32,
}

/// One RTP packet without its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Payload with the codec's own descriptor in front.
    pub bytes: Vec<u8>,
    /// RTP marker bit: last packet of a picture, or start of a talk spurt.
    pub marker: bool,
}

/// What one layer sends at one moment: a picture, or a packet of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Index into [`MediaSource::layers`].
    pub layer: usize,
    /// Sampling time in units of the codec's clock, from 0 at the source's start.
    pub media_time: u64,
    /// Packets in sending order.
    pub payloads: Vec<Payload>,
    /// Sound pressure in dBov, 0 (loudest) to -127, for the audio-level extension (RFC 6464).
    pub audio_level: Option<i8>,
}

/// A source of media in real time. It owns no clock: the client asks when and hands the time in.
pub trait MediaSource: Send + 'static {
    /// The codec of all layers.
    fn codec(&self) -> Codec;
    /// The encodings, lowest first.
    fn layers(&self) -> Vec<Layer>;
    /// When the next frame is due, counted from the source's start; `None` when it has ended.
    fn next_due(&self) -> Option<Duration>;
    /// Makes the frame that is due; `None` if nothing of it is sent. `sent_at` is the wall clock in nanoseconds since the
    /// Unix epoch, for stamps.
    fn produce(&mut self, sent_at: u64) -> Option<Frame>;
    /// A receiver cannot decode `layer` without a key frame. Sources from files come to one by themselves.
    fn request_key_frame(&mut self, _layer: usize) {}
    /// Frames are sealed end to end, and announced so.
    fn is_sealed(&self) -> bool {
        false
    }
}

impl MediaSource for Box<dyn MediaSource> {
    fn codec(&self) -> Codec {
        (**self).codec()
    }
    fn layers(&self) -> Vec<Layer> {
        (**self).layers()
    }
    fn next_due(&self) -> Option<Duration> {
        (**self).next_due()
    }
    fn produce(&mut self, sent_at: u64) -> Option<Frame> {
        (**self).produce(sent_at)
    }
    fn request_key_frame(&mut self, layer: usize) {
        (**self).request_key_frame(layer);
    }
    fn is_sealed(&self) -> bool {
        (**self).is_sealed()
    }
}
