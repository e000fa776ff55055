//! What the parsers of this crate make of octets that nobody vouches for.

mod corpus;
