//! Datagrams through io_uring: multishot receive into provided buffers, sends in batches.
//!
//! One thread makes a [`Uring`] and is the only one that uses it (single issuer, deferred task run: the kernel does
//! its part of the work inside [`PacketIo::wait`], so nothing interrupts the packet path).
//!
//! A buffer is the kernel's until an [`Event::Received`] names it, then the caller's until it is sent or released,
//! and goes back to the kernel in the next `wait`. Sends carry `MSG_DONTWAIT`, so each is complete when the system
//! call that submitted it returns: buffers are recycled after that and never before.
//!
//! Files are not registered with the ring: it would save a few percent of a send, but registered files are closed by a
//! kernel thread some time after the process has died, and until then a relay that is started anew shares its listeners
//! with the dead one and loses datagrams to it.

mod buffers;

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use arrayvec::ArrayVec;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use raceway_units::Endpoint;

use crate::io::memory::{Buffer, OWN_MAX};
use crate::io::sends::Sends;
use crate::io::{Event, Figures, PacketIo, Wait, Waker};
use buffers::{Buffers, GROUP};

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

/// One completion, copied out of the ring.
#[derive(Clone, Copy)]
struct Done {
    user_data: u64,
    result: i32,
    flags: u32,
}

#[derive(Clone, Copy)]
struct Socket {
    fd: RawFd,
    stopping: bool,
}

const NO_SOCKET: Socket = Socket { fd: -1, stopping: false };

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
    figures: Figures,
    /// The kernel can wait for several events for a limited time (6.12).
    gathers: bool,
}

impl Uring {
    /// A ring for sockets numbered below `sockets_max`, used by the calling thread alone, with `own` buffers (at most
    /// [`OWN_MAX`](crate::io::OWN_MAX)) for datagrams of its own.
    ///
    /// # Errors
    /// What io_uring_setup(2) says: the kernel is too old (6.1 is needed), or io_uring is switched off.
    pub fn new(sockets_max: u32, own: u16, waker: Waker) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(COMPLETIONS)
            .setup_clamp()
            .setup_submit_all()
            .build(SUBMISSIONS)?;
        let buffers = Buffers::new(&ring, own.min(OWN_MAX))?;
        let gathers = ring.params().is_feature_min_timeout();
        let mut uring = Self {
            ring,
            gathers,
            buffers,
            sends: Sends::new(),
            sockets: vec![NO_SOCKET; sockets_max as usize].into(),
            rearm: Vec::with_capacity(sockets_max as usize),
            done: Vec::with_capacity(2 * BATCH_MAX),
            next: 0,
            waker,
            wake_value: Box::new(0),
            figures: Figures::default(),
        };
        uring.listen_for_wake();
        Ok(uring)
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
                traffic_class: received.notes.traffic_class,
                arrived: received.notes.arrived,
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
        *self.sockets.get_mut(socket as usize)? = NO_SOCKET;
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
        let read = opcode::Read::new(types::Fd(self.waker.as_fd().as_raw_fd()), value, 8).build().user_data(WAKE);
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

    fn enter_at_most(&mut self, longest: Duration) -> io::Result<()> {
        let longest = types::Timespec::from(longest);
        let arguments = types::SubmitArgs::new().timespec(&longest);
        passing(self.ring.submitter().submit_with_args(1, &arguments))
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

impl PacketIo for Uring {
    fn receive(&mut self, socket: u32, fd: RawFd) {
        if let Some(place) = self.sockets.get_mut(socket as usize) {
            *place = Socket { fd, stopping: false };
            self.arm(socket);
        }
    }

    fn stop(&mut self, socket: u32) {
        if let Some(place) = self.sockets.get_mut(socket as usize) {
            place.stopping = true;
            let cancel = opcode::AsyncCancel::new(RECEIVE | u64::from(socket)).build().user_data(CANCEL);
            self.submit_later(cancel);
        }
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
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
        match wait {
            _ if !self.done.is_empty() => self.enter(0)?,
            Wait::AtMost(Duration::ZERO) => self.enter(0)?,
            Wait::AtMost(longest) => self.enter_at_most(longest)?,
            Wait::Gather if self.gathers => self.enter_gathering()?,
            Wait::Event | Wait::Gather => self.enter(1)?,
        }
        self.collect();
        self.recycle();
        Ok(())
    }

    #[inline]
    fn next_event(&mut self) -> Option<Event> {
        while let Some(done) = self.done.get(self.next).copied() {
            self.next += 1;
            if let Some(event) = self.event(done) {
                return Some(event);
            }
        }
        None
    }

    #[inline]
    fn originate(&mut self) -> Option<Buffer> {
        self.buffers.originate()
    }

    #[inline]
    fn memory(&mut self, buffer: &Buffer) -> &mut [u8] {
        self.buffers.memory(buffer)
    }

    fn memories<'a, 'b, const N: usize>(
        &'a mut self,
        buffers: impl Iterator<Item = &'b mut Buffer>,
    ) -> ArrayVec<&'a mut [u8], N> {
        self.buffers.memories(buffers)
    }

    #[inline]
    fn send(&mut self, from: RawFd, to: Endpoint, traffic_class: u8, buffer: Buffer, payload: core::ops::Range<usize>) {
        let memory = self.buffers.memory(&buffer);
        match memory.get_mut(payload) {
            Some(payload) => {
                self.sends.push(from, to, traffic_class, payload);
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

    #[inline]
    fn release(&mut self, buffer: Buffer) {
        self.buffers.release(buffer);
    }

    fn figures(&self) -> Figures {
        self.figures
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
