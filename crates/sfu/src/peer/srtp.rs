//! SRTP and SRTCP (RFC 3711, RFC 7714): one sender and one receiver per transport.
//!
//! Each owns its master key alone, for RTP and RTCP alike, and never seals two packets under one index:
//! with GCM a repeated nonce gives away the authentication key. State for an SSRC is made only by packets
//! that are authentic.

mod cipher;
mod replay;

use thiserror::Error;

use self::cipher::{Cipher, Kind};
use self::replay::{ReplayWindow, SsrcTable};
use super::keying::{KeyDerivation, MasterKey, SrtpProfile};

/// Sources a transport may receive from at once. A camera with simulcast uses six; a table full of them
/// costs about 150 KB, and the source unused for longest makes room.
const RECEIVED_SOURCES: usize = 1024;
/// Sources a transport may send during its whole life: those of a meeting of 200 with camera, microphone,
/// screen and retransmissions many times over. They are never forgotten, because starting one again would
/// repeat its nonces; each costs about 80 bytes.
const SENT_SOURCES: usize = 16_384;
/// Words of 64 packets: RTP arrives up to a retransmission late (1024 packets are 1 s at 12 Mbit/s).
const RECEIVED_RTP_WINDOW: usize = 16;
const RECEIVED_RTCP_WINDOW: usize = 2;
/// How far out of order RTP may be sent: what arrives late from a publisher goes out late.
const SENT_RTP_WINDOW: usize = 8;
/// RTP's fixed header.
const RTP_HEADER: usize = 12;
/// Header of an RTCP packet with the sender's SSRC.
const RTCP_HEADER: usize = 8;
/// RFC 3711 §9.2: at most 2^31 RTCP packets under one key.
const MAX_RTCP_INDEX: u32 = (1 << 31) - 1;
/// RFC 3711 §9.2: at most 2^48 RTP packets of one source under one key.
const MAX_RTP_INDEX: u64 = (1 << 48) - 1;

/// Why a packet was not sealed or not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SrtpError {
    /// Shorter than header, tag and trailer.
    #[error("the packet is too short")]
    TooShort,
    /// Not RTP version 2, or its header is longer than the packet.
    #[error("the header is malformed")]
    Malformed,
    /// The packet does not fit into a datagram.
    #[error("the packet does not fit into a datagram")]
    TooLarge,
    /// Wrong tag: forged, damaged, or of another key.
    #[error("the packet is not authentic")]
    Authentication,
    /// The index was seen already or is older than the replay window.
    #[error("the packet was received before or is too old")]
    Replayed,
    /// SRTCP without encryption, which nobody negotiated.
    #[error("the RTCP packet is not encrypted")]
    NotEncrypted,
    /// The header written does not carry the sequence number that the packet is sealed under.
    #[error("the header's sequence number is not that of the index")]
    SequenceMismatch,
    /// A packet of this source was already sealed under this index, or it is too old to know.
    #[error("the index was used before or is too old")]
    IndexReused,
    /// The source or the key has been used as often as it may.
    #[error("the key may not be used any longer")]
    Exhausted,
    /// The caller could not write the RTP header.
    #[error("the RTP header could not be written")]
    Header,
    /// The cryptographic library refused.
    #[error("the cryptographic library refused")]
    Crypto,
    /// There are no keys yet, or no longer.
    #[error("the transport has no keys")]
    NotKeyed,
}

impl SrtpError {
    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooShort => "too-short",
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::Authentication => "not-authentic",
            Self::Replayed => "replayed",
            Self::NotEncrypted => "not-encrypted",
            Self::SequenceMismatch => "sequence-mismatch",
            Self::IndexReused => "index-reused",
            Self::Exhausted => "exhausted",
            Self::Header => "header",
            Self::Crypto => "crypto",
            Self::NotKeyed => "not-keyed",
        }
    }
}

/// Seals everything that one transport sends.
pub struct SrtpSender {
    rtp: Cipher,
    rtcp: Cipher,
    sent: SsrcTable<ReplayWindow<SENT_RTP_WINDOW>, SENT_SOURCES>,
    next_rtcp_index: u32,
}

impl SrtpSender {
    /// Takes over a master key, of which there must be no other sender.
    pub fn new(profile: SrtpProfile, master: &MasterKey) -> Result<Self, SrtpError> {
        let derivation = KeyDerivation::new(profile, master)?;
        Ok(Self {
            rtp: Cipher::new(profile, Kind::Rtp, &derivation)?,
            rtcp: Cipher::new(profile, Kind::Rtcp, &derivation)?,
            sent: SsrcTable::default(),
            next_rtcp_index: 0,
        })
    }

    /// Seals one RTP packet into `out`. `write_header` writes the header (with CSRCs and extensions) to
    /// the beginning of `out` and returns its length; `prefix` and `payload` follow, encrypted, without
    /// being copied in between. `extended_sequence` is the rollover counter and the sequence number (48
    /// bits); it must agree with the header and never be used twice for one SSRC. Returns the length.
    pub fn seal_rtp<E>(
        &mut self,
        out: &mut [u8],
        extended_sequence: u64,
        prefix: &[u8],
        payload: &[u8],
        write_header: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, SrtpError> {
        let header_len = write_header(out).map_err(|_| SrtpError::Header)?;
        if header_len < RTP_HEADER {
            return Err(SrtpError::Malformed);
        }
        let (sequence, ssrc) = sequence_and_ssrc(out).ok_or(SrtpError::TooShort)?;
        if extended_sequence as u16 != sequence {
            return Err(SrtpError::SequenceMismatch);
        }
        if extended_sequence > MAX_RTP_INDEX {
            return Err(SrtpError::Exhausted);
        }
        if self.sent.is_full() && self.sent.get(ssrc).is_none() {
            return Err(SrtpError::Exhausted);
        }
        let window = self.sent.get_or_insert(ssrc);
        if !window.is_fresh(extended_sequence) {
            return Err(SrtpError::IndexReused);
        }
        // Even if sealing fails the index counts as used: what was written may have left already.
        window.commit(extended_sequence);
        self.rtp.seal_rtp(out, header_len, ssrc, extended_sequence, prefix, payload)
    }

    /// Seals one compound (or reduced-size) RTCP packet into `out`; returns the length.
    pub fn seal_rtcp(&mut self, out: &mut [u8], packet: &[u8]) -> Result<usize, SrtpError> {
        let ssrc = rtcp_ssrc(packet).ok_or(SrtpError::TooShort)?;
        // One counter for all sources: each source's indices rise, and none repeats.
        let index = self.next_rtcp_index;
        if index > MAX_RTCP_INDEX {
            return Err(SrtpError::Exhausted);
        }
        self.next_rtcp_index += 1;
        self.rtcp.seal_rtcp(out, packet, ssrc, index)
    }
}

/// Opens everything that one transport receives.
pub struct SrtpReceiver {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_sources: SsrcTable<ReplayWindow<RECEIVED_RTP_WINDOW>, RECEIVED_SOURCES>,
    rtcp_sources: SsrcTable<ReplayWindow<RECEIVED_RTCP_WINDOW>, RECEIVED_SOURCES>,
}

impl SrtpReceiver {
    /// Takes over the other side's master key.
    pub fn new(profile: SrtpProfile, master: &MasterKey) -> Result<Self, SrtpError> {
        let derivation = KeyDerivation::new(profile, master)?;
        Ok(Self {
            rtp: Cipher::new(profile, Kind::Rtp, &derivation)?,
            rtcp: Cipher::new(profile, Kind::Rtcp, &derivation)?,
            rtp_sources: SsrcTable::default(),
            rtcp_sources: SsrcTable::default(),
        })
    }

    /// Authenticates and decrypts an RTP packet in place; returns it without its tag. After an error the
    /// bytes are undefined.
    pub fn open_rtp<'a>(&mut self, packet: &'a mut [u8]) -> Result<&'a [u8], SrtpError> {
        let header_len = rtp_header_len(packet)?;
        let (sequence, ssrc) = sequence_and_ssrc(packet).ok_or(SrtpError::TooShort)?;
        let window = self.rtp_sources.get(ssrc);
        let index = match window.and_then(ReplayWindow::highest) {
            Some(highest) => estimate_index(highest, sequence).ok_or(SrtpError::Replayed)?,
            None => u64::from(sequence),
        };
        if window.is_some_and(|window| !window.is_fresh(index)) {
            return Err(SrtpError::Replayed);
        }
        let length = self.rtp.open_rtp(packet, header_len, ssrc, index)?;
        self.rtp_sources.get_or_insert(ssrc).commit(index);
        packet.get(..length).ok_or(SrtpError::TooShort)
    }

    /// Authenticates and decrypts a compound RTCP packet in place; returns it without its trailer. After
    /// an error the bytes are undefined.
    pub fn open_rtcp<'a>(&mut self, packet: &'a mut [u8]) -> Result<&'a [u8], SrtpError> {
        let index = self.rtcp.rtcp_index(packet)?;
        let ssrc = rtcp_ssrc(packet).ok_or(SrtpError::TooShort)?;
        if packet.first().is_none_or(|first| first >> 6 != 2) {
            return Err(SrtpError::Malformed);
        }
        let seen = self.rtcp_sources.get(ssrc);
        if seen.is_some_and(|window| !window.is_fresh(u64::from(index))) {
            return Err(SrtpError::Replayed);
        }
        let length = self.rtcp.open_rtcp(packet, ssrc, index)?;
        self.rtcp_sources.get_or_insert(ssrc).commit(u64::from(index));
        packet.get(..length).ok_or(SrtpError::TooShort)
    }
}

/// RFC 3711 §3.3.1: the index nearest to the highest one that has this sequence number. `None` for one
/// before the first.
fn estimate_index(highest: u64, sequence: u16) -> Option<u64> {
    let difference = sequence.wrapping_sub(highest as u16) as i16;
    let index = highest.checked_add_signed(i64::from(difference))?;
    (index <= MAX_RTP_INDEX).then_some(index)
}

/// Length of an RTP header with CSRCs and extension (RFC 3550 §5.1): all of it is in clear.
fn rtp_header_len(packet: &[u8]) -> Result<usize, SrtpError> {
    let first = *packet.first().ok_or(SrtpError::TooShort)?;
    if first >> 6 != 2 {
        return Err(SrtpError::Malformed);
    }
    let mut length = RTP_HEADER + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let words = packet.get(length + 2..length + 4).ok_or(SrtpError::Malformed)?;
        length += 4 + 4 * (usize::from(words[0]) << 8 | usize::from(words[1]));
    }
    if packet.len() < length {
        return Err(SrtpError::Malformed);
    }
    Ok(length)
}

fn sequence_and_ssrc(packet: &[u8]) -> Option<(u16, u32)> {
    let header: &[u8; RTP_HEADER] = packet.first_chunk()?;
    let [_, _, high, low, _, _, _, _, ssrc @ ..] = header;
    Some((u16::from_be_bytes([*high, *low]), u32::from_be_bytes(*ssrc)))
}

fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let header: &[u8; RTCP_HEADER] = packet.first_chunk()?;
    let [_, _, _, _, ssrc @ ..] = header;
    Some(u32::from_be_bytes(*ssrc))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::peer::keying::SrtpKeys;

    /// A sender and the receiver of what it sends.
    fn pair(profile: SrtpProfile) -> (SrtpSender, SrtpReceiver) {
        let keys = SrtpKeys::generate(&mut |bytes: &mut [u8]| bytes.fill(0x5a));
        let sender = SrtpSender::new(profile, &keys.local).unwrap();
        (sender, SrtpReceiver::new(profile, &keys.local).unwrap())
    }

    fn header(sequence: u16, ssrc: u32) -> Vec<u8> {
        let mut header = vec![0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        header[2..4].copy_from_slice(&sequence.to_be_bytes());
        header[8..12].copy_from_slice(&ssrc.to_be_bytes());
        header
    }

    fn seal(sender: &mut SrtpSender, ssrc: u32, index: u64, payload: &[u8]) -> Result<Vec<u8>, SrtpError> {
        seal_with(sender, &header(index as u16, ssrc), index, &[], payload)
    }

    fn seal_with(
        sender: &mut SrtpSender,
        header: &[u8],
        index: u64,
        prefix: &[u8],
        payload: &[u8],
    ) -> Result<Vec<u8>, SrtpError> {
        let mut out = vec![0; 1500];
        let length = sender.seal_rtp(&mut out, index, prefix, payload, |out| {
            out[..header.len()].copy_from_slice(header);
            Ok::<_, ()>(header.len())
        })?;
        out.truncate(length);
        Ok(out)
    }

    #[test]
    fn what_is_sealed_opens_again_under_every_profile() {
        for profile in SrtpProfile::ALL {
            let (mut sender, mut receiver) = pair(profile);
            let mut extended = header(7, 1);
            extended[0] |= 0x11;
            extended.extend_from_slice(&[9, 9, 9, 9, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
            let sealed = seal_with(&mut sender, &extended, 7, b"pre", b"payload").unwrap();
            assert_eq!(sealed.len(), extended.len() + 10 + profile.rtp_overhead());
            assert!(!sealed.windows(7).any(|window| window == b"payload"));
            let mut bytes = sealed.clone();
            let opened = receiver.open_rtp(&mut bytes).unwrap();
            assert_eq!(opened, [&extended[..], b"prepayload"].concat());

            let report = [&[0x81, 201, 0, 7, 0, 0, 0, 1][..], &[3; 24]].concat();
            let mut out = vec![0; 1500];
            let length = sender.seal_rtcp(&mut out, &report).unwrap();
            assert_eq!(length, report.len() + profile.rtcp_overhead());
            assert_eq!(receiver.open_rtcp(&mut out[..length]).unwrap(), report);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for profile in SrtpProfile::ALL {
            let (mut sender, mut receiver) = pair(profile);
            let sealed = seal(&mut sender, 1, 1, b"payload").unwrap();
            let mut rtcp = vec![0; 100];
            let length = sender.seal_rtcp(&mut rtcp, &[0x80, 201, 0, 1, 0, 0, 0, 1]).unwrap();
            rtcp.truncate(length);
            for bit in 0..sealed.len() * 8 {
                let mut forged = sealed.clone();
                forged[bit / 8] ^= 1 << (bit % 8);
                assert!(receiver.open_rtp(&mut forged).is_err(), "{profile:?} bit {bit}");
            }
            for bit in 0..rtcp.len() * 8 {
                let mut forged = rtcp.clone();
                forged[bit / 8] ^= 1 << (bit % 8);
                assert!(receiver.open_rtcp(&mut forged).is_err(), "{profile:?} bit {bit}");
            }
            assert!(receiver.open_rtp(&mut sealed.clone()).is_ok());
            assert!(receiver.open_rtcp(&mut rtcp).is_ok());
        }
    }

    #[test]
    fn a_packet_opens_once_however_late_within_the_window() {
        let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes256Gcm);
        let sealed: Vec<_> =
            (0..1200u64).map(|index| seal(&mut sender, 1, 60_000 + index, b"x").unwrap()).collect();
        assert!(receiver.open_rtp(&mut sealed[0].clone()).is_ok());
        assert!(receiver.open_rtp(&mut sealed[1199].clone()).is_ok());
        assert!(receiver.open_rtp(&mut sealed[200].clone()).is_ok());
        for replayed in [0, 200, 1199] {
            assert_eq!(receiver.open_rtp(&mut sealed[replayed].clone()), Err(SrtpError::Replayed));
        }
        assert_eq!(receiver.open_rtp(&mut sealed[175].clone()), Err(SrtpError::Replayed), "1024 behind");
        assert!(receiver.open_rtp(&mut sealed[176].clone()).is_ok(), "1023 behind");
    }

    #[test]
    fn the_rollover_counter_follows_the_sequence_number_around() {
        for profile in SrtpProfile::ALL {
            let (mut sender, mut receiver) = pair(profile);
            for index in (65_000..300_000).step_by(900) {
                let mut sealed = seal(&mut sender, 1, index, b"x").unwrap();
                assert!(receiver.open_rtp(&mut sealed).is_ok(), "{profile:?} index {index}");
                // Late packets from before the wrap still find their index.
                let mut late = seal(&mut sender, 1, index - 100, b"x").unwrap();
                assert!(receiver.open_rtp(&mut late).is_ok(), "{profile:?} index {index} - 100");
            }
        }
    }

    #[test]
    fn no_index_seals_twice() {
        let (mut sender, _) = pair(SrtpProfile::AeadAes256Gcm);
        assert!(seal(&mut sender, 1, 100, b"x").is_ok());
        assert_eq!(seal(&mut sender, 1, 100, b"y"), Err(SrtpError::IndexReused));
        assert!(seal(&mut sender, 2, 100, b"y").is_ok(), "another source has indices of its own");
        assert!(seal(&mut sender, 1, 99, b"y").is_ok(), "out of order is fine");
        assert!(seal(&mut sender, 1, 1000, b"y").is_ok());
        assert_eq!(seal(&mut sender, 1, 101, b"y"), Err(SrtpError::IndexReused), "too old to know");
    }

    #[test]
    fn the_index_has_to_agree_with_the_header() {
        let (mut sender, _) = pair(SrtpProfile::AeadAes256Gcm);
        let refused = seal_with(&mut sender, &header(5, 1), 6, &[], b"x");
        assert_eq!(refused, Err(SrtpError::SequenceMismatch));
        assert_eq!(seal(&mut sender, 1, 1 << 48, b"x"), Err(SrtpError::Exhausted));
        assert_eq!(seal(&mut sender, 1, 1, &[0; 1473]), Err(SrtpError::TooLarge));
        assert!(seal(&mut sender, 1, 2, &[0; 1472]).is_ok());
    }

    #[test]
    fn forged_sources_leave_no_trace() {
        let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes256Gcm);
        for ssrc in 0..3000 {
            let mut forged = header(1, ssrc);
            forged.extend_from_slice(&[0; 40]);
            assert_eq!(receiver.open_rtp(&mut forged), Err(SrtpError::Authentication));
        }
        assert!(receiver.rtp_sources.get(1).is_none());
        // And authentic ones are bounded.
        for ssrc in 0..1100 {
            let mut sealed = seal(&mut sender, ssrc, 1, b"x").unwrap();
            assert!(receiver.open_rtp(&mut sealed).is_ok());
        }
        assert!(receiver.rtp_sources.get(0).is_none());
        assert!(receiver.rtp_sources.get(1099).is_some());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), rtp in any::<bool>()) {
            for profile in SrtpProfile::ALL {
                let (_, mut receiver) = pair(profile);
                if rtp && let Some(first) = bytes.first_mut() {
                    *first = 0x80 | *first & 0x3f;
                }
                prop_assert!(receiver.open_rtp(&mut bytes.clone()).is_err());
                prop_assert!(receiver.open_rtcp(&mut bytes.clone()).is_err());
            }
        }

        /// However packets are lost, doubled and reordered within the window: each opens exactly once.
        #[test]
        fn each_packet_opens_exactly_once(
            start in 0u64..70_000,
            order in prop::collection::vec(0usize..400, 1..600),
        ) {
            let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
            let sealed: Vec<_> = (0..400)
                .map(|offset| seal(&mut sender, 9, start % 65_536 / 2 + offset, &offset.to_be_bytes()).unwrap())
                .collect();
            let mut seen = std::collections::HashSet::new();
            for position in order {
                let opened = receiver.open_rtp(&mut sealed[position].clone()).is_ok();
                prop_assert_eq!(opened, seen.insert(position));
            }
        }
    }
}
