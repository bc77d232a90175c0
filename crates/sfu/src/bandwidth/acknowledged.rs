//! Rates measured over a sliding window: what the other side acknowledged, by its clock of arrivals, and what was sent,
//! by ours.

/// Length of a bucket in microseconds. Shorter follows more exactly and takes more memory.
const BUCKET: i64 = 25_000;

/// Buckets of the window: 500 ms, half a picture group of 15 frames, so that one key frame does not count as a rate. A
/// longer window learns of a drop later, a shorter one wavers with every frame.
const BUCKETS: usize = 20;

/// Time that must have been seen before there is a rate: 150 ms.
const LEAST: i64 = 6 * BUCKET;

/// Buckets of the shorter window.
const RECENT: i64 = 8;

/// Bytes in a window that ends with the newest observation.
#[derive(Clone, Debug, Default)]
pub struct RateMeter {
    /// Number of the newest bucket; times are in buckets since any zero.
    newest: Option<i64>,
    oldest: i64,
    bytes: [u64; BUCKETS],
}

impl RateMeter {
    /// Nothing measured yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `bytes` at `micros` since any zero. What is older than the window is ignored.
    pub fn add(&mut self, micros: i64, bytes: u32) {
        let bucket = micros.div_euclid(BUCKET);
        let newest = match self.newest {
            None => {
                self.oldest = bucket;
                bucket
            }
            Some(newest) => newest.max(bucket),
        };
        self.advance(newest);
        if newest - bucket < BUCKETS as i64
            && let Some(sum) = self.bytes.get_mut(bucket.rem_euclid(BUCKETS as i64) as usize)
        {
            *sum = sum.saturating_add(u64::from(bytes));
        }
    }

    /// Time passed without anything to count.
    pub fn pass(&mut self, micros: i64) {
        if let Some(newest) = self.newest {
            self.advance(newest.max(micros.div_euclid(BUCKET)));
        }
    }

    /// Bits per second over the window, without its newest bucket, which is not full yet; `None` before 150 ms were
    /// seen.
    pub fn rate(&self) -> Option<u64> {
        self.over(BUCKETS as i64 - 1)
    }

    /// The same over the last 200 ms: while a queue stands, arrivals are as even as the line, so little is enough.
    pub fn recent(&self) -> Option<u64> {
        self.over(RECENT)
    }

    fn over(&self, buckets: i64) -> Option<u64> {
        let newest = self.newest?;
        let seen = newest.saturating_sub(self.oldest).min(buckets);
        if seen * BUCKET < LEAST {
            return None;
        }
        let bucket = |number: i64| self.bytes.get(number.rem_euclid(BUCKETS as i64) as usize).copied();
        let bytes = (newest - seen..newest).filter_map(bucket).fold(0, u64::saturating_add);
        Some(bytes.saturating_mul(8_000_000) / (seen * BUCKET) as u64)
    }

    fn advance(&mut self, newest: i64) {
        if let Some(before) = self.newest {
            for bucket in (before + 1..=newest).take(BUCKETS) {
                if let Some(sum) = self.bytes.get_mut(bucket.rem_euclid(BUCKETS as i64) as usize) {
                    *sum = 0;
                }
            }
            // A gap longer than the window leaves buckets of numbers that were not visited.
            if newest - before > BUCKETS as i64 {
                self.bytes = [0; BUCKETS];
            }
        }
        self.newest = Some(newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_steady_stream_has_its_rate_and_a_pause_takes_it_away() {
        let mut meter = RateMeter::new();
        for millis in 0..2000 {
            meter.add(millis * 1000, 125);
            if millis < 100 {
                assert_eq!(meter.rate(), None);
            }
        }
        let rate = meter.rate().expect("enough was seen");
        assert!((990_000..=1_010_000).contains(&rate), "{rate}");
        meter.pass(3_000_000);
        assert_eq!(meter.rate(), Some(0));
    }

    proptest! {
        /// Times of any order and size never break it.
        #[test]
        fn any_times_do(times in prop::collection::vec(((-(1i64 << 50))..(1i64 << 50), any::<u32>()), 0..100)) {
            let mut meter = RateMeter::new();
            for (micros, bytes) in times {
                meter.add(micros, bytes);
                meter.rate();
            }
        }
    }
}
