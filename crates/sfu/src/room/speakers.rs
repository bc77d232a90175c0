//! Who speaks: the activity of all microphones, per participant, told when it changes enough to matter; and whose
//! turn it is.
//!
//! While nobody is heard nothing runs: the first sound sets the clock of intervals going.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use protocol::ids::ParticipantSid;
use protocol::livekit;

use super::Context;
use super::dominance::Dominance;
use crate::event::SessionEvent;
use crate::track::loudness::{Activity, INTERVAL};
use crate::track::up_track::UpTrack;

/// Levels closer together than this are not worth a message.
const STEP: f32 = 0.05;

/// Messages about who speaks are at least so far apart, but for mutes and leaves. Shorter tells little earlier and
/// costs every participant more.
const PAUSE: Duration = Duration::from_millis(200);

/// Clients order speakers by level (livekit-client sorts by it): whoever is not dominant is told as no louder than this
/// share of the dominant speaker.
const BELOW_DOMINANT: f32 = 0.9;

/// What everybody was told of a speaker.
#[derive(Clone, Debug)]
struct Told {
    sid: ParticipantSid,
    level: f32,
}

impl Told {
    fn info(&self) -> livekit::SpeakerInfo {
        livekit::SpeakerInfo { sid: self.sid.to_string(), level: self.level, active: true }
    }
}

/// What everybody is told of somebody who is silent.
fn silent(sid: &ParticipantSid) -> livekit::SpeakerInfo {
    livekit::SpeakerInfo { sid: sid.to_string(), level: 0.0, active: false }
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct ActiveSpeakers {
    /// Who was told to be active, by the participant's key.
    told: BTreeMap<usize, Told>,
    told_at: Option<Instant>,
    dominance: Dominance,
    /// Until when intervals have been counted; `None` while nobody is heard.
    counted: Option<Instant>,
}

impl ActiveSpeakers {
    /// Somebody is heard: intervals are counted from now on.
    #[inline]
    pub(super) fn hear(&mut self, now: Instant, track: &UpTrack) {
        if self.counted.is_none() && track.loudness.is_heard() {
            self.counted = Some(now);
        }
    }

    /// When the next interval ends.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.counted.map(|counted| counted + INTERVAL)
    }

    /// Whole intervals that have passed since they were counted last.
    fn passed(&mut self, now: Instant) -> u32 {
        let Some(counted) = self.counted else { return 0 };
        let passed = now.saturating_duration_since(counted).as_millis() / INTERVAL.as_millis();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        // Far behind, after the machine slept: what was missed is forgotten.
        self.counted = Some(INTERVAL.checked_mul(passed).map_or(now, |time| counted + time));
        passed
    }

    /// Everybody who was told to be active, the dominant speaker first, then by loudness.
    fn active(&self) -> Vec<livekit::SpeakerInfo> {
        let mut active: Vec<_> = self.told.iter().map(|(key, told)| (*key, told.info())).collect();
        self.sort(&mut active);
        active.into_iter().map(|(_, info)| info).collect()
    }

    fn sort(&self, speakers: &mut [(usize, livekit::SpeakerInfo)]) {
        let dominant = self.dominance.dominant();
        speakers.sort_by(|(one, one_info), (other, other_info)| {
            let is_dominant = |key: usize| Some(key) == dominant;
            is_dominant(*other)
                .cmp(&is_dominant(*one))
                .then(other_info.level.total_cmp(&one_info.level))
                .then(one.cmp(other))
        });
    }

    /// Compares what is heard with what was told; returns what is news, and holds it for told.
    fn update(
        &mut self,
        now: Instant,
        voices: &BTreeMap<usize, Activity>,
        sid: impl Fn(usize) -> Option<ParticipantSid>,
    ) -> Vec<livekit::SpeakerInfo> {
        self.dominance.update(voices);
        if self.told_at.is_some_and(|told| now < told + PAUSE) {
            return Vec::new();
        }
        let dominant = self.dominance.dominant();
        let ceiling = dominant
            .and_then(|key| voices.get(&key))
            .filter(|voice| voice.is_active)
            .map_or(f32::INFINITY, |voice| voice.level * BELOW_DOMINANT);
        let level = |key: usize, voice: &Activity| {
            if Some(key) == dominant { voice.level } else { voice.level.min(ceiling) }
        };
        let mut news = Vec::new();
        let ended: Vec<usize> = self
            .told
            .keys()
            .copied()
            .filter(|key| !voices.get(key).is_some_and(|voice| voice.is_active))
            .collect();
        for key in ended {
            news.extend(self.told.remove(&key).map(|told| (key, silent(&told.sid))));
        }
        // Levels of the others that were told when somebody else was dominant would put them first.
        let dominant_told = dominant.and_then(|key| self.told.get(&key)).map(|told| told.level);
        let is_out_of_order = self.told.iter().any(|(key, told)| {
            Some(*key) != dominant && dominant_told.is_some_and(|dominant| told.level >= dominant)
        });
        let moved =
            |key: usize, voice: &Activity, told: &Told| (level(key, voice) - told.level).abs() >= STEP;
        let dominant_moves = dominant.is_some_and(|key| match (voices.get(&key), self.told.get(&key)) {
            (Some(voice), Some(told)) => moved(key, voice, told),
            (Some(voice), None) => voice.is_active,
            _ => false,
        });
        for (key, voice) in voices.iter().filter(|(_, voice)| voice.is_active) {
            let is_news = match self.told.get(key) {
                Some(told) => is_out_of_order || dominant_moves || moved(*key, voice, told),
                None => true,
            };
            let Some(sid) = sid(*key).filter(|_| is_news) else { continue };
            let told = Told { sid, level: level(*key, voice) };
            news.push((*key, told.info()));
            self.told.insert(*key, told);
        }
        if !news.is_empty() {
            self.told_at = Some(now);
        }
        self.sort(&mut news);
        news.into_iter().map(|(_, info)| info).collect()
    }

    /// Somebody is silent at once; what there is to be told of it.
    fn hush(&mut self, key: usize) -> Option<livekit::SpeakerInfo> {
        self.told.remove(&key).map(|told| silent(&told.sid))
    }
}

impl super::Room {
    /// Key of the participant who speaks now, or who did last; `None` before somebody has spoken and when whoever
    /// did is gone.
    pub(super) fn dominant_speaker(&self) -> Option<usize> {
        self.speakers.dominance.dominant()
    }

    /// Tells a newcomer who speaks: the others are told of changes only.
    pub(super) fn tell_speakers(&self, context: &mut Context<'_>, key: usize) {
        let active = self.speakers.active();
        if !active.is_empty() {
            self.tell(context, key, SessionEvent::SpeakersChanged(active));
        }
    }

    /// Tells somebody who may have missed changes of everybody whether they speak.
    pub(super) fn tell_all_speakers(&self, context: &mut Context<'_>, key: usize) {
        let mut speakers = self.speakers.active();
        for (other, participant) in self.participants.iter().filter(|(_, other)| other.is_visible()) {
            if !self.speakers.told.contains_key(&other) {
                speakers.push(silent(&participant.sid));
            }
        }
        self.tell(context, key, SessionEvent::SpeakersChanged(speakers));
    }

    /// Ends intervals of listening, if it is time, and tells everybody what changed.
    pub(super) fn update_speakers(&mut self, context: &mut Context<'_>) {
        let passed = self.speakers.passed(context.now);
        if passed == 0 {
            return;
        }
        let mut voices: BTreeMap<usize, Activity> = BTreeMap::new();
        let mut is_silent = true;
        for (_, track) in self.tracks.iter_mut().filter(|(_, track)| is_microphone(track)) {
            if track.loudness.is_silent() {
                continue;
            }
            is_silent = false;
            let activity = track.loudness.finish_intervals(passed);
            if self.participants.get(track.publisher).is_some_and(|publisher| publisher.is_visible()) {
                let voice = voices.entry(track.publisher).or_default();
                if (activity.is_active, activity.medium) >= (voice.is_active, voice.medium) {
                    *voice = activity;
                }
            }
        }
        let participants = &self.participants;
        let sid = |key: usize| participants.get(key).map(|participant| participant.sid.clone());
        let news = self.speakers.update(context.now, &voices, sid);
        if is_silent && self.speakers.told.is_empty() {
            self.speakers.counted = None;
        }
        if !news.is_empty() {
            self.broadcast(context, None, SessionEvent::SpeakersChanged(news));
        }
    }

    /// A participant is muted, publishes no sound any more, or is gone: if it was told to speak, it is told at
    /// once that it does not.
    pub(super) fn hush(&mut self, context: &mut Context<'_>, key: usize) {
        if let Some(info) = self.speakers.hush(key) {
            self.broadcast(context, None, SessionEvent::SpeakersChanged(vec![info]));
        }
    }

    /// A participant that left the room speaks no more; before the others hear that it left, since their
    /// clients do not know it afterwards.
    pub(super) fn forget_speaker(&mut self, context: &mut Context<'_>, key: usize) {
        self.hush(context, key);
        self.speakers.dominance.remove(key);
    }
}

/// Whether a track's sound is somebody's voice: the sound of a shared screen is not.
fn is_microphone(track: &UpTrack) -> bool {
    track.is_audio() && track.info.source() != livekit::TrackSource::ScreenShareAudio
}

#[cfg(test)]
mod tests {

    use protocol::ids::{RoomName, RoomSid, SessionId};

    use super::*;
    use crate::event::Event;
    use crate::room::Room;
    use crate::room::test_world::turn;

    fn sid(key: usize) -> Option<ParticipantSid> {
        Some(ParticipantSid::from_random([key as u8; 12]))
    }

    /// Voices as (key, level); 0 is silent.
    fn voices(pairs: &[(usize, f32)]) -> BTreeMap<usize, Activity> {
        let activity = |level: f32| Activity {
            is_active: level > 0.0,
            level,
            immediate: (level * 10_000.0) as u32,
            medium: (level * 20_000.0) as u32,
            long: (level * 60_000.0) as u32,
            heard_ms: if level > 0.0 { 1000 } else { 0 },
        };
        pairs.iter().map(|(key, level)| (*key, activity(*level))).collect()
    }

    /// Speakers who are looked at every 300 ms.
    struct Meeting {
        speakers: ActiveSpeakers,
        now: Instant,
    }

    impl Meeting {
        fn new() -> Self {
            Self { speakers: ActiveSpeakers::default(), now: crate::test_start() }
        }

        fn hear(&mut self, pairs: &[(usize, f32)]) -> Vec<(String, f32)> {
            self.now += Duration::from_millis(300);
            let news = self.speakers.update(self.now, &voices(pairs), sid);
            assert!(news.iter().all(|info| info.active == (info.level > 0.0)));
            news.into_iter().map(|info| (info.sid, info.level)).collect()
        }
    }

    fn name(key: usize) -> String {
        sid(key).unwrap().to_string()
    }

    #[test]
    fn only_changes_are_told_and_silence_once() {
        let mut meeting = Meeting::new();
        let news = meeting.hear(&[(1, 0.2), (2, 0.6), (3, 0.0)]);
        assert_eq!(news, [(name(2), 0.6), (name(1), 0.2)]);
        assert!(meeting.hear(&[(1, 0.21), (2, 0.58), (3, 0.0)]).is_empty(), "too little to tell");
        assert_eq!(meeting.hear(&[(1, 0.21), (2, 0.0)]), [(name(2), 0.0)]);
        assert!(meeting.hear(&[(1, 0.21)]).is_empty());
        assert_eq!(meeting.hear(&[]), [(name(1), 0.0)], "its track is gone");
        assert!(meeting.hear(&[]).is_empty());
    }

    #[test]
    fn the_dominant_speaker_is_first_also_for_clients_that_sort_by_level() {
        let mut meeting = Meeting::new();
        meeting.hear(&[(1, 0.3)]);
        let news = meeting.hear(&[(1, 0.3), (2, 0.4)]);
        assert_eq!(news.len(), 1);
        assert!(news[0].0 == name(2) && news[0].1 < 0.3, "louder, but not for long: {news:?}");
        // The dominant one falls silent, and the other takes over.
        let news = meeting.hear(&[(1, 0.0), (2, 0.4)]);
        assert_eq!(news.len(), 2);
        assert_eq!(meeting.speakers.dominance.dominant(), Some(2));
        let news = meeting.hear(&[(1, 0.5), (2, 0.4)]);
        assert!(news.iter().all(|(_, level)| *level <= 0.4), "{news:?}");
        let order: Vec<_> = meeting.speakers.active().into_iter().map(|info| info.sid).collect();
        assert_eq!(order, [name(2), name(1)]);
        // The dominant one becomes quieter: so do the others, or they would be in front.
        meeting.hear(&[(1, 0.5), (2, 0.34)]);
        let told = |key: usize| meeting.speakers.told.get(&key).map(|told| told.level);
        assert!(told(1) < told(2), "{:?}", meeting.speakers.told);
    }

    #[test]
    fn messages_are_some_time_apart_and_nothing_is_forgotten_meanwhile() {
        let mut meeting = Meeting::new();
        meeting.hear(&[(1, 0.3)]);
        let soon = meeting.now + PAUSE / 2;
        assert!(meeting.speakers.update(soon, &voices(&[(1, 0.3), (2, 0.2)]), sid).is_empty());
        assert_eq!(meeting.hear(&[(1, 0.3), (2, 0.2)]), [(name(2), 0.2)]);
    }

    #[test]
    fn who_is_muted_is_told_to_be_silent_once() {
        let mut meeting = Meeting::new();
        meeting.hear(&[(1, 0.3)]);
        let told = meeting.speakers.hush(1).unwrap();
        assert_eq!((told.sid, told.active, told.level), (name(1), false, 0.0));
        assert!(meeting.speakers.hush(1).is_none());
        assert!(meeting.hear(&[]).is_empty());
        assert_eq!(meeting.speakers.dominance.dominant(), Some(1), "until somebody else speaks");
    }

    #[test]
    fn who_leaves_while_speaking_is_told_to_be_silent_before_it_is_told_to_be_gone() {
        let now = crate::test_start();
        turn(now, |context| {
            let mut room = Room::new(RoomName::new("r"), RoomSid::from_random([1; 12]), 0, now);
            let anna = room.join(context, crate::test_join(1, "r", "anna")).unwrap();
            room.join(context, crate::test_join(2, "r", "ben")).unwrap();
            let name = room.participants.get(anna).map(|participant| participant.sid.clone());
            room.speakers.update(now, &voices(&[(anna, 0.3)]), |_| name.clone());
            assert_eq!(room.dominant_speaker(), Some(anna));
            context.events.clear();

            room.remove(context, anna, livekit::DisconnectReason::ClientInitiated);
            assert_eq!(room.dominant_speaker(), None);
            let told: Vec<_> = context
                .events
                .iter()
                .filter_map(|event| match event {
                    Event::Session(SessionId(2), event) => Some(event.name()),
                    _ => None,
                })
                .collect();
            assert_eq!(told, ["speakers", "participants"]);
        });
    }

    #[test]
    fn intervals_are_counted_whole_however_late_one_looks() {
        let start = crate::test_start();
        let mut speakers = ActiveSpeakers { counted: Some(start), ..Default::default() };
        assert_eq!(speakers.passed(start + Duration::from_millis(99)), 0);
        assert_eq!(speakers.passed(start + Duration::from_millis(250)), 2);
        assert_eq!(speakers.next_timeout(), Some(start + Duration::from_millis(300)));
        assert_eq!(speakers.passed(start + Duration::from_millis(300)), 1);
    }
}
