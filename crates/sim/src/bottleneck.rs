//! The narrowest place of a path: a rate that changes over time, a queue in front of it that drops what finds
//! no room at its end, and other people's traffic in the same queue. Several clients may share one, as those
//! of an office do. It measures what it did, so that nobody has to believe an estimate.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::competing::{Competing, Flow};

/// A rate from some time on, in bit/s of UDP payload; `None` for more than anybody sends, 0 for a line that is
/// down and holds what waits.
pub type RateStep = (Duration, Option<u64>);

/// What passed one bottleneck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Bytes that left, of the simulated clients.
    pub bytes: u64,
    /// Bytes that left, of competing flows.
    pub competing_bytes: u64,
    /// Packets of clients that found no room.
    pub dropped: u64,
}

/// See the module's description.
#[derive(Debug)]
pub struct Bottleneck {
    /// Ascending by time; the first is at 0.
    rates: Vec<RateStep>,
    queue: Duration,
    free_at: Duration,
    flows: Vec<Flow>,
    /// What passed so far.
    pub passage: Passage,
}

/// A bottleneck that several links may lead through.
pub type Shared = Rc<RefCell<Bottleneck>>;

impl Bottleneck {
    /// A bottleneck of constant rate in front of which packets wait up to `queue`.
    pub fn new(rate: Option<u64>, queue: Duration) -> Self {
        Self::changing(vec![(Duration::ZERO, rate)], queue)
    }

    /// One whose rate changes at these times, in ascending order.
    pub fn changing(rates: Vec<RateStep>, queue: Duration) -> Self {
        Self { rates, queue, free_at: Duration::ZERO, flows: Vec::new(), passage: Passage::default() }
    }

    /// Other traffic in the same queue.
    pub fn compete(&mut self, competing: Competing) {
        self.flows.push(Flow::new(competing));
    }

    /// To be shared by several links.
    pub fn shared(self) -> Shared {
        Rc::new(RefCell::new(self))
    }

    /// The rate at a time.
    pub fn rate(&self, at: Duration) -> Option<u64> {
        self.rates.iter().rev().find(|(from, _)| *from <= at).and_then(|(_, rate)| *rate)
    }

    /// From `now` on the rate is another, whatever was foreseen; what waits already leaves as it would have.
    pub fn set_rate(&mut self, now: Duration, rate: Option<u64>) {
        self.rates.retain(|(from, _)| *from < now);
        self.rates.push((now, rate));
    }

    /// How long a packet that enters now waits before it begins to leave.
    pub fn wait(&mut self, now: Duration) -> Duration {
        self.run_flows(now);
        self.free_at.saturating_sub(now)
    }

    /// A packet of `bytes` enters; returns when it has left, or that there was no room.
    pub fn send(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        self.run_flows(now);
        let leaves = self.enter(now, bytes);
        match leaves {
            Some(_) => self.passage.bytes += bytes as u64,
            None => self.passage.dropped += 1,
        }
        leaves
    }

    fn enter(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        let starts = self.free_at.max(now);
        if starts - now > self.queue {
            return None;
        }
        self.free_at = self.finish(starts, bytes)?;
        Some(self.free_at)
    }

    /// When a packet has left that begins to leave at `starts`; never, if the rate stays 0.
    fn finish(&self, starts: Duration, bytes: usize) -> Option<Duration> {
        let mut bits = bytes as f64 * 8.0;
        let mut at = starts;
        let current = self.rates.iter().rposition(|(from, _)| *from <= starts).unwrap_or(0);
        for (index, (_, rate)) in self.rates.iter().enumerate().skip(current) {
            let Some(rate) = *rate else { return Some(at) };
            let needed = bits / rate as f64; // endless for 0
            match self.rates.get(index + 1).map(|(next, _)| *next) {
                Some(next) if needed > (next - at).as_secs_f64() => {
                    bits -= (next - at).as_secs_f64() * rate as f64;
                    at = next;
                }
                _ => return Duration::try_from_secs_f64(needed).ok().map(|needed| at + needed),
            }
        }
        None
    }

    /// Competing packets that were to be sent up to now enter in their order.
    fn run_flows(&mut self, now: Duration) {
        let mut flows = std::mem::take(&mut self.flows);
        while let Some(flow) = flows.iter_mut().min_by_key(|flow| flow.due()).filter(|flow| flow.due() <= now)
        {
            flow.run(|at, bytes| {
                let leaves = self.enter(at, bytes);
                self.passage.competing_bytes += leaves.map_or(0, |_| bytes as u64);
                leaves
            });
        }
        self.flows = flows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_packet_that_meets_a_change_of_rate_leaves_with_both() {
        // 1000 bytes are 8000 bits: 4000 of them at 1 Mbit/s, 2000 at 500 kbit/s, nothing for 6 ms, the rest.
        let rates = vec![
            (Duration::ZERO, Some(1_000_000)),
            (4 * MS, Some(500_000)),
            (8 * MS, Some(0)),
            (14 * MS, Some(2_000_000)),
        ];
        let mut bottleneck = Bottleneck::changing(rates, SECOND);
        assert_eq!(bottleneck.send(Duration::ZERO, 1000), Some(15 * MS));
        assert_eq!(bottleneck.wait(10 * MS), 5 * MS);
    }

    #[test]
    fn a_line_that_is_down_holds_as_much_as_its_queue() {
        let mut bottleneck = Bottleneck::changing(
            vec![(Duration::ZERO, Some(1_000_000)), (SECOND, Some(0)), (6 * SECOND, Some(1_000_000))],
            200 * MS,
        );
        assert!(bottleneck.send(SECOND + MS, 1000).is_some_and(|leaves| leaves > 6 * SECOND));
        assert_eq!(bottleneck.send(SECOND + 2 * MS, 1000), None);
        assert_eq!(bottleneck.send(6 * SECOND + 8 * MS, 1000), Some(6 * SECOND + 16 * MS));
        assert_eq!(bottleneck.passage.dropped, 1);
        let mut down_for_ever = Bottleneck::new(Some(0), SECOND);
        assert_eq!(down_for_ever.send(Duration::ZERO, 1), None);
    }

    #[test]
    fn whoever_shares_it_waits_for_the_others() {
        let shared = Bottleneck::new(Some(1_000_000), SECOND).shared();
        let other = Rc::clone(&shared);
        assert_eq!(shared.borrow_mut().send(Duration::ZERO, 1000), Some(8 * MS));
        assert_eq!(other.borrow_mut().send(MS, 1000), Some(16 * MS));
    }

    /// The share of a line that one client with this constant rate gets through beside a competing flow, and
    /// the flow's.
    fn beside(competing: Competing, bytes_per_ms: usize) -> (f64, f64) {
        let mut bottleneck = Bottleneck::new(Some(2_000_000), 300 * MS);
        bottleneck.compete(competing);
        for step in 0..20_000 {
            let _ = bottleneck.send(MS * step, bytes_per_ms);
        }
        let share = |bytes: u64| bytes as f64 * 8.0 / (20.0 * 2_000_000.0);
        (share(bottleneck.passage.bytes), share(bottleneck.passage.competing_bytes))
    }

    #[test]
    fn a_constant_flow_takes_its_rate_and_a_greedy_one_what_is_left() {
        let (own, other) = beside(Competing::constant(500_000, Duration::ZERO, 20 * SECOND), 125);
        assert!((own - 0.5).abs() < 0.01 && (other - 0.25).abs() < 0.01, "{own} {other}");
        let (own, other) = beside(Competing::greedy(40 * MS, Duration::ZERO, 20 * SECOND), 125);
        assert!(own > 0.4 && own + other > 0.95, "{own} {other}");
        let (own, other) = beside(Competing::greedy(40 * MS, 10 * SECOND, 15 * SECOND), 0);
        assert!(own == 0.0 && (0.2..0.27).contains(&other), "a quarter of the time: {other}");
    }
}
