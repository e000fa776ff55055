//! Sessions and their flows: carries out what control asks for.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use raceway_abi::{Counter, DropReason, FlowKey, FlowSpec, NO_POLICER};
use raceway_api::{
    Datagram, Flow, FlowAction, FlowId, Listener, Operation, OperationError, RelayAddress, Remote, SessionId,
};
use raceway_engine::{NO_EGRESS, TableWriter};
use raceway_units::{Endpoint, Instant};

use super::describe::{self, Surroundings, concrete};
use super::policers::PolicerPool;
use super::sockets::SocketBook;
use crate::fast_path::FastPath;
use crate::limits;
use crate::shared::{Place, Records, Shared};

/// When to look at what: a session, or a flow of it.
type Timer = (u64, SessionId, Option<FlowId>);

/// What the link thread knows.
pub struct State {
    pub(super) shared: Arc<Shared>,
    pub(super) writer: TableWriter<Records>,
    pub(super) fast_path: FastPath,
    pub(super) sessions: HashMap<SessionId, Session>,
    pub(super) sockets: SocketBook,
    policers: PolicerPool,
    relayed: HashMap<SocketAddr, SessionId>,
    /// Flows of a relay before this one: still in XDP, claimed by no session yet.
    pub(super) orphans: HashMap<FlowKey, u32>,
    /// Policers that the relay before this one gave to sessions: their flows in XDP name them.
    adopted_policers: HashMap<SessionId, [u32; 2]>,
    /// When to look whether something expired. An entry may be too early, never too late.
    timers: BinaryHeap<Reverse<Timer>>,
    /// So many of them are cleared of what they were for and is gone.
    timers_max: usize,
    sessions_max: usize,
    /// RTP packets lost on flows that ended.
    pub(super) ended_rtp_lost: u64,
    /// The most that was told of RTP packets lost: the sum never goes down.
    pub(super) rtp_lost_told: u64,
}

/// A session.
pub struct Session {
    pub(super) worker: u16,
    pub(super) expires_at_ns: u64,
    bits_per_second: u64,
    pub(super) blob: Box<[u8]>,
    policers: Option<[u32; 2]>,
    pub(super) relayed: Vec<Relayed>,
    /// Name and slot.
    pub(super) flows: Vec<(FlowId, u32)>,
}

/// An open relayed transport address.
#[derive(Clone, Copy, Debug)]
pub struct Relayed {
    pub(super) address: SocketAddr,
    pub(super) external: SocketAddr,
    place: Place,
}

/// An `Apply` that stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Index of the operation.
    pub operation: u16,
    /// Why.
    pub error: OperationError,
}

impl State {
    /// Nothing but the orphans of a relay before this one: records in `writer`'s table by key and slot.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        writer: TableWriter<Records>,
        fast_path: FastPath,
        orphans: Vec<(FlowKey, u32)>,
    ) -> Self {
        let relayed_max = shared.sockets.places() - limits::LISTENER_PLACES;
        let records = shared.table.records();
        let flows_max = records.len() as u32;
        let taken: Vec<u32> = orphans.iter().map(|(_, slot)| records[*slot as usize].policer()).collect();
        Self {
            policers: PolicerPool::new(Arc::clone(&shared), &taken),
            sockets: SocketBook::new(Arc::clone(&shared), relayed_max),
            sessions: HashMap::new(),
            relayed: HashMap::new(),
            adopted_policers: adopted_policers(&shared, &orphans),
            orphans: orphans.into_iter().collect(),
            timers: BinaryHeap::new(),
            timers_max: limits::TIMERS_MIN,
            sessions_max: limits::sessions_max(flows_max),
            ended_rtp_lost: 0,
            rtp_lost_told: 0,
            shared,
            writer,
            fast_path,
        }
    }

    /// Opens and closes listeners; returns what could not be opened, for people.
    pub fn listen(&mut self, listeners: &[Listener]) -> Vec<String> {
        let mut wanted: Vec<SocketAddr> = listeners.iter().map(|listener| listener.address).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let (proper, improper): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|address| concrete(*address));
        let mut problems: Vec<String> =
            improper.iter().map(|address| format!("cannot listen on {address}: not one address and port")).collect();
        problems.extend(proper.iter().filter_map(|address| self.protect(address.ip(), address.ip())));
        let failed = self.sockets.listen(&proper);
        problems.extend(failed.iter().map(|(address, error)| format!("cannot listen on {address}: {error}")));
        problems
    }

    /// Learns where relayed transport addresses are made, so that a client reaches what is relayed there and nothing
    /// else, also before anybody has allocated there; returns what could not be learnt, for people.
    pub fn relay_on(&mut self, addresses: &[RelayAddress]) -> Vec<String> {
        addresses.iter().filter_map(|address| self.protect(address.internal, address.external)).collect()
    }

    /// Makes an address one of our own; a complaint when it cannot be.
    fn protect(&self, internal: IpAddr, external: IpAddr) -> Option<String> {
        let octets = |ip: IpAddr| Endpoint::from(SocketAddr::from((ip, 0))).address;
        self.shared
            .own
            .add(octets(internal), octets(external))
            .err()
            .map(|_| format!("too many own addresses since the relay started to protect {internal}; restart it"))
    }

    /// Carries out operations until one fails; then sends the datagram, if none did.
    ///
    /// # Errors
    /// The first failure; what was done before it stands.
    pub fn apply(
        &mut self,
        now: Instant,
        id: SessionId,
        operations: &[Operation<'_>],
        then_send: Option<&Datagram<'_>>,
    ) -> Result<(), Failure> {
        for (at, operation) in operations.iter().enumerate() {
            self.operate(now, id, operation).map_err(|error| Failure { operation: at as u16, error })?;
        }
        if let Some(datagram) = then_send {
            self.send(datagram);
        }
        Ok(())
    }

    /// Sends a datagram to a client.
    pub fn send(&self, datagram: &Datagram<'_>) {
        if !self.sockets.send(datagram.from, datagram.to, &datagram.payload) {
            self.shared.link_counters.add(Counter::drops(DropReason::SendFailed), 1);
            tracing::debug!(to = %crate::log::Private(datagram.to), "a datagram of control could not be sent");
        }
    }

    fn operate(&mut self, now: Instant, id: SessionId, operation: &Operation<'_>) -> Result<(), OperationError> {
        match operation {
            Operation::PutSession { worker, expires_at_ns, bits_per_second, blob } => {
                self.put_session(now, id, (*worker, *expires_at_ns, *bits_per_second), blob)
            }
            Operation::OpenRelayed { address, external } => self.open_relayed(id, *address, *external),
            Operation::PutFlow(flow) => self.put_flow(now, id, flow),
            Operation::Extend { flow, expires_at_ns } => self.extend(id, *flow, *expires_at_ns),
            Operation::RemoveFlow(flow) => {
                self.remove_flow(now, id, *flow);
                Ok(())
            }
            Operation::RemoveSession => {
                self.remove_session(now, id);
                Ok(())
            }
        }
    }

    fn put_session(
        &mut self,
        now: Instant,
        id: SessionId,
        (worker, expires_at_ns, bits_per_second): (u16, u64, u64),
        blob: &[u8],
    ) -> Result<(), OperationError> {
        if !self.sessions.contains_key(&id) {
            if self.sessions.len() >= self.sessions_max {
                return Err(OperationError::SessionsFull);
            }
            let worker = worker % self.shared.workers.len() as u16;
            let policers = self.adopted_policers.remove(&id);
            let session = Session {
                worker,
                expires_at_ns,
                // What adopted policers are set to is not known: no rate that control can name, so it will be set.
                bits_per_second: if policers.is_some() { u64::MAX } else { 0 },
                blob: Box::default(),
                policers,
                relayed: Vec::new(),
                flows: Vec::new(),
            };
            self.sessions.insert(id, session);
            self.timers.push(Reverse((expires_at_ns, id, None)));
        }
        let session = self.sessions.get_mut(&id).ok_or(OperationError::UnknownSession)?;
        if expires_at_ns < session.expires_at_ns {
            self.timers.push(Reverse((expires_at_ns, id, None)));
        }
        session.expires_at_ns = expires_at_ns;
        if *session.blob != *blob {
            session.blob = blob.into();
        }
        self.limit_rate(now, id, bits_per_second)
    }

    fn limit_rate(&mut self, now: Instant, id: SessionId, bits_per_second: u64) -> Result<(), OperationError> {
        let session = self.sessions.get_mut(&id).ok_or(OperationError::UnknownSession)?;
        let before = std::mem::replace(&mut session.bits_per_second, bits_per_second);
        match session.policers {
            Some(pair) if before != bits_per_second => self.policers.set(pair, bits_per_second),
            None if bits_per_second > 0 => {
                session.policers = Some(self.policers.take(bits_per_second).ok_or(OperationError::SessionsFull)?);
                self.replace_flows(now, id)?;
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Puts every flow of a session again, so that it names the session's policers.
    fn replace_flows(&mut self, now: Instant, id: SessionId) -> Result<(), OperationError> {
        let slots: Vec<u32> = self.sessions.get(&id).map_or(Vec::new(), |s| s.flows.iter().map(|f| f.1).collect());
        for slot in slots {
            let flow = self.describe(slot);
            self.put_flow(now, id, &flow)?;
        }
        Ok(())
    }

    /// The flow in a slot, as control would say it.
    pub(super) fn describe(&self, slot: u32) -> Flow {
        let record = &self.shared.table.records()[slot as usize];
        describe::from_spec(&record.spec(), record.expires_at_ns.load(Relaxed))
    }

    fn open_relayed(&mut self, id: SessionId, address: SocketAddr, external: SocketAddr) -> Result<(), OperationError> {
        let session = self.sessions.get_mut(&id).ok_or(OperationError::UnknownSession)?;
        if session.relayed.iter().any(|relayed| relayed.address == address && relayed.external == external) {
            return Ok(());
        }
        // 1:1 NAT changes addresses only.
        let proper = concrete(address) && concrete(external) && address.port() == external.port();
        if !proper || address.is_ipv4() != external.is_ipv4() {
            return Err(OperationError::Invalid);
        }
        if self.relayed.contains_key(&address) {
            return Err(OperationError::AddressInUse);
        }
        let own = self.shared.own.add(Endpoint::from(address).address, Endpoint::from(external).address);
        own.map_err(|_| OperationError::Invalid)?;
        let place = self.sockets.open_relayed(address, session.worker)?;
        session.relayed.push(Relayed { address, external, place });
        self.relayed.insert(address, id);
        Ok(())
    }

    fn put_flow(&mut self, now: Instant, id: SessionId, flow: &Flow) -> Result<(), OperationError> {
        let session = self.sessions.get(&id).ok_or(OperationError::UnknownSession)?;
        let external = session.relayed.iter().find(|r| r.address == flow.matches.local).map(|r| r.external);
        let spec = describe::to_spec(id, flow, Surroundings { policers: session.policers, external })?;
        let egress = self.egress(session, flow)?;
        let old = session.flows.iter().find(|(name, _)| *name == flow.id).map(|(_, slot)| *slot);
        let records = self.shared.table.records();
        if let Some(slot) = old {
            let record = &records[slot as usize];
            if record.spec() == spec {
                return self.extend(id, flow.id, flow.expires_at_ns);
            }
            if record.key() != spec.key {
                self.make_room(now, &spec)?;
                self.remove_flow(now, id, flow.id);
                return self.insert(now, id, flow, &spec, egress);
            }
            return self.replace(now, id, flow, &spec, egress, slot);
        }
        self.make_room(now, &spec)?;
        self.insert(now, id, flow, &spec, egress)
    }

    /// The match must be free: taken by nobody, or by a flow that has expired.
    fn make_room(&mut self, now: Instant, spec: &FlowSpec) -> Result<(), OperationError> {
        let Some((_, record)) = self.shared.table.find(&spec.key).map(|slot| (slot, self.record(slot))) else {
            return Ok(());
        };
        if record.expires_at_ns.load(Relaxed) > now.as_ns() {
            return Err(OperationError::MatchTaken);
        }
        let taken_by = record.spec();
        self.remove_flow(now, SessionId(taken_by.session), FlowId(taken_by.id));
        Ok(())
    }

    fn record(&self, slot: u32) -> &raceway_abi::Flow {
        &self.shared.table.records()[slot as usize]
    }

    /// Sockets that a flow sends from: one of a listener, or of a relayed transport address of its own session.
    fn egress(&self, session: &Session, flow: &Flow) -> Result<[u32; 2], OperationError> {
        let relayed = |address: SocketAddr| {
            let found = session.relayed.iter().find(|relayed| relayed.address == address);
            found.map(|relayed| relayed.place)
        };
        let local = flow.matches.local;
        let plain = flow.matches.framing == raceway_api::Framing::Plain;
        let arrives = if plain { relayed(local) } else { self.sockets.listener(local) };
        arrives.ok_or(OperationError::Invalid)?;
        let ours = |address: SocketAddr| {
            let place = relayed(address).or_else(|| self.sockets.listener(address));
            place.map(|place| place.0).ok_or(OperationError::Invalid)
        };
        match flow.action {
            FlowAction::Forward { from, .. } => Ok([ours(from)?, NO_EGRESS]),
            FlowAction::Unwrap { relayed_v4, relayed_v6 } => {
                let of = |address: Option<SocketAddr>| address.map_or(Ok(NO_EGRESS), ours);
                Ok([of(relayed_v4)?, of(relayed_v6)?])
            }
            FlowAction::Refuse if flow.matches.remote != Remote::Any => Err(OperationError::Invalid),
            FlowAction::Drop | FlowAction::Refuse => Ok([NO_EGRESS; 2]),
        }
    }

    fn insert(
        &mut self,
        now: Instant,
        id: SessionId,
        flow: &Flow,
        spec: &FlowSpec,
        egress: [u32; 2],
    ) -> Result<(), OperationError> {
        let orphan = self.orphans.get(&spec.key).copied();
        let slot = match orphan.filter(|slot| self.claim(*slot, spec, egress)) {
            Some(slot) => {
                self.orphans.remove(&spec.key);
                self.record(slot).expires_at_ns.store(flow.expires_at_ns, Relaxed);
                slot
            }
            None => self.fill_and_link(now, flow, spec, egress)?,
        };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.flows.push((flow.id, slot));
        }
        self.timers.push(Reverse((flow.expires_at_ns, id, Some(flow.id))));
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
        flow: &Flow,
        spec: &FlowSpec,
        egress: [u32; 2],
    ) -> Result<u32, OperationError> {
        let expires_at = Instant::from_ns(flow.expires_at_ns);
        let slot = self.writer.fill(spec, expires_at, egress).map_err(|_| OperationError::FlowsFull)?;
        if self.writer.link(slot).is_err() {
            self.writer.abandon(slot);
            return Err(OperationError::FlowsFull);
        }
        self.fast_path.insert(&spec.key, slot);
        // An orphan with the same match was another flow; XDP has just let go of it.
        if let Some(orphan) = self.orphans.remove(&spec.key) {
            self.writer.rest(&self.shared.quiescence, now, orphan);
        }
        Ok(slot)
    }

    fn replace(
        &mut self,
        now: Instant,
        id: SessionId,
        flow: &Flow,
        spec: &FlowSpec,
        egress: [u32; 2],
        old: u32,
    ) -> Result<(), OperationError> {
        let expires_at = Instant::from_ns(flow.expires_at_ns);
        let new = self.writer.fill(spec, expires_at, egress).map_err(|_| OperationError::FlowsFull)?;
        self.ended_rtp_lost += u64::from(self.record(old).measured.rtp.lost.load(Relaxed));
        self.fast_path.insert(&spec.key, new);
        self.writer.swing(&self.shared.quiescence, now, old, new);
        if let Some(session) = self.sessions.get_mut(&id)
            && let Some(entry) = session.flows.iter_mut().find(|(name, _)| *name == flow.id)
        {
            entry.1 = new;
        }
        self.timers.push(Reverse((flow.expires_at_ns, id, Some(flow.id))));
        Ok(())
    }

    fn extend(&mut self, id: SessionId, flow: FlowId, expires_at_ns: u64) -> Result<(), OperationError> {
        let session = self.sessions.get(&id).ok_or(OperationError::UnknownSession)?;
        let (_, slot) = session.flows.iter().find(|(name, _)| *name == flow).ok_or(OperationError::UnknownFlow)?;
        let before = self.record(*slot).expires_at_ns.swap(expires_at_ns, Relaxed);
        if expires_at_ns < before {
            self.timers.push(Reverse((expires_at_ns, id, Some(flow))));
        }
        Ok(())
    }

    fn remove_flow(&mut self, now: Instant, id: SessionId, flow: FlowId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(at) = session.flows.iter().position(|(name, _)| *name == flow) else { return };
        let (_, slot) = session.flows.swap_remove(at);
        self.drop_slot(now, slot);
    }

    fn drop_slot(&mut self, now: Instant, slot: u32) {
        let record = self.record(slot);
        let key = record.key();
        let lost = record.measured.rtp.lost.load(Relaxed);
        self.ended_rtp_lost += u64::from(lost);
        self.writer.unlink(slot);
        self.fast_path.remove(&key);
        self.writer.rest(&self.shared.quiescence, now, slot);
    }

    fn remove_session(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        for (_, slot) in session.flows {
            self.drop_slot(now, slot);
        }
        for relayed in session.relayed {
            self.relayed.remove(&relayed.address);
            self.sockets.close_relayed(relayed.place);
        }
        if let Some(pair) = session.policers {
            self.policers.give_back(pair, now);
        }
    }

    /// Removes the flows that no session has claimed.
    pub fn forget_orphans(&mut self, now: Instant) -> usize {
        for (_, pair) in self.adopted_policers.drain() {
            self.policers.give_back(pair, now);
        }
        let orphans = std::mem::take(&mut self.orphans);
        let count = orphans.len();
        for (key, slot) in orphans {
            self.ended_rtp_lost += u64::from(self.record(slot).measured.rtp.lost.load(Relaxed));
            self.fast_path.remove(&key);
            self.writer.rest(&self.shared.quiescence, now, slot);
        }
        count
    }

    /// Removes what has expired; calls `ended` with every session that ended.
    pub fn reap(&mut self, now: Instant, mut ended: impl FnMut(SessionId)) {
        self.tidy_timers();
        while let Some(Reverse((at, id, flow))) = self.timers.peek().copied() {
            if at > now.as_ns() {
                return;
            }
            self.timers.pop();
            match flow {
                None => {
                    let Some(session) = self.sessions.get(&id) else { continue };
                    if session.expires_at_ns > now.as_ns() {
                        self.timers.push(Reverse((session.expires_at_ns, id, None)));
                    } else {
                        self.remove_session(now, id);
                        ended(id);
                    }
                }
                Some(flow) => self.reap_flow(now, id, flow),
            }
        }
    }

    /// Forgets timers of what is gone, once they are as many as the others: a client that makes and deletes
    /// allocations would leave them behind for their whole lifetimes.
    fn tidy_timers(&mut self) {
        if self.timers.len() <= self.timers_max {
            return;
        }
        let records = self.shared.table.records();
        let of_session = |(id, session): (&SessionId, &Session)| Reverse((session.expires_at_ns, *id, None));
        let of_flow = |id: SessionId, (flow, slot): (FlowId, u32)| {
            Reverse((records[slot as usize].expires_at_ns.load(Relaxed), id, Some(flow)))
        };
        let sessions = self.sessions.iter().map(of_session);
        let flows = self.sessions.iter().flat_map(|(id, session)| session.flows.iter().map(|flow| of_flow(*id, *flow)));
        self.timers = sessions.chain(flows).collect();
        self.timers_max = limits::TIMERS_MIN.max(2 * self.timers.len());
    }

    fn reap_flow(&mut self, now: Instant, id: SessionId, flow: FlowId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let Some((_, slot)) = session.flows.iter().find(|(name, _)| *name == flow) else { return };
        let expires_at_ns = self.record(*slot).expires_at_ns.load(Relaxed);
        if expires_at_ns > now.as_ns() {
            self.timers.push(Reverse((expires_at_ns, id, Some(flow))));
        } else {
            self.remove_flow(now, id, flow);
        }
    }

    /// Kernel monotonic time at which [`reap`](Self::reap) has something to look at.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, ..))| Instant::from_ns(*at))
    }

    /// Goes on with everything that waits for workers to let go. True when something still waits.
    pub fn advance(&mut self, now: Instant) -> bool {
        self.policers.collect(now);
        self.writer.collect(&self.shared.quiescence, now);
        self.sockets.advance(now) || self.writer.resting()
    }
}

/// Policers by session, of the flows of a relay before this one; of sessions that have both.
fn adopted_policers(shared: &Shared, orphans: &[(FlowKey, u32)]) -> HashMap<SessionId, [u32; 2]> {
    let mut pairs: HashMap<SessionId, [u32; 2]> = HashMap::new();
    for (_, slot) in orphans {
        let record = &shared.table.records()[*slot as usize];
        if record.policer() != NO_POLICER {
            let pair = pairs.entry(SessionId(record.session())).or_insert([NO_POLICER; 2]);
            pair[record.direction() as usize] = record.policer();
        }
    }
    pairs.retain(|_, pair| !pair.contains(&NO_POLICER));
    pairs
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use raceway_engine::{Counters, OwnAddresses, Quiescence, Table};
    use raceway_sys::shared::SharedArray;

    use super::*;
    use crate::shared::{LinkBell, Port, Sockets};

    /// A state with room for so many flows, and no thread but the caller's.
    pub fn state(flows: usize) -> State {
        let records = Records(Arc::new(SharedArray::anonymous(flows).expect("memory")));
        let (table, writer) = Table::new(records, 1, &[]);
        let shared = Shared {
            table,
            policers: Arc::new(SharedArray::anonymous(flows).expect("memory")),
            own: Arc::new(OwnAddresses::default()),
            sockets: Sockets::new(1, limits::relayed_max(flows as u32 * 2, u64::MAX)),
            quiescence: Quiescence::new(1),
            workers: vec![Port::new(64).expect("an eventfd")].into(),
            link: LinkBell::new().expect("an eventfd"),
            link_counters: Counters::default(),
            stopping: false.into(),
            failed: false.into(),
        };
        State::new(Arc::new(shared), writer, FastPath::Off(Vec::new()), Vec::new())
    }

    #[test]
    fn deleted_sessions_leave_no_timers_behind_and_the_others_end_in_time() {
        let (mut state, now) = (state(64), Instant::from_ns(1));
        let end = now.after(Duration::from_secs(600));
        let put = |until: Instant| Operation::PutSession {
            worker: 0,
            expires_at_ns: until.as_ns(),
            bits_per_second: 0,
            blob: (&[][..]).into(),
        };
        state.apply(now, SessionId(0), &[put(end)], None).expect("room");
        for id in 1..=4 * limits::TIMERS_MIN as u64 {
            let later = now.after(Duration::from_secs(3600));
            state.apply(now, SessionId(id), &[put(later), Operation::RemoveSession], None).expect("room");
            state.reap(now, |id| panic!("{id:?} has not ended"));
        }
        assert!(state.timers.len() <= limits::TIMERS_MIN, "{} timers", state.timers.len());
        let mut ended = Vec::new();
        state.reap(end, |id| ended.push(id));
        assert_eq!(ended, [SessionId(0)]);
    }
}
