//! A subscriber that asks for everything again, for key frames, or reports nonsense, as fast as it can: it is counted, it
//! costs bounded traffic, and nobody else notices.

use std::time::Duration;

use sim::client::JoinOptions;
use sim::publication::Recipe;
use sim::wire;
use sim::world::World;

const SECOND: Duration = Duration::from_secs(1);
const FLOOD: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(5);

/// A meeting in which Mallory sends what `say` writes every 5 ms, for 10 s; `say` gets the source of Anna's picture and
/// the newest sequence number of it.
struct Meeting {
    world: World,
    anna: usize,
    ben: usize,
    mallory: usize,
    camera: u32,
}

impl Meeting {
    fn flooded_with(seed: u64, mut say: impl FnMut(&mut Vec<u8>, u32, u16)) -> Self {
        let mut world = World::new(seed);
        world.tolerate(
            &["nack-rate", "keyframe-rate", "twcc-unknown", "twcc-rate"].map(|code| ("rtcp", code)),
        );
        let join = |world: &mut World, who: &str| world.join("r", who, JoinOptions::default());
        let (anna, ben, mallory) =
            (join(&mut world, "anna"), join(&mut world, "ben"), join(&mut world, "mallory"));
        let camera = world.publish(anna, Recipe { simulcast: false, ..Recipe::webcam() });
        world.publish(anna, Recipe::microphone());
        world.run(SECOND * 4);
        let end = world.now() + FLOOD;
        while world.now() < end {
            if let Some((ssrc, highest)) = world.newest(mallory, camera) {
                let mut rtcp = Vec::new();
                say(&mut rtcp, ssrc, highest);
                world.clients[mallory].send_rtcp(rtcp);
            }
            world.run(EVERY);
        }
        Self { world, anna, ben, mallory, camera }
    }

    fn refused(&self, code: &'static str) -> u64 {
        self.world.refusals.get(&("rtcp", code)).copied().unwrap_or(0)
    }

    /// Ben saw every frame that Anna's encoder made, in time.
    fn nobody_else_notices(mut self) {
        let pause = self.world.reception(self.ben, self.camera).map(|seen| seen.longest_pause);
        assert!(pause.is_some_and(|pause| pause < Duration::from_millis(300)), "{pause:?}");
        self.world.check_flow(SECOND * 2);
        self.world.expect_no_violations("this test");
    }
}

#[test]
fn a_storm_of_nacks_is_answered_within_its_budget() {
    let meeting = Meeting::flooded_with(1, |rtcp, ssrc, highest| {
        let lost: Vec<u16> = (0..200).map(|back| highest.wrapping_sub(back)).collect();
        wire::write_nack(rtcp, 1, ssrc, &lost);
    });
    let repeated = meeting.world.passed(meeting.mallory).repeated;
    // 500 at once and 1000 a second; without the bound 200 packets would leave every 5 ms.
    assert!((1_000..=500 + 1000 * 11).contains(&repeated), "{repeated}");
    meeting.nobody_else_notices();
}

#[test]
fn a_flood_of_requests_for_key_frames_makes_no_more_of_them_than_the_publisher_stands() {
    let meeting = Meeting::flooded_with(2, |rtcp, ssrc, highest| {
        wire::write_pli(rtcp, 1, ssrc);
        wire::write_fir(rtcp, 1, ssrc, highest as u8);
    });
    let asked = meeting.world.passed(meeting.anna).keyframe_requests;
    // One in half a second, over the 14 s of the meeting.
    assert!((5..=30).contains(&asked), "{asked}");
    assert!(meeting.refused("keyframe-rate") > 3_000, "{}", meeting.refused("keyframe-rate"));
    meeting.nobody_else_notices();
}

#[test]
fn reports_of_packets_that_were_never_sent_are_refused() {
    let meeting = Meeting::flooded_with(3, |rtcp, ssrc, highest| {
        // Transport-wide feedback on 7 packets from a number that is far ahead, all received.
        rtcp.extend([0x80 | 15, 205, 0, 7, 0, 0, 0, 1]);
        rtcp.extend(ssrc.to_be_bytes());
        rtcp.extend(highest.wrapping_add(30_000).to_be_bytes());
        rtcp.extend([0, 7, 0, 0, 1, highest as u8, 0x20, 7, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
    });
    let refused = meeting.refused("twcc-unknown") + meeting.refused("twcc-rate");
    assert!(refused > 300, "{refused}");
    let estimate = meeting.world.estimate(meeting.mallory);
    assert!(estimate.is_some_and(|estimate| estimate < 50_000_000), "{estimate:?}");
    meeting.nobody_else_notices();
}
