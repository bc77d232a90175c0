//! What is remembered of an identity beyond its channel: whether it is there, and what it may still do.

use std::collections::BTreeMap;

use protocol::channel::Sequence;
use protocol::ids::Identity;

use crate::Millis;
use crate::bucket::Bucket;
use crate::limits::{Limits, REFUSALS, REFUSALS_WITHIN};

/// What the log says last about an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Nothing yet.
    Unknown,
    Back,
    /// Until when it may come back.
    Gone(Millis),
    Expired,
    Left,
}

#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) presence: Presence,
    /// It started the group or restored it, or more than half of those whose word counts applied that it came in: so its
    /// own word counts. Its place in the order of those of whom that is so.
    pub(crate) trusted: Option<u64>,
    /// The newest entry with which it came in, as far as that made its word count.
    pub(crate) entered: Sequence,
    pub(crate) messages: Bucket,
    pub(crate) submissions: Bucket,
    pub(crate) joins: Bucket,
    /// When most refused an entry of it.
    refusals: Vec<Millis>,
    /// Until when it may not submit.
    pub(crate) barred_until: Millis,
    /// When it last opened a channel.
    seen: Millis,
}

impl Person {
    fn new(now: Millis, limits: &Limits) -> Self {
        Self {
            presence: Presence::Unknown,
            trusted: None,
            entered: 0,
            messages: Bucket::new(limits.messages, now),
            submissions: Bucket::new(limits.submissions, now),
            joins: Bucket::new(limits.joins, now),
            refusals: Vec::new(),
            barred_until: 0,
            seen: now,
        }
    }

    /// Most refused an entry of it. Returns whether that was once too often; then it is barred for a while.
    pub(crate) fn refused(&mut self, now: Millis) -> bool {
        self.refusals.retain(|at| now.saturating_sub(*at) < REFUSALS_WITHIN);
        self.refusals.push(now);
        let too_often = self.refusals.len() >= REFUSALS;
        if too_often {
            self.refusals.clear();
            self.barred_until = now.saturating_add(REFUSALS_WITHIN);
        }
        too_often
    }
}

/// Everybody, bounded.
#[derive(Debug, Default)]
pub(crate) struct People {
    all: BTreeMap<Identity, Person>,
    /// How many were ever trusted in this log.
    trusted: u64,
}

impl People {
    /// Remembers an identity. `false` if too many are remembered who may still come back.
    pub(crate) fn admit(
        &mut self,
        now: Millis,
        identity: &Identity,
        limits: &Limits,
        is_connected: impl Fn(&Identity) -> bool,
    ) -> bool {
        if let Some(person) = self.all.get_mut(identity) {
            person.seen = now;
            return true;
        }
        if self.all.len() >= limits.people {
            let stays = |person: &Person| matches!(person.presence, Presence::Back | Presence::Gone(_));
            let oldest = self
                .all
                .iter()
                .filter(|(identity, person)| !stays(person) && !is_connected(identity))
                .min_by_key(|(_, person)| person.seen)
                .map(|(identity, _)| identity.clone());
            let Some(oldest) = oldest else { return false };
            self.all.remove(&oldest);
        }
        self.all.insert(identity.clone(), Person::new(now, limits));
        true
    }

    pub(crate) fn get_mut(&mut self, identity: &Identity) -> Option<&mut Person> {
        self.all.get_mut(identity)
    }

    pub(crate) fn trusted(&self, identity: &Identity) -> Option<u64> {
        self.all.get(identity)?.trusted
    }

    /// How many words have counted in this log.
    pub(crate) fn ever_trusted(&self) -> u64 {
        self.trusted
    }

    /// Those whose word counts, also if they have expired.
    pub(crate) fn trusted_all(&self) -> impl Iterator<Item = &Identity> {
        self.all.iter().filter(|(_, person)| person.trusted.is_some()).map(|(identity, _)| identity)
    }

    /// Those whose word counts and who are there, or away for a moment, with their places.
    pub(crate) fn trusted_there(&self) -> impl Iterator<Item = (&Identity, u64)> {
        let is_there = |person: &Person| matches!(person.presence, Presence::Back | Presence::Gone(_));
        let there = self.all.iter().filter(move |(_, person)| is_there(person));
        there.filter_map(|(identity, person)| Some((identity, person.trusted?)))
    }

    /// From now on the word of this identity counts, which came in with an entry. Returns its place among all of whom that
    /// is so.
    pub(crate) fn trust(&mut self, identity: &Identity, entered: Sequence) -> Option<u64> {
        let person = self.all.get_mut(identity)?;
        person.entered = person.entered.max(entered);
        if person.trusted.is_none() {
            self.trusted += 1;
            person.trusted = Some(self.trusted);
        }
        person.trusted
    }

    /// There is no log yet that would say of anybody that they are there.
    pub(crate) fn nobody_is_there(&mut self) {
        for person in self.all.values_mut() {
            person.presence = Presence::Unknown;
        }
    }

    /// Nobody's word counts: the log begins anew.
    pub(crate) fn trust_nobody(&mut self) {
        self.trusted = 0;
        for person in self.all.values_mut() {
            (person.trusted, person.entered) = (None, 0);
        }
    }

    pub(crate) fn presence(&self, identity: &Identity) -> Presence {
        self.all.get(identity).map_or(Presence::Unknown, |person| person.presence)
    }

    /// Who has been gone for too long.
    pub(crate) fn overdue(&self, now: Millis) -> Vec<Identity> {
        let overdue = |person: &Person| matches!(person.presence, Presence::Gone(until) if until <= now);
        self.all.iter().filter(|(_, person)| overdue(person)).map(|(identity, _)| identity.clone()).collect()
    }

    /// When the next one has been gone for too long.
    pub(crate) fn next_expiry(&self) -> Option<Millis> {
        let gone = |person: &Person| match person.presence {
            Presence::Gone(until) => Some(until),
            _ => None,
        };
        self.all.values().filter_map(gone).min()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}
