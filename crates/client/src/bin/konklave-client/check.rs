//! Two clients meet: what a server must be able to do, in one run.

use std::time::{Duration, Instant};

use client::media::{Kind, SyntheticAudio, SyntheticVideo, VideoLayerSpec};
use client::{Client, ClientError, CloseCause, DataOptions, Options, TrackReport, token};

use crate::{Server, say};

const SOON: Duration = Duration::from_secs(15);

pub(crate) async fn run(server: &Server) -> Result<(), ClientError> {
    let join = |identity: &'static str| async move {
        let token = token::join(&server.key, &server.secret, &server.room, identity);
        Client::connect(&server.url, &token, Options::default()).await
    };
    let begun = Instant::now();
    let ada = join("ada").await?;
    let bob = join("bob").await?;
    step(begun, "both joined");
    for client in [&ada, &bob] {
        client.wait_connected(SOON).await?;
    }
    step(begun, "both have media and data");
    ada.wait_until("Bob to be seen", SOON, |state| state.participants.contains_key("bob")).await?;
    bob.wait_until("Ada to be seen", SOON, |state| state.participants.contains_key("ada")).await?;

    let audio = SyntheticAudio::new(80);
    let level = audio.level();
    level.set(-20);
    let audio_sid = ada.publish_audio(audio).await?;
    let video_sid = ada.publish_video(SyntheticVideo::vp8(vec![VideoLayerSpec::single()])).await?;
    step(begun, "Ada's microphone and camera are confirmed");
    for (kind, least) in [(Kind::Audio, 150), (Kind::Video, 120)] {
        let report = packets(&bob, "ada", kind, least).await?;
        step(begun, &format!("Bob got {} {kind:?} packets of Ada: {}", report.packets, judge(&report)?));
    }

    let simulcast = bob.publish_video(SyntheticVideo::vp8(VideoLayerSpec::simulcast())).await?;
    let report = packets(&ada, "bob", Kind::Video, 400).await?;
    step(begun, &format!("Ada got {} packets of Bob's simulcast: {}", report.packets, judge(&report)?));

    for (client, to, from) in [(&ada, &bob, "ada"), (&bob, &ada, "bob")] {
        for (reliable, text) in [(true, "reliable"), (false, "lossy")] {
            let options = if reliable { DataOptions::reliable("k") } else { DataOptions::lossy("k") };
            client.publish_data(text.as_bytes(), options).await?;
            to.wait_until("a data packet", SOON, |state| {
                state.data_from(from).any(|data| {
                    data.reliable == reliable
                        && data.topic() == Some("k")
                        && data.payload() == Some(text.as_bytes())
                })
            })
            .await?;
        }
    }
    let large: Vec<u8> = (0..60_000_u32).map(|at| at as u8).collect();
    ada.publish_data(&large, DataOptions::reliable("large").to(["bob"])).await?;
    bob.wait_until("60 kB of data", SOON, |state| {
        state.data_from("ada").any(|data| data.payload() == Some(&large[..]))
    })
    .await?;
    step(begun, "data went both ways, reliable, lossy and large");

    bob.wait_until("Ada to be a speaker", SOON, |state| state.is_speaking("ada")).await?;
    step(begun, "Bob sees Ada speak");

    ada.set_muted(&audio_sid, true).await?;
    bob.wait_until("Ada's mute", SOON, |state| {
        state.track_of("ada", Kind::Audio).is_some_and(|track| track.muted)
    })
    .await?;
    ada.set_muted(&audio_sid, false).await?;
    let before = bob.with_state(|state| state.subscribed.get(&audio_sid).map_or(0, |track| track.packets()));
    bob.wait_until("sound after the unmute", SOON, |state| {
        state.subscribed.get(&audio_sid).is_some_and(|track| track.packets() > before + 20)
    })
    .await?;
    step(begun, "mute and unmute reached Bob");

    bob.set_subscribed(&[&video_sid], false).await?;
    bob.wait_until("the video's section to be free", SOON, |state| {
        state.subscribed.get(&video_sid).is_some_and(|track| track.mid.is_none())
    })
    .await?;
    bob.set_subscribed(&[&video_sid], true).await?;
    let before = bob.with_state(|state| state.subscribed.get(&video_sid).map_or(0, |track| track.packets()));
    bob.wait_until("video again", SOON, |state| {
        state
            .subscribed
            .get(&video_sid)
            .is_some_and(|track| track.mid.is_some() && track.packets() > before + 20)
    })
    .await?;
    step(begun, "Bob unsubscribed and subscribed again");

    bob.unpublish(&simulcast).await?;
    ada.wait_until("Bob's camera to be gone", SOON, |state| state.track_of("bob", Kind::Video).is_none())
        .await?;
    step(begun, "Bob ended his camera");

    let left = ada.leave().await;
    bob.wait_until("Ada to be gone", SOON, |state| !state.participants.contains_key("ada")).await?;
    step(begun, "Ada left and Bob saw it");
    let state = bob.leave().await;
    say(format_args!("Ada: {:?}\nBob: {:?}", left.counters, state.counters));
    match state.connection {
        client::Connection::Closed(CloseCause::Left) => Ok(()),
        other => Err(ClientError::Protocol(format!("left as {other:?}"))),
    }
}

async fn packets(client: &Client, from: &str, kind: Kind, least: u64) -> Result<TrackReport, ClientError> {
    client
        .wait_for(&format!("{least} {kind:?} packets"), SOON, |state| {
            state
                .subscription_to(from, kind)
                .filter(|track| track.packets() >= least)
                .map(|track| track.report())
        })
        .await
}

fn judge(report: &TrackReport) -> Result<String, ClientError> {
    if !report.is_verified() {
        return Err(ClientError::Protocol(format!("media is not clean: {report:#?}")));
    }
    let stamps = &report.stamps;
    Ok(format!(
        "clean, layer {:?}, {} switches, {} key frames, latency {:?} median {:?} at most",
        stamps.layer, stamps.switches, report.key_frames, stamps.latency.median, stamps.latency.max
    ))
}

fn step(begun: Instant, what: &str) {
    say(format_args!("{:>6} ms  {what}", begun.elapsed().as_millis()));
}
