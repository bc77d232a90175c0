//! A server that lies, and people who send what they like: honest members agree or visibly stop, and nobody without the
//! link gets keys.

#[allow(dead_code, reason = "shared with the other files of tests")]
mod world;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use e2ee::group::{self, Claims, Group, Own, Psk};
use e2ee::message::{Content, Message};
use e2ee::name::SEALED_BYTES;
use e2ee::policy::{Policy, Presence};
use e2ee::session::{Input, State, Stop, Word};
use e2ee::signer::LeafKey;
use e2ee::statement::{Action, Place};
use protocol::channel::{Blob, Entry, FromServer, Kind, Submission, ToServer};
use world::{LINK, World, meeting};

/// Others see that this one does not follow, and it stops sending.
fn is_visibly_apart(world: &World, apart: usize, others: &[usize]) {
    let peer = &world.peers[apart];
    assert!(!world.is_member(apart), "{:?}", peer.state);
    assert_eq!(peer.sending, None);
    for &index in others {
        let roster = world.peers[index].roster.as_ref().unwrap();
        let seen = roster.members.iter().find(|member| member.identity == peer.identity);
        assert!(seen.is_none_or(|member| member.silent_since.is_some()));
    }
}

/// Keeps the next entry of a kind from peer 3, and numbers what follows so that nothing is missing; until it asks for a
/// base. Says from which entry on, and `u64::MAX` after the base.
fn hide_one(world: &mut World, kind: Kind) -> Rc<Cell<Option<u64>>> {
    let since = Rc::new(Cell::new(None));
    let flag = Rc::clone(&since);
    world.lie = Box::new(move |_, peer, message| match message {
        FromServer::Entry(mut entry) if peer == 3 => match flag.get() {
            None if entry.kind == kind => {
                flag.set(Some(entry.seq));
                vec![]
            }
            Some(from) if entry.seq > from => {
                entry.seq -= 1;
                vec![FromServer::Entry(entry)]
            }
            _ => vec![FromServer::Entry(entry)],
        },
        FromServer::Base { .. } => {
            flag.set(Some(u64::MAX));
            vec![message]
        }
        other => vec![other],
    });
    since
}

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
fn a_hosts_word_that_is_kept_back_is_noticed() {
    let mut world = meeting(10, 4);
    hide_one(&mut world, Kind::Statement);
    world.input(0, Input::Say { word: Word::Action(Action::Lock(true)) });
    world.run(40_000);
    world.settle(&[0, 1, 2, 3], 30_000);
    assert!((0..4).all(|index| world.peers[index].roster.as_ref().unwrap().locked));
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
