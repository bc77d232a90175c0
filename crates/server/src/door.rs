//! How often one address may knock. Tries are limited per address, failed ones weigh more; a class of 40
//! behind one NAT gets in at once.
//!
//! Addresses are kept only as keyed hashes, in memory, until their allowance is whole again (minutes).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tries that may come at once: 40 people in one class, some of them twice.
const BURST: f64 = 60.0;

/// Tries per second that an address earns back.
const REFILL: f64 = 1.0;

/// What a failed try costs beyond the try itself: ten wrong ones in a row close the door for a minute.
const FAILURE: f64 = 5.0;

/// The deepest debt; it bounds how long an address is shut out.
const DEBT: f64 = -60.0;

/// Addresses kept at once; beyond it new ones share one allowance. 16 bytes and some each.
const MAX_ADDRESSES: usize = 100_000;

/// Least time between two sweeps that a full table makes by itself.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// The allowance shared by addresses for which there is no room.
const OVERFLOW: u64 = 0;

/// The door is shut for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shut {
    /// When to try again.
    pub retry_after: Duration,
}

/// The allowances.
#[derive(Debug)]
pub struct Door {
    hasher: RandomState,
    allowances: Mutex<Allowances>,
}

#[derive(Debug, Default)]
struct Allowances {
    by_address: HashMap<u64, Allowance>,
    swept: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    tries: f64,
    at: Instant,
}

impl Allowance {
    fn at(self, now: Instant) -> Self {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * REFILL;
        Self { tries: (self.tries + earned).min(BURST), at: now.max(self.at) }
    }
}

impl Default for Door {
    fn default() -> Self {
        Self { hasher: RandomState::new(), allowances: Mutex::default() }
    }
}

impl Door {
    /// A try from an address.
    ///
    /// # Errors
    /// [`Shut`] if it has used up its allowance; the try then costs nothing.
    pub fn knock(&self, now: Instant, address: IpAddr) -> Result<(), Shut> {
        self.charge(now, address, 1.0)
    }

    /// A try that turned out wrong (after [`Door::knock`], or by itself where only failures count).
    ///
    /// # Errors
    /// [`Shut`] if the address had used up its allowance before.
    pub fn failed(&self, now: Instant, address: IpAddr) -> Result<(), Shut> {
        self.charge(now, address, FAILURE)
    }

    /// Forgets addresses whose allowance is whole again.
    pub fn sweep(&self, now: Instant) {
        self.lock().sweep(now);
    }

    /// Addresses remembered now.
    pub fn remembered(&self) -> usize {
        self.lock().by_address.len()
    }

    fn charge(&self, now: Instant, address: IpAddr, cost: f64) -> Result<(), Shut> {
        let mut key = self.hasher.hash_one(network(address));
        let mut allowances = self.lock();
        if allowances.by_address.len() >= MAX_ADDRESSES && !allowances.by_address.contains_key(&key) {
            // Sweeping takes a millisecond; a flood of addresses must not ask for it with every knock.
            if allowances.swept.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP_PAUSE) {
                allowances.sweep(now);
            }
            if allowances.by_address.len() >= MAX_ADDRESSES {
                key = OVERFLOW;
            }
        }
        let allowance = allowances.by_address.entry(key).or_insert(Allowance { tries: BURST, at: now });
        *allowance = allowance.at(now);
        if allowance.tries < 1.0 {
            let wait = (1.0 - allowance.tries) / REFILL;
            return Err(Shut { retry_after: Duration::from_secs_f64(wait) });
        }
        allowance.tries = (allowance.tries - cost).max(DEBT);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Allowances> {
        self.allowances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allowances {
    fn sweep(&mut self, now: Instant) {
        self.by_address.retain(|_, allowance| allowance.at(now).tries < BURST);
        self.swept = Some(now);
    }
}

/// What counts as one address: for IPv6 the /64, within which a client picks addresses at will.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_class_gets_in_and_hundreds_do_not() {
        let (door, start) = (Door::default(), Instant::now());
        let mut class = 0;
        for pupil in 0..40 {
            let now = start + Duration::from_millis(250 * pupil);
            class += usize::from(door.knock(now, address(1)).is_ok());
        }
        assert_eq!(class, 40);
        let refused = (0..300).filter(|_| door.knock(start, address(2)).is_err()).count();
        assert_eq!(refused, 240);
        assert!(door.knock(start, address(3)).is_ok(), "others are unaffected");
    }

    #[test]
    fn failures_shut_the_door_sooner_and_for_a_bounded_time() {
        let (door, start) = (Door::default(), Instant::now());
        let mut tries = 0;
        while door.knock(start, address(1)).is_ok() {
            let _ = door.failed(start, address(1));
            tries += 1;
        }
        assert_eq!(tries, 10);
        let shut = door.failed(start, address(1)).expect_err("it is shut");
        assert!(shut.retry_after <= Duration::from_secs(61), "{shut:?}");
        assert!(door.knock(start + shut.retry_after, address(1)).is_ok(), "the named time is right");
    }

    #[test]
    fn addresses_are_forgotten_within_minutes() {
        let (door, start) = (Door::default(), Instant::now());
        for last in 0..100 {
            let _ = door.failed(start, address(last));
        }
        assert_eq!(door.remembered(), 100);
        door.sweep(start + Duration::from_secs(2));
        assert_eq!(door.remembered(), 100);
        door.sweep(start + Duration::from_secs(120));
        assert_eq!(door.remembered(), 0);
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory() {
        let (door, start) = (Door::default(), Instant::now());
        for n in 0..(MAX_ADDRESSES as u32 + 5_000) {
            let _ = door.knock(start, IpAddr::V4(n.into()));
        }
        assert!(door.remembered() <= MAX_ADDRESSES + 1);
    }

    #[test]
    fn neighbours_in_one_ipv6_network_share_an_allowance() {
        let (door, start) = (Door::default(), Instant::now());
        let inside = |n: u128| IpAddr::V6(((0x2001_0db8_u128 << 96) + n).into());
        let admitted = (0..300).filter(|n| door.knock(start, inside(*n)).is_ok()).count();
        assert_eq!(admitted, 60);
        assert!(door.knock(start, inside(1 << 64)).is_ok(), "the next network is another");
    }
}
