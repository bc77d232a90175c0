//! How often one subscriber may ask for key frames: each costs everybody who gets the layer several times a frame's bytes,
//! so somebody who asks all the time would spoil the picture for all.

use std::time::{Duration, Instant};

use crate::token_bucket::TokenBucket;

/// Requests of one subscriber for one track are this far apart: clients wait for a round trip or more. What comes sooner
/// asks for the same frame.
const PAUSE: Duration = Duration::from_millis(100);

/// Key frames that one subscriber may have at once, and how soon one more. A line that loses whole pictures again and again
/// takes some in a row; whoever needs more than one in 2 s does not see a moving picture with them either, and the others
/// would pay. More would leave more to a flood.
const AT_ONCE: u32 = 10;
const ONE_MORE: Duration = Duration::from_secs(2);

/// A request so soon after a key frame came is of before it reached the subscriber: it may wait for its turn on a narrow
/// line, or be asked for again. Following it would send another behind it. Longer lets a picture that broke anew wait.
const UNDERWAY: Duration = Duration::from_millis(500);

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The publisher is asked.
    Followed,
    /// A key frame is on its way.
    Underway,
    /// It is one too many.
    Refused,
}

/// See the module's description.
#[derive(Debug)]
pub struct KeyframeLimit {
    asked: Option<Instant>,
    came: Option<Instant>,
    /// Whether no key frame has come since.
    is_open: bool,
    key_frames: TokenBucket,
}

impl Default for KeyframeLimit {
    fn default() -> Self {
        Self { asked: None, came: None, is_open: false, key_frames: TokenBucket::new(AT_ONCE, ONE_MORE) }
    }
}

impl KeyframeLimit {
    /// The subscriber asks. Until a key frame comes, asking again is the same request.
    pub fn ask(&mut self, now: Instant) -> Request {
        if self.asked.is_some_and(|asked| now < asked + PAUSE) {
            return Request::Refused;
        }
        let request = self.need(now);
        if request == Request::Followed {
            self.asked = Some(now);
        }
        request
    }

    /// The subscriber is known to need one, without having said so.
    pub fn need(&mut self, now: Instant) -> Request {
        if !self.is_open && self.came.is_some_and(|came| now < came + UNDERWAY) {
            return Request::Underway;
        }
        if !self.is_open && !self.key_frames.take(now, 1) {
            return Request::Refused;
        }
        self.is_open = true;
        Request::Followed
    }

    /// A key frame of the layer that the subscriber gets came.
    pub fn came(&mut self, now: Instant) {
        self.is_open = false;
        self.came = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_honest_request_is_followed_at_once_and_its_repetitions_cost_nothing() {
        let (mut limit, start) = (KeyframeLimit::default(), crate::test_start());
        for loss in 0..20 {
            let at = start + Duration::from_secs(6) * loss;
            assert_eq!(limit.ask(at), Request::Followed);
            assert_eq!(limit.ask(at + MS * 50), Request::Refused, "the same");
            let again = (1..20).map(|again| limit.ask(at + MS * 200 * again));
            assert!(again.into_iter().all(|it| it == Request::Followed), "the publisher takes its time");
            limit.came(at + MS * 4000);
            assert_eq!(limit.ask(at + MS * 4400), Request::Underway, "it waits for its turn");
        }
    }

    #[test]
    fn what_is_known_to_be_needed_is_no_request_and_counts_as_a_key_frame() {
        let (mut limit, start) = (KeyframeLimit::default(), crate::test_start());
        assert_eq!(limit.need(start), Request::Followed);
        assert_eq!(limit.ask(start + MS), Request::Followed, "the first that the subscriber makes");
        limit.came(start + MS * 100);
        assert_eq!(limit.need(start + MS * 200), Request::Underway);
        for _ in 1..AT_ONCE {
            assert_eq!(limit.need(start + MS * 700), Request::Followed);
            limit.came(start);
        }
        assert_eq!(limit.need(start + MS * 700), Request::Refused);
    }

    #[test]
    fn whoever_asks_all_the_time_gets_one_key_frame_in_two_seconds() {
        let (mut limit, start) = (KeyframeLimit::default(), crate::test_start());
        let mut count = |times: std::ops::Range<u32>| {
            let followed = |time: &u32| {
                let asked = limit.ask(start + MS * 5 * *time);
                if asked == Request::Followed {
                    limit.came(start + MS * 5 * *time);
                }
                asked == Request::Followed
            };
            times.filter(followed).count()
        };
        assert_eq!(count(0..2000), AT_ONCE as usize + 4, "at first");
        assert_eq!(count(2000..14_000), 30, "in the minute after that");
    }
}
