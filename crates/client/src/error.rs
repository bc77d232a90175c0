//! What can go wrong for a user of the client, one enum for the whole crate.

use std::time::Duration;

/// Why an operation of the client did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is not one that a signalling connection can be opened to.
    #[error("not a server address: {0}")]
    Address(String),
    /// The connection could not be opened or broke.
    #[error("connection failed: {0}")]
    Connection(String),
    /// The server answered the WebSocket request with an HTTP error.
    #[error("the server refused with HTTP status {status}: {body}")]
    Refused {
        /// HTTP status code.
        status: u16,
        /// The answer's text, at most 2 KiB of it.
        body: String,
    },
    /// The server said `leave` where `join` was expected.
    #[error("the server ended the join, reason {reason}, action {action}")]
    LeftAtJoin {
        /// `DisconnectReason` of the protocol.
        reason: i32,
        /// `LeaveRequest.Action` of the protocol.
        action: i32,
    },
    /// The server sent something that the protocol does not allow at this point.
    #[error("unexpected signalling message: {0}")]
    Protocol(String),
    /// The client is no longer connected; the text says since when and why.
    #[error("not connected: {0}")]
    Closed(String),
    /// The condition did not come true in time; the text is the state at the deadline.
    #[error("after {after:?} still waiting for {what}; {state}")]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// A summary of the client's state.
        state: String,
    },
    /// The server refused to let a track be published.
    #[error("publishing was refused, reason {reason}: {message}")]
    PublishRefused {
        /// `RequestResponse.Reason` of the protocol.
        reason: i32,
        /// The server's words.
        message: String,
    },
    /// The server's answer has no codec in common with the source.
    #[error("the server does not take {codec}")]
    NoCommonCodec {
        /// MIME type of the source.
        codec: &'static str,
    },
    /// No track of that id.
    #[error("no such track: {0}")]
    UnknownTrack(String),
    /// A data packet is larger than the protocol allows, or too many wait to be sent.
    #[error("data packet refused: {0}")]
    Data(&'static str),
    /// A media file is not what it should be.
    #[error("media file: {0}")]
    Media(String),
    /// The WebRTC stack refused an operation.
    #[error("webrtc: {0}")]
    Rtc(String),
    /// A socket could not be opened.
    #[error("socket: {0}")]
    Socket(#[from] std::io::Error),
}

impl ClientError {
    /// A stable name for the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Connection(_) => "connection",
            Self::Refused { .. } => "refused",
            Self::LeftAtJoin { .. } => "left-at-join",
            Self::Protocol(_) => "protocol",
            Self::Closed(_) => "closed",
            Self::Deadline { .. } => "deadline",
            Self::PublishRefused { .. } => "publish-refused",
            Self::NoCommonCodec { .. } => "no-common-codec",
            Self::UnknownTrack(_) => "unknown-track",
            Self::Data(_) => "data",
            Self::Media(_) => "media",
            Self::Rtc(_) => "rtc",
            Self::Socket(_) => "socket",
        }
    }
}
