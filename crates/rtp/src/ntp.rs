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

/// A difference of compact NTP times (2⁻¹⁶ s) as a duration.
pub fn compact_to_duration(units: u32) -> Duration {
    Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16)
}

/// A duration in ticks of an RTP clock, modulo 2³².
pub fn duration_to_ticks(duration: Duration, clock_rate: u32) -> u32 {
    ((duration.as_nanos() * u128::from(clock_rate)) / 1_000_000_000) as u32
}

/// The RTP timestamp of the moment `at`, when a sender report says that `reference` is `reference_timestamp`
/// (RFC 3550 §6.4.1). `at` may lie before or after.
pub fn rtp_timestamp_at(at: NtpTime, reference: NtpTime, reference_timestamp: u32, clock_rate: u32) -> u32 {
    let ticks = (i128::from(at.signed_units_since(reference)) * i128::from(clock_rate)) >> 32;
    reference_timestamp.wrapping_add(ticks as u32)
}

/// The moment of the RTP timestamp `timestamp`, when a sender report says that `reference` is
/// `reference_timestamp`. The nearer direction round the 32-bit circle is taken; a clock rate of 0 gives
/// `reference`.
pub fn ntp_of_timestamp(
    timestamp: u32,
    reference: NtpTime,
    reference_timestamp: u32,
    clock_rate: u32,
) -> NtpTime {
    let ticks = i64::from(timestamp.wrapping_sub(reference_timestamp).cast_signed());
    let units = (ticks << 32).checked_div(i64::from(clock_rate)).unwrap_or(0);
    NtpTime(reference.0.wrapping_add_signed(units))
}
