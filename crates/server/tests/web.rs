//! What a browser gets: the page under every room's address, strict headers, a description of the API.

mod support;

use support::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_strict_headers() {
    let server = TestServer::start().await;
    for path in ["/", "/some-room", "/_/missing.js", "/api/v1/openapi.json", "/rtc/v1/validate"] {
        let answer = server.get(path).await;
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none';"), "{path}: {policy}");
        // Compiles WebAssembly, not text.
        let (before, after) = policy.split_once("'wasm-unsafe-eval'").expect("WebAssembly may be compiled");
        let policy = format!("{before}{after}");
        assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"), "{path}");
        assert!(answer.header("permissions-policy").is_some_and(|value| value.contains("camera=(self)")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_may_connect_to_the_configured_address() {
    let mut settings = support::settings();
    settings.url = server::config::ServerUrl::parse("wss://media.example.org/meet");
    let server = TestServer::start_with(settings).await;
    let answer = server.get("/").await;
    let policy = answer.header("content-security-policy").expect("a policy");
    let connect = policy.split("; ").find(|part| part.starts_with("connect-src ")).expect("it is there");
    assert_eq!(connect, "connect-src 'self' wss://media.example.org https://media.example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served_is_counted() {
    let server = TestServer::start().await;
    for (method, path, layer, code) in [
        ("GET", "/_/missing.js", "http", "not-found"),
        ("POST", "/some-room", "http", "method-not-allowed"),
        ("GET", "/api/v1/rooms/r/join", "http", "method-not-allowed"),
        ("GET", "/rtc", "rtc", "token-missing"),
        ("GET", "/rtc/validate", "rtc", "token-missing"),
    ] {
        let before = server.rejected(layer, code).await;
        assert_eq!(server.http(method, path, &[], "").await.problem().1, code);
        assert_eq!(server.rejected(layer, code).await, before + 1.0, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_not_merely_malformed() {
    let server = TestServer::start().await;
    let long = "x".repeat(70_000);
    assert_eq!(server.get(&format!("/{long}")).await.status, 414);
    assert_eq!(server.http("GET", "/", &[("a", &long), ("b", &long), ("c", &long)], "").await.status, 431);
    // Counted once the connection is gone, which is after the answer.
    support::eventually("both are counted", async || server.rejected("http", "head-too-large").await == 2.0)
        .await;
    support::raw(server.address, b"nonsense\r\n\r\n").await;
    support::eventually("it is counted", async || server.rejected("http", "malformed-http").await == 1.0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_and_never_reads_loses_its_connection() {
    use tokio::io::AsyncWriteExt;
    let mut settings = support::settings();
    settings.patience.write = std::time::Duration::from_millis(300);
    let server = TestServer::start_with(settings).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("it listens");
    let asking = tokio::spawn(async move {
        // Until the connection is gone; the server stops reading when its answers are stuck.
        while stream.write_all(b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok() {}
    });
    support::eventually("the connection is given up", async || {
        server.rejected("http", "write-timeout").await == 1.0
    })
    .await;
    asking.await.expect("writing fails");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_s_address_is_the_page_and_never_a_redirect() {
    let server = TestServer::start().await;
    let page = server.get("/").await;
    // Without a built web client the page says what to do, with 503.
    for room in ["/standup", "/STANDUP", "/caf%C3%A9", "/standup~4h8rm2vxq0tn7wz5c3gd", "/%E4%BC%9A"] {
        let answer = server.get(room).await;
        assert_eq!((answer.status, &answer.body), (page.status, &page.body), "{room}");
        assert_eq!(answer.header("location"), None);
    }
    for other in [
        "/api",
        "/rtc/",
        "/twirp",
        "/privacy",
        "/_x",
        "/.well-known",
        "/a/b",
        "/favicon.ico",
        "/%ff",
        "/a%2Fb",
    ] {
        assert_eq!(server.get(other).await.status, 404, "{other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit_clients_may_ask_from_other_origins() {
    let server = TestServer::start().await;
    let head = server.http("HEAD", "/", &[], "").await;
    assert_eq!(head.status, server.get("/").await.status);
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    let validate = server.get("/rtc/v1/validate").await;
    assert_eq!(validate.header("access-control-allow-origin"), Some("*"));
    let preflight = server.http("OPTIONS", "/rtc/v1/validate", &[], "").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization, content-type"));
    assert_eq!(
        server.get("/").await.header("access-control-allow-origin"),
        None,
        "the page is not for others"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hashed_files_are_kept_for_ever_and_compressed() {
    let server = TestServer::start().await;
    let page = server.get("/").await;
    let Some(script) = page.body.split('"').find(|text| text.starts_with("/_/") && text.ends_with(".js"))
    else {
        assert_eq!(page.status, 503, "only a binary without web client has no script");
        return;
    };
    let plain = server.get(script).await;
    assert_eq!(plain.status, 200);
    assert_eq!(plain.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert!(plain.header("cache-control").is_some_and(|value| value.contains("immutable")));
    for encoding in ["br", "gzip"] {
        let answer = server.http("GET", script, &[("accept-encoding", encoding)], "").await;
        assert_eq!(answer.header("content-encoding"), Some(encoding));
        assert!(answer.bytes.len() * 2 < plain.bytes.len(), "{encoding}: {} bytes", answer.bytes.len());
    }
    assert_eq!(server.get(&format!("{script}.br")).await.status, 404, "twins have no address of their own");

    let tag = page.header("etag").expect("a tag").to_owned();
    assert_eq!(page.header("cache-control"), Some("no-cache"), "the page itself is asked for again");
    let again = server.http("GET", "/", &[("if-none-match", &tag)], "").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_the_api_is_the_committed_one() {
    let server = TestServer::start().await;
    let served = server.get("/api/v1/openapi.json").await;
    let committed = include_str!("../../../web/openapi.json");
    assert!(served.body == committed, "run: cargo run -p server -- openapi > web/openapi.json");

    let description = served.json();
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let join = &description["paths"]["/api/v1/rooms/{room}/join"]["post"];
    assert_eq!(join["operationId"], "join_room");
    assert!(join["responses"]["429"]["headers"]["Retry-After"].is_object());
    let codes: Vec<_> = protocol::problem::Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(description["components"]["schemas"]["Code"]["enum"], serde_json::json!(codes));
    // Every reference leads somewhere.
    let text = &served.body;
    for reference in text.split("\"$ref\": \"").skip(1).filter_map(|rest| rest.split('"').next()) {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
}
