//! Congestion by delay: whether packets arrive more and more late after they were sent
//! (draft-ietf-rmcat-gcc-02 §5; the arrival filter is a trendline, as in libwebrtc since 2016, in place of the draft's
//! Kalman filter).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets sent within this time form a group (§5.2): the pacer sends bursts of this length, and delays within a burst
/// say more about the sender than about the network.
const GROUP: Duration = Duration::from_millis(5);

/// A group stops growing by arrivals that follow each other within [`GROUP`] once it is this long, in microseconds:
/// where everything arrives back to back, deltas are still wanted.
const MAX_ARRIVAL_BURST: i64 = 100_000;

/// Share of the accumulated delay kept from before when a new delta comes: more is smoother and later.
const SMOOTHING: f64 = 0.9;

/// Deltas that the line is laid through: at 30 pictures/s in two bursts each a third of a second. More sees smaller
/// slopes, later.
const WINDOW: usize = 20;

/// Deltas up to which more of them count as more certainty.
const CERTAIN_DELTAS: u32 = 60;

/// What the slope is multiplied with, so that it compares with a threshold in milliseconds. Larger is more sensitive.
const GAIN: f64 = 4.0;

/// The threshold at first and its bounds, in milliseconds (§5.4: 12.5, 6 to 600). Lower reacts to jitter, higher to
/// nothing but long queues.
const FIRST_THRESHOLD: f64 = 12.5;
const MIN_THRESHOLD: f64 = 6.0;
const MAX_THRESHOLD: f64 = 600.0;

/// How quickly the threshold follows what lies above and below it, per millisecond: libwebrtc's values, whose
/// `TrendlineEstimator` measures the slope as here (§5.4 has 0.01 and 0.00018 for its filter). The threshold rises under a
/// competing flow that fills the queue, and would starve us otherwise.
const FOLLOW_UP: f64 = 0.0087;
const FOLLOW_DOWN: f64 = 0.039;

/// What exceeds the threshold by more than this, in milliseconds, is a spike and does not move it.
const SPIKE: f64 = 15.0;

/// Excess must last this long, in milliseconds, before it is overuse (§5.4).
const LASTING: f64 = 10.0;

/// Deltas between a send interval and an arrival interval beyond this, in microseconds, are no network but a clock that
/// jumped or a peer that lies: what was measured before is worthless.
const ABSURD: u64 = 3_000_000;

/// The line's use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    /// Delay neither grows nor falls.
    #[default]
    Normal,
    /// A queue builds.
    Over,
    /// A queue drains.
    Under,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: Instant,
    last_sent: Instant,
    first_arrival: i64,
    last_arrival: i64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Milliseconds of the group's arrival since the detector began.
    at: f64,
    /// Smoothed accumulated delay in milliseconds.
    delay: f64,
}

/// See the module's description.
#[derive(Debug)]
pub struct DelayDetector {
    current: Option<Group>,
    previous: Option<Group>,
    origin: i64,
    accumulated: f64,
    smoothed: f64,
    samples: VecDeque<Sample>,
    deltas: u32,
    threshold: f64,
    over_for: Option<f64>,
    over_count: u32,
    last_trend: f64,
    usage: Usage,
}

impl DelayDetector {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self {
            current: None,
            previous: None,
            origin: 0,
            accumulated: 0.0,
            smoothed: 0.0,
            samples: VecDeque::with_capacity(WINDOW + 1),
            deltas: 0,
            threshold: FIRST_THRESHOLD,
            over_for: None,
            over_count: 0,
            last_trend: 0.0,
            usage: Usage::Normal,
        }
    }

    /// What the packets so far say.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Forgets everything but the threshold: after a gap, slopes across it say nothing.
    pub fn reset(&mut self) {
        *self = Self { threshold: self.threshold, ..Self::new() };
    }

    /// A packet sent at `sent` arrived at `arrival`, in microseconds of the receiver's clock. In the order of arrival.
    pub fn packet(&mut self, sent: Instant, arrival: i64) {
        let Some(group) = &mut self.current else {
            self.start(sent, arrival);
            return;
        };
        if sent < group.first_sent {
            return; // overtaken by a later group
        }
        if belongs(group, sent, arrival) {
            group.last_sent = group.last_sent.max(sent);
            group.last_arrival = group.last_arrival.max(arrival);
            return;
        }
        let complete = *group;
        if let Some(previous) = self.previous {
            self.compare(previous, complete);
        }
        self.previous = Some(complete);
        self.current =
            Some(Group { first_sent: sent, last_sent: sent, first_arrival: arrival, last_arrival: arrival });
    }

    fn start(&mut self, sent: Instant, arrival: i64) {
        self.origin = arrival;
        self.current =
            Some(Group { first_sent: sent, last_sent: sent, first_arrival: arrival, last_arrival: arrival });
    }

    /// The change of delay between two groups.
    fn compare(&mut self, previous: Group, group: Group) {
        let sent = group.last_sent.saturating_duration_since(previous.last_sent).as_micros() as i64;
        let arrived = group.last_arrival.saturating_sub(previous.last_arrival);
        if arrived.saturating_sub(sent).unsigned_abs() > ABSURD || arrived < 0 {
            return self.reset();
        }
        self.deltas = self.deltas.saturating_add(1);
        self.accumulated += (arrived - sent) as f64 / 1000.0;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        let at = group.last_arrival.saturating_sub(self.origin) as f64 / 1000.0;
        self.samples.push_back(Sample { at, delay: self.smoothed });
        if self.samples.len() > WINDOW {
            self.samples.pop_front();
        }
        let trend = if self.samples.len() == WINDOW { self.slope() } else { None };
        self.judge(trend.unwrap_or(self.last_trend), sent as f64 / 1000.0, arrived as f64 / 1000.0);
    }

    /// Slope of the least-squares line through the samples: milliseconds of delay per millisecond.
    fn slope(&self) -> Option<f64> {
        let count = self.samples.len() as f64;
        let mean_at = self.samples.iter().map(|sample| sample.at).sum::<f64>() / count;
        let mean_delay = self.samples.iter().map(|sample| sample.delay).sum::<f64>() / count;
        let (mut above, mut below) = (0.0, 0.0);
        for sample in &self.samples {
            above += (sample.at - mean_at) * (sample.delay - mean_delay);
            below += (sample.at - mean_at).powi(2);
        }
        (below > 0.0).then(|| above / below)
    }

    fn judge(&mut self, trend: f64, sent: f64, arrived: f64) {
        let compared = f64::from(self.deltas.min(CERTAIN_DELTAS)) * trend * GAIN;
        if compared > self.threshold {
            // The first excess began somewhere within the interval.
            let lasted = self.over_for.map_or(sent / 2.0, |lasted| lasted + sent);
            self.over_for = Some(lasted);
            self.over_count += 1;
            if lasted > LASTING && self.over_count > 1 && trend >= self.last_trend {
                self.over_for = Some(0.0);
                self.over_count = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_for = None;
            self.over_count = 0;
            self.usage = if compared < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.last_trend = trend;
        self.adapt(compared, arrived);
    }

    fn adapt(&mut self, compared: f64, passed: f64) {
        if compared.abs() > self.threshold + SPIKE {
            return;
        }
        let follow = if compared.abs() < self.threshold { FOLLOW_DOWN } else { FOLLOW_UP };
        self.threshold += follow * (compared.abs() - self.threshold) * passed.min(100.0);
        self.threshold = self.threshold.clamp(MIN_THRESHOLD, MAX_THRESHOLD);
    }
}

impl Default for DelayDetector {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a packet belongs to the group: it was sent with it, or the network delivered it in the same burst.
fn belongs(group: &Group, sent: Instant, arrival: i64) -> bool {
    if sent.saturating_duration_since(group.first_sent) <= GROUP {
        return true;
    }
    let sent_after = sent.saturating_duration_since(group.last_sent).as_micros() as i64;
    let arrived_after = arrival.saturating_sub(group.last_arrival);
    arrived_after < sent_after
        && arrived_after <= GROUP.as_micros() as i64
        && arrival.saturating_sub(group.first_arrival) < MAX_ARRIVAL_BURST
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sends a packet every 10 ms for a while; `delay` gives each packet's delay in microseconds.
    fn run(
        detector: &mut DelayDetector,
        packets: std::ops::Range<u32>,
        delay: impl Fn(u32) -> i64,
    ) -> Vec<Usage> {
        packets
            .map(|index| {
                let sent = crate::test_start() + Duration::from_millis(10) * index;
                detector.packet(sent, i64::from(index) * 10_000 + delay(index));
                detector.usage()
            })
            .collect()
    }

    #[test]
    fn a_growing_queue_is_overuse_and_a_draining_one_is_not() {
        let mut detector = DelayDetector::new();
        let steady = run(&mut detector, 0..100, |_| 30_000);
        assert!(steady.iter().all(|usage| *usage == Usage::Normal));
        // A tenth too much is sent: each packet waits 1 ms longer.
        let growing = run(&mut detector, 100..200, |index| 30_000 + i64::from(index - 100) * 1000);
        let first = growing.iter().position(|usage| *usage == Usage::Over).expect("overuse");
        assert!(first < 40, "within 0.4 s: {first}");
        let draining = run(&mut detector, 200..300, |index| 130_000 - i64::from(index.min(250) - 200) * 2000);
        assert!(draining.contains(&Usage::Under));
        assert_eq!(detector.usage(), Usage::Normal);
    }

    #[test]
    fn jitter_alone_is_no_overuse() {
        let mut detector = DelayDetector::new();
        // Deterministic noise of up to 8 ms.
        let usage = run(&mut detector, 0..3000, |index| {
            30_000 + i64::from(index.wrapping_mul(2_654_435_761) >> 16) % 8000
        });
        let over = usage.iter().filter(|usage| **usage == Usage::Over).count();
        assert!(over < 30, "{over} of 3000");
    }

    #[test]
    fn a_clock_that_jumps_is_forgotten() {
        let mut detector = DelayDetector::new();
        run(&mut detector, 0..100, |_| 0);
        let jumped = run(&mut detector, 100..200, |_| 60_000_000);
        assert!(!jumped.contains(&Usage::Over));
    }

    proptest! {
        /// Arrival times that no network makes neither panic nor leave anything but numbers behind.
        #[test]
        fn any_arrivals_do(times in prop::collection::vec((0u64..100_000, any::<i64>()), 0..500)) {
            let mut detector = DelayDetector::new();
            for (sent, arrival) in times {
                detector.packet(crate::test_start() + Duration::from_micros(sent), arrival);
                prop_assert!(detector.threshold.is_finite() && detector.smoothed.is_finite());
                prop_assert!(detector.samples.len() <= WINDOW);
            }
        }
    }
}
