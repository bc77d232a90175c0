//! Reliable data of two people whose signalling connections break and are resumed, and whose media path is dead meanwhile:
//! each message arrives once and in order. Both are `str0m` with ICE, DTLS and SCTP, in virtual time; what waits for a
//! resume and is sent again after it is as in LiveKit's clients.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use protocol::ids::{Identity, RoomName, SessionId};
use protocol::livekit;
use sfu::Sfu;
use sfu::batch::SendBatch;
use sfu::command::{Command, Join, Resume, SessionCommand};
use sfu::config::Config;
use sfu::event::{Event, SessionEvent};
use sfu::io::{Datagram, Input, Output};
use sfu::peer::transport::Shared;
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::config::{DtlsVersion, Fingerprint};
use str0m::ice::IceCreds;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Rtc, RtcConfig};

const MS: Duration = Duration::from_millis(1);
const DELAY: Duration = Duration::from_millis(15);
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 7880);

/// One of the two.
struct Person {
    session: u64,
    identity: &'static str,
    sid: String,
    address: SocketAddr,
    rtc: Rtc,
    reliable: ChannelId,
    due: Instant,
    is_open: bool,
    /// Nothing passes, either way.
    is_cut: bool,
    /// Everything that it said, by sequence number from 1 on.
    said: Vec<Vec<u8>>,
    /// How much of that it has handed to its channel: nothing while it is away.
    handed: usize,
    is_away: bool,
    heard: Vec<Vec<u8>>,
}

struct Flying {
    arrives: Instant,
    /// Whose datagram it is, and whether it goes to the core.
    person: usize,
    is_up: bool,
    bytes: Vec<u8>,
}

struct Meeting {
    now: Instant,
    core: Sfu,
    due: Option<Instant>,
    batch: SendBatch,
    people: Vec<Person>,
    flying: VecDeque<Flying>,
    refused: Vec<&'static str>,
    fingerprint: String,
    random: u64,
}

impl Meeting {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests run the core, so the time has to come from somewhere"
    )]
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let config = Config { candidates: vec![SERVER.into()], ..Config::default() };
        let shared = Arc::new(Shared::new(&config).expect("a certificate"));
        let fingerprint = shared.fingerprint().to_owned();
        let mut state = seed;
        let random = Box::new(move |bytes: &mut [u8]| bytes.fill_with(|| (next(&mut state) >> 56) as u8));
        Self {
            now,
            core: Sfu::new(now, config, shared, random),
            due: None,
            batch: SendBatch::new(),
            people: Vec::new(),
            flying: VecDeque::new(),
            refused: Vec::new(),
            fingerprint,
            random: seed,
        }
    }

    fn chance(&mut self, below: u64) -> u64 {
        (next(&mut self.random) >> 33) % below
    }

    fn join(&mut self, identity: &'static str) {
        let number = self.people.len();
        let address: SocketAddr = ([198, 51, 100, 7], 40_000 + number as u16).into();
        let mut rtc = RtcConfig::new().set_dtls_version(DtlsVersion::Dtls12).build(self.now);
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("an address")).expect("the first");
        rtc.add_remote_candidate(Candidate::host(SERVER.into(), "udp").expect("an address"));
        let mut api = rtc.direct_api();
        let offer = offer(&api.local_ice_credentials(), &api.local_dtls_fingerprint().bytes);
        api.set_ice_controlling(true);
        let (hash, digits) = self.fingerprint.split_once(' ').expect("a hash and its value");
        let bytes = digits.split(':').map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal"));
        api.set_remote_fingerprint(Fingerprint { hash_func: hash.to_owned(), bytes: bytes.collect() });
        let config = ChannelConfig { label: "_reliable".into(), ..ChannelConfig::default() };
        let reliable = api.create_data_channel(config);
        self.people.push(Person {
            session: number as u64,
            identity,
            sid: String::new(),
            address,
            rtc,
            reliable,
            due: self.now,
            is_open: false,
            is_cut: false,
            said: Vec::new(),
            handed: 0,
            is_away: false,
            heard: Vec::new(),
        });
        let permission = livekit::ParticipantPermission { can_publish_data: true, ..Default::default() };
        self.command(Command::Join(Box::new(Join {
            session: SessionId(number as u64),
            room: RoomName::new("r"),
            identity: Identity::new(identity.to_owned()),
            name: String::new(),
            metadata: String::new(),
            attributes: Default::default(),
            permission,
            kind: livekit::participant_info::Kind::Standard,
            room_settings: None,
            mode: protocol::api::Mode::Mls,
            client: Default::default(),
            auto_subscribe: true,
            offer: Some(livekit::SessionDescription { sdp: offer, ..Default::default() }),
            add_tracks: Vec::new(),
            now_unix_ms: 0,
            two_connections: false,
            keyed: None,
        })));
    }

    fn command(&mut self, command: Command) {
        self.core.handle(self.now, Input::Command(command));
        self.poll();
    }

    fn poll(&mut self) {
        loop {
            match self.core.poll(self.now, &mut self.batch) {
                Output::Event(Event::Session(SessionId(session), event)) => self.hear(session, event),
                Output::Event(Event::Rejected(rejection)) => self.refused.push(rejection.code),
                Output::Event(_) => {}
                Output::Timeout(due) => {
                    self.due = due;
                    break;
                }
            }
        }
        for run in self.batch.transmits() {
            let person = self.people.iter().position(|person| person.address == run.destination);
            let person = person.expect("nobody else is there");
            for bytes in self.batch.bytes(run).chunks(run.segment_size) {
                let arrives = self.now + DELAY;
                self.flying.push_back(Flying { arrives, person, is_up: false, bytes: bytes.to_vec() });
            }
        }
        self.batch.clear();
    }

    fn hear(&mut self, session: u64, event: SessionEvent) {
        let Some(person) = self.people.iter_mut().find(|person| person.session == session) else { return };
        match event {
            SessionEvent::Joined(joined) => person.sid = joined.participant.sid,
            SessionEvent::Answer(answer) => {
                let line =
                    |name| answer.sdp.lines().find_map(|line| line.strip_prefix(name)).expect("is there");
                let creds =
                    IceCreds { ufrag: line("a=ice-ufrag:").to_owned(), pass: line("a=ice-pwd:").to_owned() };
                let mut api = person.rtc.direct_api();
                api.set_remote_ice_credentials(creds);
                api.start_dtls(true).expect("once");
                api.start_sctp(true);
            }
            SessionEvent::Reconnected(reconnected) => {
                // What the server has not had is sent again, and then what waited.
                person.handed = (reconnected.last_message_seq as usize).min(person.handed);
                person.is_away = false;
            }
            SessionEvent::Leave(leave) => panic!("{} has to leave: {leave:?}", person.identity),
            _ => {}
        }
    }

    /// Lets a millisecond pass.
    fn step(&mut self) {
        self.now += MS;
        for person in 0..self.people.len() {
            self.drain(person);
        }
        let mut later = VecDeque::new();
        while let Some(mut flying) = self.flying.pop_front() {
            if flying.arrives > self.now {
                later.push_back(flying);
                continue;
            }
            let person = &mut self.people[flying.person];
            if person.is_cut {
                continue;
            }
            if flying.is_up {
                let destination = SocketAddr::from(SERVER).ip();
                let payload = &mut flying.bytes;
                let datagram = Datagram { source: person.address, destination, payload };
                self.core.handle(self.now, Input::Datagram(datagram));
                self.poll();
            } else {
                let received = Receive::new(Protocol::Udp, SERVER.into(), person.address, &flying.bytes);
                let input = str0m::Input::Receive(self.now, received.expect("a datagram"));
                person.rtc.handle_input(input).expect("the client goes on");
            }
        }
        later.append(&mut self.flying);
        self.flying = later;
        if self.due.is_some_and(|due| due <= self.now) {
            self.core.handle(self.now, Input::Timeout);
            self.poll();
        }
    }

    fn drain(&mut self, number: usize) {
        let person = &mut self.people[number];
        while person.is_open && !person.is_away && person.handed < person.said.len() {
            let mut channel = person.rtc.channel(person.reliable).expect("it is open");
            if !channel.write(true, &person.said[person.handed]).expect("it is open") {
                break; // it is full for now
            }
            person.handed += 1;
        }
        if person.due <= self.now {
            person.rtc.handle_input(str0m::Input::Timeout(self.now)).expect("the client goes on");
        }
        loop {
            match person.rtc.poll_output().expect("the client goes on") {
                str0m::Output::Timeout(due) => {
                    person.due = due;
                    break;
                }
                str0m::Output::Transmit(transmit) => self.flying.push_back(Flying {
                    arrives: self.now + DELAY,
                    person: number,
                    is_up: true,
                    bytes: transmit.contents.to_vec(),
                }),
                str0m::Output::Event(str0m::Event::ChannelOpen(id, _)) => {
                    person.is_open |= id == person.reliable;
                }
                str0m::Output::Event(str0m::Event::ChannelData(data)) => {
                    let packet = livekit::DataPacket::decode(&data.data[..]).expect("a packet");
                    if let Some(livekit::data_packet::Value::User(user)) = packet.value {
                        person.heard.push(user.payload);
                    }
                }
                str0m::Output::Event(_) => {}
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    fn run_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_secs(10);
        while !condition(self) {
            assert!(self.now < end, "not within 10 s: {what}");
            self.step();
        }
    }

    /// Says something; while its client is away it waits there.
    fn say(&mut self, number: usize, bytes: usize) {
        let person = &mut self.people[number];
        let sequence = person.said.len() as u32 + 1;
        let mut payload = vec![number as u8; bytes];
        payload.extend(sequence.to_be_bytes());
        let value = livekit::data_packet::Value::User(livekit::UserPacket { payload, ..Default::default() });
        let packet = livekit::DataPacket { sequence, value: Some(value), ..Default::default() };
        person.said.push(packet.encode_to_vec());
    }

    /// The signalling connection breaks; its client notices.
    fn lose(&mut self, number: usize) {
        self.people[number].is_away = true;
        let session = SessionId(self.people[number].session);
        self.command(Command::Session(session, SessionCommand::Disconnected));
    }

    fn resume(&mut self, number: usize) {
        let person = &mut self.people[number];
        person.session += 10;
        let resume = Resume {
            session: SessionId(person.session),
            room: RoomName::new("r"),
            identity: Identity::new(person.identity.to_owned()),
            participant_sid: person.sid.clone(),
            sync_state: Some(livekit::SyncState::default()),
            offer: None,
        };
        self.command(Command::Resume(Box::new(resume)));
    }
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state
}

/// An offer of data channels and nothing else.
fn offer(credentials: &IceCreds, fingerprint: &[u8]) -> String {
    let mut digits = String::new();
    for byte in fingerprint {
        let _ = write!(digits, "{}{byte:02X}", if digits.is_empty() { "" } else { ":" });
    }
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
         a=fingerprint:sha-256 {digits}\r\na=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\n\
         a=max-message-size:262144\r\n",
        credentials.ufrag, credentials.pass
    )
}

#[test]
fn what_is_said_over_a_resume_arrives_once_and_in_order() {
    let mut repeated = 0;
    for seed in 0..6 {
        let mut meeting = Meeting::new(seed);
        meeting.join("anna");
        meeting.join("ben");
        meeting.run_until("both can talk", |meeting| meeting.people.iter().all(|person| person.is_open));
        for _ in 0..4 {
            let who = meeting.chance(2) as usize;
            for moment in 0..60 {
                for person in 0..2 {
                    let bytes = meeting.chance(3000) as usize;
                    meeting.say(person, bytes);
                }
                match moment {
                    // The path dies first, so that what was said last is in doubt.
                    10 => meeting.people[who].is_cut = true,
                    15 => meeting.lose(who),
                    40 if seed % 2 == 0 => meeting.people[who].is_cut = false,
                    45 => meeting.resume(who),
                    50 => meeting.people[who].is_cut = false,
                    _ => {}
                }
                let pause = 20 + meeting.chance(100) as u32;
                meeting.run(MS * pause);
            }
        }
        meeting.run(Duration::from_secs(8));
        let payloads = |person: &Person| -> Vec<Vec<u8>> {
            let packets = person.said.iter().map(|packet| livekit::DataPacket::decode(&packet[..]));
            packets
                .filter_map(|packet| match packet.expect("it was written").value {
                    Some(livekit::data_packet::Value::User(user)) => Some(user.payload),
                    _ => None,
                })
                .collect()
        };
        let [anna, ben] = &meeting.people[..] else { panic!("two people") };
        for (speaker, listener) in [(anna, ben), (ben, anna)] {
            assert_eq!(speaker.said.len(), 240);
            assert_eq!(listener.heard.len(), 240, "seed {seed}: what {} said", speaker.identity);
            assert!(listener.heard == payloads(speaker), "seed {seed}: what {} said", speaker.identity);
        }
        let (again, other): (Vec<&str>, Vec<&str>) =
            meeting.refused.iter().partition(|code| **code == "repeated");
        assert_eq!(other, [""; 0], "seed {seed}");
        repeated += again.len();
    }
    assert!(repeated > 10, "what arrived late was sent again as well, {repeated} times");
}
