//! What scripts make people do.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::ids::{Identity, RoomName, SessionId, TrackSid};
use protocol::livekit;
use sfu::command::administration::{Administration, RequestId, RoomCommand};
use sfu::command::{Command, Resume, SessionCommand};
use sfu::io::Input;
use sfu::peer::keying::SrtpKeys;
use sfu::peer::srtp::SrtpReceiver;

use super::{Happening, TICK, World};
use crate::client::{Client, JoinOptions, State};
use crate::publication::Recipe;
use crate::rules::{Member, Track};
use crate::tap::Tap;

/// Ids of sessions that resume others: apart from those of the clients' first sessions.
const RESUMED: u64 = 1 << 32;

impl World {
    /// Somebody joins; returns its number.
    pub fn join(&mut self, room: &str, identity: &str, options: JoinOptions) -> usize {
        let number = self.clients.len();
        let mut rng = self.rng.fork();
        let mut fill = rng.fork();
        let mut random = move |bytes: &mut [u8]| fill.fill(bytes);
        let keys = SrtpKeys::generate(&mut random);
        let publisher_keys = options.two_connections.then(|| SrtpKeys::generate(&mut random));
        let publisher_keys = publisher_keys.as_ref();
        let client = Client::new(number, (room, identity), &options, &keys, publisher_keys, rng);
        let tap = |keys: &SrtpKeys| SrtpReceiver::new(options.profile, &keys.local);
        match (client, tap(&keys), publisher_keys.map(tap).transpose()) {
            (Ok(client), Ok(receiver), Ok(publisher)) => {
                self.clients.push(client);
                self.taps.push(Tap::new(number, receiver, publisher));
            }
            (Err(error), ..) | (_, Err(error), _) | (_, _, Err(error)) => panic!("no keys: {error}"),
        }
        self.rules.members.push(Member {
            room: room.to_owned(),
            identity: identity.to_owned(),
            sid: None,
            present: false,
            disconnected: None,
            auto_subscribe: options.auto_subscribe,
            permission: options.permission.clone(),
            wants: BTreeMap::new(),
            paused: Default::default(),
            ever_paused: Default::default(),
            allows: None,
        });
        self.options.push(options);
        let at = self.now + self.signalling_delay();
        self.signalling.push((at, at));
        self.plan(at, Happening::Join(number));
        let phase = Duration::from_micros(self.rng.u64(0..TICK.as_micros() as u64));
        self.plan(self.now + phase, Happening::Tick(number));
        number
    }

    /// Somebody leaves on purpose.
    pub fn leave(&mut self, client: usize) {
        self.clients[client].say(SessionCommand::Leave(livekit::DisconnectReason::ClientInitiated));
        self.collect(client);
        self.clients[client].state = State::Gone;
    }

    /// The signalling connection breaks; media goes on.
    pub fn drop_signalling(&mut self, client: usize) {
        self.clients[client].say(SessionCommand::Disconnected);
        self.collect(client);
        self.clients[client].state = State::Disconnected;
    }

    /// The signalling connection is dead, and the server has not heard of it.
    pub fn lose_signalling(&mut self, client: usize) {
        self.clients[client].state = State::Disconnected;
    }

    /// A client that lost its signalling connection goes on by another one.
    pub fn resume(&mut self, client: usize) {
        let older = self.clients[client].session;
        let session = SessionId(RESUMED | self.former.len() as u64);
        self.former.insert(older, client);
        let member = &self.rules.members[client];
        let Some(participant_sid) = member.sid.clone() else { return };
        let sids = |tracks: &mut dyn Iterator<Item = u32>| -> Vec<String> {
            tracks.filter_map(|track| self.rules.tracks.get(track as usize)?.sid.clone()).collect()
        };
        // What differs from its rule, as clients name it.
        let exceptions = member.wants.iter().filter(|(_, wanted)| **wanted != member.auto_subscribe);
        let known =
            self.clients[client].publications.iter().filter_map(|publication| publication.sid.clone());
        let sync_state = livekit::SyncState {
            subscription: Some(livekit::UpdateSubscription {
                track_sids: sids(&mut exceptions.map(|(track, _)| *track)),
                subscribe: !member.auto_subscribe,
                ..Default::default()
            }),
            track_sids_disabled: sids(&mut member.paused.keys().copied()),
            publish_tracks: known
                .map(|sid| livekit::TrackPublishedResponse {
                    track: Some(livekit::TrackInfo { sid, ..Default::default() }),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let resume = Resume {
            session,
            room: RoomName::new(member.room.as_str()),
            identity: Identity::new(member.identity.as_str()),
            participant_sid,
            sync_state: Some(sync_state),
            offer: None,
        };
        self.clients[client].resume(session);
        let at = (self.now + self.signalling_delay()).max(self.signalling[client].0);
        self.signalling[client].0 = at;
        self.plan(at, Happening::Resume(client, Box::new(resume)));
    }

    /// Everything of a client stops without a word but the broken connection.
    pub fn vanish(&mut self, client: usize) {
        self.drop_signalling(client);
        self.clients[client].state = State::Gone;
    }

    /// Publishes; returns the track's number.
    pub fn publish(&mut self, client: usize, recipe: Recipe) -> u32 {
        let number = self.rules.tracks.len() as u32;
        let is_repeated = self.options[client].red;
        self.rules.tracks.push(Track { publisher: client, recipe, sid: None, carried: false, is_repeated });
        self.clients[client].publish(number, recipe);
        self.clients[client].offer_if_due();
        self.collect(client);
        number
    }

    /// Takes a publication back.
    pub fn unpublish(&mut self, track: u32) {
        let client = self.rules.tracks[track as usize].publisher;
        self.clients[client].unpublish(track);
        self.collect(client);
    }

    /// Mutes or unmutes.
    pub fn mute(&mut self, track: u32, muted: bool) {
        let client = self.rules.tracks[track as usize].publisher;
        let Some(publication) = self.clients[client].publication(track) else { return };
        publication.muted = muted;
        let sid = publication.sid.as_deref().and_then(TrackSid::parse);
        if let Some(track) = sid {
            self.clients[client].say(SessionCommand::Mute { track, muted });
            self.collect(client);
        }
    }

    /// The operator's program asks for something in a room.
    pub fn administer(&mut self, room: &str, command: RoomCommand) {
        let request = Administration::Room(RoomName::new(room), command);
        let command = Command::Administer(RequestId(0), request);
        self.core.handle(self.base + self.now, Input::Command(command));
        self.poll();
    }

    /// Speaks or falls silent.
    pub fn speak(&mut self, track: u32, speaking: bool) {
        let client = self.rules.tracks[track as usize].publisher;
        if let Some(publication) = self.clients[client].publication(track) {
            publication.speaking = speaking;
        }
    }

    /// Subscribes or unsubscribes, if the track's id is known.
    pub fn subscribe(&mut self, client: usize, track: u32, subscribe: bool) {
        let Some(sid) = self.sid(track) else { return };
        let update = livekit::UpdateSubscription { track_sids: vec![sid], subscribe, ..Default::default() };
        self.clients[client].say(SessionCommand::Subscription(update));
        self.collect(client);
    }

    /// Pauses or resumes a subscription, if the track's id is known.
    pub fn pause(&mut self, client: usize, track: u32, disabled: bool) {
        // Browsers name a quality whenever they name no size.
        let quality = livekit::VideoQuality::High.into();
        self.set_track(
            client,
            track,
            livekit::UpdateTrackSettings { disabled, quality, ..Default::default() },
        );
    }

    /// Says what a client needs of a track, if the track's id is known.
    pub fn set_track(&mut self, client: usize, track: u32, settings: livekit::UpdateTrackSettings) {
        let Some(sid) = self.sid(track) else { return };
        let settings = livekit::UpdateTrackSettings { track_sids: vec![sid], ..settings };
        self.clients[client].say(SessionCommand::TrackSetting(settings));
        self.collect(client);
    }

    /// Shows a track in this size, if its id is known: adaptive clients say so.
    pub fn show(&mut self, client: usize, track: u32, (width, height): (u32, u32)) {
        let Some(sid) = self.sid(track) else { return };
        let settings =
            livekit::UpdateTrackSettings { track_sids: vec![sid], width, height, ..Default::default() };
        self.clients[client].say(SessionCommand::TrackSetting(settings));
        self.collect(client);
    }

    /// Says who may subscribe to a client's tracks.
    pub fn allow(&mut self, client: usize, permission: livekit::SubscriptionPermission) {
        self.clients[client].say(SessionCommand::SubscriptionPermission(permission));
        self.collect(client);
    }
}
