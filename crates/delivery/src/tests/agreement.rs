//! What members call a state of the group.

use protocol::channel::{Blob, ClosingCode, FromServer, Submission, ToServer};

use super::support::{Room, blob};
use crate::Handle;
use crate::limits::BASE_WAIT;

/// What a newcomer is told that the state of its base is called; `None` without a base.
fn called(room: &mut Room, handle: Handle) -> Option<Option<Blob>> {
    room.take(handle).into_iter().find_map(|message| match message {
        FromServer::Base { state, .. } => Some(state),
        _ => None,
    })
}

fn commit(room: &mut Room, by: Handle) {
    room.append(by, Submission::Commit, "c").expect("appended");
}

#[test]
fn who_reports_first_does_not_say_what_a_state_is_called() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo", "mallory"]);
    let &[ben, cleo, mallory] = others.as_slice() else { panic!() };
    commit(&mut room, ada);
    room.call(mallory, "forged");
    let dora = room.enter("dora");
    assert_eq!(called(&mut room, dora), None, "one of three");
    room.call(ben, "good");
    assert_eq!(called(&mut room, dora), None);
    room.call(cleo, "good");
    assert_eq!(called(&mut room, dora), Some(Some(blob("good"))));
}

#[test]
fn whoever_made_a_state_has_no_say_while_others_are_there() {
    let (mut room, ada, others) = Room::running(&["mallory"]);
    commit(&mut room, others[0]);
    room.call(others[0], "forged");
    room.call(ada, "good");
    let ben = room.enter("ben");
    assert_eq!(called(&mut room, ben), Some(Some(blob("good"))));
    // Alone it has.
    room.break_off(ada);
    commit(&mut room, others[0]);
    room.call(others[0], "own");
    let cleo = room.enter("cleo");
    room.pass(BASE_WAIT);
    assert_eq!(called(&mut room, cleo), Some(Some(blob("own"))));
}

#[test]
fn of_two_halves_that_one_counts_with_who_came_first() {
    let (mut room, ada, others) = Room::running(&["mallory", "ben"]);
    commit(&mut room, others[1]);
    room.call(others[0], "forged");
    let newcomer = room.enter("newcomer");
    room.pass(BASE_WAIT - 1);
    assert_eq!(called(&mut room, newcomer), None);
    room.call(ada, "good");
    assert_eq!(called(&mut room, newcomer), Some(Some(blob("good"))));
}

#[test]
fn nobody_waits_for_ever_for_what_a_state_is_called() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo", "dora"]);
    commit(&mut room, ada);
    room.call(others[0], "good");
    let newcomer = room.enter("newcomer");
    room.pass(BASE_WAIT);
    assert_eq!(called(&mut room, newcomer), Some(Some(blob("good"))));
}

#[test]
fn what_strangers_call_it_does_not_count() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let strangers: Vec<Handle> = ["sam", "sue", "sid"].iter().map(|name| room.enter(name)).collect();
    commit(&mut room, ada);
    for stranger in strangers {
        room.call(stranger, "forged");
    }
    room.call(others[0], "good");
    let newcomer = room.enter("newcomer");
    assert_eq!(called(&mut room, newcomer), Some(Some(blob("good"))));
}

#[test]
fn a_group_info_is_asked_for_where_the_state_is_called_as_most_do() {
    let (mut room, ada, others) = Room::running(&["mallory", "ben", "cleo"]);
    let &[mallory, ben, cleo] = others.as_slice() else { panic!() };
    commit(&mut room, ada);
    room.call(mallory, "forged");
    room.call(ben, "good");
    room.call(cleo, "good");
    let dora = room.enter("dora");
    let FromServer::Base { seq, .. } = room.take(dora).pop().expect("a base") else { panic!() };
    room.say(dora, ToServer::WantBase { bad: Some(seq) });
    assert!(!room.is_told(mallory, &FromServer::GroupInfoWanted));
    assert!(room.is_told(ben, &FromServer::GroupInfoWanted));
}

#[test]
fn who_is_elsewhere_is_told_once() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo", "dora"]);
    commit(&mut room, ada);
    let apart = FromServer::Outcome { seq: room.delivery.head(), applied: false };
    room.call(others[2], "where a forged welcome leads");
    room.take(others[2]);
    room.call(others[0], "good");
    room.call(others[1], "good");
    room.call(others[2], "where a forged welcome leads");
    let told = room.take(others[2]);
    assert_eq!(told.iter().filter(|message| **message == apart).count(), 1);
    assert!(!room.is_told(others[0], &apart) && !room.is_told(others[1], &apart));
    assert!(room.rejected.contains(&"state-of-another-group"));
}

#[test]
fn a_hash_that_is_too_long_closes_the_channel() {
    let (mut room, ada, _) = Room::running(&[]);
    room.say(ada, ToServer::Applied { seq: 1, refused: Vec::new(), state: Blob(vec![0; 33]) });
    assert_eq!(room.closed(ada), Some(ClosingCode::Malformed));
    assert!(room.rejected.contains(&"state-too-long"));
}

#[test]
fn what_a_state_is_called_outlives_an_entry_that_all_skip() {
    let (mut room, ada, others) = Room::running(&["ben", "mallory"]);
    let &[ben, mallory] = others.as_slice() else { panic!() };
    commit(&mut room, mallory);
    room.call(mallory, "forged");
    let good = room.delivery.head();
    let garbage = room.append(mallory, Submission::Join, "garbage").expect("appended");
    for member in [ada, ben] {
        let state = blob("good");
        room.say(member, ToServer::Applied { seq: garbage, refused: vec![garbage], state });
    }
    assert!(garbage > good);
    let newcomer = room.enter("newcomer");
    assert_eq!(called(&mut room, newcomer), Some(Some(blob("good"))));
}
