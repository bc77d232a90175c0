//! A shared screen whose publisher sends nothing while nothing moves, as some do: what was left out for a slow line, and
//! what a newcomer needs, does not wait for the next movement.

use std::time::Duration;

use sim::client::JoinOptions;
use sim::codec::Codec;
use sim::network::Conditions;
use sim::publication::Recipe;
use sim::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// Scrolled until then, for the second time; then it stands still for 10 s.
const SCROLLED: Duration = Duration::from_secs(20);

/// When the picture that a client shows was captured.
fn shown(world: &World, client: usize, track: u32) -> Duration {
    world.reception(client, track).and_then(|reception| reception.shown()).expect("it shows something")
}

#[test]
fn what_was_left_out_while_scrolling_is_seen_when_it_stands_still() {
    for codec in [Codec::Vp8, Codec::Vp9, Codec::H264] {
        let mut world = World::new(3);
        let [anna, ben, cleo] =
            ["anna", "ben", "cleo"].map(|name| world.join("r", name, JoinOptions::default()));
        let good = *world.clients[ben].down.conditions();
        world.clients[ben]
            .down
            .follow(&[(Duration::ZERO, Conditions { rate: Some(500_000), queue: SECOND / 2, ..good })]);
        let screen = world.publish(anna, Recipe::pages(codec));
        world.run(SCROLLED - SECOND - world.now());
        let frames = |world: &World, client| world.reception(client, screen).map_or(0, |it| it.counts.frames);
        assert!(
            frames(&world, ben) < frames(&world, cleo) * 2 / 3,
            "{codec:?}: the line carries a third of it"
        );
        world.run(SECOND * 4);
        let last = shown(&world, cleo, screen);
        assert!(SCROLLED.saturating_sub(last) < SECOND / 10, "{codec:?}: {last:?}");
        let slow = shown(&world, ben, screen);
        assert!(slow >= last, "{codec:?}: Ben sees what was there at {slow:?}");
        world.expect_no_violations("this test");
    }
}

#[test]
fn a_newcomer_sees_a_screen_that_stands_still_though_the_first_request_is_lost() {
    let mut world = World::new(4);
    let anna = world.join("r", "anna", JoinOptions::default());
    let screen = world.publish(anna, Recipe::pages(Codec::Vp8));
    world.run(SCROLLED + SECOND * 3 - world.now());
    let good = *world.clients[anna].down.conditions();
    let lost = world.now() + SECOND;
    world.clients[anna].down.follow(&[(Duration::ZERO, Conditions { loss: 1.0, ..good }), (lost, good)]);
    let ben = world.join("r", "ben", JoinOptions::default());
    world.run(SECOND * 4);
    let seen = shown(&world, ben, screen);
    assert!(seen > SCROLLED + SECOND * 3, "of {seen:?}");
    world.expect_no_violations("this test");
}
