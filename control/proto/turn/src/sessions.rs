//! All allocations: by name, by 5-tuple, by user, by expiry.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::{HashMap, HashTable};
use raceway_api::SessionId;
use raceway_units::Instant;

use crate::allocation::{Allocation, Family, Tuple};
use crate::by_user::ByUser;

/// What one user has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub allocations: u32,
    pub flows: u32,
}

/// The allocations. What it costs: one box each, and about 100 octets in the indexes.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_id: HashMap<SessionId, Box<Allocation>, RandomState>,
    by_tuple: HashTable<SessionId>,
    hasher: RandomState,
    by_user: ByUser<Holding>,
    by_expiry: BTreeSet<(Instant, SessionId)>,
    families: [usize; 2],
}

impl Sessions {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub const fn family_count(&self, family: Family) -> usize {
        self.families[family as usize]
    }

    /// What counts against the quotas of this name's user.
    pub fn held_by(&self, name: &str) -> Holding {
        self.by_user.of(name)
    }

    pub fn get(&self, id: SessionId) -> Option<&Allocation> {
        self.by_id.get(&id).map(AsRef::as_ref)
    }

    /// For changes that leave what the indexes know alone: everything but worker and key. See [`change`](Self::change).
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Allocation> {
        self.by_id.get_mut(&id).map(AsMut::as_mut)
    }

    pub fn id_of(&self, tuple: &Tuple) -> Option<SessionId> {
        let hash = self.hasher.hash_one(tuple);
        self.by_tuple.find(hash, |id| self.by_id[id].tuple == *tuple).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Allocation> {
        self.by_id.values().map(AsRef::as_ref)
    }

    pub fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.by_id.keys().copied()
    }

    /// The allocation of which something ends next.
    pub fn next_expiry(&self) -> Option<(Instant, SessionId)> {
        self.by_expiry.first().copied()
    }

    /// Adds one. Neither its name nor its 5-tuple may be there already.
    pub fn insert(&mut self, allocation: Box<Allocation>) {
        let id = allocation.id;
        let hash = self.hasher.hash_one(allocation.tuple);
        self.count_families(&allocation, 1);
        self.by_expiry.insert((allocation.next_expiry(), id));
        self.by_user.change(&allocation.user, |held| {
            held.allocations += 1;
            held.flows += allocation.flow_count();
        });
        self.by_id.insert(id, allocation);
        let (by_id, hasher) = (&self.by_id, &self.hasher);
        self.by_tuple.insert_unique(hash, id, |id| hasher.hash_one(by_id[id].tuple));
    }

    /// Takes one out.
    pub fn remove(&mut self, id: SessionId) -> Option<Box<Allocation>> {
        let tuple = self.by_id.get(&id)?.tuple;
        let hash = self.hasher.hash_one(tuple);
        if let Ok(entry) = self.by_tuple.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        let allocation = self.by_id.remove(&id)?;
        self.by_expiry.remove(&(allocation.next_expiry(), id));
        self.count_families(&allocation, -1);
        self.by_user.change(&allocation.user, |held| {
            held.allocations -= 1;
            held.flows -= allocation.flow_count();
        });
        Some(allocation)
    }

    /// Changes families, permissions, channels or expiries, and the indexes with them.
    pub fn change<T>(&mut self, id: SessionId, change: impl FnOnce(&mut Allocation) -> T) -> Option<T> {
        let mut allocation = self.by_id.remove(&id)?;
        self.by_expiry.remove(&(allocation.next_expiry(), id));
        self.count_families(&allocation, -1);
        let flows = allocation.flow_count();
        let result = change(&mut allocation);
        self.by_user.change(&allocation.user, |held| held.flows = held.flows - flows + allocation.flow_count());
        self.count_families(&allocation, 1);
        self.by_expiry.insert((allocation.next_expiry(), id));
        self.by_id.insert(id, allocation);
        Some(result)
    }

    fn count_families(&mut self, allocation: &Allocation, by: isize) {
        for (family, _) in allocation.legs() {
            let count = &mut self.families[family as usize];
            *count = count.saturating_add_signed(by);
        }
    }
}
