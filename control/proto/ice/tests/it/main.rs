//! Agents by their datagrams alone.

mod aioice;
mod corpus;
mod full;
mod hostile;
mod lite;
mod rfc5769;
mod world;
