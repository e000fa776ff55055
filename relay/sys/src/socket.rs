//! Sockets for datagrams, and what the network says about them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use raceway_units::Endpoint;
use socket2::{Domain, Protocol, Socket, Type};

use crate::address::{self, NAME_MAX};

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// TURN clients send to it; one of several on the same address, among which the kernel divides them by a hash of
    /// both ends: a client always reaches the same one while their number stays.
    Listener,
    /// A relayed transport address: alone on its address, and told of ICMP errors.
    Relayed,
}

/// Octets that may wait in the kernel for a listener, in each direction, as far as the kernel allows.
const LISTENER_BUFFER: i32 = 4 << 20;
/// Octets that may wait in the kernel for a relayed transport address.
const RELAYED_BUFFER: i32 = 1 << 20;

/// IPv4: no DF, fragments by the MTU of the interface; unlike `IP_PMTUDISC_DONT`, the socket is still told when a
/// router could not pass on a datagram that was sent with DF.
const V4_FRAGMENT: i32 = libc::IP_PMTUDISC_OMIT;
/// IPv6: fragments by the path MTU that the kernel learned, and the socket is told of it.
const V6_FRAGMENT: i32 = libc::IPV6_PMTUDISC_WANT;

/// Opens and binds a socket. Datagrams leave without DF and are fragmented if they must be, except through
/// [`send_unfragmented`].
///
/// # Errors
/// What the kernel says: `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`, EMFILE.
pub fn open(address: SocketAddr, purpose: Purpose) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    let fd = socket.as_fd();
    let buffer = match purpose {
        Purpose::Listener => {
            socket.set_reuse_port(true)?;
            LISTENER_BUFFER
        }
        Purpose::Relayed => RELAYED_BUFFER,
    };
    set_buffers(fd, buffer);
    match address {
        SocketAddr::V4(_) => {
            set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, V4_FRAGMENT)?;
            set(fd, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
            if purpose == Purpose::Relayed {
                set(fd, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
            }
        }
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, V6_FRAGMENT)?;
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
            if purpose == Purpose::Relayed {
                set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
            }
        }
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Has the kernel say when each datagram arrived, before anybody was there to take it.
///
/// # Errors
/// What setsockopt(2) says.
pub fn stamp_arrivals(fd: BorrowedFd<'_>) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// Asks for buffers beyond the system's limit (needs CAP_NET_ADMIN), else for what the limit allows.
fn set_buffers(fd: BorrowedFd<'_>, octets: i32) {
    for (force, plain) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
        if set(fd, libc::SOL_SOCKET, force, octets).is_err() {
            // Capped silently by the kernel; `doctor` speaks about the limit.
            let _ = set(fd, libc::SOL_SOCKET, plain, octets);
        }
    }
}

fn set(fd: BorrowedFd<'_>, level: i32, option: i32, value: i32) -> io::Result<()> {
    set_raw(fd.as_raw_fd(), level, option, value)
}

fn set_raw(fd: RawFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    let octets = size_of::<i32>() as u32;
    // SAFETY: the value is an int and its length is given; a descriptor that is none gives EBADF.
    let result = unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), octets) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether an error of a send may be about an earlier datagram: a socket that asked for ICMP errors reports them at the
/// next call, whatever it is.
pub(crate) const fn may_be_of_an_earlier_one(errno: i32) -> bool {
    matches!(
        errno,
        libc::ECONNREFUSED
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::ENOPROTOOPT
            | libc::EPROTO
            | libc::EACCES
            | libc::EMSGSIZE
    )
}

/// Sends a datagram at once.
///
/// # Errors
/// What sendto(2) says; an ICMP error of an earlier datagram is not among it (the call is made again).
pub fn send_to(fd: RawFd, to: Endpoint, payload: &[u8]) -> io::Result<()> {
    let mut name = [0; NAME_MAX];
    let length = address::write(&to, &mut name);
    let send = || {
        // SAFETY: `payload` and `name` are readable for the lengths given.
        let sent = unsafe {
            libc::sendto(
                fd,
                payload.as_ptr().cast(),
                payload.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                name.as_ptr().cast(),
                length,
            )
        };
        if sent >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    match send() {
        Err(e) if e.raw_os_error().is_some_and(may_be_of_an_earlier_one) => send(),
        other => other,
    }
}

/// Sends a datagram with DF set (RFC 8656 section 14). One that is too long (for the interface, or over IPv6 for the
/// known path) is not sent, and the socket's error queue then says so.
///
/// # Errors
/// What sendto(2) says.
pub fn send_unfragmented(fd: RawFd, to: Endpoint, payload: &[u8]) -> io::Result<()> {
    let (level, option, yes, no) = if SocketAddr::from(to).is_ipv4() {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE, V4_FRAGMENT)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO, V6_FRAGMENT)
    };
    set_raw(fd, level, option, yes)?;
    let sent = send_to(fd, to, payload);
    set_raw(fd, level, option, no)?;
    sent
}

/// An ICMP message about a datagram that this socket sent, or the kernel's own word that one was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkError {
    /// Where the datagram was going.
    pub destination: Endpoint,
    /// ICMP or ICMPv6 type, by the family of `destination`.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Next-hop MTU for "too long", else zero.
    pub mtu: u32,
}

/// Takes the oldest message from the error queue of a socket.
#[must_use]
pub fn network_error(fd: RawFd) -> Option<NetworkError> {
    let mut name = [0u8; NAME_MAX];
    let mut control = [0u64; 32];
    // SAFETY: a C structure of integers and pointers, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = NAME_MAX as u32;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the header names memory of this function for the lengths given, and no payload.
    let result = unsafe { libc::recvmsg(fd, &mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if result < 0 {
        return None;
    }
    let destination = address::read(&name)?;
    extended_error(&header).and_then(|error| network_error_from(destination, &error))
}

fn extended_error(header: &libc::msghdr) -> Option<libc::sock_extended_err> {
    // SAFETY: the kernel filled the header; CMSG_FIRSTHDR and CMSG_NXTHDR stay inside `msg_controllen`, and the
    // data of an IP_RECVERR or IPV6_RECVERR message starts with a `sock_extended_err`, read unaligned.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(at) = message.as_ref() {
            if matches!(
                (at.cmsg_level, at.cmsg_type),
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
            ) {
                return Some(libc::CMSG_DATA(message).cast::<libc::sock_extended_err>().read_unaligned());
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

fn network_error_from(destination: Endpoint, error: &libc::sock_extended_err) -> Option<NetworkError> {
    let too_long = error.ee_errno == libc::EMSGSIZE as u32;
    let mtu = if too_long { error.ee_info } else { 0 };
    match error.ee_origin {
        libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => {
            Some(NetworkError { destination, kind: error.ee_type, code: error.ee_code, mtu })
        }
        libc::SO_EE_ORIGIN_LOCAL if too_long => {
            // What a router would have said: fragmentation needed (3, 4), or packet too big (2, 0).
            let (kind, code) = if SocketAddr::from(destination).is_ipv4() { (3, 4) } else { (2, 0) };
            Some(NetworkError { destination, kind, code, mtu })
        }
        _ => None,
    }
}

/// `SO_MEMINFO` and the place of its count of drops (linux/sock_diag.h).
const SO_MEMINFO: i32 = 55;
const MEMINFO_DROPS: usize = 8;
const MEMINFO_WORDS: usize = 9;

/// Datagrams that the kernel dropped since the socket was opened because its queue was full. Wraps at 2^32.
#[must_use]
pub fn queue_drops(fd: RawFd) -> u32 {
    let mut words = [0u32; MEMINFO_WORDS];
    let mut octets = size_of_val(&words) as libc::socklen_t;
    // SAFETY: the kernel writes at most `octets` octets, which is what `words` holds. Nothing is written for a
    // descriptor that is none, or by a kernel that does not know the option.
    unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, SO_MEMINFO, words.as_mut_ptr().cast(), &mut octets) };
    words[MEMINFO_DROPS]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn local(fd: &OwnedFd) -> SocketAddr {
        socket2::SockRef::from(fd).local_addr().unwrap().as_socket().unwrap()
    }

    #[test]
    fn listeners_share_an_address_and_a_relayed_one_is_alone() {
        let first = open("127.0.0.1:0".parse().unwrap(), Purpose::Listener).unwrap();
        open(local(&first), Purpose::Listener).expect("a second listener");
        let relayed = open("127.0.0.1:0".parse().unwrap(), Purpose::Relayed).unwrap();
        let again = open(local(&relayed), Purpose::Relayed).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let error = open("192.0.2.1:0".parse().unwrap(), Purpose::Relayed).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn a_closed_port_is_reported_and_the_next_send_still_works() {
        for host in ["127.0.0.1", "::1"] {
            let closed = UdpSocket::bind((host, 0)).unwrap().local_addr().unwrap();
            let open_peer = UdpSocket::bind((host, 0)).unwrap();
            let socket = open((host.parse::<std::net::IpAddr>().unwrap(), 0).into(), Purpose::Relayed).unwrap();
            send_to(socket.as_raw_fd(), closed.into(), b"x").unwrap();
            send_to(socket.as_raw_fd(), open_peer.local_addr().unwrap().into(), b"y").unwrap();
            let error = network_error(socket.as_raw_fd()).expect("port unreachable");
            let expected = if closed.is_ipv4() { (3, 3) } else { (1, 4) };
            assert_eq!((error.destination, error.kind, error.code), (closed.into(), expected.0, expected.1));
            assert_eq!(network_error(socket.as_raw_fd()), None);
            let mut buffer = [0; 8];
            assert_eq!(open_peer.recv(&mut buffer).unwrap(), 1);
        }
    }

    #[test]
    fn a_full_queue_counts_what_it_drops() {
        let socket = open("127.0.0.1:0".parse().unwrap(), Purpose::Relayed).unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(queue_drops(socket.as_raw_fd()), 0);
        for _ in 0..10_000 {
            from.send_to(&[0; 1400], local(&socket)).unwrap();
        }
        assert!(queue_drops(socket.as_raw_fd()) > 0);
    }
}
