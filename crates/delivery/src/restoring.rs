//! Restoring a meeting that the server lost, from what its members still have.

use std::collections::BTreeMap;

use protocol::channel::{Blob, ClosingCode, FromServer, Kind};
use protocol::ids::Identity;

use crate::base::State;
use crate::limits::{DIFFERENT_OFFERS, INFOS, OFFERS, RESTORE_SETTLES, RESTORE_WAIT};
use crate::log::Log;
use crate::member::Stage;
use crate::output::Handle;
use crate::person::Presence;
use crate::welcome::Welcomes;
use crate::{Delivery, Millis, limits};

/// Whether an empty room waits for somebody who can restore it, and what is offered.
pub(crate) struct Restoring {
    /// Until when newcomers wait.
    until: Option<Millis>,
    /// It waited for offers because somebody came who knows another log; that happens once.
    has_waited: bool,
    /// When the collected offers are decided.
    decided: Option<Millis>,
    offers: Vec<Offered>,
    /// Which offer everybody made, by its number. The first counts.
    by: BTreeMap<Identity, u64>,
    next: u64,
    /// What the room was restored from.
    restored: Option<u64>,
    /// Until when more support for another offer changes that.
    settled: Option<Millis>,
}

impl Restoring {
    pub(crate) fn new(now: Millis, until: Millis) -> Self {
        Self {
            until: (until > now).then_some(until),
            has_waited: false,
            decided: None,
            offers: Vec::new(),
            by: BTreeMap::new(),
            next: 0,
            restored: None,
            settled: None,
        }
    }

    /// How many made an offer.
    fn support(&self, number: u64) -> usize {
        self.by.values().filter(|by| **by == number).count()
    }

    /// The offer that most made; of several the highest epoch, then the first.
    fn best(&self) -> Option<&Offered> {
        let rank = |offered: &&Offered| {
            (self.support(offered.number), offered.offer.epoch, u64::MAX - offered.number)
        };
        self.offers.iter().max_by_key(rank)
    }

    /// Somebody makes an offer; its GroupInfo has a signature of its own. `false` if too many are held.
    fn add(&mut self, from: Identity, group_info: Blob, offer: Offer) -> bool {
        if let Some(same) = self.offers.iter_mut().find(|offered| offered.offer == offer) {
            if same.infos.len() < INFOS {
                same.infos.push((from.clone(), group_info));
            }
            self.by.insert(from, same.number);
            return true;
        }
        if self.offers.len() >= DIFFERENT_OFFERS {
            let lonely =
                |offered: &Offered| Some(offered.number) != self.restored && self.support(offered.number) < 2;
            let Some(oldest) = self.offers.iter().position(lonely) else { return false };
            self.offers.remove(oldest);
        }
        let number = self.next;
        self.next += 1;
        self.offers.push(Offered { number, offer, infos: vec![(from.clone(), group_info)] });
        self.by.insert(from, number);
        true
    }
}

/// What a member offers, and others in the same state as well.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) epoch: u64,
    pub(crate) state: Blob,
    pub(crate) statements: Vec<Blob>,
    pub(crate) members: Vec<String>,
}

#[derive(Clone)]
struct Offered {
    number: u64,
    offer: Offer,
    infos: Vec<(Identity, Blob)>,
}

impl Offer {
    fn fits(&self, limits: &limits::Limits) -> bool {
        self.state.0.len() <= limits::STATE_BYTES
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

    /// Offers are of use: there is no log, or one that was restored a moment ago.
    pub(crate) fn may_be_restored(&self) -> bool {
        !self.log.is_running() || self.restoring.settled.is_some()
    }

    pub(crate) fn offered(&mut self, handle: Handle, group_info: Blob, offer: Offer) {
        if group_info.0.len() > self.limits.group_info_bytes || !offer.fits(&self.limits) {
            return self.hang_up(handle, ClosingCode::Malformed, "restore-too-large");
        }
        let Some(member) = self.members.get(&handle) else { return };
        if !member.asked_to_restore {
            return self.hang_up(handle, ClosingCode::Malformed, "restore-unasked");
        }
        if !self.may_be_restored() {
            return; // too late
        }
        let was_restoring = self.is_restoring();
        let from = member.identity.clone();
        if self.restoring.by.contains_key(&from) || self.restoring.by.len() >= self.limits.people {
            return self.reject("restore-again");
        }
        if !self.restoring.add(from, group_info, offer) {
            return self.reject("restore-too-many");
        }
        if self.log.is_running() {
            return self.restore_what_more_offer();
        }
        self.restoring.decided.get_or_insert(self.now.saturating_add(OFFERS));
        if !was_restoring {
            self.tell_everybody_opened();
        }
    }

    pub(crate) fn restoring_deadline(&self) -> Option<Millis> {
        // While offers are collected, newcomers wait for what comes of them.
        let open = self.restoring.decided.or(self.restoring.until);
        if self.log.is_running() { self.restoring.settled } else { open }
    }

    pub(crate) fn restoring_timeout(&mut self) {
        if self.restoring_deadline().is_none_or(|deadline| self.now < deadline) {
            return;
        }
        if self.log.is_running() {
            return self.nothing_is_restored();
        }
        (self.restoring.decided, self.restoring.until) = (None, None);
        match self.restoring.best().cloned() {
            Some(best) => self.restore(best),
            None => self.tell_everybody_opened(),
        }
    }

    /// Whoever came first may have offered garbage, or a state that the others have left behind.
    fn restore_what_more_offer(&mut self) {
        let restored = self.restoring.restored.map_or(0, |number| self.restoring.support(number));
        let Some(best) = self.restoring.best().cloned() else { return };
        if self.restoring.restored != Some(best.number) && self.restoring.support(best.number) > restored {
            self.reject("restored-again");
            self.begin_anew();
            self.restore(best);
        }
    }

    /// Forgets the log and what it says of everybody.
    fn begin_anew(&mut self) {
        self.log = Log::new(format!("{}+", self.log.id));
        self.tracked.clear();
        self.vouched.clear();
        (self.good, self.ask) = (None, None);
        self.welcomes = Welcomes::default();
        self.packages.clear();
        self.people.nobody_is_there();
        for member in self.members.values_mut() {
            match member.stage {
                // Opened before the others offered another state.
                Stage::Opening => member.trusted = None,
                _ => member.begin_anew(),
            }
        }
    }

    /// From now on the word of those counts who offered the state restored, and are named in it: a stranger can repeat an
    /// offer, but is none of those.
    fn trust_supporters(&mut self) {
        let Restoring { offers, by, restored, .. } = &self.restoring;
        let Some(best) = offers.iter().find(|offered| Some(offered.number) == *restored) else { return };
        let is_named =
            |identity: &Identity| best.offer.members.iter().any(|member| member == identity.expose());
        let named: Vec<Identity> = by
            .iter()
            .filter(|(identity, number)| **number == best.number && is_named(identity))
            .map(|(identity, _)| identity.clone())
            .collect();
        for identity in named {
            self.trust(&identity, 1);
        }
    }

    /// The room goes on from an offer.
    fn restore(&mut self, offered: Offered) {
        let Offered { number, offer, infos } = offered;
        let Some((from, first)) = infos.first().cloned() else { return };
        self.restoring.restored = Some(number);
        self.restoring.settled.get_or_insert(self.now.saturating_add(RESTORE_SETTLES));
        self.append(Kind::Group, &from, Some(first), None);
        self.good = Some(State::restored(1, &from, infos, offer.state));
        for statement in offer.statements {
            self.append(Kind::Statement, &from, Some(statement), None);
        }
        self.everybody_is_back();
        self.people.trust_nobody();
        self.trust_supporters();
        for member in offer.members {
            let identity = Identity::new(member);
            let is_back = self.people.presence(&identity) == Presence::Back;
            let channels = &self.channels;
            let admit = |other: &Identity| channels.contains_key(other);
            if !is_back && self.people.admit(self.now, &identity, &self.limits, admit) {
                self.presence(&identity, Presence::Gone(self.now.saturating_add(limits::EXPIRES)));
            }
            self.trust(&identity, 1);
        }
        self.tell_everybody_opened();
        for member in self.members.values_mut().filter(|member| member.stage != Stage::Opening) {
            member.stage = Stage::WantsBase { since: self.now };
        }
    }

    /// A group was started anew, or the restored one has settled: what was offered is forgotten.
    pub(crate) fn nothing_is_restored(&mut self) {
        let has_waited = self.restoring.has_waited;
        self.restoring = Restoring { has_waited, ..Restoring::new(self.now, self.now) };
    }
}
