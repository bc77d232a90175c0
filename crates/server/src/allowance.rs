//! A bounded table of allowances (token buckets), one for each address, participant or whatever else may do
//! something only so often.
//!
//! Keys are kept only as keyed hashes, in memory, until their allowance is whole again.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Keys kept at once; beyond it new ones share one allowance. 16 bytes and some each.
const MAX_KEYS: usize = 100_000;

/// Least time between two sweeps that a full table makes by itself.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// The allowance shared by keys for which there is no room.
const OVERFLOW: u64 = 0;

/// An allowance is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shut {
    /// When to try again.
    pub retry_after: Duration,
}

/// How much is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Tries that may come at once.
    pub(crate) burst: f64,
    /// Tries earned back per second.
    pub(crate) refill: f64,
    /// The deepest debt, zero or below; it bounds how long a key is shut out.
    pub(crate) debt: f64,
}

/// The allowances of all keys.
#[derive(Debug)]
pub(crate) struct Allowances {
    rate: Rate,
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_key: HashMap<u64, Allowance>,
    swept: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    tries: f64,
    at: Instant,
}

impl Allowance {
    fn at(self, now: Instant, rate: Rate) -> Self {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * rate.refill;
        Self { tries: (self.tries + earned).min(rate.burst), at: now.max(self.at) }
    }
}

impl Allowances {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, hasher: RandomState::new(), table: Mutex::default() }
    }

    /// Takes one try.
    ///
    /// # Errors
    /// [`Shut`] if the allowance is used up; the try then costs nothing.
    pub(crate) fn take(&self, now: Instant, key: impl Hash) -> Result<(), Shut> {
        self.with(now, key, |allowance| {
            allowance.left(self.rate)?;
            allowance.tries -= 1.0;
            Ok(())
        })
    }

    /// Whether [`Allowances::take`] would be allowed.
    ///
    /// # Errors
    /// As it.
    pub(crate) fn look(&self, now: Instant, key: impl Hash) -> Result<(), Shut> {
        let key = self.hasher.hash_one(key);
        let known = self.lock().by_key.get(&key).copied();
        known.map_or(Ok(()), |allowance| allowance.at(now, self.rate).left(self.rate))
    }

    /// Takes tries whether or not they are left, down to the deepest debt.
    pub(crate) fn charge(&self, now: Instant, key: impl Hash, tries: f64) {
        self.with(now, key, |allowance| allowance.tries = (allowance.tries - tries).max(self.rate.debt));
    }

    /// Forgets keys whose allowance is whole again.
    pub(crate) fn sweep(&self, now: Instant) {
        self.lock().sweep(now, self.rate);
    }

    /// Keys remembered now.
    pub(crate) fn remembered(&self) -> usize {
        self.lock().by_key.len()
    }

    fn with<T>(&self, now: Instant, key: impl Hash, then: impl FnOnce(&mut Allowance) -> T) -> T {
        let mut key = self.hasher.hash_one(key);
        let mut table = self.lock();
        if table.by_key.len() >= MAX_KEYS && !table.by_key.contains_key(&key) {
            // Sweeping takes a millisecond; a flood of keys must not ask for it with every try.
            if table.swept.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP_PAUSE) {
                table.sweep(now, self.rate);
            }
            if table.by_key.len() >= MAX_KEYS {
                key = OVERFLOW;
            }
        }
        let allowance = table.by_key.entry(key).or_insert(Allowance { tries: self.rate.burst, at: now });
        *allowance = allowance.at(now, self.rate);
        then(allowance)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No code that holds the lock can panic half-way, so a poisoned table is still right.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allowance {
    fn left(&self, rate: Rate) -> Result<(), Shut> {
        if self.tries >= 1.0 {
            return Ok(());
        }
        Err(Shut { retry_after: Duration::from_secs_f64((1.0 - self.tries) / rate.refill) })
    }
}

impl Table {
    fn sweep(&mut self, now: Instant, rate: Rate) {
        self.by_key.retain(|_, allowance| allowance.at(now, rate).tries < rate.burst);
        self.swept = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3.0, refill: 2.0, debt: -4.0 };

    #[test]
    fn tries_run_out_and_come_back_at_the_named_time() {
        let (allowances, start) = (Allowances::new(RATE), Instant::now());
        assert_eq!((0..10).filter(|_| allowances.take(start, "a").is_ok()).count(), 3);
        let shut = allowances.look(start, "a").expect_err("they are used up");
        assert_eq!(shut.retry_after, Duration::from_millis(500));
        assert!(allowances.take(start + shut.retry_after, "a").is_ok());
        assert!(allowances.take(start, "b").is_ok(), "others are unaffected");
    }

    #[test]
    fn looking_costs_nothing() {
        let (allowances, start) = (Allowances::new(RATE), Instant::now());
        assert!((0..10).all(|_| allowances.look(start, "a").is_ok()));
        assert_eq!(allowances.remembered(), 0);
    }

    #[test]
    fn debt_is_bounded() {
        let (allowances, start) = (Allowances::new(RATE), Instant::now());
        allowances.charge(start, "a", 100.0);
        let shut = allowances.look(start, "a").expect_err("it is in debt");
        assert_eq!(shut.retry_after, Duration::from_millis(2_500));
    }

    #[test]
    fn keys_are_forgotten_when_their_allowance_is_whole() {
        let (allowances, start) = (Allowances::new(RATE), Instant::now());
        for key in 0..100 {
            allowances.charge(start, key, 1.0);
        }
        allowances.sweep(start);
        assert_eq!(allowances.remembered(), 100);
        allowances.sweep(start + Duration::from_secs(1));
        assert_eq!(allowances.remembered(), 0);
    }

    #[test]
    fn a_flood_of_keys_takes_bounded_memory() {
        let (allowances, start) = (Allowances::new(RATE), Instant::now());
        for key in 0..MAX_KEYS + 5_000 {
            let _ = allowances.take(start, key);
        }
        assert!(allowances.remembered() <= MAX_KEYS + 1);
    }
}
