//! The older protocol, with two peer connections, over real WebSockets.

mod support;

use protocol::livekit;
use protocol::livekit::signal_request::Message as Request;
use protocol::livekit::signal_response::Message as Response;
use support::{Signal, TestServer, eventually, token};

async fn older(server: &TestServer, identity: &str, more: &str) -> Signal {
    let path =
        format!("/rtc?access_token={}&auto_subscribe=1&sdk=python&protocol=9{more}", token("r", identity));
    server.connect_to(&path, None).await.expect("the token is good")
}

impl Signal {
    async fn join(&mut self) -> livekit::JoinResponse {
        match self.next().await {
            Ok(Response::Join(join)) => join,
            other => panic!("the first word is not join but {other:?}"),
        }
    }

    async fn offer(&mut self) -> livekit::SessionDescription {
        self.until(|message| match message {
            Response::Offer(offer) => Some(offer),
            _ => None,
        })
        .await
    }
}

fn ufrag(offer: &livekit::SessionDescription) -> Option<&str> {
    offer.sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_client_is_offered_a_connection_at_once_and_a_newer_one_is_not() {
    let server = TestServer::start().await;
    let mut older = older(&server, "older", "").await;
    assert!(older.join().await.subscriber_primary);
    let offer = older.offer().await;
    assert_eq!((offer.r#type.as_str(), offer.id), ("offer", 1));
    let (mut newer, join) = server.joined("r", "newer").await;
    assert!(!join.subscriber_primary);
    newer.ping().await;
    let answer = server.get(&format!("/rtc/validate?access_token={}", token("r", "other"))).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "success"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_brings_a_new_offer() {
    let server = TestServer::start().await;
    let mut client = older(&server, "older", "").await;
    let sid = client.join().await.participant.expect("a participant").sid;
    let before = client.offer().await;
    drop(client); // without a word
    let mut client = older(&server, "older", &format!("&reconnect=1&sid={sid}")).await;
    assert!(matches!(client.next().await, Ok(Response::Reconnect(_))));
    let after = client.offer().await;
    assert!(after.id > before.id);
    assert_ne!(ufrag(&after), ufrag(&before), "ICE restarts");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_none_end_who_gave_them_and_are_counted() {
    let server = TestServer::start().await;
    let (mut witness, _) = server.joined("r", "witness").await;
    let bytes = sfu::config::Limits::default().sdp_bytes + 1;
    for (sdp, layer, codes) in [
        ("v=0".to_owned(), "sdp", ["malformed", "no-sections"]),
        ("a".repeat(bytes), "signal", ["oversized-answer", "oversized-frame"]),
    ] {
        let mut mallory = older(&server, "mallory", "").await;
        let id = mallory.offer().await.id;
        mallory.send(Request::Answer(livekit::SessionDescription { sdp, id, ..Default::default() })).await;
        mallory.closed().await;
        eventually("it is counted", async || {
            server.rejected(layer, codes[0]).await + server.rejected(layer, codes[1]).await >= 1.0
        })
        .await;
        witness.ping().await;
    }
}
