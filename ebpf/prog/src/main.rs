//! The XDP object: [`raceway_datapath::relay`] over BPF maps and a frame in the driver.

#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(internal_features)]

mod frame;
mod maps;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::helpers::generated::bpf_redirect;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use raceway_abi::ALWAYS_REDIRECT;
use raceway_datapath::parse::ETHERNET_OCTETS;
use raceway_datapath::{Packet, Verdict, relay};

use crate::frame::DriverFrame;
use crate::maps::Maps;

/// Takes what it can relay, drops what is provably unwanted, passes everything else to the kernel untouched.
#[xdp]
pub fn raceway_xdp(context: XdpContext) -> u32 {
    // SAFETY: the kernel passes a valid context, which stays valid for this run.
    let ingress = unsafe { (*context.ctx).ingress_ifindex };
    match relay(&mut DriverFrame::new(&context), &Maps { context: context.ctx, ingress }) {
        Verdict::Up => XDP_PASS,
        Verdict::Drop => XDP_DROP,
        Verdict::Send(ifindex) if ifindex == ingress => XDP_TX,
        // SAFETY: the helper takes plain integers.
        Verdict::Send(ifindex) => unsafe { bpf_redirect(ifindex & !ALWAYS_REDIRECT, 0) as u32 },
    }
}

/// Sends a frame to the interface whose index stands behind its Ethernet header, in little-endian order. Never
/// attached: the relay runs it to see whether such frames arrive.
#[xdp]
pub fn raceway_probe(context: XdpContext) -> u32 {
    match DriverFrame::new(&context).words::<1>(ETHERNET_OCTETS) {
        // SAFETY: the helper takes plain integers.
        Some([ifindex]) => unsafe { bpf_redirect(ifindex, 0) as u32 },
        None => XDP_DROP,
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // No code path panics: the verifier would refuse this loop if one did.
    loop {}
}

/// `bpf_fib_lookup` and others are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
