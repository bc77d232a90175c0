//! What the parts of Konklave say to each other and to clients: ids, LiveKit's messages (re-exported),
//! the types of our own HTTP API, tokens and error codes. No I/O.

pub mod api;
pub mod data_track;
pub mod ids;
pub mod join_request;
pub mod problem;
pub mod room_name;
pub mod token;

/// Messages of the channel over which members of a room share a log; a crate of their own, since browsers use them
/// too.
pub use channel;
/// LiveKit's wire messages (`livekit-protocol`, pinned exactly: field numbers are the contract).
pub use livekit_protocol as livekit;
/// The protobuf runtime that the messages of [`livekit`] implement (`encode`, `decode`).
pub use prost;
