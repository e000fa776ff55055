//! The machine over plain memory: datagrams in, verdicts out.

mod forwarding;
mod hostile;
mod indications;
mod requests;
mod table;

use core::sync::atomic::Ordering::Relaxed;
use std::collections::HashMap;
use std::sync::Arc;

use raceway_abi::{
    Action, CHANNEL_INDICATION, CHANNEL_NONE, Counter, Direction, DropReason, FLAG_LOCAL_DESTINATION, FLAG_MEDIA_ONLY,
    Flow, FlowKey, FlowSpec, KEEP_DSCP, NO_POLICER, Policer,
};
use raceway_units::{Endpoint, Instant};

use crate::{
    Arrival, Counters, Datagram, Forwarder, OwnAddresses, Quiescence, RequestBudget, Table, TableWriter, Verdict, key,
};

type Records = Box<[Flow]>;
type Policers = Box<[Policer]>;

/// Where payloads start in test buffers.
const HEADROOM: usize = 64;
pub(crate) const NOW: Instant = Instant::from_ns(1_000_000_000);
const LATER: Instant = Instant::from_ns(2_000_000_000);

const CLIENT: Endpoint = v4([10, 0, 0, 9], 4000);
const LISTENER: Endpoint = v4([10, 0, 0, 1], 3478);
const RELAYED: Endpoint = v4([10, 0, 0, 2], 50_000);
const PEER: Endpoint = v4([192, 0, 2, 7], 6000);
const CHANNEL: u16 = 0x4001;

/// Egress names.
const FROM_LISTENER: u32 = 1;
const FROM_RELAYED: u32 = 2;
const FROM_RELAYED_V6: u32 = 3;

pub(crate) const fn v4([a, b, c, d]: [u8; 4], port: u16) -> Endpoint {
    Endpoint { address: raceway_abi::mapped([a, b, c, d]), port }
}

fn v6(last: u8, port: u16) -> Endpoint {
    let mut address = [0; 16];
    (address[0], address[1], address[15]) = (0x20, 0x01, last);
    Endpoint { address, port }
}

fn records(slots: usize) -> Records {
    (0..slots).map(|_| Flow::default()).collect()
}

/// A table and a machine over it.
struct World {
    table: Arc<Table<Records>>,
    writer: TableWriter<Records>,
    quiescence: Quiescence,
    policers: Arc<Policers>,
    own: Arc<OwnAddresses>,
    requests: Arc<RequestBudget>,
    counters: Arc<Counters>,
    forwarder: Forwarder<Records, Policers>,
    slots: HashMap<FlowKey, u32>,
}

impl World {
    fn new() -> Self {
        let (table, writer) = Table::new(records(64), 7, &[]);
        let policers: Arc<Policers> = Arc::new((0..4).map(|_| Policer::default()).collect());
        let own = Arc::new(OwnAddresses::default());
        let counters = Arc::new(Counters::default());
        let requests = Arc::new(RequestBudget::new(11));
        let forwarder = Forwarder::new(
            Arc::clone(&table),
            Arc::clone(&policers),
            Arc::clone(&own),
            Arc::clone(&requests),
            Arc::clone(&counters),
            9,
        );
        let quiescence = Quiescence::new(1);
        Self { table, writer, quiescence, policers, own, requests, counters, forwarder, slots: HashMap::new() }
    }

    /// The allocation of [`CLIENT`] with a permission for [`PEER`] and a channel to it; all live until [`LATER`].
    fn with_call() -> Self {
        let mut world = Self::new();
        world.own.add(LISTENER.address, LISTENER.address).unwrap();
        world.own.add(RELAYED.address, RELAYED.address).unwrap();
        world.put(unwrap(CLIENT, RELAYED, None), [FROM_RELAYED, FROM_RELAYED_V6]);
        world.put(refuse(RELAYED, RELAYED), [0, 0]);
        world.put(permission(PEER, RELAYED), [FROM_LISTENER, 0]);
        world.put(channel_out(CLIENT, RELAYED, PEER), [FROM_RELAYED, 0]);
        world.put(channel_in(PEER, RELAYED), [FROM_LISTENER, 0]);
        world
    }

    fn put(&mut self, spec: FlowSpec, egress: [u32; 2]) -> &Flow {
        let slot = self.writer.fill(&spec, LATER, egress).unwrap();
        self.writer.link(slot).unwrap();
        self.slots.insert(spec.key, slot);
        &self.table.records()[slot as usize]
    }

    fn flow(&self, key: &FlowKey) -> &Flow {
        &self.table.records()[self.slots[key] as usize]
    }

    fn expire(&self, key: &FlowKey) {
        self.flow(key).expires_at_ns.store(NOW.as_ns(), Relaxed);
    }

    fn take(&mut self, arrival: Arrival, remote: Endpoint, local: Endpoint, payload: &[u8]) -> (Verdict, Vec<u8>) {
        let mut buffer = vec![0xaa; HEADROOM + payload.len() + 4];
        let end = HEADROOM + payload.len();
        buffer[HEADROOM..end].copy_from_slice(payload);
        let datagram = Datagram { arrival, local, remote, buffer: &mut buffer, payload: HEADROOM..end };
        let verdict = self.forwarder.handle(NOW, datagram);
        let sent = match &verdict {
            Verdict::Forward(forward) => buffer[forward.payload.clone()].to_vec(),
            Verdict::Punt | Verdict::Leg | Verdict::Drop(_) => Vec::new(),
        };
        (verdict, sent)
    }

    fn client_sends(&mut self, payload: &[u8]) -> (Verdict, Vec<u8>) {
        self.take(Arrival::Listener, CLIENT, LISTENER, payload)
    }

    fn peer_sends(&mut self, peer: Endpoint, payload: &[u8]) -> (Verdict, Vec<u8>) {
        self.take(Arrival::Relayed, peer, RELAYED, payload)
    }

    /// How often something was dropped for this reason.
    fn drops(&self, reason: DropReason) -> u64 {
        self.counters.values()[Counter::drops(reason).index() as usize]
    }

    fn relayed(&self, direction: Direction) -> (u64, u64) {
        let values = self.counters.values();
        let of = |counter: Counter| values[counter.index() as usize];
        (of(Counter::packets(direction)), of(Counter::octets(direction)))
    }
}

fn spec(key: FlowKey, action: Action, source: Endpoint, destination: Endpoint) -> FlowSpec {
    FlowSpec {
        session: 1,
        id: 1,
        key,
        source: source.address,
        source_port: source.port,
        destination: destination.address,
        destination_port: destination.port,
        push_channel: CHANNEL_NONE,
        action,
        direction: Direction::ClientToPeer,
        dscp: KEEP_DSCP,
        flags: 0,
        payload_rules: [raceway_abi::PayloadRule::UNUSED; raceway_abi::PAYLOAD_RULES],
        policer: NO_POLICER,
    }
}

fn unwrap(client: Endpoint, relayed_v4: Endpoint, relayed_v6: Option<Endpoint>) -> FlowSpec {
    let key = key(client, LISTENER, CHANNEL_INDICATION);
    spec(key, Action::Worker, relayed_v4, relayed_v6.unwrap_or_default())
}

fn refuse(relayed: Endpoint, external: Endpoint) -> FlowSpec {
    let key = key(relayed, relayed, CHANNEL_NONE).any_remote();
    FlowSpec { direction: Direction::PeerToClient, ..spec(key, Action::Refuse, external, Endpoint::default()) }
}

fn permission(peer: Endpoint, relayed: Endpoint) -> FlowSpec {
    FlowSpec {
        push_channel: CHANNEL_INDICATION,
        direction: Direction::PeerToClient,
        ..spec(key(peer, relayed, CHANNEL_NONE).any_port(), Action::Worker, LISTENER, CLIENT)
    }
}

fn channel_out(client: Endpoint, relayed: Endpoint, peer: Endpoint) -> FlowSpec {
    spec(key(client, LISTENER, CHANNEL), Action::Forward, relayed, peer)
}

fn channel_in(peer: Endpoint, relayed: Endpoint) -> FlowSpec {
    FlowSpec {
        push_channel: CHANNEL,
        direction: Direction::PeerToClient,
        ..spec(key(peer, relayed, CHANNEL_NONE), Action::Forward, LISTENER, CLIENT)
    }
}

fn to_own(spec: FlowSpec) -> FlowSpec {
    FlowSpec { flags: FLAG_LOCAL_DESTINATION, ..spec }
}

/// ChannelData with [`CHANNEL`].
fn channel_data(data: &[u8]) -> Vec<u8> {
    let mut out = CHANNEL.to_be_bytes().to_vec();
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    out.extend_from_slice(data);
    out
}
