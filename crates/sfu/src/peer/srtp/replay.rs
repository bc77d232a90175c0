//! Replay windows (RFC 3711 §3.3.2) and the bounded table that keeps one per synchronisation source.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Remembers which of the last `WORDS * 64` indices were used. Used on both sides: to refuse replayed
/// packets, and to refuse sealing two packets under one index, which would break GCM.
#[derive(Clone, Debug)]
pub(super) struct ReplayWindow<const WORDS: usize> {
    /// Highest index committed; `None` before the first.
    highest: Option<u64>,
    /// Bit `index % (WORDS * 64)` of every index in the window.
    words: [u64; WORDS],
}

impl<const WORDS: usize> Default for ReplayWindow<WORDS> {
    fn default() -> Self {
        Self { highest: None, words: [0; WORDS] }
    }
}

impl<const WORDS: usize> ReplayWindow<WORDS> {
    const SIZE: u64 = WORDS as u64 * 64;

    pub(super) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Whether the index is neither used nor too old to know.
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        match self.highest {
            Some(highest) if index <= highest => {
                highest - index < Self::SIZE && self.words[word::<WORDS>(index)] & bit(index) == 0
            }
            _ => true,
        }
    }

    /// Marks a fresh index as used.
    pub(super) fn commit(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {}
            Some(highest) if index - highest < Self::SIZE => {
                for skipped in highest + 1..=index {
                    self.words[word::<WORDS>(skipped)] &= !bit(skipped);
                }
                self.highest = Some(index);
            }
            _ => {
                self.words = [0; WORDS];
                self.highest = Some(index);
            }
        }
        self.words[word::<WORDS>(index)] |= bit(index);
    }
}

fn word<const WORDS: usize>(index: u64) -> usize {
    (index / 64) as usize % WORDS
}

fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

/// State per SSRC, at most `LIMIT` of them: a new one beyond that replaces the one unused for longest.
#[derive(Debug)]
pub(super) struct SsrcTable<T, const LIMIT: usize> {
    entries: HashMap<u32, Entry<T>, BuildHasherDefault<SsrcHasher>>,
    /// Counts uses; orders entries by their last one.
    uses: u64,
}

#[derive(Debug)]
struct Entry<T> {
    used: u64,
    state: T,
}

impl<T, const LIMIT: usize> Default for SsrcTable<T, LIMIT> {
    fn default() -> Self {
        Self { entries: HashMap::default(), uses: 0 }
    }
}

impl<T: Default, const LIMIT: usize> SsrcTable<T, LIMIT> {
    pub(super) fn get(&self, ssrc: u32) -> Option<&T> {
        self.entries.get(&ssrc).map(|entry| &entry.state)
    }

    /// Whether one more SSRC would displace another.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= LIMIT
    }

    /// The state of an SSRC, made if it has none. To be called for authenticated packets only.
    pub(super) fn get_or_insert(&mut self, ssrc: u32) -> &mut T {
        self.uses += 1;
        if self.is_full() && !self.entries.contains_key(&ssrc) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(ssrc, _)| *ssrc);
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
            }
        }
        let entry = self.entries.entry(ssrc).or_insert_with(|| Entry { used: 0, state: T::default() });
        entry.used = self.uses;
        &mut entry.state
    }
}

/// One multiplication: SSRCs are 32 random bits, and the tables are bounded, so a sender that chooses
/// colliding ones slows down itself by a constant.
#[derive(Debug, Default)]
pub(super) struct SsrcHasher(u64);

impl Hasher for SsrcHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        let mixed = (self.0 ^ u64::from(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The window agrees with a plain set of all indices ever used, but for those older than it.
        #[test]
        fn a_window_refuses_exactly_what_was_used_or_is_too_old(
            steps in prop::collection::vec((0u64..400, any::<bool>()), 1..300),
            start in 0u64..1 << 47,
        ) {
            let mut window = ReplayWindow::<2>::default();
            let mut used = HashSet::new();
            let mut highest = None::<u64>;
            for (offset, back) in steps {
                let index = match highest {
                    None => start,
                    Some(highest) if back => highest.saturating_sub(offset),
                    Some(highest) => highest + offset,
                };
                let too_old = highest.is_some_and(|highest| highest >= index + 128);
                let fresh = !too_old && !used.contains(&index);
                prop_assert_eq!(window.is_fresh(index), fresh);
                if fresh {
                    window.commit(index);
                    used.insert(index);
                    highest = highest.max(Some(index));
                    prop_assert_eq!(window.highest(), highest);
                }
            }
        }
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_source_unused_for_longest() {
        let mut table = SsrcTable::<u32, 3>::default();
        for ssrc in [1, 2, 3, 1, 4] {
            *table.get_or_insert(ssrc) += 1;
        }
        assert_eq!(table.get(1), Some(&2));
        assert_eq!(table.get(2), None);
        assert_eq!((table.get(3), table.get(4)), (Some(&1), Some(&1)));
    }
}
