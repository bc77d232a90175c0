//! Which part of a published video track one subscriber gets: a spatial layer (a simulcast encoding, or a spatial
//! layer of one scalable stream) and a temporal layer of it.

/// Spatial layers at most: simulcast's q, h, f, or `L3` of a scalable stream.
pub const MAX_SPATIAL: usize = 3;

/// Temporal layers at most: `T3`, and one that some encoders add.
pub const MAX_TEMPORAL: usize = 4;

/// A spatial and a temporal layer, each counted from 0, the lowest. Everything below belongs to it as well: of
/// simulcast only the temporal layers, of a scalable stream the spatial layers too (RFC 9626 §1.2).
///
/// Ordered as quality is: first by size, then by frame rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerTarget {
    /// The spatial layer, below [`MAX_SPATIAL`].
    pub spatial: u8,
    /// The temporal layer, below [`MAX_TEMPORAL`].
    pub temporal: u8,
}

impl LayerTarget {
    /// All that could ever be sent.
    pub const BEST: Self = Self { spatial: MAX_SPATIAL as u8 - 1, temporal: MAX_TEMPORAL as u8 - 1 };

    /// The least that is a picture.
    pub const LOWEST: Self = Self { spatial: 0, temporal: 0 };

    /// The lower of both in each dimension.
    pub fn limited_to(self, limit: Self) -> Self {
        Self { spatial: self.spatial.min(limit.spatial), temporal: self.temporal.min(limit.temporal) }
    }
}

/// What each layer of a track costs, in bit/s as sent (headers included): `rates[spatial][temporal]` is everything that
/// [`LayerTarget`] stands for, so it grows along both dimensions; 0 where nothing arrives.
pub type LayerRates = [[u64; MAX_TEMPORAL]; MAX_SPATIAL];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_counts_before_rate_and_limits_hold_in_both() {
        let (small, large) =
            (LayerTarget { spatial: 0, temporal: 2 }, LayerTarget { spatial: 1, temporal: 0 });
        assert!(small < large && large < LayerTarget::BEST);
        assert_eq!(small.limited_to(large), LayerTarget::LOWEST);
    }
}
