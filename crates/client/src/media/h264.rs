//! H.264 over RTP (RFC 6184), packetization mode 1: single NAL units and FU-A.

use super::packets::even_sizes;
use super::{MAX_PAYLOAD, Payload};

/// NAL unit types used here (RFC 6184 section 5.2, H.264 table 7-1).
pub(crate) const SLICE: u8 = 1;
pub(crate) const IDR: u8 = 5;
pub(crate) const SPS: u8 = 7;
pub(crate) const PPS: u8 = 8;
pub(crate) const ACCESS_UNIT_DELIMITER: u8 = 9;
pub(crate) const FILLER: u8 = 12;
pub(crate) const STAP_A: u8 = 24;
pub(crate) const FU_A: u8 = 28;

/// The type of the NAL unit whose first byte this is.
pub(crate) fn nal_type(header: u8) -> u8 {
    header & 0x1F
}

/// The NAL units of a byte stream in Annex B form, without start codes and trailing zeros.
pub(crate) fn nal_units(stream: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(found) =
        stream.get(at..).and_then(|rest| rest.windows(3).position(|three| three == [0, 0, 1]))
    {
        starts.push(at + found);
        at += found + 3;
    }
    starts
        .iter()
        .enumerate()
        .filter_map(|(index, start)| {
            let end = starts.get(index + 1).copied().unwrap_or(stream.len());
            let unit = stream.get(start + 3..end)?;
            let length = unit.iter().rposition(|byte| *byte != 0)? + 1;
            Some(&unit[..length])
        })
        .collect()
}

/// Packets for the NAL units of one picture; the marker is on the last.
pub(crate) fn packetize(units: &[&[u8]]) -> Vec<Payload> {
    let mut payloads = Vec::new();
    for unit in units {
        let Some((header, body)) = unit.split_first() else { continue };
        if unit.len() <= MAX_PAYLOAD {
            payloads.push(Payload { bytes: unit.to_vec(), marker: false });
            continue;
        }
        let sizes = even_sizes(body.len(), MAX_PAYLOAD - 2);
        let last = sizes.len() - 1;
        let mut rest = body;
        for (index, size) in sizes.into_iter().enumerate() {
            let (part, behind) = rest.split_at(size);
            rest = behind;
            let start = if index == 0 { 0x80 } else { 0 };
            let end = if index == last { 0x40 } else { 0 };
            let mut bytes = Vec::with_capacity(size + 2);
            bytes.extend([(header & 0xE0) | FU_A, start | end | nal_type(*header)]);
            bytes.extend_from_slice(part);
            payloads.push(Payload { bytes, marker: false });
        }
    }
    if let Some(last) = payloads.last_mut() {
        last.marker = true;
    }
    payloads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_codes_of_three_and_four_bytes_separate_units() {
        let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 9, 0];
        assert_eq!(nal_units(&stream), [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 9]]);
        assert!(nal_units(&[0, 0]).is_empty());
    }

    #[test]
    fn a_large_unit_is_fragmented_and_can_be_put_together_again() {
        let mut unit = vec![0x65];
        unit.extend((0..4000_u32).map(|at| (at % 251) as u8 + 1));
        let payloads = packetize(&[&[0x67, 1], &unit]);
        assert_eq!(payloads[0].bytes, [0x67, 1]);
        let fragments = &payloads[1..];
        assert!(fragments.iter().all(|fragment| fragment.bytes[0] == 0x60 | FU_A));
        assert_eq!(fragments[0].bytes[1], 0x80 | IDR);
        assert_eq!(fragments.last().unwrap().bytes[1], 0x40 | IDR);
        let joined: Vec<u8> =
            fragments.iter().flat_map(|fragment| fragment.bytes[2..].iter().copied()).collect();
        assert_eq!(joined, unit[1..]);
        let markers: Vec<bool> = payloads.iter().map(|payload| payload.marker).collect();
        assert_eq!(markers.iter().filter(|marker| **marker).count(), 1);
        assert!(markers[markers.len() - 1]);
    }
}
