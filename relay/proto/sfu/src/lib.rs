//! Selective forwarding (RFC 7667 sections 3.6.2 and 3.7): which packets a subscriber gets, and under what numbers.
//!
//! A [`Track`] takes the packets of a publisher's media source, finds out what their frames are, keeps them for repair and asks
//! for what is missing. A [`Subscription`] decides what becomes of each of them for one subscriber, so that what it sends is one
//! stream that holds together: it needs nothing of the track but the [`Packet`], which can go to another core. An [`Egress`]
//! writes what was decided.
//!
//! Nothing here does input or output, reads a clock or makes random numbers, and nothing that happens for each packet takes
//! memory. docs/sfu.md draws how it fits together.

mod forward;
mod frame;
mod fuzz;
mod history;
mod key_frames;
pub mod limits;
mod missing;
mod rates;
mod reader;
mod repair;
mod run;
mod selection;
mod speakers;
mod stream;
mod subscription;
mod track;

pub use forward::{Descriptor, Egress, Forward, Numbers, Written};
pub use frame::{Fields, Frame, Graph, Packet, Source, Targets, Up};
pub use fuzz::fuzz;
pub use history::{History, HistorySize};
pub use reader::Codec;
pub use repair::Unrepaired;
pub use selection::Limit;
pub use speakers::{Changed, Speaker, Speakers};
pub use stream::{Refused, StreamCounts};
pub use subscription::{Counts, Drop, Start, Subscription, Want};
pub use track::{Setup, Track};
