//! Entries and packets: kept back, twice, in another order, or of no use.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use e2ee::message::Content;
use e2ee::session::{Input, State, Stop};
use protocol::channel::{Blob, Entry, FromServer, Kind, Submission, ToServer};

use crate::world::{LINK, World, meeting};
use crate::{hide_one, is_visibly_apart};

#[test]
fn who_is_kept_from_the_log_stops_and_the_others_see_it() {
    let mut world = meeting(1, 4);
    world.lie = Box::new(|_, peer, message| match message {
        FromServer::Entry(_) | FromServer::Base { .. } if peer == 3 => vec![],
        other => vec![other],
    });
    let newcomer = world.join(LINK, 9);
    world.run(90_000);
    is_visibly_apart(&world, 3, &[0, 1, 2, newcomer]);
    for index in [0, 1, 2, newcomer] {
        assert!(world.is_member(index) && world.peers[index].sending.is_some());
    }
}

#[test]
fn an_entry_that_is_kept_back_is_noticed() {
    let mut world = meeting(2, 4);
    let kept = Rc::new(RefCell::new(false));
    let flag = Rc::clone(&kept);
    world.lie = Box::new(move |_, peer, message| match message {
        FromServer::Entry(Entry { kind: Kind::Join, .. }) if peer == 3 && !flag.replace(true) => vec![],
        other => vec![other],
    });
    let newcomer = world.join(LINK, 9);
    world.run(1000);
    assert!(*kept.borrow());
    world.settle(&[0, 1, 2, 3, newcomer], 60_000);
}

#[test]
fn an_entry_that_is_kept_back_is_noticed_also_when_numbers_hide_it() {
    let mut world = meeting(3, 4);
    let since = hide_one(&mut world, Kind::Join);
    let newcomer = world.join(LINK, 9);
    // That it goes on in another epoch is seen from what the others send.
    world.settle(&[0, 1, 2, 3, newcomer], 60_000);
    assert_eq!(since.get(), Some(u64::MAX), "it joined anew");
}

#[test]
fn entries_twice_or_in_another_order_do_no_harm() {
    let mut world = meeting(4, 3);
    let mut last = None;
    world.lie = Box::new(move |_, peer, message| match message {
        FromServer::Entry(entry) if peer == 1 => {
            let again = last.replace(FromServer::Entry(entry.clone()));
            let mut all: Vec<_> = vec![FromServer::Entry(entry)];
            all.extend(again);
            all
        }
        other => vec![other],
    });
    let fourth = world.join(LINK, 8);
    world.run(1000);
    let fifth = world.join(LINK, 9);
    world.settle(&[0, 1, 2, fourth, fifth], 30_000);
}

#[test]
fn a_member_told_that_somebody_expired_removes_nobody_for_the_others() {
    let mut world = meeting(6, 4);
    world.lie = Box::new(|_, peer, message| match message {
        FromServer::Entry(mut entry) if peer == 0 && entry.kind == Kind::Gone => {
            entry.kind = Kind::Expired;
            vec![FromServer::Entry(entry)]
        }
        other => vec![other],
    });
    world.cut(3);
    world.run(5000);
    world.connect(3);
    world.settle(&[0, 1, 2, 3], 60_000);
}

#[test]
fn garbage_in_the_log_blocks_nobody_and_its_author_is_shown_out() {
    let mut world = meeting(7, 3);
    let hacker = world.raw("0123456789abcdefghjkmnpqrs");
    world.run(500);
    for turn in 0..10_u8 {
        let kind = [Submission::Join, Submission::Commit, Submission::Statement][usize::from(turn) % 3];
        let submit = ToServer::Submit {
            id: turn.into(),
            after: world.delivery.head(),
            kind,
            data: Blob(vec![turn; 100]),
            welcome: None,
            group_info: Some(Blob(vec![turn; 100])),
        };
        world.raw_say(hacker, submit);
        world.run(300);
    }
    assert!(world.refusals.contains_key("entries-refused"), "{:?}", world.refusals);
    let newcomer = world.join(LINK, 9);
    world.settle(&[0, 1, 2, newcomer], 15_000);
}

#[test]
fn packets_of_strangers_change_nothing() {
    let mut world = meeting(8, 3);
    let epoch = world.epoch(0);
    // What looks like a message of a later epoch, or of this one, or of none.
    let observed = Rc::new(RefCell::new(Vec::new()));
    world.observe = Some(Rc::clone(&observed));
    world.say(0, "hello");
    world.run(1000);
    let real: Vec<u8> = observed.borrow().last().cloned().unwrap();
    for at in 0..real.len() {
        let mut changed = real.clone();
        changed[at] ^= 1 + (at % 255) as u8;
        world.raw_packet(&changed);
        world.raw_packet(&real[..at]);
        if at % 10 == 0 {
            world.run(500);
        }
    }
    world.run(20_000);
    world.settle(&[0, 1, 2], 5000);
    assert_eq!(world.epoch(0), epoch, "nobody had to join anew");
    for index in [1, 2] {
        assert_eq!(world.peers[index].said.len(), 1, "no replay is heard");
        assert_eq!(world.peers[index].state, State::Member { confirmed: true });
    }
}

#[test]
fn what_looks_like_a_message_to_come_does_not_stay_for_ever() {
    let mut world = meeting(69, 4);
    let observed = Rc::new(RefCell::new(Vec::new()));
    world.observe = Some(Rc::clone(&observed));
    world.say(0, "hello");
    world.run(1000);
    let real: Vec<u8> = observed.borrow().last().cloned().unwrap();
    // Version, format, group id with its length, epoch (RFC 9420 §6): as many as are kept.
    let epoch = 5 + usize::from(real[4]);
    for number in 0..64 {
        let mut future = real.clone();
        future[epoch] = 0x40 + number;
        world.raw_packet(&future);
    }
    // Their time goes on while keys change.
    world.run(6000);
    world.leave(3);
    world.run(5000);
    let held = Rc::new(RefCell::new(Vec::new()));
    let holding = Rc::clone(&held);
    world.lie = Box::new(move |_, index, message| match message {
        FromServer::Entry(_) if index == 2 => {
            holding.borrow_mut().push(message);
            Vec::new()
        }
        other => vec![other],
    });
    let before = world.epoch(0);
    world.leave(1);
    world.run(2000);
    assert_ne!(world.epoch(0), before);
    world.say(0, "of the next epoch");
    world.run(500);
    for message in held.take() {
        world.input(2, Input::Channel { message });
    }
    let said: Vec<_> = world.peers[2].said.iter().map(|(_, content)| content.clone()).collect();
    assert!(
        matches!(said.last(), Some(Content::Chat { text, .. }) if text == "of the next epoch"),
        "{said:?}"
    );
}

#[test]
fn all_who_wait_get_in_though_one_key_package_is_garbage() {
    let mut world = meeting(9, 2);
    let hacker = world.raw("0123456789abcdefghjkmnpqrs");
    world.raw_say(hacker, ToServer::KeyPackage { data: Blob(vec![7; 300]) });
    let newcomers: Vec<usize> = (10..15).map(|key| world.join(LINK, key)).collect();
    let everybody: Vec<usize> = [0, 1].into_iter().chain(newcomers).collect();
    world.settle(&everybody, 30_000);
}

#[test]
fn a_meeting_that_begins_with_garbage_is_given_up() {
    let mut world = World::new(11);
    let squatter = world.raw("0123456789abcdefghjkmnpqrs");
    let data = Blob(vec![7; 300]);
    let group_info = Some(data.clone());
    let kind = Submission::Group;
    world.raw_say(squatter, ToServer::Submit { id: 1, after: 0, kind, data, welcome: None, group_info });
    let visitor = world.join(LINK, 1);
    world.run(60_000);
    assert_eq!(world.stopped(visitor), Some(Stop::OutOfStep));
}

#[test]
fn what_is_said_while_a_commit_is_under_way_is_sent_afterwards() {
    let mut world = meeting(12, 3);
    world.delay = 400;
    world.vanish(2);
    world.run(30_000);
    for turn in 0..20 {
        world.say(0, &format!("{turn}"));
        world.run(100);
    }
    world.run(5000);
    assert_eq!(world.peers[1].said.len(), 20);
    assert_eq!(world.peers[0].not_sent, 0);
}

#[test]
fn a_commit_that_the_log_calls_a_join_is_confirmed_by_nobody() {
    let mut world = meeting(20, 3);
    let mut place = None;
    // To everybody the same lie, so that all have one log.
    world.lie = Box::new(move |_, _, message| match message {
        FromServer::Entry(mut entry) if entry.kind == Kind::Commit => {
            if *place.get_or_insert(entry.seq) == entry.seq {
                entry.kind = Kind::Join;
            }
            vec![FromServer::Entry(entry)]
        }
        other => vec![other],
    });
    let joins = Rc::new(Cell::new(0));
    let count = Rc::clone(&joins);
    world.distort = Box::new(move |_, message| {
        if matches!(message, ToServer::Submit { kind: Submission::Join, .. }) {
            count.set(count.get() + 1);
        }
        message
    });
    world.leave(2);
    world.settle(&[0, 1], 20_000);
    assert_eq!(joins.get(), 0, "who made it has not gone where nobody follows");
}
