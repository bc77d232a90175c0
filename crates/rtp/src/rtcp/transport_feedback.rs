//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1):
//! which packets of a transport arrived, and when.

use std::time::Duration;

use super::{FMT_TRANSPORT_CC, RtcpPacket, TRANSPORT_LAYER_FEEDBACK, take_u32};
use crate::RtpError;

/// Most sequence numbers one feedback packet may report on. Two bytes can claim 8191 lost packets, so a small
/// datagram could otherwise order 65535 steps of work; at a feedback every 50 to 250 ms, 8192 are 100 Mbit/s
/// and more.
pub const MAX_FEEDBACK_PACKETS: u16 = 8192;
/// Unit of arrival deltas.
pub const DELTA_TICK: Duration = Duration::from_micros(250);
/// Unit of the reference time.
pub const REFERENCE_TICK: Duration = Duration::from_millis(64);

/// Status symbols (§3.1.1).
const LOST: u8 = 0;
const SMALL: u8 = 1;
const LARGE: u8 = 2;
/// Symbols of one chunk: 14 of 1 bit, 7 of 2 bits, up to 8191 in a run.
const ONE_BIT_SYMBOLS: usize = 14;
const TWO_BIT_SYMBOLS: usize = 7;
const MAX_RUN: usize = 8191;

/// Iterator over (sequence number, delta): the delta to the arrival before it (of the first: to the reference
/// time) in units of [`DELTA_TICK`], `None` for a packet that did not arrive.
#[derive(Clone, Debug)]
pub struct Arrivals<'a> {
    chunks: &'a [u8],
    deltas: &'a [u8],
    chunk: Chunk,
    next: u16,
    left: u16,
}

impl Iterator for Arrivals<'_> {
    type Item = (u16, Option<i16>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let symbol = loop {
            if let Some(symbol) = self.chunk.next() {
                break symbol;
            }
            let (bytes, rest) = self.chunks.split_first_chunk::<2>()?;
            self.chunks = rest;
            self.chunk = Chunk::decode(u16::from_be_bytes(*bytes));
        };
        let delta = match symbol {
            SMALL => {
                let (&byte, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(i16::from(byte))
            }
            LARGE => {
                let (bytes, rest) = self.deltas.split_first_chunk::<2>()?;
                self.deltas = rest;
                Some(i16::from_be_bytes(*bytes))
            }
            _ => None,
        };
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        Some((sequence, delta))
    }
}

/// Symbols of one chunk that are still to come.
#[derive(Clone, Copy, Debug)]
enum Chunk {
    Run {
        symbol: u8,
        left: u16,
    },
    /// The next symbol is in the top `bits` of the 16.
    Vector {
        symbols: u16,
        bits: u8,
        left: u8,
    },
}

impl Chunk {
    const EMPTY: Self = Self::Run { symbol: LOST, left: 0 };

    fn decode(word: u16) -> Self {
        if word & 0x8000 == 0 {
            Self::Run { symbol: (word >> 13) as u8 & 0b11, left: word & 0x1FFF }
        } else if word & 0x4000 == 0 {
            Self::Vector { symbols: word << 2, bits: 1, left: ONE_BIT_SYMBOLS as u8 }
        } else {
            Self::Vector { symbols: word << 2, bits: 2, left: TWO_BIT_SYMBOLS as u8 }
        }
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        match self {
            Self::Run { symbol, left } => {
                *left = left.checked_sub(1)?;
                Some(*symbol)
            }
            Self::Vector { symbols, bits, left } => {
                *left = left.checked_sub(1)?;
                let symbol = (*symbols >> (16 - *bits)) as u8;
                *symbols <<= *bits;
                Some(symbol)
            }
        }
    }
}

pub(super) fn parse(body: &[u8]) -> Result<RtcpPacket<'_>, RtpError> {
    let (sender_ssrc, rest) = take_u32(body)?;
    let (media_ssrc, rest) = take_u32(rest)?;
    let (head, rest) = take_u32(rest)?;
    let (base_sequence, packet_count) = ((head >> 16) as u16, head as u16);
    let (time, rest) = take_u32(rest)?;
    if packet_count == 0 || packet_count > MAX_FEEDBACK_PACKETS {
        return Err(RtpError::TransportFeedback);
    }
    let (chunks, deltas) = split_chunks(rest, packet_count)?;
    Ok(RtcpPacket::TransportFeedback {
        sender_ssrc,
        media_ssrc,
        base_sequence,
        packet_count,
        feedback_count: time as u8,
        reference_time: time.cast_signed() >> 8,
        arrivals: Arrivals { chunks, deltas, chunk: Chunk::EMPTY, next: base_sequence, left: packet_count },
    })
}

/// Divides into chunks and deltas and checks that both are complete and hold no reserved symbol, so that the
/// iterator yields exactly `packet_count` items.
fn split_chunks(data: &[u8], packet_count: u16) -> Result<(&[u8], &[u8]), RtpError> {
    let mut left = usize::from(packet_count);
    let mut rest = data;
    let mut delta_bytes = 0;
    while left > 0 {
        let (bytes, tail) = rest.split_first_chunk::<2>().ok_or(RtpError::TransportFeedback)?;
        rest = tail;
        let mut chunk = Chunk::decode(u16::from_be_bytes(*bytes));
        if let Chunk::Run { symbol, left: run } = chunk {
            let run = usize::from(run).min(left);
            if run == 0 || symbol > LARGE {
                return Err(RtpError::TransportFeedback);
            }
            delta_bytes += run * usize::from(symbol);
            left -= run;
            continue;
        }
        while left > 0
            && let Some(symbol) = chunk.next()
        {
            if symbol > LARGE {
                return Err(RtpError::TransportFeedback);
            }
            // A small delta takes one byte, a large one two: the symbol itself.
            delta_bytes += usize::from(symbol);
            left -= 1;
        }
    }
    let chunks = &data[..data.len() - rest.len()];
    let deltas = rest.get(..delta_bytes).ok_or(RtpError::TransportFeedback)?;
    Ok((chunks, deltas))
}

/// Appends a feedback packet on `arrivals`, one per sequence number from `base_sequence` on: the delta to the
/// arrival before (of the first: to `reference_time`, in units of 64 ms) in units of [`DELTA_TICK`], or `None`
/// for a packet that did not arrive.
///
/// Only the first [`MAX_FEEDBACK_PACKETS`] are written; none if `arrivals` is empty.
pub fn write_transport_feedback(
    sender_ssrc: u32,
    media_ssrc: u32,
    base_sequence: u16,
    reference_time: i32,
    feedback_count: u8,
    arrivals: &[Option<i16>],
    out: &mut Vec<u8>,
) {
    let arrivals = &arrivals[..arrivals.len().min(usize::from(MAX_FEEDBACK_PACKETS))];
    if arrivals.is_empty() {
        return;
    }
    let start = out.len();
    out.extend_from_slice(&[0x80 | FMT_TRANSPORT_CC, TRANSPORT_LAYER_FEEDBACK, 0, 0]);
    out.extend_from_slice(&sender_ssrc.to_be_bytes());
    out.extend_from_slice(&media_ssrc.to_be_bytes());
    out.extend_from_slice(&base_sequence.to_be_bytes());
    out.extend_from_slice(&(arrivals.len() as u16).to_be_bytes());
    let time = (reference_time << 8).cast_unsigned() | u32::from(feedback_count);
    out.extend_from_slice(&time.to_be_bytes());
    let mut rest = arrivals;
    while !rest.is_empty() {
        let (word, used) = encode_chunk(rest);
        out.extend_from_slice(&word.to_be_bytes());
        rest = &rest[used..];
    }
    for delta in arrivals.iter().flatten() {
        match u8::try_from(*delta) {
            Ok(small) => out.push(small),
            Err(_) => out.extend_from_slice(&delta.to_be_bytes()),
        }
    }
    super::write::close(start, out);
}

fn symbol(arrival: &Option<i16>) -> u8 {
    match arrival {
        None => LOST,
        Some(0..=255) => SMALL,
        Some(_) => LARGE,
    }
}

/// The chunk that covers the most of what is left (not empty), and how many it covers. A vector may reach
/// beyond the end: the packet count says where the symbols end.
fn encode_chunk(rest: &[Option<i16>]) -> (u16, usize) {
    let first = symbol(&rest[0]);
    let run = rest.iter().take(MAX_RUN).take_while(|arrival| symbol(arrival) == first).count();
    let one_bit = rest.iter().take(ONE_BIT_SYMBOLS).take_while(|arrival| symbol(arrival) != LARGE).count();
    let all_one_bit = one_bit == rest.len().min(ONE_BIT_SYMBOLS);
    if run >= ONE_BIT_SYMBOLS || run == rest.len() || (run >= TWO_BIT_SYMBOLS && !all_one_bit) {
        return ((u16::from(first) << 13) | run as u16, run);
    }
    let (head, bits, capacity) =
        if all_one_bit { (0x8000, 1, ONE_BIT_SYMBOLS) } else { (0xC000, 2, TWO_BIT_SYMBOLS) };
    let used = rest.len().min(capacity);
    let mut word: u16 = 0;
    for at in 0..capacity {
        word = (word << bits) | rest.get(at).map_or(0, |arrival| u16::from(symbol(arrival)));
    }
    (head | word, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::rtcp;

    /// A feedback packet with this base, count, chunks and deltas.
    fn feedback(base: u16, count: u16, chunks_and_deltas: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x8F, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
        bytes.extend_from_slice(&base.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&[0xFF, 0xFF, 0xFE, 77]);
        bytes.extend_from_slice(chunks_and_deltas);
        rtcp::write::close(0, &mut bytes);
        bytes
    }

    fn read(bytes: &[u8]) -> Vec<(u16, Option<i16>)> {
        match rtcp::parse(bytes).next() {
            Some(Ok(RtcpPacket::TransportFeedback { arrivals, .. })) => arrivals.collect(),
            other => panic!("{other:?}"),
        }
    }

    fn is_refused(bytes: &[u8]) -> bool {
        matches!(rtcp::parse(bytes).next(), Some(Err(RtpError::TransportFeedback)))
    }

    #[test]
    fn the_fields_of_the_header() {
        let bytes = feedback(65_535, 1, &[0x20, 0x01, 9]);
        let Some(Ok(RtcpPacket::TransportFeedback {
            sender_ssrc,
            media_ssrc,
            base_sequence,
            packet_count,
            feedback_count,
            reference_time,
            arrivals,
        })) = rtcp::parse(&bytes).next()
        else {
            panic!("no feedback")
        };
        assert_eq!((sender_ssrc, media_ssrc), (1, 2));
        assert_eq!((base_sequence, packet_count, feedback_count), (65_535, 1, 77));
        assert_eq!(reference_time, -2, "24 bits, signed");
        assert_eq!(arrivals.collect::<Vec<_>>(), [(65_535, Some(9))]);
    }

    #[test]
    fn the_run_length_example_of_section_3_1_3() {
        // 0 00 then 221: a run of 221 lost packets.
        let bytes = feedback(65_500, 221, &[0x00, 0xDD]);
        let arrivals = read(&bytes);
        assert_eq!(arrivals.len(), 221);
        assert!(arrivals.iter().all(|(_, delta)| delta.is_none()));
        assert_eq!(arrivals[36].0, 0, "numbers wrap");
    }

    #[test]
    fn the_vector_examples_of_section_3_1_4() {
        // One bit: lost, 5 received, 3 lost, 3 received, 2 lost.
        let one_bit = feedback(0, 14, &[0b1001_1111, 0b0001_1100, 1, 2, 3, 4, 5, 6, 7, 8]);
        let deltas: Vec<_> = read(&one_bit).into_iter().map(|(_, delta)| delta).collect();
        let (l, r) = (None, Some);
        assert_eq!(deltas, [l, r(1), r(2), r(3), r(4), r(5), l, l, l, r(6), r(7), r(8), l, l]);
        // Two bits: lost, large, 3 small, 2 lost.
        let two_bits = feedback(0, 7, &[0b1100_1001, 0b0101_0000, 0xFF, 0x00, 3, 4, 5]);
        let deltas: Vec<_> = read(&two_bits).into_iter().map(|(_, delta)| delta).collect();
        assert_eq!(deltas, [l, r(-256), r(3), r(4), r(5), l, l]);
    }

    #[test]
    fn counts_chunks_and_deltas_must_agree() {
        assert!(is_refused(&feedback(0, 0, &[0x20, 0x01, 1])), "nothing reported");
        assert!(is_refused(&feedback(0, 9000, &[0x1F, 0xFF, 0x1F, 0xFF])), "beyond the bound");
        assert!(is_refused(&feedback(0, 8, &[])), "no chunks");
        assert!(is_refused(&feedback(0, 8, &[0x20, 0x00, 0x20, 0x00])), "runs of nothing");
        assert!(is_refused(&feedback(0, 8, &[0x20, 0x08, 1, 2])), "deltas cut off");
        assert!(is_refused(&feedback(0, 2, &[0x60, 0x02, 1, 2, 3, 4, 5, 6])), "reserved symbol in a run");
        assert!(is_refused(&feedback(0, 2, &[0xF0, 0x00, 1, 2, 3, 4, 5, 6])), "reserved symbol in a vector");
    }

    #[test]
    fn a_steady_stream_is_one_run() {
        let mut bytes = Vec::new();
        write_transport_feedback(1, 2, 100, 5, 0, &[Some(10); 100], &mut bytes);
        assert_eq!(bytes.len(), 20 + 2 + 100 + 2, "one chunk, a byte per packet, padding");
        assert_eq!(read(&bytes).len(), 100);
    }

    #[test]
    fn scattered_losses_share_a_chunk() {
        let (l, s) = (None, Some(1));
        let mut bytes = Vec::new();
        write_transport_feedback(1, 2, 0, 0, 0, &[l, l, l, s, s, s, l, l, l, s, s, s, l, l], &mut bytes);
        assert_eq!(bytes.len(), 20 + 2 + 6, "one vector of 14, six deltas");
    }

    #[test]
    fn each_kind_of_chunk_survives() {
        let (l, s, b) = (None, Some(255), Some(-1));
        let cases: [&[Option<i16>]; 7] = [
            &[s],
            &[l, s, l, s, s, l, s, l, s, s, l, s, l, s, s],
            &[b, l, s, s, l, l, s, b, b],
            &[s, s, s, s, s, s, s, s, b, l],
            &[b; 20],
            &[Some(i16::MIN), Some(i16::MAX), Some(256)],
            &[l, l, l, s],
        ];
        for arrivals in cases {
            let mut bytes = Vec::new();
            write_transport_feedback(1, 2, 65_530, 0, 3, arrivals, &mut bytes);
            let deltas: Vec<_> = read(&bytes).into_iter().map(|(_, delta)| delta).collect();
            assert_eq!(deltas, arrivals);
        }
    }

    #[test]
    fn more_than_the_bound_is_not_written() {
        let mut bytes = Vec::new();
        write_transport_feedback(1, 2, 0, 0, 0, &[None; 10_000], &mut bytes);
        assert_eq!(read(&bytes).len(), usize::from(MAX_FEEDBACK_PACKETS));
        bytes.clear();
        write_transport_feedback(1, 2, 0, 0, 0, &[], &mut bytes);
        assert!(bytes.is_empty());
    }
}
