//! Rate limits.

use crate::atomic::AtomicU64;

/// A token bucket, kept as a theoretical arrival time (generic cell rate algorithm, ITU-T I.371 annex A).
///
/// One word of state, so two CPUs that race can at most let one packet too many pass.
/// All zero means "no limit".
#[repr(C)]
#[derive(Debug, Default)]
pub struct Policer {
    /// Nanoseconds an octet costs, times 2^20 (so 1 bit/s to 8 Tbit/s can be said).
    pub ns_per_octet_q20: AtomicU64,
    /// How far the theoretical arrival time may run ahead of the clock, in nanoseconds.
    pub burst_ns: AtomicU64,
    /// Theoretical arrival time of the next conforming octet, kernel monotonic nanoseconds.
    pub arrival_ns: AtomicU64,
}

const _: () = assert!(size_of::<Policer>() == 24);
