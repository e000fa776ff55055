//! Pure packet logic: parse, classify, police, measure, rewrite.
//!
//! The XDP program is [`relay`] over BPF maps and a frame in the driver; the tests run the very same code over
//! plain memory, and the workers share its parts. Nothing here allocates, blocks or panics on input, and nothing is
//! `unsafe`. Functions are inlined throughout because the BPF verifier follows values through code, not calls.

#![no_std]

#[cfg(test)]
extern crate std;

mod address;
pub mod channel;
pub mod checksum;
pub mod decide;
pub mod measure;
mod packet;
pub mod parse;
pub mod police;
mod relay;
pub mod rewrite;
pub mod rules;
pub mod stun;
mod tables;

pub use address::{Address, Key};
pub use channel::{ChannelHeader, Protocol};
pub use packet::{Frame, Packet};
pub use relay::{Verdict, relay};
pub use tables::{Counters, Route, RouteQuery, Tables};
