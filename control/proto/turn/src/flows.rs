//! An allocation said in flows (docs/ARCHITECTURE.md, "How TURN is said in flows").
//!
//! Flow ids name what a flow stands for, so that a snapshot gives permissions and channels back.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use raceway_api::{Destination, Flow, FlowAction, FlowId, FlowReport, Framing, Match, Operation, Remote};
use raceway_units::Instant;

use crate::allocation::{Allocation, CHANNEL_LIFETIME, Channel, Family, Leg, PERMISSION_LIFETIME, Permission};
use crate::blob;
use crate::peer::Peers;

/// What a flow stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Send indications of the client.
    Allocation,
    /// A relayed transport address.
    Relayed(Family),
    /// Any port of a peer to the client; the number is the permission's index.
    Permission(u32),
    /// ChannelData of the client to the peer.
    ChannelOut(u16),
    /// The peer's datagrams to the client.
    ChannelIn(u16),
}

const KIND_SHIFT: u32 = 28;
const INDEX_MASK: u32 = (1 << KIND_SHIFT) - 1;

impl Role {
    pub const fn id(self) -> FlowId {
        FlowId(match self {
            Self::Allocation => 0,
            Self::Relayed(Family::V4) => 1,
            Self::Relayed(Family::V6) => 2,
            Self::Permission(index) => 1 << KIND_SHIFT | (index & INDEX_MASK),
            Self::ChannelOut(number) => 2 << KIND_SHIFT | number as u32,
            Self::ChannelIn(number) => 3 << KIND_SHIFT | number as u32,
        })
    }

    pub const fn of(id: FlowId) -> Option<Self> {
        let index = id.0 & INDEX_MASK;
        match (id.0 >> KIND_SHIFT, index) {
            (0, 0) => Some(Self::Allocation),
            (0, 1) => Some(Self::Relayed(Family::V4)),
            (0, 2) => Some(Self::Relayed(Family::V6)),
            (1, index) => Some(Self::Permission(index)),
            (2, 0..=0xffff) => Some(Self::ChannelOut(index as u16)),
            (3, 0..=0xffff) => Some(Self::ChannelIn(index as u16)),
            _ => None,
        }
    }
}

/// A flow that ends within this may be gone when the relay reads the order to extend it, so it is put again.
pub(crate) const EXTEND_MARGIN: Duration = Duration::from_secs(1);

/// Says the new end of a flow.
pub(crate) const fn extend(flow: FlowId, end: Instant) -> Operation<'static> {
    Operation::Extend { flow, expires_at_ns: end.as_ns() }
}

/// Creates the session, or says what changed of it.
pub(crate) fn put_session(allocation: &Allocation, bits_per_second: u64) -> Operation<'static> {
    Operation::PutSession {
        worker: allocation.worker,
        expires_at_ns: allocation.ends_at().as_ns(),
        bits_per_second,
        blob: blob::encode(allocation).into(),
    }
}

/// Everything of an allocation that has not ended, so that a relay which knows nothing of it holds it afterwards. The
/// flow of the allocation itself comes after its relayed addresses: if it is there, they are.
pub(crate) fn whole(
    allocation: &Allocation,
    peers: &Peers,
    bits_per_second: u64,
    now: Instant,
) -> Vec<Operation<'static>> {
    let mut operations = Vec::with_capacity(6);
    operations.push(put_session(allocation, bits_per_second));
    for (family, leg) in allocation.legs() {
        operations.push(Operation::OpenRelayed { address: leg.relayed.internal, external: leg.relayed.external });
        operations.push(Operation::PutFlow(refuse(family, leg)));
    }
    operations.push(Operation::PutFlow(unwrap(allocation)));
    let permissions = allocation.permissions.iter().filter_map(|entry| permission(allocation, entry, peers));
    let channels = allocation.channels.iter().filter_map(|entry| channel(allocation, entry, peers)).flatten();
    let live = permissions.chain(channels).filter(|flow| flow.expires_at_ns > now.as_ns());
    operations.extend(live.map(Operation::PutFlow));
    operations
}

/// Send indications of the client, to peers of the families that there are.
pub(crate) fn unwrap(allocation: &Allocation) -> Flow {
    let relayed = |leg: &Option<Leg>| leg.map(|leg| leg.relayed.internal);
    Flow {
        id: Role::Allocation.id(),
        matches: Match {
            remote: Remote::Exact(allocation.tuple.client),
            local: allocation.tuple.listener,
            framing: Framing::Indication,
        },
        action: FlowAction::Unwrap { relayed_v4: relayed(&allocation.v4), relayed_v6: relayed(&allocation.v6) },
        expires_at_ns: allocation.ends_at().as_ns(),
    }
}

/// Whoever has no permission.
pub(crate) fn refuse(family: Family, leg: &Leg) -> Flow {
    Flow {
        id: Role::Relayed(family).id(),
        matches: Match { remote: Remote::Any, local: leg.relayed.internal, framing: Framing::Plain },
        action: FlowAction::Refuse,
        expires_at_ns: leg.expires_at.as_ns(),
    }
}

/// A permission, if the allocation has a relayed address of its family.
pub(crate) fn permission(allocation: &Allocation, permission: &Permission, peers: &Peers) -> Option<Flow> {
    let leg = allocation.leg_to(permission.peer)?;
    Some(Flow {
        id: Role::Permission(permission.index).id(),
        matches: Match {
            remote: Remote::AnyPort(peers.route(permission.peer).address),
            local: leg.relayed.internal,
            framing: Framing::Plain,
        },
        action: to_client(allocation, Framing::Indication),
        expires_at_ns: permission_end(permission, leg).as_ns(),
    })
}

/// A channel, out and in, if the allocation has a relayed address of its family.
pub(crate) fn channel(allocation: &Allocation, channel: &Channel, peers: &Peers) -> Option<[Flow; 2]> {
    let leg = allocation.leg_to(channel.peer.ip())?;
    let route = peers.route(channel.peer.ip());
    let peer = SocketAddr::new(route.address, channel.peer.port());
    let out = Flow {
        id: Role::ChannelOut(channel.number).id(),
        matches: Match {
            remote: Remote::Exact(allocation.tuple.client),
            local: allocation.tuple.listener,
            framing: Framing::Channel(channel.number),
        },
        action: FlowAction::Forward {
            towards: Destination::Peer,
            from: leg.relayed.internal,
            to: peer,
            framing: Framing::Plain,
            local_destination: route.is_relay && peers.is_relay_port(peer.port()),
        },
        expires_at_ns: channel_out_end(channel, leg).as_ns(),
    };
    let back = Flow {
        id: Role::ChannelIn(channel.number).id(),
        matches: Match { remote: Remote::Exact(peer), local: leg.relayed.internal, framing: Framing::Plain },
        action: to_client(allocation, Framing::Channel(channel.number)),
        expires_at_ns: channel_in_end(allocation, channel, leg).as_ns(),
    };
    Some([out, back])
}

fn to_client(allocation: &Allocation, framing: Framing) -> FlowAction {
    FlowAction::Forward {
        towards: Destination::Client,
        from: allocation.tuple.listener,
        to: allocation.tuple.client,
        framing,
        local_destination: false,
    }
}

pub(crate) fn permission_end(permission: &Permission, leg: &Leg) -> Instant {
    permission.expires_at.min(leg.expires_at)
}

pub(crate) fn channel_out_end(channel: &Channel, leg: &Leg) -> Instant {
    channel.expires_at.min(leg.expires_at)
}

/// The peer's datagrams need the permission as well as the channel (RFC 8656 section 12: a binding's permission
/// may end before it).
pub(crate) fn channel_in_end(allocation: &Allocation, channel: &Channel, leg: &Leg) -> Instant {
    let permission = allocation.permissions.iter().find(|permission| permission.peer == channel.peer.ip());
    let permitted = permission.map_or(Instant::default(), |permission| permission.expires_at);
    channel_out_end(channel, leg).min(permitted)
}

/// When each permission and channel flow of a family ends.
pub(crate) fn ends(allocation: &Allocation, family: Family) -> Vec<(FlowId, Instant)> {
    let Some(leg) = allocation.leg(family) else { return Vec::new() };
    let permissions = allocation.permissions.iter().filter(|entry| Family::of(entry.peer) == family);
    let mut ends: Vec<_> =
        permissions.map(|entry| (Role::Permission(entry.index).id(), permission_end(entry, leg))).collect();
    for channel in allocation.channels.iter().filter(|entry| Family::of(entry.peer.ip()) == family) {
        ends.push((Role::ChannelOut(channel.number).id(), channel_out_end(channel, leg)));
        ends.push((Role::ChannelIn(channel.number).id(), channel_in_end(allocation, channel, leg)));
    }
    ends
}

/// Permissions and channels of a family, by flow.
pub(crate) fn ids(allocation: &Allocation, family: Family) -> Vec<FlowId> {
    ends(allocation, family).into_iter().map(|(id, _)| id).collect()
}

/// Takes out permissions and channels whose peers are denied, and names their flows.
pub(crate) fn revoke(allocation: &mut Allocation, peers: &Peers) -> Vec<FlowId> {
    let permission_stays = |permission: &Permission| peers.allows(permission.peer, None);
    take_out(allocation, permission_stays, |channel| peers.allows(channel.peer.ip(), Some(channel.peer.port())))
}

/// Takes out permissions and channels that have ended, and names their flows. The relay may not have removed them
/// yet, and a flow that is put next may have the match of one of them.
pub(crate) fn forget_expired(allocation: &mut Allocation, now: Instant) -> Vec<FlowId> {
    take_out(allocation, |permission| permission.expires_at > now, |channel| channel.expires_at > now)
}

/// Takes out the permissions and channels that these flows stand for.
pub(crate) fn take_back(allocation: &mut Allocation, flows: &[FlowId]) {
    for role in flows.iter().filter_map(|id| Role::of(*id)) {
        match role {
            Role::Permission(index) => allocation.permissions.retain(|permission| permission.index != index),
            Role::ChannelOut(number) => allocation.channels.retain(|channel| channel.number != number),
            Role::ChannelIn(_) | Role::Allocation | Role::Relayed(_) => {}
        }
    }
}

fn take_out(
    allocation: &mut Allocation,
    permission_stays: impl Fn(&Permission) -> bool,
    channel_stays: impl Fn(&Channel) -> bool,
) -> Vec<FlowId> {
    let mut gone = Vec::new();
    allocation.permissions.retain(|permission| {
        let stays = permission_stays(permission);
        if !stays {
            gone.push(Role::Permission(permission.index).id());
        }
        stays
    });
    allocation.channels.retain(|channel| {
        let stays = channel_stays(channel);
        if !stays {
            gone.extend([Role::ChannelOut(channel.number).id(), Role::ChannelIn(channel.number).id()]);
        }
        stays
    });
    gone
}

/// Gives a permission or a channel back from its flow.
pub(crate) fn restore(allocation: &mut Allocation, report: &FlowReport, peers: &Peers) {
    let flow = &report.flow;
    let expires_at = Instant::from_ns(flow.expires_at_ns);
    match (Role::of(flow.id), flow.matches.remote, flow.action) {
        (Some(Role::Permission(index)), Remote::AnyPort(peer), _) => {
            allocation.permissions.push(Permission { peer: peers.peer(peer), index, expires_at });
            allocation.next_permission = allocation.next_permission.max(index + 1);
        }
        (Some(Role::ChannelOut(number)), _, FlowAction::Forward { to, .. }) => {
            let peer = SocketAddr::new(peers.peer(to.ip()), to.port());
            allocation.channels.push(Channel { number, peer, expires_at });
        }
        _ => {}
    }
}

/// Undoes the bound that the allocation's end sets to a flow's: what ended with the allocation may have had longer
/// to live, and the client relies on it after a refresh. It gets the longest that it can have had.
pub(crate) fn unbound(allocation: &mut Allocation, now: Instant) {
    let ends = [allocation.v4.map(|leg| leg.expires_at), allocation.v6.map(|leg| leg.expires_at)];
    let bounded = |peer: IpAddr, expires_at| ends[Family::of(peer) as usize] == Some(expires_at);
    for permission in &mut allocation.permissions {
        if bounded(permission.peer, permission.expires_at) {
            permission.expires_at = now.after(PERMISSION_LIFETIME);
        }
    }
    for channel in &mut allocation.channels {
        if bounded(channel.peer.ip(), channel.expires_at) {
            channel.expires_at = now.after(CHANNEL_LIFETIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_its_flow_stands_for() {
        for role in [
            Role::Allocation,
            Role::Relayed(Family::V4),
            Role::Relayed(Family::V6),
            Role::Permission(0),
            Role::Permission(INDEX_MASK),
            Role::ChannelOut(0x4000),
            Role::ChannelIn(0x4fff),
        ] {
            assert_eq!(Role::of(role.id()), Some(role));
        }
        for unknown in [3, INDEX_MASK, 2 << KIND_SHIFT | 0x1_0000, 4 << KIND_SHIFT] {
            assert_eq!(Role::of(FlowId(unknown)), None);
        }
    }
}
