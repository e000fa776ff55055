//! ChannelBind (RFC 8656 section 12.2).

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use raceway_api::{Operation, SessionId};
use raceway_units::Instant;
use turn_types::attribute::ChannelNumber;

use crate::allocation::{Allocation, CHANNEL_LIFETIME, Channel};
use crate::counters::{Method, Outcome, Refusal};
use crate::flows::{self, EXTEND_MARGIN, Role};
use crate::limits;
use crate::message::typed;
use crate::peer::Peers;
use crate::pending::{Pending, Purpose};
use crate::permission::{Change, empty_success, permit};
use crate::request::{Proven, peer_address};
use crate::say::datagram;
use crate::server::Server;

/// Channel numbers that a client may bind: those of RFC 5766 section 11.
///
/// RFC 8656 section 12 keeps to 0x4000 to 0x4FFF. Clients made for its predecessor, coturn's `turnutils_uclient` among
/// them, choose from the whole range, and get on: RFC 7983 gives the first octets 80 to 127 to nobody else.
pub(crate) const CHANNEL_NUMBERS: RangeInclusive<u16> = 0x4000..=0x7fff;

impl Server {
    pub(crate) fn channel_bind(&mut self, proven: &Proven<'_>) -> Result<(), Refusal> {
        let session = self.own_session(proven)?;
        let (number, peer) = self.wanted_channel(session, proven)?;
        let now = proven.arrival.now;
        let allocation = self.sessions.get(session).ok_or(Refusal::AllocationMismatch)?;
        let is_bound = check_binding(allocation, number, peer)?;
        let permitted = allocation.permission(peer.ip(), now).is_some();
        let flows = if is_bound { 0 } else { 2 } + u32::from(!permitted);
        let has_room = (is_bound || allocation.channels.len() < limits::CHANNELS_MAX)
            && flows <= self.flows_left(&allocation.user);
        if !has_room || (!permitted && allocation.permissions.len() >= limits::PERMISSIONS_MAX) {
            return Err(Refusal::InsufficientCapacity);
        }
        let change = self.sessions.change(session, |allocation| bind(allocation, number, peer, now, &self.peers));
        let change = change.ok_or(Refusal::AllocationMismatch)?;
        let response = empty_success(proven.exchange, &self.policy, Some(&proven.key));
        let response = datagram(&proven.arrival.tuple, response);
        let purpose = Purpose::ChannelBind { added: change.added };
        self.counters.answered(Method::ChannelBind, Outcome::Success);
        let pending = Pending { session, exchange: Some(proven.exchange), purpose, reinstalled: false };
        self.apply(session, change.operations, pending, Some(response));
        Ok(())
    }

    fn wanted_channel(&self, session: SessionId, proven: &Proven<'_>) -> Result<(u16, SocketAddr), Refusal> {
        let number = proven.request.channel_number;
        let number = number.and_then(typed::<ChannelNumber>).ok_or(Refusal::BadRequest)?.channel();
        let peer = proven.request.peer.and_then(|value| peer_address(proven.request, value));
        let peer = peer.filter(|peer| peer.port() != 0).ok_or(Refusal::BadRequest)?;
        if !CHANNEL_NUMBERS.contains(&number) {
            return Err(Refusal::BadRequest);
        }
        self.check_peer(session, peer.ip(), Some(peer.port()))?;
        Ok((number, peer))
    }
}

/// Neither number nor peer may be bound to another (RFC 8656 section 12.2: 400). Whether they are to each other.
fn check_binding(allocation: &Allocation, number: u16, peer: SocketAddr) -> Result<bool, Refusal> {
    let same_number = allocation.channels.iter().find(|channel| channel.number == number);
    let same_peer = allocation.channels.iter().find(|channel| channel.peer == peer);
    match (same_number, same_peer) {
        (None, None) => Ok(false),
        (Some(channel), Some(other)) if channel == other => Ok(true),
        _ => Err(Refusal::BadRequest),
    }
}

/// Binds or refreshes, with the permission (RFC 8656 section 12: a binding makes or refreshes one).
fn bind(allocation: &mut Allocation, number: u16, peer: SocketAddr, now: Instant, peers: &Peers) -> Change {
    let mut change = Change::default();
    let Some(leg) = allocation.leg_to(peer.ip()).copied() else { return change };
    let expires_at = now.after(CHANNEL_LIFETIME);
    let bound = allocation.channels.iter_mut().find(|channel| channel.number == number);
    let refreshed = bound.map(|channel| {
        let was_live = flows::channel_out_end(channel, &leg) > now.after(EXTEND_MARGIN);
        channel.expires_at = expires_at;
        (*channel, was_live)
    });
    permit(allocation, peer.ip(), now, peers, &mut change);
    match refreshed {
        Some((channel, true)) => {
            change
                .operations
                .push(flows::extend(Role::ChannelOut(number).id(), flows::channel_out_end(&channel, &leg)));
        }
        Some((channel, false)) => change.operations.extend(put(allocation, &channel, peers)),
        None => {
            let channel = Channel { number, peer, expires_at };
            allocation.channels.push(channel);
            change.added.extend([Role::ChannelOut(number).id(), Role::ChannelIn(number).id()]);
            change.operations.extend(put(allocation, &channel, peers));
        }
    }
    change.order();
    change
}

fn put(allocation: &Allocation, channel: &Channel, peers: &Peers) -> impl Iterator<Item = Operation<'static>> + use<> {
    flows::channel(allocation, channel, peers).into_iter().flatten().map(Operation::PutFlow)
}
