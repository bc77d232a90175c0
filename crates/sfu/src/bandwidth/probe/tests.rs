use super::*;

const MS: Duration = Duration::from_millis(1);

fn situation(estimate: u64, demand: u64) -> Situation {
    Situation {
        estimate,
        demand,
        max: 30_000_000,
        is_calm: true,
        last_decrease: None,
        jitter: Duration::ZERO,
    }
}

/// Sends a probe over a line of `capacity` bit/s and returns what it found.
fn send(prober: &mut Prober, now: Instant, probe: Probe, estimate: u64, capacity: u64) -> Option<u64> {
    let bytes = (probe.bytes / probe.packets + 1).max(300);
    let gap = Duration::from_micros(u64::from(bytes) * 8_000_000 / probe.rate);
    let service = i64::from(bytes) * 8_000_000 / capacity as i64;
    let mut free = 0;
    for index in 0..probe.packets {
        let at = gap * index;
        prober.sent(now + at, probe.cluster, bytes);
        free = free.max(at.as_micros() as i64) + service;
        prober.received(probe.cluster, now + at, bytes, free);
    }
    prober.finding(now + 50 * MS, estimate, 0.0)
}

#[test]
fn the_first_probes_climb_until_the_line_is_full() {
    let mut prober = Prober::new(300_000);
    let mut now = crate::test_start();
    let mut estimate = 300_000;
    let mut rates = Vec::new();
    while let Some(probe) = prober.poll(now, &situation(estimate, 20_000_000)) {
        rates.push(probe.rate);
        estimate = send(&mut prober, now, probe, estimate, 10_000_000).expect("found").max(estimate);
        now += 100 * MS;
    }
    assert_eq!(rates[..2], [1_800_000, 3_600_000]);
    assert!(rates[2] > 6_500_000, "{rates:?}");
    assert!((8_000_000..=10_000_000).contains(&estimate), "{estimate}");
}

#[test]
fn nothing_is_probed_for_that_nobody_could_use() {
    let mut prober = Prober::new(600_000);
    let now = crate::test_start();
    assert_eq!(prober.poll(now, &situation(600_000, 600_000)), None);
    let probe = prober.poll(now, &situation(600_000, 1_000_000)).expect("wanted");
    assert_eq!(probe.rate, 1_300_000);
    assert_eq!(prober.poll(now, &situation(600_000, 1_000_000)), None, "one at a time");
}

#[test]
fn probes_on_demand_become_rare_while_they_find_nothing() {
    let mut prober = Prober::new(600_000);
    let start = crate::test_start();
    let mut times = Vec::new();
    for tick in 0..3000 {
        let now = start + 10 * MS * tick;
        if let Some(probe) = prober.poll(now, &situation(1_000_000, 5_000_000)) {
            times.push(now);
            send(&mut prober, now, probe, 1_000_000, 1_000_000);
        }
    }
    let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(gaps.last(), Some(&5), "{gaps:?}");
    assert!(times.len() < 14, "{gaps:?}");
    // Loss is thought to bound the rate: that is soon asked, and shortly.
    let now = start + 10 * MS * 3000;
    prober.bounded(now);
    assert_eq!(prober.poll(now + FIRST_PAUSE - MS, &situation(1_000_000, 5_000_000)), None);
    let probe = prober.poll(now + FIRST_PAUSE, &situation(1_000_000, 5_000_000)).expect("due");
    assert_eq!((probe.rate, probe.bytes), (2_000_000, 3750));
}

#[test]
fn no_probe_is_short_where_there_is_jitter() {
    let mut prober = Prober { first_sent: FIRST.len(), further: Some(1_000_000), ..Prober::new(300_000) };
    let jittery = Situation { jitter: 30 * MS, ..situation(1_000_000, 5_000_000) };
    let probe = prober.poll(crate::test_start(), &jittery).expect("what was found is looked beyond");
    assert_eq!((probe.rate, probe.bytes), (2_000_000, 15_000));
}

#[test]
fn a_drop_in_several_steps_is_checked_as_one() {
    let mut prober = Prober::new(600_000);
    let now = crate::test_start();
    prober.decreased(now, 4_000_000, 3_000_000);
    prober.decreased(now + 200 * MS, 3_100_000, 2_500_000);
    let probe = prober.poll(now + 700 * MS, &situation(2_500_000, 5_000_000)).expect("the check");
    assert_eq!(probe.rate, 3_400_000);
}

#[test]
fn a_large_drop_is_checked_once() {
    let mut prober = Prober::new(600_000);
    let now = crate::test_start();
    prober.decreased(now, 4_000_000, 1_000_000);
    let calm = situation(1_000_000, 5_000_000);
    assert_eq!(prober.poll(now, &Situation { is_calm: false, ..calm }), None, "not into a queue");
    let probe = prober.poll(now + 500 * MS, &calm).expect("the check");
    assert_eq!(probe.rate, 3_400_000);
}

/// What a probe of 480 ms at 1.25 Mbit/s finds whose packets arrive up to 60 ms later than the line has them, while every
/// `nth` is lost.
fn jittery(capacity: u64, nth: u32) -> u64 {
    let mut prober = Prober { doubled: ON_DEMAND.len() - 1, first_sent: FIRST.len(), ..Prober::new(300_000) };
    let now = crate::test_start();
    prober.demand_rose();
    let probe = prober.poll(now, &situation(1_000_000, 5_000_000)).expect("due");
    assert_eq!(probe.rate, 1_250_000);
    let (mut free, mut arrived) = (0, 0);
    for index in 0..probe.bytes / 1000 {
        let at = Duration::from_micros(6400) * index;
        prober.sent(now + at, probe.cluster, 1000);
        free = free.max(at.as_micros() as i64) + 8_000_000_000 / capacity as i64;
        if index % nth == nth - 1 {
            prober.lost(probe.cluster, 1000);
            continue;
        }
        // The multiplier spreads them evenly; none overtakes another.
        arrived = (free + i64::from(index * 7919 % 60_000)).max(arrived);
        prober.received(probe.cluster, now + at, 1000, arrived);
    }
    prober.finding(now + PATIENCE, 1_000_000, 0.0).expect("found")
}

#[test]
fn a_long_probe_sees_through_jitter() {
    let free = jittery(10_000_000, u32::MAX);
    assert!((1_100_000..=1_250_000).contains(&free), "{free}");
    let full = jittery(1_000_000, u32::MAX);
    assert!((850_000..=1_050_000).contains(&full), "{full}");
}

#[test]
fn what_a_probe_loses_the_line_does_not_carry() {
    let policed = jittery(10_000_000, 4);
    assert!((800_000..=960_000).contains(&policed), "{policed}");
}

#[test]
fn a_decrease_ends_a_probe_that_is_still_being_sent() {
    let now = crate::test_start();
    let decrease_after = |packets: u32| {
        let mut prober = Prober::new(600_000);
        let probe = prober.poll(now, &situation(600_000, 5_000_000)).expect("the first");
        for _ in 0..packets {
            prober.sent(now, probe.cluster, probe.bytes / 5 + 1);
        }
        prober.decreased(now, 600_000, 500_000);
        prober.awaits(probe.cluster)
    };
    assert!(!decrease_after(4));
    assert!(decrease_after(5), "it is only waited for");
}

#[test]
fn what_was_overtaken_is_not_lost() {
    let found = |overtaken: &[u32]| {
        let mut prober = Prober::new(600_000);
        let now = crate::test_start();
        let probe = prober.poll(now, &situation(600_000, 5_000_000)).expect("the first");
        let packets = probe.bytes / 1000 + 1;
        let gap = Duration::from_micros(8_000_000_000 / probe.rate);
        for index in 0..packets {
            prober.sent(now + gap * index, probe.cluster, 1000);
        }
        for index in 0..packets {
            let arrival = (gap * index).as_micros() as i64;
            if overtaken.contains(&index) {
                prober.lost(probe.cluster, 1000);
                prober.not_lost(probe.cluster, 1000);
            }
            prober.received(probe.cluster, now + gap * index, 1000, arrival);
        }
        prober.finding(now + 50 * MS, 600_000, 0.0)
    };
    assert!(found(&[]).is_some_and(|rate| rate > 3_000_000));
    assert_eq!(found(&[1, 3]), found(&[]));
}

#[test]
fn a_burst_that_was_held_back_says_nothing() {
    let mut prober = Prober::new(600_000);
    let now = crate::test_start();
    let probe = prober.poll(now, &situation(600_000, 5_000_000)).expect("the first");
    for index in 0..probe.packets {
        prober.sent(now + 3 * MS * index, probe.cluster, 1000);
        prober.received(probe.cluster, now + 3 * MS * index, 1000, i64::from(index) * 100);
    }
    assert_eq!(prober.finding(now, 600_000, 0.0), None);
}
