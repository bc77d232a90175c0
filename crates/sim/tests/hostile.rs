//! A participant that asks for everything again, for key frames, reports nonsense, or reports all the time, as fast as it
//! can: it is counted, it costs bounded traffic, and nobody else notices.

use std::time::Duration;

use sim::client::JoinOptions;
use sim::codec::Codec;
use sim::network::Conditions;
use sim::publication::Recipe;
use sim::wire;
use sim::world::World;

const SECOND: Duration = Duration::from_secs(1);
const FLOOD: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(5);

/// What Mallory has last heard.
struct Heard {
    /// The source of Anna's picture.
    ssrc: u32,
    /// The newest sequence number of it.
    highest: u16,
    /// The newest transport-wide number.
    transport: u16,
}

/// A meeting of Anna, who publishes, Ben and Mallory.
struct Meeting {
    world: World,
    anna: usize,
    ben: usize,
    mallory: usize,
    camera: u32,
}

impl Meeting {
    fn begin(seed: u64) -> Self {
        let mut world = World::new(seed);
        world.tolerate(
            &["nack-rate", "keyframe-rate", "report-rate", "twcc-unknown", "twcc-rate"]
                .map(|code| ("rtcp", code)),
        );
        let join = |world: &mut World, who: &str| world.join("r", who, JoinOptions::default());
        let (anna, ben, mallory) =
            (join(&mut world, "anna"), join(&mut world, "ben"), join(&mut world, "mallory"));
        let camera = world.publish(anna, Recipe { simulcast: false, ..Recipe::webcam() });
        world.publish(anna, Recipe::microphone());
        world.run(SECOND * 4);
        Self { world, anna, ben, mallory, camera }
    }

    /// Mallory sends what `say` writes every 5 ms, for 10 s.
    fn flooded_with(seed: u64, say: impl FnMut(&mut Vec<u8>, &Heard)) -> Self {
        let mut meeting = Self::begin(seed);
        meeting.mallory_says(EVERY, say);
        meeting
    }

    /// Mallory sends what `say` writes, so often, for 10 s.
    fn mallory_says(&mut self, every: Duration, mut say: impl FnMut(&mut Vec<u8>, &Heard)) {
        let world = &mut self.world;
        let end = world.now() + FLOOD;
        while world.now() < end {
            let transport = world.newest_transport_number(self.mallory);
            if let Some(((ssrc, highest), transport)) = world.newest(self.mallory, self.camera).zip(transport)
            {
                let mut rtcp = Vec::new();
                say(&mut rtcp, &Heard { ssrc, highest, transport });
                world.clients[self.mallory].send_rtcp(rtcp);
            }
            world.run(every);
        }
    }

    /// Mallory's line is held for no better than an honest one.
    fn nothing_is_gained(&self) {
        let told = self.world.estimate(self.mallory);
        let honest = self.world.estimate(self.ben);
        let is_like = |(told, honest): (u64, u64)| told < honest + honest / 4;
        assert!(told.zip(honest).is_some_and(is_like), "{told:?} and {honest:?}");
    }

    fn refused(&self, code: &'static str) -> u64 {
        self.world.refusals.get(&("rtcp", code)).copied().unwrap_or(0)
    }

    /// Ben saw every frame that Anna's encoder made, in time, and no more key frames than a quiet meeting and Mallory's
    /// share of them have; his line is held for as good as it is.
    fn nobody_else_notices(mut self) {
        let seen = self.world.reception(self.ben, self.camera);
        let (pause, counts) = seen.map(|seen| (seen.longest_pause, seen.counts)).expect("Ben sees Anna");
        assert!(pause < Duration::from_millis(300), "{pause:?}");
        assert!(counts.frames > 350 && counts.unrepaired == 0 && counts.keyframes <= 25, "{counts:?}");
        let estimate = self.world.estimate(self.ben);
        assert!(estimate.is_some_and(|estimate| estimate > 2_000_000), "{estimate:?}");
        self.world.check_flow(SECOND * 2);
        self.world.expect_no_violations("this test");
    }
}

#[test]
fn a_storm_of_nacks_is_answered_within_its_budget() {
    let meeting = Meeting::flooded_with(1, |rtcp, heard| {
        let lost: Vec<u16> = (0..200).map(|back| heard.highest.wrapping_sub(back)).collect();
        wire::write_nack(rtcp, 1, heard.ssrc, &lost);
    });
    let repeated = meeting.world.passed(meeting.mallory).repeated;
    // 500 at once and 1000 a second; without the bound 200 packets would leave every 5 ms.
    assert!((1_000..=500 + 1000 * 11).contains(&repeated), "{repeated}");
    meeting.nobody_else_notices();
}

#[test]
fn a_flood_of_requests_for_key_frames_makes_no_more_of_them_than_the_publisher_stands() {
    let meeting = Meeting::flooded_with(2, |rtcp, heard| {
        wire::write_pli(rtcp, 1, heard.ssrc);
        wire::write_fir(rtcp, 1, heard.ssrc, heard.highest as u8);
    });
    let asked = meeting.world.passed(meeting.anna).keyframe_requests;
    // Some as the meeting begins; then ten at once and one in 2 s.
    assert!((10..=25).contains(&asked), "{asked}");
    assert!(meeting.refused("keyframe-rate") > 1_000, "{}", meeting.refused("keyframe-rate"));
    meeting.nobody_else_notices();
}

/// Feedback on packets so far ahead that none of them can have been sent.
fn write_lie(rtcp: &mut Vec<u8>, heard: &Heard) {
    wire::write_arrivals(rtcp, 1, heard.ssrc, heard.transport.wrapping_add(30_000), heard.highest as u8);
}

#[test]
fn feedback_on_packets_that_were_never_sent_is_refused_and_gains_nothing() {
    let mut meeting = Meeting::begin(3);
    let mut lies = 0;
    meeting.mallory_says(Duration::from_millis(50), |rtcp, heard| {
        lies += 1;
        write_lie(rtcp, heard);
    });
    meeting.world.run(SECOND); // the last is on its way
    assert_eq!((meeting.refused("twcc-unknown"), lies), (lies, 200));
    assert_eq!(meeting.refused("twcc-rate"), 0, "neither Mallory's rate nor that of the honest is too much");
    meeting.nothing_is_gained();
    meeting.nobody_else_notices();
}

#[test]
fn feedback_is_read_at_a_pace_however_much_comes() {
    let meeting = Meeting::flooded_with(8, |rtcp, heard| {
        (0..3).for_each(|_| write_lie(rtcp, heard));
    });
    // 600 a second come beside the honest 20, of which 200 are read, after 200 at once.
    let (unknown, rate) = (meeting.refused("twcc-unknown"), meeting.refused("twcc-rate"));
    assert!((1_800..=2_200).contains(&unknown), "{unknown}");
    assert!((3_700..=4_300).contains(&rate), "{rate}");
    meeting.nothing_is_gained();
    meeting.nobody_else_notices();
}

#[test]
fn sender_reports_are_handed_on_at_a_pace_however_many_come() {
    let mut meeting = Meeting::begin(4);
    let camera = meeting.world.publish(meeting.mallory, Recipe::camera(Codec::Vp8));
    meeting.world.run(SECOND * 2);
    let before = meeting.world.passed(meeting.ben).reports;
    let flooding = meeting.world.clients[meeting.mallory].publication(camera).expect("published");
    flooding.report_interval = Duration::ZERO;
    meeting.world.run(FLOOD);
    let reports = meeting.world.passed(meeting.ben).reports - before;
    // Five a second of Mallory's, of which 200 come, and one of each of Anna's two.
    assert!((60..=75).contains(&reports), "{reports}");
    meeting.nobody_else_notices();
}

#[test]
fn a_flood_of_sound_leaves_the_others_their_pictures() {
    let mut meeting = Meeting::begin(5);
    let world = &mut meeting.world;
    world.tolerate(&[("rtp", "audio-rate")]);
    let line = Conditions { rate: Some(4_000_000), ..Conditions::default() };
    let carl = world.join("r", "carl", JoinOptions { down: line, ..JoinOptions::default() });
    let microphone = world.publish(meeting.mallory, Recipe::microphone());
    world.run(SECOND * 10);
    // 8 Mbit/s in 1000 packets a second.
    world.clients[meeting.mallory].publication(microphone).expect("published").flood =
        Some(Duration::from_millis(1));
    world.run(SECOND * 5);
    let frames = |world: &World| world.reception(carl, meeting.camera).map_or(0, |seen| seen.counts.frames);
    let before = frames(world);
    world.run(FLOOD);
    let seen = frames(world) - before;
    assert!(seen > 200, "{seen} of 300 pictures");
    let refused = world.refusals.get(&("rtp", "audio-rate")).copied().unwrap_or(0);
    assert!(refused > 10_000, "{refused}");
}

#[test]
fn music_at_the_highest_rate_that_opus_has_is_taken_even_if_it_comes_twice() {
    let mut meeting = Meeting::begin(6);
    let microphone = meeting.world.publish(meeting.ben, Recipe::microphone());
    meeting.world.run(SECOND * 2);
    // Two frames of 10 ms at 510 kbit/s: about 1000 bytes with what the simulation adds.
    meeting.world.clients[meeting.ben].publication(microphone).expect("published").flood =
        Some(Duration::from_millis(10));
    meeting.world.run(FLOOD);
    meeting.nobody_else_notices();
}

#[test]
fn reports_are_read_at_a_pace_however_many_come() {
    let meeting = Meeting::flooded_with(7, |rtcp, _| {
        for _ in 0..3 {
            rtcp.extend([0x80, 201, 0, 1, 0, 0, 0, 1]); // about nothing
        }
    });
    // 600 a second come, 200 are read.
    let refused = meeting.refused("report-rate");
    assert!((3_000..4_200).contains(&refused), "{refused}");
    meeting.nobody_else_notices();
}
