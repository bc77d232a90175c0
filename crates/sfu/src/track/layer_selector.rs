//! Which frames of one stream a subscriber gets: those of the layers that it should have, without any whose references
//! it did not get.
//!
//! Fewer layers at the next picture; more temporal layers where the stream allows it ([`Switch`]); more spatial layers
//! at a picture that needs none before it. Lower spatial layers are always sent with the upper ones, also where an encoder
//! does not need them between key frames: so that there can be fewer at once, without a key frame.

use super::frame::{Frame, Switch};
use crate::bandwidth::target::{LayerTarget, MAX_SPATIAL};

/// Frames whose fate is remembered: 32 pictures of VP9, 128 of others, which is seconds. A packet that comes later than
/// that is of no use.
const REMEMBERED: u64 = 128;

/// Pictures whose highest layer is remembered: those whose packets may be late or asked for again.
const PICTURES: usize = 32;

/// What is decided for a frame's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are forwarded.
    Kept,
    /// They are not; `is_new` for the first packet of a frame to come.
    Dropped {
        /// Whether this is the first that is seen of the frame.
        is_new: bool,
    },
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct LayerSelector {
    /// The highest spatial layer that is sent.
    spatial: u8,
    /// The highest temporal layer that is sent, where references are not known.
    temporal: u8,
    fates: Fates,
    pictures: Pictures,
}

/// The highest layers that may be sent of the newest pictures, by RTP timestamp; a ring.
#[derive(Clone, Debug, Default)]
struct Pictures {
    tops: [Option<(u32, LayerTarget)>; PICTURES],
    next: usize,
}

impl Pictures {
    fn top(&self, timestamp: u32) -> Option<LayerTarget> {
        let found = self.tops.iter().flatten().find(|(picture, _)| *picture == timestamp);
        found.map(|(_, top)| *top)
    }

    fn push(&mut self, timestamp: u32, top: LayerTarget) {
        if let Some(oldest) = self.tops.get_mut(self.next) {
            *oldest = Some((timestamp, top));
        }
        self.next = (self.next + 1) % PICTURES;
    }
}

impl LayerSelector {
    /// The highest spatial layer that is sent.
    pub fn spatial(&self) -> u8 {
        self.spatial
    }

    /// The highest spatial layer that was sent of the picture with this timestamp; its frame is the picture's last.
    pub fn top(&self, timestamp: u32) -> u8 {
        self.pictures.top(timestamp).map_or(self.spatial, |top| top.spatial)
    }

    /// Another encoder's frames follow, from a key frame on.
    pub fn restart(&mut self) {
        *self = Self { pictures: std::mem::take(&mut self.pictures), ..Self::default() };
    }

    /// Whether a frame that was sent before this is asked is none that the subscriber gets: what it knows nothing of
    /// came before its first key frame.
    pub fn is_left_out(&self, frame: &Frame, timestamp: u32) -> bool {
        self.fates.of(frame.number).map_or(frame.spatial > self.top(timestamp), |is_kept| !is_kept)
    }

    /// Decides about a packet of a frame; all packets of one frame share its fate. `timestamp` is the packet's.
    pub fn select(&mut self, frame: &Frame, timestamp: u32, target: LayerTarget) -> Verdict {
        if let Some(is_kept) = self.fates.of(frame.number) {
            return if is_kept { Verdict::Kept } else { Verdict::Dropped { is_new: false } };
        }
        let top = self.pictures.top(timestamp).unwrap_or_else(|| {
            if self.fates.is_newest(frame.number) {
                self.begin_picture(frame, target);
            }
            // All spatial layers of a picture are of one temporal layer: they come together, or the picture has no end.
            let top = LayerTarget { spatial: self.spatial, temporal: target.temporal };
            self.pictures.push(timestamp, top);
            top
        });
        let is_kept =
            frame.spatial <= top.spatial && (self.fills_gap(frame) || self.has_temporal(frame, top.temporal));
        if !self.fates.set(frame.number, is_kept) {
            return Verdict::Dropped { is_new: false }; // too late
        }
        if is_kept { Verdict::Kept } else { Verdict::Dropped { is_new: true } }
    }

    /// Whether the frame was overtaken by others and can be decoded by everybody. Of VP8 those others have a picture id that
    /// leaves one out for it, since nothing was known of its layer; libwebrtc holds frames of upper layers back behind an id
    /// that does not come, until one that needs layer 0 only.
    fn fills_gap(&self, frame: &Frame) -> bool {
        frame.switch == Switch::Here && !self.fates.is_newest(frame.number)
    }

    fn begin_picture(&mut self, frame: &Frame, target: LayerTarget) {
        if frame.is_key {
            (self.spatial, self.temporal) = (target.spatial, target.temporal);
        }
        self.spatial = self.spatial.min(target.spatial).min(MAX_SPATIAL as u8 - 1);
        self.temporal = self.temporal.min(target.temporal);
    }

    /// `wanted`: the highest temporal layer that the subscriber should have.
    fn has_temporal(&mut self, frame: &Frame, wanted: u8) -> bool {
        match frame.switch {
            Switch::ByReferences => {
                let is_there = |reference| self.fates.of(reference) != Some(false);
                return frame.temporal <= wanted && frame.references().all(is_there);
            }
            Switch::Here if frame.temporal > self.temporal && frame.temporal <= wanted => {
                self.temporal = frame.temporal;
            }
            Switch::Above if frame.temporal <= self.temporal => self.temporal = wanted,
            Switch::Here | Switch::Above | Switch::No => {}
        }
        frame.temporal <= self.temporal
    }
}

/// Which of the newest frames were kept.
#[derive(Clone, Debug, Default)]
struct Fates {
    /// The highest frame number that was decided about, and about how many below it something is known.
    newest: Option<u64>,
    /// Bit n stands for `newest - n`.
    decided: u128,
    kept: u128,
}

impl Fates {
    fn is_newest(&self, number: u64) -> bool {
        self.newest.is_none_or(|newest| number > newest)
    }

    fn of(&self, number: u64) -> Option<bool> {
        let behind = self.newest?.checked_sub(number).filter(|behind| *behind < REMEMBERED)?;
        (self.decided >> behind & 1 == 1).then_some(self.kept >> behind & 1 == 1)
    }

    /// False if the frame is too old.
    fn set(&mut self, number: u64, is_kept: bool) -> bool {
        let newest = *self.newest.get_or_insert(number);
        if let Some(ahead) = number.checked_sub(newest).filter(|ahead| *ahead > 0) {
            let shift = |bits: u128| if ahead < REMEMBERED { bits << ahead } else { 0 };
            (self.decided, self.kept) = (shift(self.decided), shift(self.kept));
            self.newest = Some(number);
        }
        let behind = newest.max(number) - number;
        if behind >= REMEMBERED {
            return false;
        }
        self.decided |= 1 << behind;
        self.kept |= u128::from(is_kept) << behind;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: LayerTarget = LayerTarget::BEST;

    fn layers(spatial: u8, temporal: u8) -> LayerTarget {
        LayerTarget { spatial, temporal }
    }

    fn kept(selector: &mut LayerSelector, frame: &Frame, target: LayerTarget) -> bool {
        // Pictures of VP9 have four numbers, and one timestamp.
        selector.select(frame, (frame.number / 4) as u32 * 3000, target) == Verdict::Kept
    }

    /// L3T1 with references: picture `picture` of three layers, a key picture or predicted from the one before.
    fn picture(picture: u64, is_key: bool) -> [Frame; 3] {
        [0u8, 1, 2].map(|spatial| {
            let references: &[u16] = match (is_key, spatial) {
                (true, 0) => &[],
                (true, _) => &[1],
                (false, 0) => &[4],
                (false, _) => &[4, 1],
            };
            Frame::example(picture * 4 + u64::from(spatial), spatial, 0, Switch::ByReferences, references)
        })
    }

    fn sizes(selector: &mut LayerSelector, frames: &[Frame; 3], target: LayerTarget) -> [bool; 3] {
        frames.each_ref().map(|frame| kept(selector, frame, target))
    }

    #[test]
    fn fewer_spatial_layers_at_once_and_more_at_a_key_picture() {
        let mut selector = LayerSelector::default();
        assert_eq!(sizes(&mut selector, &picture(10, true), ALL), [true; 3]);
        assert_eq!(sizes(&mut selector, &picture(11, false), layers(0, 3)), [true, false, false]);
        assert_eq!(
            sizes(&mut selector, &picture(12, false), ALL),
            [true, false, false],
            "its references are gone"
        );
        assert_eq!(selector.spatial(), 0);
        assert_eq!(sizes(&mut selector, &picture(13, true), layers(1, 3)), [true, true, false]);
        assert_eq!(selector.spatial(), 1);
    }

    #[test]
    fn layers_change_between_pictures_and_not_within_one() {
        let mut selector = LayerSelector::default();
        let [base, middle, top] = picture(10, true);
        assert!(kept(&mut selector, &base, ALL));
        assert!(kept(&mut selector, &middle, layers(0, 0)) && kept(&mut selector, &top, layers(0, 0)));
        let [_, middle, _] = picture(11, false);
        assert!(!kept(&mut selector, &middle, layers(0, 0)));
    }

    #[test]
    fn spatial_layers_of_a_picture_share_the_fate_of_its_temporal_layer() {
        let of_temporal = |number, temporal| {
            picture(number, false).map(|frame| Frame { temporal, references: Default::default(), ..frame })
        };
        let mut selector = LayerSelector::default();
        sizes(&mut selector, &picture(10, true), ALL);
        let [base, middle, top] = of_temporal(11, 2);
        assert!(kept(&mut selector, &base, ALL));
        let less = layers(2, 0);
        assert!(
            kept(&mut selector, &middle, less) && kept(&mut selector, &top, less),
            "the picture has begun"
        );
        let [base, middle, top] = of_temporal(12, 2);
        assert!(!kept(&mut selector, &base, less));
        assert!(!kept(&mut selector, &middle, ALL) && !kept(&mut selector, &top, ALL), "it has no beginning");
    }

    #[test]
    fn temporal_layers_with_references_come_back_where_those_are_there() {
        let mut selector = LayerSelector::default();
        // Each second frame belongs to layer 1; every fourth is predicted from the last of its layer too.
        let frame = |number: u64| match number % 4 {
            0 | 2 => Frame::example(number, 0, 0, Switch::ByReferences, if number == 0 { &[] } else { &[2] }),
            1 => Frame::example(number, 0, 1, Switch::ByReferences, &[1]),
            _ => Frame::example(number, 0, 1, Switch::ByReferences, &[1, 2]),
        };
        let mut gets = |numbers: std::ops::Range<u64>, target| -> Vec<u64> {
            numbers.filter(|number| kept(&mut selector, &frame(*number), target)).collect()
        };
        assert_eq!(gets(0..4, ALL), [0, 1, 2, 3]);
        assert_eq!(gets(4..6, layers(2, 0)), [4]);
        assert_eq!(gets(6..9, ALL), [6, 8], "frame 7 needs frame 5, which was not sent");
        assert_eq!(gets(9..12, ALL), [9, 10, 11]);
    }

    #[test]
    fn temporal_layers_of_vp8_begin_with_a_frame_that_needs_the_base_only() {
        let mut selector = LayerSelector::default();
        let key = Frame { is_key: true, ..Frame::example(100, 0, 0, Switch::No, &[]) };
        assert!(kept(&mut selector, &key, ALL));
        let upper = |number, switch| Frame::example(number, 0, 2, switch, &[]);
        assert!(kept(&mut selector, &upper(104, Switch::No), ALL), "after a key frame everything can come");
        assert!(!kept(&mut selector, &upper(108, Switch::Here), layers(0, 1)), "down at once");
        assert!(!kept(&mut selector, &upper(112, Switch::No), ALL), "it needs frames that were not sent");
        assert!(kept(&mut selector, &upper(116, Switch::Here), ALL));
        assert!(kept(&mut selector, &upper(120, Switch::No), ALL));
    }

    #[test]
    fn after_a_switching_point_upper_layers_follow() {
        let mut selector = LayerSelector::default();
        let frame = |number, temporal, switch| Frame::example(number, 0, temporal, switch, &[]);
        assert!(kept(&mut selector, &frame(4, 0, Switch::No), ALL));
        assert!(!kept(&mut selector, &frame(8, 1, Switch::Above), ALL), "it is itself of a layer not sent");
        assert!(kept(&mut selector, &frame(12, 0, Switch::Above), ALL));
        assert!(kept(&mut selector, &frame(16, 1, Switch::No), ALL));
    }

    #[test]
    fn late_packets_share_the_fate_of_their_frame() {
        let mut selector = LayerSelector::default();
        let (first, second) = (picture(10, true), picture(11, false));
        sizes(&mut selector, &first, ALL);
        assert_eq!(sizes(&mut selector, &second, layers(1, 3)), [true, true, false]);
        assert!(kept(&mut selector, &first[2], layers(0, 0)));
        assert_eq!(selector.select(&second[2], 33_000, ALL), Verdict::Dropped { is_new: false });
        let old = Frame::example(1, 0, 0, Switch::ByReferences, &[]);
        selector.select(&Frame::example(1000, 0, 0, Switch::ByReferences, &[]), 7, ALL);
        assert_eq!(selector.select(&old, 0, ALL), Verdict::Dropped { is_new: false }, "too late for any use");
    }

    proptest! {
        /// Whatever is lost, late and wanted: nothing is sent that refers to what was seen and not sent, or that is above
        /// what was wanted.
        #[test]
        fn nothing_is_sent_without_its_references(
            steps in prop::collection::vec((0u8..3, 0u8..3, any::<bool>(), 0u8..20, any::<[u8; 3]>()), 1..200),
        ) {
            let mut selector = LayerSelector::default();
            let mut sent = std::collections::HashMap::new();
            for (index, (spatial, temporal, is_key, lost, diffs)) in steps.into_iter().enumerate() {
                let target = layers(spatial, temporal);
                let number = 4 * index as u64;
                for (layer, diff) in [0u8, 1, 2].into_iter().zip(diffs) {
                    if lost < 3 && lost == layer {
                        continue;
                    }
                    let mut references = Vec::new();
                    if !is_key {
                        references.push(4 * (1 + u16::from(diff % 3)));
                    }
                    if layer > 0 {
                        references.push(1);
                    }
                    let of_temporal = if is_key { 0 } else { diff % 3 };
                    let number = number + u64::from(layer);
                    let frame = Frame::example(number, layer, of_temporal, Switch::ByReferences, &references);
                    let is_sent = kept(&mut selector, &frame, target);
                    if is_sent {
                        prop_assert!(layer <= spatial && of_temporal <= temporal);
                        for reference in frame.references() {
                            prop_assert!(sent.get(&reference) != Some(&false), "{number} needs {reference}");
                        }
                    }
                    sent.insert(number, is_sent);
                }
            }
        }
    }
}
