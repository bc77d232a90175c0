//! The media port: garbage on it, and a second server that wants it.

mod support;

use std::net::UdpSocket;

use server::{Server, StartError};
use support::{TestServer, eventually, settings};

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_counted_and_costs_nobody_anything() {
    let server = TestServer::start().await;
    let (mut witness, _) = server.joined("r", "witness").await;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    // A binding request (RFC 8489 §5) whose USERNAME names each possible worker, and one without USERNAME.
    let stun = |username: &[u8]| {
        let padded = username.len().next_multiple_of(4);
        let mut message = vec![0, 1];
        message.extend(((4 + padded) as u16).to_be_bytes());
        message.extend([0x21, 0x12, 0xa4, 0x42]);
        message.extend([7; 12]);
        message.extend([0, 6]);
        message.extend((username.len() as u16).to_be_bytes());
        message.extend(username);
        message.resize(20 + 4 + padded, 0);
        message
    };
    let mut datagrams: Vec<Vec<u8>> = vec![vec![0], vec![0x80; 1200], vec![22; 60], vec![0xff; 1500]];
    datagrams.extend((b'a'..=b'z').map(|worker| stun(&[worker, b'x', b':', b'y'])));
    datagrams.push(stun(b""));
    for length in 1..60 {
        datagrams.push(stun(b"axxx:yyyy")[..length.min(33)].to_vec());
    }
    let mut sent = 0.0;
    for _ in 0..5 {
        for datagram in &datagrams {
            socket.send_to(datagram, server.address).expect("loopback");
            sent += 1.0;
        }
        witness.ping().await;
    }
    eventually("everything was received", async || {
        server.metric("konklave_datagrams_received_total").await >= sent
    })
    .await;
    assert_eq!(server.metric("konklave_core_panics_total").await, 0.0);
    assert_eq!(server.metric("konklave_datagrams_sent_total").await, 0.0, "nothing answers a stranger");
    let text = support::raw(server.server.metrics_address(), b"GET /metrics HTTP/1.0\r\n\r\n").await.body;
    let rejected: f64 = text
        .lines()
        .filter(|line| line.starts_with("konklave_rejected_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert!(rejected >= sent, "{rejected} of {sent} are counted:\n{text}");
    witness.ping().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_port_is_turned_away_in_words() {
    let first = TestServer::start().await;
    let mut settings = settings();
    settings.port = first.address.port();
    let error = Server::start(settings).await.expect_err("the port is taken");
    assert!(matches!(error, StartError::Bind(_)));
    assert!(error.to_string().contains("already listens"), "{error}");
    first.joined("r", "ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_free_again_after_the_server_stopped() {
    let first = TestServer::start().await;
    let mut settings = settings();
    settings.port = first.address.port();
    first.server.shutdown().await;
    let second = TestServer::start_with(settings).await;
    second.joined("r", "ada").await;
}
