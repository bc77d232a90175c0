//! Probes: short bursts at a higher rate than the estimate, which find a free line within a round trip where growing
//! would take many seconds. When they are sent, and what their arrival says.

use std::time::{Duration, Instant};

use super::history::ClusterId;

/// The first two probes, as multiples of the rate at the start. Larger finds fast lines sooner, and costs slow ones a
/// longer queue at the start: with 600 kbit/s the two put 10 KB into a line of 300 kbit/s, a quarter of a second.
const FIRST: [f64; 2] = [3.0, 6.0];

/// A further probe goes to this multiple of what the last one found, while it found this share of what it was sent at.
const FURTHER: f64 = 2.0;
const FURTHER_FOUND: f64 = 0.7;

/// A probe on demand goes to this multiple of the estimate, by its length: each that finds nothing is followed by one twice
/// as long. Jitter hides what a short one says, and a long one at twice the rate would be a queue.
const ON_DEMAND: [f64; 4] = [2.0, 1.8, 1.6, 1.4];

/// Nor is more probed for than this multiple of what could be used: the rest is for variations of the media.
const BEYOND_DEMAND: f64 = 1.3;

/// A demand this much above the estimate is worth a probe.
const WORTH: f64 = 1.1;

/// Pause between probes on demand at first, and at most: it doubles with each that finds nothing. A shorter maximum
/// would notice a faster line earlier; 15 ms at twice the rate every 5 s are 0.6 % of a line.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// No probe on demand so soon after a decrease: what caused it must be over. (That the queue has drained is seen.)
const AFTER_DECREASE: Duration = Duration::from_millis(500);

/// A decrease below this share of the rate before is checked by a probe, at this share of it, within this time: what
/// caused it may have been short.
const LARGE_DROP: f64 = 0.66;
const AFTER_DROP: f64 = 0.85;
const DROP_FORGOTTEN: Duration = Duration::from_secs(5);

/// Length of a probe at first, and its fewest packets. Longer measures more exactly and makes a longer queue where it fails.
const LENGTH: Duration = Duration::from_millis(15);
pub(crate) const PACKETS: u32 = 5;

/// A probe whose packets were not all reported after this counts as failed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Share of a probe's packets and bytes that must have arrived for a result. Half of that of libwebrtc's allowance for
/// loss: on a line with 20 % random loss nothing would ever be found otherwise.
const ARRIVED: f64 = 0.6;

/// Intervals of a probe longer than this, in microseconds, are no burst.
const MAX_INTERVAL: i64 = 1_000_000;

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
    first_arrival: Option<(i64, u32)>,
    last_arrival: i64,
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
            found as f64 * FURTHER
        } else if let Some((rate, _)) = self.take_lost(now, situation) {
            rate as f64
        } else if self.is_due(now, situation.last_decrease) {
            situation.estimate as f64 * ON_DEMAND.get(self.doubled).copied().unwrap_or(1.0)
        } else {
            return None;
        };
        let most = (situation.demand as f64 * BEYOND_DEMAND).min(situation.max as f64);
        Some(self.begin(now, rate.min(most).max(situation.estimate as f64) as u64))
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
            Some(cluster) => Some(cluster.started + PATIENCE),
            None => self.next_on_demand,
        }
    }

    /// The estimate fell from `before` to `after`.
    pub fn decreased(&mut self, now: Instant, before: u64, after: u64) {
        self.further = None;
        self.first_sent = FIRST.len();
        if (after as f64) < before as f64 * LARGE_DROP && self.lost.is_none() {
            self.lost = Some(((before as f64 * AFTER_DROP) as u64, now));
        }
        self.next_on_demand = Some(self.next_on_demand.map_or(now, |due| due.max(now)));
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

    /// A packet of this cluster arrived, at `arrival` microseconds of the receiver's clock.
    pub fn received(&mut self, id: ClusterId, bytes: u32, arrival: i64) {
        let Some(cluster) = self.current.as_mut().filter(|cluster| cluster.probe.cluster == id) else {
            return;
        };
        cluster.received_packets += 1;
        cluster.received_bytes += u64::from(bytes);
        if cluster.first_arrival.is_none_or(|(first, _)| arrival < first) {
            cluster.first_arrival = Some((arrival, bytes));
        }
        cluster.last_arrival =
            if cluster.received_packets == 1 { arrival } else { cluster.last_arrival.max(arrival) };
    }

    /// What the probe that is out found, once it did; `inherent` is the share lost whatever the rate.
    pub fn finding(&mut self, now: Instant, estimate: u64, inherent: f64) -> Option<u64> {
        let cluster = self.current?;
        match cluster.finding(inherent) {
            Finding::Unfinished => None,
            Finding::Nothing => {
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
            first_arrival: None,
            last_arrival: 0,
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
            self.current.is_some_and(|cluster| now.saturating_duration_since(cluster.started) >= PATIENCE);
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
    fn finding(&self, inherent: f64) -> Finding {
        let probe = &self.probe;
        let enough = |share: f64, of: f64| share >= of * ARRIVED;
        if !enough(self.received_packets.into(), probe.packets.into())
            || !enough(self.received_bytes as f64, probe.bytes.into())
            || self.sent_packets < probe.packets
            || self.sent_bytes < probe.bytes.into()
        {
            return Finding::Unfinished;
        }
        let (Some(first_sent), Some((last_sent, last_bytes)), Some((first_arrival, first_bytes))) =
            (self.first_sent, self.last_sent, self.first_arrival)
        else {
            return Finding::Unfinished;
        };
        let sent_for = last_sent.saturating_duration_since(first_sent).as_micros() as i64;
        let arrived_for = self.last_arrival.saturating_sub(first_arrival);
        if !(1..=MAX_INTERVAL).contains(&sent_for) || !(1..=MAX_INTERVAL).contains(&arrived_for) {
            return Finding::Nothing;
        }
        // The last packet's sending and the first one's arrival take no time within the intervals.
        let rate = |bytes: u64, micros: i64| bytes as f64 * 8_000_000.0 / micros as f64;
        let sent = rate(self.sent_bytes.saturating_sub(last_bytes.into()), sent_for);
        let received = rate(self.received_bytes.saturating_sub(first_bytes.into()), arrived_for)
            / (1.0 - inherent.clamp(0.0, 0.5));
        if received > sent * COMPRESSED || sent <= 0.0 {
            return Finding::Nothing;
        }
        let found = if received < sent * FULL { received * USABLE } else { sent.min(received) };
        Finding::Rate(found as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn situation(estimate: u64, demand: u64) -> Situation {
        Situation { estimate, demand, max: 30_000_000, is_calm: true, last_decrease: None }
    }

    /// Sends a probe over a line of `capacity` bit/s and returns what it found.
    fn send(prober: &mut Prober, now: Instant, probe: Probe, estimate: u64, capacity: u64) -> Option<u64> {
        let bytes = (probe.bytes / probe.packets + 1).max(300);
        let gap = Duration::from_micros(u64::from(bytes) * 8_000_000 / probe.rate);
        let service = i64::from(bytes) * 8_000_000 / capacity as i64;
        let mut free = 0;
        for index in 0..probe.packets {
            let at = gap * index;
            prober.sent(now + at, probe.cluster, bytes);
            free = free.max(at.as_micros() as i64) + service;
            prober.received(probe.cluster, bytes, free);
        }
        prober.finding(now + 50 * MS, estimate, 0.0)
    }

    #[test]
    fn the_first_probes_climb_until_the_line_is_full() {
        let mut prober = Prober::new(600_000);
        let mut now = crate::test_start();
        let mut estimate = 600_000;
        let mut rates = Vec::new();
        while let Some(probe) = prober.poll(now, &situation(estimate, 20_000_000)) {
            rates.push(probe.rate);
            estimate = send(&mut prober, now, probe, estimate, 10_000_000).expect("found").max(estimate);
            now += 100 * MS;
        }
        assert_eq!(rates[..2], [1_800_000, 3_600_000]);
        assert!(rates[2] > 6_500_000, "{rates:?}");
        assert!((8_000_000..=10_000_000).contains(&estimate), "{estimate}");
    }

    #[test]
    fn nothing_is_probed_for_that_nobody_could_use() {
        let mut prober = Prober::new(600_000);
        let now = crate::test_start();
        assert_eq!(prober.poll(now, &situation(600_000, 600_000)), None);
        let probe = prober.poll(now, &situation(600_000, 1_000_000)).expect("wanted");
        assert_eq!(probe.rate, 1_300_000);
        assert_eq!(prober.poll(now, &situation(600_000, 1_000_000)), None, "one at a time");
    }

    #[test]
    fn probes_on_demand_become_rare_while_they_find_nothing() {
        let mut prober = Prober::new(600_000);
        let start = crate::test_start();
        let mut times = Vec::new();
        for tick in 0..3000 {
            let now = start + 10 * MS * tick;
            if let Some(probe) = prober.poll(now, &situation(1_000_000, 5_000_000)) {
                times.push(now);
                send(&mut prober, now, probe, 1_000_000, 1_000_000);
            }
        }
        let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert_eq!(gaps.last(), Some(&5), "{gaps:?}");
        assert!(times.len() < 14, "{gaps:?}");
    }

    #[test]
    fn a_large_drop_is_checked_once() {
        let mut prober = Prober::new(600_000);
        let now = crate::test_start();
        prober.decreased(now, 4_000_000, 1_000_000);
        let calm = situation(1_000_000, 5_000_000);
        assert_eq!(prober.poll(now, &Situation { is_calm: false, ..calm }), None, "not into a queue");
        let probe = prober.poll(now + 500 * MS, &calm).expect("the check");
        assert_eq!(probe.rate, 3_400_000);
    }

    #[test]
    fn a_burst_that_was_held_back_says_nothing() {
        let mut prober = Prober::new(600_000);
        let now = crate::test_start();
        let probe = prober.poll(now, &situation(600_000, 5_000_000)).expect("the first");
        for index in 0..probe.packets {
            prober.sent(now + 3 * MS * index, probe.cluster, 1000);
            prober.received(probe.cluster, 1000, i64::from(index) * 100);
        }
        assert_eq!(prober.finding(now, 600_000, 0.0), None);
    }
}
