//! Key-frame requests of one layer, coalesced over its subscribers and throttled (RFC 4585 §6.3.1): fifty
//! people who join at once cost the publisher one key frame, not fifty.

use std::time::{Duration, Instant};

/// Shortest time between two requests for one layer. A key frame costs several times a normal frame's
/// bytes; LiveKit's clients cope with one every half second. Raising it makes late joiners wait.
const INTERVAL: Duration = Duration::from_millis(500);

/// Each request that brought no key frame doubles the wait for the next one, at most so often: a publisher
/// that cannot answer is not pressed.
const MAX_DOUBLINGS: u32 = 3;

/// Requests repeated in vain before giving up until somebody asks again.
const MAX_REPEATS: u32 = 5;

/// See the module's description.
#[derive(Debug, Default)]
pub struct KeyframeRequester {
    wanted: bool,
    last_sent: Option<Instant>,
    /// Requests sent for the present wish.
    sent: u32,
    /// Counts wishes; numbers FIR.
    wishes: u8,
}

impl KeyframeRequester {
    /// Somebody needs a key frame, from now on. If others do already, it is asked for at the pace that was reached, but not
    /// given up so soon.
    pub fn want(&mut self) {
        if self.wanted {
            self.sent = self.sent.min(MAX_REPEATS);
            return;
        }
        self.wanted = true;
        self.sent = 0;
        self.wishes = self.wishes.wrapping_add(1);
    }

    /// A new source has the layer: what was asked of the one before says nothing of it.
    pub fn renew(&mut self) {
        self.cancel();
        self.want();
    }

    /// Somebody still needs a key frame: a wish that was given up lives again at its slowest pace, another one
    /// goes on as it is.
    pub fn keep_wanting(&mut self) {
        if !self.wanted {
            let sent = self.sent.min(MAX_REPEATS);
            self.want();
            self.sent = sent;
        }
    }

    /// Nobody needs it any more, or none can come.
    pub fn cancel(&mut self) {
        self.wanted = false;
        self.sent = 0;
    }

    /// A key frame came.
    pub fn received(&mut self) {
        self.cancel();
    }

    /// The number of the request to be sent now by the caller, if one is: the same for repetitions
    /// (RFC 5104 §4.3.1.1).
    pub fn poll(&mut self, now: Instant) -> Option<u8> {
        if self.next_timeout(now).is_none_or(|due| due > now) {
            return None;
        }
        if self.sent > MAX_REPEATS {
            self.wanted = false;
            return None;
        }
        self.sent += 1;
        self.last_sent = Some(now);
        Some(self.wishes)
    }

    /// When [`Self::poll`] has something to say; `None` if nobody waits. A time in the past means now.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        if !self.wanted {
            return None;
        }
        let doublings = self.sent.saturating_sub(1).min(MAX_DOUBLINGS);
        Some(self.last_sent.map_or(now, |sent| sent + INTERVAL * (1 << doublings)))
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
        assert!(requests.poll(start).is_some());
        requests.received();
        for _ in 0..50 {
            requests.want();
            assert_eq!(requests.poll(start + Duration::from_millis(100)), None);
        }
        assert_eq!(requests.next_timeout(start), Some(start + INTERVAL));
        assert!(requests.poll(start + INTERVAL).is_some());
        assert_eq!(requests.poll(start + INTERVAL), None);
    }

    #[test]
    fn a_lost_request_is_repeated_less_and_less_and_not_for_ever() {
        let start = crate::test_start();
        let mut requests = KeyframeRequester::default();
        requests.want();
        let sent: Vec<_> = (0..400)
            .filter_map(|tenth| {
                requests.poll(start + Duration::from_millis(100) * tenth).map(|number| (tenth, number))
            })
            .collect();
        assert_eq!(sent, [(0, 1), (5, 1), (15, 1), (35, 1), (75, 1), (115, 1)]);
        requests.keep_wanting();
        assert_eq!(requests.poll(start + Duration::from_secs(60)), Some(2), "whoever still waits asks again");
    }

    #[test]
    fn a_publisher_that_does_not_answer_is_not_pressed_by_whoever_asks_all_the_time() {
        let start = crate::test_start();
        let mut requests = KeyframeRequester::default();
        let mut sent = 0;
        for time in 0..6000 {
            requests.want();
            sent += u32::from(requests.poll(start + Duration::from_millis(10) * time).is_some());
        }
        assert_eq!(sent, 4 + 14, "four at growing pauses, then one in 4 s of the minute");
        requests.renew();
        assert!(requests.poll(start + Duration::from_secs(60)).is_some(), "another source may answer");
    }

    #[test]
    fn a_new_wish_is_not_swallowed_by_an_old_one_that_is_about_to_be_given_up() {
        let start = crate::test_start();
        let mut requests = KeyframeRequester::default();
        requests.want();
        let mut now = start;
        while requests.sent <= MAX_REPEATS {
            now += Duration::from_millis(100);
            requests.poll(now);
        }
        requests.want();
        assert!((0..100).any(|tenth| requests.poll(now + Duration::from_millis(100) * tenth).is_some()));
    }

    #[test]
    fn what_cannot_come_is_not_asked_for() {
        let start = crate::test_start();
        let mut requests = KeyframeRequester::default();
        requests.want();
        assert!(requests.poll(start).is_some());
        requests.cancel();
        assert_eq!(requests.next_timeout(start), None);
        assert_eq!(requests.poll(start + Duration::from_secs(5)), None);
    }

    #[test]
    fn nothing_is_asked_for_after_the_frame_came() {
        let start = crate::test_start();
        let mut requests = KeyframeRequester::default();
        requests.want();
        assert!(requests.poll(start).is_some());
        requests.received();
        assert_eq!(requests.next_timeout(start), None);
        assert_eq!(requests.poll(start + Duration::from_secs(5)), None);
    }
}
