//! Control against a scripted relay, and the whole appliance on loopback.

mod client;
mod link;
