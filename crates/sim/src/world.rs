//! A real core with simulated clients around it, in virtual time. Everything random comes from one seed, so
//! that the same seed gives the same world, packet by packet.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fastrand::Rng;
use protocol::ids::{Identity, RoomName, SessionId, TrackSid};
use protocol::livekit;
use sfu::Sfu;
use sfu::batch::SendBatch;
use sfu::command::{Command, Join, Keyed, Resume, SessionCommand};
use sfu::config::{Config, Limits};
use sfu::event::{Event, Rejection, SessionEvent};
use sfu::io::{Datagram, Input, Output, Random};
use sfu::peer::keying::SrtpKeys;
use sfu::peer::srtp::SrtpReceiver;
use sfu::peer::transport::Shared;

use crate::client::{Client, JoinOptions, Said, State};
use crate::description::read_answer;
use crate::publication::Recipe;
use crate::rules::{Member, Rules, Track};
use crate::tap::{Passed, Tap};
use crate::trace::Trace;

/// Clients look at their timers this often.
const TICK: Duration = Duration::from_millis(5);
/// The core gets everything that arrives within such a step before it is polled, as a worker does.
const STEP: Duration = Duration::from_micros(250);
/// Signalling takes up to this long each way, in order.
const SIGNALLING: u64 = 25_000;
/// A core that asks to be woken this often at one moment will never let time go on.
const MAX_WAKES: u32 = 200;
/// Ids of sessions that resume others: apart from those of the clients' first sessions.
const RESUMED: u64 = 1 << 32;
/// Unix time at the beginning.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// Refusals that a correct core gives to correct clients on bad networks. Others are violations.
const EXPECTED_REFUSALS: [(&str, &str); 13] = [
    ("demux", "unknown-source"), // after leaving
    ("srtp", "replayed"),        // doubled by the network
    ("srtp", "not-authentic"),   // on its way when somebody else took over the address
    ("srtp", "not-encrypted"),   // the same, under a profile with a shorter trailer
    ("rtp", "unknown-ssrc"),     // before the offer or after unpublishing
    ("rtp", "duplicate"),        // repeated and late
    ("rtp", "too-old"),          // held back too long
    ("rtcp", "unknown-ssrc"),    // feedback on what was just unsubscribed
    ("rtp", "not-stored"),       // asked for again too late
    ("rtcp", "nack-rate"),       // a burst on a bad network
    ("signal", "publish-not-allowed"),
    ("room", "no-shared-codec"),
    ("room", "unknown-track"), // a wish for what was just unpublished, or of another room
];

enum Happening {
    Join(usize),
    Resume(usize, Box<Resume>),
    Said(usize, SessionId, Said),
    Heard(usize, SessionId, Box<SessionEvent>),
    ToCore(usize, Vec<u8>),
    ToClient(usize, Vec<u8>),
    Tick(usize),
}

/// See the module's description.
pub struct World {
    base: Instant,
    now: Duration,
    core: Sfu,
    batch: SendBatch,
    due: Option<Duration>,
    wakes: (Duration, u32),
    agenda: BTreeMap<(Duration, u64), Happening>,
    happened: u64,
    rng: Rng,
    grace: Duration,
    /// Clients by number; those that left stay here.
    pub clients: Vec<Client>,
    taps: Vec<Tap>,
    options: Vec<JoinOptions>,
    signalling: Vec<(Duration, Duration)>,
    /// Sessions that were resumed by others, and whose they were.
    former: BTreeMap<SessionId, usize>,
    /// Who may get what.
    pub rules: Rules,
    /// What went wrong, with its time; empty in a correct world.
    pub violations: Vec<String>,
    /// Refusals of the core, counted.
    pub refusals: BTreeMap<(&'static str, &'static str), u64>,
    running: BTreeMap<String, u32>,
    trace: Trace,
    /// Refusals that somebody provokes.
    tolerated: Vec<(&'static str, &'static str)>,
    /// Whether signalling and refusals are printed as they happen (`SIM_LOG=1`).
    log: bool,
}

/// The process's certificate; simulations do not use it, but every core has one.
fn shared() -> &'static Arc<Shared> {
    static SHARED: OnceLock<Arc<Shared>> = OnceLock::new();
    SHARED.get_or_init(|| match Shared::new(&Config::default()) {
        Ok(shared) => Arc::new(shared),
        Err(error) => panic!("no certificate: {error}"),
    })
}

impl World {
    /// A world without people.
    pub fn new(seed: u64) -> Self {
        Self::with_limits(seed, Limits::default())
    }

    /// A world whose core has other bounds.
    pub fn with_limits(seed: u64, limits: Limits) -> Self {
        let mut rng = Rng::with_seed(seed);
        let base = Instant::now();
        let config =
            Config { limits, candidates: vec![([192, 0, 2, 254], 7880).into()], ..Config::default() };
        let grace = config.participant_grace;
        let mut randomness = rng.fork();
        let random: Box<dyn Random> = Box::new(move |bytes: &mut [u8]| randomness.fill(bytes));
        Self {
            base,
            now: Duration::ZERO,
            core: Sfu::new(base, config, Arc::clone(shared()), random),
            batch: SendBatch::new(),
            due: None,
            wakes: (Duration::ZERO, 0),
            agenda: BTreeMap::new(),
            happened: 0,
            rng,
            grace,
            clients: Vec::new(),
            taps: Vec::new(),
            options: Vec::new(),
            signalling: Vec::new(),
            former: BTreeMap::new(),
            rules: Rules::default(),
            violations: Vec::new(),
            refusals: BTreeMap::new(),
            tolerated: Vec::new(),
            running: BTreeMap::new(),
            trace: Trace::default(),
            log: std::env::var_os("SIM_LOG").is_some(),
        }
    }

    /// The time that passed.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Randomness for scripts.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// A number that stands for everything that happened so far.
    pub fn trace(&self) -> u64 {
        self.trace.value()
    }

    /// The core.
    pub fn core(&self) -> &Sfu {
        &self.core
    }

    /// When the core wants to be woken.
    pub fn core_due(&self) -> Option<Duration> {
        self.due
    }

    /// What passed the core's exit towards a client.
    pub fn passed(&self, client: usize) -> Passed {
        self.taps[client].passed
    }

    /// Refusals that somebody is about to provoke: they are counted and no violation.
    pub fn tolerate(&mut self, refusals: &[(&'static str, &'static str)]) {
        self.tolerated.extend_from_slice(refusals);
    }

    /// Somebody joins; returns its number.
    pub fn join(&mut self, room: &str, identity: &str, options: JoinOptions) -> usize {
        let number = self.clients.len();
        let mut rng = self.rng.fork();
        let mut fill = rng.fork();
        let mut random = move |bytes: &mut [u8]| fill.fill(bytes);
        let keys = SrtpKeys::generate(&mut random);
        let client = Client::new(number, (room, identity), &options, &keys, rng);
        let tap = SrtpReceiver::new(options.profile, &keys.local);
        match (client, tap) {
            (Ok(client), Ok(receiver)) => {
                self.clients.push(client);
                self.taps.push(Tap::new(number, receiver));
            }
            (Err(error), _) | (_, Err(error)) => panic!("no keys: {error}"),
        }
        self.rules.members.push(Member {
            room: room.to_owned(),
            identity: identity.to_owned(),
            sid: None,
            present: false,
            disconnected: None,
            auto_subscribe: options.auto_subscribe,
            permission: options.permission.clone(),
            wants: BTreeMap::new(),
            paused: Default::default(),
            ever_paused: Default::default(),
            allows: None,
        });
        self.options.push(options);
        let at = self.now + self.signalling_delay();
        self.signalling.push((at, at));
        self.plan(at, Happening::Join(number));
        let phase = Duration::from_micros(self.rng.u64(0..TICK.as_micros() as u64));
        self.plan(self.now + phase, Happening::Tick(number));
        number
    }

    /// Somebody leaves on purpose.
    pub fn leave(&mut self, client: usize) {
        self.clients[client].say(SessionCommand::Leave(livekit::DisconnectReason::ClientInitiated));
        self.collect(client);
        self.clients[client].state = State::Gone;
    }

    /// The signalling connection breaks; media goes on.
    pub fn drop_signalling(&mut self, client: usize) {
        self.clients[client].say(SessionCommand::Disconnected);
        self.collect(client);
        self.clients[client].state = State::Disconnected;
    }

    /// The signalling connection is dead, and the server has not heard of it.
    pub fn lose_signalling(&mut self, client: usize) {
        self.clients[client].state = State::Disconnected;
    }

    /// A client that lost its signalling connection goes on by another one.
    pub fn resume(&mut self, client: usize) {
        let older = self.clients[client].session;
        let session = SessionId(RESUMED | self.former.len() as u64);
        self.former.insert(older, client);
        let member = &self.rules.members[client];
        let Some(participant_sid) = member.sid.clone() else { return };
        let sids = |tracks: &mut dyn Iterator<Item = u32>| -> Vec<String> {
            tracks.filter_map(|track| self.rules.tracks.get(track as usize)?.sid.clone()).collect()
        };
        // What differs from its rule, as clients name it.
        let exceptions = member.wants.iter().filter(|(_, wanted)| **wanted != member.auto_subscribe);
        let known =
            self.clients[client].publications.iter().filter_map(|publication| publication.sid.clone());
        let sync_state = livekit::SyncState {
            subscription: Some(livekit::UpdateSubscription {
                track_sids: sids(&mut exceptions.map(|(track, _)| *track)),
                subscribe: !member.auto_subscribe,
                ..Default::default()
            }),
            track_sids_disabled: sids(&mut member.paused.iter().copied()),
            publish_tracks: known
                .map(|sid| livekit::TrackPublishedResponse {
                    track: Some(livekit::TrackInfo { sid, ..Default::default() }),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let resume = Resume {
            session,
            room: RoomName::new(member.room.as_str()),
            identity: Identity::new(member.identity.as_str()),
            participant_sid,
            sync_state: Some(sync_state),
            offer: None,
        };
        self.clients[client].resume(session);
        let at = (self.now + self.signalling_delay()).max(self.signalling[client].0);
        self.signalling[client].0 = at;
        self.plan(at, Happening::Resume(client, Box::new(resume)));
    }

    /// Everything of a client stops without a word but the broken connection.
    pub fn vanish(&mut self, client: usize) {
        self.drop_signalling(client);
        self.clients[client].state = State::Gone;
    }

    /// Publishes; returns the track's number.
    pub fn publish(&mut self, client: usize, recipe: Recipe) -> u32 {
        let number = self.rules.tracks.len() as u32;
        self.rules.tracks.push(Track { publisher: client, recipe, sid: None, carried: false });
        self.clients[client].publish(number, recipe);
        self.clients[client].offer_if_due();
        self.collect(client);
        number
    }

    /// Takes a publication back.
    pub fn unpublish(&mut self, track: u32) {
        let client = self.rules.tracks[track as usize].publisher;
        self.clients[client].unpublish(track);
        self.collect(client);
    }

    /// Mutes or unmutes.
    pub fn mute(&mut self, track: u32, muted: bool) {
        let client = self.rules.tracks[track as usize].publisher;
        let Some(publication) = self.clients[client].publication(track) else { return };
        publication.muted = muted;
        let sid = publication.sid.as_deref().and_then(TrackSid::parse);
        if let Some(track) = sid {
            self.clients[client].say(SessionCommand::Mute { track, muted });
            self.collect(client);
        }
    }

    /// Speaks or falls silent.
    pub fn speak(&mut self, track: u32, speaking: bool) {
        let client = self.rules.tracks[track as usize].publisher;
        if let Some(publication) = self.clients[client].publication(track) {
            publication.speaking = speaking;
        }
    }

    /// Subscribes or unsubscribes, if the track's id is known.
    pub fn subscribe(&mut self, client: usize, track: u32, subscribe: bool) {
        let Some(sid) = self.sid(track) else { return };
        let update = livekit::UpdateSubscription { track_sids: vec![sid], subscribe, ..Default::default() };
        self.clients[client].say(SessionCommand::Subscription(update));
        self.collect(client);
    }

    /// Pauses or resumes a subscription, if the track's id is known.
    pub fn pause(&mut self, client: usize, track: u32, disabled: bool) {
        // Browsers name a quality whenever they name no size.
        let quality = livekit::VideoQuality::High.into();
        self.set_track(
            client,
            track,
            livekit::UpdateTrackSettings { disabled, quality, ..Default::default() },
        );
    }

    /// Says what a client needs of a track, if the track's id is known.
    pub fn set_track(&mut self, client: usize, track: u32, settings: livekit::UpdateTrackSettings) {
        let Some(sid) = self.sid(track) else { return };
        let settings = livekit::UpdateTrackSettings { track_sids: vec![sid], ..settings };
        self.clients[client].say(SessionCommand::TrackSetting(settings));
        self.collect(client);
    }

    /// Shows a track in this size, if its id is known: adaptive clients say so.
    pub fn show(&mut self, client: usize, track: u32, (width, height): (u32, u32)) {
        let Some(sid) = self.sid(track) else { return };
        let settings =
            livekit::UpdateTrackSettings { track_sids: vec![sid], width, height, ..Default::default() };
        self.clients[client].say(SessionCommand::TrackSetting(settings));
        self.collect(client);
    }

    /// Whether a client was told that a section carries a track.
    pub fn is_declared(&self, client: usize, track: u32) -> bool {
        let Some(sid) = self.sid(track) else { return false };
        self.clients[client].declared.values().any(|(declared, _)| *declared == sid)
    }

    /// Whether the server told a client that it sends nothing of a track for want of bandwidth.
    pub fn is_stream_paused(&self, client: usize, track: u32) -> bool {
        self.sid(track).is_some_and(|sid| self.clients[client].paused_streams.contains(&sid))
    }

    /// What the core believes that it may send to a client, in bit/s.
    pub fn estimate(&self, client: usize) -> Option<u64> {
        self.core.estimate(self.clients.get(client)?.session)
    }

    /// Says who may subscribe to a client's tracks.
    pub fn allow(&mut self, client: usize, permission: livekit::SubscriptionPermission) {
        self.clients[client].say(SessionCommand::SubscriptionPermission(permission));
        self.collect(client);
    }

    /// The server's id of a track.
    pub fn sid(&self, track: u32) -> Option<String> {
        self.rules.tracks.get(track as usize)?.sid.clone()
    }

    /// The reception of a track at a client, if it receives it now.
    pub fn reception(&self, client: usize, track: u32) -> Option<&crate::reception::Reception> {
        let sid = self.rules.tracks.get(track as usize)?.sid.as_ref()?;
        let client = self.clients.get(client)?;
        let ssrc = client.declared.iter().find(|(_, (declared, _))| declared == sid)?.0;
        client.receptions.get(ssrc)
    }

    /// The source of a track at a client, and its newest sequence number there.
    pub fn newest(&self, client: usize, track: u32) -> Option<(u32, u16)> {
        let sid = self.sid(track)?;
        let client = self.clients.get(client)?;
        let (ssrc, _) = client.declared.iter().find(|(_, (declared, _))| *declared == sid)?;
        Some((*ssrc, client.receptions.get(ssrc)?.highest()? as u16))
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let next = [planned, self.due].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.step();
            if self.wakes.1 > MAX_WAKES {
                self.violation("the core does not let time go on");
                break;
            }
        }
        self.now = end;
    }

    /// Everything of one moment.
    fn step(&mut self) {
        let mut fed = false;
        while self.agenda.first_key_value().is_some_and(|((at, _), _)| *at <= self.now)
            && let Some((_, happening)) = self.agenda.pop_first()
        {
            fed |= self.happen(happening);
        }
        if fed {
            self.poll();
        }
        if self.due.is_some_and(|due| due <= self.now) {
            self.wakes = if self.wakes.0 == self.now { (self.now, self.wakes.1 + 1) } else { (self.now, 0) };
            self.core.handle(self.base + self.now, Input::Timeout);
            self.rules.expire(self.now, self.grace);
            self.poll();
        }
    }

    /// Something happens; true if the core is to be polled.
    fn happen(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Join(client) => {
                self.enter(client);
                self.poll();
            }
            Happening::Resume(client, resume) => {
                self.note(|| format!("client {client} resumes"));
                self.poll();
                self.rules.members[client].disconnected = None;
                self.core.handle(self.base + self.now, Input::Command(Command::Resume(resume)));
                self.poll();
            }
            Happening::Said(client, session, said) => {
                self.note(|| format!("client {client} says {}", told(&said)));
                self.poll(); // what was received before is sent by the rules of before
                self.rules.hear(self.now, client, &said.command, &said.carries);
                let command = Command::Session(session, said.command);
                self.core.handle(self.base + self.now, Input::Command(command));
                self.poll();
            }
            Happening::Heard(client, session, event) => {
                let is_dead = matches!(self.clients[client].state, State::Gone | State::Disconnected);
                if !is_dead && session == self.clients[client].session {
                    let heard = self.clients[client].hear(self.now, *event);
                    self.judge(client, heard);
                    self.collect(client);
                }
            }
            Happening::ToCore(client, mut payload) => {
                let datagram = Datagram {
                    source: self.clients[client].address,
                    destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 254)),
                    payload: &mut payload,
                };
                self.core.handle(self.base + self.now, Input::Datagram(datagram));
                return true;
            }
            Happening::ToClient(client, payload) => {
                let received = self.clients[client].receive(self.now, payload);
                self.judge(client, received);
                self.collect(client);
            }
            Happening::Tick(client) => {
                if self.clients[client].state != State::Gone {
                    let ticked = self.clients[client].tick(self.now);
                    self.judge(client, ticked);
                    self.collect(client);
                    self.plan(self.now + TICK, Happening::Tick(client));
                }
            }
        }
        false
    }

    fn enter(&mut self, number: usize) {
        let options = self.options[number].clone();
        let client = &mut self.clients[number];
        let offer = options.offer_first.then(|| client.first_offer());
        if offer.is_some() {
            self.rules.offered(number, &client.carries());
        }
        self.rules.replace(&client.room, &client.identity);
        self.rules.members[number].present = true;
        let join = Join {
            session: client.session,
            room: RoomName::new(client.room.as_str()),
            identity: Identity::new(client.identity.as_str()),
            name: String::new(),
            metadata: String::new(),
            attributes: Default::default(),
            permission: options.permission,
            kind: livekit::participant_info::Kind::Standard,
            client: livekit::ClientInfo::default(),
            auto_subscribe: options.auto_subscribe,
            offer,
            add_tracks: Vec::new(),
            now_unix_ms: EPOCH_MS + self.now.as_millis() as i64,
            room_settings: None,
            two_connections: false,
            keyed: Some(Box::new(Keyed {
                remote: client.address,
                profile: options.profile,
                keys: client.keys().clone(),
            })),
        };
        self.core.handle(self.base + self.now, Input::Command(Command::Join(Box::new(join))));
    }

    /// Takes everything out of the core.
    fn poll(&mut self) {
        loop {
            match self.core.poll(self.base + self.now, &mut self.batch) {
                Output::Event(event) => self.event(event),
                Output::Timeout(due) => {
                    self.due = due.map(|due| due.saturating_duration_since(self.base));
                    break;
                }
            }
        }
        let batch = std::mem::take(&mut self.batch);
        for transmit in batch.transmits() {
            // Whoever joined last has the address, as a new participant does behind the same socket.
            let client = self.clients.iter().rposition(|client| {
                client.address == transmit.destination && self.rules.members[client.number].sid.is_some()
            });
            let Some(client) = client else {
                self.violation("a packet to nobody");
                continue;
            };
            for datagram in batch.bytes(transmit).chunks(transmit.segment_size) {
                self.exit(client, datagram);
            }
        }
        self.batch = batch;
        self.batch.clear();
        for client in 0..self.clients.len() {
            let ended = self.taps[client].end_turn(&self.rules);
            self.judge(client, ended);
        }
    }

    /// A sealed datagram leaves.
    fn exit(&mut self, client: usize, datagram: &[u8]) {
        self.trace.add(self.now, client, datagram);
        let dialect = &self.clients[client].dialect;
        let judged = self.taps[client].datagram(self.now, datagram, &self.rules, dialect);
        self.judge(client, judged);
        for at in self.clients[client].down.send(self.now, datagram.len()).into_iter().flatten() {
            self.plan(at, Happening::ToClient(client, datagram.to_vec()));
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Session(session, event) => self.session_event(session, event),
            Event::RoomStarted { room, .. } => {
                let count = self.running.entry(room.expose().to_owned()).or_default();
                *count += 1;
                if *count > 1 {
                    self.violation("a room started twice");
                }
            }
            Event::RoomEnded { room, .. } => {
                if self.running.remove(room.expose()).is_none() {
                    self.violation("a room ended that did not run");
                }
            }
            Event::Rejected(Rejection { layer, code }) => {
                self.note(|| format!("refused: {layer} {code}"));
                *self.refusals.entry((layer, code)).or_default() += 1;
                if !EXPECTED_REFUSALS.contains(&(layer, code)) && !self.tolerated.contains(&(layer, code)) {
                    self.violation(&format!("refused: {layer} {code}"));
                }
            }
            Event::ParticipantJoined { .. }
            | Event::ParticipantLeft { .. }
            | Event::Answer(..)
            | Event::Notice(_)
            | Event::Route(_)
            | Event::Unroute(_) => {}
        }
    }

    fn session_event(&mut self, session: SessionId, event: SessionEvent) {
        let current = self.clients.iter().position(|client| client.session == session);
        let Some(client) = current.or_else(|| self.former.get(&session).copied()) else {
            return self.violation("an event for nobody");
        };
        match &event {
            SessionEvent::Joined(joined) => {
                self.rules.members[client].sid = Some(joined.participant.sid.clone());
            }
            SessionEvent::TrackPublished(published) => {
                let number =
                    published.cid.strip_prefix("cid-").and_then(|number| number.parse::<usize>().ok());
                if let (Some(track), Some(info)) =
                    (number.and_then(|number| self.rules.tracks.get_mut(number)), &published.track)
                {
                    track.sid = Some(info.sid.clone());
                }
            }
            SessionEvent::Answer(answer) => {
                let sections = read_answer(&answer.sdp).and_then(|read| self.taps[client].answered(&read));
                self.judge(client, sections);
            }
            SessionEvent::StreamStateUpdate(update) => {
                for stream in &update.stream_states {
                    if let Some(track) = self.rules.track_of(&stream.track_sid) {
                        self.rules.members[client].ever_paused.insert(track);
                    }
                }
            }
            SessionEvent::Leave(_) => self.rules.members[client].present = false,
            _ => {}
        }
        self.trace.add(self.now, client, event.name().as_bytes());
        self.note(|| format!("client {client} is told {}", event.name()));
        let at = (self.now + self.signalling_delay()).max(self.signalling[client].1);
        self.signalling[client].1 = at;
        self.plan(at, Happening::Heard(client, session, Box::new(event)));
    }

    /// Sends on what a client wants to say and send.
    fn collect(&mut self, client: usize) {
        for said in std::mem::take(&mut self.clients[client].said) {
            let at = (self.now + self.signalling_delay()).max(self.signalling[client].0);
            self.signalling[client].0 = at;
            let session = self.clients[client].session;
            self.plan(at, Happening::Said(client, session, said));
        }
        for datagram in std::mem::take(&mut self.clients[client].datagrams) {
            for at in self.clients[client].up.send(self.now, datagram.len()).into_iter().flatten() {
                self.plan(at, Happening::ToCore(client, datagram.clone()));
            }
        }
    }

    fn signalling_delay(&mut self) -> Duration {
        Duration::from_micros(self.rng.u64(500..SIGNALLING))
    }

    fn plan(&mut self, at: Duration, happening: Happening) {
        let steps = at.as_nanos().div_ceil(STEP.as_nanos());
        let at = Duration::from_nanos((steps * STEP.as_nanos()) as u64);
        self.happened += 1;
        self.agenda.insert((at, self.happened), happening);
    }

    /// Prints what happens, for looking at a seed that failed.
    #[expect(clippy::print_stderr, reason = "only on demand, for whoever looks for a mistake")]
    fn note(&self, what: impl FnOnce() -> String) {
        if self.log {
            eprintln!("{:.6} {}", self.now.as_secs_f64(), what());
        }
    }

    fn judge(&mut self, client: usize, result: Result<(), String>) {
        if let Err(what) = result {
            self.violation(&format!("client {client}: {what}"));
        }
    }

    /// Notes that something went wrong.
    pub fn violation(&mut self, what: &str) {
        // One mistake often has thousands of consequences, mostly alike.
        let is_known = self.violations.iter().any(|known| known.ends_with(what));
        if self.violations.len() < 20 && !is_known {
            self.violations.push(format!("{:.6} s: {what}", self.now.as_secs_f64()));
        }
    }
}

fn told(said: &Said) -> String {
    match &said.command {
        SessionCommand::Offer(offer) => format!("offer {} with tracks {:?}", offer.id, said.carries),
        SessionCommand::AddTrack(request) => format!("add track {}", request.cid),
        SessionCommand::Mute { track, muted } => format!("mute {track}: {muted}"),
        SessionCommand::Subscription(update) => format!("{update:?}"),
        SessionCommand::TrackSetting(settings) => format!("{settings:?}"),
        SessionCommand::SubscriptionPermission(permission) => format!("{permission:?}"),
        other => other.name().to_owned(),
    }
}
