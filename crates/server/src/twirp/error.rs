//! Refusals as Twirp has them: a code of its closed set, a sentence, and our own stable code in `meta.reason`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sfu::command::administration::Refusal;

/// Twirp's codes, as far as they are used, with their HTTP status (Twirp's specification, "Error Codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    InvalidArgument,
    Malformed,
    DeadlineExceeded,
    NotFound,
    BadRoute,
    AlreadyExists,
    PermissionDenied,
    Unauthenticated,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    Unimplemented,
    Internal,
    Unavailable,
}

impl Kind {
    fn code(self) -> (&'static str, StatusCode) {
        match self {
            Self::InvalidArgument => ("invalid_argument", StatusCode::BAD_REQUEST),
            Self::Malformed => ("malformed", StatusCode::BAD_REQUEST),
            Self::DeadlineExceeded => ("deadline_exceeded", StatusCode::REQUEST_TIMEOUT),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND),
            Self::BadRoute => ("bad_route", StatusCode::NOT_FOUND),
            Self::AlreadyExists => ("already_exists", StatusCode::CONFLICT),
            Self::PermissionDenied => ("permission_denied", StatusCode::FORBIDDEN),
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
            Self::ResourceExhausted => ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
            Self::FailedPrecondition => ("failed_precondition", StatusCode::PRECONDITION_FAILED),
            Self::Aborted => ("aborted", StatusCode::CONFLICT),
            Self::Unimplemented => ("unimplemented", StatusCode::NOT_IMPLEMENTED),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

/// A refusal.
#[derive(Clone)]
pub(super) struct Error {
    kind: Kind,
    /// Stable, in kebab case; also the code of the counter.
    pub(super) reason: &'static str,
    message: String,
    meta: Vec<(&'static str, String)>,
}

impl Error {
    pub(super) fn new(kind: Kind, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, reason, message: message.into(), meta: Vec::new() }
    }

    /// Adds something that programs may want to read.
    pub(super) fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.meta.push((key, value.into()));
        self
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::UnknownRoom | Refusal::UnknownParticipant | Refusal::UnknownTrack => Kind::NotFound,
            Refusal::TextTooLarge | Refusal::DataTooLarge | Refusal::TooMany => Kind::InvalidArgument,
            Refusal::UnmuteNotAllowed | Refusal::Away => Kind::FailedPrecondition,
            Refusal::TooManyRooms | Refusal::TooManyCalls => Kind::ResourceExhausted,
            Refusal::NoAnswer => Kind::DeadlineExceeded,
            Refusal::Gone | Refusal::Failed => Kind::Aborted,
        };
        Self::new(kind, refusal.code(), refusal.to_string())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (code, status) = self.kind.code();
        let mut meta: serde_json::Map<String, serde_json::Value> =
            self.meta.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        meta.insert("reason".into(), self.reason.into());
        let body = serde_json::json!({ "code": code, "msg": self.message, "meta": meta });
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (status, headers, body.to_string()).into_response()
    }
}
