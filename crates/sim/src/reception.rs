//! What a simulated client does with one received source: asks for what is missing, puts packets back in
//! order, puts frames together, and asks for a key frame when it cannot go on. What it sees there is judged:
//! a gap that was not repaired, a frame that does not follow from the one before.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::codec::Codec;
use crate::scalability::TEMPORAL_LAYERS;
use crate::stamp::Stamp;

/// A missing packet is asked for after this time, since networks reorder.
const NACK_AFTER: Duration = Duration::from_millis(20);
/// And again after this time.
const NACK_AGAIN: Duration = Duration::from_millis(110);
/// A missing packet of pictures is given up after this time. The server asks publishers for a second.
const GIVE_UP_VIDEO: Duration = Duration::from_millis(1800);
/// A missing packet of sound: nobody repeats it.
const GIVE_UP_AUDIO: Duration = Duration::from_millis(150);
/// Frames that a later one may be predicted from.
const REFERENCES: usize = 4;
/// A temporal layer that brought nothing for this long does not come.
const TEMPORAL_SILENCE: Duration = Duration::from_millis(500);
/// A key frame is asked for again after this time.
const KEYFRAME_AGAIN: Duration = Duration::from_millis(700);

#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Duration,
    due: Duration,
}

/// The encoder state that a packet belongs to.
type Encoder = (u8, u8);

#[derive(Clone, Copy, Debug)]
struct Held {
    stamp: Stamp,
    marker: bool,
}

/// What happened in the order of the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Complete frames that a decoder could show, or packets of sound.
    pub frames: u64,
    /// Packets that were given up.
    pub lost: u64,
    /// The most packets of sound that were given up one after the other.
    pub longest_run: u64,
    /// Gaps that were neither repaired nor superseded by a key frame.
    pub unrepaired: u64,
    /// Packets that came as retransmissions.
    pub repaired: u64,
    /// Key frames among the frames.
    pub keyframes: u64,
}

/// One received source.
#[derive(Debug)]
pub struct Reception {
    codec: Codec,
    first: Option<u64>,
    highest: Option<u64>,
    received: u64,
    /// Packets expected and received, as of the last report.
    reported: (u64, u64),
    /// The next number in order.
    next: u64,
    /// `None` is a number that carries nothing.
    held: BTreeMap<u64, Option<Held>>,
    missing: BTreeMap<u64, Missing>,
    /// The frame being put together: its newest packet.
    open: Option<Stamp>,
    /// The last frame that was complete and decodable.
    last: Option<Stamp>,
    /// The newest frames since the last key frame, that one included.
    decoded: VecDeque<Stamp>,
    /// When each temporal layer last brought a frame.
    temporal: [Option<Duration>; TEMPORAL_LAYERS as usize],
    needs_key: bool,
    asked_for_key: Option<Duration>,
    /// A gap that was given up and must have been superseded by what comes next.
    gap: Option<u64>,
    /// Packets of sound given up since one came.
    run: u64,
    /// What happened so far.
    pub counts: Counts,
    /// When the last frame was complete.
    pub last_frame: Option<Duration>,
    /// The longest time between two frames since [`Self::watch`].
    pub longest_pause: Duration,
}

/// What a reception wants to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Sequence numbers to ask for again.
    pub lost: Vec<u16>,
    /// A key frame.
    pub keyframe: bool,
}

impl Reception {
    /// Nothing received yet.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            first: None,
            highest: None,
            received: 0,
            reported: (0, 0),
            next: 0,
            held: BTreeMap::new(),
            missing: BTreeMap::new(),
            open: None,
            last: None,
            decoded: VecDeque::new(),
            temporal: Default::default(),
            needs_key: codec.is_video(),
            asked_for_key: None,
            gap: None,
            run: 0,
            counts: Counts::default(),
            last_frame: None,
            longest_pause: Duration::ZERO,
        }
    }

    /// Packets lost since the beginning, and the share since this was last asked, of 256 (RFC 3550 §A.3);
    /// retransmissions are of another source and repair nothing here.
    pub fn losses(&mut self) -> (u64, u8) {
        let (Some(first), Some(highest)) = (self.first, self.highest) else { return (0, 0) };
        let expected = highest + 1 - first;
        let (expected_before, received_before) =
            std::mem::replace(&mut self.reported, (expected, self.received));
        let lost = (expected - expected_before).saturating_sub(self.received - received_before);
        let share = (lost * 256).checked_div(expected - expected_before).unwrap_or(0);
        (expected.saturating_sub(self.received), share.min(255) as u8)
    }

    /// The highest extended sequence number.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// The layer of the last frame: an encoding, or the highest spatial layer of one stream.
    pub fn layer(&self) -> Option<usize> {
        let last = self.last?;
        Some(usize::from(last.layer).max(usize::from(self.codec.spatial_layer(&last).0)))
    }

    /// The highest temporal layer that came of late; the lowest of streams without.
    pub fn temporal(&self, now: Duration) -> u8 {
        let comes = |at: &Option<Duration>| at.is_some_and(|at| now.saturating_sub(at) < TEMPORAL_SILENCE);
        self.temporal.iter().rposition(comes).unwrap_or(0) as u8
    }

    /// Pauses are measured from now on.
    pub fn watch(&mut self, now: Duration) {
        self.longest_pause = Duration::ZERO;
        self.last_frame = self.last_frame.map(|_| now);
    }

    /// A packet of the medium, or the original inside of a retransmission. Errors are violations.
    pub fn receive(
        &mut self,
        now: Duration,
        sequence: u16,
        stamp: Stamp,
        marker: bool,
        is_rtx: bool,
    ) -> Result<(), String> {
        self.arrive(now, sequence, Some(Held { stamp, marker }), is_rtx)
    }

    /// A packet of padding: its number is of what this subscriber does not get.
    pub fn skip(&mut self, now: Duration, sequence: u16) -> Result<(), String> {
        self.arrive(now, sequence, None, false)
    }

    fn arrive(
        &mut self,
        now: Duration,
        sequence: u16,
        held: Option<Held>,
        is_rtx: bool,
    ) -> Result<(), String> {
        let sequence = match self.highest {
            Some(highest) => {
                highest.wrapping_add_signed(i64::from(sequence.wrapping_sub(highest as u16).cast_signed()))
            }
            None => {
                self.next = u64::from(sequence) + (1 << 16);
                self.next
            }
        };
        self.first = Some(self.first.unwrap_or(sequence).min(sequence));
        self.received += u64::from(!is_rtx);
        let is_new = sequence >= self.next && !self.held.contains_key(&sequence);
        if is_new && is_rtx {
            self.counts.repaired += 1;
        }
        let highest = self.highest.unwrap_or(sequence);
        for missing in (highest + 1..sequence).take(2000) {
            self.missing.insert(missing, Missing { since: now, due: now + NACK_AFTER });
        }
        self.highest = Some(highest.max(sequence));
        self.missing.remove(&sequence);
        if sequence >= self.next {
            self.held.insert(sequence, held);
        }
        self.advance(now)
    }

    /// When the newest frame that could be shown was captured.
    pub fn shown(&self) -> Option<Duration> {
        self.last.map(|stamp| stamp.captured)
    }

    /// Time passed: what is to be asked for, and what is given up.
    pub fn tick(&mut self, now: Duration) -> Result<Wants, String> {
        let mut wants = Wants::default();
        let give_up = if self.codec.is_video() { GIVE_UP_VIDEO } else { GIVE_UP_AUDIO };
        let lost: Vec<u64> = self
            .missing
            .iter()
            .filter(|(_, missing)| now.saturating_sub(missing.since) >= give_up)
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in lost {
            self.missing.remove(&sequence);
            self.counts.lost += 1;
        }
        self.advance(now)?;
        if self.codec.is_video() {
            for (sequence, missing) in &mut self.missing {
                if missing.due <= now {
                    missing.due = now + NACK_AGAIN;
                    wants.lost.push(*sequence as u16);
                }
            }
            if self.needs_key
                && self.highest.is_some()
                && self.asked_for_key.is_none_or(|asked| now.saturating_sub(asked) >= KEYFRAME_AGAIN)
            {
                self.asked_for_key = Some(now);
                wants.keyframe = true;
            }
        }
        Ok(wants)
    }

    /// Takes what is in order now. A whole key frame does not wait for what is missing before it.
    fn advance(&mut self, now: Duration) -> Result<(), String> {
        if let Some(start) = self.whole_keyframe() {
            self.missing = self.missing.split_off(&start);
            self.held = self.held.split_off(&start);
            self.gap.get_or_insert(self.next);
            self.open = None;
            self.next = start;
        }
        while self.highest.is_some_and(|highest| self.next <= highest) {
            match self.held.remove(&self.next) {
                Some(Some(held)) => self.take(now, held)?,
                Some(None) => {}
                None if self.missing.contains_key(&self.next) => break,
                None => {
                    self.gap.get_or_insert(self.next);
                    self.open = None;
                    self.run += 1;
                    if !self.codec.is_video() {
                        self.counts.longest_run = self.counts.longest_run.max(self.run);
                    }
                }
            }
            self.next += 1;
        }
        Ok(())
    }

    /// The newest whole key frame behind a packet that is missing.
    fn whole_keyframe(&self) -> Option<u64> {
        if !self.codec.is_video() || !self.missing.contains_key(&self.next) {
            return None;
        }
        let is_start = |held: &Option<Held>| held.is_some_and(|held| held.stamp.key && held.stamp.index == 0);
        let is_whole = |start: u64| {
            let packets = (start..).map_while(|sequence| self.held.get(&sequence));
            packets.flatten().any(|held| held.marker)
        };
        self.held
            .iter()
            .rev()
            .find(|(start, held)| is_start(held) && is_whole(**start))
            .map(|(start, _)| *start)
    }

    fn take(&mut self, now: Duration, held: Held) -> Result<(), String> {
        let Held { stamp, marker } = held;
        if !self.codec.is_video() {
            self.gap = None;
            self.run = 0;
            if let Some(last) = self.last.replace(stamp)
                && last.captured >= stamp.captured
            {
                return Err(format!("sound goes backwards: {last:?} then {stamp:?}"));
            }
            self.complete(now, &stamp);
            return Ok(());
        }
        let gap = self.gap.take();
        let encoder = |stamp: &Stamp| -> Encoder { (stamp.layer, stamp.generation) };
        if gap.is_some() {
            self.needs_key = true;
            self.counts.unrepaired += u64::from(!stamp.key || stamp.index > 0);
        }
        let is_next = |open: Stamp| {
            encoder(&open) == encoder(&stamp)
                && (open.frame, open.track, open.index + 1) == (stamp.frame, stamp.track, stamp.index)
        };
        if stamp.index == 0 {
            let is_cut = stamp.key || gap.is_some() || self.needs_key;
            if self.codec.spatial_layers(stamp.place.structure) > 1 && self.open.is_some() && !is_cut {
                return Err(format!("a frame without an end: {:?} then {stamp:?}", self.open));
            }
        } else if !self.open.is_some_and(is_next) {
            // The beginning of this frame was given up, or never sent to us.
            return if gap.is_some() || self.needs_key {
                Ok(())
            } else {
                Err(format!("the middle of a frame without its beginning: {stamp:?}"))
            };
        }
        // Upper layers may be left out; what is there of the frame ends where a layer ends.
        let (layer, ends_layer) = self.codec.spatial_layer(&stamp);
        if marker && !ends_layer || !marker && stamp.index + 1 == stamp.count {
            return Err(format!("marker {marker} on packet {} of {}", stamp.index, stamp.count));
        }
        self.open = (!marker).then_some(stamp);
        if !marker {
            return Ok(());
        }
        let is_reference = |known: &&Stamp| {
            let distance = u32::from(stamp.place.reference());
            encoder(known) == encoder(&stamp)
                && known.frame + distance == stamp.frame
                && known.track == stamp.track
        };
        let reference = self.decoded.iter().find(is_reference).copied();
        if !stamp.key && reference.is_none() && !self.needs_key {
            return Err(format!("a frame without its reference: {:?} then {stamp:?}", self.last));
        }
        if self.needs_key && !stamp.key {
            return Ok(()); // nothing to begin with
        }
        if !stamp.key && reference.is_some_and(|known| self.codec.spatial_layer(&known).0 < layer) {
            return Err(format!("a layer without its references: {:?} then {stamp:?}", self.last));
        }
        self.needs_key = false;
        self.last = Some(stamp);
        if stamp.key {
            self.decoded.clear();
        }
        self.decoded.truncate(REFERENCES - 1);
        self.decoded.push_front(stamp);
        if let Some(at) = self.temporal.get_mut(usize::from(stamp.place.temporal())) {
            *at = Some(now);
        }
        self.counts.keyframes += u64::from(stamp.key);
        self.complete(now, &stamp);
        Ok(())
    }

    fn complete(&mut self, now: Duration, _stamp: &Stamp) {
        self.counts.frames += 1;
        if let Some(last) = self.last_frame.replace(now) {
            self.longest_pause = self.longest_pause.max(now.saturating_sub(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn stamp(frame: u32, index: u16, key: bool) -> Stamp {
        Stamp {
            track: 1,
            layer: 0,
            generation: 0,
            key,
            level: 0,
            frame,
            index,
            count: 2,
            sequence: 0,
            timestamp: 0,
            picture: 0,
            tl0: 0,
            filler: 0,
            captured: MS * frame,
            place: Default::default(),
        }
    }

    fn feed(reception: &mut Reception, at: Duration, sequence: u16, frame: u32) -> Result<(), String> {
        let index = sequence % 2;
        reception.receive(at, sequence, stamp(frame, index, frame == 0), index == 1, false)
    }

    #[test]
    fn frames_are_put_together_in_order_and_gaps_asked_for() {
        let mut reception = Reception::new(Codec::H264);
        for (sequence, frame) in [(10, 0), (11, 0), (12, 1), (15, 2), (14, 2)] {
            feed(&mut reception, MS, sequence, frame).expect("nothing is wrong yet");
        }
        assert_eq!(reception.counts.frames, 1);
        assert_eq!(reception.tick(MS * 2), Ok(Wants::default()));
        assert_eq!(reception.tick(MS * 30), Ok(Wants { lost: vec![13], keyframe: false }));
        feed(&mut reception, MS * 40, 13, 1).expect("the gap is closed");
        assert_eq!(reception.counts.frames, 3);
    }

    #[test]
    fn what_is_given_up_needs_a_key_frame() {
        let mut reception = Reception::new(Codec::H264);
        for (sequence, frame) in [(10, 0), (11, 0), (13, 1), (14, 2), (15, 2)] {
            feed(&mut reception, MS, sequence, frame).expect("nothing is wrong yet");
        }
        let wants = reception.tick(MS * 2000).expect("a loss is no violation by itself");
        assert!(wants.keyframe);
        assert_eq!((reception.counts.lost, reception.counts.frames), (1, 1));
    }

    #[test]
    fn a_whole_key_frame_does_not_wait() {
        let mut reception = Reception::new(Codec::H264);
        for (sequence, frame) in [(10, 0), (11, 0), (13, 1)] {
            feed(&mut reception, MS, sequence, frame).expect("nothing is wrong yet");
        }
        reception.receive(MS * 2, 14, stamp(7, 0, true), false, false).expect("half of it");
        assert_eq!(reception.counts.frames, 1);
        reception.receive(MS * 2, 15, stamp(7, 1, true), true, false).expect("all of it");
        assert_eq!((reception.counts.frames, reception.counts.unrepaired), (2, 0));
        assert_eq!(reception.tick(MS * 30), Ok(Wants::default()));
    }

    #[test]
    fn a_frame_that_does_not_follow_is_a_violation() {
        let mut reception = Reception::new(Codec::H264);
        for (sequence, frame) in [(10, 0), (11, 0), (12, 2)] {
            feed(&mut reception, MS, sequence, frame).expect("nothing is wrong yet");
        }
        assert!(feed(&mut reception, MS, 13, 2).is_err());
    }

    #[test]
    fn sound_that_is_missing_is_counted_and_its_longest_run_too() {
        let mut reception = Reception::new(Codec::Opus);
        for sequence in [10, 12, 13, 17, 18] {
            feed(&mut reception, MS * u32::from(sequence), sequence, u32::from(sequence)).expect("in order");
        }
        reception.tick(MS * 1000).expect("a loss is no violation by itself");
        let Counts { frames, lost, longest_run, .. } = reception.counts;
        assert_eq!((frames, lost, longest_run), (5, 4, 3));
    }

    #[test]
    fn sound_that_goes_backwards_is_a_violation() {
        let mut reception = Reception::new(Codec::Opus);
        feed(&mut reception, MS, 10, 5).expect("the first");
        assert!(feed(&mut reception, MS, 11, 4).is_err());
    }
}
