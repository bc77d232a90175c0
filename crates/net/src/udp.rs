//! A worker's UDP socket: batched sending with segmentation offload, a bounded backlog for when the
//! kernel's buffer is full, and batched receiving.
//!
//! The socket is never connected: a connected socket on a shared port steals flows while it is being made
//! and makes packets of unknown senders scan all of them (measured: 40 µs each at 4000 sockets).

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use quinn_udp::{UdpSockRef, UdpSocketState};

use crate::receive::{ReceiveBuffers, Received};

/// Bytes kept while the kernel's send buffer is full; about 20 ms at 400 Mbit/s. More would only be
/// delivered late.
const BACKLOG_BYTES: usize = 1 << 20;

/// Bytes that one segmented send may carry: the IPv6 payload limit less headers, rounded down.
const MAX_RUN_BYTES: usize = 65_000;

/// A run of datagrams to one destination: back to back, all of `segment_size` bytes but possibly the last,
/// which may be shorter.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// Where to.
    pub destination: SocketAddr,
    /// The local address it leaves from; `None` lets the kernel choose.
    pub source: Option<IpAddr>,
    /// Bytes per datagram; 0 stands for one datagram with everything.
    pub segment_size: usize,
    /// The datagrams.
    pub contents: &'a [u8],
}

/// What became of what was handed in. Datagrams in the backlog are counted when they leave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendCounts {
    /// Datagrams given to the kernel.
    pub sent: u64,
    /// Datagrams the kernel refused (no route, too large, address gone).
    pub refused: u64,
    /// Datagrams dropped because the backlog was full.
    pub overflowed: u64,
    /// System calls made.
    pub calls: u64,
}

impl std::ops::AddAssign for SendCounts {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.refused += other.refused;
        self.overflowed += other.overflowed;
        self.calls += other.calls;
    }
}

/// A non-blocking, unconnected UDP socket. It is a `mio` event source; register it for reading and writing.
#[derive(Debug)]
pub struct UdpSocket {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    ipv6: bool,
    segmentation: bool,
    backlog: VecDeque<Waiting>,
    backlog_bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    destination: SocketAddr,
    source: Option<IpAddr>,
    segment_size: usize,
    contents: Vec<u8>,
}

impl Waiting {
    fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            destination: self.destination,
            source: self.source,
            segment_size: self.segment_size,
            contents: &self.contents,
        }
    }
}

/// What one attempt to send came to.
pub(crate) enum Attempt {
    /// This many of the messages went out.
    Sent(usize),
    /// The kernel's buffer is full.
    Blocked,
    /// The first message was refused.
    Refused(io::Error),
}

impl UdpSocket {
    /// Takes over a bound socket and makes it non-blocking.
    ///
    /// # Errors
    /// Those of the system while options are set.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let ipv6 = socket.local_addr()?.is_ipv6();
        let segmentation = state.max_gso_segments() > 1;
        let socket = mio::net::UdpSocket::from_std(socket);
        Ok(Self { socket, state, ipv6, segmentation, backlog: VecDeque::new(), backlog_bytes: 0 })
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whether several datagrams go out with one send (UDP GSO). Turns false for good when the network
    /// device cannot do it.
    pub fn segmentation(&self) -> bool {
        self.segmentation
    }

    /// Whether datagrams wait for the kernel; call [`UdpSocket::flush`] when the socket becomes writable.
    pub fn is_blocked(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Receives up to one batch and hands each datagram to `each`; returns how many there were.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing is there; others are the system's.
    pub fn receive(
        &mut self,
        buffers: &mut ReceiveBuffers,
        each: impl FnMut(Received<'_>),
    ) -> io::Result<usize> {
        let (socket, state) = (&self.socket, &self.state);
        buffers
            .fill(|slices, meta| socket.try_io(|| state.recv(UdpSockRef::from(socket), slices, meta)), each)
    }

    /// Sends runs in order. What the kernel cannot take now waits in the backlog, up to 1 MiB.
    pub fn send<'a>(&mut self, runs: impl IntoIterator<Item = Outgoing<'a>>) -> SendCounts {
        let mut counts = SendCounts::default();
        let mut queue = MessageQueue::new();
        for run in runs {
            self.add_run(&mut queue, run, &mut counts);
        }
        self.drain(&mut queue, &mut counts);
        counts
    }

    /// Sends what waits in the backlog, as far as the kernel takes it.
    pub fn flush(&mut self) -> SendCounts {
        let mut counts = SendCounts::default();
        let waiting = std::mem::take(&mut self.backlog);
        self.backlog_bytes = 0;
        let mut queue = MessageQueue::new();
        for run in &waiting {
            self.add_run(&mut queue, run.outgoing(), &mut counts);
        }
        self.drain(&mut queue, &mut counts);
        counts
    }

    /// Cuts a run into messages of what one send can carry, and sends whenever a system call is full.
    fn add_run<'a>(&mut self, queue: &mut MessageQueue<'a>, run: Outgoing<'a>, counts: &mut SendCounts) {
        let mut rest = run.contents;
        while !rest.is_empty() {
            let segment = if run.segment_size == 0 { rest.len() } else { run.segment_size };
            let segments = if self.segmentation {
                self.state.max_gso_segments().min(MAX_RUN_BYTES / segment).max(1)
            } else {
                1
            };
            let (message, tail) = rest.split_at(rest.len().min(segment * segments));
            rest = tail;
            let message = Outgoing { segment_size: segment, contents: message, ..run };
            if self.is_blocked() {
                self.keep(message, counts);
                continue;
            }
            queue.push(message);
            if queue.is_full() {
                self.drain(queue, counts);
            }
        }
    }

    fn drain(&mut self, queue: &mut MessageQueue<'_>, counts: &mut SendCounts) {
        let messages = queue.take();
        let mut rest = messages.as_slice();
        while let Some(first) = rest.first() {
            if self.is_blocked() {
                for message in rest {
                    self.keep(*message, counts);
                }
                return;
            }
            counts.calls += 1;
            match self.attempt(rest) {
                Attempt::Sent(sent) => {
                    let (done, tail) = rest.split_at(sent.clamp(1, rest.len()));
                    counts.sent += done.iter().map(segments_of).sum::<u64>();
                    rest = tail;
                }
                Attempt::Blocked => {
                    for message in rest {
                        self.keep(*message, counts);
                    }
                    return;
                }
                Attempt::Refused(error) => {
                    self.refused(*first, &error, counts);
                    rest = &rest[1..];
                }
            }
        }
    }

    /// A message was refused. Devices without checksum offload answer segmented sends with `EIO` or
    /// `EINVAL`; a bad destination answers plain ones too. So try plainly, and blame segmentation only if
    /// that works.
    fn refused(&mut self, message: Outgoing<'_>, error: &io::Error, counts: &mut SendCounts) {
        let segments = segments_of(&message);
        let suspicious = matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL));
        if segments == 1 || !suspicious {
            counts.refused += segments;
            return;
        }
        for segment in message.contents.chunks(message.segment_size.max(1)) {
            let plain = Outgoing { segment_size: segment.len(), contents: segment, ..message };
            if self.is_blocked() {
                self.keep(plain, counts);
                continue;
            }
            counts.calls += 1;
            match self.attempt(&[plain]) {
                Attempt::Sent(_) => {
                    self.segmentation = false;
                    counts.sent += 1;
                }
                Attempt::Blocked => self.keep(plain, counts),
                Attempt::Refused(_) => counts.refused += 1,
            }
        }
    }

    fn keep(&mut self, message: Outgoing<'_>, counts: &mut SendCounts) {
        if self.backlog_bytes + message.contents.len() > BACKLOG_BYTES {
            counts.overflowed += segments_of(&message);
            return;
        }
        self.backlog_bytes += message.contents.len();
        self.backlog.push_back(Waiting {
            destination: message.destination,
            source: message.source,
            segment_size: message.segment_size,
            contents: message.contents.to_vec(),
        });
    }

    #[cfg(target_os = "linux")]
    fn attempt(&self, messages: &[Outgoing<'_>]) -> Attempt {
        crate::mmsg::send(&self.socket, self.ipv6, messages)
    }

    /// One message per call where there is no `sendmmsg`.
    #[cfg(not(target_os = "linux"))]
    fn attempt(&self, messages: &[Outgoing<'_>]) -> Attempt {
        let Some(message) = messages.first() else { return Attempt::Sent(0) };
        let transmit = quinn_udp::Transmit {
            destination: match (self.ipv6, message.destination) {
                (true, SocketAddr::V4(v4)) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
                (_, address) => address,
            },
            ecn: None,
            contents: message.contents,
            segment_size: Some(message.segment_size),
            src_ip: message.source,
        };
        let result = self.socket.try_io(|| self.state.try_send(UdpSockRef::from(&self.socket), &transmit));
        match result {
            Ok(()) => Attempt::Sent(1),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Attempt::Blocked,
            Err(error) => Attempt::Refused(error),
        }
    }
}

impl Source for UdpSocket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }
}

fn segments_of(message: &Outgoing<'_>) -> u64 {
    message.contents.len().div_ceil(message.segment_size.max(1)) as u64
}

/// Messages per system call: what the stack arrays of one call hold.
pub(crate) const MESSAGES_PER_CALL: usize = 32;

/// Messages of the next system call.
struct MessageQueue<'a> {
    messages: Vec<Outgoing<'a>>,
}

impl<'a> MessageQueue<'a> {
    fn new() -> Self {
        Self { messages: Vec::with_capacity(MESSAGES_PER_CALL) }
    }

    fn push(&mut self, message: Outgoing<'a>) {
        self.messages.push(message);
    }

    fn is_full(&self) -> bool {
        self.messages.len() >= MESSAGES_PER_CALL
    }

    fn take(&mut self) -> Vec<Outgoing<'a>> {
        std::mem::replace(&mut self.messages, Vec::with_capacity(MESSAGES_PER_CALL))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::*;

    fn socket(address: impl Into<IpAddr>) -> UdpSocket {
        UdpSocket::new(std::net::UdpSocket::bind((address.into(), 0)).expect("loopback exists"))
            .expect("options")
    }

    fn peer() -> std::net::UdpSocket {
        let peer = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback exists");
        peer.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout can be set");
        peer
    }

    fn next(peer: &std::net::UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2048];
        let (length, from) = peer.recv_from(&mut buffer).expect("a datagram comes");
        (buffer[..length].to_vec(), from)
    }

    fn run(destination: SocketAddr, segment_size: usize, contents: &[u8]) -> Outgoing<'_> {
        Outgoing { destination, source: None, segment_size, contents }
    }

    #[test]
    fn a_run_arrives_as_its_datagrams() {
        let (mut socket, peer) = (socket(Ipv4Addr::LOCALHOST), peer());
        let to = peer.local_addr().expect("bound");
        let contents: Vec<u8> = (0..250).collect();
        let counts = socket.send([run(to, 100, &contents), run(to, 0, b"single")]);
        assert_eq!((counts.sent, counts.refused), (4, 0));
        let lengths: Vec<_> = (0..4).map(|_| next(&peer).0.len()).collect();
        assert_eq!(lengths, [100, 100, 50, 6]);
    }

    #[test]
    fn many_small_ones_take_few_calls() {
        let (mut socket, peer) = (socket(Ipv4Addr::LOCALHOST), peer());
        let to = peer.local_addr().expect("bound");
        let bytes: Vec<u8> = (0..100).collect();
        let counts = socket.send(bytes.chunks(1).map(|byte| run(to, 1, byte)));
        assert_eq!(counts.sent, 100);
        #[cfg(target_os = "linux")]
        assert_eq!(counts.calls, 4);
        let got: Vec<u8> = (0..100).map(|_| next(&peer).0[0]).collect();
        assert_eq!(got, bytes);
    }

    #[test]
    fn a_dual_stack_socket_reaches_ipv4_from_the_address_it_is_told() {
        let Ok(raw) = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None) else { return };
        raw.set_only_v6(false).expect("dual stack");
        let any: SocketAddr = (Ipv6Addr::UNSPECIFIED, 0).into();
        if raw.bind(&any.into()).is_err() {
            return; // a machine without IPv6
        }
        let mut socket = UdpSocket::new(raw.into()).expect("options");
        let peer = peer();
        let source: IpAddr = Ipv4Addr::new(127, 0, 0, 9).into();
        let to = peer.local_addr().expect("bound");
        let counts = socket.send([Outgoing { source: Some(source), ..run(to, 3, b"abcdef") }]);
        assert_eq!(counts.sent, 2);
        let (first, from) = next(&peer);
        assert_eq!((first.as_slice(), from.ip()), (&b"abc"[..], source));

        peer.send_to(b"back", from).expect("loopback");
        let mut buffers = ReceiveBuffers::new();
        let mut got = None;
        while got.is_none() {
            let result = socket.receive(&mut buffers, |datagram| {
                got = Some((datagram.source, datagram.destination, datagram.payload.to_vec()));
            });
            if let Err(error) = result {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                std::thread::yield_now();
            }
        }
        assert_eq!(got, Some((to, Some(source), b"back".to_vec())));
    }

    #[test]
    fn a_refused_destination_does_not_stop_the_others_nor_segmentation() {
        let (mut socket, peer) = (socket(Ipv4Addr::LOCALHOST), peer());
        let to = peer.local_addr().expect("bound");
        let before = socket.segmentation();
        let nowhere: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        let counts = socket.send([run(nowhere, 2, b"aabb"), run(to, 2, b"ccdd")]);
        assert_eq!((counts.sent, counts.refused), (2, 2));
        assert_eq!(next(&peer).0, b"cc");
        assert_eq!(socket.segmentation(), before);
    }

    #[test]
    fn without_segmentation_the_same_datagrams_leave() {
        let (mut socket, peer) = (socket(Ipv4Addr::LOCALHOST), peer());
        socket.segmentation = false;
        let counts = socket.send([run(peer.local_addr().expect("bound"), 2, b"aabbc")]);
        assert_eq!(counts.sent, 3);
        assert_eq!(
            [next(&peer).0, next(&peer).0, next(&peer).0],
            [b"aa".to_vec(), b"bb".to_vec(), b"c".to_vec()]
        );
    }

    #[test]
    fn the_backlog_is_bounded_and_leaves_in_order() {
        let (mut socket, peer) = (socket(Ipv4Addr::LOCALHOST), peer());
        let to = peer.local_addr().expect("bound");
        let mut counts = SendCounts::default();
        socket.keep(run(to, 5, b"first"), &mut counts);
        // While something waits, later datagrams queue up behind it.
        counts += socket.send([run(to, 6, b"second")]);
        assert_eq!((counts.sent, socket.backlog.len()), (0, 2));
        let large = vec![0; 60_000];
        for _ in 0..40 {
            counts += socket.send([run(to, 1000, &large)]);
        }
        assert!(socket.backlog_bytes <= BACKLOG_BYTES);
        assert!(counts.overflowed > 0);
        socket.backlog.truncate(2);
        let counts = socket.flush();
        assert_eq!((counts.sent, socket.is_blocked()), (2, false));
        assert_eq!([next(&peer).0, next(&peer).0], [b"first".to_vec(), b"second".to_vec()]);
    }
}
