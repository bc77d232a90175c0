//! What was sent on one transport, by transport-wide sequence number
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2): feedback names packets by nothing else.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtp::sequence::distance;

/// How long a packet waits for its feedback. Longer takes 40 bytes more per packet; shorter would forget packets that
/// stand in a deep queue of the access network (buffers of 1 to 2 s have been measured in practice).
const KEEP: Duration = Duration::from_secs(3);

/// Packets remembered at most: 3 s of 30 Mbit/s in full packets. Bounds a transport to 330 KiB; what is beyond it
/// counts as too old when its feedback comes.
const MAX_PACKETS: usize = 8192;

/// Which probe a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterId(pub u32);

/// A packet as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentPacket {
    /// When it left.
    pub at: Instant,
    /// Bytes of its UDP payload.
    pub bytes: u32,
    /// The probe it belongs to.
    pub cluster: Option<ClusterId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    InFlight,
    Received,
    Lost,
}

/// What feedback said about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It arrived, and nothing was known of it before.
    Received(SentPacket),
    /// It arrived though an earlier feedback said that it had not: it was overtaken.
    ReceivedLate(SentPacket),
    /// It has not arrived.
    Lost(SentPacket),
    /// Nothing new: reported before, or forgotten.
    Known,
    /// No such packet was ever sent.
    NeverSent,
}

/// See the module's description.
#[derive(Debug)]
pub struct History {
    /// Extended number of the oldest packet in `packets`.
    first: u64,
    packets: VecDeque<(SentPacket, Fate)>,
}

impl History {
    /// Nothing sent yet; numbers begin at 1.
    pub fn new() -> Self {
        // One circle up, so that a number of the past never falls below 0.
        Self { first: (1 << 16) + 1, packets: VecDeque::new() }
    }

    /// The number that the next packet gets.
    pub fn next_sequence(&self) -> u16 {
        self.end() as u16
    }

    /// Packets remembered.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Remembers the packet that was sent under [`Self::next_sequence`].
    pub fn push(&mut self, packet: SentPacket) {
        while let Some((oldest, fate)) = self.packets.front() {
            let is_old = packet.at.saturating_duration_since(oldest.at) > KEEP;
            if !is_old && *fate != Fate::Received && self.packets.len() < MAX_PACKETS {
                break;
            }
            self.packets.pop_front();
            self.first += 1;
        }
        self.packets.push_back((packet, Fate::InFlight));
    }

    /// Feedback on the packet with this number.
    pub fn report(&mut self, sequence: u16, received: bool) -> Reported {
        let newest = self.end() - 1;
        let ahead = distance(newest as u16, sequence);
        if ahead > 0 {
            return Reported::NeverSent;
        }
        let number = newest.saturating_add_signed(i64::from(ahead));
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some((packet, fate)) = index.and_then(|index| self.packets.get_mut(index)) else {
            return Reported::Known;
        };
        let before = *fate;
        match (before, received) {
            (Fate::InFlight, true) => *fate = Fate::Received,
            (Fate::InFlight, false) => *fate = Fate::Lost,
            (Fate::Lost, true) => {
                *fate = Fate::Received;
                return Reported::ReceivedLate(*packet);
            }
            _ => return Reported::Known,
        }
        if received { Reported::Received(*packet) } else { Reported::Lost(*packet) }
    }

    fn end(&self) -> u64 {
        self.first + self.packets.len() as u64
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(at: Instant) -> SentPacket {
        SentPacket { at, bytes: 1000, cluster: None }
    }

    #[test]
    fn feedback_tells_each_packet_once_and_a_late_one_twice() {
        let mut history = History::new();
        let now = crate::test_start();
        let first = history.next_sequence();
        history.push(packet(now));
        history.push(packet(now));
        assert_eq!(history.report(first, true), Reported::Received(packet(now)));
        assert_eq!(history.report(first, true), Reported::Known);
        assert_eq!(history.report(first, false), Reported::Known, "what arrived cannot be lost after");
        assert_eq!(history.report(first + 1, false), Reported::Lost(packet(now)));
        assert_eq!(history.report(first + 1, true), Reported::ReceivedLate(packet(now)));
        assert_eq!(history.report(first + 2, true), Reported::NeverSent);
    }

    #[test]
    fn what_nobody_reports_is_forgotten() {
        let mut history = History::new();
        let now = crate::test_start();
        for _ in 0..10 {
            history.push(packet(now));
        }
        history.push(packet(now + KEEP * 2));
        assert_eq!(history.len(), 1);
        assert_eq!(history.report(1, true), Reported::Known);
    }

    proptest! {
        /// Whatever is sent and reported, memory is bounded, and each packet has one fate, or arrives late.
        #[test]
        fn each_packet_is_told_of_once(steps in prop::collection::vec((0u8..4, any::<u16>(), 0u64..50), 1..2000)) {
            let mut history = History::new();
            let mut now = crate::test_start();
            for (what, number, millis) in steps {
                now += Duration::from_millis(millis);
                match what {
                    0 | 1 => history.push(packet(now)),
                    what => {
                        let sequence = history.next_sequence().wrapping_sub(number % 64);
                        let told = history.report(sequence, what == 2);
                        let again = history.report(sequence, what == 2);
                        let expected =
                            if told == Reported::NeverSent { Reported::NeverSent } else { Reported::Known };
                        prop_assert_eq!(again, expected);
                    }
                }
                prop_assert!(history.len() <= MAX_PACKETS);
            }
        }
    }
}
