//! What proxies send and get.

mod commands;
mod corpus;
mod hostile;
mod kamailio;
