//! The methods of RoomService: what each asks of the token, of the request, and of the room's worker.

use std::time::Duration;

use protocol::ids::{Identity, RoomName, TrackSid};
use protocol::livekit;
use protocol::token::{Claims, MAX_IDENTITY_BYTES, MAX_ROOM_BYTES, is_text};
use sfu::command::administration::{Administration, Answered, Refusal, RoomCommand, RoomSettings};

use super::error::{Error, Kind};
use crate::http::State;
use crate::signal::unix_ms;
use crate::worker::WorkerHandle;

/// How long a worker may take: longer than the longest call of a participant's method (60 s).
const PATIENCE: Duration = Duration::from_secs(65);

/// Names that a list may be asked for.
const MAX_NAMES: usize = 1000;

/// One request's caller.
pub(super) struct Service<'a> {
    pub(super) state: &'a State,
    pub(super) claims: &'a Claims,
}

impl Service<'_> {
    pub(super) async fn create_room(
        &self,
        request: livekit::CreateRoomRequest,
    ) -> Result<livekit::Room, Error> {
        self.allow(self.claims.video.room_create)?;
        let seconds = |given: u32| (given > 0).then(|| Duration::from_secs(given.into()));
        self.start(
            room_name(&request.name)?,
            RoomSettings {
                empty_timeout: seconds(request.empty_timeout),
                departure_timeout: seconds(request.departure_timeout),
                max_participants: (request.max_participants > 0).then_some(request.max_participants),
                metadata: Some(text(request.metadata)?).filter(|text| !text.is_empty()),
            },
        )
        .await
    }

    pub(super) async fn list_rooms(
        &self,
        request: livekit::ListRoomsRequest,
    ) -> Result<livekit::ListRoomsResponse, Error> {
        self.allow(self.claims.video.room_list)?;
        if request.names.len() > MAX_NAMES {
            return Err(Refusal::TooMany.into());
        }
        let names: Vec<RoomName> = request.names.into_iter().map(RoomName::new).collect();
        let mut rooms = Vec::new();
        for worker in self.state.workers.all() {
            match self.ask(worker, Administration::ListRooms(names.clone())).await? {
                Answered::Rooms(more) => rooms.extend(more),
                _ => return Err(unexpected()),
            }
        }
        Ok(livekit::ListRoomsResponse { rooms })
    }

    pub(super) async fn delete_room(
        &self,
        request: livekit::DeleteRoomRequest,
    ) -> Result<livekit::DeleteRoomResponse, Error> {
        self.allow(self.claims.video.room_create)?;
        let room = room_name(&request.room)?;
        self.ask(self.worker(&room)?, Administration::DeleteRoom(room.clone())).await?;
        Ok(livekit::DeleteRoomResponse {})
    }

    pub(super) async fn list_participants(
        &self,
        request: livekit::ListParticipantsRequest,
    ) -> Result<livekit::ListParticipantsResponse, Error> {
        let room = self.administers(&request.room)?;
        let participants = self.participants(room).await?;
        Ok(livekit::ListParticipantsResponse { participants })
    }

    pub(super) async fn get_participant(
        &self,
        request: livekit::RoomParticipantIdentity,
    ) -> Result<livekit::ParticipantInfo, Error> {
        let room = self.administers(&request.room)?;
        let identity = identity(request.identity)?;
        participant(self.tell(room, RoomCommand::GetParticipant(identity)).await?)
    }

    pub(super) async fn remove_participant(
        &self,
        request: livekit::RoomParticipantIdentity,
    ) -> Result<livekit::RemoveParticipantResponse, Error> {
        let room = self.administers(&request.room)?;
        let identity = identity(request.identity)?;
        self.tell(room, RoomCommand::RemoveParticipant(identity)).await?;
        Ok(livekit::RemoveParticipantResponse {})
    }

    pub(super) async fn mute_published_track(
        &self,
        request: livekit::MuteRoomTrackRequest,
    ) -> Result<livekit::MuteRoomTrackResponse, Error> {
        let room = self.administers(&request.room)?;
        let identity = identity(request.identity)?;
        let track = TrackSid::parse(&request.track_sid).ok_or(Refusal::UnknownTrack)?;
        match self.tell(room, RoomCommand::MuteTrack { identity, track, muted: request.muted }).await? {
            Answered::Track(track) => Ok(livekit::MuteRoomTrackResponse { track: Some(*track) }),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn update_participant(
        &self,
        request: livekit::UpdateParticipantRequest,
    ) -> Result<livekit::ParticipantInfo, Error> {
        let room = self.administers(&request.room)?;
        let identity = identity(request.identity)?;
        let attributes = request.attributes;
        if !attributes.iter().all(|(key, value)| is_text(key) && is_text(value)) {
            return Err(no_text());
        }
        let texts = Box::new(livekit::UpdateParticipantMetadata {
            metadata: text(request.metadata)?,
            name: text(request.name)?,
            attributes,
            ..Default::default()
        });
        let permission = request.permission.map(Box::new);
        participant(self.tell(room, RoomCommand::UpdateParticipant { identity, texts, permission }).await?)
    }

    pub(super) async fn update_subscriptions(
        &self,
        request: livekit::UpdateSubscriptionsRequest,
    ) -> Result<livekit::UpdateSubscriptionsResponse, Error> {
        let room = self.administers(&request.room)?;
        let identity = identity(request.identity)?;
        let update = livekit::UpdateSubscription {
            track_sids: request.track_sids,
            subscribe: request.subscribe,
            participant_tracks: request.participant_tracks,
        };
        self.tell(room, RoomCommand::UpdateSubscriptions { identity, update }).await?;
        Ok(livekit::UpdateSubscriptionsResponse {})
    }

    pub(super) async fn send_data(
        &self,
        request: livekit::SendDataRequest,
    ) -> Result<livekit::SendDataResponse, Error> {
        let room = self.administers(&request.room)?;
        self.tell(room, RoomCommand::SendData(Box::new(request))).await?;
        Ok(livekit::SendDataResponse {})
    }

    pub(super) async fn update_room_metadata(
        &self,
        request: livekit::UpdateRoomMetadataRequest,
    ) -> Result<livekit::Room, Error> {
        let room = self.administers(&request.room)?;
        match self.tell(room, RoomCommand::UpdateMetadata(text(request.metadata)?)).await? {
            Answered::Room(room) => Ok(*room),
            _ => Err(unexpected()),
        }
    }

    /// The other room may be on another worker, so the participant is sent there: it gets a token for it and
    /// connects anew.
    pub(super) async fn move_participant(
        &self,
        request: livekit::MoveParticipantRequest,
    ) -> Result<livekit::MoveParticipantResponse, Error> {
        let room = self.administers(&request.room)?;
        self.allow(self.claims.video.destination_room == request.destination_room)?;
        let destination = room_name(&request.destination_room)?;
        if destination == room {
            let message = "the participant is in this room already";
            return Err(Error::new(Kind::InvalidArgument, "same-room", message));
        }
        let identity = identity(request.identity)?;
        let moving =
            participant(self.tell(room.clone(), RoomCommand::GetParticipant(identity.clone())).await?)?;
        let info = self.start(destination.clone(), RoomSettings::default()).await?;
        let mut others = self.participants(destination).await?;
        if others.iter().any(|other| other.identity == moving.identity) {
            let message = "somebody of this identity is in the other room";
            return Err(Error::new(Kind::AlreadyExists, "identity-taken", message));
        }
        let max = usize::try_from(info.max_participants).ok().filter(|max| *max > 0).unwrap_or(usize::MAX);
        if others.len() >= max.min(self.state.limits.participants) {
            return Err(Error::new(Kind::ResourceExhausted, "room-full", "the other room is full"));
        }
        others.retain(|other| !other.permission.as_ref().is_some_and(|permission| permission.hidden));
        let moved = Box::new(livekit::RoomMovedResponse {
            room: Some(info),
            participant: Some(moving),
            other_participants: others,
            ..Default::default()
        });
        self.tell(room, RoomCommand::Move { identity, moved }).await?;
        Ok(livekit::MoveParticipantResponse {})
    }

    pub(super) async fn perform_rpc(
        &self,
        request: livekit::PerformRpcRequest,
    ) -> Result<livekit::PerformRpcResponse, Error> {
        use livekit::rpc_response::Value;
        let room = self.administers(&request.room)?;
        let identity = identity(request.destination_identity)?;
        let call = livekit::RpcRequest {
            method: request.method,
            payload: request.payload,
            response_timeout_ms: request.response_timeout_ms,
            ..Default::default()
        };
        let Answered::Rpc(response) = self.tell(room, RoomCommand::PerformRpc { identity, call }).await?
        else {
            return Err(unexpected());
        };
        match response.value {
            Some(Value::Payload(payload)) => Ok(livekit::PerformRpcResponse { payload }),
            Some(Value::Error(error)) => {
                Err(Error::new(Kind::FailedPrecondition, "method-failed", error.message)
                    .with("rpc_code", error.code.to_string())
                    .with("rpc_data", error.data))
            }
            Some(Value::CompressedPayload(_)) | None => Err(Error::new(
                Kind::Internal,
                "unreadable-answer",
                "the participant's answer cannot be read",
            )),
        }
    }

    fn allow(&self, granted: bool) -> Result<(), Error> {
        let refused = || Error::new(Kind::PermissionDenied, "grant-missing", "the token does not allow this");
        granted.then_some(()).ok_or_else(refused)
    }

    /// The room, if the token administers it.
    fn administers(&self, room: &str) -> Result<RoomName, Error> {
        let grants = &self.claims.video;
        self.allow(grants.room_admin && grants.room == room)?;
        room_name(room)
    }

    fn worker(&self, room: &RoomName) -> Result<&WorkerHandle, Error> {
        self.state.workers.of_room(room).ok_or_else(unavailable)
    }

    async fn start(&self, name: RoomName, settings: RoomSettings) -> Result<livekit::Room, Error> {
        let worker = self.worker(&name)?;
        let request =
            Administration::CreateRoom { name, settings: Box::new(settings), now_unix_ms: unix_ms() };
        match self.ask(worker, request).await? {
            Answered::Room(room) => Ok(*room),
            _ => Err(unexpected()),
        }
    }

    async fn participants(&self, room: RoomName) -> Result<Vec<livekit::ParticipantInfo>, Error> {
        match self.tell(room, RoomCommand::ListParticipants).await? {
            Answered::Participants(participants) => Ok(participants),
            _ => Err(unexpected()),
        }
    }

    async fn tell(&self, room: RoomName, command: RoomCommand) -> Result<Answered, Error> {
        let worker = self.worker(&room)?;
        self.ask(worker, Administration::Room(room, command)).await
    }

    async fn ask(&self, worker: &WorkerHandle, request: Administration) -> Result<Answered, Error> {
        let answer = tokio::time::timeout(PATIENCE, worker.ask(request)).await;
        answer.ok().and_then(Result::ok).ok_or_else(unavailable)?.map_err(Into::into)
    }
}

fn room_name(name: &str) -> Result<RoomName, Error> {
    if name.is_empty() || name.len() > MAX_ROOM_BYTES {
        return Err(Error::new(
            Kind::InvalidArgument,
            "invalid-room-name",
            "a room's name has 1 to 256 bytes",
        ));
    }
    Ok(RoomName::new(name))
}

fn identity(text: String) -> Result<Identity, Error> {
    if text.is_empty() || text.len() > MAX_IDENTITY_BYTES {
        return Err(Error::new(Kind::InvalidArgument, "invalid-identity", "an identity has 1 to 256 bytes"));
    }
    Ok(Identity::new(text))
}

fn text(text: String) -> Result<String, Error> {
    is_text(&text).then_some(text).ok_or_else(no_text)
}

fn no_text() -> Error {
    let message = "metadata, attributes and names hold no control characters";
    Error::new(Kind::InvalidArgument, "text-malformed", message)
}

fn participant(answer: Answered) -> Result<livekit::ParticipantInfo, Error> {
    match answer {
        Answered::Participant(participant) => Ok(*participant),
        _ => Err(unexpected()),
    }
}

fn unavailable() -> Error {
    Error::new(Kind::Unavailable, "worker-gone", "the room cannot be reached; try again")
}

/// An answer of another request, which the core does not give.
fn unexpected() -> Error {
    Error::new(Kind::Internal, "unexpected-answer", "the server answered something else")
}
