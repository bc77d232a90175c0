//! One datagram on the WebRTC port of a peer that has proved nothing yet. Whoever does not know the password
//! gets no answer, changes nothing and is told apart the same way by demultiplexing and by the peer.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use sfu::batch::SendBatch;
use sfu::config::Config;
use sfu::peer::transport::{
    IceCredentials, PacketKind, Received, Shared, Transport, TransportEvent, classify, is_stun,
    stun_local_ufrag,
};

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Longest connectivity check that is looked at.
const MAX_MESSAGE: usize = 1280;

static SHARED: LazyLock<Arc<Shared>> =
    LazyLock::new(|| Arc::new(Shared::new(&Config::default()).expect("a certificate can be made")));

fuzz_target!(|data: &[u8]| {
    let kind = classify(data);
    let ufrag = stun_local_ufrag(data);
    assert!(!is_stun(data) || kind == PacketKind::Stun);
    if let Some(ufrag) = ufrag {
        assert!(is_stun(data) && data.len() <= MAX_MESSAGE);
        assert!(!ufrag.is_empty() && !ufrag.contains(&b':'));
    }
    unauthenticated(data);
    if let Some(known) = ufrag.and_then(|ufrag| std::str::from_utf8(ufrag).ok()) {
        known_fragment(data, known);
    }
});

fn transport(ufrag: &str) -> (Transport, Instant) {
    let local = IceCredentials { ufrag: ufrag.to_owned(), pwd: "nobody+knows+this+password".to_owned() };
    let now = Instant::now();
    (Transport::new(&SHARED, local, now), now)
}

fn unauthenticated(data: &[u8]) {
    known_fragment(data, "aFragmentOfOurs");
}

/// Also when the fragment is right, nothing passes without the password.
fn known_fragment(data: &[u8], ufrag: &str) {
    let (mut transport, now) = transport(ufrag);
    let source = SocketAddr::from(([198, 51, 100, 7], 40_000));
    let mut payload = data.to_vec();
    match transport.handle_datagram(now, source, SERVER, &mut payload) {
        Err(error) => assert!(!error.code().is_empty() && !error.layer().is_empty()),
        Ok(received) => assert_eq!(received, Received::Nothing, "nobody has keys"),
    }
    let mut batch = SendBatch::new();
    transport.poll_transmit(now, &mut batch);
    assert!(batch.is_empty(), "an answer without a password");
    assert_eq!(transport.poll_event(), None::<TransportEvent>);
    assert!(!transport.is_connected());
}
