//! One delivery: the body as protobuf JSON, signed by a token that carries its SHA-256.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::{Request, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use protocol::livekit::WebhookEvent;
use protocol::token::{ApiKeys, Claims};

use crate::signal::unix_seconds;

/// The media type that LiveKit's receivers expect.
const MEDIA_TYPE: &str = "application/webhook+json";

/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the signature is valid: receivers check it at once, and a captured one is soon worth nothing.
const VALID_SECONDS: u64 = 300;

/// What a try came to.
pub(super) enum Outcome {
    Delivered,
    /// The receiver does not want it (a status of 4xx but 408 and 429).
    Refused,
    /// Another try may succeed.
    Unreachable,
}

/// Signs and sends.
pub(super) struct Poster {
    http: Client<HttpConnector, Full<Bytes>>,
    /// Absent on a machine without root certificates.
    https: Option<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
    keys: Arc<ApiKeys>,
    key: String,
}

impl Poster {
    pub(super) fn new(keys: Arc<ApiKeys>, key: String) -> Self {
        let https = match HttpsConnectorBuilder::new().with_native_roots() {
            Ok(builder) => {
                let connector = builder.https_only().enable_http1().build();
                Some(Client::builder(TokioExecutor::new()).build(connector))
            }
            Err(error) => {
                tracing::warn!(%error, "there are no root certificates: https webhooks cannot be delivered");
                None
            }
        };
        Self { http: Client::builder(TokioExecutor::new()).build_http(), https, keys, key }
    }

    /// Tries once.
    pub(super) async fn post(&self, uri: &Uri, notice: &WebhookEvent) -> Outcome {
        let Some(request) = self.request(uri, notice) else { return Outcome::Refused };
        let response = match &self.https {
            _ if uri.scheme_str() == Some("http") => self.http.request(request),
            Some(https) => https.request(request),
            None => return Outcome::Unreachable,
        };
        match tokio::time::timeout(TIMEOUT, response).await {
            Ok(Ok(response)) => outcome(response.status()),
            Ok(Err(_)) | Err(_) => Outcome::Unreachable,
        }
    }

    fn request(&self, uri: &Uri, notice: &WebhookEvent) -> Option<Request<Full<Bytes>>> {
        let body = serde_json::to_vec(notice).ok()?;
        let claims = Claims {
            iss: self.key.clone(),
            exp: unix_seconds() + VALID_SECONDS,
            sha256: STANDARD.encode(digest::digest(&digest::SHA256, &body)),
            ..Default::default()
        };
        Request::post(uri.clone())
            .header(header::CONTENT_TYPE, MEDIA_TYPE)
            .header(header::AUTHORIZATION, self.keys.sign(&claims).ok()?)
            .body(Full::new(Bytes::from(body)))
            .ok()
    }
}

fn outcome(status: StatusCode) -> Outcome {
    match status {
        status if status.is_success() => Outcome::Delivered,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Outcome::Unreachable,
        status if status.is_client_error() => Outcome::Refused,
        _ => Outcome::Unreachable,
    }
}
