//! Associations by their datagrams alone.

mod corpus;
mod handshake;
mod hostile;
mod openssl;
mod world;
