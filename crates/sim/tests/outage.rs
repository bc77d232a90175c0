//! A line that is dead for a moment: what waits for a key frame afterwards does not wait for anybody to find that out.

use std::time::Duration;

use sim::client::JoinOptions;
use sim::codec::Codec;
use sim::network::Conditions;
use sim::publication::Recipe;
use sim::world::World;

const MS: Duration = Duration::from_millis(1);

/// Key frames are asked for this soon after the first packets pass: feedback comes every 100 ms, and the way to the
/// publisher and back is 100 ms.
const SOON: Duration = Duration::from_millis(400);

/// Clients here wait 1.8 s for packets that nobody has any more, even if a key frame has come; real decoders do not.
const PATIENT: Duration = Duration::from_millis(2000);

/// Ben's line is dead for a time; whatever else happens, the pictures of both go on soon after.
fn outage(seed: u64, recipe: &Recipe, length: Duration) {
    let mut world = World::new(seed);
    let [anna, ben] = ["anna", "ben"].map(|name| world.join("r", name, JoinOptions::default()));
    let pictures = [(anna, ben), (ben, anna)].map(|(from, to)| (from, to, world.publish(from, *recipe)));
    for client in [anna, ben] {
        world.publish(client, Recipe::microphone());
    }
    world.run(MS * 6000);
    let (good, begin, end) = (*world.clients[ben].up.conditions(), world.now(), world.now() + length);
    let plan = [(Duration::ZERO, good), (begin, Conditions { loss: 1.0, ..good }), (end, good)];
    world.clients[ben].up.follow(&plan);
    world.clients[ben].down.follow(&plan);
    world.run(length + MS * 4000);
    for (from, to, picture) in pictures {
        let what = format!("{:?} from {from} to {to}, {length:?}, seed {seed}", recipe.codec);
        let layers = &world.clients[from].publication(picture).expect("published").layers;
        let asked = layers.iter().flat_map(|layer| &layer.requests).any(|at| (end..end + SOON).contains(at));
        assert!(asked, "no key frame was asked for: {what}");
        let pause = world.reception(to, picture).map(|reception| reception.longest_pause);
        assert!(pause.is_some_and(|pause| pause < length + PATIENT), "frozen for {pause:?}: {what}");
    }
    world.expect_no_violations("this test");
}

#[test]
fn key_frames_are_asked_for_at_once_when_a_line_is_back() {
    for (seed, length) in [2000, 3000, 5000, 8000].into_iter().enumerate() {
        for recipe in [Recipe::simulcast(), Recipe::camera(Codec::Av1), Recipe::camera(Codec::H264)] {
            outage(seed as u64, &recipe, MS * length);
        }
    }
}
