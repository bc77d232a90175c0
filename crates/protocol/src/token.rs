//! Access tokens: LiveKit's JSON Web Tokens (RFC 7519), signed with HMAC-SHA-256 under a key pair of id
//! and secret. The time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use livekit_protocol as livekit;
use pii::Pii;
use serde::{Deserialize, Serialize};

use crate::ids::{Identity, RoomName};
use crate::problem::Code;

/// How far the clock of whoever made a token may be off, in seconds; as LiveKit's server allows.
pub const LEEWAY_SECONDS: u64 = 60;

/// Bytes of a token; it carries metadata and attributes, and the rest of a request's head needs room too.
pub const MAX_BYTES: usize = 48 << 10;

/// Bytes of a room's name in a token.
pub const MAX_ROOM_BYTES: usize = 256;

/// Bytes of an identity in a token.
pub const MAX_IDENTITY_BYTES: usize = 256;

/// What a token says. Claims this server does not know are ignored.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Claims {
    /// Id of the key that signed it.
    pub iss: String,
    /// Identity of the participant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sub: String,
    /// Valid before this Unix time, in seconds.
    pub exp: u64,
    /// Valid from this Unix time on, in seconds; 0 is always.
    pub nbf: u64,
    /// Display name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Kind of participant: `standard`, `agent`, `ingress`, `egress`, `sip`; empty is standard.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Opaque text for the other participants.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// Opaque texts by key.
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    pub attributes: HashMap<String, String>,
    /// How the room is to be if it starts with this token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_config: Option<RoomConfig>,
    /// Who was admitted through `/join` came without keys, into a room that is not end-to-end encrypted: one that starts
    /// with this token, after that one has ended, is none either.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clear: bool,
    /// SHA-256 of a body that was sent with the token, in Base64 (webhooks).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// What it allows.
    pub video: VideoGrants,
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("exp", &self.exp).field("nbf", &self.nbf).finish_non_exhaustive()
    }
}

/// How a room is to be: LiveKit's `RoomConfiguration`, as far as this server knows it. 0 and empty leave it as
/// it would be.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RoomConfig {
    /// Seconds that the room waits for its first participant.
    #[serde(alias = "empty_timeout")]
    pub empty_timeout: u32,
    /// Seconds that it lives after its last one.
    #[serde(alias = "departure_timeout")]
    pub departure_timeout: u32,
    /// How many may be in it.
    #[serde(alias = "max_participants")]
    pub max_participants: u32,
    /// Opaque text for the participants.
    pub metadata: String,
}

/// What a token allows.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VideoGrants {
    /// The room it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub room: String,
    /// May join that room.
    #[serde(skip_serializing_if = "is_false")]
    pub room_join: bool,
    /// May create rooms (server API).
    #[serde(skip_serializing_if = "is_false")]
    pub room_create: bool,
    /// May list rooms (server API).
    #[serde(skip_serializing_if = "is_false")]
    pub room_list: bool,
    /// May moderate that room (server API).
    #[serde(skip_serializing_if = "is_false")]
    pub room_admin: bool,
    /// The room that participants may be moved to (server API).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destination_room: String,
    /// May publish tracks; absent is yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// May subscribe to tracks; absent is yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    /// May send data; absent is as `can_publish`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// Sources that may be published; empty is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub can_publish_sources: Vec<String>,
    /// May change its own name, metadata and attributes; absent is no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_update_own_metadata: Option<bool>,
    /// Gets the metrics that others' clients send; absent is no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe_metrics: Option<bool>,
    /// Not shown to others.
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// Records the room.
    #[serde(skip_serializing_if = "is_false")]
    pub recorder: bool,
}

impl fmt::Debug for VideoGrants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VideoGrants").field("room_join", &self.room_join).finish_non_exhaustive()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Why a token does not open the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token, or not signed with HS256.
    #[error("the token cannot be read")]
    Malformed,
    /// Its key id is unknown or the signature does not fit.
    #[error("the token was not made with a known key")]
    WrongKey,
    /// Past its `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before its `nbf`.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It does not allow joining.
    #[error("the token does not allow joining a room")]
    NoJoinGrant,
    /// It names no room, or one of more than [`MAX_ROOM_BYTES`].
    #[error("the token names no room")]
    RoomMissing,
    /// It names no participant, or one of more than [`MAX_IDENTITY_BYTES`].
    #[error("the token names no participant")]
    IdentityMissing,
}

impl TokenError {
    /// The stable code of the refusal.
    pub fn code(self) -> Code {
        match self {
            Self::Malformed => Code::TokenMalformed,
            Self::WrongKey => Code::TokenWrongKey,
            Self::Expired => Code::TokenExpired,
            Self::NotYetValid => Code::TokenNotYetValid,
            Self::NoJoinGrant => Code::TokenNoJoinGrant,
            Self::RoomMissing => Code::TokenRoomMissing,
            Self::IdentityMissing => Code::TokenIdentityMissing,
        }
    }
}

/// Why metadata or attributes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// More bytes than allowed.
    #[error("metadata and attributes are larger than allowed")]
    TooLarge,
    /// Something that [`is_text`] refuses.
    #[error("metadata, attributes or name hold control characters")]
    ControlCharacter,
}

impl TextError {
    /// The stable code of the refusal.
    pub fn code(self) -> Code {
        match self {
            Self::TooLarge => Code::MetadataTooLarge,
            Self::ControlCharacter => Code::MetadataMalformed,
        }
    }
}

/// Whether a text has no control characters but those that JSON (RFC 8259 §7) writes with two characters
/// (backspace, tab, line feed, form feed, carriage return). The others take six, so that a participant
/// could make its own refreshed token too large to be used.
pub fn is_text(text: &str) -> bool {
    text.bytes().all(|byte| byte >= 0x20 || matches!(byte, 8..=10 | 12 | 13))
}

/// A token could not be made: its key id is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no key of this id is known")]
pub struct UnknownKey;

/// The keys that make and check tokens. `Debug` shows how many there are, nothing else.
#[derive(Clone, Default)]
pub struct ApiKeys {
    secrets: BTreeMap<String, Pii<String>>,
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.secrets.len())
    }
}

impl ApiKeys {
    /// No keys: every token is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, replacing one of the same id.
    pub fn insert(&mut self, id: impl Into<String>, secret: impl Into<String>) {
        self.secrets.insert(id.into(), Pii::new(secret.into()));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Whether there is a key of this id.
    pub fn contains(&self, id: &str) -> bool {
        self.secrets.contains_key(id)
    }

    /// The id that is first in alphabetical order, and its secret.
    pub fn first(&self) -> Option<(&str, &Pii<String>)> {
        self.secrets.iter().next().map(|(id, secret)| (id.as_str(), secret))
    }

    /// Signs claims with the key named by `iss`.
    ///
    /// # Errors
    /// [`UnknownKey`] if there is no such key.
    pub fn sign(&self, claims: &Claims) -> Result<String, UnknownKey> {
        let secret = self.secrets.get(&claims.iss).ok_or(UnknownKey)?;
        jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            claims,
            &EncodingKey::from_secret(secret.expose().as_bytes()),
        )
        .map_err(|_| UnknownKey)
    }

    /// Checks signature and time of a token at `now` (Unix time in seconds).
    ///
    /// # Errors
    /// [`TokenError::Malformed`], [`TokenError::WrongKey`], [`TokenError::Expired`] or
    /// [`TokenError::NotYetValid`].
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, TokenError> {
        if token.len() > MAX_BYTES {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        if header.alg != Algorithm::HS256 {
            return Err(TokenError::Malformed);
        }
        // Only to learn which key to check with; nothing of it is used before the signature fits.
        let unverified: Issuer =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| TokenError::Malformed)?;
        let secret = self.secrets.get(&unverified.iss).ok_or(TokenError::WrongKey)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false; // by hand below: the library reads the clock itself
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let key = DecodingKey::from_secret(secret.expose().as_bytes());
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::InvalidSignature => TokenError::WrongKey,
                _ => TokenError::Malformed,
            })?
            .claims;
        if claims.exp.saturating_add(LEEWAY_SECONDS) <= now {
            return Err(TokenError::Expired);
        }
        if claims.nbf > now.saturating_add(LEEWAY_SECONDS) {
            return Err(TokenError::NotYetValid);
        }
        Ok(claims)
    }
}

#[derive(Deserialize)]
struct Issuer {
    #[serde(default)]
    iss: String,
}

impl Claims {
    /// The room and the participant a token lets in.
    ///
    /// # Errors
    /// [`TokenError::NoJoinGrant`], [`TokenError::RoomMissing`] or [`TokenError::IdentityMissing`].
    pub fn admission(&self) -> Result<(RoomName, Identity), TokenError> {
        if !self.video.room_join {
            return Err(TokenError::NoJoinGrant);
        }
        if self.video.room.is_empty() || self.video.room.len() > MAX_ROOM_BYTES {
            return Err(TokenError::RoomMissing);
        }
        if self.sub.is_empty() || self.sub.len() > MAX_IDENTITY_BYTES {
            return Err(TokenError::IdentityMissing);
        }
        Ok((RoomName::new(self.video.room.as_str()), Identity::new(self.sub.as_str())))
    }

    /// Checks what the participant says of itself: at most `limit` bytes of metadata and attributes together,
    /// and nothing that would outgrow a token.
    ///
    /// # Errors
    /// [`TextError`].
    pub fn check_texts(&self, limit: usize) -> Result<(), TextError> {
        let attributes = self.attributes.iter().map(|(key, value)| key.len() + value.len());
        if self.metadata.len() + attributes.sum::<usize>() > limit {
            return Err(TextError::TooLarge);
        }
        if self.room_config.as_ref().is_some_and(|config| config.metadata.len() > limit) {
            return Err(TextError::TooLarge);
        }
        let mut texts = self.attributes.iter().flat_map(|(key, value)| [key, value]);
        if is_text(&self.name) && is_text(&self.metadata) && texts.all(|text| is_text(text)) {
            Ok(())
        } else {
            Err(TextError::ControlCharacter)
        }
    }

    /// Makes the grants those of a permission, for a token that is refreshed after a change.
    #[expect(deprecated, reason = "the permission is what LiveKit's clients know")]
    pub fn set_permission(&mut self, permission: &livekit::ParticipantPermission) {
        let grants = &mut self.video;
        grants.can_subscribe = Some(permission.can_subscribe);
        grants.can_publish = Some(permission.can_publish);
        grants.can_publish_data = Some(permission.can_publish_data);
        // A source that is not known is not left out: an empty list allows all.
        let name = |source: &i32| {
            let source = livekit::TrackSource::try_from(*source).unwrap_or(livekit::TrackSource::Unknown);
            source_name(source).to_owned()
        };
        grants.can_publish_sources = permission.can_publish_sources.iter().map(name).collect();
        grants.can_update_own_metadata = Some(permission.can_update_metadata);
        grants.can_subscribe_metrics = Some(permission.can_subscribe_metrics);
        (grants.hidden, grants.recorder) = (permission.hidden, permission.recorder);
    }

    /// The grants in LiveKit's own terms.
    #[expect(deprecated, reason = "the permission is what LiveKit's clients know")]
    pub fn permission(&self) -> livekit::ParticipantPermission {
        let grants = &self.video;
        let can_publish = grants.can_publish.unwrap_or(true);
        livekit::ParticipantPermission {
            can_subscribe: grants.can_subscribe.unwrap_or(true),
            can_publish,
            can_publish_data: grants.can_publish_data.unwrap_or(can_publish),
            can_publish_sources: grants.can_publish_sources.iter().map(|name| source(name).into()).collect(),
            hidden: grants.hidden,
            recorder: grants.recorder,
            can_update_metadata: grants.can_update_own_metadata.unwrap_or(false),
            can_subscribe_metrics: grants.can_subscribe_metrics.unwrap_or(false),
            ..Default::default()
        }
    }

    /// What kind of participant it is; unknown words are standard participants.
    pub fn kind(&self) -> livekit::participant_info::Kind {
        use livekit::participant_info::Kind;
        match self.kind.to_ascii_lowercase().as_str() {
            "agent" => Kind::Agent,
            "ingress" => Kind::Ingress,
            "egress" => Kind::Egress,
            "sip" => Kind::Sip,
            _ if self.video.recorder => Kind::Egress,
            _ => Kind::Standard,
        }
    }
}

/// How a token names a source.
fn source_name(source: livekit::TrackSource) -> &'static str {
    match source {
        livekit::TrackSource::Camera => "camera",
        livekit::TrackSource::Microphone => "microphone",
        livekit::TrackSource::ScreenShare => "screen_share",
        livekit::TrackSource::ScreenShareAudio => "screen_share_audio",
        livekit::TrackSource::Unknown => "unknown",
    }
}

/// A source's name in a token. An unknown one becomes `UNKNOWN`, not nothing: an empty list allows all.
fn source(name: &str) -> livekit::TrackSource {
    match name {
        "camera" => livekit::TrackSource::Camera,
        "microphone" => livekit::TrackSource::Microphone,
        "screen_share" => livekit::TrackSource::ScreenShare,
        "screen_share_audio" => livekit::TrackSource::ScreenShareAudio,
        _ => livekit::TrackSource::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn keys() -> ApiKeys {
        let mut keys = ApiKeys::new();
        keys.insert("devkey", "secret");
        keys.insert("other", "another secret");
        keys
    }

    fn claims() -> Claims {
        Claims {
            iss: "devkey".into(),
            sub: "anna".into(),
            exp: NOW + 600,
            nbf: NOW - 5,
            metadata: "m".into(),
            video: VideoGrants { room: "r".into(), room_join: true, ..Default::default() },
            ..Default::default()
        }
    }

    fn token(claims: &Claims) -> String {
        keys().sign(claims).expect("the key is known")
    }

    #[test]
    fn what_is_signed_is_verified() {
        let claims = claims();
        assert_eq!(keys().verify(&token(&claims), NOW), Ok(claims));
    }

    /// Made with an independent implementation (Python's `hmac` and `json`), claims as LiveKit's SDKs write them.
    #[test]
    fn a_token_of_another_implementation_is_verified() {
        let token = include_str!("../tests/data/python_token.txt").trim();
        let claims = keys().verify(token, NOW).expect("the token is valid");
        let (room, identity) = claims.admission().expect("it allows joining");
        assert_eq!((room.expose(), identity.expose()), ("team", "bot-1"));
        let permission = claims.permission();
        assert_eq!(permission.can_publish_sources, [i32::from(livekit::TrackSource::Microphone)]);
        assert!(!permission.can_publish_data && permission.can_subscribe);
    }

    #[test]
    fn a_changed_permission_is_what_the_refreshed_token_says() {
        let permission = livekit::ParticipantPermission {
            can_subscribe: true,
            can_publish_sources: vec![
                livekit::TrackSource::Microphone.into(),
                livekit::TrackSource::ScreenShareAudio.into(),
            ],
            hidden: true,
            can_subscribe_metrics: true,
            ..Default::default()
        };
        let mut claims = claims();
        assert_ne!(claims.permission(), permission);
        claims.set_permission(&permission);
        let read = keys().verify(&token(&claims), NOW).expect("it is valid");
        assert_eq!(read.permission(), permission);
    }

    #[test]
    fn a_room_s_configuration_is_read_in_both_spellings() {
        for json in [
            r#"{"name":"x","emptyTimeout":7,"maxParticipants":3,"agents":[]}"#,
            r#"{"empty_timeout":7,"max_participants":3}"#,
        ] {
            let config: RoomConfig = serde_json::from_str(json).expect("it is right");
            assert_eq!((config.empty_timeout, config.max_participants), (7, 3));
        }
    }

    #[test]
    fn time_is_checked_with_leeway() {
        let token = token(&claims());
        let at = |now| keys().verify(&token, now).err();
        assert_eq!(at(NOW + 600 + LEEWAY_SECONDS - 1), None);
        assert_eq!(at(NOW + 600 + LEEWAY_SECONDS), Some(TokenError::Expired));
        assert_eq!(at(NOW - 5 - LEEWAY_SECONDS), None);
        assert_eq!(at(NOW - 6 - LEEWAY_SECONDS), Some(TokenError::NotYetValid));
        assert_eq!(at(u64::MAX), Some(TokenError::Expired));
    }

    #[test]
    fn wrong_keys_and_foreign_algorithms_are_refused() {
        let good = token(&claims());
        let mut others = ApiKeys::new();
        assert_eq!(others.verify(&good, NOW).err(), Some(TokenError::WrongKey), "unknown id");
        others.insert("devkey", "guess");
        assert_eq!(others.verify(&good, NOW).err(), Some(TokenError::WrongKey), "wrong secret");

        let body = good.split('.').nth(1).expect("a token has three parts");
        let none = format!("{}.{body}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#));
        assert_eq!(keys().verify(&none, NOW).err(), Some(TokenError::Malformed));
        let hs512 = jsonwebtoken::encode(
            &Header::new(Algorithm::HS512),
            &claims(),
            &EncodingKey::from_secret(b"secret"),
        )
        .expect("HS512 signs");
        assert_eq!(keys().verify(&hs512, NOW).err(), Some(TokenError::Malformed));
    }

    #[test]
    fn a_changed_token_is_refused() {
        let good = token(&claims());
        let mut parts: Vec<_> = good.split('.').map(str::to_owned).collect();
        let forged = Claims { sub: "mallory".into(), ..claims() };
        parts[1] = URL_SAFE_NO_PAD.encode(serde_json::to_string(&forged).expect("claims serialise"));
        assert_eq!(keys().verify(&parts.join("."), NOW).err(), Some(TokenError::WrongKey));
    }

    #[test]
    fn garbage_is_malformed() {
        for garbage in ["", ".", "..", "a.b.c", &"x".repeat(MAX_BYTES + 1), "ä.ö.ü"] {
            assert_eq!(keys().verify(garbage, NOW).err(), Some(TokenError::Malformed));
        }
    }

    #[test]
    fn admission_needs_grant_room_and_identity() {
        let with = |change: fn(&mut Claims)| {
            let mut claims = claims();
            change(&mut claims);
            claims.admission().err()
        };
        assert_eq!(with(|_| {}), None);
        assert_eq!(with(|claims| claims.video.room_join = false), Some(TokenError::NoJoinGrant));
        assert_eq!(with(|claims| claims.video.room.clear()), Some(TokenError::RoomMissing));
        assert_eq!(with(|claims| claims.video.room = "r".repeat(257)), Some(TokenError::RoomMissing));
        assert_eq!(with(|claims| claims.sub.clear()), Some(TokenError::IdentityMissing));
    }

    #[test]
    fn what_a_participant_says_of_itself_is_bounded_together() {
        let with = |metadata: &str, value: &str| Claims {
            metadata: metadata.into(),
            attributes: HashMap::from([("k".into(), value.into())]),
            ..claims()
        };
        assert_eq!(with("1234", "12345").check_texts(10), Ok(()));
        assert_eq!(with("1234", "123456").check_texts(10), Err(TextError::TooLarge));
        assert_eq!(with("\n\t\"ü", "").check_texts(10), Ok(()));
        for text in ["\0", "a\u{1b}"] {
            assert_eq!(with(text, "").check_texts(10), Err(TextError::ControlCharacter));
            assert_eq!(with("", text).check_texts(10), Err(TextError::ControlCharacter));
        }
    }

    #[test]
    fn an_unknown_source_never_allows_everything() {
        let mut claims = claims();
        claims.video.can_publish_sources = vec!["hologram".into()];
        assert_eq!(claims.permission().can_publish_sources, [i32::from(livekit::TrackSource::Unknown)]);
        let permission =
            livekit::ParticipantPermission { can_publish_sources: vec![99], ..Default::default() };
        claims.set_permission(&permission);
        assert_eq!(claims.video.can_publish_sources, ["unknown"]);
    }

    #[test]
    fn nothing_personal_is_printed() {
        let printed = format!("{:?} {:?}", claims(), keys());
        for word in ["anna", "devkey", "secret"] {
            assert!(!printed.contains(word), "{printed}");
        }
    }
}
