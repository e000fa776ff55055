//! The clocks.

use nix::time::{ClockId, clock_gettime};
use raceway_units::Instant;

/// The kernel's monotonic clock: the one that XDP and control read too.
#[must_use]
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has a monotonic clock");
    Instant::from_ns(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
