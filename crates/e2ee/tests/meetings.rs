//! Meetings over the server's real delivery, in virtual time.

#[allow(dead_code, reason = "shared with the other files of tests")]
mod world;

use e2ee::session::{HostAction, Input, State, Stop, Word};
use e2ee::signer::LeafKey;
use e2ee::statement::Action;
use protocol::channel::{FromServer, Kind};
use world::{LINK, World, meeting};

#[test]
fn one_after_the_other_they_come_and_all_have_the_keys() {
    let world = meeting(1, 6);
    let names: Vec<_> = world.peers[5]
        .roster
        .as_ref()
        .unwrap()
        .members
        .iter()
        .map(|member| member.name.clone().unwrap())
        .collect();
    assert_eq!(names.len(), 6);
    assert!(names.contains(&"member 1".to_owned()));
}

#[test]
fn all_at_once_they_come_and_all_have_the_keys() {
    for seed in 0..8 {
        let mut world = World::new(seed);
        for key in 1..=12 {
            world.join(LINK, key);
        }
        let everybody: Vec<usize> = (0..12).collect();
        world.settle(&everybody, 20_000);
    }
}

#[test]
fn who_leaves_or_vanishes_loses_the_keys() {
    let mut world = meeting(2, 5);
    let before = world.epoch(0);
    world.leave(4);
    world.settle(&[0, 1, 2, 3], 5000);
    assert!(world.epoch(0) > before);
    world.vanish(0);
    world.run(29_000);
    assert!(world.agree(&[1, 2, 3]).is_err(), "still in the group for 30 s");
    world.settle(&[1, 2, 3], 15_000);
    let after = world.epoch(1).unwrap();
    let key = world.peers[1].keys[&after].clone();
    assert!(!world.all_keys[&key].contains(&0) && !world.all_keys[&key].contains(&4));
}

#[test]
fn without_the_link_nobody_gets_keys_and_the_meeting_goes_on() {
    let mut world = meeting(3, 3);
    let stranger = world.join(LINK + 1, 9);
    world.run(10_000);
    assert_eq!(world.stopped(stranger), Some(Stop::OtherLink));
    world.settle(&[0, 1, 2], 1000);
    for holders in world.all_keys.values() {
        assert!(!holders.contains(&stranger) || holders.len() == 1, "the stranger's keys are its own only");
    }
}

#[test]
fn a_reload_takes_the_place_of_the_old_leaf() {
    let mut world = meeting(4, 3);
    world.vanish(1);
    let again = world.join(LINK, 2);
    world.settle(&[0, again, 2], 10_000);
}

#[test]
fn a_short_break_changes_nothing() {
    let mut world = meeting(5, 3);
    let epoch = world.epoch(0);
    world.cut(2);
    world.run(3000);
    world.connect(2);
    world.settle(&[0, 1, 2], 5000);
    assert_eq!(world.epoch(0), epoch);
}

#[test]
fn commits_missed_in_a_break_are_made_up_for() {
    let mut world = meeting(6, 3);
    world.cut(2);
    world.run(500);
    let newcomer = world.join(LINK, 8);
    world.run(2500);
    world.connect(2);
    world.settle(&[0, 1, 2, newcomer], 5000);
}

#[test]
fn what_is_said_arrives_and_newcomers_hear_of_it() {
    let mut world = meeting(7, 3);
    world.say(1, "hello");
    world.run(500);
    assert_eq!(world.peers[0].said.len(), 1);
    assert_eq!(world.peers[2].said.len(), 1);
    let newcomer = world.join(LINK, 9);
    world.run(5000);
    assert_eq!(world.peers[newcomer].history, ["hello"]);
}

#[test]
fn who_loads_the_page_again_and_again_gets_what_was_said_each_time() {
    let mut world = meeting(14, 1);
    for _ in 0..2 {
        let person = world.join(LINK, 9);
        world.settle(&[0, person], 5000);
        world.say(person, "hello");
        world.run(500);
        world.vanish(person);
    }
    assert_eq!(world.peers[0].said.len(), 2);
    let person = world.join(LINK, 9);
    world.run(15_000);
    assert_eq!(world.peers[person].history, ["hello"; 2]);
}

#[test]
fn the_meeting_outlives_the_server() {
    let mut world = meeting(8, 4);
    world.input(0, Input::Say { word: Word::Action(Action::Lock(true)) });
    world.run(1000);
    world.restart();
    // A stranger with the link is the first to come back.
    let stranger = world.join(LINK, 9);
    world.settle(&[0, 1, 2, 3], 20_000);
    world.run(5000);
    assert_eq!(world.peers[stranger].state, State::Stopped { reason: Stop::Locked });
    assert!(world.peers[0].roster.as_ref().unwrap().locked);
}

#[test]
fn a_kick_changes_the_link_and_the_old_one_is_worth_nothing() {
    let mut world = meeting(9, 4);
    let target = LeafKey::from_seed(&[4; 32]).public();
    world.input(0, Input::Say { word: Word::Action(Action::Kick(target)) });
    world.settle(&[0, 1, 2], 5000);
    assert_eq!(world.stopped(3), Some(Stop::Removed));
    let fragment = world.peers[0].fragment.clone().unwrap();
    assert_eq!(world.peers[2].fragment.as_ref(), Some(&fragment));
    assert_eq!(world.peers[3].fragment, None);
    let old = world.join(LINK, 20);
    world.run(10_000);
    assert_eq!(world.stopped(old), Some(Stop::OtherLink));
    let link = e2ee::link::LinkSecret::from_fragment(&fragment).unwrap().unwrap();
    let newcomer = world.join_with(link, 21, None);
    world.settle(&[0, 1, 2, newcomer], 10_000);
    // Those who were there before sealed their names under the old link.
    world.run(5000);
    let names = &world.peers[newcomer].roster.as_ref().unwrap().members;
    assert!(names.iter().all(|member| member.name.is_some()));
}

#[test]
fn fresh_keys_come_every_ten_minutes() {
    let mut world = meeting(10, 3);
    let epoch = world.epoch(0).unwrap();
    world.run(610_000);
    world.settle(&[0, 1, 2], 5000);
    assert_eq!(world.epoch(0), Some(epoch + 1));
}

#[test]
fn a_password_keeps_out_who_does_not_know_it() {
    let mut world = meeting(11, 3);
    let keys = e2ee::keys::RoomKeys::new(world::link(LINK), world::ROOM);
    let password = keys.stretch("correct horse").unwrap();
    world.input(0, Input::Say { word: Word::Password(password.clone()) });
    world.run(1000);
    let without = world.join(LINK, 20);
    world.run(5000);
    assert_eq!(world.stopped(without), Some(Stop::Password));
    let with = world.join_with(world::link(LINK), 21, Some(password));
    world.settle(&[0, 1, 2, with], 10_000);
    // Somebody who was told the password by the statement lets others in.
    world.leave(0);
    let password = keys.stretch("correct horse").unwrap();
    let another = world.join_with(world::link(LINK), 22, Some(password));
    world.settle(&[1, 2, with, another], 10_000);
}

#[test]
fn a_locked_meeting_takes_whom_a_host_admits() {
    let mut world = meeting(12, 2);
    let key = LeafKey::from_seed(&[30; 32]).public();
    world.input(0, Input::Say { word: Word::Action(Action::Lobby(true)) });
    world.input(0, Input::Say { word: Word::Action(Action::Admit(key)) });
    world.run(1000);
    let admitted = world.join(LINK, 30);
    let stranger = world.join(LINK, 31);
    world.settle(&[0, 1, admitted], 10_000);
    assert_eq!(world.stopped(stranger), Some(Stop::Locked));
}

#[test]
fn who_is_kept_away_from_the_others_stops_sending() {
    let mut world = meeting(13, 3);
    for index in [0, 1, 2] {
        assert!(world.peers[index].sending.is_some());
    }
    // Nothing of what members send arrives any longer.
    world.packet_loss = 1;
    world.run(60_000);
    for index in [0, 1, 2] {
        assert_eq!(world.peers[index].sending, None);
        assert_eq!(world.peers[index].state, State::Member { confirmed: false });
        let roster = world.peers[index].roster.as_ref().unwrap();
        assert_eq!(roster.members.iter().filter(|member| member.silent_since.is_some()).count(), 2);
    }
    world.packet_loss = 0;
    world.settle(&[0, 1, 2], 30_000);
}

#[test]
fn nobody_is_shown_out_of_a_quiet_meeting() {
    let mut world = meeting(14, 3);
    world.cut(2);
    world.run(2000);
    world.connect(2);
    world.run(300_000);
    world.settle(&[0, 1, 2], 1000);
    assert_eq!(world.refusals.get("silent"), None);
}

#[test]
fn a_reload_in_a_locked_meeting_is_let_in() {
    let mut world = meeting(15, 3);
    world.input(0, Input::Say { word: Word::Action(Action::Lock(true)) });
    world.run(1000);
    world.vanish(1);
    let again = world.join(LINK, 2);
    world.settle(&[0, again, 2], 10_000);
}

#[test]
fn a_kick_of_somebody_who_has_just_left_changes_the_link() {
    let mut world = meeting(16, 4);
    let target = LeafKey::from_seed(&[4; 32]).public();
    world.leave(3);
    world.settle(&[0, 1, 2], 10_000);
    world.input(0, Input::Say { word: Word::Action(Action::Kick(target)) });
    world.run(2000);
    world.settle(&[0, 1, 2], 5000);
    let fragment = world.peers[0].fragment.clone();
    assert!(fragment.is_some() && fragment == world.peers[2].fragment);
    let old = world.join(LINK, 20);
    world.run(10_000);
    assert_eq!(world.stopped(old), Some(Stop::OtherLink));
    let link = e2ee::link::LinkSecret::from_fragment(&fragment.unwrap()).unwrap().unwrap();
    let newcomer = world.join_with(link, 21, None);
    world.settle(&[0, 1, 2, newcomer], 10_000);
    // Once: what comes after that changes nothing.
    world.leave(2);
    world.settle(&[0, 1, newcomer], 10_000);
    assert_eq!(world.peers[newcomer].fragment, None);
}

#[test]
fn nobody_comes_in_between_a_kick_and_the_new_link() {
    let mut world = meeting(17, 3);
    let target = LeafKey::from_seed(&[40; 32]).public();
    world.input(0, Input::Say { word: Word::Action(Action::Kick(target)) });
    world.run(70);
    // Who knows the old link comes a moment later.
    let old: Vec<usize> = (50..53).map(|key| world.join(LINK, key)).collect();
    world.run(40_000);
    world.settle(&[0, 1, 2], 5000);
    for index in old {
        assert_eq!(world.stopped(index), Some(Stop::OtherLink));
    }
}

#[test]
fn what_the_server_does_not_take_of_a_host_is_given_up_and_said() {
    let mut world = World::new(18);
    world.delivery = World::delivery(18, delivery::Limits { statements: 1, ..delivery::Limits::default() });
    world.join(LINK, 1);
    world.run(2000);
    world.join(LINK, 2);
    world.settle(&[0, 1], 10_000);
    for on in [true, false] {
        world.input(0, Input::Say { word: Word::Action(Action::Lock(on)) });
    }
    world.run(60_000);
    assert_eq!(world.peers[0].not_said, [HostAction::Lock { on: false }]);
    let refused = world.refusals["too-many-statements"];
    assert!(refused <= 10, "{refused}");
    world.run(60_000);
    assert_eq!(world.refusals["too-many-statements"], refused);
    world.settle(&[0, 1], 1000);
}

fn kick(world: &mut World, by: usize, key: u8) {
    let target = LeafKey::from_seed(&[key; 32]).public();
    world.input(by, Input::Say { word: Word::Action(Action::Kick(target)) });
}

#[test]
fn who_missed_a_kick_is_told_the_new_link_and_nobody_else() {
    let mut world = meeting(19, 6);
    // Somebody leaves before; another one's page is about to be loaded anew.
    world.leave(5);
    world.settle(&[0, 1, 2, 3, 4], 10_000);
    world.vanish(1);
    kick(&mut world, 0, 5);
    world.run(2000);
    assert!(world.peers[0].fragment.is_some());
    let again = world.join(LINK, 2);
    world.settle(&[0, again, 2, 3], 20_000);
    assert_eq!(world.peers[again].fragment, world.peers[0].fragment);
    // Neither the one removed, nor who had left before, nor a stranger with the old link is told.
    for key in [5, 6, 40] {
        let old = world.join(LINK, key);
        world.run(20_000);
        assert!(matches!(world.stopped(old), Some(Stop::OtherLink | Stop::Removed)), "{key}");
        assert_eq!(world.peers[old].fragment, None);
    }
    world.settle(&[0, again, 2, 3], 20_000);
}

#[test]
fn who_missed_two_kicks_is_told_the_newest_link_also_when_long_gone() {
    let mut world = meeting(20, 6);
    world.vanish(1);
    kick(&mut world, 0, 5);
    world.run(60_000);
    world.settle(&[0, 2, 3, 5], 10_000);
    kick(&mut world, 0, 6);
    world.settle(&[0, 2, 3], 10_000);
    // The lowest leaf by now may be somebody who does not know the old link.
    let again = world.join(LINK, 2);
    world.settle(&[0, again, 2, 3], 20_000);
    assert_eq!(world.peers[again].fragment, world.peers[0].fragment);
}

#[test]
fn who_was_removed_after_the_link_had_changed_is_not_told() {
    let mut world = meeting(21, 5);
    world.vanish(1);
    kick(&mut world, 0, 5);
    world.run(2000);
    kick(&mut world, 0, 2);
    world.settle(&[0, 2, 3], 10_000);
    // A server that helps it keeps what the host said from it, so that it asks.
    let old = world.peers.len();
    world.lie = Box::new(move |_, peer, message| match message {
        FromServer::Base { seq, group_info, state, mut past } if peer == old => {
            past.retain(|entry| entry.kind != Kind::Statement);
            vec![FromServer::Base { seq, group_info, state, past }]
        }
        other => vec![other],
    });
    world.join(LINK, 2);
    world.run(20_000);
    assert_eq!(world.stopped(old), Some(Stop::OtherLink));
    assert_eq!(world.peers[old].fragment, None);
}
