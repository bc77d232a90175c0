//! AV1: nothing stays readable. The frame's OBUs are sealed together, and the ciphertext travels as the one OBU of its
//! temporal unit, so that packetizers find what they look for: an OBU header and its size (AV1 specification §5.3). What
//! is needed on the way stands in the RTP payload's aggregation header and in the dependency descriptor.
//!
//! The header byte stands for the clear bytes in the additional data, so that frames of other codecs do not open as AV1.
//! The size does not: the RTP payload leaves it away, and the receiver's depacketizer writes it anew.

use std::borrow::Cow;

use super::codec::{Split, Wire};

/// An OBU of type `OBU_FRAME` without extension, with its size.
const HEADER: u8 = 0x32;
const HAS_SIZE: u8 = 0x02;
/// Bytes that a size takes at most.
const SIZE_BYTES: usize = 5;

pub(super) fn split(frame: &[u8]) -> Option<Split<'_>> {
    (!frame.is_empty()).then_some(Split { clear: Cow::Borrowed(&[HEADER]), secret: frame })
}

pub(super) fn wrap(sframe: &[u8], out: &mut Vec<u8>) {
    out.push(HEADER);
    // The size as leb128 (AV1 specification §4.10.5).
    let mut rest = sframe.len();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out.extend_from_slice(sframe);
}

pub(super) fn unwrap(frame: &[u8]) -> Option<Wire<'_>> {
    let (&header, rest) = frame.split_first()?;
    if header | HAS_SIZE != HEADER {
        return None;
    }
    let sframe = if header & HAS_SIZE == 0 { rest } else { sized(rest)? };
    Some(Wire { clear: Cow::Borrowed(&[HEADER]), sframe: Cow::Borrowed(sframe) })
}

/// What follows a size, if the size is that of all that follows.
fn sized(bytes: &[u8]) -> Option<&[u8]> {
    let mut size = 0_u64;
    for (index, byte) in bytes.iter().take(SIZE_BYTES).enumerate() {
        size |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let rest = bytes.get(index + 1..)?;
            return (rest.len() as u64 == size).then_some(rest);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_with_and_without_the_size() {
        for frame in [&[0x32, 3, 1, 2, 3][..], &[0x30, 1, 2, 3]] {
            assert_eq!(unwrap(frame).unwrap().sframe.as_ref(), [1, 2, 3]);
        }
    }

    #[test]
    fn other_units_are_not_taken_for_sealed_frames() {
        for frame in [
            &[][..],
            &[0x12, 0, 0x32, 3, 1, 2, 3],
            &[0x32, 2, 1, 2, 3],
            &[0x32, 4, 1, 2, 3],
            &[0x36, 0, 3, 1, 2, 3],
            &[0x32],
            &[0x32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(unwrap(frame).is_none(), "{frame:x?}");
        }
    }
}
