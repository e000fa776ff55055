//! What the receiver's clock says.

use raceway_units::Instant;

use super::Usage;
use super::groups::Groups;
use super::throughput::Throughput;
use super::trendline::Trendline;
use crate::transport_wide::Arrival;

/// A receiver's clock that moved this far against ours has been set: what was measured by it is void.
const CLOCK_JUMP_NS: i64 = 3_000_000_000;
/// Its clock may drift this far from ours, all jumps together, before it is taken to have been set.
const CLOCK_DRIFT_NS: i64 = 60_000_000_000;

/// What arrivals say, by the receiver's clock.
#[derive(Debug)]
pub(super) struct Receiver {
    clock: Option<Clock>,
    pub arrived: Throughput,
    groups: Groups,
    trendline: Trendline,
    /// When there was over-use, as the caller says.
    pub over_used_at: Option<Instant>,
}

/// The last arrival: as it was told, as nanoseconds without wrap, and when it was told.
#[derive(Clone, Copy, Debug)]
struct Clock {
    arrival: Arrival,
    ns: i64,
    told_at: Instant,
}

impl Receiver {
    pub const fn new() -> Self {
        Self {
            clock: None,
            arrived: Throughput::new(),
            groups: Groups::new(),
            trendline: Trendline::new(),
            over_used_at: None,
        }
    }

    pub const fn usage(&self) -> Usage {
        self.trendline.usage()
    }

    /// A packet arrived. Gives when, in nanoseconds without wrap.
    pub fn push(&mut self, sent: u64, arrival: Arrival, octets: u16, now: Instant) -> i64 {
        let ns = self.unwrap(arrival, now);
        self.arrived.push(ns.cast_unsigned(), sent, octets);
        if let Some(deltas) = self.groups.push(sent.cast_signed(), ns) {
            self.trendline.push(deltas);
        }
        ns
    }

    fn unwrap(&mut self, arrival: Arrival, now: Instant) -> i64 {
        if let Some(clock) = &mut self.clock {
            let moved = arrival.ns_since(clock.arrival);
            let passed = now.since(clock.told_at).as_nanos() as i64;
            let ns = clock.ns + moved;
            if (moved - passed).abs() <= CLOCK_JUMP_NS && (ns - origin(now)).abs() <= CLOCK_DRIFT_NS {
                *clock = Clock { arrival, ns, told_at: now };
                return ns;
            }
        }
        let over_used_at = self.over_used_at;
        *self = Self { over_used_at, ..Self::new() };
        let ns = origin(now);
        self.clock = Some(Clock { arrival, ns, told_at: now });
        ns
    }
}

/// What a receiver's clock shows when it is first read: far enough from zero that no drift leads below it.
const fn origin(now: Instant) -> i64 {
    (now.as_ns() & (i64::MAX as u64 >> 1)) as i64 + 2 * CLOCK_DRIFT_NS
}
