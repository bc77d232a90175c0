//! The rate that delay allows: additive or multiplicative increase, multiplicative decrease
//! (draft-ietf-rmcat-gcc-02 §5.5).

use std::time::{Duration, Instant};

use super::delay::Usage;

/// Increase per second far from where the line was last found full (§5.5: 8 %). More finds a free line sooner and
/// overshoots further; probes do most of the finding.
const INCREASE_PER_SECOND: f64 = 0.08;

/// What is kept of the acknowledged rate at overuse (§5.5: beta). Less drains queues faster and wastes more.
const DECREASE: f64 = 0.85;

/// The same where the queue is short and the line's rate is known by it.
const SHORT_DECREASE: f64 = 0.95;

/// What is kept of the estimate at overuse while we send far below it: the queue is then hardly of our making, but the
/// line may have become narrower. A few such steps bring the estimate down to what is sent.
const LIMITED_DECREASE: f64 = 0.7;

/// The estimate stays below this multiple of what was acknowledged (§5.5), plus a little: what nobody sends is not
/// known to pass.
const BEYOND_ACKNOWLEDGED: f64 = 1.5;
const BEYOND_ACKNOWLEDGED_BITS: f64 = 10_000.0;

/// Where the line was found full the rate stays below this multiple of that while less than this share of it is sent:
/// sending less is no evidence of a wider line, and a layer begun on such a guess had to be taken back, often together
/// with another. A wider line is found by probes, or by filling this one.
const BEYOND_CAPACITY: f64 = 1.05;
const FILLED: f64 = 0.9;

/// A probe that finds this multiple of what the line was found full at is of another line.
const ANOTHER_CAPACITY: f64 = 1.1;

/// Smoothing of the capacity seen at overuse, and the deviations beyond which it is another line.
const CAPACITY_SMOOTHING: f64 = 0.05;
const CAPACITY_DEVIATIONS: f64 = 3.0;

/// Additive increase per response time: one packet of this many bits (§5.5).
const ADDITIVE_BITS: f64 = 1200.0 * 8.0;

/// Least additive increase per second, so that narrow lines with long round trips are found at all.
const LEAST_ADDITIVE: f64 = 4000.0;

/// What the receiver and the filter add to a round trip until a change of rate shows (§5.5).
const RESPONSE: Duration = Duration::from_millis(100);

/// What is known when the rate is updated.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// What the delay says.
    pub usage: Usage,
    /// Bits per second that arrived, corrected for loss that is not congestion.
    pub acknowledged: Option<u64>,
    /// Whether much less is sent than the estimate would allow.
    pub is_limited: bool,
    /// Whether the line's own rate is known, and its queue short: then it needs no draining.
    pub is_short: bool,
    /// Round trip.
    pub rtt: Duration,
}

/// See the module's description.
#[derive(Debug)]
pub struct RateControl {
    rate: f64,
    min: f64,
    max: f64,
    /// Mean and relative variance of what was acknowledged when the line was full.
    capacity: Option<(f64, f64)>,
    last_update: Option<Instant>,
    last_decrease: Option<Instant>,
    holding: bool,
}

impl RateControl {
    /// A control that starts at `start` and stays within `min` and `max`; all in bit/s.
    pub fn new(start: u64, min: u64, max: u64) -> Self {
        let (min, max) = (min as f64, max.max(min) as f64);
        Self {
            rate: (start as f64).clamp(min, max),
            min,
            max,
            capacity: None,
            last_update: None,
            last_decrease: None,
            holding: false,
        }
    }

    /// The rate in bit/s.
    pub fn rate(&self) -> u64 {
        self.rate as u64
    }

    /// When it was last decreased.
    pub fn last_decrease(&self) -> Option<Instant> {
        self.last_decrease
    }

    /// Sets the rate: the line is another one now.
    pub fn set(&mut self, now: Instant, rate: u64) {
        self.rate = (rate as f64).clamp(self.min, self.max);
        self.last_update = Some(now);
    }

    /// Sets the rate to what a probe found.
    pub fn found(&mut self, now: Instant, rate: u64) {
        if self.capacity.is_some_and(|(mean, _)| rate as f64 > mean * ANOTHER_CAPACITY) {
            self.capacity = None;
        }
        self.set(now, rate);
    }

    /// Forgets where the line was full.
    pub fn forget_capacity(&mut self) {
        self.capacity = None;
    }

    /// Updates the rate with what feedback said; returns whether it was decreased.
    pub fn update(&mut self, now: Instant, seen: &Observation) -> bool {
        let passed = self.last_update.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last_update = Some(now);
        match seen.usage {
            Usage::Over => self.overuse(now, seen),
            // The queue drains: wait until it has.
            Usage::Under => {
                self.holding = true;
                false
            }
            Usage::Normal if self.holding => {
                self.holding = false;
                false
            }
            Usage::Normal => {
                self.increase(passed.min(Duration::from_secs(1)), seen);
                false
            }
        }
    }

    fn overuse(&mut self, now: Instant, seen: &Observation) -> bool {
        self.holding = true;
        // One reaction per response time: the last one must have had a chance to show.
        let response = seen.rtt + RESPONSE;
        if self.last_decrease.is_some_and(|last| now.saturating_duration_since(last) < response) {
            return false;
        }
        let Some(acknowledged) = seen.acknowledged.map(|rate| rate as f64) else {
            self.decrease(now, self.rate * LIMITED_DECREASE);
            return true;
        };
        let mut reduced = acknowledged * if seen.is_short { SHORT_DECREASE } else { DECREASE };
        if seen.is_limited {
            reduced = reduced.max(self.rate * LIMITED_DECREASE);
        } else {
            self.learn_capacity(acknowledged);
        }
        if reduced >= self.rate {
            // A burst came through faster than the estimate; the mean is the better witness then.
            reduced = self.capacity.map_or(self.rate, |(mean, _)| mean * DECREASE).min(self.rate * 0.95);
        }
        self.decrease(now, reduced);
        true
    }

    fn decrease(&mut self, now: Instant, rate: f64) {
        self.rate = rate.clamp(self.min, self.max).min(self.rate);
        self.last_decrease = Some(now);
    }

    fn increase(&mut self, passed: Duration, seen: &Observation) {
        let seconds = passed.as_secs_f64();
        if let (Some((mean, variance)), Some(acknowledged)) = (self.capacity, seen.acknowledged)
            && acknowledged as f64 > mean + CAPACITY_DEVIATIONS * (variance * mean).sqrt()
        {
            self.capacity = None;
        }
        let grown = if self.capacity.is_some() {
            let response = (seen.rtt + RESPONSE).as_secs_f64();
            self.rate + (ADDITIVE_BITS / response).max(LEAST_ADDITIVE) * seconds
        } else {
            self.rate + (self.rate * INCREASE_PER_SECOND * seconds).max(1000.0 * seconds)
        };
        let acknowledged = seen.acknowledged.unwrap_or(0) as f64;
        let limit = BEYOND_ACKNOWLEDGED * acknowledged + BEYOND_ACKNOWLEDGED_BITS;
        let limit = match self.capacity {
            Some((mean, _)) if acknowledged < mean * FILLED => limit.min(mean * BEYOND_CAPACITY),
            _ => limit,
        };
        self.rate = grown.min(limit.max(self.rate)).clamp(self.min, self.max);
    }

    fn learn_capacity(&mut self, acknowledged: f64) {
        let (mean, variance) = match self.capacity {
            None => (acknowledged, acknowledged * 0.1),
            Some((mean, variance)) => {
                let deviation = acknowledged - mean;
                if deviation < -CAPACITY_DEVIATIONS * (variance * mean).sqrt() {
                    (acknowledged, acknowledged * 0.1) // a narrower line than before
                } else {
                    let mean = mean + CAPACITY_SMOOTHING * deviation;
                    let relative = deviation.powi(2) / mean.max(1.0);
                    (mean, variance + CAPACITY_SMOOTHING * (relative - variance))
                }
            }
        };
        // Bounds as in the draft's implementation notes: a deviation of 1 % to 5 % of the mean.
        self.capacity = Some((mean, variance.clamp(mean * 1e-4, mean * 2.5e-3)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(usage: Usage, acknowledged: u64) -> Observation {
        Observation {
            usage,
            acknowledged: Some(acknowledged),
            is_limited: false,
            is_short: false,
            rtt: Duration::from_millis(50),
        }
    }

    #[test]
    fn a_line_that_was_full_is_not_thought_wider_because_less_is_sent() {
        let start = crate::test_start();
        let mut control = RateControl::new(600_000, 30_000, 10_000_000);
        control.update(start, &seen(Usage::Over, 500_000));
        let later = |control: &mut RateControl, ticks: std::ops::Range<u32>, acknowledged| {
            for tick in ticks {
                control.update(start + Duration::from_millis(50) * tick, &seen(Usage::Normal, acknowledged));
            }
            control.rate()
        };
        assert_eq!(later(&mut control, 1..1000, 400_000), 525_000);
        control.found(start + Duration::from_secs(50), 540_000);
        assert_eq!(later(&mut control, 1000..1200, 400_000), 540_000, "a little more is the same line");
        control.found(start + Duration::from_secs(60), 560_000);
        assert_eq!(later(&mut control, 1200..2000, 400_000), 610_000, "a probe found another");
    }

    #[test]
    fn it_grows_by_eight_per_cent_a_second_and_no_further_than_what_arrives_allows() {
        let start = crate::test_start();
        let mut control = RateControl::new(1_000_000, 30_000, 10_000_000);
        for tick in 0..=20 {
            control.update(start + Duration::from_millis(50) * tick, &seen(Usage::Normal, 1_000_000));
        }
        assert!((1_075_000..1_090_000).contains(&control.rate()), "{}", control.rate());
        for tick in 21..2000 {
            control.update(start + Duration::from_millis(50) * tick, &seen(Usage::Normal, 1_000_000));
        }
        assert_eq!(control.rate(), 1_510_000);
    }

    #[test]
    fn overuse_takes_it_below_what_arrives_once_per_response_time() {
        let start = crate::test_start();
        let mut control = RateControl::new(2_000_000, 30_000, 10_000_000);
        assert!(control.update(start, &seen(Usage::Over, 1_000_000)));
        assert_eq!(control.rate(), 850_000);
        let soon = start + Duration::from_millis(100);
        assert!(!control.update(soon, &seen(Usage::Over, 900_000)));
        assert_eq!(control.rate(), 850_000);
        // Near the capacity it grows by one packet per response time: 9600 bit in 150 ms.
        for tick in 0..=22 {
            let at = start + Duration::from_secs(1) + Duration::from_millis(50) * tick;
            control.update(at, &seen(Usage::Normal, 850_000));
        }
        assert!((905_000..925_000).contains(&control.rate()), "{}", control.rate());
    }

    #[test]
    fn a_queue_that_is_hardly_ours_lowers_it_by_steps() {
        let start = crate::test_start();
        let mut control = RateControl::new(5_000_000, 30_000, 10_000_000);
        let limited = Observation { is_limited: true, ..seen(Usage::Over, 100_000) };
        control.update(start, &limited);
        assert_eq!(control.rate(), 3_500_000);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(steps in prop::collection::vec((0u8..3, any::<u64>(), any::<bool>(), 0u64..2000), 0..300)) {
            let mut control = RateControl::new(600_000, 30_000, 30_000_000);
            let mut now = crate::test_start();
            for (usage, acknowledged, is_limited, millis) in steps {
                now += Duration::from_millis(millis);
                let usage = [Usage::Normal, Usage::Over, Usage::Under][usize::from(usage)];
                control.update(now, &Observation { is_limited, ..seen(usage, acknowledged) });
                prop_assert!((30_000..=30_000_000).contains(&control.rate()));
            }
        }
    }
}
