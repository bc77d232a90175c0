//! VP8 over RTP (RFC 7741): the payload descriptor with picture id and base-layer index, as browsers send it.

use super::packets::even_sizes;
use super::{MAX_PAYLOAD, Payload};

/// Length of the descriptor written here.
pub(crate) const DESCRIPTOR: usize = 6;

/// Counts pictures for the descriptor.
#[derive(Debug, Clone)]
pub(crate) struct Vp8Descriptors {
    picture_id: u16,
    tl0_picture_index: u8,
}

impl Vp8Descriptors {
    /// Starts at random places, as RFC 7741 section 4.2 recommends for the picture id.
    pub(crate) fn random() -> Self {
        Self { picture_id: fastrand::u16(..0x8000), tl0_picture_index: fastrand::u8(..) }
    }

    /// Moves to the next picture.
    pub(crate) fn advance(&mut self) {
        self.picture_id = (self.picture_id + 1) & 0x7FFF;
        self.tl0_picture_index = self.tl0_picture_index.wrapping_add(1);
    }

    /// The descriptor of a packet of the current picture; all pictures are in temporal layer 0.
    pub(crate) fn write(&self, starts_picture: bool, payload: &mut Vec<u8>) {
        // X, and S for the first packet of partition 0.
        payload.push(0x80 | if starts_picture { 0x10 } else { 0 });
        // I, L, T: picture id, base-layer index, temporal layer.
        payload.push(0xE0);
        payload.extend((0x8000 | self.picture_id).to_be_bytes());
        payload.push(self.tl0_picture_index);
        // Temporal layer 0, depends on base layers only (Y).
        payload.push(0x20);
    }
}

/// Splits one encoded picture over packets.
pub(crate) fn packetize(descriptors: &mut Vp8Descriptors, picture: &[u8]) -> Vec<Payload> {
    descriptors.advance();
    let sizes = even_sizes(picture.len(), MAX_PAYLOAD - DESCRIPTOR);
    let last = sizes.len() - 1;
    let mut rest = picture;
    sizes
        .into_iter()
        .enumerate()
        .map(|(index, size)| {
            let (part, behind) = rest.split_at(size);
            rest = behind;
            let mut bytes = Vec::with_capacity(DESCRIPTOR + size);
            descriptors.write(index == 0, &mut bytes);
            bytes.extend_from_slice(part);
            Payload { bytes, marker: index == last }
        })
        .collect()
}

/// The start of a picture's first partition (RFC 6386 section 9.1): frame tag, and for key frames the start
/// code and size. What follows in a synthetic picture is no picture.
pub(crate) fn frame_header(key: bool, width: u32, height: u32, payload: &mut Vec<u8>) {
    // Bit 0: inter frame; bit 4: shown.
    payload.extend([0x10 | u8::from(!key), 0, 0]);
    if key {
        payload.extend([0x9D, 0x01, 0x2A]);
        payload.extend(((width & 0x3FFF) as u16).to_le_bytes());
        payload.extend(((height & 0x3FFF) as u16).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_split_and_only_its_first_packet_starts_it() {
        let mut descriptors = Vp8Descriptors { picture_id: 0x7FFF, tl0_picture_index: 255 };
        let picture: Vec<u8> = (0..3000_u32).map(|at| at as u8).collect();
        let payloads = packetize(&mut descriptors, &picture);
        assert_eq!(payloads.len(), 3);
        let starts: Vec<bool> = payloads.iter().map(|payload| payload.bytes[0] & 0x10 != 0).collect();
        assert_eq!(starts, [true, false, false]);
        let markers: Vec<bool> = payloads.iter().map(|payload| payload.marker).collect();
        assert_eq!(markers, [false, false, true]);
        // Picture id and base-layer index wrapped to 0; 15-bit form.
        assert_eq!(payloads[0].bytes[1..6], [0xE0, 0x80, 0, 0, 0x20]);
        let joined: Vec<u8> =
            payloads.iter().flat_map(|payload| payload.bytes[DESCRIPTOR..].iter().copied()).collect();
        assert_eq!(joined, picture);
        assert!(payloads.iter().all(|payload| payload.bytes.len() <= MAX_PAYLOAD));
    }
}
