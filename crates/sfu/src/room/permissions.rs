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
        self.note_recording(context, None);
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
    fn tell_gone(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        let info = livekit::ParticipantInfo {
            state: livekit::participant_info::State::Disconnected.into(),
            tracks: Vec::new(),
            data_tracks: Vec::new(),
            ..self.info(participant)
        };
        self.departures.push(context.now, info.clone());
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
        for track in tracks {
            self.reconsider(context, subscriber, track);
        }
        self.subscribe_to_all(subscriber); // what came meanwhile
    }
}

#[cfg(test)]
mod tests {
    use protocol::livekit;

    use crate::command::SessionCommand;
    use crate::event::SessionEvent;
    use crate::room::test_world::{Section, World};

    #[test]
    fn who_may_subscribe_again_gets_what_it_had_and_what_came_but_not_what_it_did_not_want() {
        let mut world = World::new();
        for (session, identity) in [(1, "anna"), (2, "ben"), (3, "cleo"), (4, "dan")] {
            world.join(session, identity);
        }
        let unwanted = world.publish(1, Section::Microphone("a"));
        let kept = world.publish(2, Section::Microphone("b"));
        let offer = |world: &mut World| -> Vec<String> {
            world.offer(4, &[Section::Sound, Section::Sound, Section::Sound]);
            let answers = world.events(4).filter_map(|event| match event {
                SessionEvent::Answer(answer) => Some(answer.mid_to_track_id.values().cloned()),
                _ => None,
            });
            let mut tracks: Vec<String> = answers.last().expect("an answer").collect();
            tracks.sort_unstable();
            tracks
        };
        assert_eq!(offer(&mut world).len(), 2);
        world.say(
            4,
            SessionCommand::Subscription(livekit::UpdateSubscription {
                track_sids: vec![unwanted.clone()],
                subscribe: false,
                ..Default::default()
            }),
        );
        assert_eq!(offer(&mut world), [kept.as_str()]);

        world.permit("dan", livekit::ParticipantPermission::default());
        let new = world.publish(3, Section::Microphone("c"));
        assert_eq!(offer(&mut world), [""; 0]);
        world.told.clear();
        world.permit("dan", livekit::ParticipantPermission { can_subscribe: true, ..Default::default() });
        let is_allowed = |event: &SessionEvent| matches!(event, SessionEvent::SubscriptionPermissionUpdate(update) if update.track_sid == kept && update.allowed);
        assert!(world.events(4).any(is_allowed));
        let mut expected = [kept.as_str(), new.as_str()];
        expected.sort_unstable();
        assert_eq!(offer(&mut world), expected);
    }
}
