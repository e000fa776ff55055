//! What a session looks like to an operator.

use std::net::{IpAddr, SocketAddr};

use raceway_api::SessionId;
use raceway_units::Instant;

/// One allocation (RFC 8656 section 2.2), both families of a dual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView<'a> {
    /// Name.
    pub id: SessionId,
    /// Worker that receives for it.
    pub worker: u16,
    /// Our address that the client sends to.
    pub listener: SocketAddr,
    /// The client.
    pub client: SocketAddr,
    /// USERNAME it was made with.
    pub user: &'a str,
    /// Relayed transport addresses, one of each family at most.
    pub relayed: Vec<RelayedView>,
    /// Live permissions.
    pub permissions: Vec<PermissionView>,
    /// Live channels.
    pub channels: Vec<ChannelView>,
}

/// A relayed transport address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayedView {
    /// As this machine sees it.
    pub internal: SocketAddr,
    /// As clients and peers see it.
    pub external: SocketAddr,
    /// When it ends unless refreshed.
    pub expires_at: Instant,
}

/// A permission (RFC 8656 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermissionView {
    /// Address of the peer.
    pub peer: IpAddr,
    /// When it ends unless refreshed.
    pub expires_at: Instant,
}

/// A channel (RFC 8656 section 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelView {
    /// Its number.
    pub number: u16,
    /// The peer it is bound to.
    pub peer: SocketAddr,
    /// When it ends unless refreshed.
    pub expires_at: Instant,
}
