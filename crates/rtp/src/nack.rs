//! Which packets of one received stream to ask for again (RFC 4585 §6.2.1).
//!
//! A gap is asked for once packets well behind it arrived or some time has passed, because networks reorder;
//! then again after a round trip, with growing pauses, a bounded number of times.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Most packets missing at a time. A sender keeps about a second of a stream; more than this many missing
/// within it cannot be repaired faster than with a key frame. Raising it costs 40 bytes each and longer NACKs.
pub const MAX_MISSING: usize = 512;
/// Times a packet is asked for. With the growing pause the tenth request is beyond any sender's store.
const MAX_REQUESTS: u8 = 8;
/// A gap is real once so many packets behind it arrived (as TCP's three duplicate acknowledgements).
const REORDER_PACKETS: u64 = 3;
/// Or once it is this old: at one packet per 20 ms three packets would take too long.
const REORDER_TIME: Duration = Duration::from_millis(20);
/// The shortest pause between two requests, for round trips shorter than a sender's own scheduling.
const MIN_PAUSE: Duration = Duration::from_millis(20);
/// What a missing packet is worth asking for: publishers keep about a second.
const MAX_AGE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct Missing {
    sequence: u64,
    since: Instant,
    due: Instant,
    requests: u8,
}

/// Asks for the missing packets of one stream.
#[derive(Clone, Debug, Default)]
pub struct NackGenerator {
    highest: Option<u64>,
    /// Ascending by sequence number.
    missing: VecDeque<Missing>,
    /// Not later than the earliest `due` of what is missing: asked for with every packet, so it is not searched for.
    due: Option<Instant>,
    /// Where the newest key frame began: what is missing before it is not worth another one.
    keyframe: u64,
    too_far_behind: bool,
}

impl NackGenerator {
    /// Nothing received yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet arrived, directly or as a retransmission. `sequence` is extended
    /// ([`SequenceUnwrapper`](crate::sequence::SequenceUnwrapper)).
    #[inline]
    pub fn received(&mut self, now: Instant, sequence: u64) {
        let Some(highest) = self.highest else {
            self.highest = Some(sequence);
            return;
        };
        if sequence <= highest {
            if let Ok(at) = self.missing.binary_search_by_key(&sequence, |missing| missing.sequence) {
                self.missing.remove(at);
            }
            return;
        }
        self.highest = Some(sequence);
        let gap = sequence - highest - 1;
        if gap > 0 {
            self.lost(now, highest + 1, gap);
        }
        if !self.missing.is_empty() {
            self.confirm(now, sequence);
        }
    }

    /// The packet with this number, which has arrived, begins a key frame: decoders can go on from there. What is missing
    /// before is still asked for, since they may not have to.
    pub fn keyframe(&mut self, sequence: u64) {
        self.keyframe = self.keyframe.max(sequence);
    }

    /// Appends to `out` the sequence numbers to ask for now, ascending. `rtt` is the round-trip time to the
    /// sender; what is asked for here is asked for again after it at the earliest.
    pub fn poll(&mut self, now: Instant, rtt: Duration, out: &mut Vec<u16>) {
        if self.next_deadline().is_none_or(|due| due > now) {
            return;
        }
        self.missing.retain(|missing| {
            let is_kept =
                missing.requests < MAX_REQUESTS && now.saturating_duration_since(missing.since) < MAX_AGE;
            self.too_far_behind |= !is_kept && missing.sequence >= self.keyframe;
            is_kept
        });
        let pause = rtt.clamp(MIN_PAUSE, MAX_AGE);
        for missing in self.missing.iter_mut().filter(|missing| missing.due <= now) {
            out.push(missing.sequence as u16);
            // It is given up in time, not when it would be asked for again.
            missing.due = (now + pause * (1 << missing.requests.min(3))).min(missing.since + MAX_AGE);
            missing.requests += 1;
        }
        self.due = self.missing.iter().map(|missing| missing.due).min();
    }

    /// When [`poll`](Self::poll) is to be called, at the latest; `None` while nothing is missing. What was due may have
    /// come meanwhile.
    #[inline]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.filter(|_| !self.missing.is_empty())
    }

    /// Whether packets were given up since this was last asked: a gap too wide, or requests without an answer for what came
    /// after the newest key frame.
    /// A video stream then needs a key frame.
    pub fn too_far_behind(&mut self) -> bool {
        std::mem::take(&mut self.too_far_behind)
    }

    /// Packets missing at the moment.
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    fn lost(&mut self, now: Instant, first: u64, count: u64) {
        if count > MAX_MISSING as u64 || self.missing.len() as u64 + count > MAX_MISSING as u64 {
            self.missing.clear();
            self.too_far_behind = true;
            return;
        }
        let due = now + REORDER_TIME;
        self.due = Some(self.next_deadline().map_or(due, |known| known.min(due)));
        self.missing.extend((first..first + count).map(|sequence| Missing {
            sequence,
            since: now,
            due,
            requests: 0,
        }));
    }

    /// Makes due what the packets up to `sequence` have overtaken.
    fn confirm(&mut self, now: Instant, sequence: u64) {
        for missing in self.missing.iter_mut().rev() {
            if missing.requests > 0 {
                break;
            }
            if sequence - missing.sequence >= REORDER_PACKETS {
                missing.due = missing.due.min(now);
                self.due = self.due.map(|due| due.min(now));
            }
        }
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

    const RTT: Duration = Duration::from_millis(50);

    fn poll(nack: &mut NackGenerator, now: Instant) -> Vec<u16> {
        let mut out = Vec::new();
        nack.poll(now, RTT, &mut out);
        out
    }

    /// Packets 100 to 103 and 106: 104 and 105 are missing.
    fn with_gap(at: Instant) -> NackGenerator {
        let mut nack = NackGenerator::new();
        for sequence in [100, 101, 102, 103, 106] {
            nack.received(at, sequence);
        }
        nack
    }

    #[test]
    fn a_complete_stream_asks_for_nothing() {
        let t = start();
        let mut nack = NackGenerator::new();
        for sequence in 65_000..66_000 {
            nack.received(t, sequence);
        }
        assert_eq!((poll(&mut nack, t + ms(500)), nack.next_deadline()), (vec![], None));
    }

    #[test]
    fn a_packet_overtaken_by_one_is_waited_for() {
        let t = start();
        let mut nack = with_gap(t);
        assert!(poll(&mut nack, t).is_empty());
        nack.received(t + ms(1), 104);
        nack.received(t + ms(1), 105);
        assert_eq!(nack.next_deadline(), None);
        assert!(poll(&mut nack, t + ms(100)).is_empty());
    }

    #[test]
    fn a_gap_is_asked_for_after_a_while() {
        let t = start();
        let mut nack = with_gap(t);
        assert_eq!(nack.next_deadline(), Some(t + REORDER_TIME));
        assert_eq!(poll(&mut nack, t + REORDER_TIME), [104, 105]);
    }

    #[test]
    fn or_at_once_when_three_packets_overtook_it() {
        let t = start();
        let mut nack = with_gap(t);
        nack.received(t + ms(2), 107);
        assert_eq!(poll(&mut nack, t + ms(2)), [104], "105 was overtaken by two");
        nack.received(t + ms(3), 108);
        assert_eq!(poll(&mut nack, t + ms(3)), [105]);
    }

    #[test]
    fn requests_are_repeated_with_growing_pauses_and_then_given_up() {
        let t = start();
        let mut nack = with_gap(t);
        let mut requests = Vec::new();
        while let Some(due) = nack.next_deadline() {
            let asked = poll(&mut nack, due);
            if !asked.is_empty() {
                requests.push((due - t).as_millis());
            }
        }
        assert_eq!(requests, [20, 70, 170, 370, 770]);
        assert_eq!(nack.missing(), 0, "older than a second");
        assert!(nack.too_far_behind(), "the caller asks for a key frame");
        assert!(!nack.too_far_behind(), "and is told once");
    }

    #[test]
    fn what_was_lost_before_a_key_frame_needs_no_other_one() {
        let t = start();
        let give_up = |nack: &mut NackGenerator| {
            while let Some(due) = nack.next_deadline() {
                poll(nack, due);
            }
            nack.too_far_behind()
        };
        let mut nack = with_gap(t);
        nack.keyframe(106);
        assert_eq!(poll(&mut nack, t + REORDER_TIME), [104, 105], "it may still come in time");
        assert!(!give_up(&mut nack));
        nack.received(t + ms(2000), 108);
        assert!(give_up(&mut nack), "107 is part of it");
    }

    #[test]
    fn on_a_short_path_the_number_of_requests_is_bounded() {
        let t = start();
        let mut nack = with_gap(t);
        let mut asked = Vec::new();
        let mut now = t;
        while nack.missing() > 0 {
            now += ms(5);
            nack.poll(now, Duration::ZERO, &mut asked);
        }
        assert!(asked.len() <= 2 * usize::from(MAX_REQUESTS), "{asked:?}");
        assert!(nack.too_far_behind());
    }

    #[test]
    fn a_retransmission_ends_the_requests() {
        let t = start();
        let mut nack = with_gap(t);
        assert_eq!(poll(&mut nack, t + ms(20)), [104, 105]);
        nack.received(t + ms(60), 105);
        assert_eq!(poll(&mut nack, t + ms(80)), [104]);
        nack.received(t + ms(130), 104);
        assert_eq!((nack.missing(), nack.too_far_behind()), (0, false));
    }

    #[test]
    fn a_gap_too_wide_asks_for_a_key_frame_instead() {
        let t = start();
        let mut nack = with_gap(t);
        nack.received(t, 107 + MAX_MISSING as u64);
        assert!(nack.too_far_behind());
        assert_eq!((nack.missing(), poll(&mut nack, t + ms(500))), (0, vec![]));
        nack.received(t, 109 + MAX_MISSING as u64);
        assert_eq!(nack.missing(), 1, "and goes on from there");
    }

    #[test]
    fn many_small_gaps_are_bounded_too() {
        let t = start();
        let mut nack = NackGenerator::new();
        for sequence in 0..4 * MAX_MISSING as u64 {
            nack.received(t, 2 * sequence);
            assert!(nack.missing() <= MAX_MISSING);
        }
        assert!(nack.too_far_behind());
    }

    #[test]
    fn what_came_before_the_first_packet_is_not_missed() {
        let t = start();
        let mut nack = NackGenerator::new();
        nack.received(t, 65_536);
        nack.received(t, 65_534);
        nack.received(t, 65_537);
        assert_eq!(nack.missing(), 0);
    }

    #[test]
    fn numbers_are_asked_for_across_the_wrap() {
        let t = start();
        let mut nack = NackGenerator::new();
        nack.received(t, 131_070);
        nack.received(t, 131_074);
        assert_eq!(poll(&mut nack, t + ms(20)), [65_535, 0, 1]);
    }
}
