//! Probes: short bursts at a higher rate than the estimate, which find a free line within a round trip where growing
//! would take many seconds. When they are sent, and what their arrival says.

use std::time::{Duration, Instant};

use super::history::ClusterId;

/// The first two probes, as multiples of the rate at the start. Larger finds fast lines sooner, and costs slow ones a
/// longer queue at the start: with 300 kbit/s the two put 10 KB into a line of 300 kbit/s, a quarter of a second.
const FIRST: [f64; 2] = [6.0, 12.0];

/// A further probe goes to this multiple of what the last one found, while it found this share of what it was sent at.
const FURTHER: f64 = 2.0;
const FURTHER_FOUND: f64 = 0.7;

/// A probe on demand goes to this multiple of the estimate, by its length: each that finds nothing is followed by one twice
/// as long. Jitter hides what a short one says, and a long one at twice the rate would be a queue.
const ON_DEMAND: [f64; 6] = [2.0, 1.8, 1.6, 1.4, 1.3, 1.25];

/// So often doubled a probe begins where jitter is as long as the first.
const JITTERY: usize = 2;

/// Nor is more probed for than this multiple of what could be used: the rest is for variations of the media.
const BEYOND_DEMAND: f64 = 1.3;

/// A demand this much above the estimate is worth a probe.
const WORTH: f64 = 1.1;

/// Length of a probe at first, and its fewest packets. Longer measures more exactly and makes a longer queue where it fails.
const LENGTH: Duration = Duration::from_millis(15);
pub(crate) const PACKETS: u32 = 5;

/// Pause between probes on demand at first, and at most: it doubles with each that finds nothing. A shorter maximum
/// would notice a faster line earlier; 15 ms at twice the rate every 5 s are 0.6 % of a line.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// No probe on demand so soon after a decrease: what caused it must be over. (That the queue has drained is seen.)
const AFTER_DECREASE: Duration = Duration::from_millis(500);

/// A decrease below this share of the rate before, in one step or in several, is checked by a probe, at this share of it,
/// within this time: what caused it may have been short.
const LARGE_DROP: f64 = 0.66;
const AFTER_DROP: f64 = 0.85;
const DROP_FORGOTTEN: Duration = Duration::from_secs(5);

/// A probe of which too little was reported this long after its last packet counts as failed; after the first of both what
/// is still missing is not waited for. Shorter would fail over long paths.
const PATIENCE: Duration = Duration::from_secs(1);
const ALL_REPORTED: Duration = Duration::from_millis(500);

/// Share of a probe's packets and bytes that must have arrived for a result. Half of that of libwebrtc's allowance for
/// loss: on a line with 20 % random loss nothing would ever be found otherwise.
const ARRIVED: f64 = 0.6;

/// A probe that arrived over more than this, in ms, was no burst.
const MAX_INTERVAL: f64 = 1000.0;

/// A probe that arrives this many times faster than it was sent was held back and released, and says nothing.
const COMPRESSED: f64 = 2.0;

/// The line is full if a probe arrives slower than this share of how it was sent; then this share of the arrival rate
/// is usable.
const FULL: f64 = 0.9;
const USABLE: f64 = 0.95;

/// A probe to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its packets carry this.
    pub cluster: ClusterId,
    /// Bit/s at which they leave.
    pub rate: u64,
    /// Bytes to be sent at least.
    pub bytes: u32,
    /// Packets to be sent at least.
    pub packets: u32,
}

/// A probe's packets as they were reported.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    probe: Probe,
    started: Instant,
    sent_packets: u32,
    sent_bytes: u64,
    first_sent: Option<Instant>,
    last_sent: Option<(Instant, u32)>,
    received_packets: u32,
    received_bytes: u64,
    lost_packets: u32,
    lost_bytes: u64,
    first_arrival: Option<i64>,
    fit: Fit,
}

/// Least squares of when packets arrived over when they were sent, in ms: its slope is how much longer the line took than
/// the sender. First and last packet alone would say that too, but jitter moves them apart, and only many packets
/// average it.
#[derive(Clone, Copy, Debug, Default)]
struct Fit {
    points: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Fit {
    fn add(&mut self, x: f64, y: f64) {
        self.points += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
        self.yy += y * y;
    }

    /// The slope and its standard error; `None` if too little is known.
    fn slope(&self) -> Option<(f64, f64)> {
        let spread = self.xx - self.x * self.x / self.points;
        if self.points < 3.0 || spread <= 0.0 {
            return None;
        }
        let slope = (self.xy - self.x * self.y / self.points) / spread;
        let residue = self.yy - self.y * self.y / self.points - slope * slope * spread;
        Some((slope, (residue.max(0.0) / (self.points - 2.0) / spread).sqrt()))
    }
}

/// What a probe says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Unfinished,
    Nothing,
    Rate(u64),
}

/// What is known when a probe could be begun.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// Bit/s the line is thought to carry.
    pub estimate: u64,
    /// Bit/s that could be used.
    pub demand: u64,
    /// The most that is ever sent.
    pub max: u64,
    /// Whether delay shows neither a growing nor a draining queue.
    pub is_calm: bool,
    /// When the rate was last decreased.
    pub last_decrease: Option<Instant>,
    /// By how much packets are late in the mean.
    pub jitter: Duration,
}

/// See the module's description.
#[derive(Debug)]
pub struct Prober {
    start: u64,
    first_sent: usize,
    next_id: u32,
    /// The one whose packets are out. One at a time: a second would measure the first.
    current: Option<Cluster>,
    pause: Duration,
    /// How many times the length has been doubled.
    doubled: usize,
    next_on_demand: Option<Instant>,
    /// Much more is wanted than a moment ago: that does not wait for its turn.
    is_eager: bool,
    /// Found by the last probe, to be continued from.
    further: Option<u64>,
    /// The rate before a large drop or an outage, and when it was lost.
    lost: Option<(u64, Instant)>,
    /// The rate before the first of the last decreases, and when that was.
    peak: Option<(u64, Instant)>,
}

impl Prober {
    /// A prober for a transport that starts with this estimate, in bit/s.
    pub fn new(start: u64) -> Self {
        Self {
            start,
            first_sent: 0,
            next_id: 0,
            current: None,
            pause: FIRST_PAUSE,
            doubled: 0,
            next_on_demand: None,
            is_eager: false,
            further: None,
            lost: None,
            peak: None,
        }
    }

    /// The probe that is to be sent now, if one is.
    pub fn poll(&mut self, now: Instant, situation: &Situation) -> Option<Probe> {
        self.expire(now);
        if self.current.is_some() || !situation.is_calm {
            return None;
        }
        let wanted = situation.demand as f64 > situation.estimate as f64 * WORTH;
        if !wanted {
            self.further = None;
            return None;
        }
        let rate = if let Some(multiple) = FIRST.get(self.first_sent) {
            self.first_sent += 1;
            self.start as f64 * multiple
        } else if let Some(found) = self.further.take() {
            self.lengthen(situation);
            found as f64 * FURTHER
        } else if let Some((rate, _)) = self.take_lost(now, situation) {
            rate as f64
        } else if self.is_due(now, situation.last_decrease) {
            self.lengthen(situation);
            situation.estimate as f64 * ON_DEMAND.get(self.doubled).copied().unwrap_or(1.0)
        } else {
            return None;
        };
        let most = (situation.demand as f64 * BEYOND_DEMAND).min(situation.max as f64);
        Some(self.begin(now, rate.min(most).max(situation.estimate as f64) as u64))
    }

    /// Short probes say nothing where there is jitter.
    fn lengthen(&mut self, situation: &Situation) {
        if situation.jitter >= LENGTH {
            self.doubled = self.doubled.max(JITTERY);
        }
    }

    /// Much more is wanted than a moment ago: somebody enlarged a picture, and waits.
    pub fn demand_rose(&mut self) {
        self.is_eager = true;
    }

    /// Whether a probe was ever sent.
    pub fn has_begun(&self) -> bool {
        self.next_id != 0
    }

    /// When [`Self::poll`] may have something next, given that something is wanted.
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.current {
            Some(cluster) => Some(cluster.left() + PATIENCE),
            None => self.next_on_demand,
        }
    }

    /// Whether anything is to be learnt from further packets of this probe.
    pub fn awaits(&self, id: ClusterId) -> bool {
        self.current.is_some_and(|cluster| cluster.probe.cluster == id)
    }

    /// The estimate fell from `before` to `after`. A probe of which not all has left would make what caused it worse; what
    /// left of it says too little.
    pub fn decreased(&mut self, now: Instant, before: u64, after: u64) {
        self.current.take_if(|cluster| !cluster.is_sent());
        self.further = None;
        self.first_sent = FIRST.len();
        let is_over = |at| now.saturating_duration_since(at) > DROP_FORGOTTEN;
        let last = self.peak.filter(|(rate, at)| *rate > before && !is_over(*at));
        let (peak, since) = last.unwrap_or((before, now));
        let is_large = (after as f64) < peak as f64 * LARGE_DROP && self.lost.is_none();
        if is_large {
            self.lost = Some(((peak as f64 * AFTER_DROP) as u64, now));
        }
        self.peak = (!is_large).then_some((peak, since));
        self.next_on_demand = Some(self.next_on_demand.map_or(now, |due| due.max(now)));
    }

    /// Loss bounds the estimate from now on: whether rightly is soon asked, by a short probe.
    pub fn bounded(&mut self, now: Instant) {
        (self.pause, self.doubled) = (FIRST_PAUSE, 0);
        self.next_on_demand = Some(now + FIRST_PAUSE);
    }

    /// The line is back after it was cut: ask for what it carried before.
    pub fn recovered(&mut self, now: Instant, before: u64) {
        self.current = None;
        self.further = None;
        self.first_sent = FIRST.len();
        self.lost = Some((before, now));
        self.pause = FIRST_PAUSE;
        self.next_on_demand = Some(now + FIRST_PAUSE);
    }

    /// A packet of this cluster left.
    pub fn sent(&mut self, now: Instant, id: ClusterId, bytes: u32) {
        let Some(cluster) = self.current.as_mut().filter(|cluster| cluster.probe.cluster == id) else {
            return;
        };
        cluster.sent_packets += 1;
        cluster.sent_bytes += u64::from(bytes);
        cluster.first_sent.get_or_insert(now);
        cluster.last_sent = Some((now, bytes));
    }

    /// A packet of this cluster that left at `sent` arrived, at `arrival` microseconds of the receiver's clock.
    pub fn received(&mut self, id: ClusterId, sent: Instant, bytes: u32, arrival: i64) {
        let Some(cluster) = self.current.as_mut().filter(|cluster| cluster.probe.cluster == id) else {
            return;
        };
        cluster.received_packets += 1;
        cluster.received_bytes += u64::from(bytes);
        let began = cluster.first_sent.unwrap_or(sent);
        let first = *cluster.first_arrival.get_or_insert(arrival);
        let arrived = arrival.saturating_sub(first) as f64 / 1000.0;
        cluster.fit.add(sent.saturating_duration_since(began).as_secs_f64() * 1000.0, arrived);
    }

    /// A packet of this cluster was reported as lost.
    pub fn lost(&mut self, id: ClusterId, bytes: u32) {
        if let Some(cluster) = self.current.as_mut().filter(|cluster| cluster.probe.cluster == id) {
            cluster.lost_packets += 1;
            cluster.lost_bytes += u64::from(bytes);
        }
    }

    /// A packet of this cluster arrives after all ([`Self::received`] says when), that was reported as lost: it was overtaken.
    pub fn not_lost(&mut self, id: ClusterId, bytes: u32) {
        if let Some(cluster) = self.current.as_mut().filter(|cluster| cluster.probe.cluster == id) {
            cluster.lost_packets = cluster.lost_packets.saturating_sub(1);
            cluster.lost_bytes = cluster.lost_bytes.saturating_sub(bytes.into());
        }
    }

    /// What the probe that is out found, once it did; `inherent` is the share lost whatever the rate.
    pub fn finding(&mut self, now: Instant, estimate: u64, inherent: f64) -> Option<u64> {
        let cluster = self.current?;
        let is_late = now.saturating_duration_since(cluster.left()) >= ALL_REPORTED;
        match cluster.finding(inherent, is_late) {
            Finding::Unfinished => None,
            Finding::Nothing => {
                self.doubled = (self.doubled + 1).min(ON_DEMAND.len() - 1);
                self.failed(now);
                None
            }
            Finding::Rate(rate) => {
                self.current = None;
                if rate as f64 > estimate as f64 * WORTH {
                    self.doubled = 0;
                    self.pause = FIRST_PAUSE;
                    self.next_on_demand = Some(now + self.pause);
                    let full = rate as f64 <= cluster.probe.rate as f64 * FURTHER_FOUND;
                    self.further = (!full).then_some(rate);
                } else {
                    self.doubled = (self.doubled + 1).min(ON_DEMAND.len() - 1);
                    self.failed(now);
                }
                Some(rate)
            }
        }
    }

    fn begin(&mut self, now: Instant, rate: u64) -> Probe {
        self.next_id = self.next_id.wrapping_add(1);
        let length = LENGTH * (1 << self.doubled);
        let bytes = (rate as f64 / 8.0 * length.as_secs_f64()) as u32;
        let probe = Probe { cluster: ClusterId(self.next_id), rate, bytes, packets: PACKETS };
        self.current = Some(Cluster {
            probe,
            started: now,
            sent_packets: 0,
            sent_bytes: 0,
            first_sent: None,
            last_sent: None,
            received_packets: 0,
            received_bytes: 0,
            lost_packets: 0,
            lost_bytes: 0,
            first_arrival: None,
            fit: Fit::default(),
        });
        probe
    }

    fn take_lost(&mut self, now: Instant, situation: &Situation) -> Option<(u64, Instant)> {
        let (rate, since) = self.lost?;
        if now.saturating_duration_since(since) > DROP_FORGOTTEN || rate <= situation.estimate {
            self.lost = None;
            return None;
        }
        self.lost.take()
    }

    fn is_due(&mut self, now: Instant, last_decrease: Option<Instant>) -> bool {
        let due = *self.next_on_demand.get_or_insert(now + self.pause);
        let rested = last_decrease.map_or(due, |last| due.max(last + AFTER_DECREASE));
        self.next_on_demand = Some(rested);
        let is_rested = last_decrease.is_none_or(|last| now >= last + AFTER_DECREASE);
        now >= rested || is_rested && std::mem::take(&mut self.is_eager)
    }

    fn expire(&mut self, now: Instant) {
        let expired =
            self.current.is_some_and(|cluster| now.saturating_duration_since(cluster.left()) >= PATIENCE);
        if expired {
            self.failed(now);
        }
    }

    fn failed(&mut self, now: Instant) {
        self.current = None;
        self.further = None;
        self.next_on_demand = Some(now + self.pause);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }
}

impl Cluster {
    /// When the last of its packets so far left.
    fn left(&self) -> Instant {
        self.last_sent.map_or(self.started, |(at, _)| at)
    }

    fn is_sent(&self) -> bool {
        self.sent_packets >= self.probe.packets && self.sent_bytes >= self.probe.bytes.into()
    }

    /// `is_late`: what was not reported until now will not be.
    fn finding(&self, inherent: f64, is_late: bool) -> Finding {
        let probe = &self.probe;
        let is_reported = is_late || self.received_packets + self.lost_packets >= self.sent_packets;
        let enough = |share: f64, of: f64| share >= of * ARRIVED;
        if !self.is_sent()
            || !is_reported
            || !enough(self.received_packets.into(), probe.packets.into())
            || !enough(self.received_bytes as f64, probe.bytes.into())
        {
            return Finding::Unfinished;
        }
        let (Some(first_sent), Some((last_sent, last_bytes))) = (self.first_sent, self.last_sent) else {
            return Finding::Unfinished;
        };
        let sent_for = last_sent.saturating_duration_since(first_sent).as_secs_f64() * 1000.0;
        let Some((slope, error)) = self.fit.slope() else { return Finding::Nothing };
        if sent_for <= 0.0 || slope * COMPRESSED < 1.0 || slope * sent_for > MAX_INTERVAL {
            return Finding::Nothing;
        }
        // The last packet's sending takes no time within the interval.
        let sent = self.sent_bytes.saturating_sub(last_bytes.into()) as f64 * 8000.0 / sent_for;
        let arrived = self.received_bytes as f64 / (self.received_bytes + self.lost_bytes).max(1) as f64;
        let arrived = (arrived / (1.0 - inherent.clamp(0.0, 0.5))).min(1.0);
        // What is not known exactly is taken for slower.
        let received = sent / (slope + error) * arrived;
        let found = if received < sent * FULL { received * USABLE } else { sent.min(received) };
        Finding::Rate(found as u64)
    }
}

#[cfg(test)]
mod tests;
