//! The rooms that have channels, each with its [`Delivery`]. It lives on the threads of HTTP; the packet path does not
//! know of it. A room is locked for as long as one message takes, and forgotten with the last who could come back.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use delivery::{Delivery, Handle, Limits, Millis, Output};
use protocol::channel::{ClosingCode, ToServer};
use protocol::ids::{Identity, RoomName};
use tokio::sync::{Notify, mpsc};

use crate::channel::LAYER;
use crate::channel::outbox::{Inbox, Outbox, outbox};
use crate::directory::Departure;
use crate::keys::hex;
use crate::metrics::Metrics;

/// All rooms with channels.
pub(crate) struct Hub {
    rooms: Mutex<Rooms>,
    metrics: Metrics,
    /// The zero of the deliveries' time.
    start: Instant,
    /// How long after the start newcomers wait for somebody who knows what was.
    restoring: Duration,
}

#[derive(Default)]
struct Rooms {
    by_name: HashMap<RoomName, Arc<Room>>,
    is_stopping: bool,
}

struct Room {
    name: RoomName,
    state: Mutex<State>,
    /// Its deadline may have changed.
    changed: Notify,
}

struct State {
    delivery: Delivery,
    outboxes: HashMap<Handle, Outbox>,
    /// It is forgotten, or about to be.
    is_over: bool,
}

/// A channel as its connection holds it.
pub(super) struct Seat {
    hub: Arc<Hub>,
    room: Arc<Room>,
    handle: Handle,
}

impl Hub {
    /// Without rooms. `departures` tells who has left a room for good, and which rooms have ended.
    pub(crate) fn start(
        metrics: Metrics,
        restoring: Duration,
        mut departures: mpsc::UnboundedReceiver<Departure>,
    ) -> Arc<Self> {
        let hub = Arc::new(Self { rooms: Mutex::default(), metrics, start: Instant::now(), restoring });
        let listening = Arc::downgrade(&hub);
        tokio::spawn(async move {
            while let Some(departure) = departures.recv().await {
                let Some(hub) = listening.upgrade() else { return };
                hub.departed(&departure);
            }
        });
        hub
    }

    /// Opens a channel; `None` when the server stops.
    pub(super) fn open(self: &Arc<Self>, name: &RoomName, identity: &Identity) -> Option<(Seat, Inbox)> {
        loop {
            let room = self.room(name)?;
            let (sender, inbox) = outbox();
            let opened = self.with(&room, |state, now| {
                let handle = state.delivery.opened(now, identity.clone());
                state.outboxes.insert(handle, sender);
                handle
            });
            // A room that ended at this moment is not the next one.
            if let Some(handle) = opened {
                return Some((Seat { hub: Arc::clone(self), room, handle }, inbox));
            }
        }
    }

    /// Closes every channel, and opens none from now on.
    pub(crate) fn stop(&self) {
        let rooms: Vec<Arc<Room>> = {
            let mut rooms = self.lock();
            rooms.is_stopping = true;
            rooms.by_name.values().cloned().collect()
        };
        for room in rooms {
            self.end(&room, ClosingCode::Stopping);
        }
    }

    fn departed(&self, departure: &Departure) {
        let name = match departure {
            Departure::Participant { room, .. } | Departure::Room { room } => room,
        };
        let Some(room) = self.lock().by_name.get(name).cloned() else { return };
        match departure {
            Departure::Participant { identity, .. } => {
                self.with(&room, |state, now| state.delivery.ended(now, identity));
            }
            Departure::Room { .. } => self.end(&room, ClosingCode::Ended),
        }
    }

    fn end(&self, room: &Arc<Room>, code: ClosingCode) {
        self.with(room, |state, _| {
            state.delivery.end(code);
            state.is_over = true;
        });
    }

    fn room(self: &Arc<Self>, name: &RoomName) -> Option<Arc<Room>> {
        let mut rooms = self.lock();
        if rooms.is_stopping {
            return None;
        }
        if let Some(room) = rooms.by_name.get(name) {
            return Some(Arc::clone(room));
        }
        let log = hex(&crate::random::array::<16>());
        let restoring_until = u64::try_from(self.restoring.as_millis()).unwrap_or(Millis::MAX);
        let delivery = Delivery::new(Limits::default(), self.now(), log, restoring_until);
        let state = State { delivery, outboxes: HashMap::new(), is_over: false };
        let room = Arc::new(Room { name: name.clone(), state: Mutex::new(state), changed: Notify::new() });
        rooms.by_name.insert(name.clone(), Arc::clone(&room));
        tokio::spawn(keep_time(Arc::clone(self), Arc::clone(&room)));
        Some(room)
    }

    /// Does something in a room and carries out what follows; `None` if the room is over.
    fn with<T>(&self, room: &Arc<Room>, act: impl FnOnce(&mut State, Millis) -> T) -> Option<T> {
        let (done, is_over) = match room.state.lock() {
            Ok(state) if state.is_over => return None,
            Ok(mut state) => {
                let now = self.now();
                let done = act(&mut state, now);
                state.carry_out(now, &self.metrics);
                state.is_over |= state.delivery.is_over();
                (Some(done), state.is_over)
            }
            // Half of something was done when it panicked: the room ends, and its members open it anew.
            Err(poisoned) => {
                self.metrics.reject(LAYER, "room-failed");
                let mut state = poisoned.into_inner();
                (state.outboxes, state.is_over) = (HashMap::new(), true);
                room.state.clear_poison();
                (None, true)
            }
        };
        if is_over {
            self.forget(room);
        }
        room.changed.notify_one();
        done
    }

    fn forget(&self, room: &Arc<Room>) {
        let mut rooms = self.lock();
        if rooms.by_name.get(&room.name).is_some_and(|known| Arc::ptr_eq(known, room)) {
            rooms.by_name.remove(&room.name);
        }
    }

    fn now(&self) -> Millis {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        // No code that holds the lock can panic half-way, so a poisoned map is still right.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// When it wants to be woken; `None` if it is over.
    fn deadline(&self) -> Option<Option<Millis>> {
        let state = self.state.lock().ok()?;
        (!state.is_over).then(|| state.delivery.poll_timeout())
    }
}

impl State {
    fn carry_out(&mut self, now: Millis, metrics: &Metrics) {
        let mut slow = Vec::new();
        loop {
            while let Some(output) = self.delivery.poll() {
                match output {
                    Output::Send { to, message } => {
                        let text = Utf8Bytes::from(serde_json::to_string(&message).unwrap_or_default());
                        let outboxes = &self.outboxes;
                        let is_slow = |handle: &Handle| {
                            outboxes.get(handle).is_some_and(|outbox| !outbox.push(text.clone()))
                        };
                        slow.extend(to.into_iter().filter(is_slow));
                    }
                    Output::Close { handle, code } => {
                        if let Some(outbox) = self.outboxes.remove(&handle) {
                            outbox.close(code);
                        }
                    }
                    Output::Appended => metrics.channel_entry(),
                    Output::Rejected(code) => metrics.reject(LAYER, code),
                }
            }
            let Some(handle) = slow.pop() else { return };
            self.delivery.close(now, handle, ClosingCode::TooSlow, "too-slow");
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub({} rooms)", self.lock().by_name.len())
    }
}

/// Wakes a room at its deadlines, until it is over.
async fn keep_time(hub: Arc<Hub>, room: Arc<Room>) {
    while let Some(deadline) = room.deadline() {
        let wait = deadline.map(|deadline| Duration::from_millis(deadline.saturating_sub(hub.now())));
        tokio::select! {
            () = room.changed.notified() => {}
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                hub.with(&room, |state, now| state.delivery.timeout(now));
            }
        }
    }
}

impl Seat {
    /// The member says something.
    pub(super) fn say(&self, message: ToServer) {
        self.hub.with(&self.room, |state, now| state.delivery.handle(now, self.handle, message));
    }

    /// Closes the channel; `reason` is what is counted.
    pub(super) fn close(&self, code: ClosingCode, reason: &'static str) {
        self.hub.with(&self.room, |state, now| state.delivery.close(now, self.handle, code, reason));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.with(&self.room, |state, now| {
            state.outboxes.remove(&self.handle);
            state.delivery.closed(now, self.handle);
        });
    }
}

#[cfg(test)]
mod tests {
    use protocol::channel::{Blob, FromServer, Submission};

    use super::*;

    fn hub() -> (Arc<Hub>, mpsc::UnboundedSender<Departure>, Metrics) {
        let (sender, departures) = mpsc::unbounded_channel();
        let metrics = Metrics::new();
        (Hub::start(metrics.clone(), Duration::ZERO, departures), sender, metrics)
    }

    fn enter(hub: &Arc<Hub>, identity: &str) -> (Seat, Inbox) {
        let (seat, inbox) = hub.open(&RoomName::new("r"), &Identity::new(identity)).expect("it runs");
        seat.say(ToServer::Hello { log: None, after: 0 });
        (seat, inbox)
    }

    /// Reads what is there, and whatever comes until `pick` takes it.
    async fn until(inbox: &mut Inbox, pick: impl Fn(&FromServer) -> bool) {
        loop {
            let text = inbox.recv().await.expect("it is open");
            if pick(&serde_json::from_str(&text).expect("a FromServer")) {
                return;
            }
        }
    }

    fn start_group(seat: &Seat, bytes: usize) {
        seat.say(ToServer::Submit {
            id: 1,
            after: 0,
            kind: Submission::Group,
            data: Blob(vec![0; bytes]),
            welcome: None,
            group_info: None,
        });
    }

    #[tokio::test]
    async fn who_reads_too_slowly_is_closed_and_gone() {
        let (hub, _departures, metrics) = hub();
        let (ada, mut told) = enter(&hub, "ada");
        start_group(&ada, 128 << 10);
        let (slow, mut unread) = enter(&hub, "slow");
        for _ in 0..100 {
            slow.say(ToServer::WantBase { bad: None });
        }
        assert_eq!(metrics.rejected(LAYER, "too-slow"), 1);
        assert!(unread.recv().await.is_none() && unread.closing() == Some(ClosingCode::TooSlow));
        let is_gone = |message: &FromServer| matches!(message, FromServer::Entry(entry) if entry.kind == protocol::channel::Kind::Gone);
        until(&mut told, is_gone).await;
    }

    #[tokio::test]
    async fn rooms_are_forgotten_and_nothing_opens_once_it_stops() {
        let (hub, _departures, _) = hub();
        let (ada, _told) = enter(&hub, "ada");
        start_group(&ada, 1);
        assert_eq!(format!("{hub:?}"), "Hub(1 rooms)");
        ada.say(ToServer::Leave);
        assert_eq!(format!("{hub:?}"), "Hub(0 rooms)");
        let (_ben, mut told) = enter(&hub, "ben");
        hub.stop();
        while told.recv().await.is_some() {}
        assert_eq!(told.closing(), Some(ClosingCode::Stopping));
        assert!(hub.open(&RoomName::new("r"), &Identity::new("ada")).is_none());
    }

    #[tokio::test]
    async fn a_room_that_panicked_ends_and_the_next_is_a_new_one() {
        let (hub, _departures, metrics) = hub();
        let (ada, mut told) = enter(&hub, "ada");
        let failing = Arc::clone(&ada.room);
        let other = Arc::clone(&hub);
        let thread = std::thread::spawn(move || other.with(&failing, |_, _| panic!("on purpose")));
        assert!(thread.join().is_err());
        ada.say(ToServer::Leave);
        while told.recv().await.is_some() {}
        assert_eq!((told.closing(), metrics.rejected(LAYER, "room-failed")), (None, 1));
        let (_ben, mut told) = enter(&hub, "ben");
        until(&mut told, |message| matches!(message, FromServer::Opened { .. })).await;
    }
}
