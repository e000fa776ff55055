//! The tables of the XDP program in plain memory.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use raceway_abi::limits::STUN_BUDGET_CELLS;
use raceway_abi::{AtomicU64, Counter, Flow, FlowKey, FlowSpec, Policer, Settings};
use raceway_datapath::decide::is_looked_up;
use raceway_datapath::{Counters, Frame, Key, Route, RouteQuery, Tables, Verdict, relay};

/// Octets of room before a frame, as drivers leave it.
pub const HEADROOM: usize = 256;
/// When a test happens; flows that expire later are alive.
pub const NOW_NS: u64 = 1_000_000_000_000;

pub struct Memory {
    pub flows: Vec<Flow>,
    pub slots: HashMap<FlowKey, u32>,
    pub policers: Vec<Policer>,
    pub settings: Settings,
    pub budget: Vec<AtomicU64>,
    pub counters: Counters,
    pub now_ns: Cell<u64>,
    pub route: Cell<Option<Route>>,
    pub routes_asked: Cell<u32>,
}

impl Memory {
    pub fn new() -> Self {
        Self {
            flows: Vec::new(),
            slots: HashMap::new(),
            policers: Vec::new(),
            settings: Settings::default(),
            budget: (0..STUN_BUDGET_CELLS).map(|_| AtomicU64::default()).collect(),
            counters: Default::default(),
            now_ns: Cell::new(NOW_NS),
            route: Cell::new(None),
            routes_asked: Cell::new(0),
        }
    }

    /// Adds a flow and returns its slot.
    pub fn put(&mut self, spec: &FlowSpec, expires_at_ns: u64) -> u32 {
        let flow = Flow::default();
        flow.publish(spec, expires_at_ns);
        let slot = self.flows.len() as u32;
        self.flows.push(flow);
        self.slots.insert(spec.key, slot);
        slot
    }

    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter.index() as usize].get()
    }

    /// Runs a frame; gives back what became of it.
    pub fn relay(&self, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut buffer = vec![0xa5; HEADROOM];
        buffer.extend_from_slice(frame);
        let end = buffer.len();
        let mut packet = Frame::new(&mut buffer, HEADROOM, end).expect("inside");
        let verdict = relay(&mut packet, self);
        (verdict, packet.as_octets().to_vec())
    }
}

impl Tables for Memory {
    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }

    fn flow(&self, key: &Key) -> Option<&Flow> {
        // Whoever fills the table goes by this.
        assert!(is_looked_up(&FlowKey::from(*key)), "{key:?}");
        self.flows.get(*self.slots.get(&FlowKey::from(*key))? as usize)
    }

    fn policer(&self, index: u32) -> Option<&Policer> {
        self.policers.get(index as usize)
    }

    fn budget(&self, cell: u32) -> Option<&AtomicU64> {
        self.budget.get(cell as usize)
    }

    fn counters(&self) -> Option<&Counters> {
        Some(&self.counters)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    fn add(&self, word: &AtomicU64, amount: u64) {
        word.fetch_add(amount, Relaxed);
    }

    fn route(&self, _: &RouteQuery) -> Option<Route> {
        self.routes_asked.set(self.routes_asked.get() + 1);
        self.route.get()
    }
}
