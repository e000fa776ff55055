//! Bits a second.

use core::fmt;
use core::time::Duration;

/// Bits a second, of IP payload: what is paced and estimated is datagrams as they are handed to UDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitRate(u64);

impl BitRate {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From bits a second.
    #[must_use]
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// From thousands of bits a second.
    #[must_use]
    pub const fn from_kbps(kbps: u64) -> Self {
        Self(kbps.saturating_mul(1000))
    }

    /// Bits a second.
    #[must_use]
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// What so many octets in so much time amount to; zero if no time passed.
    #[must_use]
    pub const fn of(octets: u64, time: Duration) -> Self {
        let ns = time.as_nanos();
        if ns == 0 {
            return Self::ZERO;
        }
        let bps = octets as u128 * 8_000_000_000 / ns;
        if bps > u64::MAX as u128 { Self(u64::MAX) } else { Self(bps as u64) }
    }

    /// How long so many octets take; an hour if the rate is zero, or so low.
    #[must_use]
    pub const fn time_for(self, octets: u64) -> Duration {
        const LONGEST: u128 = 3_600_000_000_000;
        let ns = match (octets as u128 * 8_000_000_000).checked_div(self.0 as u128) {
            Some(ns) if ns < LONGEST => ns,
            _ => LONGEST,
        };
        Duration::from_nanos(ns as u64)
    }

    /// How many octets go in so much time.
    #[must_use]
    pub const fn octets_in(self, time: Duration) -> u64 {
        let octets = (self.0 as u128).saturating_mul(time.as_nanos()) / 8_000_000_000;
        if octets > u64::MAX as u128 { u64::MAX } else { octets as u64 }
    }

    /// This many times the rate; a factor that is negative or not a number gives zero.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor).round() as u64)
    }

    /// Both together; saturates.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left without `other`; none if that is more.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} kbit/s", self.0 / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_time_and_rate_agree() {
        let rate = BitRate::from_kbps(1_200);
        assert_eq!(rate.time_for(1500), Duration::from_millis(10));
        assert_eq!(rate.octets_in(Duration::from_millis(10)), 1500);
        assert_eq!(BitRate::of(1500, Duration::from_millis(10)), rate);
    }

    #[test]
    fn nothing_overflows_or_divides_by_zero() {
        assert_eq!(BitRate::ZERO.time_for(1), Duration::from_secs(3600));
        assert_eq!(BitRate::of(1, Duration::ZERO), BitRate::ZERO);
        assert_eq!(BitRate::of(u64::MAX, Duration::from_nanos(1)), BitRate::from_bps(u64::MAX));
        assert_eq!(BitRate::from_bps(u64::MAX).octets_in(Duration::MAX), u64::MAX);
        assert_eq!(BitRate::from_kbps(1).times(f64::NAN).times(-1.0), BitRate::ZERO);
    }
}
