//! The generator without I/O: what streams send and when, and what receivers make of it.
//!
//! Everything here takes octets and a time and returns decisions. `raceway-loadgen` is the shell around it.

pub mod call;
pub mod capacity;
pub mod expect;
pub mod limits;
mod profile;
pub mod receive;
pub mod replay;
pub mod report;
pub mod rtcp;
pub mod rtp;
mod schedule;
mod sender;
mod stamp;
mod track;
pub mod turn;
mod wheel;

pub use raceway_quality as quality;

pub use profile::{PROFILES, Profile, ProfileError};
pub use schedule::Schedule;
pub use sender::{Identity, Sender, Transport};
pub use stamp::{Clock, NUMBER_BITS, PATTERN_PERIOD, STAMP, Stamp, StampError, check, fill, pattern};
pub use track::{Extensions, Media, Steady, TAG_MAX, Tag, TagError, Track};
pub use wheel::Wheel;
