//! The core itself: which datagram and which command belongs to which room, when a room is due, and what
//! happens when a room fails.

mod administration;
mod dismissed;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::FixedState;
use protocol::ids::{RoomName, SessionId};
use protocol::livekit;
use slab::Slab;

use self::dismissed::Dismissed;
use crate::batch::SendBatch;
use crate::command::{Command, Join, Resume, SessionCommand};
use crate::config::Config;
use crate::event::{Event, Reconnected, Rejection, SessionEvent};
use crate::io::{Datagram, Input, Output, Random};
use crate::peer::transport::{Shared, Transport, is_stun, stun_local_ufrag};
use crate::room::{Context, Room, RouteChange, Target};

/// A participant: key of its room, key in its room.
type Address = (usize, usize);

/// A participant's connection: key of its room, key in its room, which one.
type Connection = (usize, (usize, Target));

/// The core: every room of one worker. See the crate's description for the run loop.
pub struct Sfu {
    config: Config,
    shared: Arc<Shared>,
    random: Box<dyn Random>,
    epoch: Instant,
    rooms: Slab<Room>,
    by_name: HashMap<RoomName, usize>,
    by_session: HashMap<SessionId, Address>,
    by_ufrag: HashMap<String, Connection>,
    /// Looked up for every packet, so its hash is a quick one, with a seed that nobody outside knows. Only
    /// addresses that passed an authenticated check are in it.
    by_address: HashMap<SocketAddr, Connection, FixedState>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    dirty: Vec<usize>,
    events: VecDeque<Event>,
    routes: Vec<RouteChange>,
    dismissed: Dismissed,
    /// Transports of rooms that are gone, until their farewell is sealed.
    closing: Vec<Transport>,
}

impl Sfu {
    /// A core without rooms. `now` becomes its zero of time.
    pub fn new(now: Instant, config: Config, shared: Arc<Shared>, mut random: Box<dyn Random>) -> Self {
        let mut seed = [0; 8];
        random.fill(&mut seed);
        Self {
            config,
            shared,
            random,
            epoch: now,
            rooms: Slab::new(),
            by_name: HashMap::new(),
            by_session: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_address: HashMap::with_hasher(FixedState::with_seed(u64::from_ne_bytes(seed))),
            timers: BinaryHeap::new(),
            dirty: Vec::new(),
            events: VecDeque::new(),
            routes: Vec::new(),
            dismissed: Dismissed::default(),
            closing: Vec::new(),
        }
    }

    /// Takes one input. Then [`Self::poll`] until [`Output::Timeout`]; several datagrams may be handed in
    /// before, so that what they cause is sealed destination by destination.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Datagram(datagram) => self.handle_datagram(now, datagram),
            Input::Command(command) => self.handle_command(now, command),
            Input::Timeout => self.handle_timeout(now),
        }
    }

    /// Seals what waits into the batch and says what happened and when the next [`Input::Timeout`] is due.
    pub fn poll(&mut self, now: Instant, batch: &mut SendBatch) -> Output {
        while let Some(room) = self.dirty.pop() {
            self.with_room(now, room, |room, context| room.transmit(context, batch));
        }
        for mut transport in self.closing.drain(..) {
            // As in a room: what one transport does wrong is nobody else's loss.
            if catch_unwind(AssertUnwindSafe(|| transport.poll_transmit(now, batch))).is_err() {
                self.events.push_back(Event::Rejected(Rejection { layer: "transport", code: "panic" }));
            }
        }
        match self.events.pop_front() {
            Some(event) => Output::Event(event),
            None => Output::Timeout(self.timers.peek().map(|Reverse((at, _))| *at)),
        }
    }

    /// Rooms running now.
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// What the line to a session's participant is thought to carry, in bit/s; `None` if there is no such session.
    pub fn estimate(&self, session: SessionId) -> Option<u64> {
        let (room, participant) = *self.by_session.get(&session)?;
        self.rooms.get(room)?.estimate(participant)
    }

    /// Addresses, fragments and sessions that lead to participants; nothing may stay behind when they leave.
    pub fn route_count(&self) -> usize {
        self.by_address.len() + self.by_ufrag.len() + self.by_session.len()
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        let known = if is_stun(datagram.payload) {
            let ufrag = stun_local_ufrag(datagram.payload).and_then(|ufrag| std::str::from_utf8(ufrag).ok());
            ufrag.and_then(|ufrag| self.by_ufrag.get(ufrag))
        } else {
            self.by_address.get(&datagram.source)
        };
        let Some((room, route)) = known.copied() else {
            self.events.push_back(Event::Rejected(Rejection { layer: "demux", code: "unknown-source" }));
            return;
        };
        self.with_room(now, room, |room, context| room.handle_datagram(context, route, datagram));
    }

    fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Join(join) => self.join(now, *join),
            Command::Resume(resume) => self.resume(now, *resume),
            Command::Session(session, command) => self.session_command(now, session, command),
            Command::Administer(id, request) => self.administer(now, id, request),
            Command::EndAll(reason) => {
                let rooms: Vec<usize> = self.rooms.iter().map(|(key, _)| key).collect();
                for room in rooms {
                    self.end_room(now, room, reason, livekit::leave_request::Action::Reconnect);
                }
            }
        }
    }

    fn join(&mut self, now: Instant, join: Join) {
        let session = join.session;
        let room = self.room(now, &join.room, join.room_settings.as_deref(), join.mode, join.now_unix_ms);
        let participant = self.with_room(now, room, |room, context| room.join(context, join)).flatten();
        if let Some(participant) = participant.filter(|key| self.is_present(room, *key)) {
            self.by_session.insert(session, (room, participant));
        }
    }

    fn resume(&mut self, now: Instant, resume: Resume) {
        let (session, sid) = (resume.session, resume.participant_sid.clone());
        let room = self.by_name.get(&resume.room).copied();
        let address = room.and_then(|room| {
            let participant = self.with_room(now, room, |room, context| room.resume(context, resume));
            Some((room, participant.flatten()?))
        });
        match address {
            Some((room, participant)) if self.is_present(room, participant) => {
                self.by_session.insert(session, (room, participant));
            }
            Some(_) => {} // it left again with what it said, and was told
            None => self.refuse_resume(now, session, &sid),
        }
    }

    /// Asks a client to join again, unless it is not to.
    fn refuse_resume(&mut self, now: Instant, session: SessionId, sid: &str) {
        use livekit::leave_request::Action;
        let dismissed = self.dismissed.reason(now, sid);
        let code = if dismissed.is_some() { "resume-dismissed" } else { "resume-unknown" };
        self.events.push_back(Event::Rejected(Rejection { layer: "room", code }));
        let (reason, action) = match dismissed {
            Some(reason) => {
                // livekit-client heeds the action of a `Leave` only after this; as first word any makes it join again.
                let reconnected = Reconnected { last_message_seq: 0 };
                self.events.push_back(Event::Session(session, SessionEvent::Reconnected(reconnected)));
                (reason, Action::Disconnect)
            }
            None => (livekit::DisconnectReason::StateMismatch, Action::Reconnect),
        };
        let leave = livekit::LeaveRequest {
            can_reconnect: action == Action::Reconnect,
            reason: reason.into(),
            action: action.into(),
            regions: None,
        };
        self.events.push_back(Event::Session(session, SessionEvent::Leave(leave)));
    }

    /// A join whose offer was refused has left the room again.
    fn is_present(&self, room: usize, participant: usize) -> bool {
        self.rooms.get(room).is_some_and(|room| room.has_participant(participant))
    }

    fn session_command(&mut self, now: Instant, session: SessionId, command: SessionCommand) {
        // The session may have been ended a moment ago, which its signalling has not seen yet.
        if let Some((room, participant)) = self.by_session.get(&session).copied() {
            self.with_room(now, room, |room, context| room.handle_command(context, participant, command));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        // As often as there are timers now: one that is set again for the past waits for the next call, so that
        // a mistake in one room never keeps the worker from its packets.
        for _ in 0..self.timers.len() {
            let Some(Reverse((at, room))) = self.timers.peek().copied().filter(|Reverse((at, _))| *at <= now)
            else {
                break;
            };
            self.timers.pop();
            let Some(state) = self.rooms.get_mut(room).filter(|state| state.scheduled == Some(at)) else {
                continue; // gone, or rescheduled since
            };
            state.scheduled = None;
            self.with_room(now, room, |room, context| room.handle_timeout(context));
            if self.rooms.get(room).is_some_and(|state| state.is_over(now, self.config.room_grace)) {
                self.drop_room(room);
            }
        }
    }

    /// Runs something in a room. A panic ends that room and no other.
    fn with_room<T>(
        &mut self,
        now: Instant,
        key: usize,
        run: impl FnOnce(&mut Room, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let room = self.rooms.get_mut(key)?;
        let mut context = Context {
            now,
            config: &self.config,
            shared: &self.shared,
            random: &mut *self.random,
            events: &mut self.events,
            routes: &mut self.routes,
            epoch: self.epoch,
        };
        let result = catch_unwind(AssertUnwindSafe(|| run(room, &mut context)));
        if !self.routes.is_empty() {
            self.apply_routes(now, key);
        }
        match result {
            Ok(value) => {
                self.after_turn(key);
                Some(value)
            }
            Err(_) => {
                // The state is in doubt, so it is dropped whole; clients rejoin by themselves.
                self.events.push_back(Event::Rejected(Rejection { layer: "room", code: "panic" }));
                self.abandon_room(key);
                None
            }
        }
    }

    /// Keeps timers and the list of rooms with something to send up to date.
    fn after_turn(&mut self, key: usize) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        if room.is_dirty() && !self.dirty.contains(&key) {
            self.dirty.push(key);
        }
        let next = room.next_timeout(self.config.room_grace);
        if room.scheduled.is_none_or(|scheduled| next < scheduled) {
            room.scheduled = Some(next);
            self.timers.push(Reverse((next, key)));
        }
    }

    fn apply_routes(&mut self, now: Instant, room: usize) {
        for change in self.routes.drain(..) {
            match change {
                RouteChange::AddUfrag(ufrag, route) => {
                    self.by_ufrag.insert(ufrag, (room, route));
                }
                RouteChange::RemoveUfrag(ufrag) => {
                    self.by_ufrag.remove(&ufrag);
                }
                RouteChange::AddAddress(address, route) => {
                    self.by_address.insert(address, (room, route));
                    self.events.push_back(Event::Route(address));
                }
                RouteChange::RemoveAddress(address, route) => {
                    // Somebody else may have proved the address since.
                    if self.by_address.get(&address) == Some(&(room, route)) {
                        self.by_address.remove(&address);
                        self.events.push_back(Event::Unroute(address));
                    }
                }
                RouteChange::RemoveSession(session) => {
                    self.by_session.remove(&session);
                }
                RouteChange::Dismiss(sid, reason) => self.dismissed.push(now, sid, reason),
            }
        }
    }

    fn end_room(
        &mut self,
        now: Instant,
        key: usize,
        reason: livekit::DisconnectReason,
        action: livekit::leave_request::Action,
    ) {
        self.with_room(now, key, |room, context| room.end(context, reason, action));
        if let Some(room) = self.drop_room(key) {
            self.closing.extend(room.into_closing());
        }
    }

    fn drop_room(&mut self, key: usize) -> Option<Room> {
        let info = self.rooms.get(key)?.room_info();
        self.forget_room(key, info)
    }

    /// `info` is what programs outside are told of the room.
    fn forget_room(&mut self, key: usize, info: livekit::Room) -> Option<Room> {
        let room = self.rooms.try_remove(key)?;
        self.by_name.remove(room.name());
        self.dirty.retain(|dirty| *dirty != key);
        if self.config.notices {
            let event = "room_finished".to_owned();
            let notice = livekit::WebhookEvent { event, room: Some(info), ..Default::default() };
            self.events.push_back(Event::Notice(Box::new(notice)));
        }
        self.events.push_back(Event::RoomEnded { room: room.name().clone(), sid: room.sid().clone() });
        Some(room)
    }

    /// Drops a room without running any more of its code.
    fn abandon_room(&mut self, key: usize) {
        let Some(room) = self.rooms.get(key) else { return };
        let name = room.name().clone();
        let info = livekit::Room {
            name: name.expose().to_owned(),
            sid: room.sid().to_string(),
            ..Default::default()
        };
        let members: Vec<_> = room.members().map(|(session, identity)| (session, identity.clone())).collect();
        for (session, identity) in members {
            if let Some(session) = session {
                let leave = livekit::LeaveRequest {
                    can_reconnect: true,
                    reason: livekit::DisconnectReason::StateMismatch.into(),
                    action: livekit::leave_request::Action::Reconnect.into(),
                    regions: None,
                };
                self.events.push_back(Event::Session(session, SessionEvent::Leave(leave)));
            }
            self.events.push_back(Event::ParticipantLeft { room: name.clone(), identity });
        }
        self.by_session.retain(|_, (room, _)| *room != key);
        self.by_ufrag.retain(|_, (room, _)| *room != key);
        let lost: Vec<SocketAddr> = self
            .by_address
            .iter()
            .filter(|(_, (room, _))| *room == key)
            .map(|(address, _)| *address)
            .collect();
        for address in lost {
            self.by_address.remove(&address);
            self.events.push_back(Event::Unroute(address));
        }
        self.forget_room(key, info);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Everything that the core has to say now.
    fn events(core: &mut Sfu, now: Instant) -> Vec<Event> {
        let mut batch = SendBatch::new();
        std::iter::from_fn(|| match core.poll(now, &mut batch) {
            Output::Event(event) => Some(event),
            Output::Timeout(_) => None,
        })
        .collect()
    }

    fn join(core: &mut Sfu, now: Instant, session: u64, room: &str) {
        let join = crate::test_join(session, room, &format!("person-{session}"));
        core.handle(now, Input::Command(Command::Join(Box::new(join))));
    }

    #[test]
    fn a_panic_ends_its_room_and_no_other() {
        let now = crate::test_start();
        let config = Config { notices: true, ..Config::default() };
        let shared = Arc::new(Shared::new(&config).unwrap());
        let broken = Arc::new(AtomicBool::new(false));
        let (is_broken, mut counter) = (Arc::clone(&broken), 0);
        let random = Box::new(move |bytes: &mut [u8]| {
            assert!(!is_broken.load(Ordering::Relaxed), "a mistake in a room");
            counter += 1;
            bytes.fill(counter);
        });
        let mut core = Sfu::new(now, config, shared, random);
        join(&mut core, now, 1, "blue");
        join(&mut core, now, 2, "green");
        events(&mut core, now);
        assert_eq!(core.room_count(), 2);

        broken.store(true, Ordering::Relaxed);
        join(&mut core, now, 3, "blue");
        broken.store(false, Ordering::Relaxed);
        let told = events(&mut core, now);
        let leaves = |session: u64| {
            told.iter().any(|event| {
                matches!(event, Event::Session(SessionId(known), SessionEvent::Leave(leave))
                    if *known == session && leave.action() == livekit::leave_request::Action::Reconnect)
            })
        };
        assert!(leaves(1), "who was in the room is told to come back");
        assert!(!leaves(2), "the other room goes on");
        let counted = |event: &Event| matches!(event, Event::Rejected(rejection) if (rejection.layer, rejection.code) == ("room", "panic"));
        assert_eq!(told.iter().filter(|event| counted(event)).count(), 1);
        assert_eq!(core.room_count(), 1);
        let notices = told.iter().filter_map(|event| match event {
            Event::Notice(notice) => notice.room.clone(),
            _ => None,
        });
        let [finished] = &notices.collect::<Vec<_>>()[..] else { panic!("one room is finished") };
        let known = livekit::Room { name: "blue".into(), sid: finished.sid.clone(), ..Default::default() };
        assert_eq!(finished, &known, "nothing is told from a state in doubt");

        join(&mut core, now, 4, "blue");
        let joined = |event: &Event| matches!(event, Event::Session(SessionId(4), SessionEvent::Joined(_)));
        assert!(events(&mut core, now).iter().any(joined), "and the room can begin anew");
    }
}
