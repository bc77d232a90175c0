//! After the server lost a meeting.

use protocol::channel::{FromServer, Kind, LogState, Refusal, Submission, ToServer};

use super::support::{Room, blob};
use crate::limits::{EXPIRES, OFFERS, RESTORE_SETTLES, RESTORE_WAIT};
use crate::{Handle, Limits};

fn offer(room: &mut Room, handle: Handle, epoch: u64, content: &str, members: &[&str]) {
    room.say(
        handle,
        ToServer::Restore {
            epoch,
            state: blob(&content[..content.len().min(32)]),
            group_info: blob(content),
            statements: vec![blob("lock"), blob("admit")],
            members: members.iter().map(|name| (*name).to_owned()).collect(),
        },
    );
}

fn returning(room: &mut Room, name: &str) -> Handle {
    let handle = room.open(name);
    room.hello(handle, Some("lost"), 77);
    handle
}

#[test]
fn after_a_start_newcomers_wait_and_then_may_begin() {
    let mut room = Room::with(Limits::default(), 10_000);
    let ada = room.enter("ada");
    assert_eq!(room.opened(ada), Some((LogState::Restoring, false, 0)));
    assert_eq!(room.append(ada, Submission::Group, "g"), Err(Refusal::OutOfPlace));
    room.pass(9_999);
    assert_eq!(room.opened(ada), None);
    room.pass(1);
    assert_eq!(room.opened(ada), Some((LogState::Empty, false, 0)));
    assert_eq!(room.append(ada, Submission::Group, "g"), Ok(1));
}

#[test]
fn the_highest_epoch_is_restored_and_who_is_missing_expires() {
    let mut room = Room::with(Limits::default(), 10_000);
    let newcomer = room.enter("newcomer");
    let (ada, ben) = (returning(&mut room, "ada"), returning(&mut room, "ben"));
    assert!(room.is_told(ada, &FromServer::RestoreWanted));
    assert!(!room.is_told(newcomer, &FromServer::RestoreWanted));
    offer(&mut room, ada, 4, "older", &["ada", "ben"]);
    offer(&mut room, ben, 5, "newer", &["ada", "ben", "cleo"]);
    room.pass(OFFERS - 1);
    assert_eq!(room.appended, 0);
    room.take(newcomer);
    room.pass(1);
    let told = room.take(newcomer);
    assert!(matches!(told[0], FromServer::Opened { state: LogState::Running, resumed: false, head: 7, .. }));
    let FromServer::Base { seq: 7, group_info, past, .. } = &told[1] else { panic!("{told:?}") };
    assert_eq!(*group_info, blob("newer"));
    let past: Vec<_> = past.iter().map(|entry| (entry.kind, entry.from.as_str())).collect();
    let expected = [
        (Kind::Statement, "ben"),
        (Kind::Statement, "ben"),
        (Kind::Back, "newcomer"),
        (Kind::Back, "ada"),
        (Kind::Back, "ben"),
        (Kind::Gone, "cleo"),
    ];
    assert_eq!(past, expected);
    assert!(room.base(ben).is_some(), "who offered it starts from it too");
    room.pass(EXPIRES);
    assert_eq!(room.kinds(ada), [(8, Kind::Expired, "cleo".into())]);
}

#[test]
fn an_empty_room_waits_once_for_who_knows_another_log() {
    let mut room = Room::new();
    let newcomer = room.enter("newcomer");
    room.take(newcomer);
    let ada = returning(&mut room, "ada");
    assert!(room.is_told(ada, &FromServer::RestoreWanted));
    assert_eq!(room.opened(newcomer), Some((LogState::Restoring, false, 0)));
    room.pass(RESTORE_WAIT);
    assert_eq!(room.opened(newcomer), Some((LogState::Empty, false, 0)));
    let mallory = returning(&mut room, "mallory");
    assert_eq!(room.opened(newcomer), None, "nobody holds a room up again and again");
    assert!(room.is_told(mallory, &FromServer::RestoreWanted));
}

#[test]
fn a_room_that_was_restored_takes_late_comers_from_its_base() {
    let mut room = Room::with(Limits::default(), 10_000);
    let ada = returning(&mut room, "ada");
    offer(&mut room, ada, 4, "restored", &["ada", "ben"]);
    room.pass(OFFERS);
    let ben = returning(&mut room, "ben");
    let told = room.take(ben);
    assert!(matches!(told[0], FromServer::Opened { state: LogState::Running, resumed: false, .. }));
    assert!(told[1] == FromServer::RestoreWanted, "more may offer something else");
    assert!(matches!(&told[2], FromServer::Base { group_info, .. } if *group_info == blob("restored")));
}

#[test]
fn who_was_not_asked_restores_nothing() {
    let mut room = Room::with(Limits::default(), 10_000);
    let mallory = room.enter("mallory");
    offer(&mut room, mallory, 9, "forged", &[]);
    room.pass(OFFERS);
    assert_eq!((room.appended, room.rejected.as_slice()), (0, ["restore-unasked"].as_slice()));
}

#[test]
fn an_offer_above_its_bounds_is_no_offer() {
    let many = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
    for (group_info, statements, members) in [((128 << 10) + 1, 0, 0), (1, 1025, 0), (1, 0, 257)] {
        let mut room = Room::with(Limits::default(), 10_000);
        let ada = returning(&mut room, "ada");
        room.say(
            ada,
            ToServer::Restore {
                epoch: 1,
                state: blob("s"),
                group_info: blob(&"g".repeat(group_info)),
                statements: vec![blob("s"); statements],
                members: many(members),
            },
        );
        assert_eq!(room.rejected, ["restore-too-large"]);
    }
    let mut room = Room::with(Limits::default(), 10_000);
    let ada = returning(&mut room, "ada");
    let members = many(256);
    room.say(
        ada,
        ToServer::Restore {
            epoch: 1,
            state: blob("s"),
            group_info: blob("g"),
            statements: vec![blob("s"); 1024],
            members,
        },
    );
    room.pass(OFFERS);
    assert_eq!(room.appended, 1 + 1024 + 1 + 256);
}

#[test]
fn what_more_members_offer_takes_the_place_of_what_came_first() {
    let mut room = Room::with(Limits::default(), 10_000);
    let mallory = returning(&mut room, "mallory");
    offer(&mut room, mallory, u64::MAX, "garbage", &["mallory"]);
    room.pass(OFFERS);
    let newcomer = room.enter("newcomer");
    assert_eq!(room.base(newcomer).map(|(_, info, _)| info), Some("garbage".into()));
    let ada = returning(&mut room, "ada");
    let told = room.take(ada);
    let wanted = told.iter().position(|message| *message == FromServer::RestoreWanted);
    let base = told.iter().position(|message| matches!(message, FromServer::Base { .. }));
    assert!(wanted.is_some() && wanted < base, "{told:?}");
    offer(&mut room, ada, 7, "real", &["ada", "ben"]);
    room.take(newcomer);
    assert_eq!(room.base(ada), None, "one against one");
    let ben = returning(&mut room, "ben");
    offer(&mut room, ben, 7, "real", &["ada", "ben"]);
    assert!(room.rejected.contains(&"restored-again"));
    for handle in [newcomer, ada, ben, mallory] {
        let told = room.take(handle);
        let opened = told
            .iter()
            .rposition(|message| matches!(message, FromServer::Opened { log, .. } if log == "log+"));
        let base = told.iter().rposition(
            |message| matches!(message, FromServer::Base { group_info, .. } if *group_info == blob("real")),
        );
        assert!(opened.is_some() && opened < base, "{told:?}");
        assert!(!told[opened.unwrap()..].iter().any(|message| matches!(message, FromServer::Entry(_))));
    }
    // What mallory offers again changes nothing, and after a while nobody is asked any more.
    offer(&mut room, mallory, u64::MAX, "garbage", &["mallory"]);
    assert!(room.rejected.contains(&"restore-again"));
    room.pass(RESTORE_SETTLES);
    let late = returning(&mut room, "late");
    assert!(!room.is_told(late, &FromServer::RestoreWanted));
}

#[test]
fn most_offers_count_for_more_than_a_high_epoch() {
    let mut room = Room::with(Limits::default(), 10_000);
    let mallory = returning(&mut room, "mallory");
    offer(&mut room, mallory, u64::MAX, "garbage", &[]);
    for name in ["ada", "ben"] {
        let handle = returning(&mut room, name);
        offer(&mut room, handle, 7, "real", &["ada", "ben"]);
    }
    room.pass(OFFERS);
    let late = room.enter("late");
    assert_eq!(room.base(late).map(|(_, info, _)| info), Some("real".into()));
}

#[test]
fn an_offer_with_other_statements_or_members_is_another_one() {
    let mut room = Room::with(Limits::default(), 10_000);
    let mallory = returning(&mut room, "mallory");
    offer(&mut room, mallory, 7, "real", &["ada", "ben", "mallory's friend"]);
    for name in ["ada", "ben"] {
        let handle = returning(&mut room, name);
        offer(&mut room, handle, 7, "real", &["ada", "ben"]);
    }
    room.pass(OFFERS);
    let late = room.enter("late");
    let (.., past) = room.base(late).expect("a base");
    assert!(!past.iter().any(|(_, kind)| *kind == Kind::Gone));
}

#[test]
fn different_offers_are_bounded_and_those_that_several_make_stay() {
    let mut room = Room::with(Limits::default(), 10_000);
    for name in ["ada", "ben"] {
        let handle = returning(&mut room, name);
        offer(&mut room, handle, 7, "real", &["ada", "ben"]);
    }
    for number in 0..20 {
        let handle = returning(&mut room, &format!("sybil {number}"));
        offer(&mut room, handle, 1000 + number, &format!("garbage {number}"), &[]);
    }
    room.pass(OFFERS);
    let late = room.enter("late");
    assert_eq!(room.base(late).map(|(_, info, _)| info), Some("real".into()));
}
