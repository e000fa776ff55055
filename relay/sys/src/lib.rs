//! The only unsafe user-space code: io_uring, shared maps, socket options.

pub mod bpf;
pub mod shared;
