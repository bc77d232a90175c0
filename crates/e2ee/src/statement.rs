//! Statements of hosts: signed, and put into the log, so that members obey hosts and not the server.
//!
//! Bytes: version 1, the host's key (32), counter (8), action (1), content of the action, signature (64). A statement has no
//! time after which it would not count: policy reads no clock. The signature covers "konklave host action v1", origin and
//! room (each with its length), group id, and everything before it. Numbers are big-endian.

use thiserror::Error;

use crate::signer::{LeafKey, PublicKey, verifies};

const VERSION: u8 = 1;
const LABEL: &[u8] = b"konklave host action v1";
const HEAD_BYTES: usize = 1 + 32 + 8 + 1;
const SIGNATURE_BYTES: usize = 64;

/// Bytes of a sealed password: nonce, stretched password, tag.
pub(crate) const SEALED_PASSWORD_BYTES: usize = 12 + 32 + 16;

/// What a host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nobody joins but those whom a host admits; or that this ends.
    Lock(bool),
    /// Newcomers wait until a host admits them; or that this ends.
    Lobby(bool),
    /// This leaf key may join a locked meeting, or one with a lobby.
    Admit(PublicKey),
    /// Joining takes a password from now on.
    Password {
        /// See [`StretchedPassword::verifier`](crate::keys::StretchedPassword::verifier).
        verifier: [u8; 32],
        /// The stretched password, sealed for the members of the epoch in which the statement is folded.
        sealed: [u8; SEALED_PASSWORD_BYTES],
    },
    /// Joining takes no password any longer.
    NoPassword,
    /// This leaf is to be removed; the link's secret changes.
    Kick(PublicKey),
    /// Everybody else mutes themselves now.
    MuteAll,
    /// This leaf is a host, too.
    AddHost(PublicKey),
    /// This leaf is a host instead of the one who says so.
    HandOver(PublicKey),
    /// What members may do, one bit each.
    Permissions(u32),
    /// The meeting is recorded and members are asked to agree; or that this ends.
    Recording(bool),
    /// The meeting is over.
    End,
}

/// A statement whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The key that signed.
    pub host: PublicKey,
    /// Grows with each statement of a host.
    pub counter: u64,
    /// What is said.
    pub action: Action,
}

/// Where a statement counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The origin of the instance, for example `https://meet.example`.
    pub origin: String,
    /// The normalised name of the room.
    pub room: String,
    /// The id of the group.
    pub group_id: Vec<u8>,
}

/// Why bytes are no statement of this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StatementError {
    /// Another version, an unknown action, too short or too long.
    #[error("malformed")]
    Malformed,
    /// Signed by another key, or for another place.
    #[error("the signature does not fit")]
    Signature,
}

impl Statement {
    /// Signs a statement.
    pub fn sign(key: &LeafKey, place: &Place, counter: u64, action: &Action) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&key.public());
        bytes.extend_from_slice(&counter.to_be_bytes());
        action.write(&mut bytes);
        let signature = key.signature(&signed(place, &bytes));
        bytes.extend_from_slice(&signature);
        bytes
    }

    /// Reads a statement and checks its signature; not whether its signer is a host.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn read(bytes: &[u8], place: &Place) -> Result<Self, StatementError> {
        let malformed = StatementError::Malformed;
        let (body, signature) = bytes.split_last_chunk::<SIGNATURE_BYTES>().ok_or(malformed)?;
        if body.len() < HEAD_BYTES || body[0] != VERSION {
            return Err(malformed);
        }
        let mut rest = &body[1..];
        let host = *take::<32>(&mut rest).ok_or(malformed)?;
        let counter = u64::from_be_bytes(*take(&mut rest).ok_or(malformed)?);
        let action = Action::read(&mut rest).ok_or(malformed)?;
        if !rest.is_empty() {
            return Err(malformed);
        }
        if !verifies(&host, &signed(place, body), signature) {
            return Err(StatementError::Signature);
        }
        Ok(Self { host, counter, action })
    }
}

impl Action {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Lock(on) => out.extend_from_slice(&[1, u8::from(*on)]),
            Self::Lobby(on) => out.extend_from_slice(&[2, u8::from(*on)]),
            Self::Admit(key) => keyed(out, 3, key),
            Self::Password { verifier, sealed } => {
                out.push(4);
                out.extend_from_slice(verifier);
                out.extend_from_slice(sealed);
            }
            Self::NoPassword => out.push(5),
            Self::Kick(key) => keyed(out, 6, key),
            Self::MuteAll => out.push(7),
            Self::AddHost(key) => keyed(out, 8, key),
            Self::HandOver(key) => keyed(out, 9, key),
            Self::Permissions(bits) => {
                out.push(10);
                out.extend_from_slice(&bits.to_be_bytes());
            }
            Self::Recording(on) => out.extend_from_slice(&[11, u8::from(*on)]),
            Self::End => out.push(12),
        }
    }

    fn read(rest: &mut &[u8]) -> Option<Self> {
        let [kind] = *take::<1>(rest)?;
        Some(match kind {
            1 => Self::Lock(flag(rest)?),
            2 => Self::Lobby(flag(rest)?),
            3 => Self::Admit(*take(rest)?),
            4 => Self::Password { verifier: *take(rest)?, sealed: *take(rest)? },
            5 => Self::NoPassword,
            6 => Self::Kick(*take(rest)?),
            7 => Self::MuteAll,
            8 => Self::AddHost(*take(rest)?),
            9 => Self::HandOver(*take(rest)?),
            10 => Self::Permissions(u32::from_be_bytes(*take(rest)?)),
            11 => Self::Recording(flag(rest)?),
            12 => Self::End,
            _ => return None,
        })
    }
}

fn keyed(out: &mut Vec<u8>, kind: u8, key: &PublicKey) {
    out.push(kind);
    out.extend_from_slice(key);
}

fn flag(rest: &mut &[u8]) -> Option<bool> {
    match *take::<1>(rest)? {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, others) = rest.split_first_chunk::<N>()?;
    *rest = others;
    Some(first)
}

/// What a signature covers.
fn signed(place: &Place, body: &[u8]) -> Vec<u8> {
    let mut out = LABEL.to_vec();
    for text in [place.origin.as_bytes(), place.room.as_bytes(), &place.group_id] {
        out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        out.extend_from_slice(text);
    }
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> Place {
        Place { origin: "https://meet.example".into(), room: "a".into(), group_id: vec![1; 32] }
    }

    fn key() -> LeafKey {
        LeafKey::from_seed(&[1; 32])
    }

    #[test]
    fn every_action_comes_back() {
        let all = [
            Action::Lock(true),
            Action::Lobby(false),
            Action::Admit([1; 32]),
            Action::Password { verifier: [2; 32], sealed: [3; SEALED_PASSWORD_BYTES] },
            Action::NoPassword,
            Action::Kick([4; 32]),
            Action::MuteAll,
            Action::AddHost([5; 32]),
            Action::HandOver([6; 32]),
            Action::Permissions(7),
            Action::Recording(true),
            Action::End,
        ];
        for (counter, action) in (1..).zip(all) {
            let bytes = Statement::sign(&key(), &place(), counter, &action);
            let read = Statement::read(&bytes, &place()).unwrap();
            assert!(bytes.len() <= 207, "the server takes no longer ones");
            assert_eq!(read, Statement { host: key().public(), counter, action });
        }
    }

    #[test]
    fn a_statement_counts_in_its_place_only() {
        let bytes = Statement::sign(&key(), &place(), 1, &Action::Lock(true));
        for other in [
            Place { origin: "https://other.example".into(), ..place() },
            Place { room: "b".into(), ..place() },
            Place { group_id: vec![2; 32], ..place() },
        ] {
            assert_eq!(Statement::read(&bytes, &other), Err(StatementError::Signature));
        }
    }

    proptest! {
        #[test]
        fn no_changed_byte_goes_unseen(place_of_change in 0..107usize, bit in 0..8u8) {
            let mut bytes = Statement::sign(&key(), &place(), 1, &Action::Lock(true));
            prop_assume!(place_of_change < bytes.len());
            bytes[place_of_change] ^= 1 << bit;
            prop_assert!(Statement::read(&bytes, &place()).is_err());
        }

        #[test]
        fn whatever_comes_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Statement::read(&bytes, &place()).is_err());
        }
    }
}
