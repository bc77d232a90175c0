//! Who speaks: levels of all sound tracks, per participant, told when they change enough to matter.

use std::collections::BTreeMap;

use protocol::ids::ParticipantSid;
use protocol::livekit;

use super::Context;
use crate::event::SessionEvent;

/// Levels closer together than this are not worth a message.
const STEP: f32 = 0.05;

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct ActiveSpeakers {
    /// What was told last, of everybody who was active.
    told: BTreeMap<ParticipantSid, f32>,
}

impl ActiveSpeakers {
    /// Somebody left: there is nothing to be told about them any more.
    pub(super) fn remove(&mut self, sid: &ParticipantSid) {
        self.told.remove(sid);
    }

    /// Who was told to be active, loudest first; for somebody who comes in between.
    fn active(&self) -> Vec<livekit::SpeakerInfo> {
        let info = |(sid, level): (&ParticipantSid, &f32)| livekit::SpeakerInfo {
            sid: sid.to_string(),
            level: *level,
            active: true,
        };
        let mut active: Vec<_> = self.told.iter().map(info).collect();
        active.sort_by(|one, other| other.level.total_cmp(&one.level));
        active
    }

    /// Compares present levels with what was told; returns what is news.
    fn update(&mut self, levels: &BTreeMap<ParticipantSid, f32>) -> Vec<livekit::SpeakerInfo> {
        let mut news = Vec::new();
        for (sid, level) in levels {
            let told = self.told.get(sid).copied();
            let is_news = match told {
                Some(told) => (*level == 0.0) || (told - level).abs() >= STEP,
                None => *level > 0.0,
            };
            if is_news {
                news.push(livekit::SpeakerInfo { sid: sid.to_string(), level: *level, active: *level > 0.0 });
                if *level > 0.0 {
                    self.told.insert(sid.clone(), *level);
                } else {
                    self.told.remove(sid);
                }
            }
        }
        news.sort_by(|one, other| other.level.total_cmp(&one.level));
        news
    }
}

impl super::Room {
    /// Tells a newcomer who speaks: the others are told of changes only.
    pub(super) fn tell_speakers(&self, context: &mut Context<'_>, key: usize) {
        let active = self.speakers.active();
        if !active.is_empty() {
            self.tell(context, key, SessionEvent::SpeakersChanged(active));
        }
    }

    /// Ends an interval of listening and tells everybody who may subscribe what changed.
    pub(super) fn update_speakers(&mut self, context: &mut Context<'_>) {
        let mut levels = BTreeMap::new();
        for (_, track) in &mut self.tracks {
            if track.info.r#type() != livekit::TrackType::Audio {
                continue;
            }
            let level = track.loudness.finish_interval();
            if let Some(publisher) = self.participants.get(track.publisher).filter(|p| p.is_visible()) {
                let loudest: &mut f32 = levels.entry(publisher.sid.clone()).or_default();
                *loudest = loudest.max(level);
            }
        }
        // Somebody who stopped publishing sound while speaking is silent now.
        for sid in self.speakers.told.keys() {
            levels.entry(sid.clone()).or_insert(0.0);
        }
        let news = self.speakers.update(&levels);
        if !news.is_empty() {
            self.broadcast(context, None, SessionEvent::SpeakersChanged(news));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(pairs: &[(u8, f32)]) -> BTreeMap<ParticipantSid, f32> {
        pairs.iter().map(|(name, level)| (ParticipantSid::from_random([*name; 12]), *level)).collect()
    }

    #[test]
    fn only_changes_are_told_loudest_first_and_silence_once() {
        let mut speakers = ActiveSpeakers::default();
        let news = speakers.update(&levels(&[(1, 0.2), (2, 0.6), (3, 0.0)]));
        assert_eq!(news.iter().map(|info| info.level).collect::<Vec<_>>(), [0.6, 0.2]);
        assert!(speakers.update(&levels(&[(1, 0.21), (2, 0.58), (3, 0.0)])).is_empty(), "too little to tell");
        let news = speakers.update(&levels(&[(1, 0.21), (2, 0.0), (3, 0.0)]));
        assert_eq!(news.iter().map(|info| (info.level, info.active)).collect::<Vec<_>>(), [(0.0, false)]);
        assert!(speakers.update(&levels(&[(1, 0.21), (2, 0.0)])).is_empty());
    }
}
