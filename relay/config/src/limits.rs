//! Bounds of what a configuration may say.

use core::ops::RangeInclusive;

/// Octets of a configuration file: far above any real one, so that a wrong path is noticed and not read whole.
pub const FILE_MAX: usize = 1 << 20;

/// Flows of the relay. The upper end is `raceway_abi::limits::FLOWS_MAX`: 1.4 GiB of kernel memory.
pub const FLOWS: RangeInclusive<u32> = 64..=4 << 20;

/// Addresses that clients may be told to send to (`raceway_api::limits::LISTENERS_MAX`).
pub const LISTEN_MAX: usize = 64;

/// Different ports among them (`raceway_abi::limits::LISTEN_PORTS_MAX`).
pub const LISTEN_PORTS_MAX: usize = 8;

/// Addresses that relayed transport addresses are made on.
pub const RELAY_ADDRESSES_MAX: usize = 64;

/// Interfaces named for XDP.
pub const INTERFACES_MAX: usize = 256;

/// Octets of an interface name (`IFNAMSIZ`, without its terminating zero).
pub const INTERFACE_NAME_MAX: usize = 15;

/// Workers: one a core.
pub const WORKERS_MAX: usize = 256;

/// Seconds of an allocation's lifetime. A day is far above the hour that RFC 8656 section 7.2 recommends as maximum.
pub const LIFETIME_S: RangeInclusive<u32> = 1..=86_400;

/// Seconds that a nonce is good for.
pub const NONCE_LIFETIME_S: RangeInclusive<u32> = 1..=86_400;

/// Users in the file.
pub const USERS_MAX: usize = 100_000;

/// Secrets that are good at the same time: a wrong password costs one HMAC of each.
pub const SHARED_SECRETS_MAX: usize = 8;

/// Octets of a user name (RFC 8489 section 14.3: fewer than 509).
pub const USER_MAX: usize = 508;

/// Octets of a realm. RFC 8489 section 14.9 allows 127 characters; half a kilobyte of them would make every challenge
/// larger than every request.
pub const REALM_MAX: usize = 127;

/// Octets of a password or shared secret.
pub const SECRET_MAX: usize = 512;

/// Networks in `allow_peers` and in `deny_peers`, each. Every request for a permission looks through all.
pub const PEER_NETWORKS_MAX: usize = 1024;

/// Addresses that SIP proxies may send to: two sockets each.
pub const NG_LISTEN_MAX: usize = 16;

/// Networks in `ng.allow`. Every command looks through them.
pub const NG_NETWORKS_MAX: usize = 256;

/// Octets of an address of the web.
pub const URL_MAX: usize = 1024;

/// Logical interfaces of media.
pub const MEDIA_INTERFACES_MAX: usize = 32;

/// Octets of the name of one.
pub const MEDIA_NAME_MAX: usize = 32;

/// Seconds that no media may come.
pub const MEDIA_TIMEOUT_S: RangeInclusive<u32> = 1..=86_400;

/// Days that call records are kept.
pub const RETENTION_DAYS: RangeInclusive<u32> = 1..=3_650;

/// 10^6 octets of one recording.
pub const RECORDING_MB: RangeInclusive<u32> = 1..=1_000_000;

/// 10^6 octets of a disk that recordings leave free.
pub const KEEP_FREE_MB: RangeInclusive<u32> = 0..=1_000_000_000;

/// Allocations that a quota may allow.
pub const QUOTA_MAX: u32 = 1 << 20;
