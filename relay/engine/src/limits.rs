//! Sizes of the forwarding machine's tables.

use core::time::Duration;

/// Flows that may share a bucket of the index; an insertion that would make it longer is refused. With two buckets
/// a flow and a secret seed a chain of eight is already a one in a million event.
pub const CHAIN_MAX: usize = 64;

/// How long a slot rests before it is reused: an XDP program that read the old index entry is over long before.
pub const QUARANTINE: Duration = Duration::from_millis(100);

/// Pairs of own addresses (internal, external) that relayed transport addresses are made on, and listener addresses.
pub const OWN_ADDRESSES_MAX: usize = 256;

/// Cells of a worker's budget of ICMP reports. 8 KiB a worker.
pub const ICMP_CELLS: usize = 1024;

/// ICMP reports a second to one client prefix (/24, /56).
pub const ICMP_PER_SECOND: u64 = 10;

/// ICMP reports at once to one client prefix.
pub const ICMP_BURST: u64 = 20;
