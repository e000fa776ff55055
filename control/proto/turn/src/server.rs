//! The server: what comes in, what goes out.

use std::collections::VecDeque;
use std::net::SocketAddr;

use raceway_api::{SessionId, ToRelay};
use raceway_units::{Instant, PrefixBudget, UnixTime};

use crate::allocation::{Family, Tuple};
use crate::auth::{Credentials, NonceKey, Nonces};
use crate::counters::Counters;
use crate::limits;
use crate::message::Request;
use crate::peer::Peers;
use crate::pending::PendingTable;
use crate::policy::{Policy, PolicyError};
use crate::reservations::Reservations;
use crate::restore::Restoring;
use crate::sessions::Sessions;
use crate::view::SessionView;
use raceway_ports::Ports;
use raceway_ports::{Random, RandomSource};

/// STUN and TURN server (RFC 8489, RFC 8656) without I/O.
///
/// After each call that takes `&mut self`, take [`poll_output`](Self::poll_output) until it is empty; call
/// [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout).
///
/// After a restart of control: ask the relay for a snapshot, give every report to [`restore`](Self::restore), then
/// [`restore_end`](Self::restore_end), and only then punts. After a restart of the relay, or when the connection to
/// it was lost while this server holds sessions: [`reinstall`](Self::reinstall).
pub struct Server {
    pub(crate) policy: Settings,
    pub(crate) credentials: Credentials,
    pub(crate) nonces: Nonces,
    pub(crate) peers: Peers,
    pub(crate) ports: Ports,
    pub(crate) sessions: Sessions,
    pub(crate) reservations: Reservations,
    pub(crate) pending: PendingTable,
    pub(crate) restoring: Restoring,
    pub(crate) random: Random,
    pub(crate) counters: Counters,
    pub(crate) next_session: u64,
    pub(crate) now: Instant,
    /// Octets of answers to who has not proven who they are.
    pub(crate) budget: Box<PrefixBudget<{ limits::BUDGET_CELLS }>>,
    /// Wrong credentials.
    pub(crate) failures: Box<PrefixBudget<{ limits::BUDGET_CELLS }>>,
    pub(crate) draining: bool,
    pub(crate) output: VecDeque<ToRelay<'static>>,
    /// Sessions that the relay must be told again; said one at a time by `poll_output`.
    reinstall: Vec<SessionId>,
}

/// The parts of the policy that requests look at.
#[derive(Debug)]
pub(crate) struct Settings {
    pub lifetime_default_s: u32,
    pub lifetime_max_s: u32,
    pub quota_per_user: u32,
    pub quota_total: usize,
    pub flows_per_user: u32,
    pub bits_per_second: u64,
    pub software: Option<String>,
}

impl Settings {
    fn new(policy: &Policy) -> Self {
        // `Policy::check` has seen that lifetimes fit.
        let seconds = |lifetime: std::time::Duration| lifetime.as_secs().max(1) as u32;
        let total = if policy.quota_total == 0 { limits::ALLOCATIONS_MAX } else { policy.quota_total };
        let or_no_limit = |limit: u32| if limit == 0 { u32::MAX } else { limit };
        Self {
            lifetime_default_s: seconds(policy.lifetime_default),
            lifetime_max_s: seconds(policy.lifetime_max),
            quota_per_user: or_no_limit(policy.quota_per_user),
            quota_total: total as usize,
            flows_per_user: or_no_limit(policy.flows_per_user),
            bits_per_second: policy.bits_per_second,
            software: policy.software.clone(),
        }
    }
}

/// A datagram's circumstances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub now: Instant,
    pub wall: UnixTime,
    pub worker: u16,
    pub tuple: Tuple,
}

impl Server {
    /// A server without sessions. `nonce_key` stays the same over restarts, so that clients' nonces hold.
    ///
    /// # Errors
    /// The first rule that the policy breaks.
    pub fn new(policy: Policy, nonce_key: NonceKey, random: RandomSource) -> Result<Self, PolicyError> {
        policy.check()?;
        let mut random = Random::new(random);
        let mut server = Self {
            policy: Settings::new(&policy),
            credentials: Credentials::new(&policy)?,
            nonces: Nonces::new(nonce_key),
            peers: Peers::new(&policy),
            ports: Ports::new(),
            sessions: Sessions::default(),
            reservations: Reservations::default(),
            pending: PendingTable::default(),
            restoring: Restoring::default(),
            counters: Counters::default(),
            next_session: 1,
            now: Instant::default(),
            budget: budget(&policy, &mut random),
            failures: failures(&mut random),
            random,
            draining: false,
            output: VecDeque::new(),
            reinstall: Vec::new(),
        };
        server.ports.configure(&policy.relay_addresses, policy.ports);
        server.configure_nonces(&policy);
        Ok(server)
    }

    /// Takes a new policy; sessions stay, but permissions and channels to peers that are denied now end. On an
    /// error nothing changes. A session goes on after its user is gone, until it expires or is removed.
    ///
    /// # Errors
    /// The first rule that the policy breaks.
    pub fn reconfigure(&mut self, policy: Policy) -> Result<(), PolicyError> {
        policy.check()?;
        let credentials = Credentials::new(&policy)?;
        let rate_changed = self.policy.bits_per_second != policy.bits_per_second;
        self.policy = Settings::new(&policy);
        self.credentials = credentials;
        self.configure_nonces(&policy);
        self.ports.configure(&policy.relay_addresses, policy.ports);
        self.budget = budget(&policy, &mut self.random);
        self.peers = Peers::new(&policy);
        self.revoke_denied();
        if rate_changed {
            self.reinstall();
        }
        Ok(())
    }

    /// A datagram that a client sent to a listener.
    pub fn handle_punt(
        &mut self,
        now: Instant,
        wall: UnixTime,
        worker: u16,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) {
        self.handle_timeout(now);
        match Request::parse(datagram) {
            Err(reason) => self.counters.silent(reason),
            Ok(request) => {
                let tuple = Tuple { listener: local, client: remote };
                self.handle_request(&Arrival { now, wall, worker, tuple }, &request);
            }
        }
    }

    /// While draining, new allocations are refused (508); those that are there go on.
    pub const fn drain(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// Whether new allocations are refused.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    /// Removes a session at once. False if there is none of that name.
    pub fn remove(&mut self, session: SessionId) -> bool {
        let found = self.forget(session).is_some();
        if found {
            self.tell_removed(session, None);
        }
        found
    }

    /// Says all sessions to the relay again, as [`poll_output`](Self::poll_output) is called.
    pub fn reinstall(&mut self) {
        self.reinstall = self.sessions.ids().collect();
    }

    /// The next message to the relay: an `Apply` or a `Send`.
    pub fn poll_output(&mut self) -> Option<ToRelay<'static>> {
        while self.output.is_empty() {
            let session = self.reinstall.pop()?;
            self.say_again(session);
        }
        self.output.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = self.sessions.next_expiry().map(|(at, _)| at);
        [session, self.reservations.next_expiry()].into_iter().flatten().min()
    }

    /// Ends what has expired.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some((at, session)) = self.sessions.next_expiry() {
            if at > now {
                break;
            }
            self.end_expired(session, now);
        }
        while let Some(relayed) = self.reservations.take_expired(now) {
            self.ports.release(relayed.internal);
        }
    }

    /// Counts since the server was made.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sessions held: allocations, a dual one counted once.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Relayed transport addresses held, by family: `raceway_turn_allocations`.
    #[must_use]
    pub fn allocations(&self, family: Family) -> usize {
        self.sessions.family_count(family)
    }

    /// All sessions, in no order.
    pub fn sessions(&self, now: Instant) -> impl Iterator<Item = SessionView<'_>> {
        self.sessions.iter().map(move |allocation| allocation.view(now))
    }

    /// One session.
    #[must_use]
    pub fn session(&self, now: Instant, session: SessionId) -> Option<SessionView<'_>> {
        self.sessions.get(session).map(|allocation| allocation.view(now))
    }
}

impl Server {
    fn configure_nonces(&mut self, policy: &Policy) {
        let credentials = &self.credentials;
        self.nonces.configure(credentials.username_anonymity(), credentials.offer(), policy.nonce_lifetime);
    }
}

fn budget(policy: &Policy, random: &mut Random) -> Box<PrefixBudget<{ limits::BUDGET_CELLS }>> {
    let budget = policy.unauthenticated;
    Box::new(PrefixBudget::new(random.u64(), budget.octets_per_second, budget.burst))
}

fn failures(random: &mut Random) -> Box<PrefixBudget<{ limits::BUDGET_CELLS }>> {
    Box::new(PrefixBudget::new(random.u64(), limits::FAILURES_PER_SECOND, limits::FAILURES_BURST))
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("sessions", &self.session_count()).finish_non_exhaustive()
    }
}
