//! What one subscription could cost: the layers of a track that are worth having, from cheap to good.

use super::target::{LayerRates, LayerTarget, MAX_SPATIAL, MAX_TEMPORAL};

/// Steps at most: every temporal layer of the lowest spatial layer, and the best two of each above.
const MAX_STEPS: usize = MAX_TEMPORAL + 2 * (MAX_SPATIAL - 1);

/// One choice and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is sent.
    pub target: LayerTarget,
    /// Bit/s, headers included.
    pub rate: u64,
}

/// Steps of one subscription, each better and dearer than the one before. Empty if nothing arrives that the subscriber
/// wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    steps: [Option<Step>; MAX_STEPS],
    length: usize,
}

impl Ladder {
    /// The ladder of a track: `rates` as [`LayerRates`] says, what is 0 is not to be had; nothing above `wanted`.
    ///
    /// A larger picture with a quarter of its frames is worse than a smaller one with all of them, so of the upper
    /// spatial layers only the best two temporal layers are steps. A step that costs no more than one below it
    /// (layers that are measured while an encoder changes its mind) replaces it.
    pub fn new(rates: &LayerRates, wanted: LayerTarget) -> Self {
        let mut ladder = Self::default();
        for (spatial, temporal_rates) in rates.iter().enumerate().take(usize::from(wanted.spatial) + 1) {
            let Some(finest) = temporal_rates.iter().rposition(|rate| *rate > 0) else { continue };
            let finest = finest.min(usize::from(wanted.temporal));
            let coarsest = if ladder.length == 0 { 0 } else { finest.saturating_sub(1) };
            for (temporal, &rate) in temporal_rates.iter().enumerate().take(finest + 1).skip(coarsest) {
                if rate > 0 {
                    let target = LayerTarget { spatial: spatial as u8, temporal: temporal as u8 };
                    ladder.push(Step { target, rate });
                }
            }
        }
        ladder
    }

    fn push(&mut self, step: Step) {
        while self.last().is_some_and(|last| last.rate >= step.rate) {
            self.length -= 1;
        }
        if let Some(place) = self.steps.get_mut(self.length) {
            *place = Some(step);
            self.length += 1;
        }
    }

    /// Its cheapest step costs no more than this.
    pub fn cap(&mut self, rate: u64) {
        if let Some(first) = self.steps.first_mut().and_then(Option::as_mut) {
            first.rate = first.rate.min(rate);
        }
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is nothing to choose.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The step with this index, from the cheapest.
    pub fn step(&self, index: usize) -> Option<Step> {
        self.steps.get(..self.length)?.get(index).copied().flatten()
    }

    /// The dearest step.
    pub fn last(&self) -> Option<Step> {
        self.step(self.length.checked_sub(1)?)
    }

    /// The index of the best step that is not above `target`.
    pub fn index_of(&self, target: LayerTarget) -> Option<usize> {
        (0..self.length).rev().find(|index| {
            self.step(*index).is_some_and(|step| {
                step.target <= target && step.target.limited_to(target) == step.target
                    || step.target.spatial < target.spatial
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(ladder: &Ladder) -> Vec<(u8, u8, u64)> {
        (0..ladder.len())
            .filter_map(|index| ladder.step(index))
            .map(|step| (step.target.spatial, step.target.temporal, step.rate))
            .collect()
    }

    const SIMULCAST: LayerRates = [[60, 90, 150, 0], [200, 300, 500, 0], [700, 1000, 1700, 0]];

    #[test]
    fn quality_grows_with_the_price() {
        let ladder = Ladder::new(&SIMULCAST, LayerTarget::BEST);
        let expected =
            [(0, 0, 60), (0, 1, 90), (0, 2, 150), (1, 1, 300), (1, 2, 500), (2, 1, 1000), (2, 2, 1700)];
        assert_eq!(targets(&ladder), expected);
    }

    #[test]
    fn nothing_beyond_the_wish() {
        let ladder = Ladder::new(&SIMULCAST, LayerTarget { spatial: 1, temporal: 1 });
        assert_eq!(targets(&ladder), [(0, 0, 60), (0, 1, 90), (1, 0, 200), (1, 1, 300)]);
    }

    #[test]
    fn what_does_not_arrive_is_no_step() {
        let only_full: LayerRates = [[0; 4], [0; 4], [700, 1000, 1700, 0]];
        let ladder = Ladder::new(&only_full, LayerTarget::BEST);
        assert_eq!(targets(&ladder), [(2, 0, 700), (2, 1, 1000), (2, 2, 1700)]);
        assert!(Ladder::new(&[[0; 4]; 3], LayerTarget::BEST).is_empty());
    }

    #[test]
    fn only_the_cheapest_step_is_capped() {
        let mut ladder = Ladder::new(&SIMULCAST, LayerTarget { spatial: 0, temporal: 2 });
        ladder.cap(1000);
        assert_eq!(targets(&ladder), [(0, 0, 60), (0, 1, 90), (0, 2, 150)]);
        ladder.cap(50);
        assert_eq!(targets(&ladder), [(0, 0, 50), (0, 1, 90), (0, 2, 150)]);
        Ladder::default().cap(1);
    }

    #[test]
    fn a_better_layer_that_is_no_dearer_replaces_the_worse() {
        let odd: LayerRates = [[100, 0, 0, 0], [90, 0, 0, 0], [400, 0, 0, 0]];
        assert_eq!(targets(&Ladder::new(&odd, LayerTarget::BEST)), [(1, 0, 90), (2, 0, 400)]);
    }

    #[test]
    fn a_target_is_found_again_also_when_its_layer_is_gone() {
        let ladder = Ladder::new(&SIMULCAST, LayerTarget::BEST);
        assert_eq!(ladder.index_of(LayerTarget { spatial: 0, temporal: 1 }), Some(1));
        assert_eq!(ladder.index_of(LayerTarget { spatial: 1, temporal: 0 }), Some(2), "the next below");
        assert_eq!(ladder.index_of(LayerTarget::BEST), Some(6));
        assert_eq!(Ladder::default().index_of(LayerTarget::BEST), None);
    }
}
