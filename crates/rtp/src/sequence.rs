//! Wrap-around: 16-bit sequence numbers and 32-bit timestamps as ever-growing 64-bit numbers, and comparisons
//! that hold across the wrap.

/// Signed distance from `from` to `to` on the circle of 16-bit numbers: positive if `to` is newer. Numbers
/// exactly half a circle apart count as older.
#[inline]
pub fn distance(from: u16, to: u16) -> i16 {
    to.wrapping_sub(from).cast_signed()
}

/// Whether `a` comes after `b` (RFC 3550 A.1, RFC 1982).
#[inline]
pub fn is_newer(a: u16, b: u16) -> bool {
    distance(b, a) > 0
}

/// Whether timestamp `a` comes after timestamp `b`.
#[inline]
pub fn is_newer_timestamp(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
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

/// Extends 32-bit timestamps to the 64-bit number nearest to the highest seen; the first one starts at itself
/// plus 2³², for the same reason as with [`SequenceUnwrapper`].
#[derive(Clone, Debug, Default)]
pub struct TimestampUnwrapper {
    highest: Option<u64>,
}

impl TimestampUnwrapper {
    /// What the first timestamp is raised by.
    pub const OFFSET: u64 = 1 << 32;

    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The extended timestamp, remembered if it is the highest.
    #[inline]
    pub fn extend(&mut self, timestamp: u32) -> u64 {
        let extended = match self.highest {
            None => u64::from(timestamp) + Self::OFFSET,
            Some(highest) => {
                let step = timestamp.wrapping_sub(highest as u32).cast_signed();
                highest.saturating_add_signed(i64::from(step))
            }
        };
        if self.highest.is_none_or(|highest| extended > highest) {
            self.highest = Some(extended);
        }
        extended
    }

    /// The highest extended timestamp seen.
    #[inline]
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}
