//! Layers of one stream: a subscriber gets those that its tile needs, also over a network that loses and reorders. That
//! nothing comes without its references, and no number twice or for nothing, is watched at every packet.

use std::time::Duration;

use sim::client::JoinOptions;
use sim::codec::Codec;
use sim::network::Conditions;
use sim::publication::Recipe;
use sim::world::World;

const SECOND: Duration = Duration::from_secs(1);
const SMALL: (u32, u32) = (160, 90);
const LARGE: (u32, u32) = (1280, 720);

fn layer(world: &World, client: usize, track: u32) -> Option<usize> {
    world.reception(client, track).and_then(|reception| reception.layer())
}

/// Virtual time until this layer is the newest picture's.
fn until(world: &mut World, client: usize, track: u32, wanted: usize) -> Duration {
    let start = world.now();
    while layer(world, client, track) != Some(wanted) && world.now() - start < SECOND * 10 {
        world.run(Duration::from_millis(10));
    }
    world.now() - start
}

#[test]
fn a_scalable_stream_follows_the_tile_without_touching_the_other_viewer() {
    for seed in 0..12 {
        let mut world = World::new(seed);
        let on = |loss| JoinOptions {
            up: if loss > 0.0 { Conditions::rough(loss) } else { Conditions::default() },
            down: if loss > 0.0 { Conditions::rough(loss) } else { Conditions::default() },
            ..JoinOptions::default()
        };
        let loss = f64::from(seed as u32 % 3) * 0.01;
        let anna = world.join("r", "anna", on(loss));
        let (ben, cleo) = (world.join("r", "ben", on(loss)), world.join("r", "cleo", on(0.0)));
        let camera = world.publish(anna, Recipe::camera(Codec::Vp9));
        world.run(SECOND * 5);
        assert_eq!((layer(&world, ben, camera), layer(&world, cleo, camera)), (Some(2), Some(2)));
        for _ in 0..3 {
            world.show(ben, camera, SMALL);
            let down = until(&mut world, ben, camera, 0);
            // One picture, and what the network takes.
            assert!(loss > 0.0 || down < Duration::from_millis(300), "seed {seed}: smaller after {down:?}");
            world.run(SECOND * 2);
            assert_eq!((layer(&world, ben, camera), layer(&world, cleo, camera)), (Some(0), Some(2)));
            world.show(ben, camera, LARGE);
            let up = until(&mut world, ben, camera, 2);
            assert!(loss > 0.0 || up < SECOND, "seed {seed}: larger after {up:?}");
            world.run(SECOND * 2);
        }
        world.check_flow(SECOND * 2);
        world.check_end();
        world.expect_no_violations("this test");
    }
}
