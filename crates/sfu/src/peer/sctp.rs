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
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use sctp_proto::ClientConfig;

    use super::*;
    use crate::test_start;

    /// Our end and a client's association, joined without DTLS, in virtual time.
    struct World {
        now: Instant,
        ours: Sctp,
        endpoint: Endpoint,
        handle: AssociationHandle,
        client: Association,
        events: Vec<SctpEvent>,
        largest: usize,
    }

    impl World {
        fn new() -> Self {
            Self::with_opener(Opener::Client)
        }

        fn with_opener(opener: Opener) -> Self {
            let transport = TransportConfig::default()
                .with_max_send_message_size(MAX_MESSAGE + 1000)
                .with_max_receive_message_size(MAX_MESSAGE);
            let mut config = ClientConfig::new();
            config.transport = Arc::new(transport);
            let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::new()), None);
            let (handle, client) = endpoint.connect(config, PEER).unwrap();
            let ours = Sctp::new(&SctpSettings::new(), opener);
            let mut world =
                Self { now: test_start(), ours, endpoint, handle, client, events: Vec::new(), largest: 0 };
            world.run(Duration::from_millis(100));
            assert!(!world.client.is_handshaking());
            world
        }

        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            while self.now < end {
                self.exchange();
                self.now += Duration::from_millis(5);
                self.ours.handle_timeout(self.now);
                self.client.handle_timeout(self.now);
            }
        }

        fn exchange(&mut self) {
            loop {
                let mut is_quiet = true;
                while let Some(transmit) = self.client.poll_transmit(self.now) {
                    let Payload::RawEncode(packets) = transmit.payload else { continue };
                    for packet in packets {
                        is_quiet = false;
                        self.ours.handle(self.now, &packet);
                    }
                }
                let mut packets = Vec::new();
                let sent: Result<(), ()> = self.ours.poll_transmit(self.now, |packet| {
                    packets.push(packet.to_vec());
                    Ok(())
                });
                sent.unwrap();
                for packet in packets {
                    is_quiet = false;
                    self.largest = self.largest.max(packet.len());
                    let event = self.endpoint.handle(self.now, PEER, None, None, packet.into());
                    if let Some((handle, DatagramEvent::AssociationEvent(event))) = event {
                        assert_eq!(handle, self.handle);
                        self.client.handle_event(event);
                    }
                }
                while let Some(event) = self.ours.poll_event() {
                    self.events.push(event);
                }
                if is_quiet {
                    return;
                }
            }
        }

        fn open(&mut self, id: StreamId, message: &[u8]) {
            let mut stream = self.client.open_stream(id, PayloadProtocolIdentifier::Binary).unwrap();
            stream.write_with_ppi(message, PayloadProtocolIdentifier::Dcep).unwrap();
            self.run(Duration::from_millis(50));
        }

        fn read(&mut self, id: StreamId) -> Option<(PayloadProtocolIdentifier, Vec<u8>)> {
            let message = self.client.stream(id).unwrap().read_sctp().unwrap()?;
            let mut bytes = vec![0; message.len()];
            message.read(&mut bytes).unwrap();
            Some((message.ppi, bytes))
        }
    }

    fn open_message(kind: u8, value: u32, label: &str) -> Vec<u8> {
        let mut message = vec![DCEP_OPEN, kind, 0, 0];
        message.extend_from_slice(&value.to_be_bytes());
        message.extend_from_slice(&(label.len() as u16).to_be_bytes());
        message.extend_from_slice(&[0, 0]);
        message.extend_from_slice(label.as_bytes());
        message
    }

    #[test]
    fn opening_is_acknowledged_and_messages_above_64_kilobytes_pass_both_ways() {
        let mut world = World::new();
        world.open(0, &open_message(0, 0, "_reliable"));
        assert_eq!(world.events, [SctpEvent::Opened(DataChannel::Reliable)]);
        assert_eq!(world.read(0), Some((PayloadProtocolIdentifier::Dcep, vec![DCEP_ACK])));
        let message = vec![3; MAX_MESSAGE as usize];
        let mut stream = world.client.stream(0).unwrap();
        stream.write_with_ppi(&message, PayloadProtocolIdentifier::Binary).unwrap();
        world.ours.send(DataChannel::Reliable, &message).unwrap();
        world.run(Duration::from_secs(5));
        assert_eq!(world.events[1], SctpEvent::Data(DataChannel::Reliable, message.clone()));
        assert_eq!(world.read(0), Some((PayloadProtocolIdentifier::Binary, message)));
        assert!(world.largest <= 1148, "{} bytes", world.largest);
    }

    #[test]
    fn channels_that_we_open_are_in_use_once_the_client_acknowledges_them() {
        let mut world = World::with_opener(Opener::Server);
        for channel in DataChannel::ALL {
            let id = channel.own_stream();
            assert_eq!(id % 2, 1, "the DTLS server's");
            let (kind, message) = world.read(id).expect("it is opened");
            assert_eq!(kind, PayloadProtocolIdentifier::Dcep);
            let open = Open::parse(&message).unwrap();
            assert_eq!(open.label, channel.label().as_bytes());
            assert_eq!(open.unordered, channel != DataChannel::Reliable);
            assert_eq!(world.ours.send(channel, b"early"), Err(SctpError::NotOpen));
            let mut stream = world.client.stream(id).unwrap();
            stream.write_with_ppi(&[DCEP_ACK], PayloadProtocolIdentifier::Dcep).unwrap();
            world.run(Duration::from_millis(50));
            assert_eq!(world.events.pop(), Some(SctpEvent::Opened(channel)));
            world.ours.send(channel, b"hello").unwrap();
            world.run(Duration::from_millis(50));
            assert_eq!(world.read(id).unwrap().1, b"hello");
        }
    }

    #[test]
    fn an_acknowledgement_of_what_was_not_opened_opens_nothing() {
        let mut world = World::new();
        world.open(1, &[DCEP_ACK]);
        assert_eq!(world.events, []);
        assert_eq!(world.ours.send(DataChannel::Reliable, b"x"), Err(SctpError::NotOpen));
    }

    #[test]
    fn what_is_held_stays_with_its_sender_and_comes_in_order_afterwards() {
        let mut world = World::new();
        world.open(0, &open_message(0, 0, "_reliable"));
        world.open(2, &open_message(0x81, 0, "_lossy"));
        world.events.clear();
        world.ours.hold(true);
        let sent: Vec<Vec<u8>> = (0..100).map(|number| vec![number; 50_000]).collect();
        for message in &sent {
            let mut stream = world.client.stream(0).unwrap();
            stream.write_with_ppi(message, PayloadProtocolIdentifier::Binary).unwrap();
        }
        world.run(Duration::from_secs(3));
        assert_eq!(world.events, []);
        let kept = world.client.stream(0).unwrap().buffered_amount().unwrap();
        assert!(kept >= 3_500_000, "{kept} bytes are still the sender's");
        // Two messages are read, then it is held again.
        world.ours.hold(false);
        for message in &sent[..2] {
            assert!(world.ours.read_on());
            assert_eq!(
                world.ours.poll_event(),
                Some(SctpEvent::Data(DataChannel::Reliable, message.clone()))
            );
        }
        world.ours.hold(true);
        assert!(!world.ours.read_on() && world.ours.poll_event().is_none());
        world.ours.hold(false);
        let mut read = 2;
        for _ in 0..2000 {
            while world.ours.read_on() {
                assert_eq!(
                    world.ours.poll_event(),
                    Some(SctpEvent::Data(DataChannel::Reliable, sent[read].clone()))
                );
                read += 1;
            }
            world.run(Duration::from_millis(10));
            for event in std::mem::take(&mut world.events) {
                assert_eq!(event, SctpEvent::Data(DataChannel::Reliable, sent[read].clone()));
                read += 1;
            }
        }
        assert_eq!(read, sent.len());
    }

    #[test]
    fn a_message_above_the_announced_size_ends_the_data_channels_only() {
        let mut world = World::new();
        world.open(0, &open_message(0, 0, "_reliable"));
        let mut stream = world.client.stream(0).unwrap();
        stream.write(&vec![0; MAX_MESSAGE as usize + 1]).unwrap();
        world.run(Duration::from_secs(5));
        assert_eq!(world.events[1..], [SctpEvent::Rejected(SctpError::Lost)]);
        assert_eq!(world.ours.send(DataChannel::Reliable, b"x"), Err(SctpError::Lost));
        assert_eq!(world.ours.poll_timeout(), None);
    }

    #[test]
    fn malformed_openings_are_refused_and_the_association_goes_on() {
        let mut world = World::new();
        let good = open_message(0x81, 0, "_lossy");
        let mut id = 0;
        for message in
            [&good[..11], &good[..good.len() - 1], &[DCEP_OPEN], &open_message(3, 0, "_lossy"), &[9; 40]]
        {
            world.open(id, message);
            assert_eq!(world.events.pop(), Some(SctpEvent::Rejected(SctpError::MalformedOpen)));
            id += 2;
        }
        world.open(id, &good);
        assert_eq!(world.events, [SctpEvent::Opened(DataChannel::Lossy)]);
    }

    #[test]
    fn the_newest_channel_of_a_label_is_the_one_in_use() {
        let mut world = World::new();
        world.open(0, &open_message(0, 0, "_reliable"));
        world.open(2, &open_message(0, 0, "_reliable"));
        assert_eq!(world.read(2).unwrap().1, [DCEP_ACK]);
        world.ours.send(DataChannel::Reliable, b"here").unwrap();
        world.run(Duration::from_millis(100));
        assert_eq!(world.read(2).unwrap().1, b"here");
    }

    #[test]
    fn the_byte_that_stands_for_an_empty_message_is_not_delivered() {
        let mut world = World::new();
        world.open(0, &open_message(0, 0, "_reliable"));
        let mut stream = world.client.stream(0).unwrap();
        stream.write_with_ppi(&[0], PayloadProtocolIdentifier::BinaryEmpty).unwrap();
        world.run(Duration::from_millis(100));
        assert_eq!(world.events[1..], [SctpEvent::Data(DataChannel::Reliable, Vec::new())]);
    }

    #[test]
    fn streams_are_bounded() {
        let mut world = World::new();
        for id in 0..=MAX_STREAMS as StreamId {
            world.open(id, &open_message(0, 0, "whatever"));
        }
        assert_eq!(world.events, [SctpEvent::Rejected(SctpError::TooManyStreams)]);
    }

    #[test]
    fn a_second_association_is_not_begun() {
        let mut world = World::new();
        world.open(0, &open_message(0, 0, "_reliable"));
        for _ in 0..50 {
            let config = ClientConfig::new();
            let mut other = Endpoint::new(Arc::new(EndpointConfig::new()), None);
            let (_, mut client) = other.connect(config, PEER).unwrap();
            let transmit = client.poll_transmit(world.now).unwrap();
            let Payload::RawEncode(packets) = transmit.payload else { panic!("an INIT") };
            world.ours.handle(world.now, &packets[0]);
        }
        world.ours.send(DataChannel::Reliable, b"still").unwrap();
        world.run(Duration::from_millis(100));
        assert_eq!(world.read(0).unwrap().1, [DCEP_ACK]);
        assert_eq!(world.read(0).unwrap().1, b"still");
    }

    proptest! {
        #[test]
        fn openings_are_read_as_written(
            unordered in any::<bool>(),
            kind in 0u8..3,
            value in any::<u32>(),
            label in "[a-z_]{0,20}",
        ) {
            let message = open_message(kind | u8::from(unordered) << 7, value, &label);
            let open = Open::parse(&message).unwrap();
            prop_assert_eq!((open.unordered, open.value, open.label), (unordered, value, label.as_bytes()));
            prop_assert_eq!(open.reliability, ReliabilityType::from(kind));
        }

        #[test]
        fn arbitrary_openings_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Open::parse(&bytes);
        }

        /// Whatever a client that holds the DTLS keys sends: nothing panics.
        #[test]
        fn arbitrary_packets_never_panic(
            chunks in prop::collection::vec(
                (0u8..20, any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 1..6,
            ),
            established in any::<bool>(),
        ) {
            let mut world = World::new();
            let mut tag = [0; 4];
            if established {
                // The tag our end chose stands in every packet of the client.
                let mut stream = world.client.open_stream(0, PayloadProtocolIdentifier::Binary).unwrap();
                stream.write(b"x").unwrap();
                let transmit = world.client.poll_transmit(world.now).unwrap();
                let Payload::RawEncode(packets) = transmit.payload else { panic!("a packet") };
                tag.copy_from_slice(&packets[0][4..8]);
            }
            let mut packet = vec![0x13, 0x88, 0x13, 0x88];
            packet.extend_from_slice(&tag);
            packet.extend_from_slice(&[0; 4]);
            for (kind, flags, mut value) in chunks {
                packet.extend_from_slice(&[kind, flags]);
                packet.extend_from_slice(&(value.len() as u16 + 4).to_be_bytes());
                value.resize(value.len().next_multiple_of(4), 0);
                packet.extend_from_slice(&value);
            }
            let checksum = crc32c(&packet);
            packet[8..12].copy_from_slice(&checksum.to_le_bytes());
            world.ours.handle(world.now, &packet);
            for _ in 0..10 {
                world.now += Duration::from_secs(1);
                world.ours.handle_timeout(world.now);
                let _: Result<(), ()> = world.ours.poll_transmit(world.now, |_| Ok(()));
            }
        }
    }

    /// The checksum of RFC 9260 §A.
    fn crc32c(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
            })
        })
    }
}
