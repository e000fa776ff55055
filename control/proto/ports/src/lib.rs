//! Ports of our addresses, for relayed transport addresses and for media, and the randomness that they are chosen with.

mod ports;
mod random;

pub use ports::{PortWish, Ports, Relayed};
pub use random::{Random, RandomSource};
