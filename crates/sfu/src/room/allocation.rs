//! What each subscriber gets of the tracks it subscribes to: gathers what there is to choose from, lets
//! [`crate::bandwidth::allocator`] share the estimate, and acts on its answer. docs/allocation.md explains it.

use std::time::{Duration, Instant};

use protocol::livekit::{self, StreamState};

use super::Context;
use super::participant::Participant;
use crate::bandwidth::allocator::{Importance, Request, allocate};
use crate::bandwidth::ladder::Ladder;
use crate::bandwidth::target::{LayerRates, LayerTarget};
use crate::event::SessionEvent;
use crate::track::up_track::UpTrack;
use crate::track::wish::Wish;

/// A picture so many times as large as the next is the one that is looked at: pinned beside a strip of small ones. Grids
/// have tiles of about one size, two people side by side too.
const MAIN_RATIO: u64 = 4;

/// Share of lost packets for which room is left at most: they are sent again. What loses more is not saved by that.
const MAX_LOSS: f64 = 0.2;

/// What a probe may find beyond the rates of all that is wanted, in per cent: rates waver, and a layer is begun only
/// where it leaves a margin.
const DEMAND_MARGIN: u64 = 25;

/// A screen is shown where half of the line carries less than it takes: then it skips what the line does not keep up with. Not
/// where a key frame of it would take many seconds.
const LEAST_OF_SCREEN: u64 = 150_000;

/// A shortage of less than this is bridged, unless packets already stand in a queue of `BAD_QUEUE` or only half of what
/// is sent fits. Longer flutters less and makes longer queues where a line really became narrower.
const SHORT: Duration = Duration::from_millis(800);
const BAD_QUEUE: Duration = Duration::from_millis(150);

/// A video track that a subscriber wants.
struct Candidate {
    down_track: usize,
    rates: LayerRates,
    /// The best of it that arrives and is wanted.
    top: LayerTarget,
    /// The lowest that arrives.
    lowest: LayerTarget,
    is_screen: bool,
    request: Request,
}

impl Candidate {
    /// What the allocator's answer means. Of a spatial layer's last known temporal layer everything finer is taken
    /// too: it may just be new. While nothing is known of the rates, it stays as it is, or begins with the
    /// lowest layer: that comes first, and costs least.
    fn target(&self, granted: Option<LayerTarget>) -> Option<LayerTarget> {
        if self.request.ladder.is_empty() {
            let current = self.request.current.filter(|current| current.spatial <= self.top.spatial);
            return Some(current.unwrap_or(self.lowest).limited_to(self.top));
        }
        let granted = granted?;
        let rates = self.rates.get(usize::from(granted.spatial))?;
        let finest = rates.iter().rposition(|rate| *rate > 0).unwrap_or_default();
        let temporal =
            if usize::from(granted.temporal) >= finest { self.top.temporal } else { granted.temporal };
        Some(LayerTarget { temporal: temporal.max(granted.temporal), ..granted })
    }
}

impl super::Room {
    /// Decides anew what a participant gets of each track: what it wants, as far as it arrives and its line carries it.
    /// To be called whenever wishes, what arrives, rates or the estimate changed.
    pub(super) fn allocate(&mut self, context: &mut Context<'_>, key: usize) {
        let speaker = self.dominant_speaker();
        let Some(participant) = self.participants.get_mut(key) else { return };
        // Allocates a few small vectors per decision, not per packet.
        let (mut candidates, mut changed) = (Vec::new(), Vec::new());
        let mut sound = 0u64;
        let capacity = participant.pacing.estimator.capacity();
        let Participant { down_tracks, subscriptions, .. } = participant;
        for (down_track, down) in down_tracks {
            let Some(track) = self.tracks.get_mut(down.track) else { continue };
            let Some(wanted) = down.wanted else {
                down.set_target(None);
                continue;
            };
            let rates = track.rates(context.now);
            if track.is_audio() {
                sound = sound.saturating_add(rates.iter().flatten().copied().max().unwrap_or(0));
                if down.set_target(Some(wanted)) {
                    changed.push(down_track);
                }
                continue;
            }
            let wish = subscriptions.get(&down.publication).map(|subscription| subscription.wish);
            let wish = wish.unwrap_or_default();
            let top = track.nearest(context.now, wanted);
            let request = Request {
                importance: importance(track, &wish, speaker),
                area: wish.width.saturating_mul(wish.height),
                ladder: Ladder::new(&rates, top),
                reserve: track.reserve(context.now),
                current: down.target(),
                may_rise: down.patience.may_rise(context.now, capacity),
                may_refine: down.patience.may_refine(context.now),
                beginning: down.patience.beginning(context.now, capacity),
            };
            let lowest = track.nearest(context.now, LayerTarget { spatial: 0, ..wanted });
            candidates.push(Candidate {
                down_track,
                rates,
                top,
                lowest,
                is_screen: track.is_screen(),
                request,
            });
        }
        find_main(&mut candidates);
        let (budget, demand) = participant.share(sound, &candidates);
        for candidate in candidates.iter_mut().filter(|candidate| candidate.is_screen) {
            candidate.request.ladder.cap((budget / 2).max(LEAST_OF_SCREEN));
        }
        let (budget, is_bad) = participant.bridge(context.now, budget, &candidates);
        let requests: Vec<Request> = candidates.iter().map(|candidate| candidate.request.clone()).collect();
        let granted = allocate(budget, &requests);
        participant.pacing.estimator.set_demand(demand);
        participant.quality.set_shortfall(shortfall(&requests, &granted));
        let is_cut = participant.pacing.estimator.is_cut(context.now);
        let mut states = Vec::new();
        for (candidate, granted) in candidates.iter().zip(granted) {
            let Some(down) = participant.down_tracks.get_mut(candidate.down_track) else { continue };
            let target = candidate.target(granted);
            let wanted = self.tracks.get(down.track).zip(target);
            let wanted = wanted.map(|(track, target)| track.stream_of(target.spatial));
            if is_bad && down.forwarder.current().map(|(stream, _)| stream) > wanted && wanted.is_some() {
                down.forwarder.resume_at_keyframe(); // the larger stream is not sent on until the smaller one comes
            }
            // Silence says nothing of what the line carries: nobody waits for its end longer than it takes.
            let is_changed = match is_cut {
                true => down.set_target(target),
                false => down.choose(context.now, target, candidate.top, capacity.estimate),
            };
            if is_changed {
                changed.push(candidate.down_track);
            }
            let is_starved = target.is_none();
            if std::mem::replace(&mut down.is_starved, is_starved) != is_starved {
                states.push((down.track, if is_starved { StreamState::Paused } else { StreamState::Active }));
            }
        }
        self.tell_stream_states(context, key, &states);
        for down_track in changed {
            self.want_keyframe(context, key, down_track);
        }
    }

    fn tell_stream_states(&self, context: &mut Context<'_>, key: usize, states: &[(usize, StreamState)]) {
        let info = |(track, state): &(usize, StreamState)| {
            let track = self.tracks.get(*track)?;
            Some(livekit::StreamStateInfo {
                participant_sid: self.participants.get(track.publisher)?.sid.to_string(),
                track_sid: track.sid.to_string(),
                state: (*state).into(),
            })
        };
        let stream_states: Vec<_> = states.iter().filter_map(info).collect();
        if !stream_states.is_empty() {
            let update = livekit::StreamStateUpdate { stream_states };
            self.tell(context, key, SessionEvent::StreamStateUpdate(update));
        }
    }

    /// Which pictures a participant gets and which it does not for want of bandwidth; for a client that may not know.
    pub(super) fn tell_all_stream_states(&self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        let is_video = |track: usize| self.tracks.get(track).is_some_and(|track| !track.is_audio());
        let pictures = participant.down_tracks.iter().filter(|(_, down)| is_video(down.track));
        let state = |is_starved| if is_starved { StreamState::Paused } else { StreamState::Active };
        let states: Vec<_> = pictures.map(|(_, down)| (down.track, state(down.is_starved))).collect();
        self.tell_stream_states(context, key, &states);
    }

    /// What arrives of a track changed: [`Self::allocate`] for everybody who gets it.
    pub(super) fn allocate_track(&mut self, context: &mut Context<'_>, track: usize) {
        let Some(track) = self.tracks.get(track) else { return };
        let subscribers: Vec<usize> =
            track.subscribers.iter().map(|subscriber| subscriber.participant).collect();
        for key in subscribers {
            self.allocate(context, key);
        }
    }
}

impl Participant {
    /// Bit/s for pictures, and what all that is wanted would take, sound included.
    fn share(&self, sound: u64, candidates: &[Candidate]) -> (u64, u64) {
        let estimator = &self.pacing.estimator;
        let kept = 1.0 - estimator.loss().clamp(0.0, MAX_LOSS);
        let budget = (estimator.estimate().saturating_sub(sound) as f64 * kept) as u64;
        let wants = |request: &Request| {
            request.ladder.last().map_or(0, |step| step.rate).saturating_add(request.reserve)
        };
        let wanted =
            candidates.iter().fold(0, |sum: u64, candidate| sum.saturating_add(wants(&candidate.request)));
        let demand = wanted.saturating_add(wanted.saturating_mul(DEMAND_MARGIN) / 100).saturating_add(sound);
        (budget, (demand as f64 / kept) as u64)
    }

    /// A shortage that is short changes nothing: a key frame's burst costs the estimate something for a moment, and
    /// paying it with a layer would cost another key frame. Returns the budget, and whether the shortage is bad.
    fn bridge(&mut self, now: Instant, budget: u64, candidates: &[Candidate]) -> (u64, bool) {
        let rate = |request: &Request| Some(request.ladder.step(request.current_step()?)?.rate);
        let sent: u64 = candidates.iter().filter_map(|candidate| rate(&candidate.request)).sum();
        if budget >= sent {
            self.shortage = None;
            return (budget, false);
        }
        let since = *self.shortage.get_or_insert(now);
        let is_short = now.saturating_duration_since(since) < SHORT;
        let is_bad = self.pacing.estimator.queue_delay() > BAD_QUEUE || budget < sent / 2;
        (if is_short && !is_bad { sent } else { budget }, is_bad)
    }
}

/// What a track is to a subscriber who says `wish` of it.
fn importance(track: &UpTrack, wish: &Wish, speaker: Option<usize>) -> Importance {
    match wish.priority {
        0 if track.is_screen() => Importance::Screen,
        0 if speaker == Some(track.publisher) => Importance::Speaker,
        0 => Importance::Visible,
        priority => Importance::Explicit(priority),
    }
}

/// Marks the one picture that is much larger than all others.
fn find_main(candidates: &mut [Candidate]) {
    let mut areas: Vec<u32> = candidates.iter().map(|candidate| candidate.request.area).collect();
    areas.sort_unstable_by(|one, other| other.cmp(one));
    let [largest, next, ..] = areas[..] else { return };
    if next > 0 && u64::from(largest) >= u64::from(next) * MAIN_RATIO {
        let main = candidates.iter_mut().find(|candidate| candidate.request.area == largest);
        if let Some(main) = main.filter(|main| main.request.importance > Importance::Main) {
            main.request.importance = Importance::Main;
        }
    }
}

/// Share of the wanted steps that are not granted, 0 to 1.
fn shortfall(requests: &[Request], granted: &[Option<LayerTarget>]) -> f32 {
    let steps = |request: &Request, target: Option<LayerTarget>| {
        target.and_then(|target| request.ladder.index_of(target)).map_or(0, |index| index + 1)
    };
    let got: usize = requests.iter().zip(granted).map(|(request, target)| steps(request, *target)).sum();
    let wanted: usize = requests.iter().map(|request| request.ladder.len()).sum();
    if wanted == 0 { 0.0 } else { 1.0 - got as f32 / wanted as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bandwidth::allocator::tests::{CAMERA, request};

    fn candidate(importance: Importance, area: u32) -> Candidate {
        Candidate {
            down_track: 0,
            rates: CAMERA,
            top: LayerTarget::BEST,
            lowest: layer(0, 3),
            is_screen: false,
            request: request(importance, area),
        }
    }

    fn layer(spatial: u8, temporal: u8) -> LayerTarget {
        LayerTarget { spatial, temporal }
    }

    fn importances(areas: &[u32]) -> Vec<Importance> {
        let mut candidates: Vec<_> = areas.iter().map(|area| candidate(Importance::Visible, *area)).collect();
        find_main(&mut candidates);
        candidates.iter().map(|candidate| candidate.request.importance).collect()
    }

    #[test]
    fn only_a_picture_much_larger_than_all_others_is_the_main_one() {
        use Importance::{Main, Visible};
        assert_eq!(importances(&[160 * 90, 1280 * 720, 160 * 90]), [Visible, Main, Visible]);
        assert_eq!(importances(&[640 * 360, 641 * 361]), [Visible; 2], "a grid");
        assert_eq!(importances(&[1280 * 720, 1280 * 720, 160 * 90]), [Visible; 3], "two of them");
        assert_eq!(importances(&[1280 * 720, 0]), [Visible; 2], "of the other nothing is known");
        assert_eq!(importances(&[1280 * 720]), [Visible], "alone");
        let mut speaker =
            [candidate(Importance::Screen, 1280 * 720), candidate(Importance::Speaker, 160 * 90)];
        find_main(&mut speaker);
        assert_eq!(speaker[0].request.importance, Importance::Screen, "it is more already");
    }

    #[test]
    fn the_finest_known_temporal_layer_brings_what_may_follow() {
        let camera = candidate(Importance::Visible, 0);
        assert_eq!(camera.target(Some(layer(1, 2))), Some(layer(1, LayerTarget::BEST.temporal)));
        assert_eq!(camera.target(Some(layer(1, 1))), Some(layer(1, 1)));
        assert_eq!(camera.target(None), None);
        let slow = Candidate { top: layer(2, 1), ..candidate(Importance::Visible, 0) };
        assert_eq!(slow.target(Some(layer(1, 1))), Some(layer(1, 1)), "never more than is wanted");
    }

    #[test]
    fn a_track_of_unknown_rates_stays_as_it_is_or_begins_low() {
        let mut camera = candidate(Importance::Visible, 0);
        camera.request.ladder = Ladder::default();
        assert_eq!(camera.target(None), Some(layer(0, 3)));
        camera.lowest = layer(2, 3);
        assert_eq!(camera.target(None), Some(layer(2, 3)), "nothing lower arrives");
        camera.request.current = Some(layer(1, 3));
        assert_eq!(camera.target(None), Some(layer(1, 3)));
    }

    #[test]
    fn shortfall_is_the_share_of_steps_not_granted() {
        let requests = [candidate(Importance::Visible, 0).request, candidate(Importance::Visible, 0).request];
        let steps = requests[0].ladder.len() as f32;
        assert_eq!(shortfall(&requests, &[Some(LayerTarget::BEST); 2]), 0.0);
        assert_eq!(shortfall(&requests, &[None; 2]), 1.0);
        let half = shortfall(&requests, &[Some(LayerTarget::BEST), Some(LayerTarget::LOWEST)]);
        assert!((half - (steps - 1.0) / (2.0 * steps)).abs() < 1e-6, "{half}");
        assert_eq!(shortfall(&[], &[]), 0.0);
    }
}
