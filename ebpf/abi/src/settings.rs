//! What the whole XDP program is told.

use crate::atomic::{AtomicU16, AtomicU32, AtomicU64};

use crate::limits::LISTEN_PORTS_MAX;

/// Settings of the XDP program, written by the relay at any time.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Settings {
    /// [`ABI_VERSION`](crate::ABI_VERSION) of the relay that made the maps.
    pub abi_version: AtomicU32,
    /// First port of the relayed transport addresses.
    pub relay_port_first: AtomicU16,
    /// Last port of the relayed transport addresses; below the first means none.
    pub relay_port_last: AtomicU16,
    /// First port of the media addresses.
    pub media_port_first: AtomicU16,
    /// Last port of the media addresses; below the first means none.
    pub media_port_last: AtomicU16,
    /// UDP ports that TURN clients send to; zero is an empty place.
    pub listen_ports: [AtomicU16; LISTEN_PORTS_MAX],
    /// Zero.
    pub reserved: AtomicU32,
    /// Nanoseconds that one short STUN request costs its source prefix; zero means no budget.
    pub stun_request_cost_ns: AtomicU64,
    /// How far a prefix may run ahead, in nanoseconds.
    pub stun_burst_ns: AtomicU64,
    /// Random number that the cells of the STUN budget are chosen with.
    pub stun_seed: AtomicU64,
}

/// In [`Egress::ifindex`]: frames that came in by this interface leave by it through a redirect as others do. For
/// veth, which loses `XDP_TX` frames unless the far end has a program too, where redirected ones need only NAPI.
pub const ALWAYS_REDIRECT: u32 = 1 << 31;

/// How a frame leaves by a kernel interface that a route named.
///
/// The key is the route's interface; for a VLAN interface, `ifindex` is the device below it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// Interface that XDP sends to; it carries the program too. [`ALWAYS_REDIRECT`] may be added.
    pub ifindex: u32,
    /// 802.1Q tag (priority, identifier) to carry; zero means untagged.
    pub vlan_tci: u16,
    /// Not zero: only frames that came in by `ifindex` may leave by it.
    pub only_itself: u16,
}

const _: () = assert!(size_of::<Settings>() == 56);
const _: () = assert!(size_of::<Egress>() == 8);
