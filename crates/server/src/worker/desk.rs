//! What a worker does with what comes in: datagrams to its own core or to the worker that owns them,
//! commands to the core, the core's events to the sessions.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use net::{Received, UdpSocket};
use protocol::ids::SessionId;
use protocol::livekit;
use sfu::command::{Command, SessionCommand};
use sfu::config::worker_of_ufrag;
use sfu::event::{Event, Rejection, SessionEvent};
use sfu::peer::transport::{is_stun, stun_local_ufrag};

use crate::directory::Directory;
use crate::metrics::{Metrics, Traffic};
use crate::signal::queue::EventSender;
use crate::webhook::Outbox;
use crate::worker::ToWorker;
use crate::worker::core::{Core, Lost};
use crate::worker::handover::{HandoverCounts, Lines, MAX_DATAGRAM, Message};
use crate::worker::requests::Requests;
use crate::worker::routes::Routes;

/// Bytes sealed before they are sent without waiting for the end of the tick: what a processor's cache
/// still holds.
const SEND_AT: usize = 512 << 10;

/// Where a datagram goes.
enum Way {
    Here,
    There { worker: u8, wants_route: bool },
    Nowhere,
}

/// Everything of a worker but its socket and its queues.
pub(super) struct Desk {
    index: u8,
    core: Core,
    lines: Lines,
    routes: Routes,
    sessions: HashMap<SessionId, EventSender>,
    requests: Requests,
    outbox: Outbox,
    /// Sessions dropped because they did not read; the core has to hear of it.
    dropped: Vec<SessionId>,
    /// Addresses for which another worker wants to know the owner, once the core has looked at them.
    asked: Vec<(SocketAddr, u8)>,
    directory: Arc<Directory>,
    metrics: Metrics,
    traffic: Traffic,
    rejections: HashMap<Rejection, u64>,
}

impl Desk {
    pub(super) fn new(
        index: u8,
        core: Core,
        lines: Lines,
        directory: Arc<Directory>,
        metrics: Metrics,
        outbox: Outbox,
    ) -> Self {
        Self {
            index,
            core,
            lines,
            routes: Routes::default(),
            sessions: HashMap::new(),
            requests: Requests::default(),
            outbox,
            dropped: Vec::new(),
            asked: Vec::new(),
            directory,
            metrics,
            traffic: Traffic::default(),
            rejections: HashMap::new(),
        }
    }

    /// When the core wants to be woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.core.deadline()
    }

    /// A datagram came to this worker's socket. [`Desk::settle`] after a batch of them.
    pub(super) fn received(&mut self, now: Instant, datagram: Received<'_>) {
        self.traffic.received += 1;
        let Received { source, destination, payload } = datagram;
        if payload.len() > MAX_DATAGRAM {
            return self.reject("route", "oversized-datagram");
        }
        match self.way(&source, payload) {
            Way::Here => self.feed(now, source, destination, payload),
            Way::There { worker, wants_route } => {
                let mut counts = HandoverCounts::default();
                self.lines.datagram(worker, source, destination, payload, wants_route, &mut counts);
                self.count_handover(counts);
            }
            Way::Nowhere => self.reject("route", "unknown-address"),
        }
    }

    /// Something came from another worker. [`Desk::settle`] afterwards.
    pub(super) fn handed(&mut self, now: Instant, message: Message) {
        match message {
            Message::Datagrams(mut batch) => batch.each(|handed| {
                if handed.wants_route {
                    self.asked.push((handed.source, handed.from));
                }
                self.feed(now, handed.source, handed.destination, handed.payload);
            }),
            Message::Route(worker, address) => {
                for told in self.routes.learn(address, worker) {
                    self.lines.unroute(told, address);
                }
            }
            Message::Unroute(worker, address) => self.routes.unlearn(&address, worker),
        }
    }

    /// A message of signalling. [`Desk::settle`] afterwards.
    pub(super) fn command(&mut self, now: Instant, message: ToWorker) {
        let command = match message {
            ToWorker::Join { join, events } => {
                self.sessions.insert(join.session, events);
                Command::Join(join)
            }
            ToWorker::Resume { resume, events } => {
                self.sessions.insert(resume.session, events);
                Command::Resume(resume)
            }
            ToWorker::Session(session, command) => {
                let known = match command {
                    SessionCommand::Disconnected => self.sessions.remove(&session).is_some(),
                    _ => self.sessions.contains_key(&session),
                };
                if !known {
                    return; // ended by the core or dropped while the word was on its way
                }
                Command::Session(session, command)
            }
            ToWorker::Administer(request, answer) => {
                Command::Administer(self.requests.begin(answer), *request)
            }
            ToWorker::EndAll(reason) => Command::EndAll(reason),
            ToWorker::Stop => return,
        };
        if self.core.command(now, command).is_err() {
            self.lost();
        }
    }

    /// The core's deadline may have come. [`Desk::settle`] afterwards.
    pub(super) fn timeout(&mut self, now: Instant) {
        if self.core.timeout(now).is_err() {
            self.lost();
        }
    }

    /// Drains the core and hands out what it says; sends if much has gathered.
    pub(super) fn settle(&mut self, now: Instant, socket: &mut UdpSocket) {
        loop {
            let mut events = Events { desk: DeskParts::of(self) };
            let drained = events.drain(now);
            if drained.is_err() {
                self.lost();
            }
            if self.dropped.is_empty() {
                break;
            }
            for session in std::mem::take(&mut self.dropped) {
                let command = Command::Session(session, SessionCommand::Disconnected);
                if self.core.command(now, command).is_err() {
                    self.lost();
                }
            }
        }
        for (address, worker) in std::mem::take(&mut self.asked) {
            if self.routes.owns(&address) && self.lines.route(worker, address) {
                self.routes.told(&address, worker);
            }
        }
        if self.core.sealed_bytes() >= SEND_AT {
            self.send(socket);
        }
    }

    /// The end of a tick: everything sealed is sent, everything gathered handed over and counted.
    pub(super) fn finish(&mut self, socket: &mut UdpSocket) {
        self.send(socket);
        let mut counts = HandoverCounts::default();
        self.lines.flush(&mut counts);
        self.count_handover(counts);
        self.metrics.traffic(&std::mem::take(&mut self.traffic));
        for (rejection, times) in self.rejections.drain() {
            self.metrics.reject_many(rejection.layer, rejection.code, times);
        }
    }

    /// Counts what a flush of the socket's backlog came to.
    pub(super) fn flushed(&mut self, counts: net::SendCounts) {
        self.traffic.send += counts;
    }

    /// Counts something refused.
    pub(super) fn reject(&mut self, layer: &'static str, code: &'static str) {
        *self.rejections.entry(Rejection { layer, code }).or_insert(0) += 1;
    }

    fn way(&self, source: &SocketAddr, payload: &[u8]) -> Way {
        if self.lines.workers() <= 1 {
            return Way::Here;
        }
        if is_stun(payload) {
            // Without a user fragment it is nobody's check; this core says so and counts it.
            let Some(worker) = stun_local_ufrag(payload).and_then(worker_of_ufrag) else { return Way::Here };
            if worker == self.index {
                return Way::Here;
            }
            if usize::from(worker) >= self.lines.workers() {
                return Way::Nowhere;
            }
            return Way::There { worker, wants_route: self.routes.other(source) != Some(worker) };
        }
        if self.routes.owns(source) {
            return Way::Here;
        }
        match self.routes.other(source) {
            Some(worker) => Way::There { worker, wants_route: false },
            None => Way::Nowhere,
        }
    }

    fn feed(&mut self, now: Instant, source: SocketAddr, destination: Option<IpAddr>, payload: &mut [u8]) {
        if self.core.datagram(now, source, destination, payload).is_err() {
            self.lost();
        }
    }

    fn send(&mut self, socket: &mut UdpSocket) {
        if self.core.sealed_bytes() > 0 {
            self.traffic.send += socket.send(self.core.sealed());
            self.core.clear_sealed();
        }
    }

    fn count_handover(&mut self, counts: HandoverCounts) {
        self.traffic.handed_over += counts.handed_over;
        self.traffic.handover_dropped += counts.dropped;
    }

    /// The core is gone with all its rooms. Its clients are told to connect anew.
    fn lost(&mut self) {
        self.metrics.core_panicked();
        tracing::error!(worker = self.index, "the media core failed; its rooms start over");
        self.directory.forget_worker(self.index);
        for (address, worker) in self.routes.release_all() {
            self.lines.unroute(worker, address);
        }
        self.asked.clear();
        self.dropped.clear();
        self.requests.clear();
        for (_, events) in self.sessions.drain() {
            let leave = livekit::LeaveRequest {
                can_reconnect: true,
                reason: livekit::DisconnectReason::StateMismatch.into(),
                action: livekit::leave_request::Action::Reconnect.into(),
                regions: None,
            };
            let _ = events.try_send(SessionEvent::Leave(leave));
        }
    }
}

/// The parts of a desk that the core's events touch, apart from the core.
struct DeskParts<'a> {
    index: u8,
    core: &'a mut Core,
    lines: &'a mut Lines,
    routes: &'a mut Routes,
    sessions: &'a mut HashMap<SessionId, EventSender>,
    requests: &'a mut Requests,
    outbox: &'a Outbox,
    dropped: &'a mut Vec<SessionId>,
    directory: &'a Directory,
    metrics: &'a Metrics,
    rejections: &'a mut HashMap<Rejection, u64>,
}

impl<'a> DeskParts<'a> {
    fn of(desk: &'a mut Desk) -> Self {
        Self {
            index: desk.index,
            core: &mut desk.core,
            lines: &mut desk.lines,
            routes: &mut desk.routes,
            sessions: &mut desk.sessions,
            requests: &mut desk.requests,
            outbox: &desk.outbox,
            dropped: &mut desk.dropped,
            directory: &desk.directory,
            metrics: &desk.metrics,
            rejections: &mut desk.rejections,
        }
    }
}

/// Hands out the core's events.
struct Events<'a> {
    desk: DeskParts<'a>,
}

impl Events<'_> {
    fn drain(&mut self, now: Instant) -> Result<(), Lost> {
        let DeskParts {
            index,
            core,
            lines,
            routes,
            sessions,
            requests,
            outbox,
            dropped,
            directory,
            metrics,
            rejections,
        } = &mut self.desk;
        let mut reject = |rejection: Rejection| *rejections.entry(rejection).or_insert(0) += 1;
        core.drain(now, |event| match event {
            Event::Session(session, event) => {
                let over = event.is_last();
                let Some(events) = sessions.get(&session) else { return };
                if let Err(not_taken) = events.try_send(event) {
                    if let Some(code) = not_taken.code() {
                        reject(Rejection { layer: "signal", code });
                    }
                    sessions.remove(&session);
                    if !over {
                        dropped.push(session);
                    }
                } else if over {
                    sessions.remove(&session);
                }
            }
            Event::Route(address) => {
                if routes.claim(address).is_err() {
                    reject(Rejection { layer: "route", code: "table-full" });
                }
            }
            Event::Unroute(address) => {
                for worker in routes.release(&address) {
                    lines.unroute(worker, address);
                }
            }
            Event::Answer(id, answer) => requests.answer(id, answer),
            Event::Notice(notice) => outbox.post(*notice),
            Event::Rejected(rejection) => reject(rejection),
            event => {
                if matches!(event, Event::ParticipantJoined { .. }) {
                    metrics.joined();
                }
                directory.apply(*index, &event);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use protocol::ids::{Identity, RoomName};
    use sfu::command::Join;

    use super::*;
    use crate::signal::queue::{self, EventReceiver};
    use crate::worker::core;
    use crate::worker::handover::switchboard;

    thread_local! {
        static BROKEN: Cell<bool> = const { Cell::new(false) };
    }

    /// A source that breaks once, on demand: the one part of a core that a test can make panic.
    fn fragile(bytes: &mut [u8]) {
        assert!(!BROKEN.take(), "broken on purpose");
        crate::random::fill(bytes);
    }

    fn desk(metrics: &Metrics, directory: &Arc<Directory>) -> (Desk, UdpSocket) {
        let config = sfu::config::Config::default();
        let shared = core::shared(&config).expect("a certificate");
        let core = Core::new(config, shared, fragile);
        let poll = mio::Poll::new().expect("an event queue");
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker"));
        let (_, mut lines) = switchboard(&[waker]);
        let lines = lines.remove(0);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let socket = UdpSocket::new(socket).expect("options");
        (Desk::new(0, core, lines, Arc::clone(directory), metrics.clone(), Outbox::default()), socket)
    }

    fn join(session: u64, room: &str) -> (ToWorker, EventReceiver) {
        let (events, received) = queue::channel();
        let join = Join {
            session: SessionId(session),
            room: RoomName::new(room),
            identity: Identity::new(format!("identity-{session}")),
            name: String::new(),
            metadata: String::new(),
            attributes: HashMap::new(),
            permission: livekit::ParticipantPermission { can_subscribe: true, ..Default::default() },
            kind: livekit::participant_info::Kind::Standard,
            client: livekit::ClientInfo::default(),
            auto_subscribe: true,
            offer: None,
            add_tracks: Vec::new(),
            now_unix_ms: 0,
            room_settings: None,
            mode: protocol::api::Mode::Mls,
            two_connections: false,
            keyed: None,
        };
        (ToWorker::Join { join: Box::new(join), events }, received)
    }

    #[test]
    fn a_core_that_fails_costs_its_rooms_and_not_the_worker() {
        let (metrics, directory) = (Metrics::new(), Arc::new(Directory::default()));
        let (mut desk, mut socket) = desk(&metrics, &directory);
        let now = Instant::now();
        let (first, mut first_events) = join(1, "one");
        desk.command(now, first);
        desk.settle(now, &mut socket);
        assert!(matches!(first_events.try_recv(), Some(SessionEvent::Joined(_))));
        assert_eq!(directory.census().participants, 1);

        BROKEN.set(true);
        let (second, _second_events) = join(2, "two");
        desk.command(now, second);
        desk.settle(now, &mut socket);
        let told = std::iter::from_fn(|| first_events.try_recv()).last();
        let Some(SessionEvent::Leave(leave)) = told else { panic!("the client is told: {told:?}") };
        assert_eq!(leave.action, i32::from(livekit::leave_request::Action::Reconnect));
        assert_eq!(directory.census().participants, 0, "and the room is forgotten");
        assert!(metrics.render(&directory).contains("konklave_core_panics_total 1"));

        let (third, mut third_events) = join(3, "one");
        desk.command(now, third);
        desk.settle(now, &mut socket);
        assert!(matches!(third_events.try_recv(), Some(SessionEvent::Joined(_))), "the worker goes on");
    }

    #[test]
    fn a_datagram_that_no_peer_sends_goes_nowhere() {
        let (metrics, directory) = (Metrics::new(), Arc::new(Directory::default()));
        let (mut desk, mut socket) = desk(&metrics, &directory);
        let source = SocketAddr::from(([192, 0, 2, 1], 9));
        for bytes in [MAX_DATAGRAM, MAX_DATAGRAM + 1, 65_000] {
            let mut payload = vec![0x80; bytes];
            desk.received(Instant::now(), Received { source, destination: None, payload: &mut payload });
        }
        desk.settle(Instant::now(), &mut socket);
        desk.finish(&mut socket);
        assert_eq!(metrics.rejected("route", "oversized-datagram"), 2);
    }

    #[test]
    fn a_session_that_does_not_read_is_dropped() {
        let (metrics, directory) = (Metrics::new(), Arc::new(Directory::default()));
        let (mut desk, mut socket) = desk(&metrics, &directory);
        let now = Instant::now();
        let (deaf, mut deaf_events) = join(1, "one");
        desk.command(now, deaf);
        desk.settle(now, &mut socket);
        for session in 2..600 {
            let (other, _events) = join(session, "one");
            desk.command(now, other);
            desk.settle(now, &mut socket);
            desk.command(
                now,
                ToWorker::Session(
                    SessionId(session),
                    SessionCommand::Leave(livekit::DisconnectReason::ClientInitiated),
                ),
            );
            desk.settle(now, &mut socket);
        }
        desk.finish(&mut socket);
        while deaf_events.try_recv().is_some() {}
        assert!(deaf_events.is_closed(), "its queue is closed, so that its connection ends");
        assert_eq!(metrics.rejected("signal", "slow-client"), 1);
    }
}
