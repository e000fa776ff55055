//! Wall clock time as RTCP writes it.

use std::time::Duration;

use raceway_units::Instant;

/// Seconds from 1900, where NTP counts from, to 1970.
const UNIX: u64 = 2_208_988_800;

/// Says for points in time what the wall clock showed, as far as it can be known from one look at both clocks.
///
/// Steps of the wall clock later on do not show: a round trip is a difference of monotonic times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtpClock {
    /// Nanoseconds since 1970 at the origin of [`Instant`].
    origin_ns: u64,
}

impl NtpClock {
    /// The wall clock showed `unix` since 1970 at `now`.
    #[must_use]
    pub const fn new(unix: Duration, now: Instant) -> Self {
        Self { origin_ns: (unix.as_nanos() as u64).saturating_sub(now.as_ns()) }
    }

    /// An NTP timestamp: seconds since 1900, 32 bits of them behind the point (RFC 3550 section 4).
    #[must_use]
    pub const fn timestamp(&self, at: Instant) -> u64 {
        let ns = self.origin_ns.saturating_add(at.as_ns());
        let (seconds, ns) = (ns / 1_000_000_000 + UNIX, ns % 1_000_000_000);
        (seconds << 32) | ((ns << 32) / 1_000_000_000)
    }

    /// Its middle 32 bits: 16 bits of seconds, 16 behind the point.
    #[must_use]
    pub const fn middle(&self, at: Instant) -> u32 {
        (self.timestamp(at) >> 16) as u32
    }
}

/// A time in units of 1/65536 s; saturates after 18 hours.
pub(super) fn to_units(time: Duration) -> u32 {
    u32::try_from((time.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

/// The time that so many units of 1/65536 s are.
pub(super) const fn from_units(units: u32) -> Duration {
    Duration::from_nanos((units as u64 * 1_000_000_000) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_3550_figure_2() {
        // 10 Nov 1995 11:33:25.125 UTC, and the middle of its timestamp b44d_b705 2000_0000.
        let at = Instant::from_ns(7_000);
        let clock = NtpClock::new(Duration::from_millis(816_003_205_125), at);
        assert_eq!(clock.timestamp(at), 0xb44d_b705_2000_0000);
        assert_eq!(clock.middle(at), 0xb705_2000);
        // A delay of 5.250 s is 0005_4000.
        assert_eq!(
            (to_units(Duration::from_millis(5_250)), from_units(0x0005_4000)),
            (0x0005_4000, Duration::from_millis(5_250))
        );
    }

    #[test]
    fn time_goes_on_from_there() {
        let clock = NtpClock::new(Duration::from_secs(1_000), Instant::from_ns(500));
        let later = clock.timestamp(Instant::from_ns(1_500_000_500));
        assert_eq!(later, ((1_001 + UNIX) << 32) | 1 << 31);
    }
}
