//! Where sealed packets go when they are really sent: loopback sockets that nobody reads, so that the kernel
//! takes every packet through the whole stack and drops it at the end.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use net::{Outgoing, SendCounts};
use sfu::batch::SendBatch;

/// Bound sockets, one for each participant, and the socket that sends to them.
pub(crate) struct Sinks {
    sockets: Vec<UdpSocket>,
    sender: net::UdpSocket,
    counts: SendCounts,
}

impl Sinks {
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let sockets = (0..count).map(|_| bind()).collect::<io::Result<_>>()?;
        Ok(Self { sockets, sender: net::UdpSocket::new(bind()?)?, counts: SendCounts::default() })
    }

    /// Addresses of the sinks.
    pub(crate) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(UdpSocket::local_addr).collect()
    }

    /// Sends a batch.
    pub(crate) fn send(&mut self, batch: &SendBatch) {
        let runs = batch.transmits().iter().map(|transmit| Outgoing {
            destination: transmit.destination,
            source: transmit.source,
            segment_size: transmit.segment_size,
            contents: batch.bytes(transmit),
        });
        self.counts += self.sender.send(runs);
        if self.sender.is_blocked() {
            self.counts += self.sender.flush();
        }
    }

    /// What became of everything sent.
    pub(crate) fn counts(&self) -> SendCounts {
        self.counts
    }
}
