//! Time, transport addresses, rate limits and seeded random numbers that cores share.
//!
//! Nothing here reads a clock: shells pass [`Instant`] and [`UnixTime`] in.

#![no_std]

mod budget;
mod endpoint;
mod random;
mod time;

pub use budget::PrefixBudget;
pub use endpoint::Endpoint;
pub use random::Random;
pub use time::{Instant, UnixTime};
