//! Receiving many datagrams with one call (`recvmmsg`), several per buffer where the kernel coalesced
//! them (GRO).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use quinn_udp::{BATCH_SIZE, RecvMeta};

/// Bytes of one buffer: the most that GRO coalesces.
const BUFFER_BYTES: usize = 1 << 16;

/// A received datagram.
pub struct Received<'a> {
    /// Where it came from; v4-mapped addresses are normalised to IPv4.
    pub source: SocketAddr,
    /// The local address it was sent to, from which an answer has to leave. Unknown on systems without
    /// `IP_PKTINFO`.
    pub destination: Option<IpAddr>,
    /// The UDP payload.
    pub payload: &'a mut [u8],
}

/// Memory for received datagrams, 2 MiB, made once per worker.
pub struct ReceiveBuffers {
    bytes: Vec<u8>,
    meta: [RecvMeta; BATCH_SIZE],
}

impl std::fmt::Debug for ReceiveBuffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveBuffers").finish_non_exhaustive()
    }
}

impl Default for ReceiveBuffers {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceiveBuffers {
    /// Allocates the memory.
    pub fn new() -> Self {
        Self { bytes: vec![0; BATCH_SIZE * BUFFER_BYTES], meta: [RecvMeta::default(); BATCH_SIZE] }
    }

    /// Fills the buffers with one call of `receive` and hands out each datagram.
    pub(crate) fn fill(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
        mut each: impl FnMut(Received<'_>),
    ) -> io::Result<usize> {
        let count = {
            let mut chunks = self.bytes.chunks_exact_mut(BUFFER_BYTES);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            receive(&mut slices, &mut self.meta)?
        };
        let mut datagrams = 0;
        for (buffer, meta) in self.bytes.chunks_exact_mut(BUFFER_BYTES).zip(&self.meta).take(count) {
            let source = normalise(meta.addr);
            let destination = meta.dst_ip.map(|address| address.to_canonical());
            let Some(filled) = buffer.get_mut(..meta.len) else { continue };
            for payload in filled.chunks_mut(meta.stride.max(1)) {
                datagrams += 1;
                each(Received { source, destination, payload });
            }
        }
        Ok(datagrams)
    }
}

/// One spelling per address: IPv4 as IPv4, no flow label, a zone only where it means something.
fn normalise(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(v4.into(), v6.port()),
            None => {
                let zone = if v6.ip().is_unicast_link_local() { v6.scope_id() } else { 0 };
                SocketAddrV6::new(*v6.ip(), v6.port(), 0, zone).into()
            }
        },
        v4 @ SocketAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_spelling() {
        let mapped = SocketAddr::V6(SocketAddrV6::new("::ffff:192.0.2.1".parse().expect("ip"), 5, 9, 3));
        assert_eq!(normalise(mapped), "192.0.2.1:5".parse().expect("address"));
        let labelled = SocketAddr::V6(SocketAddrV6::new("2001:db8::1".parse().expect("ip"), 5, 9, 3));
        assert_eq!(normalise(labelled), "[2001:db8::1]:5".parse().expect("address"));
    }
}
