//! Which policers are in use, and what they are set to.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use raceway_datapath::police::ns_per_octet_q20;
use raceway_engine::Quarantine;
use raceway_units::Instant;

use crate::shared::Shared;

/// How much may come at once: this long at the full rate.
const BURST_NS: u64 = 250_000_000;
/// But always two whole datagrams of the longest that a worker takes.
const BURST_OCTETS: u64 = 2 * raceway_sys::io::PAYLOAD_MAX as u64;

/// Policers by index.
pub struct PolicerPool {
    shared: Arc<Shared>,
    free: Vec<u32>,
    resting: Quarantine<[u32; 2]>,
}

impl PolicerPool {
    /// All but those that `taken` names.
    #[must_use]
    pub fn new(shared: Arc<Shared>, taken: &[u32]) -> Self {
        let mut used = vec![false; shared.policers.len()];
        for index in taken {
            if let Some(used) = used.get_mut(*index as usize) {
                *used = true;
            }
        }
        let free = (0..used.len() as u32).rev().filter(|index| !used[*index as usize]).collect();
        Self { shared, free, resting: Quarantine::default() }
    }

    /// Two policers, one for each direction.
    pub fn take(&mut self, bits_per_second: u64) -> Option<[u32; 2]> {
        let pair = [self.free.pop()?, self.free.pop()?];
        self.set(pair, bits_per_second);
        Some(pair)
    }

    /// Changes the rate of two policers; zero means no limit.
    pub fn set(&self, pair: [u32; 2], bits_per_second: u64) {
        let ns_q20 = ns_per_octet_q20(bits_per_second);
        let two_datagrams = ((u128::from(ns_q20) * u128::from(BURST_OCTETS)) >> 20) as u64;
        for index in pair {
            if let Some(policer) = self.shared.policers.get(index as usize) {
                policer.burst_ns.store(BURST_NS.max(two_datagrams), Relaxed);
                policer.ns_per_octet_q20.store(ns_q20, Relaxed);
            }
        }
    }

    /// Gives two policers back that no flow names any more.
    pub fn give_back(&mut self, pair: [u32; 2], now: Instant) {
        self.resting.push(&self.shared.quiescence, now, pair);
    }

    /// Frees what has rested.
    pub fn collect(&mut self, now: Instant) {
        while let Some(pair) = self.resting.pop(&self.shared.quiescence, now) {
            for index in pair {
                if let Some(policer) = self.shared.policers.get(index as usize) {
                    policer.arrival_ns.store(0, Relaxed);
                }
            }
            self.free.extend(pair);
        }
    }
}
