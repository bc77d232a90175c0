use std::collections::HashSet;

use proptest::prelude::*;
use str0m::ice::{StunMessage, TransId};

use super::*;
use crate::config::worker_of_ufrag;
use crate::test_start;

const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const FIRST: ([u8; 4], u16) = ([198, 51, 100, 1], 1);
const SECOND: ([u8; 4], u16) = ([198, 51, 100, 2], 2);

fn random(mut state: u8) -> impl FnMut(&mut [u8]) + Send {
    move |bytes: &mut [u8]| {
        for byte in bytes {
            state = state.wrapping_mul(77).wrapping_add(91);
            *byte = state;
        }
    }
}

fn credentials(seed: u8) -> IceCredentials {
    IceCredentials::generate(5, &mut random(seed))
}

/// HMAC-SHA1 of the other implementation's messages.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    aws_lc_rs::hmac::sign(&key, &parts.concat()).as_ref().try_into().unwrap()
}

/// A check as `str0m` writes it.
fn check(username: &str, pwd: &str, nominates: bool) -> Vec<u8> {
    let message = StunMessage::binding_request(username, TransId::new(), true, 1, 1, nominates);
    let mut bytes = vec![0; 500];
    let length = message.to_bytes(Some(pwd.as_bytes()), &mut bytes, hmac).unwrap();
    bytes.truncate(length);
    bytes
}

/// A session whose remote fragment is `remote`.
struct Session {
    ice: IceLite,
    now: Instant,
    events: Vec<IceEvent>,
}

impl Session {
    fn new() -> Self {
        let now = test_start();
        let mut ice = IceLite::new(credentials(1), now);
        ice.set_remote_ufrag("remote".to_owned());
        Self { ice, now, events: Vec::new() }
    }

    fn handle(&mut self, from: SocketAddr, payload: &[u8]) -> Result<Answer, StunError> {
        let events = &mut self.events;
        self.ice.handle(self.now, from, SERVER, payload, |event| events.push(event))
    }

    /// An authentic check from there.
    fn check(&mut self, from: impl Into<SocketAddr>, nominates: bool) {
        let local = self.ice.local().clone();
        let bytes = check(&format!("{}:remote", local.ufrag), &local.pwd, nominates);
        assert!(self.handle(from.into(), &bytes).is_ok());
    }

    fn selected(&self) -> SocketAddr {
        self.ice.selected().unwrap().remote
    }
}

#[test]
fn a_check_is_answered_as_another_implementation_expects() {
    for from in ["198.51.100.7:40000", "[2001:db8::7]:40000"] {
        let mut session = Session::new();
        let local = session.ice.local().clone();
        let request = check(&format!("{}:remote", local.ufrag), &local.pwd, false);
        let from: SocketAddr = from.parse().unwrap();
        let answer = session.handle(from, &request).unwrap();
        let parsed = StunMessage::parse(answer.as_bytes()).unwrap();
        assert!(parsed.is_successful_binding_response());
        assert!(parsed.verify(local.pwd.as_bytes(), hmac));
        assert_eq!(parsed.mapped_address(), Some(from));
        assert_eq!(parsed.trans_id(), StunMessage::parse(&request).unwrap().trans_id());
        assert!(ends_with_fingerprint(answer.as_bytes()));
        assert!(answer.as_bytes().len() <= request.len(), "no amplification");
        assert_eq!(session.events, [IceEvent::Validated(from), IceEvent::Selected(from)]);
    }
}

#[test]
fn what_is_not_an_authentic_check_is_refused() {
    let mut session = Session::new();
    let local = session.ice.local().clone();
    let name = format!("{}:remote", local.ufrag);
    let good = check(&name, &local.pwd, false);
    let mut refused = |bytes: &[u8]| session.handle(FIRST.into(), bytes).err();

    assert_eq!(refused(&check(&name, "another", false)), Some(StunError::Integrity));
    let wrong = check(&format!("{}:other", local.ufrag), &local.pwd, false);
    assert_eq!(refused(&wrong), Some(StunError::Username));
    assert_eq!(refused(&check("other:remote", &local.pwd, false)), Some(StunError::Username));
    assert_eq!(refused(&check("nocolon", &local.pwd, false)), Some(StunError::Username));

    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&damaged), Some(StunError::Fingerprint));
    let mut bare = good.clone();
    bare.truncate(good.len() - 8);
    let length = (bare.len() - 20) as u16;
    bare[2..4].copy_from_slice(&length.to_be_bytes());
    assert_eq!(refused(&bare), Some(StunError::Fingerprint));

    let answer = StunMessage::binding_reply(TransId::new(), FIRST.into());
    let mut bytes = [0; 200];
    let length = answer.to_bytes(Some(local.pwd.as_bytes()), &mut bytes, hmac).unwrap();
    assert_eq!(refused(&bytes[..length]), Some(StunError::NotARequest));
    assert_eq!(refused(&[]), Some(StunError::Malformed));
    assert_eq!(refused(&good[..good.len() - 1]), Some(StunError::Malformed));
    assert_eq!(refused(&[&good[..], &[0; 4]].concat()), Some(StunError::Malformed));

    assert_eq!(session.events, []);
    assert_eq!(session.ice.selected(), None);
}

#[test]
fn the_remote_half_does_not_matter_until_the_offer_named_it() {
    let local = credentials(1);
    let mut ice = IceLite::new(local.clone(), test_start());
    let bytes = check(&format!("{}:whoever", local.ufrag), &local.pwd, false);
    assert!(ice.handle(test_start(), FIRST.into(), SERVER, &bytes, |_| {}).is_ok());
}

#[test]
fn before_nomination_the_newest_check_selects_and_after_it_only_nomination_moves() {
    let mut session = Session::new();
    session.check(FIRST, false);
    assert_eq!(session.selected(), FIRST.into());
    session.check(SECOND, false);
    assert_eq!(session.selected(), SECOND.into());
    session.check(FIRST, true);
    assert_eq!(session.selected(), FIRST.into());
    session.check(SECOND, false);
    assert_eq!(session.selected(), FIRST.into(), "nominated");
    session.check(SECOND, true);
    assert_eq!(session.selected(), SECOND.into(), "nominated later");
}

#[test]
fn a_nominated_address_that_fell_silent_gives_way_to_one_that_speaks() {
    let mut session = Session::new();
    session.check(FIRST, true);
    session.now += Duration::from_secs(11);
    session.check(SECOND, false);
    assert_eq!(session.selected(), FIRST.into());
    session.now += Duration::from_secs(2);
    session.check(SECOND, false);
    assert_eq!(session.selected(), SECOND.into());
}

#[test]
fn eight_addresses_are_kept_and_the_selected_one_is_never_dropped() {
    let mut session = Session::new();
    session.check(FIRST, true);
    for port in 1..100 {
        session.now += Duration::from_millis(10);
        session.check(([203, 0, 113, 5], port), false);
        assert!(session.ice.addresses().count() <= 8);
        assert!(session.ice.is_validated(FIRST.into()));
    }
    let dropped: HashSet<_> = session
        .events
        .iter()
        .filter_map(|event| match event {
            IceEvent::Dropped(address) => Some(address.port()),
            _ => None,
        })
        .collect();
    assert_eq!(dropped, (1..=92).collect(), "the oldest");
}

#[test]
fn after_a_restart_both_generations_work_until_the_new_one_is_used() {
    let mut session = Session::new();
    session.check(FIRST, true);
    let before = session.ice.local().clone();
    assert_eq!(session.ice.restart(credentials(2)), None);
    session.ice.set_remote_ufrag("again".to_owned());
    let old = check(&format!("{}:remote", before.ufrag), &before.pwd, true);
    assert!(session.handle(FIRST.into(), &old).is_ok());
    assert_eq!(session.ice.ufrags().count(), 2);

    let local = session.ice.local().clone();
    let mixed = check(&format!("{}:again", before.ufrag), &before.pwd, true);
    assert_eq!(session.handle(FIRST.into(), &mixed).err(), Some(StunError::Username));
    let new = check(&format!("{}:again", local.ufrag), &local.pwd, true);
    assert!(session.handle(SECOND.into(), &new).is_ok());
    assert_eq!(session.selected(), SECOND.into());
    assert!(session.events.contains(&IceEvent::UfragDropped(before.ufrag.clone())));
    assert_eq!(session.handle(FIRST.into(), &old).err(), Some(StunError::Username));

    // A second restart before the first is used: the oldest goes at once.
    let second = session.ice.local().ufrag.clone();
    assert_eq!(session.ice.restart(credentials(3)), None);
    assert_eq!(session.ice.restart(credentials(4)), Some(second));
    assert_eq!(session.ice.ufrags().count(), 2);
}

#[test]
fn credentials_lead_to_their_worker_and_are_long_enough() {
    for worker in [0, 5, 31] {
        let made = IceCredentials::generate(worker, &mut random(worker));
        assert_eq!(worker_of_ufrag(made.ufrag.as_bytes()), Some(worker));
        assert!(is_credential(&made.ufrag, 12) && is_credential(&made.pwd, 24), "{made:?}");
        assert!(!format!("{made:?}").contains(&made.pwd));
    }
    assert!(!is_credential("abc", 4));
    assert!(!is_credential("abc def", 4));
    assert!(!is_credential(&"a".repeat(257), 4));
}

#[test]
fn the_fragment_of_a_check_is_found_for_demultiplexing() {
    assert_eq!(stun_local_ufrag(&check("local:remote", "x", true)), Some(&b"local"[..]));
    assert_eq!(stun_local_ufrag(&check("local:re:mote", "x", true)), Some(&b"local"[..]));
    assert_eq!(stun_local_ufrag(&check(":remote", "x", true)), None);
    assert_eq!(stun_local_ufrag(&check("nocolon", "x", true)), None);
    assert_eq!(stun_local_ufrag(b""), None);
}

#[test]
fn protocols_are_told_apart_by_their_first_bytes() {
    for (bytes, kind) in [
        (&[0, 1][..], PacketKind::Stun),
        (&[3], PacketKind::Stun),
        (&[4, 0], PacketKind::Unknown),
        (&[20, 254], PacketKind::Dtls),
        (&[63], PacketKind::Dtls),
        (&[64, 0], PacketKind::TurnChannel),
        (&[79, 0], PacketKind::TurnChannel),
        (&[80, 0], PacketKind::Unknown),
        (&[128, 96], PacketKind::Rtp),
        (&[0xb0, 0x80 | 63], PacketKind::Rtp),
        (&[128, 200], PacketKind::Rtcp),
        (&[143, 206], PacketKind::Rtcp),
        (&[192, 0], PacketKind::Unknown),
        (&[], PacketKind::Unknown),
    ] {
        assert_eq!(classify(bytes), kind, "{bytes:?}");
    }
}

proptest! {
    /// Any change of any byte of an authentic check makes it worthless.
    #[test]
    fn changed_checks_are_refused(position in 0usize..1000, change in 1u8..) {
        let mut session = Session::new();
        let local = session.ice.local().clone();
        let mut bytes = check(&format!("{}:remote", local.ufrag), &local.pwd, true);
        let length = bytes.len();
        bytes[position % length] ^= change;
        let _ = stun_local_ufrag(&bytes);
        prop_assert!(session.handle(FIRST.into(), &bytes).is_err());
        prop_assert_eq!(session.events, []);
    }

    /// Attributes of every kind and order neither panic nor pass.
    #[test]
    fn arbitrary_attributes_never_panic(
        attributes in prop::collection::vec(
            (prop_oneof![Just(6u16), Just(8), Just(0x1c), Just(0x8028), Just(0x25), any::<u16>()],
             prop::collection::vec(any::<u8>(), 0..40), any::<bool>()),
            0..8,
        ),
        class in prop_oneof![Just([0u8, 1]), any::<[u8; 2]>()],
    ) {
        let mut session = Session::new();
        let ufrag = session.ice.local().ufrag.clone();
        let mut bytes = vec![class[0] & 0x3f, class[1], 0, 0, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend_from_slice(&[7; 12]);
        for (kind, mut value, lies) in attributes {
            if kind == 6 && !lies {
                value = format!("{ufrag}:remote").into_bytes();
            }
            bytes.extend_from_slice(&kind.to_be_bytes());
            let length = value.len() as u16 + if lies { 3 } else { 0 };
            bytes.extend_from_slice(&length.to_be_bytes());
            value.resize(value.len().next_multiple_of(4), 0);
            bytes.extend_from_slice(&value);
        }
        let length = (bytes.len() - 20) as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        let _ = stun_local_ufrag(&bytes);
        prop_assert!(session.handle(FIRST.into(), &bytes).is_err());
        prop_assert_eq!(session.events, []);
    }

    #[test]
    fn arbitrary_bytes_have_a_kind(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = (classify(&bytes), is_stun(&bytes), stun_local_ufrag(&bytes));
    }
}
