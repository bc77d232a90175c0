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
/// second (screens' five), and somebody waits for the picture.
const LONGEST_WAIT: Duration = Duration::from_millis(800);

/// Screens leave as the line takes what was sent before, at the estimate, but for this much of it at once: a slide begins at
/// once, and what is scrolled for seconds waits here rather than in front of sound and faces.
const SCREEN_CREDIT: Duration = Duration::from_millis(50);

/// A screen's packets wait no longer than this: a slide that takes 100 KB comes in that time over 300 kbit/s, beside faces.
/// They are stored for five seconds. With 2.5 s such lines had a queue of 400 ms at every other slide.
const SCREEN_WAIT: Duration = Duration::from_millis(4500);

/// What would wait for longer is spread over the end of that. Over all of it, lines of 300 kbit/s had standing queues.
const SCREEN_HURRY: Duration = Duration::from_millis(700);

/// A screen of which more waits than the line takes in this time is behind. Somebody who watches it sees what is scrolled
/// that much later; less cuts off what a new slide costs.
const SCREEN_BEHIND: Duration = Duration::from_millis(600);

/// With so little left to wait it goes on with a key frame, which is here about when the line is free. Sooner, both together
/// take longer than [`SCREEN_WAIT`] on narrow lines.
const CAUGHT_UP: Duration = Duration::from_millis(200);

/// Share of the estimate that retransmissions may take. Less leaves pictures broken on a line that loses much, more lets what
/// was lost when a queue overflowed fill it again.
const REPAIR: f64 = 1.0;

/// While the line is cut pictures are held; what has waited this long is useless and dropped.
const HELD: Duration = Duration::from_millis(500);

/// Packets of each kind that wait at most; beyond, new ones are dropped. Two key frames of a
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
    /// A screen's packet: what changes on a screen takes the line for seconds, and neither sound nor faces wait for it.
    Screen,
    /// The same, of a key frame: large, and not to be done without.
    ScreenKey,
}

#[derive(Clone, Copy, Debug)]
struct Waiting<T> {
    item: T,
    bytes: u32,
    since: Instant,
    is_key: bool,
}

impl<T> Waiting<T> {
    fn key_bytes(&self) -> u64 {
        if self.is_key { self.bytes.into() } else { 0 }
    }
}

/// Packets that wait for one reason, the oldest first.
#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    /// Of all of them, and of those that are of key frames.
    bytes: u64,
    key_bytes: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, key_bytes: 0 }
    }
}

impl<T> Queue<T> {
    fn push(&mut self, waiting: Waiting<T>) {
        self.bytes += u64::from(waiting.bytes);
        self.key_bytes += waiting.key_bytes();
        self.waiting.push_back(waiting);
    }

    fn pop(&mut self) -> Option<T> {
        let waiting = self.waiting.pop_front()?;
        self.bytes -= u64::from(waiting.bytes);
        self.key_bytes -= waiting.key_bytes();
        Some(waiting.item)
    }

    /// Since when the oldest waits.
    fn oldest(&self) -> Option<Instant> {
        self.waiting.front().map(|waiting| waiting.since)
    }

    /// Drops what has waited for as long as this.
    fn drop_older(&mut self, now: Instant, age: Duration) {
        while self.oldest().is_some_and(|since| now.saturating_duration_since(since) >= age) {
            self.pop();
        }
    }

    fn retain(&mut self, mut keeps: impl FnMut(&T) -> bool) {
        self.waiting.retain(|waiting| keeps(&waiting.item));
        self.bytes = self.waiting.iter().map(|waiting| u64::from(waiting.bytes)).sum();
        self.key_bytes = self.waiting.iter().map(Waiting::key_bytes).sum();
    }
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
    audio: Queue<T>,
    retransmissions: Queue<T>,
    video: Queue<T>,
    screens: Queue<T>,
    estimate: u64,
    /// When the line will have taken what was sent so far.
    free_at: Option<Instant>,
    /// The same at no more than the estimate.
    caught_up_at: Option<Instant>,
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
            audio: Queue::default(),
            retransmissions: Queue::default(),
            video: Queue::default(),
            screens: Queue::default(),
            estimate: LEAST_RATE,
            free_at: None,
            caught_up_at: None,
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

    /// Whether something of a screen waits that came no later than this.
    pub fn holds_screen(&self, came: Instant) -> bool {
        self.screens.oldest().is_some_and(|since| since <= came)
    }

    /// Whether more of screens waits behind and before their key frames than the line takes in reasonable time.
    pub fn is_behind(&self) -> bool {
        duration(self.screens.bytes - self.screens.key_bytes, self.estimate) > SCREEN_BEHIND
    }

    /// Whether so little of screens waits that they may go on with a key frame.
    pub fn has_caught_up(&self) -> bool {
        duration(self.screens.bytes, self.estimate) <= CAUGHT_UP
    }

    /// Packets that wait.
    pub fn len(&self) -> usize {
        let queues = [&self.audio, &self.retransmissions, &self.video, &self.screens];
        queues.into_iter().map(|queue| queue.waiting.len()).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self) {
        self.retain(|_| false);
        (self.free_at, self.caught_up_at, self.repair_free_at) = (None, None, None);
        self.probe = None;
    }

    /// Keeps of what waits only what `keeps` says.
    pub fn retain(&mut self, mut keeps: impl FnMut(&T) -> bool) {
        for queue in [&mut self.audio, &mut self.retransmissions, &mut self.video, &mut self.screens] {
            queue.retain(&mut keeps);
        }
    }

    /// A packet of about this many bytes wants to leave.
    pub fn push(&mut self, now: Instant, class: Class, bytes: u32, item: T) {
        let queue = match class {
            Class::Audio => &mut self.audio,
            Class::Retransmission => &mut self.retransmissions,
            Class::Video => &mut self.video,
            Class::Screen | Class::ScreenKey => &mut self.screens,
        };
        if queue.waiting.len() >= MAX_WAITING {
            self.dropped += 1;
            return;
        }
        queue.push(Waiting { item, bytes, since: now, is_key: class == Class::ScreenKey });
        if matches!(class, Class::Audio | Class::Retransmission) {
            return;
        }
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
        if let Some(item) = self.audio.pop() {
            return Some(item);
        }
        if self.is_cut {
            for queue in [&mut self.retransmissions, &mut self.video, &mut self.screens] {
                queue.drop_older(now, HELD);
            }
            return None;
        }
        if !self.may_send(now) {
            return None;
        }
        self.retransmissions.drop_older(now, LONGEST_WAIT); // asked for again if they are still of use
        if self.may_repair(now)
            && let Some(bytes) = self.retransmissions.waiting.front().map(|waiting| waiting.bytes)
        {
            let takes = duration(bytes.into(), (self.estimate as f64 * REPAIR) as u64);
            self.repair_free_at = Some(self.repair_free_at.map_or(now, |free| free.max(now)) + takes);
            return self.retransmissions.pop();
        }
        if let Some(item) = self.video.pop() {
            return Some(item);
        }
        self.screens_may_leave_at(now).filter(|at| *at <= now)?;
        self.screens.pop()
    }

    /// Bytes of padding that the probe needs now, in one packet; `None` while media can do it, or it is not time.
    pub fn padding(&self, now: Instant) -> Option<u32> {
        let repairs = self.retransmissions.oldest().is_some() && self.may_repair(now);
        let is_idle = self.audio.oldest().is_none()
            && self.video.oldest().is_none()
            && self.screens.oldest().is_none()
            && !repairs;
        let active = self.probe.filter(|_| !self.is_cut && is_idle && self.may_send(now))?;
        let missing = u64::from(active.probe.bytes).saturating_sub(active.bytes);
        let packets = active.probe.packets.saturating_sub(active.packets).max(1);
        u32::try_from(missing / u64::from(packets)).ok().map(|bytes| bytes.clamp(50, 1200))
    }

    /// A packet has left, with the bytes it really had.
    pub fn sent(&mut self, now: Instant, bytes: u32) {
        let rate = self.rate(now).max(1);
        let takes = duration(bytes.into(), rate);
        let oldest = now.checked_sub(BURST).unwrap_or(now);
        self.free_at = Some(self.free_at.map_or(oldest, |free| free.max(oldest)) + takes);
        let oldest = now.checked_sub(SCREEN_CREDIT).unwrap_or(now);
        let caught_up = self.caught_up_at.map_or(oldest, |at| at.max(oldest))
            + duration(bytes.into(), self.screen_rate(now));
        self.caught_up_at = Some(caught_up.min(now + SCREEN_WAIT));
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
        if self.audio.oldest().is_some() {
            return Some(now);
        }
        if self.is_cut {
            let held = [&self.retransmissions, &self.video, &self.screens];
            return held.into_iter().filter_map(Queue::oldest).min().map(|since| since + HELD);
        }
        if self.is_empty() && self.probe.is_none() {
            return None;
        }
        let free = self.free_at.unwrap_or(now);
        // A probe is timed by its packets; else a wait of a burst's length is one burst.
        if self.probe.is_some() {
            return Some(free);
        }
        let pictures = self.video.oldest().map(|_| free);
        let repair = self.retransmissions.oldest().map(|_| self.repair_free_at.unwrap_or(free));
        let due = pictures.into_iter().chain(repair).chain(self.screens_may_leave_at(now)).min();
        due.map(|due| due.max(free).max(now + BURST))
    }

    /// Bit/s at which screens leave beside everything else: the estimate, and in the end what is needed for nothing to wait
    /// too long.
    fn screen_rate(&self, now: Instant) -> u64 {
        let hurries = self.screens.oldest().is_some_and(|since| now + SCREEN_HURRY > since + SCREEN_WAIT);
        if hurries { self.estimate.max(drain(&self.screens, now, SCREEN_WAIT) as u64) } else { self.estimate }
    }

    /// When the oldest packet of a screen may leave as far as the estimate goes: when the line has caught up, or when it has
    /// waited for too long.
    fn screens_may_leave_at(&self, now: Instant) -> Option<Instant> {
        let late = self.screens.oldest()? + SCREEN_WAIT;
        let caught_up = self.caught_up_at.filter(|_| self.probe.is_none()).unwrap_or(now);
        Some(caught_up.min(late))
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
        let drains = drain(&self.video, now, LONGEST_WAIT) + drain(&self.screens, now, SCREEN_WAIT);
        let paced = (self.estimate as f64 * PACE).max(incoming * INCOMING).max(drains);
        self.probe.map_or(paced, |active| active.probe.rate as f64) as u64
    }
}

/// Bit/s at which what waits is gone before its oldest has waited for this long.
fn drain<T>(queue: &Queue<T>, now: Instant, longest: Duration) -> f64 {
    let waited = queue.oldest().map(|since| now.saturating_duration_since(since)).unwrap_or_default();
    let left = longest.saturating_sub(waited).max(BURST);
    queue.bytes.saturating_mul(8) as f64 / left.as_secs_f64()
}

/// How long a line of `rate` bit/s is busy with a packet.
fn duration(bytes: u64, rate: u64) -> Duration {
    Duration::from_nanos(bytes.saturating_mul(8).saturating_mul(1_000_000_000) / rate.max(1))
}

impl<T: Copy> Default for Pacer<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
