//! Which layers of a published video track arrive now, and at which rates.
//!
//! Layers are counted as [`LayerTarget`] does: a simulcast encoding or a spatial layer of one scalable stream is a
//! spatial layer here.

use std::time::{Duration, Instant};

use crate::bandwidth::target::{LayerRates, LayerTarget, MAX_SPATIAL, MAX_TEMPORAL};

/// A layer that was silent for this long, while others brought pictures, is no longer forwarded. Shorter
/// reacts faster to a publisher that stops a layer.
const LAYER_SILENCE: Duration = Duration::from_secs(1);

/// Pictures that the other layers must have begun meanwhile: a still screen brings one a second on each
/// layer, and which layer's comes first means nothing.
const LAYER_BEHIND: u32 = 4;

/// Rates are means over about this time. Shorter follows a scene that changes, longer bridges key frames: each costs
/// as much as a quarter to half a second of other frames, and over 1 s looked like a layer half as dear again.
const RATE_MEMORY: Duration = Duration::from_secs(4);

/// The same of a screen: it moves for a second or three and stays for ten, and what it takes beyond its mean is a burst.
const SCREEN_MEMORY: Duration = Duration::from_secs(20);

/// How often what has come is folded into the rates.
const RATE_STEP: Duration = Duration::from_millis(250);

/// A meter that saw nothing for this long begins anew: what came before says nothing of now.
const RATE_GAP: Duration = Duration::from_secs(10);

/// A layer whose rate is not measured yet is taken to cost what its publisher announced, but at least so many per cent of
/// what the layers below cost and at most so many times as much. LiveKit's clients make each layer two to four times as
/// dear as the one below; whoever announces nonsense is given too much or too little for [`RATE_STEP`] only.
const LEAST_GUESS_PERCENT: u64 = 150;
const MOST_GUESS: u64 = 8;

/// Bytes of SRTP (RFC 7714) around each RTP payload with the usual header extensions: what a packet costs in UDP payload
/// beyond its payload.
const OVERHEAD: u64 = 16 + 24;

/// A burst is forgotten over about this time: slides change every few seconds, and what they cost when they do must be
/// kept free.
const BURST_MEMORY: Duration = Duration::from_secs(45);

/// One spatial layer's arrivals.
#[derive(Clone, Debug, Default)]
struct Arrivals {
    last: Option<Instant>,
    /// Pictures that other layers began since then.
    behind: u32,
    /// Bytes since the last step, and the mean rate in bit/s, by temporal layer.
    bytes: [u64; MAX_TEMPORAL],
    rates: [u64; MAX_TEMPORAL],
    stepped: Option<Instant>,
    /// The highest rate over about a second, decaying, in bit/s.
    burst: (u64, u64),
    /// When the meter began.
    began: Option<Instant>,
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Availability {
    layers: [Arrivals; MAX_SPATIAL],
    /// Whether it is a screen: [`SCREEN_MEMORY`].
    is_screen: bool,
}

impl Availability {
    /// Nothing has come yet.
    pub fn new(is_screen: bool) -> Self {
        Self { is_screen, ..Self::default() }
    }

    fn memory(&self) -> Duration {
        if self.is_screen { SCREEN_MEMORY } else { RATE_MEMORY }
    }

    /// A packet of `payload` bytes arrived; `begins_picture` says whether it is the first of a picture in its stream.
    /// True if its spatial layer did not arrive until now.
    pub fn note(&mut self, now: Instant, layer: LayerTarget, payload: usize, begins_picture: bool) -> bool {
        let spatial = usize::from(layer.spatial);
        let was_there = self.arrives(now, spatial);
        for (other, arrivals) in self.layers.iter_mut().enumerate() {
            if other == spatial {
                arrivals.behind = 0;
            } else if begins_picture {
                arrivals.behind = arrivals.behind.saturating_add(1);
            }
        }
        let memory = self.memory();
        let Some(arrivals) = self.layers.get_mut(spatial) else { return false };
        arrivals.last = Some(now);
        arrivals.step(now, memory);
        if let Some(bytes) = arrivals.bytes.get_mut(usize::from(layer.temporal).min(MAX_TEMPORAL - 1)) {
            *bytes = bytes.saturating_add(payload as u64 + OVERHEAD);
        }
        !was_there
    }

    /// Whether a spatial layer arrives. One that fell silent together with all others still does: a camera that is
    /// off comes back as it was.
    pub fn arrives(&self, now: Instant, spatial: usize) -> bool {
        self.layers.get(spatial).is_some_and(|arrivals| {
            arrivals.last.is_some_and(|last| {
                arrivals.behind < LAYER_BEHIND || now.saturating_duration_since(last) < LAYER_SILENCE
            })
        })
    }

    /// The best that arrives; `None` if nothing ever came.
    pub fn best(&self, now: Instant) -> Option<LayerTarget> {
        let spatial = (0..MAX_SPATIAL).rev().find(|spatial| self.arrives(now, *spatial))?;
        Some(LayerTarget { spatial: spatial as u8, ..LayerTarget::BEST })
    }

    /// What arrives and is nearest to what is wanted: the best spatial layer not above it, or else the lowest above.
    pub fn nearest(&self, now: Instant, wanted: LayerTarget) -> Option<LayerTarget> {
        let arriving = || (0..MAX_SPATIAL).filter(|spatial| self.arrives(now, *spatial));
        let below = arriving().rfind(|spatial| *spatial <= usize::from(wanted.spatial));
        let spatial = below.or_else(|| arriving().next())?;
        Some(LayerTarget { spatial: spatial as u8, ..wanted })
    }

    /// The highest rate of lately, in bit/s: what a screen costs when it changes.
    pub fn burst(&self) -> u64 {
        self.layers.iter().map(|arrivals| arrivals.burst.1).max().unwrap_or(0)
    }

    /// Mean rates of what arrives, in bit/s with headers: of everything that a [`LayerTarget`] stands for. In
    /// simulcast each spatial layer is a stream of its own, in a scalable stream it needs those below. `announced` are the
    /// publisher's own figures, 0 where it gave none: a layer above a measured one counts with them until it is measured.
    pub fn rates(&mut self, now: Instant, is_simulcast: bool, announced: &[u64; MAX_SPATIAL]) -> LayerRates {
        let (memory, mut rates) = (self.memory(), LayerRates::default());
        let mut below = [0; MAX_TEMPORAL];
        let mut dearest = 0;
        for (spatial, of_layer) in rates.iter_mut().enumerate() {
            let arrives = self.arrives(now, spatial);
            let Some(arrivals) = self.layers.get_mut(spatial).filter(|_| arrives) else { continue };
            arrivals.step(now, memory);
            if arrivals.rates.iter().all(|rate| *rate == 0) {
                let announced = announced.get(spatial).copied().unwrap_or_default();
                of_layer[0] = guess(announced, dearest);
                continue;
            }
            let mut sum = 0;
            for (temporal, ((rate, base), total)) in
                arrivals.rates.iter().zip(&mut below).zip(of_layer).enumerate()
            {
                sum += rate;
                let all = if is_simulcast { sum } else { *base + sum };
                *base = all;
                // A temporal layer that brings nothing is none.
                if *rate > 0 || temporal == 0 {
                    *total = all;
                }
                dearest = dearest.max(all);
            }
        }
        rates
    }
}

/// What a layer costs that is not measured yet; 0 if that cannot be told.
fn guess(announced: u64, below: u64) -> u64 {
    if announced == 0 {
        return 0;
    }
    announced.clamp(below.saturating_mul(LEAST_GUESS_PERCENT) / 100, below.saturating_mul(MOST_GUESS))
}

impl Arrivals {
    /// Folds what has come into the rates.
    fn step(&mut self, now: Instant, memory: Duration) {
        let since = *self.stepped.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed < RATE_STEP {
            return;
        }
        self.stepped = Some(now);
        let millis = passed.as_millis() as u64;
        if passed > RATE_GAP || self.rates.iter().all(|rate| *rate == 0) {
            self.began = Some(since);
        }
        // Weighted by time: at first the mean of all that came, then one that forgets within `memory`, whatever
        // the steps are.
        let known = self.began.map_or(Duration::ZERO, |began| since.saturating_duration_since(began));
        let memory = if passed > RATE_GAP { 0 } else { known.min(memory).as_millis() as u64 };
        let came: u64 = self.bytes.iter().sum();
        let came = came.saturating_mul(8000) / millis.max(1);
        let (second, burst) = &mut self.burst;
        let share = millis.min(1000);
        *second = (second.saturating_mul(1000 - share) + came.saturating_mul(share)) / 1000;
        let decayed = burst
            .saturating_sub(*burst / 1000 * millis.saturating_mul(1000) / BURST_MEMORY.as_millis() as u64);
        *burst = decayed.max(*second);
        for (bytes, rate) in self.bytes.iter_mut().zip(&mut self.rates) {
            let arrived = std::mem::take(bytes).saturating_mul(8000) / millis.max(1);
            *rate = (rate.saturating_mul(memory) + arrived.saturating_mul(millis)) / (memory + millis);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn layer(spatial: u8, temporal: u8) -> LayerTarget {
        LayerTarget { spatial, temporal }
    }

    /// A picture of these layers arrives, lowest first.
    fn picture(availability: &mut Availability, now: Instant, layers: std::ops::Range<u8>) {
        for spatial in layers {
            availability.note(now, layer(spatial, 0), 1000, true);
        }
    }

    fn best(availability: &Availability, now: Instant) -> Option<u8> {
        availability.best(now).map(|best| best.spatial)
    }

    #[test]
    fn a_still_screen_keeps_its_layer_whenever_one_looks() {
        let start = crate::test_start();
        let mut availability = Availability::default();
        for second in 0..20 {
            let now = start + Duration::from_secs(second);
            // The packets of one picture come one after the other, and one may look in between.
            for spatial in 0..3 {
                let now = now + MS * u32::from(spatial);
                picture(&mut availability, now, spatial..spatial + 1);
                assert!(
                    second == 0 || best(&availability, now) == Some(2),
                    "second {second}, layer {spatial}"
                );
            }
        }
    }

    #[test]
    fn a_layer_that_stops_while_others_go_on_is_left() {
        let start = crate::test_start();
        let mut availability = Availability::default();
        picture(&mut availability, start, 0..3);
        for frame in 1..40 {
            let now = start + MS * 50 * frame;
            picture(&mut availability, now, 0..2);
            let expected = if frame < 20 { 2 } else { 1 };
            assert_eq!(best(&availability, now), Some(expected), "frame {frame}");
        }
        assert!(availability.note(start + MS * 3000, layer(2, 0), 1000, true), "it is back");
        assert!(!availability.note(start + MS * 3001, layer(2, 0), 1000, true), "it is there already");
    }

    #[test]
    fn the_nearest_is_below_unless_nothing_is() {
        let now = crate::test_start();
        let mut availability = Availability::default();
        assert_eq!(availability.nearest(now, LayerTarget::BEST), None);
        picture(&mut availability, now, 1..2);
        assert_eq!(availability.nearest(now, layer(2, 1)), Some(layer(1, 1)));
        assert_eq!(availability.nearest(now, layer(0, 1)), Some(layer(1, 1)));
    }

    #[test]
    fn rates_are_cumulative_and_follow_within_seconds() {
        let start = crate::test_start();
        let mut availability = Availability::default();
        let mut run = |from: u32, to: u32, bytes: usize| {
            for frame in from..to {
                let now = start + MS * 40 * frame; // 25 pictures a second
                for spatial in 0..2 {
                    availability.note(now, layer(spatial, (frame % 2) as u8), bytes, spatial == 0);
                }
            }
            let now = start + MS * 40 * to;
            (
                availability.rates(now, true, &[0; MAX_SPATIAL]),
                availability.rates(now, false, &[0; MAX_SPATIAL]),
            )
        };
        let close = |rate: u64, bytes: u64, share: u64| {
            let expected = (bytes + OVERHEAD) * 8 * 25 * share / 2;
            rate.abs_diff(expected) < expected / 8
        };
        let (simulcast, scalable) = run(0, 100, 1000);
        assert!(close(simulcast[0][0], 1000, 1) && close(simulcast[0][1], 1000, 2), "{simulcast:?}");
        assert!(close(simulcast[1][1], 1000, 2) && close(scalable[1][1], 1000, 4), "{scalable:?}");
        assert_eq!(
            (simulcast[0][2], simulcast[2]),
            (0, [0; MAX_TEMPORAL]),
            "what does not arrive costs nothing"
        );
        let (simulcast, _) = run(100, 475, 300);
        assert!(close(simulcast[1][1], 300, 2), "{simulcast:?}");
    }

    #[test]
    fn what_is_scrolled_for_a_moment_raises_the_mean_of_a_screen_little_and_its_burst_at_once() {
        let start = crate::test_start();
        let measured = |is_screen| {
            let mut availability = Availability::new(is_screen);
            let mut scroll = |from: u32, to: u32, bytes: usize| {
                for frame in from..to {
                    availability.note(start + MS * 50 * frame, layer(0, 0), bytes, true);
                }
            };
            scroll(0, 400, 200);
            scroll(400, 440, 10_000); // 1.6 Mbit/s for two seconds
            let mean = availability.rates(start + MS * 22_000, true, &[0; MAX_SPATIAL])[0][0];
            (mean, availability.burst())
        };
        let ((camera, _), (screen, burst)) = (measured(false), measured(true));
        assert!(camera > 500_000 && screen < 220_000, "{camera} {screen}");
        assert!(burst > 1_300_000, "{burst}");
    }

    #[test]
    fn a_layer_that_has_just_begun_costs_what_was_announced_within_reason_until_it_is_measured() {
        let start = crate::test_start();
        let mut availability = Availability::default();
        for frame in 0..50 {
            picture(&mut availability, start + MS * 40 * frame, 0..1);
        }
        let begun = start + MS * 2000;
        picture(&mut availability, begun, 0..2);
        for is_simulcast in [true, false] {
            let mut rate = |announced| {
                let rates = availability.rates(begun, is_simulcast, &[90_000, announced, 1_700_000]);
                let below = rates[0][0];
                (rates[1].map(|rate| rate * 100 / below), rates[2])
            };
            assert_eq!(rate(0), ([0; MAX_TEMPORAL], [0; MAX_TEMPORAL]), "nothing was said, or arrives");
            assert_eq!(rate(600_000).0[1..], [0; MAX_TEMPORAL - 1]);
            assert!((280..300).contains(&rate(600_000).0[0]), "{:?}", rate(600_000));
            assert!((149..=150).contains(&rate(1).0[0]) && (799..=800).contains(&rate(u64::MAX).0[0]));
        }
        for frame in 50..60 {
            picture(&mut availability, start + MS * 40 * frame, 0..2);
        }
        let measured = availability.rates(start + MS * 2400, true, &[1; MAX_SPATIAL]);
        assert!(measured[1][0].abs_diff(measured[0][0]) < measured[0][0] / 4, "{measured:?}");
        let mut unknown = Availability::default();
        picture(&mut unknown, start, 0..3);
        assert_eq!(
            unknown.rates(start, true, &[500_000; MAX_SPATIAL]),
            LayerRates::default(),
            "nothing to go by"
        );
    }
}
