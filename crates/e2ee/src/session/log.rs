//! Following the log: what the channel says, and what each entry changes.

use channel::{Blob, ClosingCode, Entry, FromServer, Kind, LogState, Refusal, Sequence, ToServer};

use super::wire::{HostAction, Word};
use super::{Attempt, Event, Pending, Session, State, Stop};
use crate::group::{self, Change, Group, Refused};
use crate::identity::identity_of;
use crate::keys::{Key, StretchedPassword};
use crate::policy::{Policy, Presence};
use crate::seal;
use crate::statement::{Action, Statement};

const PASSWORD_AAD: &[u8] = b"konklave password v1";

impl Session {
    pub(super) fn connected_again(&mut self, now: u64) {
        self.connected = true;
        if let Some(pending) = &mut self.pending {
            pending.since = now;
        }
        // What we do not have a state for, we do not follow. On the way back into the group entries were passed over, so
        // it is no log that goes on; but our state may restore one.
        let (log, after) = match &self.group {
            Some(_) if self.follows() => (self.log.clone(), self.folded),
            Some(_) => (Some(String::new()), 0),
            None => (None, 0),
        };
        self.tell_server(ToServer::Hello { log, after });
    }

    pub(super) fn channel(&mut self, now: u64, message: FromServer) {
        match message {
            FromServer::Opened { log, head, state, resumed } => {
                self.opened(now, log, head, state, resumed);
            }
            FromServer::Base { seq, group_info, state, past } => {
                self.base(now, seq, &group_info.0, state.map(|state| state.0), past);
            }
            FromServer::Entry(entry) => self.entry(now, entry),
            // Its entry comes as to everybody; whether the server is there is for whoever holds the connection.
            FromServer::Submitted { .. } | FromServer::Pong => {}
            FromServer::Refused { id, code, head } => self.submission_refused(now, id, code, head),
            FromServer::Outcome { seq, applied } => self.outcome(now, seq, applied),
            FromServer::GroupInfoWanted => self.give_group_info(),
            FromServer::RestoreWanted => self.restore(),
            FromServer::Waiting { from, data } => self.duties.waiting(now, from, data.0),
            FromServer::NotWaiting { from } => self.duties.not_waiting(&from),
            FromServer::Closing { code } => self.closing(code),
        }
    }

    fn opened(&mut self, now: u64, log: String, head: Sequence, state: LogState, resumed: bool) {
        self.log = Some(log);
        self.head = head;
        if resumed {
            self.caught_up(now);
            return;
        }
        self.drop_pending();
        self.attempt = Attempt::None;
        self.retry_at = None;
        self.folded = 0;
        self.duties.forget();
        match state {
            // With a state of the group we are asked to restore it.
            LogState::Empty if self.group.is_none() => self.start(),
            LogState::Restoring if self.group.is_none() => self.set_state(State::Restoring),
            LogState::Empty | LogState::Restoring => {}
            LogState::Running => self.attempt = Attempt::Base { since: now },
        }
    }

    /// All entries are here that there were when the channel opened again: what of ours is not among them is lost.
    fn caught_up(&mut self, now: u64) {
        if self.folded < self.head {
            return;
        }
        self.drop_pending();
        if matches!(self.attempt, Attempt::Starting(_) | Attempt::External { .. }) {
            self.want_base(now, None);
        }
    }

    /// What we submitted did not get its place: a host's word is said again, a commit is made anew if it is still due.
    pub(super) fn drop_pending(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        match (pending.word, &mut self.group) {
            (Some(word), _) => self.duties.say_again(word),
            (None, Some(group)) => group.abandon(),
            (None, None) => {}
        }
    }

    fn give_group_info(&mut self) {
        if let Some(info) = self.group.as_ref().and_then(|group| group.group_info().ok()) {
            let seq = self.folded;
            self.tell_server(ToServer::GroupInfo { seq, group_info: channel::Blob(info) });
        }
    }

    fn restore(&mut self) {
        let (Some(group), Some(policy)) = (&self.group, &self.policy) else { return };
        let (Ok(group_info), Some(state)) = (group.group_info(), group.state()) else { return };
        let restore = ToServer::Restore {
            epoch: group.epoch(),
            state: Blob(state.to_vec()),
            group_info: channel::Blob(group_info),
            statements: policy.statements().iter().cloned().map(channel::Blob).collect(),
            members: group.members().iter().map(|member| identity_of(&member.key)).collect(),
        };
        self.offered = true;
        self.tell_server(restore);
    }

    fn closing(&mut self, code: ClosingCode) {
        let reason = match code {
            ClosingCode::Elsewhere => Stop::Elsewhere,
            ClosingCode::Ended => Stop::Ended,
            ClosingCode::EntriesRefused => Stop::OtherLink,
            ClosingCode::Malformed => Stop::Refused,
            ClosingCode::Full => Stop::Full,
            // The channel is opened again after a while.
            ClosingCode::TooOften | ClosingCode::TooSlow | ClosingCode::Silent | ClosingCode::Stopping => {
                return;
            }
        };
        self.stop(reason);
    }

    /// A word of ours that the server does not take, now or ever.
    fn word_refused(&mut self, code: Refusal) {
        let Some(word) = self.pending.as_ref().and_then(|pending| pending.word.as_ref()) else { return };
        if code == Refusal::TooLarge || !self.duties.is_worth_another_try() {
            let action = HostAction::of_word(word);
            self.duties.is_done_with_a_word();
            self.pending = None;
            self.event(Event::NotSaid { action });
        }
    }

    fn submission_refused(&mut self, now: u64, id: u32, code: Refusal, head: Sequence) {
        self.head = self.head.max(head);
        if self.pending.as_ref().is_some_and(|pending| pending.id == id) {
            if code != Refusal::Stale {
                self.duties.put_off(now);
                self.word_refused(code);
            }
            return self.drop_pending();
        }
        match &self.attempt {
            Attempt::Starting(_) | Attempt::External { .. } => self.attempt_refused(now, code),
            _ => {}
        }
    }

    /// Folds the next entry; what is not the next is an entry seen before, or a gap.
    fn entry(&mut self, now: u64, entry: Entry) {
        if entry.seq <= self.folded || self.policy.is_none() && entry.kind != Kind::Group {
            return;
        }
        if entry.seq != self.folded + 1 {
            // Entries are missing: who is not in the group yet begins with another base.
            if self.follows() {
                self.resync(now);
            } else if !matches!(self.attempt, Attempt::Base { .. }) && self.retry_at.is_none() {
                self.want_base(now, None);
            }
            return;
        }
        self.folded = entry.seq;
        let submitted = match entry.kind {
            Kind::Left => self.presence(&entry.from, Presence::Left),
            Kind::Gone => self.presence(&entry.from, Presence::Gone),
            Kind::Back => self.presence(&entry.from, Presence::Here),
            Kind::Expired => self.presence(&entry.from, Presence::Expired),
            Kind::Statement => self.statement_entry(&entry),
            Kind::Group => self.group_entry(now, &entry),
            Kind::Join | Kind::Commit => self.commit_entry(now, &entry),
        };
        match entry.kind {
            Kind::Group => self.rules_begin(now),
            Kind::Statement => self.note_rules(now),
            _ => {}
        }
        if submitted && self.follows() {
            self.report();
        }
        if self.folded == self.head {
            self.caught_up(now);
        }
    }

    /// Says what was folded, and where that led.
    pub(super) fn report(&mut self) {
        let state = self.group.as_ref().and_then(Group::state).map_or_else(Vec::new, Vec::from);
        let refused = std::mem::take(&mut self.refused);
        self.tell_server(ToServer::Applied { seq: self.folded, refused, state: Blob(state) });
    }

    fn presence(&mut self, identity: &str, presence: Presence) -> bool {
        if let Some(policy) = &mut self.policy {
            policy.presence_changed(identity, presence);
        }
        self.beats.somebody_changed();
        false
    }

    fn statement_entry(&mut self, entry: &Entry) -> bool {
        let data = entry.data.as_ref().map_or(&[][..], |data| &data.0);
        if self.pending.as_ref().is_some_and(|pending| pending.data == data) {
            self.pending = None;
            self.duties.is_done_with_a_word();
        }
        let Some(policy) = &mut self.policy else { return false };
        self.beats.somebody_changed();
        self.duties.said_by_somebody(data);
        if policy.knows(data) {
            self.word_came();
            return true;
        }
        match policy.statement(data) {
            Ok(statement) => {
                self.word_came();
                self.obey(&statement);
            }
            Err(_) => self.refused.push(entry.seq),
        }
        true
    }

    /// A host's statement was folded.
    pub(super) fn obey(&mut self, statement: &Statement) {
        if let Action::Password { verifier, sealed } = &statement.action
            && let Some(password) = self.open_password(statement.counter, sealed)
            && password.verifier() == *verifier
        {
            self.password = Some(password);
        }
        self.roster.changed();
        let host = identity_of(&statement.host);
        self.event(Event::Said { host, action: HostAction::of(&statement.action) });
    }

    /// Signs a host's word for the state of the log as it is: it counts only if nothing comes in between.
    pub(super) fn statement(&self, word: &Word) -> Option<Vec<u8>> {
        let (group, policy) = (self.group.as_ref()?, self.policy.as_ref()?);
        let counter = policy.next_counter(&self.own.key.public());
        let action = match word {
            Word::Action(action) => action.clone(),
            Word::Password(password) => {
                let key = password_key(group, counter)?;
                let sealed = seal::seal(&key, PASSWORD_AAD, password.as_bytes(), self.random.array());
                Action::Password { verifier: password.verifier(), sealed: sealed.try_into().ok()? }
            }
        };
        Some(Statement::sign(&self.own.key, policy.place(), counter, &action))
    }

    /// The stretched password that a host sealed for the members of this epoch.
    fn open_password(&self, counter: u64, sealed: &[u8]) -> Option<StretchedPassword> {
        let key = password_key(self.group.as_ref()?, counter)?;
        let opened = seal::open(&key, PASSWORD_AAD, sealed)?;
        Some(StretchedPassword::from_bytes(opened.try_into().ok()?))
    }

    /// The first entry: our own, since nobody else's can come while we follow from before it.
    fn group_entry(&mut self, now: u64, entry: &Entry) -> bool {
        if !matches!(self.attempt, Attempt::Starting(_)) || entry.from != self.identity {
            return false;
        }
        let Attempt::Starting(group) = std::mem::replace(&mut self.attempt, Attempt::None) else {
            return false;
        };
        self.policy = group.host().map(|host| Policy::new(self.place(group.id()), host));
        self.group = Some(*group);
        self.entered(now);
        true
    }

    fn commit_entry(&mut self, now: u64, entry: &Entry) -> bool {
        let data = entry.data.as_ref().map_or(&[][..], |data| &data.0);
        if self.is_own_join(entry, data) {
            self.joined(now);
            return true;
        }
        if let (Some(welcome), Attempt::Waiting { .. }) = (&entry.welcome, &self.attempt) {
            self.welcomed(now, &welcome.0);
            return self.group.is_some();
        }
        if !self.follows() {
            return false;
        }
        match self.fold(entry, data) {
            Ok(change) => self.changed(now, &change),
            // Ours, and given up too soon: the others are where it leads.
            Err(_) if entry.from == self.identity => self.resync(now),
            Err(_) => self.refused.push(entry.seq),
        }
        true
    }

    fn fold(&mut self, entry: &Entry, data: &[u8]) -> Result<Change, Refused> {
        let psk = self.psk();
        let (Some(group), Some(policy)) = (&mut self.group, &self.policy) else { return Err(Refused::Mls) };
        // In its place: policy allowed it there, when it was made. Elsewhere, or as something else, it is what the others
        // refuse.
        let is_own = |pending: &mut Pending| {
            let is_in_place = entry.seq == pending.after + 1 && entry.kind == Kind::Commit;
            is_in_place && entry.from == self.identity && pending.data == data
        };
        if self.pending.take_if(is_own).is_some() {
            return group.confirm().map_err(|_| Refused::Mls);
        }
        let joins = entry.kind == Kind::Join;
        let change = group.fold(
            &group::Entry { joins, from: &entry.from, adds: &entry.adds, bytes: data },
            policy,
            &psk,
        )?;
        // The group gave up a commit of ours that was made for the epoch before.
        self.pending.take_if(|pending| pending.word.is_none());
        Ok(change)
    }
}

/// What a password is sealed under: a secret of the epoch in which the statement is folded.
fn password_key(group: &Group, counter: u64) -> Option<Key> {
    let secret = group.export("konklave password", &counter.to_be_bytes(), 32).ok()?;
    <[u8; 32]>::try_from(secret.as_slice()).ok().map(Key::new)
}
