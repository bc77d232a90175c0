//! Plans of bandwidth: what the network of somebody who watches does over time, and what may be expected of the
//! core there. A plan and a seed make one meeting ([`crate::meeting`]); the seed varies who is there, what they
//! publish, how large it is shown, the queue, the delay, and when everything happens.

use std::time::Duration;

use fastrand::Rng;

use crate::codec::Codec;
use crate::competing::Competing;
use crate::network::{Bursts, Conditions, Step};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// See the module's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plan {
    /// 300 kbit/s.
    Steady300,
    /// 500 kbit/s.
    Steady500,
    /// 1 Mbit/s.
    Steady1000,
    /// 2 Mbit/s.
    Steady2000,
    /// 5 Mbit/s.
    Steady5000,
    /// From 4 to 1.5 to 0.5 Mbit/s.
    Down,
    /// From 0.5 to 1.5 to 4 Mbit/s.
    Up,
    /// 2 % loss at 2 Mbit/s.
    Loss2,
    /// 10 % loss.
    Loss10,
    /// 20 % loss.
    Loss20,
    /// Nothing lost but about eight packets in a row, 2 to 4 % of them all.
    LossBursts,
    /// 50 to 300 ms delay with a jitter of a tenth to a third of it.
    Delay,
    /// A line that is down for 5 s, and loses or holds what is sent to it.
    Outage,
    /// A download or a constant flow in the same queue for 20 s.
    Competing,
    /// Ten people with cameras behind one uplink and one downlink.
    Office,
    /// Everybody speaks, with redundancy (RED), over a line that loses 20 %.
    Speech20,
    /// Cameras whose lines lose 10 % on the way to the server, watched over one that loses another 10 %.
    Cameras10,
    /// Cameras with temporal and spatial layers over a line of 1.5 Mbit/s that has 0.7 Mbit/s for a while.
    Scalable,
}

/// What may be expected in a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Share of a steady link that is used 10 s after it became steady, if there is something to fill it with.
    pub utilisation: f64,
    /// Longest time without a picture of a camera that is not paused.
    pub gap: Duration,
    /// Changes of layer in a minute.
    pub changes: Changes,
    /// Share of sound that may be missing.
    pub audio_loss: f64,
    /// Longest time that a camera which has been seen may stand still, where nothing limits the line's rate.
    pub freeze: Option<Duration>,
    /// What may be missing of speech after repair, so that it stays intelligible.
    pub speech: Option<Speech>,
}

/// Bounds of changes of layer in a minute. The allocator's patience bounds those of one track; how many of them come close
/// to that is what people see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Changes {
    /// Of one track.
    pub each: f64,
    /// The mean over the cameras that somebody watches.
    pub mean: f64,
}

/// Bounds of what is missing of speech. Concealment hides single frames of 20 ms; a phoneme takes 50 to 100 ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speech {
    /// Share of frames.
    pub missing: f64,
    /// Frames in a row.
    pub run: u64,
}

/// What a seed made of a plan.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Conditions from the server to the one who is watched, in ascending order from 0.
    pub down: Vec<Step>,
    /// Other traffic in the same queue.
    pub competing: Option<(Competing, Duration, Duration)>,
    /// When the line is down and, for a second, what it held comes out.
    pub outage: Option<(Duration, Duration)>,
    /// How many people publish, beside the one who is watched.
    pub people: usize,
    /// One of them shares a screen.
    pub slides: bool,
    /// Everybody speaks all the time, and sends and reads redundant sound.
    pub speech: bool,
    /// Codecs of those who publish in turn, with every layer that these can have; none for VP8 without temporal layers.
    pub scalable: &'static [Codec],
    /// Share of packets that are lost between those who publish and the server.
    pub up_loss: f64,
    /// How long the meeting is.
    pub length: Duration,
    /// What may be expected.
    pub bounds: Bounds,
}

impl Plan {
    /// Every plan.
    pub const ALL: [Self; 18] = [
        Self::Steady300,
        Self::Steady500,
        Self::Steady1000,
        Self::Steady2000,
        Self::Steady5000,
        Self::Down,
        Self::Up,
        Self::Loss2,
        Self::Loss10,
        Self::Loss20,
        Self::LossBursts,
        Self::Delay,
        Self::Outage,
        Self::Competing,
        Self::Office,
        Self::Speech20,
        Self::Cameras10,
        Self::Scalable,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steady300 => "steady-300k",
            Self::Steady500 => "steady-500k",
            Self::Steady1000 => "steady-1m",
            Self::Steady2000 => "steady-2m",
            Self::Steady5000 => "steady-5m",
            Self::Down => "down",
            Self::Up => "up",
            Self::Loss2 => "loss-2",
            Self::Loss10 => "loss-10",
            Self::Loss20 => "loss-20",
            Self::LossBursts => "loss-bursts",
            Self::Delay => "delay",
            Self::Outage => "outage",
            Self::Competing => "competing",
            Self::Office => "office",
            Self::Speech20 => "speech-20",
            Self::Cameras10 => "cameras-10",
            Self::Scalable => "scalable",
        }
    }

    /// The plan of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plan| plan.name() == name)
    }

    /// What this plan is with the randomness of a seed.
    pub fn setting(self, rng: &mut Rng) -> Setting {
        let good = Conditions {
            delay: MS * rng.u32(5..40),
            jitter: MS * rng.u32(0..5),
            queue: MS * rng.u32(300..800),
            ..Conditions::default()
        };
        let at = |rate: u64| Conditions { rate: Some(rate), ..good };
        let mut setting = Setting {
            down: vec![(Duration::ZERO, good)],
            competing: None,
            outage: None,
            people: rng.usize(2..5),
            slides: rng.u8(..4) == 0,
            speech: false,
            scalable: &[],
            up_loss: 0.0,
            length: SECOND * 40,
            bounds: Bounds {
                utilisation: 0.8,
                gap: MS * 2000,
                changes: Changes { each: 16.0, mean: 12.0 },
                audio_loss: 0.03,
                freeze: None,
                speech: None,
            },
        };
        let steady = |rate: u64| vec![(Duration::ZERO, at(rate))];
        match self {
            Self::Steady300 => setting.down = steady(300_000),
            Self::Steady500 => setting.down = steady(500_000),
            Self::Steady1000 => setting.down = steady(1_000_000),
            Self::Steady2000 => setting.down = steady(2_000_000),
            Self::Steady5000 => setting.down = steady(5_000_000),
            Self::Down => setting.steps(rng, good, [4_000_000, 1_500_000, 500_000]),
            Self::Up => setting.steps(rng, good, [500_000, 1_500_000, 4_000_000]),
            Self::Loss2 => setting.lossy(at(2_000_000), 0.02, 0.8, MS * 1500),
            Self::Loss10 => setting.lossy(at(2_000_000), 0.1, 0.7, MS * 2500),
            Self::Loss20 => setting.lossy(at(2_000_000), 0.2, 0.6, MS * 4000),
            Self::LossBursts => {
                let bursts = Bursts { every: 200.0 + 200.0 * rng.f64(), length: 8.0 };
                setting.lossy(at(2_000_000), bursts.loss(), 0.7, MS * 2500);
                setting.down[0].1 = Conditions { bursts: Some(bursts), ..at(2_000_000) };
            }
            Self::Delay => {
                let delay = MS * rng.u32(50..300);
                let jitter = delay / rng.u32(3..10);
                setting.down = vec![(Duration::ZERO, Conditions { delay, jitter, ..at(2_000_000) })];
                setting.bounds.gap = MS * 2500;
            }
            Self::Outage => setting.outage(rng, at(2_000_000)),
            Self::Competing => setting.compete(rng, at(3_000_000)),
            Self::Office => {
                setting.people = 10;
                setting.length = SECOND * 30;
                setting.bounds.gap = MS * 2500;
                setting.bounds.changes = Changes { each: 36.0, mean: 24.0 }; // ten estimates compete for one line
            }
            Self::Speech20 => {
                setting.lossy(good, 0.2, 0.0, MS * 4000);
                setting.speech = true;
                // One copy in the next packet: missing is what is lost twice in a row, 4 %.
                setting.bounds.speech = Some(Speech { missing: 0.05, run: 10 });
            }
            Self::Cameras10 => {
                setting.lossy(good, 0.1, 0.0, MS * 2500);
                setting.up_loss = 0.1;
                setting.bounds.audio_loss += setting.up_loss * 1.2;
                setting.bounds.freeze = Some(SECOND);
            }
            Self::Scalable => {
                setting.steps(rng, good, [1_500_000, 700_000, 1_500_000]);
                setting.scalable = &[Codec::Vp8, Codec::Vp9, Codec::Av1];
                (setting.people, setting.slides) = (3, false);
                // Three layers of 0.48 Mbit/s fill the line to the brim: when it overflows two fall together and come back one
                // after the other.
                setting.bounds.utilisation = 0.6;
            }
        }
        setting
    }
}

impl Setting {
    fn steps(&mut self, rng: &mut Rng, good: Conditions, rates: [u64; 3]) {
        let mut from = Duration::ZERO;
        self.down.clear();
        for rate in rates {
            self.down.push((from, Conditions { rate: Some(rate), ..good }));
            from += MS * rng.u32(17_000..21_000);
        }
        self.length = SECOND * 60;
        self.bounds.gap = MS * 2500;
    }

    fn lossy(&mut self, conditions: Conditions, loss: f64, utilisation: f64, gap: Duration) {
        self.down = vec![(Duration::ZERO, Conditions { loss, ..conditions })];
        self.bounds =
            Bounds { utilisation, gap, audio_loss: self.bounds.audio_loss + loss * 1.2, ..self.bounds };
    }

    fn outage(&mut self, rng: &mut Rng, conditions: Conditions) {
        let from = MS * rng.u32(18_000..22_000);
        let until = from + SECOND * 5;
        let down = if rng.bool() {
            Conditions { loss: 1.0, ..conditions }
        } else {
            Conditions { rate: Some(0), ..conditions }
        };
        self.down = vec![(Duration::ZERO, conditions), (from, down), (until, conditions)];
        self.outage = Some((from, until + SECOND));
        self.length = SECOND * 45;
        self.bounds.gap = SECOND * 8;
        // Sound of the outage is gone.
        self.bounds.audio_loss += 6.0 / 40.0;
    }

    fn compete(&mut self, rng: &mut Rng, conditions: Conditions) {
        let from = MS * rng.u32(15_000..18_000);
        let until = from + SECOND * 20;
        let competing = if rng.bool() {
            Competing::greedy(MS * rng.u32(20..80), from, until)
        } else {
            Competing::constant(rng.u64(500_000..2_200_000), from, until)
        };
        self.down = vec![(Duration::ZERO, conditions)];
        self.competing = Some((competing, from, until));
        self.length = SECOND * 55;
        self.bounds.gap = MS * 4000;
        self.bounds.audio_loss = 0.1;
    }
}
