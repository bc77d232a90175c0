//! Display names, sealed under the link's secret: AES-256-GCM under key `name`, random nonce, padded to 128 bytes,
//! AAD = "konklave name v1" ‖ room ‖ identity.

use crate::keys::Key;
use crate::seal::{self, NONCE_BYTES, OVERHEAD_BYTES};

/// A sealed name always holds this many bytes, so that its size says nothing about the name.
pub const PADDED_BYTES: usize = 128;

/// Bytes of a sealed name: nonce, padded name, tag.
pub const SEALED_BYTES: usize = PADDED_BYTES + OVERHEAD_BYTES;

/// Seals a name for one identity in one room; what goes beyond [`PADDED_BYTES`] is cut at a character.
pub fn seal(
    key: &Key,
    room: &str,
    identity: &str,
    name: &str,
    nonce: [u8; NONCE_BYTES],
) -> [u8; SEALED_BYTES] {
    let end = (0..=name.len().min(PADDED_BYTES)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    let mut padded = [0; PADDED_BYTES];
    padded[..end].copy_from_slice(&name.as_bytes()[..end]);
    let sealed = seal::seal(key, &additional(room, identity), &padded, nonce);
    // Sealing so few bytes cannot fail.
    sealed.try_into().unwrap_or([0; SEALED_BYTES])
}

/// Opens a sealed name. `None` if it is not sealed under this key for this identity in this room. The name is as its
/// owner wrote it: whoever shows it has to tidy it.
pub fn open(key: &Key, room: &str, identity: &str, sealed: &[u8]) -> Option<String> {
    if sealed.len() != SEALED_BYTES {
        return None;
    }
    let mut padded = seal::open(key, &additional(room, identity), sealed)?;
    let end = padded.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    padded.truncate(end);
    String::from_utf8(padded).ok()
}

fn additional(room: &str, identity: &str) -> Vec<u8> {
    [b"konklave name v1", room.as_bytes(), identity.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::RoomKeys;
    use crate::link::LinkSecret;

    fn key(seed: u8) -> Key {
        RoomKeys::new(LinkSecret::from_random([seed; 20]), "a").name()
    }

    #[test]
    fn a_name_opens_for_its_identity_under_its_link_only() {
        let sealed = seal(&key(1), "a", "anna", "Anna Grün", [3; 12]);
        assert_eq!(open(&key(1), "a", "anna", &sealed).as_deref(), Some("Anna Grün"));
        assert_eq!(open(&key(1), "a", "ben", &sealed), None);
        assert_eq!(open(&key(1), "b", "anna", &sealed), None);
        assert_eq!(open(&key(2), "a", "anna", &sealed), None);
        assert_eq!(open(&key(1), "a", "anna", &sealed[1..]), None);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let sealed = seal(&key(1), "a", "anna", &"ü".repeat(65), [0; 12]);
        assert_eq!(open(&key(1), "a", "anna", &sealed), Some("ü".repeat(64)));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_opened_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(open(&key(1), "a", "anna", &bytes), None);
        }
    }
}
