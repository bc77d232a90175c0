//! Whose word counts: that of whoever started the group or restored it, and of those with whose coming more than half of
//! them agree. So nobody brings in a crowd of voters of their own: one word is enough to go on with an entry, but not for
//! that.

use std::cmp::Ordering;

use protocol::channel::Sequence;
use protocol::ids::Identity;

use crate::Delivery;
use crate::limits::TRACKED;
use crate::outcome::{Opinions, Tracked};

/// Those who came in with an entry that somebody applied, until most have, or have skipped it.
pub(crate) struct Vouched {
    seq: Sequence,
    from: Identity,
    came: Vec<Identity>,
    opinions: Opinions,
}

impl Vouched {
    /// Which entry it is, by whom, and what others make of it.
    pub(crate) fn asked(&mut self) -> (Sequence, &Identity, &mut Opinions) {
        (self.seq, &self.from, &mut self.opinions)
    }
}

/// What those say whose word counts.
struct Votes {
    agreeing: usize,
    refusing: usize,
    /// They may still say something.
    open: usize,
    /// Whoever is trusted longest agrees.
    oldest_agrees: bool,
}

impl Votes {
    /// Of two halves that one counts with whoever is trusted longest; without anybody left the one word stands.
    fn verdict(&self) -> Option<bool> {
        let all = self.agreeing + self.refusing + self.open;
        match (self.agreeing * 2).cmp(&all) {
            Ordering::Greater => Some(true),
            Ordering::Equal if all == 0 || self.oldest_agrees => Some(true),
            _ => (self.open == 0 || self.refusing * 2 > all).then_some(false),
        }
    }
}

impl Delivery {
    /// Somebody applied an entry: its newcomers wait for the others to do so.
    pub(crate) fn vouch(&mut self, tracked: Tracked) {
        if tracked.came.is_empty() {
            return;
        }
        if self.vouched.len() == TRACKED {
            self.vouched.pop_front();
        }
        self.vouched.push_back(Vouched {
            seq: tracked.state.seq(),
            from: tracked.from,
            came: tracked.came,
            opinions: tracked.opinions,
        });
    }

    /// Who left comes in anew before its word counts.
    pub(crate) fn vouch_no_more(&mut self, identity: &Identity) {
        let tracked = self.tracked.iter_mut().map(|tracked| &mut tracked.came);
        for came in tracked.chain(self.vouched.iter_mut().map(|vouched| &mut vouched.came)) {
            came.retain(|one| one != identity);
        }
    }

    /// Trusts those with whose coming most agree, and forgets those of whom that is decided.
    pub(crate) fn trust_vouched(&mut self) {
        let decided = |delivery: &Self| {
            let verdicts = delivery.vouched.iter().map(|vouched| delivery.votes(vouched).verdict());
            verdicts.enumerate().find_map(|(index, verdict)| Some((index, verdict?)))
        };
        while let Some((index, agreed)) = decided(self) {
            let Some(Vouched { came, .. }) = self.vouched.remove(index) else { return };
            for identity in came.iter().filter(|_| agreed) {
                self.trust(identity);
            }
        }
    }

    /// Also of those who are away for a moment, but not of those who have come by a base since: they say nothing of it.
    fn votes(&self, vouched: &Vouched) -> Votes {
        let mut votes = Votes { agreeing: 0, refusing: 0, open: 0, oldest_agrees: false };
        let mut oldest = u64::MAX;
        for (identity, trusted) in self.people.trusted_there() {
            if *identity == vouched.from || vouched.came.contains(identity) {
                continue;
            }
            let agrees = vouched.opinions.applied_by.contains(identity);
            let member = self.channels.get(identity).and_then(|handle| self.members.get(handle));
            if agrees {
                votes.agreeing += 1;
            } else if vouched.opinions.refused_by.contains(identity) {
                votes.refusing += 1;
            } else if member.is_none_or(|member| !member.follows() || member.folded < vouched.seq) {
                votes.open += 1;
            } else {
                continue;
            }
            if trusted < oldest {
                (oldest, votes.oldest_agrees) = (trusted, agrees);
            }
        }
        votes
    }
}
