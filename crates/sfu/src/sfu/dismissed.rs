//! Who was sent away for good, perhaps while its client could not hear it: then it is told when the client comes back,
//! which would join again otherwise.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use protocol::ids::ParticipantSid;
use protocol::livekit::DisconnectReason;

/// How many are remembered, the newest: a hundred large rooms that are deleted within [`MEMORY`]. About 60 bytes each.
const MAX: usize = 20_000;

/// For how long: up to 30 s until a dead connection was found dead, the grace of a participant, and what a client's
/// attempts take. Who comes later joins anew, as its token allows.
const MEMORY: Duration = Duration::from_secs(90);

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Dismissed {
    /// Oldest first.
    gone: VecDeque<(Instant, ParticipantSid, DisconnectReason)>,
}

impl Dismissed {
    pub(super) fn push(&mut self, now: Instant, sid: ParticipantSid, reason: DisconnectReason) {
        while self.gone.len() >= MAX || self.gone.front().is_some_and(|(at, ..)| is_old(now, *at)) {
            self.gone.pop_front();
        }
        self.gone.push_back((now, sid, reason));
    }

    /// Why a stay ended for good, if that was lately.
    pub(super) fn reason(&self, now: Instant, sid: &str) -> Option<DisconnectReason> {
        let recent = self.gone.iter().filter(|(at, ..)| !is_old(now, *at));
        recent.rev().find(|(_, known, _)| known.as_str() == sid).map(|(.., reason)| *reason)
    }
}

fn is_old(now: Instant, at: Instant) -> bool {
    now.saturating_duration_since(at) > MEMORY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_for_a_while() {
        let start = crate::test_start();
        let sid = |number: usize| {
            ParticipantSid::from_random(std::array::from_fn(|digit| (number >> (2 * digit)) as u8 & 3))
        };
        let mut dismissed = Dismissed::default();
        for number in 0..=MAX {
            dismissed.push(start, sid(number), DisconnectReason::RoomDeleted);
        }
        assert_eq!(dismissed.reason(start, sid(0).as_str()), None, "one too many");
        assert_eq!(dismissed.reason(start + MEMORY, sid(1).as_str()), Some(DisconnectReason::RoomDeleted));
        let later = start + MEMORY + Duration::from_secs(1);
        assert_eq!(dismissed.reason(later, sid(1).as_str()), None);
        dismissed.push(later, sid(1), DisconnectReason::ParticipantRemoved);
        assert_eq!(dismissed.gone.len(), 1);
    }
}
