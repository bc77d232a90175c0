//! RTCP: compound and reduced-size packets (RFC 3550 §6, RFC 5506) as views, and their writing.

mod feedback;
mod report;
mod transport_feedback;
mod write;

pub use feedback::{FirEntries, Lost, Ssrcs, XrBlocks};
pub use report::{ReportBlock, ReportBlocks, SdesChunk, SdesChunks, SenderInfo};
pub use transport_feedback::{
    Arrivals, DELTA_TICK, MAX_FEEDBACK_PACKETS, REFERENCE_TICK, write_transport_feedback,
};
pub use write::{
    write_bye, write_fir, write_nack, write_pli, write_receiver_report, write_remb, write_sdes_cname,
    write_sender_report,
};

use crate::RtpError;

/// Packet types (RFC 3550 §12.1, RFC 4585 §6.1, RFC 3611 §2).
pub(crate) const SENDER_REPORT: u8 = 200;
pub(crate) const RECEIVER_REPORT: u8 = 201;
pub(crate) const SOURCE_DESCRIPTION: u8 = 202;
pub(crate) const GOODBYE: u8 = 203;
pub(crate) const TRANSPORT_LAYER_FEEDBACK: u8 = 205;
pub(crate) const PAYLOAD_SPECIFIC_FEEDBACK: u8 = 206;
pub(crate) const EXTENDED_REPORT: u8 = 207;
/// Feedback formats (RFC 4585 §6.2 and §6.3, RFC 5104 §4.3.1, draft-holmer-rmcat-transport-wide-cc).
pub(crate) const FMT_NACK: u8 = 1;
pub(crate) const FMT_TRANSPORT_CC: u8 = 15;
pub(crate) const FMT_PLI: u8 = 1;
pub(crate) const FMT_FIR: u8 = 4;
pub(crate) const FMT_APPLICATION: u8 = 15;

/// One packet of a compound.
#[derive(Clone, Debug)]
pub enum RtcpPacket<'a> {
    /// RFC 3550 §6.4.1.
    SenderReport {
        /// Who sends.
        ssrc: u32,
        /// The sender's wallclock, 64-bit NTP.
        ntp: u64,
        /// The RTP timestamp of the same moment.
        rtp_timestamp: u32,
        /// Packets sent, modulo 2³².
        packets: u32,
        /// Bytes of payload sent, modulo 2³².
        octets: u32,
        /// What the sender receives.
        reports: ReportBlocks<'a>,
    },
    /// RFC 3550 §6.4.2.
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// What it receives.
        reports: ReportBlocks<'a>,
    },
    /// RFC 3550 §6.5.
    SourceDescription {
        /// One chunk per source.
        chunks: SdesChunks<'a>,
    },
    /// RFC 3550 §6.6.
    Goodbye {
        /// The sources that leave.
        ssrcs: Ssrcs<'a>,
    },
    /// RFC 4585 §6.2.1.
    Nack {
        /// Who asks.
        sender_ssrc: u32,
        /// The stream that lost packets.
        media_ssrc: u32,
        /// The sequence numbers asked for.
        lost: Lost<'a>,
    },
    /// Picture loss indication, RFC 4585 §6.3.1.
    Pli {
        /// Who asks.
        sender_ssrc: u32,
        /// The stream that is to send a key frame.
        media_ssrc: u32,
    },
    /// Full intra request, RFC 5104 §4.3.1.
    Fir {
        /// Who asks.
        sender_ssrc: u32,
        /// (SSRC, command number) per stream.
        entries: FirEntries<'a>,
    },
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1.
    TransportFeedback {
        /// Who reports.
        sender_ssrc: u32,
        /// A stream of the transport.
        media_ssrc: u32,
        /// The first sequence number reported on.
        base_sequence: u16,
        /// How many sequence numbers are reported on; at most [`MAX_FEEDBACK_PACKETS`].
        packet_count: u16,
        /// Counts the feedback packets; wraps.
        feedback_count: u8,
        /// What the first delta counts from, in units of [`REFERENCE_TICK`] (64 ms), signed 24 bits.
        reference_time: i32,
        /// (sequence number, delta to the arrival before in units of [`DELTA_TICK`], or `None` if lost).
        arrivals: Arrivals<'a>,
    },
    /// Receiver's estimate of the bandwidth (draft-alvestrand-rmcat-remb-03).
    Remb {
        /// Who reports.
        sender_ssrc: u32,
        /// Bits per second.
        bitrate: u64,
        /// The streams that share it.
        ssrcs: Ssrcs<'a>,
    },
    /// RFC 3611.
    ExtendedReport {
        /// Who reports.
        ssrc: u32,
        /// (block type, block body) per block.
        blocks: XrBlocks<'a>,
    },
    /// Any other type or feedback format.
    Unknown {
        /// The packet type.
        packet_type: u8,
        /// The five bits of count, subtype or feedback format.
        format: u8,
    },
}

/// The packets of a decrypted RTCP datagram. Ends after the first error, because lengths cannot be trusted
/// behind it.
pub fn parse(datagram: &[u8]) -> Packets<'_> {
    Packets { rest: datagram }
}

/// Iterator over the packets of one datagram.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<RtcpPacket<'a>, RtpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let packet = split(self.rest).and_then(|(header, body, rest)| {
            self.rest = rest;
            packet(header, body)
        });
        if packet.is_err() {
            self.rest = &[];
        }
        Some(packet)
    }
}

struct Header {
    format: u8,
    packet_type: u8,
}

/// Takes the first packet off: header, body without padding, and what follows.
fn split(data: &[u8]) -> Result<(Header, &[u8], &[u8]), RtpError> {
    let (head, tail) = data.split_first_chunk::<4>().ok_or(RtpError::RtcpTruncated)?;
    if head[0] >> 6 != 2 {
        return Err(RtpError::RtcpVersion);
    }
    let length = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
    let (mut body, rest) = tail.split_at_checked(length).ok_or(RtpError::RtcpTruncated)?;
    if head[0] & 0x20 != 0 {
        // RFC 3550 §6.4.1 wants multiples of four, in the last packet of a compound only. libwebrtc, and so every
        // browser, pads transport-wide feedback by one to three bytes, wherever it stands: without it there is no
        // estimate of the line. Each packet has its own length, so neither is ambiguous.
        let padding = usize::from(*body.last().ok_or(RtpError::RtcpPadding)?);
        let unpadded = body.len().checked_sub(padding).ok_or(RtpError::RtcpPadding)?;
        if padding == 0 {
            return Err(RtpError::RtcpPadding);
        }
        body = &body[..unpadded];
    }
    Ok((Header { format: head[0] & 0x1F, packet_type: head[1] }, body, rest))
}

fn packet(header: Header, body: &[u8]) -> Result<RtcpPacket<'_>, RtpError> {
    let unknown = RtcpPacket::Unknown { packet_type: header.packet_type, format: header.format };
    match header.packet_type {
        SENDER_REPORT => report::sender(header.format, body),
        RECEIVER_REPORT => report::receiver(header.format, body),
        SOURCE_DESCRIPTION => report::source_description(header.format, body),
        GOODBYE => feedback::goodbye(header.format, body),
        TRANSPORT_LAYER_FEEDBACK => match header.format {
            FMT_NACK => feedback::nack(body),
            FMT_TRANSPORT_CC => transport_feedback::parse(body),
            _ => Ok(unknown),
        },
        PAYLOAD_SPECIFIC_FEEDBACK => match header.format {
            FMT_PLI => feedback::pli(body),
            FMT_FIR => feedback::fir(body),
            FMT_APPLICATION => Ok(feedback::remb(body)?.unwrap_or(unknown)),
            _ => Ok(unknown),
        },
        EXTENDED_REPORT => feedback::extended_report(body),
        _ => Ok(unknown),
    }
}

/// Takes a 32-bit number off the front.
fn take_u32(body: &[u8]) -> Result<(u32, &[u8]), RtpError> {
    let (bytes, rest) = body.split_first_chunk::<4>().ok_or(RtpError::RtcpTruncated)?;
    Ok((u32::from_be_bytes(*bytes), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compound_packet_is_read_in_order() {
        let mut bytes = Vec::new();
        write_receiver_report(7, &[], &mut bytes);
        write_sdes_cname(7, "x", &mut bytes);
        write_pli(7, 8, &mut bytes);
        let packets: Vec<_> = parse(&bytes).map(Result::unwrap).collect();
        assert!(matches!(packets[0], RtcpPacket::ReceiverReport { ssrc: 7, .. }));
        assert!(matches!(packets[1], RtcpPacket::SourceDescription { .. }));
        assert!(matches!(packets[2], RtcpPacket::Pli { sender_ssrc: 7, media_ssrc: 8 }));
        assert_eq!(packets.len(), 3);
    }

    #[test]
    fn nothing_is_read_behind_an_error() {
        let mut bytes = Vec::new();
        write_pli(1, 2, &mut bytes);
        bytes.extend_from_slice(&[0x41, 206, 0, 2]);
        write_pli(3, 4, &mut bytes);
        let packets: Vec<_> = parse(&bytes).collect();
        assert!(matches!(packets[..], [Ok(RtcpPacket::Pli { .. }), Err(RtpError::RtcpVersion)]));
    }

    #[test]
    fn a_length_beyond_the_datagram_is_refused() {
        for bytes in [&[0x81, 206][..], &[0x81, 206, 0, 2, 0, 0, 0, 1], &[0x81, 206, 0, 1, 0, 0, 0, 1]] {
            assert!(matches!(parse(bytes).next(), Some(Err(RtpError::RtcpTruncated))), "{bytes:?}");
        }
        assert!(parse(&[]).next().is_none());
    }

    #[test]
    fn padding_is_taken_off_wherever_a_packet_stands() {
        let padded = [0xA1, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4];
        let twice = [padded, padded].concat();
        let found: Vec<_> = parse(&twice).collect();
        let is_whole =
            |packet: &Result<_, _>| matches!(packet, Ok(RtcpPacket::Pli { sender_ssrc: 1, media_ssrc: 2 }));
        assert!(found.len() == 2 && found.iter().all(is_whole), "{found:?}");
        for count in [0, 13, 255] {
            let mut wrong = padded;
            wrong[15] = count;
            assert!(matches!(parse(&wrong).next(), Some(Err(RtpError::RtcpPadding))), "{count}");
        }
    }

    #[test]
    fn transport_wide_feedback_is_read_as_libwebrtc_pads_it() {
        // One packet, received 1 ms after the reference time: one chunk, one delta, one byte of padding.
        let feedback = [
            0xAF, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0, 1, 0, 0, 1, 0, 0x20, 1, 4, 1, //
        ];
        let pli = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        let compound = [&feedback[..], &pli].concat();
        let found: Vec<_> = parse(&compound).collect();
        let is_read =
            matches!(found[..], [Ok(RtcpPacket::TransportFeedback { .. }), Ok(RtcpPacket::Pli { .. })]);
        assert!(is_read, "{found:?}");
    }

    #[test]
    fn what_is_not_known_is_named() {
        let application = [0x83, 204, 0, 2, 0, 0, 0, 1, b'n', b'a', b'm', b'e'];
        let found = parse(&application).next();
        assert!(matches!(found, Some(Ok(RtcpPacket::Unknown { packet_type: 204, format: 3 }))));
        let not_remb = [0x8F, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, b'A', b'B', b'C', b'D'];
        let found = parse(&not_remb).next();
        assert!(matches!(found, Some(Ok(RtcpPacket::Unknown { packet_type: 206, format: 15 }))));
    }
}
