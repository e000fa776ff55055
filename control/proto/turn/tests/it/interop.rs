//! A TURN client of other people, in process.

use std::net::SocketAddr;
use std::time::Duration;

use turn_client_proto::api::{Transmit, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::prelude::TurnClientApi;
use turn_client_proto::stun::Instant;
use turn_client_proto::types::stun::message::IntegrityAlgorithm;
use turn_client_proto::types::{AddressFamily, TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;

use crate::world::*;

const CLIENT: &str = "192.0.2.10:40000";

struct Pair {
    world: World,
    client: TurnClientUdp,
    now: Instant,
    events: Vec<TurnEvent>,
}

impl Pair {
    fn new(change: impl FnOnce(&mut TurnConfig)) -> Self {
        let mut config = TurnConfig::new(TurnCredentials::new("alice", "wonderland"));
        change(&mut config);
        let client = TurnClientUdp::allocate(address(CLIENT), address(LISTENER), config);
        let mut pair = Self { world: World::new(), client, now: Instant::ZERO, events: Vec::new() };
        pair.run();
        pair
    }

    /// Carries datagrams until neither side has one; the client leaves 50 ms between its requests.
    fn run(&mut self) {
        while let TurnPollRet::WaitUntil(at) = self.client.poll(self.now) {
            if let Some(request) = self.client.poll_transmit(self.now) {
                self.carry(&request.data);
            } else if (1..=50_000_000).contains(&(at.as_nanos() - self.now.as_nanos())) {
                self.world.pass(at.duration_since(self.now));
                self.now = at;
            } else {
                break;
            }
        }
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    fn carry(&mut self, request: &[u8]) {
        for response in self.world.punt(address(CLIENT), request) {
            let transmit = Transmit::new(response.octets, TransportType::Udp, address(LISTENER), address(CLIENT));
            let received = self.client.recv(transmit, self.now);
            assert!(matches!(received, TurnRecvRet::Handled), "the client understands");
        }
    }

    /// Lets time pass; the client refreshes on its own.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.world.pass_s(1);
            self.run();
        }
    }

    fn relayed(&self) -> Vec<SocketAddr> {
        self.client.relayed_addresses().map(|(_, address)| address).collect()
    }
}

fn succeeds(change: impl FnOnce(&mut TurnConfig)) {
    let mut pair = Pair::new(change);
    let held: Vec<SocketAddr> =
        pair.world.server.sessions(pair.world.now).next().unwrap().relayed.iter().map(|r| r.external).collect();
    assert_eq!(pair.relayed(), held);
    let peer = address(PEER);
    pair.client.create_permission(TransportType::Udp, peer.ip(), pair.now).unwrap();
    pair.run();
    assert!(pair.client.have_permission(TransportType::Udp, peer.ip()), "{:?}", pair.events);
    pair.client.bind_channel(TransportType::Udp, peer, pair.now).unwrap();
    pair.run();
    let channels = |pair: &Pair| pair.world.server.sessions(pair.world.now).next().unwrap().channels.len();
    assert_eq!(channels(&pair), 1);
    pair.pass(3700);
    assert_eq!(pair.world.server.session_count(), 1, "refreshed over nonces and lifetimes: {:?}", pair.events);
    assert_eq!(channels(&pair), 1);
    assert!(pair.client.have_permission(TransportType::Udp, peer.ip()));
    pair.client.delete(pair.now).unwrap();
    pair.run();
    assert_eq!(pair.world.server.session_count(), 0);
    assert!(matches!(pair.client.poll(pair.now), TurnPollRet::Closed));
}

#[test]
fn a_client_with_sha1() {
    succeeds(|_| {});
}

#[test]
fn a_client_with_sha256_and_hashed_names() {
    succeeds(|config| config.set_supported_integrity(IntegrityAlgorithm::Sha256));
}

#[test]
fn a_client_with_both_algorithms() {
    succeeds(|config| config.add_supported_integrity(IntegrityAlgorithm::Sha256));
}

#[test]
fn a_client_with_both_families() {
    succeeds(|config| config.add_address_family(AddressFamily::IPV6));
}

#[test]
fn a_client_is_told_that_a_peer_is_forbidden() {
    let mut pair = Pair::new(|_| {});
    let peer = address("127.0.0.1:9");
    pair.client.create_permission(TransportType::Udp, peer.ip(), pair.now).unwrap();
    pair.run();
    assert!(!pair.client.have_permission(TransportType::Udp, peer.ip()));
    assert!(
        pair.events.iter().any(|event| matches!(event, TurnEvent::PermissionCreateFailed(_, ip) if *ip == peer.ip())),
        "{:?}",
        pair.events
    );
}
