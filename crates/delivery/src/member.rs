//! One channel.

use protocol::channel::{Blob, Sequence};
use protocol::ids::Identity;

use crate::Millis;
use crate::limits::BAD;

/// How far a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Without a `hello`.
    Opening,
    /// There is no entry yet.
    Idle,
    /// It waits for a base.
    WantsBase {
        /// Since when.
        since: Millis,
    },
    /// It is sent every entry.
    Follows,
}

/// A GroupInfo, by the entry that it is of and by whom it is.
pub(crate) type InfoId = (Sequence, Identity);

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) identity: Identity,
    pub(crate) opened: Millis,
    pub(crate) stage: Stage,
    /// Up to where it said that it has folded the log, or started from.
    pub(crate) folded: Sequence,
    /// It has said what it applied, as if it were in the group.
    pub(crate) reports: bool,
    /// See [`Person::trusted`](crate::person::Person::trusted).
    pub(crate) trusted: Option<u64>,
    /// By which entry the state was made that it reported last, and the hash of that state.
    pub(crate) state: Option<(Sequence, Blob)>,
    /// The newest state of which it was told that most others have another one.
    pub(crate) apart: Sequence,
    /// It is in the group by what it submitted, or said so: it has to report.
    pub(crate) obliged: bool,
    /// Since when it owes a report.
    pub(crate) owes_since: Option<Millis>,
    /// The newest entry that it has to report: what the server wrote nobody reports.
    pub(crate) owes: Sequence,
    /// It was asked to restore the room.
    pub(crate) asked_to_restore: bool,
    /// The base it was sent.
    pub(crate) served: Option<InfoId>,
    /// What it cannot use.
    bad: Vec<InfoId>,
    /// How often others were asked for a GroupInfo on its behalf, since the group last went on.
    pub(crate) asks: u8,
}

impl Member {
    pub(crate) fn new(identity: Identity, now: Millis, trusted: Option<u64>) -> Self {
        Self {
            identity,
            opened: now,
            stage: Stage::Opening,
            folded: 0,
            reports: false,
            trusted,
            state: None,
            apart: 0,
            obliged: false,
            owes_since: None,
            owes: 0,
            asked_to_restore: false,
            served: None,
            bad: Vec::new(),
            asks: 0,
        }
    }

    /// The log begins anew.
    pub(crate) fn begin_anew(&mut self) {
        let asked_to_restore = self.asked_to_restore;
        *self = Self::new(self.identity.clone(), self.opened, None);
        (self.stage, self.asked_to_restore) = (Stage::Idle, asked_to_restore);
    }

    pub(crate) fn follows(&self) -> bool {
        self.stage == Stage::Follows
    }

    /// Whether its word counts about entries of this identity.
    pub(crate) fn judges(&self, submitter: &Identity) -> bool {
        self.follows() && self.reports && self.trusted.is_some() && self.identity != *submitter
    }

    /// What it calls the state that an entry made.
    pub(crate) fn calls(&self, made_by: Sequence) -> Option<&Blob> {
        self.state.as_ref().filter(|(seq, _)| *seq == made_by).map(|(_, state)| state)
    }

    pub(crate) fn calls_bad(&self, info: &InfoId) -> bool {
        self.bad.contains(info)
    }

    /// Whether this identity gave it something that it cannot use.
    pub(crate) fn distrusts(&self, supplier: &Identity) -> bool {
        self.bad.iter().any(|(_, bad)| bad == supplier)
    }

    pub(crate) fn call_bad(&mut self, info: InfoId) {
        if !self.calls_bad(&info) {
            self.bad.push(info);
        }
        if self.bad.len() > BAD {
            self.bad.remove(0);
        }
    }
}
