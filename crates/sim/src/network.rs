//! One direction of one client's network: loss, delay, jitter, reordering, duplication, and a bottleneck
//! with a bounded queue. Seeded; asks no clock.

use std::time::Duration;

use fastrand::Rng;

/// What a link does to packets. The default is a good local network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Share of packets lost at random, 0 to 1.
    pub loss: f64,
    /// Delay of every packet.
    pub delay: Duration,
    /// Added to the delay, evenly distributed, without changing the order.
    pub jitter: Duration,
    /// Share of packets that are held back by up to three times the jitter, so that others overtake them.
    pub reorder: f64,
    /// Share of packets that arrive twice.
    pub duplicate: f64,
    /// Bits per second of the bottleneck.
    pub rate: Option<u64>,
    /// How long a packet may wait at the bottleneck before there is no room for another.
    pub queue: Duration,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            loss: 0.0,
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
        self.loss <= 0.1 && self.rate.is_none() && self.delay <= Duration::from_millis(60)
    }
}

/// One direction of a client's network.
#[derive(Debug)]
pub struct Link {
    conditions: Conditions,
    rng: Rng,
    free_at: Duration,
    last_delivery: Duration,
    /// Packets handed in.
    pub sent: u64,
    /// Packets that did not arrive.
    pub lost: u64,
}

impl Link {
    /// A link with randomness of its own.
    pub fn new(conditions: Conditions, rng: Rng) -> Self {
        Self { conditions, rng, free_at: Duration::ZERO, last_delivery: Duration::ZERO, sent: 0, lost: 0 }
    }

    /// The conditions now.
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// Changes the conditions from now on.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// A packet of `bytes` enters; returns when it arrives: never, once or twice.
    pub fn send(&mut self, now: Duration, bytes: usize) -> [Option<Duration>; 2] {
        self.sent += 1;
        let conditions = self.conditions;
        let mut leaves = now;
        if let Some(rate) = conditions.rate {
            let starts = self.free_at.max(now);
            if starts - now > conditions.queue {
                self.lost += 1;
                return [None, None];
            }
            leaves = starts + Duration::from_nanos(bytes as u64 * 8 * 1_000_000_000 / rate.max(1));
            self.free_at = leaves;
        }
        if self.chance(conditions.loss) {
            self.lost += 1;
            return [None, None];
        }
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
    fn a_bottleneck_delays_up_to_its_queue_and_then_drops() {
        // 1000 bytes every 4 ms are 2 Mbit/s into 1 Mbit/s.
        let narrow = Conditions { rate: Some(1_000_000), jitter: Duration::ZERO, ..Conditions::default() };
        let arrived = arrivals(narrow, 4 * MS, 1000);
        assert!((480..560).contains(&arrived.len()), "{}", arrived.len());
        let last = arrived.last().copied().unwrap_or_default();
        assert!(last < 4 * MS * 1000 + narrow.queue + 20 * MS, "{last:?}");
    }
}
