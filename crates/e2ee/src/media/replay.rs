//! Which counters of a key have been used (RFC 9605 §9.3): a window of the last 1024. A sender has one counter for all
//! its streams, so there is one window for all of them, and it is as wide as some seconds of camera, screen and sound.

/// Counters that the window is wide.
pub(super) const WINDOW: u64 = 1024;
const WORDS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct ReplayWindow {
    /// One bit a counter, at its place modulo the width.
    bits: [u64; WORDS],
    newest: Option<u64>,
}

impl ReplayWindow {
    /// Whether a counter may still come: it is neither used nor too old to know.
    pub(super) fn is_fresh(&self, counter: u64) -> bool {
        match self.newest {
            Some(newest) if counter <= newest => newest - counter < WINDOW && !self.has(counter),
            _ => true,
        }
    }

    /// Notes the counter of a frame that has proved authentic; false if it was not fresh.
    pub(super) fn take(&mut self, counter: u64) -> bool {
        if !self.is_fresh(counter) {
            return false;
        }
        match self.newest {
            Some(newest) if counter <= newest => {}
            Some(newest) if counter - newest < WINDOW => {
                (newest + 1..counter).for_each(|skipped| self.set(skipped, false));
                self.newest = Some(counter);
            }
            _ => {
                self.bits = [0; WORDS];
                self.newest = Some(counter);
            }
        }
        self.set(counter, true);
        true
    }

    fn has(&self, counter: u64) -> bool {
        let (word, bit) = place(counter);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn set(&mut self, counter: u64, used: bool) {
        let (word, bit) = place(counter);
        if let Some(bits) = self.bits.get_mut(word) {
            *bits = if used { *bits | bit } else { *bits & !bit };
        }
    }
}

fn place(counter: u64) -> (usize, u64) {
    let place = counter % WINDOW;
    ((place / 64) as usize, 1 << (place % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_counter_is_taken_once_and_none_from_before_the_window() {
        let mut window = ReplayWindow::default();
        assert!(window.take(5000));
        assert!(!window.take(5000));
        assert!(window.take(5001 - WINDOW));
        assert!(!window.take(5001 - WINDOW));
        assert!(!window.take(5000 - WINDOW));
        assert!(window.take(u64::MAX));
        assert!(!window.take(u64::MAX));
    }

    proptest! {
        #[test]
        fn it_does_what_a_set_of_all_counters_would(
            start in prop_oneof![0..3000_u64, Just(1 << 40)],
            moves in prop::collection::vec(prop_oneof![-1100_i64..40, 0_i64..3000], 0..200),
        ) {
            let mut window = ReplayWindow::default();
            let mut used = BTreeSet::from([start]);
            let mut newest = start;
            window.take(start);
            for step in moves {
                let counter = newest.saturating_add_signed(step);
                let fresh = counter + WINDOW > newest && !used.contains(&counter);
                prop_assert_eq!(window.is_fresh(counter), fresh);
                prop_assert_eq!(window.take(counter), fresh);
                if fresh {
                    used.insert(counter);
                }
                newest = newest.max(counter);
            }
        }
    }
}
