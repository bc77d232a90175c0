//! Data tracks: streams of frames that are late rather than wrong when lost, like positions or measurements. They
//! are announced and subscribed to by signalling; their packets come on a channel of their own and are forwarded
//! with each subscriber's handle. Frames are opaque, as media are.

use std::collections::HashSet;

use protocol::data_track::{self, Header};
use protocol::ids::DataTrackSid;
use protocol::livekit;
use protocol::livekit::request_response::Request;
use protocol::prost::Message;

use super::Context;
use super::data_track_table::{Receiver, Refusal};
use crate::event::SessionEvent;
use crate::peer::transport::DataChannel;

/// Characters of a data track's name (LiveKit's protocol).
const MAX_NAME: usize = 256;

/// Bytes of what says how frames are encoded: a name of a sort like the track's own.
const MAX_ENCODING: usize = 300;

impl super::Room {
    /// Announces a data track to everybody, or says why not.
    pub(super) fn publish_data_track(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        request: livekit::PublishDataTrackRequest,
    ) {
        let info = match self.add_data_track(context, key, &request) {
            Ok(info) => info,
            Err(refusal) => {
                let request = Request::PublishDataTrack(request);
                return self.refuse_data_track(context, key, refusal, request);
            }
        };
        let response = livekit::PublishDataTrackResponse { info: Some(info) };
        self.tell(context, key, SessionEvent::DataTrackPublished(response));
        self.data_tracks_changed(context, key);
    }

    fn add_data_track(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        request: &livekit::PublishDataTrackRequest,
    ) -> Result<livekit::DataTrackInfo, Refusal> {
        if !self.participants.get(key).is_some_and(|participant| participant.permission.can_publish_data) {
            return Err(Refusal::NotAllowed);
        }
        // Its bytes are looked at first: it need not be counted to be far too long.
        if request.name.is_empty()
            || request.name.len() > 4 * MAX_NAME
            || request.name.chars().count() > MAX_NAME
        {
            return Err(Refusal::InvalidName);
        }
        if request.schema.is_some() {
            return Err(Refusal::SchemaUnsupported);
        }
        let encoding_bytes = request.frame_encoding.as_ref().map_or(0, Message::encoded_len);
        if encoding_bytes > MAX_ENCODING || livekit::encryption::Type::try_from(request.encryption).is_err() {
            return Err(Refusal::Malformed);
        }
        let sid = DataTrackSid::from_random(context.random());
        let info = livekit::DataTrackInfo {
            pub_handle: request.pub_handle,
            sid: sid.to_string(),
            name: request.name.clone(),
            encryption: request.encryption,
            frame_encoding: request.frame_encoding.clone(),
            schema: None,
        };
        if !self.has_room_for(&context.config.limits, key, info.encoded_len() + super::announced::FRAMING) {
            return Err(Refusal::TooLarge);
        }
        self.data_tracks.publish(key, info.clone(), sid, context.config.limits.tracks)?;
        Ok(info)
    }

    /// Ends a data track at its publisher's wish.
    pub(super) fn unpublish_data_track(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        request: livekit::UnpublishDataTrackRequest,
    ) {
        let Some(info) = self.data_tracks.unpublish(key, request.pub_handle) else {
            let request = Request::UnpublishDataTrack(request);
            return self.refuse_data_track(context, key, Refusal::NotFound, request);
        };
        let response = livekit::UnpublishDataTrackResponse { info: Some(info) };
        self.tell(context, key, SessionEvent::DataTrackUnpublished(response));
        self.data_tracks_changed(context, key);
    }

    fn refuse_data_track(&self, context: &mut Context<'_>, key: usize, refusal: Refusal, request: Request) {
        context.reject("signal", refusal.code());
        let response = livekit::RequestResponse {
            reason: refusal.reason().into(),
            message: refusal.to_string(),
            request: Some(request),
            ..Default::default()
        };
        self.tell(context, key, SessionEvent::RequestResponse(response));
    }

    fn data_tracks_changed(&mut self, context: &mut Context<'_>, key: usize) {
        if let Some(participant) = self.participants.get_mut(key) {
            participant.version += 1;
        }
        self.broadcast_participant(context, key);
    }

    /// Ends the data tracks of somebody who may no longer have any, and tells them.
    pub(super) fn unpublish_forbidden_data_tracks(&mut self, context: &mut Context<'_>, key: usize) {
        if self.participants.get(key).is_none_or(|participant| participant.permission.can_publish_data) {
            return;
        }
        let handles: Vec<u32> = self.data_tracks.published_by(key).map(|info| info.pub_handle).collect();
        for handle in handles {
            let info = self.data_tracks.unpublish(key, handle);
            let ended = livekit::UnpublishDataTrackResponse { info };
            self.tell(context, key, SessionEvent::DataTrackUnpublished(ended));
        }
    }

    /// Subscribes to and unsubscribes from data tracks, and tells the handles of all that are subscribed.
    pub(super) fn update_data_subscription(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        update: &livekit::UpdateDataSubscription,
    ) {
        for update in &update.updates {
            let sid = update.track_sid.as_str();
            if !update.subscribe {
                self.data_tracks.unsubscribe(key, sid);
                continue;
            }
            let rate = update.options.as_ref().and_then(|options| options.target_fps);
            let subscribed = match self.data_tracks.publisher(sid) {
                None => Err(Refusal::NotFound),
                Some(publisher) if publisher == key || !self.is_permitted(publisher, key, sid) => {
                    Err(Refusal::NotAllowed)
                }
                Some(_) => self.data_tracks.subscribe(key, sid, rate),
            };
            if let Err(refusal) = subscribed {
                context.reject("signal", refusal.code());
            }
        }
        self.tell_data_handles(context, key);
    }

    fn tell_data_handles(&self, context: &mut Context<'_>, key: usize) {
        use livekit::data_track_subscriber_handles::PublishedDataTrack;
        let handles = self.data_tracks.handles(key).filter_map(|(handle, publisher, sid)| {
            let publisher = self.participants.get(publisher)?;
            let track = PublishedDataTrack {
                publisher_identity: publisher.identity.expose().to_owned(),
                publisher_sid: publisher.sid.to_string(),
                track_sid: sid.to_string(),
            };
            Some((u32::from(handle), track))
        });
        let handles = livekit::DataTrackSubscriberHandles { sub_handles: handles.collect() };
        self.tell(context, key, SessionEvent::DataTrackHandles(handles));
    }

    /// A packet of a data track, to all who subscribe and may.
    pub(super) fn forward_data_track(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        bytes: &[u8],
    ) -> Result<(), &'static str> {
        if bytes.len() > context.config.limits.data_bytes {
            return Err("too-large");
        }
        let header = Header::parse(bytes).map_err(data_track::HeaderError::code)?;
        let (track, subscriptions) = self.data_tracks.track_of(key, &header).ok_or("data-track-not-found")?;
        // The one copy in which all the subscribers' handles are written, one after the other.
        let mut packet = bytes.to_vec();
        for index in 0..subscriptions {
            let receiver = self.data_tracks.receiver(context.now, track, index, &header);
            let Some(Receiver { participant, handle, sid }) = receiver else { continue };
            let sid = sid.to_owned();
            if self.is_permitted(key, participant, &sid) {
                data_track::set_handle(&mut packet, handle);
                self.send_data(context, participant, DataChannel::DataTrack, &packet);
            }
        }
        Ok(())
    }

    /// For somebody who comes back: the ids of its data tracks and the handles of others'.
    pub(super) fn tell_data_tracks(&self, context: &mut Context<'_>, key: usize) {
        for info in self.data_tracks.published_by(key) {
            let response = livekit::PublishDataTrackResponse { info: Some(info.clone()) };
            self.tell(context, key, SessionEvent::DataTrackPublished(response));
        }
        if self.data_tracks.handles(key).next().is_some() {
            self.tell_data_handles(context, key);
        }
    }

    /// Tells a client that resumed which of the data tracks that it believes in are no more, and takes its
    /// subscriptions over.
    pub(super) fn sync_data_tracks(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        state: &livekit::SyncState,
    ) {
        let here: HashSet<String> = self.data_tracks.published_by(key).map(|info| info.sid.clone()).collect();
        let believed = state.publish_data_tracks.iter().filter_map(|published| published.info.as_ref());
        for info in believed.filter(|info| !here.contains(&info.sid)) {
            let ended = livekit::UnpublishDataTrackResponse { info: Some(info.clone()) };
            self.tell(context, key, SessionEvent::DataTrackUnpublished(ended));
        }
        if let Some(update) = &state.data_subscription {
            self.update_data_subscription(context, key, update);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use livekit::request_response::Reason;
    use protocol::ids::{RoomName, RoomSid, SessionId};

    use super::*;
    use crate::config::Config;
    use crate::event::Event;
    use crate::peer::transport::Shared;
    use crate::room::{Context, Room};

    /// A room with two members, and what was told and refused since it was last looked at.
    struct World {
        room: Room,
        config: Config,
        shared: std::sync::Arc<Shared>,
        events: VecDeque<Event>,
        counter: u8,
    }

    const ANNA: usize = 0;
    const BEN: usize = 1;

    impl World {
        fn new() -> Self {
            let config = Config::default();
            let shared = std::sync::Arc::new(Shared::new(&config).unwrap());
            let room = Room::new(RoomName::new("r"), RoomSid::from_random([1; 12]), 0, crate::test_start());
            let mut world = Self { room, config, shared, events: VecDeque::new(), counter: 0 };
            for (session, identity, key) in [(1, "anna", ANNA), (2, "ben", BEN)] {
                let join = crate::test_join(session, "r", identity);
                assert_eq!(world.turn(|room, context| room.join(context, join)), Some(key));
            }
            world.events.clear();
            world
        }

        fn turn<T>(&mut self, action: impl FnOnce(&mut Room, &mut Context<'_>) -> T) -> T {
            let now = crate::test_start();
            let counter = &mut self.counter;
            let mut random = |bytes: &mut [u8]| {
                *counter = counter.wrapping_add(1);
                bytes.fill(*counter);
            };
            let mut routes = Vec::new();
            let mut context = Context {
                now,
                config: &self.config,
                shared: &self.shared,
                random: &mut random,
                events: &mut self.events,
                routes: &mut routes,
                epoch: now,
            };
            action(&mut self.room, &mut context)
        }

        fn publish(&mut self, handle: u32, name: &str) {
            let request = livekit::PublishDataTrackRequest {
                pub_handle: handle,
                name: name.to_owned(),
                ..Default::default()
            };
            self.turn(|room, context| room.publish_data_track(context, ANNA, request));
        }

        /// Anna's one track.
        fn sid(&self) -> String {
            let mut tracks = self.room.data_tracks.published_by(ANNA);
            tracks.next().expect("it is published").sid.clone()
        }

        fn subscribe(&mut self, key: usize, sid: &str, subscribe: bool) {
            let update = livekit::update_data_subscription::Update {
                track_sid: sid.to_owned(),
                subscribe,
                options: None,
            };
            let update = livekit::UpdateDataSubscription { updates: vec![update] };
            self.turn(|room, context| room.update_data_subscription(context, key, &update));
        }

        fn permit(&mut self, change: impl FnOnce(&mut livekit::ParticipantPermission)) {
            let mut permission = self.room.participants[ANNA].permission.clone();
            change(&mut permission);
            self.turn(|room, context| room.change_permission(context, ANNA, permission));
        }

        fn told(&mut self, session: u64) -> Vec<SessionEvent> {
            let told = self.events.drain(..).filter_map(|event| match event {
                Event::Session(SessionId(to), event) if to == session => Some(event),
                _ => None,
            });
            told.collect()
        }

        fn refused(&mut self) -> Vec<&'static str> {
            let codes = self.events.iter().filter_map(|event| match event {
                Event::Rejected(rejection) => Some(rejection.code),
                _ => None,
            });
            codes.collect()
        }

        /// Names of anna's data tracks, as ben was last told.
        fn known_to_ben(&mut self) -> Option<Vec<String>> {
            self.told(2).into_iter().rev().find_map(|event| match event {
                SessionEvent::ParticipantUpdate(infos) => {
                    let anna = infos.into_iter().find(|info| info.identity == "anna")?;
                    Some(anna.data_tracks.into_iter().map(|track| track.name).collect())
                }
                _ => None,
            })
        }
    }

    #[test]
    fn a_track_is_told_to_everybody_and_its_handle_to_who_subscribes() {
        let mut world = World::new();
        world.publish(9, "position");
        assert_eq!(world.known_to_ben(), Some(vec!["position".to_owned()]));
        let sid = world.sid();
        assert!(sid.starts_with("DTR_"));
        world.subscribe(BEN, &sid, true);
        let told = world.told(2);
        let Some(SessionEvent::DataTrackHandles(handles)) = told.last() else { panic!("{told:?}") };
        let tracks: Vec<_> = handles.sub_handles.values().collect();
        assert!(
            matches!(tracks[..], [track] if track.track_sid == sid && track.publisher_identity == "anna")
        );

        let request = livekit::UnpublishDataTrackRequest { pub_handle: 9 };
        world.turn(|room, context| room.unpublish_data_track(context, ANNA, request));
        assert_eq!(world.known_to_ben(), Some(Vec::new()));
        world.turn(|room, context| room.unpublish_data_track(context, ANNA, request));
        assert_eq!(world.refused(), ["data-track-not-found"]);
    }

    #[test]
    fn what_is_refused_is_answered_with_the_request() {
        let mut world = World::new();
        let reason = |world: &mut World| match world.told(1).last() {
            Some(SessionEvent::RequestResponse(response)) if response.request.is_some() => response.reason(),
            other => panic!("{other:?}"),
        };
        world.publish(1, "");
        assert_eq!(reason(&mut world), Reason::InvalidName);
        world.publish(1, &"\u{e4}".repeat(257));
        assert_eq!(reason(&mut world), Reason::InvalidName);
        world.publish(0, "n");
        assert_eq!(reason(&mut world), Reason::InvalidHandle);
        world.permit(|permission| permission.can_publish_data = false);
        world.publish(1, "n");
        assert_eq!(reason(&mut world), Reason::NotAllowed);
    }

    #[test]
    fn only_who_may_subscribe_does() {
        let mut world = World::new();
        world.publish(1, "n");
        let sid = world.sid();
        world.subscribe(ANNA, &sid, true);
        world.permit(|permission| permission.hidden = true);
        world.subscribe(BEN, &sid, true);
        assert_eq!(world.refused(), ["data-track-not-allowed"; 2], "one's own, and somebody hidden's");
        assert_eq!(world.room.data_tracks.handles(BEN).count(), 0);
    }

    #[test]
    fn who_may_no_longer_publish_data_loses_the_tracks_and_is_told() {
        let mut world = World::new();
        world.publish(1, "n");
        world.permit(|permission| permission.can_publish_data = false);
        assert_eq!(world.known_to_ben(), Some(Vec::new()));
        world.publish(1, "n");
        world.permit(|permission| permission.can_publish_data = true);
        world.publish(1, "n");
        world.events.clear();
        world.permit(|permission| permission.can_publish_data = false);
        assert!(world.told(1).iter().any(|event| matches!(event, SessionEvent::DataTrackUnpublished(ended)
            if ended.info.as_ref().is_some_and(|info| info.pub_handle == 1))));
    }

    #[test]
    fn who_comes_back_is_told_ids_and_handles_and_what_is_no_more() {
        let mut world = World::new();
        world.publish(1, "n");
        let sid = world.sid();
        world.subscribe(BEN, &sid, true);
        world.events.clear();
        world.turn(|room, context| room.tell_data_tracks(context, BEN));
        assert!(matches!(world.told(2)[..], [SessionEvent::DataTrackHandles(_)]));
        world.turn(|room, context| room.tell_data_tracks(context, ANNA));
        assert!(matches!(world.told(1)[..], [SessionEvent::DataTrackPublished(_)]));

        let believed = ["DTR_gone", &sid].map(|sid| livekit::PublishDataTrackResponse {
            info: Some(livekit::DataTrackInfo { sid: sid.to_owned(), ..Default::default() }),
        });
        let state = livekit::SyncState { publish_data_tracks: believed.to_vec(), ..Default::default() };
        world.turn(|room, context| room.sync_data_tracks(context, ANNA, &state));
        let told = world.told(1);
        assert!(matches!(&told[..], [SessionEvent::DataTrackUnpublished(ended)]
            if ended.info.as_ref().is_some_and(|info| info.sid == "DTR_gone")));
    }

    #[test]
    fn packets_of_no_track_and_of_who_left_are_refused() {
        let mut world = World::new();
        world.publish(1, "n");
        let packet = [0x18, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 42];
        let forward = |world: &mut World, packet: &[u8]| {
            world.turn(|room, context| room.forward_data_track(context, ANNA, packet))
        };
        assert_eq!(forward(&mut world, &packet), Ok(()));
        assert_eq!(forward(&mut world, &packet[..5]), Err("data-track-too-short"));
        assert_eq!(forward(&mut world, &[0; 64_001]), Err("too-large"));
        let sid = world.sid();
        world.turn(|room, context| {
            room.remove(context, ANNA, livekit::DisconnectReason::ClientInitiated);
        });
        assert_eq!(forward(&mut world, &packet), Err("data-track-not-found"));
        world.subscribe(BEN, &sid, true);
        assert_eq!(world.refused(), ["data-track-not-found"]);
    }
}
