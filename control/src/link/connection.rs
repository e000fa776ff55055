//! The connection to the relay: frames in and out, without waiting.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use raceway_api::{FrameWriter, ToRelay, limits};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send, socket_with,
    sockopt,
};

/// Frames that wait for the relay to read. Beyond these the relay has stopped for good: 32 MiB.
const BACKLOG_MAX: usize = 256;

/// Octets asked for as the socket's own buffer; the kernel grants what its limits allow.
const SOCKET_BUFFER: usize = 4 << 20;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    writer: FrameWriter,
    backlog: VecDeque<Vec<u8>>,
}

impl Connection {
    /// Connects to the relay.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        // A smaller buffer than asked for only makes the backlog do its work sooner.
        let _ = sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER);
        match connect(&socket, &SocketAddrUnix::new(path)?) {
            // A directory above may be closed to us since we gave up rights: we stand in the run directory.
            Err(Errno::ACCESS) => {
                let name = path.file_name().ok_or(Errno::ACCESS)?;
                connect(&socket, &SocketAddrUnix::new(name)?)?;
            }
            connected => connected?,
        }
        Ok(Self { socket, writer: FrameWriter::new(), backlog: VecDeque::new() })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether frames wait for the relay to read.
    pub(super) fn is_congested(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Receives a frame into `buffer`, if there is one; its length.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((length, _)) => return Ok(Some(length)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Adds a message to the frame being built; sends that when it is full.
    pub(super) fn push(&mut self, message: &ToRelay<'_>) -> io::Result<()> {
        if self.writer.push(message) {
            return Ok(());
        }
        self.flush()?;
        if self.writer.push(message) { Ok(()) } else { Err(io::Error::other("a message larger than a frame")) }
    }

    /// Sends the frame being built.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.writer.is_empty() {
            return Ok(());
        }
        if self.backlog.is_empty() && try_send(&self.socket, self.writer.frame())? {
            self.writer.clear();
            return Ok(());
        }
        if self.backlog.len() >= BACKLOG_MAX {
            return Err(io::Error::other("the relay does not read what it is sent"));
        }
        self.backlog.push_back(self.writer.frame().to_vec());
        self.writer.clear();
        Ok(())
    }

    /// Sends what waits, as far as the relay takes it.
    pub(super) fn flush_backlog(&mut self) -> io::Result<()> {
        while let Some(frame) = self.backlog.front() {
            if !try_send(&self.socket, frame)? {
                return Ok(());
            }
            self.backlog.pop_front();
        }
        Ok(())
    }
}

/// False when the relay has to read first.
fn try_send(socket: &OwnedFd, frame: &[u8]) -> io::Result<bool> {
    loop {
        match send(socket, frame, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(true),
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A buffer for one frame.
pub(super) fn frame_buffer() -> Vec<u8> {
    vec![0; limits::FRAME_MAX]
}
