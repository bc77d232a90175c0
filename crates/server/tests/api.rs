//! LiveKit's server API through the running server, over HTTP, with people in the rooms.

mod support;

use client::media::{Kind, SyntheticAudio};
use client::{Client, Options};
use protocol::livekit::{self, signal_response::Message};
use protocol::prost::Message as _;
use protocol::token::{RoomConfig, VideoGrants};
use serde_json::{Value, json};
use support::{Answer, PATIENCE, Signal, TestServer, claims, eventually, raw, sign, token};

fn admin(grants: VideoGrants) -> String {
    sign(&protocol::token::Claims { video: grants, ..claims("", "") })
}

/// A token that may do everything, in one room.
fn everything(room: &str) -> String {
    admin(VideoGrants {
        room: room.into(),
        room_create: true,
        room_list: true,
        room_admin: true,
        destination_room: "other".into(),
        ..Default::default()
    })
}

async fn post(server: &TestServer, token: &str, method: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    server.http("POST", &format!("/twirp/livekit.RoomService/{method}"), &headers, body).await
}

/// Calls a method that has to succeed.
async fn call(server: &TestServer, method: &str, body: Value) -> Value {
    let room = body["room"].as_str().unwrap_or_default();
    let answer = post(server, &everything(room), method, &body.to_string()).await;
    assert_eq!(answer.status, 200, "{method}: {}", answer.body);
    answer.json()
}

/// Calls a method that has to be refused; status, Twirp's code and ours.
async fn refused(server: &TestServer, method: &str, body: Value) -> (u16, String, String) {
    let room = body["room"].as_str().unwrap_or_default();
    refusal(&post(server, &everything(room), method, &body.to_string()).await)
}

fn refusal(answer: &Answer) -> (u16, String, String) {
    let json = answer.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (answer.status, text(&json["code"]), text(&json["meta"]["reason"]))
}

fn is(refusal: (u16, String, String), status: u16, code: &str, reason: &str) {
    assert_eq!(refusal, (status, code.to_owned(), reason.to_owned()));
}

async fn enter(server: &TestServer, room: &str, identity: &str) -> Client {
    let client =
        Client::connect(&server.ws(), &token(room, identity), Options::default()).await.expect("joins");
    client.wait_connected(PATIENCE).await.expect("media and data connect");
    client
}

/// What is told next about somebody, as far as `holds`.
async fn told(signal: &mut Signal, identity: &str, holds: impl Fn(&livekit::ParticipantInfo) -> bool) {
    signal
        .until(|message| match message {
            Message::Update(update) => {
                update.participants.iter().any(|info| info.identity == identity && holds(info)).then_some(())
            }
            _ => None,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_exists_from_its_creation_to_its_deletion() {
    let server = TestServer::start().await;
    let wanted =
        json!({"name": "r", "empty_timeout": 60, "maxParticipants": 2, "metadata": "m", "agents": []});
    let room = call(&server, "CreateRoom", wanted).await;
    assert_eq!(
        (&room["name"], &room["emptyTimeout"], &room["departureTimeout"]),
        (&json!("r"), &json!(60), &json!(20))
    );
    let again = call(&server, "CreateRoom", json!({"name": "r"})).await;
    assert_eq!((&again["sid"], &again["metadata"]), (&room["sid"], &json!("m")), "it is the same room");
    let told = server.join("r", "{}").await.json();
    assert_eq!(
        (&told["mode"], &told["running"]),
        (&json!("clear"), &json!(false)),
        "it was opened without keys"
    );
    call(&server, "CreateRoom", json!({"name": "s"})).await;
    let rooms = call(&server, "ListRooms", json!({})).await;
    assert_eq!(rooms["rooms"].as_array().map(Vec::len), Some(2), "on whatever worker they are");
    let rooms = call(&server, "ListRooms", json!({"names": ["s", "unknown"]})).await;
    assert_eq!(rooms["rooms"][0]["name"], "s");
    let (mut ada, join) = server.joined("r", "ada").await;
    assert_eq!(join.room.map(|room| (room.metadata, room.max_participants)), Some(("m".into(), 2)));
    call(&server, "DeleteRoom", json!({"room": "r"})).await;
    let leave = ada
        .until(|message| match message {
            Message::Leave(leave) => Some(leave),
            _ => None,
        })
        .await;
    assert_eq!(leave.reason(), livekit::DisconnectReason::RoomDeleted);
    eventually("the room is forgotten", async || server.join("r", "{}").await.json()["mode"] == "mls").await;
    is(refused(&server, "DeleteRoom", json!({"room": "r"})).await, 404, "not_found", "unknown-room");
}

#[tokio::test(flavor = "multi_thread")]
async fn protobuf_is_answered_in_protobuf() {
    let server = TestServer::start().await;
    let body = livekit::CreateRoomRequest { name: "r".into(), ..Default::default() }.encode_to_vec();
    let mut request = format!(
        "POST /twirp/livekit.RoomService/CreateRoom HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/protobuf\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        everything("r"),
        body.len()
    )
    .into_bytes();
    request.extend(body);
    let answer = raw(server.address, &request).await;
    assert_eq!(answer.header("content-type"), Some("application/protobuf"));
    let room = livekit::Room::decode(answer.bytes.as_slice()).expect("a room");
    assert_eq!((room.name.as_str(), room.empty_timeout), ("r", 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_or_not_right_is_refused_and_counted() {
    let server = TestServer::start().await;
    let (_ada, _) = server.joined("r", "ada").await;
    let participant = token("r", "ben");
    for method in
        ["CreateRoom", "ListRooms", "DeleteRoom", "ListParticipants", "RemoveParticipant", "SendData"]
    {
        let body = r#"{"room":"r","identity":"ada","name":"n"}"#;
        let answer = post(&server, &participant, method, body).await;
        is(refusal(&answer), 403, "permission_denied", "grant-missing");
    }
    let other = everything("elsewhere");
    let answer = post(&server, &other, "ListParticipants", r#"{"room":"r"}"#).await;
    is(refusal(&answer), 403, "permission_denied", "grant-missing");
    let answer = post(&server, "x.y.z", "ListRooms", "{}").await;
    is(refusal(&answer), 401, "unauthenticated", "token-malformed");
    let good = everything("r");
    is(refusal(&post(&server, &good, "Nothing", "{}").await), 404, "bad_route", "unknown-method");
    is(refusal(&post(&server, &good, "ListRooms", "{").await), 400, "malformed", "malformed-request");
    let large = format!(r#"{{"name":"{}"}}"#, "n".repeat(300 << 10));
    is(
        refusal(&post(&server, &good, "CreateRoom", &large).await),
        429,
        "resource_exhausted",
        "body-too-large",
    );
    let room = |more: Value| {
        let mut body = json!({"room": "r", "identity": "ada"});
        body.as_object_mut().expect("it is one").extend(more.as_object().cloned().unwrap_or_default());
        body
    };
    let foreign = room(json!({"trackSid": "TR_aaaaaaaaaaaa", "muted": true}));
    is(refused(&server, "MutePublishedTrack", foreign).await, 404, "not_found", "unknown-track");
    let foreign = room(json!({"trackSids": ["TR_aaaaaaaaaaaa"]}));
    is(refused(&server, "UpdateSubscriptions", foreign).await, 404, "not_found", "unknown-track");
    let nobody = room(json!({"identity": "nobody"}));
    is(refused(&server, "GetParticipant", nobody).await, 404, "not_found", "unknown-participant");
    let large = room(json!({"metadata": "m".repeat(9000)}));
    is(refused(&server, "UpdateParticipant", large).await, 400, "invalid_argument", "text-too-large");
    let control = room(json!({"attributes": {"a": "\u{1}"}}));
    is(refused(&server, "UpdateParticipant", control).await, 400, "invalid_argument", "text-malformed");
    is(
        refused(&server, "ListParticipants", json!({"room": "unknown"})).await,
        404,
        "not_found",
        "unknown-room",
    );
    is(
        refused(&server, "ForwardParticipant", room(json!({}))).await,
        501,
        "unimplemented",
        "forward-unsupported",
    );
    assert_eq!(server.rejected("twirp", "unknown-track").await, 2.0);
    let still = call(&server, "GetParticipant", room(json!({}))).await;
    assert_eq!(still["identity"], "ada", "and nobody noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_slowed_down_and_good_ones_are_not() {
    let server = TestServer::start().await;
    let mut last = (0, String::new(), String::new());
    for _ in 0..30 {
        last = refusal(&post(&server, "x.y.z", "ListRooms", "{}").await);
    }
    is(last, 429, "resource_exhausted", "rate-limited");
    call(&server, "ListRooms", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_participant_is_told_to_everybody_and_gets_a_token_that_says_so() {
    let server = TestServer::start().await;
    let (mut ada, _) = server.joined("r", "ada").await;
    let (mut ben, _) = server.joined("r", "ben").await;
    let change = json!({"room": "r", "identity": "ada", "name": "Ada", "metadata": "new", "attributes": {"a": "b"},
        "permission": {"canSubscribe": true, "canPublish": false}});
    let info = call(&server, "UpdateParticipant", change).await;
    assert_eq!((&info["name"], &info["attributes"]["a"]), (&json!("Ada"), &json!("b")));
    told(&mut ben, "ada", |info| {
        info.metadata == "new" && !info.permission.as_ref().expect("one").can_publish
    })
    .await;
    let mut keys = protocol::token::ApiKeys::new();
    keys.insert("devkey", "secret");
    let claims = ada
        .until(|message| match message {
            Message::RefreshToken(token) => {
                let claims = keys.verify(&token, support::unix_now()).expect("a good token");
                (!claims.name.is_empty()).then_some(claims) // the first says what it joined with
            }
            _ => None,
        })
        .await;
    assert_eq!(
        (claims.name.as_str(), claims.metadata.as_str(), claims.video.can_publish),
        ("Ada", "new", Some(false))
    );
    call(&server, "RemoveParticipant", json!({"room": "r", "identity": "ada"})).await;
    let leave = ada
        .until(|message| match message {
            Message::Leave(leave) => Some(leave),
            _ => None,
        })
        .await;
    assert_eq!(leave.reason(), livekit::DisconnectReason::ParticipantRemoved);
    assert_eq!(leave.action(), livekit::leave_request::Action::Disconnect);
    told(&mut ben, "ada", |info| info.state() == livekit::participant_info::State::Disconnected).await;
    call(&server, "UpdateRoomMetadata", json!({"room": "r", "metadata": "of the room"})).await;
    let room = ben
        .until(|message| match message {
            Message::RoomUpdate(update) => update.room,
            _ => None,
        })
        .await;
    assert_eq!(room.metadata, "of the room");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_hidden_recorder_and_everybody_hears_of_the_recording() {
    let server = TestServer::start().await;
    let (mut ada, _) = server.joined("r", "ada").await;
    let mut recorder = claims("r", "recorder");
    (recorder.video.hidden, recorder.video.recorder) = (true, true);
    let recording = server.connect(&sign(&recorder), "").await.expect("the token is good");
    let mut seen = false;
    let room = ada
        .until(|message| match message {
            Message::RoomUpdate(update) => update.room,
            Message::Update(update) => {
                seen |= update.participants.iter().any(|info| info.identity == "recorder");
                None
            }
            _ => None,
        })
        .await;
    assert!(room.active_recording && !seen);
    let all = call(&server, "ListParticipants", json!({"room": "r"})).await;
    assert_eq!(all["participants"].as_array().map(Vec::len), Some(2), "the operator sees it");
    let (_ben, join) = server.joined("r", "ben").await;
    assert!(join.room.is_some_and(|room| room.active_recording));
    assert!(join.other_participants.iter().all(|info| info.identity != "recorder"));
    drop(recording);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_as_the_token_that_started_it_says() {
    let server = TestServer::start().await;
    let config =
        RoomConfig { max_participants: 1, empty_timeout: 7, metadata: "m".into(), ..Default::default() };
    let first = sign(&protocol::token::Claims { room_config: Some(config), ..claims("r", "ada") });
    let mut ada = server.connect(&first, "").await.expect("the token is good");
    let room = ada
        .until(|message| match message {
            Message::Join(join) => join.room,
            _ => None,
        })
        .await;
    assert_eq!((room.max_participants, room.empty_timeout, room.metadata.as_str()), (1, 7, "m"));
    let mut ben = server.connect(&token("r", "ben"), "").await.expect("the token is good");
    let leave = ben
        .until(|message| match message {
            Message::Leave(leave) => Some(leave),
            _ => None,
        })
        .await;
    assert_eq!(leave.reason(), livekit::DisconnectReason::JoinFailure);
    assert_eq!(server.rejected("room", "full").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_is_muted_for_everybody_and_only_its_owner_unmutes_it() {
    let server = TestServer::start().await;
    let (ada, ben) = (enter(&server, "r", "ada").await, enter(&server, "r", "ben").await);
    let sid = ada.publish_audio(SyntheticAudio::new(80)).await.expect("a microphone");
    ben.wait_until("sound", PATIENCE, |state| {
        state.subscription_to("ada", Kind::Audio).is_some_and(|track| track.packets() > 10)
    })
    .await
    .expect("it comes");
    let mute = json!({"room": "r", "identity": "ada", "trackSid": sid, "muted": true});
    assert_eq!(call(&server, "MutePublishedTrack", mute).await["track"]["muted"], true);
    ben.wait_until("a muted track", PATIENCE, |state| {
        state.track_of("ada", Kind::Audio).is_some_and(|track| track.muted)
    })
    .await
    .expect("it is told");
    let unmute = json!({"room": "r", "identity": "ada", "trackSid": sid, "muted": false});
    is(
        refused(&server, "MutePublishedTrack", unmute).await,
        412,
        "failed_precondition",
        "unmute-not-allowed",
    );
    let forbidden = json!({"room": "r", "identity": "ada", "permission": {"canSubscribe": true}});
    call(&server, "UpdateParticipant", forbidden).await;
    ben.wait_until("no track", PATIENCE, |state| state.track_of("ada", Kind::Audio).is_none())
        .await
        .expect("it is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_subscribe_any_more_gets_nothing_until_it_may_again() {
    let server = TestServer::start().await;
    let (ada, ben) = (enter(&server, "r", "ada").await, enter(&server, "r", "ben").await);
    ada.publish_audio(SyntheticAudio::new(80)).await.expect("a microphone");
    let packets = |state: &client::ClientState| {
        state.subscription_to("ada", Kind::Audio).map_or(0, client::Subscribed::packets)
    };
    ben.wait_until("sound", PATIENCE, |state| packets(state) > 10).await.expect("it comes");
    let change = |may: bool| json!({"room": "r", "identity": "ben", "permission": {"canSubscribe": may, "canPublish": true}});
    call(&server, "UpdateParticipant", change(false)).await;
    ben.wait_until("told", PATIENCE, |state| {
        state.local.permission.as_ref().is_some_and(|permission| !permission.can_subscribe)
    })
    .await
    .expect("it is told");
    let before = ben.with_state(packets);
    call(&server, "UpdateParticipant", change(true)).await;
    ben.wait_until("sound again", PATIENCE, |state| packets(state) > 0 && packets(state) != before)
        .await
        .expect("it comes back");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_the_server_reaches_those_it_is_for() {
    let server = TestServer::start().await;
    let (ada, ben) = (enter(&server, "r", "ada").await, enter(&server, "r", "ben").await);
    let hello = json!({"room": "r", "data": "aGVsbG8=", "topic": "t", "destinationIdentities": ["ada"]});
    call(&server, "SendData", hello).await;
    call(&server, "SendData", json!({"room": "r", "data": "YWxs"})).await;
    let payloads = |state: &client::ClientState| -> Vec<Vec<u8>> {
        state.data.iter().filter_map(|data| data.payload().map(<[u8]>::to_vec)).collect()
    };
    ada.wait_until("both", PATIENCE, |state| payloads(state) == [b"hello".to_vec(), b"all".to_vec()])
        .await
        .expect("they come");
    ben.wait_until("one", PATIENCE, |state| payloads(state) == [b"all".to_vec()]).await.expect("it comes");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_moved_gets_a_token_for_the_other_room() {
    let server = TestServer::start().await;
    let (mut ada, _) = server.joined("r", "ada").await;
    let (_ben, _) = server.joined("other", "ben").await;
    call(&server, "MoveParticipant", json!({"room": "r", "identity": "ada", "destinationRoom": "other"}))
        .await;
    let moved = ada
        .until(|message| match message {
            Message::RoomMoved(moved) => Some(moved),
            _ => None,
        })
        .await;
    assert_eq!(moved.room.map(|room| room.name).as_deref(), Some("other"));
    assert_eq!(moved.other_participants.len(), 1);
    let leave = ada
        .until(|message| match message {
            Message::Leave(leave) => Some(leave),
            _ => None,
        })
        .await;
    assert_eq!(leave.action(), livekit::leave_request::Action::Reconnect);
    let mut again = server.connect(&moved.token, "").await.expect("the token is good");
    let room = again
        .until(|message| match message {
            Message::Join(join) => join.room,
            _ => None,
        })
        .await;
    assert_eq!(room.name, "other");
    let (_other, _) = server.joined("r", "ben").await;
    let taken = json!({"room": "r", "identity": "ben", "destinationRoom": "other"});
    is(refused(&server, "MoveParticipant", taken).await, 409, "already_exists", "identity-taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_of_a_participant_is_called_and_answers() {
    use livekit::data_packet::Value as Content;
    let server = TestServer::start().await;
    let ada = enter(&server, "r", "ada").await;
    let answering = async {
        let request = ada
            .wait_for("a call", PATIENCE, |state| {
                state.data.iter().find_map(|data| match &data.packet.value {
                    Some(Content::RpcRequest(request)) => Some(request.clone()),
                    _ => None,
                })
            })
            .await
            .expect("it comes");
        assert_eq!((request.method.as_str(), request.payload.as_str()), ("greet", "hi"));
        let value = livekit::rpc_response::Value::Payload("hello".into());
        let response = livekit::RpcResponse { request_id: request.id, value: Some(value) };
        let packet =
            livekit::DataPacket { value: Some(Content::RpcResponse(response)), ..Default::default() };
        ada.send_data_packet(packet, true).await.expect("it is sent");
    };
    let request = json!({"room": "r", "destinationIdentity": "ada", "method": "greet", "payload": "hi"});
    let (answer, ()) = tokio::join!(call(&server, "PerformRpc", request), answering);
    assert_eq!(answer["payload"], "hello");
    let deaf = json!({"room": "r", "destinationIdentity": "ada", "method": "x", "responseTimeoutMs": 1});
    is(refused(&server, "PerformRpc", deaf).await, 408, "deadline_exceeded", "no-answer");
}
