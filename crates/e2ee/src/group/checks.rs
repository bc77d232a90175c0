//! What a commit has to satisfy beyond MLS before it is merged. Each check answers an attack that MLS alone lets
//! through (`docs/e2ee.md`, "Checks before merging").

use openmls::prelude::{LeafNode, LeafNodeIndex, PreSharedKeyProposal, Proposal, ProposalOrRefType};
use openmls::schedule::PreSharedKeyId;
use openmls::schedule::psk::Psk;
use openmls::treesync::LeafNodeSource;
use thiserror::Error;
use tls_codec::{Deserialize as _, Serialize as _};

use super::{Leaf, Member, StagedCommit, credential};
use crate::identity::identity_of;
use crate::policy::{Policy, PolicyError};
use crate::signer::PublicKey;

/// Why an entry is skipped. All members come to the same answer, but for those whom a corrupted path secret concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refused {
    /// No MLS message.
    #[error("no MLS message")]
    Malformed,
    /// MLS refuses it: another epoch, a wrong signature, a wrong PSK.
    #[error("refused by MLS")]
    Mls,
    /// An MLS message, but no commit.
    #[error("no commit")]
    NoCommit,
    /// It says to add somebody whom it does not add.
    #[error("says to add somebody whom it does not add")]
    NotAdded,
    /// Not what the log calls it.
    #[error("of another kind than the log says")]
    Kind,
    /// A proposal that no commit of ours has.
    #[error("a proposal that is not allowed")]
    Proposal,
    /// Not exactly the PSK that is in force.
    #[error("not the key of this link")]
    Psk,
    /// It removes somebody whom it must not.
    #[error("removes somebody who may stay")]
    Removal,
    /// The signature key is in the group already.
    #[error("the key is in the group already")]
    DuplicateKey,
    /// A commit without a path: its committer's keys stay as they were.
    #[error("renews no keys")]
    Path,
    /// A key that it brings into the tree was there before, or is there twice.
    #[error("a key of the tree is not new")]
    Tree,
    /// The group has as many members as it may have.
    #[error("the group is full")]
    Full,
    /// A life time that members would judge by their clocks.
    #[error("a life time that is limited")]
    Lifetime,
    /// A leaf whose credential or identity is not as it has to be.
    #[error("the leaf's credential does not fit")]
    Credential,
    /// See [`PolicyError`].
    #[error("{0}")]
    Policy(#[from] PolicyError),
}

/// Members of one group (`docs/e2ee.md`, "Limits").
pub(crate) const MEMBERS: usize = 200;

/// Whether a leaf of a key package lives for ever: a limit would be judged by each member's clock, and members would
/// come to different answers.
pub(super) fn is_unlimited(leaf: &LeafNode) -> bool {
    matches!(leaf.leaf_node_source(), LeafNodeSource::KeyPackage(lifetime) if *lifetime == super::lifetime())
}

/// What the checks look at.
pub(super) struct Context<'a> {
    pub(super) before: &'a [Member],
    pub(super) policy: &'a Policy,
    pub(super) psk_id: &'a [u8],
    pub(super) from: &'a str,
    pub(super) adds: &'a [String],
}

/// The proposals of a commit.
#[derive(Default)]
struct Proposals<'a> {
    adds: Vec<&'a LeafNode>,
    removes: Vec<LeafNodeIndex>,
    psks: Vec<&'a PreSharedKeyProposal>,
    external_inits: usize,
}

impl<'a> Proposals<'a> {
    /// Only proposals by value of four kinds: what somebody proposed outside of a commit is never ours.
    fn of(staged: &'a StagedCommit) -> Result<Self, Refused> {
        let mut all = Self::default();
        for queued in staged.queued_proposals() {
            if queued.proposal_or_ref_type() != ProposalOrRefType::Proposal {
                return Err(Refused::Proposal);
            }
            match queued.proposal() {
                Proposal::Add(add) => all.adds.push(add.key_package().leaf_node()),
                Proposal::Remove(remove) => all.removes.push(remove.removed()),
                Proposal::PreSharedKey(psk) => all.psks.push(psk),
                Proposal::ExternalInit(_) => all.external_inits += 1,
                _ => return Err(Refused::Proposal),
            }
        }
        Ok(all)
    }
}

impl Context<'_> {
    /// An external commit: exactly our PSK, no removal but of the joiner's own old leaf, a key that is new.
    pub(super) fn check_join(&self, staged: &StagedCommit) -> Result<(), Refused> {
        let proposals = Proposals::of(staged)?;
        if !proposals.adds.is_empty() || proposals.external_inits != 1 {
            return Err(Refused::Proposal);
        }
        self.check_nobody_is_kicked()?;
        self.check_psk(&proposals.psks)?;
        if self.before.len() >= MEMBERS && proposals.removes.is_empty() {
            return Err(Refused::Full);
        }
        let leaf = staged.update_path_leaf_node().ok_or(Refused::Proposal)?;
        let key = self.check_leaf(leaf)?;
        if identity_of(&key) != self.from {
            return Err(Refused::Credential);
        }
        let old = self.before.iter().find(|member| member.key == key);
        match (proposals.removes.as_slice(), old) {
            ([], None) => {}
            ([removed], Some(old)) if removed.u32() == old.leaf => {}
            ([], Some(_)) => return Err(Refused::DuplicateKey),
            _ => return Err(Refused::Removal),
        }
        self.policy.may_join(&key, old.is_some())?;
        Ok(())
    }

    /// A commit of a member.
    pub(super) fn check_commit(&self, staged: &StagedCommit, committer: Leaf) -> Result<(), Refused> {
        let proposals = Proposals::of(staged)?;
        if proposals.external_inits != 0 {
            return Err(Refused::Proposal);
        }
        if proposals.adds.is_empty() {
            if !proposals.psks.is_empty() {
                return Err(Refused::Psk);
            }
        } else {
            self.check_nobody_is_kicked()?;
            self.check_psk(&proposals.psks)?;
        }
        if self.before.len() + proposals.adds.len() - proposals.removes.len().min(self.before.len()) > MEMBERS
        {
            return Err(Refused::Full);
        }
        let mut added: Vec<PublicKey> = Vec::with_capacity(proposals.adds.len());
        for leaf in &proposals.adds {
            let key = self.check_leaf(leaf)?;
            let old = self.before.iter().find(|member| member.key == key);
            let replaced =
                old.is_some_and(|old| proposals.removes.iter().any(|index| index.u32() == old.leaf));
            if added.contains(&key) || (old.is_some() && !replaced) {
                return Err(Refused::DuplicateKey);
            }
            if !is_unlimited(leaf) {
                return Err(Refused::Lifetime);
            }
            self.policy.may_join(&key, false)?;
            added.push(key);
        }
        // The server counts the word of those whom a commit says to add.
        if self.adds.iter().any(|identity| !added.iter().any(|key| identity_of(key) == *identity)) {
            return Err(Refused::NotAdded);
        }
        for index in &proposals.removes {
            let member =
                self.before.iter().find(|member| member.leaf == index.u32()).ok_or(Refused::Removal)?;
            self.policy.may_remove(&member.key)?;
        }
        // A member may seal its name anew, but stays who it is.
        let key = self.check_leaf(staged.update_path_leaf_node().ok_or(Refused::Path)?)?;
        if !self.before.iter().any(|member| member.leaf == committer && member.key == key) {
            return Err(Refused::Credential);
        }
        Ok(())
    }

    /// Between a host's word and the commit that removes its target and changes the link, the old one lets nobody in.
    fn check_nobody_is_kicked(&self) -> Result<(), Refused> {
        let kicked = self.before.iter().any(|member| self.policy.is_kicked(&member.key));
        if kicked || self.policy.link_is_due() { Err(Refused::Policy(PolicyError::Kicked)) } else { Ok(()) }
    }

    /// Exactly one PSK, and that of the link in force.
    fn check_psk(&self, psks: &[&PreSharedKeyProposal]) -> Result<(), Refused> {
        let [psk] = psks else { return Err(Refused::Psk) };
        // The library does not hand out the id, so it is read again from how the proposal is encoded.
        let encoded = psk.tls_serialize_detached().map_err(|_| Refused::Psk)?;
        let id = PreSharedKeyId::tls_deserialize_exact(encoded.as_slice()).map_err(|_| Refused::Psk)?;
        match id.psk() {
            Psk::External(external) if external.psk_id() == self.psk_id => Ok(()),
            _ => Err(Refused::Psk),
        }
    }

    /// A leaf has our form of credential and a key of the right size.
    fn check_leaf(&self, leaf: &LeafNode) -> Result<PublicKey, Refused> {
        credential::sealed_name(leaf.credential()).ok_or(Refused::Credential)?;
        leaf.signature_key().as_slice().try_into().map_err(|_| Refused::Credential)
    }
}
