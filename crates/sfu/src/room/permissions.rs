//! What a participant may do, changed while it is in the room: tracks, subscriptions and who sees it follow.

use protocol::livekit;

use super::Context;
use crate::event::SessionEvent;

impl super::Room {
    /// Gives a participant other permissions and ends what they no longer allow.
    pub(super) fn change_permission(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        permission: livekit::ParticipantPermission,
    ) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let before = std::mem::replace(&mut participant.permission, permission);
        participant.version += 1;
        let (was_visible, is_visible) = (!before.hidden, participant.is_visible());
        let may_subscribe = participant.permission.can_subscribe;
        self.unpublish_forbidden(context, key);
        self.unpublish_forbidden_data_tracks(context, key);
        if was_visible && !is_visible {
            self.tell_gone(context, key);
        }
        if was_visible != is_visible {
            self.reconsider_subscribers_of(context, key);
        }
        if before.can_subscribe != may_subscribe {
            self.reconsider_subscriptions_of(context, key);
        }
        self.broadcast_participant(context, key);
        self.note_recording(context);
        self.request_sections_of_all(context);
    }

    /// Ends the tracks that a participant may no longer publish, and tells it.
    fn unpublish_forbidden(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let mut pending = std::mem::take(&mut participant.pending_tracks);
        pending.retain(|pending| participant.may_publish(pending.request.source));
        participant.pending_tracks = pending;
        let is_forbidden = |track: &&usize| {
            self.tracks.get(**track).is_some_and(|track| !participant.may_publish(track.info.source))
        };
        let forbidden: Vec<usize> = participant.published.iter().filter(is_forbidden).copied().collect();
        for track in forbidden {
            let Some(track_sid) = self.tracks.get(track).map(|track| track.sid.to_string()) else { continue };
            self.remove_track(context, track);
            let ended = livekit::TrackUnpublishedResponse { track_sid };
            self.tell(context, key, SessionEvent::TrackUnpublished(ended));
        }
    }

    /// For the others somebody who hides is gone.
    fn tell_gone(&self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        let info = livekit::ParticipantInfo {
            state: livekit::participant_info::State::Disconnected.into(),
            tracks: Vec::new(),
            data_tracks: Vec::new(),
            ..self.info(participant)
        };
        self.broadcast(context, Some(key), SessionEvent::ParticipantUpdate(vec![info]));
    }

    fn reconsider_subscribers_of(&mut self, context: &mut Context<'_>, publisher: usize) {
        let published = self.participants.get(publisher).map(|it| it.published.clone()).unwrap_or_default();
        let others: Vec<usize> = self.participants.iter().map(|(other, _)| other).collect();
        for track in published {
            for other in &others {
                self.reconsider(context, *other, track);
            }
        }
    }

    fn reconsider_subscriptions_of(&mut self, context: &mut Context<'_>, subscriber: usize) {
        let Some(participant) = self.participants.get(subscriber) else { return };
        let tracks: Vec<usize> = participant.subscriptions.keys().copied().collect();
        if participant.permission.can_subscribe {
            self.subscribe_to_all(context, subscriber);
        }
        for track in tracks {
            self.reconsider(context, subscriber, track);
        }
    }
}
