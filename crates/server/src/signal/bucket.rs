//! How fast a client may talk: a token bucket. A client that talks faster is read more slowly, so that
//! its own connection fills, not the server's memory.

use std::time::{Duration, Instant};

/// Messages that may come at once: settings for a page full of tiles.
const BURST: f64 = 400.0;

/// Messages per second in the long run; speaking clients send about one.
const RATE: f64 = 50.0;

/// Bytes that count as a further message, so that large messages cannot fill the workers' queues.
const BYTES_PER_MESSAGE: usize = 4096;

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

    /// A message of so many bytes came.
    pub(super) fn take(&mut self, now: Instant, bytes: usize) {
        self.refill(now);
        self.messages -= 1.0 + (bytes / BYTES_PER_MESSAGE) as f64;
    }

    /// How long to wait before the next message is read; `None` is not at all.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.refill(now);
        // Rounded up, so that after the wait there is something to take.
        let wait = Duration::from_secs_f64((1.0 - self.messages).max(0.0) / RATE) + Duration::from_nanos(1);
        (self.messages < 1.0).then_some(wait)
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

    /// How many messages of a size are read in ten seconds.
    fn read(bytes: usize) -> usize {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let mut now = start;
        let mut read = 0;
        while now < start + Duration::from_secs(10) {
            match bucket.wait(now) {
                Some(wait) => now += wait,
                None => {
                    bucket.take(now, bytes);
                    read += 1;
                }
            }
        }
        read
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let read = read(100);
        assert!((895..=905).contains(&read), "{read} messages in 10 s");
    }

    #[test]
    fn large_messages_count_as_many() {
        let read = read(1 << 20);
        assert!((3..=5).contains(&read), "{read} messages of 1 MiB in 10 s");
    }
}
