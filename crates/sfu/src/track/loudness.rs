//! Whether somebody speaks on a sound track, from the audio levels in its packets' headers (RFC 6464). The sound
//! itself is never looked at.
//!
//! Packets are summed up over intervals of 100 ms; of these three windows are kept, as Volfin and Cohen propose
//! ("Dominant speaker identification for multipoint videoconferencing", 2012): an immediate one that says whether
//! somebody speaks right now, a medium one that a word fills, and a long one that only a speech fills. A packet
//! counts for the time it stands for, so that loss and discontinuous transmission (RFC 6716 §2.1.9) change little.

use std::time::Duration;

use rtp::extension::AudioLevel;

/// Length of an interval. Longer ones tell later who speaks, shorter ones cost more and say less each.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// [`INTERVAL`] in milliseconds.
const INTERVAL_MS: u32 = INTERVAL.as_millis() as u32;

/// Intervals of the immediate window: half a second, in which continuous speech is heard for 350 to 500 ms, a cough or a
/// word of assent for up to 300 ms, a keyboard for less.
const IMMEDIATE: usize = 5;

/// Intervals of the medium window: a second, longer than the pauses within a sentence.
const MEDIUM: usize = 10;

/// Intervals of the long window: three seconds, a sentence or two.
const LONG: usize = 30;

/// Intervals after which somebody who is not heard any more is silent: most pauses within a sentence are shorter.
const PAUSE: usize = 8;

/// Milliseconds of sound in the immediate window that make a speaker. With 250 coughs do, with 400 speech is told
/// half a second late.
const STARTS_MS: u32 = 320;

/// Milliseconds of sound within a [`PAUSE`] that keep a speaker one: with 0 a click prolongs a pause.
const STAYS_MS: u32 = 60;

/// How much louder than the background sound must be, in dB: speech is 15 to 30 dB above a quiet room's noise and
/// often only 10 above a noisy one's.
const ABOVE_BACKGROUND: f32 = 10.0;

/// Louder than this (in −dBov: smaller is louder) is sound whatever the background. LiveKit's threshold as well.
const SURELY_AUDIBLE: u8 = 35;

/// Quieter than this is never sound: microphones that hear somebody in the next room.
const INAUDIBLE: u8 = 50;

/// The clock of RTP timestamps of all sound that is forwarded (RFC 7587 §4.1), in ticks per millisecond.
const TICKS_PER_MS: u32 = 48;

/// What a packet stands for before two have come: 20 ms, which all clients send unless told otherwise.
const USUAL_TICKS: u32 = 20 * TICKS_PER_MS;

/// The longest time that one packet may stand for: a long packet, or a usual one after two that were lost. More would
/// make a click after a pause a word.
const MAX_TICKS: u32 = 60 * TICKS_PER_MS;

/// Background taken for granted before a track has been heard, in −dBov: that of a room of average noise.
const USUAL_BACKGROUND: f32 = 45.0;

/// The quietest background that is told apart, in −dBov: digital silence says nothing about a room.
const QUIETEST_BACKGROUND: f32 = 60.0;

/// How far the background is believed to be as quiet as a packet that is quieter: within 100 ms of a pause.
const BACKGROUND_FALLS: f32 = 0.25;

/// How much louder the background may become with each packet, in dB: 3 dB a second, so that a sentence does not become
/// background, and a fan that is switched on does within seconds.
const BACKGROUND_RISES: f32 = 0.06;

/// Weight of the newest interval in the level that is told, in percent: less flutters less and follows slower.
const SMOOTHING_PERCENT: f32 = 30.0;

/// What was heard within one interval.
#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    /// Milliseconds of sound, at most [`INTERVAL_MS`].
    audible: u8,
    /// Milliseconds of sound times the dB it was above [`INAUDIBLE`].
    strength: u16,
}

/// How much somebody has been heard over the three windows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    /// Whether it is told as a speaker: begins late enough for a cough to be over, ends after a pause.
    pub is_active: bool,
    /// Loudness from 0 (silent) to 1, linear as in the Web Audio API, smoothed; above 0 while `is_active`.
    pub level: f32,
    /// Sound of the last half second, in milliseconds times dB.
    pub immediate: u32,
    /// Sound of the last second, in milliseconds times dB.
    pub medium: u32,
    /// Sound of the last three seconds, in milliseconds times dB.
    pub long: u32,
    /// Milliseconds of sound in the last second.
    pub heard_ms: u32,
}

/// Levels of one track. See the module's description.
#[derive(Debug)]
pub struct Loudness {
    /// Timestamp of the newest packet.
    timestamp: Option<u32>,
    /// How long packets are, in ticks; 0 before two have come.
    packet_ticks: u32,
    /// Whether the sender ever marked voice: then what it does not mark is none.
    marks_voice: bool,
    /// Sound since the last interval ended, in ticks and in ticks times dB.
    audible: u32,
    strength: u32,
    loudest: u8,
    intervals: [Interval; LONG],
    newest: usize,
    background: f32,
    is_active: bool,
    smoothed: f32,
}

impl Default for Loudness {
    fn default() -> Self {
        Self {
            timestamp: None,
            packet_ticks: 0,
            marks_voice: false,
            audible: 0,
            strength: 0,
            loudest: 0,
            intervals: [Interval::default(); LONG],
            newest: 0,
            background: USUAL_BACKGROUND,
            is_active: false,
            smoothed: 0.0,
        }
    }
}

impl Loudness {
    /// A packet came, with this RTP timestamp.
    #[inline]
    pub fn observe(&mut self, level: AudioLevel, timestamp: u32) {
        let ticks = self.stands_for(timestamp);
        self.marks_voice |= level.voice;
        let background = f32::from(level.level).min(QUIETEST_BACKGROUND);
        self.background = if background > self.background {
            self.background + (background - self.background) * BACKGROUND_FALLS
        } else {
            (self.background - BACKGROUND_RISES).max(background)
        };
        if f32::from(level.level) <= self.threshold() && (level.voice || !self.marks_voice) {
            self.audible = self.audible.saturating_add(ticks);
            let above = u32::from(INAUDIBLE.saturating_sub(level.level)).max(1);
            self.strength = self.strength.saturating_add(ticks.saturating_mul(above));
            self.loudest = self.loudest.max(127u8.saturating_sub(level.level));
        }
    }

    /// Ticks since the packet before, which is what this one stands for, unless there was a pause.
    fn stands_for(&mut self, timestamp: u32) -> u32 {
        let usual = if self.packet_ticks == 0 { USUAL_TICKS } else { self.packet_ticks };
        let Some(before) = self.timestamp else {
            self.timestamp = Some(timestamp);
            return usual;
        };
        let step = timestamp.wrapping_sub(before);
        if step > u32::MAX / 2 {
            return usual; // overtaken by its successor, which counted for both
        }
        self.timestamp = Some(timestamp);
        match step {
            1..=MAX_TICKS => {
                self.packet_ticks = if self.packet_ticks == 0 { step } else { self.packet_ticks.min(step) };
                step
            }
            _ => usual,
        }
    }

    /// Ends as many intervals as have passed, at least one.
    pub fn finish_intervals(&mut self, passed: u32) -> Activity {
        let passed = passed.clamp(1, LONG as u32);
        let share = |sum: u32| sum / TICKS_PER_MS / passed;
        let (audible, strength) = (share(self.audible), share(self.strength));
        let within = audible.min(INTERVAL_MS);
        let interval = Interval {
            audible: within as u8,
            // What came late belongs to the interval before, and counts there only once as well.
            strength: (strength.saturating_mul(within))
                .checked_div(audible)
                .unwrap_or(0)
                .min(u32::from(u16::MAX)) as u16,
        };
        let level = if audible > 0 { linear(127 - self.loudest) } else { 0.0 };
        for _ in 0..passed {
            self.newest = (self.newest + 1) % LONG;
            self.intervals[self.newest] = interval;
            self.smoothed += (level - self.smoothed) * SMOOTHING_PERCENT / 100.0;
        }
        (self.audible, self.strength, self.loudest) = (0, 0, 0);
        self.activity()
    }

    /// The track is muted: silent at once.
    pub fn silence(&mut self) {
        *self = Self { marks_voice: self.marks_voice, ..Self::default() };
    }

    /// Whether something was heard that no interval has counted yet.
    #[inline]
    pub fn is_heard(&self) -> bool {
        self.audible > 0
    }

    /// Whether nothing was heard over the long window and nothing waits to be counted.
    pub fn is_silent(&self) -> bool {
        !self.is_active && self.audible == 0 && self.intervals.iter().all(|interval| interval.audible == 0)
    }

    fn activity(&mut self) -> Activity {
        let audible = |count| self.window(count).map(|interval| u32::from(interval.audible)).sum::<u32>();
        let strength = |count| self.window(count).map(|interval| u32::from(interval.strength)).sum::<u32>();
        let is_active =
            if self.is_active { audible(PAUSE) > STAYS_MS } else { audible(IMMEDIATE) >= STARTS_MS };
        let activity = Activity {
            is_active,
            level: if is_active { self.smoothed.max(linear(INAUDIBLE)) } else { 0.0 },
            immediate: strength(IMMEDIATE),
            medium: strength(MEDIUM),
            long: strength(LONG),
            heard_ms: audible(MEDIUM),
        };
        self.is_active = is_active;
        activity
    }

    /// The newest intervals.
    fn window(&self, count: usize) -> impl Iterator<Item = &Interval> {
        let (before, after) = self.intervals.split_at((self.newest + 1).min(LONG));
        before.iter().rev().chain(after.iter().rev()).take(count)
    }

    /// What is sound, in −dBov: clearly above the background, which the pauses between words show.
    fn threshold(&self) -> f32 {
        (self.background - ABOVE_BACKGROUND).clamp(f32::from(SURELY_AUDIBLE), f32::from(INAUDIBLE))
    }
}

/// −dBov to amplitude.
fn linear(minus_dbov: u8) -> f32 {
    10f32.powf(-f32::from(minus_dbov) / 20.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A track to which packets come in time.
    struct Track {
        loudness: Loudness,
        timestamp: u32,
        activity: Activity,
    }

    impl Track {
        fn new() -> Self {
            Self { loudness: Loudness::default(), timestamp: 1_000_000, activity: Activity::default() }
        }

        /// An interval of packets with these levels, spread evenly; 0 is a packet that does not come.
        fn interval(&mut self, levels: &[u8], voice: bool) -> Activity {
            for level in levels {
                self.timestamp = self.timestamp.wrapping_add(4800 / levels.len() as u32);
                if *level > 0 {
                    self.loudness.observe(AudioLevel { voice, level: *level }, self.timestamp);
                }
            }
            self.activity = self.loudness.finish_intervals(1);
            self.activity
        }

        /// Intervals until it is told as active; `None` if it is not within five seconds.
        fn until_active(&mut self, levels: &[u8]) -> Option<usize> {
            (1..=50).find(|_| self.interval(levels, true).is_active)
        }
    }

    #[test]
    fn speech_is_told_within_half_a_second_and_silence_after_a_pause() {
        let mut track = Track::new();
        assert_eq!(track.until_active(&[20, 25, 18, 60, 22]), Some(4));
        assert!(track.activity.level > 0.02, "{}", track.activity.level);
        let until_silent = (1..).find(|_| !track.interval(&[80; 5], false).is_active);
        assert_eq!(until_silent, Some(PAUSE));
        assert_eq!(track.activity.level, 0.0);
        assert!(!track.loudness.is_silent());
        for _ in 0..LONG {
            track.interval(&[], false);
        }
        assert!(track.loudness.is_silent());
    }

    #[test]
    fn a_pause_between_two_phrases_is_none() {
        let mut track = Track::new();
        track.until_active(&[20; 5]).unwrap();
        for _ in 0..5 {
            for _ in 0..6 {
                assert!(track.interval(&[90; 5], true).is_active);
            }
            for _ in 0..4 {
                assert!(track.interval(&[20; 5], true).is_active);
            }
        }
    }

    #[test]
    fn a_cough_a_word_of_assent_and_a_keyboard_are_no_speech() {
        for burst in 1..=3 {
            let mut track = Track::new();
            for _ in 0..burst {
                assert!(!track.interval(&[8; 5], true).is_active);
            }
            assert_eq!(track.until_active(&[75; 5]), None);
        }
        // A key every 100 ms, louder than speech.
        assert_eq!(Track::new().until_active(&[15, 70, 70, 70, 70]), None);
        assert_eq!(Track::new().until_active(&[15, 25, 70, 70, 70]), None);
    }

    #[test]
    fn a_quiet_microphone_is_heard_above_its_own_silence_and_a_noisy_room_is_not() {
        let mut quiet = Track::new();
        assert_eq!(quiet.until_active(&[70; 5]), None);
        assert!(quiet.until_active(&[44, 42, 46, 43, 70]).is_some());
        assert_eq!(Track::new().until_active(&[41; 5]), None, "a fan");
    }

    #[test]
    fn what_a_sender_that_marks_voice_does_not_mark_is_none() {
        let mut track = Track::new();
        track.interval(&[30; 5], true);
        track.loudness.silence();
        for _ in 0..20 {
            assert!(!track.interval(&[20; 5], false).is_active);
        }
        let mut other = Track::new();
        assert!((0..6).any(|_| other.interval(&[20; 5], false).is_active), "who never marks it is heard");
    }

    #[test]
    fn lost_packets_and_long_ones_make_nobody_silent() {
        let mut lossy = Track::new();
        assert!(lossy.until_active(&[20, 0, 20, 20, 0]).is_some_and(|intervals| intervals <= 5));
        let mut long = Track::new();
        // 60 ms each: not every interval has the same number.
        let mut active = false;
        for _ in 0..3 {
            active |= long.interval(&[20, 0, 0, 20, 0], true).is_active;
            active |= long.interval(&[0, 20, 0, 0, 20], true).is_active;
        }
        assert!(active);
    }

    #[test]
    fn a_late_look_counts_all_the_time_that_passed() {
        let mut track = Track::new();
        for _ in 0..30 {
            track.timestamp += USUAL_TICKS;
            track.loudness.observe(AudioLevel { voice: true, level: 20 }, track.timestamp);
        }
        let activity = track.loudness.finish_intervals(6);
        assert!(activity.is_active);
        assert_eq!(activity.heard_ms, 600);
    }

    proptest! {
        /// Whatever levels and timestamps a client writes: sums stay within what the windows can hold.
        #[test]
        fn lies_are_bounded(
            packets in prop::collection::vec((any::<bool>(), 0u8..128, any::<u32>(), 0u32..50), 0..400),
        ) {
            let mut loudness = Loudness::default();
            for (voice, level, timestamp, passed) in packets {
                loudness.observe(AudioLevel { voice, level }, timestamp);
                if passed > 10 {
                    let activity = loudness.finish_intervals(passed - 10);
                    prop_assert!(activity.heard_ms <= 1000);
                    prop_assert!(activity.long <= 3000 * u32::from(INAUDIBLE));
                    prop_assert!(activity.immediate <= activity.medium && activity.medium <= activity.long);
                    prop_assert!((0.0..=1.0).contains(&activity.level));
                    prop_assert_eq!(activity.is_active, activity.level > 0.0);
                }
            }
        }
    }
}
