//! Media made of stamps: the packets of a codec as far as servers look at them, then a stamp each.
//! Nothing decodes it; everything about its way through the server can be verified.

use std::sync::Arc;
use std::sync::atomic::{AtomicI8, Ordering};
use std::time::Duration;

use super::h264;
use super::packets::even_sizes;
use super::seal::{SEAL_BYTES, Sealing};
use super::stamp::{self, Stamp};
use super::vp8::{self, Vp8Descriptors};
use super::{Codec, Frame, FrameSeal, Layer, MAX_PAYLOAD, MediaSource, Payload};

/// Duration of one packet of sound.
const AUDIO_PACKET: Duration = Duration::from_millis(20);

/// Nothing is heard, in dBov.
const SILENCE: i8 = -127;

/// Samples of one packet of sound at 48 kHz.
const AUDIO_SAMPLES: u64 = 960;

/// While nothing is heard one packet of so many is sent, as Opus does it with DTX: every 400 ms.
const PAUSE_PACKETS: u64 = 20;

/// Opus, CELT, full band, 20 ms, mono, one frame (RFC 6716 section 3.1).
const OPUS_TOC: u8 = 0xF8;

/// The loudness that a synthetic source announces; clones control the same source.
#[derive(Debug, Clone)]
pub struct AudioLevel(Arc<AtomicI8>);

impl AudioLevel {
    /// Sets it, in dBov: 0 is loudest, -127 is silence.
    pub fn set(&self, dbov: i8) {
        self.0.store(dbov.clamp(-127, 0), Ordering::Relaxed);
    }

    /// The level set last.
    pub fn get(&self) -> i8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Opus packets of 20 ms, each with a stamp.
#[derive(Debug)]
pub struct SyntheticAudio {
    source: u32,
    size: usize,
    level: AudioLevel,
    packet: u64,
    pauses: bool,
    sealing: Sealing,
}

impl SyntheticAudio {
    /// Packets of `size` bytes of payload, at least one with a stamp in it, at most [`MAX_PAYLOAD`]. 80 bytes
    /// are 32 kbit/s.
    pub fn new(size: usize) -> Self {
        Self {
            source: fastrand::u32(..),
            size: size.clamp(1 + stamp::LEN, MAX_PAYLOAD),
            level: AudioLevel(Arc::new(AtomicI8::new(-30))),
            packet: 0,
            pauses: false,
            sealing: Sealing::default(),
        }
    }

    /// Sends little while the announced loudness is silence, as microphones do.
    pub fn with_pauses(mut self) -> Self {
        self.pauses = true;
        self
    }

    /// Seals every packet. What arrives elsewhere then has no stamps until it is opened.
    pub fn sealed(mut self, seal: Box<dyn FrameSeal>) -> Self {
        self.size = self.size.min(MAX_PAYLOAD - SEAL_BYTES);
        self.sealing = Sealing::with(seal);
        self
    }

    /// The handle that changes the announced loudness while the track is published.
    pub fn level(&self) -> AudioLevel {
        self.level.clone()
    }
}

impl MediaSource for SyntheticAudio {
    fn codec(&self) -> Codec {
        Codec::Opus
    }

    fn layers(&self) -> Vec<Layer> {
        vec![Layer { rid: None, width: 0, height: 0, bitrate: (self.size * 8 * 50) as u32 }]
    }

    fn next_due(&self) -> Option<Duration> {
        Some(AUDIO_PACKET * u32::try_from(self.packet).unwrap_or(u32::MAX))
    }

    fn produce(&mut self, sent_at: u64) -> Option<Frame> {
        let mut bytes = vec![OPUS_TOC];
        let stamp = Stamp {
            source: self.source,
            layer: 0,
            key: false,
            index: 0,
            count: 1,
            filler: (self.size - 1 - stamp::LEN) as u16,
            frame: self.packet as u32,
            sequence: self.packet,
            sent_at,
        };
        stamp.append(&mut bytes);
        let number = self.packet;
        self.packet += 1;
        if self.pauses && self.level.get() == SILENCE && !number.is_multiple_of(PAUSE_PACKETS) {
            return None;
        }
        let bytes = self.sealing.apply(Codec::Opus, bytes)?;
        Some(Frame {
            layer: 0,
            media_time: number * AUDIO_SAMPLES,
            payloads: vec![Payload { bytes, marker: number == 0 }],
            audio_level: Some(self.level.get()),
        })
    }

    fn is_sealed(&self) -> bool {
        self.sealing.is_on()
    }
}

/// Size and rate of one layer of synthetic video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoLayerSpec {
    /// Restriction id, or `None` for a single encoding.
    pub rid: Option<&'static str>,
    /// Announced width in pixels.
    pub width: u32,
    /// Announced height in pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// Bytes of a frame between key frames, descriptors not counted.
    pub frame_bytes: usize,
    /// Bytes of a key frame.
    pub key_frame_bytes: usize,
}

impl VideoLayerSpec {
    /// One encoding of 640×360 with 15 frames of about 2 KB a second (240 kbit/s).
    pub fn single() -> Self {
        Self { rid: None, width: 640, height: 360, fps: 15, frame_bytes: 2000, key_frame_bytes: 8000 }
    }

    /// Three layers `q`, `h`, `f` as a browser sends a 720p camera: about 120, 400 and 1500 kbit/s.
    pub fn simulcast() -> Vec<Self> {
        [("q", 320, 180, 15, 1000), ("h", 640, 360, 20, 2500), ("f", 1280, 720, 30, 6250)]
            .map(|(rid, width, height, fps, frame_bytes)| Self {
                rid: Some(rid),
                width,
                height,
                fps,
                frame_bytes,
                key_frame_bytes: frame_bytes * 4,
            })
            .to_vec()
    }
}

/// Video in one or several layers, each packet with a stamp.
#[derive(Debug)]
pub struct SyntheticVideo {
    source: u32,
    codec: Codec,
    layers: Vec<LayerState>,
    key_frame_every: Option<u32>,
}

#[derive(Debug)]
struct LayerState {
    spec: VideoLayerSpec,
    frame: u32,
    sequence: u64,
    key_frame_wanted: bool,
    descriptors: Vp8Descriptors,
}

impl LayerState {
    fn due(&self) -> Duration {
        Duration::from_nanos(u64::from(self.frame) * 1_000_000_000 / u64::from(self.spec.fps))
    }
}

impl SyntheticVideo {
    /// VP8 in the given layers, lowest first. Key frames come first, and then when asked for.
    pub fn vp8(layers: Vec<VideoLayerSpec>) -> Self {
        Self::of(Codec::Vp8, layers)
    }

    /// H.264 in the given layers.
    pub fn h264(layers: Vec<VideoLayerSpec>) -> Self {
        Self::of(Codec::H264, layers)
    }

    /// VP9 without spatial layers, one encoding.
    pub fn vp9(layer: VideoLayerSpec) -> Self {
        Self::of(Codec::Vp9, vec![layer])
    }

    /// Makes every `frames`th frame of each layer a key frame, beside those asked for.
    pub fn key_frame_every(mut self, frames: u32) -> Self {
        self.key_frame_every = Some(frames.max(1));
        self
    }

    fn of(codec: Codec, layers: Vec<VideoLayerSpec>) -> Self {
        Self {
            source: fastrand::u32(..),
            codec,
            key_frame_every: None,
            layers: layers
                .into_iter()
                .map(|mut spec| {
                    spec.fps = spec.fps.clamp(1, 240);
                    LayerState {
                        spec,
                        frame: 0,
                        sequence: 0,
                        key_frame_wanted: true,
                        descriptors: Vp8Descriptors::random(),
                    }
                })
                .collect(),
        }
    }

    fn next_layer(&self) -> Option<usize> {
        (0..self.layers.len()).min_by_key(|index| self.layers[*index].due())
    }
}

impl MediaSource for SyntheticVideo {
    fn codec(&self) -> Codec {
        self.codec
    }

    fn layers(&self) -> Vec<Layer> {
        self.layers
            .iter()
            .map(|layer| Layer {
                rid: layer.spec.rid,
                width: layer.spec.width,
                height: layer.spec.height,
                bitrate: (layer.spec.frame_bytes as u32).saturating_mul(8 * layer.spec.fps),
            })
            .collect()
    }

    fn next_due(&self) -> Option<Duration> {
        self.next_layer().map(|index| self.layers[index].due())
    }

    fn produce(&mut self, sent_at: u64) -> Option<Frame> {
        let index = self.next_layer()?;
        let (source, codec) = (self.source, self.codec);
        let scheduled =
            self.key_frame_every.is_some_and(|every| self.layers[index].frame.is_multiple_of(every));
        let layer = &mut self.layers[index];
        let key = std::mem::take(&mut layer.key_frame_wanted) || scheduled;
        let bytes = if key { layer.spec.key_frame_bytes } else { layer.spec.frame_bytes };
        layer.descriptors.advance();
        // Room for the longest descriptor and header that `start_packet` writes.
        let sizes = even_sizes(bytes.max(1), MAX_PAYLOAD - 40);
        let count = sizes.len() as u16;
        let mut payloads = Vec::with_capacity(sizes.len());
        for (at, size) in (0..count).zip(sizes) {
            let mut packet = Vec::with_capacity(size + 40);
            start_packet(codec, layer, key, at == 0, at + 1 == count, &mut packet);
            let stamp = Stamp {
                source,
                layer: index as u8,
                key,
                index: at,
                count,
                filler: size.saturating_sub(stamp::LEN) as u16,
                frame: layer.frame,
                sequence: layer.sequence,
                sent_at,
            };
            layer.sequence += 1;
            stamp.append(&mut packet);
            payloads.push(Payload { bytes: packet, marker: at + 1 == count });
        }
        let media_time = u64::from(layer.frame) * 90_000 / u64::from(layer.spec.fps);
        layer.frame = layer.frame.wrapping_add(1);
        Some(Frame { layer: index, media_time, payloads, audio_level: None })
    }

    fn request_key_frame(&mut self, layer: usize) {
        if let Some(layer) = self.layers.get_mut(layer) {
            layer.key_frame_wanted = true;
        }
    }
}

/// What stands in front of the stamp, so that servers see frames where frames are.
fn start_packet(codec: Codec, layer: &LayerState, key: bool, first: bool, last: bool, packet: &mut Vec<u8>) {
    match codec {
        Codec::Opus => packet.push(OPUS_TOC),
        Codec::Vp8 => {
            layer.descriptors.write(first, packet);
            if first {
                vp8::frame_header(key, layer.spec.width, layer.spec.height, packet);
            }
        }
        Codec::Vp9 => {
            // I, P, B, E of RFC 9628 section 4.2, then a 15-bit picture id; no layers.
            let flag = |bit: u8, on: bool| if on { bit } else { 0 };
            packet.push(0x80 | flag(0x40, !key) | flag(0x08, first) | flag(0x04, last));
            packet.extend((0x8000 | (layer.frame & 0x7FFF) as u16).to_be_bytes());
        }
        Codec::H264 if key && first => {
            // Parameter sets of a constrained baseline stream, then filler that holds the stamp.
            let sps = [0x60 | h264::SPS, 0x42, 0xE0, 0x1F, 0xDA, 0x01, 0x40, 0x16, 0xE4];
            let pps = [0x60 | h264::PPS, 0xCE, 0x3C, 0x80];
            packet.push(0x60 | h264::STAP_A);
            for unit in [&sps[..], &pps[..]] {
                packet.extend((unit.len() as u16).to_be_bytes());
                packet.extend_from_slice(unit);
            }
            let filler =
                1 + even_sizes(layer.spec.key_frame_bytes.max(1), MAX_PAYLOAD - 40)[0].max(stamp::LEN);
            packet.extend((filler as u16).to_be_bytes());
            packet.push(h264::FILLER);
        }
        // One slice a packet; the first has `first_mb_in_slice` 0.
        Codec::H264 => packet.extend([
            if key { 0x60 | h264::IDR } else { 0x40 | h264::SLICE },
            if first { 0x88 } else { 0x40 },
        ]),
        Codec::Av1 => packet.push(0x10 | if key && first { 0x08 } else { 0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::seal::Inverting;
    use super::super::starts_key_frame;
    use super::*;

    #[test]
    fn every_packet_carries_a_stamp_and_is_small_enough() {
        for codec in [Codec::Vp8, Codec::H264, Codec::Vp9] {
            let mut video = SyntheticVideo::of(codec, VideoLayerSpec::simulcast());
            let mut next = [0_u64; 3];
            for _ in 0..100 {
                let frame = video.produce(5).unwrap();
                for (at, payload) in frame.payloads.iter().enumerate() {
                    assert!(payload.bytes.len() <= MAX_PAYLOAD);
                    let stamp = Stamp::read(&payload.bytes).unwrap().unwrap();
                    assert_eq!((usize::from(stamp.layer), usize::from(stamp.index)), (frame.layer, at));
                    assert_eq!(stamp.sequence, next[frame.layer]);
                    assert_eq!(stamp.ends_frame(), payload.marker);
                    assert_eq!(
                        stamp.starts_key_frame(),
                        starts_key_frame(codec, &payload.bytes),
                        "{codec:?}"
                    );
                    next[frame.layer] += 1;
                }
            }
        }
    }

    #[test]
    fn layers_run_at_their_own_rates() {
        let mut video = SyntheticVideo::vp8(VideoLayerSpec::simulcast());
        let mut frames = [0; 3];
        while video.next_due().unwrap() < Duration::from_secs(2) {
            frames[video.produce(0).unwrap().layer] += 1;
        }
        assert_eq!(frames, [30, 40, 60]);
    }

    #[test]
    fn a_requested_key_frame_is_the_next_frame_of_that_layer_only() {
        let mut video = SyntheticVideo::vp8(VideoLayerSpec::simulcast());
        let keys = |video: &mut SyntheticVideo, count: usize| {
            let mut keys = [0; 3];
            for _ in 0..count {
                let frame = video.produce(0).unwrap();
                if starts_key_frame(Codec::Vp8, &frame.payloads[0].bytes) {
                    keys[frame.layer] += 1;
                }
            }
            keys
        };
        assert_eq!(keys(&mut video, 50), [1, 1, 1]);
        video.request_key_frame(1);
        assert_eq!(keys(&mut video, 50), [0, 1, 0]);
    }

    #[test]
    fn the_audio_level_follows_its_handle() {
        let mut audio = SyntheticAudio::new(80);
        let level = audio.level();
        level.set(-12);
        let frame = audio.produce(0).unwrap();
        assert_eq!((frame.audio_level, frame.payloads[0].bytes.len()), (Some(-12), 80));
        assert_eq!(audio.next_due(), Some(Duration::from_millis(20)));
    }

    #[test]
    fn pauses_cost_little_and_sound_goes_on_at_its_time() {
        let mut audio = SyntheticAudio::new(80).with_pauses();
        let level = audio.level();
        level.set(-127);
        let sent: Vec<u64> = (0..50).filter_map(|_| audio.produce(0)).map(|frame| frame.media_time).collect();
        assert_eq!(sent, [0, 19_200, 38_400]);
        level.set(-12);
        assert_eq!(audio.produce(0).map(|frame| frame.media_time), Some(48_000));
    }

    #[test]
    fn sealed_sound_fits_into_a_packet_and_what_is_withheld_is_missed() {
        let mut audio = SyntheticAudio::new(MAX_PAYLOAD).sealed(Inverting::boxed());
        assert!(audio.is_sealed());
        let frames: Vec<Option<Frame>> = (0..4).map(|_| audio.produce(0)).collect();
        let first = frames[0].as_ref().unwrap();
        assert_eq!(first.payloads[0].bytes[0], !OPUS_TOC);
        assert_eq!(first.payloads[0].bytes.len(), MAX_PAYLOAD - SEAL_BYTES);
        assert_eq!(frames[2], None);
        assert_eq!(frames[3].as_ref().map(|frame| frame.media_time), Some(3 * AUDIO_SAMPLES));
    }
}
