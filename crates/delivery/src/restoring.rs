//! Restoring a meeting that the server lost, from what its members still have.

use protocol::channel::{Blob, ClosingCode, FromServer, Kind};
use protocol::ids::Identity;

use crate::base::State;
use crate::limits::{OFFERS, RESTORE_WAIT};
use crate::member::Stage;
use crate::output::Handle;
use crate::person::Presence;
use crate::{Delivery, Millis, limits};

/// Whether an empty room waits for somebody who can restore it.
pub(crate) struct Restoring {
    /// Until when newcomers wait.
    until: Option<Millis>,
    /// It waited for offers because somebody came who knows another log; that happens once.
    has_waited: bool,
    /// When the collected offers are decided.
    decided: Option<Millis>,
    /// The best of them, and whose it is.
    best: Option<(Identity, Offer)>,
}

impl Restoring {
    pub(crate) fn new(now: Millis, until: Millis) -> Self {
        Self { until: (until > now).then_some(until), has_waited: false, decided: None, best: None }
    }
}

/// What a member offers.
pub(crate) struct Offer {
    epoch: u64,
    group_info: Blob,
    statements: Vec<Blob>,
    members: Vec<String>,
}

impl Offer {
    pub(crate) fn new(epoch: u64, group_info: Blob, statements: Vec<Blob>, members: Vec<String>) -> Self {
        Self { epoch, group_info, statements, members }
    }

    fn fits(&self, limits: &limits::Limits) -> bool {
        self.group_info.0.len() <= limits.group_info_bytes
            && self.statements.len() <= limits.statements
            && self.statements.iter().all(|statement| statement.0.len() <= limits.statement_bytes)
            && self.members.len() <= limits.restore_members
            && self.members.iter().all(|member| member.len() <= limits.identity_bytes)
    }
}

impl Delivery {
    pub(crate) fn is_restoring(&self) -> bool {
        !self.log.is_running() && (self.restoring.until.is_some() || self.restoring.decided.is_some())
    }

    /// Somebody came who knows a log that this process does not.
    pub(crate) fn somebody_knows_another(&mut self) {
        if self.is_restoring() || self.restoring.has_waited {
            return;
        }
        self.restoring.has_waited = true;
        self.restoring.until = Some(self.now.saturating_add(RESTORE_WAIT));
        self.tell_everybody_opened();
    }

    pub(crate) fn ask_to_restore(&mut self, handle: Handle) {
        let Some(member) = self.members.get_mut(&handle) else { return };
        member.asked_to_restore = true;
        self.send(handle, FromServer::RestoreWanted);
    }

    pub(crate) fn offered(&mut self, handle: Handle, offer: Offer) {
        if !offer.fits(&self.limits) {
            return self.hang_up(handle, ClosingCode::Malformed, "restore-too-large");
        }
        let Some(member) = self.members.get(&handle) else { return };
        if !member.asked_to_restore {
            return self.hang_up(handle, ClosingCode::Malformed, "restore-unasked");
        }
        if self.log.is_running() {
            return; // another was quicker
        }
        let was_restoring = self.is_restoring();
        let from = member.identity.clone();
        self.restoring.decided.get_or_insert(self.now.saturating_add(OFFERS));
        if self.restoring.best.as_ref().is_none_or(|(_, best)| best.epoch < offer.epoch) {
            self.restoring.best = Some((from, offer));
        }
        if !was_restoring {
            self.tell_everybody_opened();
        }
    }

    pub(crate) fn restoring_deadline(&self) -> Option<Millis> {
        // While offers are collected, newcomers wait for what comes of them.
        if self.log.is_running() { None } else { self.restoring.decided.or(self.restoring.until) }
    }

    pub(crate) fn restoring_timeout(&mut self) {
        if self.restoring_deadline().is_none_or(|deadline| self.now < deadline) {
            return;
        }
        (self.restoring.decided, self.restoring.until) = (None, None);
        match self.restoring.best.take() {
            Some((from, offer)) => self.restore(&from, offer),
            None => self.tell_everybody_opened(),
        }
    }

    /// The room goes on from an offer.
    fn restore(&mut self, from: &Identity, offer: Offer) {
        self.append(Kind::Group, from, Some(offer.group_info.clone()), None);
        self.good = Some(State::new(1, from.clone(), Some(offer.group_info)));
        for statement in offer.statements {
            self.append(Kind::Statement, from, Some(statement), None);
        }
        self.everybody_is_back();
        self.people.trust_nobody();
        self.trust(from);
        for member in offer.members {
            let identity = Identity::new(member);
            let is_back = self.people.presence(&identity) == Presence::Back;
            let channels = &self.channels;
            let admit = |other: &Identity| channels.contains_key(other);
            if !is_back && self.people.admit(self.now, &identity, &self.limits, admit) {
                self.presence(&identity, Presence::Gone(self.now.saturating_add(limits::EXPIRES)));
            }
            self.trust(&identity);
        }
        self.tell_everybody_opened();
        for member in self.members.values_mut().filter(|member| member.stage != Stage::Opening) {
            member.stage = Stage::WantsBase { since: self.now };
        }
    }

    /// A group was started anew, so nothing is restored.
    pub(crate) fn nothing_is_restored(&mut self) {
        (self.restoring.decided, self.restoring.until, self.restoring.best) = (None, None, None);
    }
}
