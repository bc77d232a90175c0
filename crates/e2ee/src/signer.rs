//! The Ed25519 signature key of a leaf.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::SignatureScheme;

use crate::provider::Seed;

/// A signature key; overwritten when it is dropped.
pub struct LeafKey(SigningKey);

/// A public signature key.
pub type PublicKey = [u8; 32];

impl LeafKey {
    /// The key of a seed: 32 random bytes, or what [`Self::seed`] gave before.
    pub fn from_seed(seed: &Seed) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// What the key can be made from again.
    pub fn seed(&self) -> Seed {
        self.0.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.0.verifying_key().to_bytes()
    }

    /// An Ed25519 signature (RFC 8032 §5.1) over a message.
    pub(crate) fn signature(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Whether a signature of a message is by a key. Strict: keys of small order, under which anything verifies, are refused.
pub(crate) fn verifies(key: &PublicKey, message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(key)
        .is_ok_and(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok())
}

impl Signer for LeafKey {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.signature(payload).to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

impl fmt::Debug for LeafKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeafKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_of_their_key_and_message() {
        let key = LeafKey::from_seed(&[5; 32]);
        let signature = key.signature(b"message");
        assert!(verifies(&key.public(), b"message", &signature));
        assert!(!verifies(&key.public(), b"massage", &signature));
        assert!(!verifies(&LeafKey::from_seed(&[6; 32]).public(), b"message", &signature));
        assert_eq!(LeafKey::from_seed(&key.seed()).public(), key.public());
    }
}
