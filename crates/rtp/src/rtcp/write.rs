//! Appending RTCP packets to a buffer. Several calls make a compound packet.

use super::report::{ReportBlock, SenderInfo};
use super::{
    FMT_APPLICATION, FMT_FIR, FMT_NACK, FMT_PLI, GOODBYE, PAYLOAD_SPECIFIC_FEEDBACK, RECEIVER_REPORT,
    SENDER_REPORT, SOURCE_DESCRIPTION, TRANSPORT_LAYER_FEEDBACK,
};
use crate::sequence::distance;

/// The count field has 5 bits.
const MAX_COUNT: usize = 31;
/// Longest value of a source description item.
const MAX_CNAME: usize = 255;

/// Appends a sender report; blocks beyond 31 follow in receiver reports of the same sender.
pub fn write_sender_report(info: &SenderInfo, reports: &[ReportBlock], out: &mut Vec<u8>) {
    let (own, further) = reports.split_at(reports.len().min(MAX_COUNT));
    let start = open(own.len() as u8, SENDER_REPORT, out);
    put(info.ssrc, out);
    out.extend_from_slice(&info.ntp.to_be_bytes());
    put(info.rtp_timestamp, out);
    put(info.packets, out);
    put(info.octets, out);
    put_blocks(own, out);
    close(start, out);
    if !further.is_empty() {
        write_receiver_report(info.ssrc, further, out);
    }
}

/// Appends a receiver report of `ssrc`; more than 31 blocks take several packets, none takes an empty one.
pub fn write_receiver_report(ssrc: u32, reports: &[ReportBlock], out: &mut Vec<u8>) {
    let mut rest = reports;
    loop {
        let (own, further) = rest.split_at(rest.len().min(MAX_COUNT));
        let start = open(own.len() as u8, RECEIVER_REPORT, out);
        put(ssrc, out);
        put_blocks(own, out);
        close(start, out);
        if further.is_empty() {
            break;
        }
        rest = further;
    }
}

/// Appends a source description with the canonical name of `ssrc`, cut to 255 bytes.
pub fn write_sdes_cname(ssrc: u32, cname: &str, out: &mut Vec<u8>) {
    let value = &cname.as_bytes()[..cname.floor_char_boundary(MAX_CNAME)];
    let start = open(1, SOURCE_DESCRIPTION, out);
    put(ssrc, out);
    out.extend_from_slice(&[1, value.len() as u8]);
    out.extend_from_slice(value);
    // The list of items ends with at least one zero byte, even where it is aligned (RFC 3550 §6.5).
    out.push(0);
    close(start, out);
}

/// Appends a NACK for these sequence numbers; nothing if there are none. Ascending order (as
/// [`NackGenerator`](crate::nack::NackGenerator) gives) makes the shortest packet.
pub fn write_nack(sender_ssrc: u32, media_ssrc: u32, lost: &[u16], out: &mut Vec<u8>) {
    let Some((&first, rest)) = lost.split_first() else { return };
    let start = open_feedback(FMT_NACK, TRANSPORT_LAYER_FEEDBACK, sender_ssrc, media_ssrc, out);
    let (mut base, mut mask) = (first, 0_u16);
    for &sequence in rest {
        match distance(base, sequence) {
            0 => {}
            step @ 1..=16 => mask |= 1 << (step - 1),
            _ => {
                put((u32::from(base) << 16) | u32::from(mask), out);
                (base, mask) = (sequence, 0);
            }
        }
    }
    put((u32::from(base) << 16) | u32::from(mask), out);
    close(start, out);
}

/// Appends a picture loss indication.
pub fn write_pli(sender_ssrc: u32, media_ssrc: u32, out: &mut Vec<u8>) {
    let start = open_feedback(FMT_PLI, PAYLOAD_SPECIFIC_FEEDBACK, sender_ssrc, media_ssrc, out);
    close(start, out);
}

/// Appends a full intra request for one stream. `command` is to grow by one with each new request and to stay
/// for a repetition (RFC 5104 §4.3.1.1).
pub fn write_fir(sender_ssrc: u32, media_ssrc: u32, command: u8, out: &mut Vec<u8>) {
    let start = open_feedback(FMT_FIR, PAYLOAD_SPECIFIC_FEEDBACK, sender_ssrc, 0, out);
    put(media_ssrc, out);
    out.extend_from_slice(&[command, 0, 0, 0]);
    close(start, out);
}

/// Appends a goodbye for these sources; more than 31 take several packets.
pub fn write_bye(ssrcs: &[u32], out: &mut Vec<u8>) {
    for group in ssrcs.chunks(MAX_COUNT) {
        let start = open(group.len() as u8, GOODBYE, out);
        for &ssrc in group {
            put(ssrc, out);
        }
        close(start, out);
    }
}

/// Appends a receiver's estimate in bits per second, rounded down to 18 significant bits, for at most 255
/// streams.
pub fn write_remb(sender_ssrc: u32, bitrate: u64, ssrcs: &[u32], out: &mut Vec<u8>) {
    let ssrcs = &ssrcs[..ssrcs.len().min(255)];
    let start = open_feedback(FMT_APPLICATION, PAYLOAD_SPECIFIC_FEEDBACK, sender_ssrc, 0, out);
    let exponent = (u64::BITS - bitrate.leading_zeros()).saturating_sub(18);
    out.extend_from_slice(b"REMB");
    put(((ssrcs.len() as u32) << 24) | (exponent << 18) | (bitrate >> exponent) as u32, out);
    for &ssrc in ssrcs {
        put(ssrc, out);
    }
    close(start, out);
}

fn put(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_blocks(blocks: &[ReportBlock], out: &mut Vec<u8>) {
    for block in blocks {
        out.extend_from_slice(&block.encode());
    }
}

/// Begins a packet; returns where it begins.
fn open(count: u8, packet_type: u8, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0x80 | count, packet_type, 0, 0]);
    start
}

fn open_feedback(format: u8, packet_type: u8, sender_ssrc: u32, media_ssrc: u32, out: &mut Vec<u8>) -> usize {
    let start = open(format, packet_type, out);
    put(sender_ssrc, out);
    put(media_ssrc, out);
    start
}

/// Fills the packet that begins at `start` with zeros to a multiple of 4 and writes its length.
pub(super) fn close(start: usize, out: &mut Vec<u8>) {
    while !(out.len() - start).is_multiple_of(4) {
        out.push(0);
    }
    let words = ((out.len() - start) / 4).saturating_sub(1);
    let length = u16::try_from(words).unwrap_or(u16::MAX);
    out[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
}
