//! How good each participant's connection is, as its tile shows it (`connectionQuality`).
//!
//! Loss, delay and jitter of what it sends and gets become a transmission rating as in the E-model (ITU-T G.107
//! §7.2, simplified), worsened by layers it should get and does not. The rating falls fast and rises slowly, so
//! that bars do not flap. docs/quality.md explains the constants.

use std::time::{Duration, Instant};

use protocol::livekit::{self, ConnectionQuality};
use rtp::rtcp::ReportBlock;

use super::Context;
use super::participant::Participant;
use crate::event::SessionEvent;
use crate::track::up_track::UpTrack;

/// How often a participant is judged: some reports must have come, and bars should follow within a breath.
const INTERVAL: Duration = Duration::from_secs(2);

/// Silence after which a connection is lost. Nothing may have come in that time, not even a consent check, of which
/// browsers send one every 3 to 6 s. livekit-client connects anew after 10 s more.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// The best rating: G.107's default 93.2 for undisturbed narrow-band speech, kept as the scale's end.
const BEST: f32 = 93.2;

/// Delay of encoding, jitter buffer and playing out, in ms, besides the network's.
const FIXED_DELAY: f32 = 50.0;

/// One-way delay in ms from which people notice that they interrupt each other (G.107's Id, simplified).
const NOTICED_DELAY: f32 = 177.3;

/// How well the codec stands loss, in percent (G.113's Bpl): Opus with concealment and in-band FEC.
const LOSS_ROBUSTNESS: f32 = 20.0;

/// What it costs to get none of the layers that are wanted.
const SHORTFALL_COST: f32 = 40.0;

/// From this rating on a connection is excellent: all users satisfied (G.107 annex B).
const EXCELLENT: f32 = 80.0;

/// From this rating on a connection is good; below, many users are dissatisfied.
const GOOD: f32 = 60.0;

/// How far above a threshold a rating must be to rise over it.
const HYSTERESIS: f32 = 3.0;

/// Weight of a worse and of a better rating than before.
const FALL: f32 = 0.7;
const RISE: f32 = 0.25;

/// Weight of a new round trip in the smoothed one (as TCP, RFC 6298 §2).
const RTT_WEIGHT: u32 = 8;

/// The longest round trip believed: reports can be wrong or lie.
const MAX_RTT: Duration = Duration::from_secs(5);

/// What was measured since the last judgement.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    /// Share of lost packets, 0 to 1: the worse of both directions.
    loss: f32,
    /// The round trip.
    rtt: Duration,
    /// Jitter of what it sends.
    jitter: Duration,
    /// Share of the wanted layers that it does not get, 0 to 1.
    shortfall: f32,
}

/// One participant's connection. See the module's description.
#[derive(Debug)]
pub(crate) struct Quality {
    judged: Option<Instant>,
    /// When anything authenticated came from it.
    heard: Instant,
    /// Whether something must come of it even while it sends nothing: consent checks.
    proves_life: bool,
    rtt: Option<Duration>,
    /// Sum of the fractions lost that it reported since it was judged last, and how many these were.
    downlink: (u32, u32),
    /// Packets that came and that were lost on the way, when it was judged last.
    uplink: (u64, i64),
    shortfall: f32,
    rating: f32,
    told: ConnectionQuality,
}

impl Quality {
    /// A connection that has just begun, and is excellent until more is known.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            judged: None,
            heard: now,
            proves_life: true,
            rtt: None,
            downlink: (0, 0),
            uplink: (0, 0),
            shortfall: 0.0,
            rating: BEST,
            told: ConnectionQuality::Excellent,
        }
    }

    /// Something authenticated came; returns how long nothing had.
    #[inline]
    pub(crate) fn heard(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(std::mem::replace(&mut self.heard, now))
    }

    /// The smoothed round trip to the participant, once measured.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// It reported about a stream that it gets. `report` is the newest sender report of that stream: the middle 32
    /// bits of its NTP time, and when it was sent.
    pub(crate) fn reported(&mut self, now: Instant, block: &ReportBlock, report: Option<(u32, Instant)>) {
        let (sum, count) = self.downlink;
        self.downlink = (sum.saturating_add(block.fraction_lost.into()), count.saturating_add(1));
        let Some((_, sent)) = report.filter(|(ntp, _)| *ntp == block.last_sr && block.last_sr != 0) else {
            return;
        };
        let held = Duration::from_micros((u64::from(block.delay_since_last_sr) * 1_000_000) >> 16);
        let Some(rtt) = now.saturating_duration_since(sent).checked_sub(held) else { return };
        let rtt = rtt.min(MAX_RTT);
        self.rtt = Some(self.rtt.map_or(rtt, |smoothed| (smoothed * (RTT_WEIGHT - 1) + rtt) / RTT_WEIGHT));
    }

    /// Share of the layers wanted by the participant that it does not get for want of bandwidth, 0 to 1.
    pub(crate) fn set_shortfall(&mut self, shortfall: f32) {
        self.shortfall = shortfall.clamp(0.0, 1.0);
    }

    fn is_due(&self, now: Instant) -> bool {
        self.judged.is_none_or(|judged| now >= judged + INTERVAL)
    }

    /// Judges; `uplink` are packets received and lost of all that it publishes now, in all, `jitter` the largest
    /// of them. True if others are to be told.
    fn judge(&mut self, now: Instant, uplink: (u64, i64), jitter: Duration) -> bool {
        let (received, lost) = uplink;
        let (received_before, lost_before) = std::mem::replace(&mut self.uplink, uplink);
        // Less than before: a track went. Then there is nothing to compare with.
        let received = received.saturating_sub(received_before);
        let lost = lost.saturating_sub(lost_before).clamp(0, i64::from(u32::MAX)) as u64;
        let up = if received == 0 { 0.0 } else { lost as f32 / (received.saturating_add(lost)) as f32 };
        let (sum, count) = std::mem::take(&mut self.downlink);
        let down = if count == 0 { 0.0 } else { sum as f32 / count as f32 / 256.0 };
        let sample = Sample {
            loss: up.max(down),
            rtt: self.rtt.unwrap_or_default(),
            jitter,
            shortfall: self.shortfall,
        };
        let is_first = self.judged.replace(now).is_none();
        let rating = sample.rating();
        let weight = if rating < self.rating { FALL } else { RISE };
        self.rating += (rating - self.rating) * weight;
        let quality = if self.proves_life && now.saturating_duration_since(self.heard) >= LOST_AFTER {
            ConnectionQuality::Lost
        } else {
            classify(self.rating, self.told)
        };
        std::mem::replace(&mut self.told, quality) != quality || is_first
    }

    fn info(&self, sid: String) -> livekit::ConnectionQualityInfo {
        let score = if self.told == ConnectionQuality::Lost { 0.0 } else { opinion(self.rating) };
        livekit::ConnectionQualityInfo { participant_sid: sid, quality: self.told.into(), score }
    }
}

impl Sample {
    /// The transmission rating R, 0 to [`BEST`].
    fn rating(&self) -> f32 {
        let ms = |duration: Duration| duration.as_secs_f32() * 1000.0;
        let delay = ms(self.rtt) / 2.0 + 2.0 * ms(self.jitter) + FIXED_DELAY;
        let delay_cost = 0.024 * delay + 0.11 * (delay - NOTICED_DELAY).max(0.0);
        let percent = self.loss * 100.0;
        let loss_cost = 95.0 * percent / (percent + LOSS_ROBUSTNESS);
        (BEST - delay_cost - loss_cost - SHORTFALL_COST * self.shortfall).clamp(0.0, BEST)
    }
}

/// The quality of a rating; `before` makes it harder to rise than to stay.
fn classify(rating: f32, before: ConnectionQuality) -> ConnectionQuality {
    let reaches =
        |threshold: f32, is_there: bool| rating >= threshold + if is_there { 0.0 } else { HYSTERESIS };
    let is_excellent = before == ConnectionQuality::Excellent;
    if reaches(EXCELLENT, is_excellent) {
        ConnectionQuality::Excellent
    } else if reaches(GOOD, is_excellent || before == ConnectionQuality::Good) {
        ConnectionQuality::Good
    } else {
        ConnectionQuality::Poor
    }
}

/// The mean opinion score, 1 to 5, of a rating (G.107 annex B).
fn opinion(rating: f32) -> f32 {
    1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6
}

/// Packets received and lost over all layers, and the largest jitter.
fn uplink<'a>(tracks: impl Iterator<Item = &'a UpTrack>) -> ((u64, i64), Duration) {
    let stats = tracks.flat_map(|track| &track.layers).filter_map(|layer| layer.stats.as_ref());
    stats.fold(((0, 0), Duration::ZERO), |((received, lost), jitter), stats| {
        let sums = (received + stats.packets(), lost.saturating_add(stats.missing()));
        (sums, jitter.max(stats.jitter()))
    })
}

impl super::Room {
    /// Judges whose turn it is and tells everybody what changed.
    pub(super) fn update_quality(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        let mut changed = Vec::new();
        for (key, participant) in &mut self.participants {
            // Whoever is not connected yet has no quality, and keyed transports prove no life in between.
            if !participant.quality.is_due(now) || !participant.links.sending().transport.is_connected() {
                continue;
            }
            participant.quality.proves_life = !participant.is_keyed;
            let tracks = participant.sources().filter_map(|track| self.tracks.get(track));
            let (uplink, jitter) = uplink(tracks);
            if participant.quality.judge(now, uplink, jitter) {
                changed.push(key);
            }
        }
        let (shown, hidden): (Vec<usize>, Vec<usize>) = changed
            .into_iter()
            .partition(|key| self.participants.get(*key).is_some_and(Participant::is_visible));
        let updates: Vec<_> = shown.into_iter().filter_map(|key| self.quality_of(key)).collect();
        if !updates.is_empty() {
            self.broadcast(context, None, SessionEvent::ConnectionQuality(updates));
        }
        for key in hidden {
            let own = self.quality_of(key).into_iter().collect();
            self.tell(context, key, SessionEvent::ConnectionQuality(own));
        }
    }

    /// Tells somebody who comes, or comes back, how good connections are: of changes only is everybody told.
    pub(super) fn tell_quality(&self, context: &mut Context<'_>, key: usize) {
        let judged = self.participants.iter().filter(|(other, participant)| {
            (*other == key || participant.is_visible()) && participant.quality.judged.is_some()
        });
        let updates: Vec<_> = judged.filter_map(|(other, _)| self.quality_of(other)).collect();
        if !updates.is_empty() {
            self.tell(context, key, SessionEvent::ConnectionQuality(updates));
        }
    }

    fn quality_of(&self, key: usize) -> Option<livekit::ConnectionQualityInfo> {
        let participant = self.participants.get(key)?;
        Some(participant.quality.info(participant.sid.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A connection that is judged every two seconds.
    struct Line {
        quality: Quality,
        now: Instant,
        received: u64,
        lost: i64,
    }

    impl Line {
        fn new() -> Self {
            let now = crate::test_start();
            let mut quality = Quality::new(now);
            assert!(quality.judge(now, (0, 0), Duration::ZERO), "the first is told");
            Self { quality, now, received: 0, lost: 0 }
        }

        /// 100 packets are sent, of which so many are lost.
        fn pass(&mut self, lost: u64) -> ConnectionQuality {
            self.now += INTERVAL;
            self.received += 100 - lost;
            self.lost += lost as i64;
            self.quality.heard(self.now);
            self.quality.judge(self.now, (self.received, self.lost), Duration::from_millis(5));
            self.quality.told
        }

        fn settle(&mut self, lost: u64) -> ConnectionQuality {
            (0..20).map(|_| self.pass(lost)).last().unwrap()
        }
    }

    fn block(fraction_lost: u8, last_sr: u32, held: Duration) -> ReportBlock {
        let delay_since_last_sr = rtp::ntp::duration_to_compact(held);
        ReportBlock {
            ssrc: 1,
            fraction_lost,
            cumulative_lost: 0,
            highest_sequence: 0,
            jitter: 0,
            last_sr,
            delay_since_last_sr,
        }
    }

    #[test]
    fn loss_makes_it_worse_step_by_step() {
        assert_eq!(Line::new().settle(0), ConnectionQuality::Excellent);
        assert_eq!(Line::new().settle(1), ConnectionQuality::Excellent);
        assert_eq!(Line::new().settle(5), ConnectionQuality::Good);
        assert_eq!(Line::new().settle(20), ConnectionQuality::Poor);
    }

    #[test]
    fn it_falls_at_once_and_rises_slowly() {
        let mut line = Line::new();
        line.settle(0);
        assert_ne!(line.pass(30), ConnectionQuality::Excellent);
        line.settle(30);
        let until_excellent = (1..).find(|_| line.pass(0) == ConnectionQuality::Excellent).unwrap();
        assert!((3..15).contains(&until_excellent), "{until_excellent}");
    }

    #[test]
    fn a_line_at_a_threshold_does_not_flap() {
        let mut line = Line::new();
        let mut changes = 0;
        let mut before = line.settle(3);
        for round in 0..300 {
            let now = line.pass(2 + round % 3);
            changes += u32::from(now != before);
            before = now;
        }
        assert!(changes <= 2, "{changes}");
    }

    #[test]
    fn who_publishes_nothing_or_is_silent_has_nothing_to_complain_of() {
        let mut line = Line::new();
        for _ in 0..30 {
            line.now += INTERVAL;
            line.quality.heard(line.now);
            assert!(!line.quality.judge(line.now, (0, 0), Duration::ZERO));
        }
        assert_eq!(line.quality.told, ConnectionQuality::Excellent);
    }

    #[test]
    fn it_is_lost_only_when_nothing_at_all_came_for_ten_seconds() {
        let mut line = Line::new();
        let start = line.now;
        let mut told = Vec::new();
        for second in 0..14 {
            let now = start + Duration::from_secs(second);
            if line.quality.judge(now, (0, 0), Duration::ZERO) {
                told.push((second, line.quality.told));
            }
        }
        assert_eq!(told, [(10, ConnectionQuality::Lost)]);
        line.now = start + Duration::from_secs(14);
        assert_eq!(line.pass(0), ConnectionQuality::Excellent);
    }

    #[test]
    fn the_round_trip_comes_from_the_answer_to_our_newest_sender_report() {
        let sent = crate::test_start();
        let mut quality = Quality::new(sent);
        let held = Duration::from_millis(700);
        let arrives = sent + held + Duration::from_millis(80);
        quality.reported(arrives, &block(0, 7, held), Some((8, sent)));
        assert_eq!(quality.rtt(), None, "an answer to another one");
        quality.reported(arrives, &block(0, 8, held), Some((8, sent)));
        let rtt = quality.rtt().unwrap();
        assert!(rtt.abs_diff(Duration::from_millis(80)) < Duration::from_millis(1), "{rtt:?}");
        quality.reported(arrives, &block(0, 8, Duration::from_secs(60)), Some((8, sent)));
        assert_eq!(quality.rtt(), Some(rtt), "held for longer than it was out");
    }

    #[test]
    fn long_delays_reported_loss_and_missing_layers_count_too() {
        let poor = |change: &dyn Fn(&mut Quality, Instant)| {
            let mut line = Line::new();
            for _ in 0..10 {
                change(&mut line.quality, line.now);
                line.pass(0);
            }
            line.quality.told
        };
        assert_eq!(poor(&|quality, _| quality.rtt = Some(Duration::from_secs(1))), ConnectionQuality::Poor);
        let reports = |quality: &mut Quality, now| quality.reported(now, &block(64, 0, Duration::ZERO), None);
        assert_eq!(poor(&reports), ConnectionQuality::Poor);
        assert_eq!(poor(&|quality, _| quality.set_shortfall(0.5)), ConnectionQuality::Good);
    }

    proptest! {
        /// Whatever is reported: ratings and scores stay in their ranges.
        #[test]
        fn lies_are_bounded(
            steps in prop::collection::vec((any::<u8>(), any::<u32>(), any::<u32>(), any::<i64>(), any::<u32>()), 1..50),
        ) {
            let mut now = crate::test_start();
            let mut quality = Quality::new(now);
            for (fraction_lost, last_sr, delay_since_last_sr, lost, received) in steps {
                let block = ReportBlock { delay_since_last_sr, ..block(fraction_lost, last_sr, Duration::ZERO) };
                quality.reported(now, &block, Some((last_sr, now)));
                now += INTERVAL;
                quality.judge(now, (received.into(), lost), Duration::from_millis(received.into()));
                prop_assert!((0.0..=BEST).contains(&quality.rating), "{}", quality.rating);
                prop_assert!((0.0..=5.0).contains(&quality.info(String::new()).score));
                prop_assert!(quality.rtt.is_none_or(|rtt| rtt <= MAX_RTT));
            }
        }
    }
}
