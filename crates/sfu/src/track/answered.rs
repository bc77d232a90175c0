//! Which packets a subscriber was sent again a moment ago: asked for once more before the answer can have arrived,
//! they are not sent again.

use std::time::{Duration, Instant};

/// Packets remembered, a power of two: what a subscriber loses of one stream within a round trip. Of two that share a
/// place the newer is remembered, and the other may be sent twice.
const PLACES: usize = 128;

/// The longest time that a repeated request is held for too early, also on the longest path.
const LONGEST: Duration = Duration::from_millis(500);

/// See the module's description. Takes memory with the first loss only.
#[derive(Debug, Default)]
pub struct Answered {
    places: Vec<Option<(u16, Instant)>>,
}

impl Answered {
    /// Whether this packet was sent again so lately that the answer cannot have arrived, given the round trip to the
    /// subscriber.
    pub fn is_recent(&self, now: Instant, sequence: u16, rtt: Duration) -> bool {
        // A little less, since round trips vary and a request in time must not wait for the next.
        let wait = rtt.min(LONGEST) * 7 / 8;
        let place = self.places.get(usize::from(sequence) % PLACES).copied().flatten();
        place.is_some_and(|(known, at)| known == sequence && now < at + wait)
    }

    /// A packet is sent again.
    pub fn note(&mut self, now: Instant, sequence: u16) {
        if self.places.is_empty() {
            self.places.resize(PLACES, None);
        }
        if let Some(place) = self.places.get_mut(usize::from(sequence) % PLACES) {
            *place = Some((sequence, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Answered {
        /// Whether a request is answered.
        fn take(&mut self, now: Instant, sequence: u16, rtt: Duration) -> bool {
            let is_answered = !self.is_recent(now, sequence, rtt);
            if is_answered {
                self.note(now, sequence);
            }
            is_answered
        }
    }

    #[test]
    fn a_request_is_answered_once_within_a_round_trip() {
        let (mut answered, now) = (Answered::default(), crate::test_start());
        let (rtt, ms) = (Duration::from_millis(80), Duration::from_millis);
        assert!(answered.take(now, 7, rtt));
        assert!(answered.take(now, 8, rtt));
        assert!(!answered.take(now + ms(69), 7, rtt));
        assert!(answered.take(now + ms(70), 7, rtt));
        assert!(!answered.take(now + ms(139), 7, rtt), "which counts from the last answer");
        assert!(!answered.is_recent(now, 9, rtt) && answered.take(now, 9, rtt), "asking alone is no answer");
    }

    #[test]
    fn memory_is_bounded_and_a_long_path_is_not_made_to_wait() {
        let (mut answered, now) = (Answered::default(), crate::test_start());
        for sequence in 0..=u16::MAX {
            assert!(answered.take(now, sequence, Duration::from_secs(60)));
        }
        assert_eq!(answered.places.len(), PLACES);
        assert!(answered.take(now + LONGEST, u16::MAX, Duration::from_secs(60)));
    }
}
