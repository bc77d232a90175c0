//! Between workers: datagrams that arrived at the wrong socket, and word of which address belongs to
//! whom. With N workers most flows first land on the wrong one (the kernel hashes addresses), so this is
//! the normal way in, batched and bounded.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use mio::Waker;

/// Bytes of a datagram that is handed over; nothing that peers send is larger.
pub(super) const MAX_DATAGRAM: usize = 2048;

/// Batches that wait for a worker; at 64 datagrams of 1200 bytes each about 20 MB, of [`MAX_DATAGRAM`] 32 MB
/// at most, which is a worker that has stood still for a second.
const QUEUE: usize = 256;

/// Words of addresses given up that wait for room in a worker's queue.
const MAX_UNPOSTED: usize = 4096;

/// Datagrams in one batch: what one receive call brings, without coalescing.
const BATCH: usize = 64;

/// What workers send each other.
pub(super) enum Message {
    /// Datagrams that belong to the receiver.
    Datagrams(Box<Batch>),
    /// The address belongs to the sender.
    Route(u8, SocketAddr),
    /// The address no longer belongs to the sender.
    Unroute(u8, SocketAddr),
}

/// Datagrams handed over, back to back in one buffer.
pub(super) struct Batch {
    from: u8,
    bytes: Vec<u8>,
    items: Vec<Item>,
}

struct Item {
    source: SocketAddr,
    destination: Option<IpAddr>,
    range: Range<usize>,
    wants_route: bool,
}

/// A handed-over datagram as its owner sees it.
pub(super) struct Handed<'a> {
    /// The worker whose socket it came to.
    pub(super) from: u8,
    pub(super) source: SocketAddr,
    pub(super) destination: Option<IpAddr>,
    pub(super) payload: &'a mut [u8],
    /// The worker it came to does not know whose the address is.
    pub(super) wants_route: bool,
}

impl Batch {
    pub(super) fn each(&mut self, mut each: impl FnMut(Handed<'_>)) {
        for item in &self.items {
            let Some(payload) = self.bytes.get_mut(item.range.clone()) else { continue };
            each(Handed {
                from: self.from,
                source: item.source,
                destination: item.destination,
                payload,
                wants_route: item.wants_route,
            });
        }
    }
}

/// The lines from one worker to all others.
pub(super) struct Lines {
    own: u8,
    lines: Vec<Line>,
}

struct Line {
    queue: SyncSender<Message>,
    waker: Arc<Waker>,
    open: Option<Box<Batch>>,
    /// Addresses given up of which the worker could not be told yet.
    unposted: HashSet<SocketAddr>,
    unwoken: bool,
}

/// What became of datagrams handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HandoverCounts {
    pub(super) handed_over: u64,
    pub(super) dropped: u64,
}

/// A mailbox and the lines to all others, for every worker.
pub(super) fn switchboard(wakers: &[Arc<Waker>]) -> (Vec<Receiver<Message>>, Vec<Lines>) {
    let (queues, mailboxes): (Vec<_>, Vec<_>) = wakers.iter().map(|_| sync_channel(QUEUE)).unzip();
    let lines = (0..wakers.len())
        .map(|own| Lines {
            own: u8::try_from(own).unwrap_or(u8::MAX),
            lines: queues
                .iter()
                .zip(wakers)
                .map(|(queue, waker)| Line {
                    queue: queue.clone(),
                    waker: Arc::clone(waker),
                    open: None,
                    unposted: HashSet::new(),
                    unwoken: false,
                })
                .collect(),
        })
        .collect();
    (mailboxes, lines)
}

impl Lines {
    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.lines.len()
    }

    /// Adds a datagram to what `to` gets.
    pub(super) fn datagram(
        &mut self,
        to: u8,
        source: SocketAddr,
        destination: Option<IpAddr>,
        payload: &[u8],
        wants_route: bool,
        counts: &mut HandoverCounts,
    ) {
        let from = self.own;
        let Some(line) = self.lines.get_mut(usize::from(to)) else { return };
        // Allocated once per batch of up to 64: it changes threads, and coming back would need a queue of its own.
        let batch = line.open.get_or_insert_with(|| {
            Box::new(Batch { from, bytes: Vec::with_capacity(BATCH * 256), items: Vec::with_capacity(BATCH) })
        });
        let start = batch.bytes.len();
        batch.bytes.extend_from_slice(payload);
        batch.items.push(Item { source, destination, range: start..batch.bytes.len(), wants_route });
        if batch.items.len() >= BATCH {
            line.close(counts);
        }
    }

    /// Tells `to` that an address belongs to this worker; returns whether the word was taken.
    pub(super) fn route(&mut self, to: u8, address: SocketAddr) -> bool {
        let own = self.own;
        self.lines.get_mut(usize::from(to)).is_some_and(|line| {
            line.unposted.remove(&address);
            line.post(Message::Route(own, address))
        })
    }

    /// Tells `to` that an address no longer belongs to this worker, with the next [`Lines::flush`] that
    /// finds room. Beyond [`MAX_UNPOSTED`] the word is lost, which leaves a route to a worker that does not
    /// know the address, until the table there makes room.
    pub(super) fn unroute(&mut self, to: u8, address: SocketAddr) {
        if let Some(line) = self.lines.get_mut(usize::from(to))
            && line.unposted.len() < MAX_UNPOSTED
        {
            line.unposted.insert(address);
        }
    }

    /// Hands over what has gathered and wakes whom it concerns.
    pub(super) fn flush(&mut self, counts: &mut HandoverCounts) {
        for line in &mut self.lines {
            line.close(counts);
            line.post_unroutes(self.own);
            if std::mem::take(&mut line.unwoken) {
                let _ = line.waker.wake();
            }
        }
    }
}

impl Line {
    fn close(&mut self, counts: &mut HandoverCounts) {
        let Some(batch) = self.open.take() else { return };
        let datagrams = batch.items.len() as u64;
        if self.post(Message::Datagrams(batch)) {
            counts.handed_over += datagrams;
        } else {
            counts.dropped += datagrams;
        }
    }

    fn post_unroutes(&mut self, own: u8) {
        for address in std::mem::take(&mut self.unposted) {
            if !self.post(Message::Unroute(own, address)) {
                self.unposted.insert(address);
            }
        }
    }

    fn post(&mut self, message: Message) -> bool {
        match self.queue.try_send(message) {
            Ok(()) => {
                self.unwoken = true;
                true
            }
            Err(TrySendError::Full(_)) => {
                // It has work enough, but may be asleep on it.
                self.unwoken = true;
                false
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token};

    use super::*;

    fn wakers(count: usize) -> (Vec<Poll>, Vec<Arc<Waker>>) {
        (0..count)
            .map(|_| {
                let poll = Poll::new().expect("the system has event queues");
                let waker = Waker::new(poll.registry(), Token(0)).expect("and wakers");
                (poll, Arc::new(waker))
            })
            .unzip()
    }

    fn source() -> SocketAddr {
        "192.0.2.1:9".parse().expect("an address")
    }

    #[test]
    fn datagrams_arrive_in_batches_and_in_order() {
        let (_polls, wakers) = wakers(2);
        let (mailboxes, mut lines) = switchboard(&wakers);
        let mut counts = HandoverCounts::default();
        for n in 0..100_u8 {
            lines[0].datagram(1, source(), None, &[n], n == 0, &mut counts);
        }
        lines[0].flush(&mut counts);
        assert_eq!(counts, HandoverCounts { handed_over: 100, dropped: 0 });
        let mut got = Vec::new();
        let mut batches = 0;
        while let Ok(Message::Datagrams(mut batch)) = mailboxes[1].try_recv() {
            batches += 1;
            batch.each(|handed| {
                assert_eq!((handed.from, handed.source), (0, source()));
                assert_eq!(handed.wants_route, handed.payload[0] == 0);
                got.push(handed.payload[0]);
            });
        }
        assert_eq!((batches, got), (2, (0..100).collect::<Vec<u8>>()));
    }

    #[test]
    fn word_of_an_address_given_up_waits_for_room() {
        let (_polls, wakers) = wakers(2);
        let (mailboxes, mut lines) = switchboard(&wakers);
        let mut counts = HandoverCounts::default();
        for _ in 0..QUEUE {
            assert!(lines[0].route(1, source()));
        }
        lines[0].unroute(1, source());
        lines[0].flush(&mut counts);
        let unroutes = || {
            std::iter::from_fn(|| mailboxes[1].try_recv().ok())
                .filter(|message| matches!(message, Message::Unroute(0, address) if *address == source()))
                .count()
        };
        assert_eq!(unroutes(), 0, "there was no room");
        lines[0].flush(&mut counts);
        assert_eq!(unroutes(), 1);
        lines[0].flush(&mut counts);
        assert_eq!(unroutes(), 0, "once is enough");
        lines[0].unroute(1, source());
        assert!(lines[0].route(1, source()), "it is ours again before the other end heard");
        lines[0].flush(&mut counts);
        assert_eq!(unroutes(), 0);
        for n in 0..100_000_u32 {
            lines[0].unroute(1, SocketAddr::from((std::net::Ipv4Addr::from(n), 9)));
        }
        assert_eq!(lines[0].lines[1].unposted.len(), MAX_UNPOSTED);
    }

    #[test]
    fn a_worker_that_stands_still_costs_bounded_memory() {
        let (_polls, wakers) = wakers(2);
        let (mailboxes, mut lines) = switchboard(&wakers);
        let mut counts = HandoverCounts::default();
        let total = (QUEUE * BATCH * 2) as u64;
        for _ in 0..total {
            lines[0].datagram(1, source(), None, &[0; 100], false, &mut counts);
        }
        lines[0].flush(&mut counts);
        assert_eq!(counts.handed_over, (QUEUE * BATCH) as u64);
        assert_eq!(counts.handed_over + counts.dropped, total);
        assert!(!lines[0].route(1, source()), "and word of a route is known to be lost");
        drop(mailboxes);
    }
}
