//! The media core: a selective forwarding unit (RFC 7667 §3.7) as a sans-IO state machine.
//!
//! One entrance, [`Sfu::handle`], and one exit, [`Sfu::poll`]. The invariant of the run loop: *hand in
//! [`io::Input`], then poll until [`io::Output::Timeout`]*. Time and randomness are arguments; the core owns
//! no socket, thread, clock or file. Every worker thread runs one `Sfu` and owns its rooms by `&mut`.

pub mod bandwidth;
pub mod batch;
pub mod command;
pub mod config;
pub mod event;
pub mod io;
pub mod peer;
mod room;
mod sfu;
pub mod token_bucket;
pub mod track;

pub use sfu::Sfu;

/// A time for tests to count from; the same however often it is asked for.
#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests run the core, so the time has to come from somewhere
fn test_start() -> std::time::Instant {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    *START.get_or_init(std::time::Instant::now)
}

/// Somebody who may do everything and whose transport needs no handshake.
#[cfg(test)]
fn test_join(session: u64, room: &str, identity: &str) -> command::Join {
    use peer::keying::{SrtpKeys, SrtpProfile};
    let remote = ([192, 0, 2, 1], 1000 + session as u16).into();
    let keys = SrtpKeys::generate(&mut |bytes: &mut [u8]| bytes.fill(session as u8));
    let keyed = command::Keyed { remote, profile: SrtpProfile::AeadAes128Gcm, keys, publisher: None };
    command::Join {
        session: protocol::ids::SessionId(session),
        room: protocol::ids::RoomName::new(room),
        identity: protocol::ids::Identity::new(identity.to_owned()),
        name: String::new(),
        metadata: String::new(),
        attributes: Default::default(),
        permission: protocol::livekit::ParticipantPermission {
            can_publish: true,
            can_subscribe: true,
            can_publish_data: true,
            ..Default::default()
        },
        kind: protocol::livekit::participant_info::Kind::Standard,
        room_settings: None,
        mode: protocol::api::Mode::Mls,
        client: Default::default(),
        auto_subscribe: true,
        offer: None,
        add_tracks: Vec::new(),
        now_unix_ms: 0,
        two_connections: false,
        keyed: Some(Box::new(keyed)),
    }
}
