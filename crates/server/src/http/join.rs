//! `POST /api/v1/rooms/{room}/join`: admission by name, without an account.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State as FromState};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use protocol::api::{self, JoinRequest, JoinResponse, Mode, Wish};
use protocol::problem::{Code, Problem};
use protocol::room_name;
use protocol::token::{Claims, VideoGrants};

use crate::config::is_host;
use crate::http::{Peer, State, counted, failure, too_often};
use crate::keys::ADMISSION_KEY;
use crate::openapi;
use crate::signal::{TOKEN_LIFETIME, unix_seconds};

/// Layer of the counter of refusals.
const LAYER: &str = "join";

/// Bytes of a body: identity and metadata, as JSON with every character escaped.
const MAX_BODY_BYTES: usize = 16 << 10;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Clocks of clients are not asked, those of other servers may be off.
const BACKDATED_SECONDS: u64 = 10;

/// Asks for admission to a room.
#[utoipa::path(
    post,
    path = "/api/v1/rooms/{room}/join",
    operation_id = "join_room",
    tag = "admission",
    params(("room" = String, Path, description = "Name of the room, percent-encoded")),
    request_body = JoinRequest,
    responses(
        (status = 200, description = "The participant may connect.", body = JoinResponse),
        (
            status = 429,
            description = "Refused: too many tries from this address.",
            body = Problem,
            content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds after which to try again.")),
        ),
        (status = "default", description = "Refused.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn join(
    FromState(state): FromState<Arc<State>>,
    Extension(peer): Extension<Peer>,
    room: Result<Path<String>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(shut) = state.door.knock(Instant::now(), *peer.0.expose()) {
        return too_often(&state, LAYER, Code::RateLimited, shut);
    }
    match admit(&state, room.ok().map(|Path(room)| room), &headers, body).await {
        Ok(admitted) => {
            let body = serde_json::to_vec(&admitted).unwrap_or_default();
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (headers, body).into_response()
        }
        // Not wrong tries: a reload that came before the old connection was gone, a guest too many.
        Err((code @ (Code::IdentityTaken | Code::Full), problem)) => counted(&state, LAYER, &problem, code),
        Err((code, problem)) => failure(&state, LAYER, peer, &problem, code),
    }
}

type Refused = (Code, Problem);

fn refused(code: Code) -> Refused {
    (code, Problem::new(code))
}

async fn admit(
    state: &State,
    room: Option<String>,
    headers: &HeaderMap,
    body: Body,
) -> Result<JoinResponse, Refused> {
    let room = room.ok_or_else(|| refused(Code::InvalidRoomName))?;
    let room = room_name::normalise(&room)
        .map_err(|error| (error.code(), Problem::new(error.code()).with_detail(error.to_string())))?;
    let request = read_body(headers, body).await.map_err(refused)?;
    let Wish { identity, metadata, name } = request.check().map_err(refused)?;
    let identity = identity.unwrap_or_else(|| api::identity_from_random(crate::random::array()));
    let presence = state.directory.presence(&room, Some(&identity));
    if presence.present {
        return Err(refused(Code::IdentityTaken));
    }
    // The core decides; this says it before a client has opened its camera.
    if presence.participants >= state.limits.participants {
        return Err(refused(Code::Full));
    }
    let now = unix_seconds();
    // Where there are keys, names are sealed under them. Whoever tells it has none.
    let name = if presence.mode == Mode::Clear { name } else { String::new() };
    let clear = !name.is_empty();
    let claims = Claims {
        iss: ADMISSION_KEY.to_owned(),
        sub: identity.expose().to_owned(),
        exp: now + TOKEN_LIFETIME.as_secs(),
        nbf: now.saturating_sub(BACKDATED_SECONDS),
        metadata,
        name,
        clear,
        video: VideoGrants {
            room: room.expose().to_owned(),
            room_join: true,
            can_publish: Some(true),
            can_subscribe: Some(true),
            can_publish_data: Some(true),
            can_update_own_metadata: Some(true),
            ..Default::default()
        },
        ..Default::default()
    };
    let token = state.keys.sign(&claims).map_err(|_| refused(Code::Overloaded))?;
    Ok(JoinResponse {
        url: url(state, headers),
        token,
        identity: claims.sub,
        room: claims.video.room,
        running: presence.running,
        mode: presence.mode,
    })
}

async fn read_body(headers: &HeaderMap, body: Body) -> Result<JoinRequest, Code> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    // Browsers send this type to another origin only after asking, which keeps other pages out.
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Code::UnsupportedMediaType);
    }
    let bytes = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES))
        .await
        .map_err(|_| Code::MalformedRequest)?
        .map_err(|_| Code::BodyTooLarge)?;
    serde_json::from_slice(&bytes).map_err(|_| Code::MalformedRequest)
}

/// The WebSocket address as this client sees the server: that of the page it comes from, since a proxy may
/// have ended TLS and asked under another name, or for a client that is no page the host it asked.
fn url(state: &State, headers: &HeaderMap) -> String {
    if let Some(url) = &state.url {
        return url.as_str().to_owned();
    }
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let page = text(header::ORIGIN).and_then(|origin| match origin.split_once("://")? {
        ("https", host) if is_host(host) => Some(("wss", host)),
        ("http", host) if is_host(host) => Some(("ws", host)),
        _ => None,
    });
    let (scheme, host) = page
        .unwrap_or_else(|| ("ws", text(header::HOST).filter(|host| is_host(host)).unwrap_or("localhost")));
    format!("{scheme}://{host}")
}

/// The description of this API.
pub(super) async fn openapi() -> Response {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (headers, openapi::json()).into_response()
}
