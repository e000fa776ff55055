//! Why a packet is refused, and why keys are.

use thiserror::Error;

/// Why a packet is not protected or not believed. The packet goes no further; the context is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum SrtpError {
    /// Too short for its fixed header, or for the tag, index and key identifier that its suite appends.
    #[error("the packet is shorter than its header and its authentication tag")]
    Truncated,
    /// The version is not 2 (RFC 3550 sections 5.1 and 6.4.1).
    #[error("the packet is not RTP or RTCP of version 2")]
    Version,
    /// CSRCs or the header extension run past the end.
    #[error("the RTP header runs past the end of the packet")]
    Header,
    /// The buffer has no room for what protection appends.
    #[error("the buffer has no room for the authentication tag")]
    Room,
    /// The master key identifier is of no key of this context.
    #[error("the packet names a master key that is not known")]
    UnknownKey,
    /// The tag is not that of this packet under this key.
    #[error("the authentication tag is wrong: another key, or the packet was changed")]
    Authentication,
    /// The packet index is in the replay list (RFC 3711 section 3.3.2). To a sender: the index was used, and using its
    /// keystream again would give both packets away.
    #[error("the packet index was seen before")]
    Replayed,
    /// The packet index is older than the replay list reaches.
    #[error("the packet index is older than the replay list reaches")]
    Old,
    /// The context has as many streams as it may have.
    #[error("no more streams: the context has as many SSRCs as it may have")]
    Streams,
    /// The master key has protected as many packets as it may, or a stream's index has come to its end (RFC 3711 section
    /// 9.2).
    #[error("the master key has come to the end of its lifetime: a new one is needed")]
    Exhausted,
}

/// Why keying material cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The master key is not as long as its suite asks for.
    #[error("the master key of {suite} has {expected} octets, not {found}")]
    Key {
        /// Name of the suite.
        suite: &'static str,
        /// Octets it asks for.
        expected: usize,
        /// Octets that came.
        found: usize,
    },
    /// The master salt is not as long as its suite asks for.
    #[error("the master salt of {suite} has {expected} octets, not {found}")]
    Salt {
        /// Name of the suite.
        suite: &'static str,
        /// Octets it asks for.
        expected: usize,
        /// Octets that came.
        found: usize,
    },
    /// The master key identifier is longer than RFC 4568 section 6.1 allows.
    #[error("a master key identifier has at most 128 octets, not {0}")]
    Identifier(usize),
    /// Exported keying material is not as long as RFC 5764 section 4.2 makes it.
    #[error("the keying material of {suite} has {expected} octets, not {found}")]
    Material {
        /// Name of the suite.
        suite: &'static str,
        /// Octets it asks for.
        expected: usize,
        /// Octets that came.
        found: usize,
    },
}
