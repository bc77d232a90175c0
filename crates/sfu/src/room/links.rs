//! How a participant is connected: the transports between it and us, by what flows on them.
//!
//! The rest of the room asks for "the one that we send on" and "the one that it publishes on" and never for how
//! many there are.

use std::collections::VecDeque;

use crate::batch::SendBatch;
use crate::peer::transport::{Transport, TransportError};

/// Which of a client's peer connections, as in LiveKit's `SignalTarget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The one that the client offers and publishes on; a client with one connection has no other.
    Publisher,
    /// The one that we offer and the client receives on.
    Subscriber,
}

/// Bytes of one compound RTCP packet: with SRTCP's overhead it stays below every MTU.
const MAX_COMPOUND: usize = 1100;

/// A transport and the RTCP that waits for it.
pub(crate) struct Link {
    pub(crate) transport: Transport,
    rtcp: VecDeque<Vec<u8>>,
    /// A compound that has left, kept for its memory: there is one every 50 ms.
    spare: Vec<u8>,
}

impl Link {
    fn new(transport: Transport) -> Self {
        Self { transport, rtcp: VecDeque::new(), spare: Vec::new() }
    }

    /// Queues RTCP: packets share compounds as far as they fit (RFC 5506 reduced size).
    pub(crate) fn enqueue_rtcp(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let compound = match self.rtcp.back_mut() {
            Some(compound) => compound,
            None => self.rtcp.push_back_mut(std::mem::take(&mut self.spare)),
        };
        let before = compound.len();
        write(compound);
        if before > 0 && compound.len() > MAX_COMPOUND {
            let packet = compound.split_off(before);
            self.rtcp.push_back(packet);
        }
    }

    /// Seals the compounds that wait; what is refused is told to `refuse`.
    pub(crate) fn send_rtcp(&mut self, batch: &mut SendBatch, mut refuse: impl FnMut(TransportError)) {
        while let Some(mut compound) = self.rtcp.pop_front() {
            if !compound.is_empty()
                && let Err(error) = self.transport.send_rtcp(batch, &compound)
            {
                refuse(error);
            }
            compound.clear();
            self.spare = compound;
        }
    }

    /// Forgets what waits: there is nobody to send it to yet.
    pub(crate) fn clear_rtcp(&mut self) {
        self.rtcp.clear();
    }
}

/// See the module's description.
pub(crate) enum Links {
    /// One peer connection for both directions, which the client offers.
    Single(Box<Link>),
    /// One for each direction, as older clients have them.
    Pair {
        /// There from the client's first offer on: many never publish.
        publisher: Option<Box<Link>>,
        /// There from the beginning: data comes on it too.
        subscriber: Box<Link>,
    },
}

impl Links {
    /// One connection for both directions.
    pub(crate) fn single(transport: Transport) -> Self {
        Self::Single(Box::new(Link::new(transport)))
    }

    /// Two connections, of which the client has not offered its own.
    pub(crate) fn pair(subscriber: Transport) -> Self {
        Self::Pair { publisher: None, subscriber: Box::new(Link::new(subscriber)) }
    }

    /// Adds the publisher connection of a pair, if it is missing.
    pub(crate) fn add_publisher(&mut self, transport: Transport) {
        if let Self::Pair { publisher: publisher @ None, .. } = self {
            *publisher = Some(Box::new(Link::new(transport)));
        }
    }

    /// Where media, sender reports and data go out.
    pub(crate) fn sending(&self) -> &Link {
        match self {
            Self::Single(link) | Self::Pair { subscriber: link, .. } => link,
        }
    }

    /// See [`Self::sending`].
    pub(crate) fn sending_mut(&mut self) -> &mut Link {
        match self {
            Self::Single(link) | Self::Pair { subscriber: link, .. } => link,
        }
    }

    /// Whether [`Self::sending`] is this one.
    pub(crate) fn sends_on(&self, target: Target) -> bool {
        match self {
            Self::Single(_) => true,
            Self::Pair { .. } => target == Target::Subscriber,
        }
    }

    /// Where the participant publishes, and is told about what it publishes; `None` while it never offered to.
    pub(crate) fn receiving_mut(&mut self) -> Option<&mut Link> {
        self.get_mut(Target::Publisher)
    }

    /// One of them by name.
    pub(crate) fn get_mut(&mut self, target: Target) -> Option<&mut Link> {
        self.iter_mut().find_map(|(known, link)| (known == target).then_some(link))
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Link> {
        let (publisher, subscriber) = match self {
            Self::Single(link) => (Some(link), None),
            Self::Pair { publisher, subscriber } => (publisher.as_ref(), Some(subscriber)),
        };
        publisher.into_iter().chain(subscriber).map(|link| &**link)
    }

    /// All of them by name.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Target, &mut Link)> {
        let (publisher, subscriber) = match self {
            Self::Single(link) => (Some(link), None),
            Self::Pair { publisher, subscriber } => (publisher.as_mut(), Some(subscriber)),
        };
        let publisher = publisher.map(|link| (Target::Publisher, &mut **link));
        publisher.into_iter().chain(subscriber.map(|link| (Target::Subscriber, &mut **link)))
    }

    /// The transports alone, for their farewell.
    pub(crate) fn into_transports(self) -> impl Iterator<Item = Transport> {
        let (publisher, subscriber) = match self {
            Self::Single(link) => (Some(link), None),
            Self::Pair { publisher, subscriber } => (publisher, Some(subscriber)),
        };
        publisher.into_iter().chain(subscriber).map(|link| link.transport)
    }
}
