//! Random clients against a simple model of RFC 8656: what each request must be answered with, and which flows the
//! relay must hold afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use raceway_api::{Flow, FlowAction, Framing, OperationError, Remote};

use crate::wire::*;
use crate::world::*;

const PERMISSION_S: u64 = 300;
const CHANNEL_S: u64 = 600;

/// What a client or the world does.
#[derive(Clone, Debug)]
enum Step {
    Allocate {
        client: usize,
        source: Source,
        lifetime: Option<u32>,
        protocol: u8,
    },
    Retransmit {
        client: usize,
    },
    Refresh {
        client: usize,
        lifetime: Option<u32>,
        family: Option<u8>,
    },
    Permit {
        client: usize,
        peers: Vec<usize>,
    },
    Bind {
        client: usize,
        channel: u16,
        peer: usize,
    },
    /// A refresh with lifetime 0 by another user of the same 5-tuple.
    Impostor {
        client: usize,
    },
    Pass {
        seconds: u64,
    },
    /// The relay has no room for another flow while the next request is carried out.
    Full,
    /// Another process has the next ports.
    PortsInUse {
        count: usize,
    },
    RestartControl,
    RestartRelay,
    /// The relay forgets a session.
    Lose {
        client: usize,
    },
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Default,
    Family(u8),
    Dual,
    Even,
    EvenAndNext,
    /// The last token that anyone was given.
    Token,
}

/// With few ports, exhaustion and reservations are exact; with many, restarts and failures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    Few,
    Many,
}

const FIRST_PORT: u16 = 50000;
const CLIENTS: usize = 4;
/// Allocations and reservations of one user.
const QUOTA: usize = 3;
/// Flows of one user.
const FLOWS: usize = 14;

/// Peers: two ports of one address, others, one that is denied, and IPv6.
fn peer(at: usize) -> SocketAddr {
    let list = ["203.0.113.7:5000", "203.0.113.7:5001", "8.8.8.8:53", "10.0.0.1:9", "[2001:db8:1::7]:5000", "[::1]:9"];
    list[at].parse().unwrap()
}

const PEERS: usize = 6;

fn is_denied(peer: SocketAddr) -> bool {
    ["10.0.0.1", "::1"].contains(&peer.ip().to_string().as_str())
}

fn number_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 1 } else { 2 }
}

#[derive(Clone, Debug, Default)]
struct Allocation {
    /// End by family number.
    ends: BTreeMap<u8, u64>,
    /// Every port it holds, also of a family that was deleted.
    ports: BTreeSet<(u8, u16)>,
    permissions: BTreeMap<IpAddr, u64>,
    channels: BTreeMap<u16, (SocketAddr, u64)>,
    request: Vec<u8>,
    response: Vec<u8>,
    /// The one that it was made with.
    reservation: Option<Reservation>,
    /// The relay has forgotten it.
    lost: bool,
}

/// A port that is held.
#[derive(Clone, Debug)]
struct Reservation {
    token: Vec<u8>,
    port: u16,
    end: u64,
    /// Whose quota it counts against.
    user: &'static str,
}

#[derive(Debug)]
struct Model {
    ports: Ports,
    now: u64,
    allocations: BTreeMap<usize, Allocation>,
    reservations: Vec<Reservation>,
    last_token: Vec<u8>,
    full: bool,
}

impl Model {
    fn expire(&mut self) {
        let now = self.now;
        for allocation in self.allocations.values_mut() {
            let families = allocation.ends.len();
            allocation.ends.retain(|_, end| *end > now);
            if allocation.ends.len() < families {
                // What is left is said to the relay, which then says that it knows nothing of it, and is told all.
                allocation.lost = false;
            }
            let ends = allocation.ends.clone();
            let lives = |ip: &IpAddr| ends.contains_key(&number_of(*ip));
            allocation.permissions.retain(|ip, end| *end > now && lives(ip));
            allocation.channels.retain(|_, (peer, end)| *end > now && lives(&peer.ip()));
        }
        self.allocations.retain(|_, allocation| !allocation.ends.is_empty());
        self.reservations.retain(|held| held.end > now);
    }

    fn taken(&self) -> BTreeSet<(u8, u16)> {
        let held = self.reservations.iter().map(|held| (1, held.port));
        self.allocations.values().flat_map(|allocation| allocation.ports.iter().copied()).chain(held).collect()
    }

    fn range(&self) -> std::ops::RangeInclusive<u16> {
        match self.ports {
            Ports::Few => FIRST_PORT..=FIRST_PORT + 4,
            Ports::Many => FIRST_PORT..=FIRST_PORT + 4999,
        }
    }

    /// Whether a port of this family is left that fits.
    fn has_port(&self, family: u8, source: Source) -> bool {
        let taken = self.taken();
        let is_free = |port: u16| self.range().contains(&port) && !taken.contains(&(family, port));
        self.range().any(|port| match source {
            Source::Even => port % 2 == 0 && is_free(port),
            Source::EvenAndNext => port % 2 == 0 && is_free(port) && is_free(port + 1),
            Source::Default | Source::Family(_) | Source::Dual | Source::Token => is_free(port),
        })
    }

    /// RFC 8656 section 7.2.
    fn allocate(&self, client: usize, source: Source, protocol: u8) -> u16 {
        if self.allocations.contains_key(&client) {
            return 437;
        }
        if protocol != 17 {
            return 442;
        }
        if let Source::Family(other) = source
            && ![1, 2].contains(&other)
        {
            return 440;
        }
        let allocations = self.allocations.keys().filter(|other| user(**other) == user(client)).count();
        let own = self.reservations.iter().filter(|held| held.user == user(client).0);
        let reserved = own.clone().count();
        let more = match source {
            Source::EvenAndNext => 2,
            Source::Token => usize::from(!own.clone().any(|held| held.token == self.last_token)),
            Source::Default | Source::Family(_) | Source::Dual | Source::Even => 1,
        };
        let flows = if matches!(source, Source::Dual) { 3 } else { 2 };
        if allocations + reserved + more > QUOTA || flows > self.flows_left(client) {
            return 486;
        }
        let has_room = match source {
            Source::Default | Source::Even | Source::EvenAndNext => self.has_port(1, source),
            Source::Family(family) => self.has_port(family, source),
            Source::Dual => self.has_port(1, source) || self.has_port(2, source),
            Source::Token => self.reservations.iter().any(|held| held.token == self.last_token),
        };
        if has_room { 0 } else { 508 }
    }

    /// What a client's user may have beyond what there is.
    fn flows_left(&self, client: usize) -> usize {
        let of_user = self.allocations.iter().filter(|(other, _)| user(**other) == user(client));
        FLOWS - of_user.map(|(_, a)| 1 + a.ends.len() + a.permissions.len() + 2 * a.channels.len()).sum::<usize>()
    }

    /// RFC 8656 sections 10.2 and 12.2: family and policy, peer by peer.
    fn check_peers(&self, client: usize, peers: &[SocketAddr]) -> u16 {
        let Some(allocation) = self.allocations.get(&client) else { return 437 };
        for peer in peers {
            if !allocation.ends.contains_key(&number_of(peer.ip())) {
                return 443;
            }
            if is_denied(*peer) {
                return 403;
            }
        }
        0
    }
}

const fn user(client: usize) -> (&'static str, &'static str) {
    if client < 3 { ("alice", "wonderland") } else { ("bob", "builder") }
}

/// Server, model, clients.
struct Run {
    world: World,
    model: Model,
    clients: Vec<Client>,
}

impl Run {
    fn new(ports: Ports) -> Self {
        let model = Model {
            ports,
            now: 0,
            allocations: BTreeMap::new(),
            reservations: Vec::new(),
            last_token: vec![0; 8],
            full: false,
        };
        let world = World::with(|policy| {
            (policy.ports.first, policy.ports.last) = (*model.range().start(), *model.range().end());
            policy.quota_per_user = QUOTA as u32;
            policy.flows_per_user = FLOWS as u32;
            policy.nonce_lifetime = std::time::Duration::from_secs(500);
        });
        let client = |at: usize| Client {
            proof: [Proof::Old, Proof::Sha256, Proof::Md5Chosen, Proof::Old][at],
            ..Client::new(&format!("192.0.2.{at}:4000"), user(at).0, user(at).1)
        };
        let mut run = Self { world, model, clients: (0..CLIENTS).map(client).collect() };
        run.model.now = run.now_s();
        run
    }

    fn now_s(&self) -> u64 {
        self.world.now.as_ns() / 1_000_000_000
    }

    fn step(&mut self, step: &Step) {
        if !matches!(step, Step::Allocate { .. }) {
            self.world.relay.failing.clear();
        }
        if matches!(step, Step::Pass { .. } | Step::RestartControl | Step::RestartRelay | Step::Lose { .. }) {
            self.make_room();
        }
        match step {
            Step::Allocate { client, source, lifetime, protocol } => {
                self.allocate(*client, *source, *lifetime, *protocol);
            }
            Step::Retransmit { client } => self.retransmit(*client),
            Step::Refresh { client, lifetime, family } => self.refresh(*client, *lifetime, *family),
            Step::Permit { client, peers } => self.permit(*client, peers),
            Step::Bind { client, channel, peer } => self.bind(*client, *channel, *peer),
            Step::Impostor { client } => self.impostor(*client),
            Step::Pass { seconds } => self.pass(*seconds),
            Step::Full => return self.fill(),
            Step::PortsInUse { count } => {
                if self.model.ports == Ports::Many {
                    self.world.relay.failing = vec![OperationError::AddressInUse; *count];
                }
                return;
            }
            Step::RestartControl => self.restart_control(),
            Step::RestartRelay => self.restart_relay(),
            Step::Lose { client } => self.lose(*client),
        }
        self.world.relay.failing.clear();
        self.make_room();
        self.compare();
    }

    const fn make_room(&mut self) {
        self.world.relay.flows_max = None;
        self.model.full = false;
    }

    fn fill(&mut self) {
        // What has ended leaves no room behind.
        assert!(self.world.relay.reap(self.world.now.as_ns()).is_empty());
        let count = self.world.relay.sessions.values().map(|session| session.flows.len()).sum();
        self.world.relay.flows_max = Some(count);
        self.model.full = true;
    }

    fn allocate(&mut self, client: usize, source: Source, lifetime: Option<u32>, protocol: u8) {
        let mut expected = self.model.allocate(client, source, protocol);
        let attempts = if matches!(source, Source::Token) { 1 } else { 4 };
        let cannot_open = self.model.full || self.world.relay.failing.len() >= attempts;
        if expected == 0 && cannot_open {
            expected = 508;
        }
        let mut attributes = vec![(REQUESTED_TRANSPORT, vec![protocol, 0, 0, 0])];
        attributes.extend(match source {
            Source::Default => vec![],
            Source::Family(number) => vec![family(REQUESTED_ADDRESS_FAMILY, number)],
            Source::Dual => vec![family(ADDITIONAL_ADDRESS_FAMILY, 2)],
            Source::Even => vec![(EVEN_PORT, vec![0])],
            Source::EvenAndNext => vec![(EVEN_PORT, vec![0x80])],
            Source::Token => vec![(RESERVATION_TOKEN, self.model.last_token.clone())],
        });
        attributes.extend(lifetime.map(|seconds| number(LIFETIME, seconds)));
        let transaction = self.clients[client].transaction();
        let response = self.clients[client].call_as(&mut self.world, ALLOCATE, transaction, &attributes);
        assert_eq!(response.error(), expected, "{source:?}");
        if matches!(source, Source::Token) && expected == 508 && cannot_open {
            // The token may have been good, and is used up.
            let token = self.model.last_token.clone();
            self.model.reservations.retain(|held| held.token != token);
        }
        if expected != 0 {
            return;
        }
        let request = self.clients[client].signed(ALLOCATE, transaction, &attributes);
        self.allocated(client, source, lifetime, request, &response);
    }

    fn allocated(&mut self, client: usize, source: Source, wished: Option<u32>, request: Vec<u8>, response: &Response) {
        let lifetime = wished.unwrap_or(0).clamp(600, 3600);
        assert_eq!(response.lifetime(), Some(lifetime));
        let relayed = response.relayed();
        let families: Vec<u8> = relayed.iter().map(|relayed| number_of(relayed.ip())).collect();
        let wanted: Vec<u8> = match source {
            Source::Default | Source::Even | Source::EvenAndNext | Source::Token => vec![1],
            Source::Family(family) => vec![family],
            Source::Dual => [1, 2].into_iter().filter(|family| self.model.has_port(*family, source)).collect(),
        };
        assert_eq!(families, wanted);
        let incomplete = matches!(source, Source::Dual) && wanted.len() == 1;
        assert_eq!(response.get(ADDRESS_ERROR_CODE).is_some(), incomplete);
        let taken = self.model.taken();
        for address in &relayed {
            assert!(self.model.range().contains(&address.port()));
            let is_token = matches!(source, Source::Token);
            assert_eq!(taken.contains(&(number_of(address.ip()), address.port())), is_token, "a port of its own");
        }
        if matches!(source, Source::Even | Source::EvenAndNext) {
            assert_eq!(relayed[0].port() % 2, 0);
        }
        let mut reservation = None;
        match (source, response.get(RESERVATION_TOKEN)) {
            (Source::EvenAndNext, Some(token)) => {
                self.model.last_token = token.to_vec();
                let (port, end) = (relayed[0].port() + 1, self.model.now + 30);
                let held = Reservation { token: token.to_vec(), port, end, user: user(client).0 };
                reservation = Some(held.clone());
                self.model.reservations.push(held);
            }
            (Source::Token, None) => {
                let token = self.model.last_token.clone();
                let at = self.model.reservations.iter().position(|held| held.token == token).unwrap();
                assert_eq!(self.model.reservations.remove(at).port, relayed[0].port());
            }
            (_, token) => assert_eq!(token, None),
        }
        let end = self.model.now + u64::from(lifetime);
        let allocation = Allocation {
            ends: families.iter().map(|family| (*family, end)).collect(),
            ports: relayed.iter().map(|relayed| (number_of(relayed.ip()), relayed.port())).collect(),
            request,
            response: response.octets.clone(),
            reservation,
            ..Allocation::default()
        };
        self.model.allocations.insert(client, allocation);
    }

    fn retransmit(&mut self, client: usize) {
        let Some(allocation) = self.model.allocations.get_mut(&client) else { return };
        let response = self.world.ask(self.clients[client].address, &allocation.request);
        if response.error() == 438 {
            return;
        }
        if self.model.full && allocation.lost {
            // What was lost cannot be said again without room: the session ends.
            assert_eq!(response.error(), 508);
            self.model.allocations.remove(&client);
        } else {
            let is_whole = allocation.ends.len() == Response::parse(&allocation.response).relayed().len();
            assert!(response.octets == allocation.response || !is_whole, "the same again, unless a half is gone");
            allocation.lost = false;
        }
    }

    fn refresh(&mut self, client: usize, lifetime: Option<u32>, only: Option<u8>) {
        let only = only.filter(|_| self.model.ports == Ports::Many);
        let mut attributes: Vec<Attribute> = lifetime.into_iter().map(|seconds| number(LIFETIME, seconds)).collect();
        attributes.extend(only.map(|number| family(REQUESTED_ADDRESS_FAMILY, number)));
        let response = self.clients[client].call(&mut self.world, REFRESH, &attributes);
        let Some(allocation) = self.model.allocations.get_mut(&client) else {
            return assert_eq!(response.error(), 437);
        };
        let families: Vec<u8> =
            allocation.ends.keys().copied().filter(|family| only.is_none_or(|only| only == *family)).collect();
        if families.is_empty() {
            return assert_eq!(response.error(), 443);
        }
        let deletes_all = lifetime == Some(0) && families.len() == allocation.ends.len();
        if self.model.full && allocation.lost && !deletes_all {
            assert_eq!(response.error(), 508);
            self.model.allocations.remove(&client);
            return;
        }
        let granted = if lifetime == Some(0) { 0 } else { lifetime.unwrap_or(0).clamp(600, 3600) };
        assert_eq!((response.error(), response.lifetime()), (0, Some(granted)));
        allocation.lost = false;
        for family in families {
            allocation.ends.insert(family, self.model.now + u64::from(granted));
        }
        self.model.expire();
    }

    fn permit(&mut self, client: usize, peers: &[usize]) {
        let peers: Vec<SocketAddr> = peers.iter().map(|at| peer(*at)).collect();
        let response = self.clients[client].permit(&mut self.world, &peers);
        let mut expected = self.model.check_peers(client, &peers);
        if expected == 0 && peers.is_empty() {
            expected = 400;
        }
        if expected != 0 {
            return assert_eq!(response.error(), expected);
        }
        let (full, left) = (self.model.full, self.model.flows_left(client));
        let end = self.model.now + PERMISSION_S;
        let allocation = self.model.allocations.get_mut(&client).unwrap();
        let wanted: BTreeSet<IpAddr> = peers.iter().map(SocketAddr::ip).collect();
        if wanted.iter().filter(|ip| !allocation.permissions.contains_key(ip)).count() > left {
            return assert_eq!(response.error(), 508);
        }
        let is_new = |allocation: &Allocation| peers.iter().any(|p| !allocation.permissions.contains_key(&p.ip()));
        if full && allocation.lost {
            assert_eq!(response.error(), 508);
            self.model.allocations.remove(&client);
            return;
        }
        if full && is_new(allocation) {
            for peer in &peers {
                allocation.permissions.entry(peer.ip()).and_modify(|old| *old = end);
            }
            return assert_eq!(response.error(), 508);
        }
        allocation.lost = false;
        allocation.permissions.extend(peers.iter().map(|peer| (peer.ip(), end)));
        assert_eq!(response.error(), 0);
    }

    fn bind(&mut self, client: usize, channel: u16, at: usize) {
        let peer = peer(at);
        let response = self.clients[client].bind(&mut self.world, channel, peer);
        if !self.model.allocations.contains_key(&client) {
            return assert_eq!(response.error(), 437);
        }
        if !(0x4000..=0x7fff).contains(&channel) {
            return assert_eq!(response.error(), 400);
        }
        let expected = self.model.check_peers(client, &[peer]);
        if expected != 0 {
            return assert_eq!(response.error(), expected);
        }
        let (full, now, left) = (self.model.full, self.model.now, self.model.flows_left(client));
        let allocation = self.model.allocations.get_mut(&client).unwrap();
        let contradicts = |(number, (other, _)): (&u16, &(SocketAddr, u64))| (*number == channel) != (*other == peer);
        if allocation.channels.iter().any(contradicts) {
            return assert_eq!(response.error(), 400);
        }
        let is_bound = allocation.channels.contains_key(&channel);
        let is_permitted = allocation.permissions.contains_key(&peer.ip());
        if 2 * usize::from(!is_bound) + usize::from(!is_permitted) > left {
            return assert_eq!(response.error(), 508);
        }
        if full && allocation.lost {
            assert_eq!(response.error(), 508);
            self.model.allocations.remove(&client);
            return;
        }
        if full && (!is_bound || !is_permitted) {
            allocation.permissions.entry(peer.ip()).and_modify(|end| *end = now + PERMISSION_S);
            allocation.channels.entry(channel).and_modify(|(_, end)| *end = now + CHANNEL_S);
            return assert_eq!(response.error(), 508);
        }
        allocation.lost = false;
        allocation.permissions.insert(peer.ip(), now + PERMISSION_S);
        allocation.channels.insert(channel, (peer, now + CHANNEL_S));
        assert_eq!(response.error(), 0);
    }

    fn impostor(&mut self, client: usize) {
        let (name, password) = if user(client).0 == "alice" { ("bob", "builder") } else { ("alice", "wonderland") };
        let mut other = Client { address: self.clients[client].address, ..Client::new("192.0.2.99:1", name, password) };
        other.count = 1 << 20;
        let expected = if self.model.allocations.contains_key(&client) { 441 } else { 437 };
        assert_eq!(other.refresh(&mut self.world, Some(0)).error(), expected);
    }

    fn pass(&mut self, seconds: u64) {
        self.world.pass_s(seconds);
        self.model.now += seconds;
        assert_eq!(self.model.now, self.now_s());
        self.model.expire();
    }

    /// What ended with its allocation may have had longer to live: it gets the longest that it can have had.
    fn restart_control(&mut self) {
        if self.model.ports == Ports::Few || self.model.allocations.values().any(|allocation| allocation.lost) {
            return;
        }
        self.world.restart_control();
        let now = self.model.now;
        for allocation in self.model.allocations.values_mut() {
            let ends = allocation.ends.clone();
            for (ip, end) in &mut allocation.permissions {
                if *end >= ends[&number_of(*ip)] {
                    *end = now + PERMISSION_S;
                }
            }
            for (peer, end) in allocation.channels.values_mut() {
                if *end >= ends[&number_of(peer.ip())] {
                    *end = now + CHANNEL_S;
                }
            }
        }
        // Tokens come back with the allocations that they were given with, used ones too, unless the port is taken.
        self.model.reservations.clear();
        let taken = self.model.taken();
        let told = self.model.allocations.values().filter_map(|allocation| allocation.reservation.clone());
        let held = told.filter(|held| held.end > now && !taken.contains(&(1, held.port)));
        self.model.reservations = held.collect();
    }

    fn restart_relay(&mut self) {
        self.world.relay.sessions.clear();
        self.world.server.reinstall();
        self.world.settle();
        self.model.allocations.values_mut().for_each(|allocation| allocation.lost = false);
    }

    fn lose(&mut self, client: usize) {
        let Some(allocation) = self.model.allocations.get_mut(&client) else { return };
        allocation.lost = true;
        let session = self.world.session(&self.clients[client]).unwrap();
        self.world.relay.sessions.remove(&session);
    }

    /// The relay holds what the model says, and nothing else.
    fn compare(&self) {
        assert_eq!(self.world.server.session_count(), self.model.allocations.len());
        for (at, client) in self.clients.iter().enumerate() {
            match self.model.allocations.get(&at) {
                Some(allocation) if allocation.lost => {}
                Some(allocation) => assert_eq!(self.held(client), self.expected(client, allocation), "client {at}"),
                None => assert!(self.world.session(client).is_none()),
            }
        }
        let lost = self.model.allocations.values().filter(|allocation| allocation.lost).count();
        assert_eq!(self.world.relay.sessions.len() + lost, self.model.allocations.len());
    }

    fn held(&self, client: &Client) -> BTreeSet<String> {
        self.world.flows(client).iter().map(|flow| say(flow, flow.expires_at_ns / 1_000_000_000)).collect()
    }

    fn expected(&self, client: &Client, allocation: &Allocation) -> BTreeSet<String> {
        let mut flows = BTreeSet::new();
        let end = allocation.ends.values().max().unwrap();
        flows.insert(format!("{} indications until {end}", client.address));
        for (family, end) in &allocation.ends {
            flows.insert(format!("relayed address of family {family} until {end}"));
        }
        for (ip, end) in &allocation.permissions {
            let bound = allocation.ends[&number_of(*ip)];
            flows.insert(format!("{ip} may send until {}", bound.min(*end)));
        }
        for (number, (peer, end)) in &allocation.channels {
            let bound = allocation.ends[&number_of(peer.ip())].min(*end);
            flows.insert(format!("channel {number:x} to {peer} until {bound}"));
            let permission = allocation.permissions.get(&peer.ip()).copied().unwrap_or(0).min(bound);
            if permission > self.model.now {
                flows.insert(format!("{peer} to channel {number:x} until {permission}"));
            }
        }
        flows
    }
}

fn say(flow: &Flow, end: u64) -> String {
    match (flow.matches.remote, flow.matches.framing, flow.action) {
        (Remote::Exact(client), Framing::Indication, FlowAction::Unwrap { .. }) => {
            format!("{client} indications until {end}")
        }
        (Remote::Any, Framing::Plain, FlowAction::Refuse) => {
            format!("relayed address of family {} until {end}", number_of(flow.matches.local.ip()))
        }
        (Remote::AnyPort(ip), Framing::Plain, FlowAction::Forward { framing: Framing::Indication, .. }) => {
            format!("{ip} may send until {end}")
        }
        (Remote::Exact(_), Framing::Channel(number), FlowAction::Forward { to, framing: Framing::Plain, .. }) => {
            format!("channel {number:x} to {to} until {end}")
        }
        (Remote::Exact(peer), Framing::Plain, FlowAction::Forward { framing: Framing::Channel(number), .. }) => {
            format!("{peer} to channel {number:x} until {end}")
        }
        other => panic!("a flow that means nothing: {other:?}"),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let lifetime = prop_oneof![
        Just(None),
        Just(Some(0)),
        prop::sample::select(vec![Some(1), Some(700), Some(1200), Some(u32::MAX)]),
    ];
    let source = prop_oneof![
        4 => Just(Source::Default),
        2 => prop::sample::select(vec![1, 2, 2, 9]).prop_map(Source::Family),
        3 => Just(Source::Dual),
        2 => Just(Source::Even),
        3 => Just(Source::EvenAndNext),
        3 => Just(Source::Token),
    ];
    let protocol = prop_oneof![9 => Just(17_u8), 1 => Just(6)];
    let channel = prop_oneof![9 => 0x4000..0x4003_u16, 1 => prop::sample::select(vec![0x3fff, 0x8000])];
    let seconds = prop_oneof![4 => 1..40_u64, 4 => 100..400_u64, 1 => 600..700_u64];
    prop_oneof![
        6 => (client.clone(), source, lifetime.clone(), protocol)
            .prop_map(|(client, source, lifetime, protocol)| Step::Allocate { client, source, lifetime, protocol }),
        1 => client.clone().prop_map(|client| Step::Retransmit { client }),
        4 => (client.clone(), lifetime, prop_oneof![3 => Just(None), 1 => (1..4_u8).prop_map(Some)])
            .prop_map(|(client, lifetime, family)| Step::Refresh { client, lifetime, family }),
        5 => (client.clone(), prop::collection::vec(0..PEERS, 0..4))
            .prop_map(|(client, peers)| Step::Permit { client, peers }),
        6 => (client.clone(), channel, 0..PEERS)
            .prop_map(|(client, channel, peer)| Step::Bind { client, channel, peer }),
        1 => client.clone().prop_map(|client| Step::Impostor { client }),
        6 => seconds.prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Full),
        1 => (1..6_usize).prop_map(|count| Step::PortsInUse { count }),
        1 => Just(Step::RestartControl),
        1 => Just(Step::RestartRelay),
        1 => client.prop_map(|client| Step::Lose { client }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_clients_get_what_rfc_8656_says(
        ports in prop::sample::select(vec![Ports::Few, Ports::Many]),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut run = Run::new(ports);
        for step in &steps {
            run.step(step);
        }
    }
}
