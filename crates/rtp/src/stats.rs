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
    repaired: u64,
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
            repaired: 0,
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

    /// A packet that was lost arrived as a retransmission. Reports still call it lost, as libwebrtc's do
    /// (`RtpVideoStreamReceiver2::OnRtpPacket` leaves recovered packets out): they tell the sender of the line.
    pub fn repaired(&mut self) {
        self.repaired += 1;
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

    /// Packets that arrived, duplicates and retransmissions included.
    pub fn packets(&self) -> u64 {
        self.received + self.repaired
    }

    /// Packets that are missing in all, after repair; negative with duplicates.
    pub fn missing(&self) -> i64 {
        self.lost().saturating_sub(self.repaired.cast_signed())
    }

    /// Packets lost in all, repaired or not; negative with duplicates.
    fn lost(&self) -> i64 {
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
            cumulative_lost: self.lost().clamp(-0x80_0000, 0x7F_FFFF) as i32,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Some moment; tests count from it.
    #[expect(clippy::disallowed_methods, reason = "there is no other way to an Instant")]
    fn start() -> Instant {
        Instant::now()
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const FIRST: u64 = SequenceUnwrapper::OFFSET + 100;

    fn stats() -> ReceptionStats {
        ReceptionStats::new(7, 90_000)
    }

    #[test]
    fn before_the_first_packet_there_is_nothing_to_report() {
        assert_eq!(stats().report_block(start()), None);
    }

    #[test]
    fn loss_is_counted_since_the_last_report_and_in_all() {
        let t = start();
        let mut stats = stats();
        for sequence in (0..100).filter(|sequence| sequence % 4 != 3) {
            stats.received(t, FIRST + sequence, 0);
        }
        // 99 was the last one lost and is not known yet: 24 of 99.
        let block = stats.report_block(t).unwrap();
        assert_eq!((block.ssrc, block.cumulative_lost), (7, 24));
        assert_eq!(u32::from(block.fraction_lost), 24 * 256 / 99);
        assert_eq!(block.highest_sequence, 198);
        for sequence in 99..200 {
            stats.received(t, FIRST + sequence, 0);
        }
        let block = stats.report_block(t).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 24));
    }

    #[test]
    fn cycles_are_in_the_upper_half_of_the_highest_number() {
        let t = start();
        let mut stats = stats();
        let mut unwrapper = SequenceUnwrapper::new();
        for sequence in [65_534_u16, 65_535, 0, 1] {
            stats.received(t, unwrapper.extend(sequence), 0);
        }
        let block = stats.report_block(t).unwrap();
        assert_eq!((block.highest_sequence, block.cumulative_lost), (0x0001_0001, 0));
    }

    #[test]
    fn duplicates_make_loss_negative_and_the_fraction_zero() {
        let t = start();
        let mut stats = stats();
        for sequence in [0, 1, 1, 1, 2] {
            stats.received(t, FIRST + sequence, 0);
        }
        let block = stats.report_block(t).unwrap();
        assert_eq!((block.cumulative_lost, block.fraction_lost), (-2, 0));
    }

    #[test]
    fn packets_that_the_first_one_overtook_are_expected_too() {
        let t = start();
        let mut stats = stats();
        stats.received(t, FIRST, 0);
        stats.received(t, FIRST - 2, 0);
        assert_eq!(stats.report_block(t).unwrap().cumulative_lost, 1);
        stats.repaired();
        assert_eq!(stats.report_block(t).unwrap().cumulative_lost, 1, "what the line lost");
        assert_eq!((stats.missing(), stats.packets()), (0, 3), "what is missing in the end");
    }

    #[test]
    fn an_even_stream_has_no_jitter() {
        let t = start();
        let mut stats = stats();
        for frame in 0..50 {
            stats.received(
                t + ms(20 * frame),
                FIRST + frame,
                (u32::MAX - 9_000).wrapping_add(1_800 * frame as u32),
            );
        }
        assert_eq!(stats.report_block(t).unwrap().jitter, 0);
    }

    #[test]
    fn jitter_approaches_the_mean_deviation() {
        let t = start();
        let mut stats = stats();
        // Every other packet is 10 ms (900 ticks) late: the difference is 900 each time.
        for frame in 0..200_u64 {
            let late = 10 * (frame % 2);
            stats.received(t + ms(20 * frame + late), FIRST + frame, 1_800_u32.wrapping_mul(frame as u32));
        }
        let jitter = stats.report_block(t).unwrap().jitter;
        assert!((880..=900).contains(&jitter), "{jitter}");
        assert!(stats.jitter() >= Duration::from_micros(9_700) && stats.jitter() <= ms(10));
    }

    #[test]
    fn a_sender_report_is_answered() {
        let t = start();
        let mut stats = stats();
        stats.received(t, FIRST, 0);
        assert_eq!(
            stats.report_block(t).map(|block| (block.last_sr, block.delay_since_last_sr)),
            Some((0, 0))
        );
        stats.sender_report(t, 0xB44D_B705_2000_0000);
        let block = stats.report_block(t + ms(5250)).unwrap();
        assert_eq!((block.last_sr, block.delay_since_last_sr), (0xB705_2000, 0x0005_4000));
    }
}
