//! How many retransmissions one subscriber may have, over all its tracks: a storm of NACKs costs the publisher
//! nothing and the others little.

use std::time::{Duration, Instant};

/// Retransmissions at once, and per second. 1000/s are 10 Mbit/s: a tenth of what somebody with 25 pictures of
/// 360p and some large ones gets.
const BURST: u32 = 500;
const PER_SECOND: u32 = 1000;

/// See the module's description.
#[derive(Debug)]
pub struct RetransmissionBudget {
    tokens: u32,
    filled: Option<Instant>,
}

impl Default for RetransmissionBudget {
    fn default() -> Self {
        Self { tokens: BURST, filled: None }
    }
}

impl RetransmissionBudget {
    /// Whether one more may be sent now.
    pub fn take(&mut self, now: Instant) -> bool {
        let filled = *self.filled.get_or_insert(now);
        let passed = now.saturating_duration_since(filled).min(Duration::from_secs(10));
        let earned = (passed.as_millis() as u32 * PER_SECOND) / 1000;
        if earned > 0 {
            self.tokens = (self.tokens + earned).min(BURST);
            self.filled = Some(now);
        }
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_requests_is_cut_to_the_budget_and_the_budget_comes_back() {
        let start = crate::test_start();
        let mut budget = RetransmissionBudget::default();
        assert_eq!((0..1000).filter(|_| budget.take(start)).count(), BURST as usize);
        let later = start + Duration::from_millis(100);
        assert_eq!((0..1000).filter(|_| budget.take(later)).count(), (PER_SECOND / 10) as usize);
    }
}
