//! Draws a meeting of a plan as SVG: what the line carries and is thought to carry, what came, and which layer of each
//! picture was seen. Readable on light and on dark.

use std::fmt::Write as _;
use std::time::Duration;

use crate::meeting::{Outcome, Sample, Watcher};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
/// The rates' panel.
const TOP: f64 = 48.0;
const HEIGHT: f64 = 230.0;
/// A picture's band and the space between two.
const BAND: f64 = 16.0;
const GAP: f64 = 6.0;
/// Samples over which what came is averaged: half a second.
const AVERAGED: usize = 5;

const STYLE: &str = "
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .grid { stroke: #d0d7de; stroke-width: 1; }
  .link { stroke: #8c959f; stroke-width: 2; fill: none; stroke-dasharray: 6 4; }
  .estimate { stroke: #0969da; stroke-width: 2; fill: none; }
  .came { fill: #1a7f37; fill-opacity: .25; }
  .layer0 { fill: #b6e3ff; } .layer1 { fill: #54aeff; } .layer2 { fill: #0550ae; } .paused { fill: #eac54f; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .grid { stroke: #30363d; } .link { stroke: #8b949e; } .estimate { stroke: #58a6ff; } .came { fill: #3fb950; }
    .layer0 { fill: #0c2d6b; } .layer1 { fill: #1f6feb; } .layer2 { fill: #a5d6ff; } .paused { fill: #9e6a03; }
  }
";

/// The meeting as its first watcher saw it.
pub fn svg(outcome: &Outcome) -> String {
    let Some(watcher) = outcome.watchers.first() else { return String::new() };
    let pictures: Vec<u32> = watcher
        .tracks
        .iter()
        .filter(|track| track.recipe.codec.is_video())
        .map(|track| track.number)
        .collect();
    let bands = TOP + HEIGHT + 40.0;
    let height = bands + pictures.len() as f64 * (BAND + GAP) + 16.0;
    let plot = Plot::new(outcome, watcher);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<style>{STYLE}</style>\n"
    );
    let title = format!("{}, seed {}", outcome.plan.name(), outcome.seed);
    text(&mut out, LEFT, 20.0, "start", "title", &title);
    plot.legend(&mut out);
    plot.axes(&mut out);
    plot.rates(&mut out);
    for (row, picture) in pictures.iter().enumerate() {
        let y = bands + row as f64 * (BAND + GAP);
        text(&mut out, LEFT - 8.0, y + 12.0, "end", "", &format!("{}", row + 1));
        plot.band(&mut out, *picture, y);
    }
    out.push_str("</svg>\n");
    out
}

struct Plot<'a> {
    samples: &'a [Sample],
    length: Duration,
    /// Bit/s at the top.
    most: f64,
}

impl<'a> Plot<'a> {
    fn new(outcome: &Outcome, watcher: &'a Watcher) -> Self {
        let samples = &watcher.samples;
        let highest =
            |rate: fn(&Sample) -> Option<u64>| samples.iter().filter_map(rate).max().unwrap_or(0) as f64;
        let link = highest(|sample| sample.rate);
        let estimate = highest(|sample| sample.estimate);
        // A line without a limit would dwarf everything.
        let most = if link > 20e6 { estimate } else { link.max(estimate.min(link * 1.3)) };
        Self { samples, length: outcome.setting.length, most: (most / 1e6).ceil().max(1.0) * 1e6 }
    }

    fn x(&self, at: Duration) -> f64 {
        LEFT + at.as_secs_f64() / self.length.as_secs_f64() * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, rate: f64) -> f64 {
        TOP + HEIGHT - (rate / self.most).min(1.0) * HEIGHT
    }

    fn legend(&self, out: &mut String) {
        let entries = [
            ("link", "the line", false),
            ("estimate", "estimate", false),
            ("came", "what came", true),
            ("layer0", "180p", true),
            ("layer1", "360p", true),
            ("layer2", "720p", true),
            ("paused", "paused", true),
        ];
        let mut x = LEFT + 190.0;
        for (class, name, is_area) in entries {
            let _ = if is_area {
                writeln!(out, "<rect class=\"{class}\" x=\"{x}\" y=\"11\" width=\"14\" height=\"11\"/>")
            } else {
                writeln!(out, "<path class=\"{class}\" d=\"M{x} 16h18\"/>")
            };
            text(out, x + 22.0, 20.0, "start", "", name);
            x += 34.0 + 7.0 * name.len() as f64;
        }
    }

    fn axes(&self, out: &mut String) {
        let step = (self.most / 4e6).ceil().max(0.5) * 1e6;
        let mut rate = 0.0;
        while rate <= self.most {
            let y = self.y(rate);
            let _ = writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/>", WIDTH - RIGHT);
            text(out, LEFT - 8.0, y + 4.0, "end", "", &format!("{:.1} M", rate / 1e6));
            rate += step;
        }
        let mut at = Duration::ZERO;
        while at <= self.length {
            text(out, self.x(at), TOP + HEIGHT + 18.0, "middle", "", &format!("{} s", at.as_secs()));
            at += Duration::from_secs(10);
        }
    }

    fn rates(&self, out: &mut String) {
        let mut came = format!(
            "M{:.1} {:.1}",
            self.x(self.samples.first().map_or(Duration::ZERO, |first| first.at)),
            self.y(0.0)
        );
        for pair in self.samples.windows(AVERAGED + 1) {
            let (Some(before), Some(now)) = (pair.first(), pair.last()) else { continue };
            let bytes = now.meter.total().saturating_sub(before.meter.total());
            let rate = bytes as f64 * 8.0 / (now.at - before.at).as_secs_f64().max(0.001);
            let _ = write!(came, "L{:.1} {:.1}", self.x(now.at), self.y(rate));
        }
        let _ = writeln!(out, "<path class=\"came\" d=\"{came}V{:.1}Z\"/>", self.y(0.0));
        for (class, rate) in [
            ("link", (|sample: &Sample| sample.rate) as fn(&Sample) -> Option<u64>),
            ("estimate", |sample: &Sample| sample.estimate),
        ] {
            let mut path = String::new();
            for sample in self.samples {
                let Some(rate) = rate(sample) else { continue };
                let (x, y) = (self.x(sample.at), self.y(rate as f64));
                let _ = if path.is_empty() {
                    write!(path, "M{x:.1} {y:.1}")
                } else {
                    write!(path, "H{x:.1}V{y:.1}")
                };
            }
            let _ = writeln!(out, "<path class=\"{class}\" d=\"{path}\"/>");
        }
    }

    /// A picture's layers over time.
    fn band(&self, out: &mut String, track: u32, y: f64) {
        let class = |sample: &Sample| {
            let seen = sample.tracks.get(&track)?;
            if seen.paused { Some("paused".to_owned()) } else { Some(format!("layer{}", seen.layer?)) }
        };
        for run in self.samples.chunk_by(|one, other| class(one) == class(other)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let Some(class) = class(first) else { continue };
            let (from, to) = (self.x(first.at), self.x(last.at + crate::meeting::SAMPLE));
            let width = to - from;
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAND}\"/>"
            );
        }
    }
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}
