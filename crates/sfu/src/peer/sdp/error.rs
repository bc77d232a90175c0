//! Why a session description cannot be answered.

use thiserror::Error;

/// A refused offer. Nothing of the state has changed. The text names places (line, section), never content:
/// an offer carries the addresses of its sender.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SdpError {
    /// More bytes than allowed.
    #[error("session description of {bytes} bytes, {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More media sections than allowed.
    #[error("more than {limit} media sections")]
    TooManySections {
        /// The limit.
        limit: usize,
    },
    /// More of one attribute in one section than any client needs.
    #[error("line {line}: too many {what}")]
    TooManyAttributes {
        /// Line, counted from 1.
        line: usize,
        /// Which attribute.
        what: &'static str,
    },
    /// A line that is not of the form its type or attribute demands.
    #[error("line {line}: malformed {what}")]
    Malformed {
        /// Line, counted from 1.
        line: usize,
        /// Which part of the grammar was expected.
        what: &'static str,
    },
    /// A payload type outside 0–63 and 96–127 (RFC 5761 §4), or not a number.
    #[error("line {line}: payload type out of range")]
    PayloadTypeInvalid {
        /// Line, counted from 1.
        line: usize,
    },
    /// The same payload type twice in one section.
    #[error("line {line}: payload type listed twice")]
    PayloadTypeDuplicate {
        /// Line, counted from 1.
        line: usize,
    },
    /// A description without media sections.
    #[error("no media sections")]
    NoSections,
    /// Nothing in the offer could be taken, so there is no transport to set up.
    #[error("no media section can be accepted")]
    NothingAccepted,
    /// A section in use has no `a=mid`.
    #[error("section {section} has no mid")]
    MidMissing {
        /// Index of the section.
        section: usize,
    },
    /// A `mid` that is not a short token.
    #[error("section {section}: mid is not a token of at most 32 characters")]
    MidInvalid {
        /// Index of the section.
        section: usize,
    },
    /// Two sections with one `mid`.
    #[error("section {section} repeats a mid")]
    MidDuplicate {
        /// Index of the section.
        section: usize,
    },
    /// No BUNDLE group (RFC 9143): every section would need a transport of its own.
    #[error("no BUNDLE group")]
    BundleMissing,
    /// A bundled RTP section without `a=rtcp-mux` (RFC 9143 §9.3 demands it).
    #[error("section {section} has no rtcp-mux")]
    RtcpMuxMissing {
        /// Index of the section.
        section: usize,
    },
    /// No certificate fingerprint (RFC 8122): the DTLS peer could not be told from anybody else.
    #[error("no certificate fingerprint")]
    FingerprintMissing,
    /// Only fingerprints of hash functions that are not (or no longer) trusted.
    #[error("no certificate fingerprint by SHA-256, SHA-384 or SHA-512")]
    FingerprintUnsupported,
    /// Another certificate than before, which would need a new DTLS association.
    #[error("the certificate fingerprint changed")]
    FingerprintChanged,
    /// No ICE user fragment or password.
    #[error("no ICE credentials")]
    IceCredentialsMissing,
    /// ICE credentials of the wrong length or alphabet (RFC 8839 §5.4).
    #[error("malformed ICE credentials")]
    IceCredentialsInvalid,
    /// The offerer is ICE-lite as we are: nobody would send checks (RFC 8445 §6.1.1).
    #[error("the offerer is ICE-lite")]
    IceLite,
    /// The offerer wants to be DTLS server, which we are.
    #[error("a DTLS role that leaves us the client's")]
    SetupUnsupported,
    /// One header extension id stands for two extensions in one BUNDLE group.
    #[error("section {section}: a header extension id has two meanings")]
    ExtensionConflict {
        /// Index of the section.
        section: usize,
    },
    /// Fewer sections than before (RFC 3264 §8: they are never removed), or in an answer another number than offered
    /// (§6).
    #[error("{sections} media sections, {before} before")]
    SectionCount {
        /// Sections in this offer.
        sections: usize,
        /// Sections in the offer before.
        before: usize,
    },
    /// A section in use has another `mid` than before, or than offered.
    #[error("section {section}: the mid changed")]
    MidChanged {
        /// Index of the section.
        section: usize,
    },
    /// A section in use has another media type or protocol than before, or than offered.
    #[error("section {section}: the media type changed")]
    KindChanged {
        /// Index of the section.
        section: usize,
    },
}

impl SdpError {
    /// The stable code, for counters and for the client.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::TooManySections { .. } => "too-many-sections",
            Self::TooManyAttributes { .. } => "too-many-attributes",
            Self::Malformed { .. } => "malformed",
            Self::PayloadTypeInvalid { .. } => "payload-type-invalid",
            Self::PayloadTypeDuplicate { .. } => "payload-type-duplicate",
            Self::NoSections => "no-sections",
            Self::NothingAccepted => "nothing-accepted",
            Self::MidMissing { .. } => "mid-missing",
            Self::MidInvalid { .. } => "mid-invalid",
            Self::MidDuplicate { .. } => "mid-duplicate",
            Self::BundleMissing => "bundle-missing",
            Self::RtcpMuxMissing { .. } => "rtcp-mux-missing",
            Self::FingerprintMissing => "fingerprint-missing",
            Self::FingerprintUnsupported => "fingerprint-unsupported",
            Self::FingerprintChanged => "fingerprint-changed",
            Self::IceCredentialsMissing => "ice-credentials-missing",
            Self::IceCredentialsInvalid => "ice-credentials-invalid",
            Self::IceLite => "ice-lite",
            Self::SetupUnsupported => "setup-unsupported",
            Self::ExtensionConflict { .. } => "extension-conflict",
            Self::SectionCount { .. } => "section-count",
            Self::MidChanged { .. } => "mid-changed",
            Self::KindChanged { .. } => "kind-changed",
        }
    }
}
