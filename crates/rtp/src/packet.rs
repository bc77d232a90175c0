//! A received RTP packet as a view over its bytes (RFC 3550 §5.1, RFC 8285). It never copies and never
//! allocates; the extension elements are walked only when somebody asks for them.

use crate::RtpError;

/// Bytes of the fixed header.
pub const FIXED_HEADER_LEN: usize = 12;
/// Profile value of one-byte extension headers (RFC 8285 §4.2).
pub(crate) const PROFILE_ONE_BYTE: u16 = 0xBEDE;
/// Profile value of two-byte extension headers with the application bits zero (RFC 8285 §4.3).
pub(crate) const PROFILE_TWO_BYTE: u16 = 0x1000;

/// Whether a datagram that shares a port with RTP is RTCP: version 2 and a packet type of 192 to 223
/// (RFC 5761 §4).
#[inline]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, second, ..] if first >> 6 == 2 && (192..=223).contains(second))
}

/// A received RTP packet.
#[derive(Clone, Copy, Debug)]
pub struct RtpPacket<'a> {
    /// The first 12 bytes.
    fixed: &'a [u8; FIXED_HEADER_LEN],
    /// The body of the header extension, without its 4 bytes of profile and length.
    extension_body: &'a [u8],
    extension_profile: u16,
    header_len: u16,
    padding_len: u8,
    payload: &'a [u8],
}

impl<'a> RtpPacket<'a> {
    /// Reads the header of `data`, which must be one whole, decrypted packet.
    ///
    /// # Errors
    /// [`RtpError::HeaderTruncated`], [`RtpError::Version`], [`RtpError::ExtensionTruncated`],
    /// [`RtpError::Padding`].
    #[inline]
    pub fn parse(data: &'a [u8]) -> Result<Self, RtpError> {
        let fixed = data.first_chunk::<FIXED_HEADER_LEN>().ok_or(RtpError::HeaderTruncated)?;
        if fixed[0] >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let mut header_len = FIXED_HEADER_LEN + 4 * usize::from(fixed[0] & 0x0F);
        let mut rest = data.get(header_len..).ok_or(RtpError::HeaderTruncated)?;
        let mut extension_profile = 0;
        let mut extension_body: &[u8] = &[];
        if fixed[0] & 0x10 != 0 {
            let (head, tail) = rest.split_first_chunk::<4>().ok_or(RtpError::ExtensionTruncated)?;
            extension_profile = u16::from_be_bytes([head[0], head[1]]);
            let length = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
            (extension_body, rest) = tail.split_at_checked(length).ok_or(RtpError::ExtensionTruncated)?;
            header_len += 4 + length;
        }
        let mut padding_len = 0;
        if fixed[0] & 0x20 != 0 {
            padding_len = *rest.last().ok_or(RtpError::Padding)?;
            let payload_len = rest.len().checked_sub(usize::from(padding_len)).ok_or(RtpError::Padding)?;
            if padding_len == 0 {
                return Err(RtpError::Padding);
            }
            rest = &rest[..payload_len];
        }
        // A header of more than 64 KiB cannot come in a datagram; a longer slice is refused, not truncated.
        let header_len = u16::try_from(header_len).map_err(|_| RtpError::ExtensionTruncated)?;
        Ok(Self { fixed, extension_body, extension_profile, header_len, padding_len, payload: rest })
    }

    /// The marker bit: for video the last packet of a picture, for audio the first after silence.
    #[inline]
    pub fn marker(&self) -> bool {
        self.fixed[1] & 0x80 != 0
    }

    /// The payload type, 0 to 127.
    #[inline]
    pub fn payload_type(&self) -> u8 {
        self.fixed[1] & 0x7F
    }

    /// The sequence number.
    #[inline]
    pub fn sequence_number(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// The timestamp in units of the codec's clock.
    #[inline]
    pub fn timestamp(&self) -> u32 {
        u32::from_be_bytes([self.fixed[4], self.fixed[5], self.fixed[6], self.fixed[7]])
    }

    /// The synchronisation source.
    #[inline]
    pub fn ssrc(&self) -> u32 {
        u32::from_be_bytes([self.fixed[8], self.fixed[9], self.fixed[10], self.fixed[11]])
    }

    /// Bytes before the payload: fixed header, contributing sources and extension.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.header_len)
    }

    /// The payload without padding; empty for a packet of padding only.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Bytes of padding at the end, its count byte included; 0 without padding.
    #[inline]
    pub fn padding_len(&self) -> usize {
        usize::from(self.padding_len)
    }

    /// The first extension element with this id.
    #[inline]
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions().find_map(|(found, value)| (found == id).then_some(value))
    }

    /// The extension elements as (id, bytes), in the order of the packet. Ends where an element is malformed;
    /// what came before it stays usable (RFC 8285 §4.2). Empty for a profile other than those of RFC 8285.
    #[inline]
    pub fn extensions(&self) -> Extensions<'a> {
        let two_byte = self.extension_profile & 0xFFF0 == PROFILE_TWO_BYTE;
        let known = two_byte || self.extension_profile == PROFILE_ONE_BYTE;
        Extensions { rest: if known { self.extension_body } else { &[] }, two_byte }
    }
}

/// Iterator over the extension elements of one packet.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    two_byte: bool,
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while let Some((&first, tail)) = self.rest.split_first() {
            if first == 0 {
                self.rest = tail;
                continue;
            }
            let (id, length, body) = if self.two_byte {
                match tail.split_first() {
                    Some((&length, body)) => (first, usize::from(length), body),
                    None => break,
                }
            } else {
                (first >> 4, usize::from(first & 0x0F) + 1, tail)
            };
            // One-byte form: 15 ends the whole extension, and so does padding that claims a length.
            if !self.two_byte && (id == 0 || id == 15) {
                break;
            }
            let Some((value, next)) = body.split_at_checked(length) else { break };
            self.rest = next;
            return Some((id, value));
        }
        self.rest = &[];
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fixed header of PT 96 with marker, sequence 0x1234, timestamp 0x01020304, SSRC 0x0A0B0C0D.
    fn fixed(first: u8) -> Vec<u8> {
        vec![first, 0xE0, 0x12, 0x34, 1, 2, 3, 4, 0x0A, 0x0B, 0x0C, 0x0D]
    }

    fn with(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = fixed(first);
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn a_plain_packet_is_read() {
        let bytes = with(0x80, b"media");
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert!(packet.marker());
        assert_eq!(packet.payload_type(), 96);
        assert_eq!(packet.sequence_number(), 0x1234);
        assert_eq!(packet.timestamp(), 0x0102_0304);
        assert_eq!(packet.ssrc(), 0x0A0B_0C0D);
        assert_eq!((packet.header_len(), packet.padding_len()), (12, 0));
        assert_eq!(packet.payload(), b"media");
        assert_eq!(packet.extensions().count(), 0);
    }

    #[test]
    fn contributing_sources_are_stepped_over() {
        let bytes = with(0x82, &[9, 9, 9, 9, 8, 8, 8, 8, 0x55]);
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert_eq!(packet.header_len(), 20);
        assert_eq!(packet.payload(), [0x55]);
        assert_eq!(RtpPacket::parse(&bytes[..19]).unwrap_err(), RtpError::HeaderTruncated);
    }

    #[test]
    fn one_byte_elements_as_in_rfc_8285_section_4_2() {
        // ID 1 with 1 byte, ID 2 with 2 bytes, two bytes of padding, ID 3 with 4 bytes.
        let elements = [0x10, 0xA1, 0x21, 0xB1, 0xB2, 0, 0, 0x33, 0xC1, 0xC2, 0xC3, 0xC4];
        let bytes = with(0x90, &[&[0xBE, 0xDE, 0, 3], &elements[..], b"p"].concat());
        let packet = RtpPacket::parse(&bytes).unwrap();
        let found: Vec<_> = packet.extensions().collect();
        let expected: [(u8, &[u8]); 3] = [(1, &[0xA1]), (2, &[0xB1, 0xB2]), (3, &[0xC1, 0xC2, 0xC3, 0xC4])];
        assert_eq!(found, expected);
        assert_eq!(packet.extension(2), Some(&[0xB1, 0xB2][..]));
        assert_eq!(packet.extension(4), None);
        assert_eq!(packet.payload(), b"p");
    }

    #[test]
    fn two_byte_elements_as_in_rfc_8285_section_4_3() {
        // ID 1 without bytes, ID 2 with 1 byte, padding, ID 200 with 4 bytes; application bits set.
        let elements = [1, 0, 2, 1, 0xB1, 0, 200, 4, 1, 2, 3, 4];
        let bytes = with(0x90, &[&[0x10, 0x05, 0, 3], &elements[..]].concat());
        let packet = RtpPacket::parse(&bytes).unwrap();
        let found: Vec<_> = packet.extensions().collect();
        let expected: [(u8, &[u8]); 3] = [(1, &[]), (2, &[0xB1]), (200, &[1, 2, 3, 4])];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_broken_element_ends_the_list_and_keeps_what_came_before() {
        let with_elements = |elements: [u8; 4]| with(0x90, &[&[0xBE, 0xDE, 0, 1], &elements[..]].concat());
        let count = |bytes: &[u8]| RtpPacket::parse(bytes).unwrap().extensions().count();
        assert_eq!(count(&with_elements([0x10, 0xAA, 0x2F, 0])), 1, "length beyond the extension");
        assert_eq!(count(&with_elements([0x10, 0xAA, 0xF0, 0x30])), 1, "id 15 ends everything");
        assert_eq!(count(&with_elements([0x10, 0xAA, 0x01, 0x30])), 1, "padding with a length");
        assert_eq!(count(&with(0x90, &[0x12, 0x34, 0, 1, 0x10, 0xAA, 0, 0])), 0, "another profile");
    }

    #[test]
    fn padding_is_taken_off() {
        let bytes = with(0xA0, &[1, 2, 3, 0, 0, 3]);
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert_eq!(packet.payload(), [1, 2, 3]);
        assert_eq!(packet.padding_len(), 3);
        let only_padding = with(0xA0, &[0, 0, 0, 4]);
        assert_eq!(RtpPacket::parse(&only_padding).unwrap().payload(), b"");
        for wrong in [&[][..], &[0], &[1, 2, 4]] {
            assert_eq!(RtpPacket::parse(&with(0xA0, wrong)).unwrap_err(), RtpError::Padding, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_cut_off_or_of_another_version_is_refused() {
        assert_eq!(RtpPacket::parse(&fixed(0x80)[..11]).unwrap_err(), RtpError::HeaderTruncated);
        assert_eq!(RtpPacket::parse(&fixed(0x40)).unwrap_err(), RtpError::Version);
        assert_eq!(
            RtpPacket::parse(&with(0x90, &[0xBE, 0xDE, 0])).unwrap_err(),
            RtpError::ExtensionTruncated
        );
        let short = with(0x90, &[0xBE, 0xDE, 0, 2, 0, 0, 0, 0]);
        assert_eq!(RtpPacket::parse(&short).unwrap_err(), RtpError::ExtensionTruncated);
    }

    #[test]
    fn rtp_and_rtcp_are_told_apart() {
        for (second, rtcp) in [(191, false), (192, true), (200, true), (207, true), (223, true), (224, false)]
        {
            let mut bytes = fixed(0x80);
            bytes[1] = second;
            assert_eq!(is_rtcp(&bytes), rtcp, "{second}");
        }
        assert!(!is_rtcp(&[0x80]) && !is_rtcp(&[22, 200, 0, 0]));
    }
}
