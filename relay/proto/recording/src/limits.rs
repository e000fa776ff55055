//! Sizes.

/// Octets of a capture that are encrypted together (age's STREAM). What is not yet a whole chunk is in memory alone.
pub const CHUNK: usize = 64 << 10;

/// Octets of a datagram that are recorded; of longer ones the beginning.
pub const PACKET_MAX: usize = 2048;

/// Octets in front of a datagram: IPv6 and UDP.
pub(crate) const HEADERS_MAX: usize = 48;

/// Octets of a note, at most: a block must fit a chunk.
pub(crate) const NOTE_MAX: usize = 32 << 10;

const _: () = assert!(CHUNK.is_multiple_of(4) && PACKET_MAX + HEADERS_MAX + 64 < CHUNK && NOTE_MAX + 256 < CHUNK);
