//! `/api/v1/rooms/{room}/channel`: the WebSocket over which members of a room share a log that the server cannot read.
//!
//! The query holds the token: it is never logged and never repeated in an answer.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, Query, State as FromState};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use protocol::ids::{Identity, RoomName};
use protocol::problem::{Code, Problem};
use protocol::room_name;
use protocol::token::TokenError;
use serde::Deserialize;

use crate::channel::{self, LAYER, MAX_FRAME_BYTES};
use crate::http::listen::KeepSlot;
use crate::http::rtc::verified;
use crate::http::{Peer, State, counted, failure, too_often};
use crate::keys::ADMISSION_KEY;

/// Bytes read from a connection at once.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// Bytes that wait to be written to a connection: more than the largest message.
const WRITE_BUFFER_BYTES: usize = 4 << 20;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    access_token: String,
}

/// Opens the channel of a participant: a WebSocket with one JSON object in each text message. The client sends
/// `ToServer`, `hello` first; the server sends `FromServer`, and before it closes `closing`.
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{room}/channel",
    operation_id = "open_channel",
    tag = "channel",
    params(
        ("room" = String, Path, description = "Name of the room, percent-encoded; that of the token"),
        ("access_token" = Option<String>, Query, description = "The participant's token, unless it comes as a bearer"),
    ),
    responses(
        (status = 101, description = "The channel is open."),
        (
            status = 429,
            description = "Refused: too many channels of this participant.",
            body = Problem,
            content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds after which to try again.")),
        ),
        (status = "default", description = "Refused.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn connect(
    FromState(state): FromState<Arc<State>>,
    Extension(peer): Extension<Peer>,
    Extension(slot): Extension<KeepSlot>,
    room: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let room = room.ok().map(|Path(room)| room);
    let (room, identity, is_own) = match admit(&state, room, &uri, &headers) {
        Ok(admitted) => admitted,
        Err(code) => return failure(&state, LAYER, peer, &Problem::new(code), code),
    };
    let Ok(upgrade) = upgrade else {
        let code = Code::UpgradeRequired;
        return counted(&state, LAYER, &Problem::new(code), code);
    };
    if is_own && let Err(shut) = state.door.open_channel(Instant::now(), &room, &identity) {
        return too_often(&state, LAYER, Code::ConnectsTooOften, shut);
    }
    let (hub, metrics, patience) = (Arc::clone(&state.hub), state.metrics.clone(), state.patience);
    upgrade
        .max_frame_size(MAX_FRAME_BYTES)
        .max_message_size(MAX_FRAME_BYTES)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES)
        .on_upgrade(move |socket| async move {
            channel::run(socket, room, identity, hub, metrics, patience).await;
            drop(slot);
        })
}

/// Where a token lets somebody in, who that is, and whether the token is of our own admission.
fn admit(
    state: &State,
    room: Option<String>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(RoomName, Identity, bool), Code> {
    let named = room.ok_or(Code::InvalidRoomName)?;
    let Query(parameters) = Query::<Parameters>::try_from_uri(uri).map_err(|_| Code::MalformedRequest)?;
    let claims = verified(state, &parameters.access_token, headers)?;
    let (room, identity) = claims.admission().map_err(TokenError::code)?;
    // The server API's tokens name rooms as they like, our own the folded name.
    let is_room = named == room.expose() || room_name::normalise(&named).is_ok_and(|folded| folded == room);
    if !is_room {
        return Err(Code::WrongRoom);
    }
    Ok((room, identity, claims.iss == ADMISSION_KEY))
}
