//! Sizes of what crosses the socket.

/// Octets of a frame: one `SOCK_SEQPACKET` packet, taken once by each side.
pub const FRAME_MAX: usize = 128 << 10;

/// Octets of a datagram inside a message: a whole Ethernet payload, twice over.
pub const DATAGRAM_MAX: usize = 4096;

/// Octets of the blob that control keeps with a session.
pub const BLOB_MAX: usize = 1024;

/// Operations of one [`Apply`](crate::ToRelay::Apply).
pub const OPERATIONS_MAX: usize = 64;

/// Addresses that the relay listens on for TURN clients.
pub const LISTENERS_MAX: usize = 64;

/// Addresses that relayed transport addresses are made on.
pub const RELAY_ADDRESSES_MAX: usize = 64;

const _: () = assert!(FRAME_MAX > OPERATIONS_MAX * (BLOB_MAX + 256));
