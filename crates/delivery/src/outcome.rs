//! What members report about the entries of others, and what follows from it.

use std::collections::BTreeSet;

use protocol::channel::{Blob, ClosingCode, FromServer, Sequence, Submission};
use protocol::ids::Identity;

use crate::base::State;
use crate::limits::{STATE_BYTES, TRACKED, TRACKED_INFOS};
use crate::output::Handle;
use crate::vouching::Vouched;
use crate::{Delivery, Millis};

/// A submission without a verdict.
pub(crate) struct Tracked {
    pub(crate) state: State,
    kind: Submission,
    /// Who comes into the group with it.
    pub(crate) came: Vec<Identity>,
    pub(crate) from: Identity,
    /// When it was appended.
    pub(crate) at: Millis,
    pub(crate) opinions: Opinions,
}

/// What others made of an entry, also those whose word does not count, or not yet.
#[derive(Default)]
pub(crate) struct Opinions {
    pub(crate) applied_by: BTreeSet<Identity>,
    pub(crate) refused_by: BTreeSet<Identity>,
}

impl Opinions {
    /// Of those whose word does not count so many are kept: strangers come and go.
    pub(crate) fn say(&mut self, identity: &Identity, applied: bool, counts: bool, most: usize) {
        if counts || self.applied_by.len() + self.refused_by.len() < most {
            let said = if applied { &mut self.applied_by } else { &mut self.refused_by };
            said.insert(identity.clone());
        }
    }
}

impl Tracked {
    pub(crate) fn new(
        seq: Sequence,
        kind: Submission,
        from: Identity,
        at: Millis,
        group_info: Option<Blob>,
        adds: Vec<Identity>,
    ) -> Self {
        let group_info = group_info.filter(|_| kind != Submission::Statement);
        let state = State::new(seq, from.clone(), group_info);
        let came = match kind {
            Submission::Join => vec![from.clone()],
            Submission::Commit => adds,
            Submission::Group | Submission::Statement => Vec::new(),
        };
        Self { state, kind, came, from, at, opinions: Opinions::default() }
    }

    /// Which entry it is, by whom, and what others make of it.
    fn asked(&mut self) -> (Sequence, &Identity, &mut Opinions) {
        (self.state.seq(), &self.from, &mut self.opinions)
    }

    /// Whether it would change the group. Of the first entry that is known.
    pub(crate) fn changes_group(&self) -> bool {
        matches!(self.kind, Submission::Join | Submission::Commit)
    }
}

impl Delivery {
    pub(crate) fn track(&mut self, tracked: Tracked) {
        self.tracked.push_back(tracked);
        if self.tracked.len() > TRACKED {
            self.tracked.pop_front();
        }
        for older in self.tracked.iter_mut().rev().skip(TRACKED_INFOS) {
            older.state.forget_infos();
        }
    }

    pub(crate) fn applied(&mut self, handle: Handle, seq: Sequence, refused: &[Sequence], state: Blob) {
        let head = self.log.head();
        if seq > head {
            return self.hang_up(handle, ClosingCode::Malformed, "applied-the-future");
        }
        if state.0.len() > STATE_BYTES {
            return self.hang_up(handle, ClosingCode::Malformed, "state-too-long");
        }
        let made_by = self.state_at(seq);
        let Some(member) = self.members.get_mut(&handle) else { return };
        if !member.follows() {
            return; // said before it asked for a base
        }
        if let Some(made_by) = made_by.filter(|_| !state.0.is_empty()) {
            member.state = Some((made_by, state));
        }
        let before = member.folded;
        let reports_first = !member.reports;
        (member.reports, member.obliged) = (true, true);
        member.folded = before.max(seq);
        if member.folded >= member.owes {
            member.owes_since = None;
        } else if seq > before {
            member.owes_since = Some(self.now);
        }
        let skipped: BTreeSet<Sequence> = refused.iter().copied().collect();
        let (identity, counts, most) = (&member.identity, member.trusted.is_some(), self.limits.people);
        let tracked = self.tracked.iter_mut().map(Tracked::asked);
        for (made, from, opinions) in tracked.chain(self.vouched.iter_mut().map(Vouched::asked)) {
            if before < made && made <= seq && from != identity {
                opinions.say(identity, !skipped.contains(&made), counts, most);
            }
        }
        if reports_first {
            self.tell_waiting(handle);
        }
    }

    /// Decides what can be decided.
    pub(crate) fn judge(&mut self) {
        let decided = |delivery: &Self| {
            let verdicts = delivery.tracked.iter().map(|tracked| delivery.verdict(tracked));
            verdicts.enumerate().find_map(|(index, verdict)| Some((index, verdict?)))
        };
        while let Some((index, applied)) = decided(self) {
            let Some(tracked) = self.tracked.remove(index) else { return };
            let seq = tracked.state.seq();
            if let Some(submitter) = self.channels.get(&tracked.from).copied() {
                self.send(submitter, FromServer::Outcome { seq, applied });
            }
            if !applied {
                self.reject("entry-refused");
                self.log.statement_refused(seq);
                self.is_not_in(&tracked);
                self.reports_move(&tracked);
                self.entries_refused(&tracked.from);
                continue;
            }
            if tracked.changes_group() && self.good.as_ref().is_none_or(|good| good.seq() < seq) {
                self.good = Some(tracked.state.clone());
                self.group_went_on();
            }
            self.vouch(tracked);
        }
        self.trust_vouched();
    }

    /// What members said of their state while a refused entry was open is about the state before that entry, of those who
    /// skipped it.
    fn reports_move(&mut self, tracked: &Tracked) {
        let seq = tracked.state.seq();
        let before = self.state_at(seq);
        for member in self.members.values_mut() {
            let Some((_, state)) = member.state.take_if(|(made_by, _)| *made_by == seq) else { continue };
            if tracked.opinions.refused_by.contains(&member.identity) {
                member.state = before.map(|before| (before, state));
            }
        }
    }

    /// From now on the word of this identity counts.
    pub(crate) fn trust(&mut self, identity: &Identity) {
        let trusted = self.people.trust(identity);
        let handle = self.channels.get(identity);
        if let Some(member) = handle.and_then(|handle| self.members.get_mut(handle)) {
            member.trusted = trusted;
        }
    }

    /// Who was refused entry has nothing to report, unless it is in the group otherwise.
    fn is_not_in(&mut self, tracked: &Tracked) {
        let handle = self.channels.get(&tracked.from);
        let member = handle.and_then(|handle| self.members.get_mut(handle));
        if let Some(member) = member.filter(|member| tracked.kind == Submission::Join && !member.reports) {
            (member.obliged, member.owes_since) = (false, None);
        }
    }

    /// What others think of an entry; `None` as long as that is open.
    fn verdict(&self, tracked: &Tracked) -> Option<bool> {
        // Otherwise strangers could outvote the members.
        let counts = |identity: &&Identity| self.people.trusted(identity).is_some();
        let applying = tracked.opinions.applied_by.iter().filter(counts).count();
        // With one that goes on nobody else has to wait; a statement changes nothing for the server.
        if applying > 0 && tracked.kind != Submission::Statement {
            return Some(true);
        }
        let (refusing, judges) = self.judges(tracked);
        if refusing * 2 > judges {
            return Some(false);
        }
        (applying > 0 && (applying + refusing >= judges || applying * 2 > judges)).then_some(true)
    }

    /// How many members have skipped an entry, and how many there are whose word counts.
    pub(crate) fn judges(&self, tracked: &Tracked) -> (usize, usize) {
        let judges = self.members.values().filter(|member| member.judges(&tracked.from));
        judges.fold((0, 0), |(refusing, all), judge| {
            (refusing + usize::from(tracked.opinions.refused_by.contains(&judge.identity)), all + 1)
        })
    }
}
