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
