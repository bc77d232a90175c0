//! How much of something may be had: so many at once, and one more in every interval. A flood of requests costs the others
//! no more than that.

use std::time::{Duration, Instant};

/// A token bucket, kept as the moment at which it will be full again (a virtual clock: nothing is rounded, and an idle
/// one costs nothing).
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// One token comes in this time.
    interval: Duration,
    /// An empty bucket is full after this time.
    depth: Duration,
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// A full bucket of `capacity` tokens, into which one falls in every `interval`.
    pub const fn new(capacity: u32, interval: Duration) -> Self {
        Self { interval, depth: interval.saturating_mul(capacity), full_at: None }
    }

    /// Takes `tokens` out if so many are in it.
    pub fn take(&mut self, now: Instant, tokens: u32) -> bool {
        let filled = self.full_at.map_or(now, |full_at| full_at.max(now));
        let missing =
            filled.saturating_duration_since(now).saturating_add(self.interval.saturating_mul(tokens));
        if missing > self.depth {
            return false;
        }
        self.full_at = now.checked_add(missing);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_flood_is_cut_to_what_is_there_and_that_comes_back() {
        let now = crate::test_start();
        let mut bucket = TokenBucket::new(500, Duration::from_millis(1));
        assert_eq!((0..1000).filter(|_| bucket.take(now, 1)).count(), 500);
        let later = now + Duration::from_millis(100);
        assert_eq!((0..1000).filter(|_| bucket.take(later, 1)).count(), 100);
        assert!(!bucket.take(later + Duration::from_secs(60), 501), "it never holds more");
        assert!(bucket.take(later + Duration::from_secs(60), 500));
    }

    proptest! {
        /// However it is asked, no more is given than was in it and has come since.
        #[test]
        fn no_more_is_given_than_comes(asked in prop::collection::vec((0u64..200, 0u32..40), 1..300)) {
            let start = crate::test_start();
            let mut bucket = TokenBucket::new(30, Duration::from_millis(20));
            let (mut now, mut given) = (start, 0);
            for (millis, tokens) in asked {
                now += Duration::from_millis(millis);
                if bucket.take(now, tokens) {
                    given += u128::from(tokens);
                }
                prop_assert!(given <= 30 + (now - start).as_millis() / 20);
            }
        }
    }
}
