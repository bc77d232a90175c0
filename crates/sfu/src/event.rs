//! What the core tells signalling, the room directory and the counters.

use protocol::ids::{Identity, RoomName, RoomSid, SessionId};
use protocol::livekit;

/// Something that happened.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most events are the large variant, and all are short-lived")]
pub enum Event {
    /// For one signalling session.
    Session(SessionId, SessionEvent),
    /// A room started with its first participant.
    RoomStarted {
        /// Its name.
        room: RoomName,
        /// Its id.
        sid: RoomSid,
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
    /// Input was refused; counted as `konklave_rejected_total{layer,code}`.
    Rejected(Rejection),
}

/// The layer and stable code of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rejection {
    /// `stun`, `dtls`, `srtp`, `rtp`, `rtcp`, `sctp`, `data`, `sdp`, `signal`, `room`.
    pub layer: &'static str,
    /// Stable, in kebab case.
    pub code: &'static str,
}

/// What a signalling session is told; each variant becomes one LiveKit signal response.
#[derive(Clone, Debug)]
pub enum SessionEvent {
    /// The participant is in. Comes first.
    Joined(Box<Joined>),
    /// The answer to an offer, with the offer's id echoed.
    Answer(livekit::SessionDescription),
    /// One of our candidates.
    Trickle(livekit::TrickleRequest),
    /// Participants changed (joined, left, tracks, metadata, mute).
    ParticipantUpdate(Vec<livekit::ParticipantInfo>),
    /// The room changed (number of participants, metadata).
    RoomUpdate(livekit::Room),
    /// A track announced by `AddTrack` has its id.
    TrackPublished(livekit::TrackPublishedResponse),
    /// A track of the participant is no longer published.
    TrackUnpublished(livekit::TrackUnpublishedResponse),
    /// Mute state set by the server.
    Mute(livekit::MuteTrackRequest),
    /// Who speaks.
    SpeakersChanged(Vec<livekit::SpeakerInfo>),
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
    /// Connection quality of participants.
    ConnectionQuality(Vec<livekit::ConnectionQualityInfo>),
    /// The session is over; the connection is to be closed after this.
    Leave(livekit::LeaveRequest),
}

/// Facts about a successful join, the body of LiveKit's `JoinResponse`; signalling adds what belongs to
/// the connection (ping times, server info, ICE servers).
#[derive(Clone, Debug)]
pub struct Joined {
    /// The room.
    pub room: livekit::Room,
    /// The participant itself.
    pub participant: livekit::ParticipantInfo,
    /// Everybody else who is visible.
    pub others: Vec<livekit::ParticipantInfo>,
    /// Codecs the server forwards, in order of preference.
    pub enabled_publish_codecs: Vec<livekit::Codec>,
}
