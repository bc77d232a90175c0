//! RTP and RTCP as views over borrowed bytes, and the writing of both: headers and header extensions, codec
//! descriptors, feedback, and the bookkeeping of one received stream (loss, jitter, arrival times).
//!
//! The crate is sans-IO: `Instant` comes in as an argument. No state reaches beyond one stream or one
//! transport. Every parser is total: any input gives a value or an [`RtpError`], never a panic, and nothing is
//! allocated in proportion to a number that the input merely claims.

pub mod codec;
mod error;
pub mod extension;
pub mod header;
pub mod nack;
pub mod ntp;
pub mod packet;
pub mod rtcp;
pub mod sequence;
pub mod stats;
pub mod twcc;

pub use error::RtpError;
