//! Time, transport addresses and rate limits that cores share.
//!
//! Nothing here reads a clock: shells pass [`Instant`] and [`UnixTime`] in.

#![no_std]

mod budget;
mod endpoint;
mod time;

pub use budget::PrefixBudget;
pub use endpoint::Endpoint;
pub use time::{Instant, UnixTime};
