//! Datagrams through epoll, recvmmsg and sendmmsg: for kernels and containers that have no io_uring.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use arrayvec::ArrayVec;
use raceway_units::Endpoint;

use crate::address::{self, NAME_MAX};
use crate::io::memory::{BUFFERS, Buffer, CONTROL, HEADROOM, Memory, OWN_MAX, PAYLOAD_MAX, notes};
use crate::io::sends::Sends;
use crate::io::{Event, Figures, PacketIo, Wait, Waker};

/// Sockets that are looked at in one turn.
const READY_MAX: usize = 64;
/// Datagrams of one system call.
const BATCH: usize = 64;
/// `epoll_event.u64` of the waker; sockets have their number.
const WAKER: u64 = u64::MAX;

/// The back end of one worker.
pub struct Mmsg {
    epoll: OwnedFd,
    memory: Memory,
    free: Vec<u16>,
    /// Free ones for datagrams of the caller's own.
    own: Vec<u16>,
    used: Vec<u16>,
    sends: Sends,
    sockets: Box<[RawFd]>,
    ready: Box<[libc::epoll_event]>,
    events: Vec<Event>,
    slots: Slots,
    waker: Waker,
    figures: Figures,
}

/// Where a batch of received datagrams is described.
struct Slots {
    headers: Box<[libc::mmsghdr]>,
    payloads: Box<[libc::iovec]>,
    names: Box<[[u8; NAME_MAX]]>,
    controls: Box<[Control]>,
}

#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

impl Slots {
    fn new() -> Self {
        // SAFETY: C structures of integers and pointers, for which zero is a value.
        let (header, payload): (libc::mmsghdr, libc::iovec) = unsafe { std::mem::zeroed() };
        Self {
            headers: vec![header; BATCH].into(),
            payloads: vec![payload; BATCH].into(),
            names: vec![[0; NAME_MAX]; BATCH].into(),
            controls: vec![Control([0; CONTROL]); BATCH].into(),
        }
    }

    /// Points a place at the payload of a buffer that starts at `buffer`.
    fn prepare(&mut self, at: usize, buffer: *mut u8) {
        self.payloads[at] = libc::iovec { iov_base: buffer.wrapping_add(HEADROOM).cast(), iov_len: PAYLOAD_MAX };
        let header = &mut self.headers[at].msg_hdr;
        header.msg_name = self.names[at].as_mut_ptr().cast();
        header.msg_namelen = NAME_MAX as u32;
        header.msg_iov = &mut self.payloads[at];
        header.msg_iovlen = 1;
        header.msg_control = self.controls[at].0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL as _;
    }

    fn event(&self, at: usize, socket: u32, buffer: Buffer) -> Event {
        let header = &self.headers[at].msg_hdr;
        let notes = notes(&self.controls[at].0, header.msg_controllen);
        Event::Received {
            socket,
            buffer,
            length: (self.headers[at].msg_len as usize).min(PAYLOAD_MAX),
            remote: address::read(&self.names[at][..NAME_MAX.min(header.msg_namelen as usize)]),
            truncated: header.msg_flags & libc::MSG_TRUNC != 0,
            traffic_class: notes.traffic_class,
            arrived: notes.arrived,
        }
    }
}

impl Mmsg {
    /// For sockets numbered below `sockets_max`, used by one thread alone, with `own` buffers (at most [`OWN_MAX`]) for
    /// datagrams of its own.
    ///
    /// # Errors
    /// What epoll_create1(2) says.
    pub fn new(sockets_max: u32, own: u16, waker: Waker) -> io::Result<Self> {
        let own = own.min(OWN_MAX);
        // SAFETY: no pointers; the result is checked.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let mut back_end = Self {
            epoll,
            memory: Memory::new(own)?,
            free: (0..BUFFERS).collect(),
            own: (BUFFERS..BUFFERS + own).collect(),
            used: Vec::with_capacity(usize::from(BUFFERS + own)),
            sends: Sends::new(),
            sockets: vec![-1; sockets_max as usize].into(),
            ready: vec![libc::epoll_event { events: 0, u64: 0 }; READY_MAX].into(),
            // Every buffer, and beside each socket that is ready an error; stops in masses may make it grow.
            events: Vec::with_capacity(usize::from(BUFFERS) + 4 * READY_MAX),
            slots: Slots::new(),
            figures: Figures::default(),
            waker,
        };
        back_end.control(libc::EPOLL_CTL_ADD, back_end.waker.as_fd().as_raw_fd(), WAKER)?;
        Ok(back_end)
    }

    fn control(&mut self, operation: i32, fd: RawFd, number: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number };
        // SAFETY: the kernel reads one event, which lives here.
        let done = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &mut event) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Deals with one socket that epoll named.
    fn serve(&mut self, ready: libc::epoll_event) {
        if ready.u64 == WAKER {
            self.waker.drain();
            self.events.push(Event::Woken);
            return;
        }
        let socket = ready.u64 as u32;
        if ready.events & libc::EPOLLERR as u32 != 0 {
            self.events.push(Event::NetworkError { socket });
        }
        self.receive_batch(socket);
    }

    /// Sends everything that was queued.
    fn flush(&mut self) {
        self.figures.sends_failed += self.sends.send_all();
        self.sends.clear();
    }

    fn receive_batch(&mut self, socket: u32) {
        let Some(fd) = self.sockets.get(socket as usize).copied().filter(|fd| *fd >= 0) else { return };
        let wanted = BATCH.min(self.free.len());
        if wanted == 0 {
            self.figures.starved += 1;
            return;
        }
        let first = self.free.len() - wanted;
        for at in 0..wanted {
            self.slots.prepare(at, self.memory.start(self.free[first + at]));
        }
        let headers = self.slots.headers.as_mut_ptr();
        // SAFETY: each of the first `wanted` headers was just pointed at a name, control room and a free buffer, for the
        // lengths given; all of them outlive the call.
        let received = unsafe { libc::recvmmsg(fd, headers, wanted as u32, libc::MSG_DONTWAIT, std::ptr::null_mut()) };
        // An error is one of the network, which EPOLLERR has told, or that nothing is there any more.
        let Ok(received) = usize::try_from(received) else { return };
        for at in 0..received {
            self.events.push(self.slots.event(at, socket, Buffer(self.free[first + at])));
        }
        self.free.drain(first..first + received);
    }
}

impl PacketIo for Mmsg {
    fn receive(&mut self, socket: u32, fd: RawFd) {
        let added = self.control(libc::EPOLL_CTL_ADD, fd, u64::from(socket));
        match (added, self.sockets.get_mut(socket as usize)) {
            (Ok(()), Some(place)) => *place = fd,
            _ => self.events.push(Event::Stopped { socket }),
        }
    }

    fn stop(&mut self, socket: u32) {
        let Some(place) = self.sockets.get_mut(socket as usize) else { return };
        let fd = std::mem::replace(place, -1);
        if fd >= 0 {
            // Fails only for a descriptor that is not there, and then there is nothing to stop.
            let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0);
            self.events.push(Event::Stopped { socket });
        }
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        self.flush();
        for id in self.used.drain(..) {
            if id >= BUFFERS { self.own.push(id) } else { self.free.push(id) }
        }
        let longest = match wait {
            _ if !self.events.is_empty() => Some(Duration::ZERO),
            Wait::Event | Wait::Gather => None,
            Wait::AtMost(longest) => Some(longest),
        };
        let longest = longest.map(|longest| libc::timespec {
            tv_sec: longest.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: longest.subsec_nanos().into(),
        });
        let longest = longest.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let (ready, most) = (self.ready.as_mut_ptr(), READY_MAX as i32);
        // SAFETY: the kernel writes at most `READY_MAX` events, which is what `ready` has room for, and reads a time that
        // lives until the end of this function, or none; no mask of signals is given.
        let count = unsafe { libc::epoll_pwait2(self.epoll.as_raw_fd(), ready, most, longest, std::ptr::null()) };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        };
        for at in 0..count {
            self.serve(self.ready[at]);
        }
        // Events are taken from the end.
        self.events.reverse();
        Ok(())
    }

    #[inline]
    fn next_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    #[inline]
    fn originate(&mut self) -> Option<Buffer> {
        self.own.pop().map(Buffer)
    }

    #[inline]
    fn memory(&mut self, buffer: &Buffer) -> &mut [u8] {
        self.memory.of(buffer)
    }

    fn memories<'a, 'b, const N: usize>(
        &'a mut self,
        buffers: impl Iterator<Item = &'b mut Buffer>,
    ) -> ArrayVec<&'a mut [u8], N> {
        self.memory.of_each(buffers)
    }

    fn send(&mut self, from: RawFd, to: Endpoint, traffic_class: u8, buffer: Buffer, payload: Range<usize>) {
        match self.memory.of(&buffer).get_mut(payload) {
            Some(payload) => {
                self.sends.push(from, to, traffic_class, payload);
                if self.sends.is_full() {
                    self.flush();
                }
            }
            None => self.figures.sends_failed += 1,
        }
        self.release(buffer);
    }

    #[inline]
    fn release(&mut self, buffer: Buffer) {
        self.used.push(buffer.0);
    }

    fn figures(&self) -> Figures {
        self.figures
    }
}
