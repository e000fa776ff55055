//! The bare forwarder by recvmmsg and sendmmsg.

use std::io;
use std::mem::zeroed;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Result, bail};

use super::segments::{CONTROL, Control};
use super::{Arguments, Table, segments, sockets};

/// Octets of a datagram, and of a row of them.
const DATAGRAM: usize = 2048;
const ROW: usize = 65_536;

/// Runs until it is killed.
pub fn forward(arguments: Arguments) -> Result<()> {
    let [to_peer, to_client] = Table::both(&arguments);
    let mut batch = Batch::new(arguments.batch, arguments.gso);
    let [clients, peers] = sockets(&arguments)?;
    loop {
        wait(&[&clients, &peers])?;
        while batch.pass(&clients, &to_peer, &peers) + batch.pass(&peers, &to_client, &clients) > 0 {}
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

struct Batch {
    rows: bool,
    buffers: Vec<Box<[u8]>>,
    names: Vec<libc::sockaddr_in>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

impl Batch {
    fn new(size: usize, rows: bool) -> Self {
        // SAFETY: these C structures are plain integers and null pointers when zero.
        let (name, vector, message) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Self {
            rows,
            buffers: vec![vec![0; if rows { ROW } else { DATAGRAM }].into(); size],
            names: vec![name; size],
            controls: vec![Control([0; CONTROL]); size],
            vectors: vec![vector; size],
            messages: vec![message; size],
        }
    }

    /// Receives what is there, sends it on; answers with how many messages came.
    fn pass(&mut self, from: &UdpSocket, table: &Table, to: &UdpSocket) -> usize {
        for n in 0..self.buffers.len() {
            let buffer = &mut self.buffers[n];
            self.vectors[n] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            let header = &mut self.messages[n].msg_hdr;
            header.msg_iov = &raw mut self.vectors[n];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut self.names[n]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            if self.rows {
                header.msg_control = self.controls[n].0.as_mut_ptr().cast();
                header.msg_controllen = CONTROL as _;
            }
        }
        let (messages, size) = (self.messages.as_mut_ptr(), self.messages.len() as u32);
        // SAFETY: every header points at a buffer, a vector, a name and control room of this batch, which outlive the
        // call.
        let received = unsafe { libc::recvmmsg(from.as_raw_fd(), messages, size, 0, std::ptr::null_mut()) };
        let Ok(received) = usize::try_from(received) else { return 0 };
        let mut ready = 0;
        for n in 0..received {
            let Some((to, _)) = table.find(&self.names[n]) else { continue };
            self.vectors[n].iov_len = self.messages[n].msg_len as usize;
            self.names[n] = to;
            self.mark_row(n);
            self.messages.swap(ready, n);
            ready += 1;
        }
        self.send(to, ready);
        received
    }

    /// A row that was received as one is sent as one.
    fn mark_row(&mut self, n: usize) {
        let header = &mut self.messages[n].msg_hdr;
        let used = header.msg_controllen.min(CONTROL);
        let row = if self.rows { segments::read(&self.controls[n].0[..used]) } else { None };
        match row {
            Some(segment) => self.controls[n] = segments::write(segment),
            None => header.msg_controllen = 0,
        }
    }

    fn send(&mut self, to: &UdpSocket, ready: usize) {
        let mut sent = 0;
        while sent < ready {
            let rest = &mut self.messages[sent..ready];
            // SAFETY: as above; the first `ready` headers describe received messages.
            let result = unsafe { libc::sendmmsg(to.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, 0) };
            // One that cannot be sent is lost, as on any relay.
            sent += usize::try_from(result).unwrap_or(1);
        }
    }
}
