//! A link that delays, loses, reorders, repeats and damages datagrams, without I/O and from a seed.
//!
//! [`Link::handle`] takes a datagram in, [`Link::poll`] gives out what has arrived at the other end; the caller sleeps
//! until [`Link::poll_timeout`]. The same seed and the same input give the same output.

mod config;
mod delay;
mod limits;
mod link;
mod loss;

pub use config::{Config, ConfigError, OPTIONS};
pub use delay::Distribution;
pub use limits::{DELAY_MAX, HELD_MAX, RATE_MAX_BPS};
pub use link::{Counters, Delivery, Fate, Link};
pub use loss::Loss;
