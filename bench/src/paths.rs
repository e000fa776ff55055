//! Who sends to whom through a subject.

use std::net::{SocketAddrV4, UdpSocket};

use anyhow::Result;

use crate::frames::Path;
use crate::subject::{CLIENT_PORT, PEER_PORT, PORT, Subject, USER};
use crate::topology::{CLIENT, RELAY, Topology, client_sockets};
use crate::turn::allocate;

/// The channel that every client binds; each has one peer.
const CHANNEL: u16 = 0x4000;

/// What the generator is to send in each direction.
#[derive(Debug, Default)]
pub struct Paths {
    /// From clients, towards peers.
    pub to_peer: Vec<Path>,
    /// From peers, towards clients.
    pub to_client: Vec<Path>,
    /// Kept open so that the kernel does not refuse for the clients.
    pub sockets: Vec<UdpSocket>,
}

fn client(n: u16) -> SocketAddrV4 {
    SocketAddrV4::new(CLIENT, CLIENT_PORT + n)
}

/// Paths of relays without TURN.
pub fn bare(topology: &Topology, flows: u16) -> Paths {
    let mut paths = Paths::default();
    for n in 0..flows {
        let peer = SocketAddrV4::new(topology.peer, PEER_PORT + n);
        paths.to_peer.push(Path { from: client(n), to: SocketAddrV4::new(RELAY, PORT), channel: None });
        paths.to_client.push(Path { from: peer, to: SocketAddrV4::new(RELAY, PORT + 1), channel: None });
    }
    paths
}

/// Sets up what the subject needs and says what to send.
pub fn prepare(subject: Subject, topology: &Topology, flows: u16) -> Result<Paths> {
    if !subject.speaks_turn() {
        return Ok(bare(topology, flows));
    }
    let sockets = client_sockets(topology, CLIENT_PORT, flows)?;
    let peer = |n: u16| SocketAddrV4::new(topology.peer, PEER_PORT + n);
    let server = SocketAddrV4::new(RELAY, PORT);
    let channel = |n: usize| u16::try_from(n).ok().map(|n| (CHANNEL, peer(n)));
    let allocations = allocate(server, USER, &sockets, channel)?;
    let mut paths = Paths::default();
    for (n, allocation) in (0u16..).zip(&allocations) {
        paths.to_peer.push(Path { from: client(n), to: server, channel: Some(CHANNEL) });
        paths.to_client.push(Path { from: peer(n), to: allocation.relayed, channel: None });
    }
    paths.sockets = sockets;
    Ok(paths)
}
