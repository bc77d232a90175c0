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
    /// Whether later packets of the layer came before it.
    pub is_late: bool,
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
    /// The outgoing number of its first packet.
    first_out: u64,
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
    /// The outgoing number of the newest key frame's first packet.
    last_keyframe: Option<u64>,
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
            last_keyframe: None,
            paused: false,
        }
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
            // Any picture that the line carries beats none; later only the target is worth a change.
            let is_first = self.source.is_none() || self.paused;
            let is_wanted =
                incoming.is_of(target) || is_first && incoming.layer < usize::from(target.spatial);
            if !is_start || !is_wanted || incoming.is_late && self.is_past(incoming) {
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
        if header.keyframe_start {
            self.last_keyframe = self.last_keyframe.max(Some(mapped.sequence));
        }
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

    /// Whether a key frame followed the packet of this outgoing extended sequence number, so that nobody needs it.
    pub fn is_superseded(&self, outgoing: u64) -> bool {
        self.last_keyframe > Some(outgoing)
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

    /// The outgoing extended sequence number at which the present source begins.
    pub fn begins_at(&self) -> Option<u64> {
        self.source.map(|source| source.first_out)
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
            first_out,
            timestamp_offset,
            report: incoming.report.copied(),
        });
        self.newest_in = incoming.header.sequence;
        self.layers.restart();
    }

    /// What a layer's timestamp is in the numbers of what is sent, where sender reports say it.
    fn dated(&self, incoming: &Incoming<'_>) -> Option<u32> {
        let old = self.source?;
        let moment = same_moment(
            incoming.report?,
            old.report.as_ref()?,
            incoming.header.timestamp,
            incoming.clock_rate,
        );
        Some(moment.wrapping_add(old.timestamp_offset))
    }

    /// Whether a picture is, or without sender reports may be, older than the last one that was sent: a key frame that was
    /// repaired when its subscriber had another layer's later pictures already.
    fn is_past(&self, incoming: &Incoming<'_>) -> bool {
        match (self.dated(incoming), self.last) {
            (Some(dated), Some(last)) => dated.wrapping_sub(last.timestamp).cast_signed() < 0,
            _ => self.source.is_some() && !self.paused,
        }
    }

    /// Sender reports date the new layer's picture exactly; without them the time that passed here does.
    fn timestamp_offset_for(&self, now: Instant, incoming: &Incoming<'_>) -> u32 {
        let Some(last) = self.last.filter(|_| self.source.is_some()) else { return 0 };
        let new = incoming.header.timestamp;
        let passed = duration_to_ticks(now.saturating_duration_since(last.at), incoming.clock_rate).max(1);
        let by_arrival = last.timestamp.wrapping_add(passed);
        let plausible = i64::from(duration_to_ticks(PLAUSIBLE, incoming.clock_rate));
        let outgoing = self
            .dated(incoming)
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
mod tests;
