//! One direction's session keys and the transforms of RFC 3711 (AES-CM with HMAC-SHA1-80) and RFC 7714
//! (AES-GCM). No packet state: whoever calls has checked the index.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac};

use super::SrtpError;
use crate::peer::keying::{KeyDerivation, Label, SrtpProfile};

/// Tag of AES-GCM; RFC 7714 allows no shorter one.
const GCM_TAG: usize = 16;
/// Tag of HMAC-SHA1-80.
const HMAC_TAG: usize = 10;
/// The word that follows an encrypted RTCP packet: flag E and 31 bits of index.
const RTCP_INDEX: usize = 4;
/// Header of the first RTCP packet of a compound: stays in clear.
const RTCP_HEADER: usize = 8;
/// Flag E of the index word.
const RTCP_ENCRYPTED: u32 = 1 << 31;

/// Session key, salt and transform of RTP or of RTCP in one direction.
pub(super) enum Cipher {
    Gcm {
        key: LessSafeKey,
        salt: [u8; 12],
    },
    /// Boxed: its key schedules are several times larger than those of GCM, which nearly every peer has.
    CmHmac(Box<CounterMode>),
}

/// AES in counter mode with HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1).
pub(super) struct CounterMode {
    key: EncryptingKey,
    salt: [u8; 14],
    authentication: hmac::Key,
}

/// Which of the two packet types a cipher is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rtp,
    Rtcp,
}

impl Cipher {
    pub(super) fn new(
        profile: SrtpProfile,
        kind: Kind,
        derivation: &KeyDerivation,
    ) -> Result<Self, SrtpError> {
        let [encryption, authentication, salting] = match kind {
            Kind::Rtp => [Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt],
            Kind::Rtcp => [Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt],
        };
        let mut key = [0; 32];
        let key = &mut key[..profile.key_len()];
        derivation.derive(encryption, key)?;
        let mut salt = [0; 14];
        derivation.derive(salting, &mut salt)?;
        let mut secret = [0; 20];
        derivation.derive(authentication, &mut secret)?;
        Self::from_session(profile, key, &salt, &secret)
    }

    /// From session keys. `salt` may be longer than the profile's; GCM needs no authentication key.
    fn from_session(
        profile: SrtpProfile,
        key: &[u8],
        salt: &[u8],
        authentication: &[u8],
    ) -> Result<Self, SrtpError> {
        match profile {
            SrtpProfile::AeadAes256Gcm | SrtpProfile::AeadAes128Gcm => {
                let algorithm =
                    if profile == SrtpProfile::AeadAes256Gcm { &AES_256_GCM } else { &AES_128_GCM };
                let key = UnboundKey::new(algorithm, key).map_err(|_| SrtpError::Crypto)?;
                let salt = *salt.first_chunk().ok_or(SrtpError::Crypto)?;
                Ok(Self::Gcm { key: LessSafeKey::new(key), salt })
            }
            SrtpProfile::Aes128CmHmacSha1_80 => {
                let key = UnboundCipherKey::new(&AES_128, key)
                    .and_then(EncryptingKey::ctr)
                    .map_err(|_| SrtpError::Crypto)?;
                let salt = *salt.first_chunk().ok_or(SrtpError::Crypto)?;
                let authentication = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication);
                Ok(Self::CmHmac(Box::new(CounterMode { key, salt, authentication })))
            }
        }
    }

    fn tag_len(&self) -> usize {
        match self {
            Self::Gcm { .. } => GCM_TAG,
            Self::CmHmac(_) => HMAC_TAG,
        }
    }

    /// Seals one RTP packet: `out` begins with the written header of `header_len` bytes; `prefix` and
    /// `payload` are encrypted behind it, and the tag follows. Returns the packet's length.
    pub(super) fn seal_rtp(
        &self,
        out: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
        prefix: &[u8],
        payload: &[u8],
    ) -> Result<usize, SrtpError> {
        let clear_len = header_len + prefix.len() + payload.len();
        let total = clear_len + self.tag_len();
        let out = out.get_mut(..total).ok_or(SrtpError::TooLarge)?;
        match self {
            Self::Gcm { key, salt } => {
                let (header, rest) = out.split_at_mut_checked(header_len).ok_or(SrtpError::TooLarge)?;
                let (first, second) = rest.split_at_mut_checked(prefix.len()).ok_or(SrtpError::TooLarge)?;
                first.copy_from_slice(prefix);
                let nonce = Nonce::assume_unique_for_key(gcm_rtp_iv(salt, ssrc, index));
                key.seal_in_place_scatter(nonce, Aad::from(&*header), first, payload, second)
                    .map_err(|_| SrtpError::Crypto)?;
            }
            Self::CmHmac(mode) => {
                let CounterMode { key, salt, authentication } = &**mode;
                let (clear, tag) = out.split_at_mut_checked(clear_len).ok_or(SrtpError::TooLarge)?;
                let body = clear.get_mut(header_len..).ok_or(SrtpError::TooLarge)?;
                let (first, second) = body.split_at_mut_checked(prefix.len()).ok_or(SrtpError::TooLarge)?;
                first.copy_from_slice(prefix);
                second.copy_from_slice(payload);
                counter_mode(key, salt, ssrc, index, body)?;
                let computed = authenticate(authentication, &[clear, &rollover(index)]);
                tag.copy_from_slice(&computed.as_ref()[..HMAC_TAG]);
            }
        }
        Ok(total)
    }

    /// Opens an RTP packet in place; returns the length without the tag.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let clear_len = packet.len().checked_sub(self.tag_len()).ok_or(SrtpError::TooShort)?;
        if clear_len < header_len {
            return Err(SrtpError::TooShort);
        }
        match self {
            Self::Gcm { key, salt } => {
                let (header, body) = packet.split_at_mut_checked(header_len).ok_or(SrtpError::TooShort)?;
                let nonce = Nonce::assume_unique_for_key(gcm_rtp_iv(salt, ssrc, index));
                key.open_in_place(nonce, Aad::from(&*header), body).map_err(|_| SrtpError::Authentication)?;
            }
            Self::CmHmac(mode) => {
                let CounterMode { key, salt, authentication } = &**mode;
                let (clear, tag) = packet.split_at_mut_checked(clear_len).ok_or(SrtpError::TooShort)?;
                verify(authentication, &[clear, &rollover(index)], tag)?;
                let body = clear.get_mut(header_len..).ok_or(SrtpError::TooShort)?;
                counter_mode(key, salt, ssrc, index, body)?;
            }
        }
        Ok(clear_len)
    }

    /// Seals one compound RTCP packet into `out` (RFC 3711 §3.4, RFC 7714 §9); returns the length.
    pub(super) fn seal_rtcp(
        &self,
        out: &mut [u8],
        packet: &[u8],
        ssrc: u32,
        index: u32,
    ) -> Result<usize, SrtpError> {
        let total = packet.len() + self.tag_len() + RTCP_INDEX;
        let out = out.get_mut(..total).ok_or(SrtpError::TooLarge)?;
        let word = (index | RTCP_ENCRYPTED).to_be_bytes();
        let (clear, trailer) = out.split_at_mut_checked(packet.len()).ok_or(SrtpError::TooLarge)?;
        clear.copy_from_slice(packet);
        let (header, body) = clear.split_at_mut_checked(RTCP_HEADER).ok_or(SrtpError::TooShort)?;
        match self {
            Self::Gcm { key, salt } => {
                let (tag, index_word) = trailer.split_at_mut_checked(GCM_TAG).ok_or(SrtpError::TooLarge)?;
                index_word.copy_from_slice(&word);
                let nonce = Nonce::assume_unique_for_key(gcm_rtcp_iv(salt, ssrc, index));
                let computed = key
                    .seal_in_place_separate_tag(nonce, Aad::from(rtcp_aad(header, word)), body)
                    .map_err(|_| SrtpError::Crypto)?;
                tag.copy_from_slice(computed.as_ref());
            }
            Self::CmHmac(mode) => {
                let CounterMode { key, salt, authentication } = &**mode;
                counter_mode(key, salt, ssrc, u64::from(index), body)?;
                let computed = authenticate(authentication, &[clear, &word]);
                let (index_word, tag) =
                    trailer.split_at_mut_checked(RTCP_INDEX).ok_or(SrtpError::TooLarge)?;
                index_word.copy_from_slice(&word);
                tag.copy_from_slice(&computed.as_ref()[..HMAC_TAG]);
            }
        }
        Ok(total)
    }

    /// The index of a protected RTCP packet, read from its trailer.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Result<u32, SrtpError> {
        let behind = match self {
            Self::Gcm { .. } => 0,
            Self::CmHmac(_) => HMAC_TAG,
        };
        if packet.len() < RTCP_HEADER + self.tag_len() + RTCP_INDEX {
            return Err(SrtpError::TooShort);
        }
        let word = packet
            .get(..packet.len() - behind)
            .and_then(|packet| packet.last_chunk::<RTCP_INDEX>())
            .ok_or(SrtpError::TooShort)?;
        let word = u32::from_be_bytes(*word);
        if word & RTCP_ENCRYPTED == 0 {
            return Err(SrtpError::NotEncrypted);
        }
        Ok(word & !RTCP_ENCRYPTED)
    }

    /// Opens a compound RTCP packet in place; returns the length without trailer.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32) -> Result<usize, SrtpError> {
        let clear_len = packet
            .len()
            .checked_sub(self.tag_len() + RTCP_INDEX)
            .filter(|length| *length >= RTCP_HEADER)
            .ok_or(SrtpError::TooShort)?;
        let word = (index | RTCP_ENCRYPTED).to_be_bytes();
        match self {
            Self::Gcm { key, salt } => {
                let sealed = packet.get_mut(..clear_len + GCM_TAG).ok_or(SrtpError::TooShort)?;
                let (header, body) = sealed.split_at_mut_checked(RTCP_HEADER).ok_or(SrtpError::TooShort)?;
                let nonce = Nonce::assume_unique_for_key(gcm_rtcp_iv(salt, ssrc, index));
                key.open_in_place(nonce, Aad::from(rtcp_aad(header, word)), body)
                    .map_err(|_| SrtpError::Authentication)?;
            }
            Self::CmHmac(mode) => {
                let CounterMode { key, salt, authentication } = &**mode;
                let (signed, tag) =
                    packet.split_at_mut_checked(clear_len + RTCP_INDEX).ok_or(SrtpError::TooShort)?;
                verify(authentication, &[signed], tag)?;
                let body = signed.get_mut(RTCP_HEADER..clear_len).ok_or(SrtpError::TooShort)?;
                counter_mode(key, salt, ssrc, u64::from(index), body)?;
            }
        }
        Ok(clear_len)
    }
}

/// RFC 7714 §8.1: two zero octets, SSRC, rollover counter, sequence number, xor salt.
fn gcm_rtp_iv(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let value = u128::from(ssrc) << 48 | u128::from(index & 0xffff_ffff_ffff);
    xor_low(salt, value)
}

/// RFC 7714 §9.1: two zero octets, SSRC, two zero octets, index, xor salt.
fn gcm_rtcp_iv(salt: &[u8; 12], ssrc: u32, index: u32) -> [u8; 12] {
    let value = u128::from(ssrc) << 48 | u128::from(index);
    xor_low(salt, value)
}

/// `salt` xor the low 96 bits of `value`, big endian.
fn xor_low(salt: &[u8; 12], value: u128) -> [u8; 12] {
    let bytes = value.to_be_bytes();
    std::array::from_fn(|position| salt[position] ^ bytes[position + 4])
}

/// RFC 7714 §9.2: what is authenticated but not encrypted is the header and the index word.
fn rtcp_aad(header: &[u8], word: [u8; RTCP_INDEX]) -> [u8; RTCP_HEADER + RTCP_INDEX] {
    let mut aad = [0; RTCP_HEADER + RTCP_INDEX];
    aad[..RTCP_HEADER].copy_from_slice(header);
    aad[RTCP_HEADER..].copy_from_slice(&word);
    aad
}

/// RFC 3711 §4.1.1: encrypts or decrypts in place.
fn counter_mode(
    key: &EncryptingKey,
    salt: &[u8; 14],
    ssrc: u32,
    index: u64,
    body: &mut [u8],
) -> Result<(), SrtpError> {
    let mut salted = [0; 16];
    salted[..14].copy_from_slice(salt);
    let iv = u128::from_be_bytes(salted) ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16;
    let iv = EncryptionContext::Iv128(FixedLength::from(iv.to_be_bytes()));
    key.less_safe_encrypt(body, iv).map(|_| ()).map_err(|_| SrtpError::Crypto)
}

/// The rollover counter, which RTP authenticates without sending it (RFC 3711 §4.2).
fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn authenticate(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    context.sign()
}

fn verify(key: &hmac::Key, parts: &[&[u8]], tag: &[u8]) -> Result<(), SrtpError> {
    let computed = authenticate(key, parts);
    constant_time::verify_slices_are_equal(&computed.as_ref()[..HMAC_TAG], tag)
        .map_err(|_| SrtpError::Authentication)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::tests::hex;

    /// RFC 7714 §16: the packet of all RTP examples.
    const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120
        696e2070 61727465 73207472 6573";
    /// RFC 7714 §17: the packet of all RTCP examples, with index 0x5d4.
    const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef
        deadbeef deadbeef deadbeef deadbeef";
    const SALT: &str = "51756964 2070726f 2071756f";

    fn gcm(profile: SrtpProfile) -> Cipher {
        let key: Vec<u8> = (0..profile.key_len()).map(|byte| byte as u8).collect();
        Cipher::from_session(profile, &key, &hex(SALT), &[]).unwrap()
    }

    fn seal_rtp(cipher: &Cipher, packet: &[u8], index: u64, split: usize) -> Vec<u8> {
        let (_, ssrc) = super::super::sequence_and_ssrc(packet).unwrap();
        let mut out = vec![0; 1500];
        out[..12].copy_from_slice(&packet[..12]);
        let (prefix, payload) = packet[12..].split_at(split);
        let length = cipher.seal_rtp(&mut out, 12, ssrc, index, prefix, payload).unwrap();
        out.truncate(length);
        out
    }

    #[test]
    fn gcm_rtp_packets_are_those_of_rfc_7714_section_16() {
        let packet = hex(RTP);
        for (profile, sealed) in [
            (
                SrtpProfile::AeadAes128Gcm,
                "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
                 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
            ),
            (
                SrtpProfile::AeadAes256Gcm,
                "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02
                 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
            ),
        ] {
            let cipher = gcm(profile);
            for split in [0, 1, 16, 17, packet.len() - 12] {
                assert_eq!(seal_rtp(&cipher, &packet, 0xf17b, split), hex(sealed), "{profile:?} {split}");
            }
            let mut opened = hex(sealed);
            let length = cipher.open_rtp(&mut opened, 12, 0x5501_a0b2, 0xf17b).unwrap();
            assert_eq!(opened[..length], packet);
        }
    }

    #[test]
    fn gcm_rtcp_packets_are_those_of_rfc_7714_section_17() {
        let packet = hex(RTCP);
        for (profile, sealed) in [
            (
                SrtpProfile::AeadAes128Gcm,
                "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda
                 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
            ),
            (
                SrtpProfile::AeadAes256Gcm,
                "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be
                 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
            ),
        ] {
            let cipher = gcm(profile);
            let mut out = vec![0; 1500];
            let length = cipher.seal_rtcp(&mut out, &packet, 0x4d61_7273, 0x5d4).unwrap();
            assert_eq!(out[..length], hex(sealed), "{profile:?}");
            assert_eq!(cipher.rtcp_index(&out[..length]), Ok(0x5d4));
            let opened = cipher.open_rtcp(&mut out[..length], 0x4d61_7273, 0x5d4).unwrap();
            assert_eq!(out[..opened], packet);
        }
    }

    #[test]
    fn the_counter_mode_keystream_is_that_of_rfc_3711_b2() {
        let key = UnboundCipherKey::new(&AES_128, &hex("2B7E151628AED2A6ABF7158809CF4F3C"))
            .and_then(EncryptingKey::ctr)
            .unwrap();
        let salt: [u8; 14] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
        let mut keystream = [0; 48];
        counter_mode(&key, &salt, 0, 0, &mut keystream).unwrap();
        let expected = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB
            41E95B3BB0A2E8DD477901E4FCA894C0";
        assert_eq!(keystream[..], hex(expected));
    }

    #[test]
    fn counter_mode_packets_are_those_of_the_reference_implementation() {
        // libsrtp's `srtp_validate`: the master key of RFC 3711 §B.3.
        let master = crate::peer::keying::MasterKey::from_slices(
            &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
            &hex("0EC675AD498AFEEBB6960B3AABE6"),
        )
        .unwrap();
        let profile = SrtpProfile::Aes128CmHmacSha1_80;
        let derivation = KeyDerivation::new(profile, &master).unwrap();
        let rtp = Cipher::new(profile, Kind::Rtp, &derivation).unwrap();
        let packet = hex("800f1234 decafbad cafebabe abababab abababab abababab abababab");
        let sealed =
            hex("800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 b78d6acc 99ea179b 8dbb");
        for split in [0, 5, 16] {
            assert_eq!(seal_rtp(&rtp, &packet, 0x1234, split), sealed);
        }
        let rtcp = Cipher::new(profile, Kind::Rtcp, &derivation).unwrap();
        let packet = hex("81c8000b cafebabe abababab abababab abababab abababab");
        let mut out = vec![0; 100];
        let length = rtcp.seal_rtcp(&mut out, &packet, 0xcafe_babe, 1).unwrap();
        let sealed = "81c8000b cafebabe 71280 35be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798";
        assert_eq!(out[..length], hex(sealed));
    }
}
