use super::*;
use proptest::prelude::*;

/// What delay allows, in bit/s.
const ALLOWED: u64 = 2_000_000;

/// What arrives, where nothing more is sent.
fn seen(acknowledged: Option<u64>, allowed: u64) -> Traffic {
    Traffic { sent: acknowledged.unwrap_or(0), acknowledged, allowed, queue_grows: false }
}

fn run(
    control: &mut LossControl,
    start: Instant,
    seconds: u32,
    loss: impl Fn(u64, u32) -> bool,
) -> Vec<Option<u64>> {
    run_with(ALLOWED, control, start, seconds, loss)
}

/// Sends for some seconds what there is as far as loss allows, 1200-byte packets; `loss(rate, index)` says whether one
/// is lost. Returns the bound after each 100 ms.
fn run_with(
    demand: u64,
    control: &mut LossControl,
    start: Instant,
    seconds: u32,
    loss: impl Fn(u64, u32) -> bool,
) -> Vec<Option<u64>> {
    let mut bounds = Vec::new();
    let mut index = 0;
    for tick in 0..seconds * 10 {
        let now = start + Duration::from_millis(100) * tick;
        let rate = control.bound().unwrap_or(demand).min(demand);
        let packets = (rate / 96_000).max(1) as u32;
        let mut arrived = 0;
        for _ in 0..packets {
            index += 1;
            let received = !loss(rate, index);
            arrived += u64::from(received);
            control.packet(now, received);
        }
        let acknowledged = Some(rate * arrived / u64::from(packets));
        control.update(now, &Traffic { sent: rate, ..seen(acknowledged, ALLOWED) });
        bounds.push(control.bound());
    }
    bounds
}

fn random(index: u32) -> f64 {
    // SplitMix64's finisher over the index: the same numbers in every run.
    let mut bits = u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits >> 40) as f64 / f64::from(1 << 24)
}

#[test]
fn loss_that_does_not_depend_on_the_rate_costs_one_question() {
    for share in [0.1, 0.2] {
        let mut control = LossControl::new();
        let bounds = run(&mut control, crate::test_start(), 60, |_, index| random(index) < share);
        let bounded = bounds.iter().flatten().count();
        assert!((1..120).contains(&bounded), "{share}: bounded for {bounded} of 600");
        assert!((control.inherent() - share).abs() < 0.1, "{}", control.inherent());
    }
}

#[test]
fn nothing_is_asked_while_little_of_what_delay_allows_is_used() {
    let is_bounded = |acknowledged: u64, lost_of: u32| {
        let mut control = LossControl::new();
        (0..20).any(|interval| {
            let start = crate::test_start() + INTERVAL * interval;
            for index in 0..30 {
                control.packet(start + INTERVAL / 30 * index, !index.is_multiple_of(lost_of));
            }
            control.update(start + INTERVAL, &seen(Some(acknowledged), ALLOWED));
            control.bound().is_some()
        })
    };
    assert!(!is_bounded(ALLOWED / 3, 5), "a fifth is lost of a third");
    assert!(is_bounded(ALLOWED * 2 / 3, 5), "of two thirds");
    assert!(is_bounded(ALLOWED / 3, 2), "much is lost");
}

#[test]
fn sound_that_a_line_does_not_carry_leaves_no_room_for_pictures() {
    for (packets, pause) in [(30, 300), (20, 50)] {
        let mut control = LossControl::new();
        let mut bounds = Vec::new();
        let pause = Duration::from_millis(pause);
        for tick in 0..(Duration::from_secs(30).as_millis() / pause.as_millis()) as u32 {
            let now = crate::test_start() + pause * tick;
            for index in 0..packets {
                control.packet(now + pause / packets * index, random(tick * packets + index) > 0.45);
            }
            let sent = 210_000; // whatever the bound says
            control.update(now + pause, &Traffic { sent, ..seen(Some(115_000), 300_000) });
            bounds.push(control.bound());
        }
        let later = &bounds[bounds.len() / 10..];
        let bounded = later.iter().filter(|bound| bound.is_some_and(|bound| bound < 200_000)).count();
        assert!(bounded * 10 > later.len() * 7, "{packets}: {bounded} of {}", later.len());
        assert!(control.inherent() < 0.1, "{packets}: {}", control.inherent());
    }
}

#[test]
fn what_chance_answers_does_not_stay() {
    let bounded = |row: u32| {
        let mut control = LossControl::new();
        let is_lost = |_, index: u32| random(index + row * 10_000) < 0.1;
        run_with(500_000, &mut control, crate::test_start(), 40, is_lost).iter().flatten().count()
    };
    let longest = (0..100).map(bounded).max();
    assert!(longest < Some(200), "bounded for {longest:?} tenths of a second of 400");
}

#[test]
fn a_policer_is_followed_and_its_end_found() {
    let mut control = LossControl::new();
    let start = crate::test_start();
    let policed = |rate: u64, index: u32| random(index) < 1.0 - (1_000_000.0 / rate as f64).min(1.0);
    let bounds = run(&mut control, start, 40, policed);
    for bound in &bounds[50..] {
        let bound = bound.expect("bounded");
        assert!((600_000..1_300_000).contains(&bound), "{bound}");
    }
    let free = run(&mut control, start + Duration::from_secs(40), 25, |_, _| false);
    assert_eq!(free.last(), Some(&None), "the bound has grown away");
}

#[test]
fn loss_that_grows_little_by_little_is_asked_about_and_not_got_used_to() {
    let mut control = LossControl::new();
    let start = crate::test_start();
    run(&mut control, start, 20, |_, index| random(index) < 0.2);
    let known = control.inherent();
    // A quarter more is lost after a minute; no interval loses much more than the one before.
    let growing = |_, index: u32| random(index) < 0.2 + 0.25 * f64::from(index.min(1200)) / 1200.0;
    let bounds = run(&mut control, start + Duration::from_secs(20), 60, growing);
    assert!(bounds.iter().any(Option::is_some), "asked");
    assert!(control.inherent() > known + CREEP, "answered: {} after {known}", control.inherent());
    // Who is told nothing new believes nothing new.
    let mut control = LossControl { inherent: 0.2, found: 0.2, ..LossControl::new() };
    for interval in 0..1000 {
        let now = start + INTERVAL * interval;
        (0..30).for_each(|index| control.packet(now, index % 4 != 0));
        control.update(now, &seen(None, 2_000_000));
    }
    assert!(control.inherent() <= 0.2 + CREEP, "{}", control.inherent());
}

#[test]
fn what_was_lost_while_the_line_was_cut_is_no_loss() {
    let mut control = LossControl::new();
    let now = crate::test_start();
    control.reset(now + Duration::from_secs(5));
    for _ in 0..100 {
        control.packet(now, false);
    }
    control.update(now + Duration::from_secs(6), &seen(Some(1_000_000), 2_000_000));
    control.update(now + Duration::from_secs(7), &seen(Some(1_000_000), 2_000_000));
    assert_eq!((control.bound(), control.loss()), (None, 0.0));
}

#[test]
fn what_comes_late_makes_up_for_its_own_loss_only() {
    let start = crate::test_start();
    // Intervals of 40 packets, of which a quarter is lost and arrives after the time that `late_by` gives.
    let loss = |late_by: Option<Duration>| {
        let mut control = LossControl::new();
        let mut on_its_way = Vec::new();
        for index in 0..400u32 {
            let now = start + Duration::from_millis(10) * index;
            let is_late = index % 4 == 0;
            control.packet(now, !is_late);
            on_its_way.extend(is_late.then_some(now));
            let arrives = |sent: &Instant| late_by.is_some_and(|late_by| *sent + late_by <= now);
            while let Some(sent) = on_its_way.first().copied().filter(arrives) {
                on_its_way.remove(0);
                control.late(sent);
            }
            if index % 40 == 39 {
                control.update(now, &seen(None, 2_000_000));
            }
        }
        control.loss()
    };
    let lost = loss(None);
    assert!(lost > 0.2, "{lost}");
    assert!(loss(Some(Duration::from_millis(20))) < 0.05, "overtaken, not lost");
    let later = loss(Some(Duration::from_secs(1)));
    assert!((later - lost).abs() < 0.01, "{later}: what was judged is no credit");
}

proptest! {
    #[test]
    fn shares_stay_shares(steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0u64..400, any::<u64>(), any::<bool>()), 0..1000)) {
        let mut control = LossControl::new();
        let mut now = crate::test_start();
        for (received, late, millis, rate, grows) in steps {
            now += Duration::from_millis(millis);
            control.packet(now, received);
            if late {
                control.late(now);
            }
            control.update(now, &Traffic { queue_grows: grows, ..seen(Some(rate), rate) });
            prop_assert!((0.0..=1.0).contains(&control.loss()));
            prop_assert!((0.0..=MAX_INHERENT).contains(&control.inherent()));
            prop_assert!(control.found <= control.inherent());
        }
    }
}
