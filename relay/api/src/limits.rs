//! Sizes of what crosses the socket.

use core::time::Duration;

/// Octets of a frame: one `SOCK_SEQPACKET` packet, taken once by each side.
pub const FRAME_MAX: usize = 144 << 10;

/// Octets of a datagram inside a message: a whole Ethernet payload, twice over.
pub const DATAGRAM_MAX: usize = 4096;

/// Octets of the blob that control keeps with a session.
pub const BLOB_MAX: usize = 1024;

/// Operations of one [`Apply`](crate::ToRelay::Apply).
pub const OPERATIONS_MAX: usize = 64;

/// Legs that one [`Apply`](crate::ToRelay::Apply) may put, and that one message of a snapshot holds.
pub const PUT_LEGS_MAX: usize = 16;

/// Legs of a session.
pub const LEGS_MAX: usize = 64;

/// Octets of the blob that control keeps with a leg.
pub const LEG_BLOB_MAX: usize = 512;

/// Octets of the word that names of a recording's files begin with.
pub const STEM_MAX: usize = 64;

/// Octets of what is written into a recording for people.
pub const NOTE_MAX: usize = 4 << 10;

/// Routes of a leg.
pub const ROUTES_MAX: usize = 16;

/// Payload types that change on a route.
pub const ROUTE_CHANGES_MAX: usize = 16;

/// Payload types that a flow may have rules for: those that its record has room for.
pub const PAYLOAD_RULES_MAX: usize = 8;

/// Payload types of a leg.
pub const FORMATS_MAX: usize = 64;

/// Octets of the MID of a leg in a bundle.
pub const MID_MAX: usize = 32;

/// Sources that the party of a leg in a bundle announces.
pub const SOURCES_MAX: usize = 16;

/// Streams of which a leg keeps what SRTP must not forget, both directions together.
pub const ROLLOVERS_MAX: usize = 16;

/// RTP sources that a leg measures at a time.
pub const STREAMS_MAX: usize = 4;

/// Octets of an SRTP master key.
pub const KEY_MAX: usize = 32;

/// Octets of an SRTP master salt.
pub const SALT_MAX: usize = 14;

/// Octets of an SRTP master key identifier (RFC 4568 section 6.1).
pub const MKI_MAX: usize = 128;

/// Octets of a leg in a message, at most: what the limits above come to.
pub const LEG_OCTETS_MAX: usize = 2560;

/// How long [`Learning::Delayed`](crate::Learning::Delayed) and `Heuristic` look before they settle.
pub const LEARNING: Duration = Duration::from_secs(3);

/// Addresses that the relay listens on for TURN clients.
pub const LISTENERS_MAX: usize = 64;

/// Addresses that relayed transport addresses are made on.
pub const RELAY_ADDRESSES_MAX: usize = 64;

const _: () =
    assert!(FRAME_MAX > OPERATIONS_MAX * (BLOB_MAX + 256) + PUT_LEGS_MAX * LEG_OCTETS_MAX + DATAGRAM_MAX + NOTE_MAX);
