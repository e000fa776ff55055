//! A real worker over real sockets, relaying batch after batch.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use raceway_abi::Counter;
use raceway_api::{Destination, Flow, FlowAction, FlowId, Framing, Listener, Match, Operation, Remote, SessionId};
use raceway_engine::{Counters, OwnAddresses, Quiescence, RequestBudget, Table};
use raceway_relay::clock;
use raceway_relay::fast_path::FastPath;
use raceway_relay::limits::{LISTENER_PLACES, relayed_max};
use raceway_relay::link::{Recordings, State};
use raceway_relay::shared::{LinkBell, Port, Records, Shared, Sockets};
use raceway_relay::worker::Worker;
use raceway_sys::allocations;
use raceway_sys::io::PacketIo;
use raceway_sys::mmsg::Mmsg;
use raceway_sys::shared::SharedArray;
use raceway_sys::uring::Uring;
use serde::{Deserialize, Serialize};

use crate::packets::{channel_data, rtp};

/// Allocations, each with one channel.
const SESSIONS: u16 = 16;
/// Packets of each in a batch, one session after the other: neighbours never share a flow, as with real calls.
const ROUNDS: u16 = 2;
const BATCH: u16 = SESSIONS * ROUNDS;
/// Batches before those that are counted.
const WARM_UP: u16 = 5;
/// Batches that are counted: so many that one datagram that comes a turn late does not matter.
const BATCHES: u16 = 200;
/// After so long a datagram is lost, and the worker would wait for it for ever.
const LOST_S: u32 = 60;
const FLOWS_MAX: u32 = 256;
const CHANNEL: u16 = 0x4001;

/// What the worker receives and sends through.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum BackEnd {
    Uring,
    Mmsg,
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Direction {
    ToPeer,
    ToClient,
}

/// What the program itself says of a run.
#[derive(Debug, Deserialize, Serialize)]
pub struct Counted {
    /// Packets relayed.
    pub packets: u32,
    /// Allocations meanwhile.
    pub allocations: u64,
}

/// Relays batches; the turns of the worker are bracketed by [`mark`]s.
///
/// # Errors
/// The kernel has no such back end, or packets were lost.
pub fn run(back_end: BackEnd, direction: Direction) -> Result<Counted> {
    match back_end {
        BackEnd::Uring => relay(direction, |shared| {
            Uring::new(shared.sockets.places(), 0, shared.workers[0].waker.clone()).context("io_uring")
        }),
        BackEnd::Mmsg => relay(direction, |shared| {
            Mmsg::new(shared.sockets.places(), 0, shared.workers[0].waker.clone()).context("epoll")
        }),
    }
}

fn relay<I: PacketIo>(direction: Direction, back_end: impl FnOnce(&Shared) -> Result<I>) -> Result<Counted> {
    let (shared, mut state) = relay_of(FLOWS_MAX)?;
    let mut worker = Worker::new(0, Arc::clone(&shared), back_end(&shared)?, 5);
    let ends = Ends::new()?;
    let refused = state.listen(&[Listener { address: ends.listener }]);
    ensure!(refused.is_empty(), "{refused:?}");
    for number in 0..SESSIONS {
        let operations = ends.session(usize::from(number))?;
        let applied = state.apply(clock::now(), SessionId(number.into()), &operations);
        ensure!(applied.is_ok(), "{applied:?}");
    }
    state.settle();
    shared.workers[0].waker.wake();
    worker.turn()?;
    nix::unistd::alarm::set(LOST_S);
    let counter = match direction {
        Direction::ToPeer => Counter::packets(raceway_abi::Direction::ClientToPeer),
        Direction::ToClient => Counter::packets(raceway_abi::Direction::PeerToClient),
    };
    let (mut sent, mut allocated) = (0, 0);
    for batch in 0..WARM_UP + BATCHES {
        let counted = batch >= WARM_UP;
        ends.send(direction)?;
        sent += u64::from(BATCH);
        mark(counted);
        let before = allocations::of_this_thread();
        // What is ready to be sent after the last turn leaves in the first turn of the next batch, as under load.
        while shared.workers[0].counters.values()[counter.index() as usize] < sent {
            worker.turn()?;
        }
        let after = allocations::of_this_thread();
        mark(counted);
        allocated += if counted { after - before } else { 0 };
        ends.take(direction)?;
    }
    Ok(Counted { packets: u32::from(BATCH) * u32::from(BATCHES), allocations: allocated })
}

/// A system call that means nothing to anybody but strace's reader.
fn mark(wanted: bool) {
    if wanted {
        nix::unistd::getppid();
    }
}

/// What a relay of one worker has, without any thread of it.
///
/// # Errors
/// There is no memory, or no eventfd.
pub fn relay_of(flows_max: u32) -> Result<(Arc<Shared>, State)> {
    let flows = Records(Arc::new(SharedArray::anonymous(flows_max as usize)?));
    let (table, writer) = Table::new(flows, 1, &[]);
    let relayed = relayed_max(flows_max, u64::MAX);
    let shared = Arc::new(Shared {
        table,
        policers: Arc::new(SharedArray::anonymous(flows_max as usize)?),
        own: Arc::new(OwnAddresses::default()),
        requests: Arc::new(RequestBudget::new(1)),
        sockets: Sockets::new(1, relayed),
        quiescence: Quiescence::new(1),
        workers: [Port::new(LISTENER_PLACES + relayed, 0)?].into(),
        link: LinkBell::new()?,
        link_counters: Counters::default(),
        stopping: false.into(),
        failed: false.into(),
    });
    let state = State::new(Arc::clone(&shared), writer, FastPath::Off(Vec::new()), Vec::new(), Recordings::default());
    Ok((shared, state))
}

/// Clients and a peer, on loopback.
struct Ends {
    clients: Vec<UdpSocket>,
    listener: SocketAddr,
    relayed: Vec<SocketAddr>,
    peer: UdpSocket,
}

impl Ends {
    fn new() -> Result<Self> {
        let any = |host: &str| {
            let socket = UdpSocket::bind((host, 0))?;
            socket.set_nonblocking(true)?;
            std::io::Result::Ok(socket)
        };
        // Held until all are known, so that they are different ones.
        let relayed = (0..SESSIONS).map(|_| any("127.0.0.1")).collect::<Result<Vec<_>, _>>()?;
        let free = any("127.0.0.1")?;
        Ok(Self {
            clients: (0..SESSIONS).map(|_| any("127.0.0.1")).collect::<Result<_, _>>()?,
            listener: free.local_addr()?,
            relayed: relayed.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>()?,
            peer: any("127.0.0.9")?,
        })
    }

    /// An allocation and its channel.
    fn session(&self, number: usize) -> Result<Vec<Operation<'static>>> {
        let (client, peer) = (self.clients[number].local_addr()?, self.peer.local_addr()?);
        let relayed = self.relayed[number];
        let expires_at_ns = clock::now().after(Duration::from_secs(600)).as_ns();
        let flow = |id, remote, local, framing, action| {
            let matches = Match { remote, local, framing };
            Operation::PutFlow(Flow { id: FlowId(id), matches, action, expires_at_ns })
        };
        let forward =
            |towards, from, to, framing| FlowAction::Forward { towards, from, to, framing, local_destination: false };
        let channel = Framing::Channel(CHANNEL);
        let to_peer = forward(Destination::Peer, relayed, peer, Framing::Plain);
        let to_client = forward(Destination::Client, self.listener, client, channel);
        Ok(vec![
            Operation::PutSession { worker: 0, expires_at_ns, bits_per_second: 0, blob: Vec::new().into() },
            Operation::OpenRelayed { address: relayed, external: relayed },
            flow(1, Remote::Any, relayed, Framing::Plain, FlowAction::Refuse),
            flow(2, Remote::Exact(client), self.listener, channel, to_peer),
            flow(3, Remote::Exact(peer), relayed, Framing::Plain, to_client),
        ])
    }

    /// A batch.
    fn send(&self, direction: Direction) -> Result<()> {
        let (plain, framed) = (rtp(), channel_data(CHANNEL, &rtp()));
        for number in (0..ROUNDS).flat_map(|_| 0..usize::from(SESSIONS)) {
            match direction {
                Direction::ToPeer => self.clients[number].send_to(&framed, self.listener)?,
                Direction::ToClient => self.peer.send_to(&plain, self.relayed[number])?,
            };
        }
        Ok(())
    }

    /// Takes what has arrived, so that no socket fills up.
    fn take(&self, direction: Direction) -> Result<()> {
        let receivers = match direction {
            Direction::ToPeer => std::slice::from_ref(&self.peer),
            Direction::ToClient => &self.clients[..],
        };
        let mut buffer = [0; 2048];
        for socket in receivers {
            loop {
                match socket.recv(&mut buffer) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}
