//! Token buckets, in whole numbers so that they are exact.

use crate::Millis;

/// How much of something may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// In the long run.
    pub per_minute: u32,
}

/// What one token is worth: a rate of one a minute earns one unit in a millisecond.
const TOKEN: u64 = 60_000;

/// An allowance under a rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    units: u64,
    at: Millis,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(rate: Rate, now: Millis) -> Self {
        Self { units: u64::from(rate.burst) * TOKEN, at: now }
    }

    /// Whether there is a token.
    pub(crate) fn has(&mut self, rate: Rate, now: Millis) -> bool {
        let earned = now.saturating_sub(self.at).saturating_mul(rate.per_minute.into());
        self.units = self.units.saturating_add(earned).min(u64::from(rate.burst) * TOKEN);
        self.at = self.at.max(now);
        self.units >= TOKEN
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Millis) -> bool {
        let has = self.has(rate, now);
        if has {
            self.units -= TOKEN;
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let rate = Rate { burst: 3, per_minute: 3 };
        let mut bucket = Bucket::new(rate, 0);
        let taken = (0..300_000).step_by(7).filter(|now| bucket.take(rate, *now)).count();
        assert_eq!(taken, 3 + 14, "three at once and one each 20 s");
    }

    #[test]
    fn a_clock_that_goes_back_earns_nothing() {
        let rate = Rate { burst: 1, per_minute: 60 };
        let mut bucket = Bucket::new(rate, 10_000);
        assert!(bucket.take(rate, 10_000) && !bucket.take(rate, 0) && !bucket.take(rate, 10_999));
        assert!(bucket.take(rate, 11_000));
    }
}
