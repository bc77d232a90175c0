//! Data channels through a transport.

use std::time::Duration;

use super::wire::World;
use crate::peer::sctp::SctpError;
use crate::peer::transport::*;

#[test]
fn messages_of_every_size_arrive_whole_both_ways_and_in_order() {
    let mut world = World::connected();
    let sizes = [1, 100, 1120, 1121, 5000, 15_000, 64_000];
    for (number, size) in sizes.into_iter().enumerate() {
        let message = vec![number as u8; size];
        world.server.send_data(world.now, DataChannel::Reliable, &message).unwrap();
        world.client.channel(world.reliable).unwrap().write(true, &message).unwrap();
    }
    world.run_until("everything arrives", Duration::from_secs(10), |world| {
        world.data().len() == sizes.len() && world.client_data().len() == sizes.len()
    });
    for (number, size) in sizes.into_iter().enumerate() {
        assert_eq!(world.data()[number], (DataChannel::Reliable, vec![number as u8; size]));
        assert_eq!(world.client_data()[number], (world.reliable, vec![number as u8; size]));
    }
}

#[test]
fn lossy_messages_are_not_repeated_and_reliable_ones_are() {
    let mut world = World::connected();
    world.lose(10, 3);
    for number in 0..100u8 {
        world.server.send_data(world.now, DataChannel::Lossy, &[number]).unwrap();
        world.server.send_data(world.now, DataChannel::Reliable, &[number]).unwrap();
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(Duration::from_secs(10));
    let received = world.client_data();
    let on = |channel| {
        received.iter().filter(|(id, _)| *id == channel).map(|(_, data)| data[0]).collect::<Vec<_>>()
    };
    assert_eq!(on(world.reliable), (0..100).collect::<Vec<u8>>());
    let lossy = on(world.lossy);
    assert!((50..100).contains(&lossy.len()), "{} of 100", lossy.len());
}

#[test]
fn what_is_sent_while_the_path_is_dead_arrives_once_and_in_order_soon_after_it_is_back() {
    let mut world = World::connected();
    for number in 0..10u8 {
        world.server.send_data(world.now, DataChannel::Reliable, &[number]).unwrap();
    }
    world.run_until("the first ten", Duration::from_secs(2), |world| world.client_data().len() == 10);
    let (up, down) = (
        std::mem::replace(&mut world.up, Box::new(|_| false)),
        std::mem::replace(&mut world.down, Box::new(|_| false)),
    );
    for number in 10..25u8 {
        world.server.send_data(world.now, DataChannel::Reliable, &[number]).unwrap();
        world.run_for(Duration::from_secs(1));
    }
    assert_eq!(world.client_data().len(), 10);
    (world.up, world.down) = (up, down);
    world.run_until("what waited", Duration::from_secs(3), |world| world.client_data().len() == 25);
    world.run_for(Duration::from_secs(3));
    let received: Vec<u8> = world.client_data().iter().map(|(_, data)| data[0]).collect();
    assert_eq!(received, (0..25).collect::<Vec<u8>>());
}

#[test]
fn the_largest_message_arrives_and_a_larger_one_is_refused() {
    let mut world = World::connected();
    world.server.send_data(world.now, DataChannel::Reliable, &vec![8; 262_144]).unwrap();
    world.run_until("it arrives", Duration::from_secs(10), |world| world.client_data().len() == 1);
    assert_eq!(world.client_data()[0].1, vec![8; 262_144]);
    let refused = world.server.send_data(world.now, DataChannel::Reliable, &vec![8; 262_145]);
    assert_eq!(refused, Err(SctpError::TooLarge.into()));
}

#[test]
fn an_empty_message_is_a_message() {
    let mut world = World::connected();
    world.server.send_data(world.now, DataChannel::Reliable, &[]).unwrap();
    world.run_until("it arrives", Duration::from_secs(2), |world| !world.client_data().is_empty());
    assert_eq!(world.client_data(), [(world.reliable, Vec::new())]);
}

#[test]
fn a_client_that_takes_nothing_fills_a_bounded_queue() {
    let mut world = World::connected();
    world.up = Box::new(|_| false);
    world.run_for(Duration::from_millis(100));
    let mut accepted = 0;
    let refused = loop {
        match world.server.send_data(world.now, DataChannel::Reliable, &[0; 64_000]) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        world.run_for(Duration::from_millis(1));
        assert!(accepted < 1000);
    };
    assert_eq!((refused.layer(), refused.code()), ("sctp", "queue-full"));
    assert_eq!(accepted, (16 << 20) / 64_000);
}

#[test]
fn the_channel_for_data_tracks_opens_and_others_are_ignored() {
    use str0m::channel::ChannelConfig;
    let mut world = World::connected();
    let open = |world: &mut World, label: &str| {
        let config = ChannelConfig { label: label.into(), ..ChannelConfig::default() };
        world.client.direct_api().create_data_channel(config)
    };
    let other = open(&mut world, "something else");
    let tracks = open(&mut world, "_data_track");
    world.run_until("open", Duration::from_secs(2), |world| {
        world.server.is_channel_open(DataChannel::DataTrack)
            && world.client.channel(other).is_some()
            && world.client.channel(tracks).is_some()
    });
    world.client.channel(other).unwrap().write(true, b"nobody listens").unwrap();
    world.client.channel(tracks).unwrap().write(true, b"frame").unwrap();
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.data(), [(DataChannel::DataTrack, b"frame".to_vec())]);
}

#[test]
fn a_closed_channel_takes_no_more() {
    let mut world = World::connected();
    let lossy = world.lossy;
    world.client.direct_api().close_data_channel(lossy);
    world.run_until("closed", Duration::from_secs(5), |world| {
        !world.server.is_channel_open(DataChannel::Lossy)
    });
    let refused = world.server.send_data(world.now, DataChannel::Lossy, b"late");
    assert_eq!(refused, Err(SctpError::NotOpen.into()));
    assert!(world.server.send_data(world.now, DataChannel::Reliable, b"still").is_ok());
}
