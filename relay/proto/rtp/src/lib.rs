//! RTP packets as a forwarder looks at them: views of header, header extensions and payload descriptors, edits in place, and
//! RTCP feedback read and written.
//!
//! Nothing here takes memory, reads a clock or trusts a length. What is read refers to the packet by [`Span`]s, so that it is
//! small, can be copied, and outlives a move of the buffer.

#![no_std]

#[cfg(test)]
extern crate std;

pub mod av1;
mod bits;
pub mod descriptor;
pub mod extension;
mod fuzz;
pub mod h264;
mod header;
pub mod level;
pub mod limits;
pub mod red;
pub mod rtcp;
pub mod rtx;
mod sequence;
mod span;
pub mod vp8;
pub mod vp9;

pub use extension::{Extension, ExtensionIds, Extensions};
pub use fuzz::fuzz;
pub use header::{Header, Kind, edit};
pub use sequence::{Unwrapper, is_newer};
pub use span::Span;
