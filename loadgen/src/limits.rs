//! Named limits of the generator and what they cost.

use std::time::Duration;

/// Packets written before they are handed to the kernel: what stands at the end of a batch is late by the whole batch.
pub const BATCH: usize = 64;
/// Sockets of a worker (24 octets each in its table).
pub const PORTS_MAX: u32 = 1 << 20;
/// Streams that a worker receives without having been told of them.
pub const UNKNOWN_STREAMS_MAX: usize = 65_536;
/// Longest that a worker looks neither at commands nor at the clock.
pub const IDLE: Duration = Duration::from_millis(20);
/// Time between two reports of a worker.
pub const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Reports that may wait for the main thread, of each worker.
pub const REPORTS_MAX: usize = 16;
