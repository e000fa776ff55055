//! Bounds of what a client may say and of what a node holds.

use core::time::Duration;

/// Octets of a token: a header, the claims of [`crate::Grants`] and a signature take a few hundred.
pub const TOKEN_MAX: usize = 4096;

/// How far the clock of who signs may be ahead of ours.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// Signing keys of a node.
pub const KEYS_MAX: usize = 64;

/// Octets of a secret that signs: below it, HMAC-SHA256 is only as strong as the secret (RFC 7518 section 3.2).
pub const SECRET_MIN: usize = 32;

/// Octets of the name of a room.
pub const ROOM_NAME_MAX: usize = 64;

/// Octets of an identity.
pub const IDENTITY_MAX: usize = 128;

/// Octets of a name that people see.
pub const DISPLAY_NAME_MAX: usize = 128;

/// Octets of a session description or of a fragment of one: a browser's offer of 30 tracks has 60 KiB.
pub const SDP_MAX: usize = 128 << 10;

/// Candidates in one fragment.
pub const CANDIDATES_MAX: usize = 64;

/// Octets of one candidate line.
pub const CANDIDATE_MAX: usize = 512;

/// Octets of a message of the meeting protocol: a description and what stands around it.
pub const MESSAGE_MAX: usize = SDP_MAX + 4096;

/// Octets of what a room's maker notes about it.
pub const METADATA_MAX: usize = 1024;

/// Entity tags in one `If-Match`.
pub const ENTITY_TAGS_MAX: usize = 16;

/// Encodings of one track.
pub const ENCODINGS_MAX: usize = 4;

/// Media sections of the connection by which a participant receives: tracks that it gets at a time. An offer of as many has
/// some 100 KiB.
pub const PLACES_MAX: usize = 128;

/// Octets of the name of a media section or of an encoding: what a one-byte header extension carries (RFC 8285 section 4.2).
pub const MID_MAX: usize = 16;

/// Octets of what a party says of a codec.
pub const PARAMETERS_MAX: usize = 256;

/// Connections at a time: two for each participant of a meeting.
pub const CONNECTIONS_MAX: usize = 20_000;

/// Addresses at which one client is known at a time: it moves, and answers from several while ICE chooses.
pub const ADDRESSES_MAX: usize = 8;

/// How long a client may take from its description to its first check. People are asked for their camera before, not then.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
