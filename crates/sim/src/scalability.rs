//! Streams with layers in them: simulcast encodings with temporal layers (`L1T3`), and one stream with spatial and temporal
//! layers (`L3T3_KEY`), as W3C's "Scalable Video Coding Extension for WebRTC" names them. Which picture belongs to which
//! temporal layer and what it is predicted from, as libwebrtc's encoders do it.

use crate::codec::{BitWriter, vp9_descriptor};
use crate::stamp::Stamp;

/// Spatial layers of a scalable stream.
pub const SPATIAL_LAYERS: u8 = 3;
/// Temporal layers.
pub const TEMPORAL_LAYERS: u8 = 3;
/// Pictures after which the pattern of temporal layers repeats.
const PERIOD: u8 = 4;

/// The layers that a stream has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Structure {
    /// Those that its codec has here by itself; every picture is predicted from the one before.
    #[default]
    Plain,
    /// Three temporal layers.
    L1T3,
    /// Three spatial layers, predicted from those below in key pictures only, with three temporal layers each.
    L3T3Key,
}

/// Where a packet of a scalable stream is in its picture and in the pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The layers of the stream.
    pub structure: Structure,
    /// Spatial layer.
    pub spatial: u8,
    /// Place of the picture in the pattern of temporal layers, from 0; a key picture begins it anew.
    pub phase: u8,
    /// The packet is the first of its layer in this picture.
    pub begins: bool,
    /// The packet is the last of its layer in this picture.
    pub ends: bool,
}

impl Structure {
    /// Spatial layers in one stream.
    pub fn spatial_layers(self) -> u8 {
        if self == Self::L3T3Key { SPATIAL_LAYERS } else { 1 }
    }

    /// Place in the pattern of the picture after the one at this place.
    pub fn next_phase(self, phase: u8, is_key: bool) -> u8 {
        if is_key || self == Self::Plain { 0 } else { (phase + 1) % PERIOD }
    }

    /// Bytes of a picture at this place, compared with the stream's mean, so that temporal layers have their share.
    pub fn weight(self, phase: u8) -> f64 {
        match (self, phase) {
            (Self::Plain, _) => 1.0,
            (_, 0) => 1.6,
            _ => 0.8,
        }
    }

    /// Share of a spatial layer's rate that is left with this temporal layer and those below: libwebrtc gives them 40, 20
    /// and 40 %.
    pub fn share(self, temporal: u8) -> f64 {
        match (self, temporal) {
            (Self::Plain, _) => 1.0,
            (_, 0) => 0.4,
            (_, 1) => 0.6,
            _ => 1.0,
        }
    }
}

impl Place {
    /// Places of the packets of a picture, given how many each of its spatial layers has.
    pub fn all(structure: Structure, phase: u8, packets: &[u16]) -> Vec<Self> {
        let of_layer = |(spatial, count): (usize, &u16)| {
            let count = *count;
            (0..count).map(move |index| Self {
                structure,
                spatial: spatial as u8,
                phase,
                begins: index == 0,
                ends: index + 1 == count,
            })
        };
        packets.iter().enumerate().flat_map(of_layer).collect()
    }

    /// Temporal layer of the picture.
    pub fn temporal(&self) -> u8 {
        match self.phase {
            0 => 0,
            2 => 1,
            _ => 2,
        }
    }

    /// How many pictures before this one that is which it is predicted from, unless it is a key picture.
    pub fn reference(&self) -> u8 {
        match (self.structure, self.phase) {
            (Structure::Plain, _) => 1,
            (_, 0) => PERIOD,
            (_, 2) => 2,
            _ => 1,
        }
    }

    /// Four bytes of a stamp; all 0 for plain streams.
    pub fn bytes(&self) -> [u8; 4] {
        let structure = match self.structure {
            Structure::Plain => return [0; 4],
            Structure::L1T3 => 1,
            Structure::L3T3Key => 2,
        };
        [structure, self.spatial, self.phase, u8::from(self.begins) | u8::from(self.ends) << 1]
    }

    /// Reads [`Self::bytes`].
    pub fn read([structure, spatial, phase, ends]: [u8; 4]) -> Self {
        let structure = match structure {
            1 => Structure::L1T3,
            2 => Structure::L3T3Key,
            _ => return Self::default(),
        };
        Self { structure, spatial, phase, begins: ends & 1 != 0, ends: ends & 2 != 0 }
    }
}

/// RFC 7741 §4.2 with layers: X; I, L and T; picture id in 15 bits, TL0PICIDX, TID and Y; then the frame's first byte.
pub fn vp8(stamp: &Stamp) -> Vec<u8> {
    let place = &stamp.place;
    let start = stamp.index == 0;
    let picture = (stamp.picture | 0x8000).to_be_bytes();
    // Y: predicted from the lowest layer only.
    let is_switch = matches!(place.phase, 1 | 2);
    let layer = place.temporal() << 6 | u8::from(is_switch) << 5;
    let mut descriptor = vec![0x80 | (u8::from(start) << 4), 0xE0, picture[0], picture[1], stamp.tl0, layer];
    descriptor.push(if start { u8::from(!stamp.key) | 0x10 } else { 0xAA });
    descriptor
}

/// RFC 9628 §4.2 in flexible mode.
pub fn vp9(stamp: &Stamp) -> Vec<u8> {
    let place = &stamp.place;
    let is_not_needed = !stamp.key || place.spatial + 1 == SPATIAL_LAYERS;
    let is_switch = place.phase.is_multiple_of(2);
    let is_on_lower = stamp.key && place.spatial > 0;
    let indices =
        place.temporal() << 5 | u8::from(is_switch) << 4 | place.spatial << 1 | u8::from(is_on_lower);
    vp9_descriptor(stamp, (place.begins, place.ends), is_not_needed, indices, place.reference())
}

/// Templates of each spatial layer, by kind of picture: key, and the three temporal layers.
const TEMPLATES: u8 = 1 + TEMPORAL_LAYERS;

/// The dependency descriptor (AV1 RTP specification, appendix A), with a decode target for each pair of layers and without
/// chains.
pub fn dependency_descriptor(stamp: &Stamp) -> Vec<u8> {
    let place = &stamp.place;
    let kind = if stamp.key { 0 } else { 1 + place.temporal() };
    let mut bits = BitWriter::default();
    bits.put(u32::from(place.begins), 1);
    bits.put(u32::from(place.ends), 1);
    bits.put(u32::from(place.spatial * TEMPLATES + kind), 6);
    let number = stamp.frame * u32::from(SPATIAL_LAYERS) + u32::from(place.spatial);
    bits.put(number & 0xffff, 16);
    if stamp.key && stamp.index == 0 {
        bits.put(0b10000, 5); // the structure follows, nothing else
        structure(&mut bits);
    }
    bits.bytes
}

fn structure(bits: &mut BitWriter) {
    let templates =
        || (0..SPATIAL_LAYERS).flat_map(|spatial| (0..TEMPLATES).map(move |kind| (spatial, kind)));
    bits.put(0, 6); // template_id_offset
    bits.put(u32::from(SPATIAL_LAYERS * TEMPORAL_LAYERS) - 1, 5); // decode targets
    for (spatial, kind) in templates() {
        // What comes next: the same layer (a key picture is of temporal layer 0), the next temporal, the next spatial, the end.
        bits.put(
            match (spatial, kind) {
                (_, 0) => 0,
                (_, 1 | 2) => 1,
                (2, _) => 3,
                _ => 2,
            },
            2,
        );
    }
    for (spatial, kind) in templates() {
        for target in 0..SPATIAL_LAYERS * TEMPORAL_LAYERS {
            let (to_spatial, to_temporal) = (target / TEMPORAL_LAYERS, target % TEMPORAL_LAYERS);
            let temporal = kind.saturating_sub(1);
            let is_in = if kind == 0 { to_spatial >= spatial } else { to_spatial == spatial };
            bits.put(
                match (is_in && to_temporal >= temporal, temporal) {
                    (false, _) => 0,                                  // not present
                    (true, 0) => 2,                                   // switch
                    (true, temporal) if temporal == to_temporal => 1, // discardable
                    (true, _) => 3,                                   // required
                },
                2,
            );
        }
    }
    for (spatial, kind) in templates() {
        // Frames back: within the picture, and over pictures of three frames each.
        let diff = match (spatial, kind) {
            (0, 0) => None,
            (_, 0) => Some(1),
            (_, 1) => Some(PERIOD * SPATIAL_LAYERS),
            (_, 2) => Some(2 * SPATIAL_LAYERS),
            _ => Some(SPATIAL_LAYERS),
        };
        if let Some(diff) = diff {
            bits.put(1, 1);
            bits.put(u32::from(diff - 1), 4);
        }
        bits.put(0, 1);
    }
    bits.put(0, 3); // none of up to nine chains
    bits.put(0, 1); // no resolutions
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rtp::codec::dependency_descriptor::Descriptor;
    use rtp::codec::{CodecKind, PayloadDescriptor, is_keyframe_start};

    use super::*;
    use crate::codec::Codec;

    /// All packets of a key picture and of those that follow until the pattern repeats.
    fn stream(structure: Structure) -> Vec<Stamp> {
        let mut stamps = Vec::new();
        let (mut phase, mut tl0) = (3, 9);
        for frame in 0..9u32 {
            phase = structure.next_phase(phase, frame == 0);
            tl0 += u8::from(phase == 0);
            let places = Place::all(structure, phase, &vec![2; structure.spatial_layers().into()]);
            for (index, place) in (0..).zip(&places) {
                stamps.push(Stamp {
                    track: 1,
                    layer: 0,
                    generation: 0,
                    key: frame == 0,
                    level: 0,
                    frame,
                    index,
                    count: places.len() as u16,
                    sequence: 0,
                    timestamp: 0,
                    picture: frame as u16,
                    tl0,
                    filler: 10,
                    captured: Duration::ZERO,
                    place: *place,
                });
            }
        }
        stamps
    }

    #[test]
    fn the_core_reads_the_layers_that_are_written() {
        let kinds = [
            (Codec::Vp8, CodecKind::Vp8, Structure::L1T3),
            (Codec::Vp9, CodecKind::Vp9, Structure::L3T3Key),
            (Codec::Av1, CodecKind::Av1, Structure::L3T3Key),
        ];
        for (codec, kind, structure) in kinds {
            let mut known = None;
            for stamp in stream(structure) {
                let payload = stamp.payload(&codec.descriptor(&stamp));
                let read = PayloadDescriptor::parse(kind, &payload);
                let dependencies = codec.dependency_descriptor(&stamp).map(|bytes| {
                    let parsed = Descriptor::parse(&bytes, known.as_ref()).expect("well formed");
                    known = parsed.structure.as_deref().cloned().or(known.take());
                    parsed
                });
                let layers = match (&read, &dependencies) {
                    (_, Some(read)) => (read.spatial_id, read.temporal_id),
                    (Some(PayloadDescriptor::Vp9(read)), _) => {
                        read.layer.map(|layer| (layer.spatial_id, layer.temporal_id)).expect("has layers")
                    }
                    (Some(PayloadDescriptor::Vp8(read)), _) => (0, read.temporal_id.expect("has layers")),
                    (None, None) => panic!("{codec:?} has a descriptor"),
                };
                assert_eq!(layers, (stamp.place.spatial, stamp.place.temporal()), "{codec:?} {stamp:?}");
                let starts = is_keyframe_start(kind, &payload, read.as_ref(), dependencies.as_ref());
                assert_eq!(starts, stamp.key && stamp.index == 0, "{codec:?} {stamp:?}");
            }
            if let Some(known) = known {
                let targets: Vec<_> = (0..9).map(|target| known.decode_target_layer(target)).collect();
                let expected: Vec<_> = (0..9).map(|target| (target / 3, target % 3)).collect();
                assert_eq!(targets, expected);
            }
        }
    }

    #[test]
    fn every_picture_is_predicted_from_one_of_a_lower_layer_or_the_last_of_the_lowest() {
        let pictures = stream(Structure::L1T3);
        let temporal = |frame: u32| {
            pictures.iter().find(|stamp| stamp.frame == frame).map(|stamp| stamp.place.temporal())
        };
        for stamp in pictures.iter().filter(|stamp| !stamp.key) {
            let reference = temporal(stamp.frame - u32::from(stamp.place.reference()));
            let own = stamp.place.temporal();
            assert!(reference < Some(own) || own == 0 && reference == Some(0), "{stamp:?}");
        }
    }
}
