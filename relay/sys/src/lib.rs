//! What talks to the kernel: io_uring, shared maps, socket options, netlink. The only unsafe user-space code.

mod address;
#[cfg(feature = "testing")]
pub mod allocations;
pub mod bpf;
pub mod io;
pub mod mmsg;
pub mod netlink;
mod pages;
pub mod privilege;
pub mod shared;
pub mod socket;
pub mod uring;
