//! Signalling connections that break and are taken up again, over real WebSockets.

mod support;

use protocol::join_request;
use protocol::livekit::signal_request::Message as Request;
use protocol::livekit::signal_response::Message as Response;
use protocol::livekit::{JoinRequest, ParticipantInfo, ReconnectResponse, SyncState, leave_request};
use support::{Signal, TestServer, token};

/// How both versions of the protocol ask for it.
fn wishes(sid: &str) -> [String; 2] {
    let request = JoinRequest { reconnect: true, participant_sid: sid.into(), ..Default::default() };
    [
        format!("&join_request={}", join_request::encode(&request, true)),
        format!("&reconnect=1&sid={sid}&reconnect_reason=1"),
    ]
}

impl Signal {
    /// The first word: that the session goes on.
    async fn reconnected(&mut self) -> ReconnectResponse {
        match self.next().await {
            Ok(Response::Reconnect(reconnect)) => reconnect,
            other => panic!("the first word is not reconnect but {other:?}"),
        }
    }

    async fn update(&mut self) -> Vec<ParticipantInfo> {
        self.until(|message| match message {
            Response::Update(update) => Some(update.participants),
            _ => None,
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_taken_up_by_the_next_one_and_nobody_notices() {
    let server = TestServer::start().await;
    let (mut ben, _) = server.joined("r", "ben").await;
    let (mut ada, join) = server.joined("r", "ada").await;
    let sid = join.participant.expect("a participant").sid;
    assert_eq!(ben.update().await[0].sid, sid);
    for wish in wishes(&sid) {
        drop(ada); // without a word
        ada = server.connect(&token("r", "ada"), &wish).await.expect("the token is good");
        let reconnect = ada.reconnected().await;
        assert!(!reconnect.server_info.expect("clients want it").version.is_empty());
        let present = ada.update().await;
        assert!(present.iter().any(|info| info.identity == "ben"), "{present:?}");
        // The next resume has the whole of its time. Not before it is known what Ada may do now.
        let is_token = |message| matches!(message, Response::RefreshToken(token) if !token.is_empty());
        ada.until(|message| is_token(message).then_some(())).await;
        ada.send(Request::SyncState(SyncState::default())).await;
        assert_eq!(ada.ping().await.last_ping_timestamp, 1, "and it goes on as any other");
    }
    assert_eq!(server.server.directory().census().participants, 2);
    // What Ben hears next is about somebody else.
    let (_cleo, _) = server.joined("r", "cleo").await;
    assert_eq!(ben.update().await[0].identity, "cleo");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_half_open_gives_way() {
    let server = TestServer::start().await;
    let (mut older, join) = server.joined("r", "ada").await;
    let [wish, _] = wishes(&join.participant.expect("a participant").sid);
    let mut newer = server.connect(&token("r", "ada"), &wish).await.expect("the token is good");
    newer.reconnected().await;
    loop {
        match older.next().await {
            Ok(Response::Leave(leave)) => panic!("it would end the client that went on: {leave:?}"),
            Ok(_) => {}
            Err(frame) => break assert_eq!(frame.map(|frame| u16::from(frame.code)), Some(1000)),
        }
    }
    newer.ping().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_any_more_is_asked_to_join_again() {
    let server = TestServer::start().await;
    for wish in wishes("PA_x").into_iter().chain(["&reconnect=1".into()]) {
        let mut signal = server.connect(&token("r", "ada"), &wish).await.expect("the token is good");
        let Ok(Response::Leave(leave)) = signal.next().await else { panic!("the first word is leave") };
        assert_eq!(leave.action, i32::from(leave_request::Action::Reconnect));
        assert_eq!(signal.closed().await.0, 1000);
    }
    assert_eq!(server.server.directory().census().participants, 0, "and no room was started");
    assert!(server.rejected("room", "resume-unknown").await >= 1.0);

    let (ada, join) = server.joined("r", "ada").await;
    let sid = join.participant.expect("a participant").sid;
    let [wish, _] = wishes(&sid);
    let mut mallory = server.connect(&token("r", "mallory"), &wish).await.expect("the token is good");
    assert!(matches!(mallory.next().await, Ok(Response::Leave(_))), "another's stay is not to be had");
    drop(ada);
}
