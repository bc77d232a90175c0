//! Reliable data for somebody whose line is slower than its senders: nothing of it may be lost and memory is bounded, so
//! the senders wait. What they send reliably is not read from SCTP any more, its receive window closes (RFC 9260 §6.2.1),
//! and their clients keep what they have. Sound and pictures go on. Lossy data goes on until the window is closed, which
//! all channels of an association share; then it waits, or is given up by its sender.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::Context;
use super::participant::Participant;
use crate::peer::transport::DataChannel;

/// Bytes waiting for one receiver from which on its senders wait: a burst of that size delays nobody. Less makes
/// senders wait for every file, more costs this much for each slow receiver of a room.
const HIGH: usize = 2 << 20;

/// Bytes at which they go on: enough for half a second at 16 Mbit/s, since the room looks every 300 ms.
const LOW: usize = 1 << 20;

/// A receiver that does not take [`PROGRESS`] bytes within this time is taken for stuck and has to join anew. SCTP's
/// senders stand being stopped for longer: libwebrtc's gives up after ten timeouts, each twice the one before.
const PATIENCE: Duration = Duration::from_secs(15);

/// See [`PATIENCE`]; together the slowest line that a room waits for, 35 kbit/s.
const PROGRESS: usize = 64 << 10;

/// How long a receiver may be behind in all: its senders' messages to everybody else wait as long. From [`HIGH`] to
/// [`LOW`] this is 140 kbit/s, so it is for those who take just enough not to be stuck, and for that on purpose. Less
/// throws people out whose line is bad for a while, more lets one hold up everybody's chat for longer.
const MAX_BEHIND: Duration = Duration::from_secs(60);

/// A receiver that has fallen behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Congestion {
    /// When it fell behind.
    began: Instant,
    /// When it last took enough.
    since: Instant,
    /// Bytes that waited then.
    backlog: usize,
}

/// What a look at a receiver that has fallen behind shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Relieved,
    Behind(Congestion),
    Stuck,
}

impl Congestion {
    fn new(now: Instant, backlog: usize) -> Self {
        Self { began: now, since: now, backlog }
    }

    fn look(self, now: Instant, backlog: usize) -> State {
        if backlog <= LOW {
            State::Relieved
        } else if now.saturating_duration_since(self.began) >= MAX_BEHIND {
            State::Stuck
        } else if backlog.saturating_add(PROGRESS) <= self.backlog {
            State::Behind(Self { since: now, backlog, ..self })
        } else if now.saturating_duration_since(self.since) >= PATIENCE {
            State::Stuck
        } else {
            // What others have sent meanwhile is no lack of progress.
            State::Behind(Self { backlog: self.backlog.max(backlog), ..self })
        }
    }
}

impl Participant {
    /// Bytes of reliable data that wait for it.
    fn backlog(&mut self) -> usize {
        let queued = self.links.sending_mut().transport.data_queued(DataChannel::Reliable);
        queued.saturating_add(self.early_bytes())
    }

    /// Whether its reliable data is not read for now.
    pub(super) fn is_held(&self) -> bool {
        !self.waits_for.is_empty()
    }

    /// On each of its connections: clients with two may send on both.
    pub(super) fn hold_data(&mut self, is_held: bool) {
        for (_, link) in self.links.iter_mut() {
            link.transport.hold_data(is_held);
        }
    }
}

impl super::Room {
    /// Reliable data of `sender` was queued for `receiver`: if too much waits there, the sender has to wait.
    pub(super) fn note_backlog(&mut self, context: &mut Context<'_>, sender: usize, receiver: usize) {
        let Some(participant) = self.participants.get_mut(receiver) else { return };
        let backlog = participant.backlog();
        if backlog <= HIGH {
            return;
        }
        if participant.congestion.is_none() {
            participant.congestion = Some(Congestion::new(context.now, backlog));
            context.reject("data", "receiver-slow");
        }
        if let Some(sender) = self.participants.get_mut(sender)
            && !sender.waits_for.contains(&receiver)
        {
            sender.waits_for.push(receiver);
            sender.hold_data(true);
        }
    }

    /// Lets each sender go on when all that it waits for have caught up; whoever is stuck has to join anew.
    pub(super) fn relieve_data(&mut self, context: &mut Context<'_>) {
        let (mut behind, mut stuck) = (HashSet::new(), Vec::new()); // nothing is allocated while nobody is behind
        for (key, participant) in &mut self.participants {
            let Some(congestion) = participant.congestion else { continue };
            participant.congestion = match congestion.look(context.now, participant.backlog()) {
                State::Relieved => None,
                State::Behind(congestion) => {
                    behind.insert(key);
                    Some(congestion)
                }
                State::Stuck => {
                    stuck.push(key);
                    None
                }
            };
        }
        for key in stuck {
            context.reject("data", "receiver-stuck");
            self.start_afresh(context, key);
        }
        let held = self.participants.iter_mut().filter(|(_, participant)| participant.is_held());
        let relieved: Vec<usize> = held
            .filter_map(|(key, participant)| {
                participant.waits_for.retain(|receiver| behind.contains(receiver));
                (!participant.is_held()).then_some(key)
            })
            .collect();
        for key in relieved {
            let Some(participant) = self.participants.get_mut(key) else { continue };
            participant.hold_data(false);
            self.drain_transport(context, key); // may be held again
            self.mark_dirty(key);
            self.schedule(context, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use protocol::ids::{RoomName, RoomSid};
    use protocol::livekit;

    use super::*;
    use crate::peer::transport::{IceCredentials, Transport};
    use crate::room::Room;

    #[test]
    fn who_takes_little_is_waited_for_and_who_takes_nothing_is_stuck() {
        let start = crate::test_start();
        let mut congestion = Congestion::new(start, HIGH);
        let mut backlog = HIGH;
        // 64 KiB in 14 s, again and again.
        for round in 1..4 {
            backlog -= PROGRESS;
            let now = start + Duration::from_secs(14) * round;
            let State::Behind(next) = congestion.look(now, backlog) else { panic!("round {round}") };
            congestion = next;
        }
        let last = start + Duration::from_secs(14 * 3);
        assert_eq!(congestion.look(last + PATIENCE, backlog - PROGRESS + 1), State::Stuck);
        assert_eq!(congestion.look(last + PATIENCE, LOW), State::Relieved);
    }

    #[test]
    fn what_is_added_is_no_reason_to_be_impatient() {
        let start = crate::test_start();
        let congestion = Congestion::new(start, HIGH);
        let State::Behind(congestion) = congestion.look(start, HIGH + 2 * PROGRESS) else { panic!("behind") };
        let now = start + Duration::from_secs(14);
        assert!(matches!(congestion.look(now, HIGH + PROGRESS), State::Behind(next) if next.since == now));
    }

    #[test]
    fn who_stays_behind_for_ever_is_not_waited_for_however_steadily_it_takes() {
        let start = crate::test_start();
        let mut congestion = Congestion::new(start, 100 * HIGH);
        let mut seconds = 0;
        while let State::Behind(next) =
            congestion.look(start + Duration::from_secs(seconds), 100 * HIGH - seconds as usize * PROGRESS)
        {
            congestion = next;
            seconds += 1;
        }
        assert_eq!(seconds, MAX_BEHIND.as_secs());
    }

    /// A room, and the keys of anna, ben and cleo in it; anna has two peer connections.
    fn room(context: &mut Context<'_>) -> (Room, [usize; 3]) {
        let mut room = Room::new(RoomName::new("r"), RoomSid::from_random([1; 12]), 0, context.now);
        let keys = [(1, "anna"), (2, "ben"), (3, "cleo")].map(|(session, identity)| {
            let mut join = crate::test_join(session, "r", identity);
            if identity == "anna" {
                (join.two_connections, join.keyed) = (true, None);
            }
            room.join(context, join).unwrap()
        });
        (room, keys)
    }

    fn packet(destination: &str) -> Vec<u8> {
        let user = livekit::UserPacket { payload: vec![7; 60_000], ..Default::default() };
        let value = Some(livekit::data_packet::Value::User(user));
        let destination_identities = vec![destination.to_owned()];
        livekit::DataPacket { value, destination_identities, ..Default::default() }.encode_to_vec()
    }

    #[test]
    fn senders_wait_for_those_alone_that_they_send_to_and_on_all_their_connections() {
        let now = crate::test_start();
        crate::room::test_world::turn(now, |context| {
            let (mut room, [anna, ben, cleo]) = room(context);
            // Nobody has opened a channel, so all of it waits.
            for _ in 0..40 {
                room.handle_data(context, anna, DataChannel::Reliable, &packet("ben"));
                room.handle_data(context, ben, DataChannel::Reliable, &packet("cleo"));
            }
            let held = |room: &Room, key: usize| -> Vec<bool> {
                room.participants[key].links.iter().map(|link| link.transport.is_data_held()).collect()
            };
            assert_eq!(
                (held(&room, anna), held(&room, ben), held(&room, cleo)),
                (vec![true], vec![true], vec![false])
            );
            let credentials = IceCredentials::generate(0, context.random);
            room.participants[anna].links.add_publisher(Transport::new(context.shared, credentials, now));
            room.participants[anna].hold_data(true);
            assert_eq!(held(&room, anna), [true, true]);

            room.participants[cleo].take_early();
            room.relieve_data(context);
            assert_eq!(
                (held(&room, anna), held(&room, ben)),
                (vec![true, true], vec![false]),
                "ben has not caught up"
            );
            room.participants[ben].take_early();
            room.relieve_data(context);
            assert_eq!(held(&room, anna), [false, false]);
        });
    }
}
