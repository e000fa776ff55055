//! Memory that datagrams are received into and sent from.

use std::io;

use crate::address::NAME_MAX;
use crate::pages::Pages;

/// Buffers of a worker; a power of two. 4.2 MiB.
pub(crate) const BUFFERS: u16 = 1024;
/// What the kernel writes in front of the name where it picks the buffer (`struct io_uring_recvmsg_out`).
pub(crate) const OUT: usize = 16;
/// Room for one control message with an `int` or less (TOS, traffic class).
pub(crate) const CONTROL: usize = 24;

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

    /// Where a buffer starts.
    pub(crate) fn start(&self, id: u16) -> *mut u8 {
        // In bounds of the pages for the number of any buffer; computing an address needs no more.
        self.0.start().wrapping_add(usize::from(id) * STRIDE)
    }
}

/// The octet or `int` of an IP_TOS or IPV6_TCLASS control message, of which `used` octets are there.
#[inline]
pub(crate) fn traffic_class(control: &[u8], used: usize) -> u8 {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    if used <= HEADER || control.len() < HEADER + 4 {
        return 0;
    }
    let word = |at: usize| i32::from_ne_bytes([control[at], control[at + 1], control[at + 2], control[at + 3]]);
    match (word(8), word(12)) {
        (libc::IPPROTO_IP, libc::IP_TOS) => control[HEADER],
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => word(HEADER) as u8,
        _ => 0,
    }
}
