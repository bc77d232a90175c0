//! Sender reports are translated from the publisher's (RFC 3550 §6.4.1): the publisher says at which moment
//! of its clock an RTP timestamp was sampled, and that relation must survive the rewriting of timestamps, or
//! sound and picture come apart.

use std::time::Instant;

use rtp::ntp::{NtpTime, duration_to_ticks, rtp_timestamp_at};

/// A sender report as received from a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedReport {
    /// The publisher's wallclock.
    pub ntp: NtpTime,
    /// The RTP timestamp of the same moment, in the layer's units.
    pub rtp_timestamp: u32,
    /// When it arrived here.
    pub arrival: Instant,
}

/// Moves one publisher's wallclock to ours. One per participant, fixed by the first report: were it fixed
/// per track, the difference of two network delays would shift sound against picture.
#[derive(Clone, Copy, Debug, Default)]
pub struct NtpBase {
    /// Ours minus the publisher's, in NTP units (2⁻³² s), modulo 2⁶⁴.
    offset: Option<u64>,
}

impl NtpBase {
    /// Learns the offset from the first report.
    pub fn learn(&mut self, ours: NtpTime, publisher: NtpTime) {
        self.offset.get_or_insert(ours.0.wrapping_sub(publisher.0));
    }

    /// The publisher's time in ours; `None` before the first report.
    pub fn translate(&self, publisher: NtpTime) -> Option<NtpTime> {
        Some(NtpTime(publisher.0.wrapping_add(self.offset?)))
    }
}

/// The relation as of `now`: both clocks advance by the time since the report arrived.
pub fn extrapolate(report: &ReceivedReport, clock_rate: u32, now: Instant) -> (NtpTime, u32) {
    let elapsed = now.saturating_duration_since(report.arrival);
    (
        report.ntp.wrapping_add(elapsed),
        report.rtp_timestamp.wrapping_add(duration_to_ticks(elapsed, clock_rate)),
    )
}

/// The timestamp that `other`'s layer gives to the moment that `report`'s layer calls `timestamp`; both from
/// one publisher, hence one wallclock. Used when a DownTrack changes layers.
pub fn same_moment(report: &ReceivedReport, other: &ReceivedReport, timestamp: u32, clock_rate: u32) -> u32 {
    let equivalent = rtp_timestamp_at(report.ntp, other.ntp, other.rtp_timestamp, clock_rate);
    timestamp.wrapping_sub(report.rtp_timestamp).wrapping_add(equivalent)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(ntp_ms: u64, rtp_timestamp: u32) -> ReceivedReport {
        let ntp = NtpTime::from_duration(Duration::from_millis(ntp_ms));
        ReceivedReport { ntp, rtp_timestamp, arrival: crate::test_start() }
    }

    #[test]
    fn sound_and_picture_of_one_participant_keep_their_distance() {
        // Audio's report took 5 ms, video's 80 ms: the base comes from the first and holds for both.
        let mut base = NtpBase::default();
        let ours = NtpTime::from_duration(Duration::from_secs(1000));
        base.learn(ours, report(5_000, 0).ntp);
        base.learn(ours.wrapping_add(Duration::from_millis(75)), report(5_000, 0).ntp);
        let audio = base.translate(report(5_000, 0).ntp).expect("learned");
        let video = base.translate(report(5_040, 0).ntp).expect("learned");
        let apart = Duration::from_nanos(((u128::from(video.0 - audio.0) * 1_000_000_000) >> 32) as u64);
        assert!(apart.abs_diff(Duration::from_millis(40)) < Duration::from_micros(1), "{apart:?}");
    }

    #[test]
    fn a_report_is_carried_forward_on_both_clocks() {
        let (ntp, rtp) =
            extrapolate(&report(5_000, 90_000), 90_000, crate::test_start() + Duration::from_millis(500));
        assert_eq!(ntp, NtpTime::from_duration(Duration::from_millis(5_500)));
        assert_eq!(rtp, 135_000);
    }

    #[test]
    fn a_moment_has_one_name_in_each_layer() {
        // Low layer: tick 1000 at 5.0 s. High layer: tick 700000 at 5.2 s. 5.5 s is 46000 in the low layer.
        let low = report(5_000, 1_000);
        let high = report(5_200, 700_000);
        let there = same_moment(&low, &high, 46_000, 90_000);
        assert!(there.abs_diff(700_000 + 27_000) <= 1, "{there}");
        let back = same_moment(&high, &low, there, 90_000);
        assert!(back.abs_diff(46_000) <= 2, "{back}");
    }
}
