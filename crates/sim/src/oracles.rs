//! What is expected of the core in every meeting of a plan. Each oracle looks at what the network and the
//! receivers saw; none believes what the core says of itself.

use std::time::Duration;

use crate::encoder::{Encoding, Scene};
use crate::meeting::{EVERYBODY, Outcome, SAMPLE, Sample, Seen, Watched, Watcher};
use crate::plan::{Changes, Plan};
use crate::scalability::{Structure, TEMPORAL_LAYERS};

const SECOND: Duration = Duration::from_secs(1);
/// A link is steady when nothing changed for this long; then it has to be used.
const CONVERGED: Duration = Duration::from_secs(10);
/// Utilisation is measured over this time: key frames come seldom, and what was tried in vain is tried again after several
/// seconds.
const WINDOW: Duration = Duration::from_secs(10);
/// A queue in which packets wait longer is a nuisance to everybody on the line.
const STANDING: Duration = Duration::from_millis(250);
/// And may last this long, after a step down.
const STANDING_FOR: Duration = Duration::from_secs(2);
/// RTP, SRTP and payload headers on top of an encoder's rate.
const OVERHEAD: f64 = 1.06;
/// What a better layer must cost less than what is left, so that rates which waver do not make layers flutter:
/// the allocator's margin.
const RISE_MARGIN: f64 = 0.15;
/// How much of a steady link the estimate may leave out: the oracle of granularity grants it.
const ESTIMATE_MARGIN: f64 = 0.05;
/// Lines on which a shared screen of 1.5 Mbit/s at most is always shown, and how old its picture may be: it stands still for
/// 1.5 s while a line catches up, then a key frame takes a second or two.
const SCREEN_SHOWN: u64 = 700_000;
const SCREEN_AGE: Duration = Duration::from_secs(6);
/// Layers are chosen within this time after somebody joined or an outage ended; then they do not flutter.
const SETTLING: Duration = Duration::from_secs(5);
/// Somebody over a good line sees every camera, without longer gaps than a change of layer or a late joiner makes.
const GOOD_GAP: Duration = Duration::from_millis(1500);

impl Outcome {
    /// Sentences on what is not as expected; none in a correct world.
    pub fn judge(&self) -> Vec<String> {
        let mut found = self.world.violations.clone();
        for watcher in &self.watchers {
            let mut report = |what: String| found.push(format!("client {}: {what}", watcher.client));
            if watcher.samples.is_empty() {
                report("never joined".to_owned());
                continue;
            }
            let oracles = [
                self.standing_queue(watcher),
                self.utilisation(watcher),
                self.gaps(watcher),
                self.screen(watcher),
                self.changes(watcher),
                self.sound(watcher),
                self.speech(watcher),
                self.freezes(watcher),
            ];
            oracles.into_iter().flatten().for_each(&mut report);
        }
        found
    }

    /// No packet waits longer than 250 ms for longer than 2 s, unless others fill the queue or the line is down.
    fn standing_queue(&self, watcher: &Watcher) -> Option<String> {
        let mut since = None;
        for sample in &watcher.samples {
            if sample.wait <= STANDING || self.is_disturbed(sample.at) {
                since = None;
                continue;
            }
            let since = *since.get_or_insert(sample.at);
            if sample.at - since > STANDING_FOR {
                return Some(format!(
                    "a queue of {:?} at {:.1} s, above {STANDING:?} since {:.1} s",
                    sample.wait,
                    sample.at.as_secs_f64(),
                    since.as_secs_f64()
                ));
            }
        }
        None
    }

    /// In each 10 s of a link that has been steady for 10 s, its share is used, or for at least half of the time everything that
    /// is wanted is sent, or the cheapest layer that is not sent does not fit.
    fn utilisation(&self, watcher: &Watcher) -> Option<String> {
        // In an office nobody has a link alone; beside slides room is kept for the next one.
        if !watcher.is_limited || self.plan == Plan::Office || self.setting.slides {
            return None;
        }
        let mut from = EVERYBODY.max(watcher.joined) + CONVERGED;
        while from + WINDOW <= self.setting.length {
            let (start, end) = (watcher.index_at(from)?, watcher.index_at(from + WINDOW - SAMPLE)?);
            let is_steady =
                self.last_change(from + WINDOW) + CONVERGED <= from && !self.is_disturbed(from + WINDOW);
            let rate = watcher.samples[start].rate.unwrap_or(u64::MAX) as f64;
            let used = watcher.arrived(start, end);
            if is_steady && used < rate * self.setting.bounds.utilisation {
                let mut open: Vec<f64> = watcher.samples[start..=end]
                    .iter()
                    .map(|sample| cheapest_step(watcher, sample).unwrap_or(f64::INFINITY))
                    .collect();
                open.sort_by(f64::total_cmp);
                let open = open[open.len() / 2];
                let room = rate * (self.setting.bounds.utilisation + ESTIMATE_MARGIN);
                if used + open <= room {
                    return Some(format!(
                        "{:.0} of {:.0} kbit/s used from {:.1} s on, although {:.0} more would fit",
                        used / 1000.0,
                        rate / 1000.0,
                        from.as_secs_f64(),
                        open / 1000.0
                    ));
                }
            }
            from += SECOND;
        }
        None
    }

    /// No camera that is not paused stands still for longer than the plan allows.
    fn gaps(&self, watcher: &Watcher) -> Option<String> {
        let allowed = if watcher.is_limited { self.setting.bounds.gap } else { GOOD_GAP };
        let longest = self.longest_gap(watcher)?;
        (longest.0 > allowed).then(|| {
            format!(
                "no picture of track {} for {:?} at {:.1} s",
                longest.1,
                longest.0,
                longest.2.as_secs_f64()
            )
        })
    }

    /// A screen that is shared is shown wherever a line takes half of what it takes at most: at once, or a moment later.
    fn screen(&self, watcher: &Watcher) -> Option<String> {
        let is_wide = self
            .setting
            .down
            .iter()
            .all(|(_, conditions)| conditions.rate.is_none_or(|rate| rate >= SCREEN_SHOWN));
        if !is_wide || self.setting.outage.is_some() || self.setting.competing.is_some() {
            return None;
        }
        // One that stands still is repeated each second: of 20 % loss chance takes six in a row now and then.
        let loss = self.setting.down.iter().map(|(_, conditions)| conditions.loss).fold(0.0, f64::max);
        let allowed = SCREEN_AGE + SECOND.mul_f64(loss * 20.0);
        let screens = watcher.tracks.iter().filter(|track| track.recipe.scene == Some(Scene::Slides));
        let from = EVERYBODY.max(watcher.joined) + CONVERGED / 2;
        screens.flat_map(|track| watcher.samples.iter().map(|sample| (track.number, sample))).find_map(
            |(number, sample)| {
                let seen = sample.tracks.get(&number).filter(|_| sample.at >= from)?;
                let what =
                    if seen.paused { "was paused".to_owned() } else { format!("is of {:?} ago", seen.age) };
                (seen.paused || seen.age > allowed).then(|| {
                    format!("the screen of track {number} {what} at {:.1} s", sample.at.as_secs_f64())
                })
            },
        )
    }

    /// No camera stands still that has been seen: what is lost is repaired, or a key frame comes.
    fn freezes(&self, watcher: &Watcher) -> Option<String> {
        let allowed = self.setting.bounds.freeze?;
        let (longest, track, at) = self.longest(watcher, |seen| seen.is_seen)?;
        (longest > allowed)
            .then(|| format!("track {track} stood still for {longest:?} at {:.1} s", at.as_secs_f64()))
    }

    /// The longest gap: how long, of which track, until when.
    pub fn longest_gap(&self, watcher: &Watcher) -> Option<(Duration, u32, Duration)> {
        self.longest(watcher, |_| true)
    }

    fn longest(
        &self,
        watcher: &Watcher,
        counts: impl Fn(&Seen) -> bool,
    ) -> Option<(Duration, u32, Duration)> {
        let cameras: Vec<u32> = watcher
            .tracks
            .iter()
            .filter(|track| track.recipe.has_sizes())
            .map(|track| track.number)
            .collect();
        let longest = |camera: &u32| {
            let mut resumed = Duration::ZERO;
            let gaps = watcher.samples.iter().filter_map(|sample| {
                let seen = sample.tracks.get(camera)?;
                if seen.paused {
                    resumed = sample.at;
                    return None;
                }
                if !counts(seen) {
                    return None;
                }
                Some((seen.age.min(sample.at - resumed), *camera, sample.at))
            });
            gaps.max()
        };
        cameras.iter().filter_map(longest).max()
    }

    /// Layers do not flutter once everybody is there.
    fn changes(&self, watcher: &Watcher) -> Option<String> {
        let Changes { each, mean } = self.setting.bounds.changes;
        let rate = |track: &Watched| {
            let (changes, minutes) = layer_changes(watcher, track.number, self.setting.outage);
            (track.number, f64::from(changes) / minutes.max(0.1))
        };
        let cameras = watcher.tracks.iter().filter(|track| track.recipe.has_sizes());
        let rates: Vec<f64> = cameras.map(|track| rate(track).1).collect();
        let all = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
        if all > mean {
            return Some(format!("cameras changed their layers {all:.0} times a minute in the mean"));
        }
        let (track, most) = watcher.tracks.iter().map(rate).max_by(|one, other| one.1.total_cmp(&other.1))?;
        (most > each).then(|| format!("track {track} changed its layer {most:.0} times a minute"))
    }

    /// Sound is never paused, and little more of it is missing than the network loses.
    fn sound(&self, watcher: &Watcher) -> Option<String> {
        let allowed = if watcher.is_limited {
            self.setting.bounds.audio_loss
        } else {
            0.01 + self.setting.up_loss * 1.2
        };
        for track in watcher.tracks.iter().filter(|track| !track.recipe.codec.is_video()) {
            if watcher
                .samples
                .iter()
                .any(|sample| sample.tracks.get(&track.number).is_some_and(|seen| seen.paused))
            {
                return Some(format!("sound of track {} was paused", track.number));
            }
            let last = watcher.samples.last()?.tracks.get(&track.number)?;
            let (came, lost) = last.sound;
            let share = lost as f64 / (came + lost).max(1) as f64;
            // With silence there are too few packets for a share.
            // Chance is granted three deviations: of the little that is sent in silence a few more may be lost.
            let chance = 3.0 * (allowed * (1.0 - allowed) / (came + lost).max(1) as f64).sqrt();
            if share > allowed + chance && lost > 10 || last.age > SECOND * 3 {
                return Some(format!(
                    "{:.1} % of the sound of track {} are missing, the last came {:?} ago",
                    share * 100.0,
                    track.number,
                    last.age
                ));
            }
        }
        None
    }

    /// Speech stays intelligible: few of its frames are missing after repair, and not many in a row.
    fn speech(&self, watcher: &Watcher) -> Option<String> {
        let allowed = self.setting.bounds.speech?;
        watcher.tracks.iter().filter(|track| !track.recipe.codec.is_video()).find_map(|track| {
            let last = watcher.samples.last()?.tracks.get(&track.number)?;
            let (came, lost) = last.sound;
            let frames = (came + lost).max(1) as f64;
            // Chance is granted three deviations.
            let chance = 3.0 * (allowed.missing * (1.0 - allowed.missing) / frames).sqrt();
            let share = lost as f64 / frames;
            (share > allowed.missing + chance || last.silent_run > allowed.run).then(|| {
                let run = last.silent_run;
                format!(
                    "{:.1} % of the speech of track {} are missing, {run} frames in a row",
                    share * 100.0,
                    track.number
                )
            })
        })
    }

    /// Whether others fill the queue, or the line is down, or either was until a moment ago.
    fn is_disturbed(&self, at: Duration) -> bool {
        let within = |from: Duration, until: Duration| from <= at && at < until + SECOND;
        self.setting.outage.is_some_and(|(from, until)| within(from, until))
            || self.setting.competing.is_some_and(|(_, from, until)| within(from, until))
    }

    /// When the link last changed before a time.
    fn last_change(&self, before: Duration) -> Duration {
        let steps = self.setting.down.iter().map(|(from, _)| *from);
        let others = self.setting.competing.into_iter().flat_map(|(_, from, until)| [from, until]);
        steps.chain(others).filter(|at| *at <= before).max().unwrap_or_default()
    }
}

/// How often a track changed its layer since everybody was there, and in how many minutes. A pause is a change. What an outage
/// and its end cost is no flutter.
pub fn layer_changes(watcher: &Watcher, track: u32, outage: Option<(Duration, Duration)>) -> (u32, f64) {
    let (mut changes, mut before) = (0, None);
    let settled = EVERYBODY.max(watcher.joined) + SETTLING;
    let is_out = |at| outage.is_some_and(|(from, until)| from <= at && at < until + SETTLING);
    let samples = watcher.samples.iter().filter(|sample| sample.at >= settled && !is_out(sample.at));
    for seen in samples.clone().filter_map(|sample| sample.tracks.get(&track)) {
        let now = if seen.paused { None } else { seen.layer };
        if before.replace(now).is_some_and(|before| before != now) {
            changes += 1;
        }
    }
    (changes, samples.count() as f64 * SAMPLE.as_secs_f64() / 60.0)
}

/// The lowest layer that covers a size.
pub fn wanted_layer(track: &Watched) -> usize {
    let encodings = track.recipe.encodings();
    let covers = |encoding: &Encoding| encoding.width >= track.size.0 && encoding.height >= track.size.1;
    encodings.iter().position(covers).unwrap_or(encodings.len().saturating_sub(1))
}

/// The next better pair of spatial and temporal layer. Larger pictures with a quarter of their frames are worse than smaller
/// ones with all of them, and no step.
fn next_step(structure: Structure, current: Option<(usize, u8)>) -> (usize, u8) {
    match current {
        _ if structure == Structure::Plain => (current.map_or(0, |(layer, _)| layer + 1), 0),
        None => (0, 0),
        Some((layer, temporal)) if temporal + 1 < TEMPORAL_LAYERS => (layer, temporal + 1),
        Some((layer, _)) => (layer + 1, TEMPORAL_LAYERS - 2),
    }
}

/// What must be left of a link for the cheapest better layer of all that is wanted.
fn cheapest_step(watcher: &Watcher, sample: &Sample) -> Option<f64> {
    let cost = |track: &Watched| {
        let seen = sample.tracks.get(&track.number)?;
        let encodings = track.recipe.encodings();
        let current = if seen.paused { None } else { seen.layer.map(|layer| (layer, seen.temporal)) };
        let structure = track.recipe.structure;
        let next = next_step(structure, current);
        if next.0 > wanted_layer(track) {
            return None;
        }
        let rate = |(layer, temporal): (usize, u8)| {
            let full = encodings.get(layer).map_or(0.0, |known| known.bitrate as f64 * OVERHEAD);
            full * structure.share(temporal)
        };
        Some(rate(next) * (1.0 + RISE_MARGIN) - current.map_or(0.0, rate))
    };
    watcher.tracks.iter().filter(|track| track.recipe.has_sizes()).filter_map(cost).min_by(f64::total_cmp)
}

/// When the watched one's link was first used as the oracle of utilisation asks, counted from the moment it
/// joined and everybody was there; and the share used from 10 s on. `None` if it never was.
pub fn convergence(outcome: &Outcome) -> (Option<Duration>, f64) {
    let Some(watcher) = outcome.watchers.first() else { return (None, 0.0) };
    let begin = EVERYBODY.max(watcher.joined);
    let share = |from: usize, to: usize| {
        let rate = watcher.samples[from].rate.unwrap_or(u64::MAX) as f64;
        watcher.arrived(from, to) / rate
    };
    let reached = watcher.samples.iter().enumerate().find_map(|(index, sample)| {
        let to = watcher.index_at(sample.at + SECOND * 2)?;
        let rate = sample.rate.unwrap_or(u64::MAX) as f64;
        let open = cheapest_step(watcher, &watcher.samples[to]).unwrap_or(f64::INFINITY);
        let room = outcome.setting.bounds.utilisation;
        let is_used =
            share(index, to) >= room || watcher.arrived(index, to) + open > rate * (room + ESTIMATE_MARGIN);
        (sample.at >= begin && is_used).then(|| sample.at - begin)
    });
    let settled = watcher.index_at(begin + CONVERGED).unwrap_or(0);
    (reached, share(settled, watcher.samples.len() - 1))
}
