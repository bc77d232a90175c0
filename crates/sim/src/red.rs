//! Redundant sound as libwebrtc sends it: each packet repeats the frame before (RFC 2198). Written from the
//! specification alone and without the core's parser, so that both can be compared.

use std::collections::BTreeMap;

/// Payload types of Opus and of RED over it, the same with every client of libwebrtc.
pub const OPUS: u8 = 111;
/// See [`OPUS`].
pub const RED: u8 = 63;

/// Longest copy that a block header can name.
const MAX_COPY: usize = 0x3ff;

/// A sender's memory: the last frame of each source.
#[derive(Debug, Default)]
pub struct Redundancy {
    last: BTreeMap<u32, (u32, Vec<u8>)>,
}

impl Redundancy {
    /// The payload of RED for a frame of this source, captured at this timestamp.
    pub fn wrap(&mut self, ssrc: u32, timestamp: u32, frame: &[u8]) -> Vec<u8> {
        let before = self.last.insert(ssrc, (timestamp, frame.to_vec()));
        let mut payload = Vec::new();
        // Copies are at most 14 bits of timestamp old.
        let copy = before
            .map(|(captured, copy)| (timestamp.wrapping_sub(captured), copy))
            .filter(|(age, copy)| *age < 1 << 14 && copy.len() <= MAX_COPY);
        if let Some((age, copy)) = &copy {
            let word = (*age << 10) | copy.len() as u32;
            payload.push(0x80 | OPUS);
            payload.extend_from_slice(&word.to_be_bytes()[1..]);
        }
        payload.push(OPUS);
        payload.extend(copy.into_iter().flat_map(|(_, copy)| copy));
        payload.extend_from_slice(frame);
        payload
    }
}

/// What a payload of RED holds: the frame before, if it is repeated, and the frame itself. `None` if it is not of
/// that form.
pub fn unwrap(payload: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    match payload {
        [OPUS, frame @ ..] => Some((None, frame)),
        [first, _, high, low, OPUS, rest @ ..] if *first == 0x80 | OPUS => {
            let length = usize::from(high & 0x03) << 8 | usize::from(*low);
            let (copy, frame) = rest.split_at_checked(length)?;
            Some((Some(copy), frame))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rtp::codec::red::Redundant;

    use super::*;

    #[test]
    fn the_core_reads_what_is_written_here() {
        let mut redundancy = Redundancy::default();
        for (timestamp, frame) in [(0, &b"one"[..]), (960, b"second"), (200_000, b"after a pause")] {
            let payload = redundancy.wrap(7, timestamp, frame);
            let (copy, primary) = unwrap(&payload).expect("well formed");
            assert_eq!(primary, frame);
            assert_eq!(copy, (timestamp == 960).then_some(&b"one"[..]));
            let read = Redundant::parse(&payload).expect("well formed");
            assert_eq!(
                (read.payload_type, read.primary, read.copies),
                (OPUS, frame, usize::from(copy.is_some()))
            );
        }
    }
}
