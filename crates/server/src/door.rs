//! How often somebody may come to the door. Tries are limited per address, failed ones weigh more; a class
//! of 40 behind one NAT gets in at once. Connections are limited per participant, whom everybody else in the
//! room hears of each time.

use std::net::IpAddr;
use std::time::Instant;

use protocol::ids::{Identity, RoomName};

pub use crate::allowance::Shut;
use crate::allowance::{Allowances, Rate};

/// Tries of one address: 40 people in one class, some of them twice, and one a second from then on. An
/// address that goes on failing is shut out for a minute.
const ADDRESS: Rate = Rate { burst: 60.0, refill: 1.0, debt: -60.0 };

/// What a failed try costs beyond the try itself: after ten in a row the door is shut.
const FAILURE: f64 = 5.0;

/// Connections of one participant: more than a bad network needs, and one a second from then on.
const PARTICIPANT: Rate = Rate { burst: 10.0, refill: 1.0, debt: 0.0 };

/// The allowances.
#[derive(Debug)]
pub struct Door {
    addresses: Allowances,
    participants: Allowances,
    /// By the same measure: who joins opens both.
    channels: Allowances,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            addresses: Allowances::new(ADDRESS),
            participants: Allowances::new(PARTICIPANT),
            channels: Allowances::new(PARTICIPANT),
        }
    }
}

impl Door {
    /// A try from an address.
    ///
    /// # Errors
    /// [`Shut`] if it has used up its allowance; the try then costs nothing.
    pub fn knock(&self, now: Instant, address: IpAddr) -> Result<(), Shut> {
        self.addresses.take(now, network(address))
    }

    /// A try that turned out wrong (after [`Door::knock`], or by itself where only failures count). It is
    /// charged in any case, down to a debt of a minute.
    pub fn failed(&self, now: Instant, address: IpAddr) {
        self.addresses.charge(now, network(address), FAILURE);
    }

    /// A participant connects to a room.
    ///
    /// # Errors
    /// [`Shut`] if it has done so too often; the try then costs nothing.
    pub fn enter(&self, now: Instant, room: &RoomName, identity: &Identity) -> Result<(), Shut> {
        self.participants.take(now, (room, identity))
    }

    /// A participant opens a channel.
    ///
    /// # Errors
    /// As of [`Door::enter`].
    pub fn open_channel(&self, now: Instant, room: &RoomName, identity: &Identity) -> Result<(), Shut> {
        self.channels.take(now, (room, identity))
    }

    /// Whether [`Door::enter`] would be allowed.
    ///
    /// # Errors
    /// As it.
    pub fn may_enter(&self, now: Instant, room: &RoomName, identity: &Identity) -> Result<(), Shut> {
        self.participants.look(now, (room, identity))
    }

    /// Forgets whose allowance is whole again.
    pub fn sweep(&self, now: Instant) {
        self.addresses.sweep(now);
        self.participants.sweep(now);
        self.channels.sweep(now);
    }

    /// Addresses and participants remembered now.
    pub fn remembered(&self) -> usize {
        self.addresses.remembered() + self.participants.remembered() + self.channels.remembered()
    }
}

/// What counts as one address: for IPv6 the /64, within which a client picks addresses at will.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            door.failed(start, address(1));
            tries += 1;
        }
        assert_eq!(tries, 10);
        for _ in 0..100 {
            door.failed(start, address(1));
        }
        let shut = door.knock(start, address(1)).expect_err("it is shut");
        assert!(shut.retry_after >= Duration::from_secs(30), "who goes on failing stays out: {shut:?}");
        assert!(shut.retry_after <= Duration::from_secs(61), "{shut:?}");
        assert!(door.knock(start + shut.retry_after, address(1)).is_ok(), "the named time is right");
    }

    #[test]
    fn addresses_are_forgotten_within_minutes() {
        let (door, start) = (Door::default(), Instant::now());
        for last in 0..100 {
            door.failed(start, address(last));
        }
        assert_eq!(door.remembered(), 100);
        door.sweep(start + Duration::from_secs(2));
        assert_eq!(door.remembered(), 100);
        door.sweep(start + Duration::from_secs(120));
        assert_eq!(door.remembered(), 0);
    }

    #[test]
    fn neighbours_in_one_ipv6_network_share_an_allowance() {
        let (door, start) = (Door::default(), Instant::now());
        let inside = |n: u128| IpAddr::V6(((0x2001_0db8_u128 << 96) + n).into());
        let admitted = (0..300).filter(|n| door.knock(start, inside(*n)).is_ok()).count();
        assert_eq!(admitted, 60);
        assert!(door.knock(start, inside(1 << 64)).is_ok(), "the next network is another");
    }

    #[test]
    fn a_participant_who_reconnects_without_end_is_slowed_down() {
        let (door, start) = (Door::default(), Instant::now());
        let (room, ada) = (RoomName::new("r"), Identity::new("ada"));
        assert_eq!((0..100).filter(|_| door.enter(start, &room, &ada).is_ok()).count(), 10);
        assert!(door.may_enter(start, &room, &ada).is_err());
        assert!(door.enter(start, &room, &Identity::new("ben")).is_ok(), "others are unaffected");
        assert!(door.enter(start, &RoomName::new("s"), &ada).is_ok(), "and other rooms");
        assert!(door.enter(start + Duration::from_secs(1), &room, &ada).is_ok(), "one a second");
    }
}
