//! Groups and bases: who is led into another group, and what is offered after a restart.

use std::cell::RefCell;
use std::rc::Rc;

use e2ee::group::{self, Claims, Group, Own, Psk};
use e2ee::message::Message;
use e2ee::name::SEALED_BYTES;
use e2ee::policy::{Policy, Presence};
use e2ee::session::{Input, Stop, Word};
use e2ee::signer::LeafKey;
use e2ee::statement::{Action, Place};
use protocol::channel::{Blob, Entry, FromServer, Kind, Submission, ToServer};

use crate::world::{self, LINK, World, meeting};

#[test]
fn a_group_info_that_cannot_be_used_is_asked_for_elsewhere() {
    let mut world = meeting(5, 3);
    let mut first = true;
    world.lie = Box::new(move |_, peer, message| match message {
        FromServer::Base { seq, mut group_info, state, past }
            if peer == 3 && std::mem::replace(&mut first, false) =>
        {
            let middle = group_info.0.len() / 2;
            group_info.0[middle] ^= 1;
            vec![FromServer::Base { seq, group_info, state, past }]
        }
        other => vec![other],
    });
    let newcomer = world.join(LINK, 9);
    world.settle(&[0, 1, 2, newcomer], 30_000);
}

/// A group that nobody is in but the holder of this key.
fn own_group(key: u8) -> Group {
    let key = Rc::new(LeafKey::from_seed(&[key; 32]));
    let host = key.public();
    Group::create([3; 32], Own { key, sealed_name: [0; SEALED_BYTES] }, [9; 32], &host).unwrap()
}

#[test]
fn a_group_info_of_another_group_beside_a_good_commit_leads_nobody_astray() {
    let mut world = meeting(15, 2);
    world.distort = Box::new(|peer, message| match message {
        ToServer::Submit { id, after, kind: Submission::Join, data, welcome, .. } if peer == 2 => {
            let group_info = Some(Blob(own_group(66).group_info().unwrap()));
            ToServer::Submit { id, after, kind: Submission::Join, data, welcome, group_info }
        }
        other => other,
    });
    let mallory = world.join(LINK, 66);
    world.run(3000);
    assert!(world.is_member(mallory));
    let newcomer = world.join(LINK, 9);
    world.settle(&[0, 1, mallory, newcomer], 10_000);
}

#[test]
fn who_was_led_into_a_group_where_most_are_not_joins_anew() {
    let mut world = meeting(16, 3);
    let mut forged = own_group(66);
    let mut info = Some(Blob(forged.group_info().unwrap()));
    let newcomer = world.peers.len();
    world.lie = Box::new(move |_, peer, message| match message {
        FromServer::Base { seq, past, .. } if peer == newcomer && info.is_some() => {
            let group_info = info.take().unwrap();
            vec![FromServer::Base { seq, group_info, state: None, past }]
        }
        other => vec![other],
    });
    let commit = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&commit);
    world.distort = Box::new(move |peer, message| {
        if let ToServer::Submit { kind: Submission::Join, data, .. } = &message
            && peer == newcomer
        {
            seen.borrow_mut().get_or_insert(data.0.clone());
        }
        message
    });
    world.join(LINK, 9);
    while commit.borrow().is_none() {
        world.run(5);
    }
    // Whoever made that group is in it, and welcomes the newcomer.
    let bytes = commit.take().unwrap();
    let keys = e2ee::keys::RoomKeys::new(world::link(LINK), world::ROOM);
    let place =
        Place { origin: "https://meet.example".into(), room: world::ROOM.into(), group_id: vec![9; 32] };
    let mut policy = Policy::new(place, LeafKey::from_seed(&[66; 32]).public());
    let from = world.peers[newcomer].identity.clone();
    policy.presence_changed(&from, Presence::Here);
    let entry = group::Entry { joins: true, from: &from, adds: &[], bytes: &bytes };
    forged.fold(&entry, &policy, &Psk { id: keys.psk_id(0), key: keys.psk(None) }).unwrap();
    let heartbeat = Message::Heartbeat {
        seq: world.delivery.head(),
        epoch: forged.epoch(),
        authenticator: Blob(forged.authenticator()),
        rules: Blob(policy.digest().to_vec()),
        ask: false,
        streams: Vec::new(),
    };
    world.raw_packet(&forged.seal(&heartbeat.encode()).unwrap());
    world.settle(&[0, 1, 2, newcomer], 10_000);
}

/// The server starts again, and this is the first offer it gets: of somebody who says to know another log.
fn restart_with_an_offer_first(world: &mut World, group_info: Vec<u8>) {
    world.restart();
    let mallory = world.raw_of("0123456789abcdefghjkmnpqrs", Some("lost"));
    let offer = ToServer::Restore {
        epoch: u64::MAX,
        state: Blob(Claims::read(&group_info).map_or([1; 32], |claims| claims.state).to_vec()),
        group_info: Blob(group_info),
        statements: Vec::new(),
        members: Vec::new(),
    };
    world.raw_say(mallory, offer);
    world.hold(4000);
    world.run(45_000);
}

#[test]
fn garbage_that_is_offered_first_after_a_restart_ends_no_meeting() {
    let mut world = meeting(17, 4);
    let epoch = world.epoch(0);
    restart_with_an_offer_first(&mut world, vec![7; 300]);
    world.settle(&[0, 1, 2, 3], 30_000);
    assert_eq!(world.epoch(0), epoch, "they go on as they were");
}

#[test]
fn a_group_that_is_offered_first_after_a_restart_takes_nobody_in() {
    for host_had_a_say in [false, true] {
        let mut world = meeting(18, 3);
        if host_had_a_say {
            world.input(0, Input::Say { word: Word::Action(Action::Recording(true)) });
            world.run(1000);
        }
        restart_with_an_offer_first(&mut world, own_group(66).group_info().unwrap());
        world.settle(&[0, 1, 2], 30_000);
    }
}

#[test]
fn who_was_kicked_does_not_restore_the_meeting_from_before() {
    let mut world = meeting(19, 4);
    let target = LeafKey::from_seed(&[4; 32]).public();
    // The one to be removed keeps the state from before, and hears of nothing.
    world.cut(3);
    world.input(0, Input::Say { word: Word::Action(Action::Kick(target)) });
    world.settle(&[0, 1, 2], 10_000);
    let fragment = world.peers[0].fragment.clone();
    world.restart();
    world.run(1);
    world.connect_first(3);
    world.run(15_000);
    world.settle(&[0, 1, 2], 30_000);
    assert_eq!(world.peers[0].fragment, fragment);
}

#[test]
fn an_offer_repeated_by_strangers_with_garbage_keeps_nobody_out() {
    let mut world = meeting(63, 3);
    let seen = Rc::new(RefCell::new(None));
    let copy = Rc::clone(&seen);
    // What a member offers is no secret: a base tells all of it.
    world.distort = Box::new(move |_, message| {
        if let ToServer::Restore { epoch, state, statements, members, .. } = &message {
            *copy.borrow_mut() = Some((*epoch, state.clone(), statements.clone(), members.clone()));
        }
        message
    });
    world.restart();
    world.run(5000);
    world.settle(&[0, 1, 2], 30_000);
    let (epoch, state, statements, members) = seen.borrow_mut().take().expect("an offer");
    world.restart();
    for name in ["x", "y", "z"] {
        let stranger = world.raw_of(name, Some("x"));
        let offer = ToServer::Restore {
            epoch,
            state: state.clone(),
            group_info: Blob(vec![0; 100]),
            statements: statements.clone(),
            members: members.clone(),
        };
        world.raw_say(stranger, offer);
    }
    world.settle(&[0, 1, 2], 30_000);
    let newcomer = world.join(LINK, 9);
    world.settle(&[0, 1, 2, newcomer], 20_000);
}

#[test]
fn who_is_joining_anew_restores_the_meeting_all_the_same() {
    let mut world = meeting(64, 2);
    // Keeps the last one on its way into the group.
    world.leave(1);
    world.settle(&[0], 10_000);
    world.lie = Box::new(|_, _, message| match message {
        FromServer::Base { .. } => Vec::new(),
        other => vec![other],
    });
    // Entries are missing, so it wants a base, which does not come.
    let far = FromServer::Entry(Entry {
        seq: 1000,
        kind: Kind::Back,
        from: "somebody".into(),
        data: None,
        welcome: None,
        adds: Vec::new(),
    });
    world.input(0, Input::Channel { message: far });
    world.run(1000);
    world.lie = Box::new(|_, _, message| vec![message]);
    world.restart();
    world.run(15_000);
    let newcomer = world.join(LINK, 9);
    world.settle(&[0, newcomer], 20_000);
}

#[test]
fn who_was_away_for_too_long_is_not_led_into_another_group() {
    for had_a_say in [false, true] {
        let mut world = meeting(66, 3);
        if had_a_say {
            let other = LeafKey::from_seed(&[2; 32]).public();
            world.input(0, Input::Say { word: Word::Action(Action::AddHost(other)) });
            world.run(1000);
        }
        let foreign = own_group(70).group_info().unwrap();
        let away = world.peers[2].identity.clone();
        // Says that somebody is gone who is there, and then that the meeting is another one.
        world.lie = Box::new(move |_, index, message| match message {
            FromServer::Entry(entry) if entry.kind == Kind::Back && entry.from == "somebody" => {
                let entry = Entry { kind: Kind::Expired, from: away.clone(), ..entry };
                vec![FromServer::Entry(entry)]
            }
            FromServer::Base { seq, past, .. } if index == 2 => {
                let group_info = Blob(foreign.clone());
                vec![FromServer::Base { seq, group_info, state: None, past }]
            }
            other => vec![other],
        });
        world.raw("somebody");
        world.settle(&[0, 1], 10_000);
        world.run(10_000);
        assert_eq!(world.stopped(2) == Some(Stop::OtherMeeting), had_a_say, "{:?}", world.peers[2].state);
    }
}
