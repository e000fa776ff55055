//! Control against a scripted relay, and the whole appliance on loopback.

mod appliance;
mod calls;
mod client;
mod link;
mod machine;
mod ng;
mod rooms;
