//! The media core: a selective forwarding unit (RFC 7667 §3.7) as a sans-IO state machine.
//!
//! One entrance, [`Sfu::handle`], and one exit, [`Sfu::poll`]. The invariant of the run loop: *hand in one
//! [`Input`], then poll until [`Output::Timeout`]*. Time and randomness are arguments; the core owns no
//! socket, thread, clock or file. Every worker thread runs one `Sfu` and owns its rooms by `&mut`.

pub mod batch;
pub mod command;
pub mod config;
pub mod event;
pub mod io;

/// The core: every room of one worker.
pub struct Sfu {}
