//! How transports connect, stay connected, move and end.

use std::net::SocketAddr;
use std::time::Duration;

use str0m::Candidate;
use str0m::ice::IceCreds;

use super::wire::{World, remote_of, seeded};
use crate::peer::sdp::{HashAlgorithm, Setup};
use crate::peer::transport::*;

#[test]
fn a_client_connects_within_a_few_round_trips() {
    let mut world = World::new();
    world.run_until("connected", Duration::from_secs(2), |world| world.server.is_connected());
    let took = world.now - world.start;
    assert!(took < Duration::from_millis(200), "took {took:?}");
    assert_eq!(world.server.profile(), Some(SrtpProfile::AeadAes256Gcm));
    let address = world.client_address;
    // Every check says where it came from; what comes of it is said once.
    assert_eq!(world.server_events.first(), Some(&TransportEvent::AddressValidated(address)));
    let changes = world.server_events.iter().filter(|e| **e != TransportEvent::AddressValidated(address));
    let events: Vec<_> = changes.take(2).cloned().collect();
    assert_eq!(events, [TransportEvent::SelectedAddress(address), TransportEvent::Connected]);
    world.run_until("the client too", Duration::from_secs(2), |world| world.client.is_connected());
    assert_eq!(world.errors, []);
}

#[test]
fn a_client_connects_though_a_fifth_of_all_datagrams_is_lost() {
    for seed in 0..8 {
        let mut world = World::new();
        world.lose(20, seed);
        world.run_until("connected", Duration::from_secs(20), |world| {
            world.server.is_connected() && world.client.is_connected()
        });
    }
}

#[test]
fn a_connection_lasts_while_checks_come() {
    let mut world = World::connected();
    world.run_for(Duration::from_secs(120));
    assert!(world.server.is_connected());
    assert!(world.client.is_connected());
}

#[test]
fn without_checks_the_transport_expires_after_thirty_seconds() {
    let mut world = World::connected();
    world.up = Box::new(|_| false);
    world.run_until("the last datagram arrives", Duration::from_secs(1), |world| world.to_server.is_empty());
    let silence = world.now;
    world.run_until("expired", Duration::from_secs(40), |world| {
        world.server_events.contains(&TransportEvent::Expired)
    });
    let took = world.now - silence;
    assert!((20..=30).contains(&took.as_secs()), "took {took:?}");
    assert!(!world.server.is_connected());
    assert_eq!(world.server.poll_timeout(), None);
    world.down = Box::new(|_| panic!("an expired transport sends nothing"));
    world.run_for(Duration::from_secs(5));
}

#[test]
fn a_client_that_never_comes_expires_too() {
    let mut world = World::new();
    world.client_is_gone = true;
    world.run_for(Duration::from_secs(29));
    assert_eq!(world.server_events, []);
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.server_events, [TransportEvent::Expired]);
}

#[test]
fn another_certificate_than_the_offered_one_is_refused() {
    let mut world = World::new();
    let mut remote = remote_of(&mut world.client);
    remote.fingerprint = Fingerprint::of(HashAlgorithm::Sha256, b"somebody else");
    let credentials = world.server.local_credentials().clone();
    world.server = Transport::new(&world.shared, credentials, world.now);
    world.server.set_remote(world.now, remote).unwrap();
    world.run_until("failed", Duration::from_secs(5), |world| {
        let mismatch = TransportError::Dtls(crate::peer::dtls::DtlsError::FingerprintMismatch);
        world.server_events.contains(&TransportEvent::Failed(mismatch))
    });
    assert!(!world.server.is_connected());
    assert_eq!(world.server.profile(), None);
    world.run_for(Duration::from_secs(5));
    assert!(!world.client.is_connected());
}

#[test]
fn fingerprints_of_the_longer_hashes_are_verified_too() {
    use str0m::config::DtlsCert;
    for hash in [HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
        let certificate = dimpl::certificate::generate_self_signed_certificate().unwrap();
        let wanted = Fingerprint::of(hash, &certificate.certificate);
        let mut world = World::with_certificate(Some(DtlsCert {
            certificate: certificate.certificate,
            private_key: certificate.private_key,
        }));
        let mut remote = remote_of(&mut world.client);
        remote.fingerprint = wanted;
        let credentials = world.server.local_credentials().clone();
        world.server = Transport::new(&world.shared, credentials, world.now);
        world.server.set_remote(world.now, remote).unwrap();
        world.run_until("connected", Duration::from_secs(5), |world| world.server.is_connected());
    }
}

#[test]
fn a_later_offer_may_not_change_the_certificate_or_the_role() {
    let mut world = World::connected();
    let known = remote_of(&mut world.client);
    assert_eq!(world.server.set_remote(world.now, known.clone()), Ok(()));
    let fingerprint = Fingerprint::of(HashAlgorithm::Sha256, b"somebody else");
    let changed = RemoteParameters { fingerprint, ..known.clone() };
    assert_eq!(world.server.set_remote(world.now, changed), Err(TransportError::FingerprintChanged));
    let passive = RemoteParameters { setup: Setup::Passive, ..known.clone() };
    assert_eq!(world.server.set_remote(world.now, passive), Err(TransportError::Role));
    let short = RemoteParameters { pwd: "short".to_owned(), ..known.clone() };
    assert_eq!(world.server.set_remote(world.now, short), Err(TransportError::Credentials));
    let restart = RemoteParameters { ufrag: "restart".to_owned(), ..known };
    assert_eq!(world.server.set_remote(world.now, restart), Err(TransportError::RestartRequired));
    world.run_for(Duration::from_secs(1));
    assert!(world.server.is_connected());
}

#[test]
fn an_ice_restart_keeps_the_connection_and_drops_the_old_fragment_with_the_first_new_check() {
    let mut world = World::connected();
    let before = world.server.local_credentials().clone();
    let local = IceCredentials::generate(3, &mut seeded(99));
    let creds = IceCreds { ufrag: "restarted".into(), pass: "a-password-of-22-chars".replace('-', "+") };
    let remote = RemoteParameters {
        ufrag: creds.ufrag.clone(),
        pwd: creds.pass.clone(),
        ..remote_of(&mut world.client)
    };
    assert!(world.server.is_ice_restart(&remote));
    world.server.restart_ice(local.clone());
    world.server.set_remote(world.now, remote).unwrap();
    let ufrags: Vec<_> = world.server.ufrags().map(str::to_owned).collect();
    assert_eq!(ufrags, [local.ufrag.clone(), before.ufrag.clone()]);

    // The answer is under way: checks still come under the old credentials.
    world.run_for(Duration::from_secs(6));
    assert_eq!(world.server.ufrags().count(), 2);
    assert!(world.server.is_connected());
    assert_eq!(world.errors, []);

    let mut api = world.client.direct_api();
    api.set_local_ice_credentials(creds);
    api.set_remote_ice_credentials(IceCreds { ufrag: local.ufrag.clone(), pass: local.pwd.clone() });
    world.run_until("the restart is complete", Duration::from_secs(10), |world| {
        world.server_events.contains(&TransportEvent::UfragDropped(before.ufrag.clone()))
    });
    let ufrags: Vec<_> = world.server.ufrags().map(str::to_owned).collect();
    assert_eq!(ufrags, [local.ufrag]);
    world.run_for(Duration::from_secs(20));
    assert!(world.server.is_connected() && world.client.is_connected());
}

#[test]
fn a_client_that_changes_its_network_is_followed() {
    let mut world = World::connected();
    let wifi = Candidate::host(world.client_address, "udp").unwrap();
    let mobile: SocketAddr = ([203, 0, 113, 9], 50_000).into();
    world.client.add_local_candidate(Candidate::host(mobile, "udp").unwrap()).unwrap();
    assert!(world.client.direct_api().invalidate_candidate(&wifi));
    let left = world.client_address;
    world.up = Box::new(move |flying| flying.source != left);
    world.run_until("the new address is selected", Duration::from_secs(20), |world| {
        world.server_events.contains(&TransportEvent::SelectedAddress(mobile))
    });
    world.down = Box::new(move |flying| {
        assert_eq!(flying.destination, mobile);
        true
    });
    world.server.send_data(world.now, DataChannel::Reliable, b"there").unwrap();
    world.run_until("data arrives", Duration::from_secs(5), |world| !world.client_data().is_empty());
    assert!(world.server.is_connected());
}

#[test]
fn closing_tells_the_client_and_frees_everything() {
    let mut world = World::connected();
    world.server.close(world.now);
    assert!(!world.server.is_connected());
    let told = |flying: &mut super::wire::Flying| {
        assert_eq!(classify(&flying.bytes), PacketKind::Dtls);
        true
    };
    world.down = Box::new(told);
    world.drain();
    assert_eq!(world.to_client.len(), 1, "one alert");
    assert_eq!(world.server.poll_timeout(), None);
    let error = world.server.send_data(world.now, DataChannel::Reliable, b"late").unwrap_err();
    assert_eq!((error.layer(), error.code()), ("sctp", "not-open"));
}

#[test]
fn a_client_that_closes_is_noticed_at_once() {
    let mut world = World::connected();
    world.client.close().unwrap();
    world.run_until("closed", Duration::from_secs(2), |world| {
        let closed = TransportError::Dtls(crate::peer::dtls::DtlsError::Closed);
        world.server_events.contains(&TransportEvent::Failed(closed))
    });
}

#[test]
fn answers_leave_from_the_address_the_check_came_to() {
    let mut world = World::new();
    world.run_until("a check", Duration::from_secs(1), |world| !world.to_server.is_empty());
    let mut check = world.to_server.front().unwrap().bytes.clone();
    let second: std::net::IpAddr = [192, 0, 2, 99].into();
    world.server.handle_datagram(world.now, world.client_address, second, &mut check).unwrap();
    world.server.poll_transmit(world.now, &mut world.batch);
    let [answer] = world.batch.transmits() else { panic!("{} answers", world.batch.transmits().len()) };
    assert_eq!((answer.destination, answer.source), (world.client_address, Some(second)));
}
