//! What a link is bounded by.

use std::time::Duration;

/// Longest delay, jitter or holding back that can be asked for, and that a packet can have besides queueing.
pub const DELAY_MAX: Duration = Duration::from_secs(60);
/// Packets on their way at once, at most; more are lost as if the queue were full. 40 octets each beside the payload.
pub const HELD_MAX: usize = 262_144;
/// Highest rate that can be asked for.
pub const RATE_MAX_BPS: u64 = 1_000_000_000_000;
