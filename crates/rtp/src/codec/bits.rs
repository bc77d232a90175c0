//! Bits from high to low, as the AV1 RTP specification reads them (appendix A.8.2).

use crate::RtpError;

#[derive(Clone, Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Position in bits.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn flag(&mut self) -> Result<bool, RtpError> {
        Ok(self.bits(1)? != 0)
    }

    /// `f(n)` with n up to 32.
    pub(super) fn bits(&mut self, count: u32) -> Result<u32, RtpError> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8).ok_or(RtpError::DescriptorTruncated)?;
            value = (value << 1) | u32::from((byte >> (7 - self.at % 8)) & 1);
            self.at += 1;
        }
        Ok(value)
    }

    /// `f(n)` with n up to 8.
    pub(super) fn small(&mut self, count: u32) -> Result<u8, RtpError> {
        Ok(self.bits(count.min(8))? as u8)
    }

    /// `ns(n)`: one of `count` values, those at the low end one bit shorter. `count` must be 1 to 2³⁰.
    pub(super) fn non_symmetric(&mut self, count: u32) -> Result<u32, RtpError> {
        let width = u32::BITS - count.leading_zeros();
        let short = (1 << width) - count;
        let value = self.bits(width.saturating_sub(1))?;
        if value < short {
            return Ok(value);
        }
        Ok((value << 1) - short + self.bits(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_symmetric_numbers_as_in_the_specification() {
        // ns(5): 00 01 10 110 111.
        let mut reader = BitReader::new(&[0b0001_1011, 0b0111_0000]);
        let values: Vec<_> = (0..5).map(|_| reader.non_symmetric(5).unwrap()).collect();
        assert_eq!(values, [0, 1, 2, 3, 4]);
        assert_eq!(BitReader::new(&[]).non_symmetric(1), Ok(0), "one possible value takes no bit");
    }

    #[test]
    fn bits_come_from_high_to_low_and_end() {
        let mut reader = BitReader::new(&[0b1010_0101, 0xFF]);
        assert_eq!((reader.flag(), reader.small(3), reader.bits(6)), (Ok(true), Ok(0b010), Ok(0b01_0111)));
        assert_eq!(reader.bits(6), Ok(0x3F));
        assert_eq!(reader.bits(1), Err(RtpError::DescriptorTruncated));
    }
}
