//! The clocks.

use std::time::SystemTime;

use raceway_units::{Instant, UnixTime};
use rustix::time::{ClockId, clock_gettime};

/// The kernel's monotonic clock, which XDP reads too.
pub(crate) fn now() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    Instant::from_ns(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// The wall clock: only for credentials that carry their expiry.
pub(super) fn wall() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
