//! How fast a client may talk: a token bucket. A client that talks faster is read more slowly, so that
//! its own connection fills, not the server's memory.

use std::time::{Duration, Instant};

/// Messages that may come at once: settings for a page full of tiles.
const BURST: f64 = 400.0;

/// Messages per second in the long run; speaking clients send about one.
const RATE: f64 = 50.0;

/// The allowance of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    messages: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self { messages: BURST, at: now }
    }

    /// A message came.
    pub(super) fn take(&mut self, now: Instant) {
        self.refill(now);
        self.messages -= 1.0;
    }

    /// How long to wait before the next message is read; `None` is not at all.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.refill(now);
        (self.messages < 1.0).then(|| Duration::from_secs_f64((1.0 - self.messages) / RATE))
    }

    fn refill(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * RATE;
        self.messages = (self.messages + earned).min(BURST);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let mut now = start;
        let mut read = 0;
        while now < start + Duration::from_secs(10) {
            match bucket.wait(now) {
                Some(wait) => now += wait,
                None => {
                    bucket.take(now);
                    read += 1;
                }
            }
        }
        assert!((895..=905).contains(&read), "{read} messages in 10 s");
    }
}
