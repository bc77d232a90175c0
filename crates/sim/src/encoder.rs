//! How many bytes the frames of real encoders have: rates of layers as browsers choose them, key frames
//! several times as large as others and paid for afterwards, slides that change now and then, sound that
//! falls silent. Without it (see [`crate::publication::Recipe`]) publications are small and cheap to simulate.

use std::time::Duration;

use fastrand::Rng;

/// Payload bytes of a full video packet: browsers' datagrams have up to 1214 bytes (measured).
pub const FULL_PACKET: usize = 1140;
/// Key frames have this many times the bytes of an ordinary frame.
const KEYFRAME: (f64, f64) = (5.0, 8.0);
/// An encoder repays what it sent too much with at most this share of each following frame.
const REPAYMENT: f64 = 0.3;
/// Sound: 32 kbit/s in packets of 20 ms, and a packet of comfort noise each 400 ms (RFC 7587 §3.1.3).
const VOICE_BYTES: usize = 80;
const NOISE_BYTES: usize = 60;
const NOISE_INTERVAL: Duration = Duration::from_millis(400);
/// A picture that does not change is repeated each second.
const STILL_INTERVAL: Duration = Duration::from_secs(1);
/// How long a document is scrolled, and how often.
const SCROLLED: Duration = Duration::from_secs(5);
const SCROLL_INTERVAL: Duration = Duration::from_secs(15);

/// What is in front of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// A head that moves and talks.
    Camera,
    /// Slides: still for seconds, then another one, sometimes scrolled.
    Slides,
    /// A document that is scrolled for 5 s, then stands still for 10, of which nothing is sent.
    Pages,
    /// Speech with pauses in which nearly nothing is sent.
    Voice,
}

/// What one layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Bit/s that the encoder aims at when nothing limits it.
    pub bitrate: u64,
    /// Below this it is not worth sending.
    pub least: u64,
}

/// A camera's simulcast layers at 720p, lowest first, about as livekit-client and libwebrtc configure them.
pub const CAMERA: [Encoding; 3] = [
    Encoding { width: 320, height: 180, bitrate: 150_000, least: 30_000 },
    Encoding { width: 640, height: 360, bitrate: 500_000, least: 150_000 },
    Encoding { width: 1280, height: 720, bitrate: 1_700_000, least: 600_000 },
];

/// What a camera's scalable stream costs with each of its spatial layers and those below: an encoder needs less for a
/// layer that is predicted from another.
pub const SCALABLE: [Encoding; 3] = [
    Encoding { width: 320, height: 180, bitrate: 150_000, least: 30_000 },
    Encoding { width: 640, height: 360, bitrate: 450_000, least: 150_000 },
    Encoding { width: 1280, height: 720, bitrate: 1_500_000, least: 600_000 },
];

/// A shared screen's single layer.
pub const SLIDES: Encoding = Encoding { width: 1920, height: 1080, bitrate: 1_500_000, least: 100_000 };

/// A microphone.
pub const VOICE: Encoding = Encoding { width: 0, height: 0, bitrate: 32_000, least: 6_000 };

impl Scene {
    /// The layers of a track of this scene, lowest first.
    pub fn encodings(self, simulcast: bool) -> &'static [Encoding] {
        match self {
            Self::Camera if simulcast => &CAMERA,
            Self::Camera => &CAMERA[2..],
            Self::Slides | Self::Pages => std::slice::from_ref(&SLIDES),
            Self::Voice => std::slice::from_ref(&VOICE),
        }
    }

    /// Time between two captures.
    pub fn interval(self) -> Duration {
        match self {
            Self::Camera => Duration::from_micros(33_333),
            Self::Slides | Self::Pages => Duration::from_micros(66_667),
            Self::Voice => Duration::from_millis(20),
        }
    }
}

/// The state of one layer's encoder.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    scene: Scene,
    /// Bit/s it aims at now.
    pub target: u64,
    /// Bytes sent beyond the target.
    debt: f64,
    /// How much happens in front of it, around 1.
    activity: f64,
    /// Slides: until when they move, and until when they then stay.
    moves_until: Duration,
    stays_until: Duration,
    last_sent: Option<Duration>,
}

impl Encoder {
    /// An encoder for one layer.
    pub fn new(scene: Scene, encoding: &Encoding) -> Self {
        Self {
            scene,
            target: encoding.bitrate,
            debt: 0.0,
            activity: 1.0,
            moves_until: Duration::ZERO,
            stays_until: Duration::ZERO,
            last_sent: None,
        }
    }

    /// Bytes of the frame captured at a time; `None` if nothing is sent of it. `active`: somebody speaks.
    pub fn frame(&mut self, at: Duration, key: bool, active: bool, rng: &mut Rng) -> Option<usize> {
        let bytes = match self.scene {
            Scene::Voice if active => Some(VOICE_BYTES + rng.usize(..12)),
            Scene::Voice => self.is_due(at, NOISE_INTERVAL).then_some(NOISE_BYTES),
            Scene::Camera => Some(self.moving(key, 0.25, rng)),
            Scene::Slides => self.slide(at, key, rng),
            Scene::Pages => self.page(at, key, rng),
        };
        if bytes.is_some() {
            self.last_sent = Some(at);
        }
        bytes
    }

    fn is_due(&self, at: Duration, interval: Duration) -> bool {
        self.last_sent.is_none_or(|last| at.saturating_sub(last) >= interval)
    }

    /// A frame of something that moves all the time, whose size varies by this share.
    fn moving(&mut self, key: bool, varies: f64, rng: &mut Rng) -> usize {
        let mean = self.target as f64 * self.scene.interval().as_secs_f64() / 8.0;
        // Activity wanders and returns to the mean.
        self.activity += 0.05 * (1.0 - self.activity) + 0.06 * (rng.f64() - 0.5);
        let wanted = if key {
            mean * (KEYFRAME.0 + (KEYFRAME.1 - KEYFRAME.0) * rng.f64())
        } else {
            mean * self.activity * (1.0 - varies + 2.0 * varies * rng.f64())
        };
        let repaid = if key { 0.0 } else { self.debt.clamp(-mean, wanted * REPAYMENT) };
        let bytes = wanted - repaid;
        self.debt += bytes - mean;
        bytes.max(80.0) as usize
    }

    fn page(&mut self, at: Duration, key: bool, rng: &mut Rng) -> Option<usize> {
        if key {
            return Some(self.sharp(rng));
        }
        let scrolled = Duration::from_millis((at.as_millis() % SCROLL_INTERVAL.as_millis()) as u64);
        (scrolled < SCROLLED).then(|| self.moving(false, 0.5, rng))
    }

    /// A key frame full of text.
    fn sharp(&self, rng: &mut Rng) -> usize {
        rng.usize(40_000..90_000).min(self.target as usize / 8)
    }

    fn slide(&mut self, at: Duration, key: bool, rng: &mut Rng) -> Option<usize> {
        if key {
            return Some(self.sharp(rng));
        }
        if self.stays_until <= at {
            self.moves_until = at + Duration::from_millis(rng.u64(100..3_000));
            self.stays_until = self.moves_until + Duration::from_millis(rng.u64(2_000..9_000));
            return Some(rng.usize(20_000..60_000).min(self.target as usize / 16));
        }
        if at < self.moves_until {
            return Some(self.moving(false, 0.5, rng));
        }
        self.debt = 0.0; // what is still has all the time to be sharpened
        self.is_due(at, STILL_INTERVAL).then(|| rng.usize(200..1_200))
    }
}

/// Cuts a frame into payloads of equal length, as browsers do (measured: packets of one frame differ by at
/// most one byte).
pub fn packets(bytes: usize) -> (u16, usize) {
    let count = bytes.div_ceil(FULL_PACKET).max(1);
    (count as u16, bytes.div_ceil(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_keeps_its_rate_although_key_frames_are_large() {
        let mut rng = Rng::with_seed(1);
        for encoding in &CAMERA {
            let mut encoder = Encoder::new(Scene::Camera, encoding);
            let frames: Vec<usize> = (0..30 * 60)
                .filter_map(|frame| {
                    encoder.frame(Scene::Camera.interval() * frame, frame % 150 == 0, true, &mut rng)
                })
                .collect();
            let rate = frames.iter().sum::<usize>() as f64 * 8.0 / 60.0;
            let ratio = rate / encoding.bitrate as f64;
            assert!((0.95..1.05).contains(&ratio), "{ratio}");
            let mean = rate / 8.0 / 30.0;
            let largest = frames.iter().copied().max().unwrap_or_default() as f64;
            assert!((5.0..9.0).contains(&(largest / mean)), "{}", largest / mean);
        }
    }

    #[test]
    fn slides_pause_and_silence_is_nearly_nothing() {
        let mut rng = Rng::with_seed(2);
        let mut slides = Encoder::new(Scene::Slides, &SLIDES);
        let sent: Vec<Duration> = (1..15 * 60)
            .map(|frame| Scene::Slides.interval() * frame)
            .filter(|at| slides.frame(*at, false, false, &mut rng).is_some())
            .collect();
        let pauses = sent.windows(2).filter(|pair| pair[1] - pair[0] > Duration::from_millis(900)).count();
        assert!((15..50).contains(&pauses), "{pauses}");
        let mut voice = Encoder::new(Scene::Voice, &VOICE);
        let silent = (0..500)
            .filter_map(|packet| voice.frame(Scene::Voice.interval() * packet, false, false, &mut rng))
            .count();
        assert_eq!(silent, 25);
    }

    #[test]
    fn packets_of_a_frame_are_alike_and_never_too_long() {
        for bytes in [1, 1140, 1141, 5000, 90_000] {
            let (count, length) = packets(bytes);
            assert!(length <= FULL_PACKET && usize::from(count) * length >= bytes, "{count} × {length}");
            assert!(usize::from(count) * length < bytes + usize::from(count));
        }
    }
}
