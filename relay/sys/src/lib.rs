//! The only unsafe user-space code: io_uring, shared maps, socket options.

mod address;
#[cfg(feature = "testing")]
pub mod allocations;
pub mod bpf;
pub mod io;
pub mod mmsg;
mod pages;
pub mod privilege;
pub mod shared;
pub mod socket;
pub mod uring;
