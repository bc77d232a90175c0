//! The VP9 payload descriptor (RFC 9628 §4.2): flexible mode (Chromium) and non-flexible mode (Firefox).

use super::vp8::PictureId;
use crate::RtpError;

/// Most reference differences of one frame (RFC 9628 §4.2: P_DIFF occurs up to three times).
const MAX_REFERENCES: usize = 3;
/// Most spatial layers: N_S has 3 bits.
pub const MAX_SPATIAL_LAYERS: usize = 8;

/// A payload descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its length in bytes.
    pub len: usize,
    /// The picture id, of 7 or 15 bits.
    pub picture_id: Option<PictureId>,
    /// P: the frame is predicted from an earlier picture.
    pub inter_picture_predicted: bool,
    /// F: flexible mode, references are named packet by packet.
    pub flexible: bool,
    /// B: the packet begins a layer frame.
    pub start_of_frame: bool,
    /// E: the packet ends a layer frame.
    pub end_of_frame: bool,
    /// Z: no higher spatial layer refers to this frame.
    pub not_reference_for_upper: bool,
    /// Layer indices; absent if the stream has no layers.
    pub layer: Option<LayerIndices>,
    /// P_DIFF of the frame in flexible mode; 0 stands for none.
    pub reference_differences: [u8; MAX_REFERENCES],
    /// The scalability structure, sent with key frames.
    pub scalability: Option<ScalabilityStructure>,
    /// Where the picture id stands in the payload.
    pub picture_id_offset: Option<usize>,
    /// Where TL0PICIDX stands in the payload.
    pub tl0_pic_idx_offset: Option<usize>,
}

/// Layer indices (RFC 9628 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerIndices {
    /// TID: temporal layer, 0 to 7.
    pub temporal_id: u8,
    /// U: a receiver may step up to this temporal layer here.
    pub switching_up: bool,
    /// SID: spatial layer, 0 to 7.
    pub spatial_id: u8,
    /// D: the frame is predicted from the spatial layer below, of the same picture.
    pub inter_layer_predicted: bool,
    /// TL0PICIDX; only in non-flexible mode.
    pub tl0_pic_idx: Option<u8>,
}

/// The scalability structure (RFC 9628 §4.2.1). Its picture group is checked and skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalabilityStructure {
    /// Spatial layers, 1 to 8.
    pub spatial_layers: u8,
    /// Width and height of each spatial layer in pixels, if sent.
    pub resolutions: Option<[(u16, u16); MAX_SPATIAL_LAYERS]>,
    /// Pictures in the picture group; `None` if no group was sent.
    pub pictures_in_group: Option<u8>,
}

impl Descriptor {
    /// Reads the descriptor at the start of a payload.
    ///
    /// # Errors
    /// [`RtpError::DescriptorTruncated`], [`RtpError::DescriptorInvalid`] (more than three references).
    pub fn parse(payload: &[u8]) -> Result<Self, RtpError> {
        let mut reader = Reader { payload, at: 0 };
        let first = reader.byte()?;
        let mut descriptor = Self {
            len: 0,
            picture_id: None,
            inter_picture_predicted: first & 0x40 != 0,
            flexible: first & 0x10 != 0,
            start_of_frame: first & 0x08 != 0,
            end_of_frame: first & 0x04 != 0,
            not_reference_for_upper: first & 0x01 != 0,
            layer: None,
            reference_differences: [0; MAX_REFERENCES],
            scalability: None,
            picture_id_offset: None,
            tl0_pic_idx_offset: None,
        };
        if first & 0x80 != 0 {
            descriptor.picture_id_offset = Some(reader.at);
            let high = reader.byte()?;
            let long = high & 0x80 != 0;
            let mut value = u16::from(high & 0x7F);
            if long {
                value = (value << 8) | u16::from(reader.byte()?);
            }
            descriptor.picture_id = Some(PictureId { value, long });
        }
        if first & 0x20 != 0 {
            let indices = reader.byte()?;
            let tl0_pic_idx = if descriptor.flexible {
                None
            } else {
                descriptor.tl0_pic_idx_offset = Some(reader.at);
                Some(reader.byte()?)
            };
            descriptor.layer = Some(LayerIndices {
                temporal_id: indices >> 5,
                switching_up: indices & 0x10 != 0,
                spatial_id: (indices >> 1) & 0x07,
                inter_layer_predicted: indices & 0x01 != 0,
                tl0_pic_idx,
            });
        }
        if descriptor.flexible && descriptor.inter_picture_predicted {
            let mut follows = true;
            for difference in &mut descriptor.reference_differences {
                let byte = reader.byte()?;
                *difference = byte >> 1;
                follows = byte & 0x01 != 0;
                if !follows {
                    break;
                }
            }
            if follows {
                return Err(RtpError::DescriptorInvalid);
            }
        }
        if first & 0x02 != 0 {
            descriptor.scalability = Some(scalability(&mut reader)?);
        }
        descriptor.len = reader.at;
        Ok(descriptor)
    }

    /// The spatial layer; 0 if the stream has no layers.
    #[inline]
    pub fn spatial_id(&self) -> u8 {
        self.layer.map_or(0, |layer| layer.spatial_id)
    }

    /// The temporal layer; 0 if the stream has no layers.
    #[inline]
    pub fn temporal_id(&self) -> u8 {
        self.layer.map_or(0, |layer| layer.temporal_id)
    }

    /// Whether the packet begins a picture in which nothing is predicted from earlier pictures, in any spatial
    /// layer: where a receiver of this layer and those below can begin.
    #[inline]
    pub fn is_layer_keyframe_start(&self) -> bool {
        self.start_of_frame && !self.inter_picture_predicted
    }

    /// Whether the packet begins a key frame: the lowest spatial layer's frame of such a picture.
    #[inline]
    pub fn is_keyframe_start(&self) -> bool {
        let lowest = self.layer.is_none_or(|layer| layer.spatial_id == 0 && !layer.inter_layer_predicted);
        lowest && self.is_layer_keyframe_start()
    }
}

fn scalability(reader: &mut Reader<'_>) -> Result<ScalabilityStructure, RtpError> {
    let head = reader.byte()?;
    let spatial_layers = (head >> 5) + 1;
    let mut resolutions = None;
    if head & 0x10 != 0 {
        let mut sizes = [(0, 0); MAX_SPATIAL_LAYERS];
        for size in sizes.iter_mut().take(usize::from(spatial_layers)) {
            *size = (reader.word()?, reader.word()?);
        }
        resolutions = Some(sizes);
    }
    let mut pictures_in_group = None;
    if head & 0x08 != 0 {
        let pictures = reader.byte()?;
        for _ in 0..pictures {
            let references = (reader.byte()? >> 2) & 0x03;
            for _ in 0..references {
                reader.byte()?;
            }
        }
        pictures_in_group = Some(pictures);
    }
    Ok(ScalabilityStructure { spatial_layers, resolutions, pictures_in_group })
}

struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, RtpError> {
        let byte = *self.payload.get(self.at).ok_or(RtpError::DescriptorTruncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn word(&mut self) -> Result<u16, RtpError> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flexible_mode_as_chromium_sends_it() {
        // I P L F B; picture id 0x0102; TID 1 U SID 2 D; P_DIFF 1 and 3.
        let payload = [0xF8, 0x81, 0x02, 0x35, 0x03, 0x06, 0xEE];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.len, 6);
        assert_eq!(descriptor.picture_id, Some(PictureId { value: 0x0102, long: true }));
        assert!(descriptor.flexible && descriptor.inter_picture_predicted && descriptor.start_of_frame);
        assert!(!descriptor.end_of_frame);
        let layer = descriptor.layer.unwrap();
        assert_eq!((layer.temporal_id, layer.spatial_id), (1, 2));
        assert!(layer.switching_up && layer.inter_layer_predicted && layer.tl0_pic_idx.is_none());
        assert_eq!(descriptor.reference_differences, [1, 3, 0]);
        assert!(!descriptor.is_keyframe_start() && !descriptor.is_layer_keyframe_start());
    }

    #[test]
    fn non_flexible_mode_as_firefox_sends_it() {
        // I L B E V on a key frame; 7-bit picture id 5; layers 0, 0; TL0PICIDX 9; one layer of 640x360,
        // a group of one picture that refers to the one before.
        let payload = [0xAE, 0x05, 0x00, 0x09, 0x18, 0x02, 0x80, 0x01, 0x68, 0x01, 0x04, 0x01, 0xEE];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.len, 12);
        assert!(!descriptor.flexible && descriptor.is_keyframe_start() && descriptor.end_of_frame);
        assert_eq!(descriptor.layer.unwrap().tl0_pic_idx, Some(9));
        assert_eq!((descriptor.picture_id_offset, descriptor.tl0_pic_idx_offset), (Some(1), Some(3)));
        let scalability = descriptor.scalability.unwrap();
        assert_eq!((scalability.spatial_layers, scalability.pictures_in_group), (1, Some(1)));
        assert_eq!(scalability.resolutions.unwrap()[0], (640, 360));
    }

    #[test]
    fn the_three_spatial_layers_of_a_key_picture() {
        // I L F B; the upper two are predicted from the layer below, none from earlier pictures.
        for (indices, first_of_all) in [(0x00, true), (0x03, false), (0x05, false)] {
            let descriptor = Descriptor::parse(&[0xB8, 0x01, indices]).unwrap();
            assert!(descriptor.is_layer_keyframe_start());
            assert_eq!(descriptor.is_keyframe_start(), first_of_all, "{indices:#x}");
        }
        let continuation = Descriptor::parse(&[0xB0, 0x01, 0x00]).unwrap();
        assert!(!continuation.is_keyframe_start(), "not the frame's first packet");
    }

    #[test]
    fn without_layers_a_stream_is_one_layer() {
        let descriptor = Descriptor::parse(&[0x8C, 0x01]).unwrap();
        assert_eq!((descriptor.spatial_id(), descriptor.temporal_id()), (0, 0));
        assert!(descriptor.is_keyframe_start());
    }

    #[test]
    fn truncations_and_a_fourth_reference_are_errors() {
        let payload = [0xFA, 0x81, 0x02, 0x35, 0x03, 0x05, 0x02, 0x38, 0, 1, 0, 2, 0, 3, 0, 4, 1, 0x04, 0x01];
        assert_eq!(Descriptor::parse(&payload).unwrap().len, payload.len());
        for len in 0..payload.len() {
            assert_eq!(Descriptor::parse(&payload[..len]), Err(RtpError::DescriptorTruncated), "{len}");
        }
        let endless = [0x50, 0x03, 0x03, 0x03, 0x02];
        assert_eq!(Descriptor::parse(&endless), Err(RtpError::DescriptorInvalid));
    }
}
