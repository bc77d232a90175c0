//! Channels: members of a room share a log, over real WebSockets.

mod support;

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use protocol::channel::{
    Blob, ClosingCode, Entry, FromServer, Kind, LogState, Refusal, Sequence, Submission, ToServer,
};
use protocol::token::Claims;
use support::{PATIENCE, TestServer, claims, eventually, settings, sign, token, unix_now};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

async fn start() -> TestServer {
    TestServer::start().await
}

struct Channel {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

async fn open_at(server: &TestServer, path: &str) -> Result<Channel, (u16, String)> {
    match tokio_tungstenite::connect_async(format!("{}{path}", server.ws())).await {
        Ok((socket, _)) => Ok(Channel { socket }),
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            Err((response.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
        }
        Err(error) => panic!("neither open nor refused: {error}"),
    }
}

async fn open(server: &TestServer, room: &str, identity: &str) -> Channel {
    let path = format!("/api/v1/rooms/{room}/channel?access_token={}", token(room, identity));
    open_at(server, &path).await.expect("the token is good")
}

/// Opens a channel of somebody who knows nothing.
async fn enter(server: &TestServer, room: &str, identity: &str) -> Channel {
    let mut channel = open(server, room, identity).await;
    channel.say(&ToServer::Hello { log: None, after: 0 }).await;
    channel
}

/// A room that ada has started.
async fn started(server: &TestServer) -> (Channel, String) {
    let mut ada = enter(server, "r", "ada").await;
    let (log, state) = ada.opened().await;
    assert_eq!(state, LogState::Empty);
    ada.submit(1, 0, Submission::Group).await;
    assert_eq!(ada.answer().await, Ok(1));
    assert_eq!(ada.entry().await, (1, Kind::Group, "ada".into()));
    assert_eq!(ada.entry().await, (2, Kind::Back, "ada".into()));
    (ada, log)
}

impl Channel {
    async fn say(&mut self, message: &ToServer) {
        let text = serde_json::to_string(message).expect("JSON");
        self.socket.send(Message::Text(text.into())).await.expect("the channel is open");
    }

    async fn submit(&mut self, id: u32, after: Sequence, kind: Submission) {
        let data = Blob(b"sealed".to_vec());
        self.say(&ToServer::Submit { id, after, kind, data, welcome: None, group_info: None }).await;
    }

    /// The next message; `None` if the channel is closed.
    async fn next(&mut self) -> Option<FromServer> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("the server says something")? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).expect("a FromServer")),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn until<T>(&mut self, mut pick: impl FnMut(FromServer) -> Option<T>) -> T {
        loop {
            if let Some(picked) = pick(self.next().await.expect("the channel is open")) {
                return picked;
            }
        }
    }

    async fn opened(&mut self) -> (String, LogState) {
        self.until(|message| match message {
            FromServer::Opened { log, state, .. } => Some((log, state)),
            _ => None,
        })
        .await
    }

    async fn entry(&mut self) -> (Sequence, Kind, String) {
        self.until(|message| match message {
            FromServer::Entry(Entry { seq, kind, from, .. }) => Some((seq, kind, from)),
            _ => None,
        })
        .await
    }

    async fn answer(&mut self) -> Result<Sequence, Refusal> {
        self.until(|message| match message {
            FromServer::Submitted { seq, .. } => Some(Ok(seq)),
            FromServer::Refused { code, .. } => Some(Err(code)),
            _ => None,
        })
        .await
    }

    /// Reads to the end; why the server closed.
    async fn closing(&mut self) -> Option<ClosingCode> {
        let mut code = None;
        while let Some(message) = self.next().await {
            if let FromServer::Closing { code: why } = message {
                code = Some(why);
            }
        }
        code
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_a_log() {
    let server = start().await;
    let (mut ada, log) = started(&server).await;
    let mut ben = enter(&server, "r", "ben").await;
    assert_eq!(ben.opened().await, (log, LogState::Running));
    let base = ben.until(|message| match message {
        FromServer::Base { seq, group_info, past } => Some((seq, group_info.0, past.len())),
        _ => None,
    });
    assert_eq!(base.await, (3, b"sealed".to_vec(), 2));
    assert_eq!(ada.entry().await, (3, Kind::Back, "ben".into()));
    ben.submit(7, 3, Submission::Join).await;
    assert_eq!(ben.answer().await, Ok(4));
    for channel in [&mut ada, &mut ben] {
        assert_eq!(channel.entry().await, (4, Kind::Join, "ben".into()));
    }
    ada.say(&ToServer::Applied { seq: 4, refused: Vec::new() }).await;
    let outcome = ben.until(|message| match message {
        FromServer::Outcome { seq, applied } => Some((seq, applied)),
        _ => None,
    });
    assert_eq!(outcome.await, (4, true));
    assert_eq!(server.metric("konklave_channel_members").await, 2.0);
    assert_eq!(server.metric("konklave_channel_entries_total").await, 4.0);
    let mut elsewhere = enter(&server, "s", "eve").await;
    assert_eq!(elsewhere.opened().await.1, LogState::Empty, "rooms are apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_at_once_one_is_appended() {
    let server = start().await;
    let (mut ada, _) = started(&server).await;
    let mut ben = enter(&server, "r", "ben").await;
    ben.until(|message| matches!(message, FromServer::Base { .. }).then_some(())).await;
    tokio::join!(ada.submit(1, 3, Submission::Commit), ben.submit(1, 3, Submission::Commit));
    let (first, second) = (ada.answer().await, ben.answer().await);
    assert!(
        matches!((first, second), (Ok(4), Err(Refusal::Stale)) | (Err(Refusal::Stale), Ok(4))),
        "{first:?} {second:?}"
    );
    eventually("it is counted", async || server.rejected("channel", "submission-stale").await == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_socket_breaks_is_gone_and_comes_back_to_what_it_missed() {
    let server = start().await;
    let (mut ada, log) = started(&server).await;
    let ben = enter(&server, "r", "ben").await;
    assert_eq!(ada.entry().await, (3, Kind::Back, "ben".into()));
    drop(ben);
    assert_eq!(ada.entry().await, (4, Kind::Gone, "ben".into()));
    ada.submit(1, 4, Submission::Statement).await;
    let mut ben = open(&server, "r", "ben").await;
    ben.say(&ToServer::Hello { log: Some(log), after: 3 }).await;
    let resumed = ben.until(|message| match message {
        FromServer::Opened { resumed, .. } => Some(resumed),
        _ => None,
    });
    assert!(resumed.await);
    let mut missed = Vec::new();
    for _ in 0..3 {
        missed.push(ben.entry().await);
    }
    let name = |seq, kind, from: &str| (seq, kind, from.to_owned());
    let expected = [name(4, Kind::Gone, "ben"), name(5, Kind::Statement, "ada"), name(6, Kind::Back, "ben")];
    assert_eq!(missed, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_no_ping_is_gone() {
    let mut settings = settings();
    settings.patience.ping = Duration::from_millis(100);
    settings.patience.silence = Duration::from_secs(1);
    let server = TestServer::start_with(settings).await;
    let (mut ada, _) = started(&server).await;
    // Nothing reads it, so nothing answers: as if its line were cut.
    let _deaf = enter(&server, "r", "deaf").await;
    assert_eq!(ada.entry().await.1, Kind::Back);
    assert_eq!(ada.entry().await, (4, Kind::Gone, "deaf".into()));
    assert_eq!(server.rejected("channel", "half-open").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_channel_takes_the_place_of_the_older() {
    let server = start().await;
    let (mut ada, log) = started(&server).await;
    let mut newer = open(&server, "r", "ada").await;
    newer.say(&ToServer::Hello { log: Some(log), after: 2 }).await;
    assert_eq!(ada.closing().await, Some(ClosingCode::Elsewhere));
    newer.submit(1, 2, Submission::Statement).await;
    assert_eq!(newer.entry().await, (3, Kind::Statement, "ada".into()), "nobody was gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_the_room_for_good_has_left() {
    use protocol::livekit::{LeaveRequest, signal_request};
    let server = start().await;
    let (mut ben_signal, _) = server.joined("r", "ben").await;
    let (_ada_signal, _) = server.joined("r", "ada").await;
    eventually("both are in", async || server.server.directory().census().participants == 2).await;
    let (mut ada, _) = started(&server).await;
    let mut ben = enter(&server, "r", "ben").await;
    assert_eq!(ada.entry().await.1, Kind::Back);
    ben_signal.send(signal_request::Message::Leave(LeaveRequest::default())).await;
    assert_eq!(ada.entry().await, (4, Kind::Left, "ben".into()));
    assert_eq!(ben.closing().await, Some(ClosingCode::Ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_room_every_channel_ends_and_the_next_log_is_another() {
    use protocol::livekit::{LeaveRequest, signal_request};
    let server = start().await;
    let mut claims = claims("r", "ada");
    claims.video.room_create = true;
    claims.room_config = Some(protocol::token::RoomConfig { departure_timeout: 1, ..Default::default() });
    let mut signal = server.connect(&sign(&claims), "").await.expect("the token is good");
    eventually("she is in", async || server.server.directory().census().participants == 1).await;
    let (mut ada, first) = started(&server).await;
    let mut ben = enter(&server, "r", "ben").await;
    signal.send(signal_request::Message::Leave(LeaveRequest::default())).await;
    assert_eq!(ada.closing().await, Some(ClosingCode::Ended));
    assert_eq!(ben.closing().await, Some(ClosingCode::Ended));
    let (_, second) = started(&server).await;
    assert_ne!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_forgotten_with_its_last_member() {
    let server = start().await;
    let (mut ada, first) = started(&server).await;
    ada.say(&ToServer::Leave).await;
    assert_eq!(ada.closing().await, Some(ClosingCode::Ended));
    let (_, second) = started(&server).await;
    assert_ne!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_meeting_goes_on() {
    let mut settings = settings();
    settings.patience.restore = Duration::from_secs(10);
    let server = TestServer::start_with(settings).await;
    let mut newcomer = enter(&server, "r", "newcomer").await;
    assert_eq!(newcomer.opened().await.1, LogState::Restoring);
    let mut ada = open(&server, "r", "ada").await;
    ada.say(&ToServer::Hello { log: Some("of another process".into()), after: 40 }).await;
    ada.until(|message| matches!(message, FromServer::RestoreWanted).then_some(())).await;
    let restore = ToServer::Restore {
        epoch: 3,
        group_info: Blob(b"restored".to_vec()),
        statements: Vec::new(),
        members: vec!["ada".into()],
    };
    ada.say(&restore).await;
    for channel in [&mut newcomer, &mut ada] {
        let group_info = channel.until(|message| match message {
            FromServer::Base { group_info, .. } => Some(group_info.0),
            _ => None,
        });
        assert_eq!(group_info.await, b"restored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_every_member_hears_it() {
    let server = start().await;
    let (mut ada, _) = started(&server).await;
    let (_, code) = tokio::join!(server.server.shutdown(), ada.closing());
    assert_eq!(code, Some(ClosingCode::Stopping));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_token_is_refused_with_its_reason() {
    let with = |change: fn(&mut Claims)| {
        let mut claims = claims("r", "ada");
        change(&mut claims);
        sign(&claims)
    };
    let cases = [
        ("r", String::new(), 401, "token-missing"),
        ("r", "nonsense".into(), 401, "token-malformed"),
        ("r", with(|claims| claims.exp = unix_now() - 3600), 401, "token-expired"),
        ("r", with(|claims| claims.iss = "foreign".into()), 401, "token-wrong-key"),
        ("r", with(|claims| claims.video.room_join = false), 403, "token-no-join-grant"),
        ("r", with(|claims| claims.sub.clear()), 403, "token-identity-missing"),
        ("other", with(|_| {}), 403, "wrong-room"),
        ("%ff", with(|_| {}), 400, "invalid-room-name"),
    ];
    for (room, token, status, code) in cases {
        let server = start().await;
        let path = format!("/api/v1/rooms/{room}/channel?access_token={token}");
        let (got, body) = open_at(&server, &path).await.err().expect("it is refused");
        assert_eq!(got, status, "{code}: {body}");
        assert!(body.contains(&format!("\"code\":\"{code}\"")), "{code}: {body}");
        assert!(!body.contains("ada"), "nothing of the token is repeated: {body}");
        assert_eq!(server.rejected("channel", code).await, 1.0);
    }
    let server = start().await;
    let path = format!("/api/v1/rooms/r/channel?access_token={}", token("r", "ada"));
    assert_eq!(server.get(&path).await.problem(), (426, "upgrade-required".into()), "no WebSocket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_the_same_however_it_is_spelled() {
    let server = start().await;
    let path = format!("/api/v1/rooms/CAF%C3%89/channel?access_token={}", token("café", "ada"));
    assert!(open_at(&server, &path).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_that_opens_channels_without_end_is_slowed_down() {
    let server = start().await;
    let token = server.join("r", "{}").await.json()["token"].as_str().expect("a token").to_owned();
    let path = format!("/api/v1/rooms/r/channel?access_token={token}");
    let mut open = 0;
    let (status, body) = loop {
        match open_at(&server, &path).await {
            Ok(_) if open < 100 => open += 1,
            Ok(_) => panic!("without end"),
            Err(refused) => break refused,
        }
    };
    assert!(status == 429 && body.contains("connects-too-often") && open >= 10, "{open}: {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_frames_end_the_channel_that_sent_them_and_no_other() {
    let server = start().await;
    let (mut ada, _) = started(&server).await;
    let text = |text: &str| Message::Text(text.into());
    for (frame, code) in [
        (text("nonsense"), "malformed-message"),
        (text(r#"{"type":"no-such"}"#), "malformed-message"),
        (text(r#"{"type":"applied","seq":-1}"#), "malformed-message"),
        (text(r#"{"type":"key-package","data":"%"}"#), "malformed-message"),
        (text(r#"{"type":"hello"}"#), "out-of-turn"),
        (text(r#"{"type":"applied","seq":99999}"#), "applied-the-future"),
        (Message::Binary(vec![1, 2, 3].into()), "binary-frame"),
    ] {
        let before = server.rejected("channel", code).await;
        let mut mallory = enter(&server, "r", "mallory").await;
        mallory.until(|message| matches!(message, FromServer::Base { .. }).then_some(())).await;
        mallory.socket.send(frame).await.expect("the channel is open");
        assert_eq!(mallory.closing().await, Some(ClosingCode::Malformed), "{code}");
        assert_eq!(server.rejected("channel", code).await, before + 1.0, "{code}");
        // A participant opens ten channels at most at once.
        let mut mallory = open(&server, "r", "mallory").await;
        mallory.say(&ToServer::Hello { log: None, after: 0 }).await;
        drop(mallory);
    }
    let mut mallory = enter(&server, "r", "large").await;
    // Whoever still writes when the server hangs up may see the connection reset and no word of why.
    let _ = mallory.socket.send(text(&"x".repeat(700 << 10))).await;
    mallory.closing().await;
    eventually("it is counted", async || server.rejected("channel", "oversized-frame").await == 1.0).await;
    ada.submit(9, u64::MAX, Submission::Commit).await;
    assert_eq!(ada.answer().await, Err(Refusal::Stale), "she is still served");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_submission_fits_a_frame() {
    let server = start().await;
    let (mut ada, _) = started(&server).await;
    let zeros = |bytes| Blob(vec![0; bytes]);
    let welcome = protocol::channel::Welcome { to: vec!["x".repeat(256); 200], data: zeros(192 << 10) };
    ada.say(&ToServer::Submit {
        id: u32::MAX,
        after: 2,
        kind: Submission::Commit,
        data: zeros(64 << 10),
        welcome: Some(welcome),
        group_info: Some(zeros(128 << 10)),
    })
    .await;
    assert_eq!(ada.answer().await, Ok(3));
    let mut returning = open(&server, "s", "ada").await;
    returning.say(&ToServer::Hello { log: Some("lost".into()), after: 1 }).await;
    returning
        .say(&ToServer::Restore {
            epoch: u64::MAX,
            group_info: zeros(128 << 10),
            statements: vec![zeros(1 << 10); 256],
            members: vec!["x".repeat(256); 256],
        })
        .await;
    returning.until(|message| matches!(message, FromServer::Base { .. }).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_closed_and_the_others_are_not() {
    let mut settings = settings();
    settings.patience.write = Duration::from_millis(500);
    let server = TestServer::start_with(settings).await;
    let mut ada = enter(&server, "r", "ada").await;
    let data = Blob(vec![0; 128 << 10]);
    ada.say(&ToServer::Submit {
        id: 1,
        after: 0,
        kind: Submission::Group,
        data,
        welcome: None,
        group_info: None,
    })
    .await;
    assert_eq!(ada.answer().await, Ok(1));
    let mut slow = enter(&server, "r", "slow").await;
    for _ in 0..190 {
        slow.say(&ToServer::WantBase { bad: None }).await;
    }
    eventually("it is closed", async || server.rejected("channel", "not-reading").await == 1.0).await;
    for kind in [Kind::Group, Kind::Back, Kind::Back, Kind::Gone] {
        assert_eq!(ada.entry().await.1, kind);
    }
}
