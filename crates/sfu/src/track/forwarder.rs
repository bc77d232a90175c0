//! Chooses which received packets a subscriber gets and gives them the numbers it sees: sequence number,
//! timestamp and (VP8) picture ids continue over changes of layer as if there were one encoder.
//!
//! The numbers of one source (a layer, from one key frame on) differ from the publisher's by constants. So a
//! subscriber's NACK is translated back without remembering any packet, and no outgoing sequence number is
//! ever used for two packets, which SRTP's nonces rely on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtp::ntp::duration_to_ticks;

use super::packet_store::PacketHeader;
use super::sender_report::{ReceivedReport, same_moment};

/// Sources remembered for retransmission: at most this many changes of layer within the store's second.
const REMEMBERED_SOURCES: usize = 4;

/// A change of layer may not be dated further than this from the time that passed here; sender reports
/// that disagree more are wrong.
const PLAUSIBLE: Duration = Duration::from_secs(2);

/// The numbers a subscriber sees on one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Extended sequence number.
    pub sequence: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// What is added to VP8's picture id (15 bits) and TL0PICIDX (8 bits).
    pub picture_offset: (u16, u8),
}

/// Where a packet that a subscriber asks for again is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The layer's index.
    pub layer: usize,
    /// The layer's generation; a store of another one does not hold it.
    pub generation: u32,
    /// The publisher's extended sequence number.
    pub sequence: u64,
    /// What is added to the publisher's timestamp.
    pub timestamp_offset: u32,
    /// What is added to VP8's picture ids.
    pub picture_offset: (u16, u8),
}

/// What the forwarder needs to know of the layer a packet comes from.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The layer's index.
    pub layer: usize,
    /// Its generation.
    pub generation: u32,
    /// Its newest sender report.
    pub report: Option<&'a ReceivedReport>,
    /// The stored packet's header.
    pub header: &'a PacketHeader,
    /// Ticks per second.
    pub clock_rate: u32,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    layer: usize,
    generation: u32,
    first_in: u64,
    first_out: u64,
    timestamp_offset: u32,
    picture_offset: (u16, u8),
    report: Option<ReceivedReport>,
}

impl Source {
    fn is(&self, incoming: &Incoming<'_>) -> bool {
        self.layer == incoming.layer && self.generation == incoming.generation
    }
}

#[derive(Clone, Copy, Debug)]
struct Last {
    sequence: u64,
    timestamp: u32,
    picture: Option<(Option<u16>, Option<u8>)>,
    at: Instant,
}

/// See the module's description.
#[derive(Debug)]
pub struct Forwarder {
    needs_keyframe: bool,
    first_sequence: u16,
    /// Oldest first; the last one is forwarded.
    sources: VecDeque<Source>,
    last: Option<Last>,
    changes: u32,
    paused: bool,
}

impl Forwarder {
    /// A forwarder whose first packet gets `first_sequence` (random, RFC 3550 §5.1). Video starts and changes
    /// layers at key frames only.
    pub fn new(is_video: bool, first_sequence: u16) -> Self {
        Self {
            needs_keyframe: is_video,
            first_sequence,
            sources: VecDeque::new(),
            last: None,
            changes: 0,
            paused: false,
        }
    }

    /// Counts the changes of source.
    pub fn source_count(&self) -> u32 {
        self.changes
    }

    /// The subscriber was paused: the next packet it gets begins a new source, at a key frame for video.
    pub fn resume_at_keyframe(&mut self) {
        self.paused = true;
    }

    /// The layer being forwarded, and its generation.
    pub fn current(&self) -> Option<(usize, u32)> {
        self.sources.back().map(|source| (source.layer, source.generation))
    }

    /// Whether a key frame of the target layer would make a difference.
    pub fn wants_keyframe(&self, target: usize, generation: u32) -> bool {
        self.needs_keyframe
            && (self.paused
                || self
                    .sources
                    .back()
                    .is_none_or(|source| source.layer != target || source.generation != generation))
    }

    /// Decides about one packet; `None` means that this subscriber does not get it.
    pub fn forward(&mut self, now: Instant, incoming: &Incoming<'_>, target: usize) -> Option<Mapped> {
        let is_current = !self.paused && self.sources.back().is_some_and(|source| source.is(incoming));
        if !is_current {
            let is_start = !self.needs_keyframe || incoming.header.keyframe_start;
            // Any picture beats none; later only the target is worth a change.
            let is_wanted = incoming.layer == target || self.sources.is_empty() || self.paused;
            if !is_start || !is_wanted {
                return None;
            }
            self.change_source(now, incoming);
        }
        let source = self.sources.back()?;
        let mapped = source.map(incoming.header)?;
        if self.last.is_none_or(|last| mapped.sequence > last.sequence) {
            let picture = incoming.header.picture.map(|(picture_id, tl0)| {
                let (picture_offset, tl0_offset) = source.picture_offset;
                (
                    picture_id.map(|id| id.wrapping_add(picture_offset)),
                    tl0.map(|tl0| tl0.wrapping_add(tl0_offset)),
                )
            });
            let picture = picture.or(self.last.and_then(|last| last.picture));
            self.last =
                Some(Last { sequence: mapped.sequence, timestamp: mapped.timestamp, picture, at: now });
        }
        Some(mapped)
    }

    /// Finds the packet behind an outgoing sequence number.
    pub fn origin(&self, outgoing: u16) -> Option<Origin> {
        let last = self.last?.sequence;
        let behind = (last as u16).wrapping_sub(outgoing);
        let sequence = last.checked_sub(u64::from(behind))?;
        let source = self.sources.iter().rev().find(|source| source.first_out <= sequence)?;
        Some(Origin {
            layer: source.layer,
            generation: source.generation,
            sequence: source.first_in + (sequence - source.first_out),
            timestamp_offset: source.timestamp_offset,
            picture_offset: source.picture_offset,
        })
    }

    /// What is added to the current layer's timestamps; for translating its sender reports.
    pub fn timestamp_offset(&self) -> Option<u32> {
        self.sources.back().map(|source| source.timestamp_offset)
    }

    /// A newer sender report of the layer being forwarded, which the next change of layer is dated by: the
    /// first source of all begins before any report comes.
    pub fn learn_report(&mut self, report: ReceivedReport) {
        if let Some(source) = self.sources.back_mut() {
            source.report = Some(report);
        }
    }

    /// The newest outgoing extended sequence number.
    pub fn highest(&self) -> Option<u64> {
        self.last.map(|last| last.sequence)
    }

    fn change_source(&mut self, now: Instant, incoming: &Incoming<'_>) {
        self.changes += 1;
        self.paused = false;
        // Below 2^16: the number is SRTP's index too, and a receiver begins with rollover counter 0.
        let first_out = self.last.map_or(u64::from(self.first_sequence), |last| last.sequence + 1);
        self.sources.push_back(Source {
            layer: incoming.layer,
            generation: incoming.generation,
            first_in: incoming.header.sequence,
            first_out,
            timestamp_offset: self.timestamp_offset_for(now, incoming),
            picture_offset: self.picture_offset_for(incoming),
            report: incoming.report.copied(),
        });
        if self.sources.len() > REMEMBERED_SOURCES {
            self.sources.pop_front();
        }
    }

    /// Sender reports date the new layer's picture exactly; without them the time that passed here does.
    fn timestamp_offset_for(&self, now: Instant, incoming: &Incoming<'_>) -> u32 {
        let (Some(last), Some(old)) = (self.last, self.sources.back()) else { return 0 };
        let new = incoming.header.timestamp;
        let passed = duration_to_ticks(now.saturating_duration_since(last.at), incoming.clock_rate).max(1);
        let by_arrival = last.timestamp.wrapping_add(passed);
        let by_report = match (incoming.report, old.report.as_ref()) {
            (Some(report), Some(old_report)) => Some(
                same_moment(report, old_report, new, incoming.clock_rate).wrapping_add(old.timestamp_offset),
            ),
            _ => None,
        };
        let plausible = i64::from(duration_to_ticks(PLAUSIBLE, incoming.clock_rate));
        let outgoing = by_report
            .filter(|report| {
                let off = i64::from(report.wrapping_sub(by_arrival).cast_signed());
                let advance = report.wrapping_sub(last.timestamp).cast_signed();
                off.abs() < plausible && advance > 0
            })
            .unwrap_or(by_arrival);
        outgoing.wrapping_sub(new)
    }

    fn picture_offset_for(&self, incoming: &Incoming<'_>) -> (u16, u8) {
        let last = self.last.and_then(|last| last.picture);
        let (Some((last_id, last_tl0)), Some((id, tl0))) = (last, incoming.header.picture) else {
            return (0, 0);
        };
        let id_offset = match (last_id, id) {
            (Some(last), Some(new)) => last.wrapping_add(1).wrapping_sub(new) & 0x7fff,
            _ => 0,
        };
        let tl0_offset = match (last_tl0, tl0) {
            (Some(last), Some(new)) => last.wrapping_add(1).wrapping_sub(new),
            _ => 0,
        };
        (id_offset, tl0_offset)
    }
}

impl Source {
    /// A packet from before the source's first one would get a number that an older source used.
    fn map(&self, header: &PacketHeader) -> Option<Mapped> {
        let ahead = header.sequence.checked_sub(self.first_in)?;
        Some(Mapped {
            sequence: self.first_out + ahead,
            timestamp: header.timestamp.wrapping_add(self.timestamp_offset),
            picture_offset: self.picture_offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: u32 = 90_000;

    fn header(sequence: u64, timestamp: u32, keyframe_start: bool) -> PacketHeader {
        PacketHeader {
            sequence,
            timestamp,
            payload_type: 96,
            marker: true,
            keyframe_start,
            picture: Some((Some(sequence as u16 & 0x7fff), Some(sequence as u8))),
            arrival: crate::test_start(),
        }
    }

    fn incoming(layer: usize, header: &PacketHeader) -> Incoming<'_> {
        Incoming { layer, generation: 0, report: None, header, clock_rate: RATE }
    }

    fn at(millis: u64) -> Instant {
        crate::test_start() + Duration::from_millis(millis)
    }

    #[test]
    fn video_starts_at_a_key_frame_of_whatever_layer_comes_first() {
        let mut forwarder = Forwarder::new(true, 500);
        assert_eq!(forwarder.forward(at(0), &incoming(0, &header(10, 0, false)), 2), None);
        let first = forwarder.forward(at(1), &incoming(0, &header(11, 100, true)), 2).expect("a key frame");
        assert_eq!((first.sequence as u16, first.timestamp, first.picture_offset), (500, 100, (0, 0)));
        assert!(forwarder.wants_keyframe(2, 0), "the best layer is still to come");
    }

    #[test]
    fn numbers_continue_over_a_change_of_layer() {
        let mut forwarder = Forwarder::new(true, 65_535);
        let before = forwarder.forward(at(0), &incoming(0, &header(11, 1_000, true)), 0).expect("starts");
        assert_eq!(
            forwarder.forward(at(50), &incoming(1, &header(7_000, 9, false)), 1),
            None,
            "not at a key frame"
        );
        let after =
            forwarder.forward(at(100), &incoming(1, &header(7_001, 800_000, true)), 1).expect("changes");
        assert_eq!(after.sequence, before.sequence + 1);
        assert_eq!(after.timestamp, 1_000 + 9_000, "100 ms later");
        let picture = (7_001u16 & 0x7fff).wrapping_add(after.picture_offset.0) & 0x7fff;
        assert_eq!(picture, 12);
        assert_eq!(
            forwarder.forward(at(101), &incoming(0, &header(12, 1_000, false)), 1),
            None,
            "the old layer ended"
        );
    }

    #[test]
    fn sender_reports_date_the_new_layer_exactly() {
        let report = |ntp_ms: u64, rtp_timestamp| ReceivedReport {
            ntp: rtp::ntp::NtpTime::from_duration(Duration::from_millis(ntp_ms)),
            rtp_timestamp,
            arrival: at(0),
        };
        let (low, high) = (report(0, 0), report(0, 500_000));
        let mut forwarder = Forwarder::new(true, 0);
        let first = header(1, 0, true);
        forwarder.forward(at(0), &Incoming { report: Some(&low), ..incoming(0, &first) }, 0);
        // Sampled 66 ms after the first, but a queue made it arrive 166 ms after.
        let second = header(1, 500_000 + 5_940, true);
        let mapped = forwarder
            .forward(at(166), &Incoming { report: Some(&high), ..incoming(1, &second) }, 1)
            .expect("changes");
        assert!(mapped.timestamp.abs_diff(5_940) <= 1, "{}", mapped.timestamp);
    }

    #[test]
    fn a_report_that_came_after_the_source_began_dates_the_next_change() {
        let report =
            |rtp_timestamp| ReceivedReport { ntp: rtp::ntp::NtpTime(0), rtp_timestamp, arrival: at(0) };
        let mut forwarder = Forwarder::new(true, 0);
        forwarder.forward(at(0), &incoming(0, &header(1, 0, true)), 0);
        forwarder.learn_report(report(0));
        let (high, second) = (report(500_000), header(1, 500_000 + 5_940, true));
        let mapped = forwarder
            .forward(at(166), &Incoming { report: Some(&high), ..incoming(1, &second) }, 1)
            .expect("changes");
        assert!(mapped.timestamp.abs_diff(5_940) <= 1, "{}", mapped.timestamp);
    }

    #[test]
    fn what_a_subscriber_asks_for_is_found_over_changes_of_layer() {
        let mut forwarder = Forwarder::new(true, 65_530);
        for sequence in 10..20 {
            forwarder.forward(at(0), &incoming(0, &header(sequence, 0, sequence == 10)), 0);
        }
        let switched = forwarder.forward(at(10), &incoming(1, &header(900, 0, true)), 1).expect("changes");
        let origin = forwarder.origin(switched.sequence as u16).expect("known");
        assert_eq!((origin.layer, origin.sequence), (1, 900));
        let origin = forwarder.origin((switched.sequence - 3) as u16).expect("known");
        assert_eq!((origin.layer, origin.sequence), (0, 17));
        assert_eq!(forwarder.origin((switched.sequence + 1) as u16).map(|origin| origin.sequence), None);
    }

    #[test]
    fn a_new_source_of_the_same_layer_waits_for_its_key_frame() {
        let mut forwarder = Forwarder::new(true, 1);
        let first = forwarder.forward(at(0), &incoming(0, &header(5, 0, true)), 0).expect("starts");
        let restarted = header(2, 77, false);
        assert_eq!(forwarder.forward(at(1), &Incoming { generation: 1, ..incoming(0, &restarted) }, 0), None);
        let restarted = header(3, 77, true);
        let second = forwarder.forward(at(2), &Incoming { generation: 1, ..incoming(0, &restarted) }, 0);
        assert_eq!(second.map(|mapped| mapped.sequence), Some(first.sequence + 1));
    }

    #[test]
    fn sound_needs_no_key_frame() {
        let mut forwarder = Forwarder::new(false, 9);
        assert!(forwarder.forward(at(0), &incoming(0, &header(5, 0, false)), 0).is_some());
        assert!(!forwarder.wants_keyframe(0, 0));
    }

    proptest! {
        /// Whatever arrives in whatever order, no outgoing number is given twice, and it leads back to the
        /// packet that got it (while its source is remembered).
        #[test]
        fn outgoing_numbers_are_unique_and_lead_back(
            packets in prop::collection::vec((0usize..3, 0u64..400, any::<bool>(), 0usize..3), 1..400),
        ) {
            let mut forwarder = Forwarder::new(true, 65_500);
            let mut seen = std::collections::HashSet::new();
            let mut given = std::collections::HashSet::new();
            for (index, (layer, sequence, keyframe, target)) in packets.into_iter().enumerate() {
                if !seen.insert((layer, sequence)) {
                    continue; // the store refuses duplicates
                }
                let header = header(sequence, sequence as u32 * 3000, keyframe);
                let now = at(index as u64 * 10);
                if let Some(mapped) = forwarder.forward(now, &incoming(layer, &header), target) {
                    prop_assert!(given.insert(mapped.sequence));
                    let origin = forwarder.origin(mapped.sequence as u16).expect("just forwarded");
                    prop_assert_eq!((origin.layer, origin.sequence), (layer, sequence));
                }
            }
        }
    }
}
