//! What signalling asks of the core: one closed set, addressed by session.

pub mod administration;

use std::net::SocketAddr;

use protocol::api::Mode;
use protocol::ids::{Identity, RoomName, SessionId, TrackSid};
use protocol::livekit;

use self::administration::{Administration, RequestId, RoomSettings};
use crate::peer::keying::{SrtpKeys, SrtpProfile};

/// A command of signalling or of the operator's API.
pub enum Command {
    /// A signalling connection with a verified token wants in.
    Join(Box<Join>),
    /// A signalling connection with a verified token wants the participant of an earlier one back.
    Resume(Box<Resume>),
    /// A joined session says something.
    Session(SessionId, SessionCommand),
    /// The server API wants something; [`crate::event::Event::Answer`] carries the number.
    Administer(RequestId, Administration),
    /// Ends every room with the given reason (shutdown).
    EndAll(livekit::DisconnectReason),
}

/// A participant joins; the room starts if it is not running.
pub struct Join {
    /// Address of this session's events.
    pub session: SessionId,
    /// The room named by the token.
    pub room: RoomName,
    /// Who the token says it is.
    pub identity: Identity,
    /// Display name of the token; empty for our own clients (names are sealed in the metadata).
    pub name: String,
    /// Opaque metadata of the token.
    pub metadata: String,
    /// Attributes of the token.
    pub attributes: std::collections::HashMap<String, String>,
    /// What the token allows.
    pub permission: livekit::ParticipantPermission,
    /// What kind of participant.
    pub kind: livekit::participant_info::Kind,
    /// Settings of the token for a room that starts with this join.
    pub room_settings: Option<Box<RoomSettings>>,
    /// What a room is that starts with this join.
    pub mode: Mode,
    /// What the client said about itself.
    pub client: livekit::ClientInfo,
    /// Whether every track is subscribed without asking.
    pub auto_subscribe: bool,
    /// The offer that came with the join request, if any (Firefox sends its first offer later).
    pub offer: Option<livekit::SessionDescription>,
    /// Tracks announced with the join request.
    pub add_tracks: Vec<livekit::AddTrackRequest>,
    /// Unix time in milliseconds, for `joined_at` and the room's creation time.
    pub now_unix_ms: i64,
    /// Whether the client has a peer connection for each direction, of which we offer the one that it receives
    /// on: LiveKit's protocol before `/rtc/v1`. If it is `keyed`, it has keys for both.
    pub two_connections: bool,
    /// Keys given instead of negotiated: simulations and benchmarks have neither ICE nor DTLS. `None` in
    /// a server.
    pub keyed: Option<Box<Keyed>>,
}

/// A client whose signalling connection broke comes back with another one.
pub struct Resume {
    /// Address of the new session's events.
    pub session: SessionId,
    /// The room named by the token.
    pub room: RoomName,
    /// Who the token says it is.
    pub identity: Identity,
    /// Which stay in the room the client wants to go on with; as it came from the client.
    pub participant_sid: String,
    /// What the client believes, if it says so at once.
    pub sync_state: Option<livekit::SyncState>,
    /// An offer that came with the request, if any.
    pub offer: Option<livekit::SessionDescription>,
}

/// A transport whose other end is known and whose keys are given.
pub struct Keyed {
    /// Where the peer is.
    pub remote: SocketAddr,
    /// The protection profile of both directions.
    pub profile: SrtpProfile,
    /// Master keys and salts of both directions.
    pub keys: SrtpKeys,
    /// With two connections: the one that the client publishes on. This one is then what it receives on.
    pub publisher: Option<Box<Keyed>>,
}

/// What a joined session may say. Every variant comes from one LiveKit signal request.
pub enum SessionCommand {
    /// The client's offer (single peer connection: the client is the only offerer).
    Offer(livekit::SessionDescription),
    /// The answer to an offer of ours, with the offer's id echoed.
    Answer(livekit::SessionDescription),
    /// A remote candidate; ICE-lite needs none.
    Trickle(livekit::TrickleRequest),
    /// Announces a track that the next offer will carry.
    AddTrack(Box<livekit::AddTrackRequest>),
    /// Mutes or unmutes one of the sender's own tracks.
    Mute {
        /// Which track.
        track: TrackSid,
        /// The new state.
        muted: bool,
    },
    /// Subscribes to or unsubscribes from tracks.
    Subscription(livekit::UpdateSubscription),
    /// Size, rate and pausing of subscribed tracks.
    TrackSetting(livekit::UpdateTrackSettings),
    /// Who may subscribe to the sender's tracks.
    SubscriptionPermission(livekit::SubscriptionPermission),
    /// The participant's own name, metadata or attributes.
    UpdateMetadata(livekit::UpdateParticipantMetadata),
    /// Features of a published audio track.
    UpdateAudioTrack(livekit::UpdateLocalAudioTrack),
    /// Dimensions of a published video track.
    UpdateVideoTrack(livekit::UpdateLocalVideoTrack),
    /// Announces a data track, whose packets follow on its channel.
    PublishDataTrack(livekit::PublishDataTrackRequest),
    /// Ends one of the sender's own data tracks.
    UnpublishDataTrack(livekit::UnpublishDataTrackRequest),
    /// Subscribes to or unsubscribes from data tracks.
    DataSubscription(livekit::UpdateDataSubscription),
    /// What a client that resumed believes of its tracks, subscriptions and data.
    SyncState(Box<livekit::SyncState>),
    /// The participant leaves on purpose.
    Leave(livekit::DisconnectReason),
    /// The signalling connection is gone; the participant has its grace to come back.
    Disconnected,
}

impl SessionCommand {
    /// What kind of command it is, for traces; its content is not for them.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Offer(_) => "offer",
            Self::Answer(_) => "answer",
            Self::Trickle(_) => "trickle",
            Self::AddTrack(_) => "add-track",
            Self::Mute { .. } => "mute",
            Self::Subscription(_) => "subscription",
            Self::TrackSetting(_) => "track-setting",
            Self::SubscriptionPermission(_) => "subscription-permission",
            Self::UpdateMetadata(_) => "metadata",
            Self::UpdateAudioTrack(_) => "audio-track",
            Self::UpdateVideoTrack(_) => "video-track",
            Self::PublishDataTrack(_) => "publish-data-track",
            Self::UnpublishDataTrack(_) => "unpublish-data-track",
            Self::DataSubscription(_) => "data-subscription",
            Self::SyncState(_) => "sync-state",
            Self::Leave(_) => "leave",
            Self::Disconnected => "disconnected",
        }
    }
}

/// Says what kind it is and nothing else: metadata and names of people must not get into a log with it.
impl std::fmt::Debug for SessionCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
