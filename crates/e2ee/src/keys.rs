//! Keys that follow from the link's secret, the room's name and the meeting's password.

use std::fmt;

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::link::LinkSecret;

/// Salt of the extraction; names the version of the protocol.
const SALT: &[u8] = b"konklave v1";

/// Memory, passes and lanes of Argon2id: 64 MiB (RFC 9106 §4 recommends this memory with three passes where 2 GiB are
/// too much).
const ARGON2: (u32, u32, u32) = (64 << 10, 3, 1);

/// Bytes of the identifier of a PSK without its password number.
const PSK_ID_BYTES: usize = 16;

/// A 256-bit key that is overwritten when it is dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// What a password became: 32 bytes that are as good as the password, for this link and room only.
#[derive(Clone, PartialEq, Eq)]
pub struct StretchedPassword(Key);

/// The keys of one link in one room. `Debug` shows none of them.
#[derive(Clone)]
pub struct RoomKeys {
    secret: LinkSecret,
    room: String,
    extract: Hkdf<Sha256>,
}

/// Stretching failed: there is not enough memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is not enough memory to check a password")]
pub struct NotEnoughMemory;

impl RoomKeys {
    /// `room` is the normalised name.
    pub fn new(secret: LinkSecret, room: &str) -> Self {
        let mut material = Zeroizing::new(secret.as_bytes().to_vec());
        material.extend_from_slice(room.as_bytes());
        let extract = Hkdf::<Sha256>::new(Some(SALT), &material);
        Self { secret, room: room.to_owned(), extract }
    }

    /// The secret itself.
    pub fn secret(&self) -> &LinkSecret {
        &self.secret
    }

    /// The normalised name of the room.
    pub fn room(&self) -> &str {
        &self.room
    }

    /// Seals display names.
    pub fn name(&self) -> Key {
        self.expand(b"name")
    }

    /// Seals key packages of those who wait to be let in.
    pub fn knock(&self) -> Key {
        self.expand(b"knock")
    }

    /// Salt of the media keys.
    pub fn media(&self) -> Key {
        self.expand(b"media")
    }

    /// What joining the group takes: a high-entropy secret that the server does not know.
    pub fn psk(&self, password: Option<&StretchedPassword>) -> Key {
        match password {
            None => self.expand(b"psk"),
            Some(StretchedPassword(stretched)) => {
                let mut material = Zeroizing::new(self.secret.as_bytes().to_vec());
                material.extend_from_slice(self.room.as_bytes());
                material.extend_from_slice(stretched.as_slice());
                expand(&Hkdf::<Sha256>::new(Some(SALT), &material), b"psk")
            }
        }
    }

    /// Names a PSK. Follows from the link and the number of the password in force (0 for none), never from the
    /// password: otherwise whoever has the link could try passwords against it.
    pub fn psk_id(&self, password: u64) -> Vec<u8> {
        let mut id = self.expand(b"psk id")[..PSK_ID_BYTES].to_vec();
        id.extend_from_slice(&password.to_be_bytes());
        id
    }

    /// Argon2id over a password, salted with this link and room; takes 64 MiB and a good part of a second.
    ///
    /// # Errors
    /// [`NotEnoughMemory`].
    pub fn stretch(&self, password: &str) -> Result<StretchedPassword, NotEnoughMemory> {
        let (memory, passes, lanes) = ARGON2;
        let parameters = argon2::Params::new(memory, passes, lanes, Some(32)).map_err(|_| NotEnoughMemory)?;
        let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters);
        let salt = self.expand(b"pw");
        let mut out = Key::default();
        argon
            .hash_password_into(password.as_bytes(), salt.as_slice(), out.as_mut_slice())
            .map_err(|_| NotEnoughMemory)?;
        Ok(StretchedPassword(out))
    }

    fn expand(&self, label: &[u8]) -> Key {
        expand(&self.extract, label)
    }
}

impl StretchedPassword {
    /// What the server is shown to be let in; it keeps the SHA-256 of it only.
    pub fn door(&self) -> Key {
        let (_, extract) = Hkdf::<Sha256>::extract(Some(SALT), self.0.as_slice());
        expand(&extract, b"door")
    }

    /// SHA-256 of [`Self::door`]: what the server keeps and what a host's statement names.
    pub fn verifier(&self) -> [u8; 32] {
        Sha256::digest(self.door().as_slice()).into()
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RoomKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomKeys")
    }
}

impl fmt::Debug for StretchedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StretchedPassword")
    }
}

/// HKDF-Expand (RFC 5869 §2.3) to 32 bytes.
fn expand(extract: &Hkdf<Sha256>, label: &[u8]) -> Key {
    let mut out = Key::default();
    // 32 bytes are far below the bound of 255 × 32, so this cannot fail.
    let _ = extract.expand(label, out.as_mut_slice());
    out
}

/// HKDF (RFC 5869) with a salt and an info, to 32 bytes.
pub(crate) fn hkdf(salt: &[u8], material: &[u8], info: &[u8]) -> Key {
    expand(&Hkdf::<Sha256>::new(Some(salt), material), info)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(seed: u8, room: &str) -> RoomKeys {
        RoomKeys::new(LinkSecret::from_random([seed; 20]), room)
    }

    #[test]
    fn keys_hang_on_link_room_and_use() {
        let all = [
            keys(1, "a").name(),
            keys(1, "a").psk(None),
            keys(1, "a").knock(),
            keys(1, "a").media(),
            keys(1, "b").name(),
            keys(2, "a").name(),
        ];
        for (index, key) in all.iter().enumerate() {
            assert_eq!(all.iter().filter(|other| *other == key).count(), 1, "{index}");
        }
        assert_eq!(keys(1, "a").name(), keys(1, "a").name());
    }

    #[test]
    fn a_password_changes_the_psk_and_its_number_the_name_of_it() {
        let keys = keys(1, "a");
        let password = keys.stretch("correct horse").unwrap();
        assert_ne!(keys.psk(Some(&password)), keys.psk(None));
        assert_ne!(keys.psk(Some(&password)), keys.psk(Some(&keys.stretch("other").unwrap())));
        assert_ne!(keys.psk_id(0), keys.psk_id(1));
        assert_ne!(password.door().as_slice(), password.as_bytes());
    }

    #[test]
    fn the_same_password_is_another_one_in_another_room() {
        assert_ne!(keys(1, "a").stretch("x").unwrap(), keys(1, "b").stretch("x").unwrap());
    }
}
