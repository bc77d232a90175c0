//! What members report about the entries of others, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use protocol::channel::{Blob, ClosingCode, FromServer, Sequence, Submission};
use protocol::ids::Identity;

use crate::base::State;
use crate::limits::{STATE_BYTES, TRACKED, TRACKED_INFOS};
use crate::output::Handle;
use crate::{Delivery, Millis};

/// An entry about which members say what they make of it.
pub(crate) struct Asked {
    pub(crate) seq: Sequence,
    pub(crate) from: Identity,
    /// Who comes into the group with it.
    pub(crate) came: Vec<Identity>,
    /// Who had expired by then: a commit removes them.
    pub(crate) gone: Vec<Identity>,
    pub(crate) opinions: Opinions,
}

impl Asked {
    pub(crate) fn new(seq: Sequence, from: Identity, came: Vec<Identity>, gone: Vec<Identity>) -> Self {
        Self { seq, from, came, gone, opinions: Opinions::default() }
    }
}

/// Who of the others applied an entry, and who skipped it; also those whose word does not count, or not yet. The first word
/// of each stands.
#[derive(Default)]
pub(crate) struct Opinions(BTreeMap<Identity, bool>);

impl Opinions {
    /// Of those whose word does not count so many are kept: strangers come and go.
    fn say(&mut self, identity: &Identity, applied: bool, counts: bool, most: usize) {
        if counts || self.0.len() < most {
            self.0.entry(identity.clone()).or_insert(applied);
        }
    }

    /// Whether somebody applied it; `None` without a word.
    pub(crate) fn of(&self, identity: &Identity) -> Option<bool> {
        self.0.get(identity).copied()
    }

    /// Those who applied it, or those who skipped it.
    pub(crate) fn those_who(&self, applied: bool) -> impl Iterator<Item = &Identity> {
        self.0.iter().filter(move |(_, said)| **said == applied).map(|(identity, _)| identity)
    }
}

/// A submission without a verdict.
pub(crate) struct Tracked {
    pub(crate) asked: Asked,
    pub(crate) state: State,
    kind: Submission,
    /// When it was appended.
    pub(crate) at: Millis,
}

impl Tracked {
    pub(crate) fn new(asked: Asked, kind: Submission, at: Millis, group_info: Option<Blob>) -> Self {
        let group_info = group_info.filter(|_| kind != Submission::Statement);
        let state = State::new(asked.seq, asked.from.clone(), group_info);
        Self { asked, state, kind, at }
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
        let tracked = self.tracked.iter_mut().map(|tracked| &mut tracked.asked);
        for asked in tracked.chain(&mut self.vouched) {
            if before < asked.seq && asked.seq <= seq && asked.from != *identity {
                asked.opinions.say(identity, !skipped.contains(&asked.seq), counts, most);
            }
        }
        if reports_first {
            self.tell_waiting(handle);
        }
    }

    /// Decides what can be decided. Whose word comes to count may have said something already.
    pub(crate) fn judge(&mut self) {
        loop {
            self.decide_entries();
            if !self.decide_vouched() && !self.trust_whoever_is_left() {
                return;
            }
        }
    }

    fn decide_entries(&mut self) {
        let decided = |delivery: &Self| {
            let verdicts = delivery.tracked.iter().map(|tracked| delivery.verdict(tracked));
            verdicts.enumerate().find_map(|(index, verdict)| Some((index, verdict?)))
        };
        while let Some((index, applied)) = decided(self) {
            let Some(tracked) = self.tracked.remove(index) else { return };
            let seq = tracked.asked.seq;
            if let Some(submitter) = self.channels.get(&tracked.asked.from).copied() {
                self.send(submitter, FromServer::Outcome { seq, applied });
            }
            if !applied {
                self.reject("entry-refused");
                self.log.statement_refused(seq);
                self.is_not_in(&tracked);
                self.reports_move(&tracked.asked);
                self.entries_refused(&tracked.asked.from);
                continue;
            }
            if tracked.changes_group() && self.good.as_ref().is_none_or(|good| good.seq() < seq) {
                self.good = Some(tracked.state);
                self.group_went_on();
            }
            self.vouch(tracked.asked);
        }
    }

    /// What members said of their state while a refused entry was open is about the state before that entry, of those who
    /// skipped it.
    fn reports_move(&mut self, refused: &Asked) {
        let seq = refused.seq;
        let before = self.state_at(seq);
        for member in self.members.values_mut() {
            let Some((_, state)) = member.state.take_if(|(made_by, _)| *made_by == seq) else { continue };
            if refused.opinions.of(&member.identity) == Some(false) {
                member.state = before.map(|before| (before, state));
            }
        }
    }

    /// Who was refused entry has nothing to report, unless it is in the group otherwise.
    fn is_not_in(&mut self, tracked: &Tracked) {
        let handle = self.channels.get(&tracked.asked.from);
        let member = handle.and_then(|handle| self.members.get_mut(handle));
        if let Some(member) = member.filter(|member| tracked.kind == Submission::Join && !member.reports) {
            (member.obliged, member.owes_since) = (false, None);
        }
    }

    /// What others think of an entry; `None` as long as that is open.
    fn verdict(&self, tracked: &Tracked) -> Option<bool> {
        // Otherwise strangers could outvote the members.
        let counts = |identity: &&Identity| self.people.trusted(identity).is_some();
        let applying = tracked.asked.opinions.those_who(true).filter(counts).count();
        // With one that goes on nobody else has to wait; a statement changes nothing for the server.
        if applying > 0 && tracked.kind != Submission::Statement {
            return Some(true);
        }
        let (refusing, judges) = self.judges(&tracked.asked);
        if refusing * 2 > judges {
            return Some(false);
        }
        if tracked.kind == Submission::Commit && self.is_agreed(&tracked.asked) {
            return Some(true);
        }
        (applying > 0 && (applying + refusing >= judges || applying * 2 > judges)).then_some(true)
    }

    /// Whether a commit stands because nobody could judge it: whose word alone counts agreed by making it, and whom it adds by
    /// being there. Without anybody added it stands if nobody else says to be in the group.
    fn is_agreed(&self, Asked { from, came, opinions, .. }: &Asked) -> bool {
        let mut voters = self.people.trusted_there().map(|(identity, _)| identity);
        if voters.next() != Some(from) || voters.next().is_some() {
            return false;
        }
        let mut others = self.members.values().filter(|member| member.identity != *from);
        match came.is_empty() {
            true => !others.any(|member| member.obliged),
            false => came.iter().any(|one| opinions.of(one) == Some(true)),
        }
    }

    /// How many members have skipped an entry, and how many there are whose word counts.
    pub(crate) fn judges(&self, asked: &Asked) -> (usize, usize) {
        let judges = self.members.values().filter(|member| member.judges(&asked.from));
        judges.fold((0, 0), |(refusing, all), judge| {
            (refusing + usize::from(asked.opinions.of(&judge.identity) == Some(false)), all + 1)
        })
    }
}
