//! What the parts of Konklave say to each other and to clients: ids, LiveKit's messages (re-exported),
//! the types of our own HTTP API, tokens and error codes. No I/O.

pub mod api;
pub mod channel;
pub mod data_track;
pub mod ids;
pub mod join_request;
pub mod problem;
pub mod room_name;
pub mod token;

/// LiveKit's wire messages (`livekit-protocol`, pinned exactly: field numbers are the contract).
pub use livekit_protocol as livekit;
/// The protobuf runtime that the messages of [`livekit`] implement (`encode`, `decode`).
pub use prost;
