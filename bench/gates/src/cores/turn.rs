//! The TURN server's core: a request in, its answer and what the relay is told out.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use raceway_api::{RelayAddress, ToRelay};
use raceway_loadgen_core::turn::{Client, Credentials, Settings};
use raceway_turn::{NonceKey, Policy, Secret, Server, UnauthenticatedBudget, User};
use raceway_units::{Instant, Random, UnixTime};

use super::{Operation, Scenario, scenario};
use crate::packets::binding;

const NOW: Instant = Instant::from_ns(1_000_000_000_000);
const WALL: UnixTime = UnixTime(1_700_000_000);
/// When a client refreshes an allocation of ten minutes.
const REFRESH: Instant = Instant::from_ns(1_545_000_000_000);
const SECRET: &str = "a shared secret of usual length";

pub(super) fn all() -> Vec<Scenario> {
    vec![
        scenario("turn: Binding", |runs| {
            let requests = (0..runs).map(|number| (address_of(number), binding())).collect();
            serves(Office::new(), NOW, requests, [0x01, 0x01])
        }),
        scenario("turn: Allocate without credentials, 401", |runs| {
            let office = Office::new();
            let requests = office.clients(runs, &user()).iter_mut().map(|client| client.request(NOW)).collect();
            serves(office, NOW, requests, [0x01, 0x13])
        }),
        scenario("turn: Allocate of a user", |runs| allocates(runs, &user())),
        scenario("turn: Allocate by a shared secret", |runs| {
            allocates(runs, &Arc::new(Credentials::from_secret(SECRET, "carol", UnixTime(WALL.0 + 3600))))
        }),
        scenario("turn: Refresh", |runs| {
            let mut office = Office::new();
            let mut clients = office.allocated(runs);
            let requests = clients.iter_mut().map(|client| client.request(REFRESH)).collect();
            serves(office, REFRESH, requests, [0x01, 0x04])
        }),
        scenario("turn: CreatePermission", |runs| {
            let mut office = Office::new();
            let mut clients = office.allocated(runs);
            let requests = clients.iter_mut().map(|client| client.request_after(|client| client.permit(peer(), NOW)));
            let requests = requests.collect();
            serves(office, NOW, requests, [0x01, 0x08])
        }),
        scenario("turn: ChannelBind", |runs| {
            let mut office = Office::new();
            let mut clients = office.allocated(runs);
            let bind = |client: &mut Client| assert!(client.bind(peer(), NOW).is_some());
            let requests = clients.iter_mut().map(|client| client.request_after(bind)).collect();
            serves(office, NOW, requests, [0x01, 0x09])
        }),
    ]
}

fn allocates(runs: u32, credentials: &Arc<Credentials>) -> Operation {
    let mut office = Office::new();
    let requests = office.clients(runs, credentials).into_iter().map(|mut client| {
        let (address, challenge) = client.request(NOW);
        client.take(&office.answer(NOW, address, &challenge));
        client.request(NOW)
    });
    let requests = requests.collect();
    serves(office, NOW, requests, [0x01, 0x03])
}

/// Serves one request after the other, whose answers begin with `kind`.
fn serves(mut office: Office, now: Instant, requests: Vec<(SocketAddr, Vec<u8>)>, kind: [u8; 2]) -> Operation {
    let mut number = 0;
    Box::new(move || {
        let (address, request) = &requests[number];
        number += 1;
        office.server.handle_punt(now, WALL, 0, listener(), *address, black_box(request));
        let mut answered = false;
        while let Some(message) = office.server.poll_output() {
            answered |= answer(&message).is_some_and(|octets| octets.starts_with(&kind));
        }
        assert!(answered, "{address} was refused");
    })
}

fn answer<'a>(message: &'a ToRelay<'_>) -> Option<&'a [u8]> {
    match message {
        ToRelay::Send(datagram) | ToRelay::Apply { then_send: Some(datagram), .. } => Some(&datagram.payload),
        _ => None,
    }
}

fn user() -> Arc<Credentials> {
    Arc::new(Credentials::new("alice", "wonderland").expect("letters"))
}

fn listener() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 3478))
}

fn peer() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 7], 5000))
}

fn address_of(client: u32) -> SocketAddr {
    let [_, _, high, low] = client.to_be_bytes();
    SocketAddr::from(([192, 0, high, low], 5000))
}

/// A server whose randomness is always the same.
struct Office {
    server: Server,
}

/// A client and where it is.
struct Caller {
    client: Client,
    address: SocketAddr,
}

impl Office {
    fn new() -> Self {
        let relay = RelayAddress { internal: listener().ip(), external: listener().ip() };
        let mut policy = Policy::new("example.org".to_owned(), vec![relay]);
        policy.users = vec![User { name: "alice".to_owned(), password: Secret::new("wonderland".to_owned()) }];
        policy.shared_secrets = vec![Secret::new(SECRET.to_owned())];
        policy.listeners = vec![listener()];
        policy.unauthenticated = UnauthenticatedBudget { octets_per_second: 1 << 30, burst: 1 << 30 };
        let mut random = Random::new(1);
        let source = Box::new(move |octets: &mut [u8]| octets.fill_with(|| random.next() as u8));
        let nonces = NonceKey::new(&[3; 32], b"a boot");
        Self { server: Server::new(policy, nonces, source).expect("the policy is sound") }
    }

    fn clients(&self, count: u32, credentials: &Arc<Credentials>) -> Vec<Caller> {
        let client = |number: u32| Caller {
            client: Client::new(Arc::clone(credentials), Settings::default(), u128::from(number) << 64, NOW),
            address: address_of(number),
        };
        (0..count).map(client).collect()
    }

    fn allocated(&mut self, count: u32) -> Vec<Caller> {
        let mut clients = self.clients(count, &user());
        for client in &mut clients {
            // The challenge, and the answer to it.
            for _ in 0..2 {
                let (address, request) = client.request(NOW);
                client.take(&self.answer(NOW, address, &request));
            }
        }
        clients
    }

    fn answer(&mut self, now: Instant, client: SocketAddr, request: &[u8]) -> Vec<u8> {
        self.server.handle_punt(now, WALL, 0, listener(), client, request);
        let messages = std::iter::from_fn(|| self.server.poll_output());
        messages.filter_map(|message| answer(&message).map(<[u8]>::to_vec)).last().expect("an answer")
    }
}

impl Caller {
    fn request(&mut self, now: Instant) -> (SocketAddr, Vec<u8>) {
        (self.address, self.client.poll_transmit(now).expect("a request is due").to_vec())
    }

    fn request_after(&mut self, ask: impl Fn(&mut Client)) -> (SocketAddr, Vec<u8>) {
        ask(&mut self.client);
        self.request(NOW)
    }

    fn take(&mut self, answer: &[u8]) {
        self.client.handle(answer, NOW);
    }
}
