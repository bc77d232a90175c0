//! How long packets stand in a queue: their delay above the least that was seen lately.

use std::time::Duration;

/// The least delay is looked for over one to two of these, in microseconds: clocks drift by some milliseconds in a
/// minute, and routes change.
const WINDOW: i64 = 15_000_000;

/// Share of the newest delay in the smoothed one: about ten packets.
const SMOOTHING: f64 = 0.1;

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct QueueMeter {
    /// Least delay of the last window and of the current one, and when that began.
    before: Option<i64>,
    current: Option<(i64, i64)>,
    smoothed: Option<f64>,
}

impl QueueMeter {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet sent at `sent` of our clock arrived at `arrival` of the receiver's, in microseconds since any zero.
    pub fn packet(&mut self, sent: i64, arrival: i64) {
        let delay = arrival.saturating_sub(sent);
        self.current = Some(match self.current {
            Some((least, began)) if sent.saturating_sub(began) < WINDOW => (least.min(delay), began),
            Some((least, _)) => {
                self.before = Some(least);
                (delay, sent)
            }
            None => (delay, sent),
        });
        let delay = delay as f64;
        self.smoothed = Some(self.smoothed.map_or(delay, |mean| mean + SMOOTHING * (delay - mean)));
    }

    /// How long packets stand in the queue now.
    pub fn delay(&self) -> Duration {
        let least = self.before.into_iter().chain(self.current.map(|(least, _)| least)).min();
        match (least, self.smoothed) {
            (Some(least), Some(mean)) => Duration::from_micros((mean - least as f64).clamp(0.0, 1e7) as u64),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_differ_and_the_queue_is_seen_all_the_same() {
        let mut meter = QueueMeter::new();
        assert_eq!(meter.delay(), Duration::ZERO);
        for packet in 0..100 {
            meter.packet(packet * 10_000, packet * 10_000 - 5_000_000);
        }
        assert_eq!(meter.delay(), Duration::ZERO);
        for packet in 100..200 {
            meter.packet(packet * 10_000, packet * 10_000 - 4_800_000);
        }
        let delay = meter.delay().as_millis();
        assert!((190..=200).contains(&delay), "{delay}");
    }
}
