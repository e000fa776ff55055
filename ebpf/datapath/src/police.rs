//! The rate limit of a flow: generic cell rate algorithm (ITU-T I.371 annex A) on one word.

use core::sync::atomic::Ordering::Relaxed;

use raceway_abi::{AtomicU64, Policer};

/// Rates below this cost so much an octet that a datagram's cost would not fit; they are taken more coarsely.
const COARSE_FROM: u64 = 1 << 47;

/// What a datagram costs beside its application data: its IPv4 and UDP headers, so that empty ones are limited too.
const HEADER_OCTETS: u64 = 28;

/// Takes a datagram of `octets` (at most 65535) of application data from a limit at `now_ns`. False, and nothing
/// taken, when that is too much.
///
/// Two CPUs that race take one datagram too many at most: nobody waits for anybody.
#[inline(always)]
#[must_use]
pub fn conforms(policer: &Policer, octets: u32, now_ns: u64) -> bool {
    let rate = policer.ns_per_octet_q20.load(Relaxed);
    rate == 0 || takes(&policer.arrival_ns, cost_ns(rate, octets), policer.burst_ns.load(Relaxed), now_ns)
}

/// Moves a theoretical arrival time by `cost_ns`, if it then is not more than `burst_ns` ahead of the clock.
#[inline(always)]
#[must_use]
pub(crate) fn takes(arrival_ns: &AtomicU64, cost_ns: u64, burst_ns: u64, now_ns: u64) -> bool {
    let arrival = arrival_ns.load(Relaxed);
    let start = if arrival > now_ns { arrival } else { now_ns };
    let next = start.wrapping_add(cost_ns);
    let ahead = next.wrapping_sub(now_ns);
    if ahead > burst_ns {
        return false;
    }
    arrival_ns.store(next, Relaxed);
    true
}

/// What a datagram costs. Below 2^61 for any rate, so that a sum with the clock cannot overflow.
#[inline(always)]
const fn cost_ns(ns_per_octet_q20: u64, octets: u32) -> u64 {
    let octets = (octets & 0xffff) as u64 + HEADER_OCTETS;
    if ns_per_octet_q20 < COARSE_FROM { (octets * ns_per_octet_q20) >> 20 } else { octets * (ns_per_octet_q20 >> 20) }
}

/// [`Policer::ns_per_octet_q20`] for a rate; zero (no limit) for zero.
#[must_use]
pub const fn ns_per_octet_q20(bits_per_second: u64) -> u64 {
    const NS_PER_OCTET_AT_1_BIT: u64 = 8_000_000_000;
    match (NS_PER_OCTET_AT_1_BIT << 20).checked_div(bits_per_second) {
        None => 0,
        // A rate beyond what the unit can say still is a limit.
        Some(0) => 1,
        Some(cost) => cost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn policer(bits_per_second: u64, burst_ns: u64) -> Policer {
        let policer = Policer::default();
        policer.ns_per_octet_q20.store(ns_per_octet_q20(bits_per_second), Relaxed);
        policer.burst_ns.store(burst_ns, Relaxed);
        policer
    }

    #[test]
    fn the_long_run_rate_is_the_one_configured() {
        let policer = policer(80_000, SECOND / 10);
        let taken = (0..10_000).filter(|tick| conforms(&policer, 72, SECOND + tick * 1_000_000)).count();
        // With its headers a datagram is 100 octets: 10 s at 10,000 octets/s are 1000 datagrams, and a burst of 10.
        assert!((1000..=1011).contains(&taken), "{taken}");
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let policer = policer(8000, SECOND);
        assert!(conforms(&policer, 972, SECOND));
        assert!(!conforms(&policer, 1, SECOND));
        assert!(conforms(&policer, 1, SECOND + 29_000_000));
    }

    #[test]
    fn an_idle_limit_saves_no_more_than_its_burst() {
        let policer = policer(8000, SECOND);
        assert!(conforms(&policer, 972, 100 * SECOND));
        assert!(!conforms(&policer, 1, 100 * SECOND));
    }

    #[test]
    fn empty_datagrams_cost_their_headers() {
        let policer = policer(8 * 28, SECOND);
        assert!(conforms(&policer, 0, SECOND));
        assert!(!conforms(&policer, 0, SECOND));
    }

    #[test]
    fn all_zero_is_no_limit() {
        assert!((0..1000).all(|_| conforms(&Policer::default(), 65_535, 1)));
    }

    #[test]
    fn rates_from_one_bit_to_terabits_cost_what_they_say() {
        assert_eq!(cost_ns(ns_per_octet_q20(1), 65_507), 65_535 * 8_000_000_000);
        assert_eq!(cost_ns(ns_per_octet_q20(8_000_000_000), 972), 1000);
        assert_eq!(cost_ns(ns_per_octet_q20(8_000_000_000_000), 9972), 9);
        assert!(cost_ns(u64::MAX, u32::MAX) < 1 << 61);
        assert_eq!(ns_per_octet_q20(0), 0);
        assert_eq!(ns_per_octet_q20(u64::MAX), 1);
    }
}
