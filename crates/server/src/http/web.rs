//! The web client, embedded and compressed at build time. Every address that may be a room is the page
//! itself: with 200, never by a redirect, which would carry a link's fragment to its target.

use std::sync::Arc;

use axum::extract::State as FromState;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use protocol::problem::Code;
use protocol::room_name;
use rust_embed::RustEmbed;

use crate::http::{State, no_such_thing};

#[derive(RustEmbed)]
#[folder = "$OUT_DIR/web"]
struct Assets;

/// Where files with a hash in their name live.
const HASHED: &str = "/_/";

/// The page.
const INDEX: &str = "index.html";

/// Said instead of the page if the binary was built without it.
const MISSING: &str = "This Konklave was built without its web client. Build it with: make build\n";

/// How a client is served what it can unpack, best first.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// The page, at `/`.
pub(super) async fn page(headers: HeaderMap) -> Response {
    index(&headers)
}

/// Everything that is no route of its own: files, rooms, or nothing.
pub(super) async fn other(
    FromState(state): FromState<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return no_such_thing(&state, Code::MethodNotAllowed);
    }
    let path = uri.path();
    let file = path.trim_start_matches('/');
    if file != INDEX
        && let Some(response) = asset(file, &headers)
    {
        return response;
    }
    match decoded(file) {
        Some(room) if !path.starts_with(HASHED) && room_name::normalise(&room).is_ok() => index(&headers),
        _ => no_such_thing(&state, Code::NotFound),
    }
}

fn index(headers: &HeaderMap) -> Response {
    asset(INDEX, headers).unwrap_or_else(|| (StatusCode::SERVICE_UNAVAILABLE, MISSING).into_response())
}

fn asset(file: &str, headers: &HeaderMap) -> Option<Response> {
    if ENCODINGS.iter().any(|(_, suffix)| file.ends_with(suffix)) {
        return None; // the twins are served under the name of what they hold
    }
    let plain = Assets::get(file)?;
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let twin = ENCODINGS
        .iter()
        .filter(|(encoding, _)| accepted.is_some_and(|accepted| accepts(accepted, encoding)))
        .find_map(|(encoding, suffix)| Some((*encoding, Assets::get(&format!("{file}{suffix}"))?)));
    let tag = HeaderValue::from_str(&etag(&plain.metadata.sha256_hash())).ok()?;
    let cache = if file.starts_with(HASHED.trim_start_matches('/')) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let unchanged = headers.get(header::IF_NONE_MATCH) == Some(&tag);
    let (encoding, content) = match twin {
        Some((encoding, twin)) => (Some(encoding), twin.data),
        None => (None, plain.data),
    };
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        (StatusCode::OK, content).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(file)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::ETAG, tag);
    if let (Some(encoding), false) = (encoding, unchanged) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Some(response)
}

/// Whether an `Accept-Encoding` header allows an encoding (RFC 9110 §12.5.3).
fn accepts(header: &str, encoding: &str) -> bool {
    header.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let refused = parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        named && !refused
    })
}

fn etag(hash: &[u8]) -> String {
    let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("W/\"{hex}\"")
}

fn media_type(file: &str) -> &'static str {
    match file.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Percent-decodes one path segment (RFC 3986 §2.1); `None` if it is no UTF-8 or has further segments.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_taken_as_the_client_weighs_them() {
        assert!(accepts("gzip, deflate, br", "br"));
        assert!(accepts("br;q=0.5", "br"));
        assert!(!accepts("br;q=0, gzip", "br"));
        assert!(!accepts("brotli", "br"));
    }

    #[test]
    fn segments_are_decoded_or_not_at_all() {
        assert_eq!(decoded("caf%C3%A9").as_deref(), Some("café"));
        for wrong in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }
}
