//! What OpenMLS needs around it: its cryptography, a storage of our own life time, and randomness that is an argument.

use std::cell::RefCell;

use openmls_traits::OpenMlsProvider;
use openmls_traits::random::OpenMlsRand;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::crypto::Crypto;
use crate::storage::Storage;

/// A seed of 256 bits.
pub(crate) type Seed = [u8; 32];

/// Random bytes from a seed (ChaCha20).
pub(crate) struct Random(RefCell<ChaCha20Rng>);

/// Randomness has no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("randomness failed")]
pub(crate) enum NoError {}

impl Random {
    pub(crate) fn new(seed: Seed) -> Self {
        Self(RefCell::new(ChaCha20Rng::from_seed(seed)))
    }

    pub(crate) fn array<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.0.borrow_mut().fill_bytes(&mut out);
        out
    }

    /// A number below `bound`, or 0.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        // The bias of a remainder does not matter for what this is used for: spreading times.
        if bound == 0 { 0 } else { u64::from_le_bytes(self.array()) % bound }
    }
}

impl OpenMlsRand for Random {
    type Error = NoError;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], NoError> {
        Ok(self.array())
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, NoError> {
        let mut out = vec![0; len];
        self.0.borrow_mut().fill_bytes(&mut out);
        Ok(out)
    }
}

/// The storage and randomness of one state of a group. Each attempt to join has its own, so that one that fails leaves
/// nothing behind in another.
pub(crate) struct Provider {
    crypto: Crypto,
    random: Random,
    storage: Storage,
}

impl Provider {
    pub(crate) fn new(seed: Seed) -> Self {
        let random = Random::new(seed);
        Self { crypto: Crypto::new(random.array()), random, storage: Storage::default() }
    }
}

impl OpenMlsProvider for Provider {
    type CryptoProvider = Crypto;
    type RandProvider = Random;
    type StorageProvider = Storage;

    fn storage(&self) -> &Storage {
        &self.storage
    }

    fn crypto(&self) -> &Crypto {
        &self.crypto
    }

    fn rand(&self) -> &Random {
        &self.random
    }
}
