//! What comes out of a delivery.

use protocol::channel::{ClosingCode, FromServer};

/// One channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub(crate) u64);

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Say this to these channels.
    Send {
        /// Which; never none.
        to: Vec<Handle>,
        /// What.
        message: FromServer,
    },
    /// Say why and close this channel; it is forgotten here already.
    Close {
        /// Which.
        handle: Handle,
        /// Why.
        code: ClosingCode,
    },
    /// An entry was appended, for whoever counts.
    Appended,
    /// Something was refused, for whoever counts: its stable code.
    Rejected(&'static str),
}
