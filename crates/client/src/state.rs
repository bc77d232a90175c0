//! What the client knows at a moment, and what happened to it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::livekit::{self, DisconnectReason, leave_request::Action, participant_info};
use tokio::sync::{broadcast, watch};

use crate::media::{Codec, Kind};
use crate::receive::{Receiver, TrackReport};

/// Data packets kept in [`ClientState::data`].
const KEPT_DATA: usize = 10_000;

/// Events that a slow reader may be behind.
const EVENT_BACKLOG: usize = 4096;

/// The signalling connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Connection {
    /// Not joined yet.
    #[default]
    Joining,
    /// `join` was received.
    Joined,
    /// Over.
    Closed(CloseCause),
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// The client left.
    Left,
    /// The server said `leave`.
    ServerLeave {
        /// Why.
        reason: DisconnectReason,
        /// Whether to stay away, resume, or reconnect.
        action: Action,
    },
    /// No pong for the time that the server set.
    PingTimeout,
    /// The WebSocket was closed or broke.
    Socket(String),
    /// The WebRTC stack gave up.
    Rtc(String),
    /// [`crate::Misbehaviour::Vanish`], or the [`crate::Client`] was dropped.
    Vanished,
}

/// The media transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MediaConnection {
    /// No answer yet.
    #[default]
    New,
    /// ICE checks and DTLS are under way.
    Connecting,
    /// Media flows.
    Connected,
    /// ICE lost all its pairs.
    Disconnected,
    /// DTLS was closed.
    Closed,
}

/// A published track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Client-side id.
    pub cid: String,
    /// Section that carries it.
    pub mid: Option<String>,
    /// Codec of its source.
    pub codec: Codec,
    /// Whether nothing is sent.
    pub muted: bool,
    /// RTP packets handed to the transport.
    pub packets: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Key frames asked for by the server, all layers.
    pub key_frame_requests: u64,
    /// Frames not sent because their layer was not accepted by the server.
    pub refused_frames: u64,
    /// The source has come to its end.
    pub ended: bool,
}

/// A track of somebody else that sections of ours carry or carried.
#[derive(Clone)]
pub struct Subscribed {
    /// Section that carries it now.
    pub mid: Option<String>,
    /// Audio or video, by its section.
    pub kind: Kind,
    /// Whether the server says that packets flow (`StreamStateUpdate`).
    pub paused: bool,
    /// Packets that came while no section was for it.
    pub packets_after_end: u64,
    pub(crate) receiver: Receiver,
}

impl Subscribed {
    /// What arrived up to now.
    pub fn report(&self) -> TrackReport {
        self.receiver.report()
    }

    /// Packets up to now; cheaper than [`Self::report`].
    pub fn packets(&self) -> u64 {
        self.receiver.packets()
    }

    /// Key frames begun up to now.
    pub fn key_frames(&self) -> u64 {
        self.receiver.key_frames()
    }

    /// The codec seen last.
    pub fn codec(&self) -> Option<Codec> {
        self.receiver.codec()
    }
}

impl fmt::Debug for Subscribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribed")
            .field("mid", &self.mid)
            .field("kind", &self.kind)
            .field("packets", &self.packets())
            .finish_non_exhaustive()
    }
}

/// A data packet of somebody else.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedData {
    /// It came over `_reliable`, otherwise over `_lossy`.
    pub reliable: bool,
    /// The packet, as the server stamped it.
    pub packet: livekit::DataPacket,
    /// When it came.
    pub at: Instant,
}

impl ReceivedData {
    /// The user's bytes, if it is a user packet.
    pub fn payload(&self) -> Option<&[u8]> {
        match &self.packet.value {
            Some(livekit::data_packet::Value::User(user)) => Some(&user.payload),
            _ => None,
        }
    }

    /// The topic, if it is a user packet that has one.
    pub fn topic(&self) -> Option<&str> {
        match &self.packet.value {
            Some(livekit::data_packet::Value::User(user)) => user.topic.as_deref(),
            _ => None,
        }
    }
}

/// How often things happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Signalling messages received.
    pub signals: u64,
    /// Frames on the WebSocket that are no signalling message.
    pub bad_signals: u64,
    /// Offers sent.
    pub offers: u64,
    /// Answers taken.
    pub answers: u64,
    /// Answers ignored because they answered no open offer.
    pub ignored_answers: u64,
    /// Pongs received.
    pub pongs: u64,
    /// Round-trip time of the last ping.
    pub rtt: Duration,
    /// Sections that the server asked for.
    pub requested_sections: u64,
    /// Data packets received.
    pub data: u64,
    /// Messages on data channels that are no data packet.
    pub bad_data: u64,
    /// Media packets for which no track is known.
    pub stray_packets: u64,
    /// Packets that the tap had no room for.
    pub tap_dropped: u64,
    /// Datagrams that could not be sent.
    pub send_errors: u64,
    /// Datagrams received.
    pub datagrams: u64,
    /// Datagrams received that are nothing that WebRTC knows.
    pub bad_datagrams: u64,
    /// Remote candidates not used: mDNS names or malformed.
    pub ignored_candidates: u64,
}

/// Moments of joining, for measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Milestones {
    /// Connecting began.
    pub started: Option<Instant>,
    /// The WebSocket was open.
    pub websocket: Option<Instant>,
    /// `join` came.
    pub joined: Option<Instant>,
    /// The first answer came.
    pub answered: Option<Instant>,
    /// ICE and DTLS were done.
    pub media: Option<Instant>,
    /// The data channels were open.
    pub data: Option<Instant>,
}

/// What the client knows.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ClientState {
    /// The signalling connection.
    pub connection: Connection,
    /// The media transport.
    pub media: MediaConnection,
    /// Labels of open data channels.
    pub channels: Vec<String>,
    /// The room as the server describes it.
    pub room: livekit::Room,
    /// Ourselves as the server describes us.
    pub local: livekit::ParticipantInfo,
    /// The others by identity.
    pub participants: BTreeMap<String, livekit::ParticipantInfo>,
    /// Our tracks by id.
    pub published: BTreeMap<String, Published>,
    /// Tracks of others that we get or got, by id.
    pub subscribed: BTreeMap<String, Subscribed>,
    /// Loudness (0 to 1) of those who speak, by participant id.
    pub speakers: BTreeMap<String, f32>,
    /// The last data packets.
    pub data: VecDeque<ReceivedData>,
    /// Connection quality by participant id.
    pub quality: BTreeMap<String, i32>,
    /// Which qualities of our tracks anybody wants, by track id.
    pub wanted_qualities: BTreeMap<String, livekit::SubscribedQualityUpdate>,
    /// Answers to requests that were refused.
    pub refusals: Vec<livekit::RequestResponse>,
    /// A fresh token from the server.
    pub refreshed_token: Option<String>,
    /// Participants who left again.
    pub departed: u64,
    /// Counts.
    pub counters: Counters,
    /// Moments.
    pub milestones: Milestones,
    /// Offers and answers are settled: none open, no change wanted.
    pub negotiated: bool,
}

impl ClientState {
    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.connection, Connection::Closed(_))
    }

    /// A track that somebody publishes, by who and of which kind: the first one.
    pub fn track_of(&self, identity: &str, kind: Kind) -> Option<&livekit::TrackInfo> {
        let wanted = match kind {
            Kind::Audio => livekit::TrackType::Audio,
            Kind::Video => livekit::TrackType::Video,
        };
        self.participants.get(identity)?.tracks.iter().find(|track| track.r#type() == wanted)
    }

    /// What arrives of the first track of a kind that somebody publishes.
    pub fn subscription_to(&self, identity: &str, kind: Kind) -> Option<&Subscribed> {
        self.subscribed.get(&self.track_of(identity, kind)?.sid)
    }

    /// Data packets from a participant.
    pub fn data_from<'a>(&'a self, identity: &'a str) -> impl Iterator<Item = &'a ReceivedData> {
        self.data.iter().filter(move |data| data.packet.participant_identity == identity)
    }

    /// Identity of the participant with this id, ourselves included.
    pub fn identity_of(&self, sid: &str) -> Option<&str> {
        std::iter::once(&self.local)
            .chain(self.participants.values())
            .find(|info| info.sid == sid)
            .map(|info| info.identity.as_str())
    }

    /// Whether somebody counts as speaking.
    pub fn is_speaking(&self, identity: &str) -> bool {
        self.speakers.keys().any(|sid| self.identity_of(sid) == Some(identity))
    }

    /// One line for error messages: states and counts, no names.
    pub(crate) fn summary(&self) -> String {
        let tracks: Vec<String> = self
            .subscribed
            .iter()
            .map(|(sid, track)| format!("{sid}@{:?}: {} packets", track.mid, track.packets()))
            .collect();
        format!(
            "connection {:?}, media {:?}, channels {:?}, {} others, {} published, subscribed [{}], {} data; {:?}",
            self.connection,
            self.media,
            self.channels,
            self.participants.len(),
            self.published.len(),
            tracks.join(", "),
            self.data.len(),
            self.counters
        )
    }

    pub(crate) fn keep_data(&mut self, data: ReceivedData) {
        self.counters.data += 1;
        if self.data.len() == KEPT_DATA {
            self.data.pop_front();
        }
        self.data.push_back(data);
    }

    /// Takes in news about participants; returns what they amount to.
    pub(crate) fn update_participants(&mut self, news: Vec<livekit::ParticipantInfo>) -> Vec<Event> {
        let mut events = Vec::new();
        for info in news {
            if info.sid == self.local.sid || info.identity == self.local.identity {
                self.local = info;
                continue;
            }
            let known = self.participants.get(&info.identity);
            if info.state() == participant_info::State::Disconnected {
                // Only who left, not somebody who came again under the same identity meanwhile.
                if known.is_some_and(|known| known.sid == info.sid) {
                    self.speakers.remove(&info.sid);
                    self.quality.remove(&info.sid);
                    self.departed += 1;
                    if let Some(gone) = self.participants.remove(&info.identity) {
                        events.extend(gone.tracks.into_iter().map(|track| Event::TrackUnpublished {
                            identity: info.identity.clone(),
                            track_sid: track.sid,
                        }));
                    }
                    events.push(Event::ParticipantLeft { identity: info.identity, sid: info.sid });
                }
                continue;
            }
            if known.is_some_and(|known| known.sid == info.sid && known.version > info.version) {
                continue;
            }
            let before = known.filter(|known| known.sid == info.sid).map(|known| known.tracks.clone());
            match &before {
                None => events.push(Event::ParticipantJoined { identity: info.identity.clone() }),
                Some(_) => events.push(Event::ParticipantUpdated { identity: info.identity.clone() }),
            }
            let before = before.unwrap_or_default();
            for track in &info.tracks {
                let known = before.iter().find(|other| other.sid == track.sid);
                if known.is_none() {
                    events.push(Event::TrackPublished {
                        identity: info.identity.clone(),
                        track: Box::new(track.clone()),
                    });
                }
                if known.map_or(track.muted, |known| known.muted != track.muted) {
                    events.push(Event::TrackMuted {
                        identity: info.identity.clone(),
                        track_sid: track.sid.clone(),
                        muted: track.muted,
                    });
                }
            }
            for track in before.iter().filter(|track| info.tracks.iter().all(|other| other.sid != track.sid))
            {
                events.push(Event::TrackUnpublished {
                    identity: info.identity.clone(),
                    track_sid: track.sid.clone(),
                });
            }
            self.participants.insert(info.identity.clone(), info);
        }
        events
    }

    /// Takes in changes of who speaks.
    pub(crate) fn update_speakers(&mut self, speakers: Vec<livekit::SpeakerInfo>) {
        for speaker in speakers {
            if speaker.active {
                self.speakers.insert(speaker.sid, speaker.level);
            } else {
                self.speakers.remove(&speaker.sid);
            }
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// `join` was received.
    Joined,
    /// The media transport changed.
    Media(MediaConnection),
    /// A data channel is open.
    ChannelOpen(String),
    /// Somebody came.
    ParticipantJoined {
        /// Who.
        identity: String,
    },
    /// Somebody changed: name, metadata, attributes, permissions or tracks.
    ParticipantUpdated {
        /// Who.
        identity: String,
    },
    /// Somebody left.
    ParticipantLeft {
        /// Who.
        identity: String,
        /// The id of that stay.
        sid: String,
    },
    /// Somebody published a track.
    TrackPublished {
        /// Who.
        identity: String,
        /// The track.
        track: Box<livekit::TrackInfo>,
    },
    /// Somebody's track is gone.
    TrackUnpublished {
        /// Who.
        identity: String,
        /// The track's id.
        track_sid: String,
    },
    /// A track of somebody was muted or unmuted.
    TrackMuted {
        /// Who.
        identity: String,
        /// The track's id.
        track_sid: String,
        /// Muted now.
        muted: bool,
    },
    /// A section of ours carries a track now.
    TrackSubscribed {
        /// The track's id.
        track_sid: String,
        /// The section.
        mid: String,
    },
    /// No section carries the track any more.
    TrackUnsubscribed {
        /// The track's id.
        track_sid: String,
    },
    /// Who speaks has changed; [`ClientState::speakers`] has all.
    SpeakersChanged(Vec<livekit::SpeakerInfo>),
    /// A data packet came.
    Data(Box<ReceivedData>),
    /// The room changed.
    RoomUpdated,
    /// Connection qualities changed.
    QualityChanged,
    /// The server muted or unmuted a track of ours.
    MutedByServer {
        /// The track's id.
        track_sid: String,
        /// Muted now.
        muted: bool,
    },
    /// The server removed a track of ours.
    UnpublishedByServer {
        /// The track's id.
        track_sid: String,
    },
    /// The server asked for a key frame of a track of ours.
    KeyFrameRequested {
        /// The track's client-side id.
        cid: String,
        /// Simulcast layer.
        rid: Option<String>,
    },
    /// The server asks the client to come again: with its state (`Resume`) or from the start (`Reconnect`).
    ReconnectRequested(Action),
    /// The connection is over.
    Closed(CloseCause),
    /// Any other message of the server.
    Other(Box<livekit::signal_response::Message>),
}

/// The state shared between the connection's task and its users.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<ClientState>,
    version: watch::Sender<u64>,
    events: broadcast::Sender<Event>,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(ClientState::default()),
            version: watch::Sender::new(0),
            events: broadcast::Sender::new(EVENT_BACKLOG),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, ClientState> {
        // Every change leaves the state whole, so a panic of another holder does not matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes who waits for conditions.
    pub(crate) fn notify(&self) {
        self.version.send_modify(|version| *version = version.wrapping_add(1));
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(crate) fn emit(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(identity: &str, sid: &str, version: u32, tracks: &[(&str, bool)]) -> livekit::ParticipantInfo {
        livekit::ParticipantInfo {
            identity: identity.into(),
            sid: sid.into(),
            version,
            state: participant_info::State::Active.into(),
            tracks: tracks
                .iter()
                .map(|(sid, muted)| livekit::TrackInfo {
                    sid: (*sid).into(),
                    muted: *muted,
                    r#type: livekit::TrackType::Video.into(),
                    ..livekit::TrackInfo::default()
                })
                .collect(),
            ..livekit::ParticipantInfo::default()
        }
    }

    fn gone(identity: &str, sid: &str) -> livekit::ParticipantInfo {
        livekit::ParticipantInfo {
            state: participant_info::State::Disconnected.into(),
            ..info(identity, sid, 9, &[])
        }
    }

    fn names(events: &[Event]) -> Vec<String> {
        events
            .iter()
            .map(|event| format!("{event:?}").split([' ', '(', '{']).next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn participants_and_tracks_come_change_and_go() {
        let mut state = ClientState { local: info("me", "PA_me", 1, &[]), ..ClientState::default() };
        let events = state.update_participants(vec![info("ada", "PA_1", 1, &[("TR_1", false)])]);
        assert_eq!(names(&events), ["ParticipantJoined", "TrackPublished"]);
        assert_eq!(state.track_of("ada", Kind::Video).unwrap().sid, "TR_1");
        assert!(state.track_of("ada", Kind::Audio).is_none());
        let events =
            state.update_participants(vec![info("ada", "PA_1", 2, &[("TR_1", true), ("TR_2", false)])]);
        assert_eq!(names(&events), ["ParticipantUpdated", "TrackMuted", "TrackPublished"]);
        let events = state.update_participants(vec![info("ada", "PA_1", 3, &[("TR_2", false)])]);
        assert_eq!(names(&events), ["ParticipantUpdated", "TrackUnpublished"]);
        let events = state.update_participants(vec![gone("ada", "PA_1")]);
        assert_eq!(names(&events), ["TrackUnpublished", "ParticipantLeft"]);
        assert!(state.participants.is_empty());
    }

    #[test]
    fn old_news_and_news_of_an_earlier_stay_change_nothing() {
        let mut state = ClientState { local: info("me", "PA_me", 1, &[]), ..ClientState::default() };
        state.update_participants(vec![info("ada", "PA_2", 5, &[])]);
        assert!(state.update_participants(vec![info("ada", "PA_2", 4, &[("TR_1", false)])]).is_empty());
        assert!(state.update_participants(vec![gone("ada", "PA_1")]).is_empty());
        assert_eq!(state.participants["ada"].sid, "PA_2");
    }

    #[test]
    fn speakers_are_kept_until_they_are_said_to_be_silent() {
        let mut state = ClientState { local: info("me", "PA_me", 1, &[]), ..ClientState::default() };
        state.update_participants(vec![info("ada", "PA_1", 1, &[])]);
        let speaker = |sid: &str, active| livekit::SpeakerInfo { sid: sid.into(), level: 0.5, active };
        state.update_speakers(vec![speaker("PA_1", true), speaker("PA_me", true)]);
        assert!(state.is_speaking("ada") && state.is_speaking("me"));
        state.update_speakers(vec![speaker("PA_1", false)]);
        assert!(!state.is_speaking("ada") && state.is_speaking("me"));
    }
}
