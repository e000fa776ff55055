//! Parsers and octets that nobody vouches for; senders and receivers with a link between them.

mod corpus;
mod link;
mod tshark;
