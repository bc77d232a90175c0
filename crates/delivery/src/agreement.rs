//! What members call a state of the group: a hash that all compute of it, so that a GroupInfo of another one is found
//! out, also where it came beside a good commit, or from somebody whose word counts.

use std::collections::BTreeMap;

use protocol::channel::{Blob, FromServer, Sequence};

use crate::Delivery;
use crate::base::State;
use crate::member::Member;
use crate::output::Handle;

/// How often something was said, and by whom first of those who are trusted longest.
type Tally<'a> = BTreeMap<&'a [u8], (usize, u64)>;

impl Delivery {
    /// Which entry made the state that the group has after another one.
    pub(crate) fn state_at(&self, seq: Sequence) -> Option<Sequence> {
        let good = self.good.as_ref().map(State::seq).filter(|good| *good <= seq);
        let open = self.tracked.iter().rev().filter(|tracked| tracked.changes_group());
        open.map(|tracked| tracked.state.seq()).find(|open| *open <= seq).max(good)
    }

    /// Notes what most call each state, as far as they do by now, and tells those who are elsewhere.
    pub(crate) fn agree(&mut self) {
        let states = self.tracked.iter().filter(|tracked| tracked.changes_group());
        let states = states.map(|tracked| &tracked.state).chain(&self.good);
        let agreed: Vec<(Sequence, Blob)> =
            states.filter_map(|state| Some((state.seq(), self.most_call(state)?))).collect();
        for (seq, called) in agreed {
            let states = self.tracked.iter_mut().map(|tracked| &mut tracked.state).chain(&mut self.good);
            for state in states.filter(|state| state.seq() == seq) {
                state.agreed = Some(called.clone());
            }
            self.tell_apart(seq, &called);
        }
    }

    fn tell_apart(&mut self, seq: Sequence, called: &Blob) {
        let is_apart = |member: &Member| {
            member.follows() && member.apart < seq && member.calls(seq).is_some_and(|own| own != called)
        };
        let apart: Vec<Handle> =
            self.members.iter().filter(|(_, member)| is_apart(member)).map(|(handle, _)| *handle).collect();
        for handle in apart {
            if let Some(member) = self.members.get_mut(&handle) {
                member.apart = seq;
            }
            self.reject("state-of-another-group");
            self.send(handle, FromServer::Outcome { seq, applied: false });
        }
    }

    /// What more than half of the others call it whose word counts; of two halves that with who is trusted longest.
    fn most_call(&self, state: &State) -> Option<Blob> {
        let (tally, judges, oldest) = self.tally(state);
        let of_most = |(_, (count, first)): &(&[u8], (usize, u64))| {
            count * 2 > judges || (count * 2 == judges && Some(*first) == oldest)
        };
        tally.into_iter().find(of_most).map(|(called, _)| Blob(called.to_vec()))
    }

    /// The best there is to say of what a state is called.
    pub(crate) fn called(&self, state: &State) -> Option<Blob> {
        if state.agreed.is_some() {
            return state.agreed.clone();
        }
        let (tally, ..) = self.tally(state);
        let most = tally.into_iter().max_by_key(|(_, (count, first))| (*count, u64::MAX - first));
        if let Some((called, _)) = most {
            return Some(Blob(called.to_vec()));
        }
        // Nobody else is there to say anything.
        let own = self.channels.get(state.from()).and_then(|handle| self.members.get(handle));
        own.and_then(|own| own.calls(state.seq())).cloned()
    }

    /// Whether anybody's word counts about it but its maker's.
    pub(crate) fn has_judges(&self, state: &State) -> bool {
        self.members.values().any(|member| member.judges(state.from()))
    }

    /// Who calls a state what, how many could, and since when the one is trusted who is trusted longest.
    fn tally(&self, state: &State) -> (Tally<'_>, usize, Option<u64>) {
        let mut tally = Tally::new();
        let judges = self.members.values().filter(|member| member.judges(state.from()));
        let (mut count, mut oldest) = (0, None);
        for judge in judges {
            let trusted = judge.trusted.unwrap_or(u64::MAX);
            count += 1;
            oldest = Some(oldest.map_or(trusted, |oldest: u64| oldest.min(trusted)));
            if let Some(called) = judge.calls(state.seq()) {
                let said = tally.entry(&called.0).or_insert((0, trusted));
                *said = (said.0 + 1, said.1.min(trusted));
            }
        }
        (tally, count, oldest)
    }
}
