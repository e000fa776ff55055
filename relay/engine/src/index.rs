//! From a key to a slot, lock-free: one writer, any number of readers.
//!
//! Buckets of chains, as the kernel's RCU lists: a head per bucket and a successor per slot. Keys live in the
//! records. (Open addressing was considered: it leaves graves behind that a table of short-lived flows fills up with,
//! and it cannot be rebuilt under readers without a second table.) A slot that was unlinked keeps its successor until
//! it is reused, so a reader that stands on it walks on; reuse waits for every reader (see `quarantine`).

use core::hash::Hasher;
use core::sync::atomic::{AtomicU32, Ordering};

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use raceway_abi::{Flow, FlowKey};

use crate::limits::CHAIN_MAX;

/// No slot.
const END: u32 = u32::MAX;

/// The index. 12 octets a flow.
pub(crate) struct Index {
    heads: Box<[AtomicU32]>,
    next: Box<[AtomicU32]>,
    seed: u64,
    shared_seed: SharedSeed,
}

impl Index {
    /// For `slots` records; `seed` is a secret, so that nobody can choose addresses that collide.
    pub(crate) fn new(slots: usize, seed: u64) -> Self {
        let ends = |count: usize| (0..count).map(|_| AtomicU32::new(END)).collect();
        Self {
            heads: ends((slots * 2).next_power_of_two()),
            next: ends(slots),
            seed,
            shared_seed: SharedSeed::from_u64(seed.rotate_left(32)),
        }
    }

    #[inline]
    fn head(&self, key: &FlowKey) -> &AtomicU32 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared_seed);
        hasher.write_u128(u128::from_ne_bytes(key.remote));
        hasher.write_u128(u128::from_ne_bytes(key.local));
        let ports = u64::from(key.remote_port) | u64::from(key.local_port) << 16 | u64::from(key.channel) << 32;
        hasher.write_u64(ports);
        // The length is a power of two, so the mask keeps the index below it.
        &self.heads[hasher.finish() as usize & (self.heads.len() - 1)]
    }

    /// The slot that holds `key`.
    #[inline]
    pub(crate) fn find(&self, records: &[Flow], key: &FlowKey) -> Option<u32> {
        let mut slot = self.head(key).load(Ordering::Acquire);
        for _ in 0..CHAIN_MAX {
            let record = records.get(slot as usize)?;
            if record.key() == *key {
                return Some(slot);
            }
            slot = self.next.get(slot as usize)?.load(Ordering::Acquire);
        }
        None
    }

    /// Adds a slot whose record holds a key that is not in the index. False when its chain is full.
    pub(crate) fn insert(&self, records: &[Flow], slot: u32) -> bool {
        let head = self.head(&records[slot as usize].key());
        let first = head.load(Ordering::Relaxed);
        if self.chain(first).count() >= CHAIN_MAX {
            return false;
        }
        self.next[slot as usize].store(first, Ordering::Release);
        head.store(slot, Ordering::Release);
        true
    }

    /// Puts `new` in the place of `old`, in one step for readers. Both records hold the same key.
    pub(crate) fn swing(&self, records: &[Flow], old: u32, new: u32) {
        let link = self.link_to(records, old);
        self.next[new as usize].store(self.next[old as usize].load(Ordering::Relaxed), Ordering::Release);
        link.store(new, Ordering::Release);
    }

    /// Takes a slot out.
    pub(crate) fn remove(&self, records: &[Flow], slot: u32) {
        let link = self.link_to(records, slot);
        link.store(self.next[slot as usize].load(Ordering::Relaxed), Ordering::Release);
    }

    /// The head or successor that names `slot`.
    fn link_to(&self, records: &[Flow], slot: u32) -> &AtomicU32 {
        let head = self.head(&records[slot as usize].key());
        let first = head.load(Ordering::Relaxed);
        if first == slot {
            return head;
        }
        let before = self
            .chain(first)
            .find(|at| self.next[*at as usize].load(Ordering::Relaxed) == slot)
            .expect("only linked slots are unlinked, and each is in the chain of its key");
        &self.next[before as usize]
    }

    /// The slots from `first` on; for the writer.
    fn chain(&self, first: u32) -> impl Iterator<Item = u32> {
        let step = move |slot: u32| (slot != END).then_some(slot);
        core::iter::successors(step(first), move |at| step(self.next[*at as usize].load(Ordering::Relaxed)))
    }
}
