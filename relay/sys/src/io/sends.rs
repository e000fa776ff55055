//! A batch of sends: message headers that stay in place until the kernel has read them.

use std::io;
use std::ops::Range;
use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};
use raceway_units::Endpoint;

use crate::address::{self, NAME_MAX};
use crate::socket::may_be_of_an_earlier_one;

/// Datagrams of a batch.
pub(crate) const DATAGRAMS_MAX: usize = 1024;
/// Batches before their numbers repeat.
const BATCHES: u32 = u32::MAX / DATAGRAMS_MAX as u32;
/// Datagrams of one segmented send (the kernel's `UDP_MAX_SEGMENTS` was 64 before it was 128).
const SEGMENTS_MAX: usize = 64;
/// Octets of one segmented send: the longest UDP payload over IPv4, less a little.
const SEGMENTED_MAX: usize = 65_000;
/// Room for a segment size and a traffic class.
const CONTROL: usize = 48;
const UDP_SEGMENT: i32 = 103;
/// Complete, one way or the other, when the system call returns.
const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// One send: one datagram, or several that the kernel cuts apart.
struct Send {
    fd: RawFd,
    to: Endpoint,
    traffic_class: u8,
    first: usize,
    datagrams: usize,
    segment: usize,
    octets: usize,
    /// Its last datagram is shorter, so nothing can follow.
    closed: bool,
}

pub(crate) struct Sends {
    sends: Vec<Send>,
    payloads: Vec<libc::iovec>,
    headers: Box<[libc::mmsghdr]>,
    names: Box<[[u8; NAME_MAX]]>,
    controls: Box<[Control]>,
    /// Sends that were given to the kernel.
    prepared: usize,
    /// Counts batches, so that a completion that comes late is not taken for one of a later batch.
    batch: u32,
    /// Longest segment that segmented sends were not refused for.
    segment_max: usize,
}

#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

impl Sends {
    pub(crate) fn new() -> Self {
        // SAFETY: a C structure of integers and pointers, for which zero is a value.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        Self {
            sends: Vec::with_capacity(DATAGRAMS_MAX),
            payloads: Vec::with_capacity(DATAGRAMS_MAX),
            headers: vec![header; DATAGRAMS_MAX].into(),
            names: vec![[0; NAME_MAX]; DATAGRAMS_MAX].into(),
            controls: vec![Control([0; CONTROL]); DATAGRAMS_MAX].into(),
            prepared: 0,
            batch: 0,
            segment_max: usize::MAX,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.payloads.len() >= DATAGRAMS_MAX
    }

    /// Adds a datagram, to the last send if it fits there.
    #[inline]
    pub(crate) fn push(&mut self, fd: RawFd, to: Endpoint, traffic_class: u8, payload: &mut [u8]) {
        let length = payload.len();
        self.payloads.push(libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: length });
        let open = self.sends.len() > self.prepared;
        if let Some(last) = self.sends.last_mut()
            && open
            && last.takes(fd, to, traffic_class, length, self.segment_max)
        {
            last.datagrams += 1;
            last.octets += length;
            last.closed = length < last.segment;
            return;
        }
        self.sends.push(Send {
            fd,
            to,
            traffic_class,
            first: self.payloads.len() - 1,
            datagrams: 1,
            segment: length,
            octets: length,
            closed: length == 0,
        });
    }

    /// What was added since the last time, by number.
    pub(crate) fn prepare(&mut self) -> Range<u32> {
        let from = std::mem::replace(&mut self.prepared, self.sends.len());
        from as u32..self.prepared as u32
    }

    /// Sends by system call what was added since the last time; returns how many datagrams were lost.
    pub(crate) fn send_all(&mut self) -> u64 {
        let Range { start, end } = self.prepare();
        let (mut at, end) = (start as usize, end as usize);
        (at..end).for_each(|at| self.fill(at));
        let mut lost = 0;
        while at < end {
            let fd = self.sends[at].fd;
            let same = self.sends[at..end].iter().take_while(|send| send.fd == fd).count();
            // SAFETY: the headers were filled just now and point to memory of the batch, which stays in place.
            let sent = unsafe { libc::sendmmsg(fd, &mut self.headers[at], same as u32, FLAGS) };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => at += sent,
                _ => {
                    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
                    lost += self.failed(self.tag(at as u32), -errno);
                    at += 1;
                }
            }
        }
        lost
    }

    /// The submission of a send.
    pub(crate) fn submission(&mut self, at: u32) -> squeue::Entry {
        let send = &self.sends[at as usize];
        if send.datagrams > 1 || send.traffic_class != 0 {
            self.fill(at as usize);
            let header: *const libc::msghdr = &self.headers[at as usize].msg_hdr;
            let fd = types::Fd(self.sends[at as usize].fd);
            return opcode::SendMsg::new(fd, header).flags(FLAGS as u32).build();
        }
        // One plain datagram needs no message header, which the kernel would have to copy and check.
        let name = &mut self.names[at as usize];
        let length = address::write(&send.to, name);
        let payload = &self.payloads[send.first];
        let (start, octets) = (payload.iov_base.cast_const().cast(), payload.iov_len as u32);
        opcode::Send::new(types::Fd(send.fd), start, octets)
            .dest_addr(name.as_ptr().cast())
            .dest_addr_len(length)
            .flags(FLAGS)
            .build()
    }

    fn fill(&mut self, at: usize) {
        let send = &self.sends[at];
        let header = &mut self.headers[at].msg_hdr;
        header.msg_namelen = address::write(&send.to, &mut self.names[at]);
        header.msg_name = self.names[at].as_mut_ptr().cast();
        header.msg_iov = &mut self.payloads[send.first];
        header.msg_iovlen = send.datagrams as _;
        let control = &mut self.controls[at].0;
        let mut used = 0;
        if send.datagrams > 1 {
            let size = (send.segment as u16).to_ne_bytes();
            used += put(&mut control[used..], libc::SOL_UDP, UDP_SEGMENT, &size);
        }
        if send.traffic_class != 0 {
            let value = i32::from(send.traffic_class).to_ne_bytes();
            let (level, kind) = if header.msg_namelen == size_of::<libc::sockaddr_in>() as u32 {
                (libc::IPPROTO_IP, libc::IP_TOS)
            } else {
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)
            };
            used += put(&mut control[used..], level, kind, &value);
        }
        header.msg_control = if used == 0 { std::ptr::null_mut() } else { control.as_mut_ptr().cast() };
        header.msg_controllen = used as _;
    }

    /// What tells a send of this batch from all others.
    pub(crate) fn tag(&self, at: u32) -> u32 {
        (self.batch % BATCHES) * DATAGRAMS_MAX as u32 + at
    }

    /// Deals with a send that failed: once more if the error may have been an earlier datagram's, one by one if
    /// segmentation was refused. Returns how many datagrams were lost.
    #[cold]
    pub(crate) fn failed(&mut self, tag: u32, result: i32) -> u64 {
        let (at, errno) = (tag as usize % DATAGRAMS_MAX, -result);
        if errno <= 0 {
            return 0;
        }
        let late = self.tag(at as u32) != tag;
        let Some(send) = self.sends.get(at).filter(|_| !late) else { return 1 };
        let (datagrams, segment) = (send.datagrams as u64, send.segment);
        self.fill(at);
        if may_be_of_an_earlier_one(errno) && self.retry(at) {
            return 0;
        }
        // EIO: no checksum offload; EINVAL and EMSGSIZE: a segment longer than the path takes.
        if datagrams > 1 && matches!(errno, libc::EIO | libc::EINVAL | libc::EMSGSIZE) {
            self.segment_max = if errno == libc::EIO { 0 } else { segment - 1 };
            return self.one_by_one(at);
        }
        datagrams
    }

    fn retry(&self, at: usize) -> bool {
        send_now(self.sends[at].fd, &self.headers[at].msg_hdr)
    }

    fn one_by_one(&mut self, at: usize) -> u64 {
        let Send { fd, first, datagrams, .. } = self.sends[at];
        let mut lost = 0;
        for payload in first..first + datagrams {
            let send = &mut self.sends[at];
            (send.first, send.datagrams) = (payload, 1);
            self.fill(at);
            lost += u64::from(!send_now(fd, &self.headers[at].msg_hdr));
        }
        lost
    }

    /// Forgets a batch that the kernel is done with.
    pub(crate) fn clear(&mut self) {
        self.sends.clear();
        self.payloads.clear();
        self.prepared = 0;
        self.batch = self.batch.wrapping_add(1);
    }
}

impl Send {
    #[inline]
    fn takes(&self, fd: RawFd, to: Endpoint, traffic_class: u8, length: usize, segment_max: usize) -> bool {
        !self.closed
            && self.fd == fd
            && length <= self.segment
            && length > 0
            && self.segment <= segment_max
            && self.datagrams < SEGMENTS_MAX
            && self.octets + length <= SEGMENTED_MAX
            && self.traffic_class == traffic_class
            && self.to == to
    }
}

fn send_now(fd: RawFd, header: &libc::msghdr) -> bool {
    // SAFETY: the header was filled by `Sends::fill` and points to memory of the batch, which is still in place.
    unsafe { libc::sendmsg(fd, header, FLAGS) >= 0 }
}

/// Writes a control message of at most eight octets; returns the octets it takes.
fn put(control: &mut [u8], level: i32, kind: i32, value: &[u8]) -> usize {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    control[..8].copy_from_slice(&(HEADER + value.len()).to_ne_bytes());
    control[8..12].copy_from_slice(&level.to_ne_bytes());
    control[12..16].copy_from_slice(&kind.to_ne_bytes());
    control[HEADER..HEADER + value.len()].copy_from_slice(value);
    HEADER + 8
}
