use super::super::frame::Switch;
use super::*;
use proptest::prelude::*;

const RATE: u32 = 90_000;

fn header(sequence: u64, timestamp: u32, keyframe_start: bool) -> PacketHeader {
    PacketHeader {
        sequence,
        timestamp,
        payload_type: 96,
        marker: true,
        keyframe_start,
        picture: Some((Some(sequence as u16 & 0x7fff), Some(sequence as u8))),
        frame: None,
        arrival: crate::test_start(),
    }
}

fn incoming(layer: usize, header: &PacketHeader) -> Incoming<'_> {
    Incoming {
        layer,
        generation: 0,
        is_simulcast: true,
        report: None,
        header,
        is_late: false,
        clock_rate: RATE,
    }
}

fn encoding(spatial: u8) -> LayerTarget {
    LayerTarget { spatial, ..LayerTarget::BEST }
}

fn at(millis: u64) -> Instant {
    crate::test_start() + Duration::from_millis(millis)
}

#[test]
fn video_starts_at_a_key_frame_of_whatever_layer_comes_first() {
    let mut forwarder = Forwarder::new(true, 500);
    assert_eq!(forwarder.forward(at(0), &incoming(0, &header(10, 0, false)), encoding(2)), None);
    let first =
        forwarder.forward(at(1), &incoming(0, &header(11, 100, true)), encoding(2)).expect("a key frame");
    assert_eq!((first.sequence as u16, first.timestamp, first.picture_offset), (500, 100, (0, 0)));
    assert!(forwarder.wants_keyframe(2, 0, true, encoding(2)), "the best layer is still to come");
}

#[test]
fn numbers_continue_over_a_change_of_layer() {
    let mut forwarder = Forwarder::new(true, 65_535);
    let before =
        forwarder.forward(at(0), &incoming(0, &header(11, 1_000, true)), encoding(0)).expect("starts");
    assert_eq!(
        forwarder.forward(at(50), &incoming(1, &header(7_000, 9, false)), encoding(1)),
        None,
        "not at a key frame"
    );
    let after = forwarder
        .forward(at(100), &incoming(1, &header(7_001, 800_000, true)), encoding(1))
        .expect("changes");
    assert_eq!(after.sequence, before.sequence + 1);
    assert_eq!(after.timestamp, 1_000 + 9_000, "100 ms later");
    let picture = (7_001u16 & 0x7fff).wrapping_add(after.picture_offset.0) & 0x7fff;
    assert_eq!(picture, 12);
    assert_eq!(
        forwarder.forward(at(101), &incoming(0, &header(12, 1_000, false)), encoding(1)),
        None,
        "the old layer ended"
    );
}

#[test]
fn sender_reports_date_the_new_layer_exactly() {
    let report = |ntp_ms: u64, rtp_timestamp| ReceivedReport {
        ntp: rtp::ntp::NtpTime::from_duration(Duration::from_millis(ntp_ms)),
        rtp_timestamp,
        arrival: at(0),
    };
    let (low, high) = (report(0, 0), report(0, 500_000));
    let mut forwarder = Forwarder::new(true, 0);
    let first = header(1, 0, true);
    forwarder.forward(at(0), &Incoming { report: Some(&low), ..incoming(0, &first) }, encoding(0));
    // Sampled 66 ms after the first, but a queue made it arrive 166 ms after.
    let second = header(1, 500_000 + 5_940, true);
    let mapped = forwarder
        .forward(at(166), &Incoming { report: Some(&high), ..incoming(1, &second) }, encoding(1))
        .expect("changes");
    assert!(mapped.timestamp.abs_diff(5_940) <= 1, "{}", mapped.timestamp);
}

#[test]
fn a_key_frame_that_was_repaired_too_late_begins_nothing() {
    let report = ReceivedReport { ntp: rtp::ntp::NtpTime(0), rtp_timestamp: 0, arrival: at(0) };
    let mut forwarder = Forwarder::new(true, 0);
    let mut forward = |millis, layer, header: &PacketHeader, is_late| {
        let incoming = Incoming { report: Some(&report), is_late, ..incoming(layer, header) };
        forwarder.forward(at(millis), &incoming, encoding(1)).is_some()
    };
    assert!(forward(0, 0, &header(0, 0, true), false));
    assert!(forward(200, 0, &header(1, 18_000, false), false));
    assert!(!forward(201, 1, &header(5, 9_000, true), true), "of 100 ms before what is shown");
    assert!(forward(202, 1, &header(9, 18_001, true), true), "late, and still newer");
}

#[test]
fn a_report_that_came_after_the_source_began_dates_the_next_change() {
    let report = |rtp_timestamp| ReceivedReport { ntp: rtp::ntp::NtpTime(0), rtp_timestamp, arrival: at(0) };
    let mut forwarder = Forwarder::new(true, 0);
    forwarder.forward(at(0), &incoming(0, &header(1, 0, true)), encoding(0));
    forwarder.learn_report(report(0));
    let (high, second) = (report(500_000), header(1, 500_000 + 5_940, true));
    let mapped = forwarder
        .forward(at(166), &Incoming { report: Some(&high), ..incoming(1, &second) }, encoding(1))
        .expect("changes");
    assert!(mapped.timestamp.abs_diff(5_940) <= 1, "{}", mapped.timestamp);
}

#[test]
fn what_a_subscriber_asks_for_is_found_over_changes_of_layer() {
    let mut forwarder = Forwarder::new(true, 65_530);
    for sequence in 10..20 {
        forwarder.forward(at(0), &incoming(0, &header(sequence, 0, sequence == 10)), encoding(0));
    }
    let switched =
        forwarder.forward(at(10), &incoming(1, &header(900, 0, true)), encoding(1)).expect("changes");
    let (_, origin) = forwarder.origin(switched.sequence as u16).expect("known");
    assert_eq!((origin.layer, origin.sequence), (1, 900));
    let (_, origin) = forwarder.origin((switched.sequence - 3) as u16).expect("known");
    assert_eq!((origin.layer, origin.sequence), (0, 17));
    assert_eq!(forwarder.origin((switched.sequence + 1) as u16), None);
}

#[test]
fn a_new_source_of_the_same_layer_waits_for_its_key_frame() {
    let mut forwarder = Forwarder::new(true, 1);
    let first = forwarder.forward(at(0), &incoming(0, &header(5, 0, true)), encoding(0)).expect("starts");
    let restarted = header(2, 77, false);
    assert_eq!(
        forwarder.forward(at(1), &Incoming { generation: 1, ..incoming(0, &restarted) }, encoding(0)),
        None
    );
    let restarted = header(3, 77, true);
    let second =
        forwarder.forward(at(2), &Incoming { generation: 1, ..incoming(0, &restarted) }, encoding(0));
    assert_eq!(second.map(|mapped| mapped.sequence), Some(first.sequence + 1));
}

#[test]
fn sound_needs_no_key_frame() {
    let mut forwarder = Forwarder::new(false, 9);
    assert!(forwarder.forward(at(0), &incoming(0, &header(5, 0, false)), encoding(0)).is_some());
    assert!(!forwarder.wants_keyframe(0, 0, true, encoding(0)));
}

/// A stream of one encoding whose every picture is one packet per spatial layer.
fn frame_header(sequence: u64, picture: u64, spatial: u8, references: &[u16]) -> PacketHeader {
    let frame =
        Frame::example(picture * 4 + u64::from(spatial), spatial, 0, Switch::ByReferences, references);
    PacketHeader {
        marker: spatial == 2,
        keyframe_start: frame.is_key,
        picture: None,
        frame: Some(frame),
        ..header(sequence, picture as u32 * 3000, false)
    }
}

fn scalable(header: &PacketHeader) -> Incoming<'_> {
    Incoming { is_simulcast: false, ..incoming(0, header) }
}

#[test]
fn layers_left_out_leave_no_gaps_and_the_last_packet_is_marked() {
    let mut forwarder = Forwarder::new(true, 100);
    let mut got = Vec::new();
    for picture in 0..4 {
        let target = encoding(if picture < 2 { 2 } else { 0 });
        for spatial in 0..3u8 {
            let references: &[u16] = match (picture, spatial) {
                (0, 0) => &[],
                (0, _) => &[1],
                _ => &[4],
            };
            let header = frame_header(picture * 3 + u64::from(spatial), picture, spatial, references);
            if let Some(mapped) = forwarder.forward(at(picture * 33), &scalable(&header), target) {
                got.push((mapped.sequence, mapped.marker));
            }
        }
    }
    let marks = [false, false, true, false, false, true, true, true];
    assert_eq!(got, (100..108).zip(marks).collect::<Vec<_>>());
    let (outgoing, origin) = forwarder.origin(107).expect("known");
    assert_eq!((outgoing, origin.sequence), (107, 9));
    let again = forwarder.again(outgoing, &origin, &frame_header(9, 3, 0, &[4]));
    assert!(again.marker, "as it was the first time");
    assert_eq!(forwarder.origin(105).map(|(_, origin)| origin.sequence), Some(5));
}

#[test]
fn more_layers_are_waited_for_until_a_key_frame() {
    let mut forwarder = Forwarder::new(true, 0);
    forwarder.forward(at(0), &scalable(&frame_header(0, 0, 0, &[])), encoding(0));
    assert!(!forwarder.wants_keyframe(0, 0, false, encoding(0)));
    assert!(forwarder.wants_keyframe(0, 0, false, encoding(2)));
    forwarder.forward(at(33), &scalable(&frame_header(3, 1, 0, &[])), encoding(2));
    assert!(!forwarder.wants_keyframe(0, 0, false, encoding(2)));
}

#[test]
fn what_is_lost_keeps_its_number_and_padding_fills_it_if_it_is_not_wanted() {
    let mut forwarder = Forwarder::new(true, 0);
    let mut forward = |sequence, picture, spatial, references: &[u16]| {
        let header = frame_header(sequence, picture, spatial, references);
        let mapped = forwarder.forward(at(picture * 33), &scalable(&header), encoding(0))?;
        Some((mapped.sequence, mapped.is_padding))
    };
    assert_eq!(forward(10, 0, 0, &[]), Some((0, false)));
    assert_eq!(forward(11, 0, 1, &[1]), None, "left out");
    // 12 (the third layer), 13 (the next picture) and 14 are late.
    assert_eq!(forward(15, 1, 2, &[1]), None);
    assert_eq!(forward(16, 2, 0, &[4]), Some((4, false)), "three may come yet");
    assert_eq!(forward(13, 1, 0, &[4]), Some((2, false)));
    assert_eq!(forward(12, 0, 2, &[1]), Some((1, true)));
    assert_eq!(forward(14, 1, 1, &[1]), Some((3, true)));
    assert_eq!(forward(17, 2, 1, &[1]), None);
    assert_eq!(forward(18, 3, 0, &[4]), Some((5, false)));
}

#[test]
fn picture_ids_continue_over_frames_left_out() {
    let mut forwarder = Forwarder::new(true, 0);
    let mut ids = Vec::new();
    for picture in 0..9u64 {
        let temporal = (picture % 2) as u8;
        let frame = Frame::example(picture, 0, temporal, Switch::No, &[]);
        // Two packets per picture.
        for sequence in [picture * 2, picture * 2 + 1] {
            let header = PacketHeader {
                picture: Some((Some((32_766 + picture as u16) & 0x7fff), None)),
                frame: Some(Frame { is_key: picture == 0, ..frame }),
                ..header(sequence, picture as u32 * 3000, sequence == 0)
            };
            let target = LayerTarget { spatial: 0, temporal: u8::from(picture >= 6) };
            if let Some(mapped) = forwarder.forward(at(picture * 33), &scalable(&header), target) {
                let (id, _) = header.picture.expect("has one");
                ids.push(id.expect("has one").wrapping_add(mapped.picture_offset.0) & 0x7fff);
            }
        }
    }
    assert_eq!(ids, [32_766, 32_766, 32_767, 32_767, 0, 0, 1, 1, 2, 2]);
}

/// What a subscriber of two temporal layers of L1T3 (0, 2, 1, 2, and so on) gets of twelve pictures when the one of this number
/// is overtaken by the next: each one's layer and picture id, by sequence number; `None` for padding.
fn of_two_temporal_layers(overtaken: u64) -> Vec<Option<(u8, u16)>> {
    let mut forwarder = Forwarder::new(true, 0);
    let mut order: Vec<u64> = (0..12).collect();
    order.swap(overtaken as usize, overtaken as usize + 1);
    let mut got = std::collections::BTreeMap::new();
    for picture in order {
        let temporal = [0, 2, 1, 2][picture as usize % 4];
        // The first of each layer since a picture of layer 0 needs that only.
        let switch = if [1, 2].contains(&(picture % 4)) { Switch::Here } else { Switch::No };
        let frame = Frame::example(picture, 0, temporal, switch, &[]);
        let header = PacketHeader {
            picture: Some((Some(picture as u16), None)),
            frame: Some(Frame { is_key: picture == 0, ..frame }),
            ..header(picture, picture as u32 * 3000, picture == 0)
        };
        let target = LayerTarget { spatial: 0, temporal: 1 };
        if let Some(mapped) = forwarder.forward(at(picture * 33), &scalable(&header), target) {
            let id = (picture as u16).wrapping_add(mapped.picture_offset.0) & 0x7fff;
            got.insert(mapped.sequence, (!mapped.is_padding).then_some((temporal, id)));
        }
    }
    got.into_values().collect()
}

#[test]
fn a_picture_that_was_overtaken_and_needs_layer_0_only_takes_the_picture_id_that_was_kept_for_it() {
    let expected = [(0, 0), (1, 1), (0, 2), (2, 3), (1, 4), (0, 5), (1, 6)];
    assert_eq!(of_two_temporal_layers(5), expected.map(Some));
    // One that needs others of its layer could not be decoded, and receivers wait at its id for the next that needs no more
    // than layer 0.
    let expected = [Some((0, 0)), Some((1, 1)), None, Some((0, 3)), Some((1, 4)), Some((0, 5)), Some((1, 6))];
    assert_eq!(of_two_temporal_layers(3), expected);
}

proptest! {
    /// Layers left out of a stream that loses and reorders: numbers are given once, lead back, and leave out no
    /// more than what did not arrive.
    #[test]
    fn numbers_are_unique_and_gapless_whatever_is_left_out(
        packets in prop::collection::vec((0u8..10, 0u8..3), 3..300),
    ) {
        let mut forwarder = Forwarder::new(true, 65_500);
        let mut given = std::collections::BTreeMap::new();
        let mut late = Vec::new();
        let mut missing = 0;
        for (sequence, (chance, target)) in packets.into_iter().enumerate() {
            let (picture, spatial) = (sequence as u64 / 3, (sequence % 3) as u8);
            let references: &[u16] = match (picture % 20, spatial) {
                (0, 0) => &[],
                (0, _) => &[1],
                _ => &[4],
            };
            let header = frame_header(sequence as u64, picture, spatial, references);
            if chance == 0 && sequence > 0 {
                missing += 1; // lost
                continue;
            }
            if chance == 1 && sequence > 0 {
                missing += 1;
                late.push(header);
                continue;
            }
            let mut now = vec![header];
            if chance == 2 {
                now.append(&mut late);
            }
            for header in now {
                let mapped = forwarder.forward(at(picture * 33), &scalable(&header), encoding(target));
                if let Some(mapped) = mapped {
                    prop_assert!(given.insert(mapped.sequence, header.sequence).is_none());
                    let (outgoing, origin) = forwarder.origin(mapped.sequence as u16).expect("known");
                    prop_assert_eq!((outgoing, origin.sequence), (mapped.sequence, header.sequence));
                }
            }
        }
        let (first, last) = (given.keys().next(), given.keys().next_back());
        if let (Some(first), Some(last)) = (first, last) {
            prop_assert!((last - first + 1) as usize <= given.len() + missing);
        }
    }

    /// Whatever arrives in whatever order, no outgoing number is given twice, and it leads back to the
    /// packet that got it (while its source is remembered).
    #[test]
    fn outgoing_numbers_are_unique_and_lead_back(
        packets in prop::collection::vec((0usize..3, 0u64..400, any::<bool>(), 0u8..3), 1..400),
    ) {
        let mut forwarder = Forwarder::new(true, 65_500);
        let mut seen = std::collections::HashSet::new();
        let mut given = std::collections::HashSet::new();
        for (index, (layer, sequence, keyframe, target)) in packets.into_iter().enumerate() {
            if !seen.insert((layer, sequence)) {
                continue; // the store refuses duplicates
            }
            let header = header(sequence, sequence as u32 * 3000, keyframe);
            let now = at(index as u64 * 10);
            if let Some(mapped) = forwarder.forward(now, &incoming(layer, &header), encoding(target)) {
                prop_assert!(given.insert(mapped.sequence));
                let (_, origin) = forwarder.origin(mapped.sequence as u16).expect("just forwarded");
                prop_assert_eq!((origin.layer, origin.sequence), (layer, sequence));
            }
        }
    }
}
