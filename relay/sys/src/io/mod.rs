//! What a worker receives and sends through: one interface, two ways to do it.

pub(crate) mod memory;
pub(crate) mod sends;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use raceway_units::Endpoint;

pub use memory::{Buffer, HEADROOM, OWN_MAX, PAYLOAD_MAX};

/// Datagrams in and out, for one thread. Sockets have numbers that the caller chooses.
///
/// Drive it in turns: [`wait`](Self::wait), then [`next_event`](Self::next_event) until `None`; send or release every
/// buffer that an event brought. Nothing allocates after construction.
pub trait PacketIo {
    /// Starts to receive from a socket under a number that is not in use. The caller keeps the socket open until
    /// [`Event::Stopped`].
    fn receive(&mut self, socket: u32, fd: RawFd);

    /// Stops receiving; [`Event::Stopped`] follows.
    fn stop(&mut self, socket: u32);

    /// Hands everything that was queued to the kernel and waits until something happened.
    ///
    /// # Errors
    /// What the kernel says; nothing that goes away by itself.
    fn wait(&mut self, wait: Wait) -> io::Result<()>;

    /// What happened, until `None`.
    fn next_event(&mut self) -> Option<Event>;

    /// A buffer for a datagram of the caller's own, to be sent or released. `None` while all those that the back end was
    /// made with are in use: they come back in [`wait`](Self::wait).
    fn originate(&mut self) -> Option<Buffer>;

    /// The whole memory of a buffer; a payload is received at [`HEADROOM`].
    fn memory(&mut self, buffer: &Buffer) -> &mut [u8];

    /// That of several buffers, in their order.
    ///
    /// # Panics
    /// There are more than `N`.
    fn memories<'a, 'b, const N: usize>(
        &'a mut self,
        buffers: impl Iterator<Item = &'b mut Buffer>,
    ) -> ArrayVec<&'a mut [u8], N>;

    /// Queues a datagram: `payload` of `buffer`, from one socket to `to`. Consecutive datagrams of one size between the
    /// same two ends become one segmented send.
    fn send(&mut self, from: RawFd, to: Endpoint, traffic_class: u8, buffer: Buffer, payload: Range<usize>);

    /// Gives a buffer back unsent.
    fn release(&mut self, buffer: Buffer);

    /// Figures since the start.
    fn figures(&self) -> Figures;
}

/// How long [`PacketIo::wait`] may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until something happened.
    Event,
    /// Until something happened, or a little longer: under load, being woken for each datagram costs more than anything
    /// that is done with it.
    Gather,
    /// Until something happened, but no longer than this.
    AtMost(Duration),
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A datagram arrived.
    Received {
        /// Number of the socket.
        socket: u32,
        /// Memory that holds it; to be sent or released.
        buffer: Buffer,
        /// Octets of its payload, which starts at [`HEADROOM`].
        length: usize,
        /// Its source; absent for a family that nobody asked for.
        remote: Option<Endpoint>,
        /// It was longer than [`PAYLOAD_MAX`] and is cut.
        truncated: bool,
        /// Its TOS or traffic class (DSCP and ECN).
        traffic_class: u8,
        /// When it arrived, by the wall clock since 1970, of a socket that was told to say so
        /// ([`stamp_arrivals`](crate::socket::stamp_arrivals)).
        arrived: Option<Duration>,
    },
    /// The socket has errors of the network to tell (ICMP).
    NetworkError {
        /// Number of the socket.
        socket: u32,
    },
    /// The socket receives no more: it was stopped, or the kernel refuses it.
    Stopped {
        /// Number of the socket.
        socket: u32,
    },
    /// [`Waker::wake`] was called.
    Woken,
}

/// Figures of the back end itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Datagrams that the kernel refused to send.
    pub sends_failed: u64,
    /// Times that a socket ran out of buffers (its datagrams waited in the socket).
    pub starved: u64,
}

/// Wakes the thread that waits in [`PacketIo::wait`].
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Makes a waker.
    ///
    /// # Errors
    /// What eventfd(2) says.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(Self(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Wakes; never blocks for less than 2^64 calls without a wait.
    pub fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: `one` is eight readable octets. Failure (the counter is full) means that a wake-up is pending.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Takes back all wake-ups so far; waits for one if there is none. For a thread that polls the descriptor itself.
    pub fn drain(&self) {
        let mut count = [0; 8];
        // SAFETY: `count` is eight writable octets. There is nothing to do about a failure but poll again.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
