//! A core with a meeting in it: publishers with one picture track each, subscribers that get every track.
//! Packets are sealed beforehand; what is measured is what a worker does: hand in what arrived, poll. Subscribers
//! report what arrives as browsers do (transport-wide feedback), so estimator, pacer and allocator work as in a call;
//! the line is faster than what is sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use protocol::ids::{Identity, RoomName, SessionId};
use protocol::livekit;
use rtp::extension::ExtensionKind;
use rtp::twcc::ArrivalRecorder;
use sfu::Sfu;
use sfu::bandwidth::estimator::Settings;
use sfu::batch::{SendBatch, Transmit};
use sfu::command::{Command, Join, Keyed, SessionCommand};
use sfu::config::Config;
use sfu::event::{Event, SessionEvent};
use sfu::io::{Datagram, Input, Output};
use sfu::peer::keying::SrtpKeys;
use sfu::peer::srtp::{SrtpReceiver, SrtpSender};
use sfu::peer::transport::{Shared, SrtpProfile};
use sim::codec::Codec;
use sim::description::{Dialect, Medium, Published, Purpose, Section, read_answer, write_offer};
use sim::wire::{Block, Rtp, RtpHeader, write_receiver_reports};

/// New pictures wait for about this long for the answer that announces them.
const ANSWERED: Duration = Duration::from_secs(1);

/// What browsers get from us, so what is measured.
const PROFILE: SrtpProfile = SrtpProfile::AeadAes256Gcm;
/// Packets of one picture, which arrive together.
pub(crate) const BURST: usize = 4;
/// Time between two pictures of one publisher.
const PICTURE: Duration = Duration::from_millis(33);
/// Time between two reports of what arrived: what one round lasts at most.
const REPORT: Duration = Duration::from_millis(100);
/// What the line takes, in bit/s: fifty pictures and more.
const LINE: u64 = 1_000_000_000;

struct Publisher {
    address: SocketAddr,
    sender: SrtpSender,
    header: RtpHeader,
    sequence: u64,
    transport: (u8, u16),
    payload: Vec<u8>,
}

struct Subscriber {
    address: SocketAddr,
    session: SessionId,
    dialect: Dialect,
    sections: Vec<Section>,
    offers: u32,
    sender: SrtpSender,
    receiver: SrtpReceiver,
    sources: Vec<u32>,
    arrivals: ArrivalRecorder,
    /// Transport-wide number of the newest packet that arrived.
    newest: Option<u16>,
}

/// Packets that left for a subscriber together, so with consecutive transport-wide numbers.
struct Left {
    address: SocketAddr,
    at: Instant,
    /// The beginning of the first.
    head: [u8; 64],
    count: u16,
}

/// See the module's description.
pub(crate) struct Meeting {
    core: Sfu,
    now: Instant,
    due: Option<Instant>,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    pause: Duration,
    rng: Rng,
    /// Datagrams of the next round, in order of arrival: publisher and bytes.
    arriving: Vec<(usize, Vec<u8>)>,
    /// Subscribers' reports of the last round, which arrive before.
    reports: Vec<(SocketAddr, Vec<u8>)>,
    /// What left in the last round.
    left: Vec<Left>,
    refused: u64,
    /// Kept between rounds, as a worker keeps its own.
    batch: SendBatch,
    /// Which publisher's picture comes next.
    turn: usize,
}

impl Meeting {
    /// A meeting in which every subscriber gets one track of each publisher. `payload` is in bytes.
    pub(crate) fn new(
        publishers: &[SocketAddr],
        subscribers: &[SocketAddr],
        payload: usize,
    ) -> Result<Self, String> {
        let tracks = publishers.len();
        let mut config = Config::default();
        config.limits.participants = publishers.len() + subscribers.len();
        config.bandwidth = Settings { start: LINE, max: LINE, ..Settings::default() };
        let shared = Shared::new(&config).map_err(|error| error.to_string())?;
        let mut rng = Rng::with_seed(7);
        let mut randomness = rng.fork();
        let now = Instant::now();
        let random = Box::new(move |bytes: &mut [u8]| randomness.fill(bytes));
        let mut meeting = Self {
            core: Sfu::new(now, config, Arc::new(shared), random),
            now,
            due: None,
            publishers: Vec::new(),
            subscribers: Vec::new(),
            pause: PICTURE / u32::try_from(tracks).unwrap_or(1),
            rng,
            arriving: Vec::new(),
            reports: Vec::new(),
            left: Vec::new(),
            refused: 0,
            batch: SendBatch::new(),
            turn: 0,
        };
        for (number, address) in publishers.iter().enumerate() {
            meeting.add_publisher(number, *address, payload)?;
        }
        for (number, address) in subscribers.iter().enumerate() {
            meeting.add_subscriber(tracks + number, *address, tracks)?;
        }
        meeting.settle()?;
        Ok(meeting)
    }

    fn join(
        &mut self,
        number: usize,
        remote: SocketAddr,
        permission: livekit::ParticipantPermission,
        offer: String,
    ) -> SrtpKeys {
        let mut fill = self.rng.fork();
        let keys = SrtpKeys::generate(&mut move |bytes: &mut [u8]| fill.fill(bytes));
        let offer = livekit::SessionDescription {
            r#type: "offer".to_owned(),
            sdp: offer,
            id: 1,
            ..Default::default()
        };
        let add_tracks = permission.can_publish.then(|| livekit::AddTrackRequest {
            cid: format!("cid-{number}"),
            r#type: livekit::TrackType::Video.into(),
            ..Default::default()
        });
        let add_tracks = add_tracks.into_iter().collect();
        let join = Join {
            session: SessionId(number as u64),
            room: RoomName::new("bench"),
            identity: Identity::new(format!("p{number}")),
            name: String::new(),
            metadata: String::new(),
            attributes: Default::default(),
            permission,
            kind: livekit::participant_info::Kind::Standard,
            client: livekit::ClientInfo::default(),
            auto_subscribe: true,
            offer: Some(offer),
            add_tracks,
            now_unix_ms: 0,
            room_settings: None,
            mode: protocol::api::Mode::Mls,
            two_connections: false,
            keyed: Some(Box::new(Keyed { remote, profile: PROFILE, keys: keys.clone(), publisher: None })),
        };
        self.core.handle(self.now, Input::Command(Command::Join(Box::new(join))));
        keys.mirrored()
    }

    fn add_publisher(&mut self, number: usize, address: SocketAddr, payload: usize) -> Result<(), String> {
        let dialect = Dialect::random(&mut self.rng, &Codec::ALL, false);
        let ssrc = self.rng.u32(1..);
        let published = Published {
            number: 0,
            cid: format!("cid-{number}"),
            codec: Codec::Vp8,
            rids: Vec::new(),
            ssrc: Some((ssrc, Some(ssrc ^ 1))),
        };
        let section =
            Section { mid: "0".to_owned(), medium: Medium::Video, purpose: Purpose::Publish(published) };
        let permission = livekit::ParticipantPermission { can_publish: true, ..Default::default() };
        let keys = self.join(number, address, permission, write_offer(&dialect, &[section], 1));
        let id = |kind| dialect.id(kind).unwrap_or_default();
        let header = RtpHeader {
            marker: false,
            payload_type: dialect.payload_type(Codec::Vp8).map_or(0, |types| types.media),
            sequence: 0,
            timestamp: 0,
            ssrc,
            padding: false,
            extensions: vec![
                (id(ExtensionKind::TransportCc), vec![0, 0]),
                (id(ExtensionKind::AbsSendTime), vec![1, 2, 3]),
            ],
        };
        // VP8's descriptor with picture id and TL0PICIDX, a key frame's first byte, then anything.
        let mut bytes = vec![0x90, 0xE0, 0x80, 0x01, 0x00, 0x20, 0x10];
        bytes.resize(payload, 0x5a);
        let sender = SrtpSender::new(PROFILE, &keys.local).map_err(|error| error.to_string())?;
        let transport = (header.extensions[0].0, 0);
        self.publishers.push(Publisher { address, sender, header, sequence: 100, transport, payload: bytes });
        Ok(())
    }

    fn add_subscriber(&mut self, number: usize, address: SocketAddr, tracks: usize) -> Result<(), String> {
        let dialect = Dialect::random(&mut self.rng, &Codec::ALL, false);
        let sections: Vec<Section> = (0..tracks)
            .map(|mid| Section { mid: mid.to_string(), medium: Medium::Video, purpose: Purpose::Receive })
            .collect();
        let permission = livekit::ParticipantPermission { can_subscribe: true, ..Default::default() };
        let keys = self.join(number, address, permission, write_offer(&dialect, &sections, 1));
        self.subscribers.push(Subscriber {
            address,
            session: SessionId(number as u64),
            dialect,
            sections,
            offers: 1,
            sender: SrtpSender::new(PROFILE, &keys.local).map_err(|error| error.to_string())?,
            receiver: SrtpReceiver::new(PROFILE, &keys.remote).map_err(|error| error.to_string())?,
            sources: Vec::new(),
            arrivals: ArrivalRecorder::new(),
            newest: None,
        });
        Ok(())
    }

    /// Signalling until nobody asks for anything, one picture of everybody, and a report of every subscriber,
    /// so that packets no longer name their sections: the state of a meeting that runs.
    fn settle(&mut self) -> Result<(), String> {
        let mut batch = SendBatch::new();
        self.poll(&mut batch)?;
        let answered = self.now + ANSWERED;
        while let Some(due) = self.due.filter(|due| *due <= answered) {
            self.now = self.now.max(due);
            self.core.handle(self.now, Input::Timeout);
            self.poll(&mut batch)?;
        }
        self.now = answered;
        self.prepare(self.publishers.len())?;
        let forwarded = self.run(|_| {});
        let expected = BURST * self.publishers.len() * self.subscribers.len();
        if forwarded != expected {
            return Err(format!("{forwarded} of {expected} packets forwarded, {} refused", self.refused));
        }
        self.reports.clear();
        for subscriber in &mut self.subscribers {
            for sources in subscriber.sources.clone().chunks(31) {
                let blocks: Vec<Block> =
                    sources.iter().map(|ssrc| Block { ssrc: *ssrc, ..Block::default() }).collect();
                let mut plain = Vec::new();
                write_receiver_reports(&mut plain, 1, &blocks);
                self.reports.push((subscriber.address, subscriber.seal(&plain)?));
            }
        }
        self.hand_reports();
        self.poll(&mut batch)
    }

    /// Hands in what subscribers report. What is handed in is freed later: a worker receives into memory of its own.
    fn hand_reports(&mut self) {
        for (source, payload) in &mut self.reports {
            let destination = std::net::Ipv4Addr::LOCALHOST.into();
            let datagram = Datagram { source: *source, destination, payload };
            self.core.handle(self.now, Input::Datagram(datagram));
        }
    }

    fn poll(&mut self, batch: &mut SendBatch) -> Result<(), String> {
        loop {
            match self.core.poll(self.now, batch) {
                Output::Event(Event::Session(session, event)) => self.hear(session, event)?,
                Output::Event(Event::Rejected(rejection)) => return Err(format!("refused: {rejection:?}")),
                Output::Event(_) => {}
                Output::Timeout(due) => {
                    self.due = due;
                    return Ok(());
                }
            }
        }
    }

    fn hear(&mut self, session: SessionId, event: SessionEvent) -> Result<(), String> {
        let Some(subscriber) = self.subscribers.iter_mut().find(|known| known.session == session) else {
            return Ok(());
        };
        match event {
            SessionEvent::Answer(answer) => {
                subscriber.sources =
                    read_answer(&answer.sdp)?.iter().filter_map(|section| section.ssrc).collect();
            }
            SessionEvent::MediaSectionsRequirement { .. } => {
                subscriber.offers += 1;
                let offer = livekit::SessionDescription {
                    r#type: "offer".to_owned(),
                    sdp: write_offer(&subscriber.dialect, &subscriber.sections, subscriber.offers),
                    id: subscriber.offers,
                    ..Default::default()
                };
                let command = Command::Session(session, SessionCommand::Offer(offer));
                self.core.handle(self.now, Input::Command(command));
            }
            _ => {}
        }
        Ok(())
    }

    /// Pictures of the longest round, after which subscribers report.
    pub(crate) fn longest_round(&self) -> usize {
        (REPORT.as_nanos() / self.pause.as_nanos().max(1)) as usize
    }

    /// Seals the pictures of the next round, one publisher after the other, and what subscribers report of the last.
    pub(crate) fn prepare(&mut self, pictures: usize) -> Result<(), String> {
        self.arriving.clear();
        self.reports.clear();
        for _ in 0..pictures {
            let number = self.turn;
            self.turn = (number + 1) % self.publishers.len();
            for index in 0..BURST {
                let datagram = self.publishers[number].seal(index);
                self.arriving.push((number, datagram));
            }
        }
        for left in self.left.drain(..) {
            let Some(subscriber) = self.subscribers.iter_mut().find(|known| known.address == left.address)
            else {
                continue;
            };
            let id = subscriber.dialect.id(ExtensionKind::TransportCc).unwrap_or_default();
            let first = left.number(id).ok_or("a packet without a transport-wide number")?;
            for number in (0..left.count).map(|offset| first.wrapping_add(offset)) {
                if subscriber.newest.is_some_and(|newest| newest.wrapping_add(1) != number) {
                    return Err(format!("packet {number} follows {:?}", subscriber.newest));
                }
                subscriber.newest = Some(number);
                subscriber.arrivals.record(number, left.at);
            }
        }
        for subscriber in &mut self.subscribers {
            while subscriber.arrivals.next_deadline().is_some_and(|due| due <= self.now) {
                let mut plain = Vec::new();
                if !subscriber.arrivals.write_feedback(self.now, 1, 1, &mut plain) {
                    break;
                }
                self.reports.push((subscriber.address, subscriber.seal(&plain)?));
            }
        }
        Ok(())
    }

    /// Packets that the prepared round forwards.
    pub(crate) fn forwarded_by_round(&self) -> usize {
        self.arriving.len() * self.subscribers.len()
    }

    /// Hands in what is prepared, picture by picture, polls after each, and gives every batch to `leave`.
    /// Returns the number of sealed datagrams that are forwarded media (by their length).
    pub(crate) fn run(&mut self, mut leave: impl FnMut(&SendBatch)) -> usize {
        let mut batch = std::mem::take(&mut self.batch);
        let mut forwarded = 0;
        let mut arriving = std::mem::take(&mut self.arriving);
        self.hand_reports();
        for picture in arriving.chunks_mut(BURST) {
            self.now += self.pause;
            while self.due.is_some_and(|due| due <= self.now) {
                self.core.handle(self.now, Input::Timeout);
                self.refused += u64::from(self.poll(&mut batch).is_err());
            }
            for (number, payload) in picture {
                let source = self.publishers[*number].address;
                let destination = std::net::Ipv4Addr::LOCALHOST.into();
                self.core.handle(self.now, Input::Datagram(Datagram { source, destination, payload }));
            }
            self.refused += u64::from(self.poll(&mut batch).is_err());
            leave(&batch);
            for transmit in batch.transmits() {
                if transmit.segment_size > 1000 {
                    forwarded += transmit.segments();
                }
                self.left.extend(Left::new(&batch, transmit, self.now));
            }
            batch.clear();
        }
        self.arriving = arriving;
        self.batch = batch;
        forwarded
    }

    /// Opens what left for a subscriber: it must be the payload that was published.
    pub(crate) fn verify(&mut self) -> Result<(), String> {
        self.turn = 0;
        self.prepare(1)?;
        let expected = self.publishers[0].payload.clone();
        let mut sealed = Vec::new();
        let address = self.subscribers[0].address;
        self.run(|batch| {
            for transmit in batch.transmits().iter().filter(|transmit| transmit.destination == address) {
                sealed.extend(batch.bytes(transmit).chunks(transmit.segment_size).map(<[u8]>::to_vec));
            }
        });
        let receiver = &mut self.subscribers[0].receiver;
        let media = sealed.iter_mut().filter(|datagram| datagram.len() > 1000);
        let count = media
            .map(|datagram| receiver.open_rtp(datagram).is_ok_and(|packet| packet.ends_with(&expected[16..])))
            .filter(|is_right| *is_right)
            .count();
        (count == BURST).then_some(()).ok_or(format!("{count} of {BURST} packets are right"))
    }
}

impl Subscriber {
    fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, String> {
        let mut sealed = vec![0; 1500];
        let length = self.sender.seal_rtcp(&mut sealed, plain).map_err(|error| error.to_string())?;
        sealed.truncate(length);
        Ok(sealed)
    }
}

impl Left {
    /// The packets of a transmit, unless they are RTCP (RFC 5761 §4) or not protected at all. Reads no more than that:
    /// it is part of what is measured.
    fn new(batch: &SendBatch, transmit: &Transmit, at: Instant) -> Option<Self> {
        let head = *batch.bytes(transmit).first_chunk()?;
        let is_media = matches!(head[0], 128..=191) && !matches!(head[1], 192..=223);
        let count = u16::try_from(transmit.segments()).ok()?;
        is_media.then_some(Self { address: transmit.destination, at, head, count })
    }

    /// Transport-wide number of the first.
    fn number(&self, id: u8) -> Option<u16> {
        let mut head = self.head;
        head[0] &= !0x20; // padding cannot be seen before the packet is opened
        Some(u16::from_be_bytes(Rtp::read(&head)?.extension(id)?.try_into().ok()?))
    }
}

impl Publisher {
    fn seal(&mut self, index: usize) -> Vec<u8> {
        self.sequence += 1;
        self.transport.1 = self.transport.1.wrapping_add(1);
        self.header.sequence = self.sequence as u16;
        self.header.marker = index + 1 == BURST;
        if index == 0 {
            self.header.timestamp = self.header.timestamp.wrapping_add(3000);
        }
        self.header.extensions[0].1 = self.transport.1.to_be_bytes().to_vec();
        // Only the first packet of a picture begins a partition; a key frame only comes once.
        self.payload[0] = if index == 0 { 0x90 } else { 0x80 };
        self.payload[6] = u8::from(self.sequence > 101) | 0x10;
        let header = self.header.bytes();
        let mut out = vec![0; 1500];
        let written = self.sender.seal_rtp(&mut out, self.sequence, &[], &self.payload, |out| {
            out.get_mut(..header.len()).ok_or(())?.copy_from_slice(&header);
            Ok::<_, ()>(header.len())
        });
        out.truncate(written.unwrap_or_default());
        out
    }
}
