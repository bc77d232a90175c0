//! Data channels: SCTP over DTLS (RFC 8831, RFC 8261) on the library `sctp-proto`, and the protocol that
//! opens them (DCEP, RFC 8832).
//!
//! The client starts the association, and on the connection that it offers it opens the channels; we answer on the
//! channel it opened, with the reliability it asked for. On the connection that the server offers ([`Opener`]) the
//! channels are ours to open. Channels with other labels are accepted and what comes on them is dropped.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, ReliabilityType, ServerConfig, Stream, StreamEvent, StreamId, TransportConfig,
};
use thiserror::Error;

/// Largest message, both ways. Lower than what the client sends would not refuse the message but kill the
/// association, so this is what the session description announces.
pub const MAX_MESSAGE: u32 = 262_144;
/// User data of one DATA chunk: with SCTP's and DTLS's headers (28 and 37 bytes) 1185 bytes, which fits
/// the smallest IPv6 path.
const MAX_CHUNK: u32 = 1120;
/// Bytes waiting for one reliable channel at the very most: the room lets senders wait long before, but each of 200 may
/// have one packet of 64 KB on the way then. Less throws somebody slow out for others' data, more is more memory.
pub(crate) const RELIABLE_QUEUE: usize = 16 << 20;
/// The same for the channels whose data is stale by then anyway.
const LOSSY_QUEUE: usize = 256 << 10;
/// Streams a client may open: LiveKit clients open three.
const MAX_STREAMS: usize = 64;
/// Retransmission timeouts, as libwebrtc has them; the RFC's second would be felt in chat.
const RTO_INITIAL_MS: u64 = 500;
const RTO_MIN_MS: u64 = 220;
/// What the timeout grows to while the path is dead: so long at most may data wait once it is back. The RFC's minute
/// would be felt as a loss; where the round trip takes longer than this nobody talks any more. What a client could not
/// be reached with meanwhile waits here, in the association, which outlives a resume: nothing is sent again by us.
const RTO_MAX_MS: u64 = 2000;
/// The association knows no addresses: it runs inside DTLS.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5000);

const DCEP_ACK: u8 = 2;
const DCEP_OPEN: u8 = 3;

/// Why data was not sent or not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SctpError {
    /// The client has not opened this channel, or has closed it.
    #[error("the channel is not open")]
    NotOpen,
    /// The client does not take what waits already.
    #[error("too much waits on the channel")]
    QueueFull,
    /// Larger than [`MAX_MESSAGE`].
    #[error("the message is too large")]
    TooLarge,
    /// The association ended: aborted by the client, or lost.
    #[error("the association ended")]
    Lost,
    /// More streams than any client needs.
    #[error("too many streams")]
    TooManyStreams,
    /// A channel-opening message that is not one.
    #[error("the channel-opening message is malformed")]
    MalformedOpen,
}

impl SctpError {
    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotOpen => "not-open",
            Self::QueueFull => "queue-full",
            Self::TooLarge => "too-large",
            Self::Lost => "lost",
            Self::TooManyStreams => "too-many-streams",
            Self::MalformedOpen => "malformed-open",
        }
    }
}

/// The data channels of a LiveKit client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataChannel {
    /// `_reliable`: ordered, retransmitted.
    Reliable,
    /// `_lossy`: unordered, not retransmitted.
    Lossy,
    /// `_data_track`: frames of data tracks.
    DataTrack,
}

impl DataChannel {
    /// Every channel.
    pub const ALL: [Self; 3] = [Self::Reliable, Self::Lossy, Self::DataTrack];

    /// The label that the client opens it with.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reliable => "_reliable",
            Self::Lossy => "_lossy",
            Self::DataTrack => "_data_track",
        }
    }

    /// Stream that we open it on: odd ones belong to the DTLS server (RFC 8832 §6), which we always are.
    fn own_stream(self) -> StreamId {
        match self {
            Self::Reliable => 1,
            Self::Lossy => 3,
            Self::DataTrack => 5,
        }
    }

    /// The message that opens it (RFC 8832 §5.1).
    fn open_message(self) -> Vec<u8> {
        const RELIABLE: u8 = 0;
        const PARTIAL_RELIABLE_REXMIT_UNORDERED: u8 = 0x81; // with 0 retransmissions
        let kind = if self == Self::Reliable { RELIABLE } else { PARTIAL_RELIABLE_REXMIT_UNORDERED };
        let label = self.label().as_bytes();
        let mut message = vec![DCEP_OPEN, kind, 0, 0, 0, 0, 0, 0, 0, label.len() as u8, 0, 0];
        message.extend_from_slice(label);
        message
    }

    fn of_label(label: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.label().as_bytes() == label)
    }

    fn queue_limit(self) -> usize {
        match self {
            Self::Reliable => RELIABLE_QUEUE,
            Self::Lossy | Self::DataTrack => LOSSY_QUEUE,
        }
    }
}

/// Who opens the data channels of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// The client, as it likes.
    Client,
    /// We open all three; further ones of the client are accepted.
    Server,
}

/// What the data channels have to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SctpEvent {
    Opened(DataChannel),
    Data(DataChannel, Vec<u8>),
    /// Something was refused; the association goes on unless it is [`SctpError::Lost`].
    Rejected(SctpError),
}

/// A parsed DATA_CHANNEL_OPEN (RFC 8832 §5.1).
#[derive(Debug, PartialEq)]
struct Open<'a> {
    unordered: bool,
    reliability: ReliabilityType,
    /// Retransmissions or milliseconds.
    value: u32,
    label: &'a [u8],
}

impl<'a> Open<'a> {
    fn parse(message: &'a [u8]) -> Option<Self> {
        let (header, rest) = message.split_first_chunk::<12>()?;
        let [DCEP_OPEN, kind, _, _, v0, v1, v2, v3, l0, l1, p0, p1] = *header else { return None };
        let (label, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        (rest.len() == usize::from(u16::from_be_bytes([p0, p1]))).then_some(())?;
        let reliability = match kind & 0x7f {
            0 => ReliabilityType::Reliable,
            1 => ReliabilityType::Rexmit,
            2 => ReliabilityType::Timed,
            _ => return None,
        };
        let value = u32::from_be_bytes([v0, v1, v2, v3]);
        Some(Self { unordered: kind & 0x80 != 0, reliability, value, label })
    }
}

/// Settings shared by all associations.
pub(super) struct SctpSettings {
    endpoint: Arc<EndpointConfig>,
    server: Arc<ServerConfig>,
}

impl SctpSettings {
    pub(super) fn new() -> Self {
        let mut endpoint = EndpointConfig::new();
        endpoint.max_payload_size(MAX_CHUNK);
        let transport = TransportConfig::default()
            .with_max_send_message_size(MAX_MESSAGE)
            .with_max_receive_message_size(MAX_MESSAGE)
            .with_rto_initial_ms(RTO_INITIAL_MS)
            .with_rto_min_ms(RTO_MIN_MS)
            .with_rto_max_ms(RTO_MAX_MS);
        let mut server = ServerConfig::new();
        server.transport = Arc::new(transport);
        Self { endpoint: Arc::new(endpoint), server: Arc::new(server) }
    }
}

/// One association and the channels on it.
pub(super) struct Sctp {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    /// The stream of each channel, in the order of [`DataChannel::ALL`].
    streams: [Option<StreamId>; 3],
    opener: Opener,
    events: VecDeque<SctpEvent>,
    is_lost: bool,
    /// Whether messages of the reliable channel are left where they are.
    is_held: bool,
    /// Whether some were: then they are read one by one.
    has_unread: bool,
    /// Whether something happened since the association last had nothing to send.
    may_send: bool,
}

impl Sctp {
    pub(super) fn new(settings: &SctpSettings, opener: Opener) -> Self {
        Self {
            endpoint: Endpoint::new(Arc::clone(&settings.endpoint), Some(Arc::clone(&settings.server))),
            association: None,
            streams: [None; 3],
            opener,
            events: VecDeque::new(),
            is_lost: false,
            is_held: false,
            has_unread: false,
            may_send: false,
        }
    }

    /// Handles one SCTP packet, as it came out of DTLS.
    pub(super) fn handle(&mut self, now: Instant, packet: &[u8]) {
        if self.is_lost {
            return;
        }
        self.may_send = true;
        let packet = Bytes::copy_from_slice(packet);
        match self.endpoint.handle(now, PEER, None, None, packet) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                // One association for the life of the DTLS connection.
                self.endpoint.reject_new_associations();
                self.association = Some((handle, association));
            }
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some((ours, association)) = &mut self.association
                    && *ours == handle
                {
                    association.handle_event(event);
                }
            }
            None => {}
        }
        self.drain();
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some((_, association)) = &mut self.association
            && association.poll_timeout().is_some_and(|at| at <= now)
        {
            association.handle_timeout(now);
            self.may_send = true;
            self.drain();
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref().and_then(|(_, association)| association.poll_timeout())
    }

    pub(super) fn poll_event(&mut self) -> Option<SctpEvent> {
        self.events.pop_front()
    }

    /// Leaves what comes on the reliable channel in the receive buffer, or goes on reading.
    pub(super) fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Reads the next message that was left in the receive buffer; false if there is none, or none may be read.
    pub(super) fn read_on(&mut self) -> bool {
        if self.is_held || !self.has_unread {
            return false;
        }
        let stream = self.streams[DataChannel::Reliable as usize];
        if let (Some(id), Some((_, association))) = (stream, &mut self.association) {
            self.has_unread = read(association, id, &mut self.streams, self.opener, &mut self.events);
        } else {
            self.has_unread = false;
        }
        self.has_unread
    }

    /// Bytes that wait on a channel, sent and not acknowledged ones among them.
    pub(super) fn queued(&mut self, channel: DataChannel) -> usize {
        let (Some(id), Some((_, association))) = (self.streams[channel as usize], &mut self.association)
        else {
            return 0;
        };
        association.stream(id).and_then(|stream| stream.buffered_amount()).unwrap_or(0)
    }

    /// Gives every packet that may leave now to `send`.
    pub(super) fn poll_transmit<E>(
        &mut self,
        now: Instant,
        mut send: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if !std::mem::take(&mut self.may_send) {
            return Ok(());
        }
        loop {
            let transmit = match &mut self.association {
                Some((_, association)) => association.poll_transmit(now),
                None => None,
            };
            let Some(transmit) = transmit.or_else(|| self.endpoint.poll_transmit()) else {
                return Ok(());
            };
            if let Payload::RawEncode(packets) = transmit.payload {
                for packet in packets {
                    send(&packet)?;
                }
            }
        }
    }

    /// Queues one message.
    pub(super) fn send(&mut self, channel: DataChannel, data: &[u8]) -> Result<(), SctpError> {
        if self.is_lost {
            return Err(SctpError::Lost);
        }
        let id = self.streams[channel as usize].ok_or(SctpError::NotOpen)?;
        if data.len() > MAX_MESSAGE as usize {
            return Err(SctpError::TooLarge);
        }
        let (_, association) = self.association.as_mut().ok_or(SctpError::NotOpen)?;
        let mut stream = association.stream(id).map_err(|_| SctpError::NotOpen)?;
        let queued = stream.buffered_amount().map_err(|_| SctpError::NotOpen)?;
        if queued + data.len() > channel.queue_limit() {
            return Err(SctpError::QueueFull);
        }
        // RFC 8831 §6.6: SCTP has no empty messages, so one byte stands for none.
        let (data, kind) = if data.is_empty() {
            (&[0][..], PayloadProtocolIdentifier::BinaryEmpty)
        } else {
            (data, PayloadProtocolIdentifier::Binary)
        };
        stream.write_with_ppi(data, kind).map_err(|_| SctpError::NotOpen)?;
        self.may_send = true;
        Ok(())
    }

    pub(super) fn is_open(&self, channel: DataChannel) -> bool {
        self.streams[channel as usize].is_some()
    }

    /// Ends the association; DTLS's closing tells the client.
    pub(super) fn close(&mut self) {
        if let Some((_, association)) = &mut self.association {
            // Closing an association that is closed already is no error to us.
            let _ = association.close();
        }
        self.streams = [None; 3];
        self.is_lost = true;
    }

    /// Reads all that became readable and answers what opens a channel.
    fn drain(&mut self) {
        let Some((handle, association)) = &mut self.association else { return };
        let mut lost = None;
        while let Some(event) = association.poll() {
            match event {
                Event::Stream(StreamEvent::Opened { id } | StreamEvent::Readable { id }) => {
                    // The same streams come as `Opened`; this queue only has to be emptied.
                    while association.accept_stream().is_some() {}
                    let is_reliable = self.streams[DataChannel::Reliable as usize] == Some(id);
                    if is_reliable && (self.is_held || self.has_unread) {
                        self.has_unread = true;
                    } else {
                        while read(association, id, &mut self.streams, self.opener, &mut self.events) {}
                    }
                    if association.stream_ids().len() > MAX_STREAMS {
                        lost = Some(SctpError::TooManyStreams);
                    }
                }
                Event::Connected if self.opener == Opener::Server => open(association),
                Event::Stream(StreamEvent::Finished { id }) => {
                    for stream in &mut self.streams {
                        stream.take_if(|stream| *stream == id);
                    }
                }
                Event::AssociationLost { .. } | Event::HandshakeFailed { .. } => {
                    lost = Some(SctpError::Lost);
                }
                _ => {}
            }
        }
        while let Some(event) = association.poll_endpoint_event() {
            self.endpoint.handle_event(*handle, event);
        }
        if let Some(error) = lost
            && !self.is_lost
        {
            self.close();
            self.events.push_back(SctpEvent::Rejected(error));
        }
    }
}

/// Opens our channels. They are in use once the client has acknowledged them: before that, what is sent
/// unordered could overtake the opening.
fn open(association: &mut Association) {
    for channel in DataChannel::ALL {
        // A client that has taken our stream ids for its own gets no channel of ours.
        if let Ok(mut stream) =
            association.open_stream(channel.own_stream(), PayloadProtocolIdentifier::Binary)
        {
            let _ = stream.write_with_ppi(&channel.open_message(), PayloadProtocolIdentifier::Dcep);
        }
    }
}

/// Reads the next complete message of one stream; false if there is none.
fn read(
    association: &mut Association,
    id: StreamId,
    streams: &mut [Option<StreamId>; 3],
    opener: Opener,
    events: &mut VecDeque<SctpEvent>,
) -> bool {
    if let Ok(mut stream) = association.stream(id)
        && let Ok(Some(message)) = stream.read_sctp()
    {
        let mut data = vec![0; message.len()];
        if message.read(&mut data).is_err() {
            return true;
        }
        match message.ppi {
            PayloadProtocolIdentifier::Dcep => {
                if data.first() == Some(&DCEP_ACK) {
                    let ours = DataChannel::ALL.into_iter().find(|channel| channel.own_stream() == id);
                    if let Some(channel) = ours.filter(|_| opener == Opener::Server)
                        && streams[channel as usize].is_none()
                        && set_reliability(&mut stream, channel)
                    {
                        streams[channel as usize] = Some(id);
                        events.push_back(SctpEvent::Opened(channel));
                    }
                    return true;
                }
                let Some(open) = Open::parse(&data) else {
                    events.push_back(SctpEvent::Rejected(SctpError::MalformedOpen));
                    return true;
                };
                // The ACK is reliable and ordered whatever the channel will be (RFC 8832 §6).
                let is_open = stream
                    .write_with_ppi(&[DCEP_ACK], PayloadProtocolIdentifier::Dcep)
                    .and_then(|_| stream.set_reliability_params(open.unordered, open.reliability, open.value))
                    .is_ok();
                if let Some(channel) = DataChannel::of_label(open.label)
                    && is_open
                {
                    streams[channel as usize] = Some(id);
                    events.push_back(SctpEvent::Opened(channel));
                }
            }
            kind => {
                let channel =
                    DataChannel::ALL.into_iter().find(|channel| streams[*channel as usize] == Some(id));
                if let Some(channel) = channel {
                    if matches!(
                        kind,
                        PayloadProtocolIdentifier::BinaryEmpty | PayloadProtocolIdentifier::StringEmpty
                    ) {
                        data.clear();
                    }
                    events.push_back(SctpEvent::Data(channel, data));
                }
            }
        }
        return true;
    }
    false
}

/// Gives an acknowledged channel the reliability that we opened it with.
fn set_reliability(stream: &mut Stream<'_>, channel: DataChannel) -> bool {
    channel == DataChannel::Reliable
        || stream.set_reliability_params(true, ReliabilityType::Rexmit, 0).is_ok()
}

#[cfg(test)]
mod tests;
