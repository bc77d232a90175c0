//! What follows from each new epoch: media keys, the link after a kick, whom we know.

use std::collections::HashMap;

use channel::Sequence;

use super::history::NAME_KEYS;
use super::{Event, Session, State, Stop};
use crate::group::{Change, Leaf};
use crate::identity::identity_of;
use crate::keys::{RoomKeys, hkdf};
use crate::link::{LinkSecret, SECRET_CHARACTERS};
use crate::name;
use crate::signer::PublicKey;

/// Epochs of which it is remembered who was in them, for those who compare digits just then.
const REMEMBERED: usize = 8;

/// What is known of the epochs so far.
#[derive(Default)]
pub(super) struct Epochs {
    /// The entry with which we came.
    entered: Option<Sequence>,
    /// When the newest epoch began.
    pub(super) since: u64,
    /// Leaves and signature keys of the last epochs' members.
    members: Vec<(u64, Vec<(Leaf, PublicKey)>)>,
    /// Names as they were opened first.
    names: HashMap<PublicKey, Option<String>>,
    /// Compared with the person in front of the screen.
    pub(super) compared: Vec<PublicKey>,
    /// Who says that they compared, and that it fitted.
    pub(super) verified_by: Vec<PublicKey>,
}

impl Epochs {
    pub(super) fn entered_at(&self) -> Option<Sequence> {
        self.entered
    }

    fn members_of(&self, epoch: u64) -> Option<&[(Leaf, PublicKey)]> {
        self.members.iter().find(|(known, _)| *known == epoch).map(|(_, members)| members.as_slice())
    }

    /// Whose leaf that was in an epoch.
    pub(super) fn key_of(&self, epoch: u64, leaf: Leaf) -> Option<PublicKey> {
        self.members_of(epoch)?.iter().find(|(known, _)| *known == leaf).map(|(_, key)| *key)
    }

    pub(super) fn name_of(&self, key: &PublicKey) -> Option<&str> {
        self.names.get(key)?.as_deref()
    }
}

impl Session {
    /// We are in the group: for the first time, or anew.
    pub(super) fn entered(&mut self, now: u64) {
        self.epochs.entered = Some(self.folded);
        self.retry_at = None;
        if let Some(group) = &self.group {
            let leaf = group.leaf();
            let media = self.rotation.enter(leaf);
            self.media(media);
        }
        self.history.entered(now);
        self.epoch_began(now, false);
    }

    /// A commit was folded.
    pub(super) fn changed(&mut self, now: u64, change: &Change) {
        let is_kicked = |key: &PublicKey| self.policy.as_ref().is_some_and(|policy| policy.is_kicked(key));
        if change.evicted {
            let kicked = is_kicked(&self.own.key.public());
            return self.evicted(now, kicked);
        }
        let kicked = change.removed.iter().any(is_kicked);
        if kicked {
            self.change_link();
        }
        self.epoch_began(now, kicked);
    }

    fn evicted(&mut self, now: u64, kicked: bool) {
        if kicked {
            self.stop(Stop::Removed);
        } else {
            // We were away for too long, and are back.
            let media = self.rotation.end();
            self.media(media);
            self.group = None;
            self.set_state(State::Connecting);
            self.want_base(now, None);
        }
    }

    /// From this epoch on the link has another secret, which all members have and nobody else.
    fn change_link(&mut self) {
        let Some(group) = &self.group else { return };
        let epoch = group.epoch().to_be_bytes();
        let Ok(secret) = group.export("konklave link", &epoch, SECRET_CHARACTERS) else { return };
        let mut random = [0; SECRET_CHARACTERS];
        random.copy_from_slice(&secret);
        let keys = RoomKeys::new(LinkSecret::from_random(random), self.keys.room());
        if self.old_name_keys.len() == NAME_KEYS {
            self.old_name_keys.remove(0);
        }
        self.old_name_keys.push(self.keys.name());
        let fragment = keys.secret().fragment();
        self.keys = keys;
        self.event(Event::LinkChanged { fragment });
    }

    fn epoch_began(&mut self, now: u64, kicked: bool) {
        let Some(group) = &self.group else { return };
        let epoch = group.epoch();
        let members = group.members();
        let secret = group.export("SFrame 1.0 Base Key", &epoch.to_be_bytes(), 32);
        for member in &members {
            let room = self.keys.room();
            let identity = identity_of(&member.key);
            let keys = std::iter::once(self.keys.name()).chain(self.old_name_keys.iter().cloned());
            let known = self.epochs.names.entry(member.key).or_default();
            if known.is_none() {
                *known =
                    keys.into_iter().find_map(|key| name::open(&key, room, &identity, &member.sealed_name));
            }
        }
        let keys: Vec<PublicKey> = members.iter().map(|member| member.key).collect();
        let leaves = members.iter().map(|member| (member.leaf, member.key)).collect();
        self.epochs.names.retain(|key, _| keys.contains(key));
        self.epochs.compared.retain(|key| keys.contains(key));
        self.epochs.verified_by.retain(|key| keys.contains(key));
        self.epochs.members.retain(|(known, _)| *known != epoch);
        self.epochs.members.push((epoch, leaves));
        if self.epochs.members.len() > REMEMBERED {
            self.epochs.members.remove(0);
        }
        self.epochs.since = now;
        if let Ok(secret) = secret {
            let base = hkdf(self.keys.media().as_slice(), &secret, b"konklave media v1");
            let media = self.rotation.epoch(now, epoch, base, kicked);
            self.media(media);
        }
        self.look_up_members();
        self.duties_changed(now);
        self.beats_epoch(now);
        self.roster.changed();
    }

    /// The person says that the digits of an epoch were the same for others, or were not.
    pub(super) fn compared(&mut self, epoch: u64, matches: bool) {
        let Some(members) = self.epochs.members_of(epoch).map(<[_]>::to_vec) else { return };
        let own = self.own.key.public();
        if matches {
            for (_, key) in members {
                if !self.epochs.compared.contains(&key) {
                    self.epochs.compared.push(key);
                }
            }
            if !self.epochs.verified_by.contains(&own) {
                self.epochs.verified_by.push(own);
            }
        } else {
            self.epochs.compared.clear();
            self.epochs.verified_by.retain(|key| *key != own);
        }
        self.tell(Vec::new(), &crate::message::Message::Compared { epoch, matches });
        self.roster.changed();
    }

    /// Names that did not open may do so with more keys.
    pub(super) fn more_name_keys(&mut self, keys: Vec<crate::keys::Key>) {
        let room = self.keys.room().to_owned();
        let Some(group) = &self.group else { return };
        for member in group.members() {
            let known = self.epochs.names.entry(member.key).or_default();
            let identity = identity_of(&member.key);
            if known.is_none() {
                *known = keys.iter().find_map(|key| name::open(key, &room, &identity, &member.sealed_name));
            }
        }
        for key in keys {
            if !self.old_name_keys.contains(&key) && self.old_name_keys.len() < NAME_KEYS {
                self.old_name_keys.push(key);
            }
        }
        self.roster.changed();
    }
}
