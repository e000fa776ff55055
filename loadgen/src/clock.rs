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
    ahead: Duration,
}

impl Timeline {
    /// The monotonic clock. Its name comes from the boot: processes of one machine know it for the same one.
    #[must_use]
    pub fn of_this_boot() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let sum = boot.bytes().fold(0x811c_9dc5u32, |sum, octet| (sum ^ u32::from(octet)).wrapping_mul(0x0100_0193));
        // Zero is the wall clock's.
        Self { clock: Clock(sum | 1), ahead: Duration::ZERO }
    }

    /// The wall clock, which the operator says is the same on all hosts.
    #[must_use]
    pub fn synchronised() -> Self {
        Self { clock: Clock::SYNCHRONISED, ahead: wall_offset() }
    }

    /// What stamps call this clock.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Instant {
        read(ClockId::CLOCK_MONOTONIC).after(self.ahead)
    }

    /// What to add to a time of this line for the wall clock (since 1970).
    #[must_use]
    pub fn to_wall(&self) -> Duration {
        wall_offset().saturating_sub(self.ahead)
    }
}

fn wall_offset() -> Duration {
    read(ClockId::CLOCK_REALTIME).since(read(ClockId::CLOCK_MONOTONIC))
}

fn read(clock: ClockId) -> Instant {
    let time = clock_gettime(clock).expect("the kernel has this clock, and writes to memory of ours");
    Instant::from_ns(time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned())
}
