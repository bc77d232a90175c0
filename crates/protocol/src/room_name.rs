//! Names of link rooms: what may be one, and how two spellings of a name are the same room.
//!
//! Normalisation is Unicode NFC, full case folding (Unicode §3.13, toCasefold) and NFC again, so that a
//! link read aloud or typed on a phone leads to the room that was meant. Names inside tokens of the
//! server API are opaque and do not pass through here.

use icu_casemap::CaseMapperBorrowed;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

use crate::ids::RoomName;
use crate::problem::Code;

/// Longest name in characters, a host fingerprint included; long enough for a sentence, short enough for
/// a link that survives mail clients.
pub const MAX_CHARACTERS: usize = 64;

/// Characters of a host fingerprint: 100 bits in Crockford's base32.
pub const FINGERPRINT_CHARACTERS: usize = 20;

/// Bytes beyond which a name is refused before any Unicode work is done: no name of 64 characters is
/// longer (four bytes each), and combining marks that NFC would compose away are not worth more.
const MAX_BYTES: usize = 1024;

/// First path segments that belong to the server itself.
const RESERVED: [&str; 8] = ["api", "rtc", "twirp", "go", "about", "embed", "help", "privacy"];

/// Why a text is not the name of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomNameError {
    /// Nothing is left, or nothing stands before the `~`.
    #[error("the name of the room is empty")]
    Empty,
    /// More than [`MAX_CHARACTERS`].
    #[error("the name of the room is longer than 64 characters")]
    TooLong,
    /// Something other than letters, marks, digits, `-` and `_`.
    #[error("the name of the room may consist of letters, digits, hyphens and underscores")]
    Character,
    /// What follows `~` is not a host fingerprint.
    #[error("the part behind ~ is not a host fingerprint (20 characters)")]
    Fingerprint,
    /// The name belongs to the server.
    #[error("this name is reserved")]
    Reserved,
}

impl RoomNameError {
    /// The stable code of the refusal.
    pub fn code(self) -> Code {
        match self {
            Self::Reserved => Code::ReservedRoomName,
            Self::Empty | Self::TooLong | Self::Character | Self::Fingerprint => Code::InvalidRoomName,
        }
    }
}

/// Brings a name as it stands in a link into the form that is the room's key.
///
/// # Errors
/// [`RoomNameError`] when it is not a name or belongs to the server.
pub fn normalise(name: &str) -> Result<RoomName, RoomNameError> {
    if name.is_empty() {
        return Err(RoomNameError::Empty);
    }
    if name.len() > MAX_BYTES {
        return Err(RoomNameError::TooLong);
    }
    let nfc = ComposingNormalizerBorrowed::new_nfc();
    let composed = nfc.normalize(name);
    let folded = CaseMapperBorrowed::new().fold_string(&composed).into_owned();
    let folded = nfc.normalize(&folded).into_owned();
    check(&folded)?;
    Ok(RoomName::new(folded))
}

fn check(name: &str) -> Result<(), RoomNameError> {
    if name.starts_with(['_', '.']) || RESERVED.contains(&name) {
        return Err(RoomNameError::Reserved);
    }
    if name.chars().count() > MAX_CHARACTERS {
        return Err(RoomNameError::TooLong);
    }
    let (plain, fingerprint) = match name.split_once('~') {
        Some((plain, fingerprint)) => (plain, Some(fingerprint)),
        None => (name, None),
    };
    if plain.is_empty() {
        return Err(RoomNameError::Empty);
    }
    if !plain.chars().all(is_name_character) {
        return Err(RoomNameError::Character);
    }
    match fingerprint {
        Some(fingerprint) if !is_fingerprint(fingerprint) => Err(RoomNameError::Fingerprint),
        _ => Ok(()),
    }
}

fn is_name_character(character: char) -> bool {
    if matches!(character, '-' | '_') {
        return true;
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Mark)
        .union(GeneralCategoryGroup::DecimalNumber)
        .contains(category)
}

fn is_fingerprint(text: &str) -> bool {
    text.len() == FINGERPRINT_CHARACTERS && text.bytes().all(is_crockford)
}

/// Whether a byte is a digit of Crockford's base32 in lower case (no `i`, `l`, `o`, `u`).
pub(crate) fn is_crockford(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'h' | b'j' | b'k' | b'm' | b'n' | b'p'..=b't' | b'v'..=b'z')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Result<String, RoomNameError> {
        normalise(text).map(|name| name.expose().to_owned())
    }

    #[test]
    fn spellings_of_one_name_are_one_room() {
        for (typed, room) in [
            ("Standup", "standup"),
            ("Straße", "strasse"),
            ("STRASSE", "strasse"),
            ("Cafe\u{301}", "caf\u{e9}"),
            ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
            ("class_7-b", "class_7-b"),
            ("会议室", "会议室"),
            ("नमस्ते", "नमस्ते"),
            ("Standup~4H8RM2VXQ0TN7WZ5C3GD", "standup~4h8rm2vxq0tn7wz5c3gd"),
        ] {
            assert_eq!(name(typed).as_deref(), Ok(room), "{typed}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        for (typed, error) in [
            ("", RoomNameError::Empty),
            ("~4h8rm2vxq0tn7wz5c3gd", RoomNameError::Empty),
            ("a b", RoomNameError::Character),
            ("a/b", RoomNameError::Character),
            ("a.b", RoomNameError::Character),
            ("party🎉", RoomNameError::Character),
            ("a\u{200b}b", RoomNameError::Character),
            ("a\u{202e}b", RoomNameError::Character),
            ("½", RoomNameError::Character),
            ("standup~short", RoomNameError::Fingerprint),
            ("standup~4h8rm2vxq0tn7wz5c3gi", RoomNameError::Fingerprint),
            ("standup~4h8rm2vxq0tn7wz5c3gd~", RoomNameError::Fingerprint),
            ("API", RoomNameError::Reserved),
            ("rtc", RoomNameError::Reserved),
            ("Privacy", RoomNameError::Reserved),
            ("_", RoomNameError::Reserved),
            ("_x", RoomNameError::Reserved),
            (".well-known", RoomNameError::Reserved),
        ] {
            assert_eq!(name(typed), Err(error), "{typed}");
        }
    }

    #[test]
    fn sixty_four_characters_pass_and_one_more_does_not() {
        assert!(name(&"ä".repeat(64)).is_ok());
        assert_eq!(name(&"ä".repeat(65)), Err(RoomNameError::TooLong));
        assert_eq!(name(&"ß".repeat(33)), Err(RoomNameError::TooLong), "ß folds to two characters");
        assert_eq!(name(&"a".repeat(1 << 20)), Err(RoomNameError::TooLong));
    }

    #[test]
    fn each_reason_has_a_code() {
        assert_eq!(RoomNameError::Reserved.code().as_str(), "reserved-room-name");
        assert_eq!(RoomNameError::Character.code().as_str(), "invalid-room-name");
    }

    proptest! {
        #[test]
        fn a_normalised_name_is_its_own_normal_form(typed in "\\PC{0,80}") {
            if let Ok(room) = name(&typed) {
                prop_assert_eq!(name(&room), Ok(room.clone()));
            }
        }
    }
}
