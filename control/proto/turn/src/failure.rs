//! What the relay could not do, and what becomes of it.

use raceway_api::{FlowId, OperationError, SessionId};
use raceway_units::Instant;

use crate::allocate::allocated;
use crate::allocation::Allocation;
use crate::counters::{Method, Outcome, Refusal};
use crate::flows;
use crate::limits;
use crate::pending::{Pending, Purpose};
use crate::permission::empty_success;
use crate::refresh::refreshed;
use crate::respond::{Exchange, Response};
use crate::say::datagram;
use crate::server::Server;
use raceway_ports::PortWish;

impl Server {
    /// The relay stopped at an operation of an `Apply`: those before it stand, nothing was sent to the client.
    pub fn handle_failed(&mut self, now: Instant, transaction: u64, error: OperationError) {
        self.now = self.now.max(now);
        self.counters.relay_failures += 1;
        let Some(pending) = self.pending.take(transaction) else { return };
        if self.sessions.get(pending.session).is_none() {
            return;
        }
        if let Purpose::Allocate { wish, attempts } = pending.purpose {
            return self.allocate_failed(&pending, wish, attempts, error);
        }
        let lost = matches!(error, OperationError::UnknownSession | OperationError::UnknownFlow);
        if lost && !pending.reinstalled {
            return self.apply_whole(pending);
        }
        // What was said as a whole and did not hold is there in parts: better none of it.
        match pending.purpose {
            Purpose::CreatePermission { added } if !pending.reinstalled => {
                self.undo(pending.session, Method::CreatePermission, pending.exchange, &added, error);
            }
            Purpose::ChannelBind { added } if !pending.reinstalled => {
                self.undo(pending.session, Method::ChannelBind, pending.exchange, &added, error);
            }
            purpose => self.give_up(pending.session, purpose.method(), pending.exchange, error),
        }
    }

    /// The relay removed a session that reached its expiry. One that was refreshed meanwhile is said again.
    pub fn handle_expired(&mut self, now: Instant, session: SessionId) {
        self.now = self.now.max(now);
        match self.sessions.get(session).map(Allocation::ends_at) {
            Some(end) if end > now => self.say_again(session),
            Some(_) => drop(self.forget(session)),
            None => {}
        }
    }

    /// A port that another process has: another one, a few times (RFC 8656 section 7.2: 508 when there is none).
    fn allocate_failed(&mut self, pending: &Pending, wish: Option<PortWish>, attempts: u8, error: OperationError) {
        let may_retry = error == OperationError::AddressInUse && attempts < limits::PORT_ATTEMPTS;
        let wish = wish.filter(|_| may_retry);
        let Some(session) = wish.and_then(|wish| self.try_other_ports(pending.session, wish)) else {
            return self.give_up(pending.session, Method::Allocate, pending.exchange, error);
        };
        self.tell_removed(pending.session, None);
        if let Some(exchange) = pending.exchange {
            self.apply_allocation(session, exchange, Purpose::Allocate { wish, attempts: attempts + 1 });
        }
    }

    /// The relay had lost the session: it is told all of it, and then the client gets its answer.
    fn apply_whole(&mut self, pending: Pending) {
        let Some(allocation) = self.sessions.get(pending.session) else { return };
        let operations = flows::whole(allocation, &self.peers, self.policy.bits_per_second, self.now);
        let key = allocation.key.as_ref();
        let response = pending.exchange.and_then(|exchange| match pending.purpose {
            Purpose::Refresh { lifetime_s } => Some(refreshed(exchange, lifetime_s, &self.policy, key)),
            Purpose::CreatePermission { .. } | Purpose::ChannelBind { .. } => {
                Some(empty_success(exchange, &self.policy, key))
            }
            Purpose::Repeat => Some(allocated(exchange, allocation, &self.policy)),
            Purpose::Allocate { .. } | Purpose::Upkeep => None,
        });
        let response = response.map(|octets| datagram(&allocation.tuple, octets));
        self.apply(pending.session, operations, Pending { reinstalled: true, ..pending }, response);
    }

    /// Takes back what was new, so that the request has changed nothing, and says why.
    fn undo(
        &mut self,
        session: SessionId,
        method: Method,
        exchange: Option<Exchange>,
        added: &[FlowId],
        error: OperationError,
    ) {
        let tuple = self.sessions.change(session, |allocation| {
            flows::take_back(allocation, added);
            allocation.tuple
        });
        let Some(tuple) = tuple else { return };
        let response = self.failed(session, method, exchange, error);
        self.tell_flows_removed(session, added, response.map(|octets| datagram(&tuple, octets)));
    }

    /// Removes a session that the relay cannot hold, and says why; a client that is not waiting for an answer finds
    /// out at its next Refresh (437).
    fn give_up(&mut self, session: SessionId, method: Method, exchange: Option<Exchange>, error: OperationError) {
        let response = self.failed(session, method, exchange, error);
        let Some(allocation) = self.forget(session) else { return };
        if let Some(held) = allocation.granted.reservation
            && method == Method::Allocate
            && let Some(relayed) = self.reservations.take(held.token)
        {
            self.ports.release(relayed.internal);
        }
        self.tell_removed(session, response.map(|octets| datagram(&allocation.tuple, octets)));
    }

    /// The error response to a request that the relay could not carry out.
    fn failed(
        &mut self,
        session: SessionId,
        method: Method,
        exchange: Option<Exchange>,
        error: OperationError,
    ) -> Option<Vec<u8>> {
        let refusal = refusal(error);
        let response = Response::error(exchange?, refusal);
        self.counters.answered(method, Outcome::Refused(refusal));
        let key = self.sessions.get(session)?.key.as_ref();
        Some(response.finish(self.policy.software.as_deref(), key))
    }
}

/// 508 for what is used up, 500 for what must not happen.
const fn refusal(error: OperationError) -> Refusal {
    match error {
        OperationError::AddressInUse
        | OperationError::AddressNotAvailable
        | OperationError::SocketRefused
        | OperationError::OpenFiles
        | OperationError::FlowsFull
        | OperationError::SessionsFull => Refusal::InsufficientCapacity,
        OperationError::MatchTaken
        | OperationError::UnknownSession
        | OperationError::UnknownFlow
        | OperationError::LegsFull
        | OperationError::Invalid => Refusal::ServerError,
    }
}
