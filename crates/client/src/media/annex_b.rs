//! H.264 from a byte stream file, as `ffmpeg -c:v libx264 -profile:v baseline -bf 0 -f h264 out.h264` writes it.

use std::path::Path;
use std::time::Duration;

use super::h264::{self, ACCESS_UNIT_DELIMITER, IDR, PPS, SLICE, SPS, nal_type};
use super::{Codec, Frame, Layer, MediaSource};
use crate::error::ClientError;

/// The pictures of a file at a fixed rate, from the start again when they are over.
#[derive(Debug)]
pub struct AnnexBVideo {
    width: u32,
    height: u32,
    fps: u32,
    /// NAL units of each picture.
    pictures: Vec<Vec<Vec<u8>>>,
    next: u64,
    looping: bool,
}

impl AnnexBVideo {
    /// Reads a file; the byte stream says neither rate nor, in a form worth parsing, size.
    ///
    /// # Errors
    /// [`ClientError::Media`] if it cannot be read or holds no picture.
    pub fn open(path: impl AsRef<Path>, width: u32, height: u32, fps: u32) -> Result<Self, ClientError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|error| ClientError::Media(format!("{}: {error}", path.display())))?;
        Self::parse(&bytes, width, height, fps)
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// [`ClientError::Media`] if it holds no picture.
    pub fn parse(bytes: &[u8], width: u32, height: u32, fps: u32) -> Result<Self, ClientError> {
        let pictures = pictures(bytes);
        if pictures.is_empty() {
            return Err(ClientError::Media("no H.264 pictures".into()));
        }
        Ok(Self { width, height, fps: fps.clamp(1, 240), pictures, next: 0, looping: true })
    }

    /// Ends after the last picture.
    pub fn once(mut self) -> Self {
        self.looping = false;
        self
    }
}

/// Groups NAL units into pictures: one begins with whatever comes before a slice that starts at macroblock 0.
fn pictures(stream: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut pictures: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut current: Vec<Vec<u8>> = Vec::new();
    let mut has_slice = false;
    for unit in h264::nal_units(stream) {
        let Some(header) = unit.first() else { continue };
        let kind = nal_type(*header);
        let slice = kind == IDR || kind == SLICE;
        // `first_mb_in_slice` is the first field, in Exp-Golomb code: a leading 1 bit is 0.
        let first_slice = slice && unit.get(1).is_some_and(|byte| byte & 0x80 != 0);
        let parameters = matches!(kind, SPS | PPS | ACCESS_UNIT_DELIMITER | 6);
        if has_slice && (first_slice || parameters) {
            pictures.push(std::mem::take(&mut current));
            has_slice = false;
        }
        has_slice |= slice;
        if kind != ACCESS_UNIT_DELIMITER {
            current.push(unit.to_vec());
        }
    }
    if has_slice {
        pictures.push(current);
    }
    pictures
}

impl MediaSource for AnnexBVideo {
    fn codec(&self) -> Codec {
        Codec::H264
    }

    fn layers(&self) -> Vec<Layer> {
        let bytes: usize = self.pictures.iter().flatten().map(Vec::len).sum();
        let bitrate = bytes as u64 * 8 * u64::from(self.fps) / self.pictures.len() as u64;
        vec![Layer {
            rid: None,
            width: self.width,
            height: self.height,
            bitrate: u32::try_from(bitrate).unwrap_or(u32::MAX),
        }]
    }

    fn next_due(&self) -> Option<Duration> {
        (self.looping || self.next < self.pictures.len() as u64)
            .then(|| Duration::from_nanos(self.next.saturating_mul(1_000_000_000) / u64::from(self.fps)))
    }

    fn produce(&mut self, _sent_at: u64) -> Option<Frame> {
        self.next_due()?;
        let picture = &self.pictures[(self.next % self.pictures.len() as u64) as usize];
        let units: Vec<&[u8]> = picture.iter().map(Vec::as_slice).collect();
        let frame = Frame {
            layer: 0,
            media_time: self.next * 90_000 / u64::from(self.fps),
            payloads: h264::packetize(&units),
            audio_level: None,
        };
        self.next += 1;
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_go_with_the_picture_behind_them_and_slices_stay_together() {
        let mut stream = Vec::new();
        for unit in [
            &[0x67, 0x42][..],
            &[0x68, 0xCE],
            &[0x65, 0x88, 1],
            &[0x65, 0x40, 2],
            &[0x41, 0x9A, 3],
            &[0x09, 0xF0],
            &[0x41, 0x9A, 4],
        ] {
            stream.extend([0, 0, 0, 1]);
            stream.extend_from_slice(unit);
        }
        let mut video = AnnexBVideo::parse(&stream, 64, 64, 30).unwrap().once();
        let sizes: Vec<usize> = video.pictures.iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 1, 1]);
        let times: Vec<u64> = std::iter::from_fn(|| video.produce(0)).map(|frame| frame.media_time).collect();
        assert_eq!(times, [0, 3000, 6000]);
        assert_eq!(AnnexBVideo::parse(&[0, 0, 1, 0x67, 1], 1, 1, 1).unwrap_err().code(), "media");
    }
}
