//! Connections of all participants at one address: ICE and DTLS of each, and whose a datagram is.
//!
//! Everybody sends to the same port. The first check of a client names its connection by our user fragment; once it has the right
//! password, what comes from the same address is that connection's. Sans I/O: datagrams and time in; datagrams and events out.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use hashbrown::HashMap;
use raceway_dtls::{Association, Fingerprint, Identity, Keys, Profile};
use raceway_ice::{Agent, Component, Credentials, Mode, Outcome, addressed_to};
use raceway_units::Instant;

use crate::limits;
use crate::negotiation::Offered;
use crate::refusal::Refusal;

/// A connection; never another one's while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// Random octets, from the system where it matters.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// A datagram to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From this address of ours.
    pub local: SocketAddr,
    /// To the client.
    pub remote: SocketAddr,
    /// STUN or DTLS.
    pub payload: Vec<u8>,
}

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Its media goes between these addresses; said again whenever that changes.
    At {
        /// Ours.
        local: SocketAddr,
        /// The client's.
        remote: SocketAddr,
    },
    /// The client is who its description says, and these are the keys of SRTP.
    Keys(Keys),
    /// Nothing was heard of the client for as long as RFC 7675 lets one send without consent, or it never came.
    Lost,
    /// There will be no keys.
    Failed(String),
}

/// Whose a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// This connection's.
    By(ConnectionId),
    /// Nobody's: it names none, comes from an address that has proven nothing, or proves nothing itself.
    Nobody,
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// One client's transport.
struct Connection {
    agents: Vec<(SocketAddr, Agent)>,
    association: Association,
    /// Addresses of the client that gave the right password, with ours; the oldest first.
    addresses: VecDeque<(SocketAddr, SocketAddr)>,
    fragment: Box<str>,
    /// Checks of before a restart are still answered.
    previous_fragment: Option<Box<str>>,
    /// By when it must have proven an address; nothing once it has.
    awaited: Option<Instant>,
    due: Option<Instant>,
}

/// All connections at an address, which may be of both families.
pub struct Connections {
    locals: Vec<SocketAddr>,
    random: Random,
    connections: Map<ConnectionId, Connection>,
    by_fragment: Map<Box<str>, ConnectionId>,
    by_address: Map<(SocketAddr, SocketAddr), ConnectionId>,
    timers: BTreeSet<(Instant, ConnectionId)>,
    transmits: VecDeque<Transmit>,
    happened: VecDeque<(ConnectionId, Happened)>,
    last: u32,
}

impl core::fmt::Debug for Connections {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (fragments, addresses) = (self.by_fragment.len(), self.by_address.len());
        let mut shown = f.debug_struct("Connections");
        shown.field("connections", &self.connections.len()).field("fragments", &fragments);
        shown.field("addresses", &addresses).field("timers", &self.timers.len()).finish_non_exhaustive()
    }
}

impl Connections {
    /// None yet, at these addresses of ours.
    #[must_use]
    pub fn new(locals: Vec<SocketAddr>, random: Random) -> Self {
        Self {
            locals,
            random,
            connections: Map::default(),
            by_fragment: Map::default(),
            by_address: Map::default(),
            timers: BTreeSet::new(),
            transmits: VecDeque::new(),
            happened: VecDeque::new(),
            last: 0,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// A random number, for what else nobody must guess.
    pub(crate) fn draw(&mut self) -> u64 {
        let mut octets = [0; 8];
        (self.random)(&mut octets);
        u64::from_be_bytes(octets)
    }

    fn credentials(&mut self) -> Credentials {
        loop {
            let mut octets = [0; 24];
            (self.random)(&mut octets);
            let credentials = Credentials::from_random(&octets);
            if !self.by_fragment.contains_key(credentials.ufrag()) {
                return credentials;
            }
        }
    }

    /// One more, with credentials of its own, by which its client will name it. `we_open` as [`Offered::we_open`] says, or
    /// false where we offer.
    ///
    /// # Errors
    /// When there are too many, or the library of DTLS fails.
    pub fn open(
        &mut self,
        now: Instant,
        identity: &Identity,
        we_open: bool,
    ) -> Result<(ConnectionId, Credentials), Refusal> {
        if self.connections.len() == limits::CONNECTIONS_MAX {
            return Err(Refusal::Full { what: "connections on this node", most: limits::CONNECTIONS_MAX });
        }
        let role = if we_open { raceway_dtls::Role::Active } else { raceway_dtls::Role::Passive };
        let association = Association::new(role, identity, &Profile::ALL);
        let association = association.map_err(|_| Refusal::Later("DTLS is not possible: the log says why"))?;
        let credentials = self.credentials();
        let mut agents = Vec::with_capacity(self.locals.len());
        for local in self.locals.clone() {
            let mut seed = [0; 32];
            (self.random)(&mut seed);
            agents.push((local, Agent::new(Mode::Lite, credentials.clone(), &[local], seed)));
        }
        self.last += 1;
        let id = ConnectionId(self.last);
        let fragment: Box<str> = credentials.ufrag().into();
        self.by_fragment.insert(fragment.clone(), id);
        let (addresses, previous_fragment) = (VecDeque::new(), None);
        let awaited = Some(now.after(limits::CONNECT_TIMEOUT));
        self.connections
            .insert(id, Connection { agents, association, addresses, fragment, previous_fragment, awaited, due: None });
        self.settle(id);
        Ok((id, credentials))
    }

    /// What the client's description says: an offer before it is answered, or an answer.
    ///
    /// # Errors
    /// When its credentials or fingerprints are none.
    pub fn set_remote(&mut self, now: Instant, id: ConnectionId, described: &Offered) -> Result<(), Refusal> {
        let (user, password) = (&described.credentials.fragment, &described.credentials.password);
        let credentials = Credentials::new(user, password).map_err(|error| Refusal::Description(error.to_string()))?;
        let fingerprints = described.fingerprints.iter().map(|fingerprint| fingerprint.to_string().parse());
        let fingerprints: Vec<Fingerprint> = fingerprints.filter_map(Result::ok).collect();
        if fingerprints.is_empty() {
            let why = "no a=fingerprint is by a hash that is taken: sha-256 is, and longer ones";
            return Err(Refusal::Description(why.to_owned()));
        }
        let connection = self.connections.get_mut(&id).ok_or(Refusal::Gone("connection"))?;
        for (_, agent) in &mut connection.agents {
            agent.set_remote(credentials.clone());
        }
        connection.association.set_fingerprints(now, fingerprints);
        self.settle(id);
        Ok(())
    }

    /// The client restarts ICE with credentials of its own: it gets others of ours, and is heard by the old ones until it
    /// uses them.
    ///
    /// # Errors
    /// When its credentials are none, or the connection is gone.
    pub fn restart(&mut self, id: ConnectionId, user: &str, password: &str) -> Result<Credentials, Refusal> {
        // A lite side sends no checks, so it has no use for them but to see that they are some.
        Credentials::new(user, password).map_err(|error| Refusal::Description(error.to_string()))?;
        let ours = self.credentials();
        let connection = self.connections.get_mut(&id).ok_or(Refusal::Gone("connection"))?;
        connection.agents.iter_mut().for_each(|(_, agent)| agent.restart(ours.clone()));
        let before = core::mem::replace(&mut connection.fragment, ours.ufrag().into());
        if let Some(forgotten) = connection.previous_fragment.replace(before) {
            self.by_fragment.remove(&forgotten);
        }
        self.by_fragment.insert(ours.ufrag().into(), id);
        self.settle(id);
        Ok(ours)
    }

    /// Ends a connection: the client is told.
    pub fn close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.association.close();
        }
        self.settle(id);
        let Some(connection) = self.connections.remove(&id) else { return };
        self.by_fragment.remove(&connection.fragment);
        connection.previous_fragment.iter().for_each(|fragment| {
            self.by_fragment.remove(fragment);
        });
        for address in &connection.addresses {
            self.by_address.remove(address);
        }
        if let Some(due) = connection.due {
            self.timers.remove(&(due, id));
        }
        self.happened.retain(|(of, _)| *of != id);
    }

    /// A datagram that came to an address of ours and is no media: STUN or DTLS (RFC 7983).
    pub fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, payload: &[u8]) -> Taken {
        let taken = match payload.first() {
            Some(0..=3) => self.check(now, local, remote, payload),
            Some(20..=63) => self.record(now, local, remote, payload),
            _ => None,
        };
        taken.map_or(Taken::Nobody, Taken::By)
    }

    /// A check belongs to whom it names, wherever it comes from.
    fn check(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, payload: &[u8]) -> Option<ConnectionId> {
        let id = *self.by_fragment.get(addressed_to(payload)?)?;
        let connection = self.connections.get_mut(&id)?;
        let (_, agent) = connection.agents.iter_mut().find(|(base, _)| *base == local)?;
        let outcome = agent.handle_datagram(now, local, remote, payload);
        if outcome == Outcome::Accepted {
            self.bind(id, (local, remote));
        }
        self.settle(id);
        (outcome == Outcome::Accepted).then_some(id)
    }

    /// An address that gave the right password is that connection's from now on; whoever had it before has moved.
    fn bind(&mut self, id: ConnectionId, address: (SocketAddr, SocketAddr)) {
        if let Some(before) = self.by_address.insert(address, id).filter(|before| *before != id)
            && let Some(connection) = self.connections.get_mut(&before)
        {
            connection.addresses.retain(|known| *known != address);
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.awaited = None;
        if connection.addresses.contains(&address) {
            return;
        }
        if connection.addresses.len() == limits::ADDRESSES_MAX
            && let Some(oldest) = connection.addresses.pop_front()
        {
            self.by_address.remove(&oldest);
        }
        connection.addresses.push_back(address);
    }

    fn record(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, payload: &[u8]) -> Option<ConnectionId> {
        let id = *self.by_address.get(&(local, remote))?;
        let connection = self.connections.get_mut(&id)?;
        // A browser opens DTLS right after its first check, before it has chosen an address.
        connection.association.allow(now, remote);
        let outcome = connection.association.handle_datagram(now, remote, payload);
        self.settle(id);
        (outcome == raceway_dtls::Outcome::Accepted).then_some(id)
    }

    /// Takes what a connection has to send and to say, and when it is to be asked again.
    fn settle(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Connection { agents, association, addresses, awaited, due, .. } = connection;
        for (local, agent) in agents.iter_mut() {
            let sends = core::iter::from_fn(|| agent.poll_transmit());
            self.transmits.extend(sends.map(|sent| Transmit {
                local: sent.local,
                remote: sent.remote,
                payload: sent.payload,
            }));
            while let Some(event) = agent.poll_event() {
                self.happened.push_back((
                    id,
                    match event {
                        raceway_ice::Event::Nominated { remote, .. } => Happened::At { local: *local, remote },
                        raceway_ice::Event::ConsentLost { .. } => Happened::Lost,
                        raceway_ice::Event::Failed { .. } => continue,
                    },
                ));
            }
        }
        while let Some(sent) = association.poll_transmit() {
            let local = addresses.iter().rev().find(|(_, remote)| *remote == sent.remote).map(|(local, _)| *local);
            let Some(local) = local else { continue };
            self.transmits.push_back(Transmit { local, remote: sent.remote, payload: sent.payload });
        }
        while let Some(event) = association.poll_event() {
            self.happened.push_back((
                id,
                match event {
                    raceway_dtls::Event::Keys(keys) => Happened::Keys(keys),
                    raceway_dtls::Event::Failed(failure) => Happened::Failed(failure.to_string()),
                },
            ));
        }
        let timers = agents.iter().filter_map(|(_, agent)| agent.poll_timeout()).chain(association.poll_timeout());
        let next = timers.chain(*awaited).min();
        if *due != next {
            due.iter().for_each(|due| {
                self.timers.remove(&(*due, id));
            });
            self.timers.extend(next.map(|next| (next, id)));
            *due = next;
        }
    }

    /// Opens DTLS where that is for us, as soon as the client has proven an address.
    fn call(&mut self, now: Instant, id: ConnectionId, remote: SocketAddr) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.association.allow(now, remote);
        }
        self.settle(id);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((due, id)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            let Some(connection) = self.connections.get_mut(&id) else {
                self.timers.remove(&(due, id));
                continue;
            };
            self.timers.remove(&(due, id));
            connection.due = None;
            connection.agents.iter_mut().for_each(|(_, agent)| agent.handle_timeout(now));
            connection.association.handle_timeout(now);
            if connection.awaited.is_some_and(|awaited| awaited <= now) {
                connection.awaited = None;
                self.happened.push_back((id, Happened::Lost));
            }
            self.settle(id);
            // One that is due at once again would be asked for ever.
            if self.connections.get(&id).is_some_and(|connection| connection.due.is_some_and(|next| next <= now)) {
                break;
            }
        }
    }

    /// The next datagram that is to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self, now: Instant) -> Option<(ConnectionId, Happened)> {
        let (id, happened) = self.happened.pop_front()?;
        if let Happened::At { remote, .. } = happened {
            self.call(now, id, remote);
        }
        Some((id, happened))
    }
}

impl Connection {
    /// Where its media goes now.
    fn at(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.agents.iter().find_map(|(local, agent)| Some((*local, agent.selected(Component::Rtp)?)))
    }
}

impl Connections {
    /// Where a connection's media goes: our address and the client's.
    #[must_use]
    pub fn at(&self, id: ConnectionId) -> Option<(SocketAddr, SocketAddr)> {
        self.connections.get(&id)?.at()
    }
}
