//! Which rooms run, what they are and who is in them, for the admission API. Fed by the cores' events; forgets a room
//! when it ends.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use protocol::api::Mode;
use protocol::ids::{Identity, RoomName};
use sfu::event::Event;
use tokio::sync::mpsc;

/// Rooms and those present.
#[derive(Debug, Default)]
pub struct Directory {
    rooms: Mutex<HashMap<RoomName, Entry>>,
    /// Who wants to know who leaves. Unbounded, because a worker waits for nobody; each departure follows an admission.
    departures: Option<mpsc::UnboundedSender<Departure>>,
}

/// What is over for good: resuming is not possible any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// The last stay of an identity in a room.
    Participant {
        /// The room.
        room: RoomName,
        /// Who.
        identity: Identity,
    },
    /// A room.
    Room {
        /// Which.
        room: RoomName,
    },
}

#[derive(Debug)]
struct Entry {
    worker: u8,
    mode: Mode,
    /// How often each identity is present: a newer connection comes in before the older one leaves.
    present: HashMap<Identity, usize>,
}

/// What the directory knows of a room and an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Somebody is in the room.
    pub running: bool,
    /// What the room is; of one that is not open, what it will be for whoever comes through `/join`.
    pub mode: Mode,
    /// The identity is in the room.
    pub present: bool,
    /// How many are in the room.
    pub participants: usize,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Rooms with somebody in them.
    pub rooms: usize,
    /// Participants in all of them.
    pub participants: usize,
}

impl Directory {
    /// One that tells who leaves.
    pub(crate) fn telling(departures: mpsc::UnboundedSender<Departure>) -> Self {
        Self { rooms: Mutex::default(), departures: Some(departures) }
    }

    /// Takes note of an event of a worker's core.
    pub fn apply(&self, worker: u8, event: &Event) {
        match event {
            Event::RoomStarted { room, mode, .. } => {
                self.lock().insert(room.clone(), Entry { worker, mode: *mode, present: HashMap::new() });
            }
            Event::ParticipantJoined { room, identity } => {
                let mut rooms = self.lock();
                let Some(entry) = rooms.get_mut(room) else { return };
                *entry.present.entry(identity.clone()).or_insert(0) += 1;
            }
            Event::ParticipantLeft { room, identity } => {
                let mut rooms = self.lock();
                let Some(entry) = rooms.get_mut(room) else { return };
                if let Some(count) = entry.present.get_mut(identity) {
                    *count -= 1;
                    if *count == 0 {
                        entry.present.remove(identity);
                        self.tell(|| Departure::Participant {
                            room: room.clone(),
                            identity: identity.clone(),
                        });
                    }
                }
            }
            Event::RoomEnded { room, .. } => {
                self.lock().remove(room);
                self.tell(|| Departure::Room { room: room.clone() });
            }
            _ => {}
        }
    }

    /// Forgets every room of a worker whose core is gone.
    pub fn forget_worker(&self, worker: u8) {
        self.lock().retain(|_, entry| entry.worker != worker);
    }

    /// Looks up a room and, if given, an identity.
    pub fn presence(&self, room: &RoomName, identity: Option<&Identity>) -> Presence {
        let rooms = self.lock();
        let entry = rooms.get(room);
        Presence {
            running: entry.is_some_and(|entry| !entry.present.is_empty()),
            mode: entry.map_or(Mode::Mls, |entry| entry.mode),
            present: entry
                .zip(identity)
                .is_some_and(|(entry, identity)| entry.present.contains_key(identity)),
            participants: entry.map_or(0, |entry| entry.present.len()),
        }
    }

    /// Counts rooms and participants.
    pub fn census(&self) -> Census {
        let rooms = self.lock();
        let counts = rooms.values().map(|entry| entry.present.len()).filter(|count| *count > 0);
        Census { rooms: counts.clone().count(), participants: counts.sum() }
    }

    fn tell(&self, departure: impl FnOnce() -> Departure) {
        if let Some(departures) = &self.departures {
            let _ = departures.send(departure());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RoomName, Entry>> {
        // No code that holds the lock can panic half-way, so a poisoned map is still right.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::RoomSid;

    use super::*;

    fn started(room: &str, mode: Mode) -> Event {
        Event::RoomStarted { room: RoomName::new(room), sid: RoomSid::from_random([0; 12]), mode }
    }

    fn ended(room: &str) -> Event {
        Event::RoomEnded { room: RoomName::new(room), sid: RoomSid::from_random([0; 12]) }
    }

    fn joined(room: &str, identity: &str) -> Event {
        Event::ParticipantJoined { room: RoomName::new(room), identity: Identity::new(identity) }
    }

    fn left(room: &str, identity: &str) -> Event {
        Event::ParticipantLeft { room: RoomName::new(room), identity: Identity::new(identity) }
    }

    fn look(directory: &Directory, room: &str, identity: &str) -> (bool, bool) {
        let presence = directory.presence(&RoomName::new(room), Some(&Identity::new(identity)));
        (presence.running, presence.present)
    }

    #[test]
    fn a_room_runs_while_somebody_is_in_it() {
        let directory = Directory::default();
        directory.apply(0, &started("a", Mode::Mls));
        directory.apply(0, &joined("a", "anna"));
        directory.apply(0, &joined("a", "ben"));
        assert_eq!(look(&directory, "a", "anna"), (true, true));
        assert_eq!(look(&directory, "a", "carl"), (true, false));
        assert_eq!(look(&directory, "b", "anna"), (false, false), "equal identities in two rooms");
        directory.apply(0, &left("a", "anna"));
        assert_eq!(look(&directory, "a", "anna"), (true, false));
        directory.apply(0, &left("a", "ben"));
        assert_eq!(directory.census(), Census::default());
    }

    #[test]
    fn what_a_room_is_stays_so_until_it_ends() {
        let mode = |directory: &Directory| directory.presence(&RoomName::new("a"), None).mode;
        let directory = Directory::default();
        assert_eq!(mode(&directory), Mode::Mls, "a room that is not open is encrypted");
        directory.apply(0, &started("a", Mode::Clear));
        assert_eq!(mode(&directory), Mode::Clear, "it waits for its first participant");
        assert_eq!(look(&directory, "a", "anna"), (false, false));
        assert_eq!(directory.census(), Census::default(), "rooms with nobody in them do not count");
        directory.apply(0, &joined("a", "anna"));
        directory.apply(0, &left("a", "anna"));
        assert_eq!(mode(&directory), Mode::Clear, "and for its next");
        directory.apply(0, &ended("a"));
        assert_eq!(mode(&directory), Mode::Mls);
        directory.apply(0, &started("a", Mode::Mls));
        assert_eq!(mode(&directory), Mode::Mls);
    }

    #[test]
    fn a_newer_connection_of_the_same_identity_stays_present_when_the_older_goes() {
        let directory = Directory::default();
        directory.apply(0, &started("a", Mode::Mls));
        directory.apply(0, &joined("a", "anna"));
        directory.apply(0, &joined("a", "anna"));
        directory.apply(0, &left("a", "anna"));
        assert_eq!(look(&directory, "a", "anna"), (true, true));
    }

    #[test]
    fn departures_are_told_when_they_are_final() {
        let (sender, mut departures) = mpsc::unbounded_channel();
        let directory = Directory::telling(sender);
        directory.apply(0, &started("a", Mode::Mls));
        directory.apply(0, &joined("a", "anna"));
        directory.apply(0, &joined("a", "anna"));
        directory.apply(0, &left("a", "anna"));
        assert!(departures.try_recv().is_err(), "a newer connection goes on");
        directory.apply(0, &left("a", "anna"));
        let anna = Departure::Participant { room: RoomName::new("a"), identity: Identity::new("anna") };
        assert_eq!(departures.try_recv(), Ok(anna));
        directory.apply(0, &ended("a"));
        assert_eq!(departures.try_recv(), Ok(Departure::Room { room: RoomName::new("a") }));
    }

    #[test]
    fn ended_rooms_and_lost_workers_are_forgotten() {
        let directory = Directory::default();
        directory.apply(0, &started("a", Mode::Mls));
        directory.apply(0, &joined("a", "anna"));
        directory.apply(1, &started("b", Mode::Mls));
        directory.apply(1, &joined("b", "ben"));
        directory.apply(1, &started("c", Mode::Mls));
        directory.apply(1, &joined("c", "cleo"));
        directory.apply(1, &ended("c"));
        assert_eq!(look(&directory, "c", "cleo"), (false, false));
        directory.forget_worker(1);
        assert_eq!(directory.census(), Census { rooms: 1, participants: 1 });
    }
}
