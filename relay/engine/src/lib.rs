//! The forwarding machine of the workers, without I/O: a datagram and a time in, a verdict out.
//!
//! [`Table`] is the flow table that one writer (the link thread) changes while many [`Forwarder`]s (one a worker)
//! read it, without locks. What has to be looked into or changed on its way goes through the legs of [`Media`], which the
//! worker owns. Nothing here allocates after construction, and a forwarder never writes outside the
//! buffer that it was given.

mod counters;
mod forward;
mod hairpin;
mod icmp;
mod index;
pub mod limits;
mod media;
mod quarantine;
mod requests;
mod table;
mod verdict;

#[cfg(test)]
mod tests;

pub use counters::Counters;
pub use forward::Forwarder;
pub use hairpin::{OwnAddresses, OwnAddressesFull};
pub use icmp::IcmpReport;
pub use media::{
    Buffers, Came, Leg, LegFigures, LegNews, LegRoute, LegSetup, Media, NO_LEG, News, Protection, StreamFigures, Tap,
    TrafficFigures, fuzz,
};
pub use quarantine::{Quarantine, Quiescence};
pub use raceway_stun::Icmp;
pub use requests::RequestBudget;
pub use table::{NO_EGRESS, Table, TableFull, TableWriter};
pub use verdict::{Arrival, Datagram, Forward, Verdict, key};
