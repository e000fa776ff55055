//! How much of control's time a source may take.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use raceway_abi::limits::STUN_BUDGET_CELLS;
use raceway_datapath::Address;
use raceway_datapath::stun::{REQUEST_BURST_NS, SHORT_REQUEST_OCTETS, budget_cell, request_conforms, request_cost_ns};
use raceway_units::{Endpoint, Instant};

use crate::forward::mix;

/// What each prefix (/24, /56) may hand to control, over all workers. 512 KiB.
///
/// Short requests bear no credentials, and others have a budget of their own beside theirs. So has each client with an
/// allocation: who forges the addresses of a prefix keeps nobody there from refreshing.
///
/// The cells are not those of XDP, which has let its share of short requests pass when they come here: two budgets of
/// one rate in a row let as much pass as one, so nothing counts twice, whichever interface a request came by.
pub struct RequestBudget {
    cells: Box<[AtomicU64]>,
    seed: u64,
    cost_ns: AtomicU64,
}

impl RequestBudget {
    /// No limit yet. `seed` is secret and random.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let cells = (0..STUN_BUDGET_CELLS).map(|_| AtomicU64::new(0)).collect();
        Self { cells, seed, cost_ns: AtomicU64::new(0) }
    }

    /// Sets how many short requests a second and how many others each prefix may send, and how many each client with an
    /// allocation; zero means no limit.
    pub fn set_rate(&self, per_second: u32) {
        self.cost_ns.store(request_cost_ns(per_second), Relaxed);
    }

    /// Takes a message of so many octets from the budget of its source, which may have an allocation. False, and nothing
    /// taken, when that is too much.
    pub(crate) fn conforms(&self, now: Instant, source: &Endpoint, octets: usize, has_allocation: bool) -> bool {
        let cell = if has_allocation {
            self.cell_of_client(source)
        } else {
            let seed = if octets < SHORT_REQUEST_OCTETS { self.seed } else { !self.seed };
            budget_cell(Address::from_octets(source.address), seed)
        };
        let cell = self.cells.get(cell as usize);
        cell.is_none_or(|cell| request_conforms(cell, self.cost_ns.load(Relaxed), REQUEST_BURST_NS, now.as_ns()))
    }

    fn cell_of_client(&self, source: &Endpoint) -> u32 {
        let address = u128::from_ne_bytes(source.address);
        let mixed = mix(mix(self.seed ^ (address >> 64) as u64) ^ address as u64);
        mix(mixed ^ u64::from(source.port)) as u32 % STUN_BUDGET_CELLS
    }
}
