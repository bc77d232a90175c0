//! What must not happen, whatever comes from the network.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::prelude::*;

use super::wire::{Flying, World, seeded, shared};
use crate::batch::SendBatch;
use crate::peer::transport::*;
use crate::test_start;

/// Made once: a certificate for every generated case would be most of the work.
static SHARED: LazyLock<Arc<Shared>> = LazyLock::new(shared);
const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn stranger() -> SocketAddr {
    ([203, 0, 113, 66], 6666).into()
}

#[test]
fn strangers_get_no_answer_to_anything_a_client_sends() {
    let mut world = World::new();
    let mut recorded = Vec::new();
    while !world.server.is_connected() {
        world.run_for(Duration::from_millis(1));
        recorded.extend(world.to_server.iter().map(|flying| flying.bytes.clone()));
    }
    world.run_for(Duration::from_secs(1));
    world.to_client.clear();
    world.down = Box::new(|flying| {
        assert_ne!(flying.destination, stranger(), "{:?}", classify(&flying.bytes));
        true
    });
    let mut refused = 0;
    for bytes in recorded {
        // A replayed check is authentic: whoever can replay it is on the path. Everything else is refused.
        if classify(&bytes) == PacketKind::Stun {
            continue;
        }
        world.errors.clear();
        let destination = world.server_address;
        world.deliver(Flying { arrives: world.now, source: stranger(), destination, bytes });
        assert_eq!(world.errors, [TransportError::NotValidated]);
        refused += 1;
        world.drain();
    }
    assert!(refused > 3);
}

#[test]
fn checks_without_the_password_get_no_answer() {
    let mut world = World::new();
    world.client.direct_api().set_remote_ice_credentials(str0m::ice::IceCreds {
        ufrag: world.server.local_credentials().ufrag.clone(),
        pass: "guessed+guessed+guessed+guessed+".into(),
    });
    world.down = Box::new(|_| panic!("an answer"));
    world.run_for(Duration::from_secs(5));
    assert!(!world.errors.is_empty());
    assert!(world.errors.iter().all(|error| *error == TransportError::Stun(StunError::Integrity)));
    assert_eq!(world.server_events, []);
}

#[test]
fn checks_for_somebody_else_get_no_answer() {
    let mut world = World::new();
    world.client.direct_api().set_remote_ice_credentials(str0m::ice::IceCreds {
        ufrag: "somebodyelse".into(),
        pass: world.server.local_credentials().pwd.clone(),
    });
    world.down = Box::new(|_| panic!("an answer"));
    world.run_for(Duration::from_secs(5));
    assert!(world.errors.iter().all(|error| *error == TransportError::Stun(StunError::Username)));
    assert!(!world.errors.is_empty());
}

#[test]
fn dtls_before_the_offer_is_dropped() {
    let mut world = World::new();
    let credentials = world.server.local_credentials().clone();
    world.server = Transport::new(&world.shared, credentials, world.now);
    world.run_for(Duration::from_secs(1));
    assert!(world.errors.contains(&TransportError::NoRemoteParameters));
    assert_eq!(world.server.addresses().count(), 1, "checks are answered: the local half is right");
    let remote = super::wire::remote_of(&mut world.client);
    world.server.set_remote(world.now, remote).unwrap();
    world.run_until("connected", Duration::from_secs(10), |world| world.server.is_connected());
}

#[test]
fn damaged_and_repeated_datagrams_do_not_disturb_a_connection() {
    for seed in 0..6 {
        let mut world = World::new();
        let mut random = seeded(seed);
        // Every datagram comes once more, damaged, from the client's own address, before it comes whole.
        let mut run = 0;
        loop {
            world.run_for(Duration::from_millis(1));
            let flying: Vec<_> = world.to_server.iter().cloned().collect();
            for mut damaged in flying {
                let mut choice = [0; 4];
                random(&mut choice);
                let position = usize::from(choice[0]) << 8 | usize::from(choice[1]);
                match choice[3] % 3 {
                    // Plaintext handshake messages carry no integrity: damaging those is damaging the handshake.
                    _ if classify(&damaged.bytes) == PacketKind::Dtls && damaged.bytes[3..5] == [0, 0] => {}
                    0 => damaged.bytes.truncate(position % damaged.bytes.len()),
                    _ => {
                        let length = damaged.bytes.len();
                        damaged.bytes[position % length] ^= choice[2] | 1;
                    }
                }
                world.deliver(damaged);
            }
            run += 1;
            if run == 600 {
                break;
            }
            if run == 300 {
                assert!(world.server.is_connected(), "{:?} {:?}", world.server_events, world.errors);
                world.client.channel(world.reliable).unwrap().write(true, &[9; 20_000]).unwrap();
            }
        }
        world.run_for(Duration::from_secs(5));
        assert!(world.server.is_connected() && world.client.is_connected());
        assert_eq!(world.data(), [(DataChannel::Reliable, vec![9; 20_000])], "seed {seed}");
    }
}

proptest! {
    #[test]
    fn arbitrary_datagrams_neither_panic_nor_cause_an_answer(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..20),
        stun in any::<bool>(),
    ) {
        let now = test_start();
        let local = IceCredentials::generate(0, &mut seeded(1));
        let mut transport = Transport::new(&SHARED, local, now);
        let mut batch = SendBatch::new();
        for mut bytes in datagrams {
            if stun && bytes.len() >= 20 {
                let length = (bytes.len() - 20) as u16 & !3;
                bytes.truncate(usize::from(length) + 20);
                bytes[..2].copy_from_slice(&[0, 1]);
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            }
            let error = transport.handle_datagram(now, stranger(), SERVER, &mut bytes).unwrap_err();
            prop_assert!(error.code().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
            prop_assert!(!error.layer().is_empty());
            transport.poll_transmit(now, &mut batch);
            prop_assert!(batch.is_empty());
            prop_assert_eq!(transport.poll_event(), None);
        }
    }
}
