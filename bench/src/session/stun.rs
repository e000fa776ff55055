//! As much of a STUN client (RFC 8489, RFC 8656) as setting up allocations takes.

use std::net::{Ipv4Addr, SocketAddrV4};

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;

/// RFC 8489 section 5.
pub const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

pub const ALLOCATE: u16 = 0x0003;
pub const CHANNEL_BIND: u16 = 0x0009;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const CHANNEL_NUMBER: u16 = 0x000c;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const REQUESTED_TRANSPORT: u16 = 0x0019;
const ERROR_CODE: u16 = 0x0009;

/// User and password of the long-term mechanism.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    pub name: &'a str,
    pub password: &'a str,
}

/// What a server said in its 401, and the key that follows from it.
#[derive(Clone, Debug)]
pub struct Challenge {
    user: String,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: [u8; 16],
}

impl Challenge {
    /// From a 401 or 438 response.
    #[must_use]
    pub fn of(response: &[u8], user: User) -> Option<Self> {
        let realm = attribute(response, REALM)?.to_vec();
        let nonce = attribute(response, NONCE)?.to_vec();
        let mut md5 = Md5::new();
        md5.update(user.name);
        md5.update(":");
        md5.update(&realm);
        md5.update(":");
        md5.update(user.password);
        Some(Self { user: user.name.to_owned(), realm, nonce, key: md5.finalize().into() })
    }
}

/// A request under construction.
#[derive(Debug)]
pub struct Request(Vec<u8>);

impl Request {
    /// An empty request; `number` makes its transaction id.
    #[must_use]
    pub fn new(method: u16, number: u64) -> Self {
        let mut octets = Vec::with_capacity(256);
        octets.extend(method.to_be_bytes());
        octets.extend([0, 0]);
        octets.extend(MAGIC);
        octets.extend(number.to_be_bytes());
        octets.extend([0x72, 0x77, 0x62, 0x31]);
        Self(octets)
    }

    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len()).expect("attributes here are short");
        self.0.extend(kind.to_be_bytes());
        self.0.extend(length.to_be_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// REQUESTED-TRANSPORT of UDP.
    #[must_use]
    pub fn udp(self) -> Self {
        self.with(REQUESTED_TRANSPORT, &[17, 0, 0, 0])
    }

    /// CHANNEL-NUMBER and XOR-PEER-ADDRESS.
    #[must_use]
    pub fn channel(self, number: u16, peer: SocketAddrV4) -> Self {
        let [a, b] = number.to_be_bytes();
        self.with(CHANNEL_NUMBER, &[a, b, 0, 0]).with(XOR_PEER_ADDRESS, &xor(peer))
    }

    /// The finished octets, signed if a challenge is at hand.
    #[must_use]
    pub fn finish(self, challenge: Option<&Challenge>) -> Vec<u8> {
        let Some(challenge) = challenge else {
            let mut octets = self.0;
            set_length(&mut octets, 0);
            return octets;
        };
        let signed =
            self.with(USERNAME, challenge.user.as_bytes()).with(REALM, &challenge.realm).with(NONCE, &challenge.nonce);
        let mut octets = signed.0;
        set_length(&mut octets, 24);
        let mut mac = Hmac::<Sha1>::new_from_slice(&challenge.key).expect("HMAC takes keys of any length");
        mac.update(&octets);
        octets.extend(MESSAGE_INTEGRITY.to_be_bytes());
        octets.extend([0, 20]);
        octets.extend(mac.finalize().into_bytes());
        octets
    }
}

fn set_length(octets: &mut [u8], more: usize) {
    let length = u16::try_from(octets.len() - 20 + more).expect("requests here are short");
    octets[2..4].copy_from_slice(&length.to_be_bytes());
}

fn xor(address: SocketAddrV4) -> [u8; 8] {
    let [p, q] = address.port().to_be_bytes();
    let [a, b, c, d] = address.ip().octets();
    let [k, l, m, n] = MAGIC;
    [0, 1, p ^ k, q ^ l, a ^ k, b ^ l, c ^ m, d ^ n]
}

/// How a response came out: success, or its error code.
#[must_use]
pub fn outcome(response: &[u8]) -> Option<Result<(), u16>> {
    match u16::from_be_bytes([*response.first()?, *response.get(1)?]) & 0x0110 {
        0x0100 => Some(Ok(())),
        0x0110 => {
            let [_, _, class, number, ..] = attribute(response, ERROR_CODE)? else { return None };
            Some(Err(u16::from(*class) * 100 + u16::from(*number)))
        }
        _ => None,
    }
}

/// XOR-RELAYED-ADDRESS of an IPv4 allocation.
#[must_use]
pub fn relayed(response: &[u8]) -> Option<SocketAddrV4> {
    let &[_, 1, p, q, a, b, c, d] = attribute(response, XOR_RELAYED_ADDRESS)? else { return None };
    let [k, l, m, n] = MAGIC;
    Some(SocketAddrV4::new(Ipv4Addr::new(a ^ k, b ^ l, c ^ m, d ^ n), u16::from_be_bytes([p ^ k, q ^ l])))
}

/// Value of the first attribute of a kind.
fn attribute(message: &[u8], kind: u16) -> Option<&[u8]> {
    let mut rest = message.get(20..)?;
    loop {
        let (header, after) = rest.split_at_checked(4)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let value = after.get(..length)?;
        if u16::from_be_bytes([header[0], header[1]]) == kind {
            return Some(value);
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_mask() {
        let address: SocketAddrV4 = "10.1.2.3:50000".parse().expect("an address");
        let mut response = Request::new(ALLOCATE | 0x0100, 1).with(XOR_RELAYED_ADDRESS, &xor(address)).0;
        set_length(&mut response, 0);
        assert_eq!(relayed(&response), Some(address));
        assert_eq!(outcome(&response), Some(Ok(())));
    }

    #[test]
    fn a_challenge_yields_the_key_of_rfc_8489() {
        // RFC 8489 section 9.2.2: user "user", realm "realm", password "pass".
        let response = Request::new(ALLOCATE | 0x0110, 1).with(REALM, b"realm").with(NONCE, b"n").0;
        let challenge = Challenge::of(&response, User { name: "user", password: "pass" }).expect("a challenge");
        assert_eq!(challenge.key[..4], [0x84, 0x93, 0xfb, 0xc5]);
    }
}
