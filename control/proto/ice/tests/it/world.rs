//! Agents, a network with virtual time between them, and checks written by another codec.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use raceway_ice::{Agent, Component, Credentials, Event, Mode, Transmit};
use raceway_units::{Instant, Random};
use stun_types::attribute::{AttributeType, Fingerprint, RawAttribute, Username};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, Message, MessageIntegrityCredentials, MessageWrite, MessageWriteExt, MessageWriteVec,
    ShortTermCredentials, TransactionId,
};

pub const DELAY: Duration = Duration::from_millis(10);

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn credentials(octet: u8) -> Credentials {
    Credentials::from_random(&[octet; 24])
}

pub fn at(ms: u64) -> Instant {
    Instant::from_ns(1_000_000_000 + ms * 1_000_000)
}

/// An agent with credentials `credentials(octet)`.
pub fn agent(mode: Mode, octet: u8, bases: &[SocketAddr]) -> Agent {
    Agent::new(mode, credentials(octet), bases, [octet; 32])
}

/// What a full peer's check has, and nothing else of this crate made it.
#[derive(Clone)]
pub struct Check {
    pub transaction: u128,
    pub username: Option<String>,
    pub password: Option<String>,
    pub priority: u32,
    pub nominates: bool,
    /// ICE-CONTROLLING or ICE-CONTROLLED and its tie-breaker.
    pub role: (u16, u64),
    pub extra: Vec<(u16, Vec<u8>)>,
    pub fingerprint: bool,
    pub algorithm: IntegrityAlgorithm,
}

impl Check {
    /// To an agent with `credentials(to)`.
    pub fn to(to: u8) -> Self {
        let credentials = credentials(to);
        Self {
            transaction: 7,
            username: Some(format!("{}:peer", credentials.ufrag())),
            password: Some(credentials.password().to_owned()),
            priority: 100,
            nominates: false,
            role: (0x802a, 99),
            extra: Vec::new(),
            fingerprint: true,
            algorithm: IntegrityAlgorithm::Sha1,
        }
    }

    pub fn nominating(to: u8, transaction: u128) -> Self {
        Self { nominates: true, transaction, ..Self::to(to) }
    }

    pub fn octets(&self) -> Vec<u8> {
        let mut message = Message::builder_request(BINDING, MessageWriteVec::new());
        if let Some(username) = &self.username {
            message.add_attribute(&Username::new(username).unwrap()).unwrap();
        }
        let raw = |kind: u16, value: &[u8]| RawAttribute::new(AttributeType::new(kind), value).into_owned();
        message.add_attribute(&raw(0x0024, &self.priority.to_be_bytes())).unwrap();
        message.add_attribute(&raw(self.role.0, &self.role.1.to_be_bytes())).unwrap();
        if self.nominates {
            message.add_attribute(&raw(0x0025, &[])).unwrap();
        }
        for (kind, value) in &self.extra {
            message.add_attribute(&raw(*kind, value)).unwrap();
        }
        let mut octets = message.finish();
        octets[8..20].copy_from_slice(&self.transaction.to_be_bytes()[4..]);
        self.close(octets)
    }

    /// Integrity and FINGERPRINT, which cover the transaction that was put in.
    fn close(&self, octets: Vec<u8>) -> Vec<u8> {
        let parsed = Message::from_bytes(&octets).unwrap();
        let mut message = Message::builder(
            parsed.get_type(),
            TransactionId::from(self.transaction),
            MessageWriteVec::with_capacity(octets.len() + 64),
        );
        for (_, attribute) in parsed.iter_attributes() {
            message.add_attribute(&attribute).unwrap();
        }
        if let Some(password) = &self.password {
            message.add_message_integrity(&short_term(password), self.algorithm).unwrap();
        }
        if self.fingerprint {
            message.add_fingerprint().unwrap();
        }
        message.finish()
    }
}

fn short_term(password: &str) -> MessageIntegrityCredentials {
    ShortTermCredentials::new(password.to_owned()).into()
}

/// Whether a response is signed by who has `credentials(by)`, as the other codec sees it.
pub fn signed_by(by: u8, response: &[u8]) -> bool {
    let message = Message::from_bytes(response).unwrap();
    message.validate_integrity(&short_term(credentials(by).password())).is_ok()
}

pub fn has_fingerprint(response: &[u8]) -> bool {
    Message::from_bytes(response).unwrap().attribute::<Fingerprint>().is_ok()
}

/// Code of an error response.
pub fn code(response: &[u8]) -> Option<u16> {
    let message = Message::from_bytes(response).unwrap();
    message.attribute::<stun_types::attribute::ErrorCode>().ok().map(|error| error.code())
}

/// The only datagram that is to be sent.
pub fn only(agent: &mut Agent) -> Transmit {
    let transmit = agent.poll_transmit().expect("a datagram");
    assert_eq!(agent.poll_transmit(), None, "one datagram");
    transmit
}

pub fn events(agent: &mut Agent) -> Vec<Event> {
    std::iter::from_fn(|| agent.poll_event()).collect()
}

pub fn nominated(remote: SocketAddr) -> Event {
    Event::Nominated { component: Component::Rtp, remote }
}

/// Two agents and what lies between.
pub struct World {
    pub agents: [Agent; 2],
    pub now: Instant,
    pub events: [Vec<(Instant, Event)>; 2],
    pub sent: [usize; 2],
    /// Lost, of 1000.
    pub loss: u64,
    /// Each address as the other side sees it: inside, outside.
    pub nat: Option<(SocketAddr, SocketAddr)>,
    /// Nothing that goes to or comes from these arrives.
    pub dead: Vec<SocketAddr>,
    random: Random,
    wire: VecDeque<(Instant, usize, Transmit)>,
}

impl World {
    pub fn new(agents: [Agent; 2]) -> Self {
        let (events, sent) = (Default::default(), [0; 2]);
        let (random, wire) = (Random::new(4), VecDeque::new());
        Self { agents, now: at(0), events, sent, loss: 0, nat: None, dead: Vec::new(), random, wire }
    }

    pub fn run(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        self.drain();
        while let Some(next) = self.next().filter(|next| *next <= end) {
            assert!(next >= self.now || self.wire.is_empty(), "time goes on");
            self.now = self.now.max(next);
            while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
                let (_, from, transmit) = self.wire.pop_front().unwrap();
                let Transmit { local, remote, payload } = transmit;
                self.agents[1 - from].handle_datagram(self.now, remote, local, &payload);
                self.drain();
            }
            for agent in &mut self.agents {
                agent.handle_timeout(self.now);
            }
            let before = self.wire.len();
            self.drain();
            let due = self.agents.iter().filter_map(Agent::poll_timeout).min();
            assert!(due.is_none_or(|due| due > self.now) || self.wire.len() > before, "a timer that goes off for ever");
        }
        self.now = end;
    }

    fn next(&self) -> Option<Instant> {
        let timers = self.agents.iter().filter_map(Agent::poll_timeout);
        timers.chain(self.wire.front().map(|(at, ..)| *at)).min()
    }

    fn drain(&mut self) {
        for from in 0..2 {
            while let Some(mut transmit) = self.agents[from].poll_transmit() {
                self.sent[from] += 1;
                let gone = [transmit.local, transmit.remote].iter().any(|end| self.dead.contains(end));
                if gone || self.random.below(1000) < self.loss {
                    continue;
                }
                if let Some((inside, outside)) = self.nat {
                    if transmit.local == inside {
                        transmit.local = outside;
                    }
                    if transmit.remote == outside {
                        transmit.remote = inside;
                    }
                }
                self.wire.push_back((self.now.after(DELAY), from, transmit));
            }
            while let Some(event) = self.agents[from].poll_event() {
                self.events[from].push((self.now, event));
            }
        }
    }
}
