//! The closed sets of what goes into the core and what comes out of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::command::Command;
use crate::event::Event;

/// Everything that can happen to a core.
pub enum Input<'a> {
    /// A UDP datagram arrived. It is decrypted in place, so its bytes are not to be used afterwards.
    Datagram(Datagram<'a>),
    /// Signalling wants something.
    Command(Command),
    /// The time named by the last [`Output::Timeout`] came.
    Timeout,
}

/// A received UDP datagram.
pub struct Datagram<'a> {
    /// Where it came from; v4-mapped addresses are already normalised to IPv4.
    pub source: SocketAddr,
    /// The local address it was sent to (`IP_PKTINFO`), from which answers leave.
    pub destination: IpAddr,
    /// The UDP payload.
    pub payload: &'a mut [u8],
}

/// What the core wants next. Sealed packets do not appear here: [`crate::Sfu::poll`] appends them to its
/// [`crate::batch::SendBatch`].
#[expect(clippy::large_enum_variant, reason = "it is returned by value and taken apart at once")]
pub enum Output {
    /// Something for signalling, the directory or the counters.
    Event(Event),
    /// Nothing more to do before this time, unless an input comes. `None`: nothing is scheduled.
    Timeout(Option<Instant>),
}

/// A source of randomness, handed in by whoever runs the core: the system's in the server, a seeded one
/// in simulations.
pub trait Random: Send {
    /// Fills the slice with random bytes.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8]) + Send> Random for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}
