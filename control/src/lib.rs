//! Shell of the control plane: everything that `raceway-control` and `racewayctl` do with files, sockets and signals.
//!
//! Decisions are made in `raceway-turn` (protocol) and `raceway-config` (configuration); this crate carries them out.

pub mod admin;
pub mod boot;
pub mod calls;
pub mod cdr;
pub mod http;
pub mod link;
pub mod log;
pub mod metrics;
pub mod ng;
pub mod notify;
pub mod plan;
pub mod reload;
pub mod rooms;

#[cfg(test)]
mod testing;
