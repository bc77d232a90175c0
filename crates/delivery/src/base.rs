//! From where newcomers start: the newest state of the group that somebody other than its author has, as a
//! GroupInfo, and what the log says up to there.

use std::sync::Arc;

use protocol::channel::{Blob, ClosingCode, FromServer, Sequence};
use protocol::ids::Identity;

use crate::limits::{ASK_WAIT, ASKS, BASE_WAIT, INFOS};
use crate::member::{InfoId, Member, Stage};
use crate::outcome::Tracked;
use crate::output::Handle;
use crate::{Delivery, Millis};

/// A state of the group, by the entry that made it.
pub(crate) struct State {
    seq: Sequence,
    /// Who made it.
    from: Identity,
    /// What most of the others called it.
    pub(crate) agreed: Option<Blob>,
    /// GroupInfos of it with whoever supplied them, the newest last.
    infos: Vec<(Identity, Arc<Blob>)>,
}

impl State {
    pub(crate) fn new(seq: Sequence, from: Identity, info: Option<Blob>) -> Self {
        let infos = info.into_iter().map(|info| (from.clone(), Arc::new(info))).collect();
        Self { seq, from, agreed: None, infos }
    }

    /// What several offered, and call it.
    pub(crate) fn restored(
        seq: Sequence,
        from: &Identity,
        infos: Vec<(Identity, Blob)>,
        called: Blob,
    ) -> Self {
        let infos = infos.into_iter().map(|(from, info)| (from, Arc::new(info))).collect();
        Self { seq, from: from.clone(), agreed: Some(called), infos }
    }

    pub(crate) fn from(&self) -> &Identity {
        &self.from
    }

    pub(crate) fn seq(&self) -> Sequence {
        self.seq
    }

    pub(crate) fn forget_infos(&mut self) {
        self.infos.clear();
    }

    #[cfg(test)]
    pub(crate) fn has_infos(&self) -> bool {
        !self.infos.is_empty()
    }

    fn add(&mut self, from: Identity, info: Blob) {
        self.infos.retain(|(supplier, _)| *supplier != from);
        self.infos.push((from, Arc::new(info)));
        if self.infos.len() > INFOS {
            self.infos.remove(0);
        }
    }

    /// The newest GroupInfo that a member can use.
    fn usable(&self, member: &Member) -> Option<(InfoId, Arc<Blob>)> {
        self.infos.iter().rev().find_map(|(supplier, info)| {
            let id = (self.seq, supplier.clone());
            (!member.calls_bad(&id)).then(|| (id, Arc::clone(info)))
        })
    }
}

/// Somebody was asked for a GroupInfo.
pub(crate) struct Ask {
    pub(crate) handle: Handle,
    until: Millis,
}

/// What somebody who waits for a base gets.
enum Choice {
    /// This base.
    Serve { seq: Sequence, id: InfoId, info: Arc<Blob>, state: Option<Blob> },
    /// Nothing before that time.
    Wait(Millis),
    /// Nothing until somebody gives a GroupInfo.
    Ask,
}

impl Delivery {
    pub(crate) fn want_base(&mut self, handle: Handle, is_bad: bool) {
        let Some(member) = self.members.get_mut(&handle) else { return };
        if is_bad && let Some(served) = member.served.take() {
            member.call_bad(served);
        }
        if matches!(member.stage, Stage::Follows) {
            member.owes_since = None;
            member.stage = Stage::WantsBase { since: self.now };
        }
    }

    /// An answer to the one question that may be open.
    pub(crate) fn group_info(&mut self, handle: Handle, seq: Sequence, group_info: Blob) {
        if group_info.0.len() > self.limits.group_info_bytes {
            return self.hang_up(handle, ClosingCode::Malformed, "group-info-too-large");
        }
        if self.ask.as_ref().is_none_or(|ask| ask.handle != handle) {
            return self.reject("group-info-unasked"); // or late
        }
        self.ask = None;
        let Some(from) = self.members.get(&handle).map(|member| member.identity.clone()) else { return };
        let head = self.log.head();
        let Some(state) = self.newest_state_of(&from) else { return };
        if (state.seq..=head).contains(&seq) {
            state.add(from, group_info);
        } else {
            self.reject("group-info-stale");
        }
    }

    /// The state after the newest entry that may have changed the group and that this member has not skipped.
    fn newest_state_of(&mut self, identity: &Identity) -> Option<&mut State> {
        let good = self.good.as_ref()?.seq;
        let counts = |tracked: &&mut Tracked| {
            tracked.changes_group() && tracked.asked.opinions.of(identity) != Some(false)
        };
        match self.tracked.iter_mut().rev().find(counts) {
            Some(open) if open.state.seq > good => Some(&mut open.state),
            _ => self.good.as_mut(),
        }
    }

    /// New questions are worth while.
    pub(crate) fn group_went_on(&mut self) {
        for member in self.members.values_mut() {
            member.asks = 0;
        }
    }

    pub(crate) fn serve_bases(&mut self) {
        if self.ask.as_ref().is_some_and(|ask| ask.until <= self.now) {
            self.ask = None;
        }
        let wanting: Vec<Handle> = self
            .members
            .iter()
            .filter(|(_, member)| since(member).is_some())
            .map(|(handle, _)| *handle)
            .collect();
        for handle in wanting {
            let Some(member) = self.members.get(&handle) else { continue };
            match self.choose(member) {
                Some(Choice::Serve { seq, id, info, state }) => self.serve(handle, seq, id, &info, state),
                Some(Choice::Ask) => self.ask_for(handle),
                Some(Choice::Wait(_)) | None => {}
            }
        }
    }

    /// When waiting for a base is over, for those who do.
    pub(crate) fn base_deadline(&self) -> Option<Millis> {
        let wanting = self.members.values().filter(|member| since(member).is_some());
        let waits = wanting.filter_map(|member| match self.choose(member)? {
            Choice::Wait(until) => Some(until),
            Choice::Serve { .. } | Choice::Ask => None,
        });
        waits.chain(self.ask.as_ref().map(|ask| ask.until)).min()
    }

    fn choose(&self, member: &Member) -> Option<Choice> {
        let good = self.good.as_ref()?;
        let open = || {
            let changes = |tracked: &&Tracked| tracked.changes_group() && tracked.state.seq > good.seq;
            self.tracked.iter().filter(changes)
        };
        let of_good = |seq| match good.usable(member) {
            Some((id, info)) if self.log.reaches(seq) => {
                Choice::Serve { seq, id, info, state: self.called(good) }
            }
            _ => Choice::Ask,
        };
        let head = self.log.head();
        let (Some(first), Some(newest)) = (open().next(), open().next_back()) else {
            // The first to report may be the one whose GroupInfo it is, under another name.
            let until = since(member)?.saturating_add(BASE_WAIT);
            let waits = self.now < until && good.agreed.is_none() && self.has_judges(good);
            return Some(if waits { Choice::Wait(until) } else { of_good(head) });
        };
        let (refusing, judges) = self.judges(&newest.asked);
        let until = newest.at.min(since(member)?).saturating_add(BASE_WAIT);
        if self.now < until && judges > refusing {
            return Some(Choice::Wait(until));
        }
        // Whoever did not say anything may still apply it, so it is told like every entry.
        let before = || of_good(first.state.seq - 1);
        if newest.asked.opinions.those_who(false).any(|identity| self.people.trusted(identity).is_some()) {
            return Some(before());
        }
        Some(match newest.state.usable(member) {
            Some((id, info)) => Choice::Serve { seq: head, id, info, state: self.called(&newest.state) },
            None if self.may_ask(member) => Choice::Ask,
            None => before(),
        })
    }

    fn serve(&mut self, handle: Handle, seq: Sequence, id: InfoId, info: &Blob, state: Option<Blob>) {
        let Some(member) = self.members.get_mut(&handle) else { return };
        member.served = Some(id);
        // Who was added meanwhile and does not know it gets the Welcome with its entry: that one fails on this base
        // and brings its own state.
        let added = self.welcomes.newest_for(&member.identity);
        let seq = added.filter(|added| self.log.reaches(added - 1)).map_or(seq, |added| seq.min(added - 1));
        let past = self.log.past(seq);
        self.send(handle, FromServer::Base { seq, group_info: info.clone(), state, past });
        self.follow(handle, seq);
    }

    fn may_ask(&self, member: &Member) -> bool {
        self.ask.is_some() || (member.asks < ASKS && self.whom_to_ask(member).is_some())
    }

    /// Somebody who has the newest state and whose GroupInfo the member has not called bad; rather of those who call
    /// the state what most do.
    fn whom_to_ask(&self, member: &Member) -> Option<Handle> {
        let good = self.good.as_ref()?;
        let newest = self.tracked.iter().rev().find(|tracked| tracked.changes_group());
        let newest = newest.map_or(good, |tracked| &tracked.state);
        let newest = if newest.seq > good.seq { newest } else { good };
        let called = self.called(newest);
        let fits = |other: &Member| {
            other.judges(&member.identity) && other.folded >= newest.seq && !member.distrusts(&other.identity)
        };
        let all = || self.members.iter().filter(|(_, other)| fits(other));
        let agreeing =
            all().find(|(_, other)| called.is_some() && other.calls(newest.seq) == called.as_ref());
        agreeing.or_else(|| all().next()).map(|(handle, _)| *handle)
    }

    fn ask_for(&mut self, handle: Handle) {
        if self.ask.is_some() {
            return; // the answer is for everybody
        }
        let Some(member) = self.members.get(&handle).filter(|member| member.asks < ASKS) else { return };
        let Some(asked) = self.whom_to_ask(member) else { return };
        if let Some(member) = self.members.get_mut(&handle) {
            member.asks += 1;
        }
        self.ask = Some(Ask { handle: asked, until: self.now.saturating_add(ASK_WAIT) });
        self.send(asked, FromServer::GroupInfoWanted);
    }
}

fn since(member: &Member) -> Option<Millis> {
    match member.stage {
        Stage::WantsBase { since } => Some(since),
        _ => None,
    }
}
