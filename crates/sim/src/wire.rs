//! RTP and RTCP as the simulated clients read and write them: from the RFCs, without the core's code, so
//! that an error in one is not hidden by the same error in the other.

use crate::client::Connection;

/// A received RTP packet, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtp<'a> {
    /// Marker bit.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Header extension elements: id and value.
    pub extensions: Vec<(u8, &'a [u8])>,
    /// Payload without padding.
    pub payload: &'a [u8],
}

impl<'a> Rtp<'a> {
    /// Reads a packet (RFC 3550 §5.1, RFC 8285); `None` if it is malformed in any way.
    pub fn read(packet: &'a [u8]) -> Option<Self> {
        let (header, mut rest) = packet.split_first_chunk::<12>()?;
        if header[0] >> 6 != 2 || header[0] & 0x0f != 0 {
            return None;
        }
        let mut extensions = Vec::new();
        if header[0] & 0x10 != 0 {
            let (head, tail) = rest.split_first_chunk::<4>()?;
            let length = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (body, tail) = tail.split_at_checked(length)?;
            rest = tail;
            extensions = match [head[0], head[1]] {
                [0xbe, 0xde] => elements(body, false)?,
                [0x10, 0x00] => elements(body, true)?,
                _ => return None,
            };
        }
        if header[0] & 0x20 != 0 {
            let padding = usize::from(*rest.last()?);
            rest = rest.get(..rest.len().checked_sub(padding)?).filter(|_| padding > 0)?;
        }
        Some(Self {
            marker: header[1] & 0x80 != 0,
            payload_type: header[1] & 0x7f,
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            extensions,
            payload: rest,
        })
    }

    /// The value of an extension element.
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions.iter().find(|(found, _)| *found == id).map(|(_, value)| *value)
    }
}

fn elements(body: &[u8], two_byte: bool) -> Option<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    let mut rest = body;
    while let Some((first, tail)) = rest.split_first() {
        if *first == 0 {
            rest = tail;
            continue;
        }
        let (id, length, tail) = if two_byte {
            let (length, tail) = tail.split_first()?;
            (*first, usize::from(*length), tail)
        } else {
            (first >> 4, usize::from(first & 0x0f) + 1, tail)
        };
        let (value, tail) = tail.split_at_checked(length)?;
        found.push((id, value));
        rest = tail;
    }
    Some(found)
}

/// What a client writes into an RTP header.
#[derive(Clone, Debug)]
pub struct RtpHeader {
    /// Marker bit.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Whether padding follows the payload.
    pub padding: bool,
    /// Header extension elements.
    pub extensions: Vec<(u8, Vec<u8>)>,
}

impl RtpHeader {
    /// The header's bytes, with one-byte elements where they fit and two-byte elements otherwise.
    pub fn bytes(&self) -> Vec<u8> {
        let flags = 0x80 | (u8::from(self.padding) << 5) | (u8::from(!self.extensions.is_empty()) << 4);
        let mut out = vec![flags, (u8::from(self.marker) << 7) | self.payload_type];
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.timestamp.to_be_bytes());
        out.extend(self.ssrc.to_be_bytes());
        if self.extensions.is_empty() {
            return out;
        }
        let one_byte = self.extensions.iter().all(|(id, value)| *id < 15 && (1..=16).contains(&value.len()));
        let mut body = Vec::new();
        for (id, value) in &self.extensions {
            if one_byte {
                body.push((id << 4) | (value.len() as u8 - 1));
            } else {
                body.extend([*id, value.len() as u8]);
            }
            body.extend_from_slice(value);
        }
        body.resize(body.len().next_multiple_of(4), 0);
        out.extend(if one_byte { [0xbe, 0xde] } else { [0x10, 0x00] });
        out.extend(((body.len() / 4) as u16).to_be_bytes());
        out.extend(body);
        out
    }
}

/// One RTCP packet of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rtcp {
    /// RFC 3550 §6.4.1, with the sources of its report blocks.
    SenderReport {
        /// Whose.
        ssrc: u32,
        /// Wallclock, 32.32 bits.
        ntp: u64,
        /// The same moment in RTP ticks.
        timestamp: u32,
        /// Sources reported on.
        blocks: Vec<Block>,
    },
    /// RFC 3550 §6.4.2.
    ReceiverReport {
        /// Reports on these sources.
        blocks: Vec<Block>,
    },
    /// RFC 3550 §6.5: (source, canonical name).
    Names(Vec<(u32, String)>),
    /// RFC 4585 §6.2.1.
    Nack {
        /// Of which source.
        media: u32,
        /// What is missing.
        lost: Vec<u16>,
    },
    /// RFC 4585 §6.3.1 or RFC 5104 §4.3.1: a key frame of this source is wanted.
    KeyframeRequest(u32),
    /// Transport-wide feedback.
    TransportFeedback {
        /// First sequence number.
        base: u16,
        /// Packets covered.
        count: u16,
    },
    /// Anything else.
    Other,
}

impl Rtcp {
    /// Whether it is said on this connection of a client that has two: of media where those flow.
    pub fn belongs_on(&self, connection: Connection) -> bool {
        match self {
            Self::SenderReport { .. } => connection == Connection::Main,
            Self::Nack { .. } | Self::KeyframeRequest(_) | Self::TransportFeedback { .. } => {
                connection == Connection::Publisher
            }
            Self::ReceiverReport { .. } | Self::Names(_) | Self::Other => true,
        }
    }
}

/// A report block (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Of which source.
    pub ssrc: u32,
    /// Fraction lost, of 256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, in 24 bits.
    pub lost: u32,
    /// Extended highest sequence number.
    pub highest: u32,
    /// The middle 32 bits of the newest sender report's wallclock; 0 for none.
    pub last_report: u32,
    /// How long ago that came, in units of 2⁻¹⁶ s.
    pub delay: u32,
}

/// Reads a compound or reduced-size packet; `None` if it is malformed.
pub fn read_rtcp(mut rest: &[u8]) -> Option<Vec<Rtcp>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (header, tail) = rest.split_first_chunk::<4>()?;
        let length = 4 * usize::from(u16::from_be_bytes([header[2], header[3]]));
        let (body, tail) = tail.split_at_checked(length)?;
        rest = tail;
        if header[0] >> 6 != 2 || header[0] & 0x20 != 0 {
            return None;
        }
        found.push(read_packet(header[0] & 0x1f, header[1], body)?);
    }
    Some(found)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn read_packet(count: u8, kind: u8, body: &[u8]) -> Option<Rtcp> {
    Some(match (kind, count) {
        (200, _) => Rtcp::SenderReport {
            ssrc: u32_at(body, 0)?,
            ntp: (u64::from(u32_at(body, 4)?) << 32) | u64::from(u32_at(body, 8)?),
            timestamp: u32_at(body, 12)?,
            blocks: read_blocks(body.get(24..)?, count)?,
        },
        (201, _) => Rtcp::ReceiverReport { blocks: read_blocks(body.get(4..)?, count)? },
        (202, _) => read_names(body, count)?,
        (205, 1) => {
            let mut lost = Vec::new();
            for entry in body.get(8..)?.chunks_exact(4) {
                let first = u16::from_be_bytes([entry[0], entry[1]]);
                let mask = u16::from_be_bytes([entry[2], entry[3]]);
                lost.push(first);
                lost.extend(
                    (0..16).filter(|bit| mask & (1 << bit) != 0).map(|bit| first.wrapping_add(bit + 1)),
                );
            }
            Rtcp::Nack { media: u32_at(body, 4)?, lost }
        }
        (205, 15) => {
            let head = u32_at(body, 8)?;
            Rtcp::TransportFeedback { base: (head >> 16) as u16, count: head as u16 }
        }
        (206, 1) => Rtcp::KeyframeRequest(u32_at(body, 4)?),
        (206, 4) => Rtcp::KeyframeRequest(u32_at(body, 8)?),
        _ => Rtcp::Other,
    })
}

fn read_blocks(body: &[u8], count: u8) -> Option<Vec<Block>> {
    (0..usize::from(count))
        .map(|index| {
            let block = body.get(index * 24..(index + 1) * 24)?;
            Some(Block {
                ssrc: u32_at(block, 0)?,
                fraction_lost: block[4],
                lost: u32_at(block, 4)? & 0xff_ffff,
                highest: u32_at(block, 8)?,
                last_report: u32_at(block, 16)?,
                delay: u32_at(block, 20)?,
            })
        })
        .collect()
}

fn read_names(body: &[u8], count: u8) -> Option<Rtcp> {
    let mut names = Vec::new();
    let mut rest = body;
    for _ in 0..count {
        let ssrc = u32_at(rest, 0)?;
        let [kind, length, ..] = *rest.get(4..)? else { return None };
        let text = rest.get(6..6 + usize::from(length)).filter(|_| kind == 1)?;
        names.push((ssrc, String::from_utf8(text.to_vec()).ok()?));
        // The list ends with at least one zero byte, on a word boundary.
        rest = rest.get((6 + usize::from(length) + 1).next_multiple_of(4)..)?;
    }
    Some(Rtcp::Names(names))
}

fn packet(out: &mut Vec<u8>, count: u8, kind: u8, body: &[u8]) {
    out.extend([0x80 | count, kind]);
    out.extend(((body.len() / 4) as u16).to_be_bytes());
    out.extend_from_slice(body);
}

/// Appends a sender report.
pub fn write_sender_report(
    out: &mut Vec<u8>,
    ssrc: u32,
    ntp: u64,
    timestamp: u32,
    packets: u32,
    octets: u32,
) {
    let mut body = ssrc.to_be_bytes().to_vec();
    body.extend(ntp.to_be_bytes());
    for word in [timestamp, packets, octets] {
        body.extend(word.to_be_bytes());
    }
    packet(out, 0, 200, &body);
}

/// Appends receiver reports with these blocks, at most 31 in each.
pub fn write_receiver_reports(out: &mut Vec<u8>, sender: u32, blocks: &[Block]) {
    for blocks in blocks.chunks(31) {
        let mut body = sender.to_be_bytes().to_vec();
        for block in blocks {
            body.extend(block.ssrc.to_be_bytes());
            body.extend([block.fraction_lost]);
            body.extend(&block.lost.to_be_bytes()[1..]);
            body.extend(block.highest.to_be_bytes());
            body.extend([0; 4]);
            body.extend(block.last_report.to_be_bytes());
            body.extend(block.delay.to_be_bytes());
        }
        packet(out, blocks.len() as u8, 201, &body);
    }
}

/// Appends a NACK for these numbers, one entry each.
pub fn write_nack(out: &mut Vec<u8>, sender: u32, media: u32, lost: &[u16]) {
    let mut body = sender.to_be_bytes().to_vec();
    body.extend(media.to_be_bytes());
    for sequence in lost {
        body.extend(sequence.to_be_bytes());
        body.extend([0, 0]);
    }
    packet(out, 1, 205, &body);
}

/// Appends a picture loss indication.
pub fn write_pli(out: &mut Vec<u8>, sender: u32, media: u32) {
    let mut body = sender.to_be_bytes().to_vec();
    body.extend(media.to_be_bytes());
    packet(out, 1, 206, &body);
}

/// Appends a full intra request.
pub fn write_fir(out: &mut Vec<u8>, sender: u32, media: u32, number: u8) {
    let mut body = sender.to_be_bytes().to_vec();
    body.extend([0; 4]);
    body.extend(media.to_be_bytes());
    body.extend([number, 0, 0, 0]);
    packet(out, 4, 206, &body);
}

/// Appends transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1) that seven packets arrived,
/// 250 µs after each other, from the one numbered `base` on; `count` numbers the feedback.
pub fn write_arrivals(out: &mut Vec<u8>, sender: u32, media: u32, base: u16, count: u8) {
    let mut body = sender.to_be_bytes().to_vec();
    body.extend(media.to_be_bytes());
    body.extend(base.to_be_bytes());
    body.extend([0, 7]);
    body.extend([0, 0, 1, count]); // a time of reference
    body.extend([0x20, 7]); // a run of seven packets with small deltas
    body.extend([1; 7]);
    body.extend([0; 3]); // up to a whole word
    packet(out, 15, 205, &body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_header_is_read_back_in_both_forms() {
        for id in [3, 40] {
            let header = RtpHeader {
                marker: true,
                payload_type: 96,
                sequence: 65_535,
                timestamp: 7,
                ssrc: 9,
                padding: false,
                extensions: vec![(id, vec![1, 2, 3]), (1, b"mid".to_vec())],
            };
            let mut packet = header.bytes();
            packet.extend(b"payload");
            let read = Rtp::read(&packet).expect("well formed");
            assert_eq!((read.sequence, read.payload), (65_535, &b"payload"[..]));
            assert_eq!((read.extension(id), read.extension(1)), (Some(&[1, 2, 3][..]), Some(&b"mid"[..])));
        }
    }

    #[test]
    fn written_feedback_is_read_back() {
        let block = Block {
            ssrc: 5,
            fraction_lost: 3,
            lost: 70_001,
            highest: 70_000,
            last_report: 0x1234_5678,
            delay: 65_536,
        };
        let mut out = Vec::new();
        write_receiver_reports(&mut out, 1, &[block]);
        write_nack(&mut out, 1, 5, &[9, 65_535]);
        write_pli(&mut out, 1, 5);
        write_fir(&mut out, 1, 6, 2);
        let read = read_rtcp(&out).expect("well formed");
        assert_eq!(
            read,
            [
                Rtcp::ReceiverReport { blocks: vec![block] },
                Rtcp::Nack { media: 5, lost: vec![9, 65_535] },
                Rtcp::KeyframeRequest(5),
                Rtcp::KeyframeRequest(6),
            ]
        );
    }
}
