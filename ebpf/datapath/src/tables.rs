//! What a decision needs to know beside the packet. XDP answers from BPF maps, user space from plain memory.

use core::cell::Cell;

use raceway_abi::{AtomicU64, COUNTERS, Flow, Policer, Settings};

use crate::{Address, Key};

/// Counters of one CPU; indexed by [`Counter`](raceway_abi::Counter).
pub type Counters = [Cell<u64>; COUNTERS as usize];

/// Tables, clock and routes.
pub trait Tables {
    /// What the whole program is told.
    fn settings(&self) -> Option<&Settings>;
    /// The flow that a key leads to.
    fn flow(&self, key: &Key) -> Option<&Flow>;
    /// A rate limit.
    fn policer(&self, index: u32) -> Option<&Policer>;
    /// A cell of the STUN budget.
    fn budget(&self, cell: u32) -> Option<&AtomicU64>;
    /// Counters of this CPU.
    fn counters(&self) -> Option<&Counters>;
    /// Kernel monotonic nanoseconds; not zero.
    fn now_ns(&self) -> u64;
    /// Adds to a word that other CPUs add to at the same time.
    fn add(&self, word: &AtomicU64, amount: u64);
    /// Asks the kernel for a route. Nothing when it has none, needs to fragment, or has not resolved the neighbour.
    fn route(&self, query: &RouteQuery) -> Option<Route>;
}

/// What a route is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteQuery {
    /// Source address of the packet to send.
    pub source: Address,
    /// Destination address of the packet to send.
    pub destination: Address,
    /// Octets of the IP packet to send.
    pub ip_octets: u16,
    /// DSCP and ECN of the packet to send.
    pub traffic_class: u8,
}

/// How a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Interface to send by, as [`Egress`](raceway_abi::Egress) has it.
    pub ifindex: u32,
    /// Largest IP packet.
    pub mtu: u16,
    /// 802.1Q tag to carry; zero means untagged.
    pub vlan_tci: u16,
    /// Destination MAC in the low 48 bits, first octet lowest.
    pub destination_mac: u64,
    /// Source MAC in the low 48 bits, first octet lowest.
    pub source_mac: u64,
}
