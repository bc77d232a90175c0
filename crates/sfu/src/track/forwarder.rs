//! Chooses which received packets a subscriber gets and gives them the numbers it sees: sequence number,
//! timestamp and (VP8) picture ids continue over changes of layer and over frames left out, as if there were one
//! encoder that made just this.
//!
//! Within a [`Segment`] the numbers differ from the publisher's by constants; one ends where a packet is left out or
//! the source changes. So a subscriber's NACK is translated back without remembering any packet, and no outgoing
//! sequence number is ever used for two packets, which SRTP's nonces rely on.
//!
//! What did not arrive keeps its number, because it may come late and be needed: a gap that was taken away would hide
//! from the subscriber that a frame is incomplete. If it then turns out to be of a frame that is left out, padding
//! fills the place.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtp::ntp::duration_to_ticks;

use super::frame::Frame;
use super::layer_selector::{LayerSelector, Verdict};
use super::packet_store::PacketHeader;
use super::sender_report::{ReceivedReport, same_moment};
use crate::bandwidth::target::{LayerTarget, MAX_SPATIAL};

/// Segments remembered for retransmission and late packets: every picture of 60 a second ends one or two where layers
/// are left out, and the store keeps a second. Each is 48 bytes.
const REMEMBERED_SEGMENTS: usize = 128;

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
    /// The RTP marker bit: the packet is the last of what this subscriber gets of the picture.
    pub marker: bool,
    /// Only the number is used up: the packet is of a frame that this subscriber does not get.
    pub is_padding: bool,
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
    /// Whether it is one of several encodings rather than all there is.
    pub is_simulcast: bool,
    /// Its newest sender report.
    pub report: Option<&'a ReceivedReport>,
    /// The stored packet's header.
    pub header: &'a PacketHeader,
    /// Ticks per second.
    pub clock_rate: u32,
}

impl Incoming<'_> {
    /// The stream that carries what the subscriber should have.
    fn is_of(&self, target: LayerTarget) -> bool {
        !self.is_simulcast || self.layer == usize::from(target.spatial)
    }
}

/// Where packets come from: an encoding, from one key frame on.
#[derive(Clone, Copy, Debug)]
struct Source {
    layer: usize,
    generation: u32,
    timestamp_offset: u32,
    report: Option<ReceivedReport>,
}

/// Consecutive packets of one source.
#[derive(Clone, Copy, Debug)]
struct Segment {
    source: (usize, u32),
    first_in: u64,
    first_out: u64,
    timestamp_offset: u32,
    picture_offset: (u16, u8),
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
    source: Option<Source>,
    /// Oldest first; the last one is forwarded.
    segments: VecDeque<Segment>,
    /// The highest of the source's sequence numbers so far.
    newest_in: u64,
    layers: LayerSelector,
    last: Option<Last>,
    changes: u32,
    paused: bool,
}

impl Forwarder {
    /// A forwarder whose first packet gets `first_sequence` (random, RFC 3550 §5.1). Video starts and changes
    /// encodings at key frames only.
    pub fn new(is_video: bool, first_sequence: u16) -> Self {
        Self {
            needs_keyframe: is_video,
            first_sequence,
            source: None,
            segments: VecDeque::new(),
            newest_in: 0,
            layers: LayerSelector::default(),
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

    /// The stream being forwarded, and its generation.
    pub fn current(&self) -> Option<(usize, u32)> {
        self.source.map(|source| (source.layer, source.generation))
    }

    /// The highest spatial layer of the stream that is sent.
    pub fn spatial(&self) -> u8 {
        self.layers.spatial()
    }

    /// Whether a key frame of the stream `layer` would make a difference to who should have `target`.
    pub fn wants_keyframe(
        &self,
        layer: usize,
        generation: u32,
        is_simulcast: bool,
        target: LayerTarget,
    ) -> bool {
        let is_other =
            self.source.is_none_or(|source| (source.layer, source.generation) != (layer, generation));
        let lacks_layers = !is_simulcast && target.spatial > self.layers.spatial();
        self.needs_keyframe && (self.paused || is_other || lacks_layers)
    }

    /// Decides about one packet; `None` means that this subscriber does not get it.
    pub fn forward(&mut self, now: Instant, incoming: &Incoming<'_>, target: LayerTarget) -> Option<Mapped> {
        let of_source = (incoming.layer, incoming.generation);
        let header = incoming.header;
        if self.paused || self.current() != Some(of_source) {
            let is_start = !self.needs_keyframe || header.keyframe_start;
            // Any picture beats none; later only the target is worth a change.
            let is_wanted = incoming.is_of(target) || self.source.is_none() || self.paused;
            if !is_start || !is_wanted {
                return None;
            }
            self.change_source(now, incoming);
        }
        let is_newest = header.sequence >= self.newest_in;
        let verdict = self.select(incoming, target);
        if !is_newest {
            let mapped = self.map_late(of_source, header, verdict)?;
            self.remember(now, &mapped, header);
            return Some(mapped);
        }
        self.newest_in = header.sequence + 1;
        if let Verdict::Dropped { is_new } = verdict {
            self.leave_out(header.sequence, is_new);
            return None;
        }
        let mapped = self.segments.back()?.map(header, &self.layers)?;
        self.remember(now, &mapped, header);
        Some(mapped)
    }

    /// Which layers of the packet's stream are to be had.
    fn select(&mut self, incoming: &Incoming<'_>, target: LayerTarget) -> Verdict {
        let Some(frame) = incoming.header.frame.as_ref().filter(|_| self.needs_keyframe) else {
            return Verdict::Kept;
        };
        let spatial = if incoming.is_simulcast { MAX_SPATIAL as u8 - 1 } else { target.spatial };
        self.layers.select(frame, incoming.header.timestamp, LayerTarget { spatial, ..target })
    }

    /// A packet that others overtook has a number unless it was left out.
    fn map_late(&self, source: (usize, u32), header: &PacketHeader, verdict: Verdict) -> Option<Mapped> {
        let after = self
            .segments
            .partition_point(|segment| segment.source != source || segment.first_in <= header.sequence);
        let segment = self.segments.get(after.checked_sub(1)?).filter(|segment| segment.source == source)?;
        let mut mapped = segment.map(header, &self.layers)?;
        let is_left_out = self.segments.get(after).is_some_and(|next| mapped.sequence >= next.first_out);
        mapped.is_padding = verdict != Verdict::Kept;
        (!is_left_out).then_some(mapped)
    }

    /// The newest packet is not forwarded: those behind it follow those before it.
    fn leave_out(&mut self, sequence: u64, is_new_frame: bool) {
        let Some(last) = self.segments.back_mut() else { return };
        let Some(length) = sequence.checked_sub(last.first_in) else { return };
        let (picture_id, tl0) = last.picture_offset;
        let picture_id = if is_new_frame { picture_id.wrapping_sub(1) & 0x7fff } else { picture_id };
        let next = Segment {
            first_in: sequence + 1,
            first_out: last.first_out + length,
            picture_offset: (picture_id, tl0),
            ..*last
        };
        if length == 0 {
            *last = next; // nothing has its numbers
            return;
        }
        if self.segments.len() == REMEMBERED_SEGMENTS {
            self.segments.pop_front();
        }
        self.segments.push_back(next);
    }

    /// The newest of what was sent is what a new source continues.
    fn remember(&mut self, now: Instant, mapped: &Mapped, header: &PacketHeader) {
        if self.last.is_some_and(|last| mapped.sequence <= last.sequence) {
            return;
        }
        let picture = header.picture.map(|(picture_id, tl0)| {
            let (picture_offset, tl0_offset) = mapped.picture_offset;
            (
                picture_id.map(|id| id.wrapping_add(picture_offset)),
                tl0.map(|tl0| tl0.wrapping_add(tl0_offset)),
            )
        });
        let picture = picture.or(self.last.and_then(|last| last.picture));
        self.last = Some(Last { sequence: mapped.sequence, timestamp: mapped.timestamp, picture, at: now });
    }

    /// Finds the packet behind an outgoing sequence number, and that number without wraps.
    pub fn origin(&self, outgoing: u16) -> Option<(u64, Origin)> {
        let last = self.last?.sequence;
        let behind = (last as u16).wrapping_sub(outgoing);
        let sequence = last.checked_sub(u64::from(behind))?;
        let after = self.segments.partition_point(|segment| segment.first_out <= sequence);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let origin = Origin {
            layer: segment.source.0,
            generation: segment.source.1,
            sequence: segment.first_in + (sequence - segment.first_out),
            timestamp_offset: segment.timestamp_offset,
            picture_offset: segment.picture_offset,
        };
        Some((sequence, origin))
    }

    /// The numbers of a packet that is sent again: `outgoing` and `origin` as [`Self::origin`] found them.
    pub fn again(&self, outgoing: u64, origin: &Origin, header: &PacketHeader) -> Mapped {
        let is_of_source = self.current() == Some((origin.layer, origin.generation));
        Mapped {
            sequence: outgoing,
            timestamp: header.timestamp.wrapping_add(origin.timestamp_offset),
            picture_offset: origin.picture_offset,
            marker: marker(header, &self.layers),
            is_padding: is_of_source
                && header.frame.is_some_and(|frame| self.layers.is_left_out(&frame, header.timestamp)),
        }
    }

    /// What is added to the current layer's timestamps; for translating its sender reports.
    pub fn timestamp_offset(&self) -> Option<u32> {
        self.source.map(|source| source.timestamp_offset)
    }

    /// A newer sender report of the layer being forwarded, which the next change of layer is dated by: the
    /// first source of all begins before any report comes.
    pub fn learn_report(&mut self, report: ReceivedReport) {
        if let Some(source) = &mut self.source {
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
        let timestamp_offset = self.timestamp_offset_for(now, incoming);
        if self.segments.len() == REMEMBERED_SEGMENTS {
            self.segments.pop_front();
        }
        self.segments.push_back(Segment {
            source: (incoming.layer, incoming.generation),
            first_in: incoming.header.sequence,
            first_out,
            timestamp_offset,
            picture_offset: self.picture_offset_for(incoming),
        });
        self.source = Some(Source {
            layer: incoming.layer,
            generation: incoming.generation,
            timestamp_offset,
            report: incoming.report.copied(),
        });
        self.newest_in = incoming.header.sequence;
        self.layers.restart();
    }

    /// Sender reports date the new layer's picture exactly; without them the time that passed here does.
    fn timestamp_offset_for(&self, now: Instant, incoming: &Incoming<'_>) -> u32 {
        let (Some(last), Some(old)) = (self.last, self.source) else { return 0 };
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

impl Segment {
    /// A packet from before the segment's first one would get a number of an older segment.
    fn map(&self, header: &PacketHeader, layers: &LayerSelector) -> Option<Mapped> {
        let ahead = header.sequence.checked_sub(self.first_in)?;
        Some(Mapped {
            sequence: self.first_out + ahead,
            timestamp: header.timestamp.wrapping_add(self.timestamp_offset),
            picture_offset: self.picture_offset,
            marker: marker(header, layers),
            is_padding: false,
        })
    }
}

/// The publisher marks the last packet of all its layers; what is left out of them must not be waited for.
fn marker(header: &PacketHeader, layers: &LayerSelector) -> bool {
    let is_last = |frame: Frame| frame.ends && frame.spatial == layers.top(header.timestamp);
    header.marker || header.frame.is_some_and(is_last)
}

#[cfg(test)]
mod tests {
    use super::super::frame::Switch;
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
            frame: None,
            arrival: crate::test_start(),
        }
    }

    fn incoming(layer: usize, header: &PacketHeader) -> Incoming<'_> {
        Incoming { layer, generation: 0, is_simulcast: true, report: None, header, clock_rate: RATE }
    }

    fn encoding(spatial: u8) -> LayerTarget {
        LayerTarget { spatial, ..LayerTarget::BEST }
    }

    fn at(millis: u64) -> Instant {
        crate::test_start() + Duration::from_millis(millis)
    }

    #[test]
    fn video_starts_at_a_key_frame_of_whatever_layer_comes_first() {
        let mut forwarder = Forwarder::new(true, 500);
        assert_eq!(forwarder.forward(at(0), &incoming(0, &header(10, 0, false)), encoding(2)), None);
        let first =
            forwarder.forward(at(1), &incoming(0, &header(11, 100, true)), encoding(2)).expect("a key frame");
        assert_eq!((first.sequence as u16, first.timestamp, first.picture_offset), (500, 100, (0, 0)));
        assert!(forwarder.wants_keyframe(2, 0, true, encoding(2)), "the best layer is still to come");
    }

    #[test]
    fn numbers_continue_over_a_change_of_layer() {
        let mut forwarder = Forwarder::new(true, 65_535);
        let before =
            forwarder.forward(at(0), &incoming(0, &header(11, 1_000, true)), encoding(0)).expect("starts");
        assert_eq!(
            forwarder.forward(at(50), &incoming(1, &header(7_000, 9, false)), encoding(1)),
            None,
            "not at a key frame"
        );
        let after = forwarder
            .forward(at(100), &incoming(1, &header(7_001, 800_000, true)), encoding(1))
            .expect("changes");
        assert_eq!(after.sequence, before.sequence + 1);
        assert_eq!(after.timestamp, 1_000 + 9_000, "100 ms later");
        let picture = (7_001u16 & 0x7fff).wrapping_add(after.picture_offset.0) & 0x7fff;
        assert_eq!(picture, 12);
        assert_eq!(
            forwarder.forward(at(101), &incoming(0, &header(12, 1_000, false)), encoding(1)),
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
        forwarder.forward(at(0), &Incoming { report: Some(&low), ..incoming(0, &first) }, encoding(0));
        // Sampled 66 ms after the first, but a queue made it arrive 166 ms after.
        let second = header(1, 500_000 + 5_940, true);
        let mapped = forwarder
            .forward(at(166), &Incoming { report: Some(&high), ..incoming(1, &second) }, encoding(1))
            .expect("changes");
        assert!(mapped.timestamp.abs_diff(5_940) <= 1, "{}", mapped.timestamp);
    }

    #[test]
    fn a_report_that_came_after_the_source_began_dates_the_next_change() {
        let report =
            |rtp_timestamp| ReceivedReport { ntp: rtp::ntp::NtpTime(0), rtp_timestamp, arrival: at(0) };
        let mut forwarder = Forwarder::new(true, 0);
        forwarder.forward(at(0), &incoming(0, &header(1, 0, true)), encoding(0));
        forwarder.learn_report(report(0));
        let (high, second) = (report(500_000), header(1, 500_000 + 5_940, true));
        let mapped = forwarder
            .forward(at(166), &Incoming { report: Some(&high), ..incoming(1, &second) }, encoding(1))
            .expect("changes");
        assert!(mapped.timestamp.abs_diff(5_940) <= 1, "{}", mapped.timestamp);
    }

    #[test]
    fn what_a_subscriber_asks_for_is_found_over_changes_of_layer() {
        let mut forwarder = Forwarder::new(true, 65_530);
        for sequence in 10..20 {
            forwarder.forward(at(0), &incoming(0, &header(sequence, 0, sequence == 10)), encoding(0));
        }
        let switched =
            forwarder.forward(at(10), &incoming(1, &header(900, 0, true)), encoding(1)).expect("changes");
        let (_, origin) = forwarder.origin(switched.sequence as u16).expect("known");
        assert_eq!((origin.layer, origin.sequence), (1, 900));
        let (_, origin) = forwarder.origin((switched.sequence - 3) as u16).expect("known");
        assert_eq!((origin.layer, origin.sequence), (0, 17));
        assert_eq!(forwarder.origin((switched.sequence + 1) as u16), None);
    }

    #[test]
    fn a_new_source_of_the_same_layer_waits_for_its_key_frame() {
        let mut forwarder = Forwarder::new(true, 1);
        let first = forwarder.forward(at(0), &incoming(0, &header(5, 0, true)), encoding(0)).expect("starts");
        let restarted = header(2, 77, false);
        assert_eq!(
            forwarder.forward(at(1), &Incoming { generation: 1, ..incoming(0, &restarted) }, encoding(0)),
            None
        );
        let restarted = header(3, 77, true);
        let second =
            forwarder.forward(at(2), &Incoming { generation: 1, ..incoming(0, &restarted) }, encoding(0));
        assert_eq!(second.map(|mapped| mapped.sequence), Some(first.sequence + 1));
    }

    #[test]
    fn sound_needs_no_key_frame() {
        let mut forwarder = Forwarder::new(false, 9);
        assert!(forwarder.forward(at(0), &incoming(0, &header(5, 0, false)), encoding(0)).is_some());
        assert!(!forwarder.wants_keyframe(0, 0, true, encoding(0)));
    }

    /// A stream of one encoding whose every picture is one packet per spatial layer.
    fn frame_header(sequence: u64, picture: u64, spatial: u8, references: &[u16]) -> PacketHeader {
        let frame =
            Frame::example(picture * 4 + u64::from(spatial), spatial, 0, Switch::ByReferences, references);
        PacketHeader {
            marker: spatial == 2,
            keyframe_start: frame.is_key,
            picture: None,
            frame: Some(frame),
            ..header(sequence, picture as u32 * 3000, false)
        }
    }

    fn scalable(header: &PacketHeader) -> Incoming<'_> {
        Incoming { is_simulcast: false, ..incoming(0, header) }
    }

    #[test]
    fn layers_left_out_leave_no_gaps_and_the_last_packet_is_marked() {
        let mut forwarder = Forwarder::new(true, 100);
        let mut got = Vec::new();
        for picture in 0..4 {
            let target = encoding(if picture < 2 { 2 } else { 0 });
            for spatial in 0..3u8 {
                let references: &[u16] = match (picture, spatial) {
                    (0, 0) => &[],
                    (0, _) => &[1],
                    _ => &[4],
                };
                let header = frame_header(picture * 3 + u64::from(spatial), picture, spatial, references);
                if let Some(mapped) = forwarder.forward(at(picture * 33), &scalable(&header), target) {
                    got.push((mapped.sequence, mapped.marker));
                }
            }
        }
        let marks = [false, false, true, false, false, true, true, true];
        assert_eq!(got, (100..108).zip(marks).collect::<Vec<_>>());
        let (outgoing, origin) = forwarder.origin(107).expect("known");
        assert_eq!((outgoing, origin.sequence), (107, 9));
        let again = forwarder.again(outgoing, &origin, &frame_header(9, 3, 0, &[4]));
        assert!(again.marker, "as it was the first time");
        assert_eq!(forwarder.origin(105).map(|(_, origin)| origin.sequence), Some(5));
    }

    #[test]
    fn more_layers_are_waited_for_until_a_key_frame() {
        let mut forwarder = Forwarder::new(true, 0);
        forwarder.forward(at(0), &scalable(&frame_header(0, 0, 0, &[])), encoding(0));
        assert!(!forwarder.wants_keyframe(0, 0, false, encoding(0)));
        assert!(forwarder.wants_keyframe(0, 0, false, encoding(2)));
        forwarder.forward(at(33), &scalable(&frame_header(3, 1, 0, &[])), encoding(2));
        assert!(!forwarder.wants_keyframe(0, 0, false, encoding(2)));
    }

    #[test]
    fn what_is_lost_keeps_its_number_and_padding_fills_it_if_it_is_not_wanted() {
        let mut forwarder = Forwarder::new(true, 0);
        let mut forward = |sequence, picture, spatial, references: &[u16]| {
            let header = frame_header(sequence, picture, spatial, references);
            let mapped = forwarder.forward(at(picture * 33), &scalable(&header), encoding(0))?;
            Some((mapped.sequence, mapped.is_padding))
        };
        assert_eq!(forward(10, 0, 0, &[]), Some((0, false)));
        assert_eq!(forward(11, 0, 1, &[1]), None, "left out");
        // 12 (the third layer), 13 (the next picture) and 14 are late.
        assert_eq!(forward(15, 1, 2, &[1]), None);
        assert_eq!(forward(16, 2, 0, &[4]), Some((4, false)), "three may come yet");
        assert_eq!(forward(13, 1, 0, &[4]), Some((2, false)));
        assert_eq!(forward(12, 0, 2, &[1]), Some((1, true)));
        assert_eq!(forward(14, 1, 1, &[1]), Some((3, true)));
        assert_eq!(forward(17, 2, 1, &[1]), None);
        assert_eq!(forward(18, 3, 0, &[4]), Some((5, false)));
    }

    #[test]
    fn picture_ids_continue_over_frames_left_out() {
        let mut forwarder = Forwarder::new(true, 0);
        let mut ids = Vec::new();
        for picture in 0..9u64 {
            let temporal = (picture % 2) as u8;
            let frame = Frame::example(picture, 0, temporal, Switch::No, &[]);
            // Two packets per picture.
            for sequence in [picture * 2, picture * 2 + 1] {
                let header = PacketHeader {
                    picture: Some((Some((32_766 + picture as u16) & 0x7fff), None)),
                    frame: Some(Frame { is_key: picture == 0, ..frame }),
                    ..header(sequence, picture as u32 * 3000, sequence == 0)
                };
                let target = LayerTarget { spatial: 0, temporal: u8::from(picture >= 6) };
                if let Some(mapped) = forwarder.forward(at(picture * 33), &scalable(&header), target) {
                    let (id, _) = header.picture.expect("has one");
                    ids.push(id.expect("has one").wrapping_add(mapped.picture_offset.0) & 0x7fff);
                }
            }
        }
        assert_eq!(ids, [32_766, 32_766, 32_767, 32_767, 0, 0, 1, 1, 2, 2]);
    }

    proptest! {
        /// Layers left out of a stream that loses and reorders: numbers are given once, lead back, and leave out no
        /// more than what did not arrive.
        #[test]
        fn numbers_are_unique_and_gapless_whatever_is_left_out(
            packets in prop::collection::vec((0u8..10, 0u8..3), 3..300),
        ) {
            let mut forwarder = Forwarder::new(true, 65_500);
            let mut given = std::collections::BTreeMap::new();
            let mut late = Vec::new();
            let mut missing = 0;
            for (sequence, (chance, target)) in packets.into_iter().enumerate() {
                let (picture, spatial) = (sequence as u64 / 3, (sequence % 3) as u8);
                let references: &[u16] = match (picture % 20, spatial) {
                    (0, 0) => &[],
                    (0, _) => &[1],
                    _ => &[4],
                };
                let header = frame_header(sequence as u64, picture, spatial, references);
                if chance == 0 && sequence > 0 {
                    missing += 1; // lost
                    continue;
                }
                if chance == 1 && sequence > 0 {
                    missing += 1;
                    late.push(header);
                    continue;
                }
                let mut now = vec![header];
                if chance == 2 {
                    now.append(&mut late);
                }
                for header in now {
                    let mapped = forwarder.forward(at(picture * 33), &scalable(&header), encoding(target));
                    if let Some(mapped) = mapped {
                        prop_assert!(given.insert(mapped.sequence, header.sequence).is_none());
                        let (outgoing, origin) = forwarder.origin(mapped.sequence as u16).expect("known");
                        prop_assert_eq!((outgoing, origin.sequence), (mapped.sequence, header.sequence));
                    }
                }
            }
            let (first, last) = (given.keys().next(), given.keys().next_back());
            if let (Some(first), Some(last)) = (first, last) {
                prop_assert!((last - first + 1) as usize <= given.len() + missing);
            }
        }

        /// Whatever arrives in whatever order, no outgoing number is given twice, and it leads back to the
        /// packet that got it (while its source is remembered).
        #[test]
        fn outgoing_numbers_are_unique_and_lead_back(
            packets in prop::collection::vec((0usize..3, 0u64..400, any::<bool>(), 0u8..3), 1..400),
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
                if let Some(mapped) = forwarder.forward(now, &incoming(layer, &header), encoding(target)) {
                    prop_assert!(given.insert(mapped.sequence));
                    let (_, origin) = forwarder.origin(mapped.sequence as u16).expect("just forwarded");
                    prop_assert_eq!((origin.layer, origin.sequence), (layer, sequence));
                }
            }
        }
    }
}
