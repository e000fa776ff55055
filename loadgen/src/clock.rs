//! The clocks that the shell reads.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use raceway_loadgen_core::Clock;
use raceway_units::Instant;

/// The time that a run counts in: the monotonic clock of this boot of this machine, or the wall clock as it was when
/// the run began (it does not jump in between).
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    clock: Clock,
    /// What this line is ahead of the monotonic clock.
    ahead: Duration,
    /// What the wall clock is ahead of this line, nanoseconds.
    wall_ahead_ns: i64,
}

/// Longest that a datagram can have waited in its socket.
const ARRIVAL_AGE_MAX: Duration = Duration::from_secs(10);
/// Readings of both clocks, of which the one that took the least time counts.
const READINGS: usize = 5;

impl Timeline {
    /// The monotonic clock. Its name comes from the boot: processes of one machine know it for the same one.
    #[must_use]
    pub fn of_this_boot() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let sum = boot.bytes().fold(0x811c_9dc5u32, |sum, octet| (sum ^ u32::from(octet)).wrapping_mul(0x0100_0193));
        // Zero is the wall clock's.
        Self { clock: Clock(sum | 1), ahead: Duration::ZERO, wall_ahead_ns: wall_offset().as_nanos() as i64 }
    }

    /// The wall clock, which the operator says is the same on all hosts.
    #[must_use]
    pub fn synchronised() -> Self {
        Self { clock: Clock::SYNCHRONISED, ahead: wall_offset(), wall_ahead_ns: 0 }
    }

    /// Looks again how far the wall clock is ahead: somebody may have set it.
    pub fn look_at_the_wall(&mut self) {
        self.wall_ahead_ns = wall_offset().as_nanos() as i64 - self.ahead.as_nanos() as i64;
    }

    /// What stamps call this clock.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// What times of this line are ahead of the monotonic clock's.
    #[must_use]
    pub const fn ahead(&self) -> Duration {
        self.ahead
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Instant {
        read(ClockId::CLOCK_MONOTONIC).after(self.ahead)
    }

    /// The kernel's time of an arrival on this line; `now` if it has none, or one that cannot be.
    #[must_use]
    pub fn of_wall(&self, arrived: Option<Duration>, now: Instant) -> Instant {
        let ns = arrived.and_then(|arrived| u64::try_from(arrived.as_nanos() as i64 - self.wall_ahead_ns).ok());
        let at = ns.map(Instant::from_ns);
        at.filter(|at| *at <= now && now.since(*at) < ARRIVAL_AGE_MAX).unwrap_or(now)
    }

    /// Wall clock time, since 1970, of a time on this line.
    #[must_use]
    pub fn to_wall(&self, at: Instant) -> Duration {
        Duration::from_nanos(at.as_ns().saturating_add_signed(self.wall_ahead_ns))
    }
}

/// How far the wall clock is ahead of the monotonic one. A thread may lose its core between two readings: the pair that
/// took the least time is right to within it.
fn wall_offset() -> Duration {
    let reading = || {
        let before = read(ClockId::CLOCK_MONOTONIC);
        let wall = read(ClockId::CLOCK_REALTIME);
        let took = read(ClockId::CLOCK_MONOTONIC).since(before);
        (took, wall.since(before.after(took / 2)))
    };
    (0..READINGS).map(|_| reading()).min().map_or(Duration::ZERO, |(_, offset)| offset)
}

fn read(clock: ClockId) -> Instant {
    let time = clock_gettime(clock).expect("the kernel has this clock, and writes to memory of ours");
    Instant::from_ns(time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_is_on_the_line_of_the_run_whichever_it_is() {
        for mut line in [Timeline::of_this_boot(), Timeline::synchronised()] {
            line.look_at_the_wall();
            let wall = read(ClockId::CLOCK_REALTIME);
            let now = line.now();
            let at = line.of_wall(Some(Duration::from_nanos(wall.as_ns())), now);
            assert!(now.since(at) < Duration::from_millis(200), "{at:?} {now:?}");
            assert_eq!(line.of_wall(None, now), now);
            assert_eq!(line.of_wall(Some(Duration::ZERO), now), now, "a clock that was set");
            assert!(line.to_wall(now).abs_diff(Duration::from_nanos(wall.as_ns())) < Duration::from_millis(200));
        }
    }
}
