//! Hosts' words: kept back, replaced, reordered, or forgotten by the server.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use e2ee::session::{Input, Stop, Word};
use e2ee::signer::LeafKey;
use e2ee::statement::Action;
use protocol::channel::{Blob, FromServer, Kind, Submission, ToServer};

use crate::world::{self, LINK, World, meeting};
use crate::{hide_one, is_visibly_apart};

#[test]
fn a_hosts_word_that_is_kept_back_is_noticed() {
    let mut world = meeting(10, 4);
    hide_one(&mut world, Kind::Statement);
    world.input(0, Input::Say { word: Word::Action(Action::Lock(true)) });
    world.run(40_000);
    world.settle(&[0, 1, 2, 3], 30_000);
    assert!((0..4).all(|index| world.peers[index].roster.as_ref().unwrap().locked));
}

#[test]
fn a_log_made_anew_without_a_hosts_word_is_reminded_of_it() {
    let mut world = meeting(13, 3);
    world.input(0, Input::Say { word: Word::Action(Action::Lock(true)) });
    world.run(1000);
    // The server starts again, and forgets what hosts said.
    world.lie = Box::new(|_, _, message| match message {
        FromServer::Base { seq, group_info, state, mut past } => {
            past.retain(|entry| entry.kind != Kind::Statement);
            vec![FromServer::Base { seq, group_info, state, past }]
        }
        FromServer::Entry(mut entry) if entry.kind == Kind::Statement && entry.seq < 3 => {
            entry.data = Some(Blob(vec![0]));
            vec![FromServer::Entry(entry)]
        }
        other => vec![other],
    });
    world.restart();
    let stranger = world.join(LINK, 9);
    world.settle(&[0, 1, 2], 20_000);
    world.run(20_000);
    for index in [0, 1, 2] {
        assert!(world.peers[index].roster.as_ref().unwrap().locked);
    }
    for holders in world.all_keys.values() {
        assert!(!holders.contains(&stranger) || holders.len() == 1);
    }
}

#[test]
fn the_log_is_reminded_of_hosts_words_in_their_order() {
    let mut world = meeting(70, 3);
    let guest = LeafKey::from_seed(&[9; 32]).public();
    for action in [Action::Lock(true), Action::Admit(guest)] {
        world.input(0, Input::Say { word: Word::Action(action) });
        world.run(1000);
    }
    // The restored log begins without them.
    world.lie = Box::new(|_, _, message| match message {
        FromServer::Base { seq, group_info, state, mut past } => {
            past.retain(|entry| entry.kind != Kind::Statement || entry.seq > 3);
            vec![FromServer::Base { seq, group_info, state, past }]
        }
        other => vec![other],
    });
    let lost = Cell::new(false);
    world.distort = Box::new(move |_, message| match message {
        // The first one that is repeated loses a race.
        ToServer::Submit { id, kind: Submission::Statement, data, welcome, group_info, .. }
            if !lost.replace(true) =>
        {
            ToServer::Submit { id, after: 0, kind: Submission::Statement, data, welcome, group_info }
        }
        other => other,
    });
    world.restart();
    world.run(20_000);
    let newcomer = world.join(LINK, 9);
    world.settle(&[0, 1, 2, newcomer], 20_000);
    assert!(world.peers[newcomer].roster.as_ref().unwrap().locked);
}

#[test]
fn nobody_joins_anew_for_words_that_are_being_repeated() {
    for seed in 72..77 {
        let mut world = meeting(seed, 4);
        for seed in 70..74 {
            let guest = LeafKey::from_seed(&[seed; 32]).public();
            world.input(0, Input::Say { word: Word::Action(Action::Admit(guest)) });
            world.run(1000);
        }
        let bases = Rc::new(RefCell::new(vec![0; 6]));
        let given = Rc::clone(&bases);
        world.lie = Box::new(move |_, peer, message| match message {
            FromServer::Base { seq, group_info, state, mut past } => {
                given.borrow_mut()[peer] += 1;
                past.retain(|entry| entry.kind != Kind::Statement || entry.seq > 5);
                vec![FromServer::Base { seq, group_info, state, past }]
            }
            other => vec![other],
        });
        world.restart();
        world.run((seed - 72) * 400);
        let newcomers = [8, 9].map(|key| world.join(LINK, key));
        world.settle(&[0, 1, 2, 3, newcomers[0], newcomers[1]], 20_000);
        world.run(20_000);
        assert_eq!(*bases.borrow(), [1; 6], "{seed}");
    }
}

#[test]
fn a_hosts_word_that_is_replaced_is_noticed() {
    let mut world = meeting(14, 4);
    let identity = world.peers[3].identity.clone();
    world.lie = Box::new(move |_, peer, message| match message {
        FromServer::Entry(mut entry) if peer == 3 && entry.kind == Kind::Statement => {
            entry.kind = Kind::Back;
            entry.from = identity.clone();
            entry.data = None;
            vec![FromServer::Entry(entry)]
        }
        other => vec![other],
    });
    world.input(0, Input::Say { word: Word::Action(Action::Lock(true)) });
    world.run(40_000);
    world.settle(&[0, 1, 2, 3], 30_000);
    assert!((0..4).all(|index| world.peers[index].roster.as_ref().unwrap().locked));
}

#[test]
fn a_difference_that_is_gone_counts_no_more() {
    let mut world = meeting(67, 4);
    let asked = Rc::new(Cell::new(0));
    for (misled, locked) in [(3, true), (2, false)] {
        let identities: Vec<String> = world.peers.iter().map(|peer| peer.identity.clone()).collect();
        let asked = Rc::clone(&asked);
        world.lie = Box::new(move |_, peer, message| match message {
            FromServer::Entry(mut entry) if peer == misled && entry.kind == Kind::Statement => {
                entry.kind = Kind::Back;
                entry.from = identities[peer].clone();
                entry.data = None;
                vec![FromServer::Entry(entry)]
            }
            FromServer::Base { .. } if peer < 2 => {
                asked.set(asked.get() + 1);
                vec![message]
            }
            other => vec![other],
        });
        world.input(0, Input::Say { word: Word::Action(Action::Lock(locked)) });
        world.run(60_000);
        world.settle(&[0, 1, 2, 3], 30_000);
    }
    // Each of the two who were misled asked where the meeting is, so nobody else had reason to.
    assert_eq!(asked.get(), 0);
}

#[test]
fn hosts_words_in_another_order_are_noticed() {
    let mut world = meeting(68, 3);
    let [other, guest] = [2, 9].map(|seed| LeafKey::from_seed(&[seed; 32]).public());
    let said = [
        (0, Action::AddHost(other)),
        (0, Action::Lock(false)),
        (1, Action::Lock(true)),
        (0, Action::Admit(guest)),
    ];
    for (host, action) in said {
        world.input(host, Input::Say { word: Word::Action(action) });
        world.run(1000);
    }
    // In this order the meeting is open at the end.
    world.lie = Box::new(|_, _, message| match message {
        FromServer::Base { seq, group_info, state, mut past } => {
            let words: Vec<usize> =
                (0..past.len()).filter(|&index| past[index].kind == Kind::Statement).collect();
            past.swap(words[1], words[2]);
            vec![FromServer::Base { seq, group_info, state, past }]
        }
        other => vec![other],
    });
    let newcomer = world.join(LINK, 9);
    world.run(120_000);
    is_visibly_apart(&world, newcomer, &[0, 1, 2]);
    for index in 0..3 {
        assert!(world.is_member(index), "{index}");
        assert!(world.peers[index].roster.as_ref().unwrap().locked, "{index}");
    }
}

#[test]
fn a_password_that_was_kept_back_is_learnt_with_the_next_base() {
    let mut world = meeting(21, 4);
    let since = hide_one(&mut world, Kind::Statement);
    let keys = e2ee::keys::RoomKeys::new(world::link(LINK), world::ROOM);
    let password = keys.stretch("correct horse").unwrap();
    world.input(0, Input::Say { word: Word::Password(password.clone()) });
    world.run(60_000);
    assert_eq!(since.get(), Some(u64::MAX), "it asked for a base");
    for index in 0..3 {
        world.leave(index);
    }
    world.settle(&[3], 20_000);
    let newcomer = world.join_with(world::link(LINK), 9, Some(password));
    world.settle(&[3, newcomer], 20_000);
}

/// Hosts' words that the server no longer tells to whom it gives a base.
fn forget_words(world: &mut World, keep: impl Fn(usize) -> bool + 'static) {
    world.lie = Box::new(move |_, _, message| match message {
        FromServer::Base { seq, group_info, state, mut past } => {
            let mut number = 0;
            past.retain(|entry| {
                number += usize::from(entry.kind == Kind::Statement);
                entry.kind != Kind::Statement || keep(number)
            });
            vec![FromServer::Base { seq, group_info, state, past }]
        }
        other => vec![other],
    });
}

#[test]
fn words_kept_back_are_noticed_though_the_log_is_never_in_one_place() {
    let mut world = meeting(71, 4);
    let guest = LeafKey::from_seed(&[77; 32]).public();
    world.input(0, Input::Say { word: Word::Action(Action::Admit(guest)) });
    world.run(1000);
    forget_words(&mut world, |_| false);
    // When a heartbeat comes, everybody is further.
    world.packet_delay = 1000;
    let newcomer = world.join(LINK, 9);
    for _ in 0..240 {
        let stranger = world.raw("stranger");
        world.run(150);
        world.raw_say(stranger, ToServer::Leave);
        world.run(150);
    }
    is_visibly_apart(&world, newcomer, &[0, 1, 2, 3]);
    for index in 0..4 {
        assert!(world.is_member(index), "{index}");
    }
}

#[test]
fn who_is_held_in_the_place_before_a_hosts_word_is_seen_to_be() {
    let mut world = meeting(77, 4);
    let held = Rc::new(Cell::new(None));
    let from = Rc::clone(&held);
    world.lie = Box::new(move |_, peer, message| match message {
        FromServer::Entry(entry) if peer == 3 => {
            if entry.kind == Kind::Statement && from.get().is_none() {
                from.set(Some(entry.seq));
            }
            from.get().is_none().then_some(FromServer::Entry(entry)).into_iter().collect()
        }
        FromServer::Base { seq, group_info, state, mut past } if peer == 3 => {
            let seq = from.get().map_or(seq, |from| from - 1);
            past.retain(|entry| entry.seq <= seq);
            vec![FromServer::Base { seq, group_info, state, past }]
        }
        other => vec![other],
    });
    world.input(0, Input::Say { word: Word::Action(Action::Lock(true)) });
    world.run(120_000);
    assert!(held.get().is_some());
    is_visibly_apart(&world, 3, &[0, 1, 2]);
    assert!((0..3).all(|index| world.is_member(index)));
}

#[test]
fn an_earlier_word_of_a_host_cannot_be_taken_back_by_a_base_without_it() {
    let mut world = meeting(60, 3);
    let guest = LeafKey::from_seed(&[77; 32]).public();
    for action in [Action::Lock(true), Action::Admit(guest)] {
        world.input(0, Input::Say { word: Word::Action(action) });
        world.run(1000);
    }
    // Only the second one is told from now on.
    forget_words(&mut world, |number| number > 1);
    world.restart();
    world.run(5000);
    world.settle(&[0, 1, 2], 30_000);
    world.run(10_000);
    for index in 0..3 {
        assert!(world.peers[index].roster.as_ref().unwrap().locked, "{index}");
    }
}

#[test]
fn a_base_without_a_kick_changes_nobodys_link_again() {
    let mut world = meeting(61, 4);
    let target = LeafKey::from_seed(&[4; 32]).public();
    world.input(0, Input::Say { word: Word::Action(Action::Kick(target)) });
    world.settle(&[0, 1, 2], 5000);
    let fragment = world.peers[0].fragment.clone();
    assert!(fragment.is_some());
    forget_words(&mut world, |_| false);
    world.restart();
    world.run(5000);
    world.settle(&[0, 1, 2], 30_000);
    world.leave(2);
    world.settle(&[0, 1], 30_000);
    world.run(10_000);
    for index in 0..2 {
        assert_eq!(world.peers[index].fragment, fragment, "{index}");
    }
    let link = e2ee::link::LinkSecret::from_fragment(fragment.as_deref().unwrap()).unwrap().unwrap();
    let newcomer = world.join_with(link, 21, None);
    world.run(60_000);
    // It does not know what the hosts said, and that is seen.
    is_visibly_apart(&world, newcomer, &[0, 1]);
    for index in 0..2 {
        assert!(world.is_member(index), "{index}");
        assert_eq!(world.peers[index].fragment, fragment, "{index}");
    }
}

#[test]
fn the_first_member_does_not_fight_its_own_removal() {
    let mut world = meeting(62, 4);
    let second = LeafKey::from_seed(&[2; 32]).public();
    world.input(0, Input::Say { word: Word::Action(Action::AddHost(second)) });
    world.run(1000);
    let epoch = world.epoch(1).unwrap();
    let first = LeafKey::from_seed(&[1; 32]).public();
    world.input(1, Input::Say { word: Word::Action(Action::Kick(first)) });
    world.settle(&[1, 2, 3], 10_000);
    assert_eq!(world.stopped(0), Some(Stop::Removed));
    assert_eq!(world.epoch(1), Some(epoch + 1), "one commit is enough");
}

#[test]
fn who_was_thrown_out_has_nothing_more_to_say() {
    let mut world = meeting(65, 4);
    let target = LeafKey::from_seed(&[4; 32]).public();
    // It does not hear of its removal, and goes on writing in the epoch before.
    world.lie = Box::new(|_, index, message| match message {
        FromServer::Entry(_) if index == 3 => Vec::new(),
        other => vec![other],
    });
    world.input(0, Input::Say { word: Word::Action(Action::Kick(target)) });
    world.settle(&[0, 1, 2], 5000);
    world.say(3, "still here");
    world.run(1000);
    for index in 0..3 {
        assert!(world.peers[index].said.is_empty(), "{index}");
    }
}
