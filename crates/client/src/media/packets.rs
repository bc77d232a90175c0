//! Splitting a frame over packets of nearly equal size.

/// The sizes into which `total` bytes are split so that none is above `limit` and they differ by at most one,
/// the smaller ones first, as browsers do it (measured). At least one size, even for nothing.
pub(crate) fn even_sizes(total: usize, limit: usize) -> Vec<usize> {
    let count = total.div_ceil(limit.max(1)).max(1);
    let (size, larger) = (total / count, total % count);
    (0..count).map(|index| size + usize::from(index >= count - larger)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_add_up_and_differ_by_at_most_one() {
        assert_eq!(even_sizes(0, 10), [0]);
        assert_eq!(even_sizes(10, 10), [10]);
        assert_eq!(even_sizes(11, 10), [5, 6]);
        assert_eq!(even_sizes(31, 10), [7, 8, 8, 8]);
    }
}
