//! What is remembered of an identity beyond its channel: whether it is there, and what it may still do.

use std::collections::BTreeMap;

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
    /// It started the group, or somebody whose word counts applied that it came in: so its own word counts.
    pub(crate) trusted: bool,
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
            trusted: false,
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
pub(crate) struct People(BTreeMap<Identity, Person>);

impl People {
    /// Remembers an identity. `false` if too many are remembered who may still come back.
    pub(crate) fn admit(
        &mut self,
        now: Millis,
        identity: &Identity,
        limits: &Limits,
        is_connected: impl Fn(&Identity) -> bool,
    ) -> bool {
        if let Some(person) = self.0.get_mut(identity) {
            person.seen = now;
            return true;
        }
        if self.0.len() >= limits.people {
            let stays = |person: &Person| matches!(person.presence, Presence::Back | Presence::Gone(_));
            let oldest = self
                .0
                .iter()
                .filter(|(identity, person)| !stays(person) && !is_connected(identity))
                .min_by_key(|(_, person)| person.seen)
                .map(|(identity, _)| identity.clone());
            let Some(oldest) = oldest else { return false };
            self.0.remove(&oldest);
        }
        self.0.insert(identity.clone(), Person::new(now, limits));
        true
    }

    pub(crate) fn get_mut(&mut self, identity: &Identity) -> Option<&mut Person> {
        self.0.get_mut(identity)
    }

    pub(crate) fn is_trusted(&self, identity: &Identity) -> bool {
        self.0.get(identity).is_some_and(|person| person.trusted)
    }

    /// Nobody's word counts: the log begins anew.
    pub(crate) fn trust_nobody(&mut self) {
        for person in self.0.values_mut() {
            person.trusted = false;
        }
    }

    pub(crate) fn presence(&self, identity: &Identity) -> Presence {
        self.0.get(identity).map_or(Presence::Unknown, |person| person.presence)
    }

    /// Who has been gone for too long.
    pub(crate) fn overdue(&self, now: Millis) -> Vec<Identity> {
        let overdue = |person: &Person| matches!(person.presence, Presence::Gone(until) if until <= now);
        self.0.iter().filter(|(_, person)| overdue(person)).map(|(identity, _)| identity.clone()).collect()
    }

    /// When the next one has been gone for too long.
    pub(crate) fn next_expiry(&self) -> Option<Millis> {
        let gone = |person: &Person| match person.presence {
            Presence::Gone(until) => Some(until),
            _ => None,
        };
        self.0.values().filter_map(gone).min()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
