//! `sendmmsg` on Linux: up to 32 messages with one system call, each a single datagram or a run that the
//! kernel or the network device cuts into datagrams (UDP GSO, `udp(7)`, `UDP_SEGMENT`).
#![allow(unsafe_code)]

use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::{io, ptr};

use crate::udp::{Attempt, MESSAGES_PER_CALL, Outgoing};

/// Room for two control messages: the larger of the two packet infos, and the segment size.
const CONTROL_BYTES: usize = 64;

#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Sends messages from the front; `ipv6` tells the family of the socket.
pub(crate) fn send(socket: &mio::net::UdpSocket, ipv6: bool, messages: &[Outgoing<'_>]) -> Attempt {
    let count = messages.len().min(MESSAGES_PER_CALL);
    let mut names = [const { MaybeUninit::<libc::sockaddr_storage>::uninit() }; MESSAGES_PER_CALL];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; MESSAGES_PER_CALL];
    let mut vectors = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; MESSAGES_PER_CALL];
    // SAFETY: all-zero bytes are a valid `mmsghdr`: null pointers and lengths of 0.
    let mut headers: [libc::mmsghdr; MESSAGES_PER_CALL] = unsafe { mem::zeroed() };

    for (((message, name), control), (vector, header)) in
        messages[..count].iter().zip(&mut names).zip(&mut controls).zip(vectors.iter_mut().zip(&mut headers))
    {
        vector.iov_base = message.contents.as_ptr().cast_mut().cast();
        vector.iov_len = message.contents.len();
        let header = &mut header.msg_hdr;
        header.msg_name = name.as_mut_ptr().cast();
        header.msg_namelen = write_address(name, message.destination, ipv6);
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        write_control(header, control, message);
    }

    loop {
        let socket_fd = socket.as_raw_fd();
        let result = socket.try_io(|| {
            // SAFETY: `headers` holds `count` initialised entries; their pointers lead to `names`,
            // `controls`, `vectors` and the messages' contents, all of which outlive the call; the kernel
            // only reads through them (and writes `msg_len`, which is ours).
            let sent = unsafe {
                libc::sendmmsg(socket_fd, headers.as_mut_ptr(), count as libc::c_uint, libc::MSG_DONTWAIT)
            };
            usize::try_from(sent).map_err(|_| io::Error::last_os_error())
        });
        return match result {
            Ok(sent) => Attempt::Sent(sent),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => continue,
                io::ErrorKind::WouldBlock => Attempt::Blocked,
                _ => Attempt::Refused(error),
            },
        };
    }
}

/// Writes a socket address in the socket's family (IPv4 as v4-mapped on an IPv6 socket); returns its length.
fn write_address(
    name: &mut MaybeUninit<libc::sockaddr_storage>,
    destination: SocketAddr,
    ipv6: bool,
) -> libc::socklen_t {
    match (destination, ipv6) {
        (SocketAddr::V4(v4), false) => {
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: `sockaddr_storage` is large enough and aligned for every socket address.
            unsafe { name.as_mut_ptr().cast::<libc::sockaddr_in>().write(address) };
            mem::size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        (destination, _) => {
            let (ip, scope) = match destination {
                SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
                SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
            };
            let address = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: destination.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: ip.octets() },
                sin6_scope_id: scope,
            };
            // SAFETY: as above.
            unsafe { name.as_mut_ptr().cast::<libc::sockaddr_in6>().write(address) };
            mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Adds the source address and the segment size, where there are any.
fn write_control(header: &mut libc::msghdr, control: &mut MaybeUninit<Control>, message: &Outgoing<'_>) {
    let segmented = message.segment_size < message.contents.len();
    let source = match (message.source, message.destination) {
        (Some(IpAddr::V4(source)), SocketAddr::V4(_)) => Some(IpAddr::V4(source)),
        (Some(IpAddr::V6(source)), SocketAddr::V6(_)) => Some(IpAddr::V6(source)),
        _ => None, // a source of the other family cannot be meant
    };
    if !segmented && source.is_none() {
        return;
    }
    control.write(Control([0; CONTROL_BYTES]));
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_BYTES as _;
    let mut used = 0;
    // SAFETY: `msg_control` points to 64 zeroed bytes, aligned for `cmsghdr`. The two messages need at
    // most CMSG_SPACE(20) + CMSG_SPACE(2) = 40 + 24 bytes, so CMSG_FIRSTHDR and CMSG_NXTHDR stay inside.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        match source {
            Some(IpAddr::V4(source)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                used += put(next, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
                next = libc::CMSG_NXTHDR(header, next);
            }
            Some(IpAddr::V6(source)) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
                    ipi6_ifindex: 0,
                };
                used += put(next, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
                next = libc::CMSG_NXTHDR(header, next);
            }
            None => {}
        }
        if segmented {
            let size = u16::try_from(message.segment_size).unwrap_or(u16::MAX);
            used += put(next, libc::SOL_UDP, libc::UDP_SEGMENT, size);
        }
    }
    header.msg_controllen = used as _;
}

/// Writes one control message and returns the space it takes.
///
/// # Safety
/// `at` is null or points to room for `CMSG_SPACE(size_of::<T>())` bytes.
unsafe fn put<T>(at: *mut libc::cmsghdr, level: libc::c_int, kind: libc::c_int, value: T) -> usize {
    if at.is_null() {
        return 0;
    }
    let size = mem::size_of::<T>() as libc::c_uint;
    // SAFETY: the caller's promise; the payload may be unaligned, hence `write_unaligned`.
    unsafe {
        (*at).cmsg_level = level;
        (*at).cmsg_type = kind;
        (*at).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(at).cast::<T>().write_unaligned(value);
        libc::CMSG_SPACE(size) as usize
    }
}
