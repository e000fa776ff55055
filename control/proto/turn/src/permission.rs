//! CreatePermission (RFC 8656 section 10.2), and the permission that a channel needs.

use std::net::IpAddr;

use raceway_api::{FlowId, Operation, SessionId};
use raceway_units::Instant;

use crate::allocation::{Allocation, PERMISSION_LIFETIME, Permission};
use crate::auth::Key;
use crate::counters::{Method, Outcome, Refusal};
use crate::flows::{self, EXTEND_MARGIN, Role};
use crate::limits;
use crate::peer::Peers;
use crate::pending::{Pending, Purpose};
use crate::request::{Proven, peer_address};
use crate::respond::{Exchange, Response};
use crate::say::datagram;
use crate::server::{Server, Settings};

/// What must be said to the relay, and what of it is new.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub operations: Vec<Operation<'static>>,
    pub added: Vec<FlowId>,
}

impl Change {
    /// New flows last: they are in the `Apply` that carries the response, and when the flow table is full, what was
    /// there before has been refreshed.
    pub fn order(&mut self) {
        let added = &self.added;
        self.operations.sort_by_key(|operation| match operation {
            Operation::PutFlow(flow) if added.contains(&flow.id) => 2,
            Operation::PutFlow(_) => 1,
            _ => 0,
        });
    }
}

impl Server {
    pub(crate) fn create_permission(&mut self, proven: &Proven<'_>) -> Result<(), Refusal> {
        let session = self.own_session(proven)?;
        let peers = self.wanted_peers(session, proven)?;
        let now = proven.arrival.now;
        let allocation = self.sessions.get(session).ok_or(Refusal::AllocationMismatch)?;
        let new = peers.iter().filter(|peer| allocation.permission(**peer, now).is_none()).count();
        let has_room = new as u32 <= self.flows_left(&allocation.user);
        if !has_room || allocation.permissions.len() + new > limits::PERMISSIONS_MAX {
            return Err(Refusal::InsufficientCapacity);
        }
        let change = self.sessions.change(session, |allocation| {
            let mut change = Change::default();
            peers.iter().for_each(|peer| permit(allocation, *peer, now, &self.peers, &mut change));
            change.order();
            change
        });
        let change = change.ok_or(Refusal::AllocationMismatch)?;
        let response = empty_success(proven.exchange, &self.policy, Some(&proven.key));
        let response = datagram(&proven.arrival.tuple, response);
        let purpose = Purpose::CreatePermission { added: change.added };
        self.counters.answered(Method::CreatePermission, Outcome::Success);
        let pending = Pending { session, exchange: Some(proven.exchange), purpose, reinstalled: false };
        self.apply(session, change.operations, pending, Some(response));
        Ok(())
    }

    /// The peers of a request: at least one, and all of them allowed, or none gets a permission.
    fn wanted_peers(&self, session: SessionId, proven: &Proven<'_>) -> Result<Vec<IpAddr>, Refusal> {
        let mut peers = Vec::new();
        for value in proven.request.peers() {
            let address = peer_address(proven.request, value).ok_or(Refusal::BadRequest)?.ip();
            self.check_peer(session, address, None)?;
            if !peers.contains(&address) {
                peers.push(address);
            }
            if peers.len() > limits::PERMISSIONS_PER_REQUEST {
                return Err(Refusal::InsufficientCapacity);
            }
        }
        if peers.is_empty() { Err(Refusal::BadRequest) } else { Ok(peers) }
    }
}

/// Makes or refreshes a permission, and lets the channels to its peer end later accordingly.
pub(crate) fn permit(allocation: &mut Allocation, peer: IpAddr, now: Instant, peers: &Peers, change: &mut Change) {
    let Some(leg) = allocation.leg_to(peer).copied() else { return };
    let soon = now.after(EXTEND_MARGIN);
    let old_ends = allocation.permission(peer, now).map(|permission| flows::permission_end(permission, &leg));
    let was_live = old_ends.is_some_and(|end| end > soon);
    let expires_at = now.after(PERMISSION_LIFETIME);
    let permission = match allocation.permissions.iter_mut().find(|permission| permission.peer == peer) {
        Some(permission) => {
            permission.expires_at = expires_at;
            *permission
        }
        None => {
            let permission = Permission { peer, index: allocation.next_permission, expires_at };
            allocation.next_permission += 1;
            allocation.permissions.push(permission);
            change.added.push(Role::Permission(permission.index).id());
            permission
        }
    };
    if was_live {
        let end = flows::permission_end(&permission, &leg);
        change.operations.push(flows::extend(Role::Permission(permission.index).id(), end));
    } else {
        change.operations.extend(flows::permission(allocation, &permission, peers).map(Operation::PutFlow));
    }
    for channel in allocation.channels.iter().filter(|channel| channel.peer.ip() == peer) {
        let was_live = was_live && flows::channel_out_end(channel, &leg) > soon;
        if was_live {
            let end = flows::channel_in_end(allocation, channel, &leg);
            change.operations.push(flows::extend(Role::ChannelIn(channel.number).id(), end));
        } else {
            let flows = flows::channel(allocation, channel, peers).into_iter().flatten();
            change.operations.extend(flows.map(Operation::PutFlow));
        }
    }
}

/// The success response to a CreatePermission or a ChannelBind: no attributes of its own.
pub(crate) fn empty_success(exchange: Exchange, settings: &Settings, key: Option<&Key>) -> Vec<u8> {
    Response::success(exchange).finish(settings.software.as_deref(), key)
}
