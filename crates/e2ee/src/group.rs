//! One MLS group (RFC 9420) as OpenMLS keeps it, with the checks that it leaves to applications.

mod checks;
mod joining;
mod tree;

use std::rc::Rc;

use openmls::prelude::{
    Capabilities, Ciphersuite, CredentialWithKey, Extension, ExtensionType, Extensions, GroupId, KeyPackage,
    KeyPackageIn, LeafNodeIndex, Lifetime, MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY, MlsGroup,
    MlsGroupCreateConfig, MlsGroupJoinConfig, MlsMessageIn, PreSharedKeyProposal, ProcessedMessageContent,
    Proposal, ProtocolMessage, ProtocolVersion, RequiredCapabilitiesExtension, Sender,
    SenderRatchetConfiguration, StagedCommit, UnknownExtension,
};
use openmls::schedule::PreSharedKeyId;
use openmls_traits::OpenMlsProvider;
use thiserror::Error;
use tls_codec::{Deserialize as _, Serialize as _};
use zeroize::Zeroizing;

pub(crate) use self::checks::MEMBERS;
pub use self::checks::Refused;
pub use self::joining::{Claims, StateHash, WaitingKeys};
use self::tree::TreeKeys;
use crate::credential;
use crate::keys::Key;
use crate::name::SEALED_BYTES;
use crate::policy::Policy;
use crate::provider::{Provider, Seed};
use crate::signer::{LeafKey, PublicKey};

/// MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519.
const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

/// Type of our extension of the group's context, from the range for private use (RFC 9420 §17.3).
const EXTENSION: u16 = 0xf4b1;

/// Version of the protocol that the extension names.
const PROTOCOL: u8 = 1;

/// Past epochs of which messages still open.
const PAST_EPOCHS: usize = 2;

/// Messages of one sender that may be missing or come late: data packets are dropped where a receiver is behind.
const LATE_MESSAGES: u32 = 64;
const MISSING_MESSAGES: u32 = 4096;

/// Messages grow to a multiple of this, so that their size says less.
const PADDING_BYTES: usize = 64;

/// Where a member sits in the tree.
pub type Leaf = u32;

/// A member as the tree has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its leaf.
    pub leaf: Leaf,
    /// Its signature key, from which its identity follows.
    pub key: PublicKey,
    /// Its sealed display name.
    pub sealed_name: Vec<u8>,
}

/// What joining takes: a PSK that follows from the link.
#[derive(Clone)]
pub struct Psk {
    /// Its name; no secret.
    pub id: Vec<u8>,
    /// The key.
    pub key: Key,
}

/// The own leaf.
#[derive(Clone)]
pub struct Own {
    /// Its signature key.
    pub key: Rc<LeafKey>,
    /// Its display name, sealed.
    pub sealed_name: [u8; SEALED_BYTES],
}

impl Own {
    fn credential(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: credential::write(&self.sealed_name),
            signature_key: self.key.public().to_vec().into(),
        }
    }
}

/// A commit that waits for its place in the log.
pub struct Committed {
    /// The commit.
    pub commit: Vec<u8>,
    /// The Welcome, if somebody is added.
    pub welcome: Option<Vec<u8>>,
    /// The GroupInfo of the state after it, with the tree.
    pub group_info: Vec<u8>,
}

/// What a commit of somebody else, or one's own, changed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Change {
    /// Leaves that are new.
    pub added: Vec<Leaf>,
    /// Keys of those who are gone.
    pub removed: Vec<PublicKey>,
    /// We are not in the group any longer.
    pub evicted: bool,
}

/// An application message that opened.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// Who sent it.
    pub leaf: Leaf,
    /// The epoch it was sent in.
    pub epoch: u64,
    /// What was sent.
    pub content: Vec<u8>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened {{ leaf: {}, epoch: {}, [pii] }}", self.leaf, self.epoch)
    }
}

/// Why a message does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum OpenError {
    /// No MLS message of this group.
    #[error("no message of this group")]
    Malformed,
    /// Of an epoch that is still to come here.
    #[error("of a later epoch")]
    Future(u64),
    /// Of an epoch whose keys are erased.
    #[error("of an epoch that is over")]
    Past,
    /// Of this epoch, but not by a member, or seen before.
    #[error("does not open")]
    Forged,
    /// One's own.
    #[error("one's own")]
    Own,
}

/// Something that should not fail did; the group is as before.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct GroupError(&'static str);

/// A group that we are in.
pub struct Group {
    provider: Provider,
    own: Own,
    mls: MlsGroup,
}

impl Group {
    /// Starts a group with oneself in it.
    ///
    /// # Errors
    /// [`GroupError`] if the library refuses its own making.
    pub fn create(seed: Seed, own: Own, id: [u8; 32], host: &PublicKey) -> Result<Self, GroupError> {
        let provider = Provider::new(seed);
        let mut content = vec![PROTOCOL];
        content.extend_from_slice(host);
        let extensions = Extensions::from_vec(vec![
            Extension::RequiredCapabilities(RequiredCapabilitiesExtension::new(
                &[ExtensionType::Unknown(EXTENSION)],
                &[],
                &[],
            )),
            Extension::Unknown(EXTENSION, UnknownExtension(content)),
        ])
        .map_err(|_| GroupError("extensions"))?;
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(SUITE)
            .wire_format_policy(MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .padding_size(PADDING_BYTES)
            .max_past_epochs(PAST_EPOCHS)
            .sender_ratchet_configuration(ratchets())
            .lifetime(lifetime())
            .capabilities(capabilities())
            .with_group_context_extensions(extensions)
            .build();
        let mls = MlsGroup::new_with_group_id(
            &provider,
            own.key.as_ref(),
            &config,
            GroupId::from_slice(&id),
            own.credential(),
        )
        .map_err(|_| GroupError("create"))?;
        Ok(Self { provider, own, mls })
    }

    /// The id of the group.
    pub fn id(&self) -> &[u8] {
        self.mls.group_id().as_slice()
    }

    /// The epoch.
    pub fn epoch(&self) -> u64 {
        self.mls.epoch().as_u64()
    }

    /// The own leaf.
    pub fn leaf(&self) -> Leaf {
        self.mls.own_leaf_index().u32()
    }

    /// The first host's key, from the group's context.
    pub fn host(&self) -> Option<PublicKey> {
        host_of(self.mls.extensions().unknown(EXTENSION)?)
    }

    /// Everybody in the group, in the order of leaves.
    pub fn members(&self) -> Vec<Member> {
        let mut members: Vec<Member> = self
            .mls
            .members()
            .filter_map(|member| {
                Some(Member {
                    leaf: member.index.u32(),
                    key: member.signature_key.try_into().ok()?,
                    sealed_name: credential::sealed_name(&member.credential)?.to_vec(),
                })
            })
            .collect();
        members.sort_by_key(|member| member.leaf);
        members
    }

    /// The same for all who are in the same state of the same group, and for nobody else.
    pub fn authenticator(&self) -> Vec<u8> {
        self.mls.epoch_authenticator().as_slice().to_vec()
    }

    /// A secret of this epoch (RFC 9420 §8.5).
    ///
    /// # Errors
    /// [`GroupError`] once one is no member any longer.
    pub fn export(
        &self,
        label: &str,
        context: &[u8],
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, GroupError> {
        self.mls
            .export_secret(self.provider.crypto(), label, context, length)
            .map(Zeroizing::new)
            .map_err(|_| GroupError("export"))
    }

    /// The GroupInfo of this state, with the tree: what joining by external commit takes besides the PSK.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn group_info(&self) -> Result<Vec<u8>, GroupError> {
        self.mls
            .export_group_info(self.provider.crypto(), self.own.key.as_ref(), true)
            .ok()
            .and_then(|info| info.tls_serialize_detached().ok())
            .ok_or(GroupError("group info"))
    }

    /// Whether a commit of one's own waits for its place in the log.
    pub fn is_committing(&self) -> bool {
        self.mls.pending_commit().is_some()
    }

    /// Makes a commit, to be confirmed or abandoned later: adds, removes, renews the own leaf's keys.
    ///
    /// # Errors
    /// [`GroupError`] if one waits already, or if the library refuses it.
    pub fn commit(
        &mut self,
        adds: Vec<KeyPackage>,
        removes: &[Leaf],
        psk: &Psk,
    ) -> Result<Committed, GroupError> {
        // A second commit would silently take the place of the first, and merging the first would fork the group.
        if self.is_committing() {
            return Err(GroupError("a commit waits"));
        }
        let psks = if adds.is_empty() { Vec::new() } else { vec![self.psk_proposal(psk)?] };
        let bundle = self
            .mls
            .commit_builder()
            .consume_proposal_store(false)
            .force_self_update(true)
            .propose_adds(adds)
            .propose_removals(removes.iter().map(|&leaf| LeafNodeIndex::new(leaf)))
            .add_proposals(psks)
            .load_psks(self.provider.storage())
            .map_err(|_| GroupError("psk"))?
            .use_ratchet_tree_extension(true)
            .create_group_info(true)
            .build(self.provider.rand(), self.provider.crypto(), self.own.key.as_ref(), |_| true)
            .map_err(|_| GroupError("build"))?
            .stage_commit(&self.provider)
            .map_err(|_| GroupError("stage"))?;
        let (commit, welcome, group_info) = bundle.into_messages();
        let bytes = |message: openmls::prelude::MlsMessageOut| {
            message.tls_serialize_detached().map_err(|_| GroupError("encode"))
        };
        Ok(Committed {
            commit: bytes(commit)?,
            welcome: welcome.map(bytes).transpose()?,
            group_info: bytes(group_info.ok_or(GroupError("group info"))?)?,
        })
    }

    /// The own commit has its place in the log: goes over to the next epoch.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn confirm(&mut self) -> Result<Change, GroupError> {
        let before = self.members();
        self.mls.merge_pending_commit(&self.provider).map_err(|_| GroupError("merge"))?;
        Ok(self.change(&before))
    }

    /// The own commit has no place in the log.
    pub fn abandon(&mut self) {
        let _ = self.mls.clear_pending_commit(self.provider.storage());
    }

    /// Folds a commit of somebody else into the group, if MLS and policy allow it. A commit of one's own that waits
    /// has come too late then, and is abandoned.
    ///
    /// # Errors
    /// [`Refused`]; the group is as before then.
    pub fn fold(&mut self, entry: &Entry<'_>, policy: &Policy, psk: &Psk) -> Result<Change, Refused> {
        self.store(psk)?;
        let message = protocol_message(entry.bytes).ok_or(Refused::Malformed)?;
        let processed = self.mls.process_message(&self.provider, message).map_err(|_| Refused::Mls)?;
        let sender = processed.sender().clone();
        if !processed.aad().is_empty() {
            return Err(Refused::Proposal);
        }
        let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else {
            return Err(Refused::NoCommit);
        };
        let before = self.members();
        let context =
            checks::Context { before: &before, policy, psk_id: &psk.id, from: entry.from, adds: entry.adds };
        match (&sender, entry.joins) {
            (Sender::NewMemberCommit, true) => context.check_join(&staged),
            (Sender::Member(leaf), false) => context.check_commit(&staged, leaf.u32()),
            _ => Err(Refused::Kind),
        }?;
        // Who is removed does not get the tree.
        if !staged.self_removed() {
            self.check_keys(&staged, &sender)?;
        }
        self.mls.merge_staged_commit(&self.provider, *staged).map_err(|_| Refused::Mls)?;
        Ok(self.change(&before))
    }

    fn check_keys(&self, staged: &StagedCommit, sender: &Sender) -> Result<(), Refused> {
        let old = self.mls.export_ratchet_tree();
        let before = TreeKeys::read(&old).ok_or(Refused::Tree)?;
        let after = staged
            .export_ratchet_tree(self.provider.crypto(), old)
            .ok()
            .flatten()
            .and_then(|tree| TreeKeys::read(&tree))
            .ok_or(Refused::Tree)?;
        let committer = match sender {
            Sender::Member(leaf) => leaf.u32(),
            _ => {
                let leaf = self.mls.ext_commit_sender_index(staged).map_err(|_| Refused::Tree)?;
                leaf.u32()
            }
        };
        if after.are_fresh(&before, committer) { Ok(()) } else { Err(Refused::Tree) }
    }

    fn change(&self, before: &[Member]) -> Change {
        let after = self.members();
        let is_in = |members: &[Member], member: &Member| {
            members.iter().any(|other| other.leaf == member.leaf && other.key == member.key)
        };
        Change {
            added: after.iter().filter(|new| !is_in(before, new)).map(|new| new.leaf).collect(),
            removed: before.iter().filter(|old| !is_in(&after, old)).map(|old| old.key).collect(),
            evicted: !self.mls.is_active(),
        }
    }

    /// Seals an application message.
    ///
    /// # Errors
    /// [`GroupError`] while a commit of one's own waits, or once one is no member any longer.
    pub fn seal(&mut self, content: &[u8]) -> Result<Vec<u8>, GroupError> {
        self.mls
            .create_message(&self.provider, self.own.key.as_ref(), content)
            .ok()
            .and_then(|message| message.tls_serialize_detached().ok())
            .ok_or(GroupError("seal"))
    }

    /// Opens an application message.
    ///
    /// # Errors
    /// [`OpenError`]; a message that opened once does not open again.
    pub fn open(&mut self, bytes: &[u8]) -> Result<Opened, OpenError> {
        let message = protocol_message(bytes).ok_or(OpenError::Malformed)?;
        let ProtocolMessage::PrivateMessage(_) = &message else { return Err(OpenError::Malformed) };
        if message.group_id() != self.mls.group_id() || message.is_handshake_message() {
            return Err(OpenError::Malformed);
        }
        let epoch = message.epoch().as_u64();
        if epoch > self.epoch() {
            return Err(OpenError::Future(epoch));
        }
        if epoch + (PAST_EPOCHS as u64) < self.epoch() {
            return Err(OpenError::Past);
        }
        let processed = self.mls.process_message(&self.provider, message).map_err(|_| OpenError::Forged)?;
        let Sender::Member(leaf) = *processed.sender() else { return Err(OpenError::Forged) };
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(content) => {
                Ok(Opened { leaf: leaf.u32(), epoch, content: content.into_bytes() })
            }
            ProcessedMessageContent::OwnPrivateMessage => Err(OpenError::Own),
            _ => Err(OpenError::Forged),
        }
    }

    /// Reads a key package of somebody who wants to be added. `None` if it is none that policy could let in.
    pub fn key_package(&self, bytes: &[u8]) -> Option<(KeyPackage, PublicKey)> {
        let package = KeyPackageIn::tls_deserialize_exact(bytes).ok()?;
        let package = package.validate(self.provider.crypto(), ProtocolVersion::Mls10).ok()?;
        let leaf = package.leaf_node();
        credential::sealed_name(leaf.credential())?;
        if !checks::is_unlimited(leaf) {
            return None;
        }
        let key = leaf.signature_key().as_slice().try_into().ok()?;
        (package.ciphersuite() == SUITE).then_some((package, key))
    }

    fn store(&self, psk: &Psk) -> Result<(), Refused> {
        store(&self.provider, psk).map(drop).map_err(|_| Refused::Mls)
    }

    fn psk_proposal(&self, psk: &Psk) -> Result<Proposal, GroupError> {
        let id = store(&self.provider, psk)?;
        Ok(Proposal::PreSharedKey(Box::new(PreSharedKeyProposal::new(id))))
    }
}

/// An entry of the log that may be a commit.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// The log calls it an external commit.
    pub joins: bool,
    /// Who submitted it, as the server says.
    pub from: &'a str,
    /// Whom it adds, as the log says.
    pub adds: &'a [String],
    /// Its content.
    pub bytes: &'a [u8],
}

/// Puts a PSK where the library looks for it, and names a use of it.
fn store(provider: &Provider, psk: &Psk) -> Result<PreSharedKeyId, GroupError> {
    let nonce = provider.rand().array::<32>().to_vec();
    let id = PreSharedKeyId::external(psk.id.clone(), nonce);
    id.store(provider, psk.key.as_slice()).map_err(|_| GroupError("psk"))?;
    Ok(id)
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(true)
        .padding_size(PADDING_BYTES)
        .max_past_epochs(PAST_EPOCHS)
        .sender_ratchet_configuration(ratchets())
        .build()
}

fn ratchets() -> SenderRatchetConfiguration {
    SenderRatchetConfiguration::new(LATE_MESSAGES, MISSING_MESSAGES)
}

/// Unlimited: a limit would be judged by each member's clock, and members would come to different answers.
fn lifetime() -> Lifetime {
    Lifetime::init(0, u64::MAX)
}

fn capabilities() -> Capabilities {
    Capabilities::builder()
        .ciphersuites(vec![SUITE])
        .extensions(vec![ExtensionType::Unknown(EXTENSION)])
        .build()
}

/// The host's key of our extension, if it is of this version.
fn host_of(extension: &UnknownExtension) -> Option<PublicKey> {
    match extension.0.as_slice() {
        [PROTOCOL, key @ ..] => key.try_into().ok(),
        _ => None,
    }
}

fn protocol_message(bytes: &[u8]) -> Option<ProtocolMessage> {
    MlsMessageIn::tls_deserialize_exact(bytes).ok()?.try_into_protocol_message().ok()
}

#[cfg(test)]
mod tests;
