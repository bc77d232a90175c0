//! Sizes, rates and numbers.

use protocol::channel::{Blob, ClosingCode, FromServer, Kind, Refusal, Submission, ToServer, Welcome};
use protocol::ids::Identity;

use super::support::{Room, blob};
use crate::limits::{EXPIRES, HELLO_WAIT, SILENCE};
use crate::{Limits, Rate};

fn generous() -> Limits {
    let plenty = Rate { burst: 100_000, per_minute: 100_000 };
    Limits { messages: plenty, submissions: plenty, joins: plenty, room_joins: plenty, ..Limits::default() }
}

#[test]
fn each_kind_has_its_size() {
    let (mut room, ada, _) = Room::running(&[]);
    let blob_of = |bytes| Blob(vec![0; bytes]);
    let welcome = |bytes| Some(Welcome { to: vec!["ben".into()], data: blob_of(bytes) });
    let (large, none) = (Err(Refusal::TooLarge), None::<Blob>);
    let mut submit = |kind, data, welcome, info| {
        let head = room.delivery.head();
        room.submit_whole(ada, head, kind, blob_of(data), welcome, info).map(|_| ())
    };
    assert_eq!(submit(Submission::Commit, 64 << 10, None, none.clone()), Ok(()));
    assert_eq!(submit(Submission::Commit, (64 << 10) + 1, None, none.clone()), large);
    assert_eq!(submit(Submission::Statement, 256, None, none.clone()), Ok(()));
    assert_eq!(submit(Submission::Statement, (256) + 1, None, none.clone()), large);
    assert_eq!(submit(Submission::Commit, 1, welcome(192 << 10), none.clone()), Ok(()));
    assert_eq!(submit(Submission::Commit, 1, welcome((192 << 10) + 1), none.clone()), large);
    assert_eq!(submit(Submission::Commit, 1, None, Some(blob_of(128 << 10))), Ok(()));
    assert_eq!(submit(Submission::Commit, 1, None, Some(blob_of((128 << 10) + 1))), large);
    let everybody = |count: usize| Welcome { to: vec!["x".into(); count], data: blob("w") };
    assert_eq!(submit(Submission::Commit, 1, Some(everybody(200)), none.clone()), Ok(()));
    assert_eq!(submit(Submission::Commit, 1, Some(everybody(201)), none.clone()), large);
    let long = Welcome { to: vec!["x".repeat(257)], data: blob("w") };
    assert_eq!(submit(Submission::Commit, 1, Some(long), none), large);
    let mut room = Room::new();
    let ada = room.enter("ada");
    let mut group = |bytes| room.submit_whole(ada, 0, Submission::Group, blob_of(bytes), None, None);
    assert_eq!(group((128 << 10) + 1), Err(Refusal::TooLarge));
    assert_eq!(group(128 << 10), Ok(1));
}

#[test]
fn submissions_are_limited_by_identity() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let ben = others[0];
    let taken = (0..100).take_while(|_| room.append(ben, Submission::Commit, "c").is_ok()).count();
    assert_eq!(taken, 20);
    room.break_off(ben);
    let ben = room.come_back("ben", room.delivery.head());
    assert_eq!(room.append(ben, Submission::Commit, "c"), Err(Refusal::TooOften), "by another channel too");
    assert!(room.append(ada, Submission::Commit, "c").is_ok(), "others are unaffected");
    room.pass(1_000);
    assert!(room.append(ben, Submission::Commit, "c").is_ok());
}

#[test]
fn joins_are_limited_by_identity_and_by_room() {
    let (mut room, _, others) = Room::running(&["ben"]);
    let join = |room: &mut Room, handle| room.append(handle, Submission::Join, "j");
    for _ in 0..3 {
        assert!(join(&mut room, others[0]).is_ok());
    }
    assert_eq!(join(&mut room, others[0]), Err(Refusal::TooOften));
    room.pass(20_000);
    assert!(join(&mut room, others[0]).is_ok());

    let mut room = Room::with(Limits { room_joins: Rate { burst: 5, per_minute: 600 }, ..generous() }, 0);
    let ada = room.enter("ada");
    room.append(ada, Submission::Group, "g").expect("appended");
    let others: Vec<_> = (0..6).map(|number| room.enter(&number.to_string())).collect();
    let joined = others.iter().filter(|other| join(&mut room, **other).is_ok()).count();
    assert_eq!(joined, 5);
    room.pass(100);
    assert!(join(&mut room, others[5]).is_ok());
}

#[test]
fn lost_races_cost_no_join() {
    let (mut room, _, others) = Room::running(&["ben"]);
    for _ in 0..10 {
        assert_eq!(room.submit(others[0], 0, Submission::Join, "j"), Err(Refusal::Stale));
    }
    assert!(room.append(others[0], Submission::Join, "j").is_ok());
}

#[test]
fn too_many_messages_end_the_channel() {
    let (mut room, _, others) = Room::running(&["ben"]);
    let said = (0..1000).take_while(|_| {
        room.report(others[0], 1, &[]);
        room.closed(others[0]).is_none()
    });
    assert!((190..=200).contains(&said.count()));
    assert_eq!(room.closed(others[0]), Some(ClosingCode::TooOften));
}

#[test]
fn statements_are_bounded_and_refused_ones_make_way() {
    let mut room = Room::with(Limits { statements: 4, ..generous() }, 0);
    let ada = room.enter("ada");
    room.append(ada, Submission::Group, "g").expect("appended");
    let ben = room.enter("ben");
    room.delivery.trust(&Identity::new("ben"), 1);
    for _ in 0..4 {
        room.append(ada, Submission::Statement, "s").expect("appended");
    }
    assert_eq!(room.append(ada, Submission::Statement, "s"), Err(Refusal::TooOften));
    let head = room.delivery.head();
    room.report(ben, head, &[head]);
    assert!(room.append(ada, Submission::Statement, "s").is_ok());
    assert_eq!(room.delivery.log.held().2, 4);
}

#[test]
fn a_room_is_full_and_who_is_in_it_may_come_again() {
    let mut room = Room::with(Limits { members: 2, ..Limits::default() }, 0);
    let (_, ben) = (room.enter("ada"), room.enter("ben"));
    let cleo = room.open("cleo");
    assert_eq!((room.closed(cleo), room.rejected.as_slice()), (Some(ClosingCode::Full), ["full"].as_slice()));
    let again = room.open("ben");
    assert_eq!((room.closed(ben), room.closed(again)), (Some(ClosingCode::Elsewhere), None));
}

#[test]
fn identities_are_remembered_within_bounds() {
    let mut room = Room::with(Limits { people: 8, log_entries: 4, ..generous() }, 0);
    let ada = room.enter("ada");
    room.append(ada, Submission::Group, "g").expect("appended");
    for number in 0..100 {
        let handle = room.enter(&number.to_string());
        room.say(handle, ToServer::Leave);
        let (entries, _, _, fallen) = room.delivery.log.held();
        assert!(room.delivery.people.len() <= 8 && entries <= 4 && fallen <= 8);
    }
    let (_, ben) = (room.take(ada), room.enter("ben"));
    let (.., past) = room.base(ben).expect("a base");
    assert!(past.iter().any(|(seq, _)| *seq == 2), "who is there is not forgotten: {past:?}");
}

#[test]
fn who_may_still_come_back_is_not_forgotten_for_a_newcomer() {
    let mut room = Room::with(Limits { people: 3, ..generous() }, 0);
    let ada = room.enter("ada");
    room.append(ada, Submission::Group, "g").expect("appended");
    for name in ["ben", "cleo"] {
        let handle = room.enter(name);
        room.break_off(handle);
    }
    let dora = room.open("dora");
    assert_eq!(room.closed(dora), Some(ClosingCode::Full));
    room.pass(EXPIRES);
    let expired = room.kinds(ada).into_iter().filter(|(_, kind, _)| *kind == Kind::Expired).count();
    assert_eq!(expired, 2);
    let dora = room.open("dora");
    assert_eq!(room.closed(dora), None);
}

#[test]
fn welcomes_are_kept_within_bounds() {
    let mut room = Room::with(Limits { kept_welcome_bytes: 300_000, ..generous() }, 0);
    let ada = room.enter("ada");
    room.append(ada, Submission::Group, "g").expect("appended");
    for _ in 0..10 {
        let welcome = Welcome { to: vec!["absent".into()], data: Blob(vec![0; 100_000]) };
        let head = room.delivery.head();
        room.submit_whole(ada, head, Submission::Commit, blob("c"), Some(welcome), None).expect("appended");
        assert!(room.delivery.welcomes.bytes() <= 300_000);
    }
}

#[test]
fn who_stops_reporting_is_closed_and_who_only_waits_is_not() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let lurker = room.enter("lurker");
    room.append(ada, Submission::Statement, "for everybody").expect("appended");
    assert_eq!(room.entries(lurker).len(), 1);
    room.report_all(&[ada]);
    room.pass(SILENCE - 1);
    assert_eq!(room.closed(others[0]), None);
    room.pass(1);
    assert_eq!(room.closed(others[0]), Some(ClosingCode::Silent));
    assert_eq!((room.closed(ada), room.closed(lurker)), (None, None));
}

#[test]
fn who_was_refused_entry_owes_no_reports() {
    let (mut room, ada, _) = Room::running(&[]);
    let ben = room.enter("ben");
    let seq = room.append(ben, Submission::Join, "no admission").expect("appended");
    room.report(ada, seq, &[seq]);
    room.pass(SILENCE);
    assert_eq!(room.closed(ben), None);
}

#[test]
fn a_channel_has_to_say_hello_first_and_once() {
    let mut room = Room::new();
    let mute = room.open("mute");
    room.pass(HELLO_WAIT);
    assert_eq!(room.closed(mute), Some(ClosingCode::Silent));
    let early = room.open("early");
    room.say(early, ToServer::Leave);
    assert_eq!(room.closed(early), Some(ClosingCode::Malformed));
    let twice = room.enter("twice");
    room.hello(twice, None, 0);
    assert_eq!(room.closed(twice), Some(ClosingCode::Malformed));
}

#[test]
fn who_asks_is_told_that_the_server_is_there() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    room.take(ada);
    room.say(ada, ToServer::Ping);
    assert_eq!(room.take(ada), [FromServer::Pong]);
    assert_eq!(room.take(others[0]).iter().filter(|message| matches!(message, FromServer::Pong)).count(), 0);
}

#[test]
fn the_end_closes_everybody() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    room.delivery.end(ClosingCode::Stopping);
    room.settle();
    assert_eq!([ada, others[0]].map(|handle| room.closed(handle)), [Some(ClosingCode::Stopping); 2]);
    room.say(ada, ToServer::Leave);
    assert_eq!(room.take(ada).iter().filter(|message| matches!(message, FromServer::Entry(_))).count(), 0);
}

#[test]
fn a_host_lets_everybody_in_through_a_lobby_several_times() {
    let mut room = Room::with(generous(), 0);
    let ada = room.enter("ada");
    room.append(ada, Submission::Group, "g").expect("appended");
    let longest = "s".repeat(207);
    for _ in 0..5 * 200 {
        room.append(ada, Submission::Statement, &longest).expect("appended");
        room.take(ada);
    }
    let ben = room.enter("ben");
    let (.., past) = room.base(ben).expect("a base");
    assert!(past.len() >= 1000);
}
