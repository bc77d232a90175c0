//! The dependency descriptor (AV1 RTP specification, appendix A): which frame a packet belongs to, on what it
//! depends, and to which layers, without a look at the payload.
//!
//! Most packets carry 3 bytes that refer to a template; the templates come with key frames and are kept by
//! the caller, one [`Structure`] per stream.

use super::bits::BitReader;
use crate::RtpError;

/// Longest extension value (RFC 8285 §4.3).
const MAX_BYTES: usize = 255;
/// Template ids have 6 bits.
const MAX_TEMPLATES: usize = 64;
/// `dt_cnt_minus_one` has 5 bits.
pub const MAX_DECODE_TARGETS: usize = 32;
/// Spatial ids have 2 bits in AV1 (0 to 3).
const MAX_SPATIAL_ID: u8 = 3;
/// Temporal ids have 3 bits in AV1 (0 to 7).
const MAX_TEMPORAL_ID: u8 = 7;
/// References of one frame that are accepted. An AV1 frame has at most 7; raising it costs 2 bytes per
/// template and descriptor each.
pub const MAX_FRAME_DIFFS: usize = 8;

/// How a frame relates to a decode target (table A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeTargetIndication {
    /// Not part of the decode target.
    NotPresent,
    /// Part of it; nothing in it depends on the frame.
    Discardable,
    /// Part of it; what follows in it is decodable if the frame is.
    Switch,
    /// Part of it, and needed.
    Required,
}

/// What a template says about a frame, or what a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameDependencies {
    /// Two bits per decode target, target 0 lowest.
    indications: u64,
    frame_diffs: [u16; MAX_FRAME_DIFFS],
    frame_diff_count: u8,
    chain_diffs: [u8; MAX_DECODE_TARGETS],
}

impl FrameDependencies {
    const NONE: Self = Self {
        indications: 0,
        frame_diffs: [0; MAX_FRAME_DIFFS],
        frame_diff_count: 0,
        chain_diffs: [0; MAX_DECODE_TARGETS],
    };

    /// The relation to decode target `target`; not present for one that does not exist.
    pub fn indication(&self, target: usize) -> DecodeTargetIndication {
        let bits = if target < MAX_DECODE_TARGETS { (self.indications >> (2 * target)) & 0b11 } else { 0 };
        match bits {
            0 => DecodeTargetIndication::NotPresent,
            1 => DecodeTargetIndication::Discardable,
            2 => DecodeTargetIndication::Switch,
            _ => DecodeTargetIndication::Required,
        }
    }

    /// The frames it depends on, as differences of frame numbers (1 and up); empty for a key frame.
    pub fn frame_diffs(&self) -> &[u16] {
        &self.frame_diffs[..usize::from(self.frame_diff_count)]
    }

    /// Difference to the frame before it in chain `chain`; 0 begins the chain.
    pub fn chain_diff(&self, chain: usize) -> Option<u8> {
        self.chain_diffs.get(chain).copied()
    }

    fn push_frame_diff(&mut self, diff: u16) -> Result<(), RtpError> {
        let space = self.frame_diffs.get_mut(usize::from(self.frame_diff_count));
        *space.ok_or(RtpError::DescriptorInvalid)? = diff;
        self.frame_diff_count += 1;
        Ok(())
    }

    fn read_indications(&mut self, reader: &mut BitReader<'_>, targets: u8) -> Result<(), RtpError> {
        self.indications = 0;
        for target in 0..u32::from(targets) {
            self.indications |= u64::from(reader.bits(2)?) << (2 * target);
        }
        Ok(())
    }
}

/// One template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// Spatial layer of its frames.
    pub spatial_id: u8,
    /// Temporal layer of its frames.
    pub temporal_id: u8,
    /// Dependencies of its frames, unless a frame brings its own.
    pub dependencies: FrameDependencies,
}

/// A template structure: valid from the packet that brings it until another comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    template_id_offset: u8,
    decode_target_count: u8,
    chain_count: u8,
    templates: Vec<Template>,
    protected_by: [u8; MAX_DECODE_TARGETS],
    resolutions: Option<[(u32, u32); MAX_SPATIAL_ID as usize + 1]>,
}

impl Structure {
    /// The templates, 1 to 64.
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// Decode targets, 1 to 32.
    pub fn decode_target_count(&self) -> usize {
        usize::from(self.decode_target_count)
    }

    /// Chains, 0 to 32.
    pub fn chain_count(&self) -> usize {
        usize::from(self.chain_count)
    }

    /// The chain that protects a decode target; `None` without chains.
    pub fn protected_by(&self, target: usize) -> Option<usize> {
        let chain = *self.protected_by.get(target)?;
        (self.chain_count > 0 && target < self.decode_target_count()).then_some(usize::from(chain))
    }

    /// Spatial and temporal layer of a decode target: the highest of the templates in it.
    pub fn decode_target_layer(&self, target: usize) -> (u8, u8) {
        let in_target = self.templates.iter().filter(|template| {
            template.dependencies.indication(target) != DecodeTargetIndication::NotPresent
        });
        in_target.fold((0, 0), |(spatial, temporal), template| {
            (spatial.max(template.spatial_id), temporal.max(template.temporal_id))
        })
    }

    /// Highest spatial and highest temporal layer of all templates.
    pub fn highest_layer(&self) -> (u8, u8) {
        self.templates.iter().fold((0, 0), |(spatial, temporal), template| {
            (spatial.max(template.spatial_id), temporal.max(template.temporal_id))
        })
    }

    /// Width and height in pixels of a spatial layer's frames, if sent.
    pub fn resolution(&self, spatial_id: u8) -> Option<(u32, u32)> {
        if spatial_id > self.highest_layer().0 {
            return None;
        }
        self.resolutions?.get(usize::from(spatial_id)).copied()
    }

    /// All decode targets as a mask.
    fn all_targets(&self) -> u32 {
        u32::MAX >> (MAX_DECODE_TARGETS - self.decode_target_count())
    }

    fn template(&self, id: u8) -> Option<&Template> {
        let index = (id + MAX_TEMPLATES as u8 - self.template_id_offset) % MAX_TEMPLATES as u8;
        self.templates.get(usize::from(index))
    }

    fn read(reader: &mut BitReader<'_>) -> Result<Self, RtpError> {
        let template_id_offset = reader.small(6)?;
        let decode_target_count = reader.small(5)? + 1;
        let mut templates = read_layers(reader)?;
        for template in &mut templates {
            template.dependencies.read_indications(reader, decode_target_count)?;
        }
        for template in &mut templates {
            while reader.flag()? {
                let diff = u16::from(reader.small(4)?) + 1;
                template.dependencies.push_frame_diff(diff)?;
            }
        }
        let chain_count = reader.non_symmetric(u32::from(decode_target_count) + 1)? as u8;
        let mut protected_by = [0; MAX_DECODE_TARGETS];
        if chain_count > 0 {
            for chain in protected_by.iter_mut().take(usize::from(decode_target_count)) {
                *chain = reader.non_symmetric(u32::from(chain_count))? as u8;
            }
            for template in &mut templates {
                for diff in template.dependencies.chain_diffs.iter_mut().take(usize::from(chain_count)) {
                    *diff = reader.small(4)?;
                }
            }
        }
        let mut structure = Self {
            template_id_offset,
            decode_target_count,
            chain_count,
            templates,
            protected_by,
            resolutions: None,
        };
        if reader.flag()? {
            let mut sizes = [(0, 0); MAX_SPATIAL_ID as usize + 1];
            for size in sizes.iter_mut().take(usize::from(structure.highest_layer().0) + 1) {
                *size = (reader.bits(16)? + 1, reader.bits(16)? + 1);
            }
            structure.resolutions = Some(sizes);
        }
        Ok(structure)
    }
}

/// The layers of the templates, in order (`template_layers`).
fn read_layers(reader: &mut BitReader<'_>) -> Result<Vec<Template>, RtpError> {
    let mut templates = Vec::new();
    let (mut spatial_id, mut temporal_id) = (0, 0);
    loop {
        if templates.len() == MAX_TEMPLATES || spatial_id > MAX_SPATIAL_ID || temporal_id > MAX_TEMPORAL_ID {
            return Err(RtpError::DescriptorInvalid);
        }
        templates.push(Template { spatial_id, temporal_id, dependencies: FrameDependencies::NONE });
        match reader.bits(2)? {
            0 => {}
            1 => temporal_id += 1,
            2 => (spatial_id, temporal_id) = (spatial_id + 1, 0),
            _ => return Ok(templates),
        }
    }
}

/// The descriptor of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The packet begins a frame.
    pub start_of_frame: bool,
    /// The packet ends a frame.
    pub end_of_frame: bool,
    /// Which template the frame follows, 0 to 63.
    pub template_id: u8,
    /// Number of the frame in decoding order; wraps.
    pub frame_number: u16,
    /// Spatial layer.
    pub spatial_id: u8,
    /// Temporal layer.
    pub temporal_id: u8,
    /// Mask of the decode targets that are active from here on, target 0 lowest; `None`: as before.
    pub active_decode_targets: Option<u32>,
    /// What the frame depends on.
    pub dependencies: FrameDependencies,
    /// The structure that the packet brings; the caller keeps it for the packets that follow.
    pub structure: Option<Box<Structure>>,
}

impl Descriptor {
    /// Reads an extension's value. `structure` is the last one that the stream brought.
    ///
    /// # Errors
    /// [`RtpError::DescriptorTruncated`], [`RtpError::DescriptorInvalid`];
    /// [`RtpError::DependencyStructureMissing`] if none is known, and
    /// [`RtpError::DependencyTemplateUnknown`], both of which ask for a key frame.
    pub fn parse(value: &[u8], structure: Option<&Structure>) -> Result<Self, RtpError> {
        if value.len() > MAX_BYTES {
            return Err(RtpError::DescriptorInvalid);
        }
        let reader = &mut BitReader::new(value);
        let start_of_frame = reader.flag()?;
        let end_of_frame = reader.flag()?;
        let template_id = reader.small(6)?;
        let frame_number = reader.bits(16)? as u16;
        let mut attached = None;
        let mut active_decode_targets = None;
        let (mut custom_indications, mut custom_diffs, mut custom_chains) = (false, false, false);
        if value.len() > 3 {
            let structure_present = reader.flag()?;
            let active_present = reader.flag()?;
            custom_indications = reader.flag()?;
            custom_diffs = reader.flag()?;
            custom_chains = reader.flag()?;
            if structure_present {
                let brought = Structure::read(reader)?;
                active_decode_targets = Some(brought.all_targets());
                attached = Some(Box::new(brought));
            }
            if active_present {
                let current = attached.as_deref().or(structure);
                let current = current.ok_or(RtpError::DependencyStructureMissing)?;
                active_decode_targets = Some(reader.bits(u32::from(current.decode_target_count))?);
            }
        }
        let current = attached.as_deref().or(structure).ok_or(RtpError::DependencyStructureMissing)?;
        let template = current.template(template_id).ok_or(RtpError::DependencyTemplateUnknown)?;
        let mut dependencies = template.dependencies;
        if custom_indications {
            dependencies.read_indications(reader, current.decode_target_count)?;
        }
        if custom_diffs {
            dependencies.frame_diff_count = 0;
            dependencies.frame_diffs = [0; MAX_FRAME_DIFFS];
            loop {
                let nibbles = reader.bits(2)?;
                if nibbles == 0 {
                    break;
                }
                let diff = reader.bits(4 * nibbles)? as u16 + 1;
                dependencies.push_frame_diff(diff)?;
            }
        }
        if custom_chains {
            for diff in dependencies.chain_diffs.iter_mut().take(usize::from(current.chain_count)) {
                *diff = reader.small(8)?;
            }
        }
        Ok(Self {
            start_of_frame,
            end_of_frame,
            template_id,
            frame_number,
            spatial_id: template.spatial_id,
            temporal_id: template.temporal_id,
            active_decode_targets,
            dependencies,
            structure: attached,
        })
    }

    /// Whether the packet begins a key frame: it brings a structure, begins a frame, and the frame depends on
    /// none before it.
    pub fn is_keyframe_start(&self) -> bool {
        self.start_of_frame && self.structure.is_some() && self.dependencies.frame_diffs().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The writing side of appendix A.8.2, for tests.
    #[derive(Default)]
    struct Bits(Vec<bool>);

    impl Bits {
        fn f(&mut self, count: u32, value: u32) -> &mut Self {
            self.0.extend((0..count).rev().map(|bit| (value >> bit) & 1 != 0));
            self
        }

        fn ns(&mut self, count: u32, value: u32) -> &mut Self {
            let width = u32::BITS - count.leading_zeros();
            let short = (1 << width) - count;
            if value < short { self.f(width - 1, value) } else { self.f(width, value + short) }
        }

        fn bytes(&self) -> Vec<u8> {
            let byte = |bits: &[bool]| {
                bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | (u8::from(*bit) << (7 - at)))
            };
            self.0.chunks(8).map(byte).collect()
        }
    }

    fn mandatory(start: bool, end: bool, template_id: u32, frame_number: u32) -> Bits {
        let mut bits = Bits::default();
        bits.f(1, u32::from(start)).f(1, u32::from(end)).f(6, template_id).f(16, frame_number);
        bits
    }

    const NOT_PRESENT: u32 = 0;
    const DISCARDABLE: u32 = 1;
    const SWITCH: u32 = 2;
    const REQUIRED: u32 = 3;

    /// Two spatial layers of two temporal layers, four decode targets, two chains, template ids from 60 on
    /// (they wrap), 320x180 and 640x360.
    fn put_structure(bits: &mut Bits) {
        bits.f(6, 60).f(5, 3);
        // Templates: 60 S0T0 key, 61 S0T0, 62 S0T1, 63 S1T0, 0 S1T1.
        bits.f(2, 0).f(2, 1).f(2, 2).f(2, 1).f(2, 3);
        let indications = [
            [SWITCH, SWITCH, SWITCH, SWITCH],
            [REQUIRED, REQUIRED, SWITCH, REQUIRED],
            [NOT_PRESENT, DISCARDABLE, NOT_PRESENT, REQUIRED],
            [NOT_PRESENT, NOT_PRESENT, SWITCH, REQUIRED],
            [NOT_PRESENT, NOT_PRESENT, NOT_PRESENT, DISCARDABLE],
        ];
        for indication in indications.as_flattened() {
            bits.f(2, *indication);
        }
        for diffs in [&[][..], &[4], &[2], &[1, 4], &[1, 2]] {
            for diff in diffs {
                bits.f(1, 1).f(4, diff - 1);
            }
            bits.f(1, 0);
        }
        bits.ns(5, 2);
        for chain in [0, 0, 1, 1] {
            bits.ns(2, chain);
        }
        for diffs in [[0, 0], [4, 3], [2, 1], [1, 1], [3, 2]] {
            bits.f(4, diffs[0]).f(4, diffs[1]);
        }
        bits.f(1, 1).f(16, 319).f(16, 179).f(16, 639).f(16, 359);
    }

    fn key_frame() -> Vec<u8> {
        let mut bits = mandatory(true, false, 60, 65_535);
        bits.f(5, 0b10000);
        put_structure(&mut bits);
        bits.bytes()
    }

    fn structure() -> Structure {
        *Descriptor::parse(&key_frame(), None).unwrap().structure.unwrap()
    }

    #[test]
    fn a_key_frame_brings_the_structure() {
        let descriptor = Descriptor::parse(&key_frame(), None).unwrap();
        assert!(descriptor.is_keyframe_start() && !descriptor.end_of_frame);
        assert_eq!((descriptor.template_id, descriptor.frame_number), (60, 65_535));
        assert_eq!(descriptor.active_decode_targets, Some(0b1111), "all, when a structure comes alone");
        let structure = descriptor.structure.unwrap();
        let layers: Vec<_> = structure.templates().iter().map(|t| (t.spatial_id, t.temporal_id)).collect();
        assert_eq!(layers, [(0, 0), (0, 0), (0, 1), (1, 0), (1, 1)]);
        assert_eq!((structure.decode_target_count(), structure.chain_count()), (4, 2));
        let targets: Vec<_> = (0..4).map(|target| structure.decode_target_layer(target)).collect();
        assert_eq!(targets, [(0, 0), (0, 1), (1, 0), (1, 1)]);
        let chains: Vec<_> = (0..5).map(|target| structure.protected_by(target)).collect();
        assert_eq!(chains, [Some(0), Some(0), Some(1), Some(1), None]);
        assert_eq!(structure.highest_layer(), (1, 1));
        let resolutions = [0, 1, 2].map(|spatial| structure.resolution(spatial));
        assert_eq!(resolutions, [Some((320, 180)), Some((640, 360)), None]);
    }

    #[test]
    fn three_bytes_refer_to_a_template_across_the_wrap_of_ids() {
        let structure = structure();
        let descriptor = Descriptor::parse(&mandatory(true, true, 0, 7).bytes(), Some(&structure)).unwrap();
        assert!(descriptor.start_of_frame && descriptor.end_of_frame && !descriptor.is_keyframe_start());
        assert_eq!((descriptor.spatial_id, descriptor.temporal_id), (1, 1));
        assert_eq!(descriptor.active_decode_targets, None);
        let dependencies = &descriptor.dependencies;
        assert_eq!(dependencies.frame_diffs(), [1, 2]);
        assert_eq!((dependencies.chain_diff(0), dependencies.chain_diff(1)), (Some(3), Some(2)));
        assert_eq!(dependencies.indication(2), DecodeTargetIndication::NotPresent);
        assert_eq!(dependencies.indication(3), DecodeTargetIndication::Discardable);
        assert_eq!(dependencies.indication(99), DecodeTargetIndication::NotPresent);
    }

    #[test]
    fn a_frame_may_bring_its_own_dependencies() {
        let mut bits = mandatory(true, true, 61, 8);
        bits.f(5, 0b01111).f(4, 0b0011);
        bits.f(2, SWITCH).f(2, NOT_PRESENT).f(2, DISCARDABLE).f(2, REQUIRED);
        bits.f(2, 1).f(4, 8).f(2, 3).f(12, 4095).f(2, 0);
        bits.f(8, 200).f(8, 0);
        let descriptor = Descriptor::parse(&bits.bytes(), Some(&structure())).unwrap();
        assert_eq!(descriptor.active_decode_targets, Some(0b0011));
        assert_eq!(descriptor.dependencies.frame_diffs(), [9, 4096]);
        assert_eq!(descriptor.dependencies.chain_diff(0), Some(200));
        let indications = [0, 1, 2, 3].map(|target| descriptor.dependencies.indication(target));
        use DecodeTargetIndication::{Discardable, NotPresent, Required, Switch};
        assert_eq!(indications, [Switch, NotPresent, Discardable, Required]);
    }

    #[test]
    fn without_its_structure_a_frame_cannot_be_placed() {
        let bytes = mandatory(true, true, 0, 7).bytes();
        assert_eq!(Descriptor::parse(&bytes, None), Err(RtpError::DependencyStructureMissing));
        let unknown = mandatory(true, true, 1, 7).bytes();
        assert_eq!(Descriptor::parse(&unknown, Some(&structure())), Err(RtpError::DependencyTemplateUnknown));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = key_frame();
        for len in 0..bytes.len() {
            assert!(Descriptor::parse(&bytes[..len], None).is_err(), "{len}");
        }
    }

    #[test]
    fn what_goes_beyond_the_bounds_is_refused() {
        let mut five_spatial = mandatory(true, true, 0, 0);
        five_spatial.f(5, 0b10000).f(11, 0).f(2, 2).f(2, 2).f(2, 2).f(2, 2).f(2, 3).f(32, 0);
        let mut too_many_templates = mandatory(true, true, 0, 0);
        too_many_templates.f(5, 0b10000).f(11, 0).f(32, 0).f(32, 0).f(32, 0).f(32, 0).f(32, 0);
        let mut many_references = mandatory(true, true, 0, 0);
        many_references.f(5, 0b10000).f(11, 0).f(2, 3).f(2, 0);
        for _ in 0..9 {
            many_references.f(5, 0b10001);
        }
        many_references.f(32, 0);
        for bits in [five_spatial, too_many_templates, many_references] {
            assert_eq!(Descriptor::parse(&bits.bytes(), None), Err(RtpError::DescriptorInvalid));
        }
        assert_eq!(Descriptor::parse(&[0; 256], None), Err(RtpError::DescriptorInvalid));
    }
}
