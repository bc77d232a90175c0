//! What the operator's configuration means to the core, and the bounds of what clients may ask for.

use std::net::SocketAddr;
use std::time::Duration;

use prost::Message;
use protocol::livekit::ParticipantInfo;

/// Settings of one core; the same for all workers except [`Config::worker`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Index of the worker (0–31), put into the first character of every ICE user fragment so that any
    /// worker can tell whose datagram it received (see [`worker_of_ufrag`]).
    pub worker: u8,
    /// Addresses clients are told to send media to, best first (every interface that is up).
    pub candidates: Vec<SocketAddr>,
    /// How long a participant may be without signalling connection before it is gone.
    pub participant_grace: Duration,
    /// How long a room lives after its last participant.
    pub room_grace: Duration,
    /// A peer without an authenticated connectivity check for this long is gone.
    pub ice_timeout: Duration,
    /// Whether the server API may unmute what participants muted. Otherwise it can only mute.
    pub remote_unmute: bool,
    /// Whether [`crate::event::Event::Notice`] is told, for webhooks.
    pub notices: bool,
    /// Bounds on what one room and one participant may hold.
    pub limits: Limits,
    /// Bounds and start of the estimate of each subscriber's line.
    pub bandwidth: crate::bandwidth::estimator::Settings,
}

/// Bytes in which somebody who joins, or comes back, is told of everybody. With the room's metadata and a thousand who left
/// lately (330 KB) they fit the 4 MiB that may wait for a signalling connection; more would shut a room to newcomers, less
/// would leave each participant fewer words.
pub const EVERYBODY_BYTES: usize = 13 << 18;

/// Bytes of what is told of one participant at most, in small rooms too: 32 simulcast cameras, or ten and all the metadata
/// it may have. With more, few could fill others' lines by changing.
const MAX_ANNOUNCED: usize = 17_000;

/// Bytes that the server adds to what is told of everybody: id, times, state, version.
const GIVEN: usize = 100;

/// Upper bounds; each protects memory or other participants.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Participants in one room.
    pub participants: usize,
    /// Tracks published by one participant.
    pub tracks: usize,
    /// Media sections in one session description (a meeting of 100 with camera, microphone and screen
    /// needs about 300).
    pub media_sections: usize,
    /// Bytes of a session description. In Chromium's, a person with camera and microphone takes 6 KB, so this
    /// is enough for the sound of 200 and the pictures of about 130 of them at a time.
    pub sdp_bytes: usize,
    /// Bytes of a data packet.
    pub data_bytes: usize,
    /// Bytes of a participant's metadata and all its attributes together; see also [`Limits::announced_bytes`]. They are told to everybody in
    /// the room, and must fit a token (48 KiB) as JSON; signalling refuses control characters, which JSON
    /// writes with six each.
    pub metadata_bytes: usize,
}

impl Limits {
    /// Whether somebody who joins so described has no more to tell than everybody can be told; the ids and times that the
    /// server gives are not yet there.
    pub fn admits(&self, newcomer: &ParticipantInfo) -> bool {
        newcomer.encoded_len() + GIVEN <= self.announced_bytes()
    }

    /// Bytes of all that is told of one participant ([`ParticipantInfo`]): names, metadata, attributes,
    /// tracks, data tracks. As many participants as may be in a room share [`EVERYBODY_BYTES`].
    pub fn announced_bytes(&self) -> usize {
        (EVERYBODY_BYTES / self.participants.max(1)).min(MAX_ANNOUNCED)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            participants: 200,
            tracks: 32,
            media_sections: 1000,
            sdp_bytes: (1 << 20) - (64 << 10), // a signalling frame less what else is in it
            data_bytes: 64_000,
            metadata_bytes: 8 << 10,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            worker: 0,
            candidates: Vec::new(),
            participant_grace: Duration::from_secs(30),
            room_grace: Duration::from_secs(30),
            ice_timeout: Duration::from_secs(30),
            remote_unmute: false,
            notices: false,
            limits: Limits::default(),
            bandwidth: crate::bandwidth::estimator::Settings::default(),
        }
    }
}

/// Characters that ICE allows in a user fragment (RFC 8839 §5.4) and that stand for a worker's index.
const WORKER_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The character that marks a worker's user fragments.
pub fn worker_mark(worker: u8) -> char {
    char::from(WORKER_ALPHABET[usize::from(worker % 32)])
}

/// The worker that made a local user fragment, or `None` if none can have.
pub fn worker_of_ufrag(ufrag: &[u8]) -> Option<u8> {
    let first = *ufrag.first()?;
    WORKER_ALPHABET
        .iter()
        .position(|character| *character == first)
        .and_then(|index| u8::try_from(index).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_found_again_by_its_mark() {
        for worker in 0..32 {
            let ufrag = format!("{}rest", worker_mark(worker));
            assert_eq!(worker_of_ufrag(ufrag.as_bytes()), Some(worker));
        }
        assert_eq!(worker_of_ufrag(b""), None);
        assert_eq!(worker_of_ufrag(b"\xff"), None);
    }
}
