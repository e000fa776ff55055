//! Fuzz entry.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use raceway_api::{FrameWriter, OperationError, RelayAddress, ToRelay};
use raceway_units::{Instant, UnixTime};

use crate::auth::{IntegrityKind, Key, NonceKey, PasswordAlgorithm, set_length};
use crate::policy::{Policy, Secret, User};
use crate::server::Server;

/// Octets of datagrams, signed requests, time and failures, in any order.
///
/// The input is steps: an octet that says what, an octet `n`, and `n` octets. `0`: a datagram. `1`: a request of a
/// known user; the first octet is its method, the rest its attributes, to which credentials and integrity are
/// added. `2`: time passes. `3`: the relay fails a transaction. Whatever comes, what the server says can be sent,
/// only proven requests change sessions, and one client has one session at most.
pub fn fuzz(data: &[u8]) {
    let mut run = Run::new();
    let mut rest = data;
    while let [what, length, after @ ..] = rest {
        let Some((value, next)) = after.split_at_checked(usize::from(*length)) else { break };
        rest = next;
        run.step(*what, value);
    }
}

struct Run {
    server: Server,
    key: Key,
    now: Instant,
}

impl Run {
    fn new() -> Self {
        let address = Ipv4Addr::new(198, 51, 100, 1).into();
        let mut policy = Policy::new("r".to_owned(), vec![RelayAddress { internal: address, external: address }]);
        policy.users = vec![User { name: "u".to_owned(), password: Secret::new("p".to_owned()) }];
        let mut state = 0_u8;
        let random = Box::new(move |octets: &mut [u8]| {
            for octet in octets {
                state = state.wrapping_mul(5).wrapping_add(1);
                *octet = state;
            }
        });
        let server = Server::new(policy, NonceKey::new(&[1; 32], b"boot"), random).expect("the policy is sound");
        let key = Key::derive(PasswordAlgorithm::Md5, b"u", "r", "p");
        Self { server, key, now: Instant::from_ns(1_000_000_000) }
    }

    fn step(&mut self, what: u8, value: &[u8]) {
        match what {
            0 => {
                self.give(value);
                assert!(!self.drain(), "an unproven datagram changed a session");
            }
            1 => {
                let request = self.signed(value);
                self.give(&request);
                self.drain();
                assert!(self.server.session_count() <= 1, "one 5-tuple, one session");
            }
            2 => {
                let seconds = value.iter().fold(0, |seconds, octet| seconds + u64::from(*octet));
                self.now = self.now.after(Duration::from_secs(seconds));
                self.server.handle_timeout(self.now);
                self.drain();
            }
            3 => {
                let transaction = u64::from(value.first().copied().unwrap_or(0));
                let error = match value.get(1).copied().unwrap_or(0) % 4 {
                    0 => OperationError::AddressInUse,
                    1 => OperationError::FlowsFull,
                    2 => OperationError::UnknownFlow,
                    _ => OperationError::Invalid,
                };
                self.server.handle_failed(self.now, transaction, error);
                self.drain();
            }
            _ => {}
        }
    }

    fn give(&mut self, datagram: &[u8]) {
        let listener = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 1), 3478));
        self.server.handle_punt(self.now, UnixTime(0), 0, listener, client(), datagram);
    }

    /// Whether anything but responses came out.
    fn drain(&mut self) -> bool {
        let mut changed = false;
        while let Some(message) = self.server.poll_output() {
            changed |= matches!(message, ToRelay::Apply { .. });
            assert!(raceway_api::Limited::within_limits(&message), "{message:?}");
            assert!(FrameWriter::new().push(&message), "fits a frame");
        }
        changed
    }

    fn signed(&self, value: &[u8]) -> Vec<u8> {
        let (method, attributes) = value.split_first().unwrap_or((&3, &[]));
        let mut octets = vec![0, *method, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, *method];
        let nonce = self.server.nonces.make(self.now, client());
        for (kind, value) in [(0x06, &b"u"[..]), (0x14, b"r"), (0x15, &nonce)] {
            octets.extend_from_slice(&[0, kind, 0, value.len() as u8]);
            octets.extend_from_slice(value);
            octets.resize(octets.len().next_multiple_of(4), 0);
        }
        octets.extend_from_slice(attributes);
        octets.resize(octets.len().next_multiple_of(4), 0);
        let length = octets.len() - 20;
        set_length(&mut octets, length);
        self.key.sign(IntegrityKind::Sha1, &mut octets);
        octets
    }
}

fn client() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 4000))
}
