//! What a worker counts.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use raceway_abi::{COUNTERS, Counter};

/// Counters of one worker: written by it alone, read by anyone.
#[derive(Debug)]
#[repr(align(64))]
pub struct Counters {
    values: [AtomicU64; COUNTERS as usize],
}

impl Default for Counters {
    fn default() -> Self {
        Self { values: [const { AtomicU64::new(0) }; COUNTERS as usize] }
    }
}

impl Counters {
    /// Adds; only for the one thread that owns these counters, so that no atomic read-modify-write is needed.
    #[inline]
    pub fn add(&self, counter: Counter, amount: u64) {
        if let Some(value) = self.values.get(counter.index() as usize) {
            value.store(value.load(Relaxed).wrapping_add(amount), Relaxed);
        }
    }

    /// All values, by [`Counter::index`].
    #[must_use]
    pub fn values(&self) -> [u64; COUNTERS as usize] {
        core::array::from_fn(|at| self.values[at].load(Relaxed))
    }
}
