//! SRTP keys: what DTLS exports (RFC 5764 §4.2) and what SRTP derives from it (RFC 3711 §4.3).
//!
//! Master keys exist only while a transport is being keyed; the ciphers keep the derived session keys.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::srtp::SrtpError;
use crate::io::Random;

/// The protection profiles that can be negotiated, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SrtpProfile {
    /// `SRTP_AEAD_AES_256_GCM` (RFC 7714): what browsers get from us.
    AeadAes256Gcm,
    /// `SRTP_AEAD_AES_128_GCM` (RFC 7714).
    AeadAes128Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80` (RFC 3711): about three times dearer per packet than GCM.
    Aes128CmHmacSha1_80,
}

impl SrtpProfile {
    /// Every profile.
    pub const ALL: [Self; 3] = [Self::AeadAes256Gcm, Self::AeadAes128Gcm, Self::Aes128CmHmacSha1_80];

    /// Bytes of the master key and of every session encryption key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32,
            Self::AeadAes128Gcm | Self::Aes128CmHmacSha1_80 => 16,
        }
    }

    /// Bytes of the master salt and of every session salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 12,
            Self::Aes128CmHmacSha1_80 => 14,
        }
    }

    /// Bytes that an RTP packet grows by.
    pub const fn rtp_overhead(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 16,
            Self::Aes128CmHmacSha1_80 => 10,
        }
    }

    /// Bytes that an RTCP packet grows by: tag and index word.
    pub const fn rtcp_overhead(self) -> usize {
        self.rtp_overhead() + 4
    }

    /// Bytes the DTLS exporter has to give: two keys and two salts (RFC 5764 §4.2).
    pub const fn exporter_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }
}

/// Longest master key and salt of any profile.
const MAX_KEY: usize = 32;
const MAX_SALT: usize = 14;

/// One direction's master key and salt. Shorter profiles use the beginning of each.
#[derive(Clone)]
pub struct MasterKey {
    /// The key.
    pub key: [u8; MAX_KEY],
    /// The salt.
    pub salt: [u8; MAX_SALT],
}

/// Master keys of both directions. There is exactly one sender under each (see [`super::srtp`]).
#[derive(Clone)]
pub struct SrtpKeys {
    /// Protects what this side sends.
    pub local: MasterKey,
    /// Protects what the other side sends.
    pub remote: MasterKey,
}

impl std::fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SrtpKeys")
    }
}

impl SrtpKeys {
    /// Splits what the DTLS exporter gave a *server*: client key, server key, client salt, server salt
    /// (RFC 5764 §4.2). `None` if the length is not the profile's.
    pub fn of_server(profile: SrtpProfile, exported: &[u8]) -> Option<Self> {
        if exported.len() != profile.exporter_len() {
            return None;
        }
        let (keys, salts) = exported.split_at_checked(2 * profile.key_len())?;
        let (client_key, server_key) = keys.split_at_checked(profile.key_len())?;
        let (client_salt, server_salt) = salts.split_at_checked(profile.salt_len())?;
        Some(Self {
            local: MasterKey::from_slices(server_key, server_salt)?,
            remote: MasterKey::from_slices(client_key, client_salt)?,
        })
    }

    /// Random keys, for peers that are keyed without a handshake (simulation, benchmarks).
    pub fn generate(random: &mut dyn Random) -> Self {
        Self { local: MasterKey::generate(random), remote: MasterKey::generate(random) }
    }

    /// The same keys as the other side sees them.
    pub fn mirrored(&self) -> Self {
        Self { local: self.remote.clone(), remote: self.local.clone() }
    }
}

impl MasterKey {
    /// From a key and a salt of a profile's length; `None` if one is too long.
    pub fn from_slices(key: &[u8], salt: &[u8]) -> Option<Self> {
        let mut master = Self { key: [0; MAX_KEY], salt: [0; MAX_SALT] };
        master.key.get_mut(..key.len())?.copy_from_slice(key);
        master.salt.get_mut(..salt.len())?.copy_from_slice(salt);
        Some(master)
    }

    fn generate(random: &mut dyn Random) -> Self {
        let mut master = Self { key: [0; MAX_KEY], salt: [0; MAX_SALT] };
        random.fill(&mut master.key);
        random.fill(&mut master.salt);
        master
    }
}

/// What a session key is for (RFC 3711 §4.3.2). The value is the derivation label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Derives session keys: the keystream of AES in counter mode under the master key (RFC 3711 §4.3.3),
/// with a key derivation rate of zero. The 12-byte salts of GCM are padded on the right (RFC 7714 §11).
pub(super) struct KeyDerivation {
    key: EncryptingKey,
    salt: [u8; MAX_SALT],
}

impl KeyDerivation {
    pub(super) fn new(profile: SrtpProfile, master: &MasterKey) -> Result<Self, SrtpError> {
        let algorithm = match profile {
            SrtpProfile::AeadAes256Gcm => &AES_256,
            SrtpProfile::AeadAes128Gcm | SrtpProfile::Aes128CmHmacSha1_80 => &AES_128,
        };
        let key = UnboundCipherKey::new(algorithm, &master.key[..profile.key_len()])
            .and_then(EncryptingKey::ctr)
            .map_err(|_| SrtpError::Crypto)?;
        let mut salt = [0; MAX_SALT];
        salt[..profile.salt_len()].copy_from_slice(&master.salt[..profile.salt_len()]);
        Ok(Self { key, salt })
    }

    /// Fills `out` with the session key, salt or authentication key of this label.
    pub(super) fn derive(&self, label: Label, out: &mut [u8]) -> Result<(), SrtpError> {
        let mut iv = [0; 16];
        iv[..MAX_SALT].copy_from_slice(&self.salt);
        iv[7] ^= label as u8;
        out.fill(0);
        self.key
            .less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(iv)))
            .map(|_| ())
            .map_err(|_| SrtpError::Crypto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::tests::hex;

    fn derive(derivation: &KeyDerivation, label: Label, length: usize) -> Vec<u8> {
        let mut out = vec![0xff; length];
        derivation.derive(label, &mut out).unwrap();
        out
    }

    #[test]
    fn session_keys_are_those_of_rfc_3711_b3() {
        let master = MasterKey::from_slices(
            &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
            &hex("0EC675AD498AFEEBB6960B3AABE6"),
        )
        .unwrap();
        let derivation = KeyDerivation::new(SrtpProfile::Aes128CmHmacSha1_80, &master).unwrap();
        assert_eq!(derive(&derivation, Label::RtpEncryption, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derive(&derivation, Label::RtpSalt, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(
            derive(&derivation, Label::RtpAuthentication, 94),
            hex("CEBE321F6FF7716B6FD4AB49AF256A15\
                 6D38BAA48F0A0ACF3C34E2359E6CDBCE\
                 E049646C43D9327AD175578EF7227098\
                 6371C10C9A369AC2F94A8C5FBCDDDC25\
                 6D6E919A48B610EF17C2041E47403576\
                 6B68642C59BBFC2F34DB60DBDFB2")
        );
    }

    #[test]
    fn the_exporter_is_split_into_client_and_server() {
        for profile in SrtpProfile::ALL {
            let exported: Vec<u8> = (0..profile.exporter_len()).map(|i| i as u8).collect();
            let keys = SrtpKeys::of_server(profile, &exported).unwrap();
            let (key, salt) = (profile.key_len(), profile.salt_len());
            assert_eq!(keys.remote.key[..key], exported[..key]);
            assert_eq!(keys.local.key[..key], exported[key..2 * key]);
            assert_eq!(keys.remote.salt[..salt], exported[2 * key..2 * key + salt]);
            assert_eq!(keys.local.salt[..salt], exported[2 * key + salt..]);
            assert!(SrtpKeys::of_server(profile, &exported[1..]).is_none());
        }
    }
}
