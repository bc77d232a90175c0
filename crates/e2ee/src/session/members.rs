//! Who is in the group and what the log says of them, looked up once for each change: it is asked for with every message.

use super::Session;
use crate::group::Leaf;
use crate::identity::identity_of;
use crate::signer::PublicKey;

/// A member of the group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) leaf: Leaf,
    pub(super) key: PublicKey,
    pub(super) identity: String,
    /// The log says that it has a channel; of us that is known.
    pub(super) here: bool,
    /// It may be removed, and is not us.
    pub(super) leaving: bool,
}

/// Everybody in the group, by leaf.
#[derive(Default)]
pub(super) struct Members {
    all: Vec<Member>,
    /// How many members that are here, and are to stay, have a lower leaf than we.
    rank: u64,
}

impl Members {
    pub(super) fn all(&self) -> &[Member] {
        &self.all
    }

    /// Those who are here, but for us.
    pub(super) fn others_here<'a>(&'a self, own: &'a PublicKey) -> impl Iterator<Item = &'a Member> {
        self.all.iter().filter(move |member| member.here && member.key != *own)
    }

    pub(super) fn rank(&self) -> u64 {
        self.rank
    }

    pub(super) fn leaf_of(&self, key: &PublicKey) -> Option<Leaf> {
        self.all.iter().find(|member| member.key == *key).map(|member| member.leaf)
    }
}

impl Session {
    /// The signature key of a member, by its identity.
    pub fn key_of(&self, identity: &str) -> Option<PublicKey> {
        self.members.all.iter().find(|member| member.identity == identity).map(|member| member.key)
    }

    /// The group changed, or what the log says of its members.
    pub(super) fn look_up_members(&mut self) {
        let (Some(group), Some(policy)) = (&self.group, &self.policy) else {
            self.members = Members::default();
            return;
        };
        let own = self.own.key.public();
        let known = std::mem::take(&mut self.members.all);
        let identity = |key: &PublicKey| {
            let known = known.iter().find(|member| member.key == *key);
            known.map_or_else(|| identity_of(key), |member| member.identity.clone())
        };
        let all: Vec<Member> = group
            .members()
            .into_iter()
            .map(|member| Member {
                leaf: member.leaf,
                key: member.key,
                identity: identity(&member.key),
                here: member.key == own || policy.is_here(&member.key),
                leaving: member.key != own && policy.may_remove(&member.key).is_ok(),
            })
            .collect();
        let lower = all.iter().take_while(|member| member.key != own);
        let rank = lower.filter(|member| member.here && !member.leaving).count() as u64;
        self.members = Members { all, rank };
    }
}
