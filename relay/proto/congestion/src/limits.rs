//! What everything here is bounded by, and what that costs.

use core::time::Duration;

/// Packets that an estimator remembers as sent, 8 octets each: feedback on older ones is left aside. At 20 Mbit/s in packets
/// of 1,200 octets that is a second.
pub const HISTORY_PACKETS: usize = 2048;

/// Packets that one feedback message may speak of. More is refused before anything of it is believed: nobody has sent so
/// many that this side could remember.
pub const FEEDBACK_PACKETS_MAX: usize = 2 * HISTORY_PACKETS;

/// Packets of which a recorder remembers when they arrived, 4 octets each; a sequence number that jumps further forgets
/// the ones before.
pub const RECORDER_PACKETS: usize = 1024;

/// Octets of the longest feedback message that is written.
pub const MESSAGE_OCTETS: usize = 1200;

/// Packets of one written message that arrived, at most: with their deltas and the chunks of a full recorder they fit into
/// [`MESSAGE_OCTETS`].
pub const MESSAGE_ARRIVALS: usize = 400;

/// Packets that wait in one queue of a pacer.
pub const PACER_PACKETS: usize = 512;

/// Longest time that media waits in a pacer at the rate that is estimated; the rate is raised so that it does not.
pub const PACER_QUEUE: Duration = Duration::from_millis(250);

/// Octets of the largest padding packet that a pacer asks for: RFC 3550 section 5.1 counts padding in one octet.
pub const PADDING_OCTETS: usize = 255;

/// Layers of one subscription: three spatial of three temporal each, or three encodings of three.
pub const LAYERS: usize = 9;

/// Octets that an estimator and what hangs on it may take for one subscriber.
pub const ESTIMATOR_OCTETS: usize = 20 * 1024;

/// Octets that a pacer may take for one subscriber.
pub const PACER_OCTETS: usize = 13 * 1024;

/// SSRCs that are read from one REMB message, which has a count of one octet.
pub const REMB_SSRCS: usize = u8::MAX as usize;

const _: () = assert!(HISTORY_PACKETS.is_power_of_two() && RECORDER_PACKETS.is_power_of_two());
const _: () = assert!(FEEDBACK_PACKETS_MAX <= 1 << 15, "numbers of 16 bits can tell them apart");
// Header, SSRCs and fixed part (20), the worst chunks (7 packets in 2 octets), the worst deltas, padding.
const _: () = assert!(20 + RECORDER_PACKETS.div_ceil(7) * 2 + MESSAGE_ARRIVALS * 2 + 4 <= MESSAGE_OCTETS);
