//! Who holds the keys, as people see it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Event, Session};
use crate::message::Stream;
use crate::signer::PublicKey;
use crate::verification::Verification;

/// Everybody who holds the keys of an epoch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// The epoch; names what is compared.
    pub epoch: u64,
    /// Nobody comes in without being admitted by a host.
    pub locked: bool,
    /// Members by leaf.
    pub members: Vec<RosterMember>,
    /// Six groups of five digits: the same for all who have these keys.
    pub digits: Vec<String>,
    /// A hint, easier to say.
    pub emoji: Vec<String>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterMember {
    /// Follows from its key.
    pub identity: String,
    /// Its place in the tree: names its media keys.
    pub leaf: u32,
    /// Its name; absent where it does not open under this link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// It is us.
    pub own: bool,
    /// A host.
    pub host: bool,
    /// The server says that it is connected.
    pub here: bool,
    /// Silent since, in milliseconds since the epoch, if for 30 s and more: "not confirmed".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<u64>,
    /// Its key was there when we compared digits.
    pub compared: bool,
    /// It says that it compared digits and found them equal.
    pub verified: bool,
}

/// What was told of it last.
#[derive(Default)]
pub(super) struct Told {
    dirty: bool,
    silent: Vec<PublicKey>,
    streams: HashMap<PublicKey, Vec<Stream>>,
}

impl Told {
    pub(super) fn changed(&mut self) {
        self.dirty = true;
    }

    /// These members are silent.
    pub(super) fn silence(&mut self, silent: &[PublicKey]) {
        if self.silent != silent {
            self.silent = silent.to_vec();
            self.dirty = true;
        }
    }

    pub(super) fn heard(&mut self, key: &PublicKey) {
        if self.silent.contains(key) {
            self.silent.retain(|known| known != key);
            self.dirty = true;
        }
    }

    pub(super) fn streams_changed(&mut self, key: PublicKey, streams: &[Stream]) -> bool {
        if self.streams.get(&key).is_some_and(|known| known == streams) {
            return false;
        }
        self.streams.insert(key, streams.to_vec()).is_some() || !streams.is_empty()
    }
}

impl Session {
    pub(super) fn tell_roster(&mut self, now: u64) {
        if !std::mem::take(&mut self.roster.dirty) {
            return;
        }
        if let Some(roster) = self.current_roster(now) {
            let members = self.members.all();
            self.roster.streams.retain(|key, _| members.iter().any(|member| member.key == *key));
            self.event(Event::Roster { roster });
        }
    }

    fn current_roster(&self, now: u64) -> Option<Roster> {
        let (group, policy) = (self.group.as_ref()?, self.policy.as_ref()?);
        let own = self.own.key.public();
        let members = self
            .members
            .all()
            .iter()
            .map(|member| RosterMember {
                identity: member.identity.clone(),
                leaf: member.leaf,
                name: self.epochs.name_of(&member.key).map(str::to_owned),
                own: member.key == own,
                host: policy.is_host(&member.key),
                here: member.here,
                silent_since: self.beats.silent_since(&member.key, now),
                compared: self.epochs.compared.contains(&member.key),
                verified: self.epochs.verified_by.contains(&member.key),
            })
            .collect();
        let verification = Verification::of(&group.authenticator());
        Some(Roster {
            epoch: group.epoch(),
            locked: policy.is_locked(),
            members,
            digits: verification.digits.to_vec(),
            emoji: verification.emoji.iter().map(|&emoji| emoji.to_owned()).collect(),
        })
    }
}
