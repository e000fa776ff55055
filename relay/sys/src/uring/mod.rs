//! Datagrams through io_uring: multishot receive into provided buffers, sends in batches.
//!
//! One thread makes a [`Uring`] and is the only one that uses it (single issuer, deferred task run: the kernel does
//! its part of the work inside [`Uring::wait`], so nothing interrupts the packet path).
//!
//! A buffer is the kernel's until an [`Event::Received`] names it, then the caller's until it is sent or released,
//! and goes back to the kernel in the next `wait`. Sends carry `MSG_DONTWAIT`, so each is complete when the system
//! call that submitted it returns: buffers are recycled after that and never before.

mod buffers;
mod sends;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use crate::Address;
use buffers::{Buffers, GROUP};
use sends::{File, Sends};

pub use buffers::{Buffer, HEADROOM, PAYLOAD_MAX};

/// Completions taken from the ring at a time.
const BATCH_MAX: usize = 512;
/// Submissions that fit the ring; more are submitted in between.
const SUBMISSIONS: u32 = 2048;
/// Completions that fit the ring.
const COMPLETIONS: u32 = 8192;

/// Longest wait for more than one event, in microseconds.
pub const GATHER_US: u32 = 40;
/// Events that end it.
const GATHER: usize = 16;

const RECEIVE: u64 = 1 << 32;
const SEND: u64 = 2 << 32;
const WAKE: u64 = 3 << 32;
const CANCEL: u64 = 4 << 32;
const KIND: u64 = 0xf << 32;

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
        remote: Option<Address>,
        /// It was longer than [`PAYLOAD_MAX`] and is cut.
        truncated: bool,
        /// Its TOS or traffic class (DSCP and ECN).
        traffic_class: u8,
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

/// Wakes the thread that waits in [`Uring::wait`].
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

/// Figures of the back end itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct UringFigures {
    /// Datagrams that the kernel refused to send.
    pub sends_failed: u64,
    /// Times that a socket ran out of buffers (its datagrams waited in the socket).
    pub starved: u64,
}

/// One completion, copied out of the ring.
#[derive(Clone, Copy)]
struct Done {
    user_data: u64,
    result: i32,
    flags: u32,
}

/// A socket to send from.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Its number, if it has one here; any other if not.
    pub socket: u32,
    /// Its descriptor.
    pub fd: RawFd,
}

#[derive(Clone, Copy)]
struct Socket {
    fd: RawFd,
    stopping: bool,
    /// The ring knows it by its number, which saves looking up the descriptor for each datagram.
    registered: bool,
}

const NO_SOCKET: Socket = Socket { fd: -1, stopping: false, registered: false };

/// The back end of one worker.
pub struct Uring {
    // Dropped first: the kernel lets go of all memory below when the ring is gone.
    ring: IoUring,
    buffers: Buffers,
    sends: Sends,
    sockets: Box<[Socket]>,
    rearm: Vec<u32>,
    done: Vec<Done>,
    next: usize,
    waker: Waker,
    wake_value: Box<u64>,
    figures: UringFigures,
    /// The kernel can wait for several events for a limited time (6.12).
    gathers: bool,
    /// There is room for registered files.
    registers: bool,
}

impl Uring {
    /// A ring for sockets numbered below `sockets_max`, used by the calling thread alone.
    ///
    /// # Errors
    /// What io_uring_setup(2) says: the kernel is too old (6.1 is needed), or io_uring is switched off.
    pub fn new(sockets_max: u32, waker: Waker) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(COMPLETIONS)
            .setup_clamp()
            .setup_submit_all()
            .build(SUBMISSIONS)?;
        let buffers = Buffers::new(&ring)?;
        let gathers = ring.params().is_feature_min_timeout();
        // Refused where fewer files may be open: then descriptors do.
        let registers = ring.submitter().register_files_sparse(sockets_max).is_ok();
        let mut uring = Self {
            ring,
            gathers,
            registers,
            buffers,
            sends: Sends::new(),
            sockets: vec![NO_SOCKET; sockets_max as usize].into(),
            rearm: Vec::with_capacity(sockets_max as usize),
            done: Vec::with_capacity(2 * BATCH_MAX),
            next: 0,
            waker,
            wake_value: Box::new(0),
            figures: UringFigures::default(),
        };
        uring.listen_for_wake();
        Ok(uring)
    }

    /// Starts to receive from a socket under a number that is not in use. The caller keeps the socket open until
    /// [`Event::Stopped`].
    pub fn receive(&mut self, socket: u32, fd: RawFd) {
        if let Some(place) = self.sockets.get_mut(socket as usize) {
            let registered = self.registers
                && self.ring.submitter().register_files_update(socket, &[fd]).is_ok_and(|done| done == 1);
            *place = Socket { fd, stopping: false, registered };
            self.arm(socket);
        }
    }

    /// Stops receiving; [`Event::Stopped`] follows.
    pub fn stop(&mut self, socket: u32) {
        if let Some(place) = self.sockets.get_mut(socket as usize) {
            place.stopping = true;
            let cancel = opcode::AsyncCancel::new(RECEIVE | u64::from(socket)).build().user_data(CANCEL);
            self.submit_later(cancel);
        }
    }

    /// Hands everything that was queued to the kernel, takes used buffers back, and waits until something happened.
    /// [`next_event`](Self::next_event) then gives what did.
    ///
    /// With `gather` it waits for several events, but no longer than [`GATHER_US`]: under load, being woken for each
    /// datagram costs more than anything that is done with it.
    ///
    /// # Errors
    /// What io_uring_enter(2) says; nothing that goes away by itself.
    pub fn wait(&mut self, gather: bool) -> io::Result<()> {
        self.done.drain(..self.next);
        self.next = 0;
        self.queue_sends();
        self.rearm();
        if self.buffers.mostly_used() {
            // Waiting with so few buffers would starve the sockets.
            self.enter(0)?;
            self.collect();
            self.recycle();
        }
        match (self.done.is_empty(), gather && self.gathers) {
            (false, _) => self.enter(0)?,
            (true, false) => self.enter(1)?,
            (true, true) => self.enter_gathering()?,
        }
        self.collect();
        self.recycle();
        Ok(())
    }

    /// Arms the sockets whose multishot receive ended. One that was stopped meanwhile had nothing to cancel.
    fn rearm(&mut self) {
        for at in 0..self.rearm.len() {
            let socket = self.rearm[at];
            if self.sockets.get(socket as usize).is_some_and(|s| s.stopping) {
                let done = Done { user_data: RECEIVE | u64::from(socket), result: -libc::ECANCELED, flags: 0 };
                self.done.push(done);
            } else {
                self.arm(socket);
            }
        }
        self.rearm.clear();
    }

    /// What happened, until `None`.
    #[inline]
    pub fn next_event(&mut self) -> Option<Event> {
        while let Some(done) = self.done.get(self.next).copied() {
            self.next += 1;
            if let Some(event) = self.event(done) {
                return Some(event);
            }
        }
        None
    }

    /// The whole memory of a buffer; a payload is received at [`HEADROOM`].
    #[inline]
    pub fn memory(&mut self, buffer: &Buffer) -> &mut [u8] {
        self.buffers.memory(buffer)
    }

    /// Queues a datagram: `payload` of `buffer`, from one socket to `to`. Consecutive datagrams of one size
    /// between the same two ends become one segmented send.
    #[inline]
    pub fn send(
        &mut self,
        from: Sender,
        to: Address,
        traffic_class: u8,
        buffer: Buffer,
        payload: core::ops::Range<usize>,
    ) {
        let memory = self.buffers.memory(&buffer);
        match memory.get_mut(payload) {
            Some(payload) => {
                let file = match self.sockets.get(from.socket as usize) {
                    Some(socket) if socket.registered && socket.fd == from.fd => File::Registered(from.socket),
                    _ => File::Descriptor(from.fd),
                };
                self.sends.push(file, from.fd, to, traffic_class, payload);
                if self.sends.is_full() {
                    self.queue_sends();
                    // A failure shows again, and is reported, in `wait`.
                    let _ = self.ring.submit();
                    self.collect();
                    self.sends.clear();
                }
            }
            None => self.figures.sends_failed += 1,
        }
        self.release(buffer);
    }

    /// Gives a buffer back unsent.
    #[inline]
    pub fn release(&mut self, buffer: Buffer) {
        self.buffers.release(buffer);
    }

    /// Figures since the start.
    #[must_use]
    pub fn figures(&self) -> UringFigures {
        self.figures
    }

    fn event(&mut self, done: Done) -> Option<Event> {
        let socket = done.user_data as u32;
        match done.user_data & KIND {
            RECEIVE => self.received(socket, done),
            WAKE => {
                self.listen_for_wake();
                Some(Event::Woken)
            }
            _ => None,
        }
    }

    fn received(&mut self, socket: u32, done: Done) -> Option<Event> {
        let ended = !cqueue::more(done.flags);
        if let (Some(id), Ok(octets)) = (cqueue::buffer_select(done.flags), usize::try_from(done.result)) {
            if ended {
                self.rearm.push(socket);
            }
            let (buffer, received) = self.buffers.received(id, octets);
            return Some(Event::Received {
                socket,
                buffer,
                length: received.length,
                remote: received.remote,
                truncated: received.truncated,
                traffic_class: received.traffic_class,
            });
        }
        if !ended {
            return None;
        }
        match -done.result {
            _ if self.sockets.get(socket as usize).is_none_or(|s| s.stopping) => self.stopped(socket),
            libc::ECANCELED | libc::EBADF | libc::ENOTSOCK | libc::EINVAL => self.stopped(socket),
            libc::ENOBUFS => {
                self.figures.starved += 1;
                self.rearm.push(socket);
                None
            }
            0 => {
                self.rearm.push(socket);
                None
            }
            _ => {
                self.rearm.push(socket);
                Some(Event::NetworkError { socket })
            }
        }
    }

    fn stopped(&mut self, socket: u32) -> Option<Event> {
        let stopped = std::mem::replace(self.sockets.get_mut(socket as usize)?, NO_SOCKET);
        if stopped.registered {
            // Cannot fail for a number in range; and if it did, the next socket under this number replaces it.
            let _ = self.ring.submitter().register_files_update(socket, &[-1]);
        }
        Some(Event::Stopped { socket })
    }

    fn arm(&mut self, socket: u32) {
        let Some(Socket { fd, .. }) = self.sockets.get(socket as usize).copied() else { return };
        let receive = opcode::RecvMsgMulti::new(types::Fd(fd), self.buffers.template(), GROUP)
            .build()
            .user_data(RECEIVE | u64::from(socket));
        self.submit_later(receive);
    }

    fn listen_for_wake(&mut self) {
        let value = std::ptr::from_mut(&mut *self.wake_value).cast();
        let read = opcode::Read::new(types::Fd(self.waker.0.as_raw_fd()), value, 8).build().user_data(WAKE);
        self.submit_later(read);
    }

    /// Queues a submission; makes room first if there is none.
    fn submit_later(&mut self, entry: squeue::Entry) {
        // SAFETY: what the entries point to (message template, send batch, wake value) is owned by `self`, does not
        // move (boxed or mapped) and outlives the ring, which is dropped first.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            if self.ring.submit().is_err() {
                return;
            }
        }
    }

    fn queue_sends(&mut self) {
        for at in self.sends.prepare() {
            let send = self.sends.submission(at).flags(squeue::Flags::SKIP_SUCCESS);
            let send = send.user_data(SEND | u64::from(self.sends.tag(at)));
            self.submit_later(send);
        }
    }

    fn enter(&mut self, want: usize) -> io::Result<()> {
        passing(self.ring.submit_and_wait(want))
    }

    fn enter_gathering(&mut self) -> io::Result<()> {
        let arguments = types::SubmitArgs::new().min_wait_usec(GATHER_US);
        passing(self.ring.submitter().submit_with_args(GATHER, &arguments))
    }

    /// Copies completions out; failed sends are retried while their memory still holds them.
    fn collect(&mut self) {
        let completions = self.ring.completion();
        for entry in completions.take(BATCH_MAX.saturating_sub(self.done.len())) {
            if entry.user_data() & KIND == SEND {
                self.figures.sends_failed += self.sends.failed(entry.user_data() as u32, entry.result());
            } else {
                self.done.push(Done { user_data: entry.user_data(), result: entry.result(), flags: entry.flags() });
            }
        }
    }

    /// Everything submitted is complete: memory of the batch is free again.
    fn recycle(&mut self) {
        self.sends.clear();
        self.buffers.recycle();
    }
}

/// Lets errors pass that go away by themselves.
fn passing(entered: io::Result<usize>) -> io::Result<()> {
    match entered {
        Ok(_) => Ok(()),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ETIME)) => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;
