//! What XDP does, in user space: whole frames, and its parts.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use raceway_abi::{
    Action, AtomicU64, CHANNEL_NONE, Direction, FLAG_LOCAL_DESTINATION, Flow, FlowKey, FlowSpec, KEEP_DSCP, Measured,
    NO_POLICER, Policer, Settings,
};
use raceway_datapath::{Address, Counters, Frame, Key, Route, RouteQuery, Tables, Verdict, measure, police, relay};
use raceway_units::Endpoint;

use super::support::Packet;
use super::{Operation, Scenario, scenario};
use crate::packets::{channel_data, rtp};

/// Room before a frame, as drivers leave it.
const HEADROOM: usize = 256;
const CHANNEL: u16 = 0x4001;
const CHANNEL_TO_OWN: u16 = 0x4002;
const NOW_NS: u64 = 1_000_000_000_000;
const FOREVER_NS: u64 = u64::MAX / 2;
const PACKET_NS: u64 = 20_000_000;

const CLIENT: &str = "192.0.2.10:5000";
const LISTENER: &str = "198.51.100.1:3478";
const RELAYED: &str = "198.51.100.1:50000";
const RELAYED_OF_OTHER: &str = "198.51.100.1:50002";
const PEER: &str = "203.0.113.5:6000";
const RELAYED_V6: &str = "[2001:db8::1]:50000";
const PEER_V6: &str = "[2001:db8:2::5]:6000";

pub(super) fn all() -> Vec<Scenario> {
    vec![
        scenario("datapath: ChannelData to peer", |_| {
            let flow = forward((CLIENT, LISTENER, CHANNEL), RELAYED, PEER, CHANNEL_NONE);
            sends(vec![flow], frame(CLIENT, LISTENER, &channel_data(CHANNEL, &rtp())))
        }),
        scenario("datapath: peer to ChannelData", |_| {
            let flow = forward((PEER, RELAYED, CHANNEL_NONE), LISTENER, CLIENT, CHANNEL);
            sends(vec![flow], frame(PEER, RELAYED, &rtp()))
        }),
        scenario("datapath: ChannelData over IPv4 to peer over IPv6", |_| {
            let flow = forward((CLIENT, LISTENER, CHANNEL), RELAYED_V6, PEER_V6, CHANNEL_NONE);
            sends(vec![flow], frame(CLIENT, LISTENER, &channel_data(CHANNEL, &rtp())))
        }),
        scenario("datapath: peer over IPv6 to ChannelData over IPv4", |_| {
            let flow = forward((PEER_V6, RELAYED_V6, CHANNEL_NONE), LISTENER, CLIENT, CHANNEL);
            sends(vec![flow], frame(PEER_V6, RELAYED_V6, &rtp()))
        }),
        scenario("datapath: ChannelData to another client relayed here", |_| {
            let out = forward((CLIENT, LISTENER, CHANNEL_TO_OWN), RELAYED, RELAYED_OF_OTHER, CHANNEL_NONE);
            let out = FlowSpec { flags: FLAG_LOCAL_DESTINATION, ..out };
            let back = forward((RELAYED, RELAYED_OF_OTHER, CHANNEL_NONE), LISTENER, PEER, CHANNEL);
            sends(vec![out, back], frame(CLIENT, LISTENER, &channel_data(CHANNEL_TO_OWN, &rtp())))
        }),
        scenario("datapath: a frame of others, passed up", |_| {
            let mut world = World::new(Vec::new(), frame(PEER, CLIENT, &rtp()));
            Box::new(move || assert_eq!(world.relay(), Verdict::Up))
        }),
        scenario("datapath: measure RTP", |_| measures()),
        scenario("datapath: police", |_| polices()),
    ]
}

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("a literal")
}

fn frame(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    Packet::new(socket(source), socket(destination), payload).frame()
}

fn forward(matches: (&str, &str, u16), source: &str, destination: &str, push_channel: u16) -> FlowSpec {
    let end = |text| Endpoint::from(socket(text));
    let (remote, local, channel) = (end(matches.0), end(matches.1), matches.2);
    let (source, destination) = (end(source), end(destination));
    let key = FlowKey {
        remote: remote.address,
        remote_port: remote.port,
        local: local.address,
        local_port: local.port,
        channel,
        reserved: 0,
    };
    FlowSpec {
        key,
        source: source.address,
        source_port: source.port,
        destination: destination.address,
        destination_port: destination.port,
        push_channel,
        action: Action::Forward,
        direction: if channel == CHANNEL_NONE { Direction::PeerToClient } else { Direction::ClientToPeer },
        dscp: KEEP_DSCP,
        policer: NO_POLICER,
        ..FlowSpec::default()
    }
}

fn sends(flows: Vec<FlowSpec>, frame: Vec<u8>) -> Operation {
    let mut world = World::new(flows, frame);
    Box::new(move || assert!(matches!(world.relay(), Verdict::Send(_))))
}

fn measures() -> Operation {
    let measured = Measured::default();
    let (mut packet, mut now_ns, mut sequence) = (rtp(), NOW_NS, 0_u16);
    Box::new(move || {
        sequence = sequence.wrapping_add(1);
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        now_ns += PACKET_NS;
        measure::relayed(black_box(&measured), black_box(&packet), now_ns);
    })
}

fn polices() -> Operation {
    let (policer, mut now_ns) = (Policer::default(), NOW_NS);
    policer.ns_per_octet_q20.store(police::ns_per_octet_q20(100_000), Relaxed);
    policer.burst_ns.store(1_000_000_000, Relaxed);
    Box::new(move || {
        now_ns += PACKET_NS;
        assert!(police::conforms(black_box(&policer), black_box(172), now_ns));
    })
}

/// A few flows whose routes are known, and a frame that comes again and again.
struct World {
    flows: Vec<(Key, Flow)>,
    settings: Settings,
    counters: Counters,
    frame: Vec<u8>,
    buffer: Vec<u8>,
}

impl World {
    fn new(flows: Vec<FlowSpec>, frame: Vec<u8>) -> Self {
        let settings = Settings::default();
        settings.relay_port_first.store(50_000, Relaxed);
        settings.relay_port_last.store(50_999, Relaxed);
        settings.listen_ports[0].store(3478, Relaxed);
        let buffer = vec![0; HEADROOM + frame.len()];
        let flows = flows.iter().map(published).collect();
        Self { flows, settings, counters: Default::default(), frame, buffer }
    }

    fn relay(&mut self) -> Verdict {
        let end = self.buffer.len();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer[HEADROOM..].copy_from_slice(&self.frame);
        let mut packet = Frame::new(&mut buffer, HEADROOM, end).expect("the frame lies in the buffer");
        let verdict = black_box(relay(black_box(&mut packet), self));
        self.buffer = buffer;
        verdict
    }
}

fn published(spec: &FlowSpec) -> (Key, Flow) {
    let flow = Flow::default();
    flow.publish(spec, FOREVER_NS);
    flow.next_hop.until_ns.store(FOREVER_NS, Relaxed);
    flow.next_hop.ifindex.store(1, Relaxed);
    flow.next_hop.source_mac_mtu.store(1500 << 48, Relaxed);
    let FlowKey { remote, local, remote_port, local_port, channel, .. } = spec.key;
    let key = Key::new(Address::from_octets(remote), Address::from_octets(local), remote_port, local_port, channel);
    (key, flow)
}

impl Tables for World {
    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }

    /// By comparison: a real lookup is the map's, which is not counted here.
    fn flow(&self, key: &Key) -> Option<&Flow> {
        self.flows.iter().find(|(known, _)| known == key).map(|(_, flow)| flow)
    }

    fn policer(&self, _: u32) -> Option<&Policer> {
        None
    }

    fn budget(&self, _: u32) -> Option<&AtomicU64> {
        None
    }

    fn counters(&self) -> Option<&Counters> {
        Some(&self.counters)
    }

    fn now_ns(&self) -> u64 {
        NOW_NS
    }

    fn add(&self, word: &AtomicU64, amount: u64) {
        word.fetch_add(amount, Relaxed);
    }

    fn route(&self, _: &RouteQuery) -> Option<Route> {
        None
    }
}
