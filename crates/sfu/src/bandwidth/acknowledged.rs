//! Rates measured over a sliding window: what the other side acknowledged, by its clock of arrivals, and what was sent,
//! by ours.

use std::time::Duration;

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

/// A packet that stood in a queue for this long followed the one before it as closely as the line allows. Less takes
/// jitter for a queue, more sees only bad ones.
const QUEUED: Duration = Duration::from_millis(8);

/// Time in queues over which a line's rate is remembered, in microseconds.
const BUSY_MEMORY: f64 = 200_000.0;

/// Time in queues that must have been seen, in microseconds: some packets on a slow line.
const BUSY_LEAST: f64 = 15_000.0;

/// What is known of a queue is forgotten after this, in microseconds: lines change.
const BUSY_FORGOTTEN: i64 = 500_000;

/// The rate of the line while packets waited in it: exact after a few of them, also if what is sent is bursts and pauses,
/// of which the means say little.
#[derive(Clone, Debug, Default)]
pub struct BusyMeter {
    last: Option<i64>,
    bytes: f64,
    micros: f64,
    seen: i64,
}

impl BusyMeter {
    /// Nothing measured yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet arrived at `arrival` (microseconds), in the order of arrival, having stood in a queue for `queued`.
    pub fn packet(&mut self, arrival: i64, bytes: u32, queued: Duration) {
        let gap = self.last.replace(arrival).map(|last| arrival.saturating_sub(last));
        if arrival.saturating_sub(self.seen) > BUSY_FORGOTTEN {
            (self.bytes, self.micros) = (0.0, 0.0);
        }
        let Some(gap) = gap.filter(|gap| (0..BUSY_FORGOTTEN).contains(gap) && queued >= QUEUED) else {
            return;
        };
        let kept = (1.0 - gap as f64 / BUSY_MEMORY).max(0.0);
        self.bytes = self.bytes * kept + f64::from(bytes);
        self.micros = self.micros * kept + gap as f64;
        self.seen = arrival;
    }

    /// Bits per second of the line, if a queue was seen a moment ago.
    pub fn rate(&self) -> Option<u64> {
        let is_new = self.last.is_some_and(|last| last.saturating_sub(self.seen) <= BUSY_FORGOTTEN);
        (is_new && self.micros >= BUSY_LEAST).then(|| (self.bytes * 8_000_000.0 / self.micros) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bursts_with_pauses_tell_the_rate_of_the_line() {
        let mut meter = BusyMeter::new();
        for burst in 0..5 {
            for packet in 0..10i64 {
                // 1000 bytes every 8 ms are 1 Mbit/s; a burst every second is 80 kbit/s.
                let arrival = burst * 1_000_000 + packet * 8_000;
                meter.packet(arrival, 1000, Duration::from_millis(packet as u64 * 6));
            }
            let rate = meter.rate().expect("a queue was there");
            assert!((950_000..=1_050_000).contains(&rate), "{rate}");
        }
        meter.packet(9_000_000, 1000, Duration::ZERO);
        assert_eq!(meter.rate(), None, "that is long ago");
    }

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
