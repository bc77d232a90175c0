//! When what waits for a subscriber may leave: sound at once, pictures in bursts of some milliseconds at a multiple of
//! the estimate, so that a key frame does not fall on the line as 60 packets at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::history::ClusterId;
use super::probe::Probe;

/// Pictures leave at this multiple of the estimate. Less delays key frames, more lets them fall on the line as a burst:
/// at libwebrtc's 2.5 each key frame of a larger layer made a queue that cost the layer just begun.
const PACE: f64 = 1.5;

/// Pictures leave no slower than this multiple of what comes in, whatever the estimate says: limiting what is sent is
/// the allocator's part, and a pacer that did it would be a standing queue.
const INCOMING: f64 = 1.5;

/// Length of a burst. Shorter wakes the worker more often and sends fewer packets at once, longer is rougher.
const BURST: Duration = Duration::from_millis(5);

/// What waits is sent fast enough to be gone after this. Packets wait by reference to a store that keeps them about a
/// second, and somebody waits for the picture.
const LONGEST_WAIT: Duration = Duration::from_millis(800);

/// Share of the estimate that retransmissions may take. Less leaves pictures broken on a line that loses much, more lets what
/// was lost when a queue overflowed fill it again.
const REPAIR: f64 = 1.0;

/// While the line is cut pictures are held; what has waited this long is useless and dropped.
const HELD: Duration = Duration::from_millis(500);

/// Packets that wait at most, retransmissions and pictures each; beyond, new ones are dropped. Two key frames of a
/// large meeting; bounds a subscriber's memory.
const MAX_WAITING: usize = 4096;

/// Rate assumed before the estimate is known, and the least.
const LEAST_RATE: u64 = 100_000;

/// Window over which what comes in is measured.
const INCOMING_WINDOW: Duration = Duration::from_millis(500);

/// What a packet is to the pacer, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Never waits: sound, and its retransmissions.
    Audio,
    /// A picture's packet that was asked for again.
    Retransmission,
    /// A picture's packet.
    Video,
}

#[derive(Clone, Copy, Debug)]
struct Waiting<T> {
    item: T,
    bytes: u32,
    since: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Active {
    probe: Probe,
    began: Option<Instant>,
    bytes: u64,
    packets: u32,
}

/// See the module's description.
#[derive(Debug)]
pub struct Pacer<T> {
    audio: VecDeque<Waiting<T>>,
    retransmissions: VecDeque<Waiting<T>>,
    video: VecDeque<Waiting<T>>,
    waiting_bytes: u64,
    estimate: u64,
    /// When the line will have taken what was sent so far.
    free_at: Option<Instant>,
    /// The same for what retransmissions may take of it.
    repair_free_at: Option<Instant>,
    /// Bytes that came in within the last window and the current one, and when that began.
    incoming: (u64, u64, Option<Instant>),
    probe: Option<Active>,
    is_cut: bool,
    dropped: u64,
}

impl<T: Copy> Pacer<T> {
    /// Nothing waits.
    pub fn new() -> Self {
        Self {
            audio: VecDeque::new(),
            retransmissions: VecDeque::new(),
            video: VecDeque::new(),
            waiting_bytes: 0,
            estimate: LEAST_RATE,
            free_at: None,
            repair_free_at: None,
            incoming: (0, 0, None),
            probe: None,
            is_cut: false,
            dropped: 0,
        }
    }

    /// The estimate, in bit/s.
    pub fn set_estimate(&mut self, estimate: u64) {
        self.estimate = estimate.max(LEAST_RATE);
    }

    /// Whether the line seems to be cut: pictures are held, then dropped. What is left of a probe would leave when the line is
    /// back, at a rate of before.
    pub fn set_cut(&mut self, is_cut: bool) {
        self.is_cut = is_cut;
        if is_cut {
            self.probe = None;
        }
    }

    /// Packets dropped since this was last asked because too many waited; not what became old while the line was cut.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Packets that wait.
    pub fn len(&self) -> usize {
        self.audio.len() + self.retransmissions.len() + self.video.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self) {
        self.audio.clear();
        self.retransmissions.clear();
        self.video.clear();
        self.waiting_bytes = 0;
        (self.free_at, self.repair_free_at) = (None, None);
        self.probe = None;
    }

    /// Keeps of what waits only what `keeps` says.
    pub fn retain(&mut self, mut keeps: impl FnMut(&T) -> bool) {
        let mut dropped = 0;
        self.video.retain(|waiting| {
            let is_kept = keeps(&waiting.item);
            dropped += if is_kept { 0 } else { u64::from(waiting.bytes) };
            is_kept
        });
        self.retransmissions.retain(|waiting| keeps(&waiting.item));
        self.audio.retain(|waiting| keeps(&waiting.item));
        self.waiting_bytes = self.waiting_bytes.saturating_sub(dropped);
    }

    /// A packet of about this many bytes wants to leave.
    pub fn push(&mut self, now: Instant, class: Class, bytes: u32, item: T) {
        let queue = match class {
            Class::Audio => &mut self.audio,
            Class::Retransmission => &mut self.retransmissions,
            Class::Video => &mut self.video,
        };
        if queue.len() >= MAX_WAITING {
            self.dropped += 1;
            return;
        }
        queue.push_back(Waiting { item, bytes, since: now });
        if class != Class::Video {
            return;
        }
        self.waiting_bytes += u64::from(bytes);
        let (_, current, began) = &mut self.incoming;
        *current = current.saturating_add(u64::from(bytes));
        began.get_or_insert(now);
    }

    /// Begins a probe: until it is complete packets leave at its rate, and padding where nothing waits.
    pub fn start_probe(&mut self, probe: Probe) {
        self.probe = Some(Active { probe, began: None, bytes: 0, packets: 0 });
    }

    /// The probe that packets which leave now belong to.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.probe.map(|active| active.probe.cluster)
    }

    /// The next packet that may leave now. What really left is told by [`Self::sent`] before this is called again.
    pub fn poll(&mut self, now: Instant) -> Option<T> {
        if let Some(waiting) = self.audio.pop_front() {
            return Some(waiting.item);
        }
        if self.is_cut {
            self.drop_old(now);
            return None;
        }
        if !self.may_send(now) {
            return None;
        }
        let is_late = |waiting: &Waiting<T>| now.saturating_duration_since(waiting.since) >= LONGEST_WAIT;
        while self.retransmissions.front().is_some_and(is_late) {
            self.retransmissions.pop_front(); // asked for again if it is still of use
        }
        if self.may_repair(now)
            && let Some(waiting) = self.retransmissions.pop_front()
        {
            let takes = duration(waiting.bytes, (self.estimate as f64 * REPAIR) as u64);
            self.repair_free_at = Some(self.repair_free_at.map_or(now, |free| free.max(now)) + takes);
            return Some(waiting.item);
        }
        let waiting = self.video.pop_front()?;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(u64::from(waiting.bytes));
        Some(waiting.item)
    }

    /// Bytes of padding that the probe needs now, in one packet; `None` while media can do it, or it is not time.
    pub fn padding(&self, now: Instant) -> Option<u32> {
        let repairs = !self.retransmissions.is_empty() && self.may_repair(now);
        let is_idle = self.audio.is_empty() && self.video.is_empty() && !repairs;
        let active = self.probe.filter(|_| !self.is_cut && is_idle && self.may_send(now))?;
        let missing = u64::from(active.probe.bytes).saturating_sub(active.bytes);
        let packets = active.probe.packets.saturating_sub(active.packets).max(1);
        u32::try_from(missing / u64::from(packets)).ok().map(|bytes| bytes.clamp(50, 1200))
    }

    /// A packet has left, with the bytes it really had.
    pub fn sent(&mut self, now: Instant, bytes: u32) {
        let rate = self.rate(now).max(1);
        let takes = duration(bytes, rate);
        let oldest = now.checked_sub(BURST).unwrap_or(now);
        self.free_at = Some(self.free_at.map_or(oldest, |free| free.max(oldest)) + takes);
        if let Some(active) = &mut self.probe {
            // Its intervals are measured from its own first packet on.
            if active.began.replace(now).is_none() {
                self.free_at = Some(now + takes);
            }
            active.bytes += u64::from(bytes);
            active.packets += 1;
            if active.bytes >= u64::from(active.probe.bytes) && active.packets >= active.probe.packets {
                self.probe = None;
            }
        }
    }

    /// Gives up the probe: nothing could be sent for it, or nobody waits for what it finds.
    pub fn abandon_probe(&mut self) {
        self.probe = None;
    }

    /// When [`Self::poll`] or [`Self::padding`] may have something that they have not now.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        if !self.audio.is_empty() {
            return Some(now);
        }
        if self.is_cut {
            let oldest = self.retransmissions.front().into_iter().chain(self.video.front());
            return oldest.map(|waiting| waiting.since + HELD).min();
        }
        if self.is_empty() && self.probe.is_none() {
            return None;
        }
        let free = self.free_at.unwrap_or(now);
        // A probe is timed by its packets; else a wait of a burst's length is one burst.
        match self.repair_free_at {
            _ if self.probe.is_some() => Some(free),
            Some(repair) if self.video.is_empty() => Some(free.max(repair).max(now + BURST)),
            _ => Some(free.max(now + BURST)),
        }
    }

    fn may_repair(&self, now: Instant) -> bool {
        self.repair_free_at.is_none_or(|free| free <= now)
    }

    fn may_send(&self, now: Instant) -> bool {
        self.free_at.is_none_or(|free| free <= now)
    }

    /// Bit/s at which packets leave now.
    fn rate(&mut self, now: Instant) -> u64 {
        let (before, current, began) = &mut self.incoming;
        let passed = began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        if passed >= INCOMING_WINDOW {
            *before = if passed < 2 * INCOMING_WINDOW { *current } else { 0 };
            (*current, *began) = (0, None);
        }
        let incoming = (*before).max(*current).saturating_mul(8) as f64 / INCOMING_WINDOW.as_secs_f64();
        let oldest = self.video.front();
        let waited = oldest.map(|waiting| now.saturating_duration_since(waiting.since)).unwrap_or_default();
        let left = LONGEST_WAIT.saturating_sub(waited).max(BURST);
        let drains = self.waiting_bytes.saturating_mul(8) as f64 / left.as_secs_f64();
        let paced = (self.estimate as f64 * PACE).max(incoming * INCOMING).max(drains);
        self.probe.map_or(paced, |active| active.probe.rate as f64) as u64
    }

    /// Drops what has waited too long while the line is cut.
    fn drop_old(&mut self, now: Instant) {
        let is_old = |waiting: &Waiting<T>| now.saturating_duration_since(waiting.since) >= HELD;
        while self.retransmissions.front().is_some_and(is_old) {
            self.retransmissions.pop_front();
        }
        while let Some(waiting) = self.video.pop_front_if(|waiting| is_old(waiting)) {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(u64::from(waiting.bytes));
        }
    }
}

/// How long a line of `rate` bit/s is busy with a packet.
fn duration(bytes: u32, rate: u64) -> Duration {
    Duration::from_nanos((u64::from(bytes) * 8).saturating_mul(1_000_000_000) / rate.max(1))
}

impl<T: Copy> Default for Pacer<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    /// Takes everything that may leave now.
    fn drain(pacer: &mut Pacer<u32>, now: Instant) -> Vec<u32> {
        let mut left = Vec::new();
        while let Some(item) = pacer.poll(now) {
            pacer.sent(now, 1200);
            left.push(item);
        }
        left
    }

    /// The same, and what padding a probe needs beside it.
    fn drain_and_pad(pacer: &mut Pacer<u32>, now: Instant) {
        drain(pacer, now);
        while let Some(bytes) = pacer.padding(now) {
            pacer.sent(now, bytes);
        }
    }

    #[test]
    fn a_key_frame_leaves_in_bursts_and_sound_passes_it() {
        let start = crate::test_start();
        let mut pacer = Pacer::new();
        pacer.set_estimate(2_000_000);
        for item in 0..60 {
            pacer.push(start, Class::Video, 1200, item);
        }
        pacer.push(start, Class::Audio, 100, 1000);
        pacer.push(start, Class::Retransmission, 1200, 2000);
        assert_eq!(drain(&mut pacer, start)[..2], [1000, 2000]);
        let mut now = start;
        let mut bursts = Vec::new();
        while let Some(next) = pacer.next_timeout(now) {
            now = next;
            bursts.push(drain(&mut pacer, now).len());
        }
        // 72 KB at 5 Mbit/s would take 115 ms, and what comes in counts one and a half times.
        assert!(now - start <= LONGEST_WAIT, "{:?}", now - start);
        assert!(bursts.len() > 10 && bursts.iter().all(|burst| *burst <= 5), "{bursts:?}");
    }

    #[test]
    fn an_estimate_that_is_far_too_low_makes_no_standing_queue() {
        let start = crate::test_start();
        let mut pacer = Pacer::new();
        pacer.set_estimate(30_000);
        let mut waited = Vec::new();
        for tick in 0..5000 {
            let now = start + MS * tick;
            pacer.push(now, Class::Video, 1200, tick); // 9.6 Mbit/s
            waited.extend(drain(&mut pacer, now).into_iter().map(|item| tick - item));
        }
        assert!(waited.iter().all(|wait| *wait < 850));
        assert!(waited[2000..].iter().all(|wait| *wait < 10), "{:?}", waited[2000..].iter().max());
    }

    #[test]
    fn while_the_line_is_cut_sound_goes_on_and_pictures_become_too_old() {
        let start = crate::test_start();
        let mut pacer = Pacer::new();
        pacer.set_cut(true);
        pacer.push(start, Class::Video, 1200, 1);
        pacer.push(start, Class::Audio, 100, 2);
        assert_eq!(drain(&mut pacer, start), [2]);
        let due = pacer.next_timeout(start).expect("the picture will be too old");
        assert!(drain(&mut pacer, due).is_empty());
        assert_eq!((pacer.len(), pacer.next_timeout(due)), (0, None));
    }

    #[test]
    fn a_line_that_comes_back_is_not_probed_at_the_rate_of_before() {
        let start = crate::test_start();
        let mut pacer = Pacer::new();
        pacer.start_probe(Probe { cluster: ClusterId(7), rate: 3_000_000, bytes: 6000, packets: 5 });
        drain_and_pad(&mut pacer, start);
        assert_eq!(pacer.cluster(), Some(ClusterId(7)), "its first packet has left");
        pacer.set_cut(true);
        pacer.set_cut(false);
        let later = start + 100 * MS;
        assert_eq!((pacer.cluster(), pacer.padding(later)), (None, None));
        pacer.push(later, Class::Video, 1200, 1);
        assert_eq!(drain(&mut pacer, later), [1], "pictures go on");
    }

    #[test]
    fn a_probe_goes_at_its_own_rate_with_media_first_and_padding_for_the_rest() {
        let start = crate::test_start();
        let mut pacer = Pacer::new();
        pacer.set_estimate(600_000);
        let probe = Probe { cluster: ClusterId(7), rate: 3_000_000, bytes: 6000, packets: 5 };
        pacer.push(start, Class::Video, 1200, 1);
        pacer.start_probe(probe);
        let mut now = start;
        let mut sent = Vec::new();
        while let Some(next) = pacer.next_timeout(now).filter(|_| pacer.cluster().is_some()) {
            now = next.max(now);
            let bytes = match pacer.poll(now) {
                Some(_) => 1200,
                None => pacer.padding(now).expect("it is time"),
            };
            sent.push((now - start, bytes));
            pacer.sent(now, bytes);
        }
        assert_eq!(sent.len(), 5, "{sent:?}");
        assert_eq!(now - start, Duration::from_micros(4 * 3200), "1200 bytes each at 3 Mbit/s");
    }

    proptest! {
        /// Everything that is pushed leaves or is dropped, memory is bounded, and somebody who waits for the timeout
        /// gets on: whether the line is cut, whether it is probed.
        #[test]
        fn nothing_stays_for_ever(
            packets in prop::collection::vec((0u8..3, 0u32..1500, 0u64..20, 0u64..1_000_000, 0u8..40), 1..500),
        ) {
            let mut pacer = Pacer::new();
            let mut now = crate::test_start();
            let mut is_cut = false;
            for (index, (class, bytes, millis, estimate, chance)) in packets.iter().copied().enumerate() {
                now += MS * millis as u32;
                pacer.set_estimate(estimate);
                match chance {
                    0 | 1 => is_cut = true,
                    2 | 3 => is_cut = false,
                    4 | 5 if !is_cut => pacer.start_probe(Probe {
                        cluster: ClusterId(index as u32),
                        rate: estimate.max(LEAST_RATE) * 2,
                        bytes: bytes * 10,
                        packets: u32::from(class) * 5,
                    }),
                    _ => {}
                }
                pacer.set_cut(is_cut);
                let class = [Class::Audio, Class::Retransmission, Class::Video][usize::from(class)];
                pacer.push(now, class, bytes, index as u32);
                drain_and_pad(&mut pacer, now);
            }
            let began = now;
            while let Some(next) = pacer.next_timeout(now) {
                prop_assert!(next > now);
                now = next;
                drain_and_pad(&mut pacer, now);
            }
            prop_assert!(pacer.is_empty());
            prop_assert!(pacer.cluster().is_none(), "a probe comes to its end");
            // 15 KB of a probe at 200 kbit/s come first.
            let longest = if is_cut { HELD } else { LONGEST_WAIT * 2 + Duration::from_secs(1) };
            prop_assert!(now - began <= longest, "{:?}", now - began);
        }
    }
}
