//! The clock by which a subscriber says when packets arrived. It has nothing to do with ours but its pace.

use std::time::{Duration, Instant};

use rtp::rtcp::REFERENCE_TICK;

/// What passed between two feedbacks by the one clock and by the other differs at most by this. The delay of packets and of
/// feedback varies by some seconds on the worst lines; by more only a clock jumps, or a peer that lies.
const JUMP: Duration = Duration::from_secs(5);

/// See the module's description.
#[derive(Debug, Default)]
pub struct ReceiverClock {
    /// Reference time of the last feedback, without wrapping, in its ticks.
    reference: Option<i64>,
    /// The newest arrival of the last feedback in microseconds, and when that came.
    newest: Option<(i64, Instant)>,
}

impl ReceiverClock {
    /// Microseconds since any zero of a reference time (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1: signed
    /// 24 bits, in units of 64 ms).
    pub fn micros(&mut self, reference_time: i32) -> i64 {
        let reference = match self.reference {
            None => i64::from(reference_time),
            // The difference on the circle of 24 bits, shifted up and down again for its sign.
            Some(last) => {
                let difference = (reference_time.wrapping_sub(last as i32) << 8) >> 8;
                last.saturating_add(i64::from(difference))
            }
        };
        self.reference = Some(reference);
        reference.saturating_mul(REFERENCE_TICK.as_micros() as i64)
    }

    /// Takes the newest arrival of a feedback that came now; true if the clock has jumped, so that arrivals before
    /// cannot be compared with this and later ones.
    pub fn has_jumped(&mut self, now: Instant, arrival: i64) -> bool {
        let Some((last, came)) = self.newest.replace((arrival, now)) else { return false };
        let passed = now.saturating_duration_since(came).as_micros() as i64;
        let off = arrival.saturating_sub(last).saturating_sub(passed);
        off.unsigned_abs() > JUMP.as_micros() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_reference_goes_on_over_its_end() {
        let mut clock = ReceiverClock::default();
        let last = clock.micros(0x7f_ffff);
        assert_eq!(clock.micros(-0x80_0000), last + 64_000);
        assert_eq!(clock.micros(0x7f_ffff), last, "feedback may be overtaken");
    }

    #[test]
    fn a_jump_is_told_once_and_a_long_pause_is_none() {
        let (start, mut clock) = (crate::test_start(), ReceiverClock::default());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let arrivals = [(0, 100), (1, 101), (60, 164), (61, 100), (62, 101), (63, 5_000), (64, 5_001)];
        let told = arrivals.map(|(came, arrival)| clock.has_jumped(at(came), arrival * 1_000_000));
        assert_eq!(told, [false, false, false, true, false, true, false]);
    }
}
