//! A participant of an end-to-end encrypted meeting without a browser: the headless [`client`] for the way to the server,
//! an [`e2ee`] session for the keys, and the channel over which members agree on them. Tests of pages fill rooms with
//! them (`konklave-crowd`).
//!
//! A session stays on its thread, so members live in a [`tokio::task::LocalSet`].

mod clock;
mod driver;
mod error;
mod invitation;
mod keyring;
mod line;
mod participant;
mod stream;

pub use driver::{Heard, HostWord, Known};
pub use e2ee;
pub use error::MemberError;
pub use invitation::Invitation;
pub use keyring::Keyring;
pub use participant::{Access, Config, Member};
pub use stream::Lie;
