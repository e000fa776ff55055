//! The packet path allocates nothing once it is warm: a worker over real sockets, every kind of datagram.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use raceway_abi::{Counter, Direction, DropReason};
use raceway_api::{
    Destination, Flow, FlowAction, FlowId, Framing, Learning, Leg, LegId, LegRules, Listener, Match, MediaPath,
    Operation, Punts, Remote, Route, Secret, SessionId, SrtpKey, Suite,
};
use raceway_engine::{Counters, OwnAddresses, Quiescence, RequestBudget, Table};
use raceway_relay::clock;
use raceway_relay::fast_path::FastPath;
use raceway_relay::limits::{COPIES_MAX, LISTENER_PLACES, relayed_max};
use raceway_relay::link::{Recordings, State};
use raceway_relay::shared::{LinkBell, Port, Records, Shared, Sockets};
use raceway_relay::worker::Worker;
use raceway_sys::allocations::{self, Counting};
use raceway_sys::io::{PacketIo, Waker};
use raceway_sys::mmsg::Mmsg;
use raceway_sys::shared::SharedArray;
use raceway_sys::uring::Uring;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FLOWS_MAX: u32 = 256;
const ROUNDS: usize = 50;
const CHANNEL: u16 = 0x4001;

fn shared() -> (Arc<Shared>, State) {
    let flows = Records(Arc::new(SharedArray::anonymous(FLOWS_MAX as usize).unwrap()));
    let (table, writer) = Table::new(flows, 1, &[]);
    let relayed = relayed_max(FLOWS_MAX, u64::MAX);
    let shared = Arc::new(Shared {
        table,
        policers: Arc::new(SharedArray::anonymous(FLOWS_MAX as usize).unwrap()),
        own: Arc::new(OwnAddresses::default()),
        requests: Arc::new(RequestBudget::new(1)),
        sockets: Sockets::new(1, relayed),
        quiescence: Quiescence::new(1),
        workers: [Port::new(LISTENER_PLACES + relayed, 0).unwrap()].into(),
        link: LinkBell::new().unwrap(),
        link_counters: Counters::default(),
        stopping: false.into(),
        failed: false.into(),
    });
    let state = State::new(Arc::clone(&shared), writer, FastPath::Off(Vec::new()), Vec::new(), Recordings::default());
    (shared, state)
}

struct Ends {
    client: UdpSocket,
    listener: SocketAddr,
    relayed: SocketAddr,
    peer: UdpSocket,
    closed: SocketAddr,
}

fn any(host: &str) -> UdpSocket {
    UdpSocket::bind((host, 0)).unwrap()
}

impl Ends {
    fn new() -> Self {
        let free = |host| any(host).local_addr().unwrap();
        let (client, peer) = (any("127.0.0.1"), any("127.0.0.9"));
        for socket in [&client, &peer] {
            socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        }
        Self { client, listener: free("127.0.0.1"), relayed: free("127.0.0.1"), peer, closed: free("127.0.0.9") }
    }

    fn operations(&self) -> Vec<Operation<'static>> {
        let client = self.client.local_addr().unwrap();
        let peer = self.peer.local_addr().unwrap();
        let expires_at_ns = clock::now().after(Duration::from_secs(600)).as_ns();
        let flow = |id, remote, local, framing, action| {
            let matches = Match { remote, local, framing };
            Operation::PutFlow(Flow { id: FlowId(id), matches, action, expires_at_ns })
        };
        let forward =
            |towards, from, to, framing| FlowAction::Forward { towards, from, to, framing, local_destination: false };
        let unwrap = FlowAction::Unwrap { relayed_v4: Some(self.relayed), relayed_v6: None };
        let to_client = |framing| forward(Destination::Client, self.listener, client, framing);
        let to_peer = forward(Destination::Peer, self.relayed, peer, Framing::Plain);
        let (from_client, channel) = (Remote::Exact(client), Framing::Channel(CHANNEL));
        vec![
            Operation::PutSession { worker: 0, expires_at_ns, bits_per_second: 0, blob: Vec::new().into() },
            Operation::OpenRelayed { address: self.relayed, external: self.relayed },
            flow(1, from_client, self.listener, Framing::Indication, unwrap),
            flow(2, Remote::Any, self.relayed, Framing::Plain, FlowAction::Refuse),
            flow(3, Remote::AnyPort(peer.ip()), self.relayed, Framing::Plain, to_client(Framing::Indication)),
            flow(4, from_client, self.listener, channel, to_peer),
            flow(5, Remote::Exact(peer), self.relayed, Framing::Plain, to_client(channel)),
        ]
    }

    /// A call between the client, who speaks SRTP, and the peer, with a third leg that gets copies of what the client sends.
    fn call(&self, media: &[SocketAddr; 3], copies: SocketAddr) -> Vec<Operation<'static>> {
        let expires_at_ns = clock::now().after(Duration::from_secs(600)).as_ns();
        let leg = |id: u32, remote, to: &[u32]| Leg {
            to: to.iter().map(|leg| Route::to(LegId(*leg))).collect(),
            learning: Learning::Delayed,
            rules: LegRules { detect_dtmf: true, ..LegRules::default() },
            punt: Punts { stun: true, dtls: true },
            ..Leg::new(LegId(id), MediaPath { local: media[id as usize], remote: Some(remote) })
        };
        let key = SrtpKey {
            suite: Suite::AesCm128HmacSha1_80,
            key: Secret::new(&[1; 16]),
            salt: Secret::new(&[2; 14]),
            mki: Vec::new(),
            lifetime: None,
        };
        let client = leg(0, self.client.local_addr().unwrap(), &[1, 2]);
        let client = Leg { send: key.into(), ..client };
        let mut operations =
            vec![Operation::PutSession { worker: 0, expires_at_ns, bits_per_second: 0, blob: Vec::new().into() }];
        operations.extend(media.map(|address| Operation::OpenMedia { address, external: address, bits_per_second: 0 }));
        let others = [leg(1, self.peer.local_addr().unwrap(), &[0]), leg(2, copies, &[])];
        operations.extend([client].into_iter().chain(others).map(|leg| Operation::PutLeg(Box::new(leg))));
        operations
    }

    /// One datagram of every kind; how many answers the client and the peer get.
    fn send_all(&self, stranger: &UdpSocket) -> (usize, usize) {
        let to_listener = |payload: &[u8]| self.client.send_to(payload, self.listener).unwrap();
        for _ in 0..3 {
            to_listener(&[0x40, 0x01, 0, 4, 1, 2, 3, 4]);
        }
        to_listener(&send_indication(self.peer.local_addr().unwrap(), false));
        to_listener(&send_indication(self.peer.local_addr().unwrap(), true));
        to_listener(&send_indication(self.closed, false));
        to_listener(&[0x40, 0x02, 0, 0]);
        to_listener(&[0xff; 40]);
        to_listener(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        to_listener(&vec![0x40; 5000]);
        self.peer.send_to(b"through the channel", self.relayed).unwrap();
        stranger.send_to(b"as an indication", self.relayed).unwrap();
        // The ICMP report comes until its budget is used up; it is not counted on.
        (2, 5)
    }
}

fn send_indication(peer: SocketAddr, dont_fragment: bool) -> Vec<u8> {
    let SocketAddr::V4(v4) = peer else { panic!("IPv4") };
    let cookie = [0x21, 0x12, 0xa4, 0x42];
    let mut body = vec![0, 0x12, 0, 8, 0, 1];
    body.extend_from_slice(&(v4.port() ^ 0x2112).to_be_bytes());
    body.extend(v4.ip().octets().iter().zip(&cookie).map(|(octet, mask)| octet ^ mask));
    if dont_fragment {
        body.extend_from_slice(&[0, 0x1a, 0, 0]);
    }
    body.extend_from_slice(&[0, 0x13, 0, 4, 9, 9, 9, 9]);
    let mut out = vec![0, 0x16, 0, body.len() as u8];
    out.extend_from_slice(&cookie);
    out.extend_from_slice(&[7; 12]);
    out.extend_from_slice(&body);
    out
}

/// Media of every kind at the legs of the client (0) and the peer (1); how many the client and the peer get.
fn send_media(ends: &Ends, media: &[SocketAddr; 3], round: u16) -> (usize, usize) {
    let rtp = |payload_type: u8, sequence: u16| {
        let mut packet = vec![0x80, payload_type];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 9]);
        packet.extend_from_slice(&[1; 160]);
        packet
    };
    let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
    let from_client = |payload: &[u8]| ends.client.send_to(payload, media[0]).unwrap();
    from_client(&rtp(0, 2 * round));
    from_client(&rtp(101, 2 * round + 1));
    from_client(&report);
    from_client(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    from_client(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    from_client(&[0x80, 200, 0, 99, 0, 0, 0, 9]);
    ends.peer.send_to(&rtp(0, round), media[1]).unwrap();
    ends.peer.send_to(&report, media[1]).unwrap();
    (2, 3)
}

/// Lets the worker work on what is there, and counts what it allocates meanwhile.
fn turn<I: PacketIo>(worker: &mut Worker<I>, shared: &Shared) -> u64 {
    shared.workers[0].waker.wake();
    let before = allocations::of_this_thread();
    worker.turn().unwrap();
    allocations::of_this_thread() - before
}

/// As the link thread would: takes punts, gives their memory back.
fn take_punts(shared: &Shared) -> usize {
    let port = &shared.workers[0];
    let mut taken = 0;
    while let Some(punt) = port.punts.pop() {
        assert!(port.free.push(punt).is_ok());
        taken += 1;
    }
    taken
}

#[test]
fn a_warm_worker_over_io_uring_allocates_nothing_whatever_arrives() {
    allocates_nothing(|places, waker| Uring::new(places, COPIES_MAX, waker).expect("io_uring"));
}

#[test]
fn a_warm_worker_over_system_calls_allocates_nothing_whatever_arrives() {
    allocates_nothing(|places, waker| Mmsg::new(places, COPIES_MAX, waker).expect("epoll"));
}

fn allocates_nothing<I: PacketIo>(back_end: impl FnOnce(u32, Waker) -> I) {
    let (shared, mut state) = shared();
    let io = back_end(shared.sockets.places(), shared.workers[0].waker.clone());
    let mut worker = Worker::new(0, Arc::clone(&shared), io, 5);
    let ends = Ends::new();
    assert!(state.listen(&[Listener { address: ends.listener }]).is_empty());
    state.apply(clock::now(), SessionId(1), &ends.operations()).unwrap();
    let stranger = any("127.0.0.9");
    let copies = any("127.0.0.9");
    let media = [0; 3].map(|_| any("127.0.0.2")).map(|socket| socket.local_addr().unwrap());
    state.apply(clock::now(), SessionId(2), &ends.call(&media, copies.local_addr().unwrap())).unwrap();
    state.settle();
    turn(&mut worker, &shared);
    let (mut allocated, mut punts) = (0, 0);
    let mut buffer = [0; 2048];
    for round in 0..ROUNDS {
        let (at_client, at_peer) = ends.send_all(&stranger);
        let (to_client, to_peer) = send_media(&ends, &media, round as u16);
        let (at_client, at_peer) = (at_client + to_client, at_peer + to_peer);
        let mut in_round = 0;
        // What was sent is there; a second turn hands over what the first one queued.
        for _ in 0..3 {
            in_round += turn(&mut worker, &shared);
        }
        punts += take_punts(&shared);
        while shared.workers[0].news.pop().is_some() {}
        for _ in 0..at_client {
            ends.client.recv(&mut buffer).expect("a datagram for the client");
        }
        for _ in 0..at_peer {
            ends.peer.recv(&mut buffer).expect("a datagram for the peer");
        }
        ends.client.set_nonblocking(true).unwrap();
        while ends.client.recv(&mut buffer).is_ok() {}
        ends.client.set_nonblocking(false).unwrap();
        if round > 0 {
            allocated += in_round;
        }
    }
    assert_eq!(allocated, 0, "allocations after warm-up");
    assert_eq!(punts, 3 * ROUNDS, "a Binding request, a check of ICE and a flight of DTLS in each");
    let counted = shared.workers[0].counters.values();
    let of = |counter: Counter| counted[counter.index() as usize] as usize;
    assert_eq!(of(Counter::packets(Direction::ClientToPeer)), (6 + 5) * ROUNDS);
    assert_eq!(of(Counter::packets(Direction::PeerToClient)), 2 * ROUNDS);
    for reason in [DropReason::UnboundChannel, DropReason::UnknownProtocol, DropReason::Oversized] {
        assert_eq!(of(Counter::drops(reason)), ROUNDS, "{reason:?}");
    }
    // This test could not fail if nothing were counted.
    let before = allocations::of_this_thread();
    drop(std::hint::black_box(vec![0u8; 10]));
    assert_eq!(allocations::of_this_thread(), before + 1);
}
