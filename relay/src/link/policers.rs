//! Which policers are in use, and what they are set to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use raceway_abi::{Action, Flow, FlowKey};
use raceway_api::{OperationError, SessionId};
use raceway_datapath::police::ns_per_octet_q20;
use raceway_engine::Quarantine;
use raceway_units::{Endpoint, Instant};

use crate::shared::Shared;

/// How much may come at once: this long at the full rate.
const BURST_NS: u64 = 250_000_000;
/// But always two whole datagrams of the longest that a worker takes.
const BURST_OCTETS: u64 = 2 * raceway_sys::io::PAYLOAD_MAX as u64;

/// Policers by index.
pub struct PolicerPool {
    shared: Arc<Shared>,
    free: Vec<u32>,
    /// Those of sessions of a relay before this one, by direction: their flows in XDP name them.
    adopted: HashMap<SessionId, [Option<u32>; 2]>,
    /// Those of media addresses of a relay before this one.
    adopted_media: HashMap<Endpoint, u32>,
    resting: Quarantine<u32>,
}

impl PolicerPool {
    /// All but those that flows of a relay before this one name.
    #[must_use]
    pub fn new<'a>(shared: Arc<Shared>, orphans: impl Iterator<Item = &'a Flow>) -> Self {
        let mut used = vec![false; shared.policers.len()];
        let mut adopted: HashMap<SessionId, [Option<u32>; 2]> = HashMap::new();
        let mut adopted_media = HashMap::new();
        for flow in orphans {
            let index = flow.policer();
            let Some(used) = used.get_mut(index as usize) else { continue };
            *used = true;
            let FlowKey { local, local_port, remote, .. } = flow.key();
            if flow.media_only() || (flow.action() == Action::Worker && remote == [0; 16]) {
                adopted_media.insert(Endpoint { address: local, port: local_port }, index);
            } else {
                adopted.entry(SessionId(flow.session())).or_default()[flow.direction() as usize] = Some(index);
            }
        }
        let free = (0..used.len() as u32).rev().filter(|index| !used[*index as usize]).collect();
        Self { shared, free, adopted, adopted_media, resting: Quarantine::default() }
    }

    /// Two policers, one for each direction.
    pub fn take(&mut self, bits_per_second: u64) -> Option<[u32; 2]> {
        self.complete([None; 2], bits_per_second)
    }

    /// The policers that a session had in the relay before this one, set to this rate; a direction of which no flow was
    /// left gets another. Nothing if it had none.
    ///
    /// # Errors
    /// [`OperationError::SessionsFull`]: no policer is free.
    pub fn adopt(&mut self, session: SessionId, bits_per_second: u64) -> Result<Option<[u32; 2]>, OperationError> {
        let Some(pair) = self.adopted.get(&session).copied() else { return Ok(None) };
        let pair = self.complete(pair, bits_per_second).ok_or(OperationError::SessionsFull)?;
        self.adopted.remove(&session);
        Ok(Some(pair))
    }

    /// Two policers of a media address: that of its flows, which is the one of the relay before this one if there was one, and
    /// that of its legs.
    pub fn take_media(&mut self, local: Endpoint, bits_per_second: u64) -> Option<[u32; 2]> {
        let adopted = self.adopted_media.get(&local).copied();
        let pair = self.complete([adopted, None], bits_per_second)?;
        self.adopted_media.remove(&local);
        Some(pair)
    }

    fn complete(&mut self, pair: [Option<u32>; 2], bits_per_second: u64) -> Option<[u32; 2]> {
        let missing = pair.iter().filter(|index| index.is_none()).count();
        if self.free.len() < missing {
            return None;
        }
        let pair = pair.map(|index| index.or_else(|| self.free.pop()));
        let pair = [pair[0]?, pair[1]?];
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

    /// Gives policers back that no flow names any more.
    pub fn give_back(&mut self, indices: impl IntoIterator<Item = u32>, now: Instant) {
        for index in indices {
            self.resting.push(&self.shared.quiescence, now, index);
        }
    }

    /// Gives back those of sessions that did not come again.
    pub fn forget_adopted(&mut self, now: Instant) {
        let adopted: Vec<u32> = self.adopted.drain().flat_map(|(_, pair)| pair).flatten().collect();
        let media: Vec<u32> = self.adopted_media.drain().map(|(_, index)| index).collect();
        self.give_back(adopted.into_iter().chain(media), now);
    }

    /// Frees what has rested.
    pub fn collect(&mut self, now: Instant) {
        while let Some(index) = self.resting.pop(&self.shared.quiescence, now) {
            if let Some(policer) = self.shared.policers.get(index as usize) {
                policer.arrival_ns.store(0, Relaxed);
            }
            self.free.push(index);
        }
    }

    #[cfg(test)]
    pub fn free(&self) -> usize {
        self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use raceway_abi::{Direction, FlowSpec};
    use raceway_engine::limits::QUARANTINE;

    use super::*;
    use crate::link::state::tests::shared;

    const SESSION: SessionId = SessionId(9);
    const POLICERS: usize = 8;

    /// A pool after a relay of whose session the flows towards the client are left.
    fn half_adopted() -> PolicerPool {
        let (shared, _) = shared(POLICERS);
        let left = Flow::default();
        let spec =
            FlowSpec { session: SESSION.0, direction: Direction::PeerToClient, policer: 5, ..FlowSpec::default() };
        left.publish(&spec, u64::MAX);
        let pool = PolicerPool::new(shared, [&left, &left].into_iter());
        assert_eq!(pool.free(), POLICERS - 1);
        pool
    }

    /// Lets what was given back rest to its end.
    fn rest(pool: &mut PolicerPool) {
        pool.shared.quiescence.pass(0);
        pool.collect(Instant::from_ns(1).after(QUARANTINE));
    }

    #[test]
    fn a_session_of_which_one_direction_is_left_gets_both_policers_and_gives_both_back() {
        let mut pool = half_adopted();
        assert_eq!(pool.adopt(SessionId(1), 800), Ok(None));
        let pair = pool.adopt(SESSION, 800).expect("room").expect("it had one");
        assert!(pair[1] == 5 && pair[0] != 5, "{pair:?}");
        for index in pair {
            let rate = pool.shared.policers[index as usize].ns_per_octet_q20.load(Relaxed);
            assert_eq!(rate, ns_per_octet_q20(800));
        }
        assert_eq!(pool.adopt(SESSION, 800), Ok(None), "only once");
        pool.give_back(pair, Instant::from_ns(1));
        rest(&mut pool);
        assert_eq!(pool.free(), POLICERS);
    }

    #[test]
    fn policers_of_sessions_that_did_not_come_again_are_free_again() {
        let mut pool = half_adopted();
        pool.forget_adopted(Instant::from_ns(1));
        rest(&mut pool);
        assert_eq!(pool.free(), POLICERS);
    }

    #[test]
    fn a_pool_that_is_empty_takes_nothing_from_a_session_that_wants_more() {
        let mut pool = half_adopted();
        while pool.take(1).is_some() {}
        assert_eq!(pool.free(), 1);
        pool.free.clear();
        assert_eq!(pool.adopt(SESSION, 800), Err(OperationError::SessionsFull));
        pool.free.push(0);
        assert_eq!(pool.adopt(SESSION, 800), Ok(Some([0, 5])));
    }
}
