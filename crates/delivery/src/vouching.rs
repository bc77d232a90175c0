//! Whose word counts: that of whoever started the group or restored it, and of those with whose coming more than half of
//! them agree, until they leave, or as many agree with a commit after they expired. So nobody brings in a crowd of voters of
//! their own, nor keeps one, nor takes the others' word away: one word is enough to go on with an entry, but not for that.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use protocol::channel::Sequence;
use protocol::ids::Identity;

use crate::Delivery;
use crate::limits::TRACKED;
use crate::member::Member;
use crate::outcome::Asked;
use crate::person::Presence;

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
    /// Somebody applied an entry: whoever comes and goes with it waits for the others to do so.
    pub(crate) fn vouch(&mut self, applied: Asked) {
        if applied.came.is_empty() && applied.gone.is_empty() {
            return;
        }
        if self.vouched.len() == TRACKED {
            self.vouched.pop_front();
        }
        self.vouched.push_back(applied);
    }

    /// Entries that may come to make the word of somebody count.
    fn entrances(&self) -> impl Iterator<Item = &Asked> {
        self.tracked.iter().map(|tracked| &tracked.asked).chain(&self.vouched)
    }

    /// From now on the word of this identity counts, which came in with an entry.
    pub(crate) fn trust(&mut self, identity: &Identity, entered: Sequence) {
        let trusted = self.people.trust(identity, entered);
        let handle = self.channels.get(identity);
        if let Some(member) = handle.and_then(|handle| self.members.get_mut(handle)) {
            member.trusted = trusted;
        }
    }

    /// The word of this identity counts no more, unless it came in anew after an entry.
    pub(crate) fn distrust(&mut self, identity: &Identity, after: Sequence) {
        let entrances = self.tracked.iter_mut().map(|tracked| &mut tracked.asked).chain(&mut self.vouched);
        for entrance in entrances.filter(|entrance| entrance.seq <= after) {
            entrance.came.retain(|one| one != identity);
        }
        let Some(person) = self.people.get_mut(identity).filter(|person| person.entered <= after) else {
            return;
        };
        person.trusted = None;
        let handle = self.channels.get(identity);
        if let Some(member) = handle.and_then(|handle| self.members.get_mut(handle)) {
            member.trusted = None;
        }
    }

    /// Trusts those with whose coming most agree, and those no more who went with it. Whether anything was decided.
    pub(crate) fn decide_vouched(&mut self) -> bool {
        let votes = self.vouched.iter().map(|vouched| self.votes(vouched));
        let decided =
            votes.enumerate().find_map(|(index, votes)| Some((index, votes.verdict()?, votes.agreeing)));
        let Some((index, agreed, agreeing)) = decided else { return false };
        let Some(Asked { seq, came, gone, .. }) = self.vouched.remove(index) else { return false };
        // Nobody takes away the word of others alone: they may come back, and find that it was a lie.
        for identity in gone.iter().filter(|_| agreed && agreeing > 0) {
            self.distrust(identity, seq);
        }
        for identity in came.iter().filter(|_| agreed) {
            self.trust(identity, seq);
        }
        true
    }

    /// Who has expired, and whose word counts or may come to.
    pub(crate) fn expired(&self) -> Vec<Identity> {
        let mut coming: BTreeSet<Identity> =
            self.entrances().flat_map(|entrance| entrance.came.clone()).collect();
        coming.extend(self.people.trusted_all().cloned());
        coming.into_iter().filter(|identity| self.people.presence(identity) == Presence::Expired).collect()
    }

    /// Where all have left whose word counted, perhaps before they said anything of those who had come, it passes on to
    /// these. Also where whoever started the group has expired before it took in anybody; but not while others may come back
    /// whose word counts. Whether there are any.
    pub(crate) fn trust_whoever_is_left(&mut self) -> bool {
        if !self.is_nobodys_word() {
            return false;
        }
        let came =
            self.entrances().flat_map(|entrance| entrance.came.iter().map(|one| (one.clone(), entrance.seq)));
        let follows = |(identity, _): &(Identity, Sequence)| {
            let member = self.channels.get(identity).and_then(|handle| self.members.get(handle));
            member.is_some_and(Member::follows)
        };
        let left: Vec<(Identity, Sequence)> = came.filter(follows).collect();
        let before = self.people.ever_trusted();
        for (identity, seq) in left {
            self.trust(&identity, seq);
        }
        self.people.ever_trusted() > before
    }

    fn is_nobodys_word(&self) -> bool {
        let mut trusted = self.people.trusted_all();
        match (trusted.next(), trusted.next()) {
            (None, _) => self.log.is_running(),
            (Some(first), None) => {
                self.people.ever_trusted() == 1 && self.people.presence(first) == Presence::Expired
            }
            _ => false,
        }
    }

    /// Also of those who are away for a moment, but not of those who have come by a base since: they say nothing of it.
    fn votes(&self, vouched: &Asked) -> Votes {
        let mut votes = Votes { agreeing: 0, refusing: 0, open: 0, oldest_agrees: false };
        let mut oldest = u64::MAX;
        for (identity, trusted) in self.people.trusted_there() {
            if *identity == vouched.from || vouched.came.contains(identity) {
                continue;
            }
            let said = vouched.opinions.of(identity);
            let member = self.channels.get(identity).and_then(|handle| self.members.get(handle));
            match said {
                Some(true) => votes.agreeing += 1,
                Some(false) => votes.refusing += 1,
                None if member.is_none_or(|member| !member.follows() || member.folded < vouched.seq) => {
                    votes.open += 1;
                }
                None => continue,
            }
            if trusted < oldest {
                (oldest, votes.oldest_agrees) = (trusted, said == Some(true));
            }
        }
        votes
    }
}
