//! One allocation (RFC 8656 section 2.2) and what hangs on it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use raceway_api::SessionId;
use raceway_units::Instant;
use stun_types::message::TransactionId;

use crate::auth::Key;
use crate::counters::Refusal;
use crate::view::{ChannelView, PermissionView, RelayedView, SessionView};
use raceway_ports::Relayed;

/// Lifetime of a permission (RFC 8656 section 9).
pub(crate) const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// Lifetime of a channel binding (RFC 8656 section 12).
pub(crate) const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
/// How long a reserved port is held (RFC 8656 section 7.2: at least 30 seconds).
pub(crate) const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

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

    pub(crate) const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub(crate) const fn is_ipv4(self) -> bool {
        matches!(self, Self::V4)
    }
}

/// The 5-tuple of an allocation; the transport is UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub listener: SocketAddr,
    pub client: SocketAddr,
}

/// A relayed transport address with the lifetime of its family: a dual allocation can be refreshed and deleted by
/// halves (RFC 8656 section 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub relayed: Relayed,
    pub expires_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permission {
    pub peer: IpAddr,
    /// Names its flow.
    pub index: u32,
    pub expires_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub number: u16,
    pub peer: SocketAddr,
    pub expires_at: Instant,
}

/// What the success response to the Allocate said beside addresses: a retransmitted request gets the same again
/// (RFC 8656 section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub transaction: TransactionId,
    pub lifetime_s: u32,
    pub reservation: Option<Reservation>,
    /// Why the additional IPv6 address was not given (ADDRESS-ERROR-CODE, RFC 8656 section 18.12).
    pub without_v6: Option<Refusal>,
    /// The same of IPv4.
    pub without_v4: Option<Refusal>,
}

/// The next higher port, held for who shows the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub token: u64,
    pub relayed: Relayed,
    pub expires_at: Instant,
}

#[derive(Debug)]
pub(crate) struct Allocation {
    pub id: SessionId,
    pub worker: u16,
    pub tuple: Tuple,
    pub user: Box<str>,
    /// Absent after a restore, until the first request.
    pub key: Option<Key>,
    pub granted: Granted,
    pub v4: Option<Leg>,
    pub v6: Option<Leg>,
    /// Relayed address of a family that was deleted: the relay closes it with the session.
    pub closed: Option<Relayed>,
    pub permissions: Vec<Permission>,
    pub channels: Vec<Channel>,
    pub next_permission: u32,
}

impl Allocation {
    pub const fn leg(&self, family: Family) -> Option<&Leg> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    pub const fn leg_mut(&mut self, family: Family) -> &mut Option<Leg> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// The leg that reaches this peer (RFC 8656 section 5: a peer needs a relayed address of its own family).
    pub const fn leg_to(&self, peer: IpAddr) -> Option<&Leg> {
        self.leg(Family::of(peer))
    }

    pub fn legs(&self) -> impl Iterator<Item = (Family, &Leg)> {
        Family::ALL.into_iter().filter_map(|family| Some((family, self.leg(family)?)))
    }

    /// When nothing of it is left.
    pub fn ends_at(&self) -> Instant {
        self.legs().map(|(_, leg)| leg.expires_at).max().unwrap_or_default()
    }

    /// When the first of its families, permissions and channels ends.
    pub fn next_expiry(&self) -> Instant {
        let legs = self.legs().map(|(_, leg)| leg.expires_at);
        let permissions = self.permissions.iter().map(|permission| permission.expires_at);
        let channels = self.channels.iter().map(|channel| channel.expires_at);
        legs.chain(permissions).chain(channels).min().unwrap_or_default()
    }

    /// Flows that say it.
    pub fn flow_count(&self) -> u32 {
        // Each of these has a limit far below 2^32.
        (1 + self.legs().count() + self.permissions.len() + 2 * self.channels.len()) as u32
    }

    pub fn permission(&self, peer: IpAddr, now: Instant) -> Option<&Permission> {
        self.permissions.iter().find(|permission| permission.peer == peer && permission.expires_at > now)
    }

    /// Forgets a family with its permissions and channels (RFC 8656 section 8.1).
    pub fn forget_family(&mut self, family: Family) -> Option<Leg> {
        self.permissions.retain(|permission| Family::of(permission.peer) != family);
        self.channels.retain(|channel| Family::of(channel.peer.ip()) != family);
        self.leg_mut(family).take()
    }

    pub fn view(&self, now: Instant) -> SessionView<'_> {
        let relayed = |(_, leg): (Family, &Leg)| RelayedView {
            internal: leg.relayed.internal,
            external: leg.relayed.external,
            expires_at: leg.expires_at,
        };
        let permissions = self.permissions.iter().filter(|permission| permission.expires_at > now);
        let channels = self.channels.iter().filter(|channel| channel.expires_at > now);
        SessionView {
            id: self.id,
            worker: self.worker,
            listener: self.tuple.listener,
            client: self.tuple.client,
            user: &self.user,
            relayed: self.legs().map(relayed).collect(),
            permissions: permissions.map(|p| PermissionView { peer: p.peer, expires_at: p.expires_at }).collect(),
            channels: channels
                .map(|c| ChannelView { number: c.number, peer: c.peer, expires_at: c.expires_at })
                .collect(),
        }
    }
}
