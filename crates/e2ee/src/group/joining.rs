//! The ways into a group: by external commit (RFC 9420 §12.4.3.2), or by a key package and a Welcome (§12.4.3.1).

use openmls::prelude::group_info::VerifiableGroupInfo;
use openmls::prelude::{
    KeyPackage, LeafNodeParameters, MlsGroup, MlsMessageBodyIn, MlsMessageIn, PreSharedKeyProposal,
    ProcessedWelcome,
};
use openmls::schedule::psk::Psk as PskKind;
use openmls_traits::OpenMlsProvider;
use tls_codec::{Deserialize as _, Serialize as _};

use super::{
    EXTENSION, Group, GroupError, Own, Provider, Psk, PublicKey, SUITE, Seed, capabilities, host_of,
    join_config, lifetime, store,
};

/// What a GroupInfo says about its group before anything is checked but its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The id of the group.
    pub group_id: Vec<u8>,
    /// Its epoch.
    pub epoch: u64,
    /// Its first host.
    pub host: PublicKey,
    /// Signature keys of its members.
    pub keys: Vec<PublicKey>,
    /// Its context (RFC 9420 §8.1), encoded: the same for the same state only.
    pub context: Vec<u8>,
}

/// The private half of a key package that waits for a Welcome.
pub struct WaitingKeys {
    provider: Provider,
    own: Own,
}

impl Claims {
    /// Reads a GroupInfo. `None` if it is none of this version.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        Self::of(&group_info(bytes)?)
    }

    fn of(info: &VerifiableGroupInfo) -> Option<Self> {
        let context = info.group_context();
        let tree = info.extensions().ratchet_tree()?.ratchet_tree();
        let keys = tree.leaves().filter_map(|leaf| leaf.signature_key().as_slice().try_into().ok()).collect();
        Some(Self {
            keys,
            group_id: info.group_id().as_slice().to_vec(),
            epoch: info.epoch().as_u64(),
            host: host_of(context.extensions().unknown(EXTENSION)?)?,
            context: context.tls_serialize_detached().ok()?,
        })
    }
}

impl Group {
    /// Joins by external commit: gives the state after it, which counts once the commit has its place in the log and
    /// is thrown away otherwise, and the commit. A leaf with the same signature key is removed by it.
    ///
    /// With a wrong PSK this succeeds, and members refuse the commit.
    ///
    /// # Errors
    /// [`GroupError`] if the GroupInfo cannot be used.
    pub fn join(seed: Seed, own: Own, info: &[u8], psk: &Psk) -> Result<(Self, Vec<u8>), GroupError> {
        let info = group_info(info).ok_or(GroupError("no group info"))?;
        Claims::of(&info).ok_or(GroupError("no group of ours"))?;
        let provider = Provider::new(seed);
        let psk_id = store(&provider, psk)?;
        let parameters = LeafNodeParameters::builder().with_capabilities(capabilities()).build();
        let (mls, bundle) = MlsGroup::external_commit_builder()
            .with_config(join_config())
            // By their clocks members would come to different answers; limited ones are not let in.
            .skip_lifetime_validation()
            .build_group(&provider, info, own.credential())
            .map_err(|_| GroupError("group info"))?
            .leaf_node_parameters(parameters)
            .add_psk_proposal(PreSharedKeyProposal::new(psk_id))
            .load_psks(provider.storage())
            .map_err(|_| GroupError("psk"))?
            .build(provider.rand(), provider.crypto(), own.key.as_ref(), |_| true)
            .map_err(|_| GroupError("build"))?
            .finalize(&provider)
            .map_err(|_| GroupError("finalize"))?;
        let commit = bundle.into_commit().tls_serialize_detached().map_err(|_| GroupError("encode"))?;
        Ok((Self { provider, own, mls }, commit))
    }

    /// Whether a GroupInfo is of the very state that we are in.
    pub fn is_at(&self, claims: &Claims) -> bool {
        let context = self.mls.public_group().group_context();
        context.tls_serialize_detached().is_ok_and(|context| context == claims.context)
    }
}

impl WaitingKeys {
    /// A fresh key package and its private half.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn new(seed: Seed, own: Own) -> Result<(Self, Vec<u8>), GroupError> {
        let provider = Provider::new(seed);
        let bundle = KeyPackage::builder()
            .key_package_lifetime(lifetime())
            .leaf_node_capabilities(capabilities())
            .build(SUITE, &provider, own.key.as_ref(), own.credential())
            .map_err(|_| GroupError("key package"))?;
        let bytes = bundle.key_package().tls_serialize_detached().map_err(|_| GroupError("encode"))?;
        Ok((Self { provider, own }, bytes))
    }

    /// Joins by a Welcome. The key package is used up, whether this succeeds or not.
    ///
    /// # Errors
    /// [`GroupError`] if the Welcome is not for this key package, or not under exactly the PSK of the link.
    pub fn join(self, welcome: &[u8], psk: &Psk) -> Result<Group, GroupError> {
        let Self { provider, own } = self;
        let message = MlsMessageIn::tls_deserialize_exact(welcome).map_err(|_| GroupError("no message"))?;
        let MlsMessageBodyIn::Welcome(welcome) = message.extract() else {
            return Err(GroupError("no welcome"));
        };
        // Before anything else: a failed attempt uses the key package up.
        store(&provider, psk)?;
        let processed = ProcessedWelcome::new_from_welcome(&provider, &join_config(), welcome)
            .map_err(|_| GroupError("welcome"))?;
        match processed.psks() {
            [id] if matches!(id.psk(), PskKind::External(external) if external.psk_id() == psk.id) => {}
            _ => return Err(GroupError("not the key of this link")),
        }
        let mls = processed
            .into_staged_welcome(&provider, None)
            .and_then(|staged| staged.into_group(&provider))
            .map_err(|_| GroupError("stage"))?;
        let group = Self::group(provider, own, mls);
        if group.host().is_none() { Err(GroupError("no group of ours")) } else { Ok(group) }
    }

    fn group(provider: Provider, own: Own, mls: MlsGroup) -> Group {
        Group { provider, own, mls }
    }
}

fn group_info(bytes: &[u8]) -> Option<VerifiableGroupInfo> {
    match MlsMessageIn::tls_deserialize_exact(bytes).ok()?.extract() {
        MlsMessageBodyIn::GroupInfo(info) => Some(info),
        _ => None,
    }
}
