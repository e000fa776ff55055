//! The connection to control: whole frames in, whole frames out, never waiting.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use raceway_api::limits::FRAME_MAX;
use raceway_api::{FrameWriter, FromRelay};
use socket2::Socket;

use crate::limits::{OUTGOING_BUSY, OUTGOING_MAX};

/// Octets that the kernel may hold for control, as far as it allows.
const SEND_BUFFER: usize = 4 << 20;
/// Empty frames kept for reuse.
const SPARE_MAX: usize = 8;

/// A connection of control.
pub struct Connection {
    socket: Socket,
    incoming: Box<[u8]>,
    /// Octets of the last frame in it.
    used: usize,
    writer: FrameWriter,
    outgoing: VecDeque<Vec<u8>>,
    outgoing_octets: usize,
    spare: Vec<Vec<u8>>,
}

impl Connection {
    /// Takes over an accepted socket.
    ///
    /// # Errors
    /// It cannot be made non-blocking.
    pub fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // Capped by the system's limit; a smaller buffer only means more turns.
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        Ok(Self {
            socket,
            // One more than allowed, so that a longer frame is seen to be longer.
            incoming: vec![0; FRAME_MAX + 1].into(),
            used: 0,
            writer: FrameWriter::new(),
            outgoing: VecDeque::new(),
            outgoing_octets: 0,
            spare: Vec::new(),
        })
    }

    /// The next frame; `None` when there is none yet.
    ///
    /// # Errors
    /// `UnexpectedEof` when control is gone, or what the kernel says.
    pub fn receive(&mut self) -> io::Result<Option<&[u8]>> {
        // There may have been keys in the one before.
        self.incoming[..std::mem::take(&mut self.used)].fill(0);
        match self.socket.read(&mut self.incoming) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(octets) => {
                self.used = octets;
                Ok(Some(&self.incoming[..octets]))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Queues a message.
    pub fn push(&mut self, message: &FromRelay<'_>) {
        if self.writer.push(message) {
            return;
        }
        self.close_frame();
        if !self.writer.push(message) {
            // Its parts have limits that keep it far below; a report is split before it gets here.
            tracing::error!("a message for control is longer than a frame and was left out");
        }
    }

    fn close_frame(&mut self) {
        if self.writer.is_empty() {
            return;
        }
        let mut frame = self.spare.pop().unwrap_or_default();
        frame.clear();
        frame.extend_from_slice(self.writer.frame());
        self.outgoing_octets += frame.len();
        self.outgoing.push_back(frame);
        self.writer.clear();
    }

    /// Hands queued messages to the kernel, as many as it takes now.
    ///
    /// # Errors
    /// Control is gone, or so slow that [`OUTGOING_MAX`] octets wait.
    pub fn flush(&mut self) -> io::Result<()> {
        self.close_frame();
        while let Some(frame) = self.outgoing.front() {
            match self.socket.send(frame) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            self.outgoing_octets -= frame.len();
            if let Some(mut frame) = self.outgoing.pop_front() {
                // There may be keys in it.
                frame.fill(0);
                if self.spare.len() < SPARE_MAX {
                    self.spare.push(frame);
                }
            }
        }
        if self.outgoing_octets > OUTGOING_MAX {
            return Err(io::Error::other("control does not read what it is sent"));
        }
        Ok(())
    }

    /// Whether messages wait for the kernel.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether so much waits that datagrams should stay where they are.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.outgoing_octets > OUTGOING_BUSY
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
