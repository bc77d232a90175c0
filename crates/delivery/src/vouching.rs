//! Whose word counts: that of whoever started the group or restored it, and of those with whose coming more than half of
//! them agree. So nobody brings in a crowd of voters of their own: one word is enough to go on with an entry, but not for
//! that.

use std::collections::BTreeSet;

use protocol::channel::{Sequence, Submission};
use protocol::ids::Identity;

use crate::Delivery;
use crate::limits::TRACKED;
use crate::outcome::Tracked;

/// Those who came in with an entry that somebody applied, until most have.
pub(crate) struct Vouched {
    seq: Sequence,
    from: Identity,
    came: Vec<Identity>,
    applied_by: BTreeSet<Identity>,
}

impl Delivery {
    /// Somebody applied an entry: its newcomers wait for the others to do so.
    pub(crate) fn vouch(&mut self, tracked: &Tracked) {
        let came = match tracked.kind {
            Submission::Join => vec![tracked.from.clone()],
            Submission::Commit => tracked.adds.clone(),
            Submission::Group | Submission::Statement => Vec::new(),
        };
        if came.is_empty() {
            return;
        }
        if self.vouched.len() == TRACKED {
            self.vouched.pop_front();
        }
        self.vouched.push_back(Vouched {
            seq: tracked.state.seq(),
            from: tracked.from.clone(),
            came,
            applied_by: tracked.applied_by.clone(),
        });
    }

    /// A member whose word counts has folded these entries, and skipped some.
    pub(crate) fn vouched_by(
        &mut self,
        identity: &Identity,
        after: Sequence,
        seq: Sequence,
        skipped: &[Sequence],
    ) {
        let news = self.vouched.iter_mut().filter(|vouched| after < vouched.seq && vouched.seq <= seq);
        for vouched in news.filter(|vouched| vouched.from != *identity) {
            if !skipped.contains(&vouched.seq) {
                vouched.applied_by.insert(identity.clone());
            }
        }
    }

    /// Trusts those with whose coming most agree; of two halves that one counts with whoever is trusted longest.
    pub(crate) fn trust_vouched(&mut self) {
        while let Some(index) = self.vouched.iter().position(|vouched| self.most_agree(vouched)) {
            let Some(Vouched { came, .. }) = self.vouched.remove(index) else { return };
            for identity in came {
                self.trust(&identity);
            }
        }
    }

    fn most_agree(&self, vouched: &Vouched) -> bool {
        let judges = || self.members.values().filter(|member| member.judges(&vouched.from));
        let agrees = |identity| vouched.applied_by.contains(identity);
        let agreeing = judges().filter(|judge| agrees(&judge.identity)).count();
        let oldest = judges().min_by_key(|judge| judge.trusted);
        match (agreeing * 2).cmp(&judges().count()) {
            std::cmp::Ordering::Greater => true,
            // Without anybody left the one word stands.
            std::cmp::Ordering::Equal => oldest.is_none_or(|oldest| agrees(&oldest.identity)),
            std::cmp::Ordering::Less => false,
        }
    }
}
