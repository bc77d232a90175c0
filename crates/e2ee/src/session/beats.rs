//! Heartbeats: members show each other that they are in the same state. From them follows who is "not confirmed", when
//! everybody has a new key, and that we have lost step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use channel::{Blob, Sequence};

use super::returning::LABEL;
use super::{Attempt, Event, Session, State};
use crate::group::OpenError;
use crate::identity::identity_of;
use crate::message::{Message, Stream};
use crate::signer::PublicKey;

/// A member silent for so long is "not confirmed", in milliseconds.
pub(super) const SILENT_MS: u64 = 30_000;

/// Regular heartbeats come after so long, at random in between, in milliseconds; in large groups and small ones.
const BEATS_MS: (u64, u64) = (10_000, 20_000);
const BEATS_LARGE_MS: (u64, u64) = (15_000, 25_000);
const LARGE: usize = 50;

/// After a new epoch heartbeats spread over so much for each member, and so much at most, in milliseconds.
const SPREAD_EACH_MS: u64 = 25;
const SPREAD_MS: u64 = 5000;

/// So many members, from the lowest leaf on, answer somebody who asks; each once in so many milliseconds.
const ANSWERERS: u64 = 3;
const ANSWER_MS: u64 = 1000;

/// What was sent in an epoch still to come is kept so long, and so much of it.
const EARLY_MS: u64 = 10_000;
const EARLY_COUNT: usize = 64;
const EARLY_BYTES: usize = 256 << 10;

/// So long the others may be ahead of us before we join anew, in milliseconds.
const BEHIND_MS: u64 = 5000;

/// After a suspicion that was answered the next one waits so long, in milliseconds: strangers could keep all busy.
const CALM_MS: u64 = 30_000;

/// So long the others may stay in an earlier epoch before we suspect that ours is a fork, in milliseconds.
const ALONE_MS: u64 = 8000;

/// So many of our rules are remembered: heartbeats are not under way for longer.
const RULES: usize = 64;

/// What came of hosts' words.
struct Rules {
    /// From which place in the log on.
    seq: Sequence,
    digest: [u8; 32],
    /// When they became ours.
    at: u64,
}

/// A heartbeat that says to have folded entries that we do not have, or to other rules.
struct Claim {
    seq: Sequence,
    rules: Vec<u8>,
    epoch: u64,
    authenticator: Vec<u8>,
    /// When it came.
    since: u64,
}

/// Heartbeats, sent and heard.
#[derive(Default)]
pub(super) struct Beats {
    next: Option<u64>,
    answered: u64,
    /// The own streams.
    pub(super) streams: Vec<Stream>,
    /// Who showed to be in our state since the newest epoch began.
    heard: BTreeSet<PublicKey>,
    /// When silence of a member began to count: it came, or we did.
    known_since: BTreeMap<PublicKey, u64>,
    /// Messages of epochs to come, with their time.
    early: VecDeque<(u64, Vec<u8>)>,
    /// Since when the others seem to be ahead.
    behind_since: Option<u64>,
    /// When it was last looked who is silent.
    looked_at: u64,
    /// No suspicion before this.
    calm_until: u64,
    /// The rules that came of our log, the newest last.
    rules: VecDeque<Rules>,
    /// The first heartbeat of each member whose rules are not ours, or not yet.
    claims: BTreeMap<PublicKey, Claim>,
    /// Such claims count again from this time on.
    claims_after: u64,
    /// Everybody who is online confirmed the newest epoch.
    complete: bool,
    dirty: bool,
}

impl Beats {
    pub(super) fn due_at(&mut self, at: u64) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    pub(super) fn next(&self) -> Option<u64> {
        let behind = self.behind_since.map(|since| since + BEHIND_MS);
        let silent =
            self.known_since.values().map(|since| since + SILENT_MS).filter(|&at| at > self.looked_at).min();
        let claims = self.claims.values().map(|claim| claim.since + BEHIND_MS);
        let claims = claims.filter(|&at| at > self.looked_at).min();
        [self.next, behind, silent, claims].into_iter().flatten().min()
    }

    /// From these members heartbeats are expected, from newcomers since now.
    fn expect(&mut self, now: u64, others: &[PublicKey]) {
        self.known_since.retain(|key, _| others.contains(key));
        self.claims.retain(|key, _| others.contains(key));
        for key in others {
            self.known_since.entry(*key).or_insert(now);
        }
    }

    pub(super) fn somebody_changed(&mut self) {
        self.dirty = true;
    }

    /// Somebody showed that they are in our state.
    pub(super) fn is_confirmed(&self) -> bool {
        !self.heard.is_empty()
    }

    /// We join anew: what made us do so is dealt with.
    pub(super) fn forget_suspicions(&mut self) {
        self.behind_since = None;
        self.claims.clear();
    }

    /// These are our rules from now on.
    fn ruled(&mut self, rules: Rules) {
        if self.rules.back().is_some_and(|newest| newest.digest == rules.digest) {
            return;
        }
        if self.rules.len() == RULES {
            self.rules.pop_front();
        }
        self.rules.push_back(rules);
    }

    /// Whether these were our rules at a place, or came to be them since; `None` if we do not remember that place, or if they
    /// have been others for too long to be those of somebody who is where we are.
    fn were_ours(&self, now: u64, seq: Sequence, digest: &[u8]) -> Option<bool> {
        let then = self.rules.iter().rposition(|rules| rules.seq <= seq);
        let from = then.unwrap_or_default();
        match self.rules.iter().skip(from).rposition(|rules| rules.digest == digest) {
            Some(index) => {
                let next = self.rules.get(from + index + 1);
                next.is_none_or(|next| now < next.at + ALONE_MS).then_some(true)
            }
            None => then.map(|_| false),
        }
    }

    pub(super) fn heard(&self, key: &PublicKey) -> bool {
        self.heard.contains(key)
    }

    /// Since when a member is silent, if that is for too long.
    pub(super) fn silent_since(&self, key: &PublicKey, now: u64) -> Option<u64> {
        self.known_since.get(key).copied().filter(|since| since + SILENT_MS <= now)
    }
}

impl Session {
    /// A new epoch began: everybody has to show anew that they are in it.
    pub(super) fn beats_epoch(&mut self, now: u64) {
        let own = self.own.key.public();
        let rank = self.members.rank();
        let others: Vec<PublicKey> = self.members.others_here(&own).map(|member| member.key).collect();
        let spread = (others.len() as u64 * SPREAD_EACH_MS).min(SPREAD_MS);
        let wait = if rank == 0 { 0 } else { self.random.below(spread) };
        let beats = &mut self.beats;
        beats.heard.clear();
        beats.complete = false;
        beats.behind_since = None;
        beats.calm_until = now;
        beats.expect(now, &others);
        beats.next = Some(now + wait);
        self.early_again(now);
        self.check_confirmed(now);
    }

    pub(super) fn beats_due(&mut self, now: u64) {
        if std::mem::take(&mut self.beats.dirty) {
            self.look_up_members();
            let own = self.own.key.public();
            let others: Vec<PublicKey> = self.members.others_here(&own).map(|member| member.key).collect();
            self.beats.expect(now, &others);
            self.duties_changed(now);
            self.check_confirmed(now);
            self.roster.changed();
        }
        if self.beats.next.is_some_and(|at| at <= now) {
            self.beat(now, !self.beats.is_confirmed());
        }
        if self.beats.behind_since.is_some_and(|since| since + BEHIND_MS <= now) {
            self.beats.behind_since = None;
            // Whoever is in our state answers within that time: then it is the others who are wrong, or nobody.
            if !self.beats.is_confirmed() {
                self.resync(now);
            }
        }
        self.check_claims(now);
        self.check_silence(now);
    }

    /// Entries that others have and we have not may have been kept from us: also those that change no epoch, like a
    /// host's word. One member alone could be making that up, unless there is no other.
    fn check_claims(&mut self, now: u64) {
        let claims = std::mem::take(&mut self.beats.claims);
        let (mut open, mut settled) = (BTreeMap::new(), Vec::new());
        for (key, claim) in claims {
            let agrees = self.beats.were_ours(now, claim.seq, &claim.rules);
            match (claim.seq > self.folded, agrees) {
                (true, _) | (false, Some(false)) => {
                    open.insert(key, claim);
                }
                (false, Some(true)) => settled.push((key, claim)),
                (false, None) => {}
            }
        }
        let late = open.values().filter(|claim| claim.since + BEHIND_MS <= now).count();
        self.beats.claims = open;
        // We have come to where it was.
        for (key, claim) in settled {
            self.heartbeat(now, key, claim.epoch, Some(&claim.authenticator), false);
        }
        if late > 0 && late >= self.beats.known_since.len().min(2) {
            self.beats.claims.clear();
            self.beats.claims_after = now + CALM_MS;
            self.resync(now);
        }
    }

    /// The log was folded up to somewhere else than by its next entry: what was before is not known.
    pub(super) fn rules_begin(&mut self, now: u64) {
        self.beats.rules.clear();
        self.note_rules(now);
    }

    /// An entry was folded that may have changed the rules.
    pub(super) fn note_rules(&mut self, now: u64) {
        if let Some(policy) = &self.policy {
            self.beats.ruled(Rules { seq: self.folded, digest: policy.digest(), at: now });
        }
    }

    /// A host's word came: that others had other rules before it says nothing of now.
    pub(super) fn word_came(&mut self) {
        let folded = self.folded;
        self.beats.claims.retain(|_, claim| claim.seq >= folded);
    }

    /// A member that nobody confirms stops sending: it may talk to nobody, or to a fork.
    fn check_silence(&mut self, now: u64) {
        self.beats.looked_at = now;
        let silent: Vec<PublicKey> = self
            .beats
            .known_since
            .iter()
            .filter(|(_, since)| *since + SILENT_MS <= now)
            .map(|(key, _)| *key)
            .collect();
        if silent.is_empty() {
            let media = self.rotation.pause(false);
            self.media(media);
            return;
        }
        self.roster.silence(&silent);
        let all = silent.len() == self.beats.known_since.len();
        let media = self.rotation.pause(all);
        self.media(media);
        if all && self.group.is_some() && matches!(self.attempt, Attempt::None) {
            self.set_state(State::Member { confirmed: false });
        }
    }

    fn beat(&mut self, now: u64, ask: bool) {
        let (Some(group), Some(policy)) = (&self.group, &self.policy) else {
            self.beats.next = None;
            return;
        };
        let (from, to) = if self.members.all().len() > LARGE { BEATS_LARGE_MS } else { BEATS_MS };
        let message = Message::Heartbeat {
            seq: self.folded,
            epoch: group.epoch(),
            authenticator: Blob(group.authenticator()),
            rules: Blob(policy.digest().to_vec()),
            ask,
            streams: self.beats.streams.clone(),
        };
        let sent = self.tell(Vec::new(), &message);
        let wait = if !sent && self.path {
            // A commit of ours waits for its place.
            200
        } else {
            from + self.random.below(to - from)
        };
        self.beats.next = Some(now + wait);
    }

    /// A data packet on our topic.
    pub(super) fn message(&mut self, now: u64, data: &[u8]) {
        if let Some(answer) = data.strip_prefix(LABEL) {
            return self.link_told(now, answer);
        }
        self.sealed_message(now, now, data);
    }

    /// One that came at some time, perhaps before what it needs.
    fn sealed_message(&mut self, now: u64, came: u64, data: &[u8]) {
        let Some(group) = &mut self.group else { return self.keep_early(now, came, data) };
        match group.open(data) {
            Ok(opened) => {
                // Of an earlier epoch the leaf may be somebody else's by now.
                let Some(key) = self.epochs.key_of(opened.epoch, opened.leaf) else { return };
                // Whom a host removed has nothing more to say here, in an earlier epoch either.
                if self.policy.as_ref().is_some_and(|policy| policy.is_kicked(&key)) {
                    return;
                }
                if let Some(message) = Message::decode(&opened.content) {
                    self.told(now, key, opened.epoch, message);
                }
            }
            Err(OpenError::Future(_)) => {
                self.keep_early(now, came, data);
                self.suspect(now);
            }
            // Anybody can send what does not open.
            Err(OpenError::Malformed | OpenError::Past | OpenError::Forged | OpenError::Own) => {}
        }
    }

    /// We may have lost step with the others. Anybody could have made us think so: asks who is where we are.
    pub(super) fn suspect(&mut self, now: u64) {
        // Who is on the way back into the group knows that already.
        if self.follows() && self.beats.behind_since.is_none() && self.beats.calm_until <= now {
            self.beats.behind_since = Some(now);
            self.beats.heard.clear();
            self.beats.due_at(now);
        }
    }

    fn keep_early(&mut self, now: u64, came: u64, data: &[u8]) {
        let early = &mut self.beats.early;
        early.retain(|(at, _)| at + EARLY_MS > now);
        let bytes: usize = early.iter().map(|(_, data)| data.len()).sum();
        if early.len() < EARLY_COUNT && bytes + data.len() <= EARLY_BYTES {
            early.push_back((came, data.to_vec()));
        }
    }

    fn early_again(&mut self, now: u64) {
        for (came, data) in std::mem::take(&mut self.beats.early) {
            if came + EARLY_MS > now {
                self.sealed_message(now, came, &data);
            }
        }
    }

    fn told(&mut self, now: u64, key: PublicKey, epoch: u64, message: Message) {
        let from = identity_of(&key);
        match message {
            Message::Heartbeat { seq, epoch: claimed, authenticator, rules, ask, streams } => {
                if claimed == epoch {
                    let claim =
                        Claim { seq, rules: rules.0, epoch, authenticator: authenticator.0, since: now };
                    self.compare_log(now, key, claim, ask);
                }
                if self.roster.streams_changed(key, &streams) {
                    self.event(Event::Streams { from, streams });
                }
            }
            Message::Compared { matches, .. } => {
                self.epochs.verified_by.retain(|known| *known != key);
                if matches {
                    self.epochs.verified_by.push(key);
                }
                self.roster.changed();
                self.event(Event::Compared { from, matches });
            }
            Message::WantHistory => self.give_history(now, from),
            Message::History { lines, name_keys, last } => {
                self.take_history(now, key, lines, name_keys, last);
            }
            Message::Content(content) => {
                let name = self.epochs.name_of(&key).unwrap_or_default().to_owned();
                self.history.keep(now, &from, &name, &content);
                self.event(Event::Received { from, content });
            }
        }
    }

    /// A member says how far it has folded the log, and what rules came of it. Only one with our rules can be in our state;
    /// what it says of later is seen once we are there.
    fn compare_log(&mut self, now: u64, key: PublicKey, claim: Claim, ask: bool) {
        let agrees = self.beats.were_ours(now, claim.seq, &claim.rules);
        let authenticator = (agrees == Some(true)).then_some(&claim.authenticator);
        self.heartbeat(now, key, claim.epoch, authenticator, ask);
        let is_ahead = claim.seq > self.folded;
        if agrees == Some(true) && !is_ahead {
            self.beats.claims.remove(&key);
        } else if (is_ahead || agrees == Some(false)) && self.follows() && self.beats.claims_after <= now {
            self.beats.claims.entry(key).or_insert(claim);
        }
    }

    /// `authenticator` is that of the epoch, if nothing else speaks against the member being in our state.
    fn heartbeat(
        &mut self,
        now: u64,
        key: PublicKey,
        epoch: u64,
        authenticator: Option<&Vec<u8>>,
        ask: bool,
    ) {
        let Some(group) = &self.group else { return };
        let current = group.epoch();
        let is_ours = authenticator.is_some_and(|theirs| *theirs == group.authenticator());
        let newly_old = authenticator.is_some() && epoch + 1 == current && now < self.epochs.since + ALONE_MS;
        if let Some(since) = self.beats.known_since.get_mut(&key)
            && (newly_old || epoch == current && is_ours)
        {
            *since = now;
            self.roster.heard(&key);
        }
        if epoch == current && is_ours {
            self.beats.heard.insert(key);
            if self.beats.behind_since.take().is_some() {
                self.beats.calm_until = now + CALM_MS;
            }
            self.refused_joins = 0;
            self.check_confirmed(now);
        }
        if epoch < current && self.epochs.since + ALONE_MS <= now && !self.beats.is_confirmed() {
            self.suspect(now);
        }
        if ask && self.members.rank() < ANSWERERS && self.beats.answered + ANSWER_MS <= now {
            self.beats.answered = now;
            self.beats.due_at(now);
        }
    }

    /// Whether anybody, and whether everybody confirmed the newest epoch.
    fn check_confirmed(&mut self, now: u64) {
        let own = self.own.key.public();
        if self.group.is_none() {
            return;
        }
        if matches!(self.attempt, Attempt::None)
            && (self.members.others_here(&own).next().is_none() || self.beats.is_confirmed())
        {
            self.home = self.group.as_ref().map(|group| group.id().to_vec());
            self.set_state(State::Member { confirmed: true });
        } else if !matches!(self.state, State::Member { .. }) {
            self.set_state(State::Member { confirmed: false });
        }
        if !self.beats.complete && self.members.others_here(&own).all(|member| self.beats.heard(&member.key))
        {
            self.beats.complete = true;
            let media = self.rotation.all_have_it(now);
            self.media(media);
        }
    }
}
