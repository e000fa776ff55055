//! Bare forwarders: what receiving, one table and sending cost, and nothing else. No TURN, no checks.

mod mmsg;
mod secured;
mod segments;
mod uring;

use std::net::{SocketAddrV4, UdpSocket};

use anyhow::{Context, Result};
use clap::ValueEnum;
use hashbrown::HashMap;

use crate::session::{client, peer};

/// What is forwarded where, and how.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Arguments {
    /// Address that clients send to; peers send to the next port.
    #[arg(long)]
    listen: SocketAddrV4,
    /// Address of the first client.
    #[arg(long)]
    client: SocketAddrV4,
    /// Address of the first peer.
    #[arg(long)]
    peer: SocketAddrV4,
    /// Clients and peers.
    #[arg(long)]
    flows: u32,
    /// System calls to forward by.
    #[arg(long, value_enum, default_value_t = Io::Mmsg)]
    io: Io,
    /// Take and send rows of datagrams as one (UDP GRO and GSO).
    #[arg(long)]
    gso: bool,
    /// Datagrams received before they are sent on.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Microseconds to wait for more than one datagram (io_uring).
    #[arg(long, default_value_t = 40)]
    gather_us: u32,
    /// Microseconds to poll the device before sleeping.
    #[arg(long, default_value_t = 0)]
    busy_poll_us: u32,
    /// Let a thread of the kernel submit (io_uring).
    #[arg(long)]
    sqpoll: bool,
    /// Send without copying (io_uring).
    #[arg(long)]
    zero_copy: bool,
    /// Make SRTP of RTP that goes to peers (io_uring).
    #[arg(long)]
    srtp: bool,
}

/// System calls to forward by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Io {
    /// recvmmsg and sendmmsg.
    Mmsg,
    /// io_uring.
    Uring,
}

/// Runs until it is killed.
pub fn forward(arguments: Arguments) -> Result<()> {
    match arguments.io {
        Io::Mmsg => mmsg::forward(arguments),
        Io::Uring => uring::forward(arguments),
    }
}

/// Where a datagram goes, by where it came from, and the number of its flow.
struct Table(HashMap<(u32, u16), (libc::sockaddr_in, u32), foldhash::fast::FixedState>);

impl Table {
    /// Towards peers, and towards clients.
    fn both(arguments: &Arguments) -> [Self; 2] {
        let [mut to_peer, mut to_client] = [(); 2].map(|()| Self(HashMap::default()));
        for n in 0..arguments.flows {
            let client = client(arguments.client, n);
            let peer = peer(arguments.peer, n);
            to_peer.0.insert((u32::from(*client.ip()), client.port()), (raw(peer), n));
            to_client.0.insert((u32::from(*peer.ip()), peer.port()), (raw(client), n));
        }
        [to_peer, to_client]
    }

    fn find(&self, from: &libc::sockaddr_in) -> Option<(libc::sockaddr_in, u32)> {
        self.0.get(&(u32::from_be(from.sin_addr.s_addr), u16::from_be(from.sin_port))).copied()
    }
}

fn raw(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

/// The socket that clients send to, and the one that peers send to.
fn sockets(arguments: &Arguments) -> Result<[UdpSocket; 2]> {
    let bind = |port| {
        let socket = UdpSocket::bind((*arguments.listen.ip(), port)).context("cannot bind")?;
        socket.set_nonblocking(true)?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
        if arguments.gso {
            segments::accept(&socket)?;
        }
        if arguments.busy_poll_us > 0 {
            busy_poll(&socket, arguments.busy_poll_us)?;
        }
        anyhow::Ok(socket)
    };
    Ok([bind(arguments.listen.port())?, bind(arguments.listen.port() + 1)?])
}

fn busy_poll(socket: &UdpSocket, us: u32) -> Result<()> {
    segments::set(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL, us.cast_signed())?;
    segments::set(socket, libc::SOL_SOCKET, libc::SO_PREFER_BUSY_POLL, 1)
}
