//! DTLS 1.2 as the passive side (RFC 5763, RFC 8842), on the library `dimpl`.
//!
//! Only datagrams from addresses that proved themselves are fed to it; keys are taken from it only after
//! the client's certificate matched the fingerprint of the offer.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use dimpl::{Dtls, DtlsCertificate, Output};
use thiserror::Error;

use super::keying::{SrtpKeys, SrtpProfile};
use super::sdp::{HashAlgorithm, fingerprint_value};

/// First retransmission of a flight. The usual second would be felt by everybody whose last flight is
/// lost; ICE has already shown that the path works.
const FLIGHT_START_RTO: Duration = Duration::from_millis(100);
/// 100 ms doubled eight times: a client that is silent for about 50 s is given up.
const FLIGHT_RETRIES: usize = 8;
/// Largest datagram of the handshake: with it every IPv6 path works.
const MTU: usize = 1150;
/// Room for the largest record the library gives out: DTLS allows 2^14 bytes of plaintext.
const RECORD_BUFFER: usize = (1 << 14) + 256;

/// Why DTLS ended. Every one of them ends the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DtlsError {
    /// The certificate is not the one of the offer.
    #[error("the client's certificate does not match the fingerprint of the offer")]
    FingerprintMismatch,
    /// The client showed no certificate before it was done.
    #[error("the client has shown no certificate")]
    NoCertificate,
    /// The client negotiated no SRTP profile, or the exporter gave keys of the wrong length.
    #[error("no SRTP keys were negotiated")]
    NoSrtpKeys,
    /// The handshake took too long.
    #[error("the handshake timed out")]
    Timeout,
    /// The client closed the connection.
    #[error("the client closed the connection")]
    Closed,
    /// The client broke the protocol or offered nothing that we accept.
    #[error("the client broke the DTLS protocol")]
    Protocol,
    /// Settings or certificate were refused at the start.
    #[error("DTLS cannot be set up")]
    Setup,
}

impl DtlsError {
    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::FingerprintMismatch => "fingerprint-mismatch",
            Self::NoCertificate => "no-certificate",
            Self::NoSrtpKeys => "no-srtp-keys",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::Setup => "setup",
        }
    }
}

impl From<dimpl::Error> for DtlsError {
    fn from(error: dimpl::Error) -> Self {
        match error {
            dimpl::Error::Timeout(_) => Self::Timeout,
            dimpl::Error::ConnectionClosed => Self::Closed,
            dimpl::Error::ConfigError(_) => Self::Setup,
            _ => Self::Protocol,
        }
    }
}

fn digest_algorithm(hash: HashAlgorithm) -> &'static digest::Algorithm {
    match hash {
        HashAlgorithm::Sha256 => &digest::SHA256,
        HashAlgorithm::Sha384 => &digest::SHA384,
        HashAlgorithm::Sha512 => &digest::SHA512,
    }
}

/// A certificate's fingerprint, as in `a=fingerprint` (RFC 8122 §5). Its text is `sha-256 AA:BB:…`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: HashAlgorithm,
    value: Vec<u8>,
}

impl Fingerprint {
    /// The fingerprint that an offer names.
    pub fn new(hash: HashAlgorithm, value: Vec<u8>) -> Self {
        Self { hash, value }
    }

    /// The fingerprint of a certificate in DER.
    pub fn of(hash: HashAlgorithm, certificate: &[u8]) -> Self {
        Self { hash, value: digest::digest(digest_algorithm(hash), certificate).as_ref().to_vec() }
    }

    /// Whether it is the fingerprint of this certificate.
    pub fn matches(&self, certificate: &[u8]) -> bool {
        digest::digest(digest_algorithm(self.hash), certificate).as_ref() == self.value
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&fingerprint_value(self.hash, &self.value))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Certificate and settings, made once for a process: building the settings costs more than a handshake.
pub(super) struct DtlsIdentity {
    config: Arc<dimpl::Config>,
    certificate: DtlsCertificate,
    fingerprint: String,
}

impl DtlsIdentity {
    /// Makes a self-signed certificate. The library reads the system's clock (its validity) and random
    /// source for it; nothing after that does so on our account.
    pub(super) fn generate() -> Result<Self, DtlsError> {
        let certificate =
            dimpl::certificate::generate_self_signed_certificate().map_err(|_| DtlsError::Setup)?;
        let config = dimpl::Config::builder()
            .mtu(MTU)
            .flight_start_rto(FLIGHT_START_RTO)
            .flight_retries(FLIGHT_RETRIES)
            // Saves a round trip; spoofed addresses never get here.
            .use_server_cookie(false)
            .require_client_certificate(true)
            .build()
            .map_err(|_| DtlsError::Setup)?;
        let fingerprint = Fingerprint::of(HashAlgorithm::Sha256, &certificate.certificate).to_string();
        Ok(Self { config: Arc::new(config), certificate, fingerprint })
    }

    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// What DTLS has to say, in order.
pub(super) enum DtlsOutput<'a> {
    /// To be sent to the selected address.
    Packet(&'a [u8]),
    /// The handshake is done with the right client, and media may flow under these keys. Comes once.
    Connected(SrtpProfile, SrtpKeys),
    /// Decrypted application data: one SCTP packet.
    Data(&'a [u8]),
}

/// The server's side of one DTLS connection. After any error it is to be dropped.
pub(super) struct DtlsServer {
    dtls: Dtls,
    expected: Fingerprint,
    is_verified: bool,
    /// Whether the handshake is done, but keys have not come out yet.
    awaits_keys: bool,
    buffer: Vec<u8>,
    timeout: Option<Instant>,
}

impl DtlsServer {
    /// A server that accepts the client with this fingerprint only.
    pub(super) fn new(identity: &DtlsIdentity, expected: Fingerprint, now: Instant) -> Self {
        let dtls = Dtls::new_12(Arc::clone(&identity.config), identity.certificate.clone(), now);
        Self { dtls, expected, is_verified: false, awaits_keys: false, buffer: vec![0; 2048], timeout: None }
    }

    pub(super) fn handle_packet(&mut self, now: Instant, packet: &[u8]) -> Result<(), DtlsError> {
        self.dtls.handle_timeout(now)?;
        Ok(self.dtls.handle_packet(packet)?)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        Ok(self.dtls.handle_timeout(now)?)
    }

    /// Encrypts one SCTP packet; the result comes out of [`Self::poll`], which is to be called until it
    /// gives nothing after each of these (the library's queue is ten datagrams long).
    pub(super) fn send(&mut self, data: &[u8]) -> Result<(), DtlsError> {
        self.dtls.send_application_data(data)?;
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<(), DtlsError> {
        Ok(self.dtls.close()?)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    /// The next output, until `None`.
    pub(super) fn poll(&mut self) -> Result<Option<DtlsOutput<'_>>, DtlsError> {
        // What borrows the buffer is returned by length, for the sake of the borrow checker.
        enum Borrowed {
            Packet(usize),
            Data(usize),
        }
        let borrowed = loop {
            match self.dtls.poll_output(&mut self.buffer) {
                Output::Packet(packet) => break Borrowed::Packet(packet.len()),
                Output::ApplicationData(data) => break Borrowed::Data(data.len()),
                Output::BufferTooSmall { needed } => {
                    if needed > RECORD_BUFFER || needed <= self.buffer.len() {
                        return Err(DtlsError::Protocol);
                    }
                    self.buffer.resize(needed, 0);
                }
                Output::PeerCert(certificate) => {
                    if !self.expected.matches(certificate) {
                        return Err(DtlsError::FingerprintMismatch);
                    }
                    self.is_verified = true;
                }
                Output::KeyingMaterial(material, profile) => {
                    if !self.is_verified {
                        return Err(DtlsError::NoCertificate);
                    }
                    let profile = match profile {
                        dimpl::SrtpProfile::AEAD_AES_256_GCM => SrtpProfile::AeadAes256Gcm,
                        dimpl::SrtpProfile::AEAD_AES_128_GCM => SrtpProfile::AeadAes128Gcm,
                        dimpl::SrtpProfile::AES128_CM_SHA1_80 => SrtpProfile::Aes128CmHmacSha1_80,
                        _ => return Err(DtlsError::NoSrtpKeys),
                    };
                    let keys = SrtpKeys::of_server(profile, &material).ok_or(DtlsError::NoSrtpKeys)?;
                    self.awaits_keys = false;
                    return Ok(Some(DtlsOutput::Connected(profile, keys)));
                }
                Output::Connected => self.awaits_keys = true,
                Output::CloseNotify => return Err(DtlsError::Closed),
                Output::Timeout(at) => {
                    if self.awaits_keys {
                        return Err(DtlsError::NoSrtpKeys);
                    }
                    self.timeout = Some(at);
                    return Ok(None);
                }
                _ => {}
            }
        };
        Ok(match borrowed {
            Borrowed::Packet(length) => self.buffer.get(..length).map(DtlsOutput::Packet),
            Borrowed::Data(length) => self.buffer.get(..length).map(DtlsOutput::Data),
        })
    }
}
