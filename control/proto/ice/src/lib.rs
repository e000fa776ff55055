//! ICE agents without I/O: RFC 8445, lite and full, with the consent of RFC 7675.
//!
//! Datagrams, addresses and time go in; datagrams and events come out. One agent serves one media stream: RTP, and RTCP if
//! it has a port of its own. `docs/rfc/ice.md` says what is implemented, assumed and left out.
//!
//! # Example
//! ```
//! use raceway_ice::{Agent, Component, Credentials, Event, Mode, Role};
//! use raceway_units::Instant;
//!
//! let now = Instant::from_ns(1);
//! let (ours, theirs) = ("192.0.2.1:4000".parse().unwrap(), "198.51.100.7:5000".parse().unwrap());
//! let credentials = |octet| Credentials::from_random(&[octet; 24]);
//! let mut lite = Agent::new(Mode::Lite, credentials(1), &[ours], [1; 32]);
//! let mut full = Agent::new(Mode::Full(Role::Controlling), credentials(2), &[theirs], [2; 32]);
//! lite.set_remote(credentials(2));
//! full.set_remote(credentials(1));
//! full.add_remote_candidate(now, raceway_ice::Candidate::host(Component::Rtp, ours)).unwrap();
//!
//! full.handle_timeout(now);
//! let check = full.poll_transmit().unwrap();
//! lite.handle_datagram(now, ours, theirs, &check.payload);
//! assert!(lite.is_validated(theirs), "it knows the password");
//! ```

mod agent;
mod answer;
mod candidate;
mod checklist;
mod component;
mod credentials;
mod full;
mod fuzz;
mod integrity;
pub mod limits;
mod message;
mod write;

pub use agent::{Agent, Discard, Event, Mode, Outcome, Role, Transmit};
pub use candidate::{Candidate, CandidateKind, Component, TooManyCandidates, priority};
pub use credentials::{Credentials, CredentialsError};
pub use fuzz::fuzz;
pub use message::addressed_to;
