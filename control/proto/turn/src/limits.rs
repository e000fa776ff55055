//! Sizes of everything the machine holds, and what they cost.

/// Allocations of one server, whatever the configuration says. An idle one costs about 1 KiB here.
pub const ALLOCATIONS_MAX: u32 = 1 << 20;

/// Permissions of one allocation (RFC 8656 section 9), 48 octets each.
pub const PERMISSIONS_MAX: usize = 256;

/// Addresses of one CreatePermission request: its flows, and the session, fit one `Apply`.
pub const PERMISSIONS_PER_REQUEST: usize = 60;

/// Channels of one allocation (RFC 8656 section 12), 48 octets each.
pub const CHANNELS_MAX: usize = 256;

/// Ports held for a RESERVATION-TOKEN at one time (RFC 8656 section 18.6), about 150 octets and two names each.
pub const RESERVATIONS_MAX: usize = 4096;

/// Of these, ports held for one user, whatever the quota says: nobody holds more than an eighth, which is 17 calls a
/// second of a gateway that never uses its tokens.
pub const RESERVATIONS_PER_USER_MAX: u32 = RESERVATIONS_MAX as u32 / 8;

/// Octets of a USERNAME (RFC 8489 section 14.3).
pub const USERNAME_MAX: usize = 508;

/// Octets of a realm: RFC 8489 section 14.9 allows 127 characters, at most 763 octets; half a kilobyte would make
/// every 401 exceed every request.
pub const REALM_MAX: usize = 128;

/// Octets of a SOFTWARE text (RFC 8489 section 14.14 allows 763).
pub const SOFTWARE_MAX: usize = 128;

/// Octets of a static password or shared secret (RFC 8265 sets no bound).
pub const SECRET_MAX: usize = 512;

/// Static users, about 200 octets each.
pub const USERS_MAX: usize = 100_000;

/// Shared secrets that are live at once; a wrong password costs one HMAC of each.
pub const SHARED_SECRETS_MAX: usize = 8;

/// Addresses that relayed transport addresses are taken from, 8 KiB each: as many as the relay is told.
pub const RELAY_ADDRESSES_MAX: usize = raceway_api::limits::RELAY_ADDRESSES_MAX;

/// Prefixes in each of the peer lists; a permission looks at all of them.
pub const PEER_PREFIXES_MAX: usize = 1024;

/// `Apply` messages whose failure can still be answered, about 150 octets each. The relay answers in milliseconds;
/// what is older has succeeded or does not matter any more.
pub const PENDING_MAX: usize = 4096;

/// Relayed transport addresses tried for one Allocate before it is answered with 508.
pub const PORT_ATTEMPTS: u8 = 4;

/// Cells of the budget for answers to the unauthenticated, and of the one for wrong credentials: 128 KiB each for any
/// number of sources.
pub const BUDGET_CELLS: usize = 16 << 10;

/// Wrong credentials a second that are looked at for one source prefix (/24, /56). Each costs up to one HMAC of every
/// shared secret.
pub const FAILURES_PER_SECOND: u64 = 100;

/// The same at once: a password that changes fails a thousand clients behind one NAT, and hurts no other there.
pub const FAILURES_BURST: u64 = 1000;

/// Unknown comprehension-required attributes that a 420 response lists.
pub const UNKNOWN_ATTRIBUTES_MAX: usize = 16;

/// Octets of a STUN request that is looked at: the largest punt.
pub const REQUEST_MAX: usize = raceway_api::limits::DATAGRAM_MAX;

const _: () = assert!(PERMISSIONS_PER_REQUEST + 2 <= raceway_api::limits::OPERATIONS_MAX);
const _: () = assert!(BUDGET_CELLS.is_power_of_two());
