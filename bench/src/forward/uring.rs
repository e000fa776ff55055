//! The bare forwarder by io_uring: multishot receive into provided buffers, one send for each datagram or row.
//!
//! All memory that the kernel is given lives as long as the process: a forwarder runs until it is killed.

use std::alloc::{Layout, alloc_zeroed};
use std::mem::zeroed;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use io_uring::types::{BufRingEntry, Fd, Napi, RecvMsgOut, SubmitArgs};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::secured::{Packet, Secured};
use super::segments::{CONTROL, Control};
use super::{Arguments, Table, segments, sockets};

/// Buffers of one datagram each, or of a row each.
const BUFFERS: u16 = 1024;
const DATAGRAM: usize = 2048;
const ROW: usize = 65_536 + 64;
/// Submissions that fit the ring: every buffer, and a receive for each socket.
const SUBMISSIONS: u32 = 2048;
const COMPLETIONS: u32 = 8192;
/// Completions that end a wait for more than one.
const GATHER: usize = 16;
/// Turns at a shorter distance, with fewer completions than this, wait for more.
const BUSY: Duration = Duration::from_micros(100);
const ENOUGH: usize = 8;
/// How long the kernel's submission thread looks for work before it sleeps, milliseconds.
const SQPOLL_IDLE_MS: u32 = 50;

const SEND: u64 = 1 << 32;
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
const NAME: u32 = size_of::<libc::sockaddr_in>() as u32;

/// Runs until it is killed.
pub fn forward(arguments: Arguments) -> Result<()> {
    let [to_peer, to_client] = Table::both(&arguments);
    let mut forwarder = Forwarder::new(arguments)?;
    let sockets = sockets(&arguments)?;
    forwarder.arm(0, &sockets);
    forwarder.arm(1, &sockets);
    loop {
        forwarder.wait()?;
        forwarder.turn(&sockets, [&to_peer, &to_client]);
    }
}

/// What a send of one buffer needs to stay in place.
struct Outgoing {
    name: libc::sockaddr_in,
    vector: libc::iovec,
    control: Control,
    header: libc::msghdr,
}

struct Forwarder {
    arguments: Arguments,
    ring: IoUring,
    /// Completions tell when a buffer is free again; otherwise it is when the system call that sent it returns.
    tracked: bool,
    template: Box<libc::msghdr>,
    memory: *mut u8,
    octets: usize,
    entries: *mut BufRingEntry,
    tail: u16,
    outgoing: Box<[Outgoing]>,
    /// Sent with the next system call, or received for nobody.
    used: Vec<u16>,
    done: Vec<cqueue::Entry>,
    turned_at: Instant,
    gather: bool,
    secured: Option<Secured>,
    /// Octets to send from each buffer, where these are others than came.
    lengths: Vec<u32>,
}

impl Forwarder {
    fn new(arguments: Arguments) -> Result<Self> {
        let ring = ring(&arguments)?;
        let octets = if arguments.gso { ROW } else { DATAGRAM };
        let entries = pages(usize::from(BUFFERS) * size_of::<BufRingEntry>())?.cast();
        // SAFETY: page aligned, large enough, and there until the process ends.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, 0, 0)? };
        // SAFETY: C structures of integers and pointers, for which zero is a value.
        let (mut template, outgoing) = unsafe {
            let outgoing = (0..BUFFERS).map(|_| zeroed()).collect();
            (Box::new(zeroed::<libc::msghdr>()), outgoing)
        };
        template.msg_namelen = NAME;
        template.msg_controllen = if arguments.gso { CONTROL as _ } else { 0 };
        let mut forwarder = Self {
            arguments,
            ring,
            tracked: arguments.sqpoll || arguments.zero_copy,
            template,
            memory: pages(usize::from(BUFFERS) * octets)?,
            octets,
            entries,
            tail: 0,
            outgoing,
            used: Vec::with_capacity(usize::from(BUFFERS)),
            done: Vec::with_capacity(COMPLETIONS as usize),
            turned_at: Instant::now(),
            gather: false,
            secured: arguments.srtp.then(|| Secured::new(arguments.flows)),
            lengths: vec![0; if arguments.srtp { usize::from(BUFFERS) } else { 0 }],
        };
        (0..BUFFERS).for_each(|buffer| forwarder.recycle(buffer));
        Ok(forwarder)
    }

    /// Receives from the socket of a number until told otherwise.
    fn arm(&mut self, number: usize, sockets: &[UdpSocket; 2]) {
        let fd = Fd(sockets[number].as_raw_fd());
        self.push(opcode::RecvMsgMulti::new(fd, &*self.template, 0).build().user_data(number as u64));
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: what entries point to is in `self`, boxed or of pages, and there until the process ends.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            // One that fails, fails again and is reported in `wait`.
            let _ = self.ring.submit();
        }
    }

    fn wait(&mut self) -> Result<()> {
        if !self.tracked && self.used.len() > usize::from(BUFFERS) / 2 {
            passing(self.ring.submit())?;
            self.recycle_used();
        }
        if self.gather && self.arguments.gather_us > 0 {
            let arguments = SubmitArgs::new().min_wait_usec(self.arguments.gather_us);
            passing(self.ring.submitter().submit_with_args(GATHER, &arguments))?;
        } else {
            passing(self.ring.submit_and_wait(1))?;
        }
        if !self.tracked {
            self.recycle_used();
        }
        Ok(())
    }

    /// Sends on what came, in batches.
    fn turn(&mut self, sockets: &[UdpSocket; 2], tables: [&Table; 2]) {
        let mut done = std::mem::take(&mut self.done);
        done.extend(self.ring.completion());
        let now = Instant::now();
        self.gather = now - self.turned_at < BUSY && done.len() < ENOUGH;
        self.turned_at = now;
        self.secure(&done, tables[0]);
        for (n, entry) in (1..).zip(done.drain(..)) {
            if entry.user_data() & SEND != 0 {
                // With zero copy a second completion tells that the memory is free.
                if self.tracked && !cqueue::more(entry.flags()) {
                    self.recycle(entry.user_data() as u16);
                }
                continue;
            }
            let number = entry.user_data() as usize;
            if let Some(buffer) = cqueue::buffer_select(entry.flags()) {
                self.send_on(buffer, &sockets[1 - number], tables[number]);
            }
            if !cqueue::more(entry.flags()) {
                self.arm(number, sockets);
            }
            if n % self.arguments.batch == 0 {
                let _ = self.ring.submit();
            }
        }
        self.done = done;
        if self.tracked {
            self.recycle_used();
        }
    }

    /// Makes SRTP of all that came from clients, together.
    fn secure(&mut self, done: &[cqueue::Entry], table: &Table) {
        let Some(secured) = &mut self.secured else { return };
        let (memory, octets, template) = (self.memory, self.octets, &self.template);
        let came = done.iter().filter(|entry| entry.user_data() == 0);
        let found = came.filter_map(|entry| cqueue::buffer_select(entry.flags())).filter_map(|buffer| {
            // SAFETY: the kernel has filled this buffer and given it up, once in these completions; it lies within the pages.
            let memory = unsafe { std::slice::from_raw_parts_mut(memory.add(usize::from(buffer) * octets), octets) };
            let received = RecvMsgOut::parse(memory, template).ok()?;
            let (_, flow) = table.find(&source(received.name_data())?)?;
            let (start, octets) =
                (received.payload_data().as_ptr().addr() - memory.as_ptr().addr(), received.payload_data().len());
            Some((buffer, Packet { flow, memory: &mut memory[start..], octets }))
        });
        let (buffers, packets): (Vec<u16>, Vec<Packet<'_>>) = found.unzip();
        for (buffer, octets) in buffers.into_iter().zip(secured.protect(packets.into_iter())) {
            self.lengths[usize::from(buffer)] = octets as u32;
        }
    }

    fn send_on(&mut self, buffer: u16, to: &UdpSocket, table: &Table) {
        // SAFETY: the kernel has filled this buffer and given it up; it lies within the pages.
        let memory =
            unsafe { std::slice::from_raw_parts(self.memory.add(usize::from(buffer) * self.octets), self.octets) };
        let Ok(received) = RecvMsgOut::parse(memory, &self.template) else { return self.used.push(buffer) };
        let Some((name, _)) = source(received.name_data()).and_then(|from| table.find(&from)) else {
            return self.used.push(buffer);
        };
        let (payload, row) = (received.payload_data(), segments::read(received.control_data()));
        let outgoing = &mut self.outgoing[usize::from(buffer)];
        outgoing.name = name;
        let secured = self.lengths.get_mut(usize::from(buffer)).map(std::mem::take).filter(|length| *length > 0);
        let length = secured.map_or(payload.len(), |length| length as usize);
        let (fd, start) = (Fd(to.as_raw_fd()), payload.as_ptr());
        let address = (&raw const outgoing.name).cast();
        let entry = match row {
            Some(segment) => {
                outgoing.vector = libc::iovec { iov_base: start.cast_mut().cast(), iov_len: length };
                outgoing.control = segments::write(segment);
                outgoing.header.msg_name = (&raw mut outgoing.name).cast();
                outgoing.header.msg_namelen = NAME;
                outgoing.header.msg_iov = &raw mut outgoing.vector;
                outgoing.header.msg_iovlen = 1;
                outgoing.header.msg_control = outgoing.control.0.as_mut_ptr().cast();
                outgoing.header.msg_controllen = CONTROL as _;
                opcode::SendMsg::new(fd, &raw const outgoing.header).flags(SEND_FLAGS as u32).build()
            }
            None if self.arguments.zero_copy => opcode::SendZc::new(fd, start, length as u32)
                .dest_addr(address)
                .dest_addr_len(NAME)
                .flags(SEND_FLAGS)
                .build(),
            None => opcode::Send::new(fd, start, length as u32)
                .dest_addr(address)
                .dest_addr_len(NAME)
                .flags(SEND_FLAGS)
                .build(),
        };
        let entry = entry.user_data(SEND | u64::from(buffer));
        if self.tracked {
            self.push(entry);
        } else {
            self.push(entry.flags(squeue::Flags::SKIP_SUCCESS));
            self.used.push(buffer);
        }
    }

    fn recycle_used(&mut self) {
        let mut used = std::mem::take(&mut self.used);
        used.drain(..).for_each(|buffer| self.recycle(buffer));
        self.used = used;
    }

    /// Gives a buffer to the kernel.
    fn recycle(&mut self, buffer: u16) {
        let at = usize::from(self.tail % BUFFERS);
        // SAFETY: `at` is below the number of entries, which only this thread writes; the buffer lies within the pages.
        unsafe {
            let entry = &mut *self.entries.add(at);
            entry.set_addr(self.memory.add(usize::from(buffer) * self.octets) as u64);
            entry.set_len(self.octets as u32);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the kernel's tail lies in the first entry, aligned, and is shared as an atomic.
        let tail = unsafe { &*BufRingEntry::tail(self.entries).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

fn source(name: &[u8]) -> Option<libc::sockaddr_in> {
    // SAFETY: as many octets as the structure has, copied whatever their alignment; any octets make one.
    (name.len() == NAME as usize).then(|| unsafe { ptr::read_unaligned(name.as_ptr().cast()) })
}

fn ring(arguments: &Arguments) -> Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_cqsize(COMPLETIONS).setup_submit_all();
    if arguments.sqpoll {
        // Beside this thread, so that both are paid for by one core.
        // SAFETY: takes nothing, gives a number.
        let core = unsafe { libc::sched_getcpu() };
        builder.setup_sqpoll(SQPOLL_IDLE_MS).setup_sqpoll_cpu(u32::try_from(core)?);
    } else {
        builder.setup_defer_taskrun();
    }
    let ring = builder.build(SUBMISSIONS).context("io_uring")?;
    if arguments.busy_poll_us > 0 {
        let mut napi = Napi::new().set_busy_poll_timeout(arguments.busy_poll_us).set_prefer_busy_poll(true);
        ring.submitter().register_napi(&mut napi).context("io_uring cannot poll devices")?;
    }
    Ok(ring)
}

/// Zeroed pages, never given back.
fn pages(octets: usize) -> Result<*mut u8> {
    let layout = Layout::from_size_align(octets, 4096)?;
    // SAFETY: the layout is not empty.
    let start = unsafe { alloc_zeroed(layout) };
    if start.is_null() {
        bail!("no memory");
    }
    Ok(start)
}

/// Lets errors pass that go away by themselves.
fn passing(entered: std::io::Result<usize>) -> Result<()> {
    match entered {
        Ok(_) => Ok(()),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ETIME)) => Ok(()),
        Err(e) => bail!("io_uring: {e}"),
    }
}
