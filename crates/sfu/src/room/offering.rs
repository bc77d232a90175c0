//! Clients with two peer connections: the connection that we offer them, and what their answers mean for their
//! subscriptions.
//!
//! A wish is bound to a section, the section is offered, and once the client takes it the track is sent. What
//! changes while an offer waits for its answer goes into the next one.

use std::time::Duration;

use protocol::livekit;

use super::links::Target;
use super::negotiation::local;
use super::{Context, RouteChange};
use crate::event::SessionEvent;
use crate::peer::sdp::{MediaKind, SectionIndex};
use crate::peer::transport::{Fingerprint, IceCredentials, RemoteParameters};

impl super::Room {
    /// Offers what the client wants and may have, if it does not have it. Nothing while an offer waits, or while
    /// nobody is there to answer: the answer, or the resume, comes here again.
    pub(super) fn offer(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key).filter(|p| p.session.is_some()) else { return };
        if participant.negotiation.offerer.as_ref().is_none_or(|offerer| offerer.is_waiting()) {
            return;
        }
        let wishes: Vec<(usize, MediaKind)> = participant.unbound(&self.tracks).collect();
        let mut exhausted = false;
        for (track, kind) in wishes {
            let Some(send) = self.send_track(context, track, kind) else { continue };
            let Some(participant) = self.participants.get_mut(key) else { return };
            let Some(offerer) = &mut participant.negotiation.offerer else { return };
            exhausted |= !offerer.carries(&send.track_sid) && offerer.bind(send).is_none();
        }
        if exhausted {
            context.reject("room", "sections-exhausted"); // they wait until others free their sections
        }
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(offerer) = participant.negotiation.offerer.as_mut().filter(|offerer| offerer.needs_offer())
        else {
            return;
        };
        let transport = &participant.links.sending().transport;
        let Some(offer) = offerer.offer(&local(context, transport)) else { return };
        let description = livekit::SessionDescription {
            r#type: "offer".to_owned(),
            sdp: offer.sdp,
            id: offer.id,
            mid_to_track_id: offer.mid_to_track_id,
        };
        self.tell(context, key, SessionEvent::Offer(description));
    }

    /// A client's answer to an offer of ours.
    pub(super) fn handle_answer(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        answer: &livekit::SessionDescription,
    ) {
        let Some(participant) = self.participants.get(key) else { return };
        let Some(offerer) = &participant.negotiation.offerer else {
            return context.reject("signal", "answer-without-offer");
        };
        if let Err(ignored) = offerer.check_id(answer.id) {
            return context.reject("sdp", ignored.code());
        }
        match self.accept_answer(context, key, &answer.sdp) {
            Ok(()) => self.offer(context, key),
            Err(code) => self.refuse_description(context, key, "answer", code),
        }
    }

    fn accept_answer(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        sdp: &str,
    ) -> Result<(), &'static str> {
        let Some(participant) = self.participants.get_mut(key) else { return Ok(()) };
        let Some(offerer) = &mut participant.negotiation.offerer else { return Ok(()) };
        let summary = offerer.accept_answer(sdp).map_err(|error| error.code())?;
        let remote = RemoteParameters {
            ufrag: summary.ice_ufrag,
            pwd: summary.ice_pwd,
            fingerprint: Fingerprint::new(summary.fingerprint.0, summary.fingerprint.1),
            setup: summary.setup,
        };
        if !participant.is_keyed {
            let transport = &mut participant.links.sending_mut().transport;
            transport.set_remote(context.now, remote).map_err(|error| error.code())?;
        }
        for (_, send) in summary.refused {
            let Some(track) = self.by_track_sid.get(send.track_sid.as_str()).copied() else { continue };
            let is_wanted = self.is_wanted(key, track);
            self.drop_down_track(key, track);
            if is_wanted {
                self.refuse_codec(context, key, track);
            }
        }
        self.refresh_down_tracks(key, &[]);
        for section in summary.taken {
            self.send_on(context, key, section);
        }
        Ok(())
    }

    /// The client takes what we offered on a section. By now it may not want it any more, or it may be gone.
    fn send_on(&mut self, context: &mut Context<'_>, key: usize, section: SectionIndex) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(send) = participant.negotiation.send_section(section) else { return };
        match self.by_track_sid.get(send.track.track_sid.as_str()).copied() {
            Some(track) if self.is_wanted(key, track) => {
                self.attach(context, key, track, section, Duration::ZERO); // they know it
            }
            _ => {
                if let Some(participant) = self.participants.get_mut(key) {
                    participant.negotiation.unbind(section);
                }
            }
        }
    }

    /// Whether a participant wants a track and may have it.
    fn is_wanted(&self, key: usize, track: usize) -> bool {
        let subscription = self.participants.get(key).and_then(|p| p.subscriptions.get(&track));
        subscription.is_some_and(|subscription| subscription.desired && subscription.allowed)
    }

    /// After a resume: what we offered last, and its answer, may be lost, and the client may be elsewhere in the
    /// network. Clients restart ICE on the connection that they offer and leave this one to us. The next offer, due now, says
    /// so.
    pub(super) fn restart_offered(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(offerer) = &mut participant.negotiation.offerer else { return };
        offerer.abandon_offer();
        if !participant.is_keyed {
            let credentials = IceCredentials::generate(context.config.worker, context.random);
            let route = (key, Target::Subscriber);
            context.routes.push(RouteChange::AddUfrag(credentials.ufrag.clone(), route));
            participant.links.sending_mut().transport.restart_ice(credentials);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use protocol::ids::{Identity, RoomName, SessionId};

    use super::*;
    use crate::Sfu;
    use crate::batch::SendBatch;
    use crate::command::{Command, Resume, SessionCommand};
    use crate::config::Config;
    use crate::event::Event;
    use crate::io::{Input, Output};
    use crate::peer::transport::Shared;

    /// A publisher's offer, with a simulcast camera.
    const CAMERA: &str =
        include_str!("../../testdata/sdp/chromium-156-offer-after-publish-vp8-simulcast.sdp");

    const ANNA: u64 = 1;
    const OLD: u64 = 2;

    /// Anna, whose client has one connection, and an old client with two.
    struct World {
        core: Sfu,
        start: std::time::Instant,
        told: Vec<(u64, SessionEvent)>,
        refused: Vec<&'static str>,
        sid: String,
    }

    impl World {
        fn new() -> Self {
            let (start, config) = (crate::test_start(), Config::default());
            let shared = Arc::new(Shared::new(&config).unwrap());
            let mut state = 1u64;
            let random = Box::new(move |bytes: &mut [u8]| {
                for byte in bytes {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    *byte = (state >> 56) as u8;
                }
            });
            let core = Sfu::new(start, config, shared, random);
            let mut world = Self { core, start, told: Vec::new(), refused: Vec::new(), sid: String::new() };
            world.command(Command::Join(Box::new(crate::test_join(ANNA, "r", "anna"))));
            let mut old = crate::test_join(OLD, "r", "old");
            (old.two_connections, old.keyed) = (true, None);
            world.command(Command::Join(Box::new(old)));
            let joined = world.told.iter().find_map(|(session, event)| match event {
                SessionEvent::Joined(joined) if *session == OLD => Some(joined.clone()),
                _ => None,
            });
            let joined = joined.expect("it joined");
            assert!(joined.subscriber_primary);
            world.sid.clone_from(&joined.participant.sid);
            world
        }

        fn command(&mut self, command: Command) {
            self.core.handle(self.start, Input::Command(command));
            self.poll();
        }

        fn poll(&mut self) {
            let mut batch = SendBatch::new();
            while let Output::Event(event) = self.core.poll(self.start, &mut batch) {
                match event {
                    Event::Session(SessionId(session), event) => self.told.push((session, event)),
                    Event::Rejected(rejection) => self.refused.push(rejection.code),
                    _ => {}
                }
            }
        }

        fn say(&mut self, session: u64, command: SessionCommand) {
            self.command(Command::Session(SessionId(session), command));
        }

        /// Anna's camera; returns its id.
        fn publish(&mut self) -> String {
            let cid = CAMERA.split("a=msid:").last().and_then(|rest| rest.split_whitespace().nth(1));
            let request = livekit::AddTrackRequest {
                cid: cid.expect("the offer has a track").to_owned(),
                r#type: livekit::TrackType::Video.into(),
                source: livekit::TrackSource::Camera.into(),
                ..Default::default()
            };
            self.say(ANNA, SessionCommand::AddTrack(Box::new(request)));
            self.say(ANNA, SessionCommand::Offer(description(1, CAMERA.to_owned())));
            let published = self.told.iter().rev().find_map(|(_, event)| match event {
                SessionEvent::TrackPublished(published) => published.track.clone(),
                _ => None,
            });
            published.expect("it is published").sid
        }

        /// Offers to the old client so far.
        fn offers(&self) -> Vec<&livekit::SessionDescription> {
            let offers = self.told.iter().filter_map(|(_, event)| match event {
                SessionEvent::Offer(offer) => Some(offer),
                _ => None,
            });
            offers.collect()
        }

        /// Answers the newest offer as a client that takes all of it would, but for what `change` does.
        fn answer(&mut self, change: impl FnOnce(String) -> String) {
            let offer = (*self.offers().last().expect("there is one")).clone();
            self.say(OLD, SessionCommand::Answer(description(offer.id, change(accepted(&offer.sdp)))));
        }

        fn is_subscribed(&self) -> bool {
            self.told.iter().any(|(_, event)| matches!(event, SessionEvent::TrackSubscribed(_)))
        }

        fn subscribe(&mut self, track: &str, subscribe: bool) {
            let update = livekit::UpdateSubscription {
                track_sids: vec![track.to_owned()],
                subscribe,
                ..Default::default()
            };
            self.say(OLD, SessionCommand::Subscription(update));
        }
    }

    fn description(id: u32, sdp: String) -> livekit::SessionDescription {
        livekit::SessionDescription { id, sdp, ..Default::default() }
    }

    /// What a client says that takes all of an offer.
    fn accepted(offer: &str) -> String {
        let mut answer = String::new();
        for line in offer.lines() {
            let line = match line.split(':').next().unwrap_or_default() {
                "a=ice-lite"
                | "a=candidate"
                | "a=end-of-candidates"
                | "a=msid"
                | "a=ssrc"
                | "a=ssrc-group" => {
                    continue;
                }
                "a=ice-ufrag" => "a=ice-ufrag:clie",
                "a=ice-pwd" => "a=ice-pwd:clientPassword0123456789",
                "a=setup" => "a=setup:active",
                "a=sendonly" => "a=recvonly",
                _ => line,
            };
            answer.push_str(line);
            answer.push_str("\r\n");
        }
        answer
    }

    fn ufrag(sdp: &str) -> Option<&str> {
        sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"))
    }

    #[test]
    fn the_connection_is_offered_at_once_and_a_track_when_the_last_offer_is_answered() {
        let mut world = World::new();
        let [first] = world.offers()[..] else { panic!("one offer") };
        assert!(first.sdp.contains("m=application") && !first.sdp.contains("m=video"));
        let track = world.publish();
        assert_eq!(world.offers().len(), 1, "it waits for its answer");
        world.answer(|answer| answer);
        let [_, second] = world.offers()[..] else { panic!("two offers") };
        assert_eq!(second.mid_to_track_id.values().collect::<Vec<_>>(), [&track]);
        assert!(second.sdp.contains("m=video") && !world.is_subscribed());
        world.answer(|answer| answer);
        assert!(world.is_subscribed());
        assert_eq!((world.offers().len(), &world.refused[..]), (2, &[][..]));
    }

    #[test]
    fn who_changes_its_mind_before_it_answers_gets_nothing() {
        let mut world = World::new();
        let track = world.publish();
        world.answer(|answer| answer);
        world.subscribe(&track, false);
        world.answer(|answer| answer);
        assert!(!world.is_subscribed());
        let last = world.offers().last().unwrap().sdp.clone();
        assert!(last.contains("m=video 0 "), "the section ends");
        world.answer(|answer| answer);
        let offers = world.offers().len();
        world.subscribe(&track, true);
        assert_eq!(world.offers().len(), offers + 1);
        world.answer(|answer| answer);
        assert!(world.is_subscribed());
    }

    #[test]
    fn a_track_that_the_client_cannot_take_is_offered_once_and_both_are_told() {
        let mut world = World::new();
        world.publish();
        world.answer(|answer| answer);
        world.answer(|answer| answer.replace("m=video 9", "m=video 0"));
        let unsupported = world.told.iter().any(|(session, event)| {
            matches!(event, SessionEvent::SubscriptionResponse(response)
                if *session == OLD && response.err() == livekit::SubscriptionError::SeCodecUnsupported)
        });
        assert!(unsupported && !world.is_subscribed());
        assert_eq!(world.refused, ["no-shared-codec"]);
        assert_eq!(world.offers().len(), 2);
    }

    #[test]
    fn answers_to_no_offer_are_counted_and_change_nothing() {
        let mut world = World::new();
        let answer = accepted(&world.offers()[0].sdp);
        world.say(OLD, SessionCommand::Answer(description(7, answer.clone())));
        world.say(OLD, SessionCommand::Answer(description(0, answer.clone()))); // as clients without ids
        world.say(OLD, SessionCommand::Answer(description(1, answer.clone())));
        world.say(ANNA, SessionCommand::Answer(description(1, answer)));
        assert_eq!(world.refused, ["answer-stale", "answer-unexpected", "answer-without-offer"]);
        assert!(!world.told.iter().any(|(_, event)| matches!(event, SessionEvent::Leave(_))));
    }

    #[test]
    fn an_answer_of_no_use_ends_the_session_with_the_reason() {
        let mut world = World::new();
        world.answer(|answer| answer.replace("a=setup:active", "a=setup:passive"));
        let told: Vec<_> = world.told.iter().filter(|(session, _)| *session == OLD).collect();
        let [.., (_, SessionEvent::RequestResponse(reason)), (_, SessionEvent::Leave(_))] = told[..] else {
            panic!("it is told why: {told:?}")
        };
        assert!(reason.message.contains("setup"), "{}", reason.message);
        assert_eq!(world.core.route_count(), 2, "Anna's session and address");
    }

    #[test]
    fn who_comes_back_is_offered_the_connection_afresh() {
        let mut world = World::new();
        world.answer(|answer| answer);
        let track = world.publish(); // the offer with it, or its answer, is lost with the signalling connection
        world.say(OLD, SessionCommand::Disconnected);
        let offers = world.offers().len();
        world.command(Command::Resume(Box::new(Resume {
            session: SessionId(OLD + 1),
            room: RoomName::new("r"),
            identity: Identity::new("old".to_owned()),
            participant_sid: world.sid.clone(),
            sync_state: None,
            offer: None,
        })));
        let all = world.offers();
        let (before, after) = (all[offers - 1], all[offers]);
        assert_ne!(ufrag(&before.sdp), ufrag(&after.sdp), "ICE restarts");
        assert!(after.mid_to_track_id.values().any(|sid| *sid == track));
        let answer = accepted(&after.sdp).replace("a=ice-ufrag:clie", "a=ice-ufrag:clie2");
        let (old, new) = (before.id, after.id);
        world.say(OLD + 1, SessionCommand::Answer(description(old, answer.clone())));
        assert_eq!(world.refused, ["answer-stale"]);
        world.say(OLD + 1, SessionCommand::Answer(description(new, answer)));
        assert!(world.is_subscribed());
    }

    #[test]
    fn what_somebody_wants_who_comes_back_is_in_the_offer_that_restarts_ice() {
        let mut world = World::new();
        let track = world.publish();
        world.answer(|answer| answer);
        world.answer(|answer| answer);
        world.subscribe(&track, false);
        world.answer(|answer| answer);
        world.say(OLD, SessionCommand::Disconnected);
        let offers = world.offers().len();
        let wish =
            livekit::UpdateSubscription { track_sids: vec![track], subscribe: true, ..Default::default() };
        world.command(Command::Resume(Box::new(Resume {
            session: SessionId(OLD + 1),
            room: RoomName::new("r"),
            identity: Identity::new("old".to_owned()),
            participant_sid: world.sid.clone(),
            sync_state: Some(livekit::SyncState { subscription: Some(wish), ..Default::default() }),
            offer: None,
        })));
        let told = world.offers();
        let [before, only] = told[offers - 1..] else { panic!("{} offers", told.len() - offers) };
        assert_ne!(ufrag(&before.sdp), ufrag(&only.sdp), "ICE restarts");
        assert_eq!(only.mid_to_track_id.len(), 1);
    }

    #[test]
    fn both_connections_have_routes_and_leave_none_behind() {
        let mut world = World::new();
        world.answer(|answer| answer);
        let before = world.core.route_count();
        world.say(OLD, SessionCommand::Offer(description(1, CAMERA.to_owned())));
        assert_eq!(world.core.route_count(), before + 1, "the publisher's fragment");
        let own = world.told.iter().rev().find_map(|(_, event)| match event {
            SessionEvent::Answer(answer) => ufrag(&answer.sdp),
            _ => None,
        });
        assert!(own.is_some() && own != ufrag(&world.offers()[0].sdp));
        world.say(OLD, SessionCommand::Leave(livekit::DisconnectReason::ClientInitiated));
        world.say(ANNA, SessionCommand::Leave(livekit::DisconnectReason::ClientInitiated));
        world.start += Config::default().room_grace + Duration::from_secs(1);
        world.core.handle(world.start, Input::Timeout);
        world.poll();
        assert_eq!((world.core.room_count(), world.core.route_count()), (0, 0));
    }
}
