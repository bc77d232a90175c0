//! Signalling connections that break while people talk, and are resumed: nobody is lost and nobody is a ghost, every
//! track flows, and everybody knows what everybody else knows.

use std::time::Duration;

use sim::client::{JoinOptions, State};
use sim::network::Conditions;
use sim::publication::Recipe;
use sim::world::World;

/// How long things may take to settle at the end, as in random meetings.
const SETTLE: Duration = Duration::from_millis(4500);
/// How long everything is watched then.
const WATCH: Duration = Duration::from_secs(2);

/// Somebody joins; where older clients are, each second has two peer connections.
fn join(world: &mut World, identity: &str, older: bool) -> usize {
    let conditions = Conditions::lossy(0.02);
    let two_connections = older && world.clients.len().is_multiple_of(2);
    let options = JoinOptions { up: conditions, down: conditions, two_connections, ..JoinOptions::default() };
    world.join("r", identity, options)
}

/// Somebody whose signalling connection stands, or is broken.
fn someone(world: &mut World, state: State) -> Option<usize> {
    let clients = world.clients.iter().filter(|client| client.state == state);
    let clients: Vec<usize> = clients.map(|client| client.number).collect();
    world.rng().choice(clients)
}

/// Publishes a microphone, takes it back, mutes it, speaks or falls silent.
fn change_microphone(world: &mut World, client: usize) {
    let mut publications = world.clients[client].publications.iter();
    let known = publications.find(|known| known.recipe == Recipe::microphone()).map(|known| known.number);
    let (what, on) = (world.rng().u8(..6), world.rng().bool());
    match (known, what) {
        (None, _) => {
            // The next thing may happen before the server's answer to this.
            world.publish(client, Recipe::microphone());
            world.lose_signalling(client);
        }
        (Some(track), 0) => world.unpublish(track),
        (Some(track), 1) => world.mute(track, on),
        (Some(track), _) => world.speak(track, on),
    }
}

/// Something happens: mostly that a connection breaks or is resumed.
fn happen(world: &mut World, older: bool) {
    match world.rng().u8(..20) {
        0..=2 => {
            if let Some(client) = someone(world, State::Joined) {
                world.drop_signalling(client);
            }
        }
        3..=5 => {
            if let Some(client) = someone(world, State::Joined) {
                world.lose_signalling(client);
            }
        }
        6..=10 => {
            if let Some(client) = someone(world, State::Disconnected) {
                world.resume(client);
            }
        }
        // What those who are away miss.
        11..=17 => {
            if let Some(client) = someone(world, State::Joined) {
                change_microphone(world, client);
            }
        }
        _ => {
            if let Some(client) = someone(world, State::Joined) {
                let identity = world.clients[client].identity.clone();
                world.leave(client);
                world.run(Duration::from_millis(100));
                join(world, &identity, older);
            }
        }
    }
}

#[test]
fn connections_that_break_and_are_resumed_at_random_cost_nobody_anything() {
    break_and_resume(false);
}

#[test]
fn nor_those_of_clients_with_two_peer_connections() {
    break_and_resume(true);
}

fn break_and_resume(older: bool) {
    for seed in 0..12 {
        let mut world = World::new(seed);
        for identity in ["anna", "ben", "cleo", "dan"] {
            let client = join(&mut world, identity, older);
            world.publish(client, Recipe::simulcast());
        }
        world.run(Duration::from_secs(2));
        for _ in 0..40 {
            happen(&mut world, older);
            let pause = Duration::from_micros(world.rng().u64(1_000..400_000));
            world.run(pause);
        }
        while let Some(client) = someone(&mut world, State::Disconnected) {
            world.resume(client);
            world.run(Duration::from_millis(100));
        }
        world.run(SETTLE);
        world.check_flow(WATCH);
        let present = world.rules.members.iter().filter(|member| member.present).count();
        let joined = world.clients.iter().filter(|client| client.state == State::Joined).count();
        assert_eq!((present, joined), (4, 4), "seed {seed}");
        world.check_end();
        world.expect_no_violations(&format!("this test, seed {seed}"));
    }
}
