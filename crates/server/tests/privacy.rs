//! A meeting with everything in it, at the most verbose level: the log must hold nothing about people.

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use client::media::{Kind, SyntheticAudio};
use client::{Client, DataOptions, Options};
use protocol::livekit;
use support::{PATIENCE, TestServer, claims, sign};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("nobody panicked")).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_meeting_holds_nothing_about_people() {
    let log = Log::default();
    tracing::subscriber::set_global_default(server::logging::subscriber(2, log.clone()))
        .expect("the only one");
    let server = TestServer::start().await;

    let mut tokens = Vec::new();
    let mut people = Vec::new();
    for identity in ["identity-of-ada", "identity-of-ben"] {
        let mut claims = claims("room-of-the-meeting", identity);
        claims.name = "Name Of Somebody".into();
        claims.metadata = "metadata-of-somebody".into();
        claims.attributes.insert("key-of-attribute".into(), "value-of-attribute".into());
        claims.video.can_update_own_metadata = Some(true);
        let token = sign(&claims);
        let client = Client::connect(&server.ws(), &token, Options::default()).await.expect("joins");
        client.wait_connected(PATIENCE).await.expect("connects");
        tokens.push(token);
        people.push(client);
    }
    let [ada, ben] = people.as_slice() else { panic!("there are two") };
    ada.publish_audio(SyntheticAudio::new(80)).await.expect("a microphone");
    ben.wait_until("sound", PATIENCE, |state| {
        state.subscription_to("identity-of-ada", Kind::Audio).is_some_and(|track| track.packets() > 50)
    })
    .await
    .expect("it comes");
    ada.publish_data(b"text-of-a-message", DataOptions::reliable("topic-of-message")).await.expect("sent");
    ben.wait_until("data", PATIENCE, |state| !state.data.is_empty()).await.expect("it comes");
    let update =
        livekit::UpdateParticipantMetadata { metadata: "metadata-changed".into(), ..Default::default() };
    ada.update_metadata(update).await.expect("sent");
    ben.wait_until("metadata", PATIENCE, |state| {
        state.participants.values().any(|other| other.metadata == "metadata-changed")
    })
    .await
    .expect("it comes");

    // What goes wrong is what tempts to log.
    let answer = server
        .join(
            "room-of-admission",
            r#"{"identity":"0123456789abcdefghjkmnpqrs","metadata":"metadata-of-join"}"#,
        )
        .await;
    tokens.push(answer.json()["token"].as_str().expect("a token").to_owned());
    server.join("room of wrong name", r#"{"identity":"wrong-identity"}"#).await;
    for query in [
        "token-that-is-wrong",
        "token-that-is-wrong&room=room-in-the-query&join_request=request-that-is-wrong",
    ] {
        server.connect(query, "").await.err().expect("it is refused");
    }
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
    for first in 0..=255_u8 {
        stranger.send_to(&[first; 100], server.address).expect("loopback");
    }
    let ports: Vec<String> = [stranger.local_addr().expect("bound").port(), server.address.port()]
        .iter()
        .map(|port| format!(":{port}"))
        .collect();
    ben.misbehave(client::Misbehaviour::SignalBytes(vec![0xff; 20])).await.expect("sent");
    ben.wait_closed(PATIENCE).await.expect("it is closed");
    ada.misbehave(client::Misbehaviour::Vanish).await.expect("gone");
    server.server.shutdown().await;

    let text = log.text();
    assert!(text.contains("media is received"), "something is logged at all:\n{text}");
    let mut forbidden = vec![
        "identity-of",
        "room-of",
        "room-in",
        "room of",
        "Name Of",
        "metadata-",
        "key-of",
        "value-of",
        "text-of",
        "topic-of",
        "token-that",
        "request-that",
        "wrong-identity",
        "0123456789abcdefghjkmnpqrs",
        "access_token",
        "127.0.0.1",
        "::1",
        "192.168.",
        "devkey",
        "secret",
        "eyJ",
    ];
    forbidden.extend(tokens.iter().map(String::as_str));
    forbidden.extend(ports.iter().map(String::as_str));
    for word in forbidden {
        let line = text.lines().find(|line| line.contains(word));
        assert!(line.is_none(), "{word:?} in the log: {line:?}");
    }
}
