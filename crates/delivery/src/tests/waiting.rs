//! Who waits to be added.

use protocol::channel::{Blob, FromServer, Submission, ToServer, Welcome};

use super::support::{Room, blob};
use crate::Handle;

fn wait(room: &mut Room, handle: Handle, content: &str) {
    room.say(handle, ToServer::KeyPackage { data: blob(content) });
}

fn waiting(from: &str, content: &str) -> FromServer {
    FromServer::Waiting { from: from.into(), data: blob(content) }
}

fn not_waiting(from: &str) -> FromServer {
    FromServer::NotWaiting { from: from.into() }
}

#[test]
fn members_hear_of_the_newest_key_package_and_newcomers_do_not() {
    let (mut room, ada, _) = Room::running(&[]);
    let (cleo, dora) = (room.enter("cleo"), room.enter("dora"));
    wait(&mut room, cleo, "one");
    wait(&mut room, cleo, "two");
    let told = room.take(ada);
    assert!(told.contains(&waiting("cleo", "one")) && told.contains(&waiting("cleo", "two")));
    assert!(!room.is_told(dora, &waiting("cleo", "two")));
    room.report_all(&[dora]);
    assert!(room.is_told(dora, &waiting("cleo", "two")), "as soon as she is a member");
    assert!(!room.is_told(dora, &waiting("cleo", "one")));
}

#[test]
fn who_is_added_joins_or_goes_waits_no_longer() {
    let (mut room, ada, _) = Room::running(&[]);
    let waits = |room: &mut Room, name: &str| {
        let handle = room.enter(name);
        wait(room, handle, "package");
        room.take(ada);
        handle
    };
    waits(&mut room, "added");
    let welcome = Welcome { to: vec!["added".into()], data: blob("welcome") };
    let head = room.delivery.head();
    room.submit_whole(ada, head, Submission::Commit, blob("add"), Some(welcome), None).expect("appended");
    assert!(room.is_told(ada, &not_waiting("added")));

    let joins = waits(&mut room, "joins");
    room.append(joins, Submission::Join, "join").expect("appended");
    assert!(room.is_told(ada, &not_waiting("joins")));

    let goes = waits(&mut room, "goes");
    room.break_off(goes);
    assert!(room.is_told(ada, &not_waiting("goes")));
}

#[test]
fn a_key_package_above_its_bounds_ends_the_channel() {
    let (mut room, ..) = Room::running(&[]);
    let cleo = room.enter("cleo");
    room.say(cleo, ToServer::KeyPackage { data: Blob(vec![0; 4096]) });
    assert_eq!(room.closed(cleo), None);
    room.say(cleo, ToServer::KeyPackage { data: Blob(vec![0; 4097]) });
    assert!(room.closed(cleo).is_some() && room.rejected == ["key-package-too-large"]);
}

#[test]
fn key_packages_without_end_end_the_channel() {
    let (mut room, ..) = Room::running(&[]);
    let mallory = room.enter("mallory");
    let sent = (0..100).take_while(|_| {
        wait(&mut room, mallory, "again");
        room.closed(mallory).is_none()
    });
    assert_eq!(sent.count(), 20);
}
