//! The media core: a selective forwarding unit (RFC 7667 §3.7) as a sans-IO state machine.
//!
//! One entrance, [`Sfu::handle`], and one exit, [`Sfu::poll`]. The invariant of the run loop: *hand in
//! [`io::Input`], then poll until [`io::Output::Timeout`]*. Time and randomness are arguments; the core owns
//! no socket, thread, clock or file. Every worker thread runs one `Sfu` and owns its rooms by `&mut`.

pub mod batch;
pub mod command;
pub mod config;
pub mod event;
pub mod io;
pub mod peer;
mod room;
mod sfu;
pub mod track;

pub use sfu::Sfu;

/// A time for tests to count from; the same however often it is asked for.
#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests run the core, so the time has to come from somewhere
fn test_start() -> std::time::Instant {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    *START.get_or_init(std::time::Instant::now)
}
