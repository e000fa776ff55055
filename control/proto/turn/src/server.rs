//! The server: what comes in, what goes out.

use std::collections::VecDeque;
use std::net::SocketAddr;

use raceway_api::{OperationError, SessionId, SessionReport, ToRelay};
use raceway_units::{Instant, UnixTime};

use crate::auth::NonceKey;
use crate::counters::Counters;
use crate::policy::{Policy, PolicyError};
use crate::view::SessionView;

/// Fills a buffer with unpredictable octets.
pub type RandomSource = Box<dyn FnMut(&mut [u8]) + Send>;

/// Address family of a relayed transport address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// Both, in counter order.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

/// STUN and TURN server (RFC 8489, RFC 8656) without I/O.
///
/// After each `handle_*`, `restore_end`, `remove` and `reinstall`, take [`poll_output`](Self::poll_output) until it
/// is empty; call [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout).
///
/// After a restart of control: ask the relay for a snapshot, give every report to [`restore`](Self::restore), then
/// [`restore_end`](Self::restore_end), and only then punts. After a restart of the relay, or when the connection to
/// it was lost and this server still holds its sessions: [`reinstall`](Self::reinstall).
pub struct Server {
    output: VecDeque<ToRelay<'static>>,
    counters: Counters,
}

impl Server {
    /// A server without sessions. `nonce_key` stays the same over restarts, so that clients' nonces hold.
    ///
    /// # Errors
    /// The first rule that the policy breaks.
    pub fn new(policy: Policy, _nonce_key: NonceKey, _random: RandomSource) -> Result<Self, PolicyError> {
        policy.check()?;
        Ok(Self { output: VecDeque::new(), counters: Counters::default() })
    }

    /// A datagram that a client sent to a listener.
    pub fn handle_punt(
        &mut self,
        _now: Instant,
        _wall: UnixTime,
        _worker: u16,
        _local: SocketAddr,
        _remote: SocketAddr,
        _datagram: &[u8],
    ) {
    }

    /// The relay stopped at an operation of an `Apply`.
    pub fn handle_failed(&mut self, _now: Instant, _transaction: u64, _operation: u16, _error: OperationError) {}

    /// The relay removed a session that reached its expiry.
    pub fn handle_expired(&mut self, _session: SessionId) {}

    /// One report of the relay's snapshot.
    pub fn restore(&mut self, _report: &SessionReport<'_>) {}

    /// The snapshot is complete: what could not be understood is removed from the relay.
    pub fn restore_end(&mut self, _now: Instant) {}

    /// Says all sessions to the relay again.
    pub fn reinstall(&mut self) {}

    /// Takes a new policy; sessions stay. On an error nothing changes.
    ///
    /// # Errors
    /// The first rule that the policy breaks.
    pub fn reconfigure(&mut self, policy: Policy) -> Result<(), PolicyError> {
        policy.check()
    }

    /// While draining, new allocations are refused (508); those that are there go on.
    pub fn drain(&mut self, _draining: bool) {}

    /// Whether new allocations are refused.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        false
    }

    /// Removes a session at once. False if there is none of that name.
    pub fn remove(&mut self, _session: SessionId) -> bool {
        false
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Ends what has expired.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// The next message to the relay: an `Apply` or a `Send`.
    pub fn poll_output(&mut self) -> Option<ToRelay<'static>> {
        self.output.pop_front()
    }

    /// Counts since the server was made.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sessions held: allocations, a dual one counted once.
    #[must_use]
    pub fn session_count(&self) -> usize {
        0
    }

    /// Relayed transport addresses held, by family: `raceway_turn_allocations`.
    #[must_use]
    pub fn allocations(&self, _family: Family) -> usize {
        0
    }

    /// All sessions, in no order.
    pub fn sessions(&self, _now: Instant) -> impl Iterator<Item = SessionView<'_>> {
        std::iter::empty()
    }

    /// One session.
    #[must_use]
    pub fn session(&self, _now: Instant, _session: SessionId) -> Option<SessionView<'_>> {
        None
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("sessions", &self.session_count()).finish_non_exhaustive()
    }
}
