//! Bounds of what a message may hold.

use core::time::Duration;

/// Octets of a message, cookie included: what a UDP datagram can carry over IPv4.
pub const MESSAGE_MAX: usize = 65_507;

/// Octets of a cookie. Proxies send a few numbers.
pub const COOKIE_MAX: usize = 128;

/// Dictionaries and lists within each other, the message itself included. The deepest one documented (`sdp-attr` with
/// substitutions) has five.
pub const DEPTH_MAX: usize = 16;

/// Values in a message, keys not counted: 230 KiB when all are in dictionaries.
pub const VALUES_MAX: usize = 4096;

/// Keys of one dictionary; `offer` has some seventy that are documented.
pub const KEYS_MAX: usize = 128;

/// Octets of a call identifier.
pub const CALL_ID_MAX: usize = 255;

/// Octets of a tag, label, branch or interface name.
pub const NAME_MAX: usize = 255;

/// Octets of metadata.
pub const METADATA_MAX: usize = 4096;

/// Names in a list: tags, suites, attributes.
pub const LIST_MAX: usize = 64;

/// Warnings told in an answer; of further ones their number.
pub const WARNINGS_MAX: usize = 16;

/// Octets quoted of what a client sent.
pub const QUOTE_MAX: usize = 48;

/// Call identifiers that `list` gives when it is not told how many.
pub const LIST_DEFAULT: usize = 32;

/// How long an answer is kept for the same request to come again. Kamailio gives up after five tries, a second each.
pub const ANSWER_KEPT: Duration = Duration::from_secs(30);

/// Answers kept: at 2,000 calls a second with three commands each, those of five seconds.
pub const ANSWERS_MAX: usize = 32 << 10;

/// Octets of all answers that are kept.
pub const ANSWER_OCTETS_MAX: usize = 32 << 20;

const _: () = assert!(COOKIE_MAX < MESSAGE_MAX && QUOTE_MAX < NAME_MAX && DEPTH_MAX <= 64);
