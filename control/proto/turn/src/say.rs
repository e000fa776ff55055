//! What the server says: responses, and sessions said, changed and removed.

use raceway_api::{Datagram, FlowId, Operation, SessionId, ToRelay};
use raceway_units::Instant;

use crate::allocation::{Allocation, Family, Tuple};
use crate::counters::Silence;
use crate::flows;
use crate::message::Request;
use crate::pending::{Pending, Purpose};
use crate::respond::Exchange;
use crate::server::{Arrival, Server};

impl Server {
    pub(crate) fn send(&mut self, tuple: &Tuple, response: Vec<u8>) {
        self.output.push_back(ToRelay::Send(datagram(tuple, response)));
    }

    /// Sends a response to who has not proven who they are; in silence if it is larger than the request and the
    /// prefix has used up its budget.
    pub(crate) fn send_unproven(&mut self, arrival: &Arrival, request: &Request<'_>, response: Vec<u8>) -> bool {
        let excess = response.len().saturating_sub(request.octets.len()) as u64;
        if excess > 0 && !self.budget.take(arrival.now, arrival.tuple.client.ip(), excess) {
            self.counters.silent(Silence::OverBudget);
            return false;
        }
        self.send(&arrival.tuple, response);
        true
    }

    /// Applies operations; the response goes out when all of them held. More than one `Apply` carries goes into
    /// several, of which the last has the response.
    pub(crate) fn apply(
        &mut self,
        session: SessionId,
        mut operations: Vec<Operation<'static>>,
        pending: Pending,
        response: Option<Datagram<'static>>,
    ) {
        const MAX: usize = raceway_api::limits::OPERATIONS_MAX;
        while operations.len() > MAX {
            let rest = operations.split_off(MAX.min(operations.len() - MAX));
            let upkeep = Pending { exchange: None, purpose: Purpose::Upkeep, ..pending };
            let transaction = self.pending.push(upkeep);
            self.output.push_back(ToRelay::Apply { transaction, session, operations, then_send: None });
            operations = rest;
        }
        let transaction = self.pending.push(pending);
        self.output.push_back(ToRelay::Apply { transaction, session, operations, then_send: response });
    }

    /// Tells the relay to remove a session, and the client why.
    pub(crate) fn tell_removed(&mut self, session: SessionId, response: Option<Datagram<'static>>) {
        let pending = Pending { session, exchange: None, purpose: Purpose::Upkeep, reinstalled: true };
        self.apply(session, vec![Operation::RemoveSession], pending, response);
    }

    /// Tells the relay to remove flows of a session.
    pub(crate) fn tell_flows_removed(
        &mut self,
        session: SessionId,
        flows: &[FlowId],
        response: Option<Datagram<'static>>,
    ) {
        let pending = Pending { session, exchange: None, purpose: Purpose::Upkeep, reinstalled: false };
        self.apply(session, flows.iter().copied().map(Operation::RemoveFlow).collect(), pending, response);
    }

    /// Says a whole session to the relay again.
    pub(crate) fn say_again(&mut self, session: SessionId) {
        let Some(allocation) = self.sessions.get(session) else { return };
        let operations = flows::whole(allocation, &self.peers, self.policy.bits_per_second, self.now);
        let pending = Pending { session, exchange: None, purpose: Purpose::Upkeep, reinstalled: true };
        self.apply(session, operations, pending, None);
    }

    /// Forgets a session and gives its ports back.
    pub(crate) fn forget(&mut self, session: SessionId) -> Option<Box<Allocation>> {
        let allocation = self.sessions.remove(session)?;
        let open = allocation.legs().map(|(_, leg)| leg.relayed).chain(allocation.closed);
        open.for_each(|relayed| self.ports.release(relayed.internal));
        Some(allocation)
    }

    /// Ends what has expired of a session: all of it, a family, permissions and channels.
    pub(crate) fn end_expired(&mut self, session: SessionId, now: Instant) {
        let Some(allocation) = self.sessions.get(session) else { return };
        if allocation.ends_at() <= now {
            self.forget(session);
            return self.tell_removed(session, None);
        }
        let ended = allocation.legs().find(|(_, leg)| leg.expires_at <= now).map(|(family, _)| family);
        if let Some(family) = ended {
            self.drop_family(session, family, None);
        }
        let gone = self.sessions.change(session, |allocation| flows::forget_expired(allocation, now));
        if let Some(gone) = gone.filter(|gone| !gone.is_empty()) {
            self.tell_flows_removed(session, &gone, None);
        }
    }

    /// Ends one family of a dual allocation with its permissions and channels (RFC 8656 section 8.1). The relay
    /// keeps the socket until the session ends, so its port stays taken.
    pub(crate) fn drop_family(&mut self, session: SessionId, family: Family, answer: Option<(Exchange, Vec<u8>)>) {
        let bits_per_second = self.policy.bits_per_second;
        let dropped = self.sessions.change(session, |allocation| {
            let mut gone = flows::ids(allocation, family);
            gone.push(flows::Role::Relayed(family).id());
            allocation.closed = allocation.forget_family(family).map(|leg| leg.relayed);
            let mut operations: Vec<_> = gone.into_iter().map(Operation::RemoveFlow).collect();
            operations.push(Operation::PutFlow(flows::unwrap(allocation)));
            operations.push(flows::put_session(allocation, bits_per_second));
            (allocation.tuple, operations)
        });
        let Some((tuple, operations)) = dropped else { return };
        let (exchange, response) = answer.unzip();
        let purpose = Purpose::Refresh { lifetime_s: 0 };
        let purpose = if exchange.is_some() { purpose } else { Purpose::Upkeep };
        let pending = Pending { session, exchange, purpose, reinstalled: false };
        self.apply(session, operations, pending, response.map(|octets| datagram(&tuple, octets)));
    }

    /// Ends permissions and channels whose peers the policy denies.
    pub(crate) fn revoke_denied(&mut self) {
        let ids: Vec<SessionId> = self.sessions.ids().collect();
        for session in ids {
            let gone = self.sessions.change(session, |allocation| flows::revoke(allocation, &self.peers));
            if let Some(gone) = gone.filter(|gone| !gone.is_empty()) {
                self.tell_flows_removed(session, &gone, None);
            }
        }
    }
}

/// A response on its way back.
pub(crate) fn datagram(tuple: &Tuple, response: Vec<u8>) -> Datagram<'static> {
    Datagram { from: tuple.listener, to: tuple.client, payload: response.into() }
}
