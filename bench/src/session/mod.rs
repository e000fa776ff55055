//! Sessions on a subject, and who then sends to whom through it.

mod exchange;
mod ng;
pub mod stun;
mod turn;

use std::net::{SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::stand::frames::Path;
use crate::stand::netns::within;
use crate::stand::topology::{CLIENT, RELAY, Topology, client_sockets, nth};
use crate::subject::process::Processes;
use crate::subject::{CLIENT_PORT, Kind, NG_PORT, PEER_PORT, PORT, Subject, USER};
pub use exchange::Pace;
use exchange::{Finished, converse};
pub use ng::Call;

/// Flows whose clients, and peers, have ports of one address; more flows have further addresses, or further channels
/// of the same allocations.
pub const LANE: u32 = 10_000;
/// The first channel that a client binds.
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

/// Client of a flow, if each flow has its own.
#[must_use]
pub fn client(first: SocketAddrV4, flow: u32) -> SocketAddrV4 {
    in_lanes(first, flow)
}

/// Peer of a flow.
#[must_use]
pub fn peer(first: SocketAddrV4, flow: u32) -> SocketAddrV4 {
    in_lanes(first, flow)
}

fn in_lanes(first: SocketAddrV4, flow: u32) -> SocketAddrV4 {
    let (lane, at) = (flow / LANE, flow % LANE);
    SocketAddrV4::new(nth(*first.ip(), lane as u8), first.port() + at as u16)
}

fn server() -> SocketAddrV4 {
    SocketAddrV4::new(RELAY, PORT)
}

fn ng_server() -> SocketAddrV4 {
    SocketAddrV4::new(RELAY, NG_PORT)
}

fn first_client() -> SocketAddrV4 {
    SocketAddrV4::new(CLIENT, CLIENT_PORT)
}

fn first_peer(topology: &Topology) -> SocketAddrV4 {
    SocketAddrV4::new(topology.peer, PEER_PORT)
}

/// Paths of relays that know their flows from the start.
#[must_use]
pub fn bare(topology: &Topology, flows: u32) -> Paths {
    let mut paths = Paths::default();
    for flow in 0..flows {
        let (client, peer) = (client(first_client(), flow), peer(first_peer(topology), flow));
        paths.to_peer.push(Path { from: client, to: server(), channel: None });
        paths.to_client.push(Path { from: peer, to: SocketAddrV4::new(RELAY, PORT + 1), channel: None });
    }
    paths
}

/// Sets up what the subject needs and says what to send.
pub fn prepare(subject: Subject, topology: &Topology, flows: u32, call: Call) -> Result<Paths> {
    ensure!(flows <= subject.flows_max(), "{} has no room for {flows} flows", subject.name());
    match subject.kind() {
        Kind::Turn => turn(topology, flows),
        Kind::Ng => ng(topology, flows, call),
        Kind::Forwarder(_) | Kind::Program(_) => Ok(bare(topology, flows)),
    }
}

fn turn(topology: &Topology, flows: u32) -> Result<Paths> {
    let clients = flows.min(LANE);
    let sockets = client_sockets(topology, CLIENT_PORT, u16::try_from(clients)?)?;
    let flows_of = |client: u32| (client..flows).step_by(LANE as usize);
    let channel_of = |flow: u32| CHANNEL + (flow / LANE) as u16;
    let clients = (0..clients).zip(&sockets).map(|(client, socket)| {
        let channels = flows_of(client).map(|flow| (channel_of(flow), peer(first_peer(topology), flow))).collect();
        (socket, turn::Client::new(client, USER, channels))
    });
    let finished = converse(server(), clients.collect(), Pace::default())?;
    let mut paths = Paths::default();
    for flow in 0..flows {
        let client = flow % LANE;
        let relayed = finished[client as usize].dialogue.relayed().context("an allocation has an address")?;
        let from = in_lanes(first_client(), client);
        paths.to_peer.push(Path { from, to: server(), channel: Some(channel_of(flow)) });
        paths.to_client.push(Path { from: peer(first_peer(topology), flow), to: relayed, channel: None });
    }
    paths.sockets = sockets;
    Ok(paths)
}

fn ng(topology: &Topology, flows: u32, how: Call) -> Result<Paths> {
    let mut paths = Paths::default();
    let sockets = signalling_sockets(topology, flows)?;
    for (flow, call) in (0..).zip(calls(topology, &sockets, 0, Pace::default(), how)?) {
        let ports = call.dialogue.ports().context("an answered call has ports")?;
        let relay = |port| SocketAddrV4::new(RELAY, port);
        paths.to_peer.push(Path { from: client(first_client(), flow), to: relay(ports.caller), channel: None });
        paths.to_client.push(Path { from: peer(first_peer(topology), flow), to: relay(ports.callee), channel: None });
    }
    Ok(paths)
}

fn calls(
    topology: &Topology,
    sockets: &[UdpSocket],
    first: u32,
    pace: Pace,
    how: Call,
) -> Result<Vec<Finished<ng::Offered>>> {
    let call = |(flow, socket)| {
        let call = ng::Offered::new(flow, client(first_client(), flow), peer(first_peer(topology), flow), how);
        (socket, call)
    };
    converse(ng_server(), (first..).zip(sockets).map(call).collect(), pace)
}

fn signalling_sockets(topology: &Topology, count: u32) -> Result<Vec<UdpSocket>> {
    within(&topology.links[0].namespace, || {
        (0..count).map(|_| UdpSocket::bind((CLIENT, 0)).context("cannot bind a socket")).collect()
    })
}

/// Clients that will make a session each.
pub struct Callers<'a> {
    subject: Subject,
    topology: &'a Topology,
    sockets: Vec<UdpSocket>,
    made: usize,
}

impl<'a> Callers<'a> {
    /// Opens their sockets.
    pub fn new(subject: Subject, topology: &'a Topology, count: u32) -> Result<Self> {
        let sockets = match subject.kind() {
            Kind::Ng => signalling_sockets(topology, count)?,
            _ => client_sockets(topology, CLIENT_PORT, u16::try_from(count)?)?,
        };
        Ok(Self { subject, topology, sockets, made: 0 })
    }

    /// Makes the next `count` sessions: an allocation, or a call offered and answered; answers with how long each took
    /// from when it was to begin. `active`: with a channel to a peer.
    pub fn make(&mut self, count: usize, active: bool, pace: Pace) -> Result<Vec<Duration>> {
        let first = self.made;
        self.made += count;
        let sockets = self.sockets.get(first..self.made).context("as many callers as sessions")?;
        let first = u32::try_from(first)?;
        if self.subject.kind() == Kind::Ng {
            let calls = calls(self.topology, sockets, first, pace, Call::Plain)?;
            return Ok(calls.iter().map(|finished| finished.took).collect());
        }
        let client = |(client, socket)| {
            let channels = active.then(|| (CHANNEL, peer(first_peer(self.topology), client)));
            (socket, turn::Client::new(client, USER, channels.into_iter().collect()))
        };
        let clients = converse(server(), (first..).zip(sockets).map(client).collect(), pace)?;
        Ok(clients.iter().map(|finished| finished.took).collect())
    }
}

/// Waits until a TURN server answers.
pub fn answers_turn(processes: &mut Processes, topology: &Topology) -> Result<()> {
    let request = stun::Request::new(stun::ALLOCATE, 1).udp().finish(None);
    answers(processes, topology, server(), &request)
}

/// Waits until somebody answers as rtpengine does.
pub fn answers_ng(processes: &mut Processes, topology: &Topology) -> Result<()> {
    answers(processes, topology, ng_server(), ng::PING)
}

fn answers(processes: &mut Processes, topology: &Topology, server: SocketAddrV4, request: &[u8]) -> Result<()> {
    let socket = client_sockets(topology, CLIENT_PORT - 1, 1)?.pop().context("one socket")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    processes.wait_for(|| {
        // Refused while nobody listens: asked again.
        let _ = socket.send(request);
        Ok(socket.recv(&mut [0; 1500]).is_ok())
    })
}
