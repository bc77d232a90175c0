//! What submitters hear of their entries.

use protocol::channel::{ClosingCode, Refusal, Submission};

use super::support::Room;
use crate::limits::REFUSALS_WITHIN;

#[test]
fn one_other_who_applied_an_entry_is_enough() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo"]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    room.report(ada, seq, &[]);
    assert_eq!(room.outcomes(ada), [], "her own word does not count");
    room.report(others[1], seq, &[]);
    assert_eq!(room.outcomes(ada), [(seq, true)]);
    room.report(others[0], seq, &[seq]);
    assert_eq!(room.outcomes(ada), [], "once");
}

#[test]
fn most_have_to_skip_an_entry_before_it_is_refused() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo", "dora", "emil"]);
    let lurker = room.enter("lurker");
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    room.report(others[0], seq, &[seq]);
    room.report(others[1], seq, &[seq]);
    assert_eq!(room.outcomes(ada), []);
    room.report(others[2], seq, &[seq]);
    assert_eq!(room.outcomes(ada), [(seq, false)], "who never reported does not count");
    assert!(room.closed(lurker).is_none());
}

#[test]
fn strangers_do_not_outvote_members() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let strangers: Vec<_> = ["sam", "sue", "sid"].iter().map(|name| room.enter(name)).collect();
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    for stranger in &strangers {
        room.report(*stranger, seq, &[seq]);
    }
    assert_eq!(room.outcomes(ada), []);
    let garbage = room.append(strangers[0], Submission::Commit, "garbage").expect("appended");
    room.report(strangers[1], garbage, &[]);
    assert_eq!(room.outcomes(strangers[0]), []);
    room.report(others[0], garbage, &[garbage]);
    room.report(ada, garbage, &[garbage]);
    assert_eq!(room.outcomes(strangers[0]), [(garbage, false)]);
    assert_eq!(room.outcomes(ada), [(seq, true)]);
}

#[test]
fn who_leaves_does_not_count_any_more() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo"]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    room.report(others[0], seq, &[seq]);
    assert_eq!(room.outcomes(ada), []);
    room.break_off(others[1]);
    assert_eq!(room.outcomes(ada), [(seq, false)]);
}

#[test]
fn a_report_covers_everything_since_the_last_one() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let one = room.append(ada, Submission::Commit, "c").expect("appended");
    let two = room.append(ada, Submission::Statement, "s").expect("appended");
    let three = room.append(ada, Submission::Commit, "d").expect("appended");
    room.report(others[0], three, &[two]);
    assert_eq!(room.outcomes(ada), [(one, true), (two, false), (three, true)]);
}

#[test]
fn whoever_goes_on_submitting_what_most_refuse_is_closed_and_barred() {
    let (mut room, ada, others) = Room::running(&["mallory"]);
    let mallory = others[0];
    for _ in 0..3 {
        assert_eq!(room.closed(mallory), None);
        let seq = room.append(mallory, Submission::Commit, "bad").expect("appended");
        room.report(ada, seq, &[seq]);
    }
    assert_eq!(room.closed(mallory), Some(ClosingCode::EntriesRefused));
    assert!(room.rejected.contains(&"entries-refused"));
    let again = room.come_back("mallory", room.delivery.head());
    assert_eq!(room.append(again, Submission::Commit, "bad"), Err(Refusal::TooOften));
    room.pass(REFUSALS_WITHIN - 1);
    room.report_all(&[ada, again]);
    assert_eq!(room.append(again, Submission::Commit, "bad"), Err(Refusal::TooOften));
    room.pass(1);
    assert!(room.append(again, Submission::Commit, "good").is_ok());
}

#[test]
fn refusals_far_apart_are_mistakes() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    for _ in 0..6 {
        let seq = room.append(others[0], Submission::Commit, "bad").expect("appended");
        room.report(ada, seq, &[seq]);
        room.report(others[0], seq, &[]);
        room.pass(REFUSALS_WITHIN / 2);
    }
    assert_eq!(room.closed(others[0]), None);
}

#[test]
fn who_reports_the_future_is_closed() {
    let (mut room, _, others) = Room::running(&["ben"]);
    room.report(others[0], room.delivery.head() + 1, &[]);
    assert_eq!(room.closed(others[0]), Some(ClosingCode::Malformed));
}

#[test]
fn hosts_words_are_taken_of_those_whose_word_counts_and_refused_by_most() {
    let (mut room, ada, others) = Room::running(&["ben", "mallory"]);
    let stranger = room.enter("stranger");
    assert_eq!(room.append(stranger, Submission::Statement, "s"), Err(Refusal::OutOfPlace));
    let seq = room.append(ada, Submission::Statement, "garbage").expect("appended");
    room.report(others[1], seq, &[]);
    assert_eq!(room.outcomes(ada), [], "one word is not enough");
    room.report(others[0], seq, &[seq]);
    assert_eq!(room.outcomes(ada), [(seq, true)], "half");
    let seq = room.append(others[1], Submission::Statement, "garbage").expect("appended");
    room.report(ada, seq, &[seq]);
    room.report(others[0], seq, &[seq]);
    assert_eq!(room.outcomes(others[1]), [(seq, false)]);
}
