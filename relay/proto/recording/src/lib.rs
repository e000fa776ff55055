//! Recordings of calls, without I/O: packets in, octets of two files out.
//!
//! A *part* of a recording is a pcapng capture in the age format (<https://age-encryption.org/v1>), cut in two: the *key*,
//! which is age's header and nonce and holds the part's data key, wrapped for a public key; and the *body*, which is the
//! capture, encrypted with that data key. One after the other they are what `age -d` reads. The data key is nowhere else, so
//! whoever erases the key has erased the part.
//!
//! The capture has one interface, whose packets are IP datagrams: RTP and RTCP as parties sent them, decrypted, between
//! the party's address and ours.

mod age;
mod limits;
mod packet;
mod part;
mod pcapng;

pub use age::{PublicKey, Secrets, UnusableKey};
pub use limits::{CHUNK, PACKET_MAX};
pub use packet::Packet;
pub use part::{Beginning, Part};
