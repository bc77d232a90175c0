//! One decrypted datagram as RTCP: lists are bounded by what was sent, and lists that are accepted are written
//! and read back equal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtp::rtcp::{self, RtcpPacket};

fuzz_target!(|data: &[u8]| {
    let mut failed = false;
    for packet in rtcp::parse(data) {
        assert!(!failed, "nothing comes behind an error");
        let Ok(packet) = packet else {
            failed = true;
            continue;
        };
        match packet {
            RtcpPacket::SenderReport { reports, .. } => assert!(reports.count() <= 31),
            RtcpPacket::ReceiverReport { ssrc, reports } => {
                receiver_report(ssrc, &reports.collect::<Vec<_>>())
            }
            RtcpPacket::SourceDescription { chunks } => assert!(chunks.count() <= 31),
            RtcpPacket::Goodbye { ssrcs } => assert!(ssrcs.count() <= 31),
            RtcpPacket::Nack { lost, .. } => nack(&lost.collect::<Vec<_>>()),
            RtcpPacket::Fir { entries, .. } => assert!(entries.count() <= data.len() / 8),
            RtcpPacket::TransportFeedback {
                base_sequence, packet_count, reference_time, arrivals, ..
            } => {
                let arrivals: Vec<_> = arrivals.collect();
                assert_eq!(arrivals.len(), usize::from(packet_count));
                transport_feedback(base_sequence, reference_time, &arrivals);
            }
            RtcpPacket::Remb { ssrcs, .. } => assert!(ssrcs.count() <= 255),
            RtcpPacket::ExtendedReport { blocks, .. } => assert!(blocks.count() <= data.len() / 4),
            RtcpPacket::Pli { .. } | RtcpPacket::Unknown { .. } => {}
        }
    }
});

fn receiver_report(ssrc: u32, blocks: &[rtcp::ReportBlock]) {
    let mut out = Vec::new();
    rtcp::write_receiver_report(ssrc, blocks, &mut out);
    let Some(Ok(RtcpPacket::ReceiverReport { reports, .. })) = rtcp::parse(&out).next() else {
        panic!("a report is read back");
    };
    assert!(reports.eq(blocks.iter().copied()));
}

fn nack(lost: &[u16]) {
    if lost.is_empty() {
        return;
    }
    let mut out = Vec::new();
    rtcp::write_nack(1, 2, lost, &mut out);
    let Some(Ok(RtcpPacket::Nack { lost: read, .. })) = rtcp::parse(&out).next() else {
        panic!("a NACK is read back");
    };
    // Order and repetitions may go, the set stays.
    let sorted = |numbers: &mut dyn Iterator<Item = u16>| {
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    };
    assert_eq!(sorted(&mut read.into_iter()), sorted(&mut lost.iter().copied()));
}

fn transport_feedback(base: u16, reference: i32, arrivals: &[(u16, Option<i16>)]) {
    let deltas: Vec<_> = arrivals.iter().map(|(_, delta)| *delta).collect();
    let mut out = Vec::new();
    rtcp::write_transport_feedback(1, 2, base, reference, 0, &deltas, &mut out);
    let Some(Ok(RtcpPacket::TransportFeedback { arrivals: read, reference_time, .. })) =
        rtcp::parse(&out).next()
    else {
        panic!("feedback is read back");
    };
    assert_eq!(reference_time, reference);
    assert!(read.eq(arrivals.iter().copied()));
}
