//! Whether an RTP payload starts a key frame, from the codec's clear bytes alone.

use super::Codec;
use super::h264::{FU_A, IDR, SPS, STAP_A, nal_type};

/// Whether this packet is the first of a key frame. Sound never is.
pub(crate) fn starts_key_frame(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Opus => false,
        Codec::Vp8 => vp8(payload).unwrap_or(false),
        Codec::Vp9 => vp9(payload).unwrap_or(false),
        Codec::H264 => h264(payload).unwrap_or(false),
        // The N bit: first packet of a coded video sequence (AV1 RTP payload format, section 4.4).
        Codec::Av1 => payload.first().is_some_and(|aggregation| aggregation & 0x08 != 0),
    }
}

/// RFC 7741 section 4.2: start of partition 0, and bit P of the frame tag is 0.
fn vp8(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    let mut at = 1;
    if first & 0x80 != 0 {
        let extensions = *payload.get(at)?;
        at += 1;
        if extensions & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        if extensions & 0x40 != 0 {
            at += 1;
        }
        if extensions & 0x30 != 0 {
            at += 1;
        }
    }
    Some(first & 0x10 != 0 && first & 0x07 == 0 && payload.get(at)? & 0x01 == 0)
}

/// RFC 9628 section 4.2: beginning of a frame that is not predicted from an earlier one, in the lowest
/// spatial layer.
fn vp9(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    let (picture_id, predicted, layers, begins) =
        (first & 0x80 != 0, first & 0x40 != 0, first & 0x20 != 0, first & 0x08 != 0);
    let mut at = 1;
    if picture_id {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    let spatial = if layers { (payload.get(at)? >> 1) & 0x07 } else { 0 };
    Some(begins && !predicted && spatial == 0)
}

/// RFC 6184 section 5.2: a sequence parameter set, or the first slice of an IDR picture, alone, aggregated, or
/// as a fragment's start. `first_mb_in_slice` is in Exp-Golomb code, where a leading 1 bit is 0.
fn h264(payload: &[u8]) -> Option<bool> {
    let starts = |kind: u8, next: Option<&u8>| {
        kind == SPS || (kind == IDR && next.is_some_and(|slice| slice & 0x80 != 0))
    };
    match nal_type(*payload.first()?) {
        FU_A => {
            let fragment = *payload.get(1)?;
            Some(fragment & 0x80 != 0 && starts(nal_type(fragment), payload.get(2)))
        }
        STAP_A => Some(starts(nal_type(*payload.get(3)?), payload.get(4))),
        kind => Some(starts(kind, payload.get(1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_packet_of_a_key_frame_is_told_from_all_others() {
        let cases: [(Codec, &[u8], bool); 16] = [
            (Codec::Vp8, &[0x10, 0x10, 0, 0], true),
            (Codec::Vp8, &[0x10, 0x11, 0, 0], false),
            (Codec::Vp8, &[0x00, 0x10, 0, 0], false),
            (Codec::Vp8, &[0x90, 0xE0, 0x81, 0x02, 5, 0x20, 0x10, 0, 0], true),
            (Codec::Vp8, &[0x90, 0xE0, 0x01, 5, 0x20, 0x11, 0, 0], false),
            (Codec::Vp9, &[0x88, 0x05, 0], true),
            (Codec::Vp9, &[0xC8, 0x05, 0], false),
            (Codec::Vp9, &[0xA8, 0x85, 0x01, 0x02, 0], false),
            (Codec::H264, &[0x65, 0x88], true),
            (Codec::H264, &[0x65, 0x40], false),
            (Codec::H264, &[0x41, 1], false),
            (Codec::H264, &[0x7C, 0x85, 0x88], true),
            (Codec::H264, &[0x7C, 0x45, 1], false),
            (Codec::H264, &[0x78, 0, 2, 0x67, 1], true),
            (Codec::Av1, &[0x18, 1], true),
            (Codec::Opus, &[0xFC, 1], false),
        ];
        for (codec, payload, expected) in cases {
            assert_eq!(starts_key_frame(codec, payload), expected, "{codec:?} {payload:02x?}");
            for shorter in 0..payload.len() {
                // Cut short, it must be judged without a panic.
                starts_key_frame(codec, &payload[..shorter]);
            }
        }
    }
}
