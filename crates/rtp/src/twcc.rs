//! Arrival times of one transport's packets by their transport-wide sequence numbers, and the feedback on them
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtcp::{DELTA_TICK, MAX_FEEDBACK_PACKETS, REFERENCE_TICK, write_transport_feedback};
use crate::sequence::SequenceUnwrapper;

/// Pause between feedbacks: browsers send theirs every 50 to 62 ms (measured).
pub const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);
/// Most arrivals not yet reported; the oldest go first. Raising it costs 24 bytes each per transport.
const MAX_PENDING: usize = 2048;
/// Longest feedback packet in bytes: with report, SRTCP trailer and headers it stays below 1200.
const MAX_FEEDBACK_LEN: usize = 1000;
/// Delta ticks per reference tick.
const TICKS_PER_REFERENCE: i64 = (REFERENCE_TICK.as_micros() / DELTA_TICK.as_micros()) as i64;
/// Delta ticks per second.
const TICKS_PER_SECOND: u64 = 1_000_000_000 / DELTA_TICK.subsec_nanos() as u64;

#[derive(Clone, Copy, Debug)]
struct Pending {
    sequence: u64,
    /// Since the first arrival, in [`DELTA_TICK`].
    tick: i64,
}

/// Records arrivals of one transport and writes feedback on them.
#[derive(Clone, Debug, Default)]
pub struct ArrivalRecorder {
    unwrapper: SequenceUnwrapper,
    epoch: Option<Instant>,
    /// Ascending by sequence number, without duplicates.
    pending: VecDeque<Pending>,
    /// The first number that no feedback has covered.
    next_sequence: Option<u64>,
    feedback_count: u8,
    due: Option<Instant>,
    last_written: Option<Instant>,
    scratch: Vec<Option<i16>>,
}

impl ArrivalRecorder {
    /// Nothing received yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet with this transport-wide sequence number arrived. Of duplicates the first arrival counts.
    #[inline]
    pub fn record(&mut self, sequence: u16, at: Instant) {
        let epoch = *self.epoch.get_or_insert(at);
        let sequence = self.unwrapper.extend(sequence);
        let tick = ticks(at.saturating_duration_since(epoch));
        if self.due.is_none() {
            let paced = self.last_written.map(|last| last + FEEDBACK_INTERVAL);
            self.due = Some(paced.map_or(at + FEEDBACK_INTERVAL, |due| due.max(at)));
        }
        let entry = Pending { sequence, tick };
        if self.pending.back().is_none_or(|last| last.sequence < sequence) {
            self.pending.push_back(entry);
        } else if let Err(place) = self.pending.binary_search_by_key(&sequence, |found| found.sequence) {
            self.pending.insert(place, entry);
        }
        if self.pending.len() > MAX_PENDING {
            self.pending.pop_front();
        }
    }

    /// When feedback is due; `None` while there is nothing to report.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Appends one feedback packet to `out` and returns whether it did. Call until it returns `false`: a long
    /// report is split, so that each packet fits a datagram.
    ///
    /// Packets between those reported before and those that arrived are reported lost; one that arrives after
    /// all is reported by itself.
    pub fn write_feedback(
        &mut self,
        now: Instant,
        sender_ssrc: u32,
        media_ssrc: u32,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(&first) = self.pending.front() else {
            self.due = None;
            return false;
        };
        let base = self.base(first.sequence);
        let late = self.next_sequence.is_some_and(|next| first.sequence < next);
        let reference = first.tick.div_euclid(TICKS_PER_REFERENCE);
        let mut previous = reference * TICKS_PER_REFERENCE;
        let mut next = base;
        let mut delta_bytes = 0;
        self.scratch.clear();
        let mut taken = 0;
        for entry in &self.pending {
            // Numbers that an earlier feedback covered must not be reported lost now: a late packet's report
            // ends before the first gap.
            if late && entry.sequence != next {
                break;
            }
            let covered = entry.sequence - base + 1;
            let Ok(delta) = i16::try_from(entry.tick - previous) else { break };
            delta_bytes += if (0..=255).contains(&delta) { 1 } else { 2 };
            let chunk_bytes = 2 * covered.div_ceil(7) as usize;
            let too_long = 24 + chunk_bytes + delta_bytes > MAX_FEEDBACK_LEN;
            if taken > 0 && (covered > u64::from(MAX_FEEDBACK_PACKETS) || too_long) {
                break;
            }
            self.scratch.resize((entry.sequence - base) as usize, None);
            self.scratch.push(Some(delta));
            previous = entry.tick;
            next = entry.sequence + 1;
            taken += 1;
        }
        write_transport_feedback(
            sender_ssrc,
            media_ssrc,
            base as u16,
            reference as i32,
            self.feedback_count,
            &self.scratch,
            out,
        );
        self.feedback_count = self.feedback_count.wrapping_add(1);
        self.pending.drain(..taken);
        self.next_sequence = Some(self.next_sequence.map_or(next, |covered| covered.max(next)));
        self.last_written = Some(now);
        self.due = (!self.pending.is_empty()).then_some(now);
        true
    }

    /// Where a report that begins with the arrival of `first` begins.
    fn base(&self, first: u64) -> u64 {
        match self.next_sequence {
            // After a gap wider than one report holds, what lies in it is not worth reporting.
            Some(next) if next <= first && first - next < u64::from(MAX_FEEDBACK_PACKETS) => next,
            _ => first,
        }
    }
}

/// A duration in [`DELTA_TICK`], rounded down, by divisions of 32 bits: it is asked for with every packet.
fn ticks(duration: Duration) -> i64 {
    (duration.as_secs() * TICKS_PER_SECOND + u64::from(duration.subsec_nanos() / DELTA_TICK.subsec_nanos()))
        as i64
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

    use crate::rtcp::{RtcpPacket, parse};

    /// All feedback on what was recorded: (number of packets, arrivals as (sequence number, ms)).
    fn drain(recorder: &mut ArrivalRecorder, now: Instant) -> (usize, Vec<(u16, Option<i64>)>) {
        let (mut count, mut found) = (0, Vec::new());
        loop {
            let mut bytes = Vec::new();
            if !recorder.write_feedback(now, 1, 2, &mut bytes) {
                assert!(bytes.is_empty());
                return (count, found);
            }
            assert!(bytes.len() <= MAX_FEEDBACK_LEN + 24, "{}", bytes.len());
            count += 1;
            let Some(Ok(RtcpPacket::TransportFeedback { reference_time, arrivals, .. })) =
                parse(&bytes).next()
            else {
                panic!("no feedback")
            };
            let mut tick = i64::from(reference_time) * TICKS_PER_REFERENCE;
            for (sequence, delta) in arrivals {
                found.push((
                    sequence,
                    delta.map(|delta| {
                        tick += i64::from(delta);
                        tick / 4
                    }),
                ));
            }
        }
    }

    #[test]
    fn arrivals_and_losses_are_reported_once() {
        let t = start();
        let mut recorder = ArrivalRecorder::new();
        assert_eq!(recorder.next_deadline(), None);
        for (sequence, at) in [(65_534, 0), (65_535, 5), (1, 70)] {
            recorder.record(sequence, t + ms(at));
        }
        assert_eq!(recorder.next_deadline(), Some(t + FEEDBACK_INTERVAL));
        let expected = vec![(65_534, Some(0)), (65_535, Some(5)), (0, None), (1, Some(70))];
        assert_eq!(drain(&mut recorder, t + ms(70)), (1, expected));
        assert_eq!(drain(&mut recorder, t + ms(80)), (0, vec![]));
        recorder.record(3, t + ms(90));
        let (_, found) = drain(&mut recorder, t + ms(120));
        assert_eq!(found, [(2, None), (3, Some(90))], "goes on where the last one ended");
    }

    #[test]
    fn arrivals_are_counted_in_whole_ticks() {
        for micros in [0, 249, 250, 999_999, 1_000_000, 3_600_000_249, 3_600_000_250] {
            let duration = Duration::from_micros(micros);
            let exact = duration.as_micros() / DELTA_TICK.as_micros();
            assert_eq!(u128::try_from(ticks(duration)), Ok(exact), "{micros} us");
        }
    }

    #[test]
    fn feedback_is_paced_from_the_last_one() {
        let t = start();
        let mut recorder = ArrivalRecorder::new();
        recorder.record(1, t);
        drain(&mut recorder, t + ms(50));
        assert_eq!(recorder.next_deadline(), None, "nothing to report");
        recorder.record(2, t + ms(60));
        assert_eq!(recorder.next_deadline(), Some(t + ms(100)));
        drain(&mut recorder, t + ms(100));
        recorder.record(3, t + ms(400));
        assert_eq!(recorder.next_deadline(), Some(t + ms(400)), "after a pause at once");
    }

    #[test]
    fn reordered_packets_are_reported_in_order_with_negative_deltas() {
        let t = start();
        let mut recorder = ArrivalRecorder::new();
        for (sequence, at) in [(10, 0), (12, 10), (11, 20), (12, 30)] {
            recorder.record(sequence, t + ms(at));
        }
        let (_, found) = drain(&mut recorder, t + ms(50));
        assert_eq!(found, [(10, Some(0)), (11, Some(20)), (12, Some(10))], "the first arrival counts");
    }

    #[test]
    fn a_packet_after_its_feedback_is_reported_by_itself() {
        let t = start();
        let mut recorder = ArrivalRecorder::new();
        for (sequence, at) in [(10, 0), (11, 5), (15, 10)] {
            recorder.record(sequence, t + ms(at));
        }
        drain(&mut recorder, t + ms(50));
        for (sequence, at) in [(12, 60), (14, 62), (16, 65)] {
            recorder.record(sequence, t + ms(at));
        }
        let (packets, found) = drain(&mut recorder, t + ms(100));
        // 13 stays lost, 15 is not reported lost although it lies between.
        assert_eq!((packets, found), (3, vec![(12, Some(60)), (14, Some(62)), (16, Some(65))]));
    }

    #[test]
    fn a_long_pause_takes_a_new_reference() {
        let t = start();
        let mut recorder = ArrivalRecorder::new();
        recorder.record(1, t);
        recorder.record(2, t + Duration::from_secs(60));
        let (packets, found) = drain(&mut recorder, t + Duration::from_secs(60));
        assert_eq!((packets, found), (2, vec![(1, Some(0)), (2, Some(60_000))]));
    }

    #[test]
    fn a_long_report_is_split_and_complete() {
        let t = start();
        let mut recorder = ArrivalRecorder::new();
        for sequence in 0..2000_u16 {
            recorder.record(sequence, t + ms(u64::from(sequence) * 3));
        }
        let (packets, found) = drain(&mut recorder, t + ms(6000));
        assert!(packets > 1);
        let expected: Vec<_> = (0..2000).map(|n| (n as u16, Some(n * 3))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_never_collected_is_bounded() {
        let t = start();
        let mut recorder = ArrivalRecorder::new();
        for step in 0..100_000_u64 {
            recorder.record((step * 3) as u16, t + ms(step));
        }
        assert_eq!(recorder.pending.len(), MAX_PENDING);
        let (_, found) = drain(&mut recorder, t + ms(100_000));
        let arrived: Vec<_> = found.iter().filter_map(|(_, at)| *at).collect();
        assert_eq!(arrived.len(), MAX_PENDING);
        assert_eq!(arrived.last(), Some(&99_999));
    }

    #[test]
    fn a_jump_of_the_numbers_does_not_report_thousands() {
        let t = start();
        let mut recorder = ArrivalRecorder::new();
        recorder.record(0, t);
        drain(&mut recorder, t + ms(50));
        recorder.record(30_000, t + ms(60));
        assert_eq!(drain(&mut recorder, t + ms(100)).1, [(30_000, Some(60))]);
    }
}
