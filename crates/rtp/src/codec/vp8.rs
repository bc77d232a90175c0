//! The VP8 payload descriptor (RFC 7741 §4.2), and its rewriting so that picture ids stay continuous for a
//! subscriber whose layers are switched.

use crate::RtpError;

/// The longest descriptor in bytes.
pub const MAX_DESCRIPTOR: usize = 6;

/// A payload descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its length in bytes; the VP8 data begins there.
    pub len: usize,
    /// N: no other frame depends on this one.
    pub non_reference: bool,
    /// S: the packet begins a partition.
    pub start_of_partition: bool,
    /// PID: number of the partition, 0 to 7 (15 cannot occur: 3 bits).
    pub partition_id: u8,
    /// The picture id, of 7 or 15 bits.
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX: counts the frames of temporal layer 0.
    pub tl0_pic_idx: Option<u8>,
    /// TID: temporal layer, 0 to 3.
    pub temporal_id: Option<u8>,
    /// Y: the frame depends on temporal layer 0 only, so a receiver may step up to its layer here.
    pub layer_sync: bool,
    /// KEYIDX: counts key frames, 5 bits.
    pub key_index: Option<u8>,
    /// Where the picture id stands in the payload.
    pub picture_id_offset: Option<usize>,
    /// Where TL0PICIDX stands in the payload.
    pub tl0_pic_idx_offset: Option<usize>,
    /// Where the byte of TID, Y and KEYIDX stands in the payload.
    pub layer_offset: Option<usize>,
}

/// A picture id and the width it was sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureId {
    /// 0 to 127, or 0 to 32767 if `long`.
    pub value: u16,
    /// Sent in 15 bits.
    pub long: bool,
}

/// What [`rewrite`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Bytes written to the buffer.
    pub len: usize,
    /// Bytes at the start of the original payload that they stand for.
    pub replaces: usize,
}

impl Descriptor {
    /// Reads the descriptor at the start of a payload.
    ///
    /// # Errors
    /// [`RtpError::DescriptorTruncated`].
    #[inline]
    pub fn parse(payload: &[u8]) -> Result<Self, RtpError> {
        let byte = |at: usize| payload.get(at).copied().ok_or(RtpError::DescriptorTruncated);
        let first = byte(0)?;
        let mut descriptor = Self {
            len: 1,
            non_reference: first & 0x20 != 0,
            start_of_partition: first & 0x10 != 0,
            partition_id: first & 0x07,
            picture_id: None,
            tl0_pic_idx: None,
            temporal_id: None,
            layer_sync: false,
            key_index: None,
            picture_id_offset: None,
            tl0_pic_idx_offset: None,
            layer_offset: None,
        };
        if first & 0x80 == 0 {
            return Ok(descriptor);
        }
        let extension = byte(1)?;
        let (has_id, has_tl0) = (extension & 0x80 != 0, extension & 0x40 != 0);
        let (has_tid, has_key) = (extension & 0x20 != 0, extension & 0x10 != 0);
        let mut at = 2;
        if has_id {
            let high = byte(at)?;
            descriptor.picture_id_offset = Some(at);
            let long = high & 0x80 != 0;
            let mut value = u16::from(high & 0x7F);
            at += 1;
            if long {
                value = (value << 8) | u16::from(byte(at)?);
                at += 1;
            }
            descriptor.picture_id = Some(PictureId { value, long });
        }
        if has_tl0 {
            descriptor.tl0_pic_idx = Some(byte(at)?);
            descriptor.tl0_pic_idx_offset = Some(at);
            at += 1;
        }
        if has_tid || has_key {
            let layer = byte(at)?;
            descriptor.layer_offset = Some(at);
            descriptor.temporal_id = has_tid.then_some(layer >> 6);
            descriptor.layer_sync = has_tid && layer & 0x20 != 0;
            descriptor.key_index = has_key.then_some(layer & 0x1F);
            at += 1;
        }
        descriptor.len = at;
        Ok(descriptor)
    }

    /// Whether the packet begins a frame.
    #[inline]
    pub fn is_frame_start(&self) -> bool {
        self.start_of_partition && self.partition_id == 0
    }

    /// Whether the packet begins a key frame. `payload` is the one that was parsed; the one byte behind the
    /// descriptor is read, which end-to-end encryption leaves clear (RFC 7741 §4.3, bit P).
    #[inline]
    pub fn is_keyframe(&self, payload: &[u8]) -> bool {
        self.is_frame_start() && payload.get(self.len).is_some_and(|first| first & 0x01 == 0)
    }
}

/// Writes `descriptor` to `out` with other numbers. What the original does not have is not added. The picture
/// id is always written in 15 bits, because a receiver counts in the width it sees and 7 bits cannot hold the
/// number after a switch: so the result can be one byte longer than the original. `key_index` of `None` keeps
/// the original's.
#[inline]
pub fn rewrite(
    descriptor: &Descriptor,
    picture_id: u16,
    tl0_pic_idx: u8,
    key_index: Option<u8>,
    out: &mut [u8; MAX_DESCRIPTOR],
) -> Rewrite {
    let has_id = descriptor.picture_id.is_some();
    let has_tl0 = descriptor.tl0_pic_idx.is_some();
    let has_tid = descriptor.temporal_id.is_some();
    let has_key = descriptor.key_index.is_some();
    let extended = has_id || has_tl0 || has_tid || has_key;
    out[0] = (u8::from(extended) << 7)
        | (u8::from(descriptor.non_reference) << 5)
        | (u8::from(descriptor.start_of_partition) << 4)
        | (descriptor.partition_id & 0x07);
    let mut len = 1;
    if extended {
        out[1] = (u8::from(has_id) << 7)
            | (u8::from(has_tl0) << 6)
            | (u8::from(has_tid) << 5)
            | (u8::from(has_key) << 4);
        len = 2;
        if has_id {
            out[2..4].copy_from_slice(&(picture_id | 0x8000).to_be_bytes());
            len = 4;
        }
        if has_tl0 {
            out[len] = tl0_pic_idx;
            len += 1;
        }
        if has_tid || has_key {
            let tid = descriptor.temporal_id.unwrap_or(0) << 6;
            let sync = u8::from(descriptor.layer_sync) << 5;
            out[len] = tid | sync | (key_index.or(descriptor.key_index).unwrap_or(0) & 0x1F);
            len += 1;
        }
    }
    Rewrite { len, replaces: descriptor.len }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_descriptor() {
        let payload = [0x10, 0x00, 0xAA];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.len, 1);
        assert!(descriptor.is_frame_start() && descriptor.is_keyframe(&payload));
        assert_eq!(
            (descriptor.picture_id, descriptor.tl0_pic_idx, descriptor.temporal_id),
            (None, None, None)
        );
    }

    #[test]
    fn what_chromium_sends_for_a_temporal_layer() {
        // X N S; I L T K; 15-bit picture id 0x1234; TL0PICIDX 0x56; TID 2, Y, KEYIDX 9; an inter frame.
        let payload = [0xB0, 0xF0, 0x92, 0x34, 0x56, 0xA9, 0x01];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.len, 6);
        assert!(descriptor.non_reference && descriptor.start_of_partition && descriptor.layer_sync);
        assert_eq!(descriptor.picture_id, Some(PictureId { value: 0x1234, long: true }));
        assert_eq!(descriptor.tl0_pic_idx, Some(0x56));
        assert_eq!((descriptor.temporal_id, descriptor.key_index), (Some(2), Some(9)));
        let offsets = (descriptor.picture_id_offset, descriptor.tl0_pic_idx_offset, descriptor.layer_offset);
        assert_eq!(offsets, (Some(2), Some(4), Some(5)));
        assert!(!descriptor.is_keyframe(&payload));
    }

    #[test]
    fn a_key_frame_is_known_by_its_first_packet_only() {
        let later_partition = [0x11, 0x00];
        let continuation = [0x00, 0x00];
        for payload in [later_partition, continuation] {
            assert!(!Descriptor::parse(&payload).unwrap().is_keyframe(&payload), "{payload:?}");
        }
        let nothing_behind = [0x10];
        assert!(!Descriptor::parse(&nothing_behind).unwrap().is_keyframe(&nothing_behind));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let payload = [0x90, 0xF0, 0x80, 0x01, 0x02, 0x03];
        assert!(Descriptor::parse(&payload).is_ok());
        for len in 0..payload.len() {
            assert_eq!(Descriptor::parse(&payload[..len]), Err(RtpError::DescriptorTruncated), "{len}");
        }
    }

    #[test]
    fn rewriting_widens_a_short_picture_id() {
        // X S; I L; 7-bit id 127; TL0PICIDX 255.
        let descriptor = Descriptor::parse(&[0x90, 0xC0, 0x7F, 0xFF]).unwrap();
        let mut out = [0; MAX_DESCRIPTOR];
        let rewrite = rewrite(&descriptor, 128, 0, None, &mut out);
        assert_eq!(rewrite, Rewrite { len: 5, replaces: 4 });
        assert_eq!(out[..5], [0x90, 0xC0, 0x80, 0x80, 0x00]);
    }

    #[test]
    fn rewriting_adds_nothing_that_was_not_there() {
        let descriptor = Descriptor::parse(&[0x10]).unwrap();
        let mut out = [0; MAX_DESCRIPTOR];
        assert_eq!(rewrite(&descriptor, 5, 6, Some(7), &mut out), Rewrite { len: 1, replaces: 1 });
        assert_eq!(out[0], 0x10);
    }
}
