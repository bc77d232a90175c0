//! A meeting of one plan and seed: people publish with encoders of real size, one of them watches through the
//! plan's network, another through a good one, and what arrives is sampled, to be judged ([`crate::oracles`]),
//! tabled and drawn.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;

use crate::bottleneck::{Bottleneck, Shared};
use crate::client::{JoinOptions, State};
use crate::codec::Codec;
use crate::feedback::Meter;
use crate::network::Conditions;
use crate::plan::{Plan, Setting};
use crate::publication::Recipe;
use crate::world::World;

/// Time between two samples.
pub const SAMPLE: Duration = Duration::from_millis(100);
const MS: Duration = Duration::from_millis(1);
/// Everybody is there by then.
pub const EVERYBODY: Duration = Duration::from_secs(5);
/// A client's own line into the network: key frames leave as bursts, not at one moment.
const ACCESS: u64 = 100_000_000;
/// Sizes in which a picture is shown.
const LARGE: (u32, u32) = (1280, 720);
const TILES: [(u32, u32); 2] = [(320, 180), (640, 360)];

/// What is seen of one track at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// The layer of the newest picture.
    pub layer: Option<usize>,
    /// The highest temporal layer of late.
    pub temporal: u8,
    /// The server said that it sends nothing.
    pub paused: bool,
    /// Since the newest picture, or since the track was declared.
    pub age: Duration,
    /// Packets of sound that came and that did not.
    pub sound: (u64, u64),
    /// The most that did not come in a row.
    pub silent_run: u64,
    /// Whether a picture has come.
    pub is_seen: bool,
}

/// One moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub at: Duration,
    /// The rate of the bottleneck.
    pub rate: Option<u64>,
    /// How long a packet waits there.
    pub wait: Duration,
    /// What the core believes that it may send, in bit/s.
    pub estimate: Option<u64>,
    /// Bytes that arrived so far.
    pub meter: Meter,
    /// By number of the track.
    pub tracks: BTreeMap<u32, Seen>,
}

/// A track that is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// Its number.
    pub number: u32,
    /// What it is.
    pub recipe: Recipe,
    /// Pixels in which it is shown.
    pub size: (u32, u32),
}

/// One who watches, and what was sampled of that.
#[derive(Debug)]
pub struct Watcher {
    /// The client.
    pub client: usize,
    /// What it is shown.
    pub tracks: Vec<Watched>,
    /// Whether the plan's network lies between.
    pub is_limited: bool,
    /// When it joined.
    pub joined: Duration,
    /// Every [`SAMPLE`] since it joined.
    pub samples: Vec<Sample>,
    /// Tracks by the time they were declared, and whether their size was told.
    declared: BTreeMap<u32, Duration>,
    bottleneck: Shared,
}

/// What came of a meeting.
pub struct Outcome {
    /// The plan.
    pub plan: Plan,
    /// The seed.
    pub seed: u64,
    /// What the seed made of the plan.
    pub setting: Setting,
    /// Those who watch: the first has the plan's network.
    pub watchers: Vec<Watcher>,
    /// Key frames that publishers were asked for.
    pub keyframe_requests: u64,
    /// The world at the end.
    pub world: World,
}

impl fmt::Display for Watcher {
    /// A line per half second: the link's rate and the wait there, the estimate, what came, and of each track the layer
    /// and behind a point the temporal layer, `-` while paused, and the age of its newest picture beyond a second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kbit = |rate: u64| rate / 1000;
        writeln!(f, "client {} joined at {:?}", self.client, self.joined)?;
        for pair in self.samples.chunks(5).collect::<Vec<_>>().windows(2) {
            let [before, now] = [pair[0].first(), pair[1].first()];
            let (Some(before), Some(now)) = (before, now) else { continue };
            let passed = (now.at - before.at).as_millis().max(1) as u64;
            let came = (now.meter.total() - before.meter.total()) * 8 / passed;
            write!(f, "{:6.1} s  link ", now.at.as_secs_f64())?;
            match now.rate {
                Some(rate) => write!(f, "{:5}", kbit(rate))?,
                None => write!(f, "    -")?,
            }
            let estimate = now.estimate.unwrap_or_default();
            write!(f, "  wait {:4} ms  estimate {:5}  came {came:5} ", now.wait.as_millis(), kbit(estimate))?;
            for (number, seen) in &now.tracks {
                let layer = seen.layer.map_or("?".to_owned(), |layer| layer.to_string());
                let layer = if seen.paused { "-".to_owned() } else { layer };
                write!(f, " {number}:{layer}")?;
                if seen.temporal > 0 {
                    write!(f, ".{}", seen.temporal)?;
                }
                if seen.age > Duration::from_secs(1) && !seen.paused {
                    write!(f, "({:.1})", seen.age.as_secs_f64())?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

struct Meeting {
    world: World,
    rng: Rng,
    setting: Setting,
    tracks: Vec<(usize, Watched)>,
    watchers: Vec<Watcher>,
}

/// Runs the meeting of this plan and seed.
pub fn run(plan: Plan, seed: u64) -> Outcome {
    // Plans of one seed differ in more than the network.
    let mut rng = Rng::with_seed(seed.wrapping_mul(31).wrapping_add(plan as u64));
    let setting = plan.setting(&mut rng);
    let mut meeting =
        Meeting { world: World::new(rng.u64(..)), rng, setting, tracks: Vec::new(), watchers: Vec::new() };
    match plan {
        Plan::Office => meeting.office(),
        _ => meeting.watch_from_outside(),
    }
    meeting.pass(meeting.setting.length);
    let clients = meeting.world.clients.len();
    let keyframe_requests = (0..clients).map(|client| meeting.world.passed(client).keyframe_requests).sum();
    let Meeting { world, setting, watchers, .. } = meeting;
    Outcome { plan, seed, setting, watchers, keyframe_requests, world }
}

impl Meeting {
    /// Some publish over good lines; somebody watches over the plan's, somebody over a good one.
    fn watch_from_outside(&mut self) {
        let watches_at = MS * self.rng.u32(0..4000);
        let mut arrivals: Vec<Duration> =
            (0..self.setting.people).map(|_| MS * self.rng.u32(0..4000)).collect();
        arrivals.sort();
        let mut is_watched = false;
        for (person, at) in arrivals.into_iter().enumerate() {
            if at >= watches_at && !is_watched {
                is_watched = true;
                self.watch(watches_at);
            }
            self.pass(at);
            let client = self.join_losing(&format!("person{person}"), self.setting.up_loss);
            self.publish(client, person, person == 0 && self.setting.slides);
        }
        if !is_watched {
            self.watch(watches_at);
        }
        self.pass(EVERYBODY);
    }

    fn watch(&mut self, at: Duration) {
        self.pass(at);
        let witness = self.join("witness");
        let watcher = self.join("watcher");
        let mut narrow = Bottleneck::changing(
            self.setting.down.iter().map(|(from, conditions)| (*from, conditions.rate)).collect(),
            self.setting.down[0].1.queue,
        );
        if let Some((competing, ..)) = self.setting.competing {
            narrow.compete(competing);
        }
        let narrow = narrow.shared();
        let down = &mut self.world.clients[watcher].down;
        down.follow(&self.setting.down);
        down.lead_through(&narrow);
        let good = Rc::clone(self.world.clients[witness].down.bottleneck());
        self.watchers.insert(0, Watcher::new(watcher, true, at, narrow));
        self.watchers.push(Watcher::new(witness, false, at, good));
    }

    /// Ten with cameras behind one uplink and one downlink, and one outside who watches.
    fn office(&mut self) {
        let queue = MS * self.rng.u32(200..500);
        let uplink = Bottleneck::new(Some(self.rng.u64(28_000_000..34_000_000)), queue).shared();
        let downlink = Bottleneck::new(Some(self.rng.u64(8_000_000..30_000_000)), queue).shared();
        for person in 0..self.setting.people {
            let at = MS * self.rng.u32(0..400) * person as u32;
            self.pass(at);
            let client = self.join(&format!("person{person}"));
            let member = &mut self.world.clients[client];
            member.up.lead_through(&uplink);
            member.down.lead_through(&downlink);
            self.watchers.push(Watcher::new(client, true, self.world.now(), Rc::clone(&downlink)));
            self.publish(client, person, false);
        }
        let at = self.world.now();
        let outside = self.join("outside");
        let good = Rc::clone(self.world.clients[outside].down.bottleneck());
        self.watchers.push(Watcher::new(outside, false, at, good));
        self.pass(EVERYBODY);
    }

    fn join(&mut self, name: &str) -> usize {
        self.join_losing(name, 0.0)
    }

    /// Joins over a line that loses this share of what is sent to the server.
    fn join_losing(&mut self, name: &str, loss: f64) -> usize {
        let good = Conditions {
            delay: MS * self.rng.u32(2..25),
            jitter: MS * self.rng.u32(0..3),
            rate: Some(ACCESS),
            ..Conditions::default()
        };
        let red = self.setting.speech;
        let up = Conditions { loss, ..good };
        // An answer asks for redundancy where the track is known to be speech: it is announced before it is offered.
        let offer_first = !red;
        // A structure of many layers is longer than elements with one-byte headers can be.
        let two_byte = !self.setting.scalable.is_empty();
        let (down, sections) = (good, (4, 4));
        let options =
            JoinOptions { up, down, red, offer_first, two_byte, sections, ..JoinOptions::default() };
        self.world.join("meeting", name, options)
    }

    fn publish(&mut self, client: usize, person: usize, slides: bool) {
        let camera = match self.setting.scalable.get(person % self.setting.scalable.len().max(1)) {
            Some(codec) => Recipe::scalable(*codec),
            None => Recipe::webcam(),
        };
        let mut recipes = vec![Recipe::voice(), camera];
        if slides {
            recipes.push(Recipe::slides(Codec::Vp8));
        }
        for recipe in recipes {
            let number = self.world.publish(client, recipe);
            let size = if recipe.has_sizes() { TILES[self.rng.usize(..TILES.len())] } else { LARGE };
            let speaks = self.rng.u8(..3) == 0 || self.setting.speech;
            self.world.speak(number, speaks);
            self.tracks.push((client, Watched { number, recipe, size }));
        }
    }

    /// Lets time pass until then, samples, and tells sizes as soon as tracks are there.
    fn pass(&mut self, until: Duration) {
        while self.world.now() < until {
            let next = Duration::from_nanos(
                (self.world.now().as_nanos() / SAMPLE.as_nanos() + 1) as u64 * SAMPLE.as_nanos() as u64,
            );
            let next = next.min(until);
            self.world.run(next - self.world.now());
            if next.as_nanos().is_multiple_of(SAMPLE.as_nanos()) {
                for watcher in &mut self.watchers {
                    watcher.look(&mut self.world, &self.tracks);
                }
            }
        }
    }
}

impl Watcher {
    fn new(client: usize, is_limited: bool, joined: Duration, bottleneck: Shared) -> Self {
        Self {
            client,
            tracks: Vec::new(),
            is_limited,
            joined,
            samples: Vec::new(),
            declared: BTreeMap::new(),
            bottleneck,
        }
    }

    fn look(&mut self, world: &mut World, published: &[(usize, Watched)]) {
        if world.clients[self.client].state != State::Joined {
            return;
        }
        let now = world.now();
        for (publisher, track) in published {
            let is_new = *publisher != self.client && !self.declared.contains_key(&track.number);
            if is_new && world.is_declared(self.client, track.number) {
                self.declared.insert(track.number, now);
                let mut track = *track;
                // The first picture of a person is shown large, as the one who speaks.
                if track.recipe.has_sizes() && !self.tracks.iter().any(|known| known.size == LARGE) {
                    track.size = LARGE;
                }
                if track.recipe.codec.is_video() {
                    world.show(self.client, track.number, track.size);
                }
                self.tracks.push(track);
            }
        }
        let mut tracks = BTreeMap::new();
        for track in &self.tracks {
            let declared = self.declared.get(&track.number).copied().unwrap_or(now);
            let mut seen = Seen { age: now - declared, ..Seen::default() };
            if let Some(reception) = world.reception(self.client, track.number) {
                seen.layer = reception.layer();
                seen.temporal = reception.temporal(now);
                seen.age = now - reception.last_frame.unwrap_or(declared);
                seen.sound = (reception.counts.frames, reception.counts.lost);
                seen.silent_run = reception.counts.longest_run;
                seen.is_seen = reception.last_frame.is_some();
            }
            seen.paused = world.is_stream_paused(self.client, track.number);
            tracks.insert(track.number, seen);
        }
        let mut bottleneck = self.bottleneck.borrow_mut();
        self.samples.push(Sample {
            at: now,
            rate: bottleneck.rate(now),
            wait: bottleneck.wait(now),
            estimate: world.estimate(self.client),
            meter: world.clients[self.client].reports.meter,
            tracks,
        });
    }

    /// Bit/s that arrived between two samples, without padding.
    pub fn arrived(&self, from: usize, to: usize) -> f64 {
        let useful = |sample: &Sample| sample.meter.total() - sample.meter.padding;
        let (Some(first), Some(last)) = (self.samples.get(from), self.samples.get(to)) else { return 0.0 };
        let bytes = useful(last) - useful(first);
        bytes as f64 * 8.0 / (last.at - first.at).as_secs_f64().max(0.001)
    }

    /// The sample at or after a time.
    pub fn index_at(&self, at: Duration) -> Option<usize> {
        let index = self.samples.partition_point(|sample| sample.at < at);
        (index < self.samples.len()).then_some(index)
    }
}
