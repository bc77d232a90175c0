//! Wrap-around: 16-bit sequence numbers as ever-growing 64-bit numbers, and distances that hold across the wrap.

/// Signed distance from `from` to `to` on the circle of 16-bit numbers: positive if `to` is newer. Numbers
/// exactly half a circle apart count as older.
#[inline]
pub fn distance(from: u16, to: u16) -> i16 {
    to.wrapping_sub(from).cast_signed()
}

/// Extends 16-bit sequence numbers to the 64-bit number nearest to the highest seen (RFC 3711 §3.3.1). The
/// first number seen starts one circle up ([`Self::OFFSET`]), so that packets that were overtaken by it still
/// have a number. The lower 16 bits of a result are always the input.
#[derive(Clone, Debug, Default)]
pub struct SequenceUnwrapper {
    highest: Option<u64>,
}

impl SequenceUnwrapper {
    /// What the first number is raised by.
    pub const OFFSET: u64 = 1 << 16;

    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The extended number of `sequence`, remembered if it is the highest.
    #[inline]
    pub fn extend(&mut self, sequence: u16) -> u64 {
        let extended = self.peek(sequence);
        if self.highest.is_none_or(|highest| extended > highest) {
            self.highest = Some(extended);
        }
        extended
    }

    /// What [`extend`](Self::extend) would return, without remembering it. For numbers that are not
    /// authenticated yet, or that a peer only names (NACK).
    #[inline]
    pub fn peek(&self, sequence: u16) -> u64 {
        match self.highest {
            None => u64::from(sequence) + Self::OFFSET,
            Some(highest) => highest.saturating_add_signed(i64::from(distance(highest as u16, sequence))),
        }
    }

    /// The highest extended number seen.
    #[inline]
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_hold_across_the_wrap() {
        assert_eq!((distance(65_530, 4), distance(4, 65_530)), (10, -10));
        assert!(distance(0, 32_767) > 0 && distance(0, 32_768) < 0, "half a circle is older");
    }

    #[test]
    fn sequence_numbers_grow_over_several_wraps() {
        let mut unwrapper = SequenceUnwrapper::new();
        let start = unwrapper.extend(65_000);
        assert_eq!(start, 65_000 + SequenceUnwrapper::OFFSET);
        for step in 1..200_000_u64 {
            assert_eq!(unwrapper.extend((65_000 + step) as u16), start + step);
        }
    }

    #[test]
    fn late_packets_keep_their_number_on_either_side_of_the_wrap() {
        let mut unwrapper = SequenceUnwrapper::new();
        let first = unwrapper.extend(2);
        assert_eq!(unwrapper.extend(65_534), first - 4, "overtaken by the first packet seen");
        assert_eq!(unwrapper.highest(), Some(first));
        assert_eq!(unwrapper.peek(40), first + 38);
        assert_eq!(unwrapper.highest(), Some(first), "peek remembers nothing");
        assert_eq!(unwrapper.extend(3), first + 1);
    }
}
