//! Points in time, as shells read them and cores receive them.

use core::time::Duration;

/// Kernel monotonic clock (`CLOCK_MONOTONIC`), nanoseconds since boot.
///
/// The same clock that XDP reads, so an expiry means the same to control, worker and kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// From nanoseconds since boot.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since boot.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// `self` plus `duration`; saturates.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        let ns = duration.as_nanos();
        if ns > u64::MAX as u128 { Self(u64::MAX) } else { Self(self.0.saturating_add(ns as u64)) }
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Wall clock, whole seconds since 1970: only for credentials that carry a date, and for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);
