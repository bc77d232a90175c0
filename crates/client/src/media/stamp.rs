//! The stamp at the end of every synthetic RTP payload: who sent it, which packet of which frame it is, and
//! when. With it a receiver verifies order, loss, duplication, corruption and latency end to end, whatever the
//! server rewrote in headers and payload descriptors. The bytes between descriptor and stamp are a pattern
//! that follows from the stamp.

/// Length of a stamp in bytes.
pub const LEN: usize = 40;

const MAGIC: [u8; 4] = *b"KKS1";

/// What a stamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Random number of the source.
    pub source: u32,
    /// Index of the layer.
    pub layer: u8,
    /// The packet belongs to a key frame.
    pub key: bool,
    /// Index of the packet in its frame.
    pub index: u16,
    /// Packets in that frame.
    pub count: u16,
    /// Bytes of pattern in front of the stamp.
    pub filler: u16,
    /// Number of the frame in its layer, from 0.
    pub frame: u32,
    /// Number of the packet in its layer, from 0.
    pub sequence: u64,
    /// Sender's wall clock, nanoseconds since the Unix epoch.
    pub sent_at: u64,
}

/// What is wrong with a payload that ends like a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The stamp's checksum does not match.
    Stamp,
    /// The pattern in front of it is not the one that follows from it.
    Filler,
}

impl Stamp {
    /// Appends pattern and stamp to the start of a payload.
    pub fn append(&self, payload: &mut Vec<u8>) {
        payload.extend((0..self.filler).map(|at| self.filler_byte(at)));
        let from = payload.len();
        payload.extend(MAGIC);
        payload.extend(self.source.to_be_bytes());
        payload.push(self.layer);
        payload.push(u8::from(self.key));
        payload.extend(self.index.to_be_bytes());
        payload.extend(self.count.to_be_bytes());
        payload.extend(self.filler.to_be_bytes());
        payload.extend(self.frame.to_be_bytes());
        payload.extend(self.sequence.to_be_bytes());
        payload.extend(self.sent_at.to_be_bytes());
        let sum = crc32fast::hash(&payload[from..]);
        payload.extend(sum.to_be_bytes());
    }

    /// Reads the stamp at the end of a payload; `None` if there is none.
    ///
    /// # Errors
    /// [`Damage`] if it was altered on the way.
    pub fn read(payload: &[u8]) -> Option<Result<Self, Damage>> {
        let (rest, bytes) = payload.split_last_chunk::<LEN>()?;
        if bytes[..4] != MAGIC {
            return None;
        }
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(body).to_be_bytes() != *sum {
            return Some(Err(Damage::Stamp));
        }
        let mut fields = Fields(&body[4..]);
        let stamp = Self {
            source: u32::from_be_bytes(fields.take()?),
            layer: fields.take::<1>()?[0],
            key: fields.take::<1>()?[0] == 1,
            index: u16::from_be_bytes(fields.take()?),
            count: u16::from_be_bytes(fields.take()?),
            filler: u16::from_be_bytes(fields.take()?),
            frame: u32::from_be_bytes(fields.take()?),
            sequence: u64::from_be_bytes(fields.take()?),
            sent_at: u64::from_be_bytes(fields.take()?),
        };
        let intact = rest.len().checked_sub(usize::from(stamp.filler)).is_some_and(|from| {
            rest[from..].iter().zip(0..stamp.filler).all(|(byte, at)| *byte == stamp.filler_byte(at))
        });
        Some(if intact { Ok(stamp) } else { Err(Damage::Filler) })
    }

    /// Whether the packet starts a key frame.
    pub fn starts_key_frame(&self) -> bool {
        self.key && self.index == 0
    }

    /// Whether the packet ends its frame.
    pub fn ends_frame(&self) -> bool {
        self.index.checked_add(1) == Some(self.count)
    }

    fn filler_byte(&self, at: u16) -> u8 {
        let mixed = (self.sequence as u32) ^ self.source.rotate_left(u32::from(self.layer));
        (mixed.wrapping_mul(0x9E37_79B1) >> 24) as u8 ^ (u32::from(at).wrapping_mul(167) >> 2) as u8
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            source: 0xDEAD_BEEF,
            layer: 2,
            key: true,
            index: 3,
            count: 4,
            filler: 700,
            frame: 77,
            sequence: 1_000_001,
            sent_at: 1_700_000_000_000_000_000,
        }
    }

    #[test]
    fn a_stamp_is_read_back_behind_any_descriptor() {
        let mut payload = vec![0x90, 0x80, 0x12];
        stamp().append(&mut payload);
        assert_eq!(payload.len(), 3 + 700 + LEN);
        assert_eq!(Stamp::read(&payload), Some(Ok(stamp())));
        // The server may rewrite the descriptor in front, also to another length.
        payload.drain(..2);
        assert_eq!(Stamp::read(&payload), Some(Ok(stamp())));
    }

    #[test]
    fn every_altered_byte_behind_the_descriptor_is_noticed() {
        let mut payload = vec![0x90];
        stamp().append(&mut payload);
        for at in 1..payload.len() {
            let mut altered = payload.clone();
            altered[at] ^= 0x10;
            assert_ne!(Stamp::read(&altered), Some(Ok(stamp())), "byte {at}");
        }
    }

    #[test]
    fn what_is_no_stamp_is_not_taken_for_one() {
        assert_eq!(Stamp::read(&[]), None);
        assert_eq!(Stamp::read(&[0; LEN - 1]), None);
        assert_eq!(Stamp::read(&[0; 200]), None);
    }

    #[test]
    fn a_filler_longer_than_the_payload_is_damage() {
        let mut payload = Vec::new();
        stamp().append(&mut payload);
        payload.drain(..10);
        assert_eq!(Stamp::read(&payload), Some(Err(Damage::Filler)));
    }
}
