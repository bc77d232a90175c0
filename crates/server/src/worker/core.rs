//! The media core as a worker runs it: the only place that calls it. A panic that the core does not catch
//! itself costs this worker's rooms, not the worker.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use net::Outgoing;
use sfu::Sfu;
use sfu::batch::SendBatch;
use sfu::command::Command;
use sfu::config::Config;
use sfu::event::Event;
use sfu::io::{Datagram, Input, Output};
use sfu::peer::transport::{Shared, TransportError};

/// What all cores of the process have in common (the certificate).
pub(super) fn shared(config: &Config) -> Result<Arc<Shared>, TransportError> {
    Ok(Arc::new(Shared::new(config)?))
}

/// Fills a slice with random bytes: the system's in a server.
pub(super) type RandomSource = fn(&mut [u8]);

/// The core panicked and was replaced by an empty one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost;

/// A media core with its send batch and its next deadline.
pub(super) struct Core {
    config: Config,
    shared: Arc<Shared>,
    random: RandomSource,
    sfu: Sfu,
    batch: SendBatch,
    deadline: Option<Instant>,
}

impl Core {
    pub(super) fn new(config: Config, shared: Arc<Shared>, random: RandomSource) -> Self {
        let sfu = fresh(&config, &shared, random);
        Self { config, shared, random, sfu, batch: SendBatch::new(), deadline: None }
    }

    /// When the core wants to be woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Hands in a datagram; [`Core::drain`] afterwards.
    pub(super) fn datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: Option<IpAddr>,
        payload: &mut [u8],
    ) -> Result<(), Lost> {
        // Where the system does not tell, an answer leaves from whatever address it chooses.
        let destination = destination.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        self.handle(now, Input::Datagram(Datagram { source, destination, payload }))
    }

    /// Hands in a command; [`Core::drain`] afterwards.
    pub(super) fn command(&mut self, now: Instant, command: Command) -> Result<(), Lost> {
        self.handle(now, Input::Command(command))
    }

    /// Tells the core that its deadline came, if it did; [`Core::drain`] afterwards.
    pub(super) fn timeout(&mut self, now: Instant) -> Result<(), Lost> {
        match self.deadline {
            Some(deadline) if deadline <= now => self.handle(now, Input::Timeout),
            _ => Ok(()),
        }
    }

    /// Polls until nothing is left; hands out every event.
    pub(super) fn drain(&mut self, now: Instant, mut each: impl FnMut(Event)) -> Result<(), Lost> {
        loop {
            let (sfu, batch) = (&mut self.sfu, &mut self.batch);
            match catch_unwind(AssertUnwindSafe(|| sfu.poll(now, batch))) {
                Ok(Output::Event(event)) => each(event),
                Ok(Output::Timeout(deadline)) => {
                    self.deadline = deadline;
                    return Ok(());
                }
                Err(_) => return Err(self.replace()),
            }
        }
    }

    /// Bytes sealed and not yet taken.
    pub(super) fn sealed_bytes(&self) -> usize {
        self.batch.len()
    }

    /// The sealed datagrams.
    pub(super) fn sealed(&self) -> impl Iterator<Item = Outgoing<'_>> {
        self.batch.transmits().iter().map(|transmit| Outgoing {
            destination: transmit.destination,
            source: transmit.source.filter(|source| !source.is_unspecified()),
            segment_size: transmit.segment_size,
            contents: self.batch.bytes(transmit),
        })
    }

    /// The sealed datagrams are sent.
    pub(super) fn clear_sealed(&mut self) {
        self.batch.clear();
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), Lost> {
        let sfu = &mut self.sfu;
        catch_unwind(AssertUnwindSafe(|| sfu.handle(now, input))).map_err(|_| self.replace())
    }

    fn replace(&mut self) -> Lost {
        let old = std::mem::replace(&mut self.sfu, fresh(&self.config, &self.shared, self.random));
        // What panicked once may panic again while it is taken apart; then its memory is the price.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(old)));
        self.batch = SendBatch::new();
        self.deadline = None;
        Lost
    }
}

fn fresh(config: &Config, shared: &Arc<Shared>, random: RandomSource) -> Sfu {
    Sfu::new(Instant::now(), config.clone(), Arc::clone(shared), Box::new(random))
}
