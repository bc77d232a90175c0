//! How a participant is connected: the transports between it and us, by what flows on them.
//!
//! The rest of the room asks for "the one that we send on" and "the one that it publishes on" and never for how
//! many there are.

use std::collections::VecDeque;

use crate::peer::transport::Transport;

/// Bytes of one compound RTCP packet: with SRTCP's overhead it stays below every MTU.
const MAX_COMPOUND: usize = 1100;

/// A transport and the RTCP that waits for it.
pub(crate) struct Link {
    pub(crate) transport: Transport,
    rtcp: VecDeque<Vec<u8>>,
}

impl Link {
    fn new(transport: Transport) -> Self {
        Self { transport, rtcp: VecDeque::new() }
    }

    /// Queues RTCP: packets share compounds as far as they fit (RFC 5506 reduced size).
    pub(crate) fn enqueue_rtcp(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut packet = Vec::new(); // a few per second and participant, so an allocation is fine
        write(&mut packet);
        match self.rtcp.back_mut() {
            Some(compound) if compound.len() + packet.len() <= MAX_COMPOUND => {
                compound.extend_from_slice(&packet)
            }
            _ if packet.is_empty() => {}
            _ => self.rtcp.push_back(packet),
        }
    }

    /// The next compound to seal.
    pub(crate) fn next_rtcp(&mut self) -> Option<Vec<u8>> {
        self.rtcp.pop_front()
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
}

impl Links {
    /// One connection for both directions.
    pub(crate) fn single(transport: Transport) -> Self {
        Self::Single(Box::new(Link::new(transport)))
    }

    /// Where media, sender reports and data go out.
    pub(crate) fn sending(&self) -> &Link {
        let Self::Single(link) = self;
        link
    }

    /// See [`Self::sending`].
    pub(crate) fn sending_mut(&mut self) -> &mut Link {
        let Self::Single(link) = self;
        link
    }

    /// Where the participant publishes, and is told about what it publishes.
    pub(crate) fn receiving_mut(&mut self) -> &mut Link {
        let Self::Single(link) = self;
        link
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Link> {
        let Self::Single(link) = self;
        std::iter::once(&**link)
    }

    /// See [`Self::iter`].
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        let Self::Single(link) = self;
        std::iter::once(&mut **link)
    }

    /// The transports alone, for their farewell.
    pub(crate) fn into_transports(self) -> impl Iterator<Item = Transport> {
        let Self::Single(link) = self;
        std::iter::once(link.transport)
    }
}
