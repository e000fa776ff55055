//! The bare forwarder: what recvmmsg, one table and sendmmsg cost, and nothing else. No TURN, no checks.

use std::collections::HashMap;
use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail};

/// Datagrams of one system call.
const BATCH: usize = 64;
const BUFFER: usize = 2048;

/// What is forwarded where.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Arguments {
    /// Address that clients send to; peers send to the next port.
    #[arg(long)]
    pub listen: SocketAddrV4,
    /// Address of the first client.
    #[arg(long)]
    pub client: SocketAddrV4,
    /// Address of the first peer.
    #[arg(long)]
    pub peer: SocketAddrV4,
    /// Clients and peers, on consecutive ports.
    #[arg(long)]
    pub flows: u16,
}

/// Runs until it is killed.
pub fn forward(arguments: Arguments) -> Result<()> {
    let bind = |port| {
        let socket = UdpSocket::bind((*arguments.listen.ip(), port)).context("cannot bind")?;
        socket.set_nonblocking(true)?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
        anyhow::Ok(socket)
    };
    let clients = bind(arguments.listen.port())?;
    let peers = bind(arguments.listen.port() + 1)?;
    let (mut to_peer, mut to_client) = (HashMap::new(), HashMap::new());
    for n in 0..arguments.flows {
        let client = (u32::from(*arguments.client.ip()), arguments.client.port() + n);
        let peer = (u32::from(*arguments.peer.ip()), arguments.peer.port() + n);
        to_peer.insert(client, raw(peer));
        to_client.insert(peer, raw(client));
    }
    let mut batch = Batch::new();
    println!("ready");
    loop {
        wait(&[&clients, &peers])?;
        while batch.pass(&clients, &to_peer, &peers)? + batch.pass(&peers, &to_client, &clients)? > 0 {}
    }
}

fn raw((address, port): (u32, u16)) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(Ipv4Addr::from(address)).to_be() },
        sin_zero: [0; 8],
    }
}

fn wait(sockets: &[&UdpSocket; 2]) -> Result<()> {
    let mut polled = sockets.map(|socket| libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    // SAFETY: the kernel reads and writes the two elements of `polled`.
    if unsafe { libc::poll(polled.as_mut_ptr(), 2, -1) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            bail!("poll: {error}");
        }
    }
    Ok(())
}

type Table = HashMap<(u32, u16), libc::sockaddr_in>;

struct Batch {
    buffers: Vec<[u8; BUFFER]>,
    names: Vec<libc::sockaddr_in>,
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

impl Batch {
    fn new() -> Self {
        // SAFETY: these C structures are plain integers and null pointers when zero.
        let (name, vector, message) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Self {
            buffers: vec![[0; BUFFER]; BATCH],
            names: vec![name; BATCH],
            vectors: vec![vector; BATCH],
            messages: vec![message; BATCH],
        }
    }

    /// Receives what is there, sends it on; answers with how many datagrams came.
    fn pass(&mut self, from: &UdpSocket, table: &Table, to: &UdpSocket) -> Result<usize> {
        for n in 0..BATCH {
            self.vectors[n] = libc::iovec { iov_base: self.buffers[n].as_mut_ptr().cast(), iov_len: BUFFER };
            let header = &mut self.messages[n].msg_hdr;
            header.msg_iov = &raw mut self.vectors[n];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut self.names[n]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
        }
        // SAFETY: every header points at a buffer, a vector and a name of this batch, which outlive the call.
        let received = unsafe {
            libc::recvmmsg(from.as_raw_fd(), self.messages.as_mut_ptr(), BATCH as u32, 0, std::ptr::null_mut())
        };
        let Ok(received) = usize::try_from(received) else { return Ok(0) };
        let mut ready = 0;
        for n in 0..received {
            let name = &self.names[n];
            let key = (u32::from_be(name.sin_addr.s_addr), u16::from_be(name.sin_port));
            let Some(to) = table.get(&key) else { continue };
            self.vectors[n].iov_len = self.messages[n].msg_len as usize;
            self.names[n] = *to;
            self.messages.swap(ready, n);
            ready += 1;
        }
        let mut sent = 0;
        while sent < ready {
            // SAFETY: as above; the first `ready` headers describe received datagrams.
            let result =
                unsafe { libc::sendmmsg(to.as_raw_fd(), self.messages[sent..].as_mut_ptr(), (ready - sent) as u32, 0) };
            // One that cannot be sent is lost, as on any relay.
            sent += usize::try_from(result).unwrap_or(1);
        }
        Ok(received)
    }
}
