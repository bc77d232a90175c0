//! Meetings with one question each, on the simulated network.

use std::time::Duration;

use protocol::livekit::{self, DisconnectReason, TrackSource};
use sfu::command::SessionCommand;
use sfu::config::Limits;
use sfu::event::SessionEvent;
use sim::client::{JoinOptions, State, everything_allowed};
use sim::codec::Codec;
use sim::description::Medium;
use sim::network::Conditions;
use sim::publication::Recipe;
use sim::world::World;

const SECOND: Duration = Duration::from_secs(1);

fn on(conditions: Conditions) -> JoinOptions {
    JoinOptions { up: conditions, down: conditions, ..JoinOptions::default() }
}

fn join(world: &mut World, room: &str, identity: &str) -> usize {
    world.join(room, identity, JoinOptions::default())
}

fn frames(world: &World, client: usize, track: u32) -> u64 {
    world.reception(client, track).map_or(0, |reception| reception.counts.frames)
}

/// Everybody leaves, nothing stays, nothing was wrong.
fn end(mut world: World) {
    world.check_end();
    world.expect_no_violations("this test");
}

#[test]
fn every_codec_arrives_in_step_with_the_sound() {
    for codec in Codec::ALL.into_iter().filter(|codec| codec.is_video()) {
        let mut world = World::new(1);
        let (anna, ben) = (join(&mut world, "r", "anna"), join(&mut world, "r", "ben"));
        let sound = world.publish(anna, Recipe::microphone());
        let picture = world.publish(anna, Recipe::camera(codec));
        world.run(SECOND * 4);
        world.check_flow(SECOND * 2);
        assert!(frames(&world, ben, picture) > 60, "{codec:?}: {}", frames(&world, ben, picture));
        assert!(frames(&world, ben, sound) > 200);
        let passed = world.passed(ben);
        assert!(passed.synchronised > 200, "{codec:?}: {passed:?}");
        assert!(world.passed(anna).acknowledged > 300, "transport-wide feedback: {:?}", world.passed(anna));
        end(world);
    }
}

#[test]
fn loss_reordering_and_duplicates_are_repaired_in_every_codec() {
    for (seed, codec) in Codec::ALL.into_iter().filter(|codec| codec.is_video()).enumerate() {
        for loss in [0.02, 0.05, 0.1] {
            let mut world = World::new(seed as u64 + 10);
            let anna = world.join("r", "anna", on(Conditions::rough(loss)));
            let ben = world.join("r", "ben", on(Conditions::rough(loss)));
            let picture = world.publish(anna, Recipe::camera(codec));
            world.run(SECOND * 8);
            world.check_flow(SECOND * 2);
            let counts = world.reception(ben, picture).map(|reception| reception.counts).unwrap_or_default();
            assert!(counts.frames > 130 && counts.repaired > 0, "{codec:?} at {loss}: {counts:?}");
            end(world);
        }
    }
}

#[test]
fn the_best_layer_arrives_and_another_when_it_stops() {
    let mut world = World::new(2);
    let (anna, ben) = (join(&mut world, "r", "anna"), join(&mut world, "r", "ben"));
    let camera = world.publish(anna, Recipe::simulcast());
    let layer = |world: &World| world.reception(ben, camera).and_then(|reception| reception.layer());
    world.run(SECOND * 3);
    assert_eq!(layer(&world), Some(2));
    let best = 2;
    world.clients[anna].publication(camera).expect("published").run_layer(best, false);
    world.run(SECOND * 4);
    assert_eq!(layer(&world), Some(1));
    world.clients[anna].publication(camera).expect("published").run_layer(best, true);
    world.run(SECOND * 2);
    assert_eq!(layer(&world), Some(2));
    assert!(world.passed(ben).changes >= 4, "{:?}", world.passed(ben));
    world.check_flow(SECOND);
    end(world);
}

#[test]
fn equal_names_in_two_rooms_do_not_meet() {
    let mut world = World::new(3);
    let mut tracks = Vec::new();
    for room in ["blue", "green"] {
        for identity in ["anna", "ben"] {
            let client = join(&mut world, room, identity);
            tracks.push(world.publish(client, Recipe::microphone()));
            tracks.push(world.publish(client, Recipe::simulcast()));
        }
    }
    world.run(SECOND * 3);
    // Naming a track of the other room is no way in: the oracle would see its packets.
    world.subscribe(0, tracks[4], true);
    world.check_flow(SECOND * 2);
    let refused = |event: &SessionEvent| matches!(event, SessionEvent::SubscriptionResponse(_));
    assert!(world.clients[0].notices.iter().any(refused), "{:?}", world.clients[0].notices);
    end(world);
}

#[test]
fn a_hundred_turns_need_no_more_sections_than_were_in_use_at_once() {
    let mut world = World::new(4);
    let anna = join(&mut world, "r", "anna");
    let options = JoinOptions { sections: (0, 0), auto_subscribe: false, ..JoinOptions::default() };
    let ben = world.join("r", "ben", options);
    let tracks =
        [world.publish(anna, Recipe::camera(Codec::Vp8)), world.publish(anna, Recipe::screen(Codec::H264))];
    world.run(SECOND);
    for turn in 0..100 {
        let track = tracks[turn % 2];
        world.subscribe(ben, track, true);
        world.run(Duration::from_millis(700));
        assert!(world.reception(ben, track).is_some(), "turn {turn}");
        world.subscribe(ben, track, false);
        world.run(Duration::from_millis(50));
    }
    world.run(SECOND);
    assert_eq!(world.clients[ben].receive_sections(Medium::Video), 1);
    end(world);
}

#[test]
fn the_newer_of_two_with_one_identity_wins() {
    let mut world = World::new(5);
    let (older, ben) = (join(&mut world, "r", "anna"), join(&mut world, "r", "ben"));
    world.publish(older, Recipe::microphone());
    world.run(SECOND * 2);
    let newer = join(&mut world, "r", "anna");
    let sound = world.publish(newer, Recipe::microphone());
    world.run(SECOND * 2);
    assert_eq!(world.clients[older].left, Some(DisconnectReason::DuplicateIdentity));
    assert_eq!(world.clients[newer].state, State::Joined);
    assert!(frames(&world, ben, sound) > 0);
    world.check_flow(SECOND);
    end(world);
}

#[test]
fn a_lost_connection_has_thirty_seconds_to_come_back() {
    let mut world = World::new(6);
    let (anna, ben) = (join(&mut world, "r", "anna"), join(&mut world, "r", "ben"));
    let sound = world.publish(anna, Recipe::microphone());
    world.run(SECOND * 2);
    world.drop_signalling(anna);
    world.run(SECOND * 29);
    assert!(world.clients[ben].roster.contains_key("anna"), "its grace is not over");
    let heard = frames(&world, ben, sound);
    assert!(heard > 1400, "the sound went on: {heard}");
    world.run(SECOND * 2);
    assert!(!world.clients[ben].roster.contains_key("anna"));
    end(world);
}

#[test]
fn what_a_token_or_a_publisher_forbids_does_not_arrive() {
    let mut world = World::new(7);
    let with = |change: fn(&mut livekit::ParticipantPermission)| {
        let mut permission = everything_allowed();
        change(&mut permission);
        JoinOptions { permission, ..JoinOptions::default() }
    };
    let anna = join(&mut world, "r", "anna");
    let deaf = world.join("r", "deaf", with(|permission| permission.can_subscribe = false));
    let mute = world.join("r", "mute", with(|permission| permission.can_publish = false));
    let voice = world.join(
        "r",
        "voice",
        with(|permission| permission.can_publish_sources = vec![TrackSource::Microphone.into()]),
    );
    let hidden = world.join("r", "hidden", with(|permission| permission.hidden = true));
    let sound = world.publish(anna, Recipe::microphone());
    let forbidden =
        [world.publish(mute, Recipe::microphone()), world.publish(voice, Recipe::camera(Codec::Vp8))];
    let allowed = world.publish(voice, Recipe::microphone());
    world.run(SECOND * 3);
    world.check_flow(SECOND);
    assert_eq!(frames(&world, deaf, sound), 0);
    assert!(frames(&world, hidden, sound) > 100 && frames(&world, anna, allowed) > 100);
    assert!(forbidden.iter().all(|track| frames(&world, anna, *track) == 0));
    assert!(!world.clients[anna].roster.contains_key("hidden"));

    let only_voice = livekit::SubscriptionPermission {
        all_participants: false,
        track_permissions: vec![livekit::TrackPermission {
            participant_identity: "voice".to_owned(),
            all_tracks: true,
            ..Default::default()
        }],
    };
    world.allow(anna, only_voice);
    world.run(SECOND);
    world.check_flow(SECOND);
    assert!(world.reception(mute, sound).is_none() && world.reception(voice, sound).is_some());
    end(world);
}

#[test]
fn thirty_who_come_at_once_cost_the_publisher_few_key_frames() {
    let mut world = World::new(8);
    let anna = join(&mut world, "r", "anna");
    let camera = world.publish(anna, Recipe::camera(Codec::Vp8));
    world.run(SECOND * 2);
    for number in 0..30 {
        world.join("r", &format!("guest{number}"), JoinOptions::default());
    }
    world.run(SECOND * 3);
    world.check_flow(SECOND);
    let requests = world.passed(anna).keyframe_requests;
    assert!((1..=8).contains(&requests), "{requests} key frames asked for");
    assert!((1..31).all(|guest| frames(&world, guest, camera) > 10));
    end(world);
}

#[test]
fn a_paused_picture_comes_back_at_a_key_frame() {
    let mut world = World::new(9);
    let (anna, ben) = (join(&mut world, "r", "anna"), join(&mut world, "r", "ben"));
    let camera = world.publish(anna, Recipe::simulcast());
    world.run(SECOND * 2);
    world.pause(ben, camera, true);
    world.run(SECOND * 2);
    let before = frames(&world, ben, camera);
    world.run(SECOND);
    assert_eq!(frames(&world, ben, camera), before);
    world.pause(ben, camera, false);
    world.run(SECOND);
    assert!(frames(&world, ben, camera) > before + 10);
    world.check_flow(SECOND);
    end(world);
}

#[test]
fn each_subscriber_gets_the_layer_that_it_asks_for_and_keeps_its_picture_meanwhile() {
    use livekit::VideoQuality::{High, Low, Medium};
    let mut world = World::new(18);
    let (anna, ben) = (join(&mut world, "r", "anna"), join(&mut world, "r", "ben"));
    let cleo = join(&mut world, "r", "cleo");
    let camera = world.publish(anna, Recipe::simulcast());
    world.run(SECOND * 3);
    let before = world.passed(anna).keyframe_requests;
    for (quality, layer) in [(Low, 0), (High, 2), (Medium, 1), (Low, 0), (High, 2)] {
        let now = world.now();
        world.clients[ben].receptions.values_mut().for_each(|reception| reception.watch(now));
        let settings = livekit::UpdateTrackSettings { quality: quality.into(), ..Default::default() };
        world.set_track(ben, camera, settings);
        world.run(SECOND);
        let got = |client| world.reception(client, camera).and_then(|reception| reception.layer());
        assert_eq!((got(ben), got(cleo)), (Some(layer), Some(2)), "{quality:?}");
        let pause = world.reception(ben, camera).map(|reception| reception.longest_pause).unwrap_or_default();
        assert!(pause < Duration::from_millis(250), "{quality:?}: no picture for {pause:?}");
    }
    let asked = world.passed(anna).keyframe_requests - before;
    assert!(asked <= 10, "{asked} requests for five changes");
    end(world);
}

#[test]
fn who_speaks_is_told_and_who_stops_too() {
    let mut world = World::new(11);
    let (anna, ben) = (join(&mut world, "r", "anna"), join(&mut world, "r", "ben"));
    let voices = [world.publish(anna, Recipe::microphone()), world.publish(ben, Recipe::microphone())];
    world.run(SECOND * 2);
    world.speak(voices[0], true);
    world.run(SECOND * 2);
    // Somebody who comes while others speak knows it too.
    join(&mut world, "r", "cleo");
    world.run(SECOND);
    world.check_flow(SECOND);
    world.speak(voices[0], false);
    world.run(SECOND * 4);
    world.check_flow(SECOND);
    end(world);
}

#[test]
fn a_narrow_connection_harms_nobody_else() {
    let mut world = World::new(12);
    let anna = join(&mut world, "r", "anna");
    let narrow = Conditions { rate: Some(30_000), ..Conditions::default() };
    let ben = world.join("r", "ben", JoinOptions { down: narrow, ..JoinOptions::default() });
    let cleo = join(&mut world, "r", "cleo");
    let camera = world.publish(anna, Recipe::simulcast());
    world.run(SECOND * 6);
    world.check_flow(SECOND * 2);
    assert!(world.clients[ben].down.lost > 100, "the bottleneck bites: {}", world.clients[ben].down.lost);
    assert!(frames(&world, cleo, camera) > 80);
    end(world);
}

#[test]
fn a_layer_that_stopped_is_not_asked_for() {
    let mut world = World::new(13);
    let (anna, ben) = (join(&mut world, "r", "anna"), join(&mut world, "r", "ben"));
    let camera = world.publish(anna, Recipe::simulcast());
    world.run(SECOND * 3);
    world.clients[anna].publication(camera).expect("published").run_layer(2, false);
    world.run(SECOND * 2);
    let before = world.passed(anna).keyframe_requests;
    world.run(SECOND * 20);
    assert_eq!(world.passed(anna).keyframe_requests, before, "nobody waits for anything");
    assert!(frames(&world, ben, camera) > 300);
    assert!(before <= 6, "{before} requests to start three layers and to leave one");
    world.check_flow(SECOND);
    end(world);
}

#[test]
fn what_is_told_to_everybody_is_bounded() {
    let mut world = World::new(14);
    let anna = join(&mut world, "r", "anna");
    let ben = join(&mut world, "r", "ben");
    world.run(SECOND);
    let describe = |name: &str, bytes: usize| {
        SessionCommand::UpdateMetadata(livekit::UpdateParticipantMetadata {
            attributes: [(name.to_owned(), "x".repeat(bytes))].into(),
            ..Default::default()
        })
    };
    for name in ["one", "two", "three"] {
        world.clients[anna].say(describe(name, 4000));
    }
    world.run(SECOND);
    let known = |world: &World| {
        let mut names: Vec<_> = world.clients[ben].roster["anna"].attributes.keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(known(&world), ["one", "two"], "the third is too much together");
    world.clients[anna].say(describe("one", 0));
    world.clients[anna].say(describe("three", 4000));
    world.run(SECOND);
    assert_eq!(known(&world), ["three", "two"]);

    let announce = |change: fn(&mut livekit::AddTrackRequest)| {
        let mut request = livekit::AddTrackRequest {
            cid: "cid".to_owned(),
            r#type: livekit::TrackType::Video.into(),
            source: TrackSource::Camera.into(),
            ..Default::default()
        };
        change(&mut request);
        SessionCommand::AddTrack(Box::new(request))
    };
    let unreasonable: [fn(&mut livekit::AddTrackRequest); 6] = [
        |request| request.stream = "x".repeat(1 << 20),
        |request| request.layers = vec![livekit::VideoLayer::default(); 1000],
        |request| request.audio_features = vec![0; 1000],
        |request| request.simulcast_codecs = vec![livekit::SimulcastCodec::default(); 1000],
        |request| request.cid.clear(),
        // A camera in the guise of a microphone would pass a token that allows only microphones.
        |request| request.source = TrackSource::Microphone.into(),
    ];
    for change in unreasonable {
        let before = world.clients[anna].notices.len();
        world.clients[anna].say(announce(change));
        world.run(SECOND);
        let refused = |event: &SessionEvent| {
            matches!(event, SessionEvent::RequestResponse(response)
                if response.reason() == livekit::request_response::Reason::InvalidRequest)
        };
        assert!(world.clients[anna].notices[before..].iter().any(refused));
    }
    world.check_end();
}

#[test]
fn a_camera_that_is_off_is_not_asked_for_pictures() {
    let mut world = World::new(15);
    let anna = join(&mut world, "r", "anna");
    let camera = world.publish(anna, Recipe::simulcast());
    world.run(SECOND * 2);
    world.mute(camera, true);
    world.run(SECOND * 3);
    let before = world.passed(anna).keyframe_requests;
    let ben = join(&mut world, "r", "ben");
    world.run(SECOND * 30);
    let asked = world.passed(anna).keyframe_requests - before;
    assert!(asked <= 2, "{asked} requests to a camera that is off");
    world.mute(camera, false);
    world.run(SECOND * 2);
    assert!(frames(&world, ben, camera) > 10, "it is on again, and seen");
    world.check_flow(SECOND);
    end(world);
}

#[test]
fn who_cannot_get_everything_hears_everybody_and_sees_as_many_as_fit() {
    // So small that six people do not fit into an offer.
    let mut world = World::with_limits(16, Limits { sdp_bytes: 13_000, ..Limits::default() });
    let ben = join(&mut world, "r", "ben");
    let mut published = Vec::new();
    for number in 0..6 {
        let options = JoinOptions { auto_subscribe: false, ..JoinOptions::default() };
        let person = world.join("r", &format!("person{number}"), options);
        let sound = world.publish(person, Recipe::microphone());
        published.push((person, sound, world.publish(person, Recipe::camera(Codec::Vp8))));
    }
    world.run(SECOND * 6);
    let heard: Vec<u64> = published.iter().map(|(_, sound, _)| frames(&world, ben, *sound)).collect();
    assert!(heard.iter().all(|frames| *frames > 50), "{heard:?}");
    let seen = |world: &World| -> Vec<usize> {
        published
            .iter()
            .filter(|(_, _, picture)| frames(world, ben, *picture) > 0)
            .map(|(person, _, _)| *person)
            .collect()
    };
    let at_first = seen(&world);
    assert!(!at_first.is_empty() && at_first.len() < 6, "some fit and some do not: {at_first:?}");
    assert!(world.refusals.contains_key(&("room", "sections-exhausted")), "{:?}", world.refusals);
    assert_eq!(world.clients[ben].state, State::Joined);

    world.leave(at_first[0]);
    world.run(SECOND * 3);
    let newly = seen(&world).into_iter().filter(|person| !at_first.contains(person)).count();
    assert_eq!(newly, 1, "another takes the place");
    world.check_end();
}

#[test]
fn who_shares_no_codec_is_told_once_and_hears_the_rest() {
    let mut world = World::new(17);
    let anna = join(&mut world, "r", "anna");
    let codecs = vec![Codec::Opus, Codec::H264];
    let ben = world.join("r", "ben", JoinOptions { codecs, ..JoinOptions::default() });
    let sound = world.publish(anna, Recipe::microphone());
    let picture = world.publish(anna, Recipe::camera(Codec::Vp8));
    world.run(SECOND * 3);
    let unsupported = |event: &&SessionEvent| {
        matches!(event, SessionEvent::SubscriptionResponse(response)
            if response.err() == livekit::SubscriptionError::SeCodecUnsupported)
    };
    assert_eq!(world.clients[ben].notices.iter().filter(unsupported).count(), 1);
    assert!(frames(&world, ben, sound) > 50 && frames(&world, ben, picture) == 0);
    world.check_end();
}

#[test]
fn redundant_sound_is_passed_to_those_who_read_it_and_taken_apart_for_the_others() {
    let mut world = World::new(18);
    let red = JoinOptions { red: true, ..JoinOptions::default() };
    let (anna, ben) = (world.join("r", "anna", red.clone()), world.join("r", "ben", red));
    let cleo = join(&mut world, "r", "cleo");
    let sound = world.publish(anna, Recipe::microphone());
    let plain = world.publish(cleo, Recipe::microphone());
    world.run(SECOND * 3);
    world.check_flow(SECOND);
    assert!(world.passed(ben).red > 150, "{:?}", world.passed(ben));
    // The oracle compared what Cleo got with what Anna's encoder made.
    assert!(world.passed(cleo).red == 0 && frames(&world, cleo, sound) > 150, "{:?}", world.passed(cleo));
    assert!(frames(&world, ben, plain) > 150, "who can read redundancy also reads sound without");
    end(world);
}

#[test]
fn sound_that_a_speakers_line_loses_comes_from_its_copies_for_those_without_redundancy_too() {
    let mut world = World::new(20);
    let red = JoinOptions { red: true, ..JoinOptions::default() };
    // Lost, overtaken and doubled; announced before it is offered, so that the answer asks for redundancy.
    let up = Conditions::rough(0.2);
    let anna = world.join("r", "anna", JoinOptions { up, offer_first: false, ..red.clone() });
    let (ben, cleo) = (world.join("r", "ben", red), join(&mut world, "r", "cleo"));
    let sound = world.publish(anna, Recipe::microphone());
    world.run(SECOND * 40);
    for client in [ben, cleo] {
        let counts = world.reception(client, sound).map(|reception| reception.counts).unwrap_or_default();
        let missing = counts.lost as f64 / (counts.frames + counts.lost) as f64;
        assert!(counts.frames > 1800 && missing < 0.055, "client {client}: {missing} {counts:?}");
        // That they have the lost packets' numbers and times is watched at every packet.
        assert!(world.passed(client).recovered > 200, "{:?}", world.passed(client));
    }
    end(world);
}

#[test]
fn at_twenty_percent_loss_redundant_sound_lacks_one_frame_in_twenty() {
    let missing = |red: bool| {
        let mut world = World::new(19);
        let options = JoinOptions { red, ..JoinOptions::default() };
        let anna = world.join("r", "anna", options.clone());
        let ben = world.join("r", "ben", JoinOptions { down: Conditions::lossy(0.2), ..options });
        let sound = world.publish(anna, Recipe::microphone());
        world.run(SECOND * 40);
        let counts = world.reception(ben, sound).map(|reception| reception.counts).unwrap_or_default();
        assert!(counts.frames > 1000, "{counts:?}");
        end(world);
        counts.lost as f64 / (counts.frames + counts.lost) as f64
    };
    let (with, without) = (missing(true), missing(false));
    // Two packets in a row are lost in 4 of 100 cases; Opus conceals single missing frames of 20 ms.
    assert!(with < 0.055, "{with}");
    assert!((0.17..0.23).contains(&without), "{without}: what this test compares with");
}
