//! Opening many sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use raceway_sys::socket::{self, Purpose};
use socket2::SockRef;

/// Descriptors that a process needs besides sockets.
const OTHERS: u64 = 64;

/// Makes room for `sockets` descriptors.
///
/// # Errors
/// The system's limit is lower, and what to do about it.
pub fn allow(sockets: u64) -> Result<()> {
    let wanted = sockets + OTHERS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(());
    }
    if setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).is_ok()
        || setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).is_ok() && hard >= wanted
    {
        return Ok(());
    }
    bail!(
        "this takes {wanted} open files and the limit is {hard}: ask for fewer streams, several streams a socket \
         (--streams-per-socket), or raise the limit (ulimit -n {wanted})"
    )
}

/// A socket on any free port of an address.
///
/// # Errors
/// What the kernel says.
pub fn open(address: IpAddr) -> Result<OwnedFd> {
    open_at(SocketAddr::new(address, 0))
}

/// A socket on this address.
///
/// # Errors
/// It is taken, not an address of this machine, or what else the kernel says.
pub fn open_at(address: SocketAddr) -> Result<OwnedFd> {
    match socket::open(address, Purpose::Relayed) {
        Ok(fd) => {
            socket::stamp_arrivals(fd.as_fd())?;
            Ok(fd)
        }
        Err(error) => {
            let place = if address.port() == 0 { address.ip().to_string() } else { address.to_string() };
            let advice = advice(&error);
            Err(error).with_context(|| format!("no socket on {place}{advice}"))
        }
    }
}

/// What to do about a socket that cannot be bound.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => ": is it an address of this machine? (`ip address` shows them)",
        io::ErrorKind::AddrInUse => ": another program has that port (`ss -ulpn` shows which)",
        io::ErrorKind::PermissionDenied => ": ports below 1024 are for root",
        _ => "",
    }
}

/// Where a socket is bound.
///
/// # Errors
/// What the kernel says.
pub fn local(fd: &impl AsFd) -> io::Result<SocketAddr> {
    let address = SockRef::from(fd).local_addr()?;
    address.as_socket().ok_or_else(|| io::Error::other("not an Internet socket"))
}
