//! Clients with two peer connections, as LiveKit's older SDKs have them, beside those with one: for everybody it is the
//! same meeting.

use std::time::Duration;

use sim::client::JoinOptions;
use sim::codec::Codec;
use sim::network::Conditions;
use sim::publication::Recipe;
use sim::world::World;

const SECOND: Duration = Duration::from_secs(1);

fn join(world: &mut World, identity: &str, two_connections: bool, loss: f64) -> usize {
    let conditions = Conditions::rough(loss);
    let options = JoinOptions {
        up: conditions,
        down: conditions,
        two_connections,
        red: true,
        ..JoinOptions::default()
    };
    world.join("r", identity, options)
}

fn frames(world: &World, client: usize, track: u32) -> u64 {
    world.reception(client, track).map_or(0, |reception| reception.counts.frames)
}

#[test]
fn an_older_client_and_a_newer_one_see_and_hear_each_other_in_every_codec() {
    let mut repeated = 0;
    for (seed, codec) in Codec::ALL.into_iter().filter(|codec| codec.is_video()).enumerate() {
        let mut world = World::new(seed as u64);
        let (older, newer) = (join(&mut world, "anna", true, 0.02), join(&mut world, "ben", false, 0.02));
        let tracks = [older, newer].map(|client| {
            let sound = world.publish(client, Recipe::microphone());
            (sound, world.publish(client, Recipe::camera(codec)))
        });
        world.run(SECOND * 5);
        world.check_flow(SECOND * 2);
        for (client, (sound, picture)) in [older, newer].into_iter().zip(tracks.into_iter().rev()) {
            let got = (frames(&world, client, sound), frames(&world, client, picture));
            assert!(got.0 > 200 && got.1 > 60, "{codec:?}: {got:?}");
            let passed = world.passed(client);
            assert!(passed.synchronised > 200 && passed.red > 200, "{codec:?}: {passed:?}");
            assert!(passed.acknowledged > 300, "{codec:?}: {passed:?}");
            repeated += passed.repeated;
        }
        world.check_end();
        world.expect_no_violations("this test");
    }
    assert!(repeated > 10, "{repeated} retransmissions at 2 % loss");
}

#[test]
fn sections_of_what_comes_and_goes_are_used_again() {
    let mut world = World::new(1);
    let (older, newer) = (join(&mut world, "anna", true, 0.0), join(&mut world, "ben", false, 0.0));
    world.run(SECOND);
    for _ in 0..5 {
        let camera = world.publish(newer, Recipe::simulcast());
        world.run(SECOND * 3);
        assert!(frames(&world, older, camera) > 20, "{}", frames(&world, older, camera));
        world.subscribe(older, camera, false);
        world.run(SECOND);
        world.subscribe(older, camera, true);
        world.run(SECOND);
        world.check_flow(SECOND);
        world.unpublish(camera);
        world.run(SECOND);
    }
    world.check_end();
    world.expect_no_violations("this test");
}
