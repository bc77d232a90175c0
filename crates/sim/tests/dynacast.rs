//! Publishers send what somebody needs and nothing else, and whoever needs more gets more within a second.

use std::time::Duration;

use sim::client::JoinOptions;
use sim::codec::Codec;
use sim::publication::Recipe;
use sim::world::World;

const SECOND: Duration = Duration::from_secs(1);
const SMALL: (u32, u32) = (160, 90);
const LARGE: (u32, u32) = (1280, 720);
/// Long enough that what nobody needs is off.
const SETTLED: Duration = Duration::from_secs(7);

fn join(world: &mut World, identity: &str) -> usize {
    world.join("r", identity, JoinOptions::default())
}

/// Which encodings the publisher makes, lowest first.
fn sends(world: &mut World, client: usize, track: u32) -> Vec<bool> {
    let publication = world.clients[client].publication(track).expect("published");
    publication.layers.iter().map(|layer| layer.wanted).collect()
}

fn layer(world: &World, client: usize, track: u32) -> Option<usize> {
    world.reception(client, track).and_then(|reception| reception.layer())
}

fn frames(world: &World, client: usize, track: u32) -> u64 {
    world.reception(client, track).map_or(0, |reception| reception.counts.frames)
}

/// Virtual time until something is so.
fn wait_for(world: &mut World, mut is_so: impl FnMut(&mut World) -> bool) -> Duration {
    let start = world.now();
    while !is_so(world) && world.now() - start < SECOND * 10 {
        world.run(Duration::from_millis(20));
    }
    world.now() - start
}

fn end(mut world: World) {
    world.check_end();
    world.expect_no_violations("this test");
}

#[test]
fn the_only_viewers_small_tile_stops_the_upper_encodings_and_growing_starts_them_at_once() {
    for seed in 0..8 {
        let mut world = World::new(seed);
        let (anna, ben) = (join(&mut world, "anna"), join(&mut world, "ben"));
        let camera = world.publish(anna, Recipe::webcam());
        world.run(SECOND * 5);
        assert_eq!((sends(&mut world, anna, camera), layer(&world, ben, camera)), (vec![true; 3], Some(2)));

        world.show(ben, camera, SMALL);
        world.run(SECOND * 3);
        assert_eq!(sends(&mut world, anna, camera), [true; 3], "not at once: tiles move");
        world.run(SETTLED);
        assert_eq!(sends(&mut world, anna, camera), [true, false, false]);

        world.show(ben, camera, LARGE);
        let waited = wait_for(&mut world, |world| {
            sends(world, anna, camera) == [true; 3] && layer(world, ben, camera) > Some(0)
        });
        assert!(waited <= SECOND, "seed {seed}: a better picture after {waited:?}");
        // The allocator waits a second between two steps up.
        let best = waited + wait_for(&mut world, |world| layer(world, ben, camera) == Some(2));
        assert!(best <= SECOND + SECOND / 2, "seed {seed}: the best picture after {best:?}");
        end(world);
    }
}

#[test]
fn nobody_encodes_for_nobody_and_the_first_viewer_has_a_picture_within_a_second() {
    for (seed, recipe) in
        (0..).zip([Recipe::webcam(), Recipe::camera(Codec::Vp9), Recipe::slides(Codec::H264)])
    {
        let mut world = World::new(seed);
        let (anna, ben) = (join(&mut world, "anna"), join(&mut world, "ben"));
        let picture = world.publish(anna, recipe);
        world.run(SECOND * 3);
        world.pause(ben, picture, true);
        world.run(SETTLED * 2);
        assert!(sends(&mut world, anna, picture).iter().all(|sends| !sends), "{recipe:?}");

        world.pause(ben, picture, false);
        let before = frames(&world, ben, picture);
        let waited = wait_for(&mut world, |world| frames(world, ben, picture) > before);
        assert!(waited <= SECOND, "{recipe:?}: {waited:?}");
        assert!(sends(&mut world, anna, picture).iter().all(|sends| *sends), "{recipe:?}");
        world.check_flow(SECOND * 2);
        end(world);
    }
}

#[test]
fn the_largest_tile_counts_and_one_encoding_is_all_or_nothing() {
    let mut world = World::new(1);
    let anna = join(&mut world, "anna");
    let (ben, cleo) = (join(&mut world, "ben"), join(&mut world, "cleo"));
    let camera = world.publish(anna, Recipe::webcam());
    let scalable = world.publish(anna, Recipe::camera(Codec::Vp9));
    world.run(SECOND * 2);
    world.show(ben, camera, SMALL);
    world.show(ben, scalable, SMALL);
    world.show(cleo, camera, (640, 360));
    world.pause(cleo, scalable, true);
    world.run(SETTLED);
    assert_eq!(sends(&mut world, anna, camera), [true, true, false]);
    assert_eq!(sends(&mut world, anna, scalable), [true]);

    world.leave(cleo);
    world.run(SETTLED);
    assert_eq!(sends(&mut world, anna, camera), [true, false, false]);
    world.leave(ben);
    world.run(SETTLED);
    assert_eq!(sends(&mut world, anna, camera), [false; 3]);
    assert_eq!(sends(&mut world, anna, scalable), [false]);

    let dora = join(&mut world, "dora");
    world.run(SECOND * 2);
    assert!(frames(&world, dora, camera) > 0 && frames(&world, dora, scalable) > 0);
    end(world);
}
