//! Which frames of a stream come too late to be shown: a server that holds frames back must not show them after newer
//! ones. Judged by what is authentic, epochs and counters, and by one's own clock: a frame is late when one that was
//! sealed after it was opened more than two seconds ago. A stream that is late as a whole, as a shared screen may be,
//! loses nothing.

use std::collections::VecDeque;

/// Milliseconds that a frame may be behind.
pub(super) const LATE: u64 = 2000;
/// Marks are this far apart, so there are few of them.
const MARK: u64 = 200;

/// Where in the order of sealing a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) epoch: u64,
    pub(super) counter: u64,
}

#[derive(Debug, Default)]
pub(super) struct Lateness {
    /// The newest frame at some moments of the last two seconds, oldest first.
    marks: VecDeque<(u64, Place)>,
    newest: Option<Place>,
    /// What was the newest frame two seconds ago.
    floor: Option<Place>,
}

impl Lateness {
    pub(super) fn is_late(&mut self, place: Place, now: u64) -> bool {
        while let Some(&(at, mark)) = self.marks.front()
            && at + LATE < now
        {
            self.floor = Some(mark);
            self.marks.pop_front();
        }
        self.floor.is_some_and(|floor| place < floor)
    }

    pub(super) fn opened(&mut self, place: Place, now: u64) {
        if self.newest.is_some_and(|newest| place <= newest) {
            return;
        }
        self.newest = Some(place);
        if self.marks.back().is_none_or(|&(at, _)| now >= at + MARK) {
            self.marks.push_back((now, place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(counter: u64) -> Place {
        Place { epoch: 1, counter }
    }

    #[test]
    fn late_is_two_seconds_behind_what_was_opened() {
        let mut lateness = Lateness::default();
        lateness.opened(at(10), 0);
        assert!(!lateness.is_late(at(9), LATE));
        assert!(lateness.is_late(at(9), LATE + 1));
        assert!(!lateness.is_late(at(10), LATE + 1));
        assert!(!lateness.is_late(Place { epoch: 2, counter: 0 }, LATE + 1));
        assert!(lateness.is_late(Place { epoch: 0, counter: 99 }, LATE + 1));
    }

    #[test]
    fn a_stream_that_is_late_as_a_whole_loses_nothing() {
        let mut lateness = Lateness::default();
        for frame in 0..100 {
            assert!(!lateness.is_late(at(frame), frame * 5000));
            lateness.opened(at(frame), frame * 5000);
        }
    }
}
