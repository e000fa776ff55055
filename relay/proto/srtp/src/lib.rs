//! SRTP and SRTCP (RFC 3711, 4568, 5764, 6188, 7714): contexts that protect and unprotect packets in place, by the batch.
//!
//! A [`MasterKey`] makes a [`Sender`] or a [`Receiver`], which know the streams (SSRCs) of one direction. A [`Batch`] takes
//! [`Job`]s, each of which names its context. Nothing here does input or output, reads a clock or makes random numbers, and
//! nothing that happens for each packet takes memory.

mod batch;
mod cipher;
mod error;
mod fuzz;
mod header;
mod keys;
pub mod limits;
mod master;
mod receiver;
mod replay;
pub mod sdes;
mod sender;
mod sha1;
mod stream;
mod suite;
#[cfg(test)]
mod tests;
mod wide;

pub use batch::{Batch, Job};
pub use error::{KeyError, SrtpError};
pub use fuzz::fuzz;
pub use master::MasterKey;
pub use receiver::Receiver;
pub use sender::Sender;
pub use sha1::Lanes;
pub use stream::{Position, Streams};
pub use suite::{Kind, Suite};
