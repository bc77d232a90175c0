//! H264 (Annex B byte stream, ITU-T H.264 §7.3.1 and Annex B). Readable stay the parameter sets, whole, and of the first
//! slice its NAL header and two bytes, which hold the number of the parameter set that depacketizers ask for. All the
//! rest is sealed, further slices with their start codes too: on its way a frame has one slice.
//!
//! The ciphertext is part of that slice's NAL unit, so it is escaped as such (emulation prevention, §7.4.1) and ends in
//! a byte that is not zero. Start codes become four bytes long and zeros between NAL units are dropped, as depacketizers
//! do. Of what stands before the first slice only parameter sets are kept: delimiters, SEI and prefixes change no
//! picture.

use std::borrow::Cow;

use super::codec::{Split, Wire};

const SPS: u8 = 7;
const PPS: u8 = 8;
/// Types of slices.
const SLICES: std::ops::RangeInclusive<u8> = 1..=5;

/// Readable bytes of the slice: the NAL header and two of the slice header.
const SLICE_CLEAR: usize = 3;
const START: [u8; 4] = [0, 0, 0, 1];
/// Stands behind the ciphertext.
const STOP: u8 = 0x80;

/// What becomes of other NAL units than parameter sets and slices.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Skip,
    /// We have not sealed a frame that has some.
    Refuse,
}

pub(super) fn split(frame: &[u8]) -> Option<Split<'_>> {
    let (clear, secret) = divide(frame, Others::Skip)?;
    Some(Split { clear: Cow::Owned(clear), secret })
}

pub(super) fn wrap(clear: &[u8], sframe: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(clear);
    let mut zeros = trailing_zeros(clear);
    for &byte in sframe {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        out.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    out.push(STOP);
}

pub(super) fn unwrap(frame: &[u8]) -> Option<Wire<'_>> {
    let (clear, secret) = divide(frame, Others::Refuse)?;
    let (&STOP, escaped) = secret.split_last()? else { return None };
    let mut sframe = Vec::with_capacity(escaped.len());
    let mut zeros = trailing_zeros(&clear);
    for &byte in escaped {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        sframe.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    Some(Wire { clear: Cow::Owned(clear), sframe: Cow::Owned(sframe) })
}

/// The readable part of a frame with start codes of four bytes, and what follows it.
fn divide(frame: &[u8], others: Others) -> Option<(Vec<u8>, &[u8])> {
    let first = next_start(frame)?;
    // Before the first start code there may be zeros only.
    let (zeros, mut rest) = frame.split_at_checked(first)?;
    if zeros.iter().any(|&byte| byte != 0) {
        return None;
    }
    let mut clear = Vec::new();
    loop {
        let body = rest.get(3..)?;
        let kind = body.first()? & 0x1f;
        let end = next_start(body).unwrap_or(body.len());
        let unit = body.get(..end)?;
        if SLICES.contains(&kind) {
            clear.extend_from_slice(&START);
            clear.extend_from_slice(unit.get(..SLICE_CLEAR)?);
            return Some((clear, body.get(SLICE_CLEAR..)?));
        }
        if kind == SPS || kind == PPS {
            clear.extend_from_slice(&START);
            clear.extend_from_slice(&unit[..unit.len() - trailing_zeros(unit)]);
        } else if others == Others::Refuse {
            return None;
        }
        rest = body.get(end..)?;
    }
}

/// Where the next 00 00 01 is.
fn next_start(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window == [0, 0, 1])
}

fn trailing_zeros(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|&&byte| byte == 0).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(frame: &[u8]) -> Option<Vec<u8>> {
        let Split { clear, secret } = split(frame)?;
        Some([clear.as_ref(), secret].concat())
    }

    #[test]
    fn parameter_sets_and_three_bytes_of_the_first_slice_stay_readable() {
        let frame = [0, 0, 0, 1, 0x67, 66, 66, 0, 0, 0, 1, 0x68, 206, 0, 0, 0, 1, 0x65, 136, 132, 17, 34];
        let parts = split(&frame).unwrap();
        assert_eq!(parts.clear.as_ref(), &frame[..20]);
        assert_eq!(parts.secret, [17, 34]);
    }

    #[test]
    fn start_codes_become_long_and_what_is_no_part_of_the_picture_is_dropped() {
        let frame = [0, 0, 1, 9, 0xf0, 0, 0, 1, 6, 5, 0, 0, 0, 1, 0x67, 170, 0, 0, 0, 0, 1, 0x65, 34, 51, 68];
        let expected = [0, 0, 0, 1, 0x67, 170, 0, 0, 0, 1, 0x65, 34, 51, 68];
        assert_eq!(normal(&frame).unwrap(), expected);
    }

    #[test]
    fn what_is_sealed_has_no_start_code_even_where_its_clear_bytes_end_in_zeros() {
        let clear = [0, 0, 0, 1, 0x41, 0, 0];
        let mut wire = Vec::new();
        wrap(&clear, &[1, 0, 0, 0, 0, 0, 0], &mut wire);
        assert_eq!(wire, [0, 0, 0, 1, 0x41, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 0, 0, 0x80]);
        assert_eq!(unwrap(&wire).unwrap().sframe.as_ref(), [1, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for frame in [
            &[][..],
            &[0x41, 34, 51, 68],
            &[0, 0, 0, 1, 0x41, 34],
            &[0, 0, 0, 1, 0x67, 170, 187],
            &[9, 0, 0, 1, 0x41, 34, 51, 68],
            &[0, 0, 1],
        ] {
            assert!(split(frame).is_none() && unwrap(frame).is_none(), "{frame:x?}");
        }
        assert!(unwrap(&[0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x41, 34, 51, 68, 0x80]).is_none());
        assert!(unwrap(&[0, 0, 0, 1, 0x41, 34, 51, 68, 0x81]).is_none());
    }
}
