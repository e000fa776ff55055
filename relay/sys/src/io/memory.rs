//! Memory that datagrams are received into and sent from.

use std::io;
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::address::NAME_MAX;
use crate::pages::Pages;

/// Buffers of a worker; a power of two. 4.2 MiB.
pub(crate) const BUFFERS: u16 = 1024;
/// What the kernel writes in front of the name where it picks the buffer (`struct io_uring_recvmsg_out`).
pub(crate) const OUT: usize = 16;
/// Room for a control message with an `int` or less (TOS, traffic class), and for one with a time.
pub(crate) const CONTROL: usize = 24 + 32;

/// Octets in front of a received payload: what the kernel says about it, free once it was read.
pub const HEADROOM: usize = OUT + NAME_MAX + CONTROL;
/// Longest payload that fits a buffer.
pub const PAYLOAD_MAX: usize = 4096;
/// Octets behind the longest payload, for the padding of STUN.
const TAILROOM: usize = 4;
/// From buffer to buffer: whole cache lines, and no power of two, which would crowd a few sets of the cache.
pub(crate) const STRIDE: usize = (HEADROOM + PAYLOAD_MAX + TAILROOM).next_multiple_of(64);

const _: () = assert!(BUFFERS.is_power_of_two());
const _: () = assert!(HEADROOM >= 64 && !STRIDE.is_power_of_two());

/// Buffers for datagrams of the caller's own, at most: no more fit a batch of sends.
pub const OWN_MAX: u16 = super::sends::DATAGRAMS_MAX as u16;

/// A buffer that its holder may use.
#[derive(Debug)]
pub struct Buffer(pub(crate) u16);

/// All buffers of a back end: [`BUFFERS`] to receive into, and behind them those for datagrams of the caller's own.
pub(crate) struct Memory(Pages);

impl Memory {
    pub(crate) fn new(own: u16) -> io::Result<Self> {
        Pages::new((usize::from(BUFFERS) + usize::from(own)) * STRIDE).map(Self)
    }

    /// The whole of a buffer.
    #[inline]
    pub(crate) fn of(&mut self, buffer: &Buffer) -> &mut [u8] {
        self.0.slice_mut(usize::from(buffer.0) * STRIDE, STRIDE)
    }

    /// The whole of several buffers, in their order.
    pub(crate) fn of_each<'a, 'b, const N: usize>(
        &'a mut self,
        buffers: impl Iterator<Item = &'b mut Buffer>,
    ) -> ArrayVec<&'a mut [u8], N> {
        let mut parts = self.0.parts(STRIDE);
        // SAFETY: a number is in one `Buffer` alone, which cannot be copied, and each of them is here by an exclusive
        // borrow: none comes twice.
        buffers.map(|buffer| unsafe { parts.part(usize::from(buffer.0)) }).collect()
    }

    /// Where a buffer starts.
    pub(crate) fn start(&self, id: u16) -> *mut u8 {
        // In bounds of the pages for the number of any buffer; computing an address needs no more.
        self.0.start().wrapping_add(usize::from(id) * STRIDE)
    }
}

/// What the kernel said of a datagram beside its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// TOS or traffic class.
    pub(crate) traffic_class: u8,
    /// When it arrived, by the wall clock since 1970; only of sockets that asked for it.
    pub(crate) arrived: Option<Duration>,
}

/// Reads the control messages of which `used` octets are there.
#[inline]
pub(crate) fn notes(control: &[u8], used: usize) -> Notes {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let mut notes = Notes::default();
    let mut rest = &control[..used.min(control.len())];
    while rest.len() > HEADER {
        let word = |at: usize| i32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let length = (word(0) as usize).clamp(HEADER, rest.len());
        let value = &rest[HEADER..length];
        match (word(8), word(12)) {
            (libc::IPPROTO_IP, libc::IP_TOS) => notes.traffic_class = value.first().copied().unwrap_or(0),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                notes.traffic_class = value.first_chunk().map_or(0, |int| i32::from_ne_bytes(*int) as u8);
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => notes.arrived = timespec(value),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(align_of::<libc::cmsghdr>())..).unwrap_or(&[]);
    }
    notes
}

#[cold]
fn timespec(value: &[u8]) -> Option<Duration> {
    let (seconds, rest) = value.split_first_chunk::<8>()?;
    let nanoseconds = i64::from_ne_bytes(*rest.first_chunk::<8>()?);
    Some(Duration::new(u64::try_from(i64::from_ne_bytes(*seconds)).ok()?, u32::try_from(nanoseconds).ok()?))
}
