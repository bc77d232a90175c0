//! What a client tells about what arrives, beside what it asks for: transport-wide feedback as browsers send
//! it, and receiver reports with losses and what the round trip is computed from. And what arrived, counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rtp::twcc::ArrivalRecorder;

use crate::reception::Reception;
use crate::wire::Block;

/// Bytes that arrived, of datagrams as the network carried them, and packets of sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// Pictures, sent for the first time.
    pub video: u64,
    /// Sound.
    pub audio: u64,
    /// Retransmissions.
    pub repeated: u64,
    /// Packets of nothing but padding.
    pub padding: u64,
}

impl Meter {
    /// Everything.
    pub fn total(&self) -> u64 {
        self.video + self.audio + self.repeated + self.padding
    }
}

/// See the module's description.
pub struct Feedback {
    base: Instant,
    recorder: ArrivalRecorder,
    /// Source → the middle of the newest sender report's time, and when that came.
    sender_reports: BTreeMap<u32, (u32, Duration)>,
    /// The newest transport-wide number that arrived.
    newest: Option<u16>,
    /// What arrived so far.
    pub meter: Meter,
}

impl Default for Feedback {
    fn default() -> Self {
        Self {
            base: Instant::now(), // any moment: only differences count
            recorder: ArrivalRecorder::new(),
            sender_reports: BTreeMap::new(),
            newest: None,
            meter: Meter::default(),
        }
    }
}

impl Feedback {
    /// A packet with this transport-wide number arrived.
    pub fn arrived(&mut self, now: Duration, number: u16) {
        self.recorder.record(number, self.base + now);
        let is_newer = |newest: u16| number.wrapping_sub(newest).cast_signed() > 0;
        if self.newest.is_none_or(is_newer) {
            self.newest = Some(number);
        }
    }

    /// The newest transport-wide number that arrived.
    pub fn newest(&self) -> Option<u16> {
        self.newest
    }

    /// A sender report came, with this wallclock in units of 2⁻³² s.
    pub fn sender_report(&mut self, now: Duration, ssrc: u32, ntp: u64) {
        self.sender_reports.insert(ssrc, ((ntp >> 16) as u32, now));
    }

    /// Transport-wide feedback, if it is due: RTCP packets, each for a datagram of its own.
    pub fn transport_feedback(&mut self, now: Duration, sender: u32, media: u32) -> Vec<Vec<u8>> {
        let now = self.base + now;
        let mut packets = Vec::new();
        while self.recorder.next_deadline().is_some_and(|due| due <= now) {
            let mut packet = Vec::new();
            if !self.recorder.write_feedback(now, sender, media, &mut packet) {
                break;
            }
            packets.push(packet);
        }
        packets
    }

    /// The report blocks of now (RFC 3550 §6.4.1).
    pub fn blocks(&mut self, now: Duration, receptions: &mut BTreeMap<u32, Reception>) -> Vec<Block> {
        let mut blocks = Vec::new();
        for (ssrc, reception) in receptions {
            let Some(highest) = reception.highest() else { continue };
            let (lost, share) = reception.losses();
            let report = self.sender_reports.get(ssrc);
            blocks.push(Block {
                ssrc: *ssrc,
                fraction_lost: share,
                lost: lost.min(0x7f_ffff) as u32,
                highest: highest as u32,
                last_report: report.map_or(0, |(middle, _)| *middle),
                delay: report.map_or(0, |(_, at)| ((now - *at).as_secs_f64() * 65_536.0) as u32),
            });
        }
        blocks
    }
}
