//! Large meetings. That of 200 takes minutes: `make soak`.

#[allow(dead_code, reason = "shared with the other files of tests")]
mod world;

use std::rc::Rc;

use e2ee::group::{Entry, Group, Own, Psk};
use e2ee::identity::identity_of;
use e2ee::keys::RoomKeys;
use e2ee::link::LinkSecret;
use e2ee::name;
use e2ee::policy::{Policy, Presence};
use e2ee::session::{Config, Input, Output, Session};
use e2ee::signer::LeafKey;
use e2ee::statement::Place;
use protocol::channel::{Blob, Entry as LogEntry, FromServer, Kind, LogState, Submission, ToServer};
use world::{LINK, World};

/// Everybody comes within seconds, as at the start of a lesson; then some leave at once, and late ones come.
fn lesson(seed: u64, count: u8) {
    let mut world = World::new(seed);
    let mut here: Vec<usize> = Vec::new();
    for key in 1..=count {
        here.push(world.join(LINK, key));
        let wait = world.below(100);
        world.run(wait);
    }
    world.settle(&here, 120_000);
    let left = here.split_off(here.len() * 3 / 4);
    for index in left {
        world.vanish(index);
    }
    for key in 0..5 {
        let late = world.join(LINK, 240 + key);
        here.push(late);
    }
    world.settle(&here, 120_000);
    world.say(here[0], "that is all for today");
    world.run(2000);
    assert!(here[1..].iter().all(|&index| world.peers[index].said.len() == 1));
}

#[test]
fn a_lesson_of_64() {
    lesson(1, 64);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn lessons_of_200() {
    for seed in 2..4 {
        lesson(seed, 195);
    }
}

/// GroupInfos of a meeting with one member less than there may be, and with as many.
fn almost_full_and_full(room: &str, link: [u8; 20]) -> [Vec<u8>; 2] {
    let keys = || RoomKeys::new(LinkSecret::from_random(link), room);
    let psk = Psk { id: keys().psk_id(0), key: keys().psk(None) };
    let own = |member: u8| {
        let key = Rc::new(LeafKey::from_seed(&[member; 32]));
        let identity = identity_of(&key.public());
        let sealed_name = name::seal(&keys().name(), room, &identity, "somebody", [member; 12]);
        (identity, Own { key, sealed_name })
    };
    let (_, host) = own(1);
    let host_key = host.key.public();
    let place = Place { origin: "https://meet.example".into(), room: room.into(), group_id: vec![9; 32] };
    let mut policy = Policy::new(place, host_key);
    let mut group = Group::create([1; 32], host, [9; 32], &host_key).unwrap();
    let mut infos = vec![group.group_info().unwrap()];
    for member in 2..=200 {
        let (identity, own) = own(member);
        policy.presence_changed(&identity, Presence::Here);
        let (_, commit) = Group::join([member; 32], own, infos.last().unwrap(), &psk).unwrap();
        group
            .fold(&Entry { joins: true, from: &identity, adds: &[], bytes: &commit }, &policy, &psk)
            .unwrap();
        infos.push(group.group_info().unwrap());
    }
    infos.split_off(198).try_into().unwrap()
}

#[test]
fn who_comes_while_those_who_left_fill_the_group_waits_for_their_removal() {
    let (room, link) = ("standup", [7; 20]);
    let [almost, full] = almost_full_and_full(room, link);
    let config = Config {
        origin: "https://meet.example".into(),
        keys: RoomKeys::new(LinkSecret::from_random(link), room),
        password: None,
        name: "late".to_owned().into(),
        key: LeafKey::from_seed(&[250; 32]),
    };
    let mut session = Session::new(config, [3; 32]);
    let back = LogEntry {
        seq: 1,
        kind: Kind::Back,
        from: session.identity().into(),
        data: None,
        welcome: None,
        adds: Vec::new(),
    };
    let mut said = |now, input| {
        session.handle(now, input);
        let mut said = Vec::new();
        while let Some(output) = session.poll() {
            if let Output::Channel { message } = output {
                said.push(message);
            }
        }
        (said, session.poll_timeout())
    };
    let base = |info: &[u8]| Input::Channel {
        message: FromServer::Base {
            seq: 1,
            group_info: Blob(info.to_vec()),
            state: None,
            past: vec![back.clone()],
        },
    };
    said(0, Input::Connected);
    let opened = FromServer::Opened { log: "log".into(), head: 1, state: LogState::Running, resumed: false };
    said(0, Input::Channel { message: opened });
    let (first, due) = said(1, base(&full));
    assert!(first.is_empty(), "{}", first.len());
    let (again, _) = said(due.unwrap(), Input::Timeout);
    assert!(matches!(again.as_slice(), [ToServer::WantBase { bad: None }]));
    let (joins, _) = said(due.unwrap(), base(&almost));
    assert!(matches!(joins.as_slice(), [ToServer::Submit { kind: Submission::Join, .. }]));
}
