//! The headers of every answer: the page loads nothing from elsewhere, is framed by nobody, tells nobody
//! where a link was followed from.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::config::ServerUrl;

/// What the page may do, up to where it may connect to. `'wasm-unsafe-eval'` lets it compile WebAssembly, which the
/// encryption is, and no script out of text.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'; worker-src 'self' blob:; \
    manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), microphone=(self), display-capture=(self), geolocation=(), payment=(), usb=()",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::VARY, "Accept-Encoding"),
];

/// The headers of one server.
#[derive(Clone)]
pub(super) struct Strict {
    policy: HeaderValue,
}

impl Strict {
    /// `url` is the configured address for clients, if there is one. `connect-src 'self'` covers the
    /// WebSocket of the same origin since Chrome 71 and Safari 16, the client's build targets are newer; any
    /// other origin has to be named, for the WebSocket and for the request that asks why it failed.
    pub(super) fn new(url: Option<&ServerUrl>) -> Self {
        let policy =
            url.map_or_else(|| POLICY.to_owned(), |url| format!("{POLICY} {}", url.origins().join(" ")));
        // The address was checked to be made of characters that a header may hold.
        let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(POLICY));
        Self { policy }
    }
}

/// Adds the headers.
pub(super) async fn strict(State(strict): State<Strict>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in &HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, strict.policy);
    response
}
