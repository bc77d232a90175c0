//! What submitters hear of their entries.

use protocol::channel::{ClosingCode, Refusal, Submission, ToServer};

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
fn whose_joining_a_member_applied_counts_until_they_leave() {
    let (mut room, ada, _) = Room::running(&[]);
    let ben = room.enter("ben");
    let joined = room.append(ben, Submission::Join, "ben").expect("appended");
    room.report(ada, joined, &[]);
    room.report(ben, joined, &[]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    room.report(ben, seq, &[]);
    assert_eq!(room.outcomes(ada), [(seq, true)]);
    room.say(ben, ToServer::Leave);
    let again = room.enter("ben");
    let seq = room.append(ada, Submission::Commit, "d").expect("appended");
    room.report(again, seq, &[seq]);
    assert_eq!(room.outcomes(ada), []);
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
fn one_member_brings_in_nobody_whose_word_counts() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo", "mallory"]);
    let &[ben, cleo, mallory] = others.as_slice() else { panic!() };
    let crony = room.enter("crony");
    let joined = room.append(crony, Submission::Join, "garbage").expect("appended");
    room.report(mallory, joined, &[]);
    room.report(crony, joined, &[]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    room.report(crony, seq, &[]);
    assert_eq!(room.outcomes(ada), [], "one of four let them in");
    room.report(ben, seq, &[joined]);
    room.report(cleo, seq, &[joined]);
    room.report(ada, seq, &[joined]);
    assert_eq!(room.outcomes(ada), [(seq, true)]);
    let seq = room.append(ada, Submission::Commit, "d").expect("appended");
    room.report(crony, seq, &[]);
    assert_eq!(room.outcomes(ada), []);
}

#[test]
fn who_comes_while_the_first_members_line_stalls_counts_once_it_catches_up() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let mut came = vec![others[0]];
    for name in ["cleo", "dora", "emil", "fritz"] {
        let newcomer = room.enter(name);
        room.pass(crate::limits::BASE_WAIT);
        let joined = room.append(newcomer, Submission::Join, name).expect("appended");
        came.push(newcomer);
        room.report_all(&came);
        assert!(joined > 0);
    }
    room.report_all(&[ada]);
    for newcomer in came {
        assert!(room.append(newcomer, Submission::Statement, "s").is_ok(), "its word counts");
        room.report_all(&[ada]);
    }
}

#[test]
fn newcomers_whom_most_refuse_are_not_waiting_for_the_others_to_go() {
    let (mut room, ada, others) = Room::running(&["ben", "mallory"]);
    let &[ben, mallory] = others.as_slice() else { panic!() };
    let crony = room.enter("crony");
    let joined = room.append(crony, Submission::Join, "garbage").expect("appended");
    room.report(mallory, joined, &[]);
    room.report(ben, joined, &[joined]);
    room.report(ada, joined, &[joined]);
    for member in [ada, ben] {
        room.say(member, ToServer::Leave);
    }
    assert_eq!(room.append(crony, Submission::Statement, "s"), Err(Refusal::OutOfPlace));
    assert!(room.rejected.contains(&"statement-of-a-stranger"));
}

#[test]
fn who_left_comes_in_anew_before_its_word_counts() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let newcomer = room.enter("cleo");
    let joined = room.append(newcomer, Submission::Join, "j").expect("appended");
    room.report(others[0], joined, &[]);
    room.say(newcomer, ToServer::Leave);
    let again = room.enter("cleo");
    room.report_all(&[ada, others[0]]);
    assert_eq!(room.append(again, Submission::Statement, "s"), Err(Refusal::OutOfPlace));
}

#[test]
fn who_is_back_just_after_it_expired_still_counts() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    room.break_off(others[0]);
    room.pass(crate::limits::EXPIRES);
    room.report_all(&[ada]);
    let back = room.come_back("ben", room.delivery.head());
    room.report_all(&[ada, back]);
    assert!(room.append(back, Submission::Statement, "s").is_ok());
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
