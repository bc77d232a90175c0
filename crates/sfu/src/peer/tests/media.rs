//! RTP and RTCP through a transport.

use std::net::SocketAddr;
use std::time::Duration;

use str0m::Event;
use str0m::rtp::{RtpWrite, SeqNo, Ssrc};

use super::wire::{AUDIO, FROM_SERVER, VIDEO, World, seeded, shared};
use crate::batch::SendBatch;
use crate::peer::keying::SrtpKeys;
use crate::peer::transport::*;
use crate::test_start;

/// An RTP header without extensions, as the forwarding path writes it.
pub(super) fn write_header(
    out: &mut [u8],
    payload_type: u8,
    sequence: u16,
    ssrc: u32,
) -> Result<usize, TransportError> {
    out[..12].fill(0);
    out[0] = 0x80;
    out[1] = payload_type;
    out[2..4].copy_from_slice(&sequence.to_be_bytes());
    out[8..12].copy_from_slice(&ssrc.to_be_bytes());
    Ok(12)
}

#[test]
fn the_client_receives_what_is_sent_in_order_and_whole() {
    let mut world = World::connected();
    for index in 65_500..65_600u64 {
        let payload = vec![index as u8; 20 + (index % 1000) as usize];
        world
            .server
            .send_rtp(&mut world.batch, index, b"prefix", &payload, |out| {
                write_header(out, 111, index as u16, FROM_SERVER)
            })
            .unwrap();
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(Duration::from_millis(100));
    let received = world.client_rtp();
    assert_eq!(received.len(), 100);
    for (packet, index) in received.iter().zip(65_500u64..) {
        assert_eq!(*packet.seq_no, index);
        assert_eq!(packet.payload[..6], *b"prefix");
        assert_eq!(packet.payload.len(), 26 + (index % 1000) as usize);
    }
}

#[test]
fn what_the_client_sends_is_received_whole() {
    let mut world = World::connected();
    for index in 65_500..65_600u64 {
        let payload: Vec<u8> = vec![index as u8; 100];
        let write = RtpWrite::new(111.into(), SeqNo::from(index), index as u32, world.now, payload);
        let mut api = world.client.direct_api();
        api.stream_tx(&Ssrc::from(AUDIO)).unwrap().write_rtp(write);
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(Duration::from_millis(100));
    let audio: Vec<_> = world.rtp.iter().filter(|packet| packet[8..12] == AUDIO.to_be_bytes()).collect();
    assert_eq!(audio.len(), 100);
    for (packet, index) in audio.iter().zip(65_500u64..) {
        assert_eq!(packet[2..4], (index as u16).to_be_bytes());
        assert_eq!(packet[packet.len() - 100..], [index as u8; 100]);
    }
    assert_eq!(world.errors, []);
}

#[test]
fn control_packets_go_both_ways() {
    let mut world = World::connected();
    let write = RtpWrite::new(96.into(), SeqNo::from(1), 1, world.now, vec![0; 100]);
    world.client.direct_api().stream_tx(&Ssrc::from(VIDEO)).unwrap().write_rtp(write);
    world.run_until("a sender report arrives", Duration::from_secs(10), |world| {
        world.rtcp.iter().any(|packet| packet[1] == 200)
    });
    // Picture loss indication (RFC 4585 §6.3.1).
    let mut request = vec![0x81, 206, 0, 2, 0, 0, 0, 9];
    request.extend_from_slice(&VIDEO.to_be_bytes());
    world.server.send_rtcp(&mut world.batch, &request).unwrap();
    world.run_until("the request arrives", Duration::from_secs(1), |world| {
        world.client_events.iter().any(|event| matches!(event, Event::KeyframeRequest(_)))
    });
    assert_eq!(world.errors, []);
}

#[test]
fn before_the_handshake_nothing_is_sealed() {
    let mut world = World::new();
    let header = |out: &mut [u8]| write_header(out, 111, 1, FROM_SERVER);
    let refused = world.server.send_rtp(&mut world.batch, 1, &[], b"early", header).unwrap_err();
    assert_eq!((refused.layer(), refused.code()), ("srtp", "not-keyed"));
    assert!(world.server.send_rtcp(&mut world.batch, &[0x80, 201, 0, 1, 0, 0, 0, 1]).is_err());
    assert!(world.batch.is_empty());
}

#[test]
fn keyed_transports_speak_to_each_other_under_every_profile() {
    let (now, shared) = (test_start(), shared());
    let addresses: [SocketAddr; 2] = [([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into()];
    for profile in SrtpProfile::ALL {
        let keys = SrtpKeys::generate(&mut seeded(5));
        let keyed = |remote, keys: &SrtpKeys| {
            Transport::keyed(&shared, now, remote, None, profile, keys).expect("keys are accepted")
        };
        let mut ends = [keyed(addresses[1], &keys), keyed(addresses[0], &keys.mirrored())];
        for from in [0, 1] {
            let mut batch = SendBatch::new();
            let payload = [2; 1199];
            for index in 65_530..65_540u64 {
                let header = |out: &mut [u8]| write_header(out, 100, index as u16, 42);
                ends[from].send_rtp(&mut batch, index, &[1], &payload, header).unwrap();
            }
            let report = [0x80, 201, 0, 1, 0, 0, 0, 42];
            ends[from].send_rtcp(&mut batch, &report).unwrap();
            let mut datagrams = Vec::new();
            for run in batch.transmits() {
                assert_eq!(run.destination, addresses[1 - from]);
                datagrams.extend(batch.bytes(run).chunks(run.segment_size).map(<[u8]>::to_vec));
            }
            let mut control = datagrams.pop().expect("the report is last");
            assert_eq!(datagrams.len(), 10);
            let (source, destination) = (addresses[from], addresses[1 - from].ip());
            let to = &mut ends[1 - from];
            for (bytes, index) in datagrams.iter_mut().zip(65_530u64..) {
                let received = to.handle_datagram(now, source, destination, bytes);
                let Ok(Received::Rtp(packet)) = received else { panic!("{received:?}") };
                assert_eq!(packet[2..4], (index as u16).to_be_bytes());
                assert_eq!(packet[12..], [&[1][..], &payload].concat());
            }
            let received = to.handle_datagram(now, source, destination, &mut control);
            assert_eq!(received, Ok(Received::Rtcp(&report)));
            let elsewhere = to.handle_datagram(now, addresses[1 - from], destination, &mut control);
            assert_eq!(elsewhere, Err(TransportError::NotValidated));
        }
        assert_eq!(ends[0].poll_timeout(), None);
        assert_eq!(ends[0].poll_event(), None);
    }
}
