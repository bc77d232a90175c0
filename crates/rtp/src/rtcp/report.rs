//! Sender and receiver reports and source descriptions (RFC 3550 §6.4, §6.5).

use super::{RtcpPacket, take_u32};
use crate::RtpError;

const BLOCK_LEN: usize = 24;
const SDES_CNAME: u8 = 1;

/// What a sender says about itself (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Who sends.
    pub ssrc: u32,
    /// Wallclock, 64-bit NTP.
    pub ntp: u64,
    /// The RTP timestamp of the same moment.
    pub rtp_timestamp: u32,
    /// Packets sent, modulo 2³².
    pub packets: u32,
    /// Bytes of payload sent, modulo 2³².
    pub octets: u32,
}

/// How one stream is received (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: u32,
    /// Share lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost in all; negative with duplicates; 24 bits.
    pub cumulative_lost: i32,
    /// Highest sequence number received, cycles in the upper 16 bits.
    pub highest_sequence: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time; 0 for none.
    pub last_sr: u32,
    /// Since its arrival, in units of 2⁻¹⁶ s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    pub(super) fn decode(bytes: &[u8; BLOCK_LEN]) -> Self {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self {
            ssrc: word(0),
            fraction_lost: bytes[4],
            // Shifted up and down again, so that the sign of 24 bits is kept.
            cumulative_lost: (word(4) << 8).cast_signed() >> 8,
            highest_sequence: word(8),
            jitter: word(12),
            last_sr: word(16),
            delay_since_last_sr: word(20),
        }
    }

    pub(super) fn encode(&self) -> [u8; BLOCK_LEN] {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7F_FFFF).cast_unsigned() & 0x00FF_FFFF;
        let words = [
            self.ssrc,
            (u32::from(self.fraction_lost) << 24) | lost,
            self.highest_sequence,
            self.jitter,
            self.last_sr,
            self.delay_since_last_sr,
        ];
        let mut bytes = [0; BLOCK_LEN];
        for (space, word) in bytes.chunks_exact_mut(4).zip(words) {
            space.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

/// Iterator over report blocks, at most 31.
#[derive(Clone, Debug)]
pub struct ReportBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> ReportBlocks<'a> {
    fn new(count: u8, body: &'a [u8]) -> Result<Self, RtpError> {
        let rest = body.get(..usize::from(count) * BLOCK_LEN).ok_or(RtpError::RtcpTruncated)?;
        Ok(Self { rest })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.rest.split_first_chunk::<BLOCK_LEN>()?;
        self.rest = rest;
        Some(ReportBlock::decode(block))
    }
}

pub(super) fn sender(count: u8, body: &[u8]) -> Result<RtcpPacket<'_>, RtpError> {
    let (ssrc, rest) = take_u32(body)?;
    let (ntp_high, rest) = take_u32(rest)?;
    let (ntp_low, rest) = take_u32(rest)?;
    let (rtp_timestamp, rest) = take_u32(rest)?;
    let (packets, rest) = take_u32(rest)?;
    let (octets, rest) = take_u32(rest)?;
    let ntp = (u64::from(ntp_high) << 32) | u64::from(ntp_low);
    let reports = ReportBlocks::new(count, rest)?;
    Ok(RtcpPacket::SenderReport { ssrc, ntp, rtp_timestamp, packets, octets, reports })
}

pub(super) fn receiver(count: u8, body: &[u8]) -> Result<RtcpPacket<'_>, RtpError> {
    let (ssrc, rest) = take_u32(body)?;
    Ok(RtcpPacket::ReceiverReport { ssrc, reports: ReportBlocks::new(count, rest)? })
}

/// What one source says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdesChunk<'a> {
    /// The source.
    pub ssrc: u32,
    /// Its canonical name; bytes, because nothing obliges a peer to send text.
    pub cname: Option<&'a [u8]>,
}

/// Iterator over the chunks of a source description; ends at a malformed one.
#[derive(Clone, Debug)]
pub struct SdesChunks<'a> {
    rest: &'a [u8],
    left: u8,
}

impl<'a> Iterator for SdesChunks<'a> {
    type Item = SdesChunk<'a>;

    fn next(&mut self) -> Option<SdesChunk<'a>> {
        self.left = self.left.checked_sub(1)?;
        let chunk = sdes_chunk(self.rest);
        match chunk {
            Some((chunk, rest)) => {
                self.rest = rest;
                Some(chunk)
            }
            None => {
                self.left = 0;
                None
            }
        }
    }
}

/// One chunk and what follows it. Items end with a zero byte and are padded to 32 bits (RFC 3550 §6.5).
fn sdes_chunk(data: &[u8]) -> Option<(SdesChunk<'_>, &[u8])> {
    let (ssrc, mut items) = take_u32(data).ok()?;
    let mut cname = None;
    loop {
        let (&kind, rest) = items.split_first()?;
        if kind == 0 {
            let used = (data.len() - rest.len()).next_multiple_of(4);
            return Some((SdesChunk { ssrc, cname }, data.get(used..)?));
        }
        let (&length, rest) = rest.split_first()?;
        let (value, rest) = rest.split_at_checked(usize::from(length))?;
        if kind == SDES_CNAME && cname.is_none() {
            cname = Some(value);
        }
        items = rest;
    }
}

pub(super) fn source_description(count: u8, body: &[u8]) -> Result<RtcpPacket<'_>, RtpError> {
    let chunks = SdesChunks { rest: body, left: count };
    // Every chunk that the header announces must be there; afterwards the iterator cannot fail.
    if chunks.clone().count() != usize::from(count) {
        return Err(RtpError::RtcpTruncated);
    }
    Ok(RtcpPacket::SourceDescription { chunks })
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::rtcp::{parse, write_receiver_report, write_sdes_cname, write_sender_report};

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 0x0102_0304,
        fraction_lost: 0x40,
        cumulative_lost: -2,
        highest_sequence: 0x0001_FFFE,
        jitter: 99,
        last_sr: 0xB705_2000,
        delay_since_last_sr: 0x0005_4000,
    };

    #[test]
    fn a_sender_report_as_in_rfc_3550_section_6_4_1() {
        let info = SenderInfo {
            ssrc: 5,
            ntp: 0xB44D_B705_2000_0000,
            rtp_timestamp: 90_000,
            packets: 3,
            octets: 400,
        };
        let mut bytes = Vec::new();
        write_sender_report(&info, &[BLOCK], &mut bytes);
        assert_eq!(bytes.len(), 52);
        assert_eq!(bytes[..8], [0x81, 200, 0, 12, 0, 0, 0, 5]);
        assert_eq!(bytes[28..36], [1, 2, 3, 4, 0x40, 0xFF, 0xFF, 0xFE], "24 bits of cumulative loss, signed");
        let Some(Ok(RtcpPacket::SenderReport { ssrc, ntp, rtp_timestamp, packets, octets, reports })) =
            parse(&bytes).next()
        else {
            panic!("no sender report")
        };
        assert_eq!(SenderInfo { ssrc, ntp, rtp_timestamp, packets, octets }, info);
        assert_eq!(reports.collect::<Vec<_>>(), [BLOCK]);
    }

    #[test]
    fn more_blocks_than_a_packet_holds_take_several() {
        let blocks: Vec<_> = (0..70).map(|ssrc| ReportBlock { ssrc, ..BLOCK }).collect();
        let mut bytes = Vec::new();
        write_receiver_report(9, &blocks, &mut bytes);
        let read: Vec<_> = parse(&bytes)
            .flat_map(|packet| match packet {
                Ok(RtcpPacket::ReceiverReport { ssrc: 9, reports }) => reports,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(read, blocks);
        assert_eq!(parse(&bytes).count(), 3);
    }

    #[test]
    fn a_report_with_fewer_blocks_than_it_says_is_refused() {
        let mut bytes = Vec::new();
        write_receiver_report(9, &[BLOCK], &mut bytes);
        bytes[0] = 0x82;
        assert!(matches!(parse(&bytes).next(), Some(Err(RtpError::RtcpTruncated))));
    }

    #[test]
    fn cumulative_loss_stays_within_its_24_bits() {
        for (given, read) in [(i32::MAX, 0x7F_FFFF), (i32::MIN, -0x80_0000), (-1, -1), (5, 5)] {
            let block = ReportBlock { cumulative_lost: given, ..BLOCK };
            assert_eq!(ReportBlock::decode(&block.encode()).cumulative_lost, read);
        }
    }

    fn cnames(bytes: &[u8]) -> Vec<(u32, Option<Vec<u8>>)> {
        match parse(bytes).next() {
            Some(Ok(RtcpPacket::SourceDescription { chunks })) => {
                chunks.map(|chunk| (chunk.ssrc, chunk.cname.map(<[u8]>::to_vec))).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn canonical_names_of_every_alignment() {
        for length in [0, 1, 2, 3, 4, 5, 254, 255, 300] {
            let name = "n".repeat(length);
            let mut bytes = Vec::new();
            write_sdes_cname(6, &name, &mut bytes);
            assert_eq!(bytes.len() % 4, 0);
            let expected = name.as_bytes()[..length.min(255)].to_vec();
            assert_eq!(cnames(&bytes), [(6, Some(expected))], "{length}");
        }
    }

    #[test]
    fn several_chunks_with_other_items() {
        let bytes = [
            0x82, 202, 0, 7, 0, 0, 0, 1, 6, 2, b'o', b'x', 1, 1, b'a', 0, // TOOL, CNAME
            0, 0, 0, 2, 1, 2, b'b', b'c', 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(cnames(&bytes), [(1, Some(b"a".to_vec())), (2, Some(b"bc".to_vec()))]);
    }

    #[test]
    fn a_chunk_that_does_not_end_is_refused() {
        let endless = [0x81, 202, 0, 2, 0, 0, 0, 1, 1, 2, b'b', b'c'];
        let beyond = [0x81, 202, 0, 2, 0, 0, 0, 1, 1, 9, b'b', 0];
        let missing = [0x81, 202, 0, 0];
        for bytes in [&endless[..], &beyond, &missing] {
            assert!(matches!(parse(bytes).next(), Some(Err(RtpError::RtcpTruncated))), "{bytes:?}");
        }
    }
}
