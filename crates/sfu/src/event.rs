//! What the core tells signalling, the room directory and the counters. No event shows its
//! content by `Debug`: addresses and what people are called must not get into a log with it.

use protocol::api::Mode;
use protocol::ids::{Identity, RoomName, RoomSid, SessionId};
use protocol::livekit;

use crate::command::administration::{Answer, RequestId};

/// Something that happened.
#[expect(clippy::large_enum_variant, reason = "most events are the large variant, and all are short-lived")]
pub enum Event {
    /// For one signalling session.
    Session(SessionId, SessionEvent),
    /// A room started: with its first participant, or at the server API's wish.
    RoomStarted {
        /// Its name.
        room: RoomName,
        /// Its id.
        sid: RoomSid,
        /// What it is as long as it lives: who opened it settles that.
        mode: Mode,
    },
    /// A room ended.
    RoomEnded {
        /// Its name.
        room: RoomName,
        /// Its id.
        sid: RoomSid,
    },
    /// A participant is in the room from now on.
    ParticipantJoined {
        /// The room.
        room: RoomName,
        /// Who.
        identity: Identity,
    },
    /// A participant is gone.
    ParticipantLeft {
        /// The room.
        room: RoomName,
        /// Who.
        identity: Identity,
    },
    /// An authenticated check showed that datagrams from this address belong to this worker. The worker
    /// that handed the datagram over may now hand over the rest of the flow without looking.
    Route(std::net::SocketAddr),
    /// The address no longer belongs to this worker.
    Unroute(std::net::SocketAddr),
    /// What a request of the server API came to; exactly one for each, unless its room fails meanwhile.
    Answer(RequestId, Answer),
    /// Something that programs outside are told of ([`crate::config::Config::notices`]).
    Notice(Box<livekit::WebhookEvent>),
    /// Input was refused; counted as `konklave_rejected_total{layer,code}`.
    Rejected(Rejection),
}

/// The layer and stable code of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rejection {
    /// Where it was refused: `demux`, `transport`, `stun`, `dtls`, `srtp`, `rtp`, `rtcp`, `sctp`, `data`, `sdp`,
    /// `signal`, `room`.
    pub layer: &'static str,
    /// Stable, in kebab case.
    pub code: &'static str,
}

/// What a signalling session is told; each variant but one becomes one LiveKit signal response.
#[derive(Clone)]
pub enum SessionEvent {
    /// The participant is in. Comes first.
    Joined(Box<Joined>),
    /// The session goes on where an earlier one broke off. Comes first.
    Reconnected(Reconnected),
    /// The answer to an offer, with the offer's id echoed.
    Answer(livekit::SessionDescription),
    /// An offer of ours, to a client with two peer connections; its answer echoes the id.
    Offer(livekit::SessionDescription),
    /// Participants changed (joined, left, tracks, metadata, mute).
    ParticipantUpdate(Vec<livekit::ParticipantInfo>),
    /// A track announced by `AddTrack` has its id.
    TrackPublished(livekit::TrackPublishedResponse),
    /// Who speaks.
    SpeakersChanged(Vec<livekit::SpeakerInfo>),
    /// Pictures that are paused for want of bandwidth, or go on.
    StreamStateUpdate(livekit::StreamStateUpdate),
    /// Which encodings of one of the participant's videos somebody needs.
    SubscribedQualityUpdate(livekit::SubscribedQualityUpdate),
    /// How good participants' connections are.
    ConnectionQuality(Vec<livekit::ConnectionQualityInfo>),
    /// The client must offer this many further receive sections (0, 0: offer again as it is).
    MediaSectionsRequirement {
        /// Further `recvonly` audio sections.
        audios: u32,
        /// Further `recvonly` video sections.
        videos: u32,
    },
    /// A published track has its first subscriber.
    TrackSubscribed(livekit::TrackSubscribed),
    /// Whether a subscription is allowed changed.
    SubscriptionPermissionUpdate(livekit::SubscriptionPermissionUpdate),
    /// A subscription cannot be served.
    SubscriptionResponse(livekit::SubscriptionResponse),
    /// Answer to a request that carried an id, or a refusal of one.
    RequestResponse(livekit::RequestResponse),
    /// The room changed.
    RoomUpdate(Box<livekit::Room>),
    /// The server ended one of the participant's tracks.
    TrackUnpublished(livekit::TrackUnpublishedResponse),
    /// A data track that the participant announced has its id.
    DataTrackPublished(livekit::PublishDataTrackResponse),
    /// One of the participant's data tracks ended, as it asked or by the server.
    DataTrackUnpublished(livekit::UnpublishDataTrackResponse),
    /// Which handle stands for which data track in packets to this participant: all that it subscribes to.
    DataTrackHandles(livekit::DataTrackSubscriberHandles),
    /// The server muted or unmuted one of the participant's tracks.
    Mute(livekit::MuteTrackRequest),
    /// The participant is to go to another room; the connection adds the token for it.
    Moved(Box<livekit::RoomMovedResponse>),
    /// The session is over; the connection is to be closed after this.
    Leave(livekit::LeaveRequest),
    /// The client goes on with another connection: this one is to be closed without a word, which would be about
    /// the participant. The one event that is no signal response.
    Superseded,
}

impl SessionEvent {
    /// Whether the session ends with it: nothing follows, and the connection is to be closed.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Leave(_) | Self::Superseded)
    }

    /// What kind of event it is, for traces; its content is not for them.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Joined(_) => "joined",
            Self::Reconnected(_) => "reconnected",
            Self::Answer(_) => "answer",
            Self::Offer(_) => "offer",
            Self::ParticipantUpdate(_) => "participants",
            Self::TrackPublished(_) => "published",
            Self::SpeakersChanged(_) => "speakers",
            Self::StreamStateUpdate(_) => "stream-state",
            Self::SubscribedQualityUpdate(_) => "subscribed-quality",
            Self::ConnectionQuality(_) => "quality",
            Self::MediaSectionsRequirement { .. } => "sections",
            Self::TrackSubscribed(_) => "subscribed",
            Self::SubscriptionPermissionUpdate(_) => "permission",
            Self::SubscriptionResponse(_) => "subscription",
            Self::RequestResponse(_) => "response",
            Self::RoomUpdate(_) => "room",
            Self::TrackUnpublished(_) => "unpublished",
            Self::DataTrackPublished(_) => "data-published",
            Self::DataTrackUnpublished(_) => "data-unpublished",
            Self::DataTrackHandles(_) => "data-handles",
            Self::Mute(_) => "mute",
            Self::Moved(_) => "moved",
            Self::Leave(_) => "leave",
            Self::Superseded => "superseded",
        }
    }
}

/// Says what kind it is and nothing else.
impl std::fmt::Debug for SessionEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Facts about a resumed session, the body of LiveKit's `ReconnectResponse`; signalling adds what belongs to the
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnected {
    /// Sequence number of the last reliable data packet that came from the client, 0 if none did: it sends again
    /// what follows.
    pub last_message_seq: u32,
}

/// Facts about a successful join, the body of LiveKit's `JoinResponse`; signalling adds what belongs to
/// the connection (ping times, server info, ICE servers).
#[derive(Clone)]
pub struct Joined {
    /// The room.
    pub room: livekit::Room,
    /// The participant itself.
    pub participant: livekit::ParticipantInfo,
    /// Everybody else who is visible.
    pub others: Vec<livekit::ParticipantInfo>,
    /// Codecs the server forwards, in order of preference.
    pub enabled_publish_codecs: Vec<livekit::Codec>,
    /// Whether the connection that we offer is the one to wait for.
    pub subscriber_primary: bool,
}
