//! One direction of one client's network: loss alone and in bursts, delay, jitter, reordering, duplication, and
//! a bottleneck, its own or shared with others. Conditions may change over time. Seeded; asks no clock.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;

use crate::bottleneck::{Bottleneck, Shared};

/// Losses in a row (Gilbert–Elliott: a good state that loses nothing, a bad one that loses everything).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// Packets between two bursts, in the mean.
    pub every: f64,
    /// Packets of a burst, in the mean.
    pub length: f64,
}

impl Bursts {
    /// The share of packets that they lose.
    pub fn loss(&self) -> f64 {
        self.length / (self.every + self.length)
    }
}

/// What a link does to packets. The default is a good local network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Share of packets lost at random, 0 to 1.
    pub loss: f64,
    /// Losses in a row on top of that.
    pub bursts: Option<Bursts>,
    /// Delay of every packet.
    pub delay: Duration,
    /// Added to the delay, evenly distributed, without changing the order.
    pub jitter: Duration,
    /// Share of packets that are held back by up to three times the jitter, so that others overtake them.
    pub reorder: f64,
    /// Share of packets that arrive twice.
    pub duplicate: f64,
    /// Bits per second of the bottleneck, counted in UDP payload.
    pub rate: Option<u64>,
    /// How long a packet may wait at the bottleneck before there is no room for another.
    pub queue: Duration,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            loss: 0.0,
            bursts: None,
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(2),
            reorder: 0.0,
            duplicate: 0.0,
            rate: None,
            queue: Duration::from_millis(200),
        }
    }
}

impl Conditions {
    /// A good network that loses this share of packets.
    pub fn lossy(loss: f64) -> Self {
        Self { loss, ..Self::default() }
    }

    /// Bad in every way that retransmission can repair.
    pub fn rough(loss: f64) -> Self {
        Self {
            loss,
            delay: Duration::from_millis(30),
            jitter: Duration::from_millis(15),
            reorder: 0.03,
            duplicate: 0.01,
            ..Self::default()
        }
    }

    /// Whether what is lost can be repaired in time, so that nothing may be missing in the end.
    pub fn is_repairable(&self) -> bool {
        self.loss <= 0.1
            && self.bursts.is_none()
            && self.rate.is_none()
            && self.delay <= Duration::from_millis(60)
    }
}

/// Conditions from some time on.
pub type Step = (Duration, Conditions);

/// One direction of a client's network.
#[derive(Debug)]
pub struct Link {
    conditions: Conditions,
    /// Conditions that are still to come, in ascending order.
    coming: VecDeque<Step>,
    bottleneck: Shared,
    in_burst: bool,
    rng: Rng,
    last_delivery: Duration,
    /// Packets handed in.
    pub sent: u64,
    /// Packets that did not arrive.
    pub lost: u64,
}

impl Link {
    /// A link with randomness of its own.
    pub fn new(conditions: Conditions, rng: Rng) -> Self {
        Self {
            conditions,
            coming: VecDeque::new(),
            bottleneck: Bottleneck::new(conditions.rate, conditions.queue).shared(),
            in_burst: false,
            rng,
            last_delivery: Duration::ZERO,
            sent: 0,
            lost: 0,
        }
    }

    /// From now on conditions follow this plan, with a bottleneck of its own; the first step is at 0. The
    /// queue is that of the first step.
    pub fn follow(&mut self, plan: &[Step]) {
        let Some((_, first)) = plan.first() else { return };
        let rates = plan.iter().map(|(from, conditions)| (*from, conditions.rate)).collect();
        self.bottleneck = Bottleneck::changing(rates, first.queue).shared();
        self.coming = plan.iter().copied().collect();
    }

    /// Leads through this bottleneck from now on.
    pub fn lead_through(&mut self, bottleneck: &Shared) {
        self.bottleneck = Rc::clone(bottleneck);
    }

    /// The bottleneck that it leads through.
    pub fn bottleneck(&self) -> &Shared {
        &self.bottleneck
    }

    /// The conditions now.
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// A packet of `bytes` enters; returns when it arrives: never, once or twice.
    pub fn send(&mut self, now: Duration, bytes: usize) -> [Option<Duration>; 2] {
        self.sent += 1;
        while let Some((_, conditions)) = self.coming.pop_front_if(|(from, _)| *from <= now) {
            self.conditions = conditions;
        }
        let conditions = self.conditions;
        let leaves = self.bottleneck.borrow_mut().send(now, bytes);
        let Some(leaves) = leaves.filter(|_| !self.loses()) else {
            self.lost += 1;
            return [None, None];
        };
        let arrives = leaves + conditions.delay + self.up_to(conditions.jitter);
        let arrives = if self.chance(conditions.reorder) {
            arrives + self.up_to(conditions.jitter * 3)
        } else {
            self.last_delivery = arrives.max(self.last_delivery);
            self.last_delivery
        };
        let again = self.chance(conditions.duplicate).then(|| arrives + self.up_to(conditions.jitter));
        [Some(arrives), again]
    }

    fn loses(&mut self) -> bool {
        if let Some(bursts) = self.conditions.bursts {
            let change = 1.0 / if self.in_burst { bursts.length } else { bursts.every };
            self.in_burst ^= self.chance(change);
        } else {
            self.in_burst = false;
        }
        self.in_burst || self.chance(self.conditions.loss)
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.rng.u64(0..=longest.as_micros() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn arrivals(conditions: Conditions, every: Duration, count: u32) -> Vec<Duration> {
        let mut link = Link::new(conditions, Rng::with_seed(1));
        (0..count).flat_map(|index| link.send(every * index, 1000)).flatten().collect()
    }

    #[test]
    fn order_is_kept_unless_reordering_is_asked_for() {
        let jittery = Conditions { jitter: 20 * MS, ..Conditions::default() };
        let arrived = arrivals(jittery, MS, 1000);
        assert_eq!(arrived.len(), 1000);
        assert!(arrived.is_sorted());
        assert!(!arrivals(Conditions { reorder: 0.1, ..jittery }, MS, 1000).is_sorted());
    }

    #[test]
    fn the_asked_share_is_lost_and_doubled() {
        let arrived = arrivals(Conditions::lossy(0.1), MS, 10_000).len();
        assert!((8_800..9_200).contains(&arrived), "{arrived}");
        let doubled = arrivals(Conditions { duplicate: 0.1, ..Conditions::default() }, MS, 10_000).len();
        assert!((10_800..11_200).contains(&doubled), "{doubled}");
    }

    #[test]
    fn bursts_lose_their_share_in_a_row() {
        let bursts = Bursts { every: 190.0, length: 10.0 };
        assert!((bursts.loss() - 0.05).abs() < 1e-9);
        let conditions = Conditions { bursts: Some(bursts), ..Conditions::default() };
        let mut link = Link::new(conditions, Rng::with_seed(2));
        let lost: Vec<bool> = (0..100_000).map(|at| link.send(MS * at, 1000)[0].is_none()).collect();
        let total = lost.iter().filter(|lost| **lost).count();
        assert!((4_000..6_000).contains(&total), "{total}");
        let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        assert!((7.0..13.0).contains(&(total as f64 / runs as f64)), "{total} in {runs} bursts");
    }

    #[test]
    fn conditions_change_as_planned() {
        let mut link = Link::new(Conditions::default(), Rng::with_seed(3));
        let (good, narrow) = (
            Conditions { jitter: Duration::ZERO, ..Conditions::default() },
            Conditions { rate: Some(1_000_000), jitter: Duration::ZERO, ..Conditions::default() },
        );
        link.follow(&[
            (Duration::ZERO, good),
            (MS * 100, Conditions { loss: 1.0, ..good }),
            (MS * 200, narrow),
        ]);
        assert_eq!(link.send(MS * 99, 1000)[0], Some(MS * 104));
        assert_eq!(link.send(MS * 100, 1000)[0], None);
        assert_eq!(link.send(MS * 200, 1000)[0], Some(MS * 213));
    }

    #[test]
    fn a_bottleneck_delays_up_to_its_queue_and_then_drops() {
        // 1000 bytes every 4 ms are 2 Mbit/s into 1 Mbit/s.
        let narrow = Conditions { rate: Some(1_000_000), jitter: Duration::ZERO, ..Conditions::default() };
        let arrived = arrivals(narrow, 4 * MS, 1000);
        assert!((480..560).contains(&arrived.len()), "{}", arrived.len());
        let last = arrived.last().copied().unwrap_or_default();
        assert!(last < 4 * MS * 1000 + narrow.queue + 20 * MS, "{last:?}");
    }
}
