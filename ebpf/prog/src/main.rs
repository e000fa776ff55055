//! The XDP object.

#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(internal_features)]

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, xdp_action},
    macros::{map, xdp},
    maps::{Array, HashMap, PerCpuArray},
    programs::XdpContext,
};
use core::sync::atomic::Ordering::Relaxed;
use raceway_abi::{Egress, Flow, Policer, Settings};

#[repr(transparent)]
struct Shared<T>(T);
unsafe impl<T> Sync for Shared<T> {}
impl<T> core::ops::Deref for Shared<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}
#[map]
static SLOTS: HashMap<[u64; 5], u32> = HashMap::with_max_entries(1, 0);
#[map]
static FLOWS: Array<Shared<Flow>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static POLICERS: Array<Shared<Policer>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static SETTINGS: Array<Shared<Settings>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static STUN_BUDGET: Array<u64> = Array::with_max_entries(raceway_abi::limits::STUN_BUDGET_CELLS, BPF_F_MMAPABLE);
#[map]
static COUNTERS: PerCpuArray<[u64; raceway_abi::COUNTERS as usize]> = PerCpuArray::with_max_entries(1, 0);
#[map]
static EGRESS: HashMap<u32, Egress> = HashMap::with_max_entries(raceway_abi::limits::EGRESS_MAX, 0);

#[xdp]
pub fn raceway_xdp(ctx: XdpContext) -> u32 {
    let key = [ctx.data() as u64; 5];
    if let Some(slot) = unsafe { SLOTS.get(&key) } {
        if let Some(flow) = FLOWS.get(*slot) {
            let settings = SETTINGS.get(0).map_or(0, |s| s.relay_port_first.load(Relaxed));
            unsafe {
                core::intrinsics::atomic_xadd::<u64, u64, { core::intrinsics::AtomicOrdering::Relaxed }>(
                    flow.measured.packets.as_ptr(),
                    1,
                )
            };
            if flow.measured.octets.load(Relaxed) > settings as u64 {
                flow.measured.rtp.ssrc.store(7, Relaxed);
                return xdp_action::XDP_DROP;
            }
            if let Some(p) = POLICERS.get(flow.policer()) {
                p.arrival_ns.store(1, Relaxed);
            }
            if let Some(p) = STUN_BUDGET.get_ptr_mut(3) {
                unsafe { *p = 1 }
            }
            if let Some(p) = COUNTERS.get_ptr_mut(0) {
                unsafe { (*p)[3] += 1 }
            }
            if let Some(e) = unsafe { EGRESS.get(3) } {
                return e.ifindex;
            }
        }
    }
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
