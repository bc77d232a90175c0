//! LiveKit's endpoints: `/rtc/v1`, `/rtc` of older clients that have two peer connections, and their twins that say
//! in words why the WebSocket was refused.
//!
//! The query holds the token: it is never logged and never repeated in an answer.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State as FromState};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use protocol::livekit;
use protocol::problem::{Code, Problem};
use protocol::token::Claims;

use crate::http::listen::KeepSlot;
use crate::http::parameters::Parameters;
use crate::http::{Peer, State, counted, failure, too_often};
use crate::keys::ADMISSION_KEY;
use crate::signal::{self, Admission, MAX_FRAME_BYTES, Surroundings};

/// Layer of the counter of refusals.
const LAYER: &str = "rtc";

/// Where clients with one peer connection come; all others have two.
const SINGLE_CONNECTION: &str = "/rtc/v1";

/// Bytes read from a connection at once; there may be tens of thousands of them.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// Bytes that wait to be written to a connection: one large answer and some updates.
const WRITE_BUFFER_BYTES: usize = 4 << 20;

/// Opens a signalling connection.
pub(super) async fn connect(
    FromState(state): FromState<Arc<State>>,
    Extension(peer): Extension<Peer>,
    Extension(slot): Extension<KeepSlot>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let admission = match admit(&state, &uri, &headers) {
        Ok(admission) => admission,
        Err(code) => return failure(&state, LAYER, peer, &Problem::new(code), code),
    };
    let Ok(upgrade) = upgrade else {
        let code = Code::UpgradeRequired;
        return counted(&state, LAYER, &Problem::new(code), code);
    };
    // Tokens of configured keys are made by programs that know what they do (load, recordings, tests).
    if admission.claims.iss == ADMISSION_KEY
        && let Err(shut) = state.door.enter(Instant::now(), &admission.room, &admission.identity)
    {
        return too_often(&state, LAYER, Code::ConnectsTooOften, shut);
    }
    let Some(worker) = state.workers.of_room(&admission.room).cloned() else {
        let code = Code::Overloaded;
        return counted(&state, LAYER, &Problem::new(code), code);
    };
    let surroundings = Surroundings {
        worker,
        keys: Arc::clone(&state.keys),
        metrics: state.metrics.clone(),
        limits: state.limits.clone(),
        patience: state.patience,
    };
    upgrade
        .max_frame_size(MAX_FRAME_BYTES)
        .max_message_size(MAX_FRAME_BYTES)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES)
        .on_upgrade(move |socket| async move {
            signal::run(socket, admission, surroundings).await;
            drop(slot);
        })
}

/// Says whether [`connect`] would succeed. Browsers do not tell their pages why a WebSocket failed, so
/// clients ask here.
pub(super) async fn validate(
    FromState(state): FromState<Arc<State>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let admission = match admit(&state, &uri, &headers) {
        Ok(admission) => admission,
        Err(code) => return failure(&state, LAYER, peer, &Problem::new(code), code),
    };
    if admission.claims.iss == ADMISSION_KEY
        && let Err(shut) = state.door.may_enter(Instant::now(), &admission.room, &admission.identity)
    {
        return too_often(&state, LAYER, Code::ConnectsTooOften, shut);
    }
    "success".into_response()
}

fn admit(state: &State, uri: &Uri, headers: &HeaderMap) -> Result<Admission, Code> {
    let Query(mut parameters) = Query::<Parameters>::try_from_uri(uri).map_err(|_| Code::MalformedRequest)?;
    let mut claims = verified(state, &parameters.access_token, headers)?;
    let (room, identity) = claims.admission().map_err(protocol::token::TokenError::code)?;
    if !parameters.room.is_empty() && parameters.room != room.expose() {
        return Err(Code::WrongRoom);
    }
    let two_connections = !uri.path().starts_with(SINGLE_CONNECTION);
    let mut request = parameters.join_request(two_connections)?;
    if request.publisher_offer.as_ref().is_some_and(|offer| offer.sdp.len() > state.limits.sdp_bytes) {
        return Err(Code::JoinRequestTooLarge);
    }
    if claims.permission().can_update_metadata {
        if !request.metadata.is_empty() {
            claims.metadata = std::mem::take(&mut request.metadata);
        }
        claims.attributes.extend(std::mem::take(&mut request.participant_attributes));
    }
    claims.check_texts(state.limits.metadata_bytes).map_err(protocol::token::TextError::code)?;
    let told = livekit::ParticipantInfo {
        identity: claims.sub.clone(),
        name: claims.name.clone(),
        metadata: claims.metadata.clone(),
        attributes: claims.attributes.clone(),
        permission: Some(claims.permission()),
        ..Default::default()
    };
    if !state.limits.admits(&told) {
        return Err(Code::MetadataTooLarge);
    }
    Ok(Admission { claims, room, identity, request, two_connections })
}

/// What a token says that comes in the query or else in a header.
pub(super) fn verified(state: &State, query: &str, headers: &HeaderMap) -> Result<Claims, Code> {
    let token = if query.is_empty() { bearer(headers).ok_or(Code::TokenMissing)? } else { query };
    state.keys.verify(token, signal::unix_seconds()).map_err(protocol::token::TokenError::code)
}

/// The token of an `Authorization` header (RFC 6750 §2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
