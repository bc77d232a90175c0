//! Signalling connections: who is let in, what bad input leads to, and that others do not notice.

mod support;

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use protocol::livekit;
use protocol::livekit::signal_request::Message as Request;
use protocol::livekit::signal_response::Message as Response;
use protocol::prost::Message as _;
use protocol::token::Claims;
use protocol::{join_request, livekit::JoinRequest};
use support::{Signal, TestServer, claims, eventually, settings, sign, token, unix_now};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

#[tokio::test(flavor = "multi_thread")]
async fn a_join_response_has_what_clients_need() {
    let server = TestServer::start().await;
    let (_ada, first) = server.joined("r", "ada").await;
    let own = first.participant.expect("oneself");
    assert!(own.sid.starts_with("PA_") && own.identity == "ada");
    assert!(first.room.is_some_and(|room| room.sid.starts_with("RM_") && room.name == "r"));
    assert_eq!((first.ping_interval, first.ping_timeout, first.subscriber_primary), (2, 6, false));
    assert!(first.ice_servers.is_empty());
    assert!(first.enabled_publish_codecs.iter().any(|codec| codec.mime.eq_ignore_ascii_case("audio/opus")));
    assert!(first.server_info.is_some_and(|info| !info.version.is_empty()));
    let (_ben, second) = server.joined("r", "ben").await;
    let others: Vec<_> = second.other_participants.iter().map(|other| other.identity.as_str()).collect();
    assert_eq!(others, ["ada"]);
    let (_eve, elsewhere) = server.joined("another", "eve").await;
    assert!(elsewhere.other_participants.is_empty(), "rooms are apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_may_come_as_a_header() {
    let server = TestServer::start().await;
    let mut signal = server.connect_to("/rtc/v1", Some(&token("r", "bot"))).await.expect("it is good");
    signal.until(|message| matches!(message, Response::Join(_)).then_some(())).await;
    let answer = server
        .http("GET", "/rtc/v1/validate", &[("authorization", &format!("Bearer {}", token("r", "bot")))], "")
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "success"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_token_is_refused_with_its_reason() {
    let with = |change: fn(&mut Claims)| {
        let mut claims = claims("r", "ada");
        change(&mut claims);
        sign(&claims)
    };
    let cases = [
        ("".into(), 401, "token-missing"),
        ("nonsense".into(), 401, "token-malformed"),
        (with(|claims| claims.exp = unix_now() - 3600), 401, "token-expired"),
        (with(|claims| claims.nbf = unix_now() + 3600), 401, "token-not-yet-valid"),
        (with(|claims| claims.iss = "foreign".into()), 401, "token-wrong-key"),
        (with(|claims| claims.video.room_join = false), 403, "token-no-join-grant"),
        (with(|claims| claims.video.room.clear()), 403, "token-room-missing"),
        (with(|claims| claims.sub.clear()), 403, "token-identity-missing"),
        (format!("{}&room=other", with(|_| {})), 403, "wrong-room"),
        (format!("{}&join_request=!", with(|_| {})), 400, "join-request-malformed"),
        (format!("{}&join_request=AAAA", with(|_| {})), 400, "join-request-malformed"),
    ];
    for (token, status, code) in cases {
        let server = TestServer::start().await;
        let (got, body) = server.connect(&token, "").await.err().expect("it is refused");
        assert_eq!(got, status, "{code}: {body}");
        assert!(body.contains(&format!("\"code\":\"{code}\"")), "{code}: {body}");
        assert!(!body.contains("ada"), "nothing of the token is repeated: {body}");
        // Browsers learn the reason here.
        let answer = server.get(&format!("/rtc/v1/validate?access_token={token}")).await;
        assert_eq!(answer.problem(), (status, code.into()));
        assert_eq!(server.rejected("rtc", code).await, 2.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inflated_join_request_is_refused_before_it_is_read() {
    let server = TestServer::start().await;
    let bomb = JoinRequest { metadata: "a".repeat(8 << 20), ..Default::default() };
    let parameter = join_request::encode(&bomb, true);
    assert!(parameter.len() < 60_000, "it travels small");
    let (status, body) = server
        .connect(&token("r", "ada"), &format!("&join_request={parameter}"))
        .await
        .err()
        .expect("refused");
    assert_eq!(status, 413, "{body}");
    assert!(body.contains("join-request-too-large"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_tokens_shuts_the_door_and_good_tokens_still_pass() {
    let server = TestServer::start().await;
    for _ in 0..30 {
        let (status, body) = server.connect("guess", "").await.err().expect("refused");
        assert!(status == 401 && body.contains("token-malformed"), "always with its reason: {status} {body}");
    }
    let answer = server.join("r", "{}").await;
    assert_eq!(answer.problem(), (429, "rate-limited".into()));
    let wait: u64 = answer.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a number");
    assert!((30..=61).contains(&wait), "{wait}");
    server.joined("r", "ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_kinds_of_ping_are_answered() {
    let server = TestServer::start().await;
    let (mut ada, _) = server.joined("r", "ada").await;
    assert_eq!(ada.ping().await.last_ping_timestamp, 1);
    ada.send(Request::Ping(5)).await;
    ada.until(|message| matches!(message, Response::Pong(_)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_frames_end_the_connection_that_sent_them_and_no_other() {
    let server = TestServer::start().await;
    let (mut witness, _) = server.joined("r", "witness").await;
    let oversized = Message::Binary(vec![0; (1 << 20) + 1].into());
    let malformed = Message::Binary(vec![0xff; 10].into());
    let text = Message::Text(r#"{"offer":{}}"#.into());
    for (frame, close, code) in [
        (text, 1003, "text-frame"),
        (malformed, 1007, "malformed-frame"),
        (oversized, 1009, "oversized-frame"),
    ] {
        let (mut mallory, _) = server.joined("r", "mallory").await;
        // Whoever still writes when the server hangs up may see the connection reset and no word of why.
        let is_large = frame.len() > 1 << 20;
        let sent = mallory.socket.send(frame).await;
        assert!(sent.is_ok() || is_large, "{code}: {sent:?}");
        let (got, reason) = mallory.closed().await;
        assert!(got == close && !reason.is_empty() || is_large && got == 0, "{code}: {got} {reason}");
        eventually(code, async || server.rejected("signal", code).await >= 1.0).await;
    }
    witness.ping().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_over_the_bound_ends_the_connection_that_sent_it() {
    let server = TestServer::start().await;
    let (mut witness, _) = server.joined("r", "witness").await;
    let (mut mallory, _) = server.joined("r", "mallory").await;
    let bytes = sfu::config::Limits::default().sdp_bytes + 1;
    let offer = livekit::SessionDescription { sdp: "a".repeat(bytes), id: 1, ..Default::default() };
    mallory.send(Request::Offer(offer)).await;
    assert_eq!(mallory.closed().await.0, 1009);
    eventually("it is counted", async || {
        server.rejected("signal", "oversized-offer").await
            + server.rejected("signal", "oversized-frame").await
            >= 1.0
    })
    .await;
    witness.ping().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_no_token_can_carry_is_refused() {
    let server = TestServer::start().await;
    let mut claims = claims("r", "ada");
    claims.video.can_update_own_metadata = Some(true);
    let token = sign(&claims);
    let too_large = JoinRequest {
        metadata: "m".repeat(sfu::config::Limits::default().metadata_bytes),
        participant_attributes: [("k".into(), "v".into())].into(),
        ..Default::default()
    };
    // Around each of these the message to everybody else has more bytes than they have themselves.
    let many = (0..2500).map(|number| (number.to_string(), String::new())).collect();
    let too_many = JoinRequest { participant_attributes: many, ..Default::default() };
    let malformed = JoinRequest { metadata: "\u{1}".into(), ..Default::default() };
    for (request, code, times) in [
        (too_large, "metadata-too-large", 1.0),
        (too_many, "metadata-too-large", 2.0),
        (malformed, "metadata-malformed", 1.0),
    ] {
        let parameter = join_request::encode(&request, true);
        let (status, body) =
            server.connect(&token, &format!("&join_request={parameter}")).await.err().expect("refused");
        assert!(status == 400 && body.contains(code), "{status} {body}");
        assert_eq!(server.rejected("rtc", code).await, times);
    }
    let mut ada = server.connect(&token, "").await.expect("the token is good");
    ada.until(|message| matches!(message, Response::Join(_)).then_some(())).await;
    let update = livekit::UpdateParticipantMetadata {
        attributes: [("k".into(), "\0".into())].into(),
        request_id: 7,
        ..Default::default()
    };
    ada.send(Request::UpdateMetadata(update)).await;
    let response = ada
        .until(|message| match message {
            Response::RequestResponse(response) => Some(response),
            _ => None,
        })
        .await;
    assert_eq!(response.request_id, 7);
    assert_eq!(response.reason(), livekit::request_response::Reason::InvalidRequest);
    assert_eq!(server.rejected("signal", "metadata-malformed").await, 1.0);
}

/// Whatever a participant says of itself, its refreshed token opens the door again, in the query too, where
/// browsers have to put it.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_claims_fit_a_refreshed_token() {
    let mut settings = settings();
    settings.patience.refresh = Duration::from_millis(300);
    let server = TestServer::start_with(settings).await;
    let mut claims = claims(&"\u{1}".repeat(256), &"\u{2}".repeat(256));
    claims.name = "\"".repeat(256);
    claims.video.can_update_own_metadata = Some(true);
    // Short attributes cost most: six characters of JSON around each. So many of three bytes each and the rest as metadata
    // are as much as may be told of somebody.
    const ATTRIBUTES: usize = 1300;
    let limit = sfu::config::Limits::default().metadata_bytes;
    claims.metadata = "\"".repeat(limit - 3 * ATTRIBUTES);
    let letters = || (b' '..=b'~').map(char::from);
    let mut keys = letters().flat_map(|one| letters().map(move |two| format!("{one}{two}")));
    let attributes = (0..ATTRIBUTES).filter_map(|_| Some((keys.next()?, "\"".to_owned()))).collect();
    let request = JoinRequest { participant_attributes: attributes, ..Default::default() };
    let parameter = format!("&join_request={}", join_request::encode(&request, true));
    let mut ada = server.connect(&sign(&claims), &parameter).await.expect("it is within the bounds");
    let token = ada
        .until(|message| match message {
            Response::RefreshToken(token) => Some(token),
            _ => None,
        })
        .await;
    assert!(token.len() > 30_000, "{} bytes are the worst case", token.len());
    let answer = server.get(&format!("/rtc/v1/validate?access_token={token}{parameter}")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "success"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_unsupported_messages_are_ignored_and_counted() {
    let server = TestServer::start().await;
    let (mut ada, _) = server.joined("r", "ada").await;
    // Field 1000 of a future protocol, and a message without content.
    ada.send_raw(Message::Binary(vec![0xc2, 0x3e, 0x00].into())).await;
    ada.send_raw(Message::Binary(Vec::new().into())).await;
    ada.send(Request::Simulate(livekit::SimulateScenario::default())).await;
    ada.send(Request::Mute(livekit::MuteTrackRequest { sid: "TR_nothing".into(), muted: true })).await;
    ada.ping().await;
    assert_eq!(server.rejected("signal", "unknown-message").await, 2.0);
    assert_eq!(server.rejected("signal", "simulate-unsupported").await, 1.0);
    assert_eq!(server.rejected("signal", "mute-of-no-track").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_of_every_kind_leaves_the_session_alive_or_closes_it() {
    let server = TestServer::start().await;
    let (mut witness, _) = server.joined("r", "witness").await;
    let session = |sdp: &str| livekit::SessionDescription {
        r#type: "offer".into(),
        sdp: sdp.into(),
        id: 1,
        ..Default::default()
    };
    let wild = [
        Request::Offer(session("")),
        Request::Offer(session("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n")),
        Request::Offer(session(&"m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(20_000))),
        Request::Answer(session("x")),
        Request::Trickle(livekit::TrickleRequest { candidate_init: "{".into(), ..Default::default() }),
        Request::AddTrack(livekit::AddTrackRequest { cid: "c".repeat(100_000), ..Default::default() }),
        Request::Subscription(livekit::UpdateSubscription {
            track_sids: vec!["TR_".into(); 10_000],
            subscribe: true,
            ..Default::default()
        }),
        Request::UpdateMetadata(livekit::UpdateParticipantMetadata {
            metadata: "m".repeat(500_000),
            ..Default::default()
        }),
    ];
    for message in wild {
        let (mut mallory, _) = server.joined("r", "mallory").await;
        mallory.send(message).await;
        mallory.send(Request::Ping(1)).await;
        // Either the server goes on talking or it says goodbye; it does not hang.
        loop {
            match mallory.next().await {
                Ok(Response::Pong(_)) | Err(_) => break,
                Ok(_) => {}
            }
        }
        witness.ping().await;
    }
    assert_eq!(server.metric("konklave_core_panics_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_answers_no_ping_is_closed_and_one_that_only_listens_is_not() {
    let mut settings = settings();
    settings.patience.silence = Duration::from_secs(3);
    settings.patience.ping = Duration::from_millis(300);
    let server = TestServer::start_with(settings).await;
    // Nothing reads it, so nothing answers: as if its line were cut.
    let (deaf, join) = server.joined("r", "deaf").await;
    let (mut listening, _) = server.joined("r", "listening").await;
    // The library answers pings while somebody reads; twelve of them are longer than any silence allowed.
    let mut pings = 0;
    while pings < 12 {
        match tokio::time::timeout(support::PATIENCE, listening.socket.next()).await {
            Ok(Some(Ok(message))) => pings += usize::from(message.is_ping()),
            other => panic!("not kept after {pings} pings: {other:?}"),
        }
    }
    eventually("the cut line is found", async || server.rejected("signal", "half-open").await >= 1.0).await;
    // Its participant waits for the next connection meanwhile.
    let sid = join.participant.expect("a participant").sid;
    let wish = format!("&reconnect=1&sid={sid}");
    let mut back = server.connect(&token("r", "deaf"), &wish).await.expect("the token is good");
    assert!(matches!(back.next().await, Ok(Response::Reconnect(_))));
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_never_asks_is_closed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut settings = settings();
    settings.patience.head = Duration::from_millis(200);
    let server = TestServer::start_with(settings).await;
    for start in [&b""[..], b"GET / HTTP/1.1\r\nhost: x\r\nslow: "] {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("it listens");
        stream.write_all(start).await.expect("it takes a start");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(support::PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "half a request does not hold a connection for ever");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_from_one_address_are_bounded() {
    let mut settings = settings();
    settings.limits.connections_per_address = 5;
    let server = TestServer::start_with(settings).await;
    let mut held = Vec::new();
    for n in 0..5 {
        held.push(server.joined("r", &format!("p{n}")).await);
    }
    // The sixth connection is closed without an answer.
    assert_eq!(server.get("/").await.status, 0);
    drop(held);
    eventually("the connections are free again", async || server.get("/").await.status != 0).await;
    assert!(server.rejected("tcp", "too-many-connections").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_refreshed_with_the_current_metadata() {
    let mut settings = settings();
    settings.patience.refresh = Duration::from_millis(300);
    let server = TestServer::start_with(settings).await;
    let mut claims = claims("r", "ada");
    claims.video.can_update_own_metadata = Some(true);
    let mut ada = server.connect(&sign(&claims), "").await.expect("the token is good");
    ada.until(|message| matches!(message, Response::Join(_)).then_some(())).await;
    let update = livekit::UpdateParticipantMetadata { metadata: "new".into(), ..Default::default() };
    ada.send(Request::UpdateMetadata(update)).await;
    let mut keys = protocol::token::ApiKeys::new();
    keys.insert("devkey", "secret");
    ada.until(|message| match message {
        Response::RefreshToken(token) => {
            let fresh = keys.verify(&token, unix_now()).expect("it is good");
            assert_eq!((fresh.sub.as_str(), fresh.video.room.as_str()), ("ada", "r"));
            (fresh.metadata == "new").then_some(())
        }
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_connection_of_an_identity_wins() {
    let server = TestServer::start().await;
    let (mut older, _) = server.joined("r", "ada").await;
    let (mut newer, _) = server.joined("r", "ada").await;
    let reason = older
        .until(|message| match message {
            Response::Leave(leave) => Some(leave.reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, i32::from(livekit::DisconnectReason::DuplicateIdentity));
    newer.ping().await;
    eventually("one is left", async || server.server.directory().census().participants == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_every_client_hears_it() {
    let server = TestServer::start().await;
    let (mut ada, _) = server.joined("r", "ada").await;
    let (mut eve, _) = server.joined("s", "eve").await;
    let (_, ada_reason, eve_reason) = tokio::join!(
        server.server.shutdown(),
        ada.until(|message| match message {
            Response::Leave(leave) => Some(leave.reason),
            _ => None,
        }),
        eve.until(|message| match message {
            Response::Leave(leave) => Some(leave.reason),
            _ => None,
        }),
    );
    let shutdown = i32::from(livekit::DisconnectReason::ServerShutdown);
    assert_eq!((ada_reason, eve_reason), (shutdown, shutdown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_request_brings_metadata_only_where_the_token_allows() {
    let server = TestServer::start().await;
    let request = JoinRequest {
        metadata: "brought along".into(),
        client_info: Some(livekit::ClientInfo { address: "203.0.113.5".into(), ..Default::default() }),
        ..Default::default()
    };
    let parameter = format!("&join_request={}", join_request::encode(&request, true));
    for (allowed, metadata) in [(false, ""), (true, "brought along")] {
        let mut claims = claims("r", "ada");
        claims.video.can_update_own_metadata = Some(allowed);
        let mut ada = server.connect(&sign(&claims), &parameter).await.expect("the token is good");
        let own = ada
            .until(|message| match message {
                Response::Join(join) => join.participant,
                _ => None,
            })
            .await;
        assert_eq!(own.metadata, metadata);
        assert!(!format!("{:?}", own.encode_to_vec()).contains("203.0.113.5"));
    }
}

/// A connection that is dropped with something unread is reset, and then nobody hears why: browsers report an error instead.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_still_talking_hears_the_goodbye_and_may_answer_it() {
    let server = TestServer::start().await;
    for _ in 0..20 {
        let (mut ada, _) = server.joined("r", "ada").await;
        ada.send(Request::Leave(livekit::LeaveRequest::default())).await;
        for number in 0..10 {
            ada.send(Request::Ping(number)).await;
        }
        assert_eq!(ada.closed().await.0, 1000);
        // What follows is the end of the connection, not its reset.
        assert!(ada.socket.next().await.is_none());
    }
}

/// Clients close connections that they take for dead, and report an error where the answer is missing.
#[tokio::test(flavor = "multi_thread")]
async fn who_closes_a_connection_is_answered() {
    let server = TestServer::start().await;
    let (mut ada, _) = server.joined("r", "ada").await;
    let channel = format!("{}/api/v1/rooms/r/channel?access_token={}", server.ws(), token("r", "ada"));
    let (socket, _) = tokio_tungstenite::connect_async(channel).await.expect("the token is good");
    let mut channel = Signal { socket };
    for connection in [&mut ada, &mut channel] {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "ping timeout".into() };
        connection.send_raw(Message::Close(Some(frame))).await;
        assert_eq!(connection.closed().await, (1000, "ping timeout".into()));
        assert!(connection.socket.next().await.is_none());
    }
}
