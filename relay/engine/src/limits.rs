//! Sizes of the forwarding machine's tables.

use core::time::Duration;

/// Flows that may share a bucket of the index; an insertion that would make it longer is refused. With two buckets
/// a flow and a secret seed a chain of eight is already a one in a million event.
pub const CHAIN_MAX: usize = 64;

/// How long a slot rests before it is reused: an XDP program that read the old index entry is over long before.
pub const QUARANTINE: Duration = Duration::from_millis(100);

/// Datagrams of legs that are worked on together.
pub const LEG_BATCH: usize = 64;

/// Things that happened on the legs of a worker and that wait to be told. 24 KiB.
pub const NEWS_MAX: usize = 256;

/// STUN and DTLS datagrams a second that a leg may hand to control, of those from where its party is, and as many of those from
/// elsewhere.
pub const LEG_PUNTS_PER_SECOND: u64 = 100;

/// STUN and DTLS datagrams that a leg may hand to control at once: the checks of all candidate pairs, a whole flight.
pub const LEG_PUNT_BURST: u64 = 100;

/// Streams (SSRCs) of a leg that SRTP keeps contexts for in each direction, about 3 KiB.
pub const SRTP_STREAMS: usize = 32;

/// Of the streams that are sent, those that may come from anywhere: while nobody knows where a party is, or from elsewhere.
pub const SRTP_STREAMS_OF_ANYBODY: usize = SRTP_STREAMS / 2;

/// Sources of other legs whose names towards a party a leg keeps, 16 octets each. Of more, those that collide may change their
/// names now and then.
pub const SOURCES_MAX: usize = 8;

/// How long a source is not heard until another one may have its name.
pub const SOURCE_SILENCE: Duration = Duration::from_secs(2);

/// How long packets of the key before are taken after another came: those that were on their way.
pub const PREVIOUS_KEY: Duration = Duration::from_secs(3);

/// Sequence numbers from one look at the rollover counter to the next: a quarter of a cycle, so that what is told of it
/// says which counter goes with the next packet even if the one after was not told any more.
pub const ROLLOVER_STEP: u16 = 1 << 14;

/// Of these, how many at which it is looked at: one of them will come.
pub const ROLLOVER_LOOK: u16 = 1024;

/// Sender reports to a party of which the round trip is still known.
pub const REPORTS_KEPT: usize = 4;

/// Packets that must come from elsewhere before media is handed over to there, and how long nothing must have come from
/// where it was; packets that are authentic hand over at once.
pub const HANDOVER_PACKETS: u8 = 5;

/// See [`HANDOVER_PACKETS`].
pub const HANDOVER_SILENCE: Duration = Duration::from_millis(250);

/// A key of which nothing was heard for so long is up (RFC 4733 section 2.5.1.4 repeats at least every 50 ms).
pub const DTMF_SILENCE: Duration = Duration::from_millis(500);

/// Pairs of own addresses (internal, external) that relayed transport addresses are made on, and listener addresses.
pub const OWN_ADDRESSES_MAX: usize = 256;

/// Cells of a worker's budget of ICMP reports. 8 KiB a worker.
pub const ICMP_CELLS: usize = 1024;

/// ICMP reports a second to one client prefix (/24, /56).
pub const ICMP_PER_SECOND: u64 = 10;

/// ICMP reports at once to one client prefix.
pub const ICMP_BURST: u64 = 20;

const _: () = assert!(LEG_BATCH <= raceway_srtp::limits::TOGETHER);
