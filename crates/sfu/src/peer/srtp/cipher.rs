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
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    CmHmac { key: EncryptingKey, salt: [u8; 14], authentication: hmac::Key },
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
        match profile {
            SrtpProfile::AeadAes256Gcm | SrtpProfile::AeadAes128Gcm => {
                let algorithm =
                    if profile == SrtpProfile::AeadAes256Gcm { &AES_256_GCM } else { &AES_128_GCM };
                let key = UnboundKey::new(algorithm, key).map_err(|_| SrtpError::Crypto)?;
                let mut salt = [0; 12];
                derivation.derive(salting, &mut salt)?;
                Ok(Self::Gcm { key: LessSafeKey::new(key), salt })
            }
            SrtpProfile::Aes128CmHmacSha1_80 => {
                let key = UnboundCipherKey::new(&AES_128, key)
                    .and_then(EncryptingKey::ctr)
                    .map_err(|_| SrtpError::Crypto)?;
                let mut salt = [0; 14];
                derivation.derive(salting, &mut salt)?;
                let mut secret = [0; 20];
                derivation.derive(authentication, &mut secret)?;
                let authentication = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret);
                Ok(Self::CmHmac { key, salt, authentication })
            }
        }
    }

    fn tag_len(&self) -> usize {
        match self {
            Self::Gcm { .. } => GCM_TAG,
            Self::CmHmac { .. } => HMAC_TAG,
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
            Self::CmHmac { key, salt, authentication } => {
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
            Self::CmHmac { key, salt, authentication } => {
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
            Self::CmHmac { key, salt, authentication } => {
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
            Self::CmHmac { .. } => HMAC_TAG,
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
            Self::CmHmac { key, salt, authentication } => {
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
