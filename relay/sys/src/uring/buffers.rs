//! Provided buffers: memory that the kernel picks from when a datagram arrives.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use arrayvec::ArrayVec;
use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use raceway_units::Endpoint;

use crate::address::{self, NAME_MAX};
use crate::io::memory::{BUFFERS, Buffer, CONTROL, HEADROOM, Memory, Notes, OUT, PAYLOAD_MAX, notes};
use crate::pages::Pages;

/// Group that the buffers are registered as.
pub(super) const GROUP: u16 = 0;
/// Used buffers from which on waiting would be risky.
const MANY: usize = BUFFERS as usize / 2;

/// What the kernel wrote in front of a payload.
pub(super) struct Received {
    pub(super) length: usize,
    pub(super) remote: Option<Endpoint>,
    pub(super) truncated: bool,
    pub(super) notes: Notes,
}

pub(super) struct Buffers {
    entries: Pages,
    memory: Memory,
    template: Box<libc::msghdr>,
    tail: u16,
    used: Vec<u16>,
    /// Free ones for datagrams of the caller's own.
    own: Vec<u16>,
}

impl Buffers {
    pub(super) fn new(ring: &IoUring, own: u16) -> io::Result<Self> {
        let entries = Pages::new(usize::from(BUFFERS) * size_of::<BufRingEntry>())?;
        let memory = Memory::new(own)?;
        // SAFETY: `entries` is page aligned, large enough, and outlives the ring: `Uring` drops the ring first.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries.start() as u64, BUFFERS, GROUP, 0)? };
        // SAFETY: a C structure of integers and pointers, for which zero is a value.
        let mut template: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        template.msg_namelen = NAME_MAX as u32;
        template.msg_controllen = CONTROL as _;
        let used = (0..BUFFERS + own).collect();
        let mut buffers = Self { entries, memory, template, tail: 0, used, own: Vec::with_capacity(usize::from(own)) };
        buffers.recycle();
        Ok(buffers)
    }

    /// The header that says how much room a received name and control data get.
    pub(super) fn template(&self) -> *const libc::msghdr {
        &*self.template
    }

    /// Whether more than half of the buffers wait to be recycled.
    pub(super) fn mostly_used(&self) -> bool {
        self.used.len() > MANY
    }

    #[inline]
    pub(super) fn memory(&mut self, buffer: &Buffer) -> &mut [u8] {
        self.memory.of(buffer)
    }

    pub(super) fn memories<'a, 'b, const N: usize>(
        &'a mut self,
        buffers: impl Iterator<Item = &'b mut Buffer>,
    ) -> ArrayVec<&'a mut [u8], N> {
        self.memory.of_each(buffers)
    }

    /// Takes over a buffer that the kernel filled with `octets` octets.
    #[inline]
    pub(super) fn received(&mut self, id: u16, octets: usize) -> (Buffer, Received) {
        let buffer = Buffer(id % BUFFERS);
        let memory = self.memory(&buffer);
        let word = |at: usize| u32::from_ne_bytes([memory[at], memory[at + 1], memory[at + 2], memory[at + 3]]);
        let flags = word(12) as i32;
        let name = &memory[OUT..OUT + NAME_MAX.min(word(0) as usize)];
        let received = Received {
            length: octets.saturating_sub(HEADROOM).min(PAYLOAD_MAX),
            remote: address::read(name),
            truncated: flags & libc::MSG_TRUNC != 0,
            notes: notes(&memory[OUT + NAME_MAX..HEADROOM], word(4) as usize),
        };
        (buffer, received)
    }

    #[inline]
    pub(super) fn originate(&mut self) -> Option<Buffer> {
        self.own.pop().map(Buffer)
    }

    #[inline]
    pub(super) fn release(&mut self, buffer: Buffer) {
        self.used.push(buffer.0);
    }

    /// Gives used buffers to the kernel, but the caller's own to the caller.
    pub(super) fn recycle(&mut self) {
        let first = self.entries.start().cast::<BufRingEntry>();
        for id in self.used.drain(..) {
            if id >= BUFFERS {
                self.own.push(id);
                continue;
            }
            let at = usize::from(self.tail & (BUFFERS - 1));
            // SAFETY: `at` is below the entries that `entries` holds, and this thread is the only one that writes
            // entries between the kernel's head and the tail.
            let entry = unsafe { &mut *first.add(at) };
            entry.set_addr(self.memory.start(id) as u64);
            entry.set_len((HEADROOM + PAYLOAD_MAX) as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
        }
        // SAFETY: the kernel's tail lies in the first entry, which is mapped, aligned, and shared as an atomic.
        let tail = unsafe { &*BufRingEntry::tail(first).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}
