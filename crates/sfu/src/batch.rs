//! The send batch: sealed datagrams, back to back in one buffer, ready for segmentation offload.
//!
//! Packets to one destination that follow each other and have equal length form one [`Transmit`] with a
//! segment size (UDP GSO: all segments equal, the last may be shorter). The batch is the only way out.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// A run of datagrams to one destination.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub destination: SocketAddr,
    /// The local address it leaves from; `None` lets the kernel choose.
    pub source: Option<IpAddr>,
    /// Bytes of every segment but possibly the last, which may be shorter.
    pub segment_size: usize,
    /// The run's bytes in the batch's buffer.
    pub range: Range<usize>,
}

impl Transmit {
    /// Number of datagrams in the run.
    pub fn segments(&self) -> usize {
        self.range.len().div_ceil(self.segment_size.max(1))
    }
}

/// Largest UDP payload the core ever builds; an encrypted 1200-byte packet with room to spare.
pub const MAX_DATAGRAM: usize = 1500;

/// Segments per run: the kernel takes at most 64 and 65,507 bytes.
const MAX_SEGMENTS: usize = 40;

/// Sealed datagrams waiting to be sent.
#[derive(Default)]
pub struct SendBatch {
    /// Kept at full length between uses, so that appending never zeroes memory twice.
    buffer: Vec<u8>,
    used: usize,
    transmits: Vec<Transmit>,
}

impl SendBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one datagram of at most [`MAX_DATAGRAM`] bytes, written by `write` into the space it is
    /// given; `write` returns its length, or an error, which leaves the batch as it was.
    pub fn push<E>(
        &mut self,
        destination: SocketAddr,
        source: Option<IpAddr>,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        if self.buffer.len() < self.used + MAX_DATAGRAM {
            let grown = (self.buffer.len() * 2).max(self.used + 64 * MAX_DATAGRAM);
            self.buffer.resize(grown, 0);
        }
        let length = write(&mut self.buffer[self.used..self.used + MAX_DATAGRAM])?.min(MAX_DATAGRAM);
        if length == 0 {
            return Ok(());
        }
        let range = self.used..self.used + length;
        self.used = range.end;
        if let Some(last) = self.transmits.last_mut() {
            let open = last.range.len() % last.segment_size == 0;
            if open
                && last.destination == destination
                && last.source == source
                && length <= last.segment_size
                && last.segments() < MAX_SEGMENTS
            {
                last.range.end = range.end;
                return Ok(());
            }
        }
        self.transmits.push(Transmit { destination, source, segment_size: length, range });
        Ok(())
    }

    /// The runs, in order.
    pub fn transmits(&self) -> &[Transmit] {
        &self.transmits
    }

    /// The bytes of a run.
    pub fn bytes(&self, transmit: &Transmit) -> &[u8] {
        self.buffer.get(transmit.range.clone()).unwrap_or_default()
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.transmits.is_empty()
    }

    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.used = 0;
        self.transmits.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(batch: &mut SendBatch, port: u16, length: usize) {
        batch
            .push::<()>(([127, 0, 0, 1], port).into(), None, |out| {
                out[..length].fill(7);
                Ok(length)
            })
            .expect("the writer does not fail");
    }

    #[test]
    fn equal_packets_to_one_destination_become_one_run_and_a_shorter_one_ends_it() {
        let mut batch = SendBatch::new();
        for length in [100, 100, 100, 60, 60] {
            push(&mut batch, 1, length);
        }
        push(&mut batch, 2, 60);
        let runs: Vec<_> = batch
            .transmits()
            .iter()
            .map(|run| (run.destination.port(), run.segment_size, run.segments()))
            .collect();
        assert_eq!(runs, [(1, 100, 4), (1, 60, 1), (2, 60, 1)]);
    }

    #[test]
    fn a_longer_packet_starts_a_new_run() {
        let mut batch = SendBatch::new();
        push(&mut batch, 1, 60);
        push(&mut batch, 1, 100);
        assert_eq!(batch.transmits().len(), 2);
    }

    #[test]
    fn a_failed_write_leaves_the_batch_as_it_was() {
        let mut batch = SendBatch::new();
        push(&mut batch, 1, 60);
        assert_eq!(batch.push(([127, 0, 0, 1], 1).into(), None, |_| Err("no")), Err("no"));
        assert_eq!((batch.len(), batch.transmits().len()), (60, 1));
    }

    #[test]
    fn the_memory_is_kept_and_the_content_gone_after_clear() {
        let mut batch = SendBatch::new();
        push(&mut batch, 1, 60);
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!(batch.len(), 0);
    }
}
