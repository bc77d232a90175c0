//! Tells publishers which encodings of their videos somebody needs, so that they encode and send no others (LiveKit's
//! *dynacast*). [`crate::track::demand`] decides when.

use std::time::Instant;

use super::Context;
use crate::event::SessionEvent;
use crate::track::backup::Missing;
use crate::track::up_track::UpTrack;

impl super::Room {
    /// Looks what is needed of each video. To be called regularly: what nobody needs goes off after a while.
    pub(super) fn update_demands(&mut self, context: &mut Context<'_>) {
        let is_video = |track: &UpTrack| !track.is_audio() && track.primary.is_none();
        let tracks: Vec<usize> =
            self.tracks.iter().filter(|(_, track)| is_video(track)).map(|(key, _)| key).collect();
        for track in tracks {
            self.choose_codecs(context, track);
            self.update_demand(context, track);
        }
    }

    /// Looks what is needed of a track, and tells its publisher if that changed. To be called at once when somebody
    /// may need more.
    pub(super) fn update_demand(&mut self, context: &mut Context<'_>, track: usize) {
        let Some(up_track) = self.tracks.get(track).filter(|track| !track.is_audio()) else { return };
        let (now, publisher) = (context.now, up_track.publisher);
        let mut changed = self.update_codec(now, track, track);
        if let Some(spare) = self.backup_of(track) {
            changed |= self.update_codec(now, track, spare);
            let is_missing =
                self.tracks.get(spare).is_some_and(|spare| spare.is_silent() && spare.demand.is_on());
            let backup = self.tracks.get_mut(track).and_then(|track| track.backup.as_mut());
            match backup.map_or(Missing::Wait, |backup| backup.missing(now, is_missing)) {
                Missing::Wait => {}
                Missing::Ask => changed = true,
                Missing::GiveUp => self.give_up_backup(context, track),
            }
        }
        if let Some(event) = changed.then(|| self.demand(track)).flatten() {
            self.tell(context, publisher, event);
        }
    }

    fn update_codec(&mut self, now: Instant, track: usize, codec: usize) -> bool {
        let needed = self.needed(now, track, codec);
        self.tracks.get_mut(codec).is_some_and(|codec| codec.demand.update(now, needed))
    }

    /// What a publisher was told last, for one that may have missed it.
    pub(super) fn tell_demands(&self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        let is_told = |key| self.tracks.get(key).is_some_and(|track| track.demand.is_told());
        let tracks = participant.published.iter().copied();
        let told = tracks.filter(|track| is_told(*track) || self.backup_of(*track).is_some_and(is_told));
        for event in told.filter_map(|track| self.demand(track)) {
            self.tell(context, key, event);
        }
    }

    /// What the publisher of a track is told.
    fn demand(&self, track: usize) -> Option<SessionEvent> {
        let backup = self.backup_of(track).and_then(|spare| self.tracks.get(spare));
        let track = self.tracks.get(track)?;
        let (sid, mime_type) = (track.sid.to_string(), &track.info.mime_type);
        let message = track.demand.message(backup.map(|backup| &backup.demand), sid, mime_type);
        Some(SessionEvent::SubscribedQualityUpdate(message))
    }
}
