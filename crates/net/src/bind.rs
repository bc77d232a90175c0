//! Binding the port: TCP first and exclusively, then one UDP socket per worker on the same number.
//!
//! A second server can bind an `SO_REUSEPORT` port without an error and then steals flows (measured), so
//! the TCP listener is the lock, and the UDP port is probed without the option before it is shared.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::udp::UdpSocket;

/// Bytes asked for as socket buffers, per worker and direction; the kernel may give less. A key frame
/// burst to 50 subscribers is about 3 MB.
const BUFFER_BYTES: usize = 4 << 20;

/// Connections the kernel keeps until they are accepted: a school's worth of browsers at once.
const BACKLOG: i32 = 1024;

/// How often a free TCP port is tried whose UDP twin is taken, when the port may be any.
const ANY_PORT_TRIES: usize = 32;

/// What to bind.
#[derive(Clone, Debug)]
pub struct BindRequest {
    /// Where HTTP and WebSocket are served; the unspecified IPv6 address stands for IPv4 as well.
    pub http: Vec<IpAddr>,
    /// Where media is received; the unspecified IPv6 address stands for IPv4 as well.
    pub media: IpAddr,
    /// The number for both; 0 takes any that is free.
    pub port: u16,
    /// Number of UDP sockets.
    pub workers: usize,
}

/// The bound sockets, non-blocking.
#[derive(Debug)]
pub struct Bound {
    /// One listener per address that could be bound.
    pub tcp: Vec<TcpListener>,
    /// One socket per worker.
    pub udp: Vec<UdpSocket>,
    /// The number.
    pub port: u16,
    /// Whether media is received over IPv6 too.
    pub media_ipv6: bool,
}

/// Why the port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody listens on the TCP port.
    #[error("a Konklave already listens on {0}, or another program does; choose another port with --port")]
    TcpTaken(SocketAddr),
    /// Somebody has the UDP port.
    #[error("UDP port {0} is taken by another program; choose another port with --port")]
    UdpTaken(SocketAddr),
    /// The system refused for another reason.
    #[error("cannot bind {address}: {source}")]
    Refused {
        /// What was to be bound.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Binds everything or nothing.
///
/// # Errors
/// [`BindError`]: the port is taken, or the system refuses (privileged port, foreign address).
pub fn bind(request: &BindRequest) -> Result<Bound, BindError> {
    let mut tries = 1;
    loop {
        match bind_once(request) {
            // The kernel chose the number for TCP alone; its UDP twin may belong to somebody.
            Err(BindError::UdpTaken(_)) if request.port == 0 && tries < ANY_PORT_TRIES => tries += 1,
            result => return result,
        }
    }
}

fn bind_once(request: &BindRequest) -> Result<Bound, BindError> {
    let mut port = request.port;
    let mut tcp = Vec::new();
    for address in &request.http {
        match listen(SocketAddr::new(*address, port)) {
            Ok(listener) => {
                port = port_of(&listener, port);
                tcp.push(listener);
            }
            // A machine without IPv6 still serves its other addresses.
            Err(BindError::Refused { source, .. }) if address.is_ipv6() && no_ipv6(&source) => {
                if *address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
                    let listener = listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))?;
                    port = port_of(&listener, port);
                    tcp.push(listener);
                }
            }
            Err(error) => return Err(error),
        }
    }
    let (media, probe) = match probe_udp(SocketAddr::new(request.media, port)) {
        Err(BindError::Refused { source, .. })
            if request.media == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && no_ipv6(&source) =>
        {
            let media = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
            (media, probe_udp(media)?)
        }
        other => (SocketAddr::new(request.media, port), other?),
    };
    let port = probe.local_addr().ok().and_then(|address| address.as_socket()).map_or(port, |at| at.port());
    drop(probe);
    let media = SocketAddr::new(media.ip(), port);
    let udp = (0..request.workers.max(1)).map(|_| shared_udp(media)).collect::<Result<_, _>>()?;
    Ok(Bound { tcp, udp, port, media_ipv6: media.is_ipv6() })
}

fn port_of(listener: &TcpListener, fallback: u16) -> u16 {
    listener.local_addr().map_or(fallback, |address| address.port())
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPFNOSUPPORT))
}

fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    let open = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        // Connections of the previous run in TIME_WAIT do not stop a restart; a listener does.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    open().map_err(|source| refused(address, source, BindError::TcpTaken))
}

fn refused(address: SocketAddr, source: io::Error, taken: fn(SocketAddr) -> BindError) -> BindError {
    if source.kind() == io::ErrorKind::AddrInUse {
        taken(address)
    } else {
        BindError::Refused { address, source }
    }
}

fn open_udp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    Ok(socket)
}

fn probe_udp(address: SocketAddr) -> Result<Socket, BindError> {
    let open = || -> io::Result<Socket> {
        let socket = open_udp(address)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    open().map_err(|source| refused(address, source, BindError::UdpTaken))
}

fn shared_udp(address: SocketAddr) -> Result<UdpSocket, BindError> {
    let open = || -> io::Result<UdpSocket> {
        let socket = open_udp(address)?;
        #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
        socket.set_reuse_port(true)?;
        // What the kernel does not grant is no reason to stop: it only means more drops in bursts.
        let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(BUFFER_BYTES);
        socket.bind(&address.into())?;
        UdpSocket::new(socket.into())
    };
    open().map_err(|source| refused(address, source, BindError::UdpTaken))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(port: u16, workers: usize) -> BindRequest {
        BindRequest {
            http: vec![Ipv4Addr::LOCALHOST.into()],
            media: Ipv4Addr::LOCALHOST.into(),
            port,
            workers,
        }
    }

    #[test]
    fn tcp_and_udp_get_the_same_number() {
        let bound = bind(&loopback(0, 3)).expect("a free port exists");
        assert_eq!(bound.tcp[0].local_addr().expect("it is bound").port(), bound.port);
        assert_eq!(bound.udp.len(), 3);
        for socket in &bound.udp {
            assert_eq!(socket.local_address().expect("it is bound").port(), bound.port);
        }
    }

    #[test]
    fn a_second_server_is_turned_away_by_the_tcp_port() {
        let first = bind(&loopback(0, 1)).expect("a free port exists");
        let error = bind(&loopback(first.port, 1)).expect_err("the port is taken");
        assert!(matches!(error, BindError::TcpTaken(_)), "{error}");
        assert!(error.to_string().contains("already listens"), "{error}");
    }

    #[test]
    fn a_foreign_udp_socket_is_noticed() {
        let bound = bind(&loopback(0, 1)).expect("a free port exists");
        let Bound { tcp, udp: _udp, port, .. } = bound;
        drop(tcp);
        let error = bind(&loopback(port, 1)).expect_err("the UDP port is taken");
        assert!(matches!(error, BindError::UdpTaken(_)), "{error}");
    }

    #[test]
    fn the_port_is_free_again_afterwards() {
        let port = bind(&loopback(0, 2)).expect("a free port exists").port;
        bind(&loopback(port, 2)).expect("everything was closed");
    }
}
