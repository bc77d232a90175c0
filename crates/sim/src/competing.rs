//! Traffic of others in a bottleneck's queue: a flow of constant rate, or a greedy one that behaves as a
//! download over TCP does (RFC 5681: slow start, congestion avoidance, half the window at a loss).

use std::collections::VecDeque;
use std::time::Duration;

/// Bytes of a competing packet: full Ethernet frames, as downloads send them.
const PACKET: usize = 1460;
/// Packets of a greedy flow's first round trip (RFC 6928).
const INITIAL_WINDOW: f64 = 10.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Constant { rate: u64 },
    Greedy { round_trip: Duration },
}

/// A competing flow: what it is, and from when until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Competing {
    kind: Kind,
    from: Duration,
    until: Duration,
}

impl Competing {
    /// A flow of constant rate in bit/s.
    pub fn constant(rate: u64, from: Duration, until: Duration) -> Self {
        Self { kind: Kind::Constant { rate: rate.max(1) }, from, until }
    }

    /// A greedy flow with this round trip, to which the wait in the queue is added.
    pub fn greedy(round_trip: Duration, from: Duration, until: Duration) -> Self {
        Self { kind: Kind::Greedy { round_trip }, from, until }
    }
}

/// A competing flow at work.
#[derive(Debug)]
pub(crate) struct Flow {
    competing: Competing,
    /// When a constant flow sends next, or a greedy one begins.
    next: Duration,
    window: f64,
    threshold: f64,
    /// When the sender learns of each packet under way what became of it, in order.
    pending: VecDeque<(Duration, bool)>,
    /// Losses up to then belong to the loss that was reacted to.
    recovered_at: Duration,
}

impl Flow {
    pub(crate) fn new(competing: Competing) -> Self {
        Self {
            competing,
            next: competing.from,
            window: INITIAL_WINDOW,
            threshold: f64::INFINITY,
            pending: VecDeque::new(),
            recovered_at: Duration::ZERO,
        }
    }

    /// When it does something next; [`Duration::MAX`] for never.
    pub(crate) fn due(&self) -> Duration {
        self.pending.front().map_or(self.next, |(at, _)| *at)
    }

    /// Does what is due. `enter` hands a packet of so many bytes over at a time and tells when it leaves.
    pub(crate) fn run(&mut self, mut enter: impl FnMut(Duration, usize) -> Option<Duration>) {
        let now = self.due();
        match self.competing.kind {
            Kind::Constant { rate } => {
                if now >= self.competing.until {
                    self.next = Duration::MAX;
                    return;
                }
                enter(now, PACKET);
                self.next = now + Duration::from_nanos(PACKET as u64 * 8 * 1_000_000_000 / rate);
            }
            Kind::Greedy { round_trip } => {
                match self.pending.pop_front() {
                    Some((_, arrived)) => self.learn(now, arrived, round_trip),
                    None => self.next = Duration::MAX,
                }
                while now < self.competing.until && (self.pending.len() as f64) < self.window {
                    let leaves = enter(now, PACKET);
                    let last = self.pending.back().map_or(now, |(at, _)| *at);
                    // That a packet was lost shows when the next one would have been confirmed.
                    let known = leaves.map_or(now, |leaves| leaves) + round_trip;
                    self.pending.push_back((known.max(last), leaves.is_some()));
                }
            }
        }
    }

    fn learn(&mut self, now: Duration, arrived: bool, round_trip: Duration) {
        if arrived {
            self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
        } else if now >= self.recovered_at {
            self.threshold = (self.window / 2.0).max(2.0);
            self.window = self.threshold;
            let under_way = self.pending.back().map_or(now, |(at, _)| *at);
            self.recovered_at = under_way.max(now + round_trip);
        }
    }
}
