//! End-to-end encryption: who holds the keys of a meeting, and what is sealed with them. Sans-IO; native and wasm.
//!
//! `docs/e2ee.md` is the protocol. Time comes in as milliseconds and randomness as a seed. OpenMLS reads the clock in one
//! place: for life times of key packages, which are unlimited here.

mod base32;
mod credential;
mod crypto;
pub mod group;
pub mod identity;
pub mod keys;
pub mod link;
#[cfg(feature = "media")]
pub mod media;
pub mod message;
pub mod name;
pub mod policy;
mod provider;
pub mod rotation;
mod seal;
pub mod session;
pub mod signer;
pub mod statement;
mod storage;
pub mod verification;
