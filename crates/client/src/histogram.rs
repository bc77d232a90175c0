//! Durations counted in buckets that grow with the value: a relative error of about 6 % in 2 KB.

use std::time::Duration;

/// Buckets per doubling.
const STEPS: u32 = 8;
const BUCKETS: usize = 40 * STEPS as usize;

/// Durations from a microsecond up.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    min: Duration,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Vec::new(), count: 0, min: Duration::MAX, max: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, value: Duration) {
        if self.buckets.is_empty() {
            self.buckets.resize(BUCKETS, 0);
        }
        if let Some(bucket) = self.buckets.get_mut(bucket(value)) {
            *bucket += 1;
        }
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.buckets.resize(BUCKETS, 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The shortest; zero if there is none.
    pub fn min(&self) -> Duration {
        if self.count == 0 { Duration::ZERO } else { self.min }
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The duration that the share `quantile` (0 to 1) of all do not exceed, up to the bucket's width.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let rank = ((self.count as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_edge(index).clamp(self.min(), self.max);
            }
        }
        self.max
    }
}

fn bucket(value: Duration) -> usize {
    let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX).max(1);
    let exponent = micros.ilog2();
    let fraction = ((micros as f64 / (1_u64 << exponent) as f64 - 1.0) * f64::from(STEPS)) as usize;
    (exponent as usize * STEPS as usize + fraction).min(BUCKETS - 1)
}

fn upper_edge(index: usize) -> Duration {
    let (exponent, fraction) = (index / STEPS as usize, index % STEPS as usize);
    let micros = (1_u64 << exponent) as f64 * (1.0 + (fraction + 1) as f64 / f64::from(STEPS));
    Duration::from_secs_f64(micros / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_an_eighth() {
        let mut histogram = Histogram::default();
        for millis in 1..=1000 {
            histogram.record(Duration::from_millis(millis));
        }
        for (quantile, expected) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let got = histogram.quantile(quantile).as_secs_f64() * 1e3;
            assert!((got / expected - 1.0).abs() < 0.13, "{quantile}: {got}");
        }
        assert_eq!(histogram.min(), Duration::from_millis(1));
        assert_eq!(histogram.quantile(1.0), Duration::from_secs(1));
        let mut both = Histogram::default();
        assert_eq!((both.min(), both.quantile(0.5)), (Duration::ZERO, Duration::ZERO));
        both.merge(&histogram);
        assert_eq!((both.count(), both.max()), (1000, Duration::from_secs(1)));
    }
}
