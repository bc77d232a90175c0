//! A subscriber asks for a packet that nobody has any more: it gets a key frame instead, and one is enough.

use std::time::Duration;

use sim::client::JoinOptions;
use sim::codec::Codec;
use sim::publication::Recipe;
use sim::wire;
use sim::world::World;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_is_asked_for_too_late_is_replaced_by_one_key_frame() {
    let mut world = World::new(1);
    let anna = world.join("r", "anna", JoinOptions::default());
    let ben = world.join("r", "ben", JoinOptions::default());
    let camera = world.publish(anna, Recipe::camera(Codec::Vp8));
    world.run(SECOND * 8);
    let (ssrc, lost) = world.newest(ben, camera).expect("Ben sees Anna");
    let ask = |world: &mut World| {
        let before = world.passed(anna).keyframe_requests;
        for _ in 0..10 {
            let mut rtcp = Vec::new();
            wire::write_nack(&mut rtcp, 1, ssrc, &[lost]);
            world.clients[ben].send_rtcp(rtcp);
            world.run(Duration::from_millis(100));
        }
        world.passed(anna).keyframe_requests - before
    };
    assert_eq!(ask(&mut world), 0, "it is sent again");
    world.run(SECOND);
    assert_eq!(ask(&mut world), 1, "it is a second old");
    world.run(SECOND);
    assert_eq!(ask(&mut world), 0, "a key frame has made it superfluous");
    world.expect_no_violations("this test");
}
