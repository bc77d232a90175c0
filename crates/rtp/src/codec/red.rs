//! Redundant audio (RED, RFC 2198) as WebRTC uses it over Opus: a packet carries its own frame, the primary, behind
//! copies of earlier ones, so that a receiver plays on over single losses without waiting for anything.

use crate::RtpError;

/// Marks that a further block follows.
const FOLLOWS: u8 = 0x80;

/// Blocks in front of the primary that are read; libwebrtc sends one, by experiment up to nine, and reads 32.
const MAX_REDUNDANT: usize = 32;

/// A RED payload. It borrows from the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redundant<'a> {
    /// Payload type of the primary block, in the sender's numbers.
    pub payload_type: u8,
    /// The primary block: what the packet would carry without redundancy.
    pub primary: &'a [u8],
    /// How many earlier frames it repeats.
    pub copies: usize,
}

impl<'a> Redundant<'a> {
    /// Reads the block headers (RFC 2198 §3): four bytes for each copy, with a length of 10 bits, and one for the
    /// primary, which is whatever remains behind the copies.
    ///
    /// # Errors
    /// [`RtpError::DescriptorTruncated`] if headers or copies reach beyond the payload,
    /// [`RtpError::DescriptorInvalid`] for more copies than any sender makes.
    pub fn parse(payload: &'a [u8]) -> Result<Self, RtpError> {
        let mut headers = payload;
        let mut copied = 0usize;
        for copies in 0..=MAX_REDUNDANT {
            let (&first, rest) = headers.split_first().ok_or(RtpError::DescriptorTruncated)?;
            if first & FOLLOWS == 0 {
                let primary = rest.get(copied..).ok_or(RtpError::DescriptorTruncated)?;
                return Ok(Self { payload_type: first, primary, copies });
            }
            let (&[_, high, low], rest) = rest.split_first_chunk().ok_or(RtpError::DescriptorTruncated)?;
            copied = copied.saturating_add(usize::from(u16::from_be_bytes([high & 0x03, low])));
            headers = rest;
        }
        Err(RtpError::DescriptorInvalid)
    }
}

/// A copy of an earlier frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its payload type, in the sender's numbers.
    pub payload_type: u8,
    /// How many ticks earlier than its packet it was captured; less than 2¹⁴.
    pub age: u32,
    /// What its own packet carried.
    pub payload: &'a [u8],
}

/// The copies in a payload that [`Redundant::parse`] takes, in the order they stand in (RFC 2198 §3); of another payload
/// those that are whole.
pub fn blocks(payload: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let follows = |header: &&[u8]| header.first().is_some_and(|first| first & FOLLOWS != 0);
    let copies = payload.chunks(4).take_while(follows).take(MAX_REDUNDANT).count();
    let mut bodies = payload.get(copies * 4 + 1..).unwrap_or_default();
    payload.chunks_exact(4).take(copies).map_while(move |header| {
        let &[first, high, middle, low] = header else { return None };
        let length = usize::from(u16::from_be_bytes([middle & 0x03, low]));
        let (payload, rest) = bodies.split_at_checked(length)?;
        bodies = rest;
        let age = (u32::from(high) << 6) | (u32::from(middle) >> 2);
        Some(Block { payload_type: first & !FOLLOWS, age, payload })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_is_what_remains_behind_the_copies() {
        // Opus (111) twice: three bytes from 960 ticks ago, then two bytes of its own.
        let payload = [0x80 | 111, 0x0F, 0x00, 0x03, 111, 1, 2, 3, 8, 9];
        assert_eq!(
            Redundant::parse(&payload),
            Ok(Redundant { payload_type: 111, primary: &[8, 9], copies: 1 })
        );
        let copies: Vec<Block<'_>> = blocks(&payload).collect();
        assert_eq!(copies, [Block { payload_type: 111, age: 960, payload: &[1, 2, 3] }]);
        // The first packet of a stream has nothing to repeat.
        assert_eq!(
            Redundant::parse(&[111, 7]),
            Ok(Redundant { payload_type: 111, primary: &[7], copies: 0 })
        );
    }

    #[test]
    fn what_reaches_beyond_the_payload_is_refused() {
        for payload in [&[][..], &[0x80 | 111], &[0x80 | 111, 0, 0, 3], &[0x80 | 111, 0, 0, 3, 111, 1, 2]] {
            assert_eq!(Redundant::parse(payload), Err(RtpError::DescriptorTruncated), "{payload:?}");
        }
        let endless = [0x80 | 111, 0, 0, 0].repeat(MAX_REDUNDANT + 1);
        assert_eq!(Redundant::parse(&endless), Err(RtpError::DescriptorInvalid));
    }
}
