//! Whose word counts, and for how long.

use protocol::channel::{Refusal, Submission, ToServer, Welcome};

use super::support::{Room, blob};
use crate::Handle;
use crate::limits::{BASE_WAIT, EXPIRES};

/// Whether the word of somebody counts: hosts' words are taken of nobody else.
fn counts(room: &mut Room, handle: Handle) -> bool {
    match room.append(handle, Submission::Statement, "s") {
        Ok(_) => true,
        Err(refusal) => {
            assert_eq!(
                (refusal, room.rejected.last()),
                (Refusal::OutOfPlace, Some(&"statement-of-a-stranger"))
            );
            false
        }
    }
}

/// Somebody comes in by an entry of their own, which these apply.
fn join(room: &mut Room, name: &str, members: &[Handle]) -> Handle {
    let newcomer = room.enter(name);
    room.pass(BASE_WAIT);
    room.append(newcomer, Submission::Join, name).expect("appended");
    room.report_all(members);
    room.report_all(&[newcomer]);
    newcomer
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
    room.report_all(&[again]);
    let seq = room.append(ada, Submission::Commit, "d").expect("appended");
    room.report(again, seq, &[seq]);
    assert_eq!(room.outcomes(ada), []);
    assert!(!counts(&mut room, again));
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
        room.pass(BASE_WAIT);
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
    room.pass(EXPIRES);
    room.report_all(&[ada]);
    let back = room.come_back("ben", room.delivery.head());
    room.report_all(&[ada, back]);
    assert!(room.append(back, Submission::Statement, "s").is_ok());
}

#[test]
fn who_expired_counts_no_more_once_the_group_goes_on_without_it() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let members = [ada, others[0]];
    let mut gone = Vec::new();
    for name in ["m1", "m2", "m3"] {
        let mallory = join(&mut room, name, &members);
        assert!(counts(&mut room, mallory));
        room.report_all(&members);
        room.break_off(mallory);
        room.pass(EXPIRES);
        gone.push(name);
    }
    room.append(ada, Submission::Commit, "without them").expect("appended");
    room.report_all(&members);
    let head = room.delivery.head();
    let gone: Vec<Handle> = gone.into_iter().map(|name| room.come_back(name, head)).collect();
    room.take(ada);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    for mallory in &gone {
        room.report(*mallory, seq, &[seq]);
    }
    assert_eq!(room.outcomes(ada), []);
    room.report_all(&members);
    assert!(gone.into_iter().all(|mallory| !counts(&mut room, mallory)));
    let again = join(&mut room, "m1", &members);
    assert!(counts(&mut room, again), "who comes in anew");
}

#[test]
fn nobody_alone_takes_away_the_words_of_those_who_expired() {
    let (mut room, ada, others) = Room::running(&["ben", "mallory"]);
    let &[ben, mallory] = others.as_slice() else { panic!() };
    for member in [ada, ben] {
        room.break_off(member);
    }
    room.pass(EXPIRES);
    let before = room.delivery.head();
    let seq = room.append(mallory, Submission::Commit, "without them").expect("appended");
    assert_eq!(room.outcomes(mallory), [(seq, true)], "nobody else is there");
    for name in ["ada", "ben"] {
        let back = room.come_back(name, before);
        room.report(back, room.delivery.head(), &[seq]);
        assert!(counts(&mut room, back), "{name}");
    }
}

#[test]
fn strangers_gain_nothing_while_all_have_expired() {
    for ben_left in [false, true] {
        let (mut room, ada, others) = Room::running(&["ben"]);
        room.break_off(ada);
        match ben_left {
            true => room.say(others[0], ToServer::Leave),
            false => room.break_off(others[0]),
        }
        let stranger = room.enter("stranger");
        room.pass(EXPIRES);
        room.append(stranger, Submission::Join, "garbage").expect("appended");
        room.report_all(&[stranger]);
        let seq = room.append(stranger, Submission::Commit, "garbage").expect("appended");
        assert_eq!(room.outcomes(stranger), []);
        assert!(!counts(&mut room, stranger));
        let back = room.come_back("ada", seq - 2);
        assert!(counts(&mut room, back));
    }
}

#[test]
fn whoever_comes_first_after_the_founder_expired_has_its_place_but_not_before_it() {
    let (mut room, ada, _) = Room::running(&[]);
    room.break_off(ada);
    let ben = room.enter("ben");
    room.pass(BASE_WAIT);
    room.append(ben, Submission::Join, "b").expect("appended");
    room.report_all(&[ben]);
    assert!(!counts(&mut room, ben));
    room.pass(EXPIRES);
    assert!(counts(&mut room, ben));
    let cleo = join(&mut room, "cleo", &[ben]);
    assert!(counts(&mut room, cleo));
    let head = room.delivery.head();
    let ada = room.come_back("ada", head);
    assert!(counts(&mut room, ada));
}

#[test]
fn who_was_removed_before_its_coming_was_agreed_to_does_not_count() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo"]);
    let newcomer = room.enter("dora");
    room.pass(BASE_WAIT);
    room.append(newcomer, Submission::Join, "d").expect("appended");
    // The others' lines stall.
    room.report_all(&[others[0]]);
    room.break_off(newcomer);
    room.pass(EXPIRES);
    room.append(ada, Submission::Commit, "without dora").expect("appended");
    room.report_all(&[others[1], others[0], ada]);
    let head = room.delivery.head();
    let back = room.come_back("dora", head);
    assert!(!counts(&mut room, back));
}

#[test]
fn who_comes_in_anew_before_most_tell_of_its_removal_counts() {
    for first in [0, 1] {
        let (mut room, ada, others) = Room::running(&["ben"]);
        let members = [ada, others[0]];
        let cleo = join(&mut room, "cleo", &members);
        room.break_off(cleo);
        room.pass(EXPIRES);
        room.append(ada, Submission::Commit, "without cleo").expect("appended");
        let again = room.enter("cleo");
        room.pass(BASE_WAIT);
        room.append(again, Submission::Join, "cleo").expect("appended");
        // Who made the commit says nothing of it.
        room.report_all(&[members[first], members[1 - first], again]);
        assert!(counts(&mut room, again));
    }
}

#[test]
fn whom_the_only_one_adds_whose_word_counts_counts_too() {
    let (mut room, ada, _) = Room::running(&[]);
    let added = [room.enter("ben"), room.enter("cleo")];
    room.pass(BASE_WAIT);
    let welcome = Welcome { to: vec!["ben".into(), "cleo".into()], data: blob("w") };
    let head = room.delivery.head();
    let seq = room.submit_whole(ada, head, Submission::Commit, blob("c"), Some(welcome), Some(blob("i")));
    room.report_all(&[ada]);
    assert!(!counts(&mut room, added[0]), "it has not come yet");
    room.report_all(&added);
    assert_eq!(room.outcomes(ada), [(seq.expect("appended"), true)]);
    for newcomer in added {
        assert!(counts(&mut room, newcomer));
        room.report_all(&[ada]);
    }
}

#[test]
fn the_word_passes_on_where_the_only_one_goes_before_it_said_anything() {
    let (mut room, ada, _) = Room::running(&[]);
    let lurker = room.enter("lurker");
    let ben = room.enter("ben");
    room.pass(BASE_WAIT);
    room.append(ben, Submission::Join, "b").expect("appended");
    room.report_all(&[ben, lurker]);
    assert!(!counts(&mut room, ben));
    room.say(ada, ToServer::Leave);
    assert!(counts(&mut room, ben));
    assert!(!counts(&mut room, lurker), "who came in by no entry");
    let ada = join(&mut room, "ada", &[ben]);
    assert!(counts(&mut room, ada), "also who comes in anew");
}

#[test]
fn what_somebody_said_before_its_word_counted_counts_at_once() {
    let (mut room, ada, _) = Room::running(&[]);
    let ben = room.enter("ben");
    room.append(ben, Submission::Join, "ben").expect("appended");
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    room.report(ben, seq, &[]);
    assert_eq!(room.outcomes(ada), []);
    room.report(ada, seq, &[]);
    assert_eq!(room.outcomes(ada), [(seq, true)]);
}

#[test]
fn the_first_word_of_each_stands() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo", "dora"]);
    let before = room.delivery.head();
    let seq = room.append(ada, Submission::Statement, "s").expect("appended");
    room.report(others[0], seq, &[seq]);
    // Says so of what it skipped when it comes back from before it.
    let again = room.come_back("ben", before);
    room.report(again, seq, &[]);
    room.report(others[1], seq, &[]);
    assert_eq!(room.outcomes(ada), [], "one of three for it, one against");
    room.report(others[2], seq, &[seq]);
    assert_eq!(room.outcomes(ada), [(seq, false)]);
}
