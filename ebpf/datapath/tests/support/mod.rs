//! What tests of the packet logic share: tables in plain memory, packets by the book, and a small world of flows.

pub mod generate;
pub mod memory;
pub mod packet;
pub mod world;
