//! The only unsafe user-space code: io_uring, shared maps, socket options.

mod address;
pub mod bpf;
mod pages;
pub mod shared;
pub mod socket;
pub mod uring;

pub use address::Address;
