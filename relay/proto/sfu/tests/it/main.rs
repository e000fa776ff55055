//! Tests of forwarding as a whole: publishers that encode, links that lose and reorder, receivers that are strict.

mod behaviours;
mod bits;
mod corpus;
mod publisher;
mod receiver;
mod streams;
mod world;

/// So that [`world`] sees that packets take no memory.
#[global_allocator]
static ALLOCATOR: raceway_sys::allocations::Counting = raceway_sys::allocations::Counting;
