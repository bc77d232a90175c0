//! What holds for all packets: what is written is read back, and nothing that is read breaks anything.

use std::time::{Duration, Instant};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use rtp::codec::{
    CodecKind, PayloadDescriptor, av1, dependency_descriptor, h264, is_keyframe_start, red, vp8, vp9,
};
use rtp::extension::AudioLevel;
use rtp::header::{ExtensionForm, HeaderBuilder, HeaderFields};
use rtp::nack::{MAX_MISSING, NackGenerator};
use rtp::ntp::NtpTime;
use rtp::packet::{RtpPacket, is_rtcp};
use rtp::rtcp::{self, RtcpPacket};
use rtp::sequence::SequenceUnwrapper;
use rtp::twcc::ArrivalRecorder;

/// Some moment; tests count from it.
#[expect(clippy::disallowed_methods, reason = "there is no other way to an Instant")]
fn start() -> Instant {
    Instant::now()
}

fn fields() -> impl Strategy<Value = HeaderFields> {
    (any::<bool>(), 0..128_u8, any::<u16>(), any::<u32>(), any::<u32>()).prop_map(
        |(marker, payload_type, sequence_number, timestamp, ssrc)| HeaderFields {
            marker,
            payload_type,
            sequence_number,
            timestamp,
            ssrc,
        },
    )
}

/// Reads everything that an RTCP datagram holds.
fn walk_rtcp(bytes: &[u8]) {
    for packet in rtcp::parse(bytes) {
        match packet {
            Ok(RtcpPacket::SenderReport { reports, .. } | RtcpPacket::ReceiverReport { reports, .. }) => {
                assert!(reports.count() <= 31);
            }
            Ok(RtcpPacket::SourceDescription { chunks }) => assert!(chunks.count() <= 31),
            Ok(RtcpPacket::Goodbye { ssrcs }) => assert!(ssrcs.count() <= 31),
            Ok(RtcpPacket::Nack { lost, .. }) => assert!(lost.count() <= 17 * bytes.len() / 4),
            Ok(RtcpPacket::Fir { entries, .. }) => assert!(entries.count() <= bytes.len() / 8),
            Ok(RtcpPacket::TransportFeedback { arrivals, packet_count, .. }) => {
                assert_eq!(arrivals.count(), usize::from(packet_count));
            }
            Ok(RtcpPacket::Remb { ssrcs, .. }) => assert!(ssrcs.count() <= 255),
            Ok(RtcpPacket::ExtendedReport { blocks, .. }) => assert!(blocks.count() <= bytes.len() / 4),
            Ok(RtcpPacket::Pli { .. } | RtcpPacket::Unknown { .. }) | Err(_) => {}
        }
    }
}

/// Bytes that begin like RTCP of every type, so that the parsers behind the header are reached.
fn almost_rtcp() -> impl Strategy<Value = Vec<u8>> {
    let packet = (0..32_u8, 199..209_u8, vec(any::<u8>(), 0..80)).prop_map(|(format, kind, mut body)| {
        body.truncate(body.len() / 4 * 4);
        let words = (body.len() / 4) as u8;
        [&[0x80 | format, kind, 0, words], &body[..]].concat()
    });
    vec(packet, 0..4).prop_map(|packets| packets.concat())
}

proptest! {
    // A failing input is in the message; the tree stays as it is.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_header_is_read_as_it_was_written(
        fields in fields(),
        two_byte in any::<bool>(),
        elements in btree_map(any::<u8>(), vec(any::<u8>(), 0..40), 0..12),
        payload in vec(any::<u8>(), 0..50),
    ) {
        let form = if two_byte { ExtensionForm::TwoByte } else { ExtensionForm::OneByte };
        let mut bytes = [0xEE; 1500];
        let mut builder = HeaderBuilder::new(&mut bytes, &fields, form);
        for (id, value) in &elements {
            builder.extension(*id, value);
        }
        let len = builder.finish().unwrap();
        prop_assert_eq!(len % 4, 0);
        bytes[len..len + payload.len()].copy_from_slice(&payload);
        let packet = RtpPacket::parse(&bytes[..len + payload.len()]).unwrap();
        let read = HeaderFields {
            marker: packet.marker(),
            payload_type: packet.payload_type(),
            sequence_number: packet.sequence_number(),
            timestamp: packet.timestamp(),
            ssrc: packet.ssrc(),
        };
        prop_assert_eq!(read, fields);
        prop_assert_eq!((packet.header_len(), packet.payload()), (len, &payload[..]));
        let kept: Vec<_> = elements.iter().filter(|(id, value)| form.fits(**id, value.len())).collect();
        let found: Vec<_> = packet.extensions().collect();
        prop_assert_eq!(found.len(), kept.len());
        for ((id, value), found) in kept.into_iter().zip(found) {
            prop_assert_eq!((*id, &value[..]), found);
            prop_assert_eq!(packet.extension(*id), Some(&value[..]));
        }
    }

    #[test]
    fn any_bytes_are_a_packet_or_an_error(mut bytes in vec(any::<u8>(), 0..200), version in any::<bool>()) {
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = (*first & 0x3F) | 0x80;
        }
        let _ = is_rtcp(&bytes);
        if let Ok(packet) = RtpPacket::parse(&bytes) {
            let parts = packet.header_len() + packet.payload().len() + packet.padding_len();
            prop_assert_eq!(parts, bytes.len());
            let extension_bytes: usize = packet.extensions().map(|(_, value)| value.len() + 1).sum();
            prop_assert!(extension_bytes <= packet.header_len());
        }
    }

    #[test]
    fn any_bytes_are_rtcp_or_an_error(bytes in vec(any::<u8>(), 0..300), almost in almost_rtcp()) {
        walk_rtcp(&bytes);
        walk_rtcp(&almost);
    }

    #[test]
    fn any_bytes_are_descriptors_or_errors(payload in vec(any::<u8>(), 0..60), value in vec(any::<u8>(), 0..260)) {
        if let Ok(descriptor) = vp8::Descriptor::parse(&payload) {
            prop_assert!(descriptor.len <= payload.len() && descriptor.len <= vp8::MAX_DESCRIPTOR);
        }
        if let Ok(descriptor) = vp9::Descriptor::parse(&payload) {
            prop_assert!(descriptor.len <= payload.len());
        }
        prop_assert!(h264::nal_types(&payload).count() <= payload.len());
        if let Ok(redundant) = red::Redundant::parse(&payload) {
            let copied: usize = red::blocks(&payload).map(|block| block.payload.len()).sum();
            prop_assert_eq!(redundant.primary.len() + copied + redundant.copies * 4 + 1, payload.len());
        }
        prop_assert!(red::blocks(&payload).count() <= payload.len() / 4);
        let _ = av1::AggregationHeader::parse(&payload);
        let _ = AudioLevel::decode(&payload);
        for codec in CodecKind::ALL {
            is_keyframe_start(codec, &payload, PayloadDescriptor::parse(codec, &payload).as_ref(), None);
        }
        let structure = dependency_descriptor::Descriptor::parse(&value, None).ok().and_then(|d| d.structure);
        if let Ok(descriptor) = dependency_descriptor::Descriptor::parse(&payload, structure.as_deref()) {
            prop_assert!(descriptor.spatial_id <= 3 && descriptor.temporal_id <= 7);
            prop_assert!(descriptor.dependencies.frame_diffs().iter().all(|diff| *diff > 0));
        }
    }

    #[test]
    fn red_gives_back_the_primary_that_was_written(
        copies in vec(vec(any::<u8>(), 0..60), 0..5),
        primary in vec(any::<u8>(), 0..60),
    ) {
        let mut payload = Vec::new();
        for copy in &copies {
            let [high, low] = (copy.len() as u16).to_be_bytes();
            payload.extend([0x80 | 111, 0x0F, high, low]); // some time ago
        }
        payload.push(111);
        copies.iter().chain([&primary]).for_each(|block| payload.extend(block));
        let read = red::Redundant::parse(&payload);
        prop_assert_eq!(read, Ok(red::Redundant { payload_type: 111, primary: &primary, copies: copies.len() }));
        let blocks: Vec<&[u8]> = red::blocks(&payload).map(|block| block.payload).collect();
        prop_assert_eq!(blocks, copies);
    }

    #[test]
    fn a_damaged_structure_is_never_half_read(cut in 3..40_usize, at in 0..40_usize, value in any::<u8>()) {
        // One template and decode target per layer of L1T3, then damage.
        let mut bytes = vec![0xC0, 0, 1, 0x80, 0x02, 0x2D, 0xAA, 0x80, 0x50, 0x18, 0x00, 0x00, 0x00];
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        bytes.truncate(cut);
        if let Ok(descriptor) = dependency_descriptor::Descriptor::parse(&bytes, None) {
            let structure = descriptor.structure.unwrap();
            prop_assert!((1..=64).contains(&structure.templates().len()));
            prop_assert!(structure.chain_count() <= structure.decode_target_count());
            for target in 0..40 {
                prop_assert!(structure.protected_by(target).is_none_or(|chain| chain < structure.chain_count()));
                structure.decode_target_layer(target);
                structure.resolution(target as u8);
            }
        }
    }

    #[test]
    fn a_vp8_descriptor_is_rewritten_and_read_back(
        payload in vec(any::<u8>(), 1..10),
        picture_id in 0..0x8000_u16,
        tl0 in any::<u8>(),
        key_index in proptest::option::of(0..32_u8),
    ) {
        let Ok(original) = vp8::Descriptor::parse(&payload) else { return Ok(()) };
        let mut out = [0; vp8::MAX_DESCRIPTOR];
        let rewrite = vp8::rewrite(&original, picture_id, tl0, key_index, &mut out);
        prop_assert_eq!(rewrite.replaces, original.len);
        let forwarded = [&out[..rewrite.len], &payload[rewrite.replaces..]].concat();
        let read = vp8::Descriptor::parse(&forwarded).unwrap();
        prop_assert_eq!(read.len, rewrite.len);
        prop_assert_eq!(read.picture_id.map(|id| id.value), original.picture_id.map(|_| picture_id));
        prop_assert_eq!(read.tl0_pic_idx, original.tl0_pic_idx.map(|_| tl0));
        prop_assert_eq!(read.key_index, original.key_index.map(|own| key_index.unwrap_or(own)));
        prop_assert_eq!(
            (read.temporal_id, read.layer_sync, read.non_reference, read.partition_id, read.start_of_partition),
            (
                original.temporal_id,
                original.layer_sync,
                original.non_reference,
                original.partition_id,
                original.start_of_partition,
            ),
        );
        prop_assert_eq!(read.is_keyframe(&forwarded), original.is_keyframe(&payload));
    }

    #[test]
    fn a_nack_is_read_as_it_was_written(base in any::<u16>(), offsets in btree_set(0..2000_u16, 0..200)) {
        let lost: Vec<u16> = offsets.into_iter().map(|offset| base.wrapping_add(offset)).collect();
        let mut bytes = Vec::new();
        rtcp::write_nack(1, 2, &lost, &mut bytes);
        let read: Vec<u16> = rtcp::parse(&bytes)
            .flat_map(|packet| match packet {
                Ok(RtcpPacket::Nack { lost, .. }) => lost,
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(read, lost);
    }

    #[test]
    fn transport_feedback_is_read_as_it_was_written(
        base in any::<u16>(),
        reference in -0x80_0000..0x80_0000_i32,
        count in any::<u8>(),
        runs in vec((proptest::option::of(any::<i16>()), 1..40_usize), 1..30),
        small in any::<bool>(),
    ) {
        let arrivals: Vec<Option<i16>> = runs
            .into_iter()
            .flat_map(|(delta, length)| std::iter::repeat_n(delta.map(|d| if small { d & 0xFF } else { d }), length))
            .collect();
        let mut bytes = Vec::new();
        rtcp::write_transport_feedback(1, 2, base, reference, count, &arrivals, &mut bytes);
        let mut packets = rtcp::parse(&bytes);
        let Some(Ok(RtcpPacket::TransportFeedback {
            base_sequence, packet_count, feedback_count, reference_time, arrivals: read, ..
        })) = packets.next() else { panic!("no feedback") };
        prop_assert_eq!((base_sequence, usize::from(packet_count)), (base, arrivals.len()));
        prop_assert_eq!((feedback_count, reference_time), (count, reference));
        for (at, (sequence, delta)) in read.enumerate() {
            prop_assert_eq!((sequence, delta), (base.wrapping_add(at as u16), arrivals[at]));
        }
        prop_assert!(packets.next().is_none());
    }

    #[test]
    fn every_arrival_is_reported_once_at_its_time(
        first in any::<u16>(),
        steps in vec((-3..6_i32, 0..30_000_u64), 1..300),
        every in 1..60_usize,
    ) {
        let t = start();
        let mut recorder = ArrivalRecorder::new();
        // Times count from the first arrival.
        let (mut sequence, mut micros, mut epoch) = (first, 0, None);
        let mut recorded = std::collections::BTreeMap::new();
        let mut reported = std::collections::BTreeMap::new();
        let mut unwrapper = SequenceUnwrapper::new();
        for (at, (step, pause)) in steps.into_iter().enumerate() {
            sequence = sequence.wrapping_add_signed(step as i16);
            micros += pause;
            let number = unwrapper.extend(sequence);
            // A number that was reported and comes again is a new arrival to the recorder; packets do not.
            if recorded.contains_key(&number) {
                continue;
            }
            let epoch = *epoch.get_or_insert(micros);
            recorded.insert(number, (micros - epoch) / 250);
            recorder.record(sequence, t + Duration::from_micros(micros));
            if at % every == 0 {
                report(&mut recorder, t, &unwrapper, &mut reported);
            }
        }
        report(&mut recorder, t, &unwrapper, &mut reported);
        prop_assert_eq!(reported, recorded);
    }

    #[test]
    fn extended_numbers_follow_any_reordered_stream(first in any::<u16>(), steps in vec(-300..600_i64, 0..400)) {
        let mut unwrapper = SequenceUnwrapper::new();
        let mut position = i64::from(first) + SequenceUnwrapper::OFFSET as i64;
        prop_assert_eq!(unwrapper.extend(first), position as u64);
        let mut highest = position;
        for step in steps {
            position = (position + step).max(highest - 30_000);
            highest = highest.max(position);
            prop_assert_eq!(unwrapper.extend(position as u16), position as u64);
        }
    }

    #[test]
    fn requests_are_bounded_and_only_for_what_is_missing(
        events in vec((0..700_u64, 0..40_u64, 0..300_u64), 1..300),
    ) {
        let t = start();
        let mut nack = NackGenerator::new();
        let mut received = std::collections::BTreeSet::new();
        let (mut position, mut now) = (70_000, t);
        for (step, pause, rtt) in events {
            // Mostly forward by one or a few, now and then far.
            position += if step > 690 { step } else { step % 4 };
            let sequence = if step % 7 == 0 { position - step % 50 } else { position };
            now += Duration::from_millis(pause);
            nack.received(now, sequence);
            received.insert(sequence);
            let mut out = Vec::new();
            nack.poll(now, Duration::from_millis(rtt), &mut out);
            prop_assert!(out.len() <= MAX_MISSING && nack.missing() <= MAX_MISSING);
            let highest = *received.last().unwrap();
            for asked in out {
                let asked = highest - u64::from((highest as u16).wrapping_sub(asked));
                prop_assert!(!received.contains(&asked));
            }
            prop_assert!(nack.next_deadline().is_none_or(|due| due > now));
        }
    }

    #[test]
    fn a_later_time_is_later_over_wraps(nanos in 0..64_000_000_000_u64, units in any::<u64>()) {
        let time = Duration::from_nanos(nanos);
        let (ntp, other) = (NtpTime(units), NtpTime(units).wrapping_add(time));
        prop_assert_eq!(other.signed_units_since(ntp) >= 0, true);
    }
}

/// Takes all feedback and notes the arrivals in it by extended number; a second report of one is an error.
fn report(
    recorder: &mut ArrivalRecorder,
    t: Instant,
    unwrapper: &SequenceUnwrapper,
    reported: &mut std::collections::BTreeMap<u64, u64>,
) {
    let mut bytes = Vec::new();
    while recorder.write_feedback(t, 1, 2, &mut bytes) {}
    for packet in rtcp::parse(&bytes) {
        let Ok(RtcpPacket::TransportFeedback { reference_time, arrivals, .. }) = packet else {
            panic!("{packet:?}")
        };
        let mut tick = i64::from(reference_time) * 256;
        for (sequence, delta) in arrivals {
            let Some(delta) = delta else { continue };
            tick += i64::from(delta);
            let before = reported.insert(unwrapper.peek(sequence), tick as u64);
            assert_eq!(before, None, "{sequence} reported twice");
        }
    }
}
