//! A scripted participant: signalling as a LiveKit client in single-peer-connection mode speaks it (the
//! client is the only offerer), or an older one with two connections, media sealed and opened with keys of its own.

mod answering;
mod media;
mod negotiation;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use protocol::ids::SessionId;
use protocol::livekit;
use sfu::command::SessionCommand;
use sfu::event::SessionEvent;
use sfu::peer::keying::SrtpKeys;
use sfu::peer::srtp::{SrtpError, SrtpReceiver, SrtpSender};
use sfu::peer::transport::SrtpProfile;

pub use self::answering::{Connection, Pair};
use self::media::REPORTS;
use crate::codec::Codec;
use crate::description::{Dialect, Medium, Purpose, Section};
use crate::feedback::Feedback;
use crate::network::{Conditions, Link};
use crate::publication::{Publication, Recipe};
use crate::reception::Reception;
use crate::red::Redundancy;

/// How a client joins.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// Network towards the server.
    pub up: Conditions,
    /// Network from the server.
    pub down: Conditions,
    /// Subscribe to everything.
    pub auto_subscribe: bool,
    /// What the token allows.
    pub permission: livekit::ParticipantPermission,
    /// Codecs the client has.
    pub codecs: Vec<Codec>,
    /// Whether it sends and reads redundant sound (RED), under libwebrtc's payload types.
    pub red: bool,
    /// Ids that need two-byte header extensions.
    pub two_byte: bool,
    /// Receive sections (sound, pictures) of the first offer.
    pub sections: (usize, usize),
    /// The first offer comes with the join request; otherwise after it, as Firefox does.
    pub offer_first: bool,
    /// How media is protected.
    pub profile: SrtpProfile,
    /// Where the client is; by default an address of its own.
    pub address: Option<SocketAddr>,
    /// Whether it has two peer connections, of which the server offers one.
    pub two_connections: bool,
}

impl Default for JoinOptions {
    /// A browser with every codec and permission on a good network.
    fn default() -> Self {
        Self {
            up: Conditions::default(),
            down: Conditions::default(),
            auto_subscribe: true,
            permission: everything_allowed(),
            codecs: Codec::ALL.to_vec(),
            red: false,
            two_byte: false,
            sections: (3, 3),
            offer_first: true,
            profile: SrtpProfile::AeadAes256Gcm,
            address: None,
            two_connections: false,
        }
    }
}

/// The permission of an ordinary participant.
pub fn everything_allowed() -> livekit::ParticipantPermission {
    livekit::ParticipantPermission {
        can_subscribe: true,
        can_publish: true,
        can_publish_data: true,
        can_update_metadata: true,
        ..Default::default()
    }
}

/// Something a client says, on its way to the core.
#[derive(Debug)]
pub struct Said {
    /// What.
    pub command: SessionCommand,
    /// Numbers of the publications that an offer carries.
    pub carries: Vec<u32>,
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The join request is on its way.
    Joining,
    /// In the room.
    Joined,
    /// Signalling is lost, media goes on.
    Disconnected,
    /// As before, and the request to resume is on its way.
    Resuming,
    /// Out.
    Gone,
}

/// See the module's description.
pub struct Client {
    /// Index in the world.
    pub number: usize,
    /// Its signalling session.
    pub session: SessionId,
    /// Its room.
    pub room: String,
    /// Its identity.
    pub identity: String,
    /// Where it is.
    pub address: SocketAddr,
    /// How far it is.
    pub state: State,
    /// Why the server ended the session.
    pub left: Option<livekit::DisconnectReason>,
    /// Ids and payload types.
    pub dialect: Dialect,
    /// Media sections of its next offer.
    pub sections: Vec<Section>,
    /// What it publishes.
    pub publications: Vec<Publication>,
    /// Ids of what it no longer publishes.
    unpublished: Vec<String>,
    redundancy: Redundancy,
    /// What it receives, by source.
    pub receptions: BTreeMap<u32, Reception>,
    /// Source → (track id, media id) of the newest answer.
    pub declared: BTreeMap<u32, (String, String)>,
    /// Others in the room, by identity.
    pub roster: BTreeMap<String, livekit::ParticipantInfo>,
    /// Who speaks how loudly, by participant id.
    pub speakers: BTreeMap<String, f32>,
    /// Ids of tracks of which the server sends nothing for want of bandwidth.
    pub paused_streams: BTreeSet<String>,
    /// Refusals and permissions told to it.
    pub notices: Vec<SessionEvent>,
    /// Network towards the server.
    pub up: Link,
    /// Network from the server.
    pub down: Link,
    /// Waiting to be delivered to the core.
    pub said: Vec<Said>,
    /// Waiting to be sent.
    pub datagrams: Vec<(Connection, Vec<u8>)>,
    /// What it has more with two connections.
    pub pair: Option<Pair>,
    /// What it tells about what arrives.
    pub reports: Feedback,
    sender: SrtpSender,
    receiver: SrtpReceiver,
    keys: SrtpKeys,
    pairs: BTreeMap<u32, u32>,
    /// Sources that any description has named so far.
    announced: BTreeSet<u32>,
    /// The offer that waits for its answer: its id and sections.
    awaited: Option<(u32, Vec<Section>)>,
    offer_due: bool,
    offers: u32,
    own_ssrc: u32,
    ntp_epoch: u64,
    transport_sequence: u16,
    next_reports: Duration,
    firs: u8,
    rng: Rng,
}

impl Client {
    /// A client that has not said anything yet. `keys` are the core's half, with two connections of the one that the client
    /// receives on, and `publisher_keys` of the other.
    pub fn new(
        number: usize,
        (room, identity): (&str, &str),
        options: &JoinOptions,
        keys: &SrtpKeys,
        publisher_keys: Option<&SrtpKeys>,
        mut rng: Rng,
    ) -> Result<Self, SrtpError> {
        let dialect = Dialect::random(&mut rng, &options.codecs, options.two_byte);
        let dialect = if options.red { dialect.with_red() } else { dialect };
        let port = 40_000 + u16::try_from(number).unwrap_or_default();
        let address = options.address.unwrap_or_else(|| SocketAddr::from(([192, 0, 2, 1], port)));
        let mine = keys.mirrored();
        let mut client = Self {
            number,
            session: SessionId(number as u64 + 1),
            room: room.to_owned(),
            identity: identity.to_owned(),
            address,
            state: State::Joining,
            left: None,
            dialect,
            sections: Vec::new(),
            publications: Vec::new(),
            unpublished: Vec::new(),
            redundancy: Redundancy::default(),
            receptions: BTreeMap::new(),
            declared: BTreeMap::new(),
            roster: BTreeMap::new(),
            speakers: BTreeMap::new(),
            paused_streams: BTreeSet::new(),
            notices: Vec::new(),
            up: Link::new(options.up, rng.fork()),
            down: Link::new(options.down, rng.fork()),
            said: Vec::new(),
            datagrams: Vec::new(),
            pair: publisher_keys.map(|keys| Pair::new(number, options, keys)).transpose()?,
            reports: Feedback::default(),
            sender: SrtpSender::new(options.profile, &mine.local)?,
            receiver: SrtpReceiver::new(options.profile, &mine.remote)?,
            keys: keys.clone(),
            pairs: BTreeMap::new(),
            announced: BTreeSet::new(),
            awaited: None,
            offer_due: publisher_keys.is_none(), // with two it has nothing to offer before it publishes
            offers: 0,
            own_ssrc: rng.u32(1..),
            ntp_epoch: rng.u64(..),
            transport_sequence: rng.u16(..),
            next_reports: Duration::ZERO,
            firs: 0,
            rng,
        };
        if client.pair.is_none() {
            client.add_receive_sections(options.sections.0, options.sections.1);
        }
        client.add_section(Medium::Data, Purpose::Idle);
        Ok(client)
    }

    /// The core's half of the keys.
    pub fn keys(&self) -> &SrtpKeys {
        &self.keys
    }

    /// Randomness of this client.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The first offer, to go with the join request.
    pub fn first_offer(&mut self) -> livekit::SessionDescription {
        self.offer_due = false;
        self.write_offer()
    }

    /// Receive sections of a medium.
    pub fn receive_sections(&self, medium: Medium) -> usize {
        let receives = |section: &&Section| section.medium == medium && section.purpose == Purpose::Receive;
        self.sections.iter().filter(receives).count()
    }

    /// Announces a publication; its section follows, at once or when the announcement is answered.
    pub fn publish(&mut self, number: u32, recipe: Recipe) {
        let mut publication = Publication::new(number, recipe, self.rng.fork());
        let request = livekit::AddTrackRequest {
            cid: publication.cid.clone(),
            r#type: if recipe.codec.is_video() {
                livekit::TrackType::Video
            } else {
                livekit::TrackType::Audio
            }
            .into(),
            source: recipe.source.into(),
            width: recipe.encodings().last().map_or(0, |encoding| encoding.width),
            height: recipe.encodings().last().map_or(0, |encoding| encoding.height),
            layers: video_layers(&recipe),
            ..Default::default()
        };
        self.say(SessionCommand::AddTrack(Box::new(request)));
        if self.rng.bool() {
            self.offer_publication(&mut publication);
        }
        self.publications.push(publication);
    }

    /// Takes a publication back.
    pub fn unpublish(&mut self, number: u32) {
        let gone = self.publications.extract_if(.., |publication| publication.number == number);
        self.unpublished.extend(gone.filter_map(|publication| publication.sid));
        for section in &mut self.sections {
            if matches!(&section.purpose, Purpose::Publish(published) if published.number == number) {
                section.purpose = Purpose::Idle;
                self.offer_due = true;
            }
        }
        self.offer_if_due();
    }

    /// Goes on by another signalling connection. The answer to an offer may have been lost with the older one, so it
    /// offers anew.
    pub fn resume(&mut self, session: SessionId) {
        self.session = session;
        self.state = State::Resuming;
        self.awaited = None;
        self.offer_due = true;
    }

    /// Says something.
    pub fn say(&mut self, command: SessionCommand) {
        self.said.push(Said { command, carries: Vec::new() });
    }

    /// The publication with this number.
    pub fn publication(&mut self, number: u32) -> Option<&mut Publication> {
        self.publications.iter_mut().find(|publication| publication.number == number)
    }

    /// The server says something. Errors are violations.
    pub fn hear(&mut self, now: Duration, event: SessionEvent) -> Result<(), String> {
        match event {
            SessionEvent::Joined(joined) => {
                if self.state != State::Joining {
                    return Err("joined twice".to_owned());
                }
                self.state = State::Joined;
                self.next_reports = now + REPORTS / 3;
                for info in joined.others {
                    self.learn(info)?;
                }
            }
            SessionEvent::Reconnected(_) => {
                if self.state != State::Resuming {
                    return Err("resumed without having asked for it".to_owned());
                }
                self.state = State::Joined;
            }
            SessionEvent::Answer(answer) => self.answered(now, &answer)?,
            SessionEvent::Offer(offer) => self.offered(&offer)?,
            SessionEvent::MediaSectionsRequirement { audios, videos } => {
                self.add_receive_sections(audios as usize, videos as usize);
                self.offer_due = true;
            }
            SessionEvent::TrackPublished(published) => {
                let sid = published.track.map(|track| track.sid).unwrap_or_default();
                let position = self.publications.iter().position(|known| known.cid == published.cid);
                // It may have been taken back meanwhile.
                if let Some(position) = position {
                    let mut publication = self.publications.remove(position);
                    publication.sid = Some(sid);
                    if publication.mid.is_none() {
                        self.offer_publication(&mut publication);
                    }
                    self.publications.insert(position, publication);
                }
            }
            SessionEvent::ParticipantUpdate(infos) => {
                for info in infos {
                    self.learn(info)?;
                }
            }
            SessionEvent::SpeakersChanged(speakers) => {
                for speaker in speakers {
                    if speaker.active != (speaker.level > 0.0) {
                        return Err(format!("a speaker is active {} at {}", speaker.active, speaker.level));
                    }
                    self.speakers.insert(speaker.sid, speaker.level);
                }
            }
            SessionEvent::StreamStateUpdate(update) => {
                for stream in update.stream_states {
                    match stream.state() {
                        livekit::StreamState::Paused => self.paused_streams.insert(stream.track_sid),
                        livekit::StreamState::Active => self.paused_streams.remove(&stream.track_sid),
                    };
                }
            }
            SessionEvent::SubscribedQualityUpdate(update) => {
                let is_meant =
                    |publication: &&mut Publication| publication.sid.as_ref() == Some(&update.track_sid);
                let publication = self.publications.iter_mut().find(is_meant);
                match publication {
                    Some(publication) => publication.obey(&update),
                    None if self.unpublished.contains(&update.track_sid) => {} // they crossed
                    None => return Err("qualities of somebody else's track".to_owned()),
                }
            }
            SessionEvent::Leave(leave) => {
                self.state = State::Gone;
                self.left = Some(leave.reason());
            }
            other => self.notices.push(other),
        }
        self.offer_if_due();
        Ok(())
    }

    fn learn(&mut self, info: livekit::ParticipantInfo) -> Result<(), String> {
        if info.identity == self.identity {
            return Ok(());
        }
        if info.state() == livekit::participant_info::State::Disconnected {
            // A newer participant of that identity may be known already.
            if self.roster.get(&info.identity).is_some_and(|known| known.sid == info.sid) {
                self.roster.remove(&info.identity);
            }
            self.speakers.remove(&info.sid);
        } else {
            let known = self.roster.get(&info.identity).filter(|known| known.sid == info.sid);
            if known.is_some_and(|known| known.version > info.version) {
                return Err("a participant's version goes backwards".to_owned());
            }
            self.roster.insert(info.identity.clone(), info);
        }
        Ok(())
    }
}

/// Layers as an announcement describes them, for publications of real size.
fn video_layers(recipe: &Recipe) -> Vec<livekit::VideoLayer> {
    let qualities = [livekit::VideoQuality::Low, livekit::VideoQuality::Medium, livekit::VideoQuality::High];
    if recipe.codec.spatial_layers(recipe.structure) > 1 && recipe.encodings().is_empty() {
        let sizes = [(320, 180), (640, 360), (1280, 720)];
        let layer = |(quality, (width, height)): (livekit::VideoQuality, (u32, u32))| livekit::VideoLayer {
            quality: quality.into(),
            width,
            height,
            ..Default::default()
        };
        return qualities.into_iter().zip(sizes).map(layer).collect();
    }
    let encodings = recipe.encodings().iter().filter(|encoding| encoding.width > 0);
    let count = encodings.clone().count();
    encodings
        .zip(qualities.into_iter().skip(qualities.len() - count))
        .map(|(encoding, quality)| livekit::VideoLayer {
            quality: quality.into(),
            width: encoding.width,
            height: encoding.height,
            bitrate: encoding.bitrate as u32,
            ..Default::default()
        })
        .collect()
}
