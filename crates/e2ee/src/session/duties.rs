//! What the group needs from its members: adding those who wait, removing those who left, fresh keys now and then, and
//! what hosts say. The lowest leaf that is online does it; the next one if that does not.

use std::collections::{BTreeMap, VecDeque};

use channel::{Blob, Submission, ToServer, Welcome};
use openmls::prelude::KeyPackage;

use super::joining::knock_aad;
use super::{Pending, Session, Word};
use crate::group::Leaf;
use crate::identity::identity_of;
use crate::seal;
use crate::signer::PublicKey;

/// Each further leaf acts so much later, in milliseconds.
const TURN_MS: u64 = 2000;

/// Removals wait so long for others, so that those who leave together are removed together, in milliseconds.
const GATHER_MS: u64 = 300;

/// Fresh keys for everybody, in milliseconds.
const HYGIENE_MS: u64 = 600_000;

/// Members added by one commit.
const BATCH: usize = 32;

/// Those who wait that are remembered; the server has the same bound.
const WAITING: usize = 256;

/// Words of hosts that the log lacks are said again after this, in milliseconds.
const REMIND_MS: u64 = 5000;

/// So often a word of a host is tried that the server refuses for other reasons than a lost race.
const TRIES: u32 = 10;

/// After a refusal by the server, in milliseconds.
const PUT_OFF_MS: u64 = 1000;

/// What there is to do.
#[derive(Default)]
pub(super) struct Duties {
    /// By identity: since when, and the sealed key package.
    waiting: BTreeMap<String, (u64, Vec<u8>)>,
    /// Since when a leaf is known to have left.
    leaving: BTreeMap<PublicKey, u64>,
    /// Since when the link has to change.
    link_due: Option<u64>,
    /// Words of our own as a host that wait for their turn.
    said: VecDeque<Word>,
    /// How often the first of them was refused.
    refused: u32,
    /// Words of hosts that the log lacks, since when, and how often they were said again.
    reminders: VecDeque<(u64, Vec<u8>, u32)>,
    not_before: u64,
}

impl Duties {
    pub(super) fn waiting(&mut self, now: u64, from: String, sealed: Vec<u8>) {
        if self.waiting.len() < WAITING {
            self.waiting.insert(from, (now, sealed));
        }
    }

    pub(super) fn not_waiting(&mut self, from: &str) {
        self.waiting.remove(from);
    }

    pub(super) fn say(&mut self, word: Word) {
        self.said.push_back(word);
    }

    pub(super) fn say_again(&mut self, word: Word) {
        self.said.push_front(word);
    }

    /// The server refuses a word, and not because of a lost race. Whether it is worth trying again.
    pub(super) fn is_worth_another_try(&mut self) -> bool {
        self.refused += 1;
        self.refused < TRIES
    }

    /// A word is in the log, or given up.
    pub(super) fn is_done_with_a_word(&mut self) {
        self.refused = 0;
    }

    pub(super) fn put_off(&mut self, now: u64) {
        self.not_before = now + PUT_OFF_MS;
    }

    /// The log lacks what a host said before: somebody has to put it there again.
    pub(super) fn remind(&mut self, now: u64, words: Vec<u8>) {
        self.reminders.push_back((now, words, 0));
    }

    pub(super) fn said_by_somebody(&mut self, words: &[u8]) {
        self.reminders.retain(|(_, known, _)| known != words);
    }

    /// The log begins anew.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        self.leaving.clear();
        self.link_due = None;
        self.reminders.clear();
    }
}

impl Session {
    pub(super) fn duties_next(&self) -> Option<u64> {
        if !self.may_act() {
            return None;
        }
        let turn = self.members.rank() * TURN_MS;
        let waiting = self.duties.waiting.values().map(|(since, _)| since + turn);
        let leaving = self.duties.leaving.iter().map(|(key, since)| {
            let kicked = self.policy.as_ref().is_some_and(|policy| policy.is_kicked(key));
            since + turn + if kicked { 0 } else { GATHER_MS }
        });
        let link = self.duties.link_due.map(|since| since + turn);
        let own = (!self.duties.said.is_empty()).then_some(0);
        let reminder = self.duties.reminders.front().map(|(since, ..)| since + turn);
        let hygiene = self.epochs.since + HYGIENE_MS + turn;
        waiting
            .chain(leaving)
            .chain(link)
            .chain(own)
            .chain(reminder)
            .chain([hygiene])
            .min()
            .map(|at| at.max(self.duties.not_before))
    }

    fn may_act(&self) -> bool {
        self.follows() && self.pending.is_none() && self.connected && self.folded >= self.head
    }

    pub(super) fn duties_due(&mut self, now: u64) {
        if self.duties_next().is_none_or(|at| at > now) {
            return;
        }
        // Who is no host any longer has nothing to say.
        if !self.policy.as_ref().is_some_and(|policy| policy.is_host(&self.own.key.public())) {
            self.duties.said.clear();
        }
        if let Some(word) = self.duties.said.pop_front() {
            if let Some(data) = self.statement(&word) {
                let id = self.submit(Submission::Statement, self.folded, data.clone(), None);
                self.pending = Some(Pending { id, after: self.folded, data, word: Some(word), since: now });
            }
            return;
        }
        let turn = self.members.rank() * TURN_MS;
        if let Some((_, data, tries)) = self.duties.reminders.pop_front_if(|(since, ..)| *since + turn <= now)
        {
            // Until it is there, or the server has refused it for so long; the next one only then, since each host's words
            // count in their order.
            if tries + 1 < TRIES {
                self.duties.reminders.push_front((now + REMIND_MS, data.clone(), tries + 1));
            }
            self.submit(Submission::Statement, self.folded, data, None);
            return self.duties.put_off(now);
        }
        let removes = self.removable();
        // Nobody comes in before a kick is done: those who wait need the new link.
        let link_is_due = self.duties.link_due.is_some();
        let adds = if link_is_due || self.somebody_is_kicked() {
            Vec::new()
        } else {
            self.tell_links(now);
            self.admissible()
        };
        if !adds.is_empty() || !removes.is_empty() || link_is_due || self.epochs.since + HYGIENE_MS <= now {
            self.commit(now, adds, removes);
        }
    }

    fn somebody_is_kicked(&self) -> bool {
        let Some(policy) = &self.policy else { return false };
        self.duties.leaving.keys().any(|key| policy.is_kicked(key))
    }

    /// Who is in the group, or what the log says of them, changed.
    pub(super) fn duties_changed(&mut self, now: u64) {
        let left: Vec<PublicKey> =
            self.members.all().iter().filter(|member| member.leaving).map(|member| member.key).collect();
        self.duties.leaving.retain(|key, _| left.contains(key));
        for key in left {
            self.duties.leaving.entry(key).or_insert(now);
        }
        // Whom a host removed leaves that to the others.
        let own = self.own.key.public();
        let is_due =
            self.policy.as_ref().is_some_and(|policy| policy.link_is_due() && !policy.is_kicked(&own));
        self.duties.link_due = is_due.then(|| self.duties.link_due.unwrap_or(now));
    }

    fn removable(&self) -> Vec<Leaf> {
        self.duties.leaving.keys().filter_map(|key| self.members.leaf_of(key)).collect()
    }

    /// Tells those the link who wait for that.
    fn tell_links(&mut self, now: u64) {
        let waiting = std::mem::take(&mut self.duties.waiting);
        let (told, waiting) =
            waiting.into_iter().partition(|(identity, (_, sealed))| self.tell_link(now, identity, sealed));
        let _: BTreeMap<String, (u64, Vec<u8>)> = told;
        self.duties.waiting = waiting;
    }

    /// Those who wait and may come in, a batch of them. Who cannot be let in is forgotten.
    fn admissible(&mut self) -> Vec<(String, KeyPackage, PublicKey)> {
        let (Some(group), Some(policy)) = (&self.group, &self.policy) else { return Vec::new() };
        let knock = self.keys.knock();
        let mut adds: Vec<(String, KeyPackage, PublicKey)> = Vec::new();
        let mut bad = Vec::new();
        for (identity, (_, sealed)) in &self.duties.waiting {
            if adds.len() == BATCH {
                break;
            }
            let opened = seal::open(&knock, &knock_aad(self.keys.room(), identity), sealed);
            let package = opened.and_then(|bytes| group.key_package(&bytes));
            match package {
                Some((package, key))
                    if identity_of(&key) == *identity
                        && policy.may_join(&key, false).is_ok()
                        && self.members.leaf_of(&key).is_none() =>
                {
                    adds.push((identity.clone(), package, key));
                }
                _ => bad.push(identity.clone()),
            }
        }
        for identity in bad {
            self.duties.waiting.remove(&identity);
        }
        adds
    }

    fn commit(&mut self, now: u64, mut adds: Vec<(String, KeyPackage, PublicKey)>, removes: Vec<Leaf>) {
        let psk = self.psk();
        let committed = loop {
            let Some(group) = &mut self.group else { return };
            let packages = adds.iter().map(|(_, package, _)| package.clone()).collect();
            match group.commit(packages, &removes, &psk) {
                Ok(committed) => break committed,
                Err(_) => match adds.pop() {
                    // One of them cannot be added, and must not keep the others out.
                    Some((identity, ..)) => {
                        self.duties.waiting.remove(&identity);
                    }
                    None => return self.duties.put_off(now),
                },
            }
        };
        let id = self.next_id();
        let to: Vec<String> = adds.into_iter().map(|(identity, ..)| identity).collect();
        for identity in &to {
            self.duties.waiting.remove(identity);
        }
        self.pending =
            Some(Pending { id, after: self.folded, data: committed.commit.clone(), word: None, since: now });
        self.tell_server(ToServer::Submit {
            id,
            after: self.folded,
            kind: Submission::Commit,
            data: Blob(committed.commit),
            welcome: committed.welcome.map(|data| Welcome { to, data: Blob(data) }),
            group_info: Some(Blob(committed.group_info)),
        });
    }
}
