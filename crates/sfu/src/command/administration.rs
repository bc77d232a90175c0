//! What the operator's programs ask of the core over the server API: one closed set of requests, each with
//! exactly one answer.

use std::time::Duration;

use protocol::ids::{Identity, RoomName, TrackSid};
use protocol::livekit;

/// A request's number, chosen by whoever asks; the answer carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// A request. It has no `Debug`: it carries texts of people.
pub enum Administration {
    /// Starts a room, or changes one that runs by the settings that are given.
    CreateRoom {
        /// Its name.
        name: RoomName,
        /// What was asked for.
        settings: Box<RoomSettings>,
        /// Unix time in milliseconds, for the room's creation time.
        now_unix_ms: i64,
    },
    /// Which rooms run on this core; of these names only, if there are any.
    ListRooms(Vec<RoomName>),
    /// Ends a room for everybody.
    DeleteRoom(RoomName),
    /// Something in a room.
    Room(RoomName, RoomCommand),
}

/// How a room is to be; what is `None` stays as it is.
#[derive(Clone, Default)]
pub struct RoomSettings {
    /// How long the room waits for its first participant.
    pub empty_timeout: Option<Duration>,
    /// How long it lives after its last one.
    pub departure_timeout: Option<Duration>,
    /// How many may be in it, without recorders and agents.
    pub max_participants: Option<u32>,
    /// Opaque text for the participants.
    pub metadata: Option<String>,
}

/// A request about a room that runs.
pub enum RoomCommand {
    /// Everybody in it, hidden ones too.
    ListParticipants,
    /// One participant.
    GetParticipant(Identity),
    /// Ends a participant's session.
    RemoveParticipant(Identity),
    /// Mutes a track, or unmutes it where the configuration allows that.
    MuteTrack {
        /// Whose track.
        identity: Identity,
        /// Which.
        track: TrackSid,
        /// The new state.
        muted: bool,
    },
    /// Changes what is told of a participant and what it may do.
    UpdateParticipant {
        /// Who.
        identity: Identity,
        /// Texts: empty ones stay as they are, attributes with an empty value go.
        texts: Box<livekit::UpdateParticipantMetadata>,
        /// All of what it may do from now on.
        permission: Option<Box<livekit::ParticipantPermission>>,
    },
    /// Subscribes a participant to tracks, or ends its subscriptions.
    UpdateSubscriptions {
        /// Who.
        identity: Identity,
        /// To which tracks.
        update: livekit::UpdateSubscription,
    },
    /// Sends data to participants, from nobody.
    SendData(Box<livekit::SendDataRequest>),
    /// Replaces the room's metadata.
    UpdateMetadata(String),
    /// Sends a participant to another room of this server.
    Move {
        /// Who.
        identity: Identity,
        /// What it is told about the other room; the connection adds the token.
        moved: Box<livekit::RoomMovedResponse>,
    },
    /// Calls a method of a participant; answered when the participant answers, or after the timeout.
    PerformRpc {
        /// Whose method.
        identity: Identity,
        /// Which method, with what, and how long the answer may take.
        call: livekit::RpcRequest,
    },
}

/// What a request came to.
pub type Answer = Result<Answered, Refusal>;

/// The content of an answer. It has no `Debug`: it carries texts of people.
pub enum Answered {
    /// It is done.
    Done,
    /// The room as it is now.
    Room(Box<livekit::Room>),
    /// Rooms of this core.
    Rooms(Vec<livekit::Room>),
    /// The participant as it is now.
    Participant(Box<livekit::ParticipantInfo>),
    /// Everybody in the room.
    Participants(Vec<livekit::ParticipantInfo>),
    /// The track as it is now.
    Track(Box<livekit::TrackInfo>),
    /// What a participant's method returned.
    Rpc(Box<livekit::RpcResponse>),
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No room of this name runs.
    #[error("the room does not exist")]
    UnknownRoom,
    /// Nobody of this identity is in the room.
    #[error("the participant is not in the room")]
    UnknownParticipant,
    /// The track does not exist, or is somebody else's.
    #[error("the track does not exist")]
    UnknownTrack,
    /// Metadata, attributes or name are larger than allowed.
    #[error("metadata, attributes or name are larger than allowed")]
    TextTooLarge,
    /// The data is larger than a packet may be.
    #[error("the data is larger than allowed")]
    DataTooLarge,
    /// A list is longer than allowed.
    #[error("the request names more than allowed")]
    TooMany,
    /// Microphones and cameras are switched on by who sits before them only.
    #[error("this server does not allow to unmute the tracks of others")]
    UnmuteNotAllowed,
    /// As many rooms without participants as the server keeps.
    #[error("too many rooms wait for their participants")]
    TooManyRooms,
    /// As many calls as may wait for answers.
    #[error("too many calls wait for their answers")]
    TooManyCalls,
    /// The participant did not answer a call in time.
    #[error("the participant did not answer in time")]
    NoAnswer,
    /// The participant's signalling connection is broken just now.
    #[error("the participant cannot be told at the moment")]
    Away,
    /// The participant left before it answered a call.
    #[error("the participant left")]
    Gone,
    /// The room failed and is gone.
    #[error("the room failed")]
    Failed,
}

impl Refusal {
    /// The stable code of the refusal.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownRoom => "unknown-room",
            Self::UnknownParticipant => "unknown-participant",
            Self::UnknownTrack => "unknown-track",
            Self::TextTooLarge => "text-too-large",
            Self::DataTooLarge => "data-too-large",
            Self::TooMany => "too-many-names",
            Self::UnmuteNotAllowed => "unmute-not-allowed",
            Self::TooManyRooms => "too-many-rooms",
            Self::TooManyCalls => "too-many-calls",
            Self::NoAnswer => "no-answer",
            Self::Away => "participant-away",
            Self::Gone => "participant-gone",
            Self::Failed => "room-failed",
        }
    }
}
