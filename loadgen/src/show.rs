//! What people see on a terminal.

use std::time::Duration;

use raceway_loadgen_core::report::Interval;

/// A second of a run in a line.
#[must_use]
pub fn live(interval: &Interval, length: Duration) -> String {
    let seconds = length.as_secs_f64().max(1e-3);
    let rate = |packets: u64| packets as f64 / seconds;
    let (sent, received) = (rate(interval.sent.packets), rate(interval.received.packets));
    let missing = interval.received.missing;
    let (p99, late) = (interval.delay().p99_ms, interval.lateness().p99_ms);
    format!("sent {sent:.0}/s  received {received:.0}/s  missing {missing}  p99 {p99:.3} ms  sender late {late:.3} ms")
}
