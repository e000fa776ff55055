//! Time, identifiers and rate limits that cores share.
//!
//! Nothing here reads a clock: shells pass [`Instant`] and [`UnixTime`] in.

#![no_std]

mod budget;
mod time;

pub use budget::PrefixBudget;
pub use time::{Instant, UnixTime};
