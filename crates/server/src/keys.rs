//! The key that signs what the admission API gives out. It is never one of the operator's own: whoever holds
//! such a token holds nothing that was made with an API secret, and can guess at none.

use aws_lc_rs::hmac;
use protocol::token::ApiKeys;

/// Id of the key, `iss` of its tokens. No configured key may have it.
pub(crate) const ADMISSION_KEY: &str = "konklave";

/// What the key is derived for; part of the derivation, so that another use gets another key.
const PURPOSE: &[u8] = b"konklave join";

/// Adds the key: HMAC-SHA256 (RFC 2104) of its purpose under the operator's first secret, so that clients
/// find their way back after a restart, or without one a random key that nobody ever sees.
pub(crate) fn add_admission_key(keys: &mut ApiKeys) {
    let secret = match keys.first() {
        Some((_, secret)) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
            hex(hmac::sign(&key, PURPOSE).as_ref())
        }
        None => hex(&crate::random::array::<32>()),
    };
    keys.insert(ADMISSION_KEY, secret);
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use protocol::token::{Claims, TokenError};

    use super::*;

    fn with_secret(secret: &str) -> ApiKeys {
        let mut keys = ApiKeys::new();
        keys.insert("school", secret);
        add_admission_key(&mut keys);
        keys
    }

    fn admission() -> Claims {
        Claims { iss: ADMISSION_KEY.into(), exp: 100, ..Default::default() }
    }

    #[test]
    fn the_key_outlives_a_restart_and_depends_on_the_secret() {
        let token = with_secret("one secret").sign(&admission()).expect("the key is there");
        assert!(with_secret("one secret").verify(&token, 0).is_ok());
        assert_eq!(with_secret("another").verify(&token, 0).err(), Some(TokenError::WrongKey));
        // Computed with: printf 'konklave join' | openssl dgst -sha256 -hmac 'one secret'
        let mut keys = ApiKeys::new();
        keys.insert(ADMISSION_KEY, "41622639b709feca88e44db8112ad0edc6fe753fc8ecf8faff12830d5be8f002");
        assert!(keys.verify(&token, 0).is_ok(), "the derivation is the documented one");
    }

    #[test]
    fn the_operator_s_secret_does_not_sign_admissions() {
        let mut keys = ApiKeys::new();
        keys.insert(ADMISSION_KEY, "one secret");
        let token = with_secret("one secret").sign(&admission()).expect("the key is there");
        assert_eq!(keys.verify(&token, 0).err(), Some(TokenError::WrongKey));
    }

    #[test]
    fn without_a_configured_key_each_start_has_its_own() {
        let random = || {
            let mut keys = ApiKeys::new();
            add_admission_key(&mut keys);
            keys
        };
        let token = random().sign(&admission()).expect("the key is there");
        assert_eq!(random().verify(&token, 0).err(), Some(TokenError::WrongKey));
    }
}
