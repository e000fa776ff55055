//! Sessions: what control asks for, carried out.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use raceway_abi::{Counter, DropReason, FlowKey, NO_POLICER};
use raceway_api::{
    Datagram, Flow, FlowAction, FlowId, Leg, LegId, Listener, Operation, OperationError, RelayAddress, Remote,
    SessionId,
};
use raceway_engine::{Arrival, NO_EGRESS, TableWriter};
use raceway_units::{Endpoint, Instant};

use super::describe::{self, Surroundings, concrete};
use super::describe_leg::Places;
use super::flows::FlowBook;
use super::legs::LegBook;
use super::policers::PolicerPool;
use super::recordings::Recordings;
use super::sockets::SocketBook;
use super::timers::Timers;
use crate::fast_path::FastPath;
use crate::limits;
use crate::shared::{Place, Records, Shared};

/// What the link thread knows.
pub struct State {
    pub(super) shared: Arc<Shared>,
    pub(super) sessions: HashMap<SessionId, Session>,
    pub(super) flows: FlowBook,
    pub(super) sockets: SocketBook,
    policers: PolicerPool,
    pub(super) legs: LegBook,
    pub(super) recordings: Recordings,
    /// Relayed transport addresses and media addresses; of the latter, their places.
    opened: HashMap<SocketAddr, Option<Place>>,
    timers: Timers<SessionId>,
    sessions_max: usize,
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
    pub(super) relayed: Vec<Opened>,
    pub(super) media: Vec<Opened>,
}

/// An open relayed transport address or media address.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    pub(super) address: SocketAddr,
    pub(super) external: SocketAddr,
    pub(super) place: Place,
    /// Of a media address: policers of its flows and of its legs.
    policers: Option<[u32; 2]>,
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
        recordings: Recordings,
    ) -> Self {
        let relayed_max = shared.sockets.places() - limits::LISTENER_PLACES;
        let records = shared.table.records();
        Self {
            policers: PolicerPool::new(Arc::clone(&shared), orphans.iter().map(|(_, slot)| &records[*slot as usize])),
            sockets: SocketBook::new(Arc::clone(&shared), relayed_max),
            sessions: HashMap::new(),
            legs: LegBook::new(Arc::clone(&shared)),
            recordings,
            opened: HashMap::new(),
            timers: Timers::default(),
            sessions_max: limits::sessions_max(records.len() as u32),
            rtp_lost_told: 0,
            flows: FlowBook::new(Arc::clone(&shared), writer, fast_path, orphans),
            shared,
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

    /// Carries out operations until one fails. They count once [settled](Self::settle).
    ///
    /// # Errors
    /// The first failure; what was done before it stands.
    pub fn apply(&mut self, now: Instant, id: SessionId, operations: &[Operation<'_>]) -> Result<(), Failure> {
        let mut operations = operations.iter().enumerate();
        operations.try_for_each(|(at, operation)| {
            self.operate(now, id, operation).map_err(|error| Failure { operation: at as u16, error })
        })
    }

    /// Makes XDP and the workers know all that was done, many operations at a time. It comes before any datagram that
    /// speaks of them.
    pub fn settle(&mut self) {
        self.flows.settle();
        self.sockets.settle();
    }

    /// Sends a datagram to a client or a party. What it may speak of must be [settled](Self::settle).
    pub fn send(&self, datagram: &Datagram<'_>) {
        let media = self.opened.get(&datagram.from).copied().flatten();
        let place = media.or_else(|| self.sockets.listener(datagram.from));
        if !place.is_some_and(|place| self.sockets.send(place, datagram.from, datagram.to, &datagram.payload)) {
            self.shared.link_counters.add(Counter::drops(DropReason::SendFailed), 1);
            tracing::debug!(to = %crate::log::Private(datagram.to), "a datagram of control could not be sent");
        }
    }

    fn operate(&mut self, now: Instant, id: SessionId, operation: &Operation<'_>) -> Result<(), OperationError> {
        match operation {
            Operation::PutSession { worker, expires_at_ns, bits_per_second, blob } => {
                self.put_session(now, id, (*worker, *expires_at_ns, *bits_per_second), blob)
            }
            Operation::OpenRelayed { address, external } => self.open(id, *address, *external, None).map(drop),
            Operation::OpenMedia { address, external, bits_per_second } => {
                self.open_media(now, id, (*address, *external), *bits_per_second)
            }
            Operation::CloseMedia { address } => self.close_media(now, id, *address),
            Operation::PutLeg(leg) => self.put_leg(id, leg, false),
            Operation::RemoveLeg(leg) => {
                self.remove_leg(id, *leg);
                Ok(())
            }
            Operation::PutFlow(flow) => self.put_flow(now, id, flow),
            Operation::Extend { .. } if !self.sessions.contains_key(&id) => Err(OperationError::UnknownSession),
            Operation::Extend { flow, expires_at_ns } => self.flows.extend((id, *flow), *expires_at_ns),
            Operation::RemoveFlow(flow) => {
                self.flows.remove(now, (id, *flow));
                Ok(())
            }
            Operation::RemoveSession => {
                self.remove_session(now, id);
                Ok(())
            }
            Operation::Record(recording) => self.record(id, recording),
            Operation::StopRecording { discard } => self.stop_recording(id, *discard),
            // Whoever settles answers it.
            Operation::Confirm => Ok(()),
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
            let session = Session {
                worker: worker % self.shared.workers.len() as u16,
                expires_at_ns,
                bits_per_second,
                blob: Box::default(),
                policers: self.policers.adopt(id, bits_per_second)?,
                relayed: Vec::new(),
                media: Vec::new(),
            };
            self.sessions.insert(id, session);
            self.timers.set(expires_at_ns, id);
        }
        let session = self.sessions.get_mut(&id).ok_or(OperationError::UnknownSession)?;
        if expires_at_ns < session.expires_at_ns {
            self.timers.set(expires_at_ns, id);
        }
        if session.expires_at_ns != expires_at_ns {
            session.expires_at_ns = expires_at_ns;
            for gate in self.flows.own_of_session(id) {
                self.flows.extend((id, gate), expires_at_ns)?;
            }
        }
        let session = self.sessions.get_mut(&id).ok_or(OperationError::UnknownSession)?;
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
        let all = self.flows.of_session(id).map(|slot| self.flows.describe(slot));
        let flows: Vec<Flow> = all.filter(|flow| flow.id.0 < limits::OWN_FLOW_IDS).collect();
        flows.iter().try_for_each(|flow| self.put_flow(now, id, flow))
    }

    /// Opens an address for a session, a media address if it has policers; false if it is open for it already.
    fn open(
        &mut self,
        id: SessionId,
        address: SocketAddr,
        external: SocketAddr,
        policers: Option<[u32; 2]>,
    ) -> Result<bool, OperationError> {
        let session = self.sessions.get_mut(&id).ok_or(OperationError::UnknownSession)?;
        let is_media = policers.is_some();
        let opened = if is_media { &mut session.media } else { &mut session.relayed };
        if opened.iter().any(|opened| opened.address == address && opened.external == external) {
            return Ok(false);
        }
        // 1:1 NAT changes addresses only.
        let proper = concrete(address) && concrete(external) && address.port() == external.port();
        if !proper || address.is_ipv4() != external.is_ipv4() {
            return Err(OperationError::Invalid);
        }
        if self.opened.contains_key(&address) {
            return Err(OperationError::AddressInUse);
        }
        let own = self.shared.own.add(Endpoint::from(address).address, Endpoint::from(external).address);
        own.map_err(|_| OperationError::Invalid)?;
        let arrival = if is_media { Arrival::Media } else { Arrival::Relayed };
        let policer = policers.map_or(NO_POLICER, |[_, of_legs]| of_legs);
        let place = self.sockets.open(address, session.worker, arrival, policer)?;
        opened.push(Opened { address, external, place, policers });
        self.opened.insert(address, is_media.then_some(place));
        Ok(true)
    }

    /// Opens a media address, and says in the flow table that it is one; only sets the rate of one that is open.
    fn open_media(
        &mut self,
        now: Instant,
        id: SessionId,
        (address, external): (SocketAddr, SocketAddr),
        bits_per_second: u64,
    ) -> Result<(), OperationError> {
        let session = self.sessions.get(&id).ok_or(OperationError::UnknownSession)?;
        let known = session.media.iter().find(|media| media.address == address && media.external == external);
        if let Some(policers) = known.and_then(|media| media.policers) {
            self.policers.set(policers, bits_per_second);
            return Ok(());
        }
        let policers = self.policers.take_media(address.into(), bits_per_second).ok_or(OperationError::SessionsFull)?;
        if let Err(error) = self.open(id, address, external, Some(policers)) {
            self.policers.give_back(policers, now);
            return Err(error);
        }
        let expires_at_ns = self.sessions.get(&id).map_or(0, |session| session.expires_at_ns);
        let gates: Vec<FlowId> = self.flows.own_of_session(id);
        let free = (0..).find(|number| !gates.contains(&FlowId(limits::OWN_FLOW_IDS + number)));
        let gate = describe::gate(id, free.unwrap_or(0), address, external, policers[0]);
        let put = self.flows.put(now, &gate, expires_at_ns, [NO_EGRESS; 2]);
        if put.is_err() {
            self.close_media(now, id, address)?;
        }
        put
    }

    /// Closes a media address that no leg uses, with the flows that arrive there or leave from there.
    fn close_media(&mut self, now: Instant, id: SessionId, address: SocketAddr) -> Result<(), OperationError> {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        let Some(at) = session.media.iter().position(|media| media.address == address) else { return Ok(()) };
        if self.legs.uses(id, session.media[at].place.0) {
            return Err(OperationError::Invalid);
        }
        let Opened { place, policers, .. } = session.media.swap_remove(at);
        let concerns = |flow: &Flow| {
            flow.matches.local == address || matches!(flow.action, FlowAction::Anchor { from, .. } if from == address)
        };
        let flows: Vec<Flow> = self.flows.of_session(id).map(|slot| self.flows.describe(slot)).collect();
        flows.iter().filter(|flow| concerns(flow)).for_each(|flow| self.flows.remove(now, (id, flow.id)));
        self.opened.remove(&address);
        self.sockets.close_opened(place);
        self.policers.give_back(policers.into_iter().flatten(), now);
        Ok(())
    }

    fn put_leg(&mut self, id: SessionId, leg: &Leg<'_>, again: bool) -> Result<(), OperationError> {
        let session = self.sessions.get(&id).ok_or(OperationError::UnknownSession)?;
        let (worker, tap) = (session.worker, self.recordings.tap(id));
        let places = Places { worker, media: &session.media, tap };
        let sockets = &mut self.sockets;
        self.legs.put(id, &places, leg, again, |command| sockets.command(session.worker.into(), command))
    }

    /// Puts every leg of a session again, because what it depends on has changed.
    pub(super) fn put_legs_again(&mut self, id: SessionId) -> Result<(), OperationError> {
        let legs = self.legs.descriptions(id);
        legs.iter().try_for_each(|leg| self.put_leg(id, leg, true))
    }

    fn remove_leg(&mut self, id: SessionId, leg: LegId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let sockets = &mut self.sockets;
        self.legs.remove(id, leg, |command| sockets.command(session.worker.into(), command));
    }

    fn put_flow(&mut self, now: Instant, id: SessionId, flow: &Flow) -> Result<(), OperationError> {
        let session = self.sessions.get(&id).ok_or(OperationError::UnknownSession)?;
        if flow.id.0 >= limits::OWN_FLOW_IDS {
            return Err(OperationError::Invalid);
        }
        let external = session.relayed.iter().find(|r| r.address == flow.matches.local).map(|r| r.external);
        let media = session.media.iter().find(|media| media.address == flow.matches.local);
        let media_policer = media.and_then(|media| media.policers).map(|[of_flows, _]| of_flows);
        let around = Surroundings { policers: session.policers, media_policer, external };
        let spec = describe::to_spec(id, flow, around)?;
        let egress = self.egress(session, flow)?;
        self.flows.put(now, &spec, flow.expires_at_ns, egress)
    }

    /// Sockets that a flow sends from: one of a listener, or of a relayed transport address of its own session; of what is
    /// anchored, a media address of its session.
    fn egress(&self, session: &Session, flow: &Flow) -> Result<[u32; 2], OperationError> {
        let relayed = |address: SocketAddr| {
            let found = session.relayed.iter().find(|relayed| relayed.address == address);
            found.map(|relayed| relayed.place)
        };
        let media = |address: SocketAddr| {
            let found = session.media.iter().find(|media| media.address == address);
            found.map(|media| media.place)
        };
        let local = flow.matches.local;
        let plain = flow.matches.framing == raceway_api::Framing::Plain;
        let arrives = match flow.action {
            FlowAction::Anchor { .. } => media(local),
            FlowAction::Drop if plain => relayed(local).or_else(|| media(local)),
            _ if plain => relayed(local),
            _ => self.sockets.listener(local),
        };
        arrives.ok_or(OperationError::Invalid)?;
        let ours = |address: SocketAddr| {
            let place = relayed(address).or_else(|| self.sockets.listener(address));
            place.map(|place| place.0).ok_or(OperationError::Invalid)
        };
        match flow.action {
            FlowAction::Forward { from, .. } => Ok([ours(from)?, NO_EGRESS]),
            FlowAction::Anchor { from, .. } => Ok([media(from).ok_or(OperationError::Invalid)?.0, NO_EGRESS]),
            FlowAction::Unwrap { relayed_v4, relayed_v6 } => {
                let of = |address: Option<SocketAddr>| address.map_or(Ok(NO_EGRESS), ours);
                Ok([of(relayed_v4)?, of(relayed_v6)?])
            }
            FlowAction::Refuse if flow.matches.remote != Remote::Any => Err(OperationError::Invalid),
            FlowAction::Drop | FlowAction::Refuse => Ok([NO_EGRESS; 2]),
        }
    }

    fn remove_session(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.flows.remove_session(now, id);
        let sockets = &mut self.sockets;
        self.legs.remove_session(id, |command| sockets.command(session.worker.into(), command));
        self.end_recording(id, session.worker);
        for opened in session.relayed.into_iter().chain(session.media) {
            self.opened.remove(&opened.address);
            self.sockets.close_opened(opened.place);
            self.policers.give_back(opened.policers.into_iter().flatten(), now);
        }
        if let Some(pair) = session.policers {
            self.policers.give_back(pair, now);
        }
    }

    /// Removes what a relay before this one left and no session has claimed; how many flows that were.
    pub fn forget_orphans(&mut self, now: Instant) -> usize {
        self.policers.forget_adopted(now);
        self.flows.forget_orphans(now)
    }

    /// Removes what has expired; calls `ended` with every session that ended.
    pub fn reap(&mut self, now: Instant, mut ended: impl FnMut(SessionId)) {
        self.flows.reap(now);
        self.timers.tidy(self.sessions.iter().map(|(id, session)| (session.expires_at_ns, *id)));
        while let Some(id) = self.timers.due(now) {
            let Some(session) = self.sessions.get(&id) else { continue };
            if session.expires_at_ns > now.as_ns() {
                self.timers.set(session.expires_at_ns, id);
            } else {
                self.remove_session(now, id);
                ended(id);
            }
        }
    }

    /// Kernel monotonic time at which [`reap`](Self::reap) has something to look at.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        [self.timers.next(), self.flows.next_expiry()].into_iter().flatten().min()
    }

    /// Goes on with everything that waits for workers to let go. True when something still waits.
    pub fn advance(&mut self, now: Instant) -> bool {
        self.policers.collect(now);
        let recordings = &mut self.recordings;
        if self.legs.collect(|recording| recordings.untapped(recording)) {
            // A worker that found no room for more goes on.
            self.sockets.ring();
        }
        // Both, whatever the first says.
        let flows_wait = self.flows.advance(now);
        self.sockets.advance(now) || flows_wait
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use raceway_engine::{Counters, OwnAddresses, Quiescence, RequestBudget, Table};
    use raceway_sys::shared::SharedArray;

    use super::*;
    use crate::shared::{LinkBell, Port, Sockets};

    /// What threads share, with room for so many flows, and no thread but the caller's.
    pub fn shared(flows: usize) -> (Arc<Shared>, TableWriter<Records>) {
        let records = Records(Arc::new(SharedArray::anonymous(flows).expect("memory")));
        let (table, writer) = Table::new(records, 1, &[]);
        let shared = Shared {
            table,
            policers: Arc::new(SharedArray::anonymous(flows).expect("memory")),
            own: Arc::new(OwnAddresses::default()),
            requests: Arc::new(RequestBudget::new(1)),
            sockets: Sockets::new(1, limits::relayed_max(flows as u32 * 2, u64::MAX)),
            quiescence: Quiescence::new(1),
            workers: vec![Port::new(64, 16).expect("an eventfd")].into(),
            link: LinkBell::new().expect("an eventfd"),
            link_counters: Counters::default(),
            stopping: false.into(),
            failed: false.into(),
        };
        (Arc::new(shared), writer)
    }

    /// A state over it.
    pub fn state(flows: usize) -> State {
        let (shared, writer) = shared(flows);
        State::new(shared, writer, FastPath::Off(Vec::new()), Vec::new(), Recordings::default())
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
        state.apply(now, SessionId(0), &[put(end)]).expect("room");
        for id in 1..=4 * limits::TIMERS_MIN as u64 {
            let later = now.after(Duration::from_secs(3600));
            state.apply(now, SessionId(id), &[put(later), Operation::RemoveSession]).expect("room");
            state.reap(now, |id| panic!("{id:?} has not ended"));
        }
        assert!(state.timers.len() <= limits::TIMERS_MIN, "{} timers", state.timers.len());
        let mut ended = Vec::new();
        state.reap(end, |id| ended.push(id));
        assert_eq!(ended, [SessionId(0)]);
    }
}
