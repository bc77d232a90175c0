//! Webhooks: what a receiver gets, in which order, and how it knows whom it is from.

mod support;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use client::{Client, Options};
use server::config::WebhookConfig;
use support::{PATIENCE, TestServer, settings, token, unix_now};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Answers one request with a status; its head in lower case, and its body.
async fn receive(listener: &TcpListener, status: u16) -> (String, String) {
    let (mut stream, _) =
        timeout(PATIENCE, listener.accept()).await.expect("a delivery comes").expect("it does");
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("it is sent").expect("it does");
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
            .unwrap_or(0);
        if body.len() >= length {
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("it listens");
            return (head.to_owned(), body.to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_is_told_in_order_and_signed_and_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
    let mut settings = settings();
    settings.webhook = WebhookConfig { urls: vec![url], api_key: "devkey".into() };
    let server = TestServer::start_with(settings).await;
    let ada = Client::connect(&server.ws(), &token("r", "ada"), Options::default()).await.expect("joins");
    ada.wait_connected(PATIENCE).await.expect("it connects");
    ada.leave().await;
    let mut events = Vec::new();
    receive(&listener, 503).await; // comes again
    for _ in 0..3 {
        let (head, body) = receive(&listener, 200).await;
        assert!(head.contains("application/webhook+json"), "{head}");
        let token = head.lines().find_map(|line| line.strip_prefix("authorization: ")).expect("it is signed");
        let mut keys = protocol::token::ApiKeys::new();
        keys.insert("devkey", "secret");
        let claims = keys.verify(token, unix_now()).expect("by the key");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
        assert_eq!(claims.sha256, STANDARD.encode(digest));
        assert_ne!(claims.sha256, URL_SAFE_NO_PAD.encode(digest));
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(json["room"]["name"], "r");
        let who = json["participant"]["identity"].as_str().unwrap_or_default().to_owned();
        events.push((json["event"].as_str().unwrap_or_default().to_owned(), who));
    }
    let expected = [("room_started", ""), ("participant_joined", "ada"), ("participant_left", "ada")];
    assert_eq!(events, expected.map(|(event, who)| (event.to_owned(), who.to_owned())));
}
