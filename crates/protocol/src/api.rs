//! Types of our own HTTP API under `/api/v1`, as described by its OpenAPI document.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::Identity;
use crate::problem::Code;
use crate::room_name::is_crockford;
use crate::token::is_text;

/// Characters of an identity of our own clients: 130 bits in Crockford's base32.
pub const IDENTITY_CHARACTERS: usize = 26;

/// Characters of metadata that `/join` takes: a sealed display name, with room.
pub const METADATA_CHARACTERS: usize = 512;

/// Characters of a name that `/join` takes.
pub const NAME_CHARACTERS: usize = 128;

/// Crockford's base32 digits, in lower case.
const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Asks for admission to a room.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct JoinRequest {
    /// Who wants in: 26 characters of lower-case Crockford base32. The server makes one if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, pattern = "^[0-9a-hjkmnp-tv-z]{26}$")]
    pub identity: Option<String>,
    /// Opaque to the server: the display name, sealed under the secret of the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, max_length = 512)]
    pub metadata: Option<String>,
    /// The display name, for a room that is not end-to-end encrypted (`mode` of an answer before); for others it is not
    /// looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, max_length = 128)]
    pub name: Option<String>,
}

/// A request that was checked.
pub struct Wish {
    /// Who wants in; `None` where the server has to make the identity.
    pub identity: Option<Identity>,
    /// Opaque; may be empty.
    pub metadata: String,
    /// Of rooms without end-to-end encryption; may be empty.
    pub name: String,
}

impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinRequest { [pii] }")
    }
}

impl JoinRequest {
    /// Checks what was sent.
    ///
    /// # Errors
    /// [`Code::InvalidIdentity`], [`Code::MetadataTooLarge`] or [`Code::MetadataMalformed`].
    pub fn check(self) -> Result<Wish, Code> {
        let identity = self.identity.map(identity).transpose()?;
        let metadata = self.metadata.unwrap_or_default();
        let name = self.name.unwrap_or_default();
        if metadata.chars().count() > METADATA_CHARACTERS || name.chars().count() > NAME_CHARACTERS {
            return Err(Code::MetadataTooLarge);
        }
        if !is_text(&metadata) || !is_text(&name) {
            return Err(Code::MetadataMalformed);
        }
        Ok(Wish { identity, metadata, name })
    }
}

/// Admission: what to connect with.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct JoinResponse {
    /// The server's WebSocket address, for a LiveKit client.
    pub url: String,
    /// The access token; valid for ten minutes, refreshed over the signalling connection.
    pub token: String,
    /// The identity in the token.
    pub identity: String,
    /// The room's name as the server compares it (NFC, case folded).
    pub room: String,
    /// Whether somebody is in the room already.
    pub running: bool,
    /// How the room protects what is said in it. Of a room that is not open, what it will be for whoever asks.
    pub mode: Mode,
}

impl fmt::Debug for JoinResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinResponse").field("running", &self.running).field("mode", &self.mode).finish()
    }
}

/// How a room protects what is said in it; settled when it is opened. Somebody who has a link with a secret does not
/// ask: that is always end-to-end encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Encrypted between participant and server, not end to end: opened by another program, with a key of the server
    /// API.
    Clear,
    /// End-to-end encrypted, by keys that members of an MLS group agree on: opened by somebody who came through
    /// `/join`.
    Mls,
}

/// Checks an identity of our own clients.
fn identity(text: String) -> Result<Identity, Code> {
    if text.len() == IDENTITY_CHARACTERS && text.bytes().all(is_crockford) {
        Ok(Identity::new(text))
    } else {
        Err(Code::InvalidIdentity)
    }
}

/// Makes an identity from random bytes (five bits of each are used).
pub fn identity_from_random(random: [u8; IDENTITY_CHARACTERS]) -> Identity {
    let text: String = random.iter().map(|byte| char::from(CROCKFORD[usize::from(byte % 32)])).collect();
    Identity::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(identity: Option<&str>, metadata: Option<&str>) -> JoinRequest {
        JoinRequest { identity: identity.map(Into::into), metadata: metadata.map(Into::into), name: None }
    }

    #[test]
    fn a_made_identity_is_a_valid_one() {
        for seed in 0..=255 {
            let made = identity_from_random([seed; 26]);
            assert!(request(Some(made.expose()), None).check().is_ok(), "{}", made.expose());
        }
    }

    #[test]
    fn identities_of_other_shapes_are_refused() {
        for text in [
            "",
            "anna",
            "0123456789abcdefghjkmnpqrs0",
            "0123456789ABCDEFGHJKMNPQRS",
            "0123456789abcdefghjkmnpqri",
        ] {
            assert_eq!(request(Some(text), None).check().err(), Some(Code::InvalidIdentity), "{text}");
        }
    }

    #[test]
    fn metadata_is_counted_in_characters() {
        assert!(request(None, Some(&"ü".repeat(512))).check().is_ok());
        assert_eq!(request(None, Some(&"ü".repeat(513))).check().err(), Some(Code::MetadataTooLarge));
    }

    #[test]
    fn metadata_with_control_characters_is_refused() {
        assert_eq!(request(None, Some("a\u{1}")).check().err(), Some(Code::MetadataMalformed));
    }

    #[test]
    fn names_are_counted_and_read_like_metadata() {
        let named = |name: &str| JoinRequest { name: Some(name.into()), ..Default::default() }.check();
        assert!(named(&"ü".repeat(128)).is_ok_and(|wish| wish.name.chars().count() == 128));
        assert_eq!(named(&"ü".repeat(129)).err(), Some(Code::MetadataTooLarge));
        assert_eq!(named("a\u{1}").err(), Some(Code::MetadataMalformed));
    }

    #[test]
    fn nothing_personal_is_printed() {
        let request = request(Some("0123456789abcdefghjkmnpqrs"), Some("sealed"));
        assert_eq!(format!("{request:?}"), "JoinRequest { [pii] }");
    }
}
