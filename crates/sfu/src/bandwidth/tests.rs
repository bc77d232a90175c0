//! Estimator and pacer together on a simulated line: a source that fills what the estimate allows, a bottleneck with a
//! queue, feedback every 50 ms as browsers send it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtp::rtcp::{self, RtcpPacket};
use rtp::twcc::ArrivalRecorder;

use super::estimator::{Estimator, FeedbackError, Settings};
use super::history::ClusterId;
use super::pacer::{Class, Pacer};

mod lies;

const MS: Duration = Duration::from_millis(1);

/// A line's properties.
#[derive(Clone, Copy)]
struct Conditions {
    rate: u64,
    queue: Duration,
    delay: Duration,
    jitter: Duration,
    loss: f64,
    cut: bool,
}

impl Conditions {
    fn steady(rate: u64) -> Self {
        Self { rate, queue: 400 * MS, delay: 25 * MS, jitter: 2 * MS, loss: 0.0, cut: false }
    }
}

/// Packets that feedback covers: their numbers, and the deltas of those that arrived.
type Arrivals = Vec<(u16, Option<i16>)>;

/// What is made of the feedback that comes back.
type Tell = fn(&mut Estimator, Instant, i32, Arrivals) -> Result<(), FeedbackError>;

fn honest(
    estimator: &mut Estimator,
    now: Instant,
    reference_time: i32,
    arrivals: Arrivals,
) -> Result<(), FeedbackError> {
    estimator.feedback(now, reference_time, arrivals.into_iter())
}

struct Run {
    now: Instant,
    start: Instant,
    conditions: Conditions,
    demand: u64,
    estimator: Estimator,
    pacer: Pacer<u32>,
    recorder: ArrivalRecorder,
    free_at: Instant,
    last_arrival: Instant,
    arriving: VecDeque<(Instant, u16, u32)>,
    returning: VecDeque<(Instant, Vec<u8>)>,
    random: u64,
    debt: f64,
    audio: u32,
    is_silent: bool,
    tell: Tell,
    /// (time, estimate, queueing delay) each 10 ms.
    log: Vec<(Duration, u64, Duration)>,
    padding: u64,
    delivered: u64,
}

impl Run {
    fn new(conditions: Conditions) -> Self {
        let start = crate::test_start();
        let mut estimator = Estimator::new(start, &Settings::default());
        estimator.set_demand(20_000_000);
        Self {
            now: start,
            start,
            conditions,
            demand: 20_000_000,
            estimator,
            pacer: Pacer::new(),
            recorder: ArrivalRecorder::new(),
            free_at: start,
            last_arrival: start,
            arriving: VecDeque::new(),
            returning: VecDeque::new(),
            random: 1,
            debt: 0.0,
            audio: 0,
            is_silent: false,
            tell: honest,
            log: Vec::new(),
            padding: 0,
            delivered: 0,
        }
    }

    fn chance(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    fn demand(&mut self, demand: u64) {
        self.demand = demand;
        self.estimator.set_demand(demand);
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
            self.now += MS;
        }
    }

    fn step(&mut self) {
        let now = self.now;
        let tick = (now - self.start).as_millis() as u64;
        while let Some((at, sequence, bytes)) = self.arriving.front().copied().filter(|(at, ..)| *at <= now) {
            self.arriving.pop_front();
            self.recorder.record(sequence, at);
            self.delivered += u64::from(bytes);
        }
        if self.recorder.next_deadline().is_some_and(|due| due <= now) {
            let mut bytes = Vec::new();
            while self.recorder.write_feedback(now, 1, 2, &mut bytes) {}
            if !self.conditions.cut && self.chance() >= self.conditions.loss {
                self.returning.push_back((now + self.conditions.delay, bytes));
            }
        }
        while let Some((_, bytes)) = self.returning.pop_front_if(|(at, _)| *at <= now) {
            for packet in rtcp::parse(&bytes) {
                if let Ok(RtcpPacket::TransportFeedback { reference_time, arrivals, .. }) = packet {
                    (self.tell)(&mut self.estimator, now, reference_time, arrivals.collect())
                        .expect("neither too much nor of what was never sent");
                }
            }
        }
        self.estimator.handle_timeout(now);
        // Sound: 80 bytes every 20 ms; pictures: 30 frames/s at what remains of the estimate.
        if tick.is_multiple_of(20) && !self.is_silent {
            self.audio += 1;
            self.pacer.push(now, Class::Audio, 100, 100);
        }
        if tick.is_multiple_of(33) && tick > 0 {
            let rate = self.demand.min(self.estimator.estimate()).saturating_sub(40_000);
            let wave = 0.8 + 0.4 * self.chance();
            self.debt += rate as f64 * 0.033 / 8.0 * wave;
            while self.debt >= 200.0 {
                let bytes = self.debt.min(1200.0) as u32;
                self.debt -= f64::from(bytes);
                self.pacer.push(now, Class::Video, bytes, bytes);
            }
        }
        self.pacer.set_estimate(self.estimator.estimate());
        self.pacer.set_cut(self.estimator.is_cut(now));
        if self.pacer.cluster().is_some_and(|probe| !self.estimator.awaits(probe)) {
            self.pacer.abandon_probe();
        }
        if tick > 33
            && let Some(probe) = self.estimator.poll_probe(now)
        {
            self.pacer.start_probe(probe);
        }
        loop {
            let cluster = self.pacer.cluster();
            if let Some(bytes) = self.pacer.poll(now) {
                self.send(bytes, cluster);
            } else if let Some(bytes) = self.pacer.padding(now) {
                self.padding += u64::from(bytes);
                self.send(bytes, cluster);
            } else {
                break;
            }
        }
        if self.estimator.poll_sounding(now) {
            self.send(100, None);
        }
        if tick.is_multiple_of(10) {
            let queue = self.free_at.saturating_duration_since(now);
            self.log.push((now - self.start, self.estimator.estimate(), queue));
        }
    }

    fn send(&mut self, bytes: u32, cluster: Option<ClusterId>) {
        let (now, conditions) = (self.now, self.conditions);
        let sequence = self.estimator.next_sequence();
        self.estimator.sent(now, bytes, cluster);
        self.pacer.sent(now, bytes);
        if conditions.cut {
            return;
        }
        let starts = self.free_at.max(now);
        if starts - now > conditions.queue {
            return;
        }
        self.free_at = starts + Duration::from_nanos(u64::from(bytes) * 8_000_000_000 / conditions.rate);
        if self.chance() < conditions.loss {
            return;
        }
        let jitter = conditions.jitter.mul_f64(self.chance());
        self.last_arrival = self.last_arrival.max(self.free_at + conditions.delay + jitter);
        self.arriving.push_back((self.last_arrival, sequence, bytes));
    }

    /// Mean of the estimate from `from` to `to` seconds, as a share of `rate`.
    fn share(&self, from: u64, to: u64, rate: u64) -> f64 {
        let range = Duration::from_secs(from)..Duration::from_secs(to);
        let values: Vec<u64> =
            self.log.iter().filter(|(at, ..)| range.contains(at)).map(|(_, estimate, _)| *estimate).collect();
        values.iter().sum::<u64>() as f64 / values.len() as f64 / rate as f64
    }

    /// First time after `from` seconds at which the estimate fulfils a condition.
    fn first(&self, from: u64, condition: impl Fn(u64) -> bool) -> Option<Duration> {
        let from = Duration::from_secs(from);
        let found = self.log.iter().find(|(at, estimate, _)| *at >= from && condition(*estimate));
        found.map(|(at, ..)| *at - from)
    }

    /// The longest time that the queue stood above 250 ms, from `from` seconds on.
    fn longest_queue(&self, from: u64) -> Duration {
        let (mut longest, mut current) = (0, 0);
        for (at, _, queue) in &self.log {
            current = if *at >= Duration::from_secs(from) && *queue > 250 * MS { current + 1 } else { 0 };
            longest = longest.max(current);
        }
        MS * 10 * longest
    }
}

/// What the first probe leaves as estimate if two of its packets are overtaken, and a first feedback calls them lost or
/// does not speak of them yet. The second speaks of them and of the last packet.
fn estimate_after_overtaking(calls_them_lost: bool) -> u64 {
    const PACKETS: u16 = 8;
    const OVERTAKEN: [u16; 2] = [1, 4];
    let start = crate::test_start();
    let mut estimator = Estimator::new(start, &Settings::default());
    estimator.set_demand(20_000_000);
    let probe = estimator.poll_probe(start).expect("the first");
    let first = estimator.next_sequence();
    let gap = Duration::from_micros(600 * 8_000_000 / probe.rate);
    for index in 0..PACKETS {
        estimator.sent(start + gap * index.into(), 600, Some(probe.cluster));
    }
    let report = |indices: &[u16], are_lost: &dyn Fn(u16) -> bool| -> Arrivals {
        let mut before = 0;
        let mut delta = |index: u16| {
            let at = (gap * index.into()).as_micros() as i16 / 250;
            at - std::mem::replace(&mut before, at)
        };
        let told = |index: &u16| (first + index, (!are_lost(*index)).then(|| delta(*index)));
        indices.iter().map(told).collect()
    };
    let is_overtaken = |index: u16| OVERTAKEN.contains(&index);
    let covered: Vec<u16> =
        (0..PACKETS - 1).filter(|index| calls_them_lost || !is_overtaken(*index)).collect();
    honest(&mut estimator, start + 50 * MS, 0, report(&covered, &is_overtaken)).expect("the truth");
    let late = [OVERTAKEN[0], OVERTAKEN[1], PACKETS - 1];
    honest(&mut estimator, start + 100 * MS, 0, report(&late, &|_| false)).expect("the truth");
    estimator.estimate()
}

#[test]
fn packets_of_a_probe_that_were_overtaken_were_not_lost() {
    let found = estimate_after_overtaking(false);
    assert!(found > 1_000_000, "{found}");
    assert_eq!(estimate_after_overtaking(true), found);
}

#[test]
fn a_steady_line_is_used_and_its_queue_stays_short() {
    for rate in [300_000, 1_000_000, 5_000_000] {
        let mut run = Run::new(Conditions::steady(rate));
        run.run(Duration::from_secs(40));
        let reached = run.first(0, |estimate| estimate as f64 >= 0.8 * rate as f64);
        assert!(reached.is_some_and(|at| at < Duration::from_secs(10)), "{rate}: {reached:?}");
        let share = run.share(10, 40, rate);
        assert!((0.8..1.1).contains(&share), "{rate}: {share}");
        assert!(run.longest_queue(0) < Duration::from_secs(2), "{rate}: {:?}", run.longest_queue(0));
        assert!(run.longest_queue(5) < 500 * MS, "{rate}: {:?}", run.longest_queue(5));
    }
}

/// The queue grew while a probe left, which is no witness of one; since then it neither grows nor shrinks.
#[test]
fn a_queue_that_does_not_grow_is_drained_all_the_same() {
    let start = crate::test_start();
    let mut estimator = Estimator::new(start, &Settings::default());
    estimator.set_demand(20_000_000);
    let probe = estimator.poll_probe(start).expect("the first").cluster;
    let (mut least, mut coming) = (u64::MAX, VecDeque::new());
    for index in 0..150u32 {
        let (sent, now) = (30 * index, start + 30 * MS * index);
        coming.push_back((sent + (index * 18).min(360), estimator.next_sequence()));
        estimator.sent(now, 1100, (index < 30).then_some(probe));
        while let Some((arrival, number)) = coming.pop_front_if(|(arrival, _)| *arrival <= sent) {
            let reference_time = i32::try_from(arrival / 64).expect("small");
            let delta = (arrival % 64) as i16 * 4;
            honest(&mut estimator, now, reference_time, vec![(number, Some(delta))]).expect("the truth");
        }
        if index > 50 {
            least = least.min(estimator.estimate());
        }
    }
    assert!(least < 220_000, "{least}");
}

#[test]
fn a_step_down_is_followed_within_two_seconds_and_a_step_up_within_ten() {
    let mut run = Run::new(Conditions::steady(3_000_000));
    run.run(Duration::from_secs(15));
    run.conditions.rate = 800_000;
    run.run(Duration::from_secs(15));
    run.conditions.rate = 3_000_000;
    run.run(Duration::from_secs(15));
    let down = run.first(15, |estimate| estimate < 850_000);
    assert!(down.is_some_and(|at| at < Duration::from_secs(2)), "{down:?}");
    assert!(run.longest_queue(15) < Duration::from_secs(2), "{:?}", run.longest_queue(15));
    let up = run.first(30, |estimate| estimate > 2_400_000);
    assert!(up.is_some_and(|at| at < Duration::from_secs(10)), "{up:?}");
}

#[test]
fn random_loss_does_not_take_the_estimate_away() {
    for loss in [0.02, 0.1, 0.2] {
        let mut run = Run::new(Conditions { loss, ..Conditions::steady(2_000_000) });
        run.run(Duration::from_secs(40));
        let share = run.share(10, 40, 2_000_000);
        assert!((0.7..1.15).contains(&share), "{loss}: {share}");
    }
}

#[test]
fn a_policer_that_shows_itself_by_loss_only_is_followed() {
    // At 1 Mbit/s a queue of 20 ms holds two packets, one of 5 ms one: no delay to speak of. The shorter loses of every
    // burst, so less than half of the line can be used at all; what must not be is an estimate above it.
    for (queue, least) in [(20 * MS, 0.55), (5 * MS, 0.25)] {
        for random in 1..=3 {
            let mut run = Run::new(Conditions { queue, ..Conditions::steady(1_000_000) });
            run.random = random;
            run.run(Duration::from_secs(60));
            let share = run.share(20, 60, 1_000_000);
            assert!((least..1.0).contains(&share), "{queue:?}, {random}: {share}");
        }
    }
}

#[test]
fn after_a_cut_of_five_seconds_it_is_back_within_three() {
    for is_silent in [false, true] {
        let mut run = Run::new(Conditions::steady(3_000_000));
        run.is_silent = is_silent;
        run.run(Duration::from_secs(15));
        let before = run.estimator.estimate();
        run.conditions.cut = true;
        run.run(Duration::from_secs(5));
        assert_eq!(run.estimator.estimate(), Settings::default().min, "nothing is sent into a cut line");
        run.conditions.cut = false;
        run.run(Duration::from_secs(10));
        let back = run.first(20, |estimate| estimate as f64 >= 0.8 * before as f64);
        assert!(back.is_some_and(|at| at < Duration::from_secs(3)), "without sound {is_silent}: {back:?}");
    }
}

#[test]
fn another_network_is_not_judged_by_the_delay_of_the_old_one() {
    let mut run = Run::new(Conditions { delay: 10 * MS, ..Conditions::steady(3_000_000) });
    run.run(Duration::from_secs(15));
    run.conditions.delay = 120 * MS;
    run.estimator.network_changed(run.now);
    run.run(Duration::from_secs(10));
    assert!(run.estimator.queue_delay() < 40 * MS, "{:?}", run.estimator.queue_delay());
    let share = run.share(17, 25, 3_000_000);
    assert!(share > 0.8, "{share}");
}

#[test]
fn what_nobody_wants_is_not_probed_for_and_what_is_wanted_is_found_in_two_seconds() {
    let mut run = Run::new(Conditions::steady(5_000_000));
    run.demand(300_000);
    run.run(Duration::from_secs(10));
    assert_eq!(run.padding, 0);
    run.demand(3_000_000);
    run.run(Duration::from_secs(5));
    let found = run.first(10, |estimate| estimate > 2_500_000);
    assert!(found.is_some_and(|at| at < Duration::from_secs(2)), "{found:?}");
}

#[test]
fn jitter_of_a_radio_link_does_not_take_the_estimate_away() {
    let mut run = Run::new(Conditions { jitter: 30 * MS, delay: 100 * MS, ..Conditions::steady(2_000_000) });
    run.run(Duration::from_secs(40));
    let share = run.share(10, 40, 2_000_000);
    assert!(share > 0.6, "{share}");
}

#[test]
fn feedback_that_lies_is_told_and_bounded() {
    let now = crate::test_start();
    let mut estimator = Estimator::new(now, &Settings::default());
    for _ in 0..10 {
        estimator.sent(now, 1000, None);
    }
    let lie = (0..8000).map(|sequence: u16| (sequence, Some(i16::MAX)));
    let refused = estimator.feedback(now + 10 * MS, i32::MIN, lie.clone());
    assert_eq!(refused.map_err(|error| error.code()), Err("twcc-unknown"));
    let codes: Vec<_> =
        (0..500).filter_map(|_| estimator.feedback(now + 20 * MS, 5, lie.clone()).err()).collect();
    assert_eq!(codes.last().map(|error| error.code()), Some("twcc-rate"));
    assert!(estimator.estimate() <= Settings::default().max);
}

#[test]
fn without_transport_wide_feedback_reports_of_loss_rule() {
    let now = crate::test_start();
    let mut estimator = Estimator::new(now, &Settings::default());
    for second in 0..5 {
        estimator.receiver_report(now + Duration::from_secs(second), 64, None);
    }
    assert!(estimator.estimate() < 400_000);
    estimator.remb(now + Duration::from_secs(5), 1_500_000);
    assert_eq!(estimator.estimate(), 1_500_000);
    assert!(estimator.take_changed());
    assert!(!estimator.take_changed());
}

proptest::proptest! {
    /// Whatever a subscriber claims, the estimate stays in its bounds, and probes and timers can be asked for.
    #[test]
    fn any_feedback_is_bounded(
        steps in proptest::collection::vec(
            (0u8..6, proptest::num::i32::ANY, proptest::num::u16::ANY, proptest::option::of(proptest::num::i16::ANY), 0u64..3000),
            1..300,
        ),
    ) {
        let mut now = crate::test_start();
        let settings = Settings::default();
        let mut estimator = Estimator::new(now, &settings);
        for (what, time, sequence, delta, millis) in steps {
            now += Duration::from_millis(millis / 10);
            let near = estimator.next_sequence().wrapping_sub(sequence % 16);
            match what {
                0 | 1 => {
                    let probe = estimator.poll_probe(now).map(|probe| probe.cluster);
                    estimator.sent(now, u32::from(sequence), probe);
                }
                2 => {
                    let packets = (0..8).map(|index| (near.wrapping_add(index), delta));
                    let _ = estimator.feedback(now, time, packets);
                }
                3 => {
                    let packets = (0..8000).map(|index: u16| (sequence.wrapping_add(index), delta));
                    let _ = estimator.feedback(now, time, packets);
                }
                4 => {
                    estimator.receiver_report(now, sequence as u8, Some(Duration::from_millis(millis)));
                    estimator.remb(now, u64::from(sequence) << (sequence % 64));
                }
                _ => {
                    now += Duration::from_millis(millis);
                    estimator.set_demand(u64::from(time.unsigned_abs()) << 20);
                    estimator.handle_timeout(now);
                }
            }
            estimator.next_timeout(now);
            proptest::prop_assert!((settings.min..=settings.max).contains(&estimator.estimate()));
        }
    }
}
