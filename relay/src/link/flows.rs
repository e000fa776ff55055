//! Flows by name and by match: which there are, and where XDP and workers find them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use raceway_abi::{FlowKey, FlowSpec};
use raceway_api::{Flow, FlowId, OperationError, SessionId};
use raceway_engine::TableWriter;
use raceway_units::Instant;

use super::describe;
use super::timers::Timers;
use crate::fast_path::FastPath;
use crate::limits::OWN_FLOW_IDS;
use crate::shared::{Records, Shared};

/// What a flow is called.
type Name = (SessionId, FlowId);

/// Every flow. Places them in the table of the workers and in that of XDP, and takes them out of both when they end.
pub struct FlowBook {
    shared: Arc<Shared>,
    writer: TableWriter<Records>,
    /// The table of XDP.
    pub(super) fast_path: FastPath,
    /// Slots by name; those of a session stand together.
    slots: BTreeMap<Name, u32>,
    /// Flows of a relay before this one: still in XDP, claimed by no session yet.
    orphans: HashMap<FlowKey, u32>,
    timers: Timers<Name>,
    /// RTP packets lost on flows that ended.
    ended_rtp_lost: u64,
}

impl FlowBook {
    /// Nothing but the orphans of a relay before this one: records in `writer`'s table by key and slot.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        writer: TableWriter<Records>,
        fast_path: FastPath,
        orphans: Vec<(FlowKey, u32)>,
    ) -> Self {
        Self {
            shared,
            writer,
            fast_path,
            slots: BTreeMap::new(),
            orphans: orphans.into_iter().collect(),
            timers: Timers::default(),
            ended_rtp_lost: 0,
        }
    }

    /// Makes a flow be there, under the name that `spec` holds, until `expires_at_ns`. One that is there already and is
    /// the same keeps its figures, and so does an orphan.
    ///
    /// # Errors
    /// [`OperationError::MatchTaken`] by a flow that is alive, [`OperationError::FlowsFull`].
    pub fn put(
        &mut self,
        now: Instant,
        spec: &FlowSpec,
        expires_at_ns: u64,
        egress: [u32; 2],
    ) -> Result<(), OperationError> {
        let name = name_of(spec);
        if let Some(slot) = self.slots.get(&name).copied() {
            let before = self.record(slot).spec();
            if before == *spec {
                return self.extend(name, expires_at_ns);
            }
            if before.key == spec.key {
                return self.replace(now, spec, expires_at_ns, egress, slot);
            }
        }
        self.make_room(now, &spec.key)?;
        self.remove(now, name);
        self.insert(now, spec, expires_at_ns, egress)
    }

    /// The match must be free: taken by nobody, or by a flow that has expired.
    fn make_room(&mut self, now: Instant, key: &FlowKey) -> Result<(), OperationError> {
        if self.shared.table.live(key, now).is_some() {
            return Err(OperationError::MatchTaken);
        }
        if let Some(slot) = self.shared.table.find(key) {
            self.remove(now, name_of(&self.record(slot).spec()));
        }
        Ok(())
    }

    fn insert(
        &mut self,
        now: Instant,
        spec: &FlowSpec,
        expires_at_ns: u64,
        egress: [u32; 2],
    ) -> Result<(), OperationError> {
        let orphan = self.orphans.get(&spec.key).copied();
        let slot = match orphan.filter(|slot| self.claim(*slot, spec, egress)) {
            Some(slot) => {
                self.orphans.remove(&spec.key);
                self.record(slot).expires_at_ns.store(expires_at_ns, Relaxed);
                slot
            }
            None => self.fill_and_link(now, spec, expires_at_ns, egress)?,
        };
        self.slots.insert(name_of(spec), slot);
        self.timers.set(expires_at_ns, name_of(spec));
        Ok(())
    }

    /// Takes over the slot of an orphan, if it is the same flow: XDP goes on with it, and workers find it now.
    fn claim(&mut self, slot: u32, spec: &FlowSpec, egress: [u32; 2]) -> bool {
        if self.record(slot).spec() != *spec {
            return false;
        }
        self.writer.set_egress(slot, egress);
        self.writer.link(slot).is_ok()
    }

    fn fill_and_link(
        &mut self,
        now: Instant,
        spec: &FlowSpec,
        expires_at_ns: u64,
        egress: [u32; 2],
    ) -> Result<u32, OperationError> {
        let slot = self.fill(spec, expires_at_ns, egress)?;
        if self.writer.link(slot).is_err() {
            self.writer.abandon(slot);
            return Err(OperationError::FlowsFull);
        }
        self.fast_path.insert(&spec.key, slot);
        // An orphan with the same match was another flow; XDP lets go of it when this one is settled, in this turn.
        if let Some(orphan) = self.orphans.remove(&spec.key) {
            self.writer.rest(&self.shared.quiescence, now, orphan);
        }
        Ok(slot)
    }

    fn fill(&mut self, spec: &FlowSpec, expires_at_ns: u64, egress: [u32; 2]) -> Result<u32, OperationError> {
        let expires_at = Instant::from_ns(expires_at_ns);
        self.writer.fill(spec, expires_at, egress).map_err(|_| OperationError::FlowsFull)
    }

    /// Puts a flow in the place of the one in slot `old`, whose match it has.
    fn replace(
        &mut self,
        now: Instant,
        spec: &FlowSpec,
        expires_at_ns: u64,
        egress: [u32; 2],
        old: u32,
    ) -> Result<(), OperationError> {
        let new = self.fill(spec, expires_at_ns, egress)?;
        self.keep_figures(old);
        self.fast_path.insert(&spec.key, new);
        self.writer.swing(&self.shared.quiescence, now, old, new);
        self.slots.insert(name_of(spec), new);
        self.timers.set(expires_at_ns, name_of(spec));
        Ok(())
    }

    /// Sets when a flow ends.
    ///
    /// # Errors
    /// [`OperationError::UnknownFlow`].
    pub fn extend(&mut self, name: Name, expires_at_ns: u64) -> Result<(), OperationError> {
        let slot = *self.slots.get(&name).ok_or(OperationError::UnknownFlow)?;
        let before = self.record(slot).expires_at_ns.swap(expires_at_ns, Relaxed);
        if expires_at_ns < before {
            self.timers.set(expires_at_ns, name);
        }
        Ok(())
    }

    /// Ends a flow; nothing if it is not there.
    pub fn remove(&mut self, now: Instant, name: Name) {
        if let Some(slot) = self.slots.remove(&name) {
            self.take_out(now, slot);
        }
    }

    /// Ends every flow of a session.
    pub fn remove_session(&mut self, now: Instant, session: SessionId) {
        let names: Vec<Name> = self.slots.range(names_of(session)).map(|(name, _)| *name).collect();
        for name in names {
            self.remove(now, name);
        }
    }

    fn take_out(&mut self, now: Instant, slot: u32) {
        let key = self.record(slot).key();
        self.keep_figures(slot);
        self.writer.unlink(slot);
        self.fast_path.remove(&key);
        self.writer.rest(&self.shared.quiescence, now, slot);
    }

    fn keep_figures(&mut self, slot: u32) {
        self.ended_rtp_lost += u64::from(self.record(slot).measured.rtp.lost.load(Relaxed));
    }

    /// Ends the flows of a relay before this one that no session has claimed; how many there were.
    pub fn forget_orphans(&mut self, now: Instant) -> usize {
        let orphans = std::mem::take(&mut self.orphans);
        let count = orphans.len();
        for (key, slot) in orphans {
            self.keep_figures(slot);
            self.fast_path.remove(&key);
            self.writer.rest(&self.shared.quiescence, now, slot);
        }
        count
    }

    /// Removes what has expired.
    pub fn reap(&mut self, now: Instant) {
        let records = self.shared.table.records();
        let expiry = |slot: u32| records[slot as usize].expires_at_ns.load(Relaxed);
        self.timers.tidy(self.slots.iter().map(|(name, slot)| (expiry(*slot), *name)));
        while let Some(name) = self.timers.due(now) {
            let Some(slot) = self.slots.get(&name).copied() else { continue };
            let expires_at_ns = self.record(slot).expires_at_ns.load(Relaxed);
            if expires_at_ns > now.as_ns() {
                self.timers.set(expires_at_ns, name);
            } else {
                self.remove(now, name);
            }
        }
    }

    /// Kernel monotonic time at which [`reap`](Self::reap) has something to look at.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Makes everything that was put be found in XDP too. Until then a new flow is found by the workers alone; one that
    /// replaces another leaves the old one there.
    pub fn settle(&mut self) {
        self.fast_path.settle();
    }

    /// Lets XDP follow what has changed of its interfaces.
    pub fn refresh(&mut self) {
        if self.fast_path.refresh() {
            self.slots().for_each(|slot| self.record(slot).next_hop.until_ns.store(0, Relaxed));
        }
    }

    /// Goes on with everything that waits for workers to let go, once all is [settled](Self::settle). True when
    /// something still waits.
    pub fn advance(&mut self, now: Instant) -> bool {
        self.settle();
        self.writer.collect(&self.shared.quiescence, now);
        self.writer.resting()
    }

    /// Slots of a session's flows.
    pub fn of_session(&self, session: SessionId) -> impl Iterator<Item = u32> {
        self.slots.range(names_of(session)).map(|(_, slot)| *slot)
    }

    /// Names of the relay's own flows in a session: those of its media addresses.
    #[must_use]
    pub fn own_of_session(&self, session: SessionId) -> Vec<FlowId> {
        let own = (session, FlowId(OWN_FLOW_IDS))..=(session, FlowId(u32::MAX));
        self.slots.range(own).map(|((_, id), _)| *id).collect()
    }

    /// Slots of all flows, orphans among them.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        self.slots.values().chain(self.orphans.values()).copied()
    }

    /// The flow in a slot, as control would say it.
    #[must_use]
    pub fn describe(&self, slot: u32) -> Flow {
        let record = self.record(slot);
        describe::from_spec(&record.spec(), record.expires_at_ns.load(Relaxed))
    }

    /// RTP packets lost on flows that ended.
    #[must_use]
    pub const fn ended_rtp_lost(&self) -> u64 {
        self.ended_rtp_lost
    }

    /// The record in a slot.
    #[must_use]
    pub fn record(&self, slot: u32) -> &raceway_abi::Flow {
        &self.shared.table.records()[slot as usize]
    }
}

const fn name_of(spec: &FlowSpec) -> Name {
    (SessionId(spec.session), FlowId(spec.id))
}

const fn names_of(session: SessionId) -> std::ops::RangeInclusive<Name> {
    (session, FlowId(0))..=(session, FlowId(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use raceway_abi::Action;
    use raceway_engine::limits::QUARANTINE;

    use super::*;
    use crate::limits::TIMERS_MIN;
    use crate::link::state::tests::shared;

    const NOW: Instant = Instant::from_ns(1);
    const END_NS: u64 = 1_000;

    fn book(flows: usize) -> FlowBook {
        let (shared, writer) = shared(flows);
        FlowBook::new(shared, writer, FastPath::Off(Vec::new()), Vec::new())
    }

    /// A flow of a session with a match of its own.
    fn spec(session: u64, id: u32, port: u16) -> FlowSpec {
        let key = FlowKey { local_port: port, ..FlowKey::default() };
        FlowSpec { session, id, key, action: Action::Drop, ..FlowSpec::default() }
    }

    fn put(book: &mut FlowBook, spec: &FlowSpec) -> Result<(), OperationError> {
        book.put(NOW, spec, END_NS, [0; 2])
    }

    /// Its slot, as a worker finds it.
    fn found(book: &FlowBook, spec: &FlowSpec) -> Option<u32> {
        book.shared.table.find(&spec.key)
    }

    #[test]
    fn an_equal_flow_keeps_its_figures_and_a_changed_one_starts_anew() {
        let mut book = book(8);
        let flow = spec(1, 1, 5);
        put(&mut book, &flow).expect("room");
        let slot = found(&book, &flow).expect("put");
        book.record(slot).measured.rtp.lost.store(3, Relaxed);
        put(&mut book, &flow).expect("it is there");
        assert_eq!(found(&book, &flow), Some(slot));
        put(&mut book, &FlowSpec { dscp: 46, ..flow }).expect("room");
        let other = found(&book, &flow).expect("put");
        assert_eq!(book.record(other).measured.rtp.lost.load(Relaxed), 0);
        assert_eq!(book.ended_rtp_lost(), 3);
        assert_eq!(book.of_session(SessionId(1)).collect::<Vec<_>>(), [other]);
    }

    #[test]
    fn a_flow_that_matches_something_else_now_matches_nothing_else() {
        let mut book = book(8);
        put(&mut book, &spec(1, 1, 5)).expect("room");
        put(&mut book, &spec(1, 1, 6)).expect("room");
        assert_eq!(found(&book, &spec(1, 1, 5)), None);
        assert!(found(&book, &spec(1, 1, 6)).is_some());
    }

    #[test]
    fn a_match_is_taken_while_its_flow_lives_and_free_after() {
        let mut book = book(8);
        put(&mut book, &spec(1, 1, 5)).expect("room");
        put(&mut book, &spec(2, 1, 6)).expect("room");
        assert_eq!(put(&mut book, &spec(2, 1, 5)), Err(OperationError::MatchTaken));
        assert!(found(&book, &spec(2, 1, 6)).is_some(), "what is refused changes nothing");
        let end = Instant::from_ns(END_NS);
        book.put(end, &spec(2, 1, 5), 2 * END_NS, [0; 2]).expect("the other has ended");
        assert_eq!(book.of_session(SessionId(1)).count(), 0);
        assert_eq!(found(&book, &spec(2, 1, 6)), None);
    }

    #[test]
    fn a_session_goes_with_its_flows_and_no_others() {
        let mut book = book(8);
        for (session, id, port) in [(1, u32::MAX, 1), (2, 0, 2), (2, u32::MAX, 3), (3, 0, 4)] {
            put(&mut book, &spec(session, id, port)).expect("room");
        }
        book.remove_session(NOW, SessionId(2));
        let left: Vec<u16> = book.slots().map(|slot| book.record(slot).key().local_port).collect();
        assert_eq!(left, [1, 4]);
    }

    #[test]
    fn a_flow_ends_at_its_expiry_and_not_before_an_extension_of_it() {
        let mut book = book(8);
        put(&mut book, &spec(1, 1, 5)).expect("room");
        book.extend((SessionId(1), FlowId(1)), 2 * END_NS).expect("it is there");
        book.reap(Instant::from_ns(END_NS));
        assert_eq!(book.slots().count(), 1);
        book.extend((SessionId(1), FlowId(1)), END_NS + 1).expect("it is there");
        assert_eq!(book.next_expiry(), Some(Instant::from_ns(END_NS + 1)));
        book.reap(Instant::from_ns(END_NS + 1));
        assert_eq!(book.slots().count(), 0);
        assert_eq!(book.extend((SessionId(1), FlowId(1)), 1), Err(OperationError::UnknownFlow));
    }

    #[test]
    fn removed_flows_leave_no_timers_behind_and_their_slots_come_back() {
        let mut book = book(8);
        let later = Instant::from_ns(END_NS).after(Duration::from_secs(3600));
        let mut now = NOW;
        for _ in 0..4 * TIMERS_MIN {
            book.put(now, &spec(1, 1, 5), later.as_ns(), [0; 2]).expect("room");
            book.remove(now, (SessionId(1), FlowId(1)));
            book.reap(now);
            now = now.after(QUARANTINE);
            book.shared.quiescence.pass(0);
            book.advance(now);
        }
        assert!(book.timers.len() <= TIMERS_MIN, "{} timers", book.timers.len());
    }
}
