//! How much may be answered to whom before anyone has proven who they are.

use core::net::IpAddr;

use crate::Instant;
use crate::random::mix;

/// A budget per source prefix (/24 of IPv4, /56 of IPv6) in fixed memory.
///
/// Prefixes fall into `CELLS` cells by a seeded hash; those that share a cell share its budget, so any number of
/// spoofed sources costs no memory. Each cell is a theoretical arrival time (generic cell rate algorithm).
#[derive(Debug)]
pub struct PrefixBudget<const CELLS: usize> {
    cells: [u64; CELLS],
    seed: u64,
    ns_per_unit: u64,
    burst_ns: u64,
}

impl<const CELLS: usize> PrefixBudget<CELLS> {
    /// A budget of `units_per_second` (octets, requests) with `burst` units at once. A rate of zero refuses all
    /// beyond the burst.
    #[must_use]
    pub const fn new(seed: u64, units_per_second: u64, burst: u64) -> Self {
        const { assert!(CELLS.is_power_of_two()) };
        let ns_per_unit = match 1_000_000_000_u64.checked_div(units_per_second) {
            Some(ns) => ns,
            None => u64::MAX / 2,
        };
        Self { cells: [0; CELLS], seed, ns_per_unit, burst_ns: ns_per_unit.saturating_mul(burst) }
    }

    /// Takes `units` from the budget of `source`; false, and nothing taken, when it does not hold them.
    pub fn take(&mut self, now: Instant, source: IpAddr, units: u64) -> bool {
        let cell = self.cell(source);
        let Some(next) = self.after(cell, now, units) else { return false };
        self.cells[cell] = next;
        true
    }

    /// Whether the budget of `source` holds `units`; takes nothing.
    #[must_use]
    pub fn has(&self, now: Instant, source: IpAddr, units: u64) -> bool {
        self.after(self.cell(source), now, units).is_some()
    }

    /// Seeded, so that an outsider cannot aim at a cell.
    fn cell(&self, source: IpAddr) -> usize {
        mix(prefix(source) ^ self.seed) as usize & (CELLS - 1)
    }

    /// What a cell becomes when `units` are taken, if it holds them.
    fn after(&self, cell: usize, now: Instant, units: u64) -> Option<u64> {
        let cost = self.ns_per_unit.checked_mul(units)?;
        let next = self.cells[cell].max(now.as_ns()).checked_add(cost)?;
        (next.saturating_sub(now.as_ns()) <= self.burst_ns).then_some(next)
    }
}

/// The routed prefix that one sender can be assumed to own whole.
fn prefix(source: IpAddr) -> u64 {
    match source.to_canonical() {
        IpAddr::V4(v4) => u64::from(u32::from(v4) >> 8),
        IpAddr::V6(v6) => (u128::from(v6) >> 72) as u64 | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use core::time::Duration;

    fn v4(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn one_prefix_shares_a_budget_that_refills() {
        let mut budget = PrefixBudget::<64>::new(1, 100, 300);
        let now = Instant::from_ns(1);
        assert!(budget.take(now, v4(1), 200));
        assert!(budget.take(now, v4(2), 100));
        assert!(!budget.take(now, v4(3), 1));
        assert!(!budget.take(now.after(Duration::from_millis(500)), v4(3), 51));
        assert!(budget.take(now.after(Duration::from_millis(500)), v4(3), 50));
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let mut budget = PrefixBudget::<64>::new(1, 100, 300);
        let now = Instant::from_ns(1);
        assert!(!budget.take(now, v4(1), 301) && !budget.has(now, v4(1), 301));
        assert!(budget.has(now, v4(1), 300) && budget.has(now, v4(1), 300), "asking takes nothing");
        assert!(budget.take(now, v4(1), 300));
        assert!(!budget.has(now, v4(1), 1));
    }

    #[test]
    fn ipv6_senders_share_a_56_bit_prefix() {
        let a = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 1, 0x0100, 0, 0, 0, 1));
        let b = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 1, 0x01ff, 9, 9, 9, 9));
        let c = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 1, 0x0200, 0, 0, 0, 1));
        assert_eq!(prefix(a), prefix(b));
        assert_ne!(prefix(a), prefix(c));
    }
}
