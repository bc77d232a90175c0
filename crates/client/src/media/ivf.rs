//! VP8 from an IVF file, as `ffmpeg -c:v libvpx out.ivf` writes it.

use std::path::Path;
use std::time::Duration;

use super::seal::Sealing;
use super::vp8::{self, Vp8Descriptors};
use super::{Codec, Frame, FrameSeal, Layer, MediaSource};
use crate::error::ClientError;

/// The pictures of a file in real time, from the start again when they are over.
#[derive(Debug)]
pub struct IvfVideo {
    width: u32,
    height: u32,
    bitrate: u32,
    /// Numerator and denominator of the time base in seconds.
    time_base: (u64, u64),
    /// Time stamp and bytes of each picture.
    pictures: Vec<(u64, Vec<u8>)>,
    /// Length of one round in units of the time base.
    round: u64,
    at: usize,
    rounds: u64,
    looping: bool,
    descriptors: Vp8Descriptors,
    sealing: Sealing,
}

impl IvfVideo {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ClientError::Media`] if it is no IVF file of VP8, [`ClientError::Socket`] never.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| media(format!("{}: {error}", path.display())))?;
        Self::parse(&bytes)
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// [`ClientError::Media`] if it is no IVF file of VP8 with at least one picture.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClientError> {
        let header = bytes.first_chunk::<32>().ok_or_else(|| media("shorter than an IVF header"))?;
        if &header[..4] != b"DKIF" || &header[8..12] != b"VP80" {
            return Err(media("not an IVF file of VP8"));
        }
        let u16_at = |at: usize| u32::from(u16::from_le_bytes([header[at], header[at + 1]]));
        let u32_at = |at: usize| {
            u64::from(u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]))
        };
        // The rate comes first in the file: a second has `rate / scale` units.
        let (rate, scale) = (u32_at(16).max(1), u32_at(20).max(1));
        let mut rest =
            bytes.get(usize::from(u16::from_le_bytes([header[6], header[7]]))..).unwrap_or_default();
        let mut pictures = Vec::new();
        while let Some((head, behind)) = rest.split_first_chunk::<12>() {
            let size = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let (size_part, time) = head.split_at(4);
            debug_assert_eq!(size_part.len(), 4);
            let time = time.first_chunk::<8>().map_or(0, |eight| u64::from_le_bytes(*eight));
            let Some((picture, next)) = behind.split_at_checked(size) else { break };
            pictures.push((time, picture.to_vec()));
            rest = next;
        }
        let (Some((first, _)), Some((last, _))) = (pictures.first().cloned(), pictures.last().cloned())
        else {
            return Err(media("no pictures"));
        };
        let step = (last.saturating_sub(first) / (pictures.len() as u64 - 1).max(1)).max(1);
        let round = last.saturating_sub(first) + step;
        for (time, _) in &mut pictures {
            *time = time.saturating_sub(first);
        }
        let bits = pictures.iter().map(|(_, picture)| picture.len() as u64 * 8).sum::<u64>();
        Ok(Self {
            width: u16_at(12),
            height: u16_at(14),
            bitrate: u32::try_from(bits.saturating_mul(rate) / (round * scale).max(1)).unwrap_or(u32::MAX),
            time_base: (scale, rate),
            pictures,
            round,
            at: 0,
            rounds: 0,
            looping: true,
            descriptors: Vp8Descriptors::random(),
            sealing: Sealing::default(),
        })
    }

    /// Ends after the last picture.
    pub fn once(mut self) -> Self {
        self.looping = false;
        self
    }

    /// Seals every picture.
    pub fn sealed(mut self, seal: Box<dyn FrameSeal>) -> Self {
        self.sealing = Sealing::with(seal);
        self
    }

    /// The time of the next picture in units of the time base.
    fn next_time(&self) -> Option<u64> {
        let (time, _) = self.pictures.get(self.at)?;
        (self.looping || self.rounds == 0).then_some(self.rounds * self.round + time)
    }
}

impl MediaSource for IvfVideo {
    fn codec(&self) -> Codec {
        Codec::Vp8
    }

    fn layers(&self) -> Vec<Layer> {
        vec![Layer { rid: None, width: self.width, height: self.height, bitrate: self.bitrate }]
    }

    fn next_due(&self) -> Option<Duration> {
        let (scale, rate) = self.time_base;
        let nanos = u128::from(self.next_time()?) * u128::from(scale) * 1_000_000_000 / u128::from(rate);
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn produce(&mut self, _sent_at: u64) -> Option<Frame> {
        let time = self.next_time()?;
        let (scale, rate) = self.time_base;
        let (_, picture) = self.pictures.get(self.at)?;
        let picture = self.sealing.apply(Codec::Vp8, picture.clone());
        self.at += 1;
        if self.at == self.pictures.len() {
            (self.at, self.rounds) = (0, self.rounds + 1);
        }
        let Some(picture) = picture else {
            // Its number is missed, so that nobody builds on what came before it.
            self.descriptors.advance();
            return None;
        };
        let payloads = vp8::packetize(&mut self.descriptors, &picture);
        let media_time = (u128::from(time) * u128::from(scale) * 90_000 / u128::from(rate)) as u64;
        Some(Frame { layer: 0, media_time, payloads, audio_level: None })
    }

    fn is_sealed(&self) -> bool {
        self.sealing.is_on()
    }
}

fn media(text: impl Into<String>) -> ClientError {
    ClientError::Media(text.into())
}

#[cfg(test)]
mod tests {
    use super::super::seal::Inverting;
    use super::*;

    fn file(pictures: &[(u64, &[u8])]) -> Vec<u8> {
        let mut bytes = b"DKIF\0\0\x20\0VP80".to_vec();
        bytes.extend(320_u16.to_le_bytes());
        bytes.extend(180_u16.to_le_bytes());
        bytes.extend(15_u32.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend([0; 8]);
        for (time, picture) in pictures {
            bytes.extend((picture.len() as u32).to_le_bytes());
            bytes.extend(time.to_le_bytes());
            bytes.extend_from_slice(picture);
        }
        bytes
    }

    #[test]
    fn pictures_come_at_their_times_round_after_round() {
        let mut video = IvfVideo::parse(&file(&[(0, b"key"), (1, b"two"), (2, b"three")])).unwrap();
        assert_eq!((video.width, video.height), (320, 180));
        let mut times = Vec::new();
        for _ in 0..4 {
            let due = video.next_due().unwrap();
            let frame = video.produce(0).unwrap();
            assert_eq!(due.as_millis() as u64, frame.media_time / 90);
            times.push(frame.media_time);
        }
        assert_eq!(times, [0, 6000, 12000, 18000]);
        let mut once = IvfVideo::parse(&file(&[(7, b"key")])).unwrap().once();
        assert_eq!(once.next_due(), Some(Duration::ZERO));
        assert!(once.produce(0).is_some());
        assert_eq!(once.next_due(), None);
        assert!(once.produce(0).is_none());
    }

    #[test]
    fn pictures_are_sealed_before_they_are_split_and_withheld_ones_leave_a_gap() {
        let big = [7; 3000];
        let video = IvfVideo::parse(&file(&[(0, b"key"), (1, &big), (2, b"three"), (3, b"four")])).unwrap();
        let mut video = video.sealed(Inverting::boxed());
        assert!(video.is_sealed());
        let picture_id =
            |frame: &Frame| u16::from_be_bytes([frame.payloads[0].bytes[2], frame.payloads[0].bytes[3]]);
        let first = video.produce(0).unwrap();
        assert_eq!(first.payloads[0].bytes[vp8::DESCRIPTOR..], *b"key".map(|byte| !byte).as_slice());
        let second = video.produce(0).unwrap();
        let parts = second.payloads.iter().flat_map(|payload| &payload.bytes[vp8::DESCRIPTOR..]);
        assert!(second.payloads.len() > 1 && parts.copied().eq(big.map(|byte| !byte)));
        assert_eq!(video.produce(0), None);
        let fourth = video.produce(0).unwrap();
        assert_eq!(fourth.media_time, 18_000);
        let ids = [&first, &second, &fourth].map(picture_id).map(|id| id & 0x7FFF);
        let after = |steps: u16| (ids[0] + steps) & 0x7FFF;
        assert_eq!(ids, [after(0), after(1), after(3)]);
    }

    #[test]
    fn other_files_are_refused() {
        for bad in [Vec::new(), vec![0; 32], file(&[])] {
            assert_eq!(IvfVideo::parse(&bad).unwrap_err().code(), "media");
        }
        let cut = file(&[(0, b"key"), (1, b"two")]);
        assert_eq!(IvfVideo::parse(&cut[..cut.len() - 1]).unwrap().pictures.len(), 1);
    }
}
