//! The server `konklave`: configuration, HTTP and signalling in front of the media workers.
//!
//! One way in: an HTTP request becomes a token (`http::join`), a WebSocket with a token becomes a session
//! (`signal`), a session's messages become commands of the worker that owns the room (`worker`). Beside it a second
//! WebSocket carries the log that members share (`channel`), which no worker knows of. One way
//! out: the core's events become the session's messages. Nothing is kept when a room ends.

mod allowance;
mod channel;
pub mod cli;
pub mod config;
pub mod directory;
pub mod door;
mod http;
mod keys;
pub mod logging;
pub mod metrics;
pub mod openapi;
pub mod proxies;
mod random;
mod serve;
mod signal;
mod twirp;
mod webhook;
mod worker;

pub use serve::{Server, StartError, WorkerDied};
pub use worker::WorkerError;
