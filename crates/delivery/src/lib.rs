//! The delivery service of one room: an ordered log that its members share and that the server cannot read
//! (`docs/e2ee.md`). Sans-IO: time and the log's name are arguments.
//!
//! The rule of its run loop: hand in what happened ([`Delivery::opened`], [`Delivery::handle`], …), then poll until
//! there is no more [`Output`], and call [`Delivery::timeout`] when [`Delivery::poll_timeout`] says so.

mod agreement;
mod appending;
mod base;
mod bucket;
mod hello;
pub mod limits;
mod log;
mod member;
mod outcome;
mod output;
mod person;
mod restoring;
mod submitting;
#[cfg(test)]
mod tests;
mod vouching;
mod waiting;
mod welcome;

use std::collections::{BTreeMap, VecDeque};

pub use bucket::Rate;
pub use limits::Limits;
pub use output::{Handle, Output};
use protocol::channel::{Blob, ClosingCode, FromServer, Sequence, ToServer};
use protocol::ids::Identity;

use crate::base::{Ask, State};
use crate::bucket::Bucket;
use crate::limits::{HELLO_WAIT, SILENCE};
use crate::log::Log;
use crate::member::{Member, Stage};
use crate::outcome::{Asked, Tracked};
use crate::person::{People, Presence};
use crate::restoring::Restoring;
use crate::welcome::Welcomes;

/// Milliseconds of any clock that goes forward.
pub type Millis = u64;

/// The delivery service of one room.
pub struct Delivery {
    limits: Limits,
    /// The newest time that was handed in.
    now: Millis,
    log: Log,
    restoring: Restoring,
    members: BTreeMap<Handle, Member>,
    channels: BTreeMap<Identity, Handle>,
    people: People,
    /// Submissions without a verdict, in the order of the log.
    tracked: VecDeque<Tracked>,
    /// Entries that were applied, of which it is open what they make of the words of those who came or went with them.
    vouched: VecDeque<Asked>,
    /// The newest state of the group that is known to be good.
    good: Option<State>,
    ask: Option<Ask>,
    welcomes: Welcomes,
    /// Key packages of those who wait to be added.
    packages: BTreeMap<Identity, Blob>,
    joins: Bucket,
    next: u64,
    output: VecDeque<Output>,
}

impl Delivery {
    /// A room without entries. `log` names it: random, never used before. Until `restoring_until` it may be that this
    /// process has just lost its meeting, and newcomers wait.
    pub fn new(limits: Limits, now: Millis, log: String, restoring_until: Millis) -> Self {
        let joins = Bucket::new(limits.room_joins, now);
        Self {
            limits,
            now,
            log: Log::new(log),
            restoring: Restoring::new(now, restoring_until),
            members: BTreeMap::new(),
            channels: BTreeMap::new(),
            people: People::default(),
            tracked: VecDeque::new(),
            vouched: VecDeque::new(),
            good: None,
            ask: None,
            welcomes: Welcomes::default(),
            packages: BTreeMap::new(),
            joins,
            next: 0,
            output: VecDeque::new(),
        }
    }

    /// A channel opened. A newer one of the same identity takes the place of the older one.
    pub fn opened(&mut self, now: Millis, identity: Identity) -> Handle {
        self.pass(now);
        let handle = Handle(self.next);
        self.next += 1;
        if let Some(older) = self.channels.get(&identity).copied() {
            self.forget(older);
            self.output.push_back(Output::Close { handle: older, code: ClosingCode::Elsewhere });
        }
        let is_full = self.members.len() >= self.limits.members;
        let is_connected = |identity: &Identity| self.channels.contains_key(identity);
        if is_full || !self.people.admit(self.now, &identity, &self.limits, is_connected) {
            self.reject("full");
            self.output.push_back(Output::Close { handle, code: ClosingCode::Full });
            return handle;
        }
        let trusted = self.people.trusted(&identity);
        self.channels.insert(identity.clone(), handle);
        self.members.insert(handle, Member::new(identity, self.now, trusted));
        self.settle();
        handle
    }

    /// A member says something. What channels say that are closed already is ignored.
    pub fn handle(&mut self, now: Millis, handle: Handle, message: ToServer) {
        self.pass(now);
        let Some(member) = self.members.get(&handle) else { return };
        let person = self.people.get_mut(&member.identity);
        if !person.is_some_and(|person| person.messages.take(self.limits.messages, self.now)) {
            return self.close(now, handle, ClosingCode::TooOften, "too-many-messages");
        }
        if (member.stage == Stage::Opening) != matches!(message, ToServer::Hello { .. }) {
            return self.close(now, handle, ClosingCode::Malformed, "out-of-turn");
        }
        match message {
            ToServer::Hello { log, after } => self.hello(handle, log.as_deref(), after),
            ToServer::Submit { id, after, kind, data, welcome, group_info } => {
                self.submit(handle, submitting::Submitted { id, after, kind, data, welcome, group_info });
            }
            ToServer::Applied { seq, refused, state } => self.applied(handle, seq, &refused, state),
            ToServer::GroupInfo { seq, group_info } => self.group_info(handle, seq, group_info),
            ToServer::WantBase { bad } => self.want_base(handle, bad.is_some()),
            ToServer::KeyPackage { data } => self.key_package(handle, data),
            ToServer::Restore { epoch, state, group_info, statements, members } => {
                self.offered(handle, group_info, restoring::Offer { epoch, state, statements, members });
            }
            ToServer::Ping => self.send(handle, FromServer::Pong),
            ToServer::Leave => {
                let Some(identity) = self.forget(handle) else { return };
                self.output.push_back(Output::Close { handle, code: ClosingCode::Ended });
                self.left(&identity);
            }
        }
        self.settle();
    }

    /// A channel broke.
    pub fn closed(&mut self, now: Millis, handle: Handle) {
        self.pass(now);
        self.lost(handle);
        self.settle();
    }

    /// Closes a channel; `reason` is what is counted.
    pub fn close(&mut self, now: Millis, handle: Handle, code: ClosingCode, reason: &'static str) {
        self.pass(now);
        self.hang_up(handle, code, reason);
        self.settle();
    }

    /// A participant left the room for good.
    pub fn ended(&mut self, now: Millis, identity: &Identity) {
        self.pass(now);
        if let Some(handle) = self.channels.get(identity).copied() {
            self.forget(handle);
            self.output.push_back(Output::Close { handle, code: ClosingCode::Ended });
        }
        self.left(identity);
        self.settle();
    }

    /// The room is over for everybody: closes every channel.
    pub fn end(&mut self, code: ClosingCode) {
        for handle in std::mem::take(&mut self.members).into_keys() {
            self.output.push_back(Output::Close { handle, code });
        }
        self.channels.clear();
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Millis) {
        self.pass(now);
        self.restoring_timeout();
        for identity in self.people.overdue(self.now) {
            self.presence(&identity, Presence::Expired);
        }
        self.welcomes.expire(self.now);
        let silent = |member: &Member| match member.stage {
            Stage::Opening => self.now >= member.opened.saturating_add(HELLO_WAIT),
            _ => member.owes_since.is_some_and(|since| self.now >= since.saturating_add(SILENCE)),
        };
        let silent: Vec<Handle> =
            self.members.iter().filter(|(_, member)| silent(member)).map(|(handle, _)| *handle).collect();
        for handle in silent {
            self.hang_up(handle, ClosingCode::Silent, "silent");
        }
        self.settle();
    }

    /// When [`Delivery::timeout`] is to be called next; may have passed.
    pub fn poll_timeout(&self) -> Option<Millis> {
        let members = self.members.values().filter_map(|member| match member.stage {
            Stage::Opening => Some(member.opened.saturating_add(HELLO_WAIT)),
            _ => member.owes_since.map(|since| since.saturating_add(SILENCE)),
        });
        members
            .chain(self.restoring_deadline())
            .chain(self.people.next_expiry())
            .chain(self.welcomes.next_expiry())
            .chain(self.base_deadline())
            .min()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// Nobody has a channel and nobody can come back to the log: the room may be forgotten.
    pub fn is_over(&self) -> bool {
        self.members.is_empty() && self.people.next_expiry().is_none()
    }

    /// Channels that are open.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// The last entry of the log.
    pub fn head(&self) -> Sequence {
        self.log.head()
    }

    fn pass(&mut self, now: Millis) {
        self.now = self.now.max(now);
    }

    /// Draws the consequences of whatever happened.
    fn settle(&mut self) {
        self.judge();
        self.agree();
        self.serve_bases();
    }

    fn send(&mut self, handle: Handle, message: FromServer) {
        self.output.push_back(Output::Send { to: vec![handle], message });
    }

    fn send_all(&mut self, to: Vec<Handle>, message: FromServer) {
        if !to.is_empty() {
            self.output.push_back(Output::Send { to, message });
        }
    }

    fn reject(&mut self, code: &'static str) {
        self.output.push_back(Output::Rejected(code));
    }

    fn hang_up(&mut self, handle: Handle, code: ClosingCode, reason: &'static str) {
        if self.members.contains_key(&handle) {
            self.reject(reason);
            self.output.push_back(Output::Close { handle, code });
            self.lost(handle);
        }
    }

    /// A channel is no more, and nobody took its place.
    fn lost(&mut self, handle: Handle) {
        if let Some(identity) = self.forget(handle)
            && self.people.presence(&identity) == Presence::Back
        {
            let until = self.now.saturating_add(limits::EXPIRES);
            self.presence(&identity, Presence::Gone(until));
        }
    }

    /// Takes a channel out of the tables.
    fn forget(&mut self, handle: Handle) -> Option<Identity> {
        let member = self.members.remove(&handle)?;
        self.channels.remove(&member.identity);
        if self.ask.as_ref().is_some_and(|ask| ask.handle == handle) {
            self.ask = None;
        }
        self.unwait(&member.identity);
        Some(member.identity)
    }

    fn left(&mut self, identity: &Identity) {
        if !matches!(self.people.presence(identity), Presence::Unknown | Presence::Left) {
            self.presence(identity, Presence::Left);
        }
    }
}
