//! A meeting in virtual time: sessions around the server's real delivery, with delays, losses and a server that may lie.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;

use delivery::{Delivery, Handle, Limits};
use e2ee::keys::{RoomKeys, StretchedPassword};
use e2ee::link::LinkSecret;
use e2ee::message::Content;
use e2ee::rotation::Media;
use e2ee::session::{Config, Event, HostAction, Input, Output, Roster, Session, State, Stop};
use e2ee::signer::LeafKey;
use pii::Pii;
use protocol::channel::{FromServer, ToServer};
use protocol::ids::Identity;

pub(crate) const ROOM: &str = "standup";
pub(crate) const LINK: u8 = 1;

/// What is under way.
enum Parcel {
    ToServer(usize, u64, ToServer),
    FromServer(usize, u64, FromServer),
    Closed(usize, u64),
    /// To a member's session: from whom does not matter, the content says it.
    Packet(usize, Vec<u8>),
    Reconnect(usize),
}

/// What the server does with what it hands out.
pub(crate) type Lie = Box<dyn FnMut(u64, usize, FromServer) -> Vec<FromServer>>;

/// What a member says instead of what its session says.
pub(crate) type Distortion = Box<dyn FnMut(usize, ToServer) -> ToServer>;

/// A meeting of so many people with the keys 1, 2, …, who came one after the other and agree.
pub(crate) fn meeting(seed: u64, count: u8) -> World {
    let mut world = World::new(seed);
    for key in 1..=count {
        world.join(LINK, key);
        world.run(2000);
    }
    let everybody: Vec<usize> = (0..usize::from(count)).collect();
    world.settle(&everybody, 10_000);
    world
}

pub(crate) fn link(number: u8) -> LinkSecret {
    LinkSecret::from_random([number; 20])
}

pub(crate) struct Peer {
    pub(crate) session: Session,
    pub(crate) identity: String,
    /// Number of the socket, and the server's handle while it is open.
    socket: u64,
    handle: Option<Handle>,
    /// Nothing is delivered to it, or by it.
    pub(crate) gone: bool,
    pub(crate) state: State,
    pub(crate) roster: Option<Roster>,
    pub(crate) said: Vec<(String, Content)>,
    pub(crate) history: Vec<String>,
    pub(crate) fragment: Option<String>,
    /// Base keys that frames open with.
    pub(crate) keys: BTreeMap<u64, Vec<u8>>,
    pub(crate) sending: Option<u64>,
    pub(crate) not_sent: usize,
    pub(crate) not_said: Vec<HostAction>,
    /// In order, like a TCP connection.
    up_at: u64,
    down_at: u64,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) delivery: Delivery,
    pub(crate) peers: Vec<Peer>,
    pub(crate) lie: Lie,
    pub(crate) distort: Distortion,
    /// Data packets get lost, one in so many; 0 for none.
    pub(crate) packet_loss: u64,
    pub(crate) delay: u64,
    /// How much longer data packets are under way.
    pub(crate) packet_delay: u64,
    /// Names the meeting in failures.
    pub(crate) note: String,
    /// Every data packet is written down here.
    pub(crate) observe: Option<Rc<RefCell<Vec<Vec<u8>>>>>,
    handles: BTreeMap<Handle, (usize, u64)>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    parcels: BTreeMap<u64, Parcel>,
    next: u64,
    random: u64,
    pub(crate) refusals: BTreeMap<&'static str, usize>,
    /// Every identity that ever held keys, by its base keys.
    pub(crate) all_keys: BTreeMap<Vec<u8>, BTreeSet<usize>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: 1_000_000,
            delivery: Self::delivery(seed, Limits::default()),
            peers: Vec::new(),
            lie: Box::new(|_, _, message| vec![message]),
            distort: Box::new(|_, message| message),
            packet_loss: 0,
            delay: 40,
            packet_delay: 0,
            note: String::new(),
            observe: None,
            handles: BTreeMap::new(),
            queue: BinaryHeap::new(),
            parcels: BTreeMap::new(),
            next: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            refusals: BTreeMap::new(),
            all_keys: BTreeMap::new(),
        }
    }

    /// The server's part from the beginning, also with other bounds.
    pub(crate) fn delivery(seed: u64, limits: Limits) -> Delivery {
        Delivery::new(limits, 1_000_000, format!("log-{seed}"), 0)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        if bound == 0 { 0 } else { self.random % bound }
    }

    /// Somebody with a link comes. `key` is fresh unless somebody comes back after a reload.
    pub(crate) fn join(&mut self, link: u8, key: u8) -> usize {
        self.join_with(self::link(link), key, None)
    }

    pub(crate) fn join_with(
        &mut self,
        link: LinkSecret,
        key: u8,
        password: Option<StretchedPassword>,
    ) -> usize {
        let mut seed = [0; 32];
        for byte in &mut seed {
            *byte = self.below(256) as u8;
        }
        let config = Config {
            origin: "https://meet.example".into(),
            keys: RoomKeys::new(link, ROOM),
            password,
            name: Pii::new(format!("member {key}")),
            key: LeafKey::from_seed(&[key; 32]),
        };
        let session = Session::new(config, seed);
        let identity = session.identity().to_owned();
        let index = self.peers.len();
        self.peers.push(Peer {
            session,
            identity,
            socket: 0,
            handle: None,
            gone: false,
            state: State::Connecting,
            roster: None,
            said: Vec::new(),
            history: Vec::new(),
            fragment: None,
            keys: BTreeMap::new(),
            sending: None,
            not_sent: 0,
            not_said: Vec::new(),
            up_at: 0,
            down_at: 0,
        });
        self.connect(index);
        self.input(index, Input::Path { open: true });
        index
    }

    pub(crate) fn connect(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        peer.socket += 1;
        let socket = peer.socket;
        let handle = self.delivery.opened(self.now, Identity::new(peer.identity.clone()));
        peer.handle = Some(handle);
        self.handles.insert(handle, (index, socket));
        self.drain();
        self.input(index, Input::Connected);
    }

    /// The socket breaks. The server notices at once; the session, too.
    pub(crate) fn cut(&mut self, index: usize) {
        if let Some(handle) = self.peers[index].handle.take() {
            self.delivery.closed(self.now, handle);
            self.drain();
        }
        self.peers[index].socket += 1;
        self.input(index, Input::Disconnected);
    }

    /// The tab is closed without a word.
    pub(crate) fn vanish(&mut self, index: usize) {
        self.cut(index);
        self.peers[index].gone = true;
    }

    pub(crate) fn leave(&mut self, index: usize) {
        self.input(index, Input::Leave);
        self.run(200);
        self.vanish(index);
    }

    /// The server forgets everything; everybody's socket breaks and comes back within a second.
    pub(crate) fn restart(&mut self) {
        let log = format!("log-after-{}", self.now);
        self.delivery = Delivery::new(Limits::default(), self.now, log, self.now + 10_000);
        self.handles.clear();
        for index in 0..self.peers.len() {
            if self.peers[index].gone {
                continue;
            }
            self.peers[index].handle = None;
            self.peers[index].socket += 1;
            self.input(index, Input::Disconnected);
            let wait = 300 + self.below(700);
            self.post(self.now + wait, Parcel::Reconnect(index));
        }
    }

    pub(crate) fn say(&mut self, index: usize, text: &str) {
        let id = format!("{index}-{}", self.now);
        self.input(index, Input::Send { content: Content::Chat { id, text: text.into() } });
    }

    pub(crate) fn input(&mut self, index: usize, input: Input) {
        if self.peers[index].gone {
            return;
        }
        self.peers[index].session.handle(self.now, input);
        self.outputs(index);
    }

    fn outputs(&mut self, index: usize) {
        while let Some(output) = self.peers[index].session.poll() {
            match output {
                Output::Channel { message } => {
                    let message = (self.distort)(index, message);
                    let at = (self.now + self.one_way()).max(self.peers[index].up_at);
                    self.peers[index].up_at = at;
                    let socket = self.peers[index].socket;
                    self.post(at, Parcel::ToServer(index, socket, message));
                }
                Output::Message { to, data } => self.packet(index, &to, &data.0),
                Output::Media { media } => self.media(index, media),
                Output::Event { event } => self.event(index, event),
            }
        }
    }

    fn packet(&mut self, from: usize, to: &[String], data: &[u8]) {
        if let Some(observe) = &self.observe {
            observe.borrow_mut().push(data.to_vec());
        }
        for index in 0..self.peers.len() {
            let wanted = to.is_empty() || to.contains(&self.peers[index].identity);
            let lost = self.packet_loss > 0 && self.below(self.packet_loss) == 0;
            if index != from && wanted && !self.peers[index].gone && !lost {
                let at = self.now + self.packet_delay + 2 * self.one_way();
                self.post(at, Parcel::Packet(index, data.to_vec()));
            }
        }
    }

    fn media(&mut self, index: usize, media: Media) {
        let peer = &mut self.peers[index];
        match media {
            Media::Reset => (peer.keys, peer.sending) = (BTreeMap::new(), None),
            Media::Own { .. } => {}
            Media::Keys { epoch, base } => {
                self.all_keys.entry(base.to_vec()).or_default().insert(index);
                peer.keys.insert(epoch, base.to_vec());
            }
            Media::Send { epoch } => peer.sending = epoch,
            Media::Erase { epoch } => {
                peer.keys.remove(&epoch);
            }
        }
    }

    fn event(&mut self, index: usize, event: Event) {
        let peer = &mut self.peers[index];
        match event {
            Event::State { state } => peer.state = state,
            Event::Roster { roster } => peer.roster = Some(roster),
            Event::Received { from, content } => peer.said.push((from, content)),
            Event::NotSent { .. } => peer.not_sent += 1,
            Event::NotSaid { action } => peer.not_said.push(action),
            Event::History { lines } => peer.history.extend(lines.into_iter().map(|line| line.text)),
            Event::LinkChanged { fragment } => peer.fragment = Some(fragment),
            Event::Compared { .. } | Event::Said { .. } | Event::Streams { .. } => {}
        }
    }

    fn one_way(&mut self) -> u64 {
        let delay = self.delay;
        delay / 2 + self.below(delay.max(1))
    }

    fn post(&mut self, at: u64, parcel: Parcel) {
        self.next += 1;
        self.parcels.insert(self.next, parcel);
        self.queue.push(Reverse((at, self.next)));
    }

    fn drain(&mut self) {
        while let Some(output) = self.delivery.poll() {
            match output {
                delivery::Output::Send { to, message } => {
                    for handle in to {
                        self.down(handle, message.clone());
                    }
                }
                delivery::Output::Close { handle, code } => {
                    self.down(handle, FromServer::Closing { code });
                    if let Some((index, socket)) = self.handles.remove(&handle) {
                        if self.peers[index].handle == Some(handle) {
                            self.peers[index].handle = None;
                        }
                        let at = self.peers[index].down_at;
                        self.post(at, Parcel::Closed(index, socket));
                    }
                }
                delivery::Output::Appended => {}
                delivery::Output::Rejected(code) => *self.refusals.entry(code).or_default() += 1,
            }
        }
    }

    fn down(&mut self, handle: Handle, message: FromServer) {
        let Some(&(index, socket)) = self.handles.get(&handle) else { return };
        for message in (self.lie)(self.now, index, message) {
            let at = (self.now + self.one_way()).max(self.peers[index].down_at);
            self.peers[index].down_at = at;
            self.post(at, Parcel::FromServer(index, socket, message));
        }
    }

    /// A channel without a session, of somebody who sends what they like.
    pub(crate) fn raw(&mut self, identity: &str) -> Handle {
        self.raw_of(identity, None)
    }

    /// The same, of somebody who says to know a log.
    pub(crate) fn raw_of(&mut self, identity: &str, log: Option<&str>) -> Handle {
        let handle = self.delivery.opened(self.now, Identity::new(identity.to_owned()));
        self.raw_say(handle, ToServer::Hello { log: log.map(str::to_owned), after: 1 });
        handle
    }

    /// Those who are about to come back do so later by this much.
    pub(crate) fn hold(&mut self, milliseconds: u64) {
        let queue = std::mem::take(&mut self.queue).into_iter().map(|Reverse((at, number))| {
            let is_held = matches!(self.parcels.get(&number), Some(Parcel::Reconnect(_)));
            Reverse((if is_held { at + milliseconds } else { at }, number))
        });
        self.queue = queue.collect();
    }

    /// This one is the first to come back after a restart, by far.
    pub(crate) fn connect_first(&mut self, index: usize) {
        self.connect(index);
        self.hold(4000);
    }

    pub(crate) fn raw_say(&mut self, handle: Handle, message: ToServer) {
        self.delivery.handle(self.now, handle, message);
        self.drain();
    }

    /// A data packet of somebody who is no member, to everybody.
    pub(crate) fn raw_packet(&mut self, data: &[u8]) {
        for index in 0..self.peers.len() {
            self.post(self.now + 1, Parcel::Packet(index, data.to_vec()));
        }
    }

    /// Runs for some milliseconds.
    pub(crate) fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        loop {
            let parcel = self.queue.peek().map(|Reverse((at, _))| *at);
            let timers = self
                .peers
                .iter()
                .filter(|peer| !peer.gone)
                .filter_map(|peer| peer.session.poll_timeout())
                .chain(self.delivery.poll_timeout())
                .min();
            let next = [parcel, timers].into_iter().flatten().min().map(|at| at.max(self.now));
            let Some(at) = next.filter(|at| *at <= end) else { break };
            // A timer that does not go away would stop the world.
            self.now = if at == self.now && parcel != Some(at) { at + 1 } else { at };
            if parcel.is_some_and(|parcel| parcel <= self.now) {
                if let Some(Reverse((_, number))) = self.queue.pop()
                    && let Some(parcel) = self.parcels.remove(&number)
                {
                    self.arrive(parcel);
                }
                continue;
            }
            self.delivery.timeout(self.now);
            self.drain();
            for index in 0..self.peers.len() {
                if self.peers[index].session.poll_timeout().is_some_and(|at| at <= self.now) {
                    self.input(index, Input::Timeout);
                }
            }
        }
        self.now = end;
    }

    fn arrive(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::ToServer(index, socket, message) => {
                let peer = &self.peers[index];
                if let (Some(handle), true) = (peer.handle, peer.socket == socket) {
                    self.delivery.handle(self.now, handle, message);
                    self.drain();
                }
            }
            Parcel::FromServer(index, socket, message) => {
                if self.peers[index].socket == socket {
                    self.input(index, Input::Channel { message });
                }
            }
            Parcel::Closed(index, socket) => {
                if self.peers[index].socket == socket {
                    self.peers[index].socket += 1;
                    self.input(index, Input::Disconnected);
                    if !matches!(self.peers[index].state, State::Stopped { .. }) {
                        self.post(self.now + 1000, Parcel::Reconnect(index));
                    }
                }
            }
            Parcel::Packet(index, data) => {
                self.input(index, Input::Message { data: protocol::channel::Blob(data) });
            }
            Parcel::Reconnect(index) => {
                if !self.peers[index].gone && self.peers[index].handle.is_none() {
                    self.connect(index);
                }
            }
        }
    }

    pub(crate) fn is_member(&self, index: usize) -> bool {
        self.peers[index].state == State::Member { confirmed: true }
    }

    pub(crate) fn stopped(&self, index: usize) -> Option<Stop> {
        match self.peers[index].state {
            State::Stopped { reason } => Some(reason),
            _ => None,
        }
    }

    pub(crate) fn epoch(&self, index: usize) -> Option<u64> {
        self.peers[index].roster.as_ref().map(|roster| roster.epoch)
    }

    /// Runs until the members named agree: same epoch, same digits, exactly they in the roster, everybody's frames open
    /// for everybody.
    ///
    /// # Panics
    /// If they do not within the time.
    pub(crate) fn settle(&mut self, members: &[usize], within: u64) {
        let end = self.now + within;
        while let Err(why) = self.agree(members) {
            assert!(
                self.now < end,
                "{}: {why} after {within} ms; refused by the server: {:?}\n{}",
                self.note,
                self.refusals,
                self.story(members)
            );
            self.run(100);
        }
    }

    /// How those who should agree stand.
    fn story(&self, members: &[usize]) -> String {
        let line = |&index: &usize| {
            let peer = &self.peers[index];
            let seen = peer.roster.as_ref().map(|roster| {
                let leaves: Vec<_> = roster.members.iter().map(|member| (member.leaf, member.here)).collect();
                (roster.epoch, leaves)
            });
            let due = peer.session.poll_timeout();
            format!(
                "{index}: {:?} {seen:?} connected {} due {due:?} of {}",
                peer.state,
                peer.handle.is_some(),
                self.now
            )
        };
        members.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn agree(&self, members: &[usize]) -> Result<(), String> {
        let Some(first) = self.peers[members[0]].roster.as_ref() else { return Err("no roster".into()) };
        for &index in members {
            let peer = &self.peers[index];
            if !self.is_member(index) {
                return Err(format!("{index} is {:?}", peer.state));
            }
            let Some(roster) = &peer.roster else { return Err(format!("{index} has no roster")) };
            if roster.epoch != first.epoch || roster.digits != first.digits {
                return Err(format!("{index} is at {}, {} at {}", roster.epoch, members[0], first.epoch));
            }
            let here: BTreeSet<_> = roster.members.iter().map(|member| member.identity.as_str()).collect();
            let wanted: BTreeSet<_> =
                members.iter().map(|&index| self.peers[index].identity.as_str()).collect();
            if here != wanted {
                return Err(format!("{index} sees {} of {}", here.len(), wanted.len()));
            }
            if roster.members.iter().any(|member| member.silent_since.is_some()) {
                return Err(format!("{index} sees somebody silent"));
            }
            for &other in members {
                let sender = &self.peers[other];
                let Some(epoch) = sender.sending else { return Err(format!("{other} does not send")) };
                if !sender.keys.contains_key(&epoch) || sender.keys.get(&epoch) != peer.keys.get(&epoch) {
                    return Err(format!("frames of {other} do not open for {index}"));
                }
            }
        }
        Ok(())
    }
}
