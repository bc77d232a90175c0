//! A real core with simulated clients around it, in virtual time. Everything random comes from one seed, so
//! that the same seed gives the same world, packet by packet.

mod actions;
mod exit;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fastrand::Rng;
use protocol::ids::{Identity, RoomName, SessionId};
use protocol::livekit;
use sfu::Sfu;
use sfu::batch::SendBatch;
use sfu::command::{Command, Join, Resume, SessionCommand};
use sfu::config::{Config, Limits};
use sfu::event::SessionEvent;
use sfu::io::{Datagram, Input, Random};
use sfu::peer::transport::Shared;

use crate::client::{Client, Connection, JoinOptions, Said, State};
use crate::rules::Rules;
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
/// Unix time at the beginning.
const EPOCH_MS: i64 = 1_700_000_000_000;

enum Happening {
    Join(usize),
    Resume(usize, Box<Resume>),
    Said(usize, SessionId, Said),
    Heard(usize, SessionId, Box<SessionEvent>),
    ToCore(usize, Connection, Vec<u8>),
    ToClient(usize, Connection, Vec<u8>),
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

    /// The newest transport-wide number that arrived at a client.
    pub fn newest_transport_number(&self, client: usize) -> Option<u16> {
        self.clients.get(client)?.reports.newest()
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
                if let SessionCommand::Answer(answer) = &said.command {
                    self.note_answer(client, answer.id);
                }
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
            Happening::ToCore(client, connection, mut payload) => {
                let datagram = Datagram {
                    source: self.clients[client].address_of(connection),
                    destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 254)),
                    payload: &mut payload,
                };
                self.core.handle(self.base + self.now, Input::Datagram(datagram));
                return true;
            }
            Happening::ToClient(client, connection, payload) => {
                let received = self.clients[client].receive(self.now, connection, payload);
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
        let offer = (options.offer_first && !options.two_connections).then(|| client.first_offer());
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
            mode: protocol::api::Mode::Mls,
            two_connections: options.two_connections,
            keyed: Some(Box::new(client.keyed(options.profile))),
        };
        self.core.handle(self.base + self.now, Input::Command(Command::Join(Box::new(join))));
    }

    /// Sends on what a client wants to say and send.
    fn collect(&mut self, client: usize) {
        for said in std::mem::take(&mut self.clients[client].said) {
            let at = (self.now + self.signalling_delay()).max(self.signalling[client].0);
            self.signalling[client].0 = at;
            let session = self.clients[client].session;
            self.plan(at, Happening::Said(client, session, said));
        }
        for (connection, datagram) in std::mem::take(&mut self.clients[client].datagrams) {
            for at in self.clients[client].up.send(self.now, datagram.len()).into_iter().flatten() {
                self.plan(at, Happening::ToCore(client, connection, datagram.clone()));
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
