//! STUN and TURN server state machine without I/O.
//!
//! Datagrams, addresses, time and randomness go in; messages to the relay come out. RFC 8489 (STUN) and RFC 8656
//! (TURN) decide; `docs/rfc/turn.md` says what is implemented, assumed and left out.
//!
//! # Example
//! ```
//! use std::net::Ipv4Addr;
//! use raceway_api::{RelayAddress, ToRelay};
//! use raceway_turn::{NonceKey, Policy, Server};
//! use raceway_units::{Instant, UnixTime};
//!
//! let address = RelayAddress { internal: Ipv4Addr::LOCALHOST.into(), external: Ipv4Addr::LOCALHOST.into() };
//! let policy = Policy::new("example.org".to_owned(), vec![address]);
//! let random = Box::new(|octets: &mut [u8]| octets.fill(4));
//! let mut server = Server::new(policy, NonceKey::new(&[7; 32], b"boot"), random).unwrap();
//!
//! let binding = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
//! let (listener, client) = ("127.0.0.1:3478".parse().unwrap(), "127.0.0.1:4000".parse().unwrap());
//! server.handle_punt(Instant::from_ns(1), UnixTime(0), 0, listener, client, &binding);
//! assert!(matches!(server.poll_output(), Some(ToRelay::Send(_))));
//! ```

mod allocate;
mod allocation;
mod auth;
mod blob;
mod by_user;
mod channel;
mod counters;
mod failure;
mod flows;
mod fuzz;
pub mod limits;
mod message;
mod peer;
mod pending;
mod permission;
mod policy;
mod refresh;
mod request;
mod reservations;
mod respond;
mod restore;
mod say;
mod server;
mod sessions;
mod view;

pub use allocation::Family;
pub use auth::{NonceKey, verify_integrity};
pub use counters::{Counters, Method, Outcome, Refusal, Silence};
pub use fuzz::fuzz;
pub use policy::{Policy, PolicyError, Secret, UnauthenticatedBudget, User};
pub use raceway_ports::RandomSource;
pub use server::Server;
pub use view::{ChannelView, PermissionView, RelayedView, SessionView};
