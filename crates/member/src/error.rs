//! What can go wrong for a member, one enum for the whole crate.

use std::time::Duration;

use client::ClientError;
use e2ee::session::Stop;

/// Why an operation of a member did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// The text is no link with a secret. It is not repeated: it may hold one.
    #[error("not an invitation: {0}")]
    Invitation(&'static str),
    /// The connection to the room failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The session is over.
    #[error("no member any longer: {0:?}")]
    Stopped(Stop),
    /// The condition did not come true in time.
    #[error("after {within:?} still waiting for {what}")]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        within: Duration,
    },
    /// The member's task has ended.
    #[error("the member's task has ended")]
    Ended,
}

impl MemberError {
    /// A stable name for the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invitation(_) => "invitation",
            Self::Client(error) => error.code(),
            Self::Stopped(_) => "stopped",
            Self::Deadline { .. } => "deadline",
            Self::Ended => "ended",
        }
    }
}
