//! How much one subscriber's line carries: joins what delay, loss and probes say, and what is done without feedback.

use std::time::{Duration, Instant};

use rtp::rtcp::DELTA_TICK;

use super::acknowledged::{BusyMeter, RateMeter};
use super::aimd::{Observation, RateControl};
use super::delay::{DelayDetector, Usage};
use super::fallback::Fallback;
use super::history::{ClusterId, History, Reported, SentPacket};
use super::loss::{LossControl, Traffic};
use super::probe::{Probe, Prober, Situation};
use super::queue::QueueMeter;
use super::receiver_clock::ReceiverClock;
use super::trust::Trust;
use crate::token_bucket::TokenBucket;

/// Estimate at the start, in bit/s: two or three pictures in the smallest layer at once for whoever joins late, while the
/// first two probes find most lines within two round trips and bring the others. With 600 kbit/s a line of 300 kbit/s
/// began with a queue above a quarter of a second for more than two seconds in every eighth simulated meeting, with
/// this in none of 60, and the first pictures of faster lines came no later.
pub const START_RATE: u64 = 300_000;

/// Bounds of the estimate by default, in bit/s: sound and little else; more than a large meeting in one window.
pub const MIN_RATE: u64 = 30_000;
/// See [`MIN_RATE`].
pub const MAX_RATE: u64 = 30_000_000;

/// Silence of this length beyond two round trips means that pictures wait; twice of it, that the line is cut. Browsers
/// report every 50 to 250 ms, so several reports in a row must be lost.
const SILENCE: Duration = Duration::from_millis(500);

/// Nor is it silence before so many packets were sent: a few may all be lost, and then there is nothing to report.
const SILENT_PACKETS: u32 = 10;

/// While feedback is missing something is sent this often, so that there is something to report when the line is back.
/// Longer finds that later, shorter costs a line that is merely bad; with packets of 1200 bytes it is 24 kbit/s.
const SOUNDING: Duration = Duration::from_millis(400);

/// Round trip assumed before one was measured, and the longest believed.
const ASSUMED_RTT: Duration = Duration::from_millis(100);
const MAX_RTT: Duration = Duration::from_secs(3);

/// Share of the rate before a cut with which the transport goes on until a probe has answered.
const AFTER_CUT: f64 = 0.5;

/// Below this share of the estimate what is sent is limited by what there is to send (libwebrtc's ALR threshold).
const LIMITED: f64 = 0.65;

/// A queue of ours above this is drained by sending less for a moment, on top of the decrease.
const DRAIN_ABOVE: Duration = Duration::from_millis(60);

/// A longer one is drained without any decrease: where it was there before anything could be compared with, it does not grow,
/// and nothing else would ever make it shorter.
const DRAIN_ALWAYS: Duration = Duration::from_millis(200);
const DRAIN_ALWAYS_PAUSE: Duration = Duration::from_secs(30);

/// What came in bursts at this multiple of the mean rate is more than jitter.
const BURST: f64 = 1.2;

/// A queue of more than this is one, whatever jitter there is.
const MOST_JITTER: Duration = Duration::from_millis(80);

/// What came in bursts at less than this share of the estimate says nothing of the line while no queue stands.
const TELLING: f64 = 0.7;

/// A queue below this, of which not even a few packets in a row were seen, is no reason to send less.
const SHORT_QUEUE: Duration = Duration::from_millis(25);

/// Draining ends after this unless a third of the queue is gone by then, and is not begun again so soon if it did not help:
/// then the queue is somebody else's, and yielding would starve us.
const DRAIN_TIME: Duration = Duration::from_millis(1500);
const DRAIN_PAUSE: Duration = Duration::from_secs(10);

/// Least share of the rate that is kept while draining.
const DRAIN_LEAST: f64 = 0.5;

/// A probe that is due but waits (for a queue to drain) is looked at again after this.
const PROBE_AGAIN: Duration = Duration::from_millis(50);

/// A demand of this multiple of the last one is probed for at once.
const EAGER: f64 = 1.5;

/// A change of the estimate by this share is worth telling.
const MEANINGFUL: f64 = 0.05;

/// Feedback packets taken at once, and how soon one more: browsers send up to 20 a second, several at a time when much is
/// sent. Fewer would refuse what was held up on a bad line and comes all together; more only costs time.
const FEEDBACK_BURST: u32 = 200;
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(5);

/// Bounds and start of an estimate, in bit/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it starts.
    pub start: u64,
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { start: START_RATE, min: MIN_RATE, max: MAX_RATE }
    }
}

/// What was wrong with feedback; the rest of it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedbackError {
    /// It names packets that were never sent.
    #[error("feedback on packets that were never sent")]
    Unknown,
    /// There is too much of it.
    #[error("too much feedback")]
    Rate,
}

impl FeedbackError {
    /// Stable code for counters.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "twcc-unknown",
            Self::Rate => "twcc-rate",
        }
    }
}

/// What is known of a line when layers are chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capacity {
    /// Bit/s that it is thought to carry.
    pub estimate: u64,
    /// When a probe last found more than was thought, and how much, in bit/s.
    pub found: Option<(Instant, u64)>,
}

/// The line, as far as feedback tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// No transport-wide feedback has ever come.
    Unreported,
    Reported,
    /// Feedback ceased; the rate before.
    Cut {
        before: u64,
    },
}

/// See the module's description.
#[derive(Debug)]
pub struct Estimator {
    settings: Settings,
    epoch: Instant,
    history: History,
    detector: DelayDetector,
    control: RateControl,
    loss: LossControl,
    prober: Prober,
    trust: Trust,
    fallback: Fallback,
    queue: QueueMeter,
    acknowledged: RateMeter,
    busy: BusyMeter,
    sent: RateMeter,
    line: Line,
    /// When the oldest packet was sent that no feedback followed.
    unanswered: Option<Instant>,
    /// How many were sent since then.
    unanswered_packets: u32,
    /// When a packet left last, or was to be sent for there to be one.
    last_sent: Instant,
    /// When the first packet could go over the network of now.
    network_since: Instant,
    rtt: Option<Duration>,
    clock: ReceiverClock,
    demand: u64,
    /// Since when a queue is drained, and how long packets stood in it then.
    drain: Option<(Instant, Duration)>,
    /// When draining last began, or ended in vain.
    last_drain: Option<Instant>,
    estimate: u64,
    /// When a probe last raised it, and to what.
    found: Option<(Instant, u64)>,
    told: u64,
    reports: TokenBucket,
    /// Arrivals of one feedback, kept for its memory.
    scratch: Vec<(i64, SentPacket)>,
}

impl Estimator {
    /// An estimator for a transport that begins now.
    pub fn new(now: Instant, settings: &Settings) -> Self {
        let Settings { start, min, max } = *settings;
        let control = RateControl::new(start, min, max);
        Self {
            settings: *settings,
            epoch: now,
            history: History::new(),
            detector: DelayDetector::new(),
            estimate: control.rate(),
            found: None,
            told: control.rate(),
            control,
            loss: LossControl::new(),
            prober: Prober::new(start),
            trust: Trust::default(),
            fallback: Fallback::new(start, min, max),
            queue: QueueMeter::new(),
            acknowledged: RateMeter::new(),
            busy: BusyMeter::new(),
            sent: RateMeter::new(),
            line: Line::Unreported,
            unanswered: None,
            unanswered_packets: 0,
            last_sent: now,
            network_since: now,
            rtt: None,
            clock: ReceiverClock::default(),
            demand: 0,
            drain: None,
            last_drain: None,
            reports: TokenBucket::new(FEEDBACK_BURST, FEEDBACK_INTERVAL),
            scratch: Vec::new(),
        }
    }

    /// The transport-wide number that the next packet gets.
    pub fn next_sequence(&self) -> u16 {
        self.history.next_sequence()
    }

    /// A packet of `bytes` (UDP payload) left under [`Self::next_sequence`].
    pub fn sent(&mut self, now: Instant, bytes: u32, cluster: Option<ClusterId>) {
        self.history.push(SentPacket { at: now, bytes, cluster });
        self.last_sent = now;
        self.unanswered.get_or_insert(now);
        self.unanswered_packets = self.unanswered_packets.saturating_add(1);
        if let Some(cluster) = cluster {
            self.prober.sent(now, cluster, bytes);
        }
        self.sent_untracked(now, bytes);
    }

    /// A packet left without a transport-wide number, on a section that has not negotiated it.
    pub fn sent_untracked(&mut self, now: Instant, bytes: u32) {
        self.sent.add(self.micros(now), bytes);
    }

    /// Transport-wide feedback: the reference time in units of 64 ms (signed 24 bits), and for each packet its number
    /// and the delta to the arrival before in units of 250 µs, `None` for lost.
    ///
    /// # Errors
    /// What cannot be true is ignored and told.
    pub fn feedback(
        &mut self,
        now: Instant,
        reference_time: i32,
        arrivals: impl Iterator<Item = (u16, Option<i16>)>,
    ) -> Result<(), FeedbackError> {
        if !self.reports.take(now, 1) {
            return Err(FeedbackError::Rate);
        }
        let mut arrival = self.clock.micros(reference_time);
        let mut received = std::mem::take(&mut self.scratch);
        received.clear();
        let mut is_unknown = false;
        let mut newest_sent = None;
        for (sequence, delta) in arrivals {
            if let Some(delta) = delta {
                arrival = arrival.saturating_add(i64::from(delta) * DELTA_TICK.as_micros() as i64);
            }
            match self.history.report(sequence, delta.is_some()) {
                Reported::Received(packet) => {
                    // A probe may lose by being one.
                    if packet.cluster.is_none() {
                        self.loss.packet(packet.at, true);
                    }
                    newest_sent = newest_sent.max(Some(packet.at));
                    received.push((arrival, packet));
                }
                Reported::ReceivedLate(packet) => {
                    match packet.cluster {
                        Some(cluster) => self.prober.not_lost(cluster, packet.bytes),
                        None => self.loss.late(packet.at),
                    }
                    received.push((arrival, packet));
                }
                Reported::Lost(packet) => match packet.cluster {
                    Some(cluster) => self.prober.lost(cluster, packet.bytes),
                    None => self.loss.packet(packet.at, false),
                },
                Reported::Known => {}
                Reported::NeverSent => is_unknown = true,
            }
        }
        if let Some(newest_sent) = newest_sent {
            self.answered(now, newest_sent);
        }
        // Packets that overtook each other are judged in the order in which they arrived.
        received.sort_by_key(|(arrival, _)| *arrival);
        if received.last().is_some_and(|(newest, _)| self.clock.has_jumped(now, *newest)) {
            self.forget_arrivals();
        }
        for (arrival, packet) in &received {
            self.acknowledged.add(*arrival, packet.bytes);
            if packet.at < self.network_since {
                continue;
            }
            let sent = self.micros(packet.at);
            self.queue.packet(sent, *arrival);
            self.busy.packet(*arrival, packet.bytes, self.queue.delay_of(sent, *arrival));
            match packet.cluster {
                // A probe is meant to make a queue for a moment; it is no witness of one.
                Some(cluster) => self.prober.received(cluster, packet.at, packet.bytes, *arrival),
                None => self.detector.packet(packet.at, *arrival),
            }
        }
        if !received.is_empty() {
            self.update(now);
        }
        self.scratch = received;
        if is_unknown { Err(FeedbackError::Unknown) } else { Ok(()) }
    }

    /// A receiver report on one stream: the share lost since the last (in 1/256), and the round trip if it tells one.
    pub fn receiver_report(&mut self, now: Instant, fraction_lost: u8, rtt: Option<Duration>) {
        if let Some(rtt) = rtt {
            self.learn_rtt(rtt);
        }
        if self.line == Line::Unreported {
            self.sent.pass(self.micros(now));
            let sent = self.sent.rate().unwrap_or(0);
            self.fallback.report(now, f64::from(fraction_lost) / 256.0, sent);
            self.refresh(now);
        }
    }

    /// The receiver's own estimate, in bit/s. Counts only where no transport-wide feedback comes.
    pub fn remb(&mut self, now: Instant, rate: u64) {
        self.fallback.remb(now, rate);
        self.refresh(now);
    }

    /// The subscriber's transport goes over another network now: what is known of the old one's delay and capacity says
    /// nothing of it.
    pub fn network_changed(&mut self, now: Instant) {
        if self.line == Line::Unreported {
            return;
        }
        self.network_since = now;
        let before = self.estimate;
        self.forget_arrivals();
        self.forget_findings();
        self.control.forget_capacity();
        self.loss.reset(now);
        self.prober.recovered(now, before);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.line == Line::Reported && self.silent_since(now, 2) {
            self.line = Line::Cut { before: self.control.rate() };
        }
        self.refresh(now);
    }

    /// When [`Self::handle_timeout`] and [`Self::poll_probe`] may have something to do that they have not now.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let silence = match (self.line, self.unanswered) {
            (Line::Reported, Some(since)) => {
                let due = since + self.silence() + SILENCE;
                Some(if due > now { due } else { now + SILENCE })
            }
            _ => None,
        };
        let probe = self.prober.next_timeout().filter(|_| self.line == Line::Reported && self.wants_more());
        let probe = probe.map(|due| due.max(now + PROBE_AGAIN)); // due, and yet held back
        let sounding = self.is_cut(now).then(|| self.last_sent + SOUNDING);
        [silence, probe, sounding].into_iter().flatten().min()
    }

    /// Whether feedback is missing so that pictures had better wait ([`super::pacer::Pacer::set_cut`]).
    pub fn is_cut(&self, now: Instant) -> bool {
        match self.line {
            Line::Unreported => false,
            Line::Reported => self.silent_since(now, 1),
            Line::Cut { .. } => true,
        }
    }

    /// Whether a packet is to be sent now for nothing but an answer: the line seems cut, and no sound flows that would
    /// bring one when it is back. Says so once per packet.
    pub fn poll_sounding(&mut self, now: Instant) -> bool {
        let is_due = self.is_cut(now) && now.saturating_duration_since(self.last_sent) >= SOUNDING;
        if is_due {
            self.last_sent = now;
        }
        is_due
    }

    /// Nothing can be sent that would be answered without being a picture: pictures flow again, at a lower rate, until
    /// silence shows anew.
    pub fn resume_unanswered(&mut self, now: Instant) {
        self.resume(now);
        (self.unanswered, self.unanswered_packets) = (None, 0);
        self.refresh(now);
    }

    /// Bit/s of UDP payload that the line is thought to carry.
    pub fn estimate(&self) -> u64 {
        self.estimate
    }

    /// What decisions on layers are made by.
    pub fn capacity(&self) -> Capacity {
        Capacity { estimate: self.estimate, found: self.found }
    }

    /// Whether the estimate has changed enough for a new allocation since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        let changed = self.estimate.abs_diff(self.told) as f64 > self.told as f64 * MEANINGFUL;
        if changed {
            self.told = self.estimate;
        }
        changed
    }

    /// Bit/s that would be used if the line carried them; nothing is probed for beyond. 0 at first.
    pub fn set_demand(&mut self, demand: u64) {
        if demand as f64 > self.demand as f64 * EAGER {
            self.prober.demand_rose();
        }
        self.demand = demand;
    }

    /// The probe that is to be sent now, if one is.
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        // Before any feedback only the first one goes out: more would measure nothing on a peer that sends none.
        if matches!(self.line, Line::Cut { .. }) || self.is_cut(now) {
            return None;
        }
        let situation = Situation {
            estimate: self.estimate,
            demand: self.demand,
            max: self.settings.max,
            is_calm: self.detector.usage() == Usage::Normal
                && self.drain.is_none()
                && self.queue.delay() < self.short_queue(),
            last_decrease: self.control.last_decrease(),
            jitter: self.queue.jitter(),
        };
        if self.line == Line::Unreported && self.prober.has_begun() {
            return None;
        }
        self.prober.poll(now, &situation)
    }

    /// Whether the rest of a probe is still to be sent.
    pub fn awaits(&self, probe: ClusterId) -> bool {
        self.prober.awaits(probe)
    }

    /// How long packets stand in the line's queue.
    pub fn queue_delay(&self) -> Duration {
        self.queue.delay()
    }

    /// Share of packets lost lately, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.loss.loss()
    }

    fn wants_more(&self) -> bool {
        self.demand > self.estimate
    }

    fn micros(&self, at: Instant) -> i64 {
        at.saturating_duration_since(self.epoch).as_micros() as i64
    }

    fn silence(&self) -> Duration {
        SILENCE + 2 * self.rtt.unwrap_or(ASSUMED_RTT)
    }

    /// Whether nothing was heard for so many silences.
    fn silent_since(&self, now: Instant, silences: u32) -> bool {
        self.unanswered.is_some_and(|since| {
            self.unanswered_packets >= SILENT_PACKETS
                && now.saturating_duration_since(since) >= self.silence() + SILENCE * (silences - 1)
        })
    }

    /// Feedback came on a packet sent at `sent`.
    fn answered(&mut self, now: Instant, sent: Instant) {
        self.unanswered = None;
        self.unanswered_packets = 0;
        self.learn_rtt(now.saturating_duration_since(sent));
        self.resume(now);
    }

    /// Later arrivals have nothing to do with those so far.
    fn forget_arrivals(&mut self) {
        self.detector.reset();
        self.acknowledged = RateMeter::new();
        self.busy = BusyMeter::new();
        self.queue = QueueMeter::new();
    }

    /// What probes found, and how right they were, says nothing of what comes now.
    fn forget_findings(&mut self) {
        (self.found, self.trust) = (None, Trust::default());
    }

    /// The line is no longer thought to be cut.
    fn resume(&mut self, now: Instant) {
        if let Line::Cut { before } = self.line {
            self.detector.reset();
            self.forget_findings();
            self.control.forget_capacity();
            self.control.set(now, ((before as f64) * AFTER_CUT) as u64);
            self.acknowledged = RateMeter::new();
            self.queue = QueueMeter::new();
            self.loss.reset(now);
            self.prober.recovered(now, before);
        }
        self.line = Line::Reported;
    }

    fn learn_rtt(&mut self, rtt: Duration) {
        let rtt = rtt.min(MAX_RTT);
        self.rtt = Some(self.rtt.map_or(rtt, |before| (before * 7 + rtt) / 8));
    }

    /// Joins what one feedback has told.
    fn update(&mut self, now: Instant) {
        self.sent.pass(self.micros(now));
        let inherent = self.loss.inherent().clamp(0.0, 0.5);
        let corrected = |rate: u64| (rate as f64 / (1.0 - inherent)) as u64;
        let (mean, recent) = (self.acknowledged.rate(), self.acknowledged.recent());
        // Bursts that stood in a queue tell the line's rate; with mere jitter, what seems queued is all there is.
        let queued = self.busy.rate().filter(|rate| *rate as f64 > mean.unwrap_or(0) as f64 * BURST);
        // What passes the whole line comes at its rate. Much less than the estimate is what happened to come.
        let is_told = queued.is_some_and(|rate| rate as f64 > self.estimate as f64 * TELLING);
        let usage = match self.detector.usage() {
            // Bursts with pauses between them: what little queue they make is gone before anything could be done.
            Usage::Over if !is_told && self.queue.delay() < self.short_queue() => Usage::Normal,
            usage => usage,
        };
        // While a queue stands, the last moments are the line's rate; of bursts, those that stood in it.
        let acknowledged = if usage == Usage::Over { mean.min(recent).or(mean).max(queued) } else { mean };
        let sent = self.sent.rate().unwrap_or(0);
        let observation = Observation {
            usage,
            acknowledged: acknowledged.map(corrected),
            is_limited: (sent as f64) < self.estimate as f64 * LIMITED
                && queued.is_none()
                && self.queue.delay() < DRAIN_ABOVE,
            is_short: queued.is_some() && self.queue.delay() < DRAIN_ABOVE,
            rtt: self.rtt.unwrap_or(ASSUMED_RTT),
        };
        let before = self.control.rate();
        let decreased = self.control.update(now, &observation);
        if decreased {
            self.prober.decreased(now, before, self.control.rate());
            self.trust.decreased(now, self.control.rate());
            self.found = self.found.map(|(at, found)| (at, found.min(self.control.rate())));
        }
        let traffic = Traffic {
            sent,
            acknowledged: mean,
            allowed: self.control.rate(),
            queue_grows: usage == Usage::Over,
        };
        if self.loss.update(now, &traffic) {
            self.prober.bounded(now);
        }
        if let Some(found) = self.prober.finding(now, self.estimate, inherent)
            && found > self.control.rate()
            && usage != Usage::Over
        {
            // A policer lets short probes pass: less than delay allows says nothing against a bound.
            self.loss.probed(found);
            let believed = self.trust.found(now, self.control.rate(), found);
            self.control.found(now, believed);
            self.found = Some((now, believed));
        }
        self.update_drain(now, decreased && !observation.is_limited);
        self.refresh(now);
    }

    /// A queue that is none. Where packets keep their order, one that is held back holds back those behind it: jitter looks
    /// like a short queue.
    fn short_queue(&self) -> Duration {
        (SHORT_QUEUE + self.queue.jitter() * 3 / 2).min(MOST_JITTER)
    }

    /// Begins and ends the draining of a queue.
    fn update_drain(&mut self, now: Instant, is_full: bool) {
        let standing = self.queue.delay();
        if let Some((since, before)) = self.drain {
            let is_over = now.saturating_duration_since(since) >= DRAIN_TIME;
            if standing < DRAIN_ABOVE / 2 {
                (self.drain, self.last_drain) = (None, None);
            } else if is_over && standing < before * 2 / 3 {
                self.drain = Some((now, standing)); // it helps
            } else if is_over {
                (self.drain, self.last_drain) = (None, Some(now));
            }
            return;
        }
        let rested = |pause| self.last_drain.is_none_or(|last| now.saturating_duration_since(last) >= pause);
        let is_due = is_full && standing > DRAIN_ABOVE && rested(DRAIN_PAUSE);
        if is_due || standing > DRAIN_ALWAYS && rested(DRAIN_ALWAYS_PAUSE) {
            (self.drain, self.last_drain) = (Some((now, standing)), Some(now));
        }
    }

    /// The estimate, from everything that is known.
    fn refresh(&mut self, now: Instant) {
        self.estimate = match self.line {
            Line::Unreported => self.fallback.rate(now),
            Line::Cut { .. } => self.settings.min,
            Line::Reported => {
                let bound = self.loss.bound().unwrap_or(u64::MAX);
                let allowed = self.control.rate().min(bound);
                match self.drain {
                    // So much less that the queue is gone within about a second.
                    Some(_) => {
                        let share = 1.0 - self.queue.delay().as_secs_f64().min(1.0 - DRAIN_LEAST);
                        (allowed as f64 * share) as u64
                    }
                    None => allowed,
                }
            }
        }
        .clamp(self.settings.min, self.settings.max.max(self.settings.min));
    }
}
