//! Shares a subscriber's bandwidth over the video tracks it wants. A pure function over what is known now; that it
//! does not flutter is the part of margins and of [`Patience`].
//!
//! Order: first everything gets its cheapest layer, most important first, so that nobody is black while another is
//! sharp; what does not fit is paused rather than starved. Then the most important is raised to all that is wanted
//! of it before the next; equals rise together, step by step.

use std::time::{Duration, Instant};

use super::estimator::Capacity;
use super::ladder::{Ladder, Step};
use super::target::LayerTarget;

/// A better layer must leave this much of its price unused, in per cent: rates of layers and estimates waver by about
/// as much. More wastes the line, less flutters.
const RISE_MARGIN: u64 = 15;

/// The same for what goes on after a pause before its wait is over.
const AMPLE_MARGIN: u64 = 100;

/// A layer that somebody has already is kept while its price exceeds what is left by no more than this, in per cent:
/// the pacer and the next estimate absorb it. More builds queues, less flutters.
const KEEP_TOLERANCE: u64 = 5;

/// At most one part in so many is kept free for bursts of screens; on narrow lines they take longer instead.
const MOST_RESERVED: u64 = 2;

/// What a track is to its subscriber, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Importance {
    /// The subscriber said so: `UpdateTrackSettings.priority`, 1 is the highest.
    Explicit(u32),
    /// A shared screen: unreadable when it is small.
    Screen,
    /// The one large picture beside small ones: somebody pinned it or looks at it.
    Main,
    /// Who speaks.
    Speaker,
    /// Everybody else who can be seen.
    Visible,
}

/// When what is paused may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Not now.
    Waits,
    /// Where so much is free that it was not this layer that did not fit: of what a probe found since. So much of the estimate,
    /// in bit/s, has only grown by itself.
    WhereAmple {
        /// Bit/s.
        unproven: u64,
    },
    /// Where it fits.
    Free,
}

/// One subscription that wants bandwidth.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it is to the subscriber.
    pub importance: Importance,
    /// Pixels that the subscriber shows; 0 if it did not say.
    pub area: u32,
    /// What could be sent.
    pub ladder: Ladder,
    /// Bit/s that it takes now and then beyond that: nobody else rises into them.
    pub reserve: u64,
    /// What is sent now.
    pub current: Option<LayerTarget>,
    /// Whether it may get more than now ([`Patience::may_rise`]).
    pub may_rise: bool,
    /// Whether it may get more pictures of the same size than now ([`Patience::may_refine`]).
    pub may_refine: bool,
    /// Whether it may go on after a pause ([`Patience::beginning`]).
    pub beginning: Beginning,
}

impl Request {
    /// The index of what is sent now. Where all that is left is above it, the cheapest of that takes its place: that is no pause
    /// that ends.
    pub fn current_step(&self) -> Option<usize> {
        let target = self.current.filter(|_| !self.ladder.is_empty())?;
        Some(self.ladder.index_of(target).unwrap_or(0))
    }

    /// Orders by importance, then by size in powers of two: tiles of about one size are equals.
    fn rank(&self) -> (Importance, std::cmp::Reverse<u32>) {
        (self.importance, std::cmp::Reverse(self.area.checked_ilog2().unwrap_or(0)))
    }

    /// What must be left for a step, given what is sent now; `None`: not now.
    fn price(&self, index: usize, current: Option<usize>) -> Option<u64> {
        let Step { target, rate } = self.ladder.step(index)?;
        if current.is_some_and(|current| index <= current) {
            return Some(rate - rate * KEEP_TOLERANCE / 100);
        }
        let spatial = current.and_then(|current| self.ladder.step(current)).map(|step| step.target.spatial);
        let margin = match index {
            0 => match self.beginning {
                Beginning::Waits => None,
                Beginning::WhereAmple { .. } => Some(AMPLE_MARGIN),
                Beginning::Free => Some(RISE_MARGIN),
            },
            _ if spatial == Some(target.spatial) => self.may_refine.then_some(RISE_MARGIN),
            _ => self.may_rise.then_some(RISE_MARGIN),
        };
        margin.map(|margin| rate.saturating_add(rate.saturating_mul(margin) / 100))
    }
}

/// What each request gets, in their order: `None` is a pause. `budget` is bit/s for all of them together.
pub fn allocate(budget: u64, requests: &[Request]) -> Vec<Option<LayerTarget>> {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|index| requests.get(*index).map(Request::rank));
    let mut round = Round::new(budget, requests);
    let is_equal = |one: &usize, other: &usize| {
        requests.get(*one).map(Request::rank) == requests.get(*other).map(Request::rank)
    };
    for equals in order.chunk_by(is_equal) {
        round.raise_all(equals, |_| true);
    }
    for equals in order.chunk_by(is_equal) {
        while round.raise_all(equals, |granted| granted.is_some()) {}
    }
    round.targets()
}

struct Round<'a> {
    requests: &'a [Request],
    /// Bit/s not given away; below zero where a kept layer overdraws, so that no two steps use the same tolerance.
    left: i128,
    /// Kept free for all reserves.
    reserve: u64,
    /// Index of what each has now on its ladder.
    current: Vec<Option<usize>>,
    granted: Vec<Option<usize>>,
}

impl<'a> Round<'a> {
    fn new(budget: u64, requests: &'a [Request]) -> Self {
        Self {
            requests,
            left: i128::from(budget),
            reserve: requests
                .iter()
                .fold(0, |sum: u64, request| sum.saturating_add(request.reserve))
                .min(budget / MOST_RESERVED),
            current: requests.iter().map(Request::current_step).collect(),
            granted: vec![None; requests.len()],
        }
    }

    /// Gives equals their next step, those of whom `is_meant` is true by the step they have so far; whether anybody got one.
    /// Who is sent that step already comes first: otherwise one takes it from the other whenever its patience is over.
    fn raise_all(&mut self, equals: &[usize], is_meant: impl Fn(Option<usize>) -> bool) -> bool {
        let of = |list: &[Option<usize>], index: usize| list.get(index).copied().flatten();
        let mut meant: Vec<(bool, usize)> = equals
            .iter()
            .map(|index| (of(&self.granted, *index), *index))
            .filter(|(granted, _)| is_meant(*granted))
            .map(|(granted, index)| (granted >= of(&self.current, index), index))
            .collect();
        meant.sort_by_key(|(is_more, _)| *is_more);
        meant.into_iter().fold(false, |is_raised, (_, index)| self.raise(index) || is_raised)
    }

    /// Gives a request its next step, if there is one and it fits.
    fn raise(&mut self, index: usize) -> bool {
        let (Some(request), Some(granted)) = (self.requests.get(index), self.granted.get_mut(index)) else {
            return false;
        };
        let next = granted.map_or(0, |step| step + 1);
        let held = granted.and_then(|step| request.ladder.step(step)).map_or(0, |step| step.rate);
        let available = self.left + i128::from(held);
        let current = self.current.get(index).copied().flatten();
        let Some(price) = request.price(next, current) else { return false };
        // Bursts are short: nobody gives up for them what it has, and no tile is black for long.
        let reserve = self.reserve.saturating_sub(request.reserve);
        let kept = match request.beginning {
            _ if current.is_some_and(|current| next <= current) => 0,
            Beginning::WhereAmple { unproven } if next == 0 => reserve.saturating_add(unproven),
            _ if next == 0 => 0,
            _ => reserve,
        };
        if i128::from(price) > available - i128::from(kept) {
            return false;
        }
        let rate = request.ladder.step(next).map_or(0, |step| step.rate);
        self.left = available - i128::from(rate);
        *granted = Some(next);
        true
    }

    fn targets(&self) -> Vec<Option<LayerTarget>> {
        let target = |(request, granted): (&Request, &Option<usize>)| {
            granted.and_then(|index| request.ladder.step(index)).map(|step| step.target)
        };
        self.requests.iter().zip(&self.granted).map(target).collect()
    }
}

/// After a change a subscription waits this long before it rises (again): long enough to see what the change does to
/// the line. Half of it was tried: more lines stayed unused, for rises that had to be taken back.
const SETTLING: Duration = Duration::from_millis(1000);

/// Who rose so often within this time waits as long as its mistakes say, whatever estimates say: where many share a
/// line behind the server's back, each sees another line again and again.
const MOST_RISES: usize = 3;
const RISES_WITHIN: Duration = Duration::from_secs(20);

/// A rise that had to be taken back within this time was a mistake.
const REGRET: Duration = Duration::from_secs(20);

/// The wait doubles with every mistake, up to this: at worst two changes in half a minute for nothing.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The same for what is paused: somebody waits in front of a black tile.
const LONGEST_BLACK: Duration = Duration::from_secs(12);

/// And where there is ample room.
const SHORTEST_BLACK: Duration = Duration::from_secs(4);

/// An estimate of this multiple of that at the last rise is of another line, or of one that is free again.
const ANOTHER_LINE: f64 = 1.6;

/// What a probe found since the fall, of this multiple, halves the wait: it was measured, while estimates also grow by themselves,
/// but on a shared line or behind a burst it is wrong now and then.
const FOUND_ANOTHER: f64 = 1.15;

/// Whether a subscription may rise: what was tried in vain is tried less and less often.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    raised_at: Option<Instant>,
    fell_at: Option<Instant>,
    /// The estimate at the last rise, in bit/s.
    raised_with: u64,
    waits_until: Option<Instant>,
    changed_at: Option<Instant>,
    mistakes: u32,
    /// The newest rises, oldest first.
    rises: [Option<Instant>; MOST_RISES],
}

impl Patience {
    /// Whether more may be given now.
    pub fn may_rise(&self, now: Instant, capacity: Capacity) -> bool {
        let Some(until) = self.waits_until.filter(|until| now < *until) else { return true };
        let is_shortened = self.fell_at.is_some_and(|fell| {
            now >= fell + until.saturating_duration_since(fell) / 2 && self.has_found_another(capacity, fell)
        });
        is_shortened && self.may_refine(now)
            || self.mistakes > 0 && self.is_another(capacity.estimate) && !self.is_spent(now)
    }

    /// Whether more pictures of the same size may be given now: that costs no key frame and little of the line, and so is not
    /// made to wait for mistakes.
    pub fn may_refine(&self, now: Instant) -> bool {
        self.changed_at.is_none_or(|at| now.saturating_duration_since(at) >= SETTLING)
    }

    fn is_spent(&self, now: Instant) -> bool {
        let [oldest, ..] = self.rises;
        oldest.is_some_and(|at| now.saturating_duration_since(at) < RISES_WITHIN)
    }

    /// The subscriber wants more than until now: the next rise is its own doing.
    pub fn renew(&mut self) {
        self.waits_until = None;
        self.rises = [None; MOST_RISES];
    }

    /// Whether the line is so much wider than at the last rise that what was a mistake then says nothing of now.
    fn is_another(&self, estimate: u64) -> bool {
        estimate as f64 > self.raised_with as f64 * ANOTHER_LINE
    }

    fn has_found_another(&self, capacity: Capacity, fell: Instant) -> bool {
        capacity
            .found
            .is_some_and(|(at, rate)| at > fell && rate as f64 > self.raised_with as f64 * FOUND_ANOTHER)
    }

    /// Whether what is paused may go on, in its cheapest layer: who is black comes back soon, however often better layers were
    /// tried in vain.
    pub fn beginning(&self, now: Instant, capacity: Capacity) -> Beginning {
        let wait = (SETTLING * 2 * (1 << self.mistakes)).min(LONGEST_BLACK);
        let waited = self.fell_at.map_or(LONGEST_BLACK, |at| now.saturating_duration_since(at));
        match waited {
            _ if waited >= wait || self.is_another(capacity.estimate) && !self.is_spent(now) => {
                Beginning::Free
            }
            _ if waited < SHORTEST_BLACK => Beginning::Waits,
            _ => capacity
                .found
                .filter(|(at, _)| self.fell_at < Some(*at))
                .map_or(Beginning::Waits, |(_, found)| Beginning::WhereAmple {
                    unproven: capacity.estimate.saturating_sub(found),
                }),
        }
    }

    /// When [`Self::may_rise`] becomes true; `None`: it is.
    pub fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.waits_until.filter(|until| now < *until)
    }

    /// What is sent changed by the allocator's decision (not because the subscriber wants less).
    pub fn changed(
        &mut self,
        now: Instant,
        from: Option<LayerTarget>,
        to: Option<LayerTarget>,
        estimate: u64,
    ) {
        let spatial = |target: Option<LayerTarget>| target.map(|target| target.spatial);
        if from != to {
            self.changed_at = Some(now);
        }
        if from != to && spatial(from) == spatial(to) {
            // Another frame rate costs no key frame, and little of the line: it is neither a rise nor a mistake.
            let settles = now + SETTLING;
            self.waits_until = Some(self.waits_until.map_or(settles, |until| until.max(settles)));
            return;
        }
        if to > from {
            let is_recent = |at| now.saturating_duration_since(at) < LONGEST_WAIT * 2;
            if !self.raised_at.is_some_and(is_recent) {
                self.mistakes = 0;
            }
            self.raised_at = Some(now);
            self.raised_with = estimate;
            self.waits_until = Some(now + SETTLING);
            self.rises.rotate_left(1);
            if let Some(newest) = self.rises.last_mut() {
                *newest = Some(now);
            }
        } else if to < from {
            self.fell_at = Some(now);
            let is_mistake = self.raised_at.is_some_and(|at| now.saturating_duration_since(at) < REGRET);
            self.mistakes = if is_mistake { self.mistakes.saturating_add(1).min(8) } else { 0 };
            let wait = (SETTLING * (1 << self.mistakes)).min(LONGEST_WAIT);
            self.waits_until = Some(now + wait);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
