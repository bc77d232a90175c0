//! One store per published layer, shared by all its subscribers: what is forwarded, and what is sent again
//! when a subscriber misses it (RFC 4585 NACK, RFC 4588). A DownTrack keeps no packets of its own.
//!
//! A ring of packets found by extended sequence number. Its buffers are used again and again, so nothing is
//! allocated per packet once a layer runs. It grows while packets younger than a second would be
//! overwritten, up to a fixed bound.

use std::time::{Duration, Instant};

use super::frame::Frame;

/// Packets a store starts with: more than a second of audio. A power of two.
const FIRST_PACKETS: usize = 64;

/// Packets a store never exceeds, a power of two: one second of a 5 Mbit/s layer. With [`MAX_PAYLOAD`] and
/// [`MAX_EXTENSIONS`] this bounds a layer's memory to less than [`MAX_BYTES`]; doubling it doubles that.
const MAX_PACKETS: usize = 512;

/// Bytes of memory that a layer may take: with three layers of 200 pictures these are 600 MiB at the very worst.
const MAX_BYTES: usize = 1 << 20;

const _: () = assert!(MAX_PACKETS * (MAX_PAYLOAD + MAX_EXTENSIONS + size_of::<Option<Slot>>()) <= MAX_BYTES);

/// Age beyond which nobody asks for a packet any more; the store grows only to keep younger ones.
const KEEP: Duration = Duration::from_secs(1);

/// Bytes of header extensions kept with a packet; a packet with more is forwarded without them.
pub(crate) const MAX_EXTENSIONS: usize = 256;

/// Largest payload taken: what fits a datagram.
const MAX_PAYLOAD: usize = 1500;

/// What a stored packet's header said, in the publisher's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketHeader {
    /// Extended sequence number within the layer.
    pub sequence: u64,
    /// RTP timestamp, in units of the codec's clock.
    pub timestamp: u32,
    /// The publisher's payload type.
    pub payload_type: u8,
    /// RTP marker bit.
    pub marker: bool,
    /// Whether a decoder can start with this packet.
    pub keyframe_start: bool,
    /// VP8's picture id and TL0PICIDX, where the descriptor has them: they must continue over layers.
    pub picture: Option<(Option<u16>, Option<u8>)>,
    /// The frame it belongs to, where it says so.
    pub frame: Option<Frame>,
    /// When it arrived.
    pub arrival: Instant,
}

/// A packet in the store.
#[derive(Clone, Copy, Debug)]
pub struct StoredPacket<'a> {
    /// Its header.
    pub header: &'a PacketHeader,
    /// Header extensions that are forwarded, in the form of [`super::extensions`].
    pub extensions: &'a [u8],
    /// The payload without padding; empty for a packet that was padding only.
    pub payload: &'a [u8],
}

/// Why a packet was not stored, and therefore is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// It is there already.
    #[error("the packet is stored already")]
    Duplicate,
    /// It is so old that it cannot be told from a duplicate.
    #[error("the packet is too old")]
    TooOld,
    /// It is larger than a datagram.
    #[error("the packet is too large")]
    TooLarge,
}

impl NotStored {
    /// Stable code for counters.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::TooOld => "too-old",
            Self::TooLarge => "too-large",
        }
    }
}

#[derive(Debug)]
struct Slot {
    header: PacketHeader,
    extension_len: usize,
    /// Extensions, then payload.
    bytes: Vec<u8>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct PacketStore {
    slots: Vec<Option<Slot>>,
    highest: Option<u64>,
    /// Numbers below were overwritten or may have been: the ring forgets them, and growing makes room in
    /// which they would look new.
    floor: u64,
}

impl PacketStore {
    /// An empty store; memory is taken as packets come.
    pub fn new() -> Self {
        Self::default()
    }

    /// The highest extended sequence number stored so far.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Stores a packet unless it is there already or too old to tell.
    pub fn insert(
        &mut self,
        header: PacketHeader,
        extensions: &[u8],
        payload: &[u8],
    ) -> Result<(), NotStored> {
        if payload.len() > MAX_PAYLOAD {
            return Err(NotStored::TooLarge);
        }
        let extensions = if extensions.len() <= MAX_EXTENSIONS { extensions } else { &[] };
        let index = self.slot_for(&header)?;
        let mut bytes = match self.slots[index].take() {
            Some(slot) => {
                self.floor = self.floor.max(slot.header.sequence + 1);
                slot.bytes
            }
            None => Vec::new(),
        };
        bytes.clear();
        bytes.reserve_exact(extensions.len() + payload.len()); // doubling would break the bound
        bytes.extend_from_slice(extensions);
        bytes.extend_from_slice(payload);
        self.slots[index] = Some(Slot { header, extension_len: extensions.len(), bytes });
        self.highest = Some(self.highest.map_or(header.sequence, |highest| highest.max(header.sequence)));
        Ok(())
    }

    /// The packet with this extended sequence number, if it is still there.
    pub fn get(&self, sequence: u64) -> Option<StoredPacket<'_>> {
        let slot = self.slots.get(self.index(sequence))?.as_ref()?;
        if slot.header.sequence != sequence {
            return None;
        }
        let (extensions, payload) = slot.bytes.split_at(slot.extension_len);
        Some(StoredPacket { header: &slot.header, extensions, payload })
    }

    /// Gives its memory back; what was stored is gone and still counts as having come.
    pub fn release(&mut self) {
        self.floor = self.highest.map_or(0, |highest| highest + 1).max(self.floor);
        self.slots = Vec::new();
    }

    fn index(&self, sequence: u64) -> usize {
        (sequence as usize) & self.slots.len().wrapping_sub(1)
    }

    /// The slot a packet goes to. A slot is only ever overwritten by a newer packet, so a packet that finds
    /// its own or a newer one there has come before or comes too late.
    fn slot_for(&mut self, header: &PacketHeader) -> Result<usize, NotStored> {
        if self.slots.is_empty() {
            self.slots.resize_with(FIRST_PACKETS, || None);
        }
        let behind = |highest| header.sequence + (self.slots.len() as u64) <= highest;
        if header.sequence < self.floor || self.highest.is_some_and(behind) {
            return Err(NotStored::TooOld);
        }
        loop {
            let index = self.index(header.sequence);
            let Some(slot) = &self.slots[index] else { return Ok(index) };
            if slot.header.sequence == header.sequence {
                return Err(NotStored::Duplicate);
            }
            if slot.header.sequence > header.sequence {
                return Err(NotStored::TooOld);
            }
            let young = header.arrival.saturating_duration_since(slot.header.arrival) < KEEP;
            if !young || self.slots.len() >= MAX_PACKETS {
                return Ok(index);
            }
            self.grow();
        }
    }

    fn grow(&mut self) {
        let length = self.slots.len() * 2;
        let old = std::mem::take(&mut self.slots);
        self.slots.resize_with(length, || None);
        for slot in old.into_iter().flatten() {
            let index = self.index(slot.header.sequence);
            self.slots[index] = Some(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(sequence: u64, arrival: Instant) -> PacketHeader {
        PacketHeader {
            sequence,
            timestamp: 0,
            payload_type: 96,
            marker: false,
            keyframe_start: false,
            picture: None,
            frame: None,
            arrival,
        }
    }

    #[test]
    fn a_store_that_gave_its_memory_back_takes_no_packet_twice() {
        let mut store = PacketStore::new();
        let now = crate::test_start();
        for sequence in 0..200 {
            store.insert(header(sequence, now), &[], b"x").unwrap();
        }
        store.release();
        assert!(store.slots.is_empty() && store.get(199).is_none());
        assert_eq!(store.insert(header(199, now), &[], b"x"), Err(NotStored::TooOld));
        store.insert(header(200, now), &[], b"y").unwrap();
        assert_eq!(store.get(200).unwrap().payload, b"y");
    }

    #[test]
    fn what_was_stored_is_found_and_a_second_copy_refused() {
        let now = crate::test_start();
        let mut store = PacketStore::new();
        store.insert(header(7, now), b"ext", b"payload").expect("the store is empty");
        let packet = store.get(7).expect("it was stored");
        assert_eq!((packet.extensions, packet.payload), (&b"ext"[..], &b"payload"[..]));
        assert_eq!(store.insert(header(7, now), b"", b"other"), Err(NotStored::Duplicate));
        assert!(store.get(8).is_none());
    }

    #[test]
    fn it_keeps_a_second_of_a_fast_layer_and_forgets_older_packets() {
        let start = crate::test_start();
        let mut store = PacketStore::new();
        for sequence in 0..2000 {
            let now = start + Duration::from_millis(4) * sequence as u32; // 250 packets/s
            store.insert(header(sequence, now), b"", &[1; 1200]).expect("new");
        }
        assert!(store.get(1999 - 249).is_some(), "one second back");
        assert!(store.slots.len() <= 256, "no more than that needs");
        assert!(store.get(1999 - 256).is_none());
        assert_eq!(
            store.insert(header(1999 - 256, start + Duration::from_secs(8)), b"", b""),
            Err(NotStored::TooOld)
        );
    }

    #[test]
    fn what_was_overwritten_is_not_new_again_when_the_store_has_grown() {
        let start = crate::test_start();
        let later = start + Duration::from_secs(2);
        let mut store = PacketStore::new();
        for sequence in 0..FIRST_PACKETS as u64 {
            store.insert(header(sequence, start), b"", b"x").expect("new");
        }
        // The first half is overwritten, being old; then a burst of young packets makes the store grow.
        for sequence in 64..=128 {
            store.insert(header(sequence, later), b"", b"x").expect("new");
        }
        assert!(store.slots.len() > FIRST_PACKETS);
        assert_eq!(store.insert(header(1, later), b"", b"x"), Err(NotStored::TooOld));
    }

    #[test]
    fn it_is_bounded_whatever_the_rate() {
        let now = crate::test_start();
        let mut store = PacketStore::new();
        for sequence in 0..5000 {
            // First small ones, so that their buffers have to grow.
            let payload = if sequence < 600 { &[1; 1000][..] } else { &[1; 1500] };
            store.insert(header(sequence, now), &[0; 300], payload).expect("new");
        }
        assert_eq!(store.slots.len(), MAX_PACKETS);
        let buffers: usize = store.slots.iter().flatten().map(|slot| slot.bytes.capacity()).sum();
        assert!(buffers + store.slots.capacity() * size_of::<Option<Slot>>() <= MAX_BYTES);
        assert!(
            store.get(4999).is_some_and(|packet| packet.extensions.is_empty()),
            "oversized ones are left out"
        );
        assert_eq!(store.insert(header(5000, now), b"", &[0; 1501]), Err(NotStored::TooLarge));
    }

    proptest! {
        /// Under any order of arrival a sequence number is accepted at most once: forwarding relies on it
        /// (a second sealing of one outgoing number would reuse a nonce).
        #[test]
        fn no_sequence_number_is_accepted_twice(order in prop::collection::vec((0u64..1500, 0u64..3000), 1..3000)) {
            let start = crate::test_start();
            let mut store = PacketStore::new();
            let mut accepted = std::collections::HashSet::new();
            let mut clock = start;
            for (sequence, millis) in order {
                clock += Duration::from_millis(millis % 7);
                if store.insert(header(sequence, clock), b"", b"x").is_ok() {
                    prop_assert!(accepted.insert(sequence));
                }
            }
        }
    }
}
