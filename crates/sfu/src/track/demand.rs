//! Which of a video track's encodings its publisher is asked to send (LiveKit's *dynacast*): those that somebody needs.
//!
//! What is needed is judged by wishes alone, not by what bandwidth allows at the moment: an encoding that does not
//! arrive has no known rate, so nobody could be given it within a second of the line becoming better. And everything
//! below the best that is needed stays on: it is what a narrow line gets instead.

use std::time::{Duration, Instant};

use protocol::livekit::{self, VideoQuality};

/// How long an encoding stays on after nobody needs it any more. A shorter time restarts encoders whenever somebody
/// scrolls or changes the layout, each time with a key frame; a longer one costs publishers more.
const OFF_AFTER: Duration = Duration::from_secs(5);

/// The qualities that clients know, lowest first.
const QUALITIES: [VideoQuality; 3] = [VideoQuality::Low, VideoQuality::Medium, VideoQuality::High];

/// The best quality that is asked for, everything below included: 0 is nothing at all, 3 is everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

impl Level {
    /// Nobody needs anything.
    pub const NOTHING: Self = Self(0);
    /// Everything that the publisher can send.
    pub const EVERYTHING: Self = Self(QUALITIES.len() as u8);

    /// The quality with this number, 0 is the lowest, and those below it.
    pub fn up_to(quality: u8) -> Self {
        Self(quality.saturating_add(1)).min(Self::EVERYTHING)
    }
}

/// One track's demand. See the module's description.
#[derive(Debug)]
pub struct Demand {
    /// The codec's name in the publisher's own spelling, with which it compares.
    codec: String,
    asked: Level,
    /// When each quality was last needed, lowest first; `None` for never.
    needed: [Option<Instant>; QUALITIES.len()],
    /// Whether the publisher was ever told anything: until then it sends everything.
    is_told: bool,
}

impl Demand {
    /// A new track: everything is on until its subscribers have spoken. `codec` is the name under which the publisher
    /// announced it.
    pub fn new(codec: String) -> Self {
        Self { codec, asked: Level::EVERYTHING, needed: [None; QUALITIES.len()], is_told: false }
    }

    /// A backup codec, which is not sent before somebody needs it.
    pub fn of_backup(codec: String) -> Self {
        Self { asked: Level::NOTHING, ..Self::new(codec) }
    }

    /// Whether anything is asked for.
    pub fn is_on(&self) -> bool {
        self.asked > Level::NOTHING
    }

    /// What its subscribers need now. True if the publisher is to be told ([`Self::message`]): more at once, less
    /// after [`OFF_AFTER`].
    pub fn update(&mut self, now: Instant, needed: Level) -> bool {
        for (quality, since) in self.needed.iter_mut().enumerate() {
            // What is on and was never needed has its time from the first look on.
            if quality < usize::from(needed.0) || since.is_none() {
                *since = Some(now);
            }
        }
        let is_recent = |since: &Option<Instant>| {
            since.is_some_and(|since| now.saturating_duration_since(since) < OFF_AFTER)
        };
        let kept = self.needed.iter().rposition(is_recent).map_or(Level::NOTHING, |quality| {
            Level::up_to(quality as u8) // an index below 3
        });
        // What is off stays off until it is needed, whatever was recent.
        let asked = kept.min(self.asked).max(needed);
        let changed = std::mem::replace(&mut self.asked, asked) != asked;
        self.is_told |= changed;
        changed
    }

    /// Whether the publisher believes something else than that everything is wanted, or did once.
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// What the publisher is told of the codec. `mime_type` names it if the publisher did not.
    fn codec(&self, mime_type: &str) -> livekit::SubscribedCodec {
        let codec = if self.codec.is_empty() {
            mime_type.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
        } else {
            self.codec.clone()
        };
        let qualities = QUALITIES
            .iter()
            .zip(0u8..)
            .map(|(quality, number)| livekit::SubscribedQuality {
                quality: (*quality).into(),
                enabled: number < self.asked.0,
            })
            .collect();
        livekit::SubscribedCodec { codec, qualities }
    }

    /// What the publisher is told of a track, and of its backup codec. Older clients read `subscribed_qualities`, newer
    /// ones what is said per codec, the first before all others. `mime_type` names the codec of a publisher that did not.
    #[expect(deprecated, reason = "older clients read this field")]
    pub fn message(
        &self,
        backup: Option<&Self>,
        track_sid: String,
        mime_type: &str,
    ) -> livekit::SubscribedQualityUpdate {
        let first = self.codec(mime_type);
        livekit::SubscribedQualityUpdate {
            track_sid,
            subscribed_qualities: first.qualities.clone(),
            subscribed_codecs: std::iter::once(first).chain(backup.map(|it| it.codec(""))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn demand() -> (Demand, Instant) {
        (Demand::new("vp8".to_owned()), crate::test_start())
    }

    fn enabled(demand: &Demand) -> Vec<bool> {
        let message = demand.message(None, "TR_x".to_owned(), "video/VP8");
        message.subscribed_codecs[0].qualities.iter().map(|quality| quality.enabled).collect()
    }

    #[test]
    fn a_new_track_sends_everything_until_nobody_needed_it_for_some_seconds() {
        let (mut demand, start) = demand();
        assert!(!demand.update(start, Level::NOTHING));
        assert!(!demand.update(start + OFF_AFTER - Duration::from_millis(1), Level::NOTHING));
        assert!(!demand.is_told());
        assert!(demand.update(start + OFF_AFTER, Level::NOTHING));
        assert!(demand.is_told());
        assert_eq!(enabled(&demand), [false; 3]);
    }

    #[test]
    fn more_is_asked_for_at_once_and_less_after_a_while() {
        let (mut demand, start) = demand();
        demand.update(start, Level::up_to(0));
        assert!(demand.update(start + OFF_AFTER, Level::up_to(0)));
        assert_eq!(enabled(&demand), [true, false, false]);
        assert!(demand.update(start + OFF_AFTER, Level::up_to(1)));
        assert_eq!(enabled(&demand), [true, true, false], "not what was on before");
        let later = start + OFF_AFTER * 2;
        assert!(!demand.update(later - Duration::from_millis(1), Level::NOTHING));
        assert!(demand.update(later, Level::NOTHING), "the middle one was needed until five seconds ago");
        assert!(demand.update(later, Level::EVERYTHING));
        assert_eq!(enabled(&demand), [true; 3]);
    }

    #[test]
    fn who_wavers_restarts_no_encoder() {
        let (mut demand, start) = demand();
        for second in 0..60 {
            let needed = if second % 4 == 0 { Level::EVERYTHING } else { Level::up_to(0) };
            assert!(!demand.update(start + Duration::from_secs(second), needed), "after {second} s");
        }
    }

    #[test]
    #[expect(deprecated, reason = "older clients read this field")]
    fn the_codec_has_the_name_that_the_publisher_gave_it() {
        let named = Demand::new("av1".to_owned()).message(None, "TR_x".to_owned(), "video/VP8");
        assert_eq!(named.subscribed_codecs[0].codec, "av1");
        assert_eq!(named.subscribed_qualities, named.subscribed_codecs[0].qualities);
        let unnamed = Demand::new(String::new()).message(None, "TR_x".to_owned(), "video/VP8");
        assert_eq!(unnamed.subscribed_codecs[0].codec, "vp8");
    }

    proptest! {
        #[test]
        fn what_is_needed_is_always_on_and_what_nobody_needs_goes_off(
            steps in proptest::collection::vec((0u64..8_000, 0u8..4), 1..60),
        ) {
            let (mut demand, mut now) = demand();
            for (wait, needed) in steps {
                now += Duration::from_millis(wait);
                let before = demand.asked;
                let changed = demand.update(now, Level(needed));
                prop_assert!(demand.asked >= Level(needed));
                prop_assert_eq!(changed, before != demand.asked);
                prop_assert!(!demand.update(now, Level(needed)), "twice the same says nothing new");
            }
            demand.update(now, Level::NOTHING);
            demand.update(now + OFF_AFTER, Level::NOTHING);
            prop_assert_eq!(demand.asked, Level::NOTHING);
        }
    }
}
