//! The flow table of user space: records, index, free slots.

use core::ops::Deref;
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use raceway_abi::{Action, Flow, FlowKey, FlowSpec};
use raceway_units::Instant;

use crate::index::Index;
use crate::quarantine::{Quarantine, Quiescence};

/// [`Table::egress`] of a flow that sends nothing.
pub const NO_EGRESS: u32 = u32::MAX;

/// Flows as workers see them. `R` is where the records live: a mapped BPF array or ordinary memory.
///
/// Besides its record (256 octets) a flow costs 24 octets here.
pub struct Table<R> {
    records: R,
    index: Index,
    egress: Box<[[AtomicU32; 2]]>,
}

/// Why no live flow was found.
#[derive(Clone, Copy)]
pub(crate) enum Missing<'a> {
    /// None matches.
    Absent,
    /// This one matches, and has ended.
    Expired(&'a Flow),
}

/// No slot is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull;

impl<R: Deref<Target = [Flow]>> Table<R> {
    /// A table over `records`, of which the slots that `taken` names are in use already (adopted from a relay before
    /// this one); and the one writer that it can have. `seed` is secret and random.
    pub fn new(records: R, seed: u64, taken: &[u32]) -> (Arc<Self>, TableWriter<R>) {
        let slots = records.len();
        let egress = (0..slots).map(|_| [AtomicU32::new(NO_EGRESS), AtomicU32::new(NO_EGRESS)]).collect();
        let mut used = vec![false; slots];
        for slot in taken {
            if let Some(used) = used.get_mut(*slot as usize) {
                *used = true;
            }
        }
        let free = (0..slots as u32).rev().filter(|slot| !used[*slot as usize]).collect();
        let table = Arc::new(Self { index: Index::new(slots, seed), records, egress });
        let writer = TableWriter { table: Arc::clone(&table), free, resting: Quarantine::default() };
        (table, writer)
    }

    /// All records.
    #[must_use]
    pub fn records(&self) -> &[Flow] {
        &self.records
    }

    /// The slot that matches `key` exactly, expired or not.
    #[inline]
    #[must_use]
    pub fn find(&self, key: &FlowKey) -> Option<u32> {
        self.index.find(&self.records, key)
    }

    /// The live flow that matches `key` exactly, or why there is none.
    #[inline]
    pub(crate) fn look_up(&self, key: &FlowKey, now: Instant) -> Result<(u32, &Flow), Missing<'_>> {
        let slot = self.find(key).ok_or(Missing::Absent)?;
        let flow = self.records.get(slot as usize).ok_or(Missing::Absent)?;
        match flow.action() {
            Action::None => Err(Missing::Absent),
            _ if flow.expires_at_ns.load(Ordering::Relaxed) <= now.as_ns() => Err(Missing::Expired(flow)),
            _ => Ok((slot, flow)),
        }
    }

    /// The live flow that matches `key` exactly: an expired one counts as absent.
    #[inline]
    #[must_use]
    pub fn live(&self, key: &FlowKey, now: Instant) -> Option<(u32, &Flow)> {
        self.look_up(key, now).ok()
    }

    /// What the shell knows the sending socket of a flow by: `[0]` of its source, `[1]` of its second source (the
    /// IPv6 relayed address of a flow for Send indications).
    #[inline]
    #[must_use]
    pub fn egress(&self, slot: u32, which: usize) -> u32 {
        self.egress.get(slot as usize).and_then(|two| two.get(which)).map_or(NO_EGRESS, |e| e.load(Ordering::Relaxed))
    }
}

/// The one writer of a [`Table`].
pub struct TableWriter<R> {
    table: Arc<Table<R>>,
    free: Vec<u32>,
    resting: Quarantine<u32>,
}

impl<R: Deref<Target = [Flow]>> TableWriter<R> {
    /// Fills a free slot, which nobody finds before [`link`](Self::link) or [`swing`](Self::swing).
    ///
    /// # Errors
    /// [`TableFull`].
    pub fn fill(&mut self, spec: &FlowSpec, expires_at: Instant, egress: [u32; 2]) -> Result<u32, TableFull> {
        let slot = self.free.pop().ok_or(TableFull)?;
        self.table.records[slot as usize].publish(spec, expires_at.as_ns());
        self.set_egress(slot, egress);
        Ok(slot)
    }

    /// Sets the sending sockets of a slot that is not linked.
    pub fn set_egress(&mut self, slot: u32, egress: [u32; 2]) {
        for (place, value) in self.table.egress[slot as usize].iter().zip(egress) {
            place.store(value, Ordering::Relaxed);
        }
    }

    /// Lets readers find a filled slot. Its key must not be in the table.
    ///
    /// # Errors
    /// [`TableFull`] when too many keys fall into its bucket; the slot is then still the caller's to
    /// [`abandon`](Self::abandon).
    pub fn link(&mut self, slot: u32) -> Result<(), TableFull> {
        if self.table.index.insert(&self.table.records, slot) { Ok(()) } else { Err(TableFull) }
    }

    /// Puts `new` in the place of the linked slot `old` with the same key; `old` begins to rest.
    pub fn swing(&mut self, quiescence: &Quiescence, now: Instant, old: u32, new: u32) {
        self.table.index.swing(&self.table.records, old, new);
        self.resting.push(quiescence, now, old);
    }

    /// Takes a linked slot out of the index; readers may still hold it. [`rest`](Self::rest) must follow.
    pub fn unlink(&mut self, slot: u32) {
        self.table.index.remove(&self.table.records, slot);
    }

    /// A slot that nobody can find any more begins to rest.
    pub fn rest(&mut self, quiescence: &Quiescence, now: Instant, slot: u32) {
        self.resting.push(quiescence, now, slot);
    }

    /// Gives back a slot that was never linked.
    pub fn abandon(&mut self, slot: u32) {
        self.table.records[slot as usize].retire();
        self.free.push(slot);
    }

    /// Frees the slots that have rested.
    pub fn collect(&mut self, quiescence: &Quiescence, now: Instant) {
        while let Some(slot) = self.resting.pop(quiescence, now) {
            self.abandon(slot);
        }
    }

    /// Whether slots wait to be freed.
    #[must_use]
    pub fn resting(&self) -> bool {
        !self.resting.is_empty()
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &Arc<Table<R>> {
        &self.table
    }
}
