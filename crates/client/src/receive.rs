//! What arrived on a subscribed track, packet by packet. Packets are judged in the order of their RTP
//! sequence numbers, after a window in which late and repaired ones may still come.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::media::stamp::{Damage, Stamp};
use crate::media::{Codec, starts_key_frame};

/// Packets kept before they are judged. A repair that comes later counts as lost; at 300 packets a second this
/// is almost two seconds.
const WINDOW: usize = 512;

/// Layers of synthetic sources remembered per track.
const MAX_LAYERS: usize = 64;

/// RTP time and arrival time of neighbours may differ by this much before it counts as a jump.
const JUMP: Duration = Duration::from_secs(1);

/// One received packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// Sequence number with rollovers added.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) ssrc: u32,
    pub(crate) audio_level: Option<i8>,
    pub(crate) payload: &'a [u8],
    pub(crate) at: Instant,
    /// Wall clock in nanoseconds since the Unix epoch.
    pub(crate) wall: u64,
}

/// What the stamps of a synthetic source say, see [`Stamp`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StampReport {
    /// Packets with an intact stamp.
    pub received: u64,
    /// Packets with a stamp or pattern that was altered.
    pub damaged: u64,
    /// Packets missing between two received ones of the same run of a layer.
    pub lost: u64,
    /// Packets whose number was seen before, or is lower than one before it.
    pub repeated: u64,
    /// Changes to another layer.
    pub switches: u64,
    /// Changes to another layer that were not at the start of a key frame.
    pub switches_without_key_frame: u64,
    /// Frames that ended before their last packet.
    pub cut_frames: u64,
    /// Frames received in full.
    pub whole_frames: u64,
    /// The layer of the last packet.
    pub layer: Option<u8>,
    /// Different sources seen; more than one on a track means that tracks were mixed up.
    pub sources: u64,
    /// One-way delay by the wall clocks of sender and receiver.
    pub latency: Latency,
}

/// Delays in summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// Shortest.
    pub min: Duration,
    /// Half are shorter.
    pub median: Duration,
    /// 99 of 100 are shorter.
    pub p99: Duration,
    /// Longest.
    pub max: Duration,
}

/// What arrived on a track up to now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackReport {
    /// MIME type of the codec seen last.
    pub codec: Option<Codec>,
    /// Packets with media, repaired ones included, padding not.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after one with a higher number.
    pub out_of_order: u64,
    /// Packets with the marker bit: pictures, for video.
    pub markers: u64,
    /// Key frames begun.
    pub key_frames: u64,
    /// Times that the RTP time went back from one packet to the next.
    pub time_reversals: u64,
    /// Times that the RTP time moved by a second more or less than the clock did.
    pub time_jumps: u64,
    /// Synchronisation sources seen.
    pub ssrcs: u64,
    /// When the first packet came.
    pub first_packet: Option<Instant>,
    /// When the first key frame began.
    pub first_key_frame: Option<Instant>,
    /// When the last packet came.
    pub last_packet: Option<Instant>,
    /// Longest time between two packets.
    pub longest_gap: Duration,
    /// Loudness of the last packet that told it, in dBov.
    pub audio_level: Option<i8>,
    /// What the stamps say, if the source is synthetic.
    pub stamps: StampReport,
}

impl TrackReport {
    /// Media arrived, in order, once, whole, in continuous time.
    pub fn is_clean(&self) -> bool {
        self.packets > 0
            && self.lost == 0
            && self.duplicates == 0
            && self.time_reversals == 0
            && self.time_jumps == 0
            && self.stamps.damaged == 0
            && self.stamps.lost == 0
            && self.stamps.repeated == 0
            && self.stamps.switches_without_key_frame == 0
            && self.stamps.cut_frames == 0
            && self.stamps.sources <= 1
    }
}

impl TrackReport {
    /// As [`Self::is_clean`], and every packet carried a stamp: only then do the stamps prove anything.
    pub fn is_verified(&self) -> bool {
        self.is_clean() && self.stamps.received == self.packets
    }
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    timestamp: u32,
    stamp: Option<Stamp>,
    at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Judged {
    sequence: u64,
    timestamp: u32,
    at: Instant,
}

/// Collects arrivals of one track.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receiver {
    report: TrackReport,
    latency: Histogram,
    window: BTreeMap<u64, Waiting>,
    last: Option<Judged>,
    last_stamp: Option<Stamp>,
    /// RTP time of the last key frame.
    last_key_frame: Option<u32>,
    /// Highest stamp number judged, by source and layer.
    layers: HashMap<(u32, u8), u64>,
    ssrcs: Vec<u32>,
}

impl Receiver {
    /// Takes a packet in.
    pub(crate) fn take(&mut self, codec: Option<Codec>, packet: &Arrival<'_>) {
        let report = &mut self.report;
        report.codec = codec.or(report.codec);
        if !self.ssrcs.contains(&packet.ssrc) {
            // A new SSRC has its own sequence numbers: what waits is judged, and the next packet starts anew.
            self.flush();
            self.last = None;
            self.ssrcs.push(packet.ssrc);
            self.ssrcs.truncate(MAX_LAYERS);
        }
        let report = &mut self.report;
        report.ssrcs = self.ssrcs.len() as u64;
        if let Some(last) = report.last_packet {
            report.longest_gap = report.longest_gap.max(packet.at.saturating_duration_since(last));
        }
        report.last_packet = Some(packet.at);
        report.first_packet.get_or_insert(packet.at);
        report.audio_level = packet.audio_level.or(report.audio_level);

        let late = self.last.is_some_and(|last| packet.sequence <= last.sequence);
        if late || self.window.contains_key(&packet.sequence) {
            report.duplicates += 1;
            return;
        }
        if self.window.last_key_value().is_some_and(|(highest, _)| packet.sequence < *highest) {
            report.out_of_order += 1;
        }
        report.packets += 1;
        report.bytes += packet.payload.len() as u64;
        report.markers += u64::from(packet.marker);
        // Parameter sets and slices of one picture may each look like its start.
        if report.codec.is_some_and(|codec| starts_key_frame(codec, packet.payload))
            && self.last_key_frame.replace(packet.timestamp) != Some(packet.timestamp)
        {
            report.key_frames += 1;
            report.first_key_frame.get_or_insert(packet.at);
        }
        let stamp = match Stamp::read(packet.payload) {
            Some(Ok(stamp)) => {
                report.stamps.received += 1;
                self.latency.record(Duration::from_nanos(packet.wall.saturating_sub(stamp.sent_at)));
                Some(stamp)
            }
            Some(Err(Damage::Stamp | Damage::Filler)) => {
                report.stamps.damaged += 1;
                None
            }
            None => None,
        };
        self.window.insert(packet.sequence, Waiting { timestamp: packet.timestamp, stamp, at: packet.at });
        while self.window.len() > WINDOW {
            if let Some((sequence, waiting)) = self.window.pop_first() {
                self.judge(sequence, waiting);
            }
        }
    }

    /// The report as if nothing more were to come.
    pub(crate) fn report(&self) -> TrackReport {
        let mut whole = self.clone();
        whole.flush();
        whole.report.stamps.latency = Latency {
            min: whole.latency.min(),
            median: whole.latency.quantile(0.5),
            p99: whole.latency.quantile(0.99),
            max: whole.latency.max(),
        };
        whole.report
    }

    /// Packets counted so far, without judging anything.
    pub(crate) fn packets(&self) -> u64 {
        self.report.packets
    }

    /// Key frames begun so far.
    pub(crate) fn key_frames(&self) -> u64 {
        self.report.key_frames
    }

    /// The codec seen last.
    pub(crate) fn codec(&self) -> Option<Codec> {
        self.report.codec
    }

    fn flush(&mut self) {
        for (sequence, waiting) in std::mem::take(&mut self.window) {
            self.judge(sequence, waiting);
        }
    }

    fn judge(&mut self, sequence: u64, packet: Waiting) {
        if let Some(last) = self.last {
            self.report.lost += sequence.saturating_sub(last.sequence + 1);
            let moved = packet.timestamp.wrapping_sub(last.timestamp) as i32;
            if moved < 0 {
                self.report.time_reversals += 1;
            } else if let Some(codec) = self.report.codec {
                let media = Duration::from_secs_f64(f64::from(moved) / f64::from(codec.clock_rate()));
                let clock = packet.at.saturating_duration_since(last.at);
                if media.abs_diff(clock) > JUMP {
                    self.report.time_jumps += 1;
                }
            }
        }
        self.last = Some(Judged { sequence, timestamp: packet.timestamp, at: packet.at });
        if let Some(stamp) = packet.stamp {
            self.judge_stamp(stamp);
        }
    }

    fn judge_stamp(&mut self, stamp: Stamp) {
        let report = &mut self.report.stamps;
        report.layer = Some(stamp.layer);
        let key = (stamp.source, stamp.layer);
        let before = self.layers.get(&key).copied();
        if self.last_stamp.is_none_or(|last| last.source != stamp.source) {
            report.sources += 1;
        }
        if before.is_some_and(|before| stamp.sequence <= before) {
            report.repeated += 1;
            return;
        }
        let previous = self.last_stamp.replace(stamp);
        match previous {
            Some(last) if (last.source, last.layer) == key => {
                report.lost += stamp.sequence.saturating_sub(last.sequence + 1);
                if stamp.frame != last.frame && !last.ends_frame() {
                    report.cut_frames += 1;
                }
            }
            Some(last) => {
                report.switches += 1;
                report.switches_without_key_frame += u64::from(!stamp.starts_key_frame());
                report.cut_frames += u64::from(!last.ends_frame());
            }
            None => {}
        }
        let whole = stamp.ends_frame()
            && (stamp.index == 0
                || previous.is_some_and(|last| {
                    last.frame == stamp.frame && last.layer == stamp.layer && last.index + 1 == stamp.index
                }));
        report.whole_frames += u64::from(whole);
        if self.layers.len() < MAX_LAYERS || before.is_some() {
            self.layers.insert(key, stamp.sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{MediaSource as _, SyntheticVideo, VideoLayerSpec};

    struct Scene {
        receiver: Receiver,
        start: Instant,
        sequence: u64,
    }

    impl Scene {
        fn new() -> Self {
            Self { receiver: Receiver::default(), start: Instant::now(), sequence: 0 }
        }

        fn arrive(&mut self, sequence: u64, millis: u64, payload: &[u8]) {
            self.receiver.take(
                Some(Codec::Vp8),
                &Arrival {
                    sequence,
                    timestamp: 90_u32.wrapping_mul(millis as u32),
                    marker: false,
                    ssrc: 7,
                    audio_level: None,
                    payload,
                    at: self.start + Duration::from_millis(millis),
                    wall: 3_000_000,
                },
            );
        }
    }

    /// Packets of one layer of a synthetic source with the time of their frame in milliseconds.
    fn packets(layer: usize, frames: usize) -> Vec<(u64, Vec<u8>)> {
        let mut video = SyntheticVideo::vp8(VideoLayerSpec::simulcast());
        let mut packets = Vec::new();
        let mut seen = 0;
        while seen < frames {
            let frame = video.produce(1_000_000).unwrap();
            if frame.layer == layer {
                seen += 1;
                packets
                    .extend(frame.payloads.into_iter().map(|payload| (frame.media_time / 90, payload.bytes)));
            }
        }
        packets
    }

    #[test]
    fn an_undisturbed_stream_is_clean() {
        let mut scene = Scene::new();
        for (millis, payload) in packets(2, 300) {
            scene.sequence += 1;
            scene.arrive(scene.sequence, millis, &payload);
        }
        let report = scene.receiver.report();
        assert!(report.is_verified(), "{report:?}");
        assert_eq!((report.packets, report.stamps.received), (scene.sequence, scene.sequence));
        assert_eq!((report.stamps.whole_frames, report.key_frames), (300, 1));
        let latency = report.stamps.latency;
        assert_eq!((latency.min, latency.max), (Duration::from_millis(2), Duration::from_millis(2)));
    }

    #[test]
    fn loss_order_and_duplicates_are_told_apart() {
        let packets = packets(2, 10);
        let mut scene = Scene::new();
        for at in [0_u64, 1, 3, 2, 2, 5, 6] {
            scene.arrive(at + 100, 0, &packets[at as usize].1);
        }
        let report = scene.receiver.report();
        assert_eq!((report.packets, report.out_of_order, report.duplicates, report.lost), (6, 1, 1, 1));
        assert_eq!((report.stamps.lost, report.stamps.repeated), (1, 0));
        assert!(!report.is_clean());
    }

    #[test]
    fn a_repair_within_the_window_is_no_loss_and_after_it_is_one() {
        let packets = packets(2, 300);
        assert!(packets.len() > WINDOW + 100);
        for (late_by, lost) in [(100, 0), (WINDOW + 50, 1)] {
            let mut scene = Scene::new();
            for (at, (_, payload)) in packets.iter().enumerate() {
                if at != 10 {
                    scene.arrive(at as u64, 0, payload);
                }
                if at == 10 + late_by {
                    scene.arrive(10, 0, &packets[10].1);
                }
            }
            assert_eq!(scene.receiver.report().lost, lost, "late by {late_by}");
        }
    }

    #[test]
    fn loss_hidden_by_rewritten_sequence_numbers_shows_in_the_stamps() {
        let mut scene = Scene::new();
        for (at, (millis, payload)) in packets(2, 20).into_iter().enumerate() {
            if at != 30 {
                scene.sequence += 1;
                scene.arrive(scene.sequence, millis, &payload);
            }
        }
        let report = scene.receiver.report();
        assert_eq!((report.lost, report.stamps.lost), (0, 1));
        assert!(!report.is_clean());
    }

    #[test]
    fn a_switch_of_layers_is_clean_only_at_a_key_frame_and_between_frames() {
        let (low, high) = (packets(0, 20), packets(2, 20));
        // Whole frames of the low layer, then the high one from its key frame on. The packets come from two
        // sources of equal layout; give the second the first one's number.
        let mut stamps = Vec::new();
        for (_, payload) in low.iter().chain(&high) {
            stamps.push(Stamp::read(payload).unwrap().unwrap());
        }
        let source = stamps[0].source;
        let play = |from_low: usize, from_high: usize| {
            let mut receiver = Receiver::default();
            let chosen = stamps[..low.len()][..from_low].iter().chain(&stamps[low.len()..][from_high..]);
            for (sequence, stamp) in chosen.enumerate() {
                let mut payload = Vec::new();
                Stamp { source, ..*stamp }.append(&mut payload);
                let now = Instant::now();
                receiver.take(
                    Some(Codec::Vp8),
                    &Arrival {
                        sequence: sequence as u64,
                        timestamp: 0,
                        marker: false,
                        ssrc: 1,
                        audio_level: None,
                        payload: &payload,
                        at: now,
                        wall: 0,
                    },
                );
            }
            receiver.report().stamps
        };
        let clean = play(low.len(), 0);
        assert_eq!((clean.switches, clean.switches_without_key_frame, clean.cut_frames), (1, 0, 0));
        assert_eq!(clean.layer, Some(2));
        let unkeyed = play(low.len(), stamps[low.len()].count.into());
        assert_eq!((unkeyed.switches, unkeyed.switches_without_key_frame), (1, 1));
        // The first low frame has several packets: stop after its first.
        assert!(stamps[0].count > 1);
        let cut = play(1, 0);
        assert_eq!((cut.switches_without_key_frame, cut.cut_frames), (0, 1));
    }

    #[test]
    fn time_that_runs_back_or_jumps_is_counted() {
        let mut scene = Scene::new();
        let payload = vec![0; 10];
        scene.arrive(1, 1000, &payload);
        scene.arrive(2, 1033, &payload);
        scene.arrive(3, 1000, &payload);
        let at = scene.start + Duration::from_millis(1040);
        scene.receiver.take(
            None,
            &Arrival {
                sequence: 4,
                timestamp: 90 * 9000,
                marker: true,
                ssrc: 7,
                audio_level: None,
                payload: &payload,
                at,
                wall: 0,
            },
        );
        let report = scene.receiver.report();
        assert_eq!((report.time_reversals, report.time_jumps), (1, 1));
    }
}
