//! How long packets stand in a queue: their delay above the least that was seen lately.

use std::time::Duration;

/// The least delay is looked for over one to two of these, in microseconds: clocks drift by some milliseconds in a
/// minute, and routes change.
const WINDOW: i64 = 15_000_000;

/// A queue stands if no packet passes without it for one to two of these, in microseconds. Jitter and the burst of a key
/// frame are none.
const STANDING: i64 = 150_000;

/// Share of a packet in the jitter: a few seconds of sound and pictures.
const JITTER_SHARE: f64 = 1.0 / 256.0;

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct QueueMeter {
    /// Least delay of the last window and of the current one, and when that began.
    before: Option<i64>,
    current: Option<(i64, i64)>,
    /// The same over the last moments.
    recent: (Option<i64>, Option<(i64, i64)>),
    /// Mean delay above that of the quickest packet of the last moments, in microseconds.
    jitter: f64,
}

impl QueueMeter {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet sent at `sent` of our clock arrived at `arrival` of the receiver's, in microseconds since any zero.
    pub fn packet(&mut self, sent: i64, arrival: i64) {
        let delay = arrival.saturating_sub(sent);
        roll(&mut self.before, &mut self.current, WINDOW, sent, delay);
        roll(&mut self.recent.0, &mut self.recent.1, STANDING, sent, delay);
        let above = self.quickest().map_or(0, |quickest| delay.saturating_sub(quickest).clamp(0, 1_000_000));
        self.jitter += (above as f64 - self.jitter) * JITTER_SHARE;
    }

    /// How much later than the quickest of their moment packets arrive in the mean: bursts of our own, and what the line makes
    /// of its own accord.
    pub fn jitter(&self) -> Duration {
        Duration::from_micros(self.jitter as u64)
    }

    /// The least delay of the last moments.
    fn quickest(&self) -> Option<i64> {
        self.recent.0.into_iter().chain(self.recent.1.map(|(least, _)| least)).min()
    }

    /// How long a packet stood in the queue.
    pub fn delay_of(&self, sent: i64, arrival: i64) -> Duration {
        let least = self.least().unwrap_or(arrival.saturating_sub(sent));
        let delay = arrival.saturating_sub(sent).saturating_sub(least);
        Duration::from_micros(delay.clamp(0, 10_000_000) as u64)
    }

    fn least(&self) -> Option<i64> {
        self.before.into_iter().chain(self.current.map(|(least, _)| least)).min()
    }

    /// How long packets stand in the queue now.
    pub fn delay(&self) -> Duration {
        match (self.least(), self.quickest()) {
            (Some(least), Some(recent)) => {
                Duration::from_micros((recent - least).clamp(0, 10_000_000) as u64)
            }
            _ => Duration::ZERO,
        }
    }
}

/// Takes a delay into the least of the current window, and begins another one when that is over.
fn roll(before: &mut Option<i64>, current: &mut Option<(i64, i64)>, window: i64, at: i64, delay: i64) {
    *current = Some(match *current {
        Some((least, began)) if at.saturating_sub(began) < window => (least.min(delay), began),
        Some((least, began)) => {
            // A window in which nothing came says nothing of now.
            *before = (at.saturating_sub(began) < 2 * window).then_some(least);
            (delay, at)
        }
        None => (delay, at),
    });
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
