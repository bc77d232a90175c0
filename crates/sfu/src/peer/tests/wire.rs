//! A virtual wire with a delay between one transport and one `str0m` client, in virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::config::{DtlsCert, DtlsVersion, Fingerprint as ClientFingerprint};
use str0m::ice::IceCreds;
use str0m::media::{MediaKind, Mid, Rid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::Ssrc;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::batch::SendBatch;
use crate::config::Config;
use crate::peer::sdp::{HashAlgorithm, Setup};
use crate::peer::transport::*;
use crate::test_start;

/// One-way delay of the wire.
pub(super) const DELAY: Duration = Duration::from_millis(5);
pub(super) const AUDIO: u32 = 1111;
pub(super) const VIDEO: u32 = 2222;
pub(super) const FROM_SERVER: u32 = 3333;

/// A datagram under way.
#[derive(Clone, Debug)]
pub(super) struct Flying {
    pub(super) arrives: Instant,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// What a filter does to a datagram: keep it, or lose it.
pub(super) type Filter = Box<dyn FnMut(&mut Flying) -> bool>;

/// Both ends and the wire between them.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) shared: Arc<Shared>,
    pub(super) server: Transport,
    pub(super) client: Rtc,
    pub(super) server_address: SocketAddr,
    pub(super) client_address: SocketAddr,
    pub(super) to_server: VecDeque<Flying>,
    pub(super) to_client: VecDeque<Flying>,
    /// Decides on each datagram to the server and to the client.
    pub(super) up: Filter,
    pub(super) down: Filter,
    /// The client does nothing any more, without a word.
    pub(super) client_is_gone: bool,
    pub(super) server_events: Vec<TransportEvent>,
    pub(super) client_events: Vec<Event>,
    pub(super) rtp: Vec<Vec<u8>>,
    pub(super) rtcp: Vec<Vec<u8>>,
    pub(super) errors: Vec<TransportError>,
    pub(super) batch: SendBatch,
    pub(super) reliable: ChannelId,
    pub(super) lossy: ChannelId,
    client_due: Instant,
}

pub(super) fn seeded(mut state: u64) -> impl FnMut(&mut [u8]) + Send {
    move |bytes: &mut [u8]| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
    }
}

pub(super) fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(&Config::default()).unwrap())
}

/// What `str0m` says of itself, as an offer would.
pub(super) fn remote_of(client: &mut Rtc) -> RemoteParameters {
    let api = client.direct_api();
    let credentials = api.local_ice_credentials();
    let fingerprint = api.local_dtls_fingerprint().bytes.clone();
    RemoteParameters {
        ufrag: credentials.ufrag,
        pwd: credentials.pass,
        fingerprint: Fingerprint::new(HashAlgorithm::Sha256, fingerprint),
        setup: Setup::ActPass,
    }
}

impl World {
    /// Both ends know each other; nothing has been sent.
    pub(super) fn new() -> Self {
        Self::with_certificate(None)
    }

    /// The same with a client that has this certificate.
    pub(super) fn with_certificate(certificate: Option<DtlsCert>) -> Self {
        let now = test_start();
        let shared = shared();
        let local = IceCredentials::generate(3, &mut seeded(7));
        let mut server = Transport::new(&shared, local.clone(), now);
        let server_address: SocketAddr = ([192, 0, 2, 1], 7880).into();
        let client_address: SocketAddr = ([198, 51, 100, 7], 40_000).into();

        let mut config = RtcConfig::new()
            .set_rtp_mode(true)
            .set_dtls_version(DtlsVersion::Dtls12)
            .set_sctp_max_buffered_amount(1 << 20);
        if let Some(certificate) = certificate {
            config = config.set_dtls_cert(certificate);
        }
        let mut client = config.build(now);
        client.add_local_candidate(Candidate::host(client_address, "udp").unwrap()).unwrap();
        client.add_remote_candidate(Candidate::host(server_address, "udp").unwrap());
        let mut api = client.direct_api();
        api.set_remote_fingerprint(client_fingerprint(shared.fingerprint()));
        api.set_remote_ice_credentials(IceCreds { ufrag: local.ufrag, pass: local.pwd });
        api.set_ice_controlling(true);
        api.start_dtls(true).unwrap();
        api.start_sctp(true);
        let reliable =
            api.create_data_channel(ChannelConfig { label: "_reliable".into(), ..ChannelConfig::default() });
        let lossy = api.create_data_channel(ChannelConfig {
            label: "_lossy".into(),
            ordered: false,
            reliability: Reliability::MaxRetransmits { retransmits: 0 },
            ..ChannelConfig::default()
        });
        let audio = Mid::from("aud");
        api.declare_media(audio, MediaKind::Audio);
        api.declare_stream_tx(Ssrc::from(AUDIO), None, audio, None::<Rid>);
        api.expect_stream_rx(Ssrc::from(FROM_SERVER), None, audio, None);
        let video = Mid::from("vid");
        api.declare_media(video, MediaKind::Video);
        api.declare_stream_tx(Ssrc::from(VIDEO), None, video, None::<Rid>);

        server.set_remote(now, remote_of(&mut client)).unwrap();
        Self {
            now,
            start: now,
            shared,
            server,
            client,
            server_address,
            client_address,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            up: Box::new(|_| true),
            down: Box::new(|_| true),
            client_is_gone: false,
            server_events: Vec::new(),
            client_events: Vec::new(),
            rtp: Vec::new(),
            rtcp: Vec::new(),
            errors: Vec::new(),
            batch: SendBatch::new(),
            reliable,
            lossy,
            client_due: now,
        }
    }

    /// A world in which both ends are connected and both channels open.
    pub(super) fn connected() -> Self {
        let mut world = Self::new();
        world.run_until("both ends are connected", Duration::from_secs(5), |world| {
            world.server.is_connected()
                && world.client.is_connected()
                && world.server.is_channel_open(DataChannel::Reliable)
                && world.server.is_channel_open(DataChannel::Lossy)
                && world.client.channel(world.reliable).is_some()
                && world.client.channel(world.lossy).is_some()
        });
        world
    }

    /// Loses this share of datagrams, both ways.
    pub(super) fn lose(&mut self, percent: u8, seed: u64) {
        let mut up = seeded(seed);
        let mut down = seeded(seed + 1);
        let keep = move |random: &mut dyn FnMut(&mut [u8])| {
            let mut byte = [0];
            random(&mut byte);
            u16::from(byte[0]) * 100 / 256 >= u16::from(percent)
        };
        self.up = Box::new(move |_| keep(&mut up));
        self.down = Box::new(move |_| keep(&mut down));
    }

    /// Takes everything out of both ends and puts it onto the wire.
    pub(super) fn drain(&mut self) {
        while !self.client_is_gone {
            match self.client.poll_output().expect("the client goes on") {
                Output::Timeout(due) => {
                    self.client_due = due;
                    break;
                }
                Output::Transmit(transmit) => {
                    let mut flying = Flying {
                        arrives: self.now + DELAY,
                        source: transmit.source,
                        destination: transmit.destination,
                        bytes: transmit.contents.to_vec(),
                    };
                    if (self.up)(&mut flying) {
                        self.to_server.push_back(flying);
                    }
                }
                Output::Event(event) => self.client_events.push(event),
            }
        }
        while let Some(event) = self.server.poll_event() {
            self.server_events.push(event);
        }
        self.server.poll_transmit(self.now, &mut self.batch);
        for run in self.batch.transmits() {
            for bytes in self.batch.bytes(run).chunks(run.segment_size) {
                assert!(bytes.len() <= 1232, "{} bytes do not fit every path", bytes.len());
                let source = run.source.map_or(self.server_address, |ip| (ip, 7880).into());
                let mut flying = Flying {
                    arrives: self.now + DELAY,
                    source,
                    destination: run.destination,
                    bytes: bytes.to_vec(),
                };
                if (self.down)(&mut flying) {
                    self.to_client.push_back(flying);
                }
            }
        }
        self.batch.clear();
    }

    /// Lets virtual time pass until both ends have nothing to do before `until`.
    pub(super) fn run_to(&mut self, until: Instant) {
        loop {
            self.drain();
            let due = [
                self.to_server.front().map(|flying| flying.arrives),
                self.to_client.front().map(|flying| flying.arrives),
                self.server.poll_timeout(),
                (!self.client_is_gone).then_some(self.client_due),
            ];
            let Some(next) = due.into_iter().flatten().min().filter(|next| *next <= until) else {
                self.now = until;
                return;
            };
            let next = next.max(self.now);
            self.now = next;
            while let Some(flying) = self.to_server.pop_front_if(|flying| flying.arrives <= next) {
                self.deliver(flying);
            }
            while let Some(flying) = self.to_client.pop_front_if(|flying| flying.arrives <= next) {
                let received = Receive::new(Protocol::Udp, flying.source, flying.destination, &flying.bytes);
                self.client
                    .handle_input(Input::Receive(next, received.unwrap()))
                    .expect("the client goes on");
                self.drain();
            }
            if self.server.poll_timeout().is_some_and(|at| at <= next) {
                self.server.handle_timeout(next);
            }
            if !self.client_is_gone && self.client_due <= next {
                self.client.handle_input(Input::Timeout(next)).expect("the client goes on");
                self.client_due = next + Duration::from_millis(1);
            }
        }
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        self.run_to(self.now + time);
    }

    /// Runs in steps until the condition holds.
    pub(super) fn run_until(
        &mut self,
        what: &str,
        within: Duration,
        mut condition: impl FnMut(&mut Self) -> bool,
    ) {
        let end = self.now + within;
        while !condition(self) {
            assert!(
                self.now < end,
                "not within {within:?}: {what}; {:?} {:?}",
                self.server_events,
                self.errors
            );
            self.run_for(Duration::from_millis(1));
        }
    }

    /// Gives one datagram to the server.
    pub(super) fn deliver(&mut self, mut flying: Flying) {
        let result =
            self.server.handle_datagram(self.now, flying.source, flying.destination.ip(), &mut flying.bytes);
        match result {
            Ok(Received::Nothing) => {}
            Ok(Received::Rtp(packet)) => self.rtp.push(packet.to_vec()),
            Ok(Received::Rtcp(packet)) => self.rtcp.push(packet.to_vec()),
            Err(error) => self.errors.push(error),
        }
    }

    pub(super) fn data(&self) -> Vec<(DataChannel, Vec<u8>)> {
        let data = self.server_events.iter().filter_map(|event| match event {
            TransportEvent::Data(channel, data) => Some((*channel, data.clone())),
            _ => None,
        });
        data.collect()
    }

    pub(super) fn client_data(&self) -> Vec<(ChannelId, Vec<u8>)> {
        let data = self.client_events.iter().filter_map(|event| match event {
            Event::ChannelData(data) => Some((data.id, data.data.clone())),
            _ => None,
        });
        data.collect()
    }

    pub(super) fn client_rtp(&self) -> Vec<&str0m::rtp::RtpPacket> {
        let packets = self.client_events.iter().filter_map(|event| match event {
            Event::RtpPacket(packet) => Some(packet),
            _ => None,
        });
        packets.collect()
    }
}

fn client_fingerprint(text: &str) -> ClientFingerprint {
    let (hash, digits) = text.split_once(' ').unwrap();
    ClientFingerprint { hash_func: hash.to_owned(), bytes: super::hex(digits) }
}
