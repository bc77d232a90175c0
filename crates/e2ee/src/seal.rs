//! AES-256-GCM with the nonce in front, for what is sealed under a key of the link.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};

use crate::keys::Key;

/// Bytes of a nonce.
pub(crate) const NONCE_BYTES: usize = 12;

/// Bytes that sealing adds: nonce and tag.
pub(crate) const OVERHEAD_BYTES: usize = NONCE_BYTES + 16;

/// Nonce ‖ ciphertext ‖ tag. Empty only if the plaintext is beyond what the cipher takes (64 GiB).
pub(crate) fn seal(key: &Key, aad: &[u8], plaintext: &[u8], nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
    let cipher = Aes256Gcm::new((&**key).into());
    let sealed = cipher.encrypt(&nonce.into(), Payload { msg: plaintext, aad });
    sealed.map(|body| [nonce.as_slice(), &body].concat()).unwrap_or_default()
}

/// The plaintext, if it was sealed under this key with this additional data.
pub(crate) fn open(key: &Key, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let cipher = Aes256Gcm::new((&**key).into());
    cipher.decrypt(&(*nonce).into(), Payload { msg: body, aad }).ok()
}
