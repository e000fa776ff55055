//! What contexts do with packets.

mod batches;
mod contexts;
mod corpus;
mod libsrtp;
mod order;
mod reference;
mod rekeying;
mod world;
