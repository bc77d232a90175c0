//! LiveKit's server API: RoomService over Twirp, in JSON and in protobuf (docs/server-api.md).
//!
//! A request is let in by its token before its body is read. The grants that a method asks for are those that
//! LiveKit's server asks for.

mod error;
mod service;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State as FromState};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::livekit;
use protocol::problem::Code;
use protocol::prost::Message;
use protocol::token::{Claims, TokenError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::error::{Error, Kind};
use self::service::Service;
use crate::http::rtc::bearer;
use crate::http::{Peer, State};
use crate::signal::unix_seconds;

/// Layer of the counter of refusals.
const LAYER: &str = "twirp";

/// The one service there is.
const SERVICE: &str = "livekit.RoomService";

/// Bytes of a body: a data packet in JSON is a third larger than it is, everything else is smaller.
const MAX_BODY_BYTES: usize = 256 << 10;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Protobuf,
}

impl Form {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/json" => Some(Self::Json),
            "application/protobuf" => Some(Self::Protobuf),
            _ => None,
        }
    }

    fn media_type(self) -> HeaderValue {
        match self {
            Self::Json => HeaderValue::from_static("application/json"),
            Self::Protobuf => HeaderValue::from_static("application/protobuf"),
        }
    }

    fn read<M: Message + Default + DeserializeOwned>(self, bytes: Bytes) -> Result<M, Error> {
        let read = match self {
            Self::Json => serde_json::from_slice(&bytes).ok(),
            Self::Protobuf => M::decode(bytes).ok(),
        };
        read.ok_or_else(|| {
            Error::new(Kind::Malformed, "malformed-request", "the body is not what the method takes")
        })
    }

    fn write<M: Message + Serialize>(self, message: &M) -> Vec<u8> {
        match self {
            // Messages have no maps with keys other than texts, so this does not fail.
            Self::Json => serde_json::to_vec(message).unwrap_or_default(),
            Self::Protobuf => message.encode_to_vec(),
        }
    }
}

/// Answers a call of any method.
pub(crate) async fn call(
    FromState(state): FromState<Arc<State>>,
    Extension(peer): Extension<Peer>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let target = path.map(|Path(target)| target).unwrap_or_default();
    match answer(&state, peer, &method, target, &headers, body).await {
        Ok((form, bytes)) => {
            let headers = [
                (header::CONTENT_TYPE, form.media_type()),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (headers, bytes).into_response()
        }
        Err(error) => {
            state.metrics.reject(LAYER, error.reason);
            error.into_response()
        }
    }
}

async fn answer(
    state: &State,
    peer: Peer,
    method: &Method,
    (service, name): (String, String),
    headers: &HeaderMap,
    body: Body,
) -> Result<(Form, Vec<u8>), Error> {
    let bad_route = |reason, message: &str| Error::new(Kind::BadRoute, reason, message);
    if service != SERVICE {
        return Err(bad_route("unknown-service", "this server has no such service"));
    }
    if method != Method::POST {
        return Err(bad_route("not-a-post", "methods are called with POST"));
    }
    let form = Form::of(headers)
        .ok_or_else(|| bad_route("unknown-form", "the body is application/json or application/protobuf"))?;
    let claims = verify(state, peer, headers)?;
    let bytes = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES))
        .await
        .map_err(|_| Error::new(Kind::DeadlineExceeded, "body-too-slow", "the body took too long"))?
        .map_err(|_| {
            Error::new(Kind::ResourceExhausted, "body-too-large", "the body is larger than 256 KiB")
        })?;
    let service = Service { state, claims: &claims };
    dispatch(&service, &name, form, bytes).await.map(|answer| (form, answer))
}

/// Checks the token. Who goes on failing is told to come back later; a good token always counts.
fn verify(state: &State, peer: Peer, headers: &HeaderMap) -> Result<Claims, Error> {
    let token = bearer(headers).ok_or(Code::TokenMissing);
    let claims = token.and_then(|token| state.keys.verify(token, unix_seconds()).map_err(TokenError::code));
    claims.map_err(|code| {
        let (now, address) = (Instant::now(), *peer.0.expose());
        if state.door.knock(now, address).is_err() {
            let message = "too many wrong tokens from this address";
            return Error::new(Kind::ResourceExhausted, Code::RateLimited.as_str(), message);
        }
        if code != Code::TokenExpired {
            state.door.failed(now, address);
        }
        Error::new(Kind::Unauthenticated, code.as_str(), code.detail())
    })
}

async fn dispatch(service: &Service<'_>, name: &str, form: Form, bytes: Bytes) -> Result<Vec<u8>, Error> {
    macro_rules! call {
        ($method:ident) => {
            form.write(&service.$method(form.read(bytes)?).await?)
        };
    }
    Ok(match name {
        "CreateRoom" => call!(create_room),
        "ListRooms" => call!(list_rooms),
        "DeleteRoom" => call!(delete_room),
        "ListParticipants" => call!(list_participants),
        "GetParticipant" => call!(get_participant),
        "RemoveParticipant" => call!(remove_participant),
        "MutePublishedTrack" => call!(mute_published_track),
        "UpdateParticipant" => call!(update_participant),
        "UpdateSubscriptions" => call!(update_subscriptions),
        "SendData" => call!(send_data),
        "UpdateRoomMetadata" => call!(update_room_metadata),
        "MoveParticipant" => call!(move_participant),
        "PerformRpc" => call!(perform_rpc),
        "ForwardParticipant" => {
            let _: livekit::ForwardParticipantRequest = form.read(bytes)?;
            let message = "this server forwards nobody's tracks into a second room";
            return Err(Error::new(Kind::Unimplemented, "forward-unsupported", message));
        }
        _ => return Err(Error::new(Kind::BadRoute, "unknown-method", "the service has no such method")),
    })
}
