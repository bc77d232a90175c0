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

/// Whether a datagram can be RTP: long enough, version 2 (RFC 7983 §7) and not RTCP.
#[inline]
pub fn looks_like_rtp(datagram: &[u8]) -> bool {
    datagram.len() >= FIXED_HEADER_LEN && datagram[0] >> 6 == 2 && !is_rtcp(datagram)
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
        Self::parse_with(data, true)
    }

    /// Reads the header of a packet that is still encrypted (SRTP): the padding count cannot be read, so the
    /// payload reaches to the end of `data`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), without [`RtpError::Padding`].
    #[inline]
    pub fn parse_protected(data: &'a [u8]) -> Result<Self, RtpError> {
        Self::parse_with(data, false)
    }

    #[inline]
    fn parse_with(data: &'a [u8], padding_readable: bool) -> Result<Self, RtpError> {
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
        if padding_readable && fixed[0] & 0x20 != 0 {
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
