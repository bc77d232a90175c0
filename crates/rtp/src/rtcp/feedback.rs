//! Feedback messages (RFC 4585, RFC 5104, REMB), goodbyes and extended reports.

use super::{RtcpPacket, take_u32};
use crate::RtpError;

/// Iterator over the sequence numbers of a NACK: per entry a first number and a mask of the 16 that follow it
/// (RFC 4585 §6.2.1).
#[derive(Clone, Debug)]
pub struct Lost<'a> {
    rest: &'a [u8],
    next: u16,
    /// Bit 0 stands for `next`.
    mask: u32,
}

impl Iterator for Lost<'_> {
    type Item = u16;

    #[inline]
    fn next(&mut self) -> Option<u16> {
        if self.mask == 0 {
            let (entry, rest) = self.rest.split_first_chunk::<4>()?;
            self.rest = rest;
            self.next = u16::from_be_bytes([entry[0], entry[1]]);
            self.mask = (u32::from(u16::from_be_bytes([entry[2], entry[3]])) << 1) | 1;
        }
        let skip = self.mask.trailing_zeros();
        let found = self.next.wrapping_add(skip as u16);
        self.next = found.wrapping_add(1);
        self.mask = self.mask >> skip >> 1;
        Some(found)
    }
}

/// Iterator over SSRCs.
#[derive(Clone, Debug)]
pub struct Ssrcs<'a> {
    rest: &'a [u8],
}

impl Iterator for Ssrcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (ssrc, rest) = take_u32(self.rest).ok()?;
        self.rest = rest;
        Some(ssrc)
    }
}

/// Iterator over (SSRC, command number) of a full intra request.
#[derive(Clone, Debug)]
pub struct FirEntries<'a> {
    rest: &'a [u8],
}

impl Iterator for FirEntries<'_> {
    type Item = (u32, u8);

    fn next(&mut self) -> Option<(u32, u8)> {
        let (entry, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some((u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]), entry[4]))
    }
}

/// Iterator over (block type, body) of an extended report; ends at a malformed block.
#[derive(Clone, Debug)]
pub struct XrBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for XrBlocks<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (head, tail) = self.rest.split_first_chunk::<4>()?;
        let length = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (body, rest) = tail.split_at_checked(length)?;
        self.rest = rest;
        Some((head[0], body))
    }
}

pub(super) fn goodbye(count: u8, body: &[u8]) -> Result<RtcpPacket<'_>, RtpError> {
    let rest = body.get(..4 * usize::from(count)).ok_or(RtpError::RtcpTruncated)?;
    Ok(RtcpPacket::Goodbye { ssrcs: Ssrcs { rest } })
}

pub(super) fn nack(body: &[u8]) -> Result<RtcpPacket<'_>, RtpError> {
    let (sender_ssrc, rest) = take_u32(body)?;
    let (media_ssrc, rest) = take_u32(rest)?;
    Ok(RtcpPacket::Nack { sender_ssrc, media_ssrc, lost: Lost { rest, next: 0, mask: 0 } })
}

pub(super) fn pli(body: &[u8]) -> Result<RtcpPacket<'_>, RtpError> {
    let (sender_ssrc, rest) = take_u32(body)?;
    let (media_ssrc, _) = take_u32(rest)?;
    Ok(RtcpPacket::Pli { sender_ssrc, media_ssrc })
}

pub(super) fn fir(body: &[u8]) -> Result<RtcpPacket<'_>, RtpError> {
    let (sender_ssrc, rest) = take_u32(body)?;
    // The media SSRC of the common header is not used (RFC 5104 §4.3.1.2).
    let (_, rest) = take_u32(rest)?;
    Ok(RtcpPacket::Fir { sender_ssrc, entries: FirEntries { rest } })
}

/// `None` for application feedback that is not REMB.
pub(super) fn remb(body: &[u8]) -> Result<Option<RtcpPacket<'_>>, RtpError> {
    let (sender_ssrc, rest) = take_u32(body)?;
    let (_, rest) = take_u32(rest)?;
    let Some((b"REMB", rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let (head, rest) = take_u32(rest)?;
    let (count, exponent, mantissa) = ((head >> 24) as usize, (head >> 18) & 0x3F, head & 0x3_FFFF);
    let rest = rest.get(..4 * count).ok_or(RtpError::RtcpTruncated)?;
    // A claim beyond 64 bits is the same as no limit.
    let shifted = u128::from(mantissa) << exponent;
    let bitrate = u64::try_from(shifted).unwrap_or(u64::MAX);
    Ok(Some(RtcpPacket::Remb { sender_ssrc, bitrate, ssrcs: Ssrcs { rest } }))
}

pub(super) fn extended_report(body: &[u8]) -> Result<RtcpPacket<'_>, RtpError> {
    let (ssrc, rest) = take_u32(body)?;
    Ok(RtcpPacket::ExtendedReport { ssrc, blocks: XrBlocks { rest } })
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::rtcp::{parse, write_bye, write_fir, write_nack, write_remb};

    #[test]
    fn a_nack_as_in_rfc_4585_section_6_2_1() {
        // PID 0xFFFE with the mask's lowest and highest bit: 0xFFFF and, 16 on, 0x000E.
        let bytes = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0xFF, 0xFE, 0x80, 0x01];
        let Some(Ok(RtcpPacket::Nack { sender_ssrc: 1, media_ssrc: 2, lost })) = parse(&bytes).next() else {
            panic!("no NACK")
        };
        assert_eq!(lost.collect::<Vec<_>>(), [0xFFFE, 0xFFFF, 0x000E]);
    }

    #[test]
    fn a_nack_packs_neighbours_across_the_wrap() {
        let mut bytes = Vec::new();
        write_nack(1, 2, &[65_534, 65_535, 0, 14, 15], &mut bytes);
        assert_eq!(bytes.len(), 20, "two entries");
        let Some(Ok(RtcpPacket::Nack { lost, .. })) = parse(&bytes).next() else { panic!("no NACK") };
        assert_eq!(lost.collect::<Vec<_>>(), [65_534, 65_535, 0, 14, 15]);
        bytes.clear();
        write_nack(1, 2, &[], &mut bytes);
        assert!(bytes.is_empty(), "nothing to ask for");
    }

    #[test]
    fn an_intra_request_names_its_streams() {
        let mut bytes = Vec::new();
        write_fir(1, 0xAABB_CCDD, 7, &mut bytes);
        assert_eq!(bytes, [0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0xAA, 0xBB, 0xCC, 0xDD, 7, 0, 0, 0]);
        let Some(Ok(RtcpPacket::Fir { sender_ssrc: 1, entries })) = parse(&bytes).next() else {
            panic!("no FIR")
        };
        assert_eq!(entries.collect::<Vec<_>>(), [(0xAABB_CCDD, 7)]);
    }

    #[test]
    fn an_estimate_keeps_18_bits() {
        for bitrate in [0, 1, 262_143, 262_144, 2_500_000, u64::MAX] {
            let mut bytes = Vec::new();
            write_remb(1, bitrate, &[5, 6], &mut bytes);
            let Some(Ok(RtcpPacket::Remb { bitrate: read, ssrcs, .. })) = parse(&bytes).next() else {
                panic!("no REMB")
            };
            assert!(read <= bitrate && bitrate - read <= bitrate >> 17, "{bitrate} {read}");
            assert_eq!(ssrcs.collect::<Vec<_>>(), [5, 6]);
        }
    }

    #[test]
    fn an_estimate_beyond_64_bits_is_no_limit_and_streams_must_be_there() {
        let mut bytes = Vec::new();
        write_remb(1, 1, &[5], &mut bytes);
        bytes[17] = 0xFF;
        assert!(matches!(parse(&bytes).next(), Some(Ok(RtcpPacket::Remb { bitrate: u64::MAX, .. }))));
        bytes[16] = 2;
        assert!(matches!(parse(&bytes).next(), Some(Err(RtpError::RtcpTruncated))));
    }

    #[test]
    fn goodbyes_name_who_leaves() {
        let ssrcs: Vec<u32> = (0..40).collect();
        let mut bytes = Vec::new();
        write_bye(&ssrcs, &mut bytes);
        let read: Vec<_> = parse(&bytes)
            .flat_map(|packet| match packet {
                Ok(RtcpPacket::Goodbye { ssrcs }) => ssrcs,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(read, ssrcs);
        assert!(matches!(parse(&[0x81, 203, 0, 0]).next(), Some(Err(RtpError::RtcpTruncated))));
    }

    #[test]
    fn an_extended_report_is_split_into_its_blocks() {
        // A receiver reference time block (RFC 3611 §4.4), then one that is cut off.
        let bytes = [0x80, 207, 0, 5, 0, 0, 0, 1, 4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 5, 0, 0, 9];
        let Some(Ok(RtcpPacket::ExtendedReport { ssrc: 1, blocks })) = parse(&bytes).next() else {
            panic!("no XR")
        };
        assert_eq!(blocks.collect::<Vec<_>>(), [(4, &[1, 2, 3, 4, 5, 6, 7, 8][..])]);
    }
}
