//! What the operator mutes is not heard, and is heard again afterwards.

use std::time::Duration;

use protocol::ids::{Identity, TrackSid};
use sfu::command::administration::RoomCommand;
use sim::client::JoinOptions;
use sim::codec::Codec;
use sim::publication::Recipe;
use sim::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// Anna's client goes on sending what the operator muted, for that long; then Anna unmutes it. Returns by how much Ben's
/// sequence numbers advanced from the last packet before to two seconds after.
fn muted_for(time: Duration, recipe: Recipe) -> u16 {
    let mut world = World::new(31);
    let join = |world: &mut World, who: &str| world.join("r", who, JoinOptions::default());
    let (anna, ben) = (join(&mut world, "anna"), join(&mut world, "ben"));
    let track = world.publish(anna, recipe);
    world.run(SECOND * 2);
    let sid = world.sid(track).and_then(|sid| TrackSid::parse(&sid)).expect("published");
    let identity = Identity::new("anna".to_owned());
    world.administer("r", RoomCommand::MuteTrack { identity, track: sid, muted: true });
    let asked = world.passed(anna).keyframe_requests;
    world.run(SECOND); // what was on its way arrives
    let newest = |world: &World| world.newest(ben, track).expect("was received").1;
    let before = newest(&world);
    world.run(time);
    assert_eq!(newest(&world), before, "nothing of it comes");
    assert_eq!(world.passed(anna).keyframe_requests, asked, "nobody could use a key frame");
    world.mute(track, false);
    world.run(SECOND * 2);
    let advance = newest(&world).wrapping_sub(before);
    world.check_flow(SECOND);
    world.expect_no_violations("this test");
    advance
}

#[test]
fn sound_goes_on_where_it_was_though_40_000_packets_were_held_back() {
    let advance = muted_for(SECOND * 800, Recipe::microphone());
    assert!((90..=110).contains(&advance), "{advance}");
}

#[test]
fn a_picture_goes_on_at_a_key_frame_though_40_000_packets_were_held_back() {
    // 15 pictures a second of one or two packets.
    let advance = muted_for(SECOND * 1800, Recipe::camera(Codec::Vp8));
    assert!((20..=80).contains(&advance), "{advance}");
}
