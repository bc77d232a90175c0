//! The stamp at the end of every simulated payload: whose packet it is and which, so that whoever sees it,
//! at the core's exit or at a receiver, can tell whether it is the right one in the right place. The bytes
//! in front of it follow from it, so that damage shows.

use std::time::Duration;

use crate::scalability::Place;

/// Bytes of a stamp.
pub const LEN: usize = 48;

const MAGIC: u16 = 0x5A7E;

/// What a stamp says. All numbers are the publisher's, before anything was rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the track, unique in the world.
    pub track: u32,
    /// Index of the simulcast layer.
    pub layer: u8,
    /// Counts the SSRCs that the layer had.
    pub generation: u8,
    /// The packet belongs to a key frame.
    pub key: bool,
    /// Audio level in −dBov; sound only.
    pub level: u8,
    /// Number of the frame in its layer and generation, from 0.
    pub frame: u32,
    /// Index of the packet in its frame.
    pub index: u16,
    /// Packets of the frame.
    pub count: u16,
    /// Extended sequence number.
    pub sequence: u32,
    /// RTP timestamp.
    pub timestamp: u32,
    /// VP8's or VP9's picture id.
    pub picture: u16,
    /// VP8's TL0PICIDX.
    pub tl0: u8,
    /// Bytes of pattern between descriptor and stamp.
    pub filler: u16,
    /// When the frame was captured, on the world's clock.
    pub captured: Duration,
    /// Where it is in a scalable stream.
    pub place: Place,
}

impl Stamp {
    /// A payload: descriptor, pattern, stamp.
    pub fn payload(&self, descriptor: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(descriptor.len() + usize::from(self.filler) + LEN);
        payload.extend_from_slice(descriptor);
        payload.extend((0..self.filler).map(|at| self.pattern(at)));
        let start = payload.len();
        payload.extend(MAGIC.to_be_bytes());
        payload.extend(self.track.to_be_bytes());
        payload.extend([self.layer, self.generation, u8::from(self.key), self.level, self.tl0, 0]);
        payload.extend(self.frame.to_be_bytes());
        payload.extend(self.index.to_be_bytes());
        payload.extend(self.count.to_be_bytes());
        payload.extend(self.sequence.to_be_bytes());
        payload.extend(self.timestamp.to_be_bytes());
        payload.extend(self.picture.to_be_bytes());
        payload.extend(self.filler.to_be_bytes());
        payload.extend((self.captured.as_micros() as u64).to_be_bytes());
        payload.extend(self.place.bytes());
        let sum = checksum(&payload[start..]);
        payload.extend(sum.to_be_bytes());
        payload
    }

    /// Reads a payload; gives the stamp and the descriptor in front of it. Errors say what is damaged.
    pub fn read(payload: &[u8]) -> Result<(Self, &[u8]), &'static str> {
        let (rest, stamp) = payload.split_last_chunk::<LEN>().ok_or("too short for a stamp")?;
        let (body, sum) = stamp.split_at(LEN - 4);
        if checksum(body).to_be_bytes() != sum {
            return Err("the stamp is damaged");
        }
        let u16_at = |at: usize| u16::from_be_bytes([stamp[at], stamp[at + 1]]);
        let u32_at = |at: usize| (u32::from(u16_at(at)) << 16) | u32::from(u16_at(at + 2));
        if u16_at(0) != MAGIC {
            return Err("there is no stamp");
        }
        let read = Self {
            track: u32_at(2),
            layer: stamp[6],
            generation: stamp[7],
            key: stamp[8] == 1,
            level: stamp[9],
            tl0: stamp[10],
            frame: u32_at(12),
            index: u16_at(16),
            count: u16_at(18),
            sequence: u32_at(20),
            timestamp: u32_at(24),
            picture: u16_at(28),
            filler: u16_at(30),
            captured: Duration::from_micros((u64::from(u32_at(32)) << 32) | u64::from(u32_at(36))),
            place: Place::read(u32_at(40).to_be_bytes()),
        };
        let descriptor_len =
            rest.len().checked_sub(usize::from(read.filler)).ok_or("the pattern is cut off")?;
        let (descriptor, filler) = rest.split_at(descriptor_len);
        if (0..read.filler).zip(filler).any(|(at, byte)| read.pattern(at) != *byte) {
            return Err("the pattern is damaged");
        }
        Ok((read, descriptor))
    }

    fn pattern(&self, at: u16) -> u8 {
        (self.track as u8) ^ (self.sequence as u8).wrapping_mul(31) ^ (at as u8)
    }
}

/// FNV-1a, which is enough against accidents.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalability::Structure;

    fn stamp() -> Stamp {
        Stamp {
            track: 7,
            layer: 2,
            generation: 1,
            key: true,
            level: 30,
            frame: 99,
            index: 1,
            count: 3,
            sequence: 70_000,
            timestamp: 0xffff_0001,
            picture: 0x7fff,
            tl0: 255,
            filler: 40,
            captured: Duration::from_micros(123_456_789_012),
            place: Place { structure: Structure::L3T3Key, spatial: 1, phase: 3, begins: false, ends: true },
        }
    }

    #[test]
    fn a_stamp_is_read_back_with_its_descriptor() {
        let payload = stamp().payload(&[1, 2, 3]);
        assert_eq!(Stamp::read(&payload), Ok((stamp(), &[1, 2, 3][..])));
    }

    #[test]
    fn every_changed_byte_behind_the_descriptor_shows() {
        let payload = stamp().payload(&[1]);
        for at in 1..payload.len() {
            let mut damaged = payload.clone();
            damaged[at] ^= 0x10;
            assert!(Stamp::read(&damaged).is_err(), "byte {at}");
        }
    }
}
