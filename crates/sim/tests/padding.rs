//! Padding has numbers of its own stream: a subscriber that lost some must not ask for it for ever.

use std::time::Duration;

use sim::client::JoinOptions;
use sim::codec::Codec;
use sim::network::Conditions;
use sim::publication::Recipe;
use sim::world::World;

#[test]
fn padding_that_was_lost_is_answered_as_everything_else() {
    let mut world = World::new(5);
    let anna = world.join("r", "anna", JoinOptions::default());
    let down = Conditions::lossy(0.1);
    let ben = world.join("r", "ben", JoinOptions { down, ..JoinOptions::default() });
    let camera = world.publish(anna, Recipe::camera(Codec::Vp8));
    world.clients[anna].publication(camera).expect("published").pads = true;
    world.run(Duration::from_secs(20));
    let counts = world.reception(ben, camera).map(|seen| seen.counts).unwrap_or_default();
    assert!(counts.frames > 250 && counts.repaired > 10, "{counts:?}");
    assert_eq!(counts.lost, 0, "{counts:?}");
    world.expect_no_violations("this test");
}
