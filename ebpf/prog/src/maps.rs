//! The maps, and what a decision reads from them.

use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::ops::Deref;

use aya_ebpf::bindings::{BPF_F_MMAPABLE, xdp_md};
use aya_ebpf::helpers::generated::{bpf_fib_lookup, bpf_ktime_get_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use raceway_abi::limits::{EGRESS_MAX, STUN_BUDGET_CELLS};
use raceway_abi::{ALWAYS_REDIRECT, AtomicU64, COUNTERS as COUNTER_NUMBER, Egress, Flow, Policer, Settings};
use raceway_datapath::{Counters, Key, Route, RouteQuery, Tables};

/// A record that user space and other CPUs write too.
#[repr(transparent)]
struct Shared<T>(T);

// SAFETY: every field of these records is one machine word or less, read and written by single instructions; each
// value of each field is valid, alone and beside any other.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Sizes of `1` are set when the object is loaded.
#[map]
static SLOTS: HashMap<[u64; 5], u32> = HashMap::with_max_entries(1, 0);
#[map]
static FLOWS: Array<Shared<Flow>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static POLICERS: Array<Shared<Policer>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static SETTINGS: Array<Shared<Settings>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static STUN_BUDGET: Array<Shared<AtomicU64>> = Array::with_max_entries(STUN_BUDGET_CELLS, BPF_F_MMAPABLE);
#[map]
static COUNTERS: PerCpuArray<[u64; COUNTER_NUMBER as usize]> = PerCpuArray::with_max_entries(1, 0);
#[map]
static EGRESS: HashMap<u32, Egress> = HashMap::with_max_entries(EGRESS_MAX, 0);

/// The maps, for the frame of a run of the program.
pub struct Maps {
    /// Its context.
    pub context: *mut xdp_md,
    /// Interface that the frame came in by.
    pub ingress: u32,
}

/// `struct bpf_fib_lookup` in words: what a route is asked by, and the answer.
///
/// Words, because the compiler joins stores of neighbouring halves into one that is not aligned, which the stack of
/// a BPF program does not take.
#[repr(C)]
struct FibLookup {
    /// Address family, protocol, and a port that no rule of ours asks for.
    family_protocol: u32,
    /// In the upper half: octets of the packet going in, MTU coming out.
    octets: u32,
    /// Interface asked as going in, interface to send by coming out.
    ifindex: u32,
    traffic_class: u32,
    source: [u32; 4],
    destination: [u32; 4],
    vlan: u32,
    /// Source MAC, then destination MAC.
    macs: [u32; 3],
}

const _: () = assert!(size_of::<FibLookup>() == 64);

/// Interface that routes are asked for as: loopback, so that the answer is the one that a local sender gets.
const LOOPBACK: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const IPPROTO_UDP: u32 = 17;
const BPF_FIB_LKUP_RET_SUCCESS: i64 = 0;

impl Tables for Maps {
    #[inline(always)]
    fn settings(&self) -> Option<&Settings> {
        SETTINGS.get(0).map(Deref::deref)
    }

    #[inline(always)]
    fn flow(&self, key: &Key) -> Option<&Flow> {
        // SAFETY: the value is a word that is written whole; an element that is removed meanwhile stays readable
        // until this run ends (RCU).
        let slot = unsafe { SLOTS.get(&key.0) }?;
        FLOWS.get(*slot).map(Deref::deref)
    }

    #[inline(always)]
    fn policer(&self, index: u32) -> Option<&Policer> {
        POLICERS.get(index).map(Deref::deref)
    }

    #[inline(always)]
    fn budget(&self, cell: u32) -> Option<&AtomicU64> {
        STUN_BUDGET.get(cell).map(Deref::deref)
    }

    #[inline(always)]
    fn counters(&self) -> Option<&Counters> {
        let counters = COUNTERS.get_ptr(0)?.cast::<Counters>();
        // SAFETY: the element is this CPU's own and lives as long as the map; a cell has the layout of its
        // integer, and nobody else writes it while this program runs, which is not preempted by another of it.
        Some(unsafe { &*counters })
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: the helper takes nothing and returns an integer.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn add(&self, word: &AtomicU64, amount: u64) {
        // SAFETY: the word is a valid, aligned field of a map value that others change by the same instruction.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(word.as_ptr(), amount) };
    }

    #[inline(always)]
    fn route(&self, query: &RouteQuery) -> Option<Route> {
        let mut lookup = question(query);
        // SAFETY: the context is the one of this run, and the structure has the layout and size that the helper
        // is told.
        let answer =
            unsafe { bpf_fib_lookup(self.context.cast(), (&raw mut lookup).cast(), size_of::<FibLookup>() as i32, 0) };
        if answer != BPF_FIB_LKUP_RET_SUCCESS {
            return None;
        }
        // SAFETY: an entry is replaced whole; one that is removed meanwhile stays readable until this run ends.
        let egress = unsafe { EGRESS.get(lookup.ifindex) }?;
        if egress.only_itself != 0 && egress.ifindex & !ALWAYS_REDIRECT != self.ingress {
            return None;
        }
        let [low, middle, high] = lookup.macs.map(u64::from);
        Some(Route {
            ifindex: egress.ifindex,
            mtu: (lookup.octets >> 16) as u16,
            vlan_tci: egress.vlan_tci,
            source_mac: low | (middle & 0xffff) << 32,
            destination_mac: middle >> 16 | high << 16,
        })
    }
}

#[inline(always)]
fn question(query: &RouteQuery) -> FibLookup {
    let v4 = query.destination.is_v4();
    let class = u32::from(query.traffic_class);
    FibLookup {
        family_protocol: if v4 { AF_INET } else { AF_INET6 } | IPPROTO_UDP << 8,
        octets: u32::from(query.ip_octets) << 16,
        ifindex: LOOPBACK,
        // The octet in IPv4; in IPv6 it stands in bits 20 to 27 of a big-endian word.
        traffic_class: if v4 { class } else { (class << 20).to_be() },
        source: if v4 { [query.source.v4_word(), 0, 0, 0] } else { query.source.words() },
        destination: if v4 { [query.destination.v4_word(), 0, 0, 0] } else { query.destination.words() },
        vlan: 0,
        macs: [0; 3],
    }
}
