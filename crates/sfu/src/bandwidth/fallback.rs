//! The estimate for subscribers that send no transport-wide feedback: by the loss in their receiver reports
//! (draft-ietf-rmcat-gcc-02 §6), below what they say by themselves (REMB, draft-alvestrand-rmcat-remb-03).

use std::time::{Duration, Instant};

/// Loss up to which the rate grows, and above which it falls (§6: 2 % and 10 %).
const LITTLE: f64 = 0.02;
const MUCH: f64 = 0.10;

/// Growth per second while little is lost (§6: 5 %; here 8 % as with delay, since reports come once a second). More
/// would overshoot further before a report tells.
const GROWTH: f64 = 0.08;

/// Pause between two reactions: reports of several streams come together, and each tells of the same loss.
const PAUSE: Duration = Duration::from_millis(500);

/// A statement of the receiver holds this long (libwebrtc repeats it every second at least).
const REMB_LIFE: Duration = Duration::from_secs(5);

/// See the module's description.
#[derive(Debug)]
pub struct Fallback {
    rate: f64,
    min: f64,
    max: f64,
    last: Option<Instant>,
    remb: Option<(u64, Instant)>,
}

impl Fallback {
    /// Starts at `start` and stays within `min` and `max`, in bit/s.
    pub fn new(start: u64, min: u64, max: u64) -> Self {
        let (min, max) = (min as f64, max.max(min) as f64);
        Self { rate: (start as f64).clamp(min, max), min, max, last: None, remb: None }
    }

    /// The rate in bit/s.
    pub fn rate(&self, now: Instant) -> u64 {
        let said = self.remb.filter(|(_, at)| now.saturating_duration_since(*at) < REMB_LIFE);
        said.map_or(self.rate, |(said, _)| self.rate.min(said as f64)).max(self.min) as u64
    }

    /// A receiver report: the share lost of one stream, 0 to 1. `sent` is what we send, in bit/s: the rate does not
    /// grow beyond one and a half times of it.
    pub fn report(&mut self, now: Instant, loss: f64, sent: u64) {
        let Some(last) = self.last else {
            self.last = Some(now);
            return;
        };
        let passed = now.saturating_duration_since(last);
        if passed < PAUSE {
            return;
        }
        self.last = Some(now);
        if loss > MUCH {
            self.rate *= 1.0 - 0.5 * loss.min(1.0);
        } else if loss < LITTLE {
            let grown = self.rate * (1.0 + GROWTH * passed.min(Duration::from_secs(2)).as_secs_f64());
            self.rate = grown.min((sent as f64 * 1.5).max(self.rate));
        }
        self.rate = self.rate.clamp(self.min, self.max);
    }

    /// The receiver says what it can take, in bit/s. It knows better than we do: the rate follows it up, too.
    pub fn remb(&mut self, now: Instant, rate: u64) {
        self.remb = Some((rate, now));
        self.rate = (rate as f64).clamp(self.min, self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_lowers_it_little_loss_raises_it_and_what_the_receiver_says_holds() {
        let start = crate::test_start();
        let second = |number: u32| start + Duration::from_secs(1) * number;
        let mut fallback = Fallback::new(1_000_000, 30_000, 5_000_000);
        fallback.report(second(0), 0.0, 1_000_000);
        fallback.report(second(1), 0.0, 1_000_000);
        assert_eq!(fallback.rate(second(1)), 1_080_000);
        fallback.report(second(2), 0.05, 1_000_000);
        assert_eq!(fallback.rate(second(2)), 1_080_000);
        fallback.report(second(3), 0.5, 1_000_000);
        assert_eq!(fallback.rate(second(3)), 810_000);
        fallback.report(second(3), 0.5, 1_000_000);
        assert_eq!(fallback.rate(second(3)), 810_000, "the same loss in another stream's report");
        fallback.remb(second(4), 2_000_000);
        assert_eq!(fallback.rate(second(4)), 2_000_000);
        fallback.remb(second(5), 0);
        assert_eq!(fallback.rate(second(5)), 30_000, "never below the minimum");
        fallback.remb(second(6), u64::MAX);
        assert_eq!(fallback.rate(second(6)), 5_000_000);
    }
}
