//! How one stream is received: loss, jitter, and the answer to its sender reports (RFC 3550 §6.4.1, A.1, A.3,
//! A.8).

use std::time::{Duration, Instant};

use crate::ntp::{NtpTime, duration_to_compact, duration_to_ticks};
use crate::rtcp::ReportBlock;
use crate::sequence::SequenceUnwrapper;

/// Statistics of one received SSRC.
#[derive(Clone, Debug)]
pub struct ReceptionStats {
    ssrc: u32,
    clock_rate: u32,
    first: Option<First>,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    /// Transit time of the last packet in timestamp units, modulo 2³².
    transit: u32,
    /// Jitter times 16 (A.8).
    jitter_16: u32,
    last_sr: Option<(NtpTime, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct First {
    sequence: u64,
    at: Instant,
}

impl ReceptionStats {
    /// For the stream `ssrc` whose timestamps tick `clock_rate` times a second.
    pub fn new(ssrc: u32, clock_rate: u32) -> Self {
        Self {
            ssrc,
            clock_rate,
            first: None,
            highest: 0,
            received: 0,
            expected_before: 0,
            received_before: 0,
            transit: 0,
            jitter_16: 0,
            last_sr: None,
        }
    }

    /// A packet of the stream arrived; not for retransmissions over RTX, which would count as jitter.
    /// `sequence` is extended ([`SequenceUnwrapper`]).
    #[inline]
    pub fn received(&mut self, now: Instant, sequence: u64, rtp_timestamp: u32) {
        self.received += 1;
        let is_first = self.first.is_none();
        let first = self.first.get_or_insert(First { sequence, at: now });
        // Packets that the first one overtook still count as expected.
        first.sequence = first.sequence.min(sequence);
        self.highest = self.highest.max(sequence);
        let arrival = duration_to_ticks(now.saturating_duration_since(first.at), self.clock_rate);
        let transit = arrival.wrapping_sub(rtp_timestamp);
        if !is_first {
            let difference = transit.wrapping_sub(self.transit).cast_signed().unsigned_abs();
            let decay = (self.jitter_16 + 8) >> 4;
            self.jitter_16 = self.jitter_16.saturating_sub(decay).saturating_add(difference.min(1 << 27));
        }
        self.transit = transit;
    }

    /// A packet that was lost arrived as a retransmission: it is no longer lost, and says nothing of jitter.
    pub fn repaired(&mut self) {
        self.received += 1;
    }

    /// A sender report of the stream arrived, with this NTP time.
    pub fn sender_report(&mut self, now: Instant, ntp: u64) {
        self.last_sr = Some((NtpTime(ntp), now));
    }

    /// Interarrival jitter.
    pub fn jitter(&self) -> Duration {
        let nanos = (u64::from(self.jitter_16 >> 4) * 1_000_000_000).checked_div(u64::from(self.clock_rate));
        Duration::from_nanos(nanos.unwrap_or(0))
    }

    /// Packets that arrived, duplicates included.
    pub fn packets(&self) -> u64 {
        self.received
    }

    /// Packets lost in all; negative with duplicates.
    pub fn cumulative_lost(&self) -> i64 {
        self.expected().cast_signed().saturating_sub(self.received.cast_signed())
    }

    /// The block for the next report, whose fraction counts since the last call; `None` before the first
    /// packet.
    pub fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        self.first?;
        let expected = self.expected();
        let expected_interval = expected - self.expected_before;
        let received_interval = self.received - self.received_before;
        self.expected_before = expected;
        self.received_before = self.received;
        let lost_interval = expected_interval.saturating_sub(received_interval);
        let fraction = lost_interval.saturating_mul(256).checked_div(expected_interval).unwrap_or(0).min(255);
        let (last_sr, delay_since_last_sr) = self.last_sr.map_or((0, 0), |(ntp, at)| {
            (ntp.middle_32(), duration_to_compact(now.saturating_duration_since(at)))
        });
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction as u8,
            cumulative_lost: self.cumulative_lost().clamp(-0x80_0000, 0x7F_FFFF) as i32,
            // The unwrapper begins one cycle up; a report counts cycles from the first packet.
            highest_sequence: self.highest.saturating_sub(SequenceUnwrapper::OFFSET) as u32,
            jitter: self.jitter_16 >> 4,
            last_sr,
            delay_since_last_sr,
        })
    }

    fn expected(&self) -> u64 {
        self.first.map_or(0, |first| (self.highest - first.sequence).saturating_add(1))
    }
}
