//! Key-frame requests of one layer, coalesced over its subscribers and throttled (RFC 4585 §6.3.1): fifty
//! people who join at once cost the publisher one key frame, not fifty.

use std::time::{Duration, Instant};

/// Shortest time between two requests for one layer. A key frame costs several times a normal frame's
/// bytes; LiveKit's clients cope with one every half second. Raising it makes late joiners wait.
const INTERVAL: Duration = Duration::from_millis(500);

/// A request that brought no key frame is repeated after this time (the request or the frame was lost).
const REPEAT: Duration = Duration::from_millis(500);

/// Requests repeated in vain before giving up until somebody asks again (a muted camera sends nothing).
const MAX_REPEATS: u32 = 10;

/// See the module's description.
#[derive(Debug, Default)]
pub struct KeyframeRequester {
    wanted: bool,
    last_sent: Option<Instant>,
    repeats: u32,
}

impl KeyframeRequester {
    /// Somebody needs a key frame.
    pub fn want(&mut self) {
        if !self.wanted {
            self.wanted = true;
            self.repeats = 0;
        }
    }

    /// A key frame came.
    pub fn received(&mut self) {
        self.wanted = false;
    }

    /// Whether a request is to be sent now; the caller sends it.
    pub fn poll(&mut self, now: Instant) -> bool {
        if self.due().is_none_or(|due| due > now) && !(self.wanted && self.last_sent.is_none()) {
            return false;
        }
        if self.repeats > MAX_REPEATS {
            self.wanted = false;
            return false;
        }
        self.repeats += 1;
        self.last_sent = Some(now);
        true
    }

    /// When [`Self::poll`] has something to say; `None` if nobody waits. A time in the past means now.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        if self.wanted && self.last_sent.is_none() { Some(now) } else { self.due() }
    }

    fn due(&self) -> Option<Instant> {
        let wait = if self.repeats == 0 { INTERVAL } else { REPEAT };
        self.last_sent.filter(|_| self.wanted).map(|sent| sent + wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wish_is_sent_at_once_and_fifty_more_wait_together() {
        let start = crate::test_start();
        let mut requests = KeyframeRequester::default();
        requests.want();
        assert!(requests.poll(start));
        requests.received();
        for _ in 0..50 {
            requests.want();
            assert!(!requests.poll(start + Duration::from_millis(100)));
        }
        assert_eq!(requests.next_timeout(start), Some(start + INTERVAL));
        assert!(requests.poll(start + INTERVAL));
        assert!(!requests.poll(start + INTERVAL));
    }

    #[test]
    fn a_lost_request_is_repeated_but_not_for_ever() {
        let start = crate::test_start();
        let mut requests = KeyframeRequester::default();
        requests.want();
        let sent =
            (0..100).filter(|tenths| requests.poll(start + Duration::from_millis(100) * *tenths)).count();
        assert_eq!(sent, 1 + MAX_REPEATS as usize);
        requests.want();
        assert!(requests.poll(start + Duration::from_secs(60)), "a new wish starts again");
    }

    #[test]
    fn nothing_is_asked_for_after_the_frame_came() {
        let start = crate::test_start();
        let mut requests = KeyframeRequester::default();
        requests.want();
        assert!(requests.poll(start));
        requests.received();
        assert_eq!(requests.next_timeout(start), None);
        assert!(!requests.poll(start + Duration::from_secs(5)));
    }
}
