//! HTTP: the admission API, LiveKit's endpoints, the web client. Every answer carries the strict headers.

pub(crate) mod channel;
mod headers;
pub(crate) mod join;
mod listen;
mod metrics;
mod parameters;
mod patient;
pub(crate) mod rtc;
mod web;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State as FromState};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, any, get, on, post};
use pii::Pii;
use protocol::problem::{Code, MEDIA_TYPE, Problem};
use protocol::token::ApiKeys;

use crate::channel::Hub;
use crate::config::{Patience, ServerUrl};
use crate::directory::Directory;
use crate::door::{Door, Shut};
use crate::metrics::Metrics;
use crate::twirp;
use crate::worker::Workers;

pub(crate) use listen::{ConnectionLimits, serve};
pub(crate) use metrics::router as metrics_router;

/// Layer of the counter of refusals that concern no single endpoint.
const LAYER: &str = "http";

/// What the handlers share.
pub(crate) struct State {
    pub(crate) keys: Arc<ApiKeys>,
    /// The configured WebSocket address, if there is one.
    pub(crate) url: Option<ServerUrl>,
    /// The core's bounds.
    pub(crate) limits: sfu::config::Limits,
    pub(crate) patience: Patience,
    pub(crate) workers: Arc<Workers>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) door: Arc<Door>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) metrics: Metrics,
}

/// The address of the client, as its connection or a trusted proxy tells it; put into each request by the
/// listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) Pii<IpAddr>);

/// Every address of the server.
pub(crate) fn router(state: Arc<State>) -> Router {
    let strict = headers::Strict::new(state.url.as_ref());
    Router::new()
        .route("/api/v1/rooms/{room}/join", post(join::join))
        .route("/api/v1/rooms/{room}/channel", get(channel::connect))
        .route("/api/v1/openapi.json", get(join::openapi))
        .route("/rtc/v1", get(rtc::connect))
        .route("/rtc/v1/validate", get(rtc::validate).options(preflight))
        .route("/rtc", get(rtc::connect))
        .route("/rtc/validate", get(rtc::validate).options(preflight))
        .route("/twirp/{service}/{method}", any(twirp::call))
        // LiveKit's clients ask for this address to warm up the connection.
        .route("/", on(MethodFilter::GET.or(MethodFilter::HEAD), web::page))
        .fallback(web::other)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(strict, headers::strict))
        .layer(from_fn(cross_origin))
        .with_state(state)
}

/// LiveKit's clients may come from other origins; nothing here relies on cookies, so any origin may read
/// the answers of these addresses.
async fn cross_origin(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let open = path.starts_with("/rtc")
        || path.starts_with("/twirp/")
        || (request.uri().path() == "/" && request.method() == Method::HEAD);
    let mut response = next.run(request).await;
    if open {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type"),
        );
    }
    response
}

async fn method_not_allowed(FromState(state): FromState<Arc<State>>) -> Response {
    no_such_thing(&state, Code::MethodNotAllowed)
}

/// The refusal of something that is not served at all.
fn no_such_thing(state: &State, code: Code) -> Response {
    counted(state, LAYER, &Problem::new(code), code)
}

async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// A problem as a response.
fn refusal(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body).into_response()
}

/// A refusal that is counted.
fn counted(state: &State, layer: &'static str, problem: &Problem, code: Code) -> Response {
    state.metrics.reject(layer, code.as_str());
    refusal(problem)
}

/// The refusal of somebody who comes too often.
fn too_often(state: &State, layer: &'static str, code: Code, shut: Shut) -> Response {
    let mut response = counted(state, layer, &Problem::new(code), code);
    let seconds = shut.retry_after.as_secs_f64().ceil().max(1.0) as u64;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Refuses with a code and lets it weigh on the address. Tokens that have become useless do not: after a
/// restart a whole class comes with them, from one address, and only then asks for new ones.
fn failure(state: &State, layer: &'static str, peer: Peer, problem: &Problem, code: Code) -> Response {
    if !matches!(code, Code::TokenExpired | Code::TokenWrongKey) {
        state.door.failed(Instant::now(), *peer.0.expose());
    }
    counted(state, layer, problem, code)
}
