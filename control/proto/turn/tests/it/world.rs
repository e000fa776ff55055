//! A server with a relay, clients, and a clock that stands until it is moved.

use std::net::SocketAddr;
use std::time::Duration;

use raceway_api::{Flow, FlowId, RelayAddress, SessionId};
use raceway_turn::{NonceKey, Policy, Secret, Server, User};
use raceway_units::{Instant, UnixTime};

use crate::relay::Relay;
use crate::wire::*;

pub const REALM_NAME: &str = "example.org";
pub const LISTENER: &str = "198.51.100.1:3478";
pub const RELAY_V4: &str = "198.51.100.1";
pub const RELAY_V6: &str = "2001:db8::1";
/// A peer that policy allows.
pub const PEER: &str = "203.0.113.7:5000";

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn peer_v6() -> SocketAddr {
    "[2001:db8:1::7]:5000".parse().unwrap()
}

pub fn policy() -> Policy {
    let relay = |ip: &str| RelayAddress { internal: ip.parse().unwrap(), external: ip.parse().unwrap() };
    let user = |name: &str, password: &str| User { name: name.to_owned(), password: Secret::new(password.to_owned()) };
    let mut policy = Policy::new(REALM_NAME.to_owned(), vec![relay(RELAY_V4), relay(RELAY_V6)]);
    policy.users = vec![user("alice", "wonderland"), user("bob", "builder")];
    policy.listeners = vec![address(LISTENER)];
    policy
}

pub fn random(seed: u64) -> raceway_turn::RandomSource {
    let mut state = seed | 1;
    Box::new(move |octets| {
        for octet in octets {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *octet = (state >> 56) as u8;
        }
    })
}

pub struct World {
    pub server: Server,
    pub relay: Relay,
    pub now: Instant,
    pub wall: UnixTime,
    pub policy: Policy,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = policy();
        change(&mut policy);
        Self {
            server: Server::new(policy.clone(), NonceKey::new(&[3; 32], b"boot"), random(1)).unwrap(),
            relay: Relay::default(),
            now: Instant::from_ns(1_000_000_000_000),
            wall: UnixTime(1_700_000_000),
            policy,
        }
    }

    /// Gives a datagram in; what comes back to that client comes out.
    pub fn punt_on(&mut self, listener: SocketAddr, client: SocketAddr, octets: &[u8]) -> Vec<Response> {
        self.relay.sent.clear();
        self.server.handle_punt(self.now, self.wall, 0, listener, client, octets);
        self.settle();
        let sent = std::mem::take(&mut self.relay.sent);
        for datagram in &sent {
            assert_eq!((datagram.from, datagram.to), (listener, client), "a response goes back where it came from");
        }
        sent.iter().map(|datagram| Response::parse(&datagram.payload)).collect()
    }

    pub fn punt(&mut self, client: SocketAddr, octets: &[u8]) -> Vec<Response> {
        self.punt_on(address(LISTENER), client, octets)
    }

    /// The one response to a datagram.
    pub fn ask(&mut self, client: SocketAddr, octets: &[u8]) -> Response {
        let mut responses = self.punt(client, octets);
        assert_eq!(responses.len(), 1, "one response");
        responses.remove(0)
    }

    /// Lets server and relay talk until neither has anything to say.
    pub fn settle(&mut self) {
        while let Some(message) = self.server.poll_output() {
            if let Err(failure) = self.relay.take(message) {
                self.server.handle_failed(self.now, failure.transaction, failure.error);
            }
        }
    }

    /// Moves the clock; timers fire on the way.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        while let Some(due) = self.server.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.server.handle_timeout(self.now);
            self.settle();
        }
        self.wall.0 += end.since(self.now).as_secs();
        self.now = end;
        for session in self.relay.reap(self.now.as_ns()) {
            self.server.handle_expired(self.now, session);
        }
        self.settle();
    }

    pub fn pass_s(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// kill -9 of control: a new server, told by the relay.
    pub fn restart_control(&mut self) {
        self.server = Server::new(self.policy.clone(), NonceKey::new(&[3; 32], b"boot"), random(2)).unwrap();
        for report in self.relay.snapshot() {
            self.server.restore(&report);
        }
        self.server.restore_end(self.now);
        self.settle();
    }

    pub fn session(&self, client: &Client) -> Option<SessionId> {
        self.server.sessions(self.now).find(|view| view.client == client.address).map(|view| view.id)
    }

    /// Live flows of a client's session in the relay.
    pub fn flows(&self, client: &Client) -> Vec<Flow> {
        let Some(session) = self.session(client) else { return Vec::new() };
        let Some(session) = self.relay.sessions.get(&session) else { return Vec::new() };
        session.flows.values().filter(|flow| flow.expires_at_ns > self.now.as_ns()).copied().collect()
    }

    pub fn flow(&self, client: &Client, id: u32) -> Option<Flow> {
        self.flows(client).into_iter().find(|flow| flow.id == FlowId(id))
    }

    /// The relay's timer is a second early: what is about to end has ended there.
    pub fn relay_is_early(&mut self) {
        let ended = self.relay.reap(self.in_s(1));
        assert!(ended.is_empty(), "no whole session");
    }

    pub fn in_s(&self, seconds: u64) -> u64 {
        self.now.after(Duration::from_secs(seconds)).as_ns()
    }
}

/// How a client proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// RFC 5389: MD5 and MESSAGE-INTEGRITY.
    Old,
    /// RFC 8489: PASSWORD-ALGORITHM and MESSAGE-INTEGRITY-SHA256.
    Sha256,
    /// RFC 8489 with MD5 chosen.
    Md5Chosen,
    /// MESSAGE-INTEGRITY-SHA256 with the MD5 key and no PASSWORD-ALGORITHM.
    Md5WithSha256,
    /// MESSAGE-INTEGRITY although MD5 was chosen, as some clients do.
    Md5ChosenWithSha1,
}

#[derive(Clone, Debug)]
pub struct Client {
    pub address: SocketAddr,
    pub user: String,
    pub password: String,
    pub proof: Proof,
    pub realm: String,
    pub nonce: Vec<u8>,
    pub hash_name: bool,
    pub fingerprint: bool,
    pub count: u32,
}

impl Client {
    pub fn new(address_text: &str, user: &str, password: &str) -> Self {
        Self {
            address: address(address_text),
            user: user.to_owned(),
            password: password.to_owned(),
            proof: Proof::Old,
            realm: REALM_NAME.to_owned(),
            nonce: Vec::new(),
            hash_name: false,
            fingerprint: false,
            count: 0,
        }
    }

    pub fn alice() -> Self {
        Self::new("192.0.2.10:40000", "alice", "wonderland")
    }

    pub fn transaction(&mut self) -> TransactionId {
        self.count += 1;
        let mut id = [0; 12];
        id[..2].copy_from_slice(&self.address.port().to_be_bytes());
        id[8..].copy_from_slice(&self.count.to_be_bytes());
        id
    }

    pub fn key(&self) -> Vec<u8> {
        match self.proof {
            Proof::Sha256 => sha256_key(&self.user, REALM_NAME, &self.password),
            Proof::Old | Proof::Md5Chosen | Proof::Md5WithSha256 | Proof::Md5ChosenWithSha1 => {
                md5_key(&self.user, REALM_NAME, &self.password)
            }
        }
    }

    /// A signed request.
    pub fn signed(&self, method: u16, transaction: TransactionId, attributes: &[Attribute]) -> Vec<u8> {
        let mut all = attributes.to_vec();
        if self.hash_name {
            all.push((USERHASH, userhash(&self.user, REALM_NAME)));
        } else {
            all.push((USERNAME, self.user.clone().into_bytes()));
        }
        all.push((REALM, self.realm.clone().into_bytes()));
        all.push((NONCE, self.nonce.clone()));
        let offered = vec![0, 2, 0, 0, 0, 1, 0, 0];
        match self.proof {
            Proof::Old | Proof::Md5WithSha256 => {}
            Proof::Sha256 => {
                all.extend([(PASSWORD_ALGORITHMS, offered), (PASSWORD_ALGORITHM, vec![0, 2, 0, 0])]);
            }
            Proof::Md5Chosen | Proof::Md5ChosenWithSha1 => {
                all.extend([(PASSWORD_ALGORITHMS, offered), (PASSWORD_ALGORITHM, vec![0, 1, 0, 0])]);
            }
        }
        let mut octets = message(method, transaction, &all);
        match self.proof {
            Proof::Old | Proof::Md5ChosenWithSha1 => sign_sha1(&mut octets, &self.key()),
            Proof::Sha256 | Proof::Md5Chosen | Proof::Md5WithSha256 => sign_sha256(&mut octets, &self.key()),
        }
        if self.fingerprint {
            add_fingerprint(&mut octets);
        }
        octets
    }

    /// Asks, and proves itself when challenged; the response is checked.
    pub fn call(&mut self, world: &mut World, method: u16, attributes: &[Attribute]) -> Response {
        let transaction = self.transaction();
        self.call_as(world, method, transaction, attributes)
    }

    pub fn call_as(
        &mut self,
        world: &mut World,
        method: u16,
        transaction: TransactionId,
        attributes: &[Attribute],
    ) -> Response {
        if self.nonce.is_empty() {
            self.fetch_nonce(world);
        }
        let octets = self.signed(method, transaction, attributes);
        let response = world.ask(self.address, &octets);
        if response.error() == 438 {
            self.nonce = response.get(NONCE).unwrap().to_vec();
            let octets = self.signed(method, transaction, attributes);
            let response = world.ask(self.address, &octets);
            return self.checked(response, transaction);
        }
        self.checked(response, transaction)
    }

    pub fn fetch_nonce(&mut self, world: &mut World) {
        let transaction = self.transaction();
        let challenge = world.ask(self.address, &message(ALLOCATE, transaction, &[transport()]));
        assert_eq!(challenge.error(), 401);
        self.nonce = challenge.get(NONCE).unwrap().to_vec();
    }

    fn checked(&self, response: Response, transaction: TransactionId) -> Response {
        assert_eq!(response.transaction, transaction);
        if response.get(NONCE).is_none() && response.error() != 400 {
            let kind = match self.proof {
                Proof::Old | Proof::Md5WithSha256 | Proof::Md5ChosenWithSha1 => MESSAGE_INTEGRITY,
                Proof::Sha256 | Proof::Md5Chosen => MESSAGE_INTEGRITY_SHA256,
            };
            assert!(response.verifies(kind, &self.key()), "integrity of {response:?}");
        }
        assert_eq!(response.has_fingerprint(), self.fingerprint);
        response
    }

    pub fn allocate(&mut self, world: &mut World, attributes: &[Attribute]) -> Response {
        let mut all = vec![transport()];
        all.extend_from_slice(attributes);
        self.call(world, ALLOCATE, &all)
    }

    pub fn refresh(&mut self, world: &mut World, lifetime: Option<u32>) -> Response {
        let attributes: Vec<Attribute> = lifetime.into_iter().map(|seconds| number(LIFETIME, seconds)).collect();
        self.call(world, REFRESH, &attributes)
    }

    pub fn permit(&mut self, world: &mut World, peers: &[SocketAddr]) -> Response {
        let transaction = self.transaction();
        let attributes: Vec<Attribute> = peers.iter().map(|peer| peer_attribute(*peer, &transaction)).collect();
        self.call_as(world, CREATE_PERMISSION, transaction, &attributes)
    }

    pub fn bind(&mut self, world: &mut World, channel: u16, peer: SocketAddr) -> Response {
        let transaction = self.transaction();
        let attributes = [channel_attribute(channel), peer_attribute(peer, &transaction)];
        self.call_as(world, CHANNEL_BIND, transaction, &attributes)
    }
}

pub fn transport() -> Attribute {
    (REQUESTED_TRANSPORT, vec![17, 0, 0, 0])
}

/// EVEN-PORT, with the R bit if the next port is to be held.
pub fn even_port(reserve: bool) -> Attribute {
    (EVEN_PORT, vec![if reserve { 0x80 } else { 0 }])
}

pub fn number(kind: u16, value: u32) -> Attribute {
    (kind, value.to_be_bytes().to_vec())
}

pub fn family(kind: u16, family: u8) -> Attribute {
    (kind, vec![family, 0, 0, 0])
}

pub fn channel_attribute(channel: u16) -> Attribute {
    number(CHANNEL_NUMBER, u32::from(channel) << 16)
}

pub fn peer_attribute(peer: SocketAddr, transaction: &TransactionId) -> Attribute {
    (XOR_PEER_ADDRESS, xor_address(peer, transaction))
}
