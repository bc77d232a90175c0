//! The AV1 aggregation header (AV1 RTP specification §4.4), for streams without dependency descriptor.

use crate::RtpError;

/// The first byte of an AV1 payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregationHeader {
    /// Z: the first OBU element continues one of the packet before.
    pub continues_previous: bool,
    /// Y: the last OBU element continues in the next packet.
    pub continues_in_next: bool,
    /// W: number of OBU elements, 1 to 3; 0 if each has its length before it.
    pub obu_count: u8,
    /// N: the packet is the first of a coded video sequence.
    pub new_coded_video_sequence: bool,
}

impl AggregationHeader {
    /// Reads the first byte of a payload.
    ///
    /// # Errors
    /// [`RtpError::DescriptorTruncated`] for an empty payload, [`RtpError::DescriptorInvalid`] if the packet
    /// claims to begin a sequence and to continue an OBU (excluded by §4.4).
    #[inline]
    pub fn parse(payload: &[u8]) -> Result<Self, RtpError> {
        let first = *payload.first().ok_or(RtpError::DescriptorTruncated)?;
        let header = Self {
            continues_previous: first & 0x80 != 0,
            continues_in_next: first & 0x40 != 0,
            obu_count: (first >> 4) & 0x03,
            new_coded_video_sequence: first & 0x08 != 0,
        };
        if header.new_coded_video_sequence && header.continues_previous {
            return Err(RtpError::DescriptorInvalid);
        }
        Ok(header)
    }

    /// Whether the packet begins a coded video sequence, which a key frame does.
    #[inline]
    pub fn is_keyframe_start(&self) -> bool {
        self.new_coded_video_sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_of_the_aggregation_header() {
        let header = AggregationHeader::parse(&[0b0101_1000]).unwrap();
        assert!(!header.continues_previous && header.continues_in_next);
        assert_eq!(header.obu_count, 1);
        assert!(header.is_keyframe_start());
        assert!(!AggregationHeader::parse(&[0b1101_0000]).unwrap().is_keyframe_start());
    }

    #[test]
    fn a_sequence_cannot_begin_with_a_continuation() {
        assert_eq!(AggregationHeader::parse(&[0b1000_1000]), Err(RtpError::DescriptorInvalid));
        assert_eq!(AggregationHeader::parse(&[]), Err(RtpError::DescriptorTruncated));
    }
}
