//! The log: compare and swap, the same for everybody, coming back to it.

use protocol::channel::{FromServer, Kind, LogState, Refusal, Submission, Welcome};

use super::support::{Room, blob};
use crate::Limits;

fn name(seq: u64, kind: Kind, from: &str) -> (u64, Kind, String) {
    (seq, kind, from.into())
}

#[test]
fn the_first_entry_is_the_group_and_everybody_who_is_there_is_back() {
    let mut room = Room::new();
    let (ada, ben) = (room.enter("ada"), room.enter("ben"));
    let silent = room.open("says no hello");
    assert_eq!(room.opened(ben), Some((LogState::Empty, false, 0)));
    assert_eq!(room.submit(ada, 0, Submission::Group, "group"), Ok(1));
    let expected = [name(1, Kind::Group, "ada"), name(2, Kind::Back, "ada"), name(3, Kind::Back, "ben")];
    assert_eq!(room.kinds(ada), expected);
    assert_eq!(room.kinds(ben), expected);
    assert_eq!(room.take(silent), []);
    assert_eq!(room.submit(ben, 0, Submission::Group, "another"), Err(Refusal::OutOfPlace));
}

#[test]
fn nothing_comes_before_the_group() {
    let mut room = Room::new();
    let ada = room.enter("ada");
    for kind in [Submission::Join, Submission::Commit, Submission::Statement] {
        assert_eq!(room.submit(ada, 0, kind, "early"), Err(Refusal::OutOfPlace));
    }
    assert_eq!(room.appended, 0);
}

#[test]
fn of_two_submissions_after_the_same_entry_one_is_appended() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let head = room.delivery.head();
    assert_eq!(room.submit(ada, head, Submission::Commit, "one"), Ok(head + 1));
    assert_eq!(room.submit(others[0], head, Submission::Commit, "two"), Err(Refusal::Stale));
    assert_eq!(room.submit(others[0], u64::MAX, Submission::Commit, "two"), Err(Refusal::Stale));
    let expected = [name(head + 1, Kind::Commit, "ada")];
    assert_eq!((room.kinds(ada), room.kinds(others[0])), (expected.to_vec(), expected.to_vec()));
}

#[test]
fn a_submission_is_answered_before_its_entry_comes() {
    let (mut room, ada, _) = Room::running(&["ben"]);
    let head = room.delivery.head();
    room.say(
        ada,
        protocol::channel::ToServer::Submit {
            id: 9,
            after: head,
            kind: Submission::Commit,
            data: blob("c"),
            welcome: None,
            group_info: None,
        },
    );
    let told = room.take(ada);
    assert!(matches!(told[..], [FromServer::Submitted { id: 9, .. }, FromServer::Entry(_)]));
}

#[test]
fn a_welcome_is_in_the_copies_of_those_it_is_for() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo"]);
    let welcome = Welcome { to: vec!["cleo".into()], data: blob("welcome") };
    let head = room.delivery.head();
    room.submit_whole(ada, head, Submission::Commit, blob("add"), Some(welcome), None).expect("appended");
    let welcomes = [ada, others[0], others[1]].map(|handle| room.entries(handle).remove(0).welcome);
    assert_eq!(welcomes, [None, None, Some(blob("welcome"))]);
}

#[test]
fn a_welcome_waits_a_minute_for_a_broken_channel() {
    for (away, kept) in [(29_000, true), (61_000, false)] {
        let (mut room, ada, others) = Room::running(&["ben"]);
        let head = room.delivery.head();
        room.break_off(others[0]);
        let welcome = Welcome { to: vec!["ben".into()], data: blob("welcome") };
        room.submit_whole(ada, head + 1, Submission::Commit, blob("add"), Some(welcome), None)
            .expect("appended");
        room.report_all(&[ada]);
        room.pass(away);
        room.report_all(&[ada]);
        let ben = room.come_back("ben", head);
        let found =
            room.entries(ben).into_iter().find(|entry| entry.kind == Kind::Commit).expect("the commit");
        assert_eq!(found.welcome.is_some(), kept);
        room.break_off(ben);
        let ben = room.come_back("ben", head);
        assert!(room.entries(ben).iter().all(|entry| entry.welcome.is_none()), "once");
    }
}

#[test]
fn a_welcome_that_came_before_the_base_comes_after_it() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let head = room.delivery.head();
    room.append(ada, Submission::Commit, "open").expect("appended");
    let cleo = room.enter("cleo"); // waits for what ben says
    let welcome = Welcome { to: vec!["cleo".into()], data: blob("welcome") };
    let at = room.delivery.head();
    let added = room
        .submit_whole(ada, at, Submission::Commit, blob("add"), Some(welcome), Some(blob("i")))
        .expect("ok");
    room.report(others[0], added, &[]);
    let told = room.take(cleo);
    assert!(matches!(&told[1], FromServer::Base { seq, .. } if *seq == added - 1), "{head} {told:?}");
    assert!(matches!(&told[2], FromServer::Entry(entry) if entry.welcome.is_some() && entry.seq == added));
}

#[test]
fn who_comes_back_gets_what_it_missed_and_nothing_twice() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let head = room.delivery.head();
    room.break_off(others[0]);
    room.append(ada, Submission::Statement, "lock").expect("appended");
    let ben = room.come_back("ben", head);
    let told = room.take(ben);
    assert!(matches!(told[0], FromServer::Opened { resumed: true, state: LogState::Running, .. }));
    let entry = |message: &FromServer| match message {
        FromServer::Entry(entry) => (entry.seq, entry.kind),
        other => panic!("{other:?}"),
    };
    let entries: Vec<_> = told[1..].iter().map(entry).collect();
    assert_eq!(entries, [(head + 1, Kind::Gone), (head + 2, Kind::Statement), (head + 3, Kind::Back)]);
}

#[test]
fn who_knows_another_log_or_misses_too_much_starts_from_a_base() {
    let limits = Limits { log_entries: 8, resume_entries: 4, ..Limits::default() };
    let mut room = Room::with(limits, 0);
    let ada = room.enter("ada");
    room.submit(ada, 0, Submission::Group, "group").expect("appended");
    for _ in 0..12 {
        room.append(ada, Submission::Statement, "s").expect("appended");
    }
    let head = room.delivery.head();
    for (log, after, resumed) in [
        ("log", head, true),
        ("log", head - 3, true),
        ("log", head - 8, false),
        ("log", 0, false),
        ("log", u64::MAX, false),
        ("another", head, false),
    ] {
        let ben = room.open("ben");
        room.hello(ben, Some(log), after);
        let told = room.take(ben);
        assert!(matches!(told[0], FromServer::Opened { resumed: is, .. } if is == resumed), "{log} {after}");
        assert_eq!(matches!(told[1], FromServer::Base { .. }), !resumed, "{log} {after}: {told:?}");
        assert!(!told.contains(&FromServer::RestoreWanted));
    }
}

#[test]
fn entries_fall_off_the_front_and_statements_and_presence_stay_for_newcomers() {
    let limits = Limits { log_entries: 4, ..Limits::default() };
    let mut room = Room::with(limits, 0);
    let ada = room.enter("ada");
    room.submit(ada, 0, Submission::Group, "group").expect("appended");
    room.append(ada, Submission::Statement, "lock").expect("appended");
    for _ in 0..8 {
        room.pass(2_000);
        room.append(ada, Submission::Commit, "c").expect("appended");
    }
    assert_eq!(room.delivery.log.held().0, 4);
    let ben = room.enter("ben");
    let (seq, info, past) = room.base(ben).expect("a base");
    assert_eq!((seq, info.as_str()), (12, "info of c"));
    assert_eq!(past, [(2, Kind::Back), (3, Kind::Statement), (12, Kind::Back)]);
}

#[test]
fn large_commits_fall_off_by_their_bytes() {
    let limits = Limits { log_bytes: 200_000, ..Limits::default() };
    let mut room = Room::with(limits, 0);
    let ada = room.enter("ada");
    room.submit(ada, 0, Submission::Group, "group").expect("appended");
    let large = "c".repeat(64 << 10);
    for _ in 0..10 {
        room.append(ada, Submission::Commit, &large).expect("appended");
        let (_, bytes, ..) = room.delivery.log.held();
        assert!(bytes <= 200_000, "{bytes}");
    }
    assert_eq!(room.delivery.log.held().0, 3);
}
