//! What was measured in some meetings of each plan, as a table and as JSON. Virtual time, so exact.

use std::fmt::Write as _;
use std::time::Duration;

use crate::client::JoinOptions;
use crate::meeting::{self, Outcome, Watcher};
use crate::oracles::{convergence, layer_changes};
use crate::plan::Plan;
use crate::publication::Recipe;
use crate::world::World;

/// Meetings per plan.
const MEETINGS: u64 = 4;
const MS: Duration = Duration::from_millis(1);

/// One plan's figures, means over its meetings unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The plan.
    pub plan: Plan,
    /// Until the line was used as the oracle of utilisation asks, in seconds; of those that came so far.
    pub converged: f64,
    /// How many came so far.
    pub converging: usize,
    /// Share of the line that was used from 10 s on.
    pub used: f64,
    /// Longest time without a picture that was not paused, in any of them, in seconds.
    pub gap: f64,
    /// Most changes of one track's layer per minute.
    pub changes: f64,
    /// Key frames asked of publishers per minute and subscriber.
    pub keyframes: f64,
    /// From joining to the first picture, in seconds.
    pub first: f64,
}

/// How quickly a subscriber over a good line gets another layer once its tile changed, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Switching {
    /// From the lowest to the best.
    pub up: f64,
    /// From the best to the lowest.
    pub down: f64,
}

/// Measures every plan.
pub fn rows() -> Vec<Row> {
    Plan::ALL.into_iter().map(row).collect()
}

fn row(plan: Plan) -> Row {
    let outcomes: Vec<Outcome> = (0..MEETINGS).map(|seed| meeting::run(plan, seed)).collect();
    let mean = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / outcomes.len() as f64;
    let most = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).fold(0.0, f64::max);
    let converged: Vec<f64> =
        outcomes.iter().filter_map(|outcome| convergence(outcome).0).map(|time| time.as_secs_f64()).collect();
    Row {
        plan,
        converged: converged.iter().sum::<f64>() / converged.len().max(1) as f64,
        converging: converged.len(),
        used: mean(&|outcome| convergence(outcome).1),
        gap: most(&|outcome| {
            let gap = outcome.watchers.first().and_then(|watcher| outcome.longest_gap(watcher));
            gap.map_or(0.0, |(gap, ..)| gap.as_secs_f64())
        }),
        changes: most(&|outcome| {
            outcome.watchers.first().map_or(0.0, |watcher| most_changes(watcher, outcome.setting.outage))
        }),
        keyframes: mean(&|outcome| {
            let minutes = outcome.setting.length.as_secs_f64() / 60.0;
            outcome.keyframe_requests as f64 / minutes / outcome.watchers.len().max(1) as f64
        }),
        first: mean(&|outcome| outcome.watchers.first().map_or(0.0, first_picture)),
    }
}

fn most_changes(watcher: &Watcher, outage: Option<(Duration, Duration)>) -> f64 {
    let rate = |track: u32| {
        let (changes, minutes) = layer_changes(watcher, track, outage);
        f64::from(changes) / minutes.max(0.1)
    };
    watcher.tracks.iter().map(|track| rate(track.number)).fold(0.0, f64::max)
}

fn first_picture(watcher: &Watcher) -> f64 {
    let seen = watcher.samples.iter().find(|sample| sample.tracks.values().any(|seen| seen.layer.is_some()));
    seen.map_or(f64::INFINITY, |sample| sample.at.saturating_sub(watcher.joined).as_secs_f64())
}

/// Measures changes of layer on a good line of 20 ms each way.
pub fn switching() -> Switching {
    let mut world = World::new(1);
    let good = crate::network::Conditions { delay: MS * 20, ..Default::default() };
    let options = JoinOptions { up: good, down: good, ..Default::default() };
    let publisher = world.join("r", "publisher", options.clone());
    let subscriber = world.join("r", "subscriber", options);
    world.run(MS * 500);
    let track = world.publish(publisher, Recipe::webcam());
    world.run(MS * 1000);
    world.show(subscriber, track, (160, 90));
    world.run(MS * 5000);
    let mut change = |size, layer| {
        world.show(subscriber, track, size);
        let asked = world.now();
        while world.reception(subscriber, track).and_then(|reception| reception.layer()) != Some(layer) {
            world.run(MS * 5);
            if world.now() - asked > Duration::from_secs(20) {
                return f64::INFINITY;
            }
        }
        let took = (world.now() - asked).as_secs_f64();
        world.run(MS * 5000);
        took
    };
    let up = change((1280, 720), 2);
    let down = change((160, 90), 0);
    Switching { up, down }
}

/// The table for people.
pub fn table(rows: &[Row], switching: Switching) -> String {
    let mut out = String::from(
        "plan         used   converged   longest gap   changes/min   key frames/min   first picture\n",
    );
    for row in rows {
        let _ = writeln!(
            out,
            "{:11} {:4.0} %   {:5.1} s {}/{}   {:8.2} s   {:11.1}   {:14.1}   {:11.2} s",
            row.plan.name(),
            row.used * 100.0,
            row.converged,
            row.converging,
            MEETINGS,
            row.gap,
            row.changes,
            row.keyframes,
            row.first
        );
    }
    let _ = writeln!(out, "switching a layer: up {:.2} s, down {:.2} s", switching.up, switching.down);
    out
}

/// The same for programs.
pub fn json(rows: &[Row], switching: Switching) -> String {
    let rows: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                "{{\"plan\":\"{}\",\"used\":{:.3},\"converged_s\":{:.2},\"converging\":{},\"gap_s\":{:.2},\"changes_per_minute\":{:.1},\"keyframes_per_subscriber_minute\":{:.1},\"first_picture_s\":{:.2}}}",
                row.plan.name(), row.used, row.converged, row.converging, row.gap, row.changes, row.keyframes, row.first
            )
        })
        .collect();
    format!(
        "{{\"plans\":[{}],\"switch_up_s\":{:.3},\"switch_down_s\":{:.3}}}\n",
        rows.join(","),
        switching.up,
        switching.down
    )
}
