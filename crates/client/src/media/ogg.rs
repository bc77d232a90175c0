//! Opus from an Ogg file (RFC 7845), as `ffmpeg -i in.wav -c:a libopus -frame_duration 20 out.ogg` writes it.

use std::path::Path;
use std::time::Duration;

use super::{Codec, Frame, Layer, MAX_PAYLOAD, MediaSource, Payload};
use crate::error::ClientError;

/// The packets of a file in real time, from the start again when they are over.
#[derive(Debug)]
pub struct OggOpus {
    packets: Vec<Vec<u8>>,
    /// Samples at 48 kHz before each packet, and in all.
    starts: Vec<u64>,
    total: u64,
    at: usize,
    rounds: u64,
    looping: bool,
    level: i8,
}

impl OggOpus {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ClientError::Media`] if it cannot be read or is no Ogg file of Opus.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| media(format!("{}: {error}", path.display())))?;
        Self::parse(&bytes)
    }

    /// Reads a file's content. The first logical stream counts.
    ///
    /// # Errors
    /// [`ClientError::Media`] if it is no Ogg file of Opus, or a packet does not fit into one RTP packet.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClientError> {
        let mut packets = ogg_packets(bytes)?.into_iter();
        if !packets.next().is_some_and(|head| head.starts_with(b"OpusHead")) {
            return Err(media("not Opus"));
        }
        if !packets.next().is_some_and(|tags| tags.starts_with(b"OpusTags")) {
            return Err(media("no comment header"));
        }
        let packets: Vec<Vec<u8>> = packets.filter(|packet| !packet.is_empty()).collect();
        if packets.is_empty() {
            return Err(media("no sound"));
        }
        let mut starts = Vec::with_capacity(packets.len());
        let mut total = 0;
        for packet in &packets {
            if packet.len() > MAX_PAYLOAD {
                return Err(media("an Opus packet is too large for RTP"));
            }
            starts.push(total);
            total += samples(packet).ok_or_else(|| media("an Opus packet of no duration"))?;
        }
        Ok(Self { packets, starts, total, at: 0, rounds: 0, looping: true, level: -20 })
    }

    /// Ends after the last packet.
    pub fn once(mut self) -> Self {
        self.looping = false;
        self
    }

    /// Announces this loudness in dBov with every packet; the file is not decoded to measure it.
    pub fn announced_level(mut self, dbov: i8) -> Self {
        self.level = dbov.clamp(-127, 0);
        self
    }

    fn next_time(&self) -> Option<u64> {
        let start = self.starts.get(self.at)?;
        (self.looping || self.rounds == 0).then_some(self.rounds * self.total + start)
    }
}

impl MediaSource for OggOpus {
    fn codec(&self) -> Codec {
        Codec::Opus
    }

    fn layers(&self) -> Vec<Layer> {
        let bits: u64 = self.packets.iter().map(|packet| packet.len() as u64 * 8).sum();
        let bitrate = u32::try_from(bits * 48_000 / self.total.max(1)).unwrap_or(u32::MAX);
        vec![Layer { rid: None, width: 0, height: 0, bitrate }]
    }

    fn next_due(&self) -> Option<Duration> {
        self.next_time().map(|samples| Duration::from_nanos(samples.saturating_mul(1_000_000) / 48))
    }

    fn produce(&mut self, _sent_at: u64) -> Option<Frame> {
        let media_time = self.next_time()?;
        let bytes = self.packets.get(self.at)?.clone();
        self.at += 1;
        if self.at == self.packets.len() {
            (self.at, self.rounds) = (0, self.rounds + 1);
        }
        Some(Frame {
            layer: 0,
            media_time,
            payloads: vec![Payload { bytes, marker: media_time == 0 }],
            audio_level: Some(self.level),
        })
    }
}

/// Samples at 48 kHz in a packet (RFC 6716 sections 3.1 and 3.2).
fn samples(packet: &[u8]) -> Option<u64> {
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 0x3F),
    };
    (frames > 0).then_some(frame * frames)
}

/// The packets of the first logical stream (RFC 3533 section 6).
fn ogg_packets(bytes: &[u8]) -> Result<Vec<Vec<u8>>, ClientError> {
    let mut rest = bytes;
    let mut serial = None;
    let mut packets = Vec::new();
    let mut open: Vec<u8> = Vec::new();
    while let Some((header, behind)) = rest.split_first_chunk::<27>() {
        if &header[..4] != b"OggS" {
            return Err(media("not an Ogg page"));
        }
        let stream = [header[14], header[15], header[16], header[17]];
        let cut = || media("an Ogg page is cut short");
        let (lacing, mut body) = behind.split_at_checked(usize::from(header[26])).ok_or_else(cut)?;
        let wanted = *serial.get_or_insert(stream) == stream;
        for length in lacing {
            let (segment, next) = body.split_at_checked(usize::from(*length)).ok_or_else(cut)?;
            body = next;
            if wanted {
                open.extend_from_slice(segment);
                if *length < 255 {
                    packets.push(std::mem::take(&mut open));
                }
            }
        }
        rest = body;
    }
    Ok(packets)
}

fn media(text: impl Into<String>) -> ClientError {
    ClientError::Media(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(packets: &[&[u8]]) -> Vec<u8> {
        let mut page = b"OggS".to_vec();
        page.extend([0; 22]);
        let mut lacing = Vec::new();
        for packet in packets {
            lacing.extend(std::iter::repeat_n(255, packet.len() / 255));
            lacing.push((packet.len() % 255) as u8);
        }
        page.push(lacing.len() as u8);
        page.extend(lacing);
        page.extend(packets.concat());
        page
    }

    fn file(packets: &[&[u8]]) -> Vec<u8> {
        [page(&[b"OpusHead........"]), page(&[b"OpusTags"]), page(packets)].concat()
    }

    #[test]
    fn packets_come_at_the_times_their_durations_add_up_to() {
        let long = vec![0xF8; 600];
        // 20 ms CELT; two frames of 20 ms; 10 ms SILK; three frames of 2.5 ms.
        let mut sound = OggOpus::parse(&file(&[&long, &[0xF9, 1], &[0x00], &[0x83, 3]])).unwrap();
        let times: Vec<u64> = (0..5).map(|_| sound.produce(0).unwrap().media_time).collect();
        assert_eq!(times, [0, 960, 2880, 3360, 3720]);
        assert_eq!(sound.next_due(), Some(Duration::from_millis(97) + Duration::from_micros(500)));
    }

    #[test]
    fn other_files_are_refused() {
        let good = file(&[&[0xF8, 1]]);
        for bad in
            [Vec::new(), b"RIFF".repeat(20), file(&[]), file(&[&[0xFB, 0]]), good[..good.len() - 1].to_vec()]
        {
            assert_eq!(OggOpus::parse(&bad).unwrap_err().code(), "media");
        }
    }
}
