//! STUN on the packet path: Send indications in, Data indications out (RFC 8656 sections 11 and 18, RFC 8489).
//!
//! Everything else that is STUN goes to control, which has a whole codec. What is here reads in place, copies
//! nothing but an address, and cannot fail in any way but a [`StunError`].

#![no_std]

mod data;
mod header;
mod send;

pub use data::{DATA_HEADER_MAX, ICMP_MAX, Icmp, data_header, icmp_indication, padding};
pub use header::{Class, HEADER, Header, MAGIC_COOKIE, Transaction, header};
pub use send::{SendIndication, fuzz, send_indication};

/// Why a datagram is not the STUN message that it seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StunError {
    /// Shorter than the 20-octet header.
    Truncated,
    /// The first two bits are not zero.
    NotStun,
    /// Without the magic cookie (RFC 3489 clients are not served).
    Cookie,
    /// The length field is not a multiple of four or not the rest of the datagram.
    Length,
    /// An attribute runs past the end.
    Attribute,
    /// An attribute that must be understood and is not (RFC 8489 section 6.3.2: the indication is discarded).
    UnknownRequired,
    /// XOR-PEER-ADDRESS is missing, of no known family, or an IPv4 address written as IPv6.
    Peer,
    /// DATA is missing.
    NoData,
}
