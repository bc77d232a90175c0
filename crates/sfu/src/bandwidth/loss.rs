//! Congestion by loss: a bound on the rate where a bottleneck shows itself by nothing else (a policer, a very short
//! queue), and none where packets are lost for other reasons (radio).
//!
//! The two look alike as long as the rate stays the same. So the line is asked: at a new loss the bound goes a little
//! below what arrives. If packets are still lost there, loss has nothing to do with the rate: it is *inherent*, the
//! bound goes away, and only loss beyond it asks again. If they are not, the bound stays, and grows from there.

use std::time::{Duration, Instant};

/// Loss beyond what is inherent that begins a question, if chance does not explain it. Less asks on every line now and
/// then; more tolerates a policer that drops one packet of so many.
const EXCESS: f64 = 0.05;

/// Deviations of a random share that chance is granted. At 2 one interval in 40 would err, at 3 one in 700.
const DEVIATIONS: f64 = 2.5;

/// An interval is judged when it has this many packets and this much time, or the longer time with fewer packets.
const PACKETS: u32 = 30;
const INTERVAL: Duration = Duration::from_millis(300);
const LONGEST_INTERVAL: Duration = Duration::from_millis(1500);
/// With fewer packets nothing is concluded at all.
const LEAST_PACKETS: u32 = 10;

/// Packets lost within this time of the first are one loss event (as RFC 5348 §5.2 has it with a round trip), and so
/// many events are the least that make an interval excessive: radio loses many packets at once and then none for
/// seconds, a policer some of each picture.
const EVENT: Duration = Duration::from_millis(50);
const LEAST_EVENTS: u32 = 3;

/// Besides single intervals the last moments together are judged, as a mean that forgets with this time constant: a tenth
/// lost by chance hides in intervals of 40 packets for many seconds. Longer asks later, shorter is an interval again.
const MEMORY: Duration = Duration::from_secs(2);
/// With fewer packets it says nothing.
const MEMORY_PACKETS: f64 = 100.0;
/// Deviations of the number of loss events that chance is granted in it. At 1.5 two bursts in two seconds ask nothing, and
/// a steady tenth does; more would leave that to the intervals.
const MEMORY_DEVIATIONS: f64 = 1.5;

/// While the line is asked the bound is this share of what arrived: enough below for a queue or a token bucket to
/// empty, little enough to go unnoticed.
const QUESTION: f64 = 0.9;

/// An answer needs this many packets, or this much time.
const ANSWER_PACKETS: u32 = 100;
const ANSWER_TIME: Duration = Duration::from_millis(2500);

/// Loss must fall to this share of what it was, for the rate to be its cause.
const HELPED: f64 = 0.4;

/// Where this multiple of the least bound is sent all the same (sound is never held back), nothing was asked: then loss is taken
/// for the rate's, and there is no room for pictures.
const NOT_LOWERED: f64 = 1.3;

/// Within this of that share chance may have answered: the line is asked for so many times longer.
const DOUBT: f64 = 0.2;
const DOUBTFUL: u32 = 3;

/// A bound is looked at again after so many packets, and only then, for it grows: if as much is lost below it as before,
/// chance had answered.
const REVIEW_PACKETS: u32 = 200;

/// Inherent loss is believed up to this. A line that loses more carries no meeting, and what arrives would be taken for
/// less than half of what the line carries.
const MAX_INHERENT: f64 = 0.5;

/// Inherent loss rises by itself at most by this beyond what the last question found: a rate that grows step by step, each
/// step with a little more loss, must be asked about and not got used to.
const CREEP: f64 = 0.05;

/// How quickly inherent loss follows what is lost later, per interval. Quicker would ask again after each pause of
/// a bad radio link.
const FORGET: f64 = 0.05;

/// Growth of a bound per second, doubled for each period without loss, up to the last: a policer is touched seldom, and
/// a line that became free is found by then.
const GROWTH: f64 = 0.01;
const GROWTH_PERIOD: Duration = Duration::from_secs(4);
const MAX_GROWTH: f64 = 0.32;

/// No bound is below this, in bit/s: the smallest picture and sound. Where so little is sent chance explains nearly every
/// loss, and a line that carries less shows it by its delay.
const LEAST_BOUND: u64 = 150_000;

/// While less than this share of what delay allows arrives, and not as much as this is lost, no question is asked.
const IDLE: f64 = 0.5;
const MUCH: f64 = 0.25;

/// A bound that has grown to this multiple of the rate that delay allows has no effect and goes.
const MOOT: f64 = 1.3;

#[derive(Clone, Copy, Debug)]
enum State {
    /// No bound.
    Free,
    /// Asking: since when, what was lost before.
    Asking { since: Instant, bound: f64, trial: Trial },
    /// The rate is what loses: the bound, and since when nothing was lost at it.
    Bound { bound: f64, since: Instant, updated: Instant, review: Option<Trial> },
}

/// What is lost while a bound is tried out.
#[derive(Clone, Copy, Debug)]
struct Trial {
    /// Share lost before it.
    before: f64,
    lost: u32,
    packets: u32,
}

impl Trial {
    fn new(before: f64) -> Self {
        Self { before, lost: 0, packets: 0 }
    }

    fn loss(&self) -> f64 {
        f64::from(self.lost) / f64::from(self.packets.max(1))
    }

    /// Loss beyond what is inherent as a share of what it was before; never negative.
    fn left(&self, inherent: f64) -> f64 {
        (self.loss() - inherent).max(0.0) / (self.before - inherent).max(EXCESS)
    }
}

/// Packets, losses and loss events of the last moments; see [`MEMORY`].
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    /// What arrived, and in how many seconds.
    bits: f64,
    seconds: f64,
    packets: f64,
    lost: f64,
    events: f64,
}

impl Memory {
    fn add(&mut self, passed: Duration, rate: f64, packets: f64, lost: f64, events: f64) {
        let kept = (-passed.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        self.bits = self.bits * kept + rate * passed.as_secs_f64();
        self.seconds = self.seconds * kept + passed.as_secs_f64();
        self.packets = self.packets * kept + packets;
        self.lost = self.lost * kept + lost;
        self.events = self.events * kept + events;
    }

    fn loss(&self) -> f64 {
        self.lost / self.packets.max(1.0)
    }

    /// Bit/s in the mean.
    fn rate(&self) -> f64 {
        self.bits / self.seconds.max(0.001)
    }

    /// Loss that chance does not explain: what is lost comes by events, whose number varies by its root.
    fn sure_loss(&self) -> f64 {
        if self.packets < MEMORY_PACKETS {
            return 0.0;
        }
        self.loss() * (1.0 - MEMORY_DEVIATIONS / self.events.max(1.0).sqrt())
    }
}

/// What is known of the traffic when losses are judged, in bit/s.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// What is sent.
    pub sent: u64,
    /// What arrives.
    pub acknowledged: Option<u64>,
    /// What delay allows.
    pub allowed: u64,
    /// Whether delay shows congestion by itself: then its controller acts on it.
    pub queue_grows: bool,
}

/// See the module's description.
#[derive(Debug)]
pub struct LossControl {
    state: State,
    inherent: f64,
    /// What the last question found inherent, or less since.
    found: f64,
    since: Option<Instant>,
    lost: u32,
    packets: u32,
    /// When the oldest of them left.
    oldest: Option<Instant>,
    /// Loss events, and when the last began.
    events: u32,
    event: Option<Instant>,
    was_received: bool,
    /// Whether too much was lost in the last interval: one alone may be chance.
    excessive: bool,
    memory: Memory,
    /// Smoothed over intervals, for who shows it.
    loss: f64,
    /// Packets sent before this say nothing.
    valid_from: Option<Instant>,
}

impl LossControl {
    /// Nothing lost yet.
    pub fn new() -> Self {
        Self {
            state: State::Free,
            inherent: 0.0,
            found: 0.0,
            since: None,
            lost: 0,
            packets: 0,
            oldest: None,
            events: 0,
            event: None,
            was_received: true,
            excessive: false,
            memory: Memory::default(),
            loss: 0.0,
            valid_from: None,
        }
    }

    /// Share of packets lost lately, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// Share of packets that is lost whatever the rate.
    pub fn inherent(&self) -> f64 {
        self.inherent
    }

    /// The bound in bit/s, if there is one.
    pub fn bound(&self) -> Option<u64> {
        match self.state {
            State::Free => None,
            State::Asking { bound, .. } | State::Bound { bound, .. } => Some((bound as u64).max(LEAST_BOUND)),
        }
    }

    /// The line was cut: what was sent before `now` says nothing about its rate.
    pub fn reset(&mut self, now: Instant) {
        *self = Self { inherent: self.inherent, found: self.found, valid_from: Some(now), ..Self::new() };
    }

    /// A probe arrived at this rate without more loss than usual: a bound below it is wrong.
    pub fn probed(&mut self, rate: u64) {
        if self.bound().is_some_and(|bound| rate as f64 > bound as f64 * 1.1) {
            self.state = State::Free;
        }
    }

    /// A packet sent at `sent` was received or lost.
    pub fn packet(&mut self, sent: Instant, received: bool) {
        if self.valid_from.is_some_and(|from| sent < from) {
            return;
        }
        self.packets += 1;
        self.oldest = Some(self.oldest.map_or(sent, |oldest| oldest.min(sent)));
        self.lost += u32::from(!received);
        let is_new = self.was_received && self.event.is_none_or(|began| sent >= began + EVENT);
        if !received && is_new {
            self.event = Some(sent);
            self.events += 1;
        }
        self.was_received = received;
        if let Some(trial) = self.trial(sent) {
            trial.packets += 1;
            trial.lost += u32::from(!received);
        }
    }

    /// A packet sent at `sent` that had been counted as lost has arrived. If that was in an interval judged by now, or
    /// before the line was asked, it makes up for nothing lost since: who reorders would hide what it loses.
    pub fn late(&mut self, sent: Instant) {
        if self.oldest.is_some_and(|oldest| sent >= oldest) {
            self.lost = self.lost.saturating_sub(1);
        }
        if let Some(trial) = self.trial(sent) {
            trial.lost = trial.lost.saturating_sub(1);
        }
    }

    /// The trial that a packet sent at `sent` is part of.
    fn trial(&mut self, sent: Instant) -> Option<&mut Trial> {
        match &mut self.state {
            State::Asking { since, trial, .. } => Some(trial).filter(|_| sent >= *since),
            State::Bound { since, review, .. } => review.as_mut().filter(|_| sent >= *since),
            State::Free => None,
        }
    }

    /// Judges what was counted. Returns whether the rate was just found to be what loses.
    pub fn update(&mut self, now: Instant, seen: &Traffic) -> bool {
        let is_found = self.answer(now, seen);
        self.grow(now, seen.allowed);
        self.judge(now, seen);
        is_found
    }

    /// Judges an interval that is over, and asks where too much was lost.
    fn judge(&mut self, now: Instant, seen: &Traffic) {
        let Traffic { acknowledged, allowed, queue_grows, .. } = *seen;
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        let enough = self.packets >= PACKETS && passed >= INTERVAL
            || self.packets >= LEAST_PACKETS && passed >= LONGEST_INTERVAL;
        if !enough {
            return;
        }
        let packets = f64::from(self.packets);
        let loss = f64::from(self.lost) / packets;
        let events = std::mem::take(&mut self.events);
        self.memory.add(
            passed,
            acknowledged.unwrap_or(0) as f64,
            packets,
            f64::from(self.lost),
            f64::from(events),
        );
        (self.since, self.lost, self.packets, self.oldest) = (Some(now), 0, 0, None);
        self.loss += 0.3 * (loss - self.loss);
        let is_usual = !self.is_excess(loss, packets);
        // Both ways, or chance alone would let it sink; upwards only where no bound explains the loss.
        if is_usual && (loss < self.inherent || self.inherent > 0.0 && matches!(self.state, State::Free)) {
            let most = (self.found + CREEP).min(MAX_INHERENT);
            self.inherent = (self.inherent + FORGET * (loss - self.inherent)).min(most);
            self.found = self.found.min(self.inherent);
        }
        let is_excessive = !is_usual && !queue_grows && events >= LEAST_EVENTS;
        let is_twice = std::mem::replace(&mut self.excessive, is_excessive) && is_excessive;
        let lasts = self.memory.sure_loss() > self.inherent + EXCESS;
        let Some(acknowledged) = acknowledged.filter(|_| !queue_grows && (is_twice || lasts)) else { return };
        // Probes passed at far more: the rate is not what loses, and to ask would cost pictures.
        let idles = self.memory.rate() < allowed as f64 * IDLE && self.memory.loss() < MUCH;
        if matches!(self.state, State::Free) && idles {
            return;
        }
        // Not what the excessive intervals lost: those were chosen for it.
        let memory = std::mem::take(&mut self.memory);
        let before = memory.loss();
        let most = self.bound().unwrap_or(allowed).min(allowed) as f64 * (1.0 - before);
        // Less than the mean may be a moment in which there was little to send: nobody is to be black for that.
        let lower = most.min(memory.rate().max(acknowledged as f64)) * QUESTION;
        let trial = Trial::new(before);
        match &mut self.state {
            State::Free => self.state = State::Asking { since: now, bound: lower, trial },
            State::Asking { .. } => {}
            // Known to be the rate: followed at once, unless something else loses now as well.
            State::Bound { bound, since, .. } => {
                if now.saturating_duration_since(*since) > 2 * INTERVAL {
                    self.state = State::Asking { since: now, bound: lower.min(*bound), trial };
                }
            }
        }
    }

    /// Whether so much of so many packets is lost that neither inherent loss nor chance explains it.
    fn is_excess(&self, loss: f64, packets: f64) -> bool {
        let chance = DEVIATIONS * (self.inherent.max(0.02) * (1.0 - self.inherent) / packets).sqrt();
        loss > self.inherent + EXCESS + chance
    }

    /// Concludes a question once enough packets sent under the lower bound were reported, and doubts the conclusion
    /// where as much is lost as before. Returns whether it is that the rate loses.
    fn answer(&mut self, now: Instant, seen: &Traffic) -> bool {
        match self.state {
            State::Free => {}
            State::Asking { since, bound, trial } => {
                let left = trial.left(self.inherent);
                let times = if (left - HELPED).abs() < DOUBT { DOUBTFUL } else { 1 };
                let passed = now.saturating_duration_since(since);
                if trial.packets < ANSWER_PACKETS * times && passed < ANSWER_TIME * times {
                    return false;
                }
                if trial.packets < LEAST_PACKETS || seen.queue_grows {
                    // Nothing can be said: delay has taken over, or nothing is sent.
                    self.state = State::Free;
                } else if left < HELPED || Self::is_not_lowered(bound, seen.sent) {
                    self.memory = Memory::default();
                    let review = Some(Trial::new(trial.before));
                    self.state = State::Bound { bound, since: now, updated: now, review };
                    return true;
                } else {
                    self.set_inherent(trial.loss());
                }
            }
            State::Bound { bound, review: Some(trial), .. } if trial.packets >= REVIEW_PACKETS => {
                if !Self::is_not_lowered(bound, seen.sent) && trial.left(self.inherent) > HELPED + DOUBT {
                    self.set_inherent(trial.loss());
                } else if let State::Bound { review, .. } = &mut self.state {
                    *review = None;
                }
            }
            State::Bound { .. } => {}
        }
        false
    }

    /// Whether less arrives than the least bound, of more than that: what is sent is not held back, as sound never is.
    fn is_not_lowered(bound: f64, sent: u64) -> bool {
        bound < LEAST_BOUND as f64 && sent as f64 > LEAST_BOUND as f64 * NOT_LOWERED
    }

    /// The rate is not what loses.
    fn set_inherent(&mut self, loss: f64) {
        self.inherent = loss.min(MAX_INHERENT);
        self.found = self.inherent;
        self.memory = Memory::default();
        self.state = State::Free;
    }

    fn grow(&mut self, now: Instant, allowed: u64) {
        let State::Bound { bound, since, updated, .. } = &mut self.state else { return };
        let periods = now.saturating_duration_since(*since).as_secs_f64() / GROWTH_PERIOD.as_secs_f64();
        let rate = (GROWTH * periods.floor().min(10.0).exp2()).min(MAX_GROWTH);
        *bound *= 1.0 + rate * now.saturating_duration_since(*updated).min(GROWTH_PERIOD).as_secs_f64();
        *updated = now;
        if *bound > allowed as f64 * MOOT {
            self.state = State::Free;
        }
    }
}

impl Default for LossControl {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
