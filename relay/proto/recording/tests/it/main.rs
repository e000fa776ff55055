//! Recordings, read again.

mod age;
mod capture;
mod reader;

use raceway_recording::{Beginning, Packet, Part, PublicKey, Secrets};
use raceway_units::{Endpoint, Instant};

/// What a part has when it ended: key and body.
pub struct Ended {
    /// The small file.
    pub key: Vec<u8>,
    /// The other one.
    pub body: Vec<u8>,
}

/// Random enough for a test, and the same each time.
pub fn secrets(seed: u8) -> Secrets {
    let mut octets = [0; 64];
    octets.iter_mut().zip(1..).for_each(|(octet, n): (&mut u8, u8)| *octet = n.wrapping_mul(37) ^ seed);
    Secrets::from_random(&octets)
}

/// When tests happen.
pub const EPOCH_NS: u64 = 1_790_000_000_000_000_000;

/// At that time.
pub fn beginning(note: &str) -> Beginning<'_> {
    Beginning { note, program: "Raceway", now: Instant::from_ns(5_000_000_000), wall_ns: EPOCH_NS }
}

/// An address and port.
pub fn endpoint(text: &str) -> Endpoint {
    text.parse::<std::net::SocketAddr>().expect("an address").into()
}

/// The packet of number `n`: 20 ms after the one before.
pub fn packet(n: u64, payload: &[u8]) -> Packet<'_> {
    Packet {
        at: Instant::from_ns(5_000_000_000 + n * 20_000_000),
        from: endpoint("192.0.2.7:40000"),
        to: endpoint("198.51.100.1:30000"),
        traffic_class: 0xb8,
        payload,
        octets: payload.len(),
    }
}

/// A part of so many packets of 172 octets.
pub fn part(to: &PublicKey, packets: u64, lost: u64) -> Ended {
    let (mut part, key) = Part::begin(to, &secrets(1), &beginning("a note")).expect("a key");
    let mut body = Vec::new();
    for n in 0..packets {
        let payload = [n as u8; 172];
        part.packet(&packet(n, &payload), &mut body);
    }
    part.finish(Instant::from_ns(9_000_000_000), lost, &mut body);
    Ended { key, body }
}
