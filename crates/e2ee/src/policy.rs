//! Who may join and who may be removed: folded from the log alone, so that all members come to the same answer. It
//! reads no clock and no local view of who is there.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::identity::identity_of;
use crate::signer::PublicKey;
use crate::statement::{Action, Place, Statement, StatementError};

/// How the log last spoke of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has a channel.
    Here,
    /// Its channel broke; it may come back.
    Gone,
    /// It was away for too long, and may be removed.
    Expired,
    /// It left, and may be removed.
    Left,
}

/// The password in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordRule {
    /// How many statements about passwords there were; names the PSK.
    pub number: u64,
    /// What the stretched password has to hash to; `None` where no password is asked for.
    pub verifier: Option<[u8; 32]>,
}

/// Why policy refuses an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum PolicyError {
    /// See [`StatementError`].
    #[error("not a statement of this meeting")]
    Statement,
    /// The signer is no host.
    #[error("not a host")]
    NotHost,
    /// A statement that was used already.
    #[error("an old statement")]
    OldStatement,
    /// The meeting is locked, or has a lobby, and no host admitted this key.
    #[error("the meeting is locked")]
    Locked,
    /// A host removed the key, or the removal of another one is under way.
    #[error("removed by a host")]
    Kicked,
    /// The log does not know the joiner to be there.
    #[error("not there")]
    NotHere,
    /// The leaf is there, and no host wants it removed.
    #[error("the member has not left")]
    NotLeft,
}

/// The state of the rules after some entries of the log.
#[derive(Clone, Debug)]
pub struct Policy {
    place: Place,
    /// The last counter of each host; who is no host any longer keeps its counter, but not its place in `hosts`.
    counters: BTreeMap<PublicKey, u64>,
    hosts: BTreeSet<PublicKey>,
    presence: BTreeMap<String, Presence>,
    locked: bool,
    lobby: bool,
    admitted: BTreeSet<PublicKey>,
    kicked: BTreeSet<PublicKey>,
    /// A host removed somebody, and no commit has changed the link since.
    link_due: bool,
    password: PasswordRule,
    statements: Vec<Vec<u8>>,
}

impl Policy {
    /// The rules at the start of a group whose first host has this key.
    pub fn new(place: Place, host: PublicKey) -> Self {
        Self {
            place,
            counters: BTreeMap::new(),
            hosts: BTreeSet::from([host]),
            presence: BTreeMap::new(),
            locked: false,
            lobby: false,
            admitted: BTreeSet::new(),
            kicked: BTreeSet::new(),
            link_due: false,
            password: PasswordRule { number: 0, verifier: None },
            statements: Vec::new(),
        }
    }

    /// The same rules, for who is told anew who is there.
    #[must_use]
    pub fn without_presence(mut self) -> Self {
        self.presence.clear();
        self
    }

    /// Where statements count.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Folds a presence entry.
    pub fn presence_changed(&mut self, identity: &str, presence: Presence) {
        self.presence.insert(identity.to_owned(), presence);
    }

    /// Folds a host's statement.
    ///
    /// # Errors
    /// [`PolicyError`]; nothing has changed then.
    pub fn statement(&mut self, bytes: &[u8]) -> Result<Statement, PolicyError> {
        let statement = self.check(bytes)?;
        self.obey(&statement);
        self.statements.push(bytes.to_vec());
        Ok(statement)
    }

    fn check(&self, bytes: &[u8]) -> Result<Statement, PolicyError> {
        let statement = Statement::read(bytes, &self.place).map_err(|error| match error {
            StatementError::Malformed | StatementError::Signature => PolicyError::Statement,
        })?;
        if !self.hosts.contains(&statement.host) {
            return Err(PolicyError::NotHost);
        }
        if self.counters.get(&statement.host).is_some_and(|&last| statement.counter <= last) {
            return Err(PolicyError::OldStatement);
        }
        Ok(statement)
    }

    fn obey(&mut self, statement: &Statement) {
        self.counters.insert(statement.host, statement.counter);
        match &statement.action {
            Action::Lock(on) => self.locked = *on,
            Action::Lobby(on) => self.lobby = *on,
            Action::Admit(key) => {
                self.admitted.insert(*key);
                self.kicked.remove(key);
            }
            Action::Password { verifier, .. } => self.password_changed(Some(*verifier)),
            Action::NoPassword => self.password_changed(None),
            Action::Kick(key) => {
                self.kicked.insert(*key);
                self.link_due = true;
                self.admitted.remove(key);
                self.hosts.remove(key);
            }
            Action::AddHost(key) => {
                self.hosts.insert(*key);
            }
            Action::HandOver(key) => {
                self.hosts.remove(&statement.host);
                self.hosts.insert(*key);
            }
            Action::MuteAll | Action::Permissions(_) | Action::Recording(_) | Action::End => {}
        }
    }

    fn password_changed(&mut self, verifier: Option<[u8; 32]>) {
        self.password = PasswordRule { number: self.password.number + 1, verifier };
    }

    /// Whether a leaf with this key may come into the group. `member` says that it is in already, and comes anew.
    ///
    /// # Errors
    /// [`PolicyError::Kicked`] or [`PolicyError::Locked`].
    pub fn may_join(&self, key: &PublicKey, member: bool) -> Result<(), PolicyError> {
        if self.kicked.contains(key) {
            return Err(PolicyError::Kicked);
        }
        // A leaf that nobody has a channel for could never be told to have left.
        if !matches!(self.presence_of(key), Some(Presence::Here | Presence::Gone)) {
            return Err(PolicyError::NotHere);
        }
        if (self.locked || self.lobby) && !member && !self.admitted.contains(key) {
            return Err(PolicyError::Locked);
        }
        Ok(())
    }

    /// Whether the leaf with this key may be removed: it left, or the log never heard of it.
    ///
    /// # Errors
    /// [`PolicyError::NotLeft`].
    pub fn may_remove(&self, key: &PublicKey) -> Result<(), PolicyError> {
        let away = matches!(self.presence_of(key), None | Some(Presence::Left | Presence::Expired));
        if away || self.kicked.contains(key) { Ok(()) } else { Err(PolicyError::NotLeft) }
    }

    /// Whether a host removed this key, or wants it removed.
    pub fn is_kicked(&self, key: &PublicKey) -> bool {
        self.kicked.contains(key)
    }

    /// Whether the next commit after which nobody is in the group whom a host removed changes the link; until then nobody
    /// comes in. Also if the one removed had left already: who knows the old link is to come in no more.
    pub fn link_is_due(&self) -> bool {
        self.link_due
    }

    /// The link has changed, or whoever follows these rules came in by the one in force.
    pub fn link_changed(&mut self) {
        self.link_due = false;
    }

    /// Whether the log last said that this leaf has a channel.
    pub fn is_here(&self, key: &PublicKey) -> bool {
        self.presence_of(key) == Some(Presence::Here)
    }

    /// Whether the log said anything of this leaf yet.
    pub fn has_heard_of(&self, key: &PublicKey) -> bool {
        self.presence_of(key).is_some()
    }

    fn presence_of(&self, key: &PublicKey) -> Option<Presence> {
        self.presence.get(&identity_of(key)).copied()
    }

    /// Whether this key belongs to a host.
    pub fn is_host(&self, key: &PublicKey) -> bool {
        self.hosts.contains(key)
    }

    /// Nobody joins without being admitted.
    pub fn is_locked(&self) -> bool {
        self.locked || self.lobby
    }

    /// The password in force.
    pub fn password(&self) -> PasswordRule {
        self.password
    }

    /// The counter of the next statement of a host.
    pub fn next_counter(&self, host: &PublicKey) -> u64 {
        self.counters.get(host).map_or(1, |last| last.saturating_add(1))
    }

    /// The same for all who folded the same statements to the same rules, in whatever order they came.
    pub fn digest(&self) -> [u8; 32] {
        let mut hashes: Vec<[u8; 32]> =
            self.statements.iter().map(|words| Sha256::digest(words).into()).collect();
        hashes.sort_unstable();
        let mut digest = Sha256::new();
        digest.update(hashes.concat());
        // Words of one host have an order; two hosts' may come to something else in another one.
        for keys in [&self.hosts, &self.admitted, &self.kicked] {
            digest.update((keys.len() as u64).to_be_bytes());
            keys.iter().for_each(|key| digest.update(key));
        }
        digest.update([self.locked.into(), self.lobby.into(), self.password.verifier.is_some().into()]);
        digest.update(self.password.verifier.unwrap_or_default());
        digest.finalize().into()
    }

    /// Whether these very words are folded already. Saying them again changes nothing, and is no offence: members do so
    /// when a log that was made anew lacks them.
    pub fn knows(&self, bytes: &[u8]) -> bool {
        self.statements.iter().any(|known| known == bytes)
    }

    /// Whether its host had not said it yet.
    pub fn is_news(&self, statement: &Statement) -> bool {
        self.counters.get(&statement.host).is_none_or(|&last| statement.counter > last)
    }

    /// All statements folded, as they came, for a log that has to be made anew.
    pub fn statements(&self) -> &[Vec<u8>] {
        &self.statements
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::LeafKey;

    fn place() -> Place {
        Place { origin: "https://meet.example".into(), room: "a".into(), group_id: vec![1; 32] }
    }

    fn key(seed: u8) -> LeafKey {
        LeafKey::from_seed(&[seed; 32])
    }

    struct Meeting(Policy);

    impl Meeting {
        fn new() -> Self {
            let mut policy = Policy::new(place(), key(1).public());
            for seed in 1..9 {
                policy.presence_changed(&identity_of(&key(seed).public()), Presence::Here);
            }
            Self(policy)
        }

        fn says(&mut self, host: u8, action: Action) -> Result<Statement, PolicyError> {
            let counter = self.0.next_counter(&key(host).public());
            self.0.statement(&Statement::sign(&key(host), &place(), counter, &action))
        }
    }

    #[test]
    fn a_locked_meeting_takes_those_whom_a_host_admits_and_its_members() {
        let mut meeting = Meeting::new();
        let guest = key(2).public();
        assert_eq!(meeting.0.may_join(&guest, false), Ok(()));
        meeting.says(1, Action::Lock(true)).unwrap();
        assert_eq!(meeting.0.may_join(&guest, false), Err(PolicyError::Locked));
        assert_eq!(meeting.0.may_join(&guest, true), Ok(()));
        meeting.says(1, Action::Admit(guest)).unwrap();
        assert_eq!(meeting.0.may_join(&guest, false), Ok(()));
        assert_eq!(meeting.0.may_join(&key(3).public(), false), Err(PolicyError::Locked));
        meeting.says(1, Action::Lock(false)).unwrap();
        assert_eq!(meeting.0.may_join(&key(3).public(), false), Ok(()));
    }

    #[test]
    fn only_hosts_are_obeyed_and_each_statement_once() {
        let mut meeting = Meeting::new();
        assert_eq!(meeting.says(2, Action::Lock(true)).err(), Some(PolicyError::NotHost));
        let bytes = Statement::sign(&key(1), &place(), 5, &Action::Lock(true));
        meeting.0.statement(&bytes).unwrap();
        assert_eq!(meeting.0.statement(&bytes).err(), Some(PolicyError::OldStatement));
        assert_eq!(meeting.0.statements(), [bytes]);
    }

    #[test]
    fn the_digest_tells_rules_apart_that_came_of_another_order() {
        let [on, off] = [true, false].map(Action::Lobby);
        let by = |host: u8, counter, action: &Action| Statement::sign(&key(host), &place(), counter, action);
        let add = by(1, 1, &Action::AddHost(key(2).public()));
        let (lobby, none) = (by(1, 2, &on), by(2, 1, &off));
        let (admit, lock) = (by(1, 2, &Action::Admit(key(3).public())), by(2, 1, &Action::Lock(true)));
        let digest = |order: [&Vec<u8>; 3]| {
            let mut meeting = Meeting::new();
            for bytes in order {
                meeting.0.statement(bytes).unwrap();
            }
            meeting.0.digest()
        };
        assert_ne!(digest([&add, &lobby, &none]), digest([&add, &none, &lobby]));
        assert_eq!(digest([&add, &admit, &lock]), digest([&add, &lock, &admit]));
    }

    #[test]
    fn hosts_are_added_replaced_and_removed() {
        let mut meeting = Meeting::new();
        meeting.says(1, Action::AddHost(key(2).public())).unwrap();
        meeting.says(2, Action::HandOver(key(3).public())).unwrap();
        assert_eq!(meeting.says(2, Action::MuteAll).err(), Some(PolicyError::NotHost));
        meeting.says(1, Action::Kick(key(3).public())).unwrap();
        assert_eq!(meeting.says(3, Action::MuteAll).err(), Some(PolicyError::NotHost));
        assert!(meeting.0.is_host(&key(1).public()));
    }

    #[test]
    fn who_is_there_is_removed_by_a_host_only() {
        let mut meeting = Meeting::new();
        let member = key(20).public();
        let identity = identity_of(&member);
        assert_eq!(meeting.0.may_remove(&member), Ok(()), "never heard of");
        assert_eq!(meeting.0.may_join(&member, false), Err(PolicyError::NotHere));
        for (presence, removable) in [
            (Presence::Here, false),
            (Presence::Gone, false),
            (Presence::Expired, true),
            (Presence::Here, false),
            (Presence::Left, true),
            (Presence::Here, false),
        ] {
            meeting.0.presence_changed(&identity, presence);
            assert_eq!(meeting.0.may_remove(&member).is_ok(), removable, "{presence:?}");
        }
        meeting.says(1, Action::Kick(member)).unwrap();
        assert_eq!(meeting.0.may_remove(&member), Ok(()));
        assert_eq!(meeting.0.may_join(&member, true), Err(PolicyError::Kicked));
    }

    #[test]
    fn a_kick_makes_a_new_link_due_until_it_has_changed() {
        let mut meeting = Meeting::new();
        assert!(!meeting.0.link_is_due());
        meeting.says(1, Action::Kick(key(30).public())).unwrap();
        assert!(meeting.0.link_is_due(), "whether they are in the group or not");
        meeting.0.link_changed();
        assert!(!meeting.0.link_is_due());
    }

    #[test]
    fn each_word_about_the_password_gives_the_psk_another_number() {
        let mut meeting = Meeting::new();
        let action =
            Action::Password { verifier: [7; 32], sealed: [0; crate::statement::SEALED_PASSWORD_BYTES] };
        meeting.says(1, action).unwrap();
        assert_eq!(meeting.0.password(), PasswordRule { number: 1, verifier: Some([7; 32]) });
        meeting.says(1, Action::NoPassword).unwrap();
        assert_eq!(meeting.0.password(), PasswordRule { number: 2, verifier: None });
    }
}
