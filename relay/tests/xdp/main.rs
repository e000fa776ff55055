//! Tests of the XDP program in the kernel. They need root and BPF: without, each says that it was skipped; with
//! `RACEWAY_REQUIRE_BPF=1` that is a failure.

mod call;
mod differential;
#[allow(dead_code, reason = "shared with the tests of the relay process, which use all of it")]
#[path = "../it/harness.rs"]
mod harness;
mod lifecycle;
mod load;
mod net;
mod order;
mod place;
#[allow(dead_code, reason = "shared with the tests of the packet logic, which use all of it")]
#[path = "../../../ebpf/datapath/tests/support/mod.rs"]
mod support;
mod wire;
