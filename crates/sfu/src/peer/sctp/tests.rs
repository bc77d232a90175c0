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
        assert_eq!(world.ours.poll_event(), Some(SctpEvent::Data(DataChannel::Reliable, message.clone())));
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
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}
