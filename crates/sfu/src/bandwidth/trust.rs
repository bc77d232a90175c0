//! How far the findings of probes are believed. Where many share a line behind the server's back, each one's probe finds what
//! the others leave free at the moment; when all take it, it is too much for all.

use std::time::{Duration, Instant};

/// A finding was wrong if the rate was decreased within this time of it, below this share of it.
const REGRET: Duration = Duration::from_secs(4);
const REGRETTED: f64 = 0.6;

/// Wrong findings are forgotten after this time without another.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// Of what a probe found beyond the rate so much is believed after so many wrong findings.
const BELIEVED: [f64; 4] = [1.0, 0.5, 0.25, 0.125];

/// See the module's description.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust {
    /// The last finding, as far as it was believed.
    last: Option<(Instant, u64)>,
    wrong: usize,
    wrong_at: Option<Instant>,
}

impl Trust {
    /// A probe found `found` bit/s where `rate` was thought; returns what is to be thought.
    pub fn found(&mut self, now: Instant, rate: u64, found: u64) -> u64 {
        if self.wrong_at.is_some_and(|at| now.saturating_duration_since(at) >= FORGOTTEN) {
            *self = Self::default();
        }
        let believed = BELIEVED.get(self.wrong).or(BELIEVED.last()).copied().unwrap_or(1.0);
        let believed = rate + (found.saturating_sub(rate) as f64 * believed) as u64;
        self.last = Some((now, believed));
        believed
    }

    /// The rate was decreased to `rate`.
    pub fn decreased(&mut self, now: Instant, rate: u64) {
        let is_wrong = |(at, found): &mut (Instant, u64)| {
            now.saturating_duration_since(*at) < REGRET && (rate as f64) < *found as f64 * REGRETTED
        };
        if self.last.take_if(is_wrong).is_some() {
            self.wrong = (self.wrong + 1).min(BELIEVED.len() - 1);
            self.wrong_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_that_prove_wrong_are_believed_less_and_less_and_that_is_forgotten() {
        let mut trust = Trust::default();
        let mut now = crate::test_start();
        let mut believed = Vec::new();
        for _ in 0..5 {
            believed.push(trust.found(now, 1_000_000, 3_000_000));
            now += Duration::from_secs(2);
            trust.decreased(now, 700_000);
            trust.decreased(now, 600_000);
        }
        assert_eq!(believed, [3_000_000, 2_000_000, 1_500_000, 1_250_000, 1_250_000]);
        assert_eq!(trust.found(now + FORGOTTEN, 1_000_000, 3_000_000), 3_000_000);
    }

    #[test]
    fn a_small_decrease_and_a_late_one_say_nothing_of_a_finding() {
        let mut trust = Trust::default();
        let mut now = crate::test_start();
        for _ in 0..5 {
            assert_eq!(trust.found(now, 1_000_000, 2_000_000), 2_000_000);
            trust.decreased(now + Duration::from_secs(2), 1_500_000);
            trust.decreased(now + REGRET, 500_000);
            now += REGRET;
        }
    }
}
