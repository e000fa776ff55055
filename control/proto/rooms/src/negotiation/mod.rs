//! Session descriptions of parties that send to a room or play from it (RFC 9429, RFC 9725 section 4.2): what they offer, what
//! is answered, and what is offered to them.
//!
//! Nothing is decoded here or anywhere, so a track has one codec: the one that the answer to its publisher names. Everything of
//! one party is one bundle (RFC 9143) with RTCP muxed (RFC 5761): one address, one ICE session, one DTLS association.

mod answer;
mod codec;
mod extension;
mod offer;
mod offered;
mod text;

pub use answer::{Answer, Received, Sent};
pub use codec::{Codec, Format};
pub use extension::Extension;
pub use offer::{Place, Places};
pub use offered::{MediaOffer, Offered, Section};
pub(crate) use text::candidate as host_candidate;
pub use text::{Ours, Outgoing};
