use std::collections::VecDeque;
use std::time::Duration;

use livekit::BackupCodecPolicy::{self, PreferRegression, Regression, Simulcast};
use protocol::ids::{Identity, RoomName, RoomSid, SessionId};

use super::*;
use crate::command::administration::{RequestId, RoomCommand};
use crate::config::Config;
use crate::event::Event;
use crate::peer::transport::Shared;
use crate::room::Room;

const VIEWER: &str = include_str!("../../../testdata/sdp/chromium-156-first-offer.sdp");
/// A camera on section 8; Chromium offers VP8 before VP9, as livekit-client leaves it.
const CAMERA: &str = include_str!("../../../testdata/sdp/chromium-156-offer-after-publish-vp9-svc.sdp");
const CAMERA_CID: &str = "6c6acd76-73e2-4bc8-a0c5-0d3340706d7c";
const CAMERA_SSRC: u32 = 396_473_971;
const BACKUP_CID: &str = "the-backup";
const BACKUP_SSRC: u32 = 7_000;

const ANNA: usize = 0;
const SECOND: Duration = Duration::from_secs(1);

/// A room with a publisher, its viewers, and what was told and refused.
struct World {
    room: Room,
    config: Config,
    shared: Arc<Shared>,
    now: Instant,
    events: VecDeque<Event>,
    counter: u8,
    sequences: [u16; 2],
}

impl World {
    /// Anna announces VP9 with VP8 as backup.
    fn new(policy: BackupCodecPolicy) -> Self {
        let (config, now) = (Config::default(), crate::test_start());
        let shared = Arc::new(Shared::new(&config).unwrap());
        let room = Room::new(RoomName::new("r"), RoomSid::from_random([1; 12]), 0, now);
        let (events, sequences) = (VecDeque::new(), [100; 2]);
        let mut world = Self { room, config, shared, now, events, counter: 0, sequences };
        assert_eq!(world.join("anna"), ANNA);
        let codec = |name: &str| livekit::SimulcastCodec { codec: name.to_owned(), ..Default::default() };
        let request = livekit::AddTrackRequest {
            cid: CAMERA_CID.to_owned(),
            simulcast_codecs: vec![codec("vp9"), codec("vp8")],
            backup_codec_policy: policy.into(),
            ..announcement()
        };
        world.turn(|room, context| room.add_track(context, ANNA, request));
        world.offer(ANNA, CAMERA);
        world
    }

    fn turn<T>(&mut self, action: impl FnOnce(&mut Room, &mut Context<'_>) -> T) -> T {
        let counter = &mut self.counter;
        let mut random = |bytes: &mut [u8]| {
            *counter = counter.wrapping_add(1);
            bytes.fill(*counter);
        };
        let mut routes = Vec::new();
        let mut context = Context {
            now: self.now,
            config: &self.config,
            shared: &self.shared,
            random: &mut random,
            events: &mut self.events,
            routes: &mut routes,
            epoch: crate::test_start(),
        };
        action(&mut self.room, &mut context)
    }

    fn join(&mut self, identity: &str) -> usize {
        let session = self.room.participants.len() as u64 + 1;
        let join = crate::test_join(session, "r", identity);
        self.turn(|room, context| room.join(context, join)).expect("there is room")
    }

    fn offer(&mut self, key: usize, sdp: &str) {
        let offer = livekit::SessionDescription { sdp: sdp.to_owned(), ..Default::default() };
        self.turn(|room, context| room.handle_offer(context, key, &offer));
    }

    /// Somebody who takes every codec.
    fn modern(&mut self, identity: &str) -> usize {
        let key = self.join(identity);
        self.offer(key, VIEWER);
        key
    }

    /// Somebody who takes VP8 only.
    fn old(&mut self, identity: &str) -> usize {
        let key = self.join(identity);
        let others = ["VP9/90000", "H264/90000", "AV1/90000"];
        self.offer(key, &others.iter().fold(VIEWER.to_owned(), |sdp, codec| sdp.replace(codec, "x/90000")));
        key
    }

    /// Anna sends the backup, as she was asked to.
    fn publish_backup(&mut self) {
        let sid = self.track().sid.to_string();
        self.announce_backup(&sid, "vp8");
        let camera = CAMERA.rfind("m=video").expect("the camera's section");
        let section = CAMERA[camera..].replace("a=mid:8", "a=mid:9").replace(CAMERA_CID, BACKUP_CID);
        let section = section.replace(&CAMERA_SSRC.to_string(), &BACKUP_SSRC.to_string());
        let offer = format!("{CAMERA}{}", section.replace("887386465", "7001"));
        self.offer(ANNA, &offer.replace("BUNDLE 0 1 2 3 4 5 6 7 8", "BUNDLE 0 1 2 3 4 5 6 7 8 9"));
    }

    fn announce_backup(&mut self, sid: &str, codec: &str) {
        let codec = livekit::SimulcastCodec { codec: codec.to_owned(), ..Default::default() };
        let request = livekit::AddTrackRequest {
            cid: BACKUP_CID.to_owned(),
            sid: sid.to_owned(),
            simulcast_codecs: vec![codec],
            ..announcement()
        };
        self.turn(|room, context| room.add_track(context, ANNA, request));
    }

    /// A key frame in each of these codecs arrives.
    fn send(&mut self, codecs: &[&str]) {
        for codec in codecs {
            let (index, payload_type, ssrc, payload) = match *codec {
                "vp9" => (0, 98, CAMERA_SSRC, &[0xbc, 0x80, 7, 0, 1, 2, 3][..]),
                _ => (1, 96, BACKUP_SSRC, &[0x10, 0, 1, 2, 3][..]),
            };
            self.sequences[index] += 1;
            let mut packet = vec![0x80, 0x80 | payload_type];
            packet.extend(self.sequences[index].to_be_bytes());
            packet.extend((u32::from(self.sequences[index]) * 3000).to_be_bytes());
            packet.extend(ssrc.to_be_bytes());
            packet.extend(payload);
            self.turn(|room, context| room.handle_rtp(context, ANNA, &packet));
        }
    }

    /// Time passes while these codecs arrive.
    fn wait(&mut self, time: Duration, codecs: &[&str]) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(100);
            self.send(codecs);
            self.turn(|room, context| room.handle_timeout(context));
        }
    }

    fn track(&self) -> &UpTrack {
        let published = *self.room.participants[ANNA].published.first().expect("it is published");
        &self.room.tracks[published]
    }

    /// Codec of the newest picture that somebody was sent; whether that is what arrives now.
    fn gets(&self, key: usize) -> Option<&'static str> {
        let (_, down) = self.room.participants[key].down_tracks.iter().next()?;
        let source = &self.room.tracks[down.track];
        let (layer, generation) = down.forwarder.current()?;
        let layer = source.layers.get(layer).filter(|layer| layer.generation == generation)?;
        Some(layer.codec?.name())
    }

    /// What Anna is asked for, by codec, as she was last told.
    fn asked(&self) -> Vec<(&str, bool)> {
        let updates = self.events.iter().rev().filter_map(|event| match event {
            Event::Session(SessionId(1), SessionEvent::SubscribedQualityUpdate(update)) => Some(update),
            _ => None,
        });
        let codecs = updates.take(1).flat_map(|update| &update.subscribed_codecs);
        codecs.map(|it| (it.codec.as_str(), it.qualities.iter().any(|quality| quality.enabled))).collect()
    }

    fn answer(&self, session: u64) -> &livekit::SessionDescription {
        let answers = self.events.iter().rev().filter_map(|event| match event {
            Event::Session(SessionId(to), SessionEvent::Answer(answer)) if *to == session => Some(answer),
            _ => None,
        });
        answers.take(1).next().expect("it was answered")
    }

    fn refused(&self) -> Vec<&'static str> {
        let codes = self.events.iter().filter_map(|event| match event {
            Event::Rejected(rejection) => Some(rejection.code),
            _ => None,
        });
        codes.collect()
    }
}

fn announcement() -> livekit::AddTrackRequest {
    livekit::AddTrackRequest {
        r#type: livekit::TrackType::Video.into(),
        source: livekit::TrackSource::Camera.into(),
        ..Default::default()
    }
}

#[test]
fn who_cannot_take_the_first_codec_gets_the_backup_as_the_same_track() {
    let mut world = World::new(Simulcast);
    let ben = world.modern("ben");
    world.wait(SECOND, &["vp9"]);
    assert_eq!((world.gets(ben), world.asked()), (Some("VP9"), vec![]), "nothing but VP9 is sent, unasked");
    let cem = world.old("cem");
    assert_eq!(world.asked(), [("vp9", true), ("vp8", true)]);
    assert_eq!(world.gets(cem), None);
    world.publish_backup();
    world.wait(SECOND, &["vp9", "vp8"]);
    assert_eq!((world.gets(ben), world.gets(cem)), (Some("VP9"), Some("VP8")));
    let sid = world.track().sid.to_string();
    for session in [2, 3] {
        assert_eq!(world.answer(session).mid_to_track_id.values().collect::<Vec<_>>(), [&sid]);
    }
    let sections: Vec<&str> =
        world.answer(1).sdp.lines().filter(|line| line.starts_with("m=video")).collect();
    let first = |line: &str| line.split(' ').nth(3).map(str::to_owned);
    let first: Vec<_> = sections[3..].iter().filter_map(|line| first(line)).collect();
    assert_eq!(first, ["98", "96"], "browsers send what the answer has first");
    let info: Vec<_> = world.track().info.codecs.iter().map(|it| (&it.mime_type[..], &it.mid[..])).collect();
    assert_eq!(info, [("video/VP9", "8"), ("video/VP8", "9")]);
    assert_eq!(world.refused(), [] as [&str; 0]);
}

#[test]
fn a_codec_that_nobody_needs_is_stopped_and_whoever_comes_later_starts_it() {
    let mut world = World::new(Simulcast);
    let cem = world.old("cem");
    world.publish_backup();
    world.wait(SECOND * 6, &["vp8"]);
    assert_eq!(world.asked(), [("vp9", false), ("vp8", true)]);
    let ben = world.modern("ben");
    assert_eq!(world.asked(), [("vp9", true), ("vp8", true)], "at once");
    world.wait(SECOND, &["vp9", "vp8"]);
    assert_eq!((world.gets(ben), world.gets(cem)), (Some("VP9"), Some("VP8")));
    world.turn(|room, context| room.remove(context, cem, livekit::DisconnectReason::ClientInitiated));
    world.wait(SECOND * 6, &["vp9"]);
    assert_eq!(world.asked(), [("vp9", true), ("vp8", false)]);
    let dora = world.old("dora");
    assert_eq!(world.asked(), [("vp9", true), ("vp8", true)]);
    world.wait(SECOND, &["vp9", "vp8"]);
    assert_eq!(world.gets(dora), Some("VP8"));
}

#[test]
fn a_publisher_that_sends_one_codec_at_a_time_goes_over_to_the_backup_and_back() {
    for policy in [PreferRegression, Regression] {
        let mut world = World::new(policy);
        let (ben, cem) = (world.modern("ben"), world.old("cem"));
        world.wait(SECOND, &["vp9"]);
        assert_eq!(world.gets(ben), Some("VP9"), "until the backup comes");
        world.publish_backup();
        world.send(&["vp9", "vp8"]);
        assert_eq!((world.gets(ben), world.gets(cem)), (Some("VP8"), Some("VP8")), "with its first picture");
        world.wait(SECOND * 6, &["vp8"]);
        assert_eq!(world.asked(), [("vp9", false), ("vp8", true)]);
        world.turn(|room, context| room.remove(context, cem, livekit::DisconnectReason::ClientInitiated));
        world.wait(SECOND * 5, &["vp8"]);
        assert_eq!(world.asked(), [("vp9", false), ("vp8", true)], "not at once: cem may come back");
        world.wait(SECOND * 6, &["vp8"]);
        assert_eq!(world.asked(), [("vp9", true), ("vp8", true)]);
        assert_eq!(world.gets(ben), Some("VP8"), "until the first codec comes");
        world.wait(SECOND, &["vp9", "vp8"]);
        assert_eq!(world.gets(ben), Some("VP9"));
        world.wait(SECOND * 6, &["vp9"]);
        assert_eq!(world.asked(), [("vp9", true), ("vp8", false)]);
    }
}

#[test]
fn numbers_go_on_over_a_change_of_codec() {
    let mut world = World::new(PreferRegression);
    let (ben, _) = (world.modern("ben"), world.old("cem"));
    world.wait(SECOND, &["vp9"]);
    let (down_track, _) = world.room.participants[ben].down_tracks.iter().next().expect("ben has the track");
    let forwarder = |world: &World| {
        let down = &world.room.participants[ben].down_tracks[down_track];
        let origin = |sequence: u64| down.forwarder.origin(sequence as u16).map(|(_, origin)| origin);
        let highest = down.forwarder.highest().expect("something was sent");
        (highest, [origin(highest - 1), origin(highest)], down.track)
    };
    let (before, ..) = forwarder(&world);
    world.publish_backup();
    world.send(&["vp8"]);
    let (after, origins, codec) = forwarder(&world);
    assert_eq!(after, before + 1);
    let layer = &world.room.tracks[codec].layers[0];
    let is_stored = origins.map(|origin| origin.is_some_and(|it| it.generation == layer.generation));
    assert_eq!(is_stored, [false, true], "nothing of VP8 is sent again for a lost packet of VP9");
}

#[test]
fn both_codecs_are_held_back_while_the_track_is_muted_and_go_on_where_they_were() {
    let mut world = World::new(Simulcast);
    let (ben, cem) = (world.modern("ben"), world.old("cem"));
    world.publish_backup();
    world.wait(SECOND, &["vp9", "vp8"]);
    assert_eq!((world.gets(ben), world.gets(cem)), (Some("VP9"), Some("VP8")));
    let newest = |world: &World| {
        [ben, cem].map(|key| {
            let (_, down) = world.room.participants[key].down_tracks.iter().next().expect("it has the track");
            down.forwarder.highest().expect("something was sent")
        })
    };
    let (sid, identity) = (world.track().sid.clone(), Identity::new("anna".to_owned()));
    let mute = RoomCommand::MuteTrack { identity, track: sid.clone(), muted: true };
    let answer = world.turn(|room, context| room.administer(context, RequestId(1), mute));
    assert!(matches!(answer, Some(Ok(_))));
    let before = newest(&world);
    // Anna's client does not obey.
    world.wait(SECOND * 40, &["vp9", "vp8"]);
    assert_eq!(newest(&world), before, "nothing of it comes, in neither codec");
    world.turn(|room, context| room.mute(context, ANNA, &sid, false));
    world.send(&["vp9", "vp8"]);
    assert_eq!(newest(&world), before.map(|sequence| sequence + 1));
    assert_eq!((world.gets(ben), world.gets(cem)), (Some("VP9"), Some("VP8")));
    assert_eq!(world.refused(), [] as [&str; 0]);
}

#[test]
fn a_backup_that_ends_is_asked_for_again_and_who_can_has_the_first_codec() {
    let mut world = World::new(PreferRegression);
    let (ben, cem) = (world.modern("ben"), world.old("cem"));
    world.publish_backup();
    world.wait(SECOND, &["vp9", "vp8"]);
    assert_eq!(world.gets(ben), Some("VP8"));
    let gone = world.answer(1).sdp.matches("m=").count();
    world.events.clear();
    let camera = CAMERA.rfind("m=video").expect("the camera's section");
    let stopped = CAMERA[camera..].replace("a=mid:8", "a=mid:9").replace("a=sendonly", "a=inactive");
    let offer =
        format!("{CAMERA}{stopped}").replace("BUNDLE 0 1 2 3 4 5 6 7 8", "BUNDLE 0 1 2 3 4 5 6 7 8 9");
    world.offer(ANNA, &offer);
    assert_eq!(world.answer(1).sdp.matches("m=").count(), gone);
    world.wait(SECOND, &["vp9"]);
    assert_eq!((world.gets(ben), world.gets(cem)), (Some("VP9"), None));
    assert_eq!(world.asked(), [("vp9", true), ("vp8", true)]);
    world.publish_backup();
    world.wait(SECOND, &["vp9", "vp8"]);
    assert_eq!((world.gets(ben), world.gets(cem)), (Some("VP8"), Some("VP8")));
}

#[test]
fn a_backup_that_does_not_come_is_asked_for_again_and_then_given_up() {
    let mut world = World::new(Simulcast);
    let cem = world.old("cem");
    world.wait(SECOND, &["vp9"]);
    let asked = |world: &World| {
        let is_asked = |event: &&Event| {
            matches!(event, Event::Session(SessionId(1), SessionEvent::SubscribedQualityUpdate(_)))
        };
        world.events.iter().filter(is_asked).count()
    };
    assert_eq!(asked(&world), 2, "livekit-client does not hear what comes too early");
    world.wait(SECOND * 40, &["vp9"]);
    assert!(asked(&world) < 10);
    assert_eq!((world.gets(cem), world.refused()), (None, vec!["no-shared-codec"]), "it is told once");
}

#[test]
fn only_what_was_announced_is_taken_as_a_backup() {
    let mut world = World::new(Simulcast);
    let sid = world.track().sid.to_string();
    world.announce_backup(&sid, "h264");
    world.announce_backup("TR_somebody", "vp8");
    assert_eq!(world.refused(), ["unknown-codec", "unknown-codec"]);
    assert!(world.room.participants[ANNA].pending_tracks.is_empty());
}

#[test]
fn both_codecs_end_with_the_track() {
    let mut world = World::new(Simulcast);
    let cem = world.old("cem");
    world.publish_backup();
    world.wait(SECOND, &["vp9", "vp8"]);
    world.turn(|room, context| room.remove(context, ANNA, livekit::DisconnectReason::ClientInitiated));
    assert!(world.room.tracks.is_empty() && world.room.participants[cem].down_tracks.is_empty());
}
