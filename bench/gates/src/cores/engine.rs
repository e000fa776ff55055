//! The workers' forwarding machine: datagrams of each kind.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use raceway_abi::{
    Action, CHANNEL_INDICATION, CHANNEL_NONE, Direction, FLAG_LOCAL_DESTINATION, Flow, FlowKey, FlowSpec, KEEP_DSCP,
    NO_POLICER, Policer, mapped,
};
use raceway_engine::{
    Arrival, Counters, Datagram, Forwarder, OwnAddresses, RequestBudget, Table, TableWriter, Verdict, key,
};
use raceway_units::{Endpoint, Instant};

use super::{Operation, Scenario, scenario};
use crate::packets::{binding, channel_data, rtp, send_indication};

/// Octets in front of a datagram, as the workers' buffers have them.
const HEADROOM: usize = 64;
/// Sessions beside the one that is looked at, so that the table is not empty.
const OTHERS: u16 = 500;
const CHANNEL: u16 = 0x4001;
const CHANNEL_TO_OWN: u16 = 0x4002;

const CLIENT: Endpoint = v4([192, 0, 2, 10], 5000);
const LISTENER: Endpoint = v4([198, 51, 100, 1], 3478);
const RELAYED: Endpoint = v4([198, 51, 100, 1], 50_000);
const RELAYED_OF_OTHER: Endpoint = v4([198, 51, 100, 1], 50_002);
const PEER: Endpoint = v4([203, 0, 113, 5], 6000);
const PEER_OF_PERMISSION: Endpoint = v4([203, 0, 113, 6], 6000);
const STRANGER: Endpoint = v4([203, 0, 113, 9], 53);

const fn v4(address: [u8; 4], port: u16) -> Endpoint {
    Endpoint { address: mapped(address), port }
}

pub(super) fn all() -> Vec<Scenario> {
    use Arrival::{Listener, Relayed};
    vec![
        scenario("engine: ChannelData to peer", |_| {
            forwards(Listener, CLIENT, LISTENER, &channel_data(CHANNEL, &rtp()), 4)
        }),
        scenario("engine: peer to ChannelData", |_| forwards(Relayed, PEER, RELAYED, &rtp(), 0)),
        scenario("engine: Send indication to peer", |_| {
            forwards(Listener, CLIENT, LISTENER, &send_indication([203, 0, 113, 6], 6000, &rtp()), 36)
        }),
        scenario("engine: peer to Data indication", |_| forwards(Relayed, PEER_OF_PERMISSION, RELAYED, &rtp(), 0)),
        scenario("engine: ChannelData to another client relayed here", |_| {
            forwards(Listener, CLIENT, LISTENER, &channel_data(CHANNEL_TO_OWN, &rtp()), 4)
        }),
        scenario("engine: Binding request, to control", |_| {
            let mut machine = Machine::new(Listener, CLIENT, LISTENER, &binding());
            Box::new(move || {
                machine.now = machine.now.after(Duration::from_millis(20));
                assert!(matches!(machine.handle(), Verdict::Punt));
            })
        }),
        scenario("engine: stranger to relayed address, dropped", |_| {
            let mut machine = Machine::new(Relayed, STRANGER, RELAYED, &rtp());
            Box::new(move || assert!(matches!(machine.handle(), Verdict::Drop(_))))
        }),
    ]
}

/// RTP in a datagram, the next packet of the stream each time; its header begins at `rtp_at`.
fn forwards(arrival: Arrival, remote: Endpoint, local: Endpoint, payload: &[u8], rtp_at: usize) -> Operation {
    let mut machine = Machine::new(arrival, remote, local, payload);
    let sequence_at = machine.payload.start + rtp_at + 2;
    let mut sequence = 0_u16;
    Box::new(move || {
        sequence = sequence.wrapping_add(1);
        machine.buffer[sequence_at..sequence_at + 2].copy_from_slice(&sequence.to_be_bytes());
        machine.now = machine.now.after(Duration::from_millis(20));
        assert!(matches!(machine.handle(), Verdict::Forward(_)));
    })
}

type Records = Box<[Flow]>;

struct Machine {
    forwarder: Forwarder<Records, Box<[Policer]>>,
    arrival: Arrival,
    remote: Endpoint,
    local: Endpoint,
    buffer: Vec<u8>,
    payload: Range<usize>,
    now: Instant,
}

impl Machine {
    /// A machine with a call, and one datagram.
    fn new(arrival: Arrival, remote: Endpoint, local: Endpoint, payload: &[u8]) -> Self {
        let records: Records = (0..4096).map(|_| Flow::default()).collect();
        let (table, mut writer) = Table::new(records, 7, &[]);
        for flow in flows() {
            put(&mut writer, &flow);
        }
        let own = OwnAddresses::default();
        own.add(LISTENER.address, LISTENER.address).expect("room for one");
        let policers = Arc::new([].into());
        let (requests, counters) = (Arc::new(RequestBudget::new(11)), Arc::new(Counters::default()));
        requests.set_rate(1000);
        let forwarder = Forwarder::new(table, policers, Arc::new(own), requests, counters, 9);
        let mut buffer = vec![0; HEADROOM + payload.len() + 4];
        let range = HEADROOM..HEADROOM + payload.len();
        buffer[range.clone()].copy_from_slice(payload);
        Self { forwarder, arrival, remote, local, buffer, payload: range, now: Instant::from_ns(1_000_000_000) }
    }

    fn handle(&mut self) -> Verdict {
        let Self { arrival, remote, local, .. } = *self;
        let datagram = Datagram { arrival, remote, local, buffer: &mut self.buffer, payload: self.payload.clone() };
        self.forwarder.handle(self.now, datagram)
    }
}

fn put(writer: &mut TableWriter<Records>, flow: &FlowSpec) {
    let slot = writer.fill(flow, Instant::from_ns(u64::MAX / 2), [1, 2]).expect("the table has room");
    writer.link(slot).expect("the table has room");
}

/// An allocation with a channel, a permission and a channel to another client of this relay; and other calls.
fn flows() -> Vec<FlowSpec> {
    let refuse = |relayed| FlowSpec {
        direction: Direction::PeerToClient,
        ..spec(key(relayed, relayed, CHANNEL_NONE).any_remote(), Action::Refuse, relayed, Endpoint::default())
    };
    let to_client = |key: FlowKey, push_channel| FlowSpec {
        push_channel,
        direction: Direction::PeerToClient,
        ..spec(key, Action::Forward, LISTENER, CLIENT)
    };
    let from_client = |channel| key(CLIENT, LISTENER, channel);
    let mut flows = vec![
        spec(from_client(CHANNEL_INDICATION), Action::Worker, RELAYED, Endpoint::default()),
        refuse(RELAYED),
        refuse(RELAYED_OF_OTHER),
        spec(from_client(CHANNEL), Action::Forward, RELAYED, PEER),
        to_client(key(PEER, RELAYED, CHANNEL_NONE), CHANNEL),
        to_client(key(PEER_OF_PERMISSION, RELAYED, CHANNEL_NONE).any_port(), CHANNEL_INDICATION),
        FlowSpec {
            flags: FLAG_LOCAL_DESTINATION,
            ..spec(from_client(CHANNEL_TO_OWN), Action::Forward, RELAYED, RELAYED_OF_OTHER)
        },
    ];
    for number in 0..OTHERS {
        let client = v4([10, 0, (number >> 8) as u8, number as u8], 4000 + number);
        let relayed = v4([198, 51, 100, 1], 51_000 + number);
        flows.push(spec(key(client, LISTENER, CHANNEL), Action::Forward, relayed, PEER));
        flows.push(refuse(relayed));
    }
    flows
}

fn spec(key: FlowKey, action: Action, source: Endpoint, destination: Endpoint) -> FlowSpec {
    FlowSpec {
        key,
        source: source.address,
        source_port: source.port,
        destination: destination.address,
        destination_port: destination.port,
        push_channel: CHANNEL_NONE,
        action,
        direction: Direction::ClientToPeer,
        dscp: KEEP_DSCP,
        policer: NO_POLICER,
        ..FlowSpec::default()
    }
}
