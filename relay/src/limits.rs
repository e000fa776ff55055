//! Sizes of the relay's own tables and queues.

use raceway_api::limits::LISTENERS_MAX;

/// Places for listeners. A place is never given to another address while the relay runs, since flows name it; so
/// reconfigurations can use this many different addresses.
pub const LISTENER_PLACES: u32 = 4 * LISTENERS_MAX as u32;

/// Most relayed transport addresses, whatever `flows_max` says; 60 octets each and worker.
pub const RELAYED_MAX: u32 = 256 << 10;

/// Sessions: each has at least one flow that takes a slot, or is about to.
pub const fn sessions_max(flows_max: u32) -> usize {
    flows_max as usize
}

/// Relayed transport addresses that fit `flows_max` flows (each needs the flow that refuses and one more) and
/// `open_files` descriptors.
#[must_use]
pub fn relayed_max(flows_max: u32, open_files: u64) -> u32 {
    let files = u32::try_from(open_files.saturating_sub(OPEN_FILES_RESERVED)).unwrap_or(u32::MAX);
    (flows_max / 2).min(RELAYED_MAX).min(files.max(1))
}

/// Descriptors that are never relayed transport addresses: without them the relay could not even let control in.
pub const OPEN_FILES_RESERVED: u64 = 512;

/// Timers that may be there before those of what is gone are cleared away. 24 octets each.
pub const TIMERS_MIN: usize = 4096;

/// Flows that XDP may still have to be told of. 44 KiB.
pub const FRESH_MAX: usize = 1024;

/// Octets of a datagram that can be handed to control.
pub const PUNT_MAX: usize = 2048;

/// Datagrams of a worker that may wait for control. 2 MiB a worker.
pub const PUNTS_MAX: usize = 1024;

/// Commands that may wait for a worker; more wait in the link thread.
pub const COMMANDS_MAX: usize = 1024;

/// Things that happened on the legs of a worker that may wait for the link thread. 128 KiB a worker.
pub const NEWS_MAX: usize = 2048;

/// Buffers of a worker for copies of datagrams that go to several legs, in one turn. 1 MiB.
pub const COPIES_MAX: u16 = 256;

/// Packets of a worker that may wait for the recorder, if calls are recorded at all: 20 ms of 100,000 a second. 4.2 MiB a
/// worker.
pub const RECORDED_MAX: usize = 2048;

/// Recordings at a time, about 70 KiB each.
pub const RECORDINGS_MAX: usize = 1024;

/// Parts of a recording: another begins after each restart of the relay, and each time that a full disk has room again.
pub const PARTS_MAX: u32 = 1000;

/// Names of flows from here on are the relay's own: those of the media addresses of a session.
pub const OWN_FLOW_IDS: u32 = 0xffff_0000;

/// Octets that may wait for control before punts stay with the workers.
pub const OUTGOING_BUSY: usize = 1 << 20;

/// Octets that may wait for control before the connection is given up.
pub const OUTGOING_MAX: usize = 64 << 20;

/// ICMP messages read from one socket at a time.
pub const NETWORK_ERRORS_MAX: usize = 64;

const _: () = assert!(PUNT_MAX <= raceway_api::limits::DATAGRAM_MAX);
