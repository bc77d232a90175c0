//! Reliable data for somebody whose line is slower than its senders: nothing of it may be lost and memory is bounded, so
//! the senders wait. What they send is not read from SCTP any more, its receive window closes (RFC 9260 §6.2.1), and
//! their clients keep what they have. Lossy data, sound and pictures go on.

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

/// A receiver that has fallen behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Congestion {
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
    fn look(self, now: Instant, backlog: usize) -> State {
        if backlog <= LOW {
            State::Relieved
        } else if backlog.saturating_add(PROGRESS) <= self.backlog {
            State::Behind(Self { since: now, backlog })
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

    fn hold_data(&mut self, is_held: bool) {
        self.is_data_held = is_held;
        if let Some(link) = self.links.receiving_mut() {
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
            participant.congestion = Some(Congestion { since: context.now, backlog });
            context.reject("data", "receiver-slow");
        }
        if let Some(sender) = self.participants.get_mut(sender) {
            sender.hold_data(true);
        }
    }

    /// Lets senders go on when everybody they may wait for has caught up; whoever is stuck has to join anew.
    pub(super) fn relieve_data(&mut self, context: &mut Context<'_>) {
        let (mut is_congested, mut stuck) = (false, Vec::new());
        for (key, participant) in &mut self.participants {
            let Some(congestion) = participant.congestion else { continue };
            participant.congestion = match congestion.look(context.now, participant.backlog()) {
                State::Relieved => None,
                State::Behind(congestion) => {
                    is_congested = true;
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
        if is_congested {
            return;
        }
        let held = |(key, participant): (usize, &Participant)| participant.is_data_held.then_some(key);
        let held: Vec<usize> = self.participants.iter().filter_map(held).collect();
        for key in held {
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
    use super::*;

    #[test]
    fn who_takes_little_is_waited_for_and_who_takes_nothing_is_stuck() {
        let start = crate::test_start();
        let mut congestion = Congestion { since: start, backlog: HIGH };
        let mut backlog = HIGH;
        // 64 KiB in 14 s, again and again.
        for round in 1..8 {
            backlog -= PROGRESS;
            let now = start + Duration::from_secs(14) * round;
            let State::Behind(next) = congestion.look(now, backlog) else { panic!("round {round}") };
            congestion = next;
        }
        let last = start + Duration::from_secs(14 * 7);
        assert_eq!(congestion.look(last + PATIENCE, backlog - PROGRESS + 1), State::Stuck);
        assert_eq!(congestion.look(last + PATIENCE, LOW), State::Relieved);
    }

    #[test]
    fn what_is_added_is_no_reason_to_be_impatient() {
        let start = crate::test_start();
        let congestion = Congestion { since: start, backlog: HIGH };
        let State::Behind(congestion) = congestion.look(start, HIGH + 2 * PROGRESS) else { panic!("behind") };
        let now = start + Duration::from_secs(14);
        assert!(matches!(congestion.look(now, HIGH + PROGRESS), State::Behind(next) if next.since == now));
    }
}
