use super::*;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

/// Takes everything that may leave now.
fn drain(pacer: &mut Pacer<u32>, now: Instant) -> Vec<u32> {
    let mut left = Vec::new();
    while let Some(item) = pacer.poll(now) {
        pacer.sent(now, 1200);
        left.push(item);
    }
    left
}

/// The same, and what padding a probe needs beside it.
fn drain_and_pad(pacer: &mut Pacer<u32>, now: Instant) {
    drain(pacer, now);
    while let Some(bytes) = pacer.padding(now) {
        pacer.sent(now, bytes);
    }
}

#[test]
fn a_key_frame_leaves_in_bursts_and_sound_passes_it() {
    let start = crate::test_start();
    let mut pacer = Pacer::new();
    pacer.set_estimate(2_000_000);
    for item in 0..60 {
        pacer.push(start, Class::Video, 1200, item);
    }
    pacer.push(start, Class::Audio, 100, 1000);
    pacer.push(start, Class::Retransmission, 1200, 2000);
    assert_eq!(drain(&mut pacer, start)[..2], [1000, 2000]);
    let mut now = start;
    let mut bursts = Vec::new();
    while let Some(next) = pacer.next_timeout(now) {
        now = next;
        bursts.push(drain(&mut pacer, now).len());
    }
    // 72 KB at 5 Mbit/s would take 115 ms, and what comes in counts one and a half times.
    assert!(now - start <= LONGEST_WAIT, "{:?}", now - start);
    assert!(bursts.len() > 10 && bursts.iter().all(|burst| *burst <= 5), "{bursts:?}");
}

#[test]
fn an_estimate_that_is_far_too_low_makes_no_standing_queue() {
    let start = crate::test_start();
    let mut pacer = Pacer::new();
    pacer.set_estimate(30_000);
    let mut waited = Vec::new();
    for tick in 0..5000 {
        let now = start + MS * tick;
        pacer.push(now, Class::Video, 1200, tick); // 9.6 Mbit/s
        waited.extend(drain(&mut pacer, now).into_iter().map(|item| tick - item));
    }
    assert!(waited.iter().all(|wait| *wait < 850));
    assert!(waited[2000..].iter().all(|wait| *wait < 10), "{:?}", waited[2000..].iter().max());
}

#[test]
fn what_is_scrolled_waits_for_the_line_and_faces_pass_it() {
    let start = crate::test_start();
    let mut pacer = Pacer::new();
    pacer.set_estimate(1_000_000);
    let (mut screens, mut faces) = (0, Vec::new());
    for tick in 0..4000 {
        let now = start + MS * tick;
        if tick < 1000 && tick % 5 == 0 {
            pacer.push(now, Class::Screen, 1200, 0); // 1.9 Mbit/s for a second
        }
        if tick % 40 == 0 {
            pacer.push(now, Class::Video, 1200, tick); // 0.24 Mbit/s
        }
        for item in drain(&mut pacer, now) {
            match item {
                0 if tick > 0 => screens += 1,
                since => faces.push(tick - since),
            }
        }
        match tick {
            200 => assert!(!pacer.is_behind()),
            999 => assert!(pacer.is_behind() && pacer.holds_screen(start + MS * 900)),
            _ => {}
        }
        let most = tick / 10 + 25; // what the estimate is in packets, and at its beginning a little more
        assert!(screens + faces.len() as u32 <= most, "{screens} {} at {tick} ms", faces.len());
    }
    assert!(pacer.is_empty() && !pacer.is_behind());
    assert!(screens >= 199 && faces.iter().all(|wait| *wait <= 15), "{screens} {:?}", faces.iter().max());
}

#[test]
fn a_screen_waits_no_longer_than_it_is_stored() {
    let start = crate::test_start();
    let mut pacer = Pacer::new();
    pacer.set_estimate(100_000);
    (0..80).for_each(|item| pacer.push(start, Class::Screen, 1200, item)); // 7.7 s
    let mut now = start;
    while let Some(next) = pacer.next_timeout(now) {
        now = next;
        drain(&mut pacer, now);
    }
    assert!(now - start > SCREEN_WAIT / 2 && now - start <= SCREEN_WAIT + MS * 100, "{:?}", now - start);
}

#[test]
fn while_the_line_is_cut_sound_goes_on_and_pictures_become_too_old() {
    let start = crate::test_start();
    let mut pacer = Pacer::new();
    pacer.set_cut(true);
    pacer.push(start, Class::Video, 1200, 1);
    pacer.push(start, Class::Audio, 100, 2);
    assert_eq!(drain(&mut pacer, start), [2]);
    let due = pacer.next_timeout(start).expect("the picture will be too old");
    assert!(drain(&mut pacer, due).is_empty());
    assert_eq!((pacer.len(), pacer.next_timeout(due)), (0, None));
}

#[test]
fn a_line_that_comes_back_is_not_probed_at_the_rate_of_before() {
    let start = crate::test_start();
    let mut pacer = Pacer::new();
    pacer.start_probe(Probe { cluster: ClusterId(7), rate: 3_000_000, bytes: 6000, packets: 5 });
    drain_and_pad(&mut pacer, start);
    assert_eq!(pacer.cluster(), Some(ClusterId(7)), "its first packet has left");
    pacer.set_cut(true);
    pacer.set_cut(false);
    let later = start + 100 * MS;
    assert_eq!((pacer.cluster(), pacer.padding(later)), (None, None));
    pacer.push(later, Class::Video, 1200, 1);
    assert_eq!(drain(&mut pacer, later), [1], "pictures go on");
}

#[test]
fn a_probe_goes_at_its_own_rate_with_media_first_and_padding_for_the_rest() {
    let start = crate::test_start();
    let mut pacer = Pacer::new();
    pacer.set_estimate(600_000);
    let probe = Probe { cluster: ClusterId(7), rate: 3_000_000, bytes: 6000, packets: 5 };
    pacer.push(start, Class::Video, 1200, 1);
    pacer.start_probe(probe);
    let mut now = start;
    let mut sent = Vec::new();
    while let Some(next) = pacer.next_timeout(now).filter(|_| pacer.cluster().is_some()) {
        now = next.max(now);
        let bytes = match pacer.poll(now) {
            Some(_) => 1200,
            None => pacer.padding(now).expect("it is time"),
        };
        sent.push((now - start, bytes));
        pacer.sent(now, bytes);
    }
    assert_eq!(sent.len(), 5, "{sent:?}");
    assert_eq!(now - start, Duration::from_micros(4 * 3200), "1200 bytes each at 3 Mbit/s");
}

proptest! {
    /// Everything that is pushed leaves or is dropped, memory is bounded, and somebody who waits for the timeout
    /// gets on: whether the line is cut, whether it is probed.
    #[test]
    fn nothing_stays_for_ever(
        packets in prop::collection::vec((0u8..5, 0u32..1500, 0u64..20, 0u64..1_000_000, 0u8..40), 1..500),
    ) {
        let mut pacer = Pacer::new();
        let mut now = crate::test_start();
        let mut is_cut = false;
        for (index, (class, bytes, millis, estimate, chance)) in packets.iter().copied().enumerate() {
            now += MS * millis as u32;
            pacer.set_estimate(estimate);
            match chance {
                0 | 1 => is_cut = true,
                2 | 3 => is_cut = false,
                4 | 5 if !is_cut => pacer.start_probe(Probe {
                    cluster: ClusterId(index as u32),
                    rate: estimate.max(LEAST_RATE) * 2,
                    bytes: bytes * 10,
                    packets: u32::from(class) * 5,
                }),
                _ => {}
            }
            pacer.set_cut(is_cut);
            let class = [Class::Audio, Class::Retransmission, Class::Video, Class::Screen, Class::ScreenKey][usize::from(class)];
            pacer.push(now, class, bytes, index as u32);
            drain_and_pad(&mut pacer, now);
        }
        let began = now;
        while let Some(next) = pacer.next_timeout(now) {
            prop_assert!(next > now);
            now = next;
            drain_and_pad(&mut pacer, now);
        }
        prop_assert!(pacer.is_empty());
        prop_assert!(pacer.cluster().is_none(), "a probe comes to its end");
        // 15 KB of a probe at 200 kbit/s come first.
        let has_screens = packets.iter().any(|(class, ..)| *class >= 3);
        let longest = match is_cut {
            true => HELD,
            false if has_screens => SCREEN_WAIT + Duration::from_secs(1),
            false => LONGEST_WAIT * 2 + Duration::from_secs(1),
        };
        prop_assert!(now - began <= longest, "{:?}", now - began);
    }
}
