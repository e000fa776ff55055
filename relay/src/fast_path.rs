//! The tables of XDP beside those of the workers.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use raceway_abi::{COUNTERS, FlowKey, Settings};
use raceway_api::{InterfaceReport, Listener, RelayPorts, XdpMode};
use raceway_datapath::decide::is_looked_up;
use raceway_datapath::stun::{REQUEST_BURST_NS, request_cost_ns};
use raceway_sys::shared::SharedArray;

use crate::limits::FRESH_MAX;
use crate::xdp::Xdp;

/// What happens below the workers.
pub enum FastPath {
    /// Nothing: interface and reason, for people.
    Off(Vec<(String, String)>),
    /// XDP.
    On {
        /// Program and maps.
        xdp: Box<Xdp>,
        /// What it is told.
        settings: Arc<SharedArray<Settings>>,
        /// Flows that it is still to be told of.
        fresh: Vec<(FlowKey, u32)>,
    },
}

impl FastPath {
    /// XDP, with a random seed for its STUN budget.
    #[must_use]
    pub fn new(xdp: Xdp, seed: u64) -> Self {
        let settings = xdp.settings();
        if let Some(told) = settings.first()
            && told.stun_seed.load(Relaxed) == 0
        {
            told.stun_seed.store(seed, Relaxed);
        }
        Self::On { xdp: Box::new(xdp), settings, fresh: Vec::new() }
    }

    /// Whether XDP is attached anywhere.
    #[must_use]
    pub fn is_on(&self) -> bool {
        match self {
            Self::Off(_) => false,
            Self::On { xdp, .. } => xdp.interfaces().iter().any(|interface| interface.mode != XdpMode::Off),
        }
    }

    /// Lets XDP find a flow, in place of the one before with the same match, from the next [`settle`](Self::settle) on.
    pub fn insert(&mut self, key: &FlowKey, slot: u32) {
        let Self::On { fresh, .. } = self else { return };
        if is_looked_up(key) {
            fresh.push((*key, slot));
        }
        if fresh.len() >= FRESH_MAX {
            self.settle();
        }
    }

    /// Tells XDP everything that it is still to be told.
    pub fn settle(&mut self) {
        let Self::On { xdp, fresh, .. } = self else { return };
        let mut rest = &fresh[..];
        while let Err((at, error)) = xdp.slots().insert_all(rest) {
            tracing::warn!(%error, "a flow stays with the workers");
            // The slot that it led to is about to become another flow's.
            let _ = xdp.slots().remove(&rest[at].0);
            rest = &rest[at + 1..];
        }
        fresh.clear();
    }

    /// XDP finds the flow no more.
    pub fn remove(&mut self, key: &FlowKey) {
        // It may be among those that XDP is still to be told of.
        self.settle();
        if let Self::On { xdp, .. } = self
            && is_looked_up(key)
        {
            // Fails when an insertion failed before: then there is nothing to remove.
            let _ = xdp.slots().remove(key);
        }
    }

    /// Tells XDP which ports are meant.
    pub fn configure(
        &mut self,
        listeners: &[Listener],
        ports: RelayPorts,
        media: Option<RelayPorts>,
        stun_per_second: u32,
    ) -> Vec<String> {
        let Self::On { settings, .. } = self else { return Vec::new() };
        let Some(told) = settings.first() else { return Vec::new() };
        let mut listen: Vec<u16> = listeners.iter().map(|listener| listener.address.port()).collect();
        listen.sort_unstable();
        listen.dedup();
        for (at, place) in told.listen_ports.iter().enumerate() {
            place.store(listen.get(at).copied().unwrap_or(0), Relaxed);
        }
        told.relay_port_first.store(ports.first, Relaxed);
        told.relay_port_last.store(ports.last, Relaxed);
        // Last below first: none.
        let media = media.unwrap_or(RelayPorts { first: 1, last: 0 });
        told.media_port_first.store(media.first, Relaxed);
        told.media_port_last.store(media.last, Relaxed);
        told.stun_burst_ns.store(REQUEST_BURST_NS, Relaxed);
        told.stun_request_cost_ns.store(request_cost_ns(stun_per_second), Relaxed);
        if listen.len() > told.listen_ports.len() {
            let left_out = &listen[told.listen_ports.len()..];
            return vec![format!(
                "XDP knows {} listening ports; workers alone serve {left_out:?}",
                told.listen_ports.len()
            )];
        }
        Vec::new()
    }

    /// Looks again at the interfaces of XDP: what they are, and which it may send to. True when routes that it remembers
    /// may lead astray now.
    pub fn refresh(&mut self) -> bool {
        let Self::On { xdp, .. } = self else { return false };
        xdp.refresh().unwrap_or_else(|error| {
            tracing::warn!(%error, "XDP could not follow a change of its interfaces");
            true
        })
    }

    /// Counters of XDP, summed over CPUs.
    #[must_use]
    pub fn counters(&self) -> Vec<u64> {
        match self {
            Self::Off(_) => vec![0; COUNTERS as usize],
            Self::On { xdp, .. } => xdp.counters().to_vec(),
        }
    }

    /// What each interface got, and why.
    #[must_use]
    pub fn interfaces(&self) -> Vec<InterfaceReport<'static>> {
        let report = |name: &String, mode, reason: &String| InterfaceReport {
            name: name.clone().into(),
            mode,
            reason: reason.clone().into(),
        };
        match self {
            Self::Off(reasons) => reasons.iter().map(|(name, reason)| report(name, XdpMode::Off, reason)).collect(),
            Self::On { xdp, .. } => xdp.interfaces().iter().map(|i| report(&i.name, i.mode, &i.reason)).collect(),
        }
    }
}
