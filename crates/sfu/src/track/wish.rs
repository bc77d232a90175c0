//! What a subscriber says that it needs of a track (`UpdateTrackSettings`), in terms of layers.

use protocol::livekit;

use crate::bandwidth::target::{LayerTarget, MAX_SPATIAL};

/// Pictures per second of a source that does not say otherwise.
const USUAL_FPS: u32 = 30;

/// The temporal layer that brings all pictures of a stream with three temporal layers (`T3`); those below bring a
/// half and a quarter.
const ALL_PICTURES: u8 = 2;

/// See the module's description. Without settings everything is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Nothing is wanted for now.
    pub disabled: bool,
    /// A quality instead of a size.
    pub quality: Option<livekit::VideoQuality>,
    /// Pixels in which it is shown; 0 × 0 if not said.
    pub width: u32,
    /// See `width`.
    pub height: u32,
    /// Pictures per second that are enough; 0 for all.
    pub fps: u32,
    /// How important the track is to the subscriber: 1 is the highest, 0 not said.
    pub priority: u32,
}

impl From<&livekit::UpdateTrackSettings> for Wish {
    fn from(settings: &livekit::UpdateTrackSettings) -> Self {
        Self {
            disabled: settings.disabled,
            quality: (settings.width == 0 || settings.height == 0).then(|| settings.quality()),
            width: settings.width,
            height: settings.height,
            fps: settings.fps,
            priority: settings.priority,
        }
    }
}

impl Wish {
    /// The layers that serve the wish; `None` for a pause. `sizes` are those of the track's spatial layers, lowest
    /// first ([`layer_sizes`]).
    pub fn target(&self, sizes: &[(u32, u32)]) -> Option<LayerTarget> {
        if self.disabled {
            return None;
        }
        let by_quality = match self.quality {
            Some(livekit::VideoQuality::Off) => return None,
            Some(livekit::VideoQuality::Low) => 0,
            Some(livekit::VideoQuality::Medium) => 1,
            Some(livekit::VideoQuality::High) | None => MAX_SPATIAL - 1,
        };
        let by_size = sizes.iter().position(|size| self.is_covered_by(*size)).unwrap_or(MAX_SPATIAL - 1);
        let spatial = if self.has_size() { by_size } else { by_quality };
        Some(LayerTarget { spatial: spatial.min(MAX_SPATIAL - 1) as u8, temporal: self.temporal() })
    }

    fn has_size(&self) -> bool {
        self.width > 0 && self.height > 0
    }

    /// Whether a layer of this size is as sharp as the element can show. Compared along the layer's shorter side:
    /// elements crop or letter-box a picture of another shape.
    fn is_covered_by(&self, (width, height): (u32, u32)) -> bool {
        if width < height { self.width <= width } else { self.height <= height }
    }

    fn temporal(&self) -> u8 {
        match self.fps {
            0 => LayerTarget::BEST.temporal,
            fps if fps <= USUAL_FPS / 4 => ALL_PICTURES - 2,
            fps if fps <= USUAL_FPS / 2 => ALL_PICTURES - 1,
            _ => LayerTarget::BEST.temporal,
        }
    }
}

/// Sizes of a track's spatial layers, lowest first, as the publisher announced them; where it said only the size of
/// the whole, each layer has half the width and height of the next. `count` is the number of layers, at most
/// [`MAX_SPATIAL`].
#[expect(deprecated, reason = "LiveKit's clients fill this field")]
pub fn layer_sizes(info: &livekit::TrackInfo, count: usize) -> ([(u32, u32); MAX_SPATIAL], usize) {
    let mut sizes = [(0, 0); MAX_SPATIAL];
    let count = count.clamp(1, MAX_SPATIAL);
    let mut announced: Vec<(u32, u32)> = Vec::new(); // only when a wish or a track changes
    if info.layers.len() == count {
        announced.extend(info.layers.iter().map(|layer| (layer.width, layer.height)));
        announced.sort_by_key(|(width, height)| u64::from(*width) * u64::from(*height));
    }
    for (index, size) in sizes.iter_mut().take(count).enumerate() {
        *size = match announced.get(index) {
            Some(announced) if announced.0 > 0 && announced.1 > 0 => *announced,
            _ => {
                let halvings = (count - 1 - index) as u32;
                (info.width >> halvings, info.height >> halvings)
            }
        };
    }
    (sizes, count)
}

/// Bitrates of a track's spatial layers in bit/s, lowest first, as the publisher announced them (of a scalable stream
/// those below included); 0 where it did not.
#[expect(deprecated, reason = "LiveKit's clients fill this field")]
pub fn layer_bitrates(info: &livekit::TrackInfo, count: usize) -> [u64; MAX_SPATIAL] {
    let mut layers = [(0, 0); MAX_SPATIAL];
    let (Some(announced), true) = (layers.get_mut(..count), info.layers.len() == count) else {
        return [0; MAX_SPATIAL];
    };
    for (place, layer) in announced.iter_mut().zip(&info.layers) {
        *place = (u64::from(layer.width) * u64::from(layer.height), u64::from(layer.bitrate));
    }
    announced.sort_unstable();
    layers.map(|(_, bitrate)| bitrate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [(u32, u32); 3] = [(320, 180), (640, 360), (1280, 720)];

    fn wish(width: u32, height: u32) -> Wish {
        Wish { width, height, ..Wish::default() }
    }

    fn spatial(wish: Wish, sizes: &[(u32, u32)]) -> Option<u8> {
        wish.target(sizes).map(|target| target.spatial)
    }

    #[test]
    fn the_smallest_layer_that_covers_the_element_is_wanted() {
        for (width, height, expected) in
            [(200, 113, 0), (320, 180, 0), (321, 181, 1), (640, 360, 1), (900, 506, 2), (4000, 3000, 2)]
        {
            assert_eq!(spatial(wish(width, height), &SIZES), Some(expected), "{width}x{height}");
        }
        // A narrow tile that crops a landscape picture.
        assert_eq!(spatial(wish(180, 320), &SIZES), Some(1));
        let portrait = SIZES.map(|(width, height)| (height, width));
        assert_eq!(spatial(wish(180, 320), &portrait), Some(0));
    }

    #[test]
    fn without_a_size_the_quality_counts_and_without_both_everything_is_wanted() {
        let quality = |quality| Wish { quality: Some(quality), ..Wish::default() };
        assert_eq!(spatial(quality(livekit::VideoQuality::Low), &SIZES), Some(0));
        assert_eq!(spatial(quality(livekit::VideoQuality::Medium), &SIZES), Some(1));
        assert_eq!(quality(livekit::VideoQuality::Off).target(&SIZES), None);
        assert_eq!(Wish::default().target(&SIZES), Some(LayerTarget::BEST));
        assert_eq!(Wish { disabled: true, ..wish(640, 360) }.target(&SIZES), None);
        let settings = livekit::UpdateTrackSettings { width: 640, height: 360, ..Default::default() };
        assert_eq!(Wish::from(&settings).quality, None, "a size counts before the field's default");
    }

    #[test]
    fn fewer_pictures_are_fewer_temporal_layers() {
        let temporal = |fps| Wish { fps, ..Wish::default() }.target(&SIZES).map(|target| target.temporal);
        assert_eq!([5, 15, 24, 30].map(temporal), [Some(0), Some(1), Some(3), Some(3)]);
        assert_eq!(temporal(u32::MAX), Some(3));
    }

    #[test]
    #[expect(deprecated, reason = "LiveKit's clients fill this field")]
    fn sizes_come_from_the_announcement_in_whatever_order_or_from_halving() {
        let layer = |(width, height)| livekit::VideoLayer { width, height, ..Default::default() };
        let mut info = livekit::TrackInfo { width: 1280, height: 720, ..Default::default() };
        assert_eq!(layer_sizes(&info, 3), (SIZES, 3));
        info.layers = [(1280, 720), (320, 180), (800, 450)].map(layer).to_vec();
        assert_eq!(layer_sizes(&info, 3).0, [(320, 180), (800, 450), (1280, 720)]);
        assert_eq!(layer_sizes(&info, 2).0[..2], [(640, 360), (1280, 720)], "it announced something else");
        assert_eq!(layer_sizes(&info, 9).1, MAX_SPATIAL);
    }

    #[test]
    #[expect(deprecated, reason = "LiveKit's clients fill this field")]
    fn bitrates_come_from_the_announcement_if_it_is_of_these_layers() {
        let layer =
            |(width, bitrate)| livekit::VideoLayer { width, height: 9, bitrate, ..Default::default() };
        let layers = [(1280, 1_700_000), (320, 150_000), (640, 500_000)].map(layer).to_vec();
        let info = livekit::TrackInfo { layers, ..Default::default() };
        assert_eq!(layer_bitrates(&info, 3), [150_000, 500_000, 1_700_000]);
        assert_eq!(layer_bitrates(&info, 1), [0; MAX_SPATIAL]);
        assert_eq!(layer_bitrates(&livekit::TrackInfo::default(), 9), [0; MAX_SPATIAL]);
    }
}
