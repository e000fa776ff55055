//! Sizes of everything a context holds, and what they cost.

/// Streams (SSRCs) of one context, 96 octets each, taken when the context is made. One more is refused: nothing is
/// evicted, since a stream that is forgotten and comes back would use its keystream twice, or be open to replay.
pub const STREAMS_MAX: usize = 256;

/// Packets behind the newest one that are still told from replayed ones (RFC 3711 section 3.3.2 asks for 64).
pub const REPLAY_WINDOW: u64 = 128;

/// SRTP packets that one master key may protect (RFC 3711 section 9.2), and the end of a stream's packet index.
pub const RTP_PACKETS_MAX: u64 = 1 << 48;

/// SRTCP packets that one master key may protect (RFC 3711 section 9.2), and the end of a stream's SRTCP index.
pub const RTCP_PACKETS_MAX: u64 = 1 << 31;

/// Octets of a master key identifier (RFC 4568 section 6.1).
pub const MKI_MAX: usize = 128;

/// Octets that protection adds at most: SRTCP's E flag and index, a GCM tag, a master key identifier.
pub const OVERHEAD_MAX: usize = 4 + 16 + MKI_MAX;

/// Jobs whose tags are computed side by side; a batch may have more, it is cut up. 10 KiB of stack.
pub const TOGETHER: usize = 64;

/// Octets of a packet: the largest UDP datagram. A batch keeps as many to look at a packet more than once.
pub const PACKET_MAX: usize = 65_535;

/// Of packets in a row that fail authentication, how many apart the rollover counter is searched for, which costs
/// three more tags.
pub const RECOVERY_INTERVAL: u32 = 16;

/// SRTCP packets that may have been sent after a position was exported and before the sender resumes from it: so many
/// indexes are left out.
pub const RTCP_INDEX_SKIP: u32 = 1 << 12;

/// Octets of the key parameters of one `a=crypto` line (RFC 4568 section 9.2), far above what any suite needs.
pub const INLINE_MAX: usize = 512;

const _: () = assert!(REPLAY_WINDOW == u128::BITS as u64);
const _: () = assert!(TOGETHER <= u8::MAX as usize);
