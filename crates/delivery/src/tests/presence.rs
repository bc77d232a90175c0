//! What the server writes about who is there.

use protocol::channel::{ClosingCode, Kind, Submission, ToServer};
use protocol::ids::Identity;

use super::support::Room;
use crate::limits::EXPIRES;

#[test]
fn a_broken_channel_is_gone_and_expires() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let head = room.delivery.head();
    room.break_off(others[0]);
    room.pass(EXPIRES - 1);
    assert_eq!(room.kinds(ada), [(head + 1, Kind::Gone, "ben".into())]);
    room.pass(1);
    assert_eq!(room.kinds(ada), [(head + 2, Kind::Expired, "ben".into())]);
    room.enter("ben");
    assert_eq!(room.kinds(ada), [(head + 3, Kind::Back, "ben".into())]);
}

#[test]
fn who_comes_back_in_time_does_not_expire() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let head = room.delivery.head();
    room.break_off(others[0]);
    room.pass(EXPIRES / 2);
    room.come_back("ben", head);
    room.report_all(&[ada]);
    room.pass(2 * EXPIRES - 1);
    let kinds: Vec<Kind> = room.kinds(ada).into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(kinds, [Kind::Gone, Kind::Back]);
}

#[test]
fn a_newer_channel_takes_the_place_of_the_older_without_a_word_in_the_log() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let head = room.delivery.head();
    let newer = room.come_back("ben", head);
    assert_eq!(room.closed(others[0]), Some(ClosingCode::Elsewhere));
    assert_eq!(room.kinds(ada), []);
    room.break_off(others[0]); // the socket of the older one, late
    assert_eq!(room.kinds(ada), []);
    room.break_off(newer);
    assert_eq!(room.kinds(ada), [(head + 1, Kind::Gone, "ben".into())]);
}

#[test]
fn a_channel_that_takes_the_place_and_says_nothing_is_gone_too() {
    let (mut room, ada, _) = Room::running(&["ben"]);
    let head = room.delivery.head();
    let newer = room.open("ben");
    room.break_off(newer);
    assert_eq!(room.kinds(ada), [(head + 1, Kind::Gone, "ben".into())]);
}

#[test]
fn leaving_is_for_good_and_said_once() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let head = room.delivery.head();
    room.say(others[0], ToServer::Leave);
    assert_eq!(room.closed(others[0]), Some(ClosingCode::Ended));
    room.delivery.ended(room.now, &Identity::new("ben"));
    room.break_off(others[0]);
    room.pass(2 * EXPIRES - 1);
    assert_eq!(room.kinds(ada), [(head + 1, Kind::Left, "ben".into())]);
}

#[test]
fn whose_participant_ended_has_left() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo"]);
    let head = room.delivery.head();
    room.break_off(others[1]);
    room.delivery.ended(room.now, &Identity::new("ben"));
    room.delivery.ended(room.now, &Identity::new("cleo"));
    room.delivery.ended(room.now, &Identity::new("stranger"));
    room.settle();
    assert_eq!(room.closed(others[0]), Some(ClosingCode::Ended));
    let expected = [(Kind::Gone, "cleo"), (Kind::Left, "ben"), (Kind::Left, "cleo")];
    let expected: Vec<_> =
        (head + 1..).zip(expected).map(|(seq, (kind, from))| (seq, kind, from.to_owned())).collect();
    assert_eq!(room.kinds(ada), expected);
}

#[test]
fn a_room_is_over_when_nobody_can_come_back() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    room.say(others[0], ToServer::Leave);
    assert!(!room.delivery.is_over());
    room.break_off(ada);
    assert!(!room.delivery.is_over(), "she may come back");
    room.pass(EXPIRES);
    assert!(room.delivery.is_over());
    let mut empty = Room::new();
    let ada = empty.enter("ada");
    empty.break_off(ada);
    assert!(empty.delivery.is_over(), "nothing to come back to");
}

#[test]
fn without_a_group_nothing_is_written() {
    let mut room = Room::new();
    let ben = room.enter("ben");
    room.break_off(ben);
    let ada = room.enter("ada");
    room.append(ada, Submission::Group, "group").expect("appended");
    let from: Vec<String> = room.kinds(ada).into_iter().map(|(_, _, from)| from).collect();
    assert_eq!(from, ["ada", "ada"]);
}
