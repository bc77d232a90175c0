//! One store per published layer, shared by all its subscribers: what is forwarded, and what is sent again
//! when a subscriber misses it (RFC 4585 NACK, RFC 4588). A DownTrack keeps no packets of its own.
//!
//! A ring of packets found by extended sequence number. Its buffers are used again and again, so nothing is
//! allocated per packet once a layer runs. It grows while packets younger than a second would be
//! overwritten, up to a fixed bound. What is a second old is gone whatever room there is: only its header stays, by
//! which a second copy is known.

use std::time::{Duration, Instant};

use super::frame::Frame;

/// Packets a store starts with: more than a second of audio. A power of two.
const FIRST_PACKETS: usize = 64;

/// Bytes of memory that a camera's layer may take, and a screen's four times: with three layers of 200 pictures these are 600 MiB
/// at the very worst, if all are screens 2.4 GiB.
const MAX_BYTES: usize = 1 << 20;

const fn most_bytes(retention: Retention) -> usize {
    retention.packets * (MAX_PAYLOAD + MAX_EXTENSIONS + size_of::<Option<Slot>>())
}

const _: () = assert!(most_bytes(Retention::PICTURES) <= MAX_BYTES);
const _: () = assert!(most_bytes(Retention::SCREEN) <= 4 * MAX_BYTES);

/// How long and how much a store keeps.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Age at which a packet is forgotten.
    pub age: Duration,
    /// Packets that are never exceeded, a power of two. With [`MAX_PAYLOAD`] and [`MAX_EXTENSIONS`] this bounds a layer's
    /// memory.
    packets: usize,
}

impl Retention {
    /// Sound and cameras: one second of a 5 Mbit/s layer. Players wait less for a packet, and we ask publishers no longer
    /// ourselves; less would break repair over long paths, where each request takes a round trip, and what waits in the pacer
    /// (up to 0.8 s). More only keeps media in memory.
    pub const PICTURES: Self = Self { age: Duration::from_secs(1), packets: 512 };
    /// Screens: five seconds of 4 Mbit/s. A new slide waits for up to 4.5 s for its turn on a narrow line.
    pub const SCREEN: Self = Self { age: Duration::from_secs(5), packets: 2048 };
}

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
    /// Extensions, then payload; neither once it is too old.
    bytes: Vec<u8>,
}

impl Slot {
    fn is_younger(&self, now: Instant, age: Duration) -> bool {
        now.saturating_duration_since(self.header.arrival) < age
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct PacketStore {
    retention: Retention,
    slots: Vec<Option<Slot>>,
    highest: Option<u64>,
    /// Numbers below were overwritten or may have been: the ring forgets them, and growing makes room in
    /// which they would look new.
    floor: u64,
    /// What is stored below has been forgotten.
    oldest: u64,
}

impl PacketStore {
    /// An empty store that keeps so much; memory is taken as packets come.
    pub fn new(retention: Retention) -> Self {
        Self { retention, slots: Vec::new(), highest: None, floor: 0, oldest: 0 }
    }

    /// How much it keeps.
    pub fn retention(&self) -> Retention {
        self.retention
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
        let slot = match &mut self.slots[index] {
            Some(slot) => {
                self.floor = self.floor.max(slot.header.sequence + 1);
                slot.header = header;
                slot
            }
            empty => empty.insert(Slot { header, extension_len: 0, bytes: Vec::new() }),
        };
        slot.extension_len = extensions.len();
        slot.bytes.clear();
        slot.bytes.reserve_exact(extensions.len() + payload.len()); // doubling would break the bound
        slot.bytes.extend_from_slice(extensions);
        slot.bytes.extend_from_slice(payload);
        self.oldest = self.highest.map_or(header.sequence, |_| self.oldest.min(header.sequence));
        self.highest = Some(self.highest.map_or(header.sequence, |highest| highest.max(header.sequence)));
        self.expire(header.arrival);
        Ok(())
    }

    /// The packet with this extended sequence number, if it is still there and young at `now`.
    pub fn get(&self, now: Instant, sequence: u64) -> Option<StoredPacket<'_>> {
        let slot = self.slot(sequence).filter(|slot| slot.is_younger(now, self.retention.age))?;
        let (extensions, payload) = slot.bytes.split_at_checked(slot.extension_len)?;
        Some(StoredPacket { header: &slot.header, extensions, payload })
    }

    /// Whether the packet with this extended sequence number was there and is not any more; `false` for one that may still
    /// come.
    pub fn is_gone(&self, now: Instant, sequence: u64) -> bool {
        sequence < self.floor
            || self.slot(sequence).is_some_and(|slot| !slot.is_younger(now, self.retention.age))
    }

    /// The header of the packet with this extended sequence number, which may be older than what is kept.
    pub fn header(&self, sequence: u64) -> Option<&PacketHeader> {
        self.slot(sequence).map(|slot| &slot.header)
    }

    /// Forgets what is old. Done with each packet stored; a layer that pauses needs to be told the time.
    pub fn expire(&mut self, now: Instant) {
        let Some(highest) = self.highest else { return };
        self.oldest = self.oldest.max((highest + 1).saturating_sub(self.slots.len() as u64));
        while self.oldest <= highest {
            let index = self.index(self.oldest);
            // It holds this packet, or an older one if this did not come.
            if let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) {
                if slot.is_younger(now, self.retention.age) {
                    break;
                }
                slot.bytes.clear();
                slot.extension_len = 0;
            }
            self.oldest += 1;
        }
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        let buffers: usize = self.slots.iter().flatten().map(|slot| slot.bytes.capacity()).sum();
        buffers + self.slots.capacity() * size_of::<Option<Slot>>()
    }

    /// Gives its memory back; what was stored is gone and still counts as having come.
    pub fn release(&mut self) {
        self.floor = self.highest.map_or(0, |highest| highest + 1).max(self.floor);
        self.slots = Vec::new();
    }

    fn slot(&self, sequence: u64) -> Option<&Slot> {
        let slot = self.slots.get(self.index(sequence))?.as_ref()?;
        (slot.header.sequence == sequence).then_some(slot)
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
            if !slot.is_younger(header.arrival, self.retention.age)
                || self.slots.len() >= self.retention.packets
            {
                return Ok(index);
            }
            self.grow();
        }
    }

    fn grow(&mut self) {
        let length = self.slots.len() * 2;
        self.oldest = 0; // packets change places
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
        let mut store = PacketStore::new(Retention::PICTURES);
        let now = crate::test_start();
        for sequence in 0..200 {
            store.insert(header(sequence, now), &[], b"x").unwrap();
        }
        store.release();
        assert!(store.slots.is_empty() && store.get(now, 199).is_none());
        assert_eq!(store.insert(header(199, now), &[], b"x"), Err(NotStored::TooOld));
        store.insert(header(200, now), &[], b"y").unwrap();
        assert_eq!(store.get(now, 200).unwrap().payload, b"y");
    }

    #[test]
    fn what_was_stored_is_found_and_a_second_copy_refused() {
        let now = crate::test_start();
        let mut store = PacketStore::new(Retention::PICTURES);
        store.insert(header(7, now), b"ext", b"payload").expect("the store is empty");
        let packet = store.get(now, 7).expect("it was stored");
        assert_eq!((packet.extensions, packet.payload), (&b"ext"[..], &b"payload"[..]));
        assert_eq!(store.insert(header(7, now), b"", b"other"), Err(NotStored::Duplicate));
        assert!(store.get(now, 8).is_none());
    }

    #[test]
    fn it_keeps_a_second_of_a_fast_layer_and_forgets_older_packets() {
        let start = crate::test_start();
        let mut store = PacketStore::new(Retention::PICTURES);
        for sequence in 0..2000 {
            let now = start + Duration::from_millis(4) * sequence as u32; // 250 packets/s
            store.insert(header(sequence, now), b"", &[1; 1200]).expect("new");
        }
        let now = start + Duration::from_millis(4) * 1999;
        assert!(store.get(now, 1999 - 249).is_some(), "one second back");
        assert!(store.slots.len() <= 256, "no more than that needs");
        assert!(store.get(now, 1999 - 250).is_none(), "strictly, although there is room");
        assert!(store.memory() < 400_000, "{} bytes for 2.4 Mbit/s", store.memory());
        assert_eq!(
            store.insert(header(1999 - 256, start + Duration::from_secs(8)), b"", b""),
            Err(NotStored::TooOld)
        );
    }

    #[test]
    fn sound_with_silence_is_forgotten_after_a_second_and_still_told_from_new() {
        let start = crate::test_start();
        let at = |millis| start + Duration::from_millis(millis);
        let mut store = PacketStore::new(Retention::PICTURES);
        for sequence in 0..10 {
            store.insert(header(sequence, at(400 * sequence)), b"ext", b"sound").expect("new");
        }
        let now = at(3600 + 399);
        let kept: Vec<u64> = (0..10).filter(|sequence| store.get(now, *sequence).is_some()).collect();
        assert_eq!(kept, [8, 9]);
        let bytes =
            |store: &PacketStore| store.slots.iter().flatten().map(|slot| slot.bytes.len()).sum::<usize>();
        assert_eq!(bytes(&store), 3 * 8, "what was a second old when the last came is not in memory either");
        store.expire(at(5000));
        assert_eq!((bytes(&store), store.get(at(5000), 9).is_none()), (0, true));
        assert_eq!(store.insert(header(3, at(5000)), b"", b"x"), Err(NotStored::Duplicate));
        assert_eq!(
            store.header(9).map(|header| header.arrival),
            Some(at(3600)),
            "H264 looks at the one before"
        );
    }

    #[test]
    fn what_was_overwritten_is_not_new_again_when_the_store_has_grown() {
        let start = crate::test_start();
        let later = start + Duration::from_secs(2);
        let mut store = PacketStore::new(Retention::PICTURES);
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
        let mut store = PacketStore::new(Retention::PICTURES);
        for sequence in 0..5000 {
            // First small ones, so that their buffers have to grow.
            let payload = if sequence < 600 { &[1; 1000][..] } else { &[1; 1500] };
            store.insert(header(sequence, now), &[0; 300], payload).expect("new");
        }
        assert_eq!(store.slots.len(), Retention::PICTURES.packets);
        assert!(store.memory() <= MAX_BYTES);
        assert!(
            store.get(now, 4999).is_some_and(|packet| packet.extensions.is_empty()),
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
            let mut store = PacketStore::new(Retention::PICTURES);
            let mut accepted = std::collections::HashSet::new();
            let mut clock = start;
            for (sequence, millis) in order {
                clock += Duration::from_millis(millis % 7);
                if store.insert(header(sequence, clock), b"", b"x").is_ok() {
                    prop_assert!(accepted.insert(sequence));
                }
            }
        }

        /// Whatever comes when, and in which order: nothing is to be had that is a second old, everything younger is
        /// unless 64 packets overtook it, and the memory is bounded.
        #[test]
        fn it_holds_one_second_and_less_than_a_mebibyte(
            arrivals in prop::collection::vec((0u64..3, 0u64..40, 0u64..120, 0usize..1500), 1..1200),
        ) {
            let mut now = crate::test_start();
            let mut store = PacketStore::new(Retention::PICTURES);
            let mut came: Vec<(u64, Instant)> = Vec::new();
            let mut next = 100;
            for (ahead, behind, millis, length) in arrivals {
                now += Duration::from_millis(if millis < 100 { millis / 20 } else { millis * 5 });
                next += ahead;
                let sequence = if ahead == 0 { next.saturating_sub(behind) } else { next };
                if store.insert(header(sequence, now), b"ext", &vec![1; length]).is_ok() {
                    came.push((sequence, now));
                }
            }
            let highest = store.highest().unwrap_or_default();
            for (sequence, arrival) in came {
                let is_there = store.get(now, sequence).is_some();
                let is_young = now - arrival < Retention::PICTURES.age;
                prop_assert!(!is_there || is_young, "{sequence} is {:?} old", now - arrival);
                prop_assert!(is_there || !is_young || highest - sequence >= FIRST_PACKETS as u64);
            }
            prop_assert!(store.memory() <= MAX_BYTES);
            store.expire(now + Retention::PICTURES.age);
            prop_assert!(store.slots.iter().flatten().all(|slot| slot.bytes.is_empty()));
        }
    }
}
