//! What a leaf's credential holds: the version of this form and the sealed name. The identity is not in it: it follows
//! from the leaf's signature key.

use openmls::prelude::{BasicCredential, Credential, CredentialType};

use crate::name::SEALED_BYTES;

/// Version of the form.
const VERSION: u8 = 1;

/// Writes a credential.
pub(crate) fn write(sealed_name: &[u8; SEALED_BYTES]) -> Credential {
    let mut content = Vec::with_capacity(1 + SEALED_BYTES);
    content.push(VERSION);
    content.extend_from_slice(sealed_name);
    BasicCredential::new(content).into()
}

/// The sealed name of a credential; `None` if it has another form.
pub(crate) fn sealed_name(credential: &Credential) -> Option<&[u8]> {
    if credential.credential_type() != CredentialType::Basic {
        return None;
    }
    // A basic credential is serialised as the vector itself (RFC 9420 §5.3), which OpenMLS hands out without its length.
    match credential.serialized_content() {
        [VERSION, sealed @ ..] if sealed.len() == SEALED_BYTES => Some(sealed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sealed_name_comes_back() {
        let sealed = [7; SEALED_BYTES];
        assert_eq!(sealed_name(&write(&sealed)), Some(sealed.as_slice()));
    }

    #[test]
    fn other_forms_are_refused() {
        for content in [vec![], vec![2; 1 + SEALED_BYTES], vec![1; SEALED_BYTES]] {
            assert_eq!(sealed_name(&BasicCredential::new(content).into()), None);
        }
        assert_eq!(sealed_name(&Credential::new(CredentialType::X509, vec![1; 1 + SEALED_BYTES])), None);
    }
}
