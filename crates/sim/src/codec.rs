//! Payloads as encoders make them: descriptor and the first clear bytes of each codec, the rest is stamp.
//! Written from the payload formats alone and without the core's parsers, so that both can be compared.

use crate::scalability::{self, Structure};
use crate::stamp::Stamp;

/// A codec of a simulated publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    /// Opus.
    Opus,
    /// VP8 with 15-bit picture ids and TL0PICIDX.
    Vp8,
    /// VP9 in flexible mode with three spatial layers in one stream.
    Vp9,
    /// H.264, packetization mode 1.
    H264,
    /// AV1 with dependency descriptor.
    Av1,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::Opus, Self::Vp8, Self::Vp9, Self::H264, Self::Av1];

    /// Whether it carries pictures.
    pub fn is_video(self) -> bool {
        self != Self::Opus
    }

    /// Ticks per second.
    pub fn clock_rate(self) -> u32 {
        if self.is_video() { 90_000 } else { 48_000 }
    }

    /// Encoding name and parameters in an `a=rtpmap` line.
    pub fn rtpmap(self) -> &'static str {
        match self {
            Self::Opus => "opus/48000/2",
            Self::Vp8 => "VP8/90000",
            Self::Vp9 => "VP9/90000",
            Self::H264 => "H264/90000",
            Self::Av1 => "AV1/90000",
        }
    }

    /// Format parameters, empty for none.
    pub fn fmtp(self) -> &'static str {
        match self {
            Self::Opus => "minptime=10;useinbandfec=1",
            Self::Vp8 => "",
            Self::Vp9 => "profile-id=0",
            Self::H264 => "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
            Self::Av1 => "level-idx=5;profile=0;tier=0",
        }
    }

    /// Spatial layers in one stream of this structure.
    pub fn spatial_layers(self, structure: Structure) -> u16 {
        match (structure, self) {
            (Structure::Plain, Self::Vp9) => SPATIAL_LAYERS,
            _ => structure.spatial_layers().into(),
        }
    }

    /// The spatial layer that a packet belongs to, and whether it is the last of it in its frame.
    pub fn spatial_layer(self, stamp: &Stamp) -> (u16, bool) {
        if stamp.place.structure != Structure::Plain {
            return (stamp.place.spatial.into(), stamp.place.ends);
        }
        let layer = |index| spatial(index, stamp.count, self.spatial_layers(Structure::Plain));
        let own = layer(stamp.index);
        (own, stamp.index + 1 >= stamp.count || layer(stamp.index + 1) != own)
    }

    /// What stands in front of pattern and stamp in this packet.
    pub fn descriptor(self, stamp: &Stamp) -> Vec<u8> {
        let is_plain = stamp.place.structure == Structure::Plain;
        match self {
            // TOC byte: SILK, 20 ms.
            Self::Opus => vec![0x08],
            Self::Vp8 if !is_plain => scalability::vp8(stamp),
            Self::Vp9 if !is_plain => scalability::vp9(stamp),
            Self::Vp8 => vp8(stamp),
            Self::Vp9 => vp9(stamp),
            Self::H264 => h264(stamp),
            Self::Av1 => vec![if stamp.key && stamp.index == 0 { 0x18 } else { 0x10 }],
        }
    }

    /// The dependency descriptor of this packet, for codecs that have one.
    pub fn dependency_descriptor(self, stamp: &Stamp) -> Option<Vec<u8>> {
        (self == Self::Av1).then(|| match stamp.place.structure {
            Structure::Plain => dependency_descriptor(stamp),
            Structure::L1T3 | Structure::L3T3Key => scalability::dependency_descriptor(stamp),
        })
    }
}

/// RFC 7741 §4.2: X; I, L and T; picture id in 15 bits, TL0PICIDX, TID; then the first byte of the frame.
fn vp8(stamp: &Stamp) -> Vec<u8> {
    let start = stamp.index == 0;
    let picture = (stamp.picture | 0x8000).to_be_bytes();
    let mut descriptor = vec![0x80 | (u8::from(start) << 4), 0xE0, picture[0], picture[1], stamp.tl0, 0x20];
    // Bit P of the frame's first byte is 0 in key frames.
    descriptor.push(if start { u8::from(!stamp.key) | 0x10 } else { 0xAA });
    descriptor
}

/// The picture id and TL0PICIDX of a VP8 descriptor with both, and the descriptor without them.
pub fn vp8_numbers(descriptor: &[u8]) -> Option<(u16, u8, Vec<u8>)> {
    let [first, extension @ 0xE0, high, low, tl0, rest @ ..] = descriptor else { return None };
    if high & 0x80 == 0 || first & 0x80 == 0 {
        return None;
    }
    let mut others = vec![*first, *extension];
    others.extend_from_slice(rest);
    Some((u16::from_be_bytes([high & 0x7f, *low]), *tl0, others))
}

/// Spatial layers of the simulated VP9 stream.
const SPATIAL_LAYERS: u16 = 3;

/// The spatial layer of packet `index` of a frame of `count` packets in `layers` layers.
fn spatial(index: u16, count: u16, layers: u16) -> u16 {
    (index * layers) / count.max(1)
}

/// RFC 9628 §4.2 in flexible mode, every picture predicted from the one before but in key pictures.
fn vp9(stamp: &Stamp) -> Vec<u8> {
    let spatial = |index: u16| spatial(index, stamp.count, SPATIAL_LAYERS);
    let layer = spatial(stamp.index);
    let begins = stamp.index == 0 || spatial(stamp.index - 1) != layer;
    let ends = stamp.index + 1 == stamp.count || spatial(stamp.index + 1) != layer;
    let indices = ((layer as u8) << 1) | u8::from(layer > 0);
    vp9_descriptor(stamp, (begins, ends), false, indices, 1)
}

/// The parts that all streams have in common: whether the packet begins and ends a layer, whether no layer above needs it
/// (Z), the octet of layer indices, and how many pictures before this one that is which it is predicted from.
pub(crate) fn vp9_descriptor(
    stamp: &Stamp,
    (begins, ends): (bool, bool),
    is_not_needed: bool,
    indices: u8,
    reference: u8,
) -> Vec<u8> {
    let with_structure = stamp.key && stamp.index == 0;
    let picture = (stamp.picture | 0x8000).to_be_bytes();
    let flags = 0x80 // I
        | (u8::from(!stamp.key) << 6) // P
        | 0x20 // L
        | 0x10 // F
        | (u8::from(begins) << 3)
        | (u8::from(ends) << 2)
        | (u8::from(with_structure) << 1)
        | u8::from(is_not_needed);
    let mut descriptor = vec![flags, picture[0], picture[1], indices];
    if !stamp.key {
        descriptor.push(reference << 1); // P_DIFF, and no further one
    }
    if with_structure {
        descriptor.push(((SPATIAL_LAYERS as u8) - 1) << 5);
    }
    descriptor
}

/// RFC 6184: a key frame is STAP-A with parameter sets, then an IDR slice in fragments; other frames are one
/// slice, in fragments if there are several packets.
fn h264(stamp: &Stamp) -> Vec<u8> {
    if stamp.key && stamp.index == 0 && stamp.count > 1 {
        let (sps, pps) = ([0x67, 0x42, 0xe0, 0x1f], [0x68, 0xce]);
        let mut aggregate = vec![0x78];
        aggregate.extend([0, sps.len() as u8]);
        aggregate.extend(sps);
        aggregate.extend([0, pps.len() as u8]);
        aggregate.extend(pps);
        // What follows is the stamp, as a unit of its own (SEI).
        let length = stamp.filler + crate::stamp::LEN as u16 + 1;
        aggregate.extend(length.to_be_bytes());
        aggregate.push(0x06);
        return aggregate;
    }
    let kind = if stamp.key { 5 } else { 1 };
    let first_of_slice = u16::from(stamp.key && stamp.count > 1);
    let fragments = stamp.count - first_of_slice;
    if fragments <= 1 {
        return vec![0x60 | kind, 0x9a];
    }
    let start = stamp.index == first_of_slice;
    let end = stamp.index + 1 == stamp.count;
    vec![0x7c, (u8::from(start) << 7) | (u8::from(end) << 6) | kind, 0x9a]
}

/// One decode target without layers (AV1 RTP specification, appendix A): template 0 for key frames, template
/// 1 for frames that depend on the one before.
fn dependency_descriptor(stamp: &Stamp) -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.put(u32::from(stamp.index == 0), 1);
    bits.put(u32::from(stamp.index + 1 == stamp.count), 1);
    bits.put(u32::from(!stamp.key), 6);
    bits.put(stamp.frame & 0xffff, 16);
    if stamp.key && stamp.index == 0 {
        bits.put(0b10000, 5); // the structure follows, nothing else
        bits.put(0, 6); // template_id_offset
        bits.put(0, 5); // one decode target
        bits.put(0, 2); // a second template in the same layer
        bits.put(3, 2); // no more
        bits.put(2, 2); // switch
        bits.put(2, 2); // switch
        bits.put(0, 1); // template 0 depends on nothing
        bits.put(1, 1);
        bits.put(0, 4); // template 1 depends on the frame before
        bits.put(0, 1);
        bits.put(0, 1); // no chains
        bits.put(0, 1); // no resolutions
    }
    bits.bytes
}

/// Writes numbers of any width, high bits first.
#[derive(Default)]
pub(crate) struct BitWriter {
    pub(crate) bytes: Vec<u8>,
    used: usize,
}

impl BitWriter {
    pub(crate) fn put(&mut self, value: u32, bits: usize) {
        for bit in (0..bits).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= (((value >> bit) & 1) as u8) << (7 - self.used % 8);
            }
            self.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rtp::codec::{CodecKind, PayloadDescriptor, dependency_descriptor::Descriptor, is_keyframe_start};

    use super::*;

    fn stamp(key: bool, index: u16, count: u16) -> Stamp {
        Stamp {
            track: 1,
            layer: 0,
            generation: 0,
            key,
            level: 0,
            frame: 5,
            index,
            count,
            sequence: 9,
            timestamp: 0,
            picture: 77,
            tl0: 3,
            filler: 10,
            captured: Duration::ZERO,
            place: Default::default(),
        }
    }

    /// The core begins and changes layers where its parsers see the first packet of a key frame; here that
    /// is known.
    #[test]
    fn the_core_sees_key_frames_where_they_begin() {
        let kinds = [
            (Codec::Vp8, CodecKind::Vp8),
            (Codec::Vp9, CodecKind::Vp9),
            (Codec::H264, CodecKind::H264),
            (Codec::Av1, CodecKind::Av1),
        ];
        for (codec, kind) in kinds {
            let mut structure = None;
            for (key, index, count) in
                [(true, 0, 6), (true, 1, 6), (true, 5, 6), (false, 0, 3), (false, 2, 3), (false, 0, 1)]
            {
                let stamp = stamp(key, index, count);
                let payload = stamp.payload(&codec.descriptor(&stamp));
                let descriptor = codec.dependency_descriptor(&stamp).map(|bytes| {
                    let parsed = Descriptor::parse(&bytes, structure.as_ref()).expect("well formed");
                    if let Some(brought) = &parsed.structure {
                        structure = Some((**brought).clone());
                    }
                    parsed
                });
                let read = PayloadDescriptor::parse(kind, &payload);
                let seen = is_keyframe_start(kind, &payload, read.as_ref(), descriptor.as_ref());
                // H.264's slice behind its parameter sets begins a key frame too.
                let slice = codec == Codec::H264 && key && index == 1;
                assert_eq!(seen, (key && index == 0) || slice, "{codec:?} {stamp:?}");
            }
        }
    }
}
