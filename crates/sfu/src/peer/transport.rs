//! One peer's transport: joins ICE-lite, DTLS, SRTP and SCTP.
//!
//! The order of trust: an authenticated connectivity check proves an address; only from proved addresses
//! is DTLS listened to; only a certificate that matches the offer gives keys; only packets sealed under
//! those keys change anything. Nothing is sent to an address that did not prove itself.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::dtls::{DtlsError, DtlsIdentity, DtlsOutput, DtlsServer};
use super::ice::{IceEvent, IceLite, Pair, is_credential};
use super::keying::SrtpKeys;
use super::sctp::{Opener, Sctp, SctpError, SctpEvent, SctpSettings};
use super::sdp::Setup;
use super::srtp::{SrtpError, SrtpReceiver, SrtpSender};
use crate::batch::{MAX_DATAGRAM, SendBatch};
use crate::config::Config;
use crate::event::Rejection;

pub use super::dtls::Fingerprint;
pub use super::ice::{IceCredentials, PacketKind, StunError, classify, is_stun, stun_local_ufrag};
pub use super::keying::SrtpProfile;
pub use super::sctp::DataChannel;

/// Bytes waiting to be sent outside of media. A full SCTP window is the largest of it; what does not fit
/// is dropped, as the network might.
const MAX_OUTBOX: usize = 1 << 20;

/// Why the transport refused something. Each has a stable code and the layer it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TransportError {
    /// A connectivity check was not answered.
    #[error(transparent)]
    Stun(#[from] StunError),
    /// DTLS failed; the transport is of no more use.
    #[error(transparent)]
    Dtls(#[from] DtlsError),
    /// A media packet was not sealed or not opened.
    #[error(transparent)]
    Srtp(#[from] SrtpError),
    /// Data was not sent or not received.
    #[error(transparent)]
    Sctp(#[from] SctpError),
    /// A datagram that is none of STUN, DTLS, RTP and RTCP.
    #[error("the datagram is of no known protocol")]
    UnknownProtocol,
    /// A datagram from an address that did not prove itself.
    #[error("the address is not validated")]
    NotValidated,
    /// DTLS before the offer was read.
    #[error("the remote parameters are not known yet")]
    NoRemoteParameters,
    /// The offer's ICE credentials are too short, too long or of other characters.
    #[error("the ICE credentials are malformed")]
    Credentials,
    /// The offer wants us to start the handshake.
    #[error("the DTLS role is not supported")]
    Role,
    /// A later offer has another certificate, which would be another connection.
    #[error("the fingerprint changed")]
    FingerprintChanged,
    /// A later offer has new ICE credentials, but [`Transport::restart_ice`] gave us none.
    #[error("an ICE restart needs new local credentials")]
    RestartRequired,
    /// The transport is closed or has failed.
    #[error("the transport is closed")]
    Closed,
}

impl TransportError {
    /// Stable code in kebab case, unique within its layer.
    pub fn code(self) -> &'static str {
        match self {
            Self::Stun(error) => error.code(),
            Self::Dtls(error) => error.code(),
            Self::Srtp(error) => error.code(),
            Self::Sctp(error) => error.code(),
            Self::UnknownProtocol => "unknown-protocol",
            Self::NotValidated => "not-validated",
            Self::NoRemoteParameters => "no-remote-parameters",
            Self::Credentials => "credentials",
            Self::Role => "role",
            Self::FingerprintChanged => "fingerprint-changed",
            Self::RestartRequired => "restart-required",
            Self::Closed => "closed",
        }
    }

    /// `stun`, `dtls`, `srtp`, `sctp` or `transport`.
    pub fn layer(self) -> &'static str {
        match self {
            Self::Stun(_) => "stun",
            Self::Dtls(_) => "dtls",
            Self::Srtp(_) => "srtp",
            Self::Sctp(_) => "sctp",
            _ => "transport",
        }
    }

    /// Both, for the counters.
    pub fn rejection(self) -> Rejection {
        Rejection { layer: self.layer(), code: self.code() }
    }
}

/// What all transports of a process share: certificate and settings, made once.
pub struct Shared {
    identity: DtlsIdentity,
    sctp: SctpSettings,
    ice_timeout: Duration,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Makes the certificate, which lives as long as the process. Of the configuration only
    /// [`Config::ice_timeout`] matters. Errors: [`DtlsError::Setup`].
    pub fn new(config: &Config) -> Result<Self, TransportError> {
        Ok(Self {
            identity: DtlsIdentity::generate()?,
            sctp: SctpSettings::new(),
            ice_timeout: config.ice_timeout,
        })
    }

    /// The certificate's fingerprint as the answer carries it: `sha-256 AA:BB:…`.
    pub fn fingerprint(&self) -> &str {
        self.identity.fingerprint()
    }
}

/// What the offer says about the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteParameters {
    /// `a=ice-ufrag`, 4 to 256 characters.
    pub ufrag: String,
    /// `a=ice-pwd`, 22 to 256 characters. A lite agent sends no checks, so it is only compared.
    pub pwd: String,
    /// `a=fingerprint`.
    pub fingerprint: Fingerprint,
    /// `a=setup`.
    pub setup: Setup,
}

/// What a datagram turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// Nothing for the caller, or something that [`Transport::poll_event`] tells.
    Nothing,
    /// A whole RTP packet, decrypted and without its tag.
    Rtp(&'a [u8]),
    /// A whole compound RTCP packet, decrypted and without its trailer.
    Rtcp(&'a [u8]),
}

/// Something that happened to a transport.
#[derive(Clone, PartialEq, Eq)]
pub enum TransportEvent {
    /// An authenticated check came from this address: what comes from there belongs to this peer. Said
    /// of each check, so that a flow is found again after somebody else was taken for its owner.
    AddressValidated(SocketAddr),
    /// The address belongs to this peer no longer.
    AddressDropped(SocketAddr),
    /// Everything goes to this address from now on.
    SelectedAddress(SocketAddr),
    /// An ICE restart is complete; the fragment leads to this peer no longer.
    UfragDropped(String),
    /// Media and data may flow.
    Connected,
    /// The transport has ended.
    Failed(TransportError),
    /// No authenticated check came for [`Config::ice_timeout`]; the peer is gone.
    Expired,
    /// A channel is open, whoever opened it.
    ChannelOpened(DataChannel),
    /// A message came on a channel; at most 262,144 bytes.
    Data(DataChannel, Vec<u8>),
    /// Something that came inside of DTLS was refused; the transport goes on.
    Rejected(TransportError),
}

impl fmt::Debug for TransportEvent {
    /// Without addresses and content, which belong into no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressValidated(_) => f.write_str("AddressValidated"),
            Self::AddressDropped(_) => f.write_str("AddressDropped"),
            Self::SelectedAddress(_) => f.write_str("SelectedAddress"),
            Self::UfragDropped(_) => f.write_str("UfragDropped"),
            Self::Connected => f.write_str("Connected"),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            Self::Expired => f.write_str("Expired"),
            Self::ChannelOpened(channel) => f.debug_tuple("ChannelOpened").field(channel).finish(),
            Self::Data(channel, data) => f.debug_tuple("Data").field(channel).field(&data.len()).finish(),
            Self::Rejected(error) => f.debug_tuple("Rejected").field(error).finish(),
        }
    }
}

/// Datagrams other than media that wait for the batch.
#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    /// Where each goes and where it ends; `None`: to the selected pair.
    datagrams: Vec<(Option<Pair>, usize)>,
}

impl Outbox {
    fn push(&mut self, pair: Option<Pair>, datagram: &[u8]) {
        if datagram.len() > MAX_DATAGRAM || self.bytes.len() + datagram.len() > MAX_OUTBOX {
            return;
        }
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push((pair, self.bytes.len()));
    }

    fn flush(&mut self, selected: Option<Pair>, batch: &mut SendBatch) {
        let mut start = 0;
        for (pair, end) in self.datagrams.drain(..) {
            let datagram = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            let Some(pair) = pair.or(selected) else { continue };
            // Its length was checked when it was queued, so that the writer cannot fail.
            let _: Result<(), ()> = batch.push(pair.remote, pair.local, |out| {
                out.get_mut(..datagram.len()).ok_or(())?.copy_from_slice(datagram);
                Ok(datagram.len())
            });
        }
        self.bytes.clear();
    }
}

/// Both directions' SRTP, of which there is one per transport.
struct Media {
    sender: SrtpSender,
    receiver: SrtpReceiver,
    profile: SrtpProfile,
}

impl Media {
    fn new(profile: SrtpProfile, keys: &SrtpKeys) -> Result<Box<Self>, SrtpError> {
        Ok(Box::new(Self {
            sender: SrtpSender::new(profile, &keys.local)?,
            receiver: SrtpReceiver::new(profile, &keys.remote)?,
            profile,
        }))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until DTLS is done.
    Connecting,
    Connected,
    /// Failed, expired or closed: what still waits in the outbox may leave.
    Ended,
}

/// One peer's transport. Hand in a datagram, a time or a command; then poll events and transmits.
pub struct Transport {
    shared: Arc<Shared>,
    state: State,
    ice: IceLite,
    /// Whether silence ends the transport; not so for peers that are keyed without ICE.
    expires: bool,
    remote: Option<RemoteParameters>,
    dtls: Option<DtlsServer>,
    media: Option<Box<Media>>,
    sctp: Option<Box<Sctp>>,
    /// See [`Self::hold_data`].
    is_data_held: bool,
    opener: Opener,
    events: VecDeque<TransportEvent>,
    outbox: Outbox,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Transport {
    /// A transport that waits for checks under these credentials, and expires if none come.
    pub fn new(shared: &Arc<Shared>, local: IceCredentials, now: Instant) -> Self {
        Self {
            shared: Arc::clone(shared),
            state: State::Connecting,
            ice: IceLite::new(local, now),
            expires: true,
            remote: None,
            dtls: None,
            media: None,
            sctp: None,
            is_data_held: false,
            opener: Opener::Client,
            events: VecDeque::new(),
            outbox: Outbox::default(),
        }
    }

    /// The same for a connection that we offer: the data channels are ours to open.
    pub fn opening_channels(self) -> Self {
        Self { opener: Opener::Server, ..self }
    }

    /// A transport that is connected from the start, for simulations and benchmarks: no STUN, no DTLS, no
    /// data channels; it sends to `remote`, accepts from there and never expires. Errors: keys that the
    /// cryptographic library refuses.
    pub fn keyed(
        shared: &Arc<Shared>,
        now: Instant,
        remote: SocketAddr,
        local_ip: Option<IpAddr>,
        profile: SrtpProfile,
        keys: &SrtpKeys,
    ) -> Result<Self, TransportError> {
        let nobody = IceCredentials { ufrag: String::new(), pwd: String::new() };
        let pair = Pair { remote, local: local_ip };
        Ok(Self {
            state: State::Connected,
            ice: IceLite::established(pair, nobody.clone(), now),
            expires: false,
            media: Some(Media::new(profile, keys)?),
            ..Self::new(shared, nobody, now)
        })
    }

    /// Takes what an offer says. The first call makes the transport ready for DTLS; a later one may repeat
    /// the same or, after [`Self::restart_ice`], bring new ICE credentials. Errors change nothing.
    pub fn set_remote(&mut self, now: Instant, remote: RemoteParameters) -> Result<(), TransportError> {
        if self.state == State::Ended {
            return Err(TransportError::Closed);
        }
        if !is_credential(&remote.ufrag, 4) || !is_credential(&remote.pwd, 22) {
            return Err(TransportError::Credentials);
        }
        // We wait for the client's handshake: the answer says `passive`.
        if matches!(remote.setup, Setup::Passive | Setup::HoldConn) {
            return Err(TransportError::Role);
        }
        if let Some(known) = &self.remote {
            if known.fingerprint != remote.fingerprint {
                return Err(TransportError::FingerprintChanged);
            }
            if self.is_ice_restart(&remote) && self.ice.remote_ufrag().is_some() {
                return Err(TransportError::RestartRequired);
            }
        } else {
            let fingerprint = remote.fingerprint.clone();
            self.dtls = Some(DtlsServer::new(&self.shared.identity, fingerprint, now));
        }
        self.ice.set_remote_ufrag(remote.ufrag.clone());
        self.remote = Some(remote);
        Ok(())
    }

    /// Whether these parameters ask for an ICE restart (RFC 8839 §4.4.1.1.1): other credentials than
    /// before. If so, [`Self::restart_ice`] comes before [`Self::set_remote`].
    pub fn is_ice_restart(&self, remote: &RemoteParameters) -> bool {
        self.remote.as_ref().is_some_and(|known| known.ufrag != remote.ufrag || known.pwd != remote.pwd)
    }

    /// New local credentials. The old ones stay valid until the first authenticated check under the new.
    pub fn restart_ice(&mut self, local: IceCredentials) {
        if let Some(dropped) = self.ice.restart(local) {
            self.events.push_back(TransportEvent::UfragDropped(dropped));
        }
    }

    /// The newest local credentials, for the answer.
    pub fn local_credentials(&self) -> &IceCredentials {
        self.ice.local()
    }

    /// The local user fragments that checks may name now: one, or two during an ICE restart.
    pub fn ufrags(&self) -> impl Iterator<Item = &str> {
        self.ice.ufrags()
    }

    /// The addresses that proved themselves, at most eight.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.ice.addresses()
    }

    /// Whether media may flow: DTLS is done and a pair selected.
    pub fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    /// The negotiated SRTP profile, once connected.
    pub fn profile(&self) -> Option<SrtpProfile> {
        self.media.as_ref().map(|media| media.profile)
    }

    /// Whether the client has opened this channel.
    pub fn is_channel_open(&self, channel: DataChannel) -> bool {
        self.sctp.as_ref().is_some_and(|sctp| sctp.is_open(channel))
    }

    /// Handles one datagram that was routed to this peer: STUN by its user fragment, everything else by
    /// its source address. Media is decrypted in place. After an error other than [`DtlsError`] the
    /// transport goes on; that one is told as [`TransportEvent::Failed`] too.
    pub fn handle_datagram<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: IpAddr,
        payload: &'a mut [u8],
    ) -> Result<Received<'a>, TransportError> {
        if self.state == State::Ended {
            return Err(TransportError::Closed);
        }
        match classify(payload) {
            PacketKind::Rtp => {
                let packet = self.receiver(source)?.open_rtp(payload)?;
                Ok(Received::Rtp(packet))
            }
            PacketKind::Rtcp => {
                let packet = self.receiver(source)?.open_rtcp(payload)?;
                Ok(Received::Rtcp(packet))
            }
            PacketKind::Stun => {
                self.handle_stun(now, source, destination, payload)?;
                Ok(Received::Nothing)
            }
            PacketKind::Dtls => {
                self.handle_dtls(now, source, payload)?;
                Ok(Received::Nothing)
            }
            PacketKind::TurnChannel | PacketKind::Unknown => Err(TransportError::UnknownProtocol),
        }
    }

    /// Does what is due. To be called at [`Self::poll_timeout`]; earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Ended {
            return;
        }
        if self.expiry().is_some_and(|at| at <= now) {
            self.end();
            self.events.push_back(TransportEvent::Expired);
            return;
        }
        let due = self.dtls.as_ref().and_then(DtlsServer::poll_timeout).is_some_and(|at| at <= now);
        if due && let Some(dtls) = &mut self.dtls {
            let result = dtls.handle_timeout(now).map_err(TransportError::from);
            if let Err(error) = result.and_then(|()| self.drain_dtls(now)) {
                self.fail(error);
                return;
            }
        }
        if let Some(sctp) = &mut self.sctp {
            sctp.handle_timeout(now);
        }
        self.drain_sctp();
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Ended {
            return None;
        }
        let dtls = self.dtls.as_ref().and_then(DtlsServer::poll_timeout);
        let sctp = self.sctp.as_ref().and_then(|sctp| sctp.poll_timeout());
        [self.expiry(), dtls, sctp].into_iter().flatten().min()
    }

    /// What happened, in order, until `None`.
    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        if self.events.is_empty()
            && let Some(sctp) = &mut self.sctp
            && sctp.read_on()
        {
            self.drain_sctp();
        }
        self.events.pop_front()
    }

    /// Appends everything that waits, but for media, to the batch: answers to checks, DTLS flights, SCTP.
    pub fn poll_transmit(&mut self, now: Instant, batch: &mut SendBatch) {
        if let (Some(dtls), Some(sctp)) = (&mut self.dtls, &mut self.sctp) {
            let outbox = &mut self.outbox;
            let result: Result<(), DtlsError> = sctp.poll_transmit(now, |packet| {
                dtls.send(packet)?;
                while let Some(output) = dtls.poll()? {
                    if let DtlsOutput::Packet(packet) = output {
                        outbox.push(None, packet);
                    }
                }
                Ok(())
            });
            if let Err(error) = result {
                self.fail(error.into());
            }
        }
        if !self.outbox.datagrams.is_empty() {
            self.outbox.flush(self.ice.selected(), batch);
        }
    }

    /// Seals one RTP packet into the batch, the hot path: `write_header` writes the RTP header with its
    /// extensions and returns its length; `prefix` (rewritten payload descriptor, or RTX's original
    /// sequence number; usually empty) and `payload` are encrypted behind it by gathering.
    /// `extended_sequence` is the sequence number with its rollovers counted above it (48 bits); its low
    /// 16 bits must be the header's, and none may come twice for one SSRC, nor one that is 512 behind the
    /// highest. Header, prefix and payload may have 1484 bytes together.
    pub fn send_rtp<E>(
        &mut self,
        batch: &mut SendBatch,
        extended_sequence: u64,
        prefix: &[u8],
        payload: &[u8],
        write_header: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), TransportError> {
        let (media, pair) = self.sender()?;
        batch.push(pair.remote, pair.local, |out| {
            Ok(media.sender.seal_rtp(out, extended_sequence, prefix, payload, write_header)?)
        })
    }

    /// Seals one compound (or reduced-size) RTCP packet of at most 1480 bytes into the batch.
    pub fn send_rtcp(&mut self, batch: &mut SendBatch, packet: &[u8]) -> Result<(), TransportError> {
        let (media, pair) = self.sender()?;
        batch.push(pair.remote, pair.local, |out| Ok(media.sender.seal_rtcp(out, packet)?))
    }

    /// Queues one message of at most 262,144 bytes on a channel that the client has opened; it leaves with
    /// [`Self::poll_transmit`]. Errors: [`SctpError::NotOpen`], [`SctpError::QueueFull`],
    /// [`SctpError::TooLarge`], [`SctpError::Lost`].
    pub fn send_data(
        &mut self,
        _now: Instant,
        channel: DataChannel,
        bytes: &[u8],
    ) -> Result<(), TransportError> {
        let sctp = self.sctp.as_mut().ok_or(SctpError::NotOpen)?;
        Ok(sctp.send(channel, bytes)?)
    }

    /// Bytes that wait on a channel, sent and not acknowledged ones among them.
    pub fn data_queued(&mut self, channel: DataChannel) -> usize {
        self.sctp.as_mut().map_or(0, |sctp| sctp.queued(channel))
    }

    /// While held, what the client sends reliably stays in SCTP's receive buffer of 1 MiB; when that is full, the client
    /// keeps it. Afterwards [`Self::poll_event`] reads it, message by message, until held again.
    pub fn hold_data(&mut self, is_held: bool) {
        self.is_data_held = is_held;
        if let Some(sctp) = &mut self.sctp {
            sctp.hold(is_held);
        }
    }

    /// Whether data is held.
    #[cfg(test)]
    pub(crate) fn is_data_held(&self) -> bool {
        self.is_data_held
    }

    /// Ends the transport; a last [`Self::poll_transmit`] takes the DTLS alert that tells the client.
    pub fn close(&mut self, now: Instant) {
        if self.state == State::Ended {
            return;
        }
        let was_connected = self.is_connected();
        if let Some(dtls) = &mut self.dtls
            && was_connected
            && dtls.handle_timeout(now).and_then(|()| dtls.close()).is_ok()
        {
            while let Ok(Some(output)) = dtls.poll() {
                if let DtlsOutput::Packet(packet) = output {
                    self.outbox.push(None, packet);
                }
            }
        }
        self.end();
    }

    fn expiry(&self) -> Option<Instant> {
        self.ice.last_check().checked_add(self.shared.ice_timeout).filter(|_| self.expires)
    }

    /// The receiver, if this address may send media.
    fn receiver(&mut self, source: SocketAddr) -> Result<&mut SrtpReceiver, TransportError> {
        if !self.ice.is_validated(source) {
            return Err(TransportError::NotValidated);
        }
        let media = self.media.as_mut().ok_or(SrtpError::NotKeyed)?;
        Ok(&mut media.receiver)
    }

    /// The sender and where to.
    fn sender(&mut self) -> Result<(&mut Media, Pair), TransportError> {
        if !self.is_connected() {
            return Err(SrtpError::NotKeyed.into());
        }
        let pair = self.ice.selected().ok_or(SrtpError::NotKeyed)?;
        let media = self.media.as_mut().ok_or(SrtpError::NotKeyed)?;
        Ok((media, pair))
    }

    fn handle_stun(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: IpAddr,
        payload: &[u8],
    ) -> Result<(), TransportError> {
        let events = &mut self.events;
        let answer = self.ice.handle(now, source, destination, payload, |event| {
            events.push_back(match event {
                IceEvent::Validated(address) => TransportEvent::AddressValidated(address),
                IceEvent::Dropped(address) => TransportEvent::AddressDropped(address),
                IceEvent::Selected(address) => TransportEvent::SelectedAddress(address),
                IceEvent::UfragDropped(ufrag) => TransportEvent::UfragDropped(ufrag),
            });
        })?;
        let back = Pair { remote: source, local: Some(destination) };
        self.outbox.push(Some(back), answer.as_bytes());
        Ok(())
    }

    fn handle_dtls(
        &mut self,
        now: Instant,
        source: SocketAddr,
        payload: &[u8],
    ) -> Result<(), TransportError> {
        if !self.ice.is_validated(source) {
            return Err(TransportError::NotValidated);
        }
        let dtls = self.dtls.as_mut().ok_or(TransportError::NoRemoteParameters)?;
        let result = dtls.handle_packet(now, payload).map_err(TransportError::from);
        let result = result.and_then(|()| self.drain_dtls(now));
        self.drain_sctp();
        if let Err(error) = result {
            self.fail(error);
        }
        result
    }

    /// Takes everything out of DTLS, after something was put in.
    fn drain_dtls(&mut self, now: Instant) -> Result<(), TransportError> {
        let Some(dtls) = &mut self.dtls else { return Ok(()) };
        while let Some(output) = dtls.poll()? {
            match output {
                DtlsOutput::Packet(packet) => self.outbox.push(None, packet),
                DtlsOutput::Connected(profile, keys) => {
                    self.media = Some(Media::new(profile, &keys)?);
                    self.state = State::Connected;
                    self.events.push_back(TransportEvent::Connected);
                }
                DtlsOutput::Data(packet) => {
                    let (settings, opener) = (&self.shared.sctp, self.opener);
                    let sctp = self.sctp.get_or_insert_with(|| Box::new(Sctp::new(settings, opener)));
                    sctp.hold(self.is_data_held);
                    sctp.handle(now, packet);
                }
            }
        }
        Ok(())
    }

    fn drain_sctp(&mut self) {
        let Some(sctp) = &mut self.sctp else { return };
        while let Some(event) = sctp.poll_event() {
            self.events.push_back(match event {
                SctpEvent::Opened(channel) => TransportEvent::ChannelOpened(channel),
                SctpEvent::Data(channel, data) => TransportEvent::Data(channel, data),
                // DTLS would go on as if nothing had happened, and chat would vanish.
                SctpEvent::Rejected(error @ (SctpError::Lost | SctpError::TooManyStreams)) => {
                    return self.fail(error.into());
                }
                SctpEvent::Rejected(error) => TransportEvent::Rejected(error.into()),
            });
        }
    }

    /// Ends the transport and tells why.
    fn fail(&mut self, error: TransportError) {
        if self.state != State::Ended {
            self.end();
            self.events.push_back(TransportEvent::Failed(error));
        }
    }

    /// Forgets keys and connections; what waits in the outbox may still leave.
    fn end(&mut self) {
        self.state = State::Ended;
        self.dtls = None;
        self.media = None;
        self.sctp = None;
    }
}
