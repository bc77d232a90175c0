//! ICE-lite (RFC 8445 §2.5, RFC 8839): answers connectivity checks and remembers which addresses proved
//! themselves by one. It never sends a check, and never anything to an address that did not prove itself.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::attribute::{
    Attribute, AttributeExt, AttributeStaticType, AttributeType, Fingerprint, MessageIntegrity, Username,
    XorMappedAddress,
};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, IntegrityKey, Message, MessageClass, MessageIntegrityCredentials,
    MessageWrite, MessageWriteExt, MessageWriteMutSlice, ShortTermCredentials, StunParseError,
};
use thiserror::Error;

use crate::config::worker_mark;
use crate::io::Random;

/// Addresses a peer may have proved at once: a client with three interfaces, IPv4 and IPv6 each, and two
/// spare. More make room by dropping the one unused for longest.
const MAX_ADDRESSES: usize = 8;
/// Longest connectivity check that is looked at; browsers send about 100–150 bytes.
const MAX_MESSAGE: usize = 1280;
/// Checks on the selected pair come every 2.65 s (Chromium) to 6 s (Firefox). After twice that without
/// one, an authenticated check from elsewhere moves the selection even without nomination: that is how a
/// rebound NAT looks.
const STALE_AFTER: Duration = Duration::from_secs(12);
/// Characters after the worker's mark; RFC 8839 §5.4 asks for at least 24 bits, and demultiplexing wants
/// them never to collide.
const UFRAG_LENGTH: usize = 15;
/// RFC 8839 §5.4 asks for at least 128 bits, 22 characters.
const PASSWORD_LENGTH: usize = 32;
/// Longest fragment and password RFC 8839 §5.4 allows.
const MAX_CREDENTIAL: usize = 256;
/// `ice-char` (RFC 8839 §5.4): 64 of them, so each is six random bits.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// STUN's magic cookie (RFC 8489 §5).
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const USE_CANDIDATE: AttributeType = AttributeType::new(0x0025);

/// What a datagram on a WebRTC port is, by its first bytes (RFC 7983 §7, RFC 5761 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// STUN: connectivity checks, TURN requests.
    Stun,
    /// DTLS: handshake, alerts, SCTP.
    Dtls,
    /// TURN ChannelData.
    TurnChannel,
    /// SRTP.
    Rtp,
    /// SRTCP.
    Rtcp,
    /// Nothing we speak.
    Unknown,
}

/// Tells protocols apart by the first two bytes. Total.
pub fn classify(payload: &[u8]) -> PacketKind {
    match payload {
        [0..=3, ..] => PacketKind::Stun,
        [20..=63, ..] => PacketKind::Dtls,
        [64..=79, ..] => PacketKind::TurnChannel,
        [128..=191, 192..=223, ..] => PacketKind::Rtcp,
        [128..=191, ..] => PacketKind::Rtp,
        _ => PacketKind::Unknown,
    }
}

/// Whether a datagram is a STUN message by its first byte, cookie and length. Total.
pub fn is_stun(payload: &[u8]) -> bool {
    let Some(header) = payload.first_chunk::<HEADER>() else { return false };
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    header[0] < 4 && header[4..8] == COOKIE && length % 4 == 0 && length + HEADER == payload.len()
}

/// The receiver's user fragment in a binding request: what stands before the colon of USERNAME
/// (RFC 8445 §7.1.2.3). For demultiplexing only: nothing is verified. Total and without allocation.
pub fn stun_local_ufrag(payload: &[u8]) -> Option<&[u8]> {
    const BINDING_REQUEST: [u8; 2] = [0, 1];
    const USERNAME: [u8; 2] = [0, 6];
    if !is_stun(payload) || payload.len() > MAX_MESSAGE || payload[..2] != BINDING_REQUEST {
        return None;
    }
    let mut rest = payload.get(HEADER..)?;
    loop {
        let (header, behind) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[..2] == USERNAME {
            let username = behind.get(..length)?;
            let colon = username.iter().position(|byte| *byte == b':')?;
            return username.get(..colon).filter(|ufrag| !ufrag.is_empty());
        }
        rest = behind.get(length.next_multiple_of(4)..)?;
    }
}

/// Why a STUN message was not answered. None of them is: an answer to what did not prove itself would
/// let a forged source address be flooded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StunError {
    /// Not a STUN message, or damaged.
    #[error("the STUN message is malformed")]
    Malformed,
    /// FINGERPRINT is absent or wrong (RFC 8445 §7.1.2 demands it).
    #[error("the fingerprint is absent or wrong")]
    Fingerprint,
    /// Not a binding request. A lite agent sends none, so it expects no response.
    #[error("not a binding request")]
    NotARequest,
    /// USERNAME is absent or names other fragments than ours and the remote's.
    #[error("the user name is unknown")]
    Username,
    /// MESSAGE-INTEGRITY is absent, wrong or not of HMAC-SHA1.
    #[error("the integrity is absent or wrong")]
    Integrity,
    /// The answer could not be written.
    #[error("the answer could not be written")]
    Answer,
}

impl StunError {
    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Fingerprint => "fingerprint",
            Self::NotARequest => "not-a-request",
            Self::Username => "username",
            Self::Integrity => "integrity",
            Self::Answer => "answer",
        }
    }
}

/// A user fragment and its password (RFC 8839 §5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// Routes checks: to the worker by its first character, to the peer by the whole.
    pub ufrag: String,
    /// Proves checks.
    pub pwd: String,
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

impl IceCredentials {
    /// New random credentials that lead to this worker.
    pub fn generate(worker: u8, random: &mut dyn Random) -> Self {
        let mut bytes = [0; UFRAG_LENGTH + PASSWORD_LENGTH];
        random.fill(&mut bytes);
        let mut characters = bytes.iter().map(|byte| char::from(ICE_CHARS[usize::from(byte & 63)]));
        let mut ufrag = String::with_capacity(1 + UFRAG_LENGTH);
        ufrag.push(worker_mark(worker));
        ufrag.extend(characters.by_ref().take(UFRAG_LENGTH));
        Self { ufrag, pwd: characters.collect() }
    }
}

/// Whether a remote fragment or password has a length that RFC 8839 §5.4 allows.
pub(super) fn is_credential(text: &str, least: usize) -> bool {
    (least..=MAX_CREDENTIAL).contains(&text.len()) && text.bytes().all(|byte| ICE_CHARS.contains(&byte))
}

/// What an authenticated check changed, in the order to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IceEvent {
    /// An authenticated check came from this address.
    Validated(SocketAddr),
    /// The address made room for another.
    Dropped(SocketAddr),
    /// From now on everything goes to this address.
    Selected(SocketAddr),
    /// The restart is complete: the fragment leads nowhere any longer.
    UfragDropped(String),
}

/// The answer to a check: at most 100 bytes, to be sent to where the check came from.
pub(super) struct Answer {
    bytes: [u8; 128],
    length: usize,
}

impl Answer {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Credentials of one ICE generation (RFC 8445 §2.4).
struct Generation {
    local: IceCredentials,
    key: IntegrityKey,
    /// The remote fragment, once the offer named it.
    remote_ufrag: Option<String>,
}

impl Generation {
    fn new(local: IceCredentials) -> Self {
        let credentials = ShortTermCredentials::new(local.pwd.clone());
        let key = MessageIntegrityCredentials::from(credentials).make_key(IntegrityAlgorithm::Sha1);
        Self { local, key, remote_ufrag: None }
    }

    /// Whether a check's USERNAME is ours: `local:remote`, of which the remote half counts once known.
    fn is_named_by(&self, username: &str) -> bool {
        username.split_once(':').is_some_and(|(local, remote)| {
            local == self.local.ufrag && self.remote_ufrag.as_ref().is_none_or(|expected| expected == remote)
        })
    }
}

/// An address that proved itself.
#[derive(Clone, Debug)]
struct Validated {
    remote: SocketAddr,
    last_check: Instant,
}

/// The two ends of the flow in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) remote: SocketAddr,
    /// The address that datagrams leave from.
    pub(super) local: Option<IpAddr>,
}

/// The controlled, lite side of one ICE session.
pub(super) struct IceLite {
    current: Generation,
    /// The generation before a restart, until the first check of the new one.
    previous: Option<Generation>,
    validated: Vec<Validated>,
    selected: Option<Pair>,
    /// Whether the selected pair was ever nominated; before, the newest check selects.
    nominated: bool,
    last_check: Instant,
}

impl IceLite {
    pub(super) fn new(local: IceCredentials, now: Instant) -> Self {
        Self {
            current: Generation::new(local),
            previous: None,
            validated: Vec::new(),
            selected: None,
            nominated: false,
            last_check: now,
        }
    }

    /// A session whose only pair is proved and nominated from the start.
    pub(super) fn established(pair: Pair, local: IceCredentials, now: Instant) -> Self {
        Self {
            validated: vec![Validated { remote: pair.remote, last_check: now }],
            selected: Some(pair),
            nominated: true,
            ..Self::new(local, now)
        }
    }

    pub(super) fn local(&self) -> &IceCredentials {
        &self.current.local
    }

    pub(super) fn remote_ufrag(&self) -> Option<&str> {
        self.current.remote_ufrag.as_deref()
    }

    pub(super) fn set_remote_ufrag(&mut self, ufrag: String) {
        self.current.remote_ufrag = Some(ufrag);
    }

    /// Begins a new generation; the one before stays valid until the first check of the new one. Returns
    /// the fragment that is dropped at once, if a restart was still under way.
    pub(super) fn restart(&mut self, local: IceCredentials) -> Option<String> {
        let before = std::mem::replace(&mut self.current, Generation::new(local));
        self.previous.replace(before).map(|dropped| dropped.local.ufrag)
    }

    pub(super) fn ufrags(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.current).chain(&self.previous).map(|generation| generation.local.ufrag.as_str())
    }

    pub(super) fn selected(&self) -> Option<Pair> {
        self.selected
    }

    pub(super) fn is_validated(&self, remote: SocketAddr) -> bool {
        self.validated.iter().any(|validated| validated.remote == remote)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.validated.iter().map(|validated| validated.remote)
    }

    /// When the last authenticated check came, or the session began.
    pub(super) fn last_check(&self) -> Instant {
        self.last_check
    }

    /// Handles one STUN message; an authentic binding request gives an answer. `event` is told what
    /// changed.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: IpAddr,
        payload: &[u8],
        mut event: impl FnMut(IceEvent),
    ) -> Result<Answer, StunError> {
        // The library reads attributes up to the end of the slice, so that is made the end of the message.
        if !is_stun(payload) || payload.len() > MAX_MESSAGE {
            return Err(StunError::Malformed);
        }
        let message = Message::from_bytes(payload).map_err(|error| match error {
            StunParseError::FingerprintMismatch => StunError::Fingerprint,
            _ => StunError::Malformed,
        })?;
        if !message.has_class(MessageClass::Request) || !message.has_method(BINDING) {
            return Err(StunError::NotARequest);
        }
        if !ends_with_fingerprint(payload) {
            return Err(StunError::Fingerprint);
        }
        let username = message.attribute::<Username>().map_err(|_| StunError::Username)?;
        let username = username.username();
        let is_current = self.current.is_named_by(username);
        let generation = if is_current {
            &self.current
        } else {
            self.previous
                .as_ref()
                .filter(|generation| generation.is_named_by(username))
                .ok_or(StunError::Username)?
        };
        let integrity = message.validate_integrity_with_key(&generation.key);
        if !matches!(integrity, Ok(IntegrityAlgorithm::Sha1)) {
            return Err(StunError::Integrity);
        }
        let answer = write_answer(&message, source, &generation.key)?;
        let nominates = message.iter_attributes().any(|(_, raw)| raw.get_type() == USE_CANDIDATE);

        if is_current && let Some(dropped) = self.previous.take() {
            event(IceEvent::UfragDropped(dropped.local.ufrag));
        }
        self.last_check = now;
        self.record(now, source, &mut event);
        self.select(now, Pair { remote: source, local: Some(destination) }, nominates, event);
        Ok(answer)
    }

    /// Notes that the address proved itself.
    fn record(&mut self, now: Instant, remote: SocketAddr, event: &mut impl FnMut(IceEvent)) {
        if let Some(known) = self.validated.iter_mut().find(|known| known.remote == remote) {
            known.last_check = now;
            event(IceEvent::Validated(remote));
            return;
        }
        if self.validated.len() >= MAX_ADDRESSES {
            let selected = self.selected.map(|pair| pair.remote);
            let oldest = self
                .validated
                .iter()
                .enumerate()
                .filter(|(_, known)| Some(known.remote) != selected)
                .min_by_key(|(_, known)| known.last_check)
                .map(|(position, _)| position);
            if let Some(position) = oldest {
                event(IceEvent::Dropped(self.validated.swap_remove(position).remote));
            }
        }
        self.validated.push(Validated { remote, last_check: now });
        event(IceEvent::Validated(remote));
    }

    /// The newest nominated pair is used; before any nomination, the newest authenticated one (Chromium
    /// starts DTLS about 60 ms before it nominates).
    fn select(&mut self, now: Instant, pair: Pair, nominates: bool, mut event: impl FnMut(IceEvent)) {
        let is_stale = || {
            let selected = self.selected.map(|selected| selected.remote);
            self.validated
                .iter()
                .find(|known| Some(known.remote) == selected)
                .is_none_or(|known| now.saturating_duration_since(known.last_check) > STALE_AFTER)
        };
        if !nominates && self.nominated && !is_stale() {
            return;
        }
        self.nominated |= nominates;
        let before = self.selected.replace(pair);
        if before.map(|before| before.remote) != Some(pair.remote) {
            event(IceEvent::Selected(pair.remote));
        }
    }
}

/// The library verifies a FINGERPRINT that is there; ICE demands one, as the last attribute.
fn ends_with_fingerprint(payload: &[u8]) -> bool {
    let expected = Fingerprint::TYPE.value().to_be_bytes();
    payload
        .len()
        .checked_sub(8)
        .and_then(|start| payload.get(start..start + 4))
        .is_some_and(|header| header[..2] == expected && header[2..] == [0, 4])
}

/// Success with XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY and FINGERPRINT (RFC 8445 §7.3): 64 bytes for IPv4
/// and 76 for IPv6, never more than the request.
fn write_answer(request: &Message<'_>, source: SocketAddr, key: &IntegrityKey) -> Result<Answer, StunError> {
    let mut bytes = [0; 128];
    let mut writer = Message::builder_success(request, MessageWriteMutSlice::new(&mut bytes));
    writer
        .add_attribute(&XorMappedAddress::new(source, request.transaction_id()))
        .map_err(|_| StunError::Answer)?;
    // The library's own way of adding the integrity records the key in a tracing span.
    let placeholder = MessageIntegrity::new([0; 20]);
    writer.push_attribute_unchecked(&placeholder);
    let covered = writer.len().checked_sub(placeholder.padded_len()).ok_or(StunError::Answer)?;
    let integrity =
        MessageIntegrity::compute(&[&writer.data()[..covered]], key).map_err(|_| StunError::Answer)?;
    let start = writer.len() - integrity.len();
    writer.mut_data()[start..].copy_from_slice(&integrity);
    writer.add_fingerprint().map_err(|_| StunError::Answer)?;
    let length = writer.finish();
    Ok(Answer { bytes, length })
}

#[cfg(test)]
mod tests;
