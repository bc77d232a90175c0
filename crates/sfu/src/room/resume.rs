//! Coming back: a new signalling connection takes over the participant whose old one broke (LiveKit's *resume*).
//! Media, data and tracks went on meanwhile; what the client missed of signalling is told here, and what it
//! believes (`syncState`) is compared with what is.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use protocol::livekit;

use super::participant::{Participant, Requested};
use super::{Context, RouteChange};
use crate::command::Resume;
use crate::event::{Event, Reconnected, SessionEvent};

/// How many departures a room remembers. A room that more people leave within [`Departures::MEMORY`] lets nobody
/// resume who may have missed one: they join anew. At about 100 bytes each this is 100 KB.
const MAX_DEPARTURES: usize = 1000;

/// Who left lately, for those who could not be told.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// Oldest first.
    gone: VecDeque<(Instant, livekit::ParticipantInfo)>,
    /// When the newest of those that were forgotten for want of room left.
    forgotten: Option<Instant>,
}

impl Departures {
    /// Somebody who resumes has missed no more than this: up to 20 s until a dead connection was found dead, and
    /// [`crate::config::Config::participant_grace`] of 30 s from then on. Longer would only keep more.
    const MEMORY: Duration = Duration::from_secs(90);

    /// Notes that somebody left.
    pub(super) fn push(&mut self, now: Instant, info: livekit::ParticipantInfo) {
        self.expire(now);
        if self.gone.len() >= MAX_DEPARTURES {
            self.forgotten = self.gone.pop_front().map(|(at, _)| at);
        }
        // Who left is all that is told: no names, no metadata.
        let info = livekit::ParticipantInfo {
            sid: info.sid,
            identity: info.identity,
            state: info.state,
            version: info.version,
            disconnect_reason: info.disconnect_reason,
            ..Default::default()
        };
        self.gone.push_back((now, info));
    }

    /// Who left lately; `None` if that is not known completely.
    fn recent(&mut self, now: Instant) -> Option<impl Iterator<Item = &livekit::ParticipantInfo>> {
        self.expire(now);
        self.forgotten.is_none().then(|| self.gone.iter().map(|(_, info)| info))
    }

    fn expire(&mut self, now: Instant) {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) > Self::MEMORY;
        while self.gone.front().is_some_and(|(at, _)| is_old(at)) {
            self.gone.pop_front();
        }
        self.forgotten.take_if(|at| is_old(at));
    }
}

impl super::Room {
    /// A new connection takes its participant over; returns its key. `None` if the participant is not here, is
    /// here anew, or cannot be told all it missed: then its client has to join again.
    pub(crate) fn resume(&mut self, context: &mut Context<'_>, resume: Resume) -> Option<usize> {
        let key = self.by_identity.get(&resume.identity).copied()?;
        if self.participants.get(key)?.sid.as_str() != resume.participant_sid {
            return None;
        }
        let missed = self.missed(context.now, key)?;
        let participant = self.participants.get_mut(key)?;
        if let Some(older) = participant.session.replace(resume.session) {
            // It is half-open, or its end has not been heard of yet.
            context.events.push_back(Event::Session(older, SessionEvent::Superseded));
            context.routes.push(RouteChange::RemoveSession(older));
        }
        participant.disconnected_at = None;
        // What was asked for may never have arrived; the offer that restarts ICE follows and counts anew.
        participant.requested = Requested { offer: true, ..Requested::default() };
        let reconnected = Reconnected { last_message_seq: participant.last_sequence };
        self.tell(context, key, SessionEvent::Reconnected(reconnected));
        self.tell_silenced(context, key);
        self.tell(context, key, SessionEvent::ParticipantUpdate(missed));
        self.tell(context, key, SessionEvent::RoomUpdate(Box::new(self.room_info())));
        self.tell_all_speakers(context, key);
        self.tell_all_stream_states(context, key);
        self.tell_quality(context, key);
        self.tell_permissions(context, key);
        self.tell_data_tracks(context, key);
        self.tell_demands(context, key);
        self.restart_offered(context, key); // what it believes goes into the same offer
        if let Some(state) = resume.sync_state {
            self.sync(context, key, &state);
        }
        self.offer(context, key);
        if let Some(offer) = resume.offer {
            self.handle_offer(context, key, &offer);
        }
        self.mark_dirty(key);
        self.schedule(context, key);
        Some(key)
    }

    /// Those who left or hid lately, and everybody who is here and visible or the participant itself. Of somebody who
    /// left and came back only the latter is told: clients see by the id that it is another stay.
    fn missed(&mut self, now: Instant, key: usize) -> Option<Vec<livekit::ParticipantInfo>> {
        let shown = |(other, participant): &(usize, &Participant)| *other == key || participant.is_visible();
        let shown = || self.participants.iter().filter(shown).map(|(_, participant)| participant);
        let here: HashSet<&str> = shown().map(|participant| participant.identity.expose()).collect();
        let gone = self.departures.recent(now)?.filter(|info| !here.contains(info.identity.as_str()));
        let mut infos: Vec<livekit::ParticipantInfo> = gone.cloned().collect();
        infos.extend(shown().map(|participant| self.info(participant)));
        Some(infos)
    }

    /// What the server muted may have been while the client was away. It is told before what is known of the
    /// participant: a client that finds itself muted there and is not says so, and would be heard again.
    fn tell_silenced(&self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        let published = participant.published.iter().filter_map(|track| self.tracks.get(*track));
        for track in published.filter(|track| track.is_silenced) {
            let mute = livekit::MuteTrackRequest { sid: track.sid.to_string(), muted: true };
            self.tell(context, key, SessionEvent::Mute(mute));
        }
    }

    /// Who may be subscribed to, of those who restrict it.
    fn tell_permissions(&self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        for (track, subscription) in &participant.subscriptions {
            let Some(track) = self.tracks.get(*track) else { continue };
            let Some(publisher) = self.participants.get(track.publisher) else { continue };
            if publisher.subscription_permission.is_some() {
                let update = livekit::SubscriptionPermissionUpdate {
                    participant_sid: publisher.sid.to_string(),
                    track_sid: track.sid.to_string(),
                    allowed: subscription.allowed,
                };
                self.tell(context, key, SessionEvent::SubscriptionPermissionUpdate(update));
            }
        }
    }

    /// The ids of announced tracks for which the client still waits. Not of those that it knows: livekit-client
    /// reports an answer for which nothing waits as an error.
    fn tell_published(&self, context: &mut Context<'_>, key: usize, known: &HashSet<&str>) {
        let Some(participant) = self.participants.get(key) else { return };
        let pending = participant.pending_tracks.iter().map(|pending| {
            (pending.request.cid.clone(), super::publishing::track_info(&pending.sid, &pending.request))
        });
        let published = participant.published.iter().filter_map(|track| {
            let track = self.tracks.get(*track)?;
            Some((track.info.codecs.first()?.cid.clone(), track.info.clone()))
        });
        for (cid, track) in pending.chain(published).filter(|(_, track)| !known.contains(track.sid.as_str()))
        {
            let response = livekit::TrackPublishedResponse { cid, track: Some(track) };
            self.tell(context, key, SessionEvent::TrackPublished(response));
        }
    }

    /// What a client that resumed believes. Wishes are taken over; a track that it publishes and that is not here
    /// cannot be mended one by one, so it joins again.
    pub(super) fn sync(&mut self, context: &mut Context<'_>, key: usize, state: &livekit::SyncState) {
        let publishes = state.publish_tracks.iter().filter_map(|published| published.track.as_ref());
        let known: HashSet<&str> = publishes.map(|track| track.sid.as_str()).collect();
        if known.iter().any(|sid| !self.is_own_track(key, sid)) {
            context.reject("room", "sync-mismatch");
            return self.leave(
                context,
                key,
                livekit::DisconnectReason::StateMismatch,
                livekit::leave_request::Action::Reconnect,
            );
        }
        self.tell_published(context, key, &known);
        if let Some(update) = &state.subscription {
            self.sync_subscriptions(context, key, update);
        }
        self.sync_data_tracks(context, key, state);
        let disabled: HashSet<&str> = state.track_sids_disabled.iter().map(String::as_str).collect();
        let Some(participant) = self.participants.get(key) else { return };
        let subscribed: Vec<usize> = participant.subscriptions.keys().copied().collect();
        for track in subscribed {
            let is_disabled =
                self.tracks.get(track).is_some_and(|track| disabled.contains(track.sid.as_str()));
            self.set_wish(key, track, |wish| wish.disabled = is_disabled);
        }
        self.allocate(context, key);
    }

    /// The client names the exceptions to its rule: with auto-subscription what it does not want, else what it
    /// wants.
    fn sync_subscriptions(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        update: &livekit::UpdateSubscription,
    ) {
        let Some(participant) = self.participants.get(key) else { return };
        if participant.auto_subscribe != update.subscribe {
            let of_participants = update.participant_tracks.iter().flat_map(|tracks| &tracks.track_sids);
            let named: HashSet<&str> =
                update.track_sids.iter().chain(of_participants).map(String::as_str).collect();
            let (wanted, unwanted): (Vec<_>, Vec<_>) = self
                .tracks
                .iter()
                .filter(|(_, track)| track.publisher != key && track.primary.is_none())
                .map(|(key, track)| (key, named.contains(track.sid.as_str())))
                .partition(|(_, is_named)| *is_named == update.subscribe);
            for (track, _) in unwanted {
                self.unsubscribe(key, track);
            }
            for (track, _) in wanted {
                self.subscribe(key, track);
            }
            self.request_sections(context, key);
        } else {
            self.update_subscription(context, key, update);
        }
    }

    /// Whether a participant has published or announced a track with this id.
    fn is_own_track(&self, key: usize, sid: &str) -> bool {
        self.own_track(key, sid).is_some()
            || self.participants.get(key).is_some_and(|participant| {
                participant.pending_tracks.iter().any(|pending| pending.sid.as_str() == sid)
            })
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use protocol::ids::{Identity, RoomName, TrackSid};

    use super::*;
    use crate::command::SessionCommand;
    use crate::command::administration::{Administration, Refusal, RoomCommand};
    use crate::room::test_world::{Section, World};

    fn microphone(cid: &str) -> SessionCommand {
        SessionCommand::AddTrack(Box::new(livekit::AddTrackRequest {
            cid: cid.to_owned(),
            source: livekit::TrackSource::Microphone.into(),
            ..Default::default()
        }))
    }

    #[test]
    fn who_comes_back_in_time_goes_on_and_learns_what_was_missed() {
        let mut world = World::new();
        let anna = world.join(1, "anna");
        world.join(2, "ben");
        world.say(1, SessionCommand::Disconnected);
        world.join(3, "cleo");
        world.say(2, SessionCommand::Leave(livekit::DisconnectReason::ClientInitiated));
        world.wait(Duration::from_secs(29));

        world.told.clear();
        world.resume(4, "anna", &anna);
        assert!(world.is_resumed(4), "and that is the first word");
        let mut news = world.news(4);
        news.sort_unstable();
        assert_eq!(news, [("anna", true), ("ben", false), ("cleo", true)]);
        let is_room =
            |event: &SessionEvent| matches!(event, SessionEvent::RoomUpdate(room) if room.name == "r");
        assert!(world.events(4).any(is_room), "its metadata may have changed");
        assert_eq!(world.news(3), [], "nobody else notices");

        world.wait(Duration::from_secs(60));
        assert_eq!(world.news(3), [], "nor is the grace of the old connection still running");
    }

    #[test]
    fn who_left_and_came_back_is_told_as_present_only() {
        let mut world = World::new();
        let anna = world.join(1, "anna");
        world.join(2, "ben");
        world.say(1, SessionCommand::Disconnected);
        world.say(2, SessionCommand::Leave(livekit::DisconnectReason::ClientInitiated));
        world.join(3, "ben");
        world.resume(4, "anna", &anna);
        let news = world.news(4);
        assert!(news.contains(&("ben", true)) && !news.contains(&("ben", false)), "{news:?}");
    }

    #[test]
    fn only_the_same_stay_can_be_resumed_and_only_within_its_grace() {
        let mut world = World::new();
        world.resume(1, "anna", "PA_x");
        assert!(world.must_join(1), "there is no such room");
        let anna = world.join(2, "anna");
        let ben = world.join(3, "ben");
        world.resume(4, "anna", &ben);
        world.resume(5, "anna", "");
        world.resume(6, "cleo", &anna);
        assert!([4, 5, 6].into_iter().all(|session| world.must_join(session)));
        assert_eq!(world.refused, ["resume-unknown"; 4]);

        world.say(2, SessionCommand::Disconnected);
        world.wait(Duration::from_secs(31));
        world.resume(7, "anna", &anna);
        assert!(world.must_join(7), "too late");
        assert_eq!(world.core.room_count(), 1, "nor does it start a room");
    }

    #[test]
    fn a_connection_that_was_not_known_to_be_dead_is_closed_without_a_word_about_the_participant() {
        let mut world = World::new();
        let anna = world.join(1, "anna");
        let routes = world.core.route_count();
        world.resume(2, "anna", &anna);
        assert!(world.is_resumed(2));
        assert!(matches!(world.events(1).last(), Some(SessionEvent::Superseded)));
        assert_eq!(world.core.route_count(), routes);

        // Its end, heard of later, takes nothing away.
        world.say(1, SessionCommand::Disconnected);
        world.wait(Duration::from_secs(40));
        world.say(2, microphone("m"));
        assert!(matches!(world.events(2).last(), Some(SessionEvent::TrackPublished(_))));
    }

    #[test]
    fn a_new_join_in_the_grace_takes_over_and_the_old_stay_cannot_be_resumed() {
        let mut world = World::new();
        let anna = world.join(1, "anna");
        world.join(2, "ben");
        world.say(1, SessionCommand::Disconnected);
        world.told.clear();
        world.join(3, "anna");
        assert_eq!(world.news(2), [("anna", false), ("anna", true)], "one leaves, one comes");
        world.resume(4, "anna", &anna);
        assert_eq!(world.sent_away(4), Some(livekit::DisconnectReason::DuplicateIdentity));
    }

    #[test]
    fn who_was_sent_away_while_it_was_away_hears_it_when_it_comes_back_and_does_not_join_again() {
        let mut world = World::new();
        let anna = world.join(1, "anna");
        let ben = world.join(2, "ben");
        for session in [1, 2] {
            world.say(session, SessionCommand::Disconnected);
        }
        let moved = Box::new(livekit::RoomMovedResponse::default());
        let refused = world.ask(RoomCommand::Move { identity: Identity::new("ben".to_owned()), moved });
        assert!(matches!(refused, Err(Refusal::Away)), "it could not hear where to go");
        world.ask(RoomCommand::RemoveParticipant(Identity::new("anna".to_owned()))).expect("she is here");
        world.resume(3, "anna", &anna);
        assert_eq!(world.sent_away(3), Some(livekit::DisconnectReason::ParticipantRemoved));

        world.administer(Administration::DeleteRoom(RoomName::new("r"))).expect("it runs");
        world.resume(4, "ben", &ben);
        assert_eq!(world.sent_away(4), Some(livekit::DisconnectReason::RoomDeleted));
        world.wait(Duration::from_secs(100));
        world.resume(5, "ben", &ben);
        assert!(world.must_join(5), "by then nobody remembers");
    }

    #[test]
    fn what_a_moderator_muted_meanwhile_is_told_before_the_client_compares() {
        let mut world = World::new();
        let anna = world.join(1, "anna");
        let track = world.publish(1, Section::Microphone("m"));
        world.say(1, SessionCommand::Disconnected);
        let (identity, sid) = (Identity::new("anna".to_owned()), TrackSid::parse(&track).unwrap());
        world.ask(RoomCommand::MuteTrack { identity, track: sid, muted: true }).expect("it is published");
        world.resume(2, "anna", &anna);
        let position = |wanted: fn(&SessionEvent) -> bool| world.events(2).position(wanted);
        let mute = position(|event| matches!(event, SessionEvent::Mute(mute) if mute.muted));
        let update = position(|event| matches!(event, SessionEvent::ParticipantUpdate(_)));
        assert!(mute.is_some() && mute < update, "{mute:?} {update:?}");
    }

    #[test]
    fn pictures_that_go_on_and_connections_that_changed_meanwhile_are_told() {
        let mut world = World::new();
        let anna = world.join(1, "anna");
        world.join(2, "ben");
        let track = world.publish(2, Section::Camera("c"));
        world.offer(1, &[Section::Picture]);
        world.wait(Duration::from_secs(3));
        world.say(1, SessionCommand::Disconnected);
        world.resume(3, "anna", &anna);
        let states: Vec<_> = world
            .events(3)
            .filter_map(|event| match event {
                SessionEvent::StreamStateUpdate(update) => Some(&update.stream_states),
                _ => None,
            })
            .flatten()
            .map(|state| (state.track_sid.as_str(), state.state()))
            .collect();
        assert_eq!(states, [(track.as_str(), livekit::StreamState::Active)]);
        let qualities = world.events(3).find_map(|event| match event {
            SessionEvent::ConnectionQuality(qualities) => Some(qualities.len()),
            _ => None,
        });
        assert_eq!(qualities, Some(2), "its own too");
    }

    #[test]
    fn who_hid_meanwhile_is_gone_for_who_comes_back_and_who_is_hidden_learns_of_itself() {
        let mut world = World::new();
        let anna = world.join(1, "anna");
        let ben = world.join(2, "ben");
        world.say(1, SessionCommand::Disconnected);
        let permission = livekit::ParticipantPermission { hidden: true, ..Default::default() };
        world.permit("ben", permission);
        world.resume(3, "anna", &anna);
        assert_eq!(world.news(3), [("ben", false), ("anna", true)]);
        world.resume(4, "ben", &ben);
        let mut news = world.news(4);
        news.sort_unstable();
        assert_eq!(news, [("anna", true), ("ben", true)]);
    }

    #[test]
    fn an_announcement_whose_answer_was_lost_is_answered_again() {
        let mut world = World::new();
        let anna = world.join(1, "anna");
        world.say(1, microphone("m"));
        world.say(1, SessionCommand::Disconnected);
        world.resume(2, "anna", &anna);
        world.say(2, SessionCommand::SyncState(Box::default()));
        let sids: Vec<_> = world
            .told
            .iter()
            .filter_map(|(_, event)| match event {
                SessionEvent::TrackPublished(published) => Some(published.track.clone()?.sid),
                _ => None,
            })
            .collect();
        assert!(sids.len() == 2 && sids[0] == sids[1], "{sids:?}");

        let publish = |sid: &str| {
            let track = Some(livekit::TrackInfo { sid: sid.to_owned(), ..Default::default() });
            let publish_tracks = vec![livekit::TrackPublishedResponse { cid: String::new(), track }];
            SessionCommand::SyncState(Box::new(livekit::SyncState { publish_tracks, ..Default::default() }))
        };
        let sid = sids[0].clone();
        world.told.clear();
        world.say(2, publish(&sid));
        assert_eq!(world.refused, [""; 0], "what it believes is so");
        assert_eq!(world.events(2).count(), 0, "and it is not told what it knows");
        world.say(2, publish("TR_unknown"));
        assert_eq!(world.refused, ["sync-mismatch"]);
        assert!(matches!(world.events(2).last(), Some(SessionEvent::Leave(leave))
            if leave.action() == livekit::leave_request::Action::Reconnect));
    }

    #[test]
    fn a_room_that_forgot_who_left_lets_nobody_resume_until_it_no_longer_matters() {
        let now = crate::test_start();
        let mut departures = Departures::default();
        let info = livekit::ParticipantInfo { metadata: "text".to_owned(), ..Default::default() };
        for _ in 0..MAX_DEPARTURES {
            departures.push(now, info.clone());
        }
        assert_eq!(departures.recent(now).map(Iterator::count), Some(MAX_DEPARTURES));
        assert!(departures.recent(now).unwrap().all(|info| info.encoded_len() == 0), "texts are not kept");
        departures.push(now, info.clone());
        assert!(departures.recent(now + Departures::MEMORY).is_none());
        let later = now + Departures::MEMORY + Duration::from_millis(1);
        assert_eq!(departures.recent(later).map(Iterator::count), Some(0));
    }
}
