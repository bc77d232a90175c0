//! Writing an RTP header with extensions (RFC 3550 §5.1, RFC 8285) into a buffer that the caller owns. It runs
//! once per forwarded packet and never allocates.

use crate::RtpError;
use crate::packet::{FIXED_HEADER_LEN, PROFILE_ONE_BYTE, PROFILE_TWO_BYTE};

/// The fixed header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderFields {
    /// The marker bit.
    pub marker: bool,
    /// The payload type; only its lower 7 bits are written.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence_number: u16,
    /// The timestamp in units of the codec's clock.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
}

/// How extension elements are written (RFC 8285 §4.2, §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtensionForm {
    /// Ids 1 to 14, values of 1 to 16 bytes.
    OneByte,
    /// Ids 1 to 255, values of 0 to 255 bytes.
    TwoByte,
}

impl ExtensionForm {
    /// Whether an element can be written in this form.
    #[inline]
    pub fn fits(self, id: u8, value_len: usize) -> bool {
        match self {
            Self::OneByte => (1..=14).contains(&id) && (1..=16).contains(&value_len),
            Self::TwoByte => id != 0 && value_len <= 255,
        }
    }
}

/// Writes one header: [`new`](Self::new), any number of [`extension`](Self::extension), then
/// [`finish`](Self::finish).
#[derive(Debug)]
pub struct HeaderBuilder<'a> {
    out: &'a mut [u8],
    form: ExtensionForm,
    /// Bytes written; the 4 bytes of the extension's own header are reserved with the first element.
    len: usize,
    overflow: bool,
}

/// Where extension elements begin.
const ELEMENTS_AT: usize = FIXED_HEADER_LEN + 4;

impl<'a> HeaderBuilder<'a> {
    /// Begins a header without contributing sources at the start of `out`. A buffer that is too small shows
    /// when the header is finished.
    #[inline]
    pub fn new(out: &'a mut [u8], fields: &HeaderFields, form: ExtensionForm) -> Self {
        let overflow = match out.first_chunk_mut::<FIXED_HEADER_LEN>() {
            Some(fixed) => {
                fixed[0] = 0x80;
                fixed[1] = (u8::from(fields.marker) << 7) | (fields.payload_type & 0x7F);
                fixed[2..4].copy_from_slice(&fields.sequence_number.to_be_bytes());
                fixed[4..8].copy_from_slice(&fields.timestamp.to_be_bytes());
                fixed[8..12].copy_from_slice(&fields.ssrc.to_be_bytes());
                false
            }
            None => true,
        };
        Self { out, form, len: FIXED_HEADER_LEN, overflow }
    }

    /// Appends an element. One that the form cannot express ([`ExtensionForm::fits`]) is left out.
    #[inline]
    pub fn extension(&mut self, id: u8, value: &[u8]) -> &mut Self {
        if self.overflow || !self.form.fits(id, value.len()) {
            return self;
        }
        let at = self.len.max(ELEMENTS_AT);
        let head = if self.form == ExtensionForm::OneByte { 1 } else { 2 };
        let end = at + head + value.len();
        let Some(space) = self.out.get_mut(at..end) else {
            self.overflow = true;
            return self;
        };
        if self.form == ExtensionForm::OneByte {
            space[0] = (id << 4) | (value.len() as u8 - 1);
        } else {
            space[0] = id;
            space[1] = value.len() as u8;
        }
        space[head..].copy_from_slice(value);
        self.len = end;
        self
    }

    /// Completes the header and returns its length in bytes, a multiple of 4: the payload goes there.
    ///
    /// # Errors
    /// [`RtpError::BufferTooSmall`]; the buffer's content is then undefined.
    #[inline]
    pub fn finish(&mut self) -> Result<usize, RtpError> {
        if self.overflow {
            return Err(RtpError::BufferTooSmall);
        }
        if self.len == FIXED_HEADER_LEN {
            return Ok(self.len);
        }
        let end = self.len.next_multiple_of(4);
        let padding = self.out.get_mut(self.len..end).ok_or(RtpError::BufferTooSmall)?;
        padding.fill(0);
        self.len = end;
        let words = u16::try_from((end - ELEMENTS_AT) / 4).map_err(|_| RtpError::BufferTooSmall)?;
        let profile = match self.form {
            ExtensionForm::OneByte => PROFILE_ONE_BYTE,
            ExtensionForm::TwoByte => PROFILE_TWO_BYTE,
        };
        self.out[0] |= 0x10;
        self.out[FIXED_HEADER_LEN..FIXED_HEADER_LEN + 2].copy_from_slice(&profile.to_be_bytes());
        self.out[FIXED_HEADER_LEN + 2..ELEMENTS_AT].copy_from_slice(&words.to_be_bytes());
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: HeaderFields = HeaderFields {
        marker: true,
        payload_type: 111,
        sequence_number: 0xFFFE,
        timestamp: 0xDEAD_BEEF,
        ssrc: 0x0102_0304,
    };

    #[test]
    fn without_extensions_the_header_is_twelve_bytes() {
        let mut out = [0xEE; 64];
        let len = HeaderBuilder::new(&mut out, &FIELDS, ExtensionForm::OneByte).finish().unwrap();
        assert_eq!(&out[..len], [0x80, 0xEF, 0xFF, 0xFE, 0xDE, 0xAD, 0xBE, 0xEF, 1, 2, 3, 4]);
    }

    #[test]
    fn one_byte_elements_are_packed_and_padded() {
        let mut out = [0xEE; 64];
        let mut builder = HeaderBuilder::new(&mut out, &FIELDS, ExtensionForm::OneByte);
        let len = builder.extension(1, &[0xA1]).extension(14, &[1, 2, 3]).finish().unwrap();
        assert_eq!(len, 24);
        assert_eq!(out[0], 0x90);
        assert_eq!(&out[12..len], [0xBE, 0xDE, 0, 2, 0x10, 0xA1, 0xE2, 1, 2, 3, 0, 0]);
        assert_eq!(out[24], 0xEE, "nothing behind the header is touched");
    }

    #[test]
    fn two_byte_elements_are_packed_and_padded() {
        let mut out = [0xEE; 64];
        let mut builder = HeaderBuilder::new(&mut out, &FIELDS, ExtensionForm::TwoByte);
        let len = builder.extension(1, &[]).extension(200, &[7; 17]).finish().unwrap();
        assert_eq!(len, 40);
        assert_eq!(&out[12..20], [0x10, 0x00, 0, 6, 1, 0, 200, 17]);
        assert_eq!(&out[20..40], [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0]);
    }

    #[test]
    fn what_a_form_cannot_express_is_left_out() {
        let mut out = [0; 600];
        let mut builder = HeaderBuilder::new(&mut out, &FIELDS, ExtensionForm::OneByte);
        builder.extension(0, &[1]).extension(15, &[1]).extension(3, &[]).extension(3, &[0; 17]);
        assert_eq!(builder.finish(), Ok(12));
        let mut builder = HeaderBuilder::new(&mut out, &FIELDS, ExtensionForm::TwoByte);
        assert_eq!(builder.extension(0, &[1]).extension(3, &[0; 256]).finish(), Ok(12));
    }

    #[test]
    fn a_small_buffer_is_an_error_and_no_panic() {
        for size in 0..24 {
            let mut out = vec![0; size];
            let mut builder = HeaderBuilder::new(&mut out, &FIELDS, ExtensionForm::OneByte);
            let finished = builder.extension(1, &[0; 5]).finish();
            assert_eq!(finished, Err(RtpError::BufferTooSmall), "{size}");
        }
    }
}
