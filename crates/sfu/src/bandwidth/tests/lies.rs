//! Feedback that lies: it gains no more than what was sent, and all is well again when it ends.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const LINE: u64 = 1_000_000;

/// More than the line carries is wanted; from the fifth second on lies are told about it, for 15 s, and then the truth for
/// 30 s.
fn lied_to(tell: Tell) -> Run {
    let mut run = Run::new(Conditions::steady(LINE));
    run.demand(4_000_000);
    run.run(SECOND * 5);
    run.tell = tell;
    run.run(SECOND * 15);
    run.tell = honest;
    run.run(SECOND * 30);
    run
}

/// The same, where each packet's delta is another.
fn with_deltas(
    estimator: &mut Estimator,
    now: Instant,
    reference_time: i32,
    arrivals: Arrivals,
    delta: impl Fn(u16) -> Option<i16>,
) -> Result<(), FeedbackError> {
    estimator.feedback(now, reference_time, arrivals.into_iter().map(|(number, _)| (number, delta(number))))
}

/// Ten seconds after the lies the estimate is the line's, and stays so.
fn assert_is_honest_again(run: &Run) {
    let share = run.share(30, 50, LINE);
    assert!((0.75..1.1).contains(&share), "{share}");
}

#[test]
fn feedback_on_what_was_never_sent_changes_nothing() {
    let run = lied_to(|estimator, now, reference_time, arrivals| {
        let ahead = estimator.next_sequence();
        let lie = (0..1000).map(|offset: u16| (ahead.wrapping_add(offset * 30), Some(0)));
        assert_eq!(estimator.feedback(now, reference_time, lie), Err(FeedbackError::Unknown));
        honest(estimator, now, reference_time, arrivals)
    });
    assert_eq!(run.log, lied_to(honest).log);
}

#[test]
fn claims_that_everything_arrived_bring_no_more_than_what_was_sent() {
    let all_at_once: Tell = |estimator, now, reference_time, arrivals| {
        with_deltas(estimator, now, reference_time, arrivals, |_| Some(0))
    };
    let evenly: Tell = |estimator, now, reference_time, arrivals| {
        with_deltas(estimator, now, reference_time, arrivals, |_| Some(4))
    };
    for tell in [all_at_once, evenly] {
        let run = lied_to(tell);
        let most = run.log.iter().map(|(_, estimate, _)| *estimate).max().unwrap_or_default();
        assert!(most < run.demand * 3 / 2, "{most}");
        assert_is_honest_again(&run);
    }
}

#[test]
fn claims_that_everything_was_lost_leave_the_least() {
    let run = lied_to(|estimator, now, reference_time, arrivals| {
        with_deltas(estimator, now, reference_time, arrivals, |_| None)
    });
    let last = run.log.iter().rfind(|(at, ..)| *at < SECOND * 20).map(|(_, estimate, _)| *estimate);
    assert_eq!(last, Some(Settings::default().min));
    assert_is_honest_again(&run);
}

#[test]
fn a_clock_that_jumps_to_and_fro_gains_nothing() {
    let by_reference: Tell = |estimator, now, reference_time, arrivals| {
        // About a third of the circle further with each packet.
        let turned = i32::from(estimator.next_sequence()).wrapping_mul(0x55_5555);
        estimator.feedback(now, reference_time.wrapping_add(turned) << 8 >> 8, arrivals.into_iter())
    };
    let by_deltas: Tell = |estimator, now, reference_time, arrivals| {
        let extreme = |number: u16| Some(if number.is_multiple_of(2) { i16::MIN } else { i16::MAX });
        with_deltas(estimator, now, reference_time, arrivals, extreme)
    };
    for tell in [by_reference, by_deltas] {
        let run = lied_to(tell);
        let most = run.log.iter().map(|(_, estimate, _)| *estimate).max().unwrap_or_default();
        assert!(most < run.demand * 3 / 2, "{most}");
        assert_is_honest_again(&run);
    }
}
