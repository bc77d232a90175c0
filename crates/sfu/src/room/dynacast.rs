//! Tells publishers which encodings of their videos somebody needs, so that they encode and send no others (LiveKit's
//! *dynacast*). [`crate::track::demand`] decides when.

use super::Context;
use crate::event::SessionEvent;
use crate::track::demand::Level;
use crate::track::up_track::UpTrack;

impl super::Room {
    /// Looks what is needed of each video. To be called regularly: what nobody needs goes off after a while.
    pub(super) fn update_demands(&mut self, context: &mut Context<'_>) {
        let tracks: Vec<usize> =
            self.tracks.iter().filter(|(_, track)| !track.is_audio()).map(|(key, _)| key).collect();
        for track in tracks {
            self.update_demand(context, track);
        }
    }

    /// Looks what is needed of a track, and tells its publisher if that changed. To be called at once when somebody
    /// may need more.
    pub(super) fn update_demand(&mut self, context: &mut Context<'_>, track: usize) {
        let Some(up_track) = self.tracks.get(track).filter(|track| !track.is_audio()) else { return };
        let needed = self.needed(up_track);
        let Some(up_track) = self.tracks.get_mut(track) else { return };
        if up_track.demand.update(context.now, needed) {
            let (publisher, event) = (up_track.publisher, message(up_track));
            self.tell(context, publisher, event);
        }
    }

    /// What a publisher was told last, for one that may have missed it.
    pub(super) fn tell_demands(&self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        let tracks = participant.published.iter().filter_map(|track| self.tracks.get(*track));
        for track in tracks.filter(|track| track.demand.is_told()) {
            self.tell(context, key, message(track));
        }
    }

    /// The most that any subscriber needs.
    fn needed(&self, track: &UpTrack) -> Level {
        let wanted = track.subscribers.iter().filter_map(|subscriber| {
            let participant = self.participants.get(subscriber.participant)?;
            let down = participant.down_tracks.get(subscriber.down_track)?;
            down.wanted.filter(|_| down.has_shared_codec())
        });
        wanted.map(|wanted| track.level(wanted.spatial)).max().unwrap_or(Level::NOTHING)
    }
}

fn message(track: &UpTrack) -> SessionEvent {
    let message = track.demand.message(track.sid.to_string(), &track.info.mime_type);
    SessionEvent::SubscribedQualityUpdate(message)
}
