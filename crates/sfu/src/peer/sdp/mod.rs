//! Session descriptions (RFC 8829 offer/answer, one BUNDLE transport each).
//!
//! [`parse`] reads any text without panicking and within bounds. [`Negotiator`] answers what a client offers: all
//! that it publishes and, with a single peer connection, what it is sent. [`Offerer`] offers the second connection of
//! clients that have two, on which they are sent everything. None of them touches transport or tracks: they are
//! told what to say and tell what was said.

mod answer;
mod bundle;
mod codec;
mod description;
mod error;
mod negotiator;
mod offered;
mod offerer;
pub mod parse;
mod section;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

pub use answer::Answer;
pub use codec::NegotiatedCodec;
pub use error::SdpError;
pub use negotiator::{Negotiator, NegotiatorSettings, OfferSummary};
pub use offerer::{AnswerIgnored, AnswerSummary, Offer, Offerer};
pub use section::{Preferences, ReceiveSection, SendSection, SendTrack};
pub use text::LocalTransport;

/// Which way media flows in a section, as seen by the author of the description (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways; what holds when nothing is said.
    #[default]
    SendRecv,
    /// The author sends.
    SendOnly,
    /// The author receives.
    RecvOnly,
    /// Nobody sends.
    Inactive,
}

impl Direction {
    /// The direction in which the author sends and receives as told.
    pub fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the author sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the author receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same flow as seen from the other side.
    pub fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// The attribute's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    fn from_str(text: &str) -> Option<Self> {
        Some(match text {
            "sendrecv" => Self::SendRecv,
            "sendonly" => Self::SendOnly,
            "recvonly" => Self::RecvOnly,
            "inactive" => Self::Inactive,
            _ => return None,
        })
    }
}

/// What a section carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// RTP audio.
    Audio,
    /// RTP video.
    Video,
    /// Data channels over SCTP (RFC 8841).
    Application,
}

/// Who starts the DTLS handshake (RFC 8842, RFC 4145 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setup {
    /// The author is client.
    Active,
    /// The author is server.
    Passive,
    /// The author takes either role.
    ActPass,
    /// No connection for now.
    HoldConn,
}

impl Setup {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }
}

/// Hash functions trusted to name a certificate (RFC 8122 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl HashAlgorithm {
    /// The name in an `a=fingerprint` line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// Bytes of a digest.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn from_str(text: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|algorithm| text.eq_ignore_ascii_case(algorithm.as_str()))
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The value of an `a=fingerprint` line: `sha-256 AB:CD:…` (RFC 8122 §5).
pub fn fingerprint_value(algorithm: HashAlgorithm, digest: &[u8]) -> String {
    use fmt::Write;

    let mut value = String::with_capacity(8 + digest.len() * 3);
    value.push_str(algorithm.as_str());
    for (index, byte) in digest.iter().enumerate() {
        value.push(if index == 0 { ' ' } else { ':' });
        // Writing to a string cannot fail.
        let _ = write!(value, "{byte:02X}");
    }
    value
}

/// Position of a media section in every description of one peer; never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionIndex(pub usize);
