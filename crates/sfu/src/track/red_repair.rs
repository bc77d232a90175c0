//! Sound that was lost on its way to us and comes as a copy in a later packet (RED, RFC 2198): whoever gets plain Opus
//! has nothing of copies, so the lost packet is made of one.
//!
//! A copy says when it was captured and not which packet it repeats. It is taken only where that follows: it lies between
//! the packets around the gap, and the gap is one packet wide, or evenly spaced so that the copy's place among the others
//! agrees with its age. What is made takes the lost packet's
//! place in the store, so a late original is refused as a duplicate, and nothing is asked for that is there.

use std::time::Instant;

use rtp::codec::CodecKind;
use rtp::codec::red;

use super::packet_store::PacketHeader;
use super::up_track::{UpCodec, UpLayer};

/// Furthest packet that a copy is looked for. libwebrtc repeats the one before, by experiment up to nine. Beyond it spacing
/// would be guessed over a fifth of a second.
const MAX_DISTANCE: u64 = 9;

/// Which packets in front of one were made of its copies: bit `n` stands for the packet `n` before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered(u16);

impl Recovered {
    /// How far in front they are, the furthest first.
    pub fn distances(self) -> impl Iterator<Item = u64> {
        (1..=MAX_DISTANCE).rev().filter(move |distance| self.0 & (1 << distance) != 0)
    }
}

impl UpLayer {
    /// Makes lost packets of what the RED payload of a packet about to be received repeats.
    pub fn recover(
        &mut self,
        now: Instant,
        (sequence_number, timestamp): (u16, u32),
        payload: &[u8],
        codec: &UpCodec,
        codecs: &[(u8, UpCodec)],
    ) -> Recovered {
        let mut recovered = Recovered::default();
        let sequence = self.sequence.peek(sequence_number);
        let came = |distance: &u64| self.store.header(sequence.saturating_sub(*distance));
        if came(&0).is_some() {
            return recovered;
        }
        let Some((lost, before)) = (0..=MAX_DISTANCE).find_map(|lost| Some((lost, came(&(lost + 1))?)))
        else {
            return recovered;
        };
        let apart = timestamp.wrapping_sub(before.timestamp);
        let copies = red::blocks(payload).count() as u32;
        for (block, place) in red::blocks(payload).zip((1..=copies).rev()) {
            let is_opus = |(number, known): &(u8, UpCodec)| {
                *number == block.payload_type && known.kind == CodecKind::Opus
            };
            let Some(distance) = distance(block.age, place, apart, lost as u32) else { continue };
            if block.payload.is_empty() || !codecs.iter().any(is_opus) {
                continue;
            }
            let number = sequence - u64::from(distance);
            let header = PacketHeader {
                sequence: number,
                timestamp: timestamp.wrapping_sub(block.age),
                payload_type: block.payload_type,
                marker: false,
                keyframe_start: true,
                picture: None,
                frame: None,
                arrival: now,
            };
            // Its loudness was lost with its header.
            if self.store.insert(header, &[], block.payload).is_err() {
                continue;
            }
            self.sequence.extend(number as u16);
            if codec.nack {
                self.nack.received(now, number);
            }
            if let Some(stats) = &mut self.stats {
                stats.repaired();
            }
            recovered.0 |= 1 << distance;
        }
        recovered
    }
}

/// How many packets before its own the packet was that a copy repeats; `None` if it cannot be told. The copy is `age` ticks
/// older than its packet and at this `place` from the last, which is 1: senders repeat the newest packets in their order.
/// Between its packet and the newest that came before, which is `apart` ticks older, `lost` are missing.
fn distance(age: u32, place: u32, apart: u32, lost: u32) -> Option<u32> {
    if lost == 0 || age == 0 || age >= apart || apart.cast_signed() < 0 {
        return None;
    }
    if lost == 1 {
        return Some(1);
    }
    let packets = lost + 1;
    let spacing = apart / packets;
    (apart.is_multiple_of(packets) && place.checked_mul(spacing) == Some(age)).then_some(place)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;
    use rtp::extension::ExtensionMap;
    use rtp::header::{ExtensionForm, HeaderBuilder, HeaderFields};
    use rtp::packet::RtpPacket;

    use super::super::packet_store::{NotStored, Retention};
    use super::super::up_track::Original;
    use super::*;

    const OPUS: u8 = 111;
    const RED: u8 = 63;
    /// Ticks of 20 ms.
    const FRAME: u32 = 960;

    fn codec(kind: CodecKind) -> UpCodec {
        UpCodec { kind, fmtp: String::new(), nack: true, pli: false, fir: false }
    }

    /// A publisher's microphone and how we take what comes of it.
    struct Microphone {
        layer: UpLayer,
        codecs: Vec<(u8, UpCodec)>,
        now: Instant,
    }

    impl Microphone {
        fn new() -> Self {
            let mut layer = UpLayer::new(None, Retention::PICTURES);
            layer.bind(7);
            let codecs = vec![(RED, codec(CodecKind::Red)), (OPUS, codec(CodecKind::Opus))];
            Self { layer, codecs, now: crate::test_start() }
        }

        /// A packet with this frame and copies of those, each (capture, sound), the oldest first. Returns which lost packets
        /// were made of the copies.
        fn receive(
            &mut self,
            sequence: u16,
            (captured, frame): (u32, &[u8]),
            copies: &[(u32, &[u8])],
        ) -> Result<Vec<u64>, NotStored> {
            self.now += Duration::from_millis(20);
            let mut payload = Vec::new();
            for (copied, copy) in copies {
                let word = (captured.wrapping_sub(*copied) << 10) | copy.len() as u32;
                payload.push(0x80 | OPUS);
                payload.extend_from_slice(&word.to_be_bytes()[1..]);
            }
            payload.push(OPUS);
            copies.iter().for_each(|(_, copy)| payload.extend_from_slice(copy));
            payload.extend_from_slice(frame);
            let fields = HeaderFields {
                marker: false,
                payload_type: RED,
                sequence_number: sequence,
                timestamp: captured,
                ssrc: 7,
            };
            let mut bytes = vec![0; 12];
            HeaderBuilder::new(&mut bytes, &fields, ExtensionForm::OneByte).finish().unwrap();
            bytes.extend_from_slice(&payload);
            let packet = RtpPacket::parse(&bytes).unwrap();
            let original = Original {
                sequence_number: sequence,
                payload_type: RED,
                payload: &payload,
                recovered: false,
            };
            let red = &self.codecs[0].1;
            let recovered = self.layer.recover(self.now, (sequence, captured), &payload, red, &self.codecs);
            let taken = self.layer.receive(self.now, &packet, original, red, &ExtensionMap::default())?;
            Ok(recovered.distances().map(|distance| taken.sequence - distance).collect())
        }

        fn stored(&self, sequence: u64) -> Option<(u8, u32, Vec<u8>)> {
            let stored = self.layer.store.get(self.now, sequence)?;
            Some((stored.header.payload_type, stored.header.timestamp, stored.payload.to_vec()))
        }

        fn asked_for(&mut self) -> Vec<u16> {
            let mut asked = Vec::new();
            self.layer.nack.poll(
                self.now + Duration::from_millis(100),
                Duration::from_millis(50),
                &mut asked,
            );
            asked
        }
    }

    #[test]
    fn a_single_lost_packet_is_made_of_the_copy_in_the_next() {
        let mut microphone = Microphone::new();
        microphone.receive(10, (0, b"one"), &[]).unwrap();
        let made = microphone.receive(12, (2 * FRAME, b"three"), &[(FRAME, b"two")]).unwrap();
        assert_eq!(made.len(), 1);
        assert_eq!(microphone.stored(made[0]), Some((OPUS, FRAME, b"two".to_vec())));
        assert!(microphone.asked_for().is_empty(), "it is there");
        let late = microphone.receive(11, (FRAME, b"two"), &[(0, b"one")]);
        assert_eq!(late, Err(NotStored::Duplicate), "one number is one packet");
    }

    #[test]
    fn of_two_lost_packets_the_second_is_made_and_the_first_asked_for() {
        let mut microphone = Microphone::new();
        microphone.receive(10, (0, b"one"), &[]).unwrap();
        let made = microphone.receive(13, (3 * FRAME, b"four"), &[(2 * FRAME, b"three")]).unwrap();
        assert_eq!(microphone.stored(made[0]).unwrap().2, b"three");
        assert_eq!(microphone.asked_for(), [11]);
        // Further copies would have brought both.
        let made = microphone
            .receive(16, (6 * FRAME, b"seven"), &[(4 * FRAME, b"five"), (5 * FRAME, b"six")])
            .unwrap();
        assert_eq!(made.len(), 2);
        assert_eq!(microphone.stored(made[0]).unwrap().2, b"five");
    }

    #[test]
    fn where_it_cannot_be_told_what_a_copy_repeats_nothing_is_made() {
        let mut microphone = Microphone::new();
        assert_eq!(microphone.receive(9, (0, b"x"), &[(0, b"before all")]), Ok(vec![]), "the first of all");
        microphone.receive(10, (FRAME, b"one"), &[]).unwrap();
        // Silence, of which nobody knows how the two lost packets lie in it.
        assert_eq!(microphone.receive(13, (30 * FRAME + 5, b"four"), &[(29 * FRAME, b"three")]), Ok(vec![]));
        // A copy from before the gap, one of no age, one of nothing.
        let copies: [(u32, &[u8]); 3] = [(29 * FRAME, b"x"), (32 * FRAME + 5, b"x"), (31 * FRAME, b"")];
        assert_eq!(microphone.receive(15, (32 * FRAME + 5, b"six"), &copies), Ok(vec![]));
        // A lost packet alone after silence is told by its place.
        let made = microphone.receive(17, (80 * FRAME, b"nine"), &[(75 * FRAME, b"eight")]).unwrap();
        assert_eq!(made.len(), 1);
    }

    proptest! {
        /// Whatever is lost, reordered and repeated how often: what is stored under a number is that packet's frame with its
        /// timestamp, and no number is stored twice.
        #[test]
        fn what_is_made_is_what_was_lost(
            first in any::<u16>(),
            start in any::<u32>(),
            gaps in prop::collection::vec(prop_oneof![9 => Just(1u32), 1 => 2u32..15], 2..120),
            fates in prop::collection::vec((0u8..4, 0usize..3, 1usize..4), 120),
        ) {
            let mut captures = vec![start];
            for gap in &gaps {
                captures.push(captures.last().unwrap().wrapping_add(gap * FRAME));
            }
            let frames: Vec<Vec<u8>> = (0..captures.len()).map(|index| vec![index as u8; 1 + index % 5]).collect();
            let mut order: Vec<(usize, usize)> =
                (0..captures.len()).filter(|index| fates[*index % 120].0 > 0).map(|index| (index + 4 * fates[index % 120].1 / 2, index)).collect();
            order.sort();
            let mut microphone = Microphone::new();
            let mut base = None;
            let mut stored = BTreeMap::new();
            for (_, index) in order {
                let copies: Vec<(u32, &[u8])> = (index.saturating_sub(fates[index % 120].2)..index)
                    .filter(|copied| captures[index].wrapping_sub(captures[*copied]) < 1 << 14)
                    .map(|copied| (captures[copied], &frames[copied][..]))
                    .collect();
                let sequence = first.wrapping_add(index as u16);
                let made = microphone.receive(sequence, (captures[index], &frames[index]), &copies);
                let base = *base.get_or_insert_with(|| microphone.layer.store.highest().unwrap_or_default() - index as u64);
                match made {
                    Ok(made) => {
                        for number in made {
                            let lost = (number - base) as usize;
                            prop_assert!(stored.insert(number, ()).is_none());
                            prop_assert_eq!(
                                microphone.stored(number),
                                Some((OPUS, captures[lost], frames[lost].clone()))
                            );
                        }
                        prop_assert!(stored.insert(base + index as u64, ()).is_none());
                    }
                    Err(_) => prop_assert!(stored.contains_key(&(base + index as u64)) || index == 0),
                }
            }
        }
    }
}
