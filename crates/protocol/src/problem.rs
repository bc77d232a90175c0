//! Refusals as problem details (RFC 9457). Clients look at `code`; the words are for people who read logs
//! of their own requests.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Media type of a [`Problem`] (RFC 9457 §3).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A refusal as it goes over the wire.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the code says what happened, the title is that of the status.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The HTTP status in words.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    #[schema(format = Int32)]
    pub status: u16,
    /// What happened, stable across versions.
    #[schema(value_type = Code)]
    pub code: Cow<'static, str>,
    /// What happened, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub detail: Option<Cow<'static, str>>,
}

impl Problem {
    /// The problem of a code, with the code's own sentence.
    pub fn new(code: Code) -> Self {
        Self {
            kind: "about:blank".into(),
            title: title(code.status()).into(),
            status: code.status(),
            code: code.as_str().into(),
            detail: Some(code.detail().into()),
        }
    }

    /// Replaces the sentence; it must not repeat anything a person sent.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $detail:literal;)*) => {
        /// Every refusal of the HTTP side.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// The code on the wire; stable.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code,)* }
            }

            /// The HTTP status it goes with.
            pub const fn status(self) -> u16 {
                match self { $(Code::$name => $status,)* }
            }

            /// The sentence that goes with it unless a better one is known.
            pub const fn detail(self) -> &'static str {
                match self { $(Code::$name => $detail,)* }
            }
        }
    };
}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let codes = Self::ALL.iter().map(|code| code.as_str());
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("What happened, stable across versions. Later versions may know more."))
            .enum_values(Some(codes))
            .into()
    }
}

impl ToSchema for Code {}

codes! {
    /// The body is not what the description of the API says.
    MalformedRequest = "malformed-request", 400, "The request is not what the description of this API says.";
    /// The name of the room breaks the rules.
    InvalidRoomName = "invalid-room-name", 400, "This cannot be the name of a room.";
    /// The name of the room is the server's.
    ReservedRoomName = "reserved-room-name", 400, "This name is reserved.";
    /// The identity is not 26 characters of lower-case Crockford base32.
    InvalidIdentity = "invalid-identity", 400, "An identity has 26 characters of lower-case base32.";
    /// The metadata is longer than allowed.
    MetadataTooLarge = "metadata-too-large", 400, "The metadata is larger than allowed.";
    /// The metadata holds control characters.
    MetadataMalformed = "metadata-malformed", 400, "Metadata, attributes and names hold no control characters.";
    /// Somebody with this identity is in the room.
    IdentityTaken = "identity-taken", 409, "Somebody with this identity is in the room.";
    /// The room holds as many as it may.
    Full = "full", 409, "The room is full.";
    /// Too many tries from one address.
    RateLimited = "rate-limited", 429, "Too many tries from this address; wait and try again.";
    /// One participant connects again and again.
    ConnectsTooOften = "connects-too-often", 429, "This participant connects too often; wait and try again.";
    /// The server cannot take more.
    Overloaded = "overloaded", 503, "The server is at its limit; try again later.";
    /// There is nothing at this address.
    NotFound = "not-found", 404, "There is nothing at this address.";
    /// The address exists, the method does not.
    MethodNotAllowed = "method-not-allowed", 405, "This address does not answer this method.";
    /// The body is larger than allowed.
    BodyTooLarge = "body-too-large", 413, "The body is too large.";
    /// The body is not JSON.
    UnsupportedMediaType = "unsupported-media-type", 415, "The body has to be application/json.";
    /// No token was given.
    TokenMissing = "token-missing", 401, "No access token was given.";
    /// The token cannot be read.
    TokenMalformed = "token-malformed", 401, "The access token cannot be read.";
    /// No configured key made this token.
    TokenWrongKey = "token-wrong-key", 401, "The access token was not made with a key of this server.";
    /// The token is past its `exp`.
    TokenExpired = "token-expired", 401, "The access token has expired.";
    /// The token is before its `nbf`.
    TokenNotYetValid = "token-not-yet-valid", 401, "The access token is not valid yet.";
    /// The token does not allow joining.
    TokenNoJoinGrant = "token-no-join-grant", 403, "The access token does not allow joining a room.";
    /// The token names no room, or one with a name that is too long.
    TokenRoomMissing = "token-room-missing", 403, "The access token names no room.";
    /// The token names no participant.
    TokenIdentityMissing = "token-identity-missing", 403, "The access token names no participant.";
    /// The token is for another room.
    WrongRoom = "wrong-room", 403, "The access token is for another room.";
    /// The join request cannot be read.
    JoinRequestMalformed = "join-request-malformed", 400, "The join request cannot be read.";
    /// The join request is larger than allowed.
    JoinRequestTooLarge = "join-request-too-large", 413, "The join request is too large.";
    /// The address only speaks WebSocket.
    UpgradeRequired = "upgrade-required", 426, "This address only speaks WebSocket.";
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        _ => "Service Unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_in_kebab_case() {
        let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        for code in &codes {
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
    }

    #[test]
    fn a_problem_on_the_wire_has_the_members_of_rfc_9457() {
        let problem = Problem::new(Code::IdentityTaken);
        let json = serde_json::to_value(&problem).expect("problems serialise");
        assert_eq!(
            json,
            serde_json::json!({
                "type": "about:blank",
                "title": "Conflict",
                "status": 409,
                "code": "identity-taken",
                "detail": "Somebody with this identity is in the room.",
            })
        );
    }

    #[test]
    fn every_status_has_its_title() {
        for code in Code::ALL {
            assert_eq!(title(code.status()) == "Service Unavailable", code.status() == 503, "{code:?}");
        }
    }
}
