//! Workers against XDP: what XDP does with a datagram by itself, a worker that gets it does too, octet for octet. The program in
//! the kernel is held to the same code elsewhere (`relay/tests/xdp/differential.rs`).

#[allow(dead_code, reason = "shared with the tests of the packet logic, which use all of it")]
#[path = "../../../ebpf/datapath/tests/support/mod.rs"]
mod support;

use std::cell::Cell;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrayvec::ArrayVec;
use raceway_abi::{
    Action, Counter, DropReason, FLAG_BLOCKS_OTHERS, FLAG_MEDIA_ONLY, FLAG_RULED, Flow, FlowSpec, KEEP_DSCP,
    NO_POLICER, PayloadFate, PayloadRule, Policer,
};
use raceway_api::{Codec, Format, Learning, LegRules, MediaRule, Punts, SourcePolicy};
use raceway_datapath::Verdict as XdpVerdict;
use raceway_engine::limits::LEG_BATCH;
use raceway_engine::{
    Arrival, Buffers, Came, Counters, Datagram, Forwarder, Leg, LegRoute, LegSetup, Media, NO_EGRESS, OwnAddresses,
    Protection, RequestBudget, Table, Verdict,
};
use raceway_units::{Endpoint, Instant};

use support::generate::{Random, packet as random_packet, said};
use support::memory::{Memory, NOW_NS};
use support::packet::{Checksum, Packet, read};
use support::world::{self, FIRST_MEDIA_PORT, FIRST_RELAY_PORT, LAST_RELAY_PORT, LISTEN_PORT, key, media, party};

const PACKETS: usize = 40_000;
const HEADROOM: usize = 128;
const NOW: Instant = Instant::from_ns(NOW_NS);

fn seed() -> u64 {
    std::env::var("RACEWAY_SEED").map_or(1, |seed| seed.parse().expect("a number"))
}

/// What leaves: to where, DSCP and ECN, octets.
#[derive(Debug, PartialEq)]
struct Left {
    to: SocketAddr,
    traffic_class: u8,
    payload: Vec<u8>,
}

/// What became of a datagram.
#[derive(Debug, PartialEq)]
enum Fate {
    Left(Left),
    Dropped(DropReason),
    /// It was left to somebody else.
    Up,
}

fn by_xdp(memory: &Memory, packet: &Packet) -> Fate {
    let before: Vec<u64> = memory.counters.iter().map(Cell::get).collect();
    let (verdict, frame) = memory.relay(&packet.frame());
    match verdict {
        XdpVerdict::Up => Fate::Up,
        XdpVerdict::Send(_) => {
            let read = read(&frame);
            Fate::Left(Left { to: read.destination, traffic_class: read.traffic_class, payload: read.payload })
        }
        XdpVerdict::Drop => {
            let counter = |reason: &DropReason| Counter::drops(*reason).index() as usize;
            let rose = |reason: &DropReason| memory.counters[counter(reason)].get() > before[counter(reason)];
            Fate::Dropped(DropReason::ALL.into_iter().find(rose).expect("a drop is counted"))
        }
    }
}

/// A machine over the flows of the world.
struct Machine {
    forwarder: Forwarder<Box<[Flow]>, Vec<Policer>>,
    table: Arc<Table<Box<[Flow]>>>,
    slots: Vec<u32>,
}

impl Machine {
    fn new() -> Self {
        let entries = world::entries();
        let records: Box<[Flow]> = (0..2 * entries.len()).map(|_| Flow::default()).collect();
        let (table, mut writer) = Table::new(records, 5, &[]);
        let fill = |entry: &world::Entry| {
            let slot = writer.fill(&entry.spec, Instant::from_ns(entry.expires_at_ns), [0, NO_EGRESS]).expect("room");
            writer.link(slot).expect("room");
            slot
        };
        let slots = entries.iter().map(fill).collect();
        let policers: Vec<Policer> = (0..4).map(|_| Policer::default()).collect();
        world::write_policers(&policers);
        let counters = Arc::new(Counters::default());
        let (own, requests) = (Arc::new(OwnAddresses::default()), Arc::new(RequestBudget::new(3)));
        let forwarder = Forwarder::new(Arc::clone(&table), Arc::new(policers), own, requests, counters, 7);
        Self { forwarder, table, slots }
    }

    /// What becomes of a datagram, also where it comes back to an address of ours.
    fn take(&mut self, source: SocketAddr, destination: SocketAddr, payload: &[u8], traffic_class: u8) -> Fate {
        let arrival = match destination.port() {
            LISTEN_PORT | 3479 => Arrival::Listener,
            FIRST_RELAY_PORT..=LAST_RELAY_PORT => Arrival::Relayed,
            _ => Arrival::Media,
        };
        let mut buffer = vec![0; HEADROOM];
        buffer.extend_from_slice(payload);
        buffer.extend_from_slice(&[0; 8]);
        let (local, remote) = (destination.into(), source.into());
        let payload = HEADROOM..HEADROOM + payload.len();
        match self.forwarder.handle(NOW, Datagram { arrival, local, remote, buffer: &mut buffer, payload }) {
            Verdict::Drop(reason) => Fate::Dropped(reason),
            Verdict::Punt | Verdict::Leg => Fate::Up,
            Verdict::Forward(forward) => {
                let dscp = forward.dscp;
                let traffic_class = if dscp == KEEP_DSCP { traffic_class } else { dscp << 2 | traffic_class & 3 };
                let to = SocketAddr::from(forward.to);
                let payload = buffer[forward.payload].to_vec();
                if to.ip() != world::listener(to.is_ipv6()).ip() {
                    return Fate::Left(Left { to, traffic_class, payload });
                }
                let from = self.from(source, destination, arrival, &buffer[HEADROOM..]);
                self.take(from, to, &payload, traffic_class)
            }
        }
    }

    /// Where the flow that took it sends from.
    fn from(&self, source: SocketAddr, destination: SocketAddr, arrival: Arrival, data: &[u8]) -> SocketAddr {
        let channel = if arrival == Arrival::Listener { u16::from_be_bytes([data[0], data[1]]) } else { 0 };
        let slot = self.table.find(&key(source, destination, channel)).expect("it took it");
        let flow = &self.table.records()[slot as usize];
        Endpoint { address: flow.source(), port: flow.source_port() }.into()
    }
}

fn figures(flow: &Flow) -> [u64; 8] {
    let measured = &flow.measured;
    let rtp = &measured.rtp;
    [
        measured.packets.load(Relaxed),
        measured.octets.load(Relaxed),
        measured.dropped.load(Relaxed),
        measured.blocked.load(Relaxed),
        rtp.received.load(Relaxed).into(),
        rtp.lost.load(Relaxed).into(),
        rtp.reordered.load(Relaxed).into(),
        rtp.payload_type.load(Relaxed).into(),
    ]
}

/// TURN and calls alike: flows are followed to the same end, and measured the same.
#[test]
fn a_worker_follows_flows_as_xdp_does() {
    let (memory, mut machine) = (world::in_memory(), Machine::new());
    let mut random = Random(seed());
    let mut seen = [0; 3];
    for _ in 0..PACKETS {
        let packet = random_packet(&mut random);
        // What the kernel looks into before a socket has it: checksums, and what is left of the way.
        if packet.checksum == Checksum::Wrong || packet.hop_limit <= 1 {
            continue;
        }
        let xdp = by_xdp(&memory, &packet);
        seen[match xdp {
            Fate::Left(_) => 0,
            Fate::Dropped(_) => 1,
            Fate::Up => 2,
        }] += 1;
        // Before it is a worker's, and of its own budget; what goes up may be anything.
        if matches!(xdp, Fate::Up | Fate::Dropped(DropReason::StunBudget)) {
            continue;
        }
        // A worker has a limit of its own for the legs of an address.
        if is_gate_drop(&xdp, &packet) {
            continue;
        }
        let worker = machine.take(packet.source, packet.destination, &packet.payload, packet.traffic_class);
        assert_eq!(worker, xdp, "{packet:?}");
    }
    assert!(seen.iter().all(|count| *count > 1000), "{seen:?}");
    for (slot, flow) in machine.slots.iter().zip(&memory.flows) {
        let by_worker = &machine.table.records()[*slot as usize];
        // Of a hairpin whose second flow refuses, a worker has relayed the first half by then.
        let is_refused_later = flow.key().channel == world::channel::HAIRPIN_POLICED;
        if flow.action() != Action::Worker && !is_refused_later {
            assert_eq!(figures(by_worker), figures(flow), "{:?}", flow.spec());
        }
    }
}

fn is_gate_drop(xdp: &Fate, packet: &Packet) -> bool {
    let port = FIRST_MEDIA_PORT + world::FLOODED;
    *xdp == Fate::Dropped(DropReason::Policed) && packet.destination.port() == port
}

/// One buffer at a time, and what left.
#[derive(Default)]
struct Desk {
    memory: Vec<u8>,
    left: Option<Left>,
}

impl Buffers for Desk {
    type Buffer = ();

    fn memory(&mut self, (): &()) -> &mut [u8] {
        &mut self.memory
    }

    fn memories<'a, 'b>(&'a mut self, _: impl Iterator<Item = &'b mut ()>) -> ArrayVec<&'a mut [u8], LEG_BATCH> {
        panic!("nothing is SRTP")
    }

    fn originate(&mut self) -> Option<()> {
        panic!("there is one party to send to")
    }

    fn record(&mut self, _: Instant, _: u32, _: &Came, (): &(), _: Range<usize>) -> bool {
        panic!("nothing is recorded")
    }

    fn send(&mut self, _: u32, to: Endpoint, traffic_class: u8, (): (), payload: Range<usize>) {
        self.left = Some(Left { to: to.into(), traffic_class, payload: self.memory[payload].to_vec() });
    }

    fn release(&mut self, (): ()) {}
}

/// Rules of a leg, payload types that change, and what makes a flow do the same.
struct Case {
    rules: LegRules,
    changes: &'static [(u8, u8)],
    flags: u8,
    payloads: Vec<PayloadRule>,
}

fn cases() -> Vec<Case> {
    let rule = PayloadRule::new;
    let media = |media| LegRules { media, ..LegRules::default() };
    let pass = PayloadFate::Pass;
    vec![
        Case { rules: LegRules::default(), changes: &[], flags: 0, payloads: Vec::new() },
        Case {
            rules: LegRules::default(),
            changes: &[(96, 111), (101, 96), (0, 8)],
            flags: FLAG_RULED,
            payloads: vec![rule(96, 111, pass), rule(101, 96, pass), rule(0, 8, pass)],
        },
        Case {
            rules: media(MediaRule::Block),
            changes: &[],
            flags: FLAG_RULED | FLAG_BLOCKS_OTHERS,
            payloads: Vec::new(),
        },
        Case {
            rules: LegRules { block_dtmf: true, ..LegRules::default() },
            changes: &[],
            flags: FLAG_RULED,
            payloads: vec![rule(101, 101, PayloadFate::Block)],
        },
    ]
}

const SOCKETS: [u32; 2] = [10, 11];

fn leg(case: &Case, v6: bool, towards: bool, dscp: Option<u8>) -> LegSetup {
    let format = |payload_type, codec| Format { payload_type, codec, clock_hz: 8000 };
    let at = usize::from(towards);
    LegSetup {
        session: 1,
        id: at as u32,
        rtp: (SOCKETS[at], Some(party(v6, at as u16).into())),
        rtcp: None,
        direction: raceway_abi::Direction::default(),
        learning: Learning::Off,
        source: SourcePolicy::Any,
        receive: Protection::Plain,
        send: Protection::Plain,
        routes: vec![LegRoute { id: 1 - at as u32, leg: 1 - at as u32, payload_types: case.changes.into() }],
        formats: vec![
            format(0, Codec::Pcmu),
            format(8, Codec::Pcma),
            format(13, Codec::ComfortNoise),
            format(18, Codec::G729),
            format(101, Codec::TelephoneEvent),
        ],
        rules: if towards { LegRules { feedback: true, dscp, ..LegRules::default() } } else { case.rules },
        punt: Punts::default(),
        rollovers: Vec::new(),
        bundled: None,
        tap: None,
    }
}

/// What a leg makes of a datagram.
fn by_leg(legs: &mut Media<(), Vec<Policer>>, counters: &Counters, packet: &Packet) -> Fate {
    let before = counters.values();
    let mut desk = Desk { memory: vec![0; HEADROOM], ..Desk::default() };
    desk.memory.extend_from_slice(&packet.payload);
    let came = Came { socket: SOCKETS[0], remote: packet.source.into(), traffic_class: packet.traffic_class };
    let payload = HEADROOM..HEADROOM + packet.payload.len();
    if legs.handle(NOW, &mut desk, came, (), payload).is_some() {
        return Fate::Up;
    }
    legs.flush(NOW, &mut desk);
    let after = counters.values();
    let rose = |reason: &DropReason| {
        let at = Counter::drops(*reason).index() as usize;
        after[at] > before[at]
    };
    desk.left.map_or_else(|| Fate::Dropped(DropReason::ALL.into_iter().find(rose).expect("counted")), Fate::Left)
}

/// A call may move between its legs and a flow at any packet: nobody can tell by what arrives.
#[test]
fn a_leg_and_the_flow_in_its_place_do_the_same() {
    let mut random = Random(seed());
    for case in cases() {
        for (from, to) in [(false, false), (true, true), (false, true), (true, false)] {
            let dscp = random.one_in(2).then_some(46);
            let mut memory = Memory::new();
            world::write_settings(&memory.settings);
            let mut spec = FlowSpec {
                flags: FLAG_MEDIA_ONLY | case.flags,
                dscp: dscp.unwrap_or(KEEP_DSCP),
                policer: NO_POLICER,
                ..world::forward(key(party(from, 0), media(from, 0), 0), media(to, 1), party(to, 1), 0)
            };
            spec.payload_rules[..case.payloads.len()].copy_from_slice(&case.payloads);
            memory.put(&spec, world::FOREVER_NS);
            world::write_flow(&memory.flows[0], &spec.into());
            let counters = Arc::new(Counters::default());
            let mut legs = Media::new(2, 16, Arc::new(Vec::new()), Arc::clone(&counters));
            for (number, v6) in [(0, from), (1, to)] {
                let setup = leg(&case, v6, number == 1, dscp);
                legs.put(NOW, number, Box::new(Leg::new(&setup, Arc::default())));
            }
            let mut seen = 0;
            for _ in 0..PACKETS / 20 {
                let mut packet = Packet::new(party(from, 0), media(from, 0), said(&mut random));
                packet.traffic_class = random.next() as u8;
                let worker = by_leg(&mut legs, &counters, &packet);
                // A leg looks at more than a flow does: what lies about its lengths goes no further there.
                if worker == Fate::Dropped(DropReason::MalformedMedia) {
                    continue;
                }
                let xdp = by_xdp(&memory, &packet);
                if xdp != Fate::Up {
                    assert_eq!(worker, xdp, "{packet:?}");
                    seen += 1;
                }
            }
            assert!(seen > 500, "{seen} packets were XDP's");
        }
    }
}
