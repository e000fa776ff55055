//! When each stream begins.

use std::num::NonZeroU32;
use std::time::Duration;

use raceway_units::{Instant, Random};

/// When the streams of a run begin.
///
/// Each begins at a random point of its first packet interval, as calls do that know nothing of each other: a start in
/// step would send all packets of an interval at once, and measure queues that the generator made itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// When the first stream may begin.
    pub begin: Instant,
    /// Streams begun each second; without, all begin within one interval.
    pub ramp: Option<NonZeroU32>,
    /// Chooses the phases.
    pub seed: u64,
}

impl Schedule {
    /// When stream `number` sends its first packet, if `interval` is the time between its packets
    /// ([`Track::interval`](crate::Track::interval)).
    ///
    /// Streams of the same number and interval begin together: layers of one camera.
    #[must_use]
    pub fn start(&self, number: u32, interval: Duration) -> Instant {
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let phase_ns = Random::of(self.seed, u64::from(number)).below(interval_ns);
        let turn_ns = self.ramp.map_or(0, |ramp| u64::from(number) * 1_000_000_000 / u64::from(ramp.get()));
        self.begin.after(Duration::from_nanos(turn_ns.saturating_add(phase_ns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(20);

    fn schedule(ramp: Option<u32>) -> Schedule {
        Schedule { begin: Instant::from_ns(1_000), ramp: ramp.and_then(NonZeroU32::new), seed: 3 }
    }

    #[test]
    fn streams_start_spread_over_one_interval() {
        let schedule = schedule(None);
        let mut eighths = [0; 8];
        for number in 0..8_000 {
            let after = schedule.start(number, INTERVAL).since(schedule.begin);
            assert!(after < INTERVAL);
            eighths[(after.as_micros() / 2_500) as usize] += 1;
        }
        assert!(eighths.iter().all(|count| (900..1_100).contains(count)), "{eighths:?}");
    }

    #[test]
    fn a_ramp_starts_so_many_streams_a_second() {
        let schedule = schedule(Some(100));
        for number in [0, 99, 100, 50_000] {
            let due = schedule.begin.after(Duration::from_millis(10) * number);
            let start = schedule.start(number, INTERVAL);
            assert!(start >= due && start.since(due) < INTERVAL, "{number}");
        }
    }

    #[test]
    fn a_seed_gives_its_phases_again() {
        assert_eq!(schedule(None).start(7, INTERVAL), schedule(None).start(7, INTERVAL));
        assert_ne!(schedule(None).start(7, INTERVAL), Schedule { seed: 4, ..schedule(None) }.start(7, INTERVAL));
    }
}
