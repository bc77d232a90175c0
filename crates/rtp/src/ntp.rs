//! NTP timestamps as RTCP uses them (RFC 3550 §4): seconds in the upper 32 bits, fractions of 2⁻³² s in the
//! lower. All arithmetic is modulo 2³² seconds.

use std::time::Duration;

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970), RFC 5905 §6.
const UNIX_EPOCH_SECONDS: u64 = 2_208_988_800;

/// A 64-bit NTP timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// From the time since the NTP epoch, or since any epoch that the caller keeps to.
    pub fn from_duration(since_epoch: Duration) -> Self {
        Self((since_epoch.as_secs() << 32) | ((u64::from(since_epoch.subsec_nanos()) << 32) / 1_000_000_000))
    }

    /// From the time since the Unix epoch.
    pub fn from_unix(since_unix_epoch: Duration) -> Self {
        Self::from_duration(since_unix_epoch.saturating_add(Duration::from_secs(UNIX_EPOCH_SECONDS)))
    }

    /// The time since the epoch, rounded to the nearest nanosecond.
    pub fn to_duration(self) -> Duration {
        let nanos = ((self.0 & 0xFFFF_FFFF) * 1_000_000_000 + (1 << 31)) >> 32;
        Duration::from_secs(self.0 >> 32) + Duration::from_nanos(nanos)
    }

    /// The middle 32 bits, in units of 2⁻¹⁶ s: what reports carry as "last SR" (RFC 3550 §6.4.1).
    pub fn middle_32(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// This moment and `duration` later.
    #[must_use]
    pub fn wrapping_add(self, duration: Duration) -> Self {
        Self(self.0.wrapping_add(Self::from_duration(duration).0))
    }

    /// From `earlier` to this moment in units of 2⁻³² s; negative if `earlier` is later.
    pub fn signed_units_since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

/// A duration in the units of "delay since last SR", 2⁻¹⁶ s (RFC 3550 §6.4.1); saturates at 18 hours.
pub fn duration_to_compact(duration: Duration) -> u32 {
    let units = (duration.as_nanos() << 16) / 1_000_000_000;
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// A duration in ticks of an RTP clock, modulo 2³².
pub fn duration_to_ticks(duration: Duration, clock_rate: u32) -> u32 {
    // Seconds and their rest apart: asked for with every packet, and a division of 128 bits is a call.
    let seconds = duration.as_secs().wrapping_mul(u64::from(clock_rate));
    let rest = u64::from(duration.subsec_nanos()) * u64::from(clock_rate) / 1_000_000_000;
    seconds.wrapping_add(rest) as u32
}

/// The RTP timestamp of the moment `at`, when a sender report says that `reference` is `reference_timestamp`
/// (RFC 3550 §6.4.1). `at` may lie before or after.
pub fn rtp_timestamp_at(at: NtpTime, reference: NtpTime, reference_timestamp: u32, clock_rate: u32) -> u32 {
    let ticks = (i128::from(at.signed_units_since(reference)) * i128::from(clock_rate)) >> 32;
    reference_timestamp.wrapping_add(ticks as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_survive_the_way_through_ntp() {
        for nanos in [0, 1, 999_999_999, 1_000_000_000, 1_234_567_891_011] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(NtpTime::from_duration(duration).to_duration(), duration);
        }
        assert_eq!(NtpTime::from_unix(Duration::ZERO).0 >> 32, 2_208_988_800);
        assert_eq!(NtpTime::from_duration(Duration::from_millis(1500)).0, 0x1_8000_0000);
    }

    #[test]
    fn the_middle_bits_as_in_rfc_3550_figure_2() {
        // The RFC's example: SR at b44d:b705:2000:0000 gives LSR b705:2000 (46853.125 s); received by A at
        // b710:8000 (46864.500 s), with DLSR 0005:4000 (5.250 s): a round trip of 6.125 s.
        let lsr = NtpTime(0xB44D_B705_2000_0000).middle_32();
        assert_eq!(lsr, 0xB705_2000);
        let dlsr = duration_to_compact(Duration::from_millis(5250));
        assert_eq!(dlsr, 0x0005_4000);
        let round_trip = 0xB710_8000_u32.wrapping_sub(lsr).wrapping_sub(dlsr);
        assert_eq!(round_trip, duration_to_compact(Duration::from_millis(6125)));
    }

    #[test]
    fn a_timestamp_is_found_before_and_after_the_report() {
        let reference = NtpTime::from_duration(Duration::from_secs(5000));
        let half = Duration::from_millis(500);
        let later = rtp_timestamp_at(reference.wrapping_add(half), reference, u32::MAX - 99, 90_000);
        assert_eq!(later, 44_900, "across the wrap");
        let earlier = NtpTime::from_duration(Duration::from_millis(4_999_500));
        assert_eq!(rtp_timestamp_at(earlier, reference, 100, 48_000), 100_u32.wrapping_sub(24_000));
    }

    #[test]
    fn ntp_wraps_in_2036_without_a_jump() {
        let before = NtpTime(u64::MAX - 5);
        let after = before.wrapping_add(Duration::from_secs(1));
        assert_eq!(after.signed_units_since(before), 1 << 32);
        assert_eq!(rtp_timestamp_at(after, before, 0, 90_000), 90_000);
    }

    proptest! {
        /// The short divisions give what one of 128 bits does.
        #[test]
        fn ticks_are_exact(seconds in 0..u64::MAX, nanos in 0..1_000_000_000_u32, clock_rate: u32) {
            let duration = Duration::new(seconds, nanos);
            let exact = duration.as_nanos().wrapping_mul(u128::from(clock_rate)) / 1_000_000_000;
            prop_assume!(duration.as_nanos().checked_mul(u128::from(clock_rate)).is_some());
            prop_assert_eq!(duration_to_ticks(duration, clock_rate), exact as u32);
        }
    }

    #[test]
    fn a_delay_beyond_the_field_saturates() {
        assert_eq!(duration_to_compact(Duration::from_secs(1 << 20)), u32::MAX);
        assert_eq!(duration_to_ticks(Duration::from_millis(20), 48_000), 960);
    }
}
