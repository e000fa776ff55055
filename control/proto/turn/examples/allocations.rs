//! What an allocation costs in this core: time, heap requests, octets that stay.
//!
//! `cargo run --release -p raceway-turn --example allocations`

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant as Clock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use raceway_api::{RelayAddress, ToRelay};
use raceway_turn::{NonceKey, Policy, Secret, Server, UnauthenticatedBudget};
use raceway_units::{Instant, UnixTime};
use sha1::Sha1;

const COUNT: u32 = 100_000;
const REALM: &str = "example.org";
const SECRET: &str = "a shared secret of usual length";

fn main() {
    let mut server = server();
    let listener = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 1), 3478));
    let mut times = Times::default();
    let before = resident();
    for at in 0..COUNT {
        let client = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + at / 1000), 1000 + (at % 1000) as u16));
        allocate(&mut server, listener, client, at, &mut times);
    }
    assert_eq!(server.session_count(), COUNT as usize);
    let each = |time: Duration| time.as_nanos() / u128::from(COUNT);
    println!("401:                  {} ns", each(times.challenge));
    println!("Allocate:             {} ns", each(times.allocate));
    let both = each(times.challenge + times.allocate).max(1);
    println!("full allocations:     {} a second on one core", 1_000_000_000 / both);
    println!("resident memory each: {} octets", (resident() - before) / COUNT as usize);
    heap(&mut server, listener);
}

/// Heap requests of one exchange, outputs taken.
fn heap(server: &mut Server, listener: SocketAddr) {
    let client = SocketAddr::from((Ipv4Addr::new(11, 0, 0, 1), 9));
    let challenge = request(&[(0x0019, &[17, 0, 0, 0])], 1);
    let mut response = Vec::new();
    let first = allocation_counter::measure(|| response = give(server, listener, client, &challenge));
    let signed = sign(&response, COUNT + 1);
    let second = allocation_counter::measure(|| drop(give(server, listener, client, &signed)));
    println!("heap requests:        401 {}, Allocate {}", first.count_total, second.count_total);
    println!("heap held after:      {} octets", first.bytes_current + second.bytes_current);
}

#[derive(Default)]
struct Times {
    challenge: Duration,
    allocate: Duration,
}

fn allocate(server: &mut Server, listener: SocketAddr, client: SocketAddr, at: u32, times: &mut Times) {
    let challenge = request(&[(0x0019, &[17, 0, 0, 0])], at);
    let clock = Clock::now();
    let response = give(server, listener, client, &challenge);
    times.challenge += clock.elapsed();
    let signed = sign(&response, at);
    let clock = Clock::now();
    let response = give(server, listener, client, &signed);
    times.allocate += clock.elapsed();
    assert_eq!(response[..2], [0x01, 0x03], "a success");
}

fn give(server: &mut Server, listener: SocketAddr, client: SocketAddr, octets: &[u8]) -> Vec<u8> {
    server.handle_punt(Instant::from_ns(1_000_000_000), UnixTime(1_700_000_000), 0, listener, client, octets);
    let mut response = Vec::new();
    while let Some(message) = server.poll_output() {
        match message {
            ToRelay::Send(datagram) | ToRelay::Apply { then_send: Some(datagram), .. } => {
                response = datagram.payload.into_owned();
            }
            _ => {}
        }
    }
    response
}

fn server() -> Server {
    let relay = |last| Ipv4Addr::new(198, 51, 100, last).into();
    let relays = (1..=8).map(|last| RelayAddress { internal: relay(last), external: relay(last) }).collect();
    let mut policy = Policy::new(REALM.to_owned(), relays);
    policy.shared_secrets = vec![Secret::new(SECRET.to_owned())];
    policy.unauthenticated = UnauthenticatedBudget { octets_per_second: 1 << 30, burst: 1 << 30 };
    let mut state = 1_u64;
    let random = Box::new(move |octets: &mut [u8]| {
        for octet in octets {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *octet = (state >> 56) as u8;
        }
    });
    Server::new(policy, NonceKey::new(&[3; 32], b"boot"), random).expect("the policy is sound")
}

fn request(attributes: &[(u16, &[u8])], at: u32) -> Vec<u8> {
    let mut octets = vec![0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0];
    octets.extend(at.to_be_bytes());
    for (kind, value) in attributes {
        push(&mut octets, *kind, value);
    }
    octets
}

/// The Allocate that answers a challenge.
fn sign(challenge: &[u8], at: u32) -> Vec<u8> {
    let user = format!("1800000000:user{at}");
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(user.as_bytes());
    let password = STANDARD.encode(mac.finalize().into_bytes());
    let key = Md5::digest(format!("{user}:{REALM}:{password}"));
    let nonce = find(challenge, 0x0015);
    let attributes: [(u16, &[u8]); 4] =
        [(0x0019, &[17, 0, 0, 0]), (0x0006, user.as_bytes()), (0x0014, REALM.as_bytes()), (0x0015, nonce)];
    let mut octets = request(&attributes, at);
    let length = (octets.len() - 20 + 24) as u16;
    octets[2..4].copy_from_slice(&length.to_be_bytes());
    let mut mac = Hmac::<Sha1>::new_from_slice(&key).expect("any length");
    mac.update(&octets);
    push(&mut octets, 0x0008, &mac.finalize().into_bytes());
    octets
}

fn push(octets: &mut Vec<u8>, kind: u16, value: &[u8]) {
    octets.extend(kind.to_be_bytes());
    octets.extend((value.len() as u16).to_be_bytes());
    octets.extend(value);
    octets.resize(octets.len().next_multiple_of(4), 0);
    let length = (octets.len() - 20) as u16;
    octets[2..4].copy_from_slice(&length.to_be_bytes());
}

fn find(octets: &[u8], wanted: u16) -> &[u8] {
    let mut at = 20;
    loop {
        let kind = u16::from_be_bytes([octets[at], octets[at + 1]]);
        let length = usize::from(u16::from_be_bytes([octets[at + 2], octets[at + 3]]));
        if kind == wanted {
            return &octets[at + 4..at + 4 + length];
        }
        at += 4 + length.next_multiple_of(4);
    }
}

/// Octets of this process in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("second field");
    pages * 4096
}
