//! What proxies send and get.

mod commands;
mod corpus;
mod docs;
mod hostile;
mod kamailio;
