//! STUN and TURN server state machine without I/O.
//!
//! Datagrams, addresses, time and randomness go in; messages to the relay come out. RFC 8489 (STUN) and RFC 8656
//! (TURN) decide; `docs/rfc/turn.md` says what is implemented, assumed and left out.
//!
//! # Example
//! ```
//! use std::net::Ipv4Addr;
//! use raceway_turn::{NonceKey, Policy, RelayAddress, Server};
//!
//! let address = RelayAddress { internal: Ipv4Addr::LOCALHOST.into(), external: Ipv4Addr::LOCALHOST.into() };
//! let policy = Policy::new("example.org".to_owned(), vec![address]);
//! let random = Box::new(|octets: &mut [u8]| octets.fill(4));
//! let mut server = Server::new(policy, NonceKey::new([7; 32]), random).unwrap();
//! assert!(server.poll_output().is_none());
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod auth;
mod counters;
pub mod limits;
mod message;
mod policy;
mod respond;
mod server;
mod view;

pub use auth::NonceKey;
pub use counters::{Counters, Method, Outcome, Refusal, Silence};
pub use policy::{Policy, PolicyError, RelayAddress, Secret, UnauthenticatedBudget, User};
pub use server::{Family, RandomSource, Server};
pub use view::{ChannelView, PermissionView, RelayedView, SessionView};
