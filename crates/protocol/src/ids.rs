//! Identifiers that cross the wire: `RM_`, `PA_`, `TR_` and `DTR_` followed by 12 characters, the client-chosen
//! participant identity, and the process-local id of a signalling session.

use std::fmt;
use std::sync::Arc;

use pii::Pii;

/// Characters of a generated id: letters and digits that survive being read aloud and URL encoding.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Number of characters behind the prefix.
const LENGTH: usize = 12;

fn generate(prefix: &str, random: [u8; LENGTH]) -> Arc<str> {
    let mut id = String::with_capacity(prefix.len() + LENGTH);
    id.push_str(prefix);
    id.extend(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])));
    id.into()
}

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Makes an id from 12 random bytes (60 bits are used).
            pub fn from_random(random: [u8; LENGTH]) -> Self {
                Self(generate($prefix, random))
            }

            /// Reads an id as a client sent it; `None` if it is not prefix and 12 characters of the alphabet.
            pub fn parse(text: &str) -> Option<Self> {
                let rest = text.strip_prefix($prefix)?;
                let valid = rest.len() == LENGTH && rest.bytes().all(|byte| ALPHABET.contains(&byte));
                valid.then(|| Self(text.into()))
            }

            /// The id as it stands on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

sid!(
    /// One run of a room: a new one is made each time the room starts.
    RoomSid,
    "RM_"
);
sid!(
    /// One stay of a participant in a room: a rejoin makes a new one.
    ParticipantSid,
    "PA_"
);
sid!(
    /// One published track.
    TrackSid,
    "TR_"
);
sid!(
    /// One published data track.
    DataTrackSid,
    "DTR_"
);

/// A participant's identity as given by the token's `sub`: opaque bytes to the server, possibly a name
/// when another system made the token, so it is treated as personal data and never printed.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(Pii<Arc<str>>);

impl Identity {
    /// Wraps an identity taken from a verified token.
    pub fn new(identity: impl Into<Arc<str>>) -> Self {
        Self(Pii::new(identity.into()))
    }

    /// The identity as it stands on the wire; never for logging.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The key of a room: its name as it stands in the token (opaque, at most 256 bytes). Rooms may be named
/// after people, so it is never printed.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Pii<Arc<str>>);

impl RoomName {
    /// Wraps a room name taken from a verified token.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(Pii::new(name.into()))
    }

    /// The name as it stands on the wire; never for logging.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One signalling connection, unique within the process; the address of commands and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_prefix_and_length_and_no_look_alikes() {
        let sid = TrackSid::from_random([0, 1, 2, 3, 31, 32, 63, 64, 128, 200, 254, 255]);
        assert_eq!(sid.as_str().len(), 15);
        assert!(sid.as_str().starts_with("TR_"));
        assert!(!sid.as_str()[3..].contains(['0', 'o', '1', 'l']));
    }

    #[test]
    fn an_id_is_read_back_and_other_texts_are_not_ids() {
        let sid = TrackSid::from_random([7; 12]);
        assert_eq!(TrackSid::parse(sid.as_str()), Some(sid.clone()));
        for text in [
            "",
            "TR_",
            "TR_0",
            "PA_hhhhhhhhhhhh",
            "TR_hhhhhhhhhhhhh",
            "TR_hhhhhhhhhhh1",
            "TR_hhhhhhhhhhh\u{e4}",
        ] {
            assert_eq!(TrackSid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn identities_and_room_names_are_not_printed() {
        let printed = format!("{:?} {:?}", Identity::new("anna"), RoomName::new("class-7b"));
        assert_eq!(printed, "[pii] [pii]");
    }
}
