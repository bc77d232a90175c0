//! The ways into the group: starting it, external commit, key package and Welcome; and back into it after having lost
//! step.

use channel::{Blob, Entry, Kind, Refusal, Sequence, Submission, ToServer};

use super::{Attempt, BAD_BASES, REFUSED_JOINS, RESYNC_WINDOW_MS, RESYNCS, Session, State, Stop};
use crate::group::{Claims, Group, MEMBERS, WaitingKeys};
use crate::policy::{Policy, PolicyError, Presence};
use crate::seal;
use crate::statement::Statement;

/// So long somebody who waits for a Welcome waits, in milliseconds; then by external commit.
pub(super) const WAIT_MS: u64 = 5000;

/// So long the answer to a question for a base may take, in milliseconds.
pub(super) const BASE_MS: u64 = 5000;

/// So long we wait, in milliseconds, before we go on from a restored state that is not where we were.
const PATIENCE_MS: u64 = 10_000;

/// After a refusal for other reasons than a lost race, in milliseconds.
const RETRY_MS: u64 = 1000;

/// While those who have left were not removed yet from a full group, in milliseconds.
const RETRY_FULL_MS: u64 = 3000;

impl Session {
    /// Starts the group.
    pub(super) fn start(&mut self) {
        let seed = self.random.array();
        let id = self.random.array();
        let host = self.own.key.public();
        let Ok(group) = Group::create(seed, self.own.clone(), id, &host) else { return };
        let Ok(info) = group.group_info() else { return };
        self.submit(Submission::Group, 0, info.clone(), Some(info));
        self.attempt = Attempt::Starting(Box::new(group));
    }

    pub(super) fn submit(
        &mut self,
        kind: Submission,
        after: Sequence,
        data: Vec<u8>,
        group_info: Option<Vec<u8>>,
    ) -> u32 {
        let id = self.next_id();
        let group_info = group_info.map(Blob);
        self.tell_server(ToServer::Submit { id, after, kind, data: Blob(data), welcome: None, group_info });
        id
    }

    pub(super) fn want_base(&mut self, now: u64, bad: Option<Sequence>) {
        self.attempt = Attempt::Base { since: now };
        self.tell_server(ToServer::WantBase { bad });
    }

    /// From where we join: takes over the rules, and submits an external commit.
    pub(super) fn base(
        &mut self,
        now: u64,
        seq: Sequence,
        info: &[u8],
        state: Option<Vec<u8>>,
        past: Vec<Entry>,
    ) {
        // While a key package waits the log is followed as it is.
        if !matches!(self.attempt, Attempt::Base { .. }) {
            return;
        }
        // Whoever supplied it may have made one of a group of their own.
        let is_called_so = |claims: &Claims| state.as_ref().is_none_or(|state| *state == claims.state);
        // Who is in that very state needs nobody's GroupInfo.
        let own = || Claims::read(&self.group.as_ref()?.group_info().ok()?).filter(is_called_so);
        let Some(claims) = Claims::read(info).filter(is_called_so).or_else(own) else {
            return self.bad_base(now, Some(seq));
        };
        if self.is_patient(now, &claims) {
            return;
        }
        let in_it = self.group.as_ref().is_some_and(|group| group.is_at(&claims));
        self.returning.joins(&claims.keys);
        self.known_there = claims.keys.contains(&self.own.key.public());
        let place = self.place(&claims.group_id);
        let mut policy = match self.policy.take() {
            // What hosts said in this meeting counts, also where the log was made anew without it.
            Some(known) if *known.place() == place => known.without_presence(),
            Some(known) if self.group.is_some() || self.home.as_ref() == Some(&known.place().group_id) => {
                // Where a host had a say nobody goes on in a meeting that somebody else opened in its place; those who
                // were away for too long do not either.
                if !known.statements().is_empty() {
                    return self.stop(Stop::OtherMeeting);
                }
                let media = self.rotation.end();
                self.media(media);
                self.group = None;
                Policy::new(place, claims.host)
            }
            _ => Policy::new(place, claims.host),
        };
        let told = |words: &Vec<u8>| {
            past.iter().any(|entry| entry.data.as_ref().is_some_and(|data| data.0 == *words))
        };
        for words in policy.statements().iter().filter(|words| !told(words)) {
            self.duties.remind(now, words.clone());
        }
        let news: Vec<Statement> = past.iter().filter_map(|entry| fold_past(&mut policy, entry)).collect();
        self.policy = Some(policy);
        self.folded = seq;
        self.rules_begin(now);
        if in_it {
            self.attempt = Attempt::None;
            self.bad_bases = 0;
            (self.offered, self.patient_until) = (false, None);
            // Nothing was lost, so that was no joining anew.
            self.resyncs.pop_back();
            self.refused.clear();
            self.report();
            // Said in the epoch in which we are: a password opens.
            for statement in &news {
                self.obey(statement);
            }
            // The rules may be others than we knew, and the others hear where we are.
            self.beats.somebody_changed();
            self.beats.due_at(now);
            return;
        }
        if claims.keys.len() >= MEMBERS && !self.known_there {
            // Some of them have left; whoever is too many for the server has no channel.
            self.attempt = Attempt::None;
            self.retry_at = Some(now + RETRY_FULL_MS);
            return;
        }
        self.join(now, info, seq);
    }

    /// After a restart somebody may have been quicker than the others and restored what is not where we were: a group
    /// of their own, or a state from before somebody was removed. Once more members offer another state the server takes
    /// that, so we wait a while before we give ours up.
    fn is_patient(&mut self, now: u64, claims: &Claims) -> bool {
        let goes_on = |group: &Group| group.is_at(claims) || group.may_lead_to(claims);
        if !self.offered || self.group.as_ref().is_none_or(goes_on) {
            return false;
        }
        let until = *self.patient_until.get_or_insert(now + PATIENCE_MS);
        if until <= now {
            return false;
        }
        self.attempt = Attempt::None;
        self.retry_at = Some(until.min(now + RETRY_MS));
        true
    }

    /// A GroupInfo that cannot be used, or none within the time: somebody else may have a better one. But a meeting
    /// that begins with garbage is none that one can join.
    fn bad_base(&mut self, now: u64, bad: Option<Sequence>) {
        self.bad_bases += 1;
        if self.bad_bases >= BAD_BASES {
            self.stop(Stop::OutOfStep);
        } else {
            self.want_base(now, bad);
        }
    }

    fn join(&mut self, now: u64, info: &[u8], seq: Sequence) {
        if let Err(reason) = self.may_join() {
            return self.stop(reason);
        }
        let seed = self.random.array();
        match Group::join(seed, self.own.clone(), info, &self.psk()) {
            Err(_) => self.bad_base(now, Some(seq)),
            Ok((group, commit)) => {
                self.bad_bases = 0;
                let info = group.group_info().ok();
                self.submit(Submission::Join, seq, commit.clone(), info);
                self.attempt = Attempt::External { after: seq, group: Box::new(group), commit };
            }
        }
    }

    fn may_join(&self) -> Result<(), Stop> {
        let Some(policy) = &self.policy else { return Ok(()) };
        if let Some(verifier) = policy.password().verifier
            && self.password.as_ref().is_none_or(|password| password.verifier() != verifier)
        {
            return Err(Stop::Password);
        }
        let own = self.own.key.public();
        match policy.may_join(&own, self.known_there) {
            Ok(()) => Ok(()),
            // A base from before we came. The submission is late then, and the next one finds us there.
            Err(PolicyError::NotHere) if !policy.has_heard_of(&own) => Ok(()),
            Err(PolicyError::Kicked) => Err(Stop::Removed),
            Err(_) => Err(Stop::Locked),
        }
    }

    pub(super) fn attempt_refused(&mut self, now: u64, code: Refusal) {
        let started = matches!(self.attempt, Attempt::Starting(_));
        match code {
            // Somebody else was quicker to start: join them.
            Refusal::Stale | Refusal::OutOfPlace if started => self.want_base(now, None),
            Refusal::Stale => self.wait(now),
            Refusal::OutOfPlace | Refusal::TooOften => {
                self.attempt = Attempt::None;
                self.retry_at = Some(now + RETRY_MS);
            }
            Refusal::TooLarge => self.stop(Stop::Refused),
        }
    }

    /// Others join at the same time: somebody inside adds all who wait in one commit.
    fn wait(&mut self, now: u64) {
        // Whose leaf is still there takes its place by external commit only.
        if self.known_there {
            self.attempt = Attempt::None;
            self.retry_at = Some(now + self.random.below(RETRY_MS));
            return;
        }
        let seed = self.random.array();
        let Ok((keys, package)) = WaitingKeys::new(seed, self.own.clone()) else {
            return self.want_base(now, None);
        };
        let aad = knock_aad(self.keys.room(), &self.identity);
        let sealed = seal::seal(&self.keys.knock(), &aad, &package, self.random.array());
        self.tell_server(ToServer::KeyPackage { data: Blob(sealed) });
        self.attempt = Attempt::Waiting { keys: Box::new(keys), since: now };
    }

    pub(super) fn attempt_due(&mut self, now: u64) {
        match &self.attempt {
            Attempt::Waiting { since, .. } if self.connected && since + WAIT_MS <= now => {
                self.want_base(now, None);
            }
            Attempt::Base { since } if self.connected && since + BASE_MS <= now => self.bad_base(now, None),
            _ => {}
        }
    }

    /// Whether an entry is the external commit that we submitted, in its place: what policy allowed us there is what it
    /// allows us for everybody.
    pub(super) fn is_own_join(&self, entry: &Entry, data: &[u8]) -> bool {
        let Attempt::External { after, commit, .. } = &self.attempt else { return false };
        let is_in_place = entry.seq == after + 1 && entry.kind == Kind::Join;
        is_in_place && entry.from == self.identity && commit == data
    }

    /// Our external commit has its place in the log.
    pub(super) fn joined(&mut self, now: u64) {
        if let Attempt::External { group, .. } = std::mem::replace(&mut self.attempt, Attempt::None) {
            self.group = Some(*group);
            self.entered(now);
        }
    }

    /// Somebody added us.
    pub(super) fn welcomed(&mut self, now: u64, welcome: &[u8]) {
        let Attempt::Waiting { keys, .. } = std::mem::replace(&mut self.attempt, Attempt::None) else {
            return;
        };
        match keys.join(welcome, &self.psk()) {
            Ok(group) if self.policy.as_ref().is_some_and(|policy| policy.place().group_id == group.id()) => {
                self.group = Some(group);
                self.entered(now);
            }
            Ok(_) | Err(_) => self.want_base(now, None),
        }
    }

    /// What the others made of our entry, as the server says: of joining it is a hint that the link is another one. A
    /// server that lies here keeps us out, which it can do anyway.
    pub(super) fn outcome(&mut self, now: u64, seq: Sequence, applied: bool) {
        // On the way already: it may be said twice.
        if applied || !self.follows() {
            return;
        }
        if self.epochs.entered_at() != Some(seq) {
            // A commit of ours that the others skipped: then we are in an epoch of our own, perhaps with somebody whom
            // we have led there.
            self.resync(now);
        } else if self.beats.is_confirmed() {
            // Somebody has led us into a group where most of the others are not.
            self.resync(now);
        } else {
            self.refused_joins += 1;
            if self.refused_joins >= REFUSED_JOINS {
                return self.stop(Stop::OtherLink);
            }
            let media = self.rotation.end();
            self.media(media);
            self.group = None;
            self.set_state(State::Connecting);
            self.ask_for_link(now);
        }
    }

    /// We lost step with the others: joins anew in the place of the old leaf, but not for ever.
    pub(super) fn resync(&mut self, now: u64) {
        // On the way already.
        if !self.follows() {
            return;
        }
        while self.resyncs.front().is_some_and(|&at| at + RESYNC_WINDOW_MS <= now) {
            self.resyncs.pop_front();
        }
        if self.resyncs.len() >= RESYNCS {
            return self.stop(Stop::OutOfStep);
        }
        self.resyncs.push_back(now);
        self.beats.forget_suspicions();
        self.drop_pending();
        self.set_state(State::Member { confirmed: false });
        self.want_base(now, None);
    }
}

/// Folds an entry from before we came; what a host said, if that is what it is.
fn fold_past(policy: &mut Policy, entry: &Entry) -> Option<Statement> {
    let presence = match entry.kind {
        Kind::Left => Presence::Left,
        Kind::Gone => Presence::Gone,
        Kind::Back => Presence::Here,
        Kind::Expired => Presence::Expired,
        Kind::Statement => {
            return policy.statement(entry.data.as_ref().map_or(&[][..], |data| &data.0)).ok();
        }
        Kind::Group | Kind::Join | Kind::Commit => return None,
    };
    policy.presence_changed(&entry.from, presence);
    None
}

/// Additional data of a sealed key package.
pub(super) fn knock_aad(room: &str, identity: &str) -> Vec<u8> {
    [b"konklave knock v1", room.as_bytes(), identity.as_bytes()].concat()
}
