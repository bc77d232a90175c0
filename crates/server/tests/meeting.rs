//! Whole meetings through the running server: sockets, workers, core and signalling together, with a client
//! whose WebRTC is another implementation.

mod support;

use std::time::Duration;

use client::media::{Kind, SyntheticAudio, SyntheticVideo, VideoLayerSpec};
use client::{Client, CloseCause, DataOptions, Misbehaviour, Options};
use protocol::livekit;
use support::{PATIENCE, TestServer, claims, eventually, sign, token};

async fn enter(server: &TestServer, room: &str, identity: &str) -> Client {
    let client =
        Client::connect(&server.ws(), &token(room, identity), Options::default()).await.expect("joins");
    client.wait_connected(PATIENCE).await.expect("media and data connect");
    client
}

fn camera() -> SyntheticVideo {
    SyntheticVideo::vp8(VideoLayerSpec::simulcast())
}

/// Waits until `packets` of somebody's track have arrived, and that they are right.
async fn receives(client: &Client, identity: &str, kind: Kind, packets: u64) {
    let what = format!("{packets} packets of {kind:?}");
    let report = client
        .wait_for(&what, PATIENCE, |state| {
            state
                .subscription_to(identity, kind)
                .filter(|track| track.packets() >= packets)
                .map(|track| track.report())
        })
        .await
        .expect("media arrives");
    // Jumps in time are left out: a busy machine makes the sender pause, which is not the server's doing.
    let stamps = &report.stamps;
    assert_eq!((report.lost, report.duplicates, report.time_reversals), (0, 0, 0), "{report:?}");
    assert_eq!((stamps.damaged, stamps.lost, stamps.repeated, stamps.cut_frames), (0, 0, 0, 0), "{report:?}");
    assert!(stamps.sources <= 1 && stamps.switches_without_key_frame == 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_see_and_hear_each_other() {
    let server = TestServer::start().await;
    let (ada, ben) = (enter(&server, "r", "ada").await, enter(&server, "r", "ben").await);
    for person in [&ada, &ben] {
        person.publish_audio(SyntheticAudio::new(80)).await.expect("a microphone");
        person.publish_video(camera()).await.expect("a camera");
    }
    for (viewer, shown) in [(&ada, "ben"), (&ben, "ada")] {
        receives(viewer, shown, Kind::Audio, 50).await;
        receives(viewer, shown, Kind::Video, 100).await;
    }
    ada.leave().await;
    ben.wait_until("Ada is gone", PATIENCE, |state| state.participants.is_empty()).await.expect("she left");
    ben.leave().await;
    eventually("nothing is left", async || server.server.directory().census().rooms == 0).await;
    assert_eq!(server.metric("konklave_core_panics_total").await, 0.0);
}

/// With two workers about half of the flows arrive at the wrong socket, whichever worker owns the room.
#[tokio::test(flavor = "multi_thread")]
async fn rooms_on_different_workers_do_not_mix() {
    let server = TestServer::start().await;
    let mut people = Vec::new();
    for room in 0..6 {
        let room = format!("room-{room}");
        let (speaker, listener) = (enter(&server, &room, "ada").await, enter(&server, &room, "ben").await);
        speaker.publish_audio(SyntheticAudio::new(80)).await.expect("a microphone");
        people.push((room, speaker, listener));
    }
    for (room, _, listener) in &people {
        receives(listener, "ada", Kind::Audio, 50).await;
        listener.with_state(|state| {
            assert_eq!(state.room.name, *room);
            assert_eq!(state.participants.len(), 1, "equal names in other rooms are not seen");
            assert_eq!(state.subscribed.len(), 1);
        });
    }
    assert!(server.metric("konklave_datagrams_handed_over_total").await > 0.0);
    assert_eq!(server.metric("konklave_handover_dropped_datagrams_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tracks_of_others_and_of_other_rooms_are_out_of_reach() {
    let server = TestServer::start().await;
    let (ada, ben) = (enter(&server, "r", "ada").await, enter(&server, "r", "ben").await);
    let stranger = enter(&server, "elsewhere", "stranger").await;
    let sid = ada.publish_audio(SyntheticAudio::new(80)).await.expect("a microphone");
    let packets = |state: &client::ClientState| {
        state.subscription_to("ada", Kind::Audio).map_or(0, client::Subscribed::packets)
    };
    ben.wait_until("sound", PATIENCE, |state| packets(state) > 10).await.expect("it comes");

    stranger.set_subscribed(&[&sid], true).await.expect("it is sent");
    stranger.set_quality(&sid, livekit::VideoQuality::Low).await.expect("it is sent");
    for someone in [&stranger, &ben] {
        let mute = livekit::MuteTrackRequest { sid: sid.clone(), muted: true };
        someone.signal(livekit::signal_request::Message::Mute(mute)).await.expect("it is sent");
    }
    eventually("four refusals", async || server.rejected("room", "unknown-track").await == 4.0).await;

    let heard = ben.with_state(packets);
    ben.wait_until("sound goes on", PATIENCE, |state| packets(state) > heard + 10).await.expect("it does");
    let is_muted =
        |state: &client::ClientState| state.track_of("ada", Kind::Audio).is_none_or(|track| track.muted);
    assert!(!ben.with_state(is_muted));
    assert_eq!(stranger.with_state(packets), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_reaches_those_it_is_for() {
    let server = TestServer::start().await;
    let ada = enter(&server, "r", "ada").await;
    let ben = enter(&server, "r", "ben").await;
    let cleo = enter(&server, "r", "cleo").await;
    ada.publish_data(b"to ben", DataOptions::reliable("k").to(["ben"])).await.expect("sent");
    ada.publish_data(b"to all", DataOptions::reliable("k")).await.expect("sent");
    ada.publish_data(&vec![7; 60_000], DataOptions::reliable("k")).await.expect("sent");
    let payloads = |state: &client::ClientState| -> Vec<Vec<u8>> {
        state.data_from("ada").filter_map(|data| data.payload().map(<[u8]>::to_vec)).collect()
    };
    ben.wait_until("three packets", PATIENCE, |state| payloads(state).len() == 3).await.expect("they come");
    cleo.wait_until("two packets", PATIENCE, |state| payloads(state).len() == 2).await.expect("they come");
    assert_eq!(ben.with_state(payloads)[0], b"to ben");
    assert_eq!(cleo.with_state(payloads)[0], b"to all");
    assert_eq!(cleo.with_state(payloads)[1].len(), 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_and_comes_back_is_seen_again() {
    let server = TestServer::start().await;
    let ben = enter(&server, "r", "ben").await;
    for round in 0..3 {
        let ada = enter(&server, "r", "ada").await;
        ada.publish_video(camera()).await.expect("a camera");
        receives(&ben, "ada", Kind::Video, 50).await;
        ada.leave().await;
        ben.wait_until("Ada is gone", PATIENCE, |state| state.participants.is_empty())
            .await
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_media_port_does_not_disturb_a_meeting() {
    let server = TestServer::start().await;
    let (ada, ben) = (enter(&server, "r", "ada").await, enter(&server, "r", "ben").await);
    ada.publish_audio(SyntheticAudio::new(80)).await.expect("a microphone");
    receives(&ben, "ada", Kind::Audio, 10).await;
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
    for n in 0..2_000_u32 {
        let mut datagram = [0; 200];
        datagram[0] = n as u8; // every class of RFC 7983
        datagram[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        stranger.send_to(&datagram, server.address).expect("loopback");
    }
    for kind in [vec![0x80; 500], vec![22; 500], vec![0; 3], vec![200; 1400]] {
        ben.misbehave(Misbehaviour::Datagram(kind)).await.expect("sent");
    }
    receives(&ben, "ada", Kind::Audio, 150).await;
    assert_eq!(server.metric("konklave_core_panics_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_dropped_and_others_go_on() {
    let mut settings = support::settings();
    settings.patience.write = Duration::from_millis(500);
    let server = TestServer::start_with(settings).await;
    let ada = enter(&server, "r", "ada").await;
    let deaf = enter(&server, "r", "deaf").await;
    deaf.misbehave(Misbehaviour::StopReadingSignals).await.expect("it obeys");
    // Every change of the room's metadata is told to everybody. These are 6 MB; what the kernel keeps for a connection
    // that never read is less.
    let mut admin = claims("r", "");
    admin.video.room_admin = true;
    let bearer = format!("Bearer {}", sign(&admin));
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    for round in 0..800 {
        let body = serde_json::json!({ "room": "r", "metadata": format!("{round}{}", "m".repeat(8_000)) });
        let path = "/twirp/livekit.RoomService/UpdateRoomMetadata";
        let answer = server.http("POST", path, &headers, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    eventually("the deaf client is dropped", async || {
        let codes = ["not-reading", "slow-client", "slow-client-bytes"];
        let mut dropped = 0.0;
        for code in codes {
            dropped += server.rejected("signal", code).await;
        }
        dropped >= 1.0
    })
    .await;
    let ben = enter(&server, "r", "ben").await;
    ada.publish_audio(SyntheticAudio::new(80)).await.expect("a microphone");
    receives(&ben, "ada", Kind::Audio, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_tells_its_clients_why() {
    let server = TestServer::start().await;
    let ada = enter(&server, "r", "ada").await;
    let (cause, ()) = tokio::join!(ada.wait_closed(PATIENCE), server.server.shutdown());
    let cause = cause.expect("it ends");
    assert!(
        matches!(cause, CloseCause::ServerLeave { reason: livekit::DisconnectReason::ServerShutdown, .. }),
        "{cause:?}"
    );
}
