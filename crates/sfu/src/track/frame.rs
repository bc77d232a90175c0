//! What a packet says in the clear of the frame it belongs to: its layers, and what it is predicted from. Read from the
//! dependency descriptor (AV1 RTP specification, appendix A) where there is one, else from VP9's (RFC 9628 §4.2) or
//! VP8's payload descriptor (RFC 7741 §4.2). H264 has one layer.

use rtp::codec::dependency_descriptor::{self as dd, MAX_FRAME_DIFFS};
use rtp::codec::{PayloadDescriptor, vp8, vp9};

/// Spatial layers whose frames are told apart within one VP9 picture.
const VP9_LAYERS: u64 = 4;

/// A frame: of a scalable stream one spatial layer of one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number in decoding order within the stream, without wraps; frames that were lost leave numbers out.
    pub number: u64,
    /// Spatial layer, 0 is the lowest.
    pub spatial: u8,
    /// Temporal layer, 0 is the lowest.
    pub temporal: u8,
    /// Whether nothing before it is needed, of no layer.
    pub is_key: bool,
    /// Whether the packet is the frame's last.
    pub ends: bool,
    /// Where more temporal layers can be begun.
    pub switch: Switch,
    /// How much lower the numbers of the frames are that it is predicted from; 0 stands for none.
    pub(super) references: [u16; MAX_FRAME_DIFFS],
}

/// Where a receiver of fewer temporal layers can go on with more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Wherever all references of a frame were received: they are known.
    ByReferences,
    /// With this very frame: it needs temporal layer 0 only (VP8's Y).
    Here,
    /// With the frames of upper layers after this one, which it gets (VP9's U).
    Above,
    /// Not here.
    No,
}

impl Frame {
    /// Numbers of the frames that must have been sent before this one, as far as they are known.
    pub fn references(&self) -> impl Iterator<Item = u64> {
        let number = self.number;
        self.references
            .into_iter()
            .filter(|diff| *diff > 0)
            .filter_map(move |diff| number.checked_sub(diff.into()))
    }
}

/// Continues the frame numbers of one stream, which wrap, without wraps.
#[derive(Clone, Debug, Default)]
pub struct FrameReader {
    highest: Option<u64>,
}

impl FrameReader {
    /// Reads a packet; `None` if it says too little for a choice of layers: such packets are all forwarded.
    pub fn read(
        &mut self,
        payload: &[u8],
        descriptor: Option<&PayloadDescriptor>,
        dependencies: Option<&dd::Descriptor>,
        marker: bool,
    ) -> Option<Frame> {
        match (dependencies, descriptor) {
            (Some(dependencies), _) => Some(self.of_dependencies(dependencies)),
            (None, Some(PayloadDescriptor::Vp9(descriptor))) => self.of_vp9(descriptor),
            (None, Some(PayloadDescriptor::Vp8(descriptor))) => self.of_vp8(descriptor, payload, marker),
            (None, None) => None,
        }
    }

    fn of_dependencies(&mut self, descriptor: &dd::Descriptor) -> Frame {
        let diffs = descriptor.dependencies.frame_diffs();
        let mut references = [0; MAX_FRAME_DIFFS];
        for (reference, diff) in references.iter_mut().zip(diffs) {
            *reference = *diff;
        }
        Frame {
            number: self.extend(descriptor.frame_number, 16),
            spatial: descriptor.spatial_id,
            temporal: descriptor.temporal_id,
            is_key: diffs.is_empty(),
            ends: descriptor.end_of_frame,
            switch: Switch::ByReferences,
            references,
        }
    }

    fn of_vp9(&mut self, descriptor: &vp9::Descriptor) -> Option<Frame> {
        let picture_id = descriptor.picture_id?;
        let layer = descriptor.layer?;
        let spatial = u64::from(layer.spatial_id).min(VP9_LAYERS - 1);
        let picture = self.extend(picture_id.value, if picture_id.long { 15 } else { 7 });
        let is_predicted = descriptor.inter_picture_predicted;
        let mut references = [0; MAX_FRAME_DIFFS];
        if descriptor.flexible && is_predicted {
            for (reference, diff) in references.iter_mut().zip(descriptor.reference_differences) {
                *reference = u16::from(diff) * VP9_LAYERS as u16;
            }
        }
        if let Some(below) = references.last_mut().filter(|_| layer.inter_layer_predicted && spatial > 0) {
            *below = 1;
        }
        let switch = match (descriptor.flexible, layer.switching_up) {
            (true, _) => Switch::ByReferences,
            (false, true) => Switch::Above,
            (false, false) => Switch::No,
        };
        Some(Frame {
            number: picture * VP9_LAYERS + spatial,
            spatial: spatial as u8,
            temporal: layer.temporal_id,
            is_key: !is_predicted && spatial == 0 && !layer.inter_layer_predicted,
            ends: descriptor.end_of_frame,
            switch,
            references,
        })
    }

    fn of_vp8(&mut self, descriptor: &vp8::Descriptor, payload: &[u8], marker: bool) -> Option<Frame> {
        let picture_id = descriptor.picture_id?;
        Some(Frame {
            number: self.extend(picture_id.value, if picture_id.long { 15 } else { 7 }),
            spatial: 0,
            temporal: descriptor.temporal_id?,
            is_key: descriptor.is_keyframe(payload),
            ends: marker,
            switch: if descriptor.layer_sync { Switch::Here } else { Switch::No },
            references: [0; MAX_FRAME_DIFFS],
        })
    }

    /// The number nearest to the highest so far that ends in these `bits`. The first is raised by a circle, so that
    /// those it overtook have a number too.
    fn extend(&mut self, value: u16, bits: u32) -> u64 {
        let circle = 1u64 << bits;
        let value = u64::from(value) & (circle - 1);
        let Some(highest) = self.highest else {
            let first = value + circle;
            self.highest = Some(first);
            return first;
        };
        let ahead = value.wrapping_sub(highest) & (circle - 1);
        let number =
            if ahead < circle / 2 { highest + ahead } else { (highest + ahead).saturating_sub(circle) };
        self.highest = Some(highest.max(number));
        number
    }
}

#[cfg(test)]
impl Frame {
    /// A frame for tests of what is made of it.
    pub(crate) fn example(
        number: u64,
        spatial: u8,
        temporal: u8,
        switch: Switch,
        references: &[u16],
    ) -> Self {
        let mut all = [0; MAX_FRAME_DIFFS];
        all.iter_mut().zip(references).for_each(|(reference, diff)| *reference = *diff);
        let is_key = references.is_empty() && temporal == 0 && switch == Switch::ByReferences;
        Self { number, spatial, temporal, is_key, ends: true, switch, references: all }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtp::codec::CodecKind;

    use super::*;

    /// A packet without a dependency descriptor.
    fn read(reader: &mut FrameReader, codec: CodecKind, payload: &[u8], marker: bool) -> Option<Frame> {
        reader.read(payload, PayloadDescriptor::parse(codec, payload).as_ref(), None, marker)
    }

    /// VP9 in flexible mode: picture id in 15 bits, layers, references.
    fn vp9(picture: u16, spatial: u8, temporal: u8, diffs: &[u8]) -> Vec<u8> {
        let predicted = !diffs.is_empty();
        let mut bytes = vec![0x80 | u8::from(predicted) << 6 | 0x20 | 0x10 | 0x08 | 0x04];
        bytes.extend((picture | 0x8000).to_be_bytes());
        bytes.push(temporal << 5 | spatial << 1 | u8::from(spatial > 0 && !predicted));
        for (index, diff) in diffs.iter().enumerate() {
            bytes.push(diff << 1 | u8::from(index + 1 < diffs.len()));
        }
        bytes
    }

    #[test]
    fn layers_of_one_vp9_picture_are_frames_of_their_own() {
        let mut reader = FrameReader::default();
        let mut read = |bytes: &[u8]| read(&mut reader, CodecKind::Vp9, bytes, false).expect("has layers");
        let base = read(&vp9(7, 0, 0, &[]));
        assert!(base.is_key && base.ends);
        let upper = read(&vp9(7, 1, 0, &[]));
        assert!(!upper.is_key, "it needs the layer below");
        assert_eq!(upper.references().collect::<Vec<_>>(), [base.number]);
        let next = read(&vp9(9, 1, 1, &[1, 2]));
        assert_eq!((next.spatial, next.temporal), (1, 1));
        assert_eq!(next.references().collect::<Vec<_>>(), [upper.number + 4, upper.number]);
    }

    #[test]
    fn vp8_names_its_temporal_layer_and_where_it_can_be_begun() {
        let mut reader = FrameReader::default();
        let packet = [0x90, 0xE0, 0x80, 5, 3, 0x60, 0x01]; // picture 5, TL0PICIDX 3, TID 1 with Y, P
        let frame = read(&mut reader, CodecKind::Vp8, &packet, true).expect("has layers");
        assert_eq!((frame.temporal, frame.switch, frame.is_key, frame.ends), (1, Switch::Here, false, true));
        assert_eq!(read(&mut reader, CodecKind::Vp8, &[0x10, 0x00], true), None, "nothing is said");
        assert_eq!(read(&mut reader, CodecKind::H264, &[0x65], true), None);
    }

    proptest! {
        #[test]
        fn numbers_go_on_over_wraps(start in any::<u16>(), steps in prop::collection::vec(-60i64..60, 1..200)) {
            for bits in [7, 15, 16] {
                let mut reader = FrameReader::default();
                let mut highest = reader.extend(start, bits);
                for step in &steps {
                    let expected = highest.saturating_add_signed(*step);
                    prop_assert_eq!(reader.extend(expected as u16, bits), expected);
                    highest = highest.max(expected);
                }
            }
        }

        #[test]
        fn whatever_comes_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..40), marker in any::<bool>()) {
            for codec in CodecKind::ALL {
                let mut reader = FrameReader::default();
                if let Some(frame) = read(&mut reader, codec, &bytes, marker) {
                    prop_assert!(frame.references().all(|reference| reference < frame.number));
                }
            }
        }
    }
}
