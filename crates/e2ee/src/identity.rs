//! A participant's identity follows from the signature key of its leaf, so nobody can take another's.

use sha2::{Digest, Sha256};

use crate::base32;

/// Characters of an identity: 130 bits in Crockford's base32.
pub const IDENTITY_CHARACTERS: usize = 26;

const LABEL: &[u8] = b"konklave id v1";

/// The identity of an Ed25519 signature key (32 bytes): lower-case base32 of the first 130 bits of
/// SHA-256("konklave id v1" ‖ key).
pub fn identity_of(signature_key: &[u8]) -> String {
    let digest = Sha256::new().chain_update(LABEL).chain_update(signature_key).finalize();
    base32::encode(&digest, IDENTITY_CHARACTERS).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_is_another_identity_of_the_servers_form() {
        let identity = identity_of(&[7; 32]);
        assert_eq!(identity.len(), IDENTITY_CHARACTERS);
        assert!(identity.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase()));
        assert_ne!(identity, identity_of(&[8; 32]));
    }
}
