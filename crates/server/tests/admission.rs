//! The admission API: who gets a token for which room, and what is said to who does not.

mod support;

use aws_lc_rs::hmac;
use protocol::token::ApiKeys;
use server::config::{Config, ServerUrl, Settings};
use support::{TestServer, claims, eventually, settings, sign, unix_now};

const IDENTITY: &str = "0123456789abcdefghjkmnpqrs";

/// The key of the admission API of a server with the secret `secret`.
fn admission_keys() -> ApiKeys {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
    let tag = hmac::sign(&secret, b"konklave join");
    let mut keys = ApiKeys::new();
    keys.insert("konklave", tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_join_opens_the_door() {
    let server = TestServer::start().await;
    let answer =
        server.join("Caf%C3%A9", &format!(r#"{{"identity":"{IDENTITY}","metadata":"sealed"}}"#)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let json = answer.json();
    assert_eq!(json["room"], "café", "names are folded");
    assert_eq!(json["identity"], IDENTITY);
    assert_eq!((&json["mode"], &json["running"]), (&"mls".into(), &false.into()));
    assert_eq!(json["url"], server.ws());

    let token = json["token"].as_str().expect("a token");
    let claims = admission_keys().verify(token, unix_now()).expect("signed by the key of the admission API");
    let mut keys = ApiKeys::new();
    keys.insert(claims.iss.clone(), "secret");
    assert!(keys.verify(token, unix_now()).is_err(), "and never with the operator's own secret");
    assert_eq!(
        (claims.sub.as_str(), claims.metadata.as_str(), claims.name.as_str()),
        (IDENTITY, "sealed", "")
    );
    assert!((590..=600).contains(&(claims.exp - unix_now())));

    let mut signal = server.connect(token, "").await.expect("it is good");
    signal
        .until(|message| match message {
            protocol::livekit::signal_response::Message::Join(join) => {
                let own = join.participant.expect("the participant itself");
                assert_eq!((own.identity.as_str(), own.metadata.as_str()), (IDENTITY, "sealed"));
                Some(())
            }
            _ => None,
        })
        .await;
    // the directory learns of a participant a moment after it is answered
    eventually("the participant is in", async || server.server.directory().census().participants == 1).await;
    let answer = server.join("CAF%C3%89", "{}").await;
    assert_eq!(answer.json()["running"], true, "the same room, spelled differently");
}

/// What `/join` tells of a room: what it is, and whether somebody is in it.
async fn told(server: &TestServer, room: &str) -> (String, bool) {
    let json = server.join(room, "{}").await.json();
    (json["mode"].as_str().expect("a mode").to_owned(), json["running"].as_bool().expect("running or not"))
}

/// The name in the token of somebody who tells the server theirs.
async fn name_in_token(server: &TestServer, room: &str) -> String {
    let json = server.join(room, r#"{"name":"Anna"}"#).await.json();
    let token = json["token"].as_str().expect("a token");
    admission_keys().verify(token, unix_now()).expect("it is good").name
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_a_room_settles_what_it_is() {
    let server = TestServer::start().await;
    let (_program, _) = server.joined("open", "recorder").await;
    eventually("the room runs", async || told(&server, "open").await.1).await;
    assert_eq!(told(&server, "open").await.0, "clear", "a token of a configured key opened it");
    let token =
        server.join("open", r#"{"name":"Ben"}"#).await.json()["token"].as_str().expect("a token").to_owned();
    let _guest = server.connect(&token, "").await.expect("everybody may come in");
    let mut again = admission_keys().verify(&token, unix_now()).expect("it is good");
    again.video.room = "open-again".into();
    let again = admission_keys().sign(&again).expect("claims");
    let _later = server.connect(&again, "").await.expect("as after the end of the room");
    eventually("the room runs", async || told(&server, "open-again").await.1).await;
    assert_eq!(told(&server, "open-again").await.0, "clear", "who was in without keys brings none");
    assert_eq!(name_in_token(&server, "open").await, "Anna", "there it is no secret");
    assert_eq!(name_in_token(&server, "shut").await, "", "and here it would be one");

    let token = server.join("shut", "{}").await.json()["token"].as_str().expect("a token").to_owned();
    let _person = server.connect(&token, "").await.expect("it is good");
    eventually("the room runs", async || told(&server, "shut").await.1).await;
    let (_program, _) = server.joined("shut", "recorder").await;
    eventually("both are in both", async || server.server.directory().census().participants == 5).await;
    assert_eq!(told(&server, "open").await, ("clear".into(), true));
    assert_eq!(told(&server, "shut").await, ("mls".into(), true), "whoever comes later changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_identity_the_server_makes_one() {
    let server = TestServer::start().await;
    let (one, two) = (server.join("r", "{}").await.json(), server.join("r", "{}").await.json());
    let identity = one["identity"].as_str().expect("an identity");
    assert_eq!(identity.len(), 26);
    assert_ne!(one["identity"], two["identity"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_present_identity_is_taken_until_it_leaves() {
    let server = TestServer::start().await;
    let body = format!(r#"{{"identity":"{IDENTITY}"}}"#);
    let token = server.join("r", &body).await.json()["token"].as_str().expect("a token").to_owned();
    let mut signal = server.connect(&token, "").await.expect("it is good");
    eventually("the participant is in", async || server.server.directory().census().participants == 1).await;

    let answer = server.join("r", &body).await;
    assert_eq!(answer.problem(), (409, "identity-taken".into()));
    assert!(answer.json().get("nonce").is_none(), "there is nothing yet that could prove an identity");
    assert_eq!(server.join("other", &body).await.status, 200, "another room");

    let leave = protocol::livekit::LeaveRequest::default();
    signal.send(protocol::livekit::signal_request::Message::Leave(leave)).await;
    eventually("the identity is free again", async || server.join("r", &body).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_admitted_is_refused_with_its_code() {
    let server = TestServer::start().await;
    for (room, code) in [
        ("_x", "reserved-room-name"),
        ("API", "reserved-room-name"),
        ("a%20b", "invalid-room-name"),
        ("%ff", "invalid-room-name"),
        ("x~short", "invalid-room-name"),
    ] {
        assert_eq!(server.join(room, "{}").await.problem(), (400, code.into()), "{room}");
    }
    let long = format!(r#"{{"metadata":"{}"}}"#, "x".repeat(513));
    for (body, status, code) in [
        (r#"{"identity":"Anna"}"#, 400, "invalid-identity"),
        (r#"{"identity":7}"#, 400, "malformed-request"),
        ("{", 400, "malformed-request"),
        (long.as_str(), 400, "metadata-too-large"),
    ] {
        // From a fresh server: wrong tries weigh on the address.
        let server = TestServer::start().await;
        assert_eq!(server.join("r", body).await.problem(), (status, code.into()), "{body}");
        assert!(server.rejected("join", code).await >= 1.0, "{code} is counted");
    }
    let huge = format!(r#"{{"metadata":"{}"}}"#, "x".repeat(100_000));
    let server = TestServer::start().await;
    assert_eq!(server.join("r", &huge).await.problem(), (413, "body-too-large".into()));
    let text = server.http("POST", "/api/v1/rooms/r/join", &[("content-type", "text/plain")], "{}").await;
    assert_eq!(text.problem(), (415, "unsupported-media-type".into()));
    assert_eq!(server.get("/api/v1/rooms/r/join").await.problem(), (405, "method-not-allowed".into()));
    assert_eq!(server.get("/api/v1/nothing").await.problem(), (404, "not-found".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_gets_in_and_hundreds_from_one_address_do_not() {
    let server = TestServer::start().await;
    for pupil in 0..40 {
        let answer = server.join("class", "{}").await;
        assert_eq!(answer.status, 200, "pupil {pupil}: {}", answer.body);
    }
    let mut refused = 0;
    for _ in 0..200 {
        let answer = server.join("class", "{}").await;
        if answer.status != 200 {
            assert_eq!(answer.problem(), (429, "rate-limited".into()));
            let wait: u64 =
                answer.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a number");
            assert!((1..=60).contains(&wait), "{wait}");
            refused += 1;
        }
    }
    assert!(refused >= 150, "{refused} refused");
    assert_eq!(server.rejected("join", "rate-limited").await, f64::from(refused));
    // Tokens of a configured key come from another server, which has its own door.
    let (mut signal, _) = server.joined("class", "teacher").await;
    signal.ping().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_configuration_the_server_signs_with_a_key_of_its_own() {
    let mut settings = settings();
    settings.keys = ApiKeys::new();
    let server = TestServer::start_with(settings).await;
    let token = server.join("r", "{}").await.json()["token"].as_str().expect("a token").to_owned();
    server.connect(&token, "").await.expect("its own token is good");
    let (status, _) = server.connect(&support::token("r", "x"), "").await.err().expect("devkey is unknown");
    assert_eq!(status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_to_connect_to_is_the_one_the_client_sees() {
    let server = TestServer::start().await;
    let ask = async |headers: &[(&str, &str)]| {
        let mut head = String::from("POST /api/v1/rooms/r/join HTTP/1.1\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("content-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
        support::raw(server.address, head.as_bytes()).await.json()["url"].clone()
    };
    assert_eq!(ask(&[("host", "meet.example.org:7880")]).await, "ws://meet.example.org:7880");
    let behind_tls = [("host", "meet.example.org"), ("origin", "https://meet.example.org")];
    assert_eq!(ask(&behind_tls).await, "wss://meet.example.org");
    let proxied = [("host", "127.0.0.1:7880"), ("origin", "https://meet.example.org")];
    assert_eq!(ask(&proxied).await, "wss://meet.example.org", "a proxy that asks under its own name");
    let odd = [("host", "meet.example.org"), ("origin", "https://a b\"<script>")];
    assert_eq!(ask(&odd).await, "ws://meet.example.org");
    assert_eq!(ask(&[("host", "meet.example.org"), ("origin", "null")]).await, "ws://meet.example.org");
    assert_eq!(ask(&[("host", "a b\"<script>")]).await, "ws://localhost");

    let mut settings = settings();
    settings.url = ServerUrl::parse("wss://configured.example");
    let server = TestServer::start_with(settings).await;
    assert_eq!(server.join("r", "{}").await.json()["url"], "wss://configured.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_room_says_so_before_anybody_connects() {
    let mut settings = settings();
    settings.limits.participants = 2;
    let server = TestServer::start_with(settings).await;
    let _held = (server.joined("r", "ada").await, server.joined("r", "ben").await);
    assert_eq!(server.join("r", "{}").await.problem(), (409, "full".into()));
    assert_eq!(server.join("other", "{}").await.status, 200);
    // A token made elsewhere does not help: the core says no.
    let mut late = server.connect(&support::token("r", "late"), "").await.expect("the token is good");
    let reason = late
        .until(|message| match message {
            protocol::livekit::signal_response::Message::Leave(leave) => Some(leave.reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, i32::from(protocol::livekit::DisconnectReason::JoinFailure));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_gets_in_after_a_restart_that_made_its_tokens_useless() {
    let server = TestServer::start().await;
    let mut expired = claims("class", "pupil");
    expired.exp = unix_now() - 3600;
    let mut forgotten = claims("class", "pupil");
    forgotten.iss = "foreign".into();
    for _ in 0..40 {
        for (useless, code) in [(&expired, "token-expired"), (&forgotten, "token-wrong-key")] {
            let (status, body) = server.connect(&sign(useless), "").await.err().expect("refused");
            assert!(status == 401 && body.contains(code), "{status} {body}");
        }
        assert_eq!(server.join("class", "{}").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_client_has_its_own_allowance() {
    let tries = async |server: &TestServer, client: &str| {
        let headers = [("content-type", "application/json"), ("x-forwarded-for", client)];
        let mut admitted = 0;
        for _ in 0..70 {
            admitted +=
                u32::from(server.http("POST", "/api/v1/rooms/r/join", &headers, "{}").await.status == 200);
        }
        admitted
    };
    let config =
        Config { workers: Some(1), trusted_proxies: vec!["127.0.0.0/8".into()], ..Default::default() };
    let args = server::cli::ServeArgs { dev: true, port: Some(0), ..Default::default() };
    let trusting = Settings::resolve(config, &args).expect("it makes sense");
    let server = TestServer::start_with(trusting).await;
    assert!(tries(&server, "192.0.2.1").await < 70, "one client is limited");
    assert!(tries(&server, "192.0.2.1, 192.0.2.2").await >= 60, "another is not");
    let server = TestServer::start().await;
    tries(&server, "192.0.2.1").await;
    assert!(tries(&server, "192.0.2.2").await < 20, "a stranger's word does not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_join_does_not_allow_reconnecting_without_end() {
    let server = TestServer::start().await;
    let body = format!(r#"{{"identity":"{IDENTITY}"}}"#);
    let token = server.join("r", &body).await.json()["token"].as_str().expect("a token").to_owned();
    let mut refused = 0;
    for _ in 0..15 {
        match server.connect(&token, "").await {
            Ok(mut signal) => {
                signal
                    .until(|message| {
                        matches!(message, protocol::livekit::signal_response::Message::Join(_)).then_some(())
                    })
                    .await
            }
            Err((status, body)) => {
                assert!(status == 429 && body.contains("connects-too-often"), "{status} {body}");
                refused += 1;
            }
        }
    }
    assert!((1..=5).contains(&refused), "{refused} of 15");
    let answer = server.get(&format!("/rtc/v1/validate?access_token={token}")).await;
    assert_eq!(answer.problem(), (429, "connects-too-often".into()), "browsers learn the reason here");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(server.rejected("rtc", "connects-too-often").await, f64::from(refused + 1));
    for _ in 0..15 {
        server.joined("r", "program").await;
    }
}
