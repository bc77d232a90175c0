//! What a subscriber may claim of its line: any feedback, at any time, about packets that were sent or were not. The
//! estimate stays in its bounds, what is remembered is bounded, what can leave leaves, and time goes on.
//!
//! The input is a list of steps of [`STEP`] bytes: what happens, milliseconds that pass before it, and three numbers.
#![no_main]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use sfu::bandwidth::estimator::{Estimator, Settings};
use sfu::bandwidth::pacer::{Class, Pacer};

/// Bytes of one step.
const STEP: usize = 8;

/// Steps of one input: enough for a cut and what follows, few enough for many inputs per second.
const MAX_STEPS: usize = 256;

/// Packets that leave in one turn: more than any probe or key frame, and an endless loop is found.
const MAX_LEAVING: usize = 10_000;

/// The pacer's own bound on what waits, for each of its three queues.
const MAX_WAITING: usize = 3 * 4096;

/// The zero of time, the same for all inputs: differences alone count.
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

struct Line {
    now: Instant,
    settings: Settings,
    estimator: Estimator,
    pacer: Pacer<u32>,
}

fuzz_target!(|data: &[u8]| {
    let settings = Settings::default();
    let mut line =
        Line { now: start(), settings, estimator: Estimator::new(start(), &settings), pacer: Pacer::new() };
    let (steps, _) = data.as_chunks::<STEP>();
    for step in steps.iter().take(MAX_STEPS) {
        line.step(*step);
        line.leave();
        line.check();
    }
});

impl Line {
    fn step(&mut self, [what, millis, a, b, c, d, e, f]: [u8; STEP]) {
        self.now += Duration::from_millis(u64::from(millis));
        let small = u16::from_be_bytes([a, b]);
        let delta = i16::from_be_bytes([c, d]);
        let number = u32::from_be_bytes([a, b, c, d]);
        match what % 8 {
            // Packets want to leave: `e` of them.
            0 | 1 => {
                let class = match f % 3 {
                    0 => Class::Audio,
                    1 => Class::Retransmission,
                    _ => Class::Video,
                };
                for _ in 0..e {
                    let bytes = u32::from(small % 1500);
                    self.pacer.push(self.now, class, bytes, bytes);
                }
            }
            // Feedback about the newest `e` packets, those whose bit in `f` is set; deltas as the step says.
            2 => {
                let first = self.estimator.next_sequence().wrapping_sub(u16::from(e));
                let arrivals = (0..u16::from(e)).map(|index| {
                    let received = f & (1 << (index % 8)) != 0;
                    (first.wrapping_add(index), received.then_some(delta))
                });
                let reference = i32::from(small);
                let _ = self.estimator.feedback(self.now, reference, arrivals);
            }
            // The same as an honest receiver would write it: reference time by our clock, small deltas.
            3 => {
                let first = self.estimator.next_sequence().wrapping_sub(u16::from(e));
                let elapsed = self.now.saturating_duration_since(start()).as_millis() / 64;
                let arrivals = (0..u16::from(e)).map(|index| {
                    let received = f & (1 << (index % 8)) != 0;
                    (first.wrapping_add(index), received.then_some(i16::from(c)))
                });
                let _ = self.estimator.feedback(self.now, elapsed as i32, arrivals);
            }
            // Feedback about anything, many packets at once.
            4 => {
                let reference = (i32::from_be_bytes([c, d, e, f]) << 8) >> 8;
                let arrivals = (0..1000).map(|index: u16| (small.wrapping_add(index), Some(delta)));
                let _ = self.estimator.feedback(self.now, reference, arrivals);
            }
            5 => {
                let rtt = (f & 1 == 1).then(|| Duration::from_millis(number.into()));
                self.estimator.receiver_report(self.now, e, rtt);
            }
            6 => self.estimator.remb(self.now, u64::from(number) << (e % 64)),
            _ => match f % 4 {
                0 => self.estimator.set_demand(u64::from(number) << (e % 64)),
                1 => self.estimator.network_changed(self.now),
                2 => self.estimator.sent_untracked(self.now, u32::from(small)),
                _ => self.now += Duration::from_millis(u64::from(small)),
            },
        }
    }

    /// What a worker does with a subscriber once in a turn.
    fn leave(&mut self) {
        self.estimator.handle_timeout(self.now);
        self.pacer.set_estimate(self.estimator.estimate());
        self.pacer.set_cut(self.estimator.is_cut(self.now));
        if self.pacer.cluster().is_none()
            && let Some(probe) = self.estimator.poll_probe(self.now)
        {
            assert!(probe.rate <= 2 * self.settings.max, "a probe beyond the largest line: {probe:?}");
            self.pacer.start_probe(probe);
        }
        let mut left = 0;
        loop {
            let cluster = self.pacer.cluster();
            let bytes = if let Some(packet) = self.pacer.poll(self.now) {
                packet
            } else if let Some(bytes) = self.pacer.padding(self.now) {
                bytes
            } else {
                break;
            };
            self.estimator.sent(self.now, bytes, cluster);
            self.pacer.sent(self.now, bytes);
            left += 1;
            assert!(left <= MAX_LEAVING, "packets leave without end");
        }
        if self.estimator.poll_sounding(self.now) {
            self.estimator.sent(self.now, 40, None);
            assert!(!self.estimator.poll_sounding(self.now), "one packet is enough");
        }
    }

    fn check(&mut self) {
        let estimate = self.estimator.estimate();
        assert!((self.settings.min..=self.settings.max).contains(&estimate), "{estimate}");
        assert!((0.0..=1.0).contains(&self.estimator.loss()), "{}", self.estimator.loss());
        assert!(self.pacer.len() <= MAX_WAITING, "{}", self.pacer.len());
        self.estimator.take_changed();
        // What may leave now has left, so the pacer has nothing more to do at this moment.
        let next = self.pacer.next_timeout(self.now);
        assert!(next.is_none_or(|next| next > self.now), "the pacer wakes without end");
    }
}
