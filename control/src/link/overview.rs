//! The state of everything, for metrics and for people.

use std::sync::Arc;

use raceway_api::{InterfaceReport, Statistics};
use raceway_turn::{Counters, Family, Server};

use crate::calls::Tally;

/// What the relay said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayInfo {
    /// Program version.
    pub version: String,
    /// Of this relay process.
    pub instance: u64,
    /// Threads that relay.
    pub workers: u16,
    /// Most flows.
    pub flows_max: u32,
    /// Connections of control in the life of the relay, this one included.
    pub connections: u64,
    /// What each interface got, when control connected.
    pub interfaces: Vec<InterfaceReport<'static>>,
}

/// The state of everything.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The relay, last time it was there.
    pub relay: Option<Arc<RelayInfo>>,
    /// It is there.
    pub connected: bool,
    /// It is there, configured, and knows every session.
    pub synchronised: bool,
    /// New allocations are refused.
    pub draining: bool,
    /// Sessions held.
    pub sessions: usize,
    /// Calls that there are and were.
    pub calls: Tally,
    /// Relayed transport addresses held, IPv4 and IPv6.
    pub allocations: [usize; 2],
    /// What the server counted.
    pub counters: Counters,
    /// The relay's figures, last time it gave them.
    pub statistics: Option<Arc<Statistics>>,
    /// Whether they were asked for just now.
    pub fresh: bool,
    /// What the relay could not do, latest last, at most [`PROBLEMS_MAX`].
    pub problems: Vec<String>,
    /// Punts that were let go because the relay did not take answers fast enough.
    pub punts_dropped: u64,
}

impl Overview {
    /// How it is, in a word or two.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self {
            Self { connected: false, .. } => "no relay",
            Self { synchronised: false, .. } => "restoring",
            Self { draining: true, .. } => "draining",
            Self { .. } => "ready",
        }
    }

    /// What each interface got, by the relay's latest word.
    #[must_use]
    pub fn interfaces(&self) -> &[InterfaceReport<'static>] {
        match (&self.statistics, &self.relay) {
            (Some(statistics), _) if !statistics.interfaces.is_empty() => &statistics.interfaces,
            (_, Some(relay)) => &relay.interfaces,
            (_, None) => &[],
        }
    }
}

/// Problems that are remembered.
pub const PROBLEMS_MAX: usize = 16;

/// Relayed addresses by family.
pub(super) fn allocations(server: &Server) -> [usize; 2] {
    Family::ALL.map(|family| server.allocations(family))
}
