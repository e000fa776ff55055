//! STUN on the wire, written again for the tests: nothing here is shared with the server.

use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

pub const BINDING: u16 = 0x001;
pub const ALLOCATE: u16 = 0x003;
pub const REFRESH: u16 = 0x004;
pub const CREATE_PERMISSION: u16 = 0x008;
pub const CHANNEL_BIND: u16 = 0x009;

pub const USERNAME: u16 = 0x0006;
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
pub const ERROR_CODE: u16 = 0x0009;
pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
pub const CHANNEL_NUMBER: u16 = 0x000c;
pub const LIFETIME: u16 = 0x000d;
pub const XOR_PEER_ADDRESS: u16 = 0x0012;
pub const REALM: u16 = 0x0014;
pub const NONCE: u16 = 0x0015;
pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
pub const EVEN_PORT: u16 = 0x0018;
pub const REQUESTED_TRANSPORT: u16 = 0x0019;
pub const DONT_FRAGMENT: u16 = 0x001a;
pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
pub const PASSWORD_ALGORITHM: u16 = 0x001d;
pub const USERHASH: u16 = 0x001e;
pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
pub const RESERVATION_TOKEN: u16 = 0x0022;
pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
pub const ADDRESS_ERROR_CODE: u16 = 0x8001;
pub const PASSWORD_ALGORITHMS: u16 = 0x8002;
pub const SOFTWARE: u16 = 0x8022;
pub const FINGERPRINT: u16 = 0x8028;

pub type Attribute = (u16, Vec<u8>);
pub type TransactionId = [u8; 12];

const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// A message without integrity.
pub fn message(kind: u16, transaction: TransactionId, attributes: &[Attribute]) -> Vec<u8> {
    let mut octets = kind.to_be_bytes().to_vec();
    octets.extend([0, 0]);
    octets.extend(MAGIC);
    octets.extend(transaction);
    for (kind, value) in attributes {
        push(&mut octets, *kind, value);
    }
    octets
}

/// Appends an attribute.
pub fn push(octets: &mut Vec<u8>, kind: u16, value: &[u8]) {
    octets.extend(kind.to_be_bytes());
    octets.extend((value.len() as u16).to_be_bytes());
    octets.extend(value);
    octets.resize(octets.len().next_multiple_of(4), 0);
    set_length(octets, 0);
}

fn set_length(octets: &mut [u8], more: usize) {
    let length = (octets.len() - 20 + more) as u16;
    octets[2..4].copy_from_slice(&length.to_be_bytes());
}

pub fn sign_sha1(octets: &mut Vec<u8>, key: &[u8]) {
    set_length(octets, 24);
    let mut mac = Hmac::<Sha1>::new_from_slice(key).unwrap();
    mac.update(octets);
    push(octets, MESSAGE_INTEGRITY, &mac.finalize().into_bytes());
}

pub fn sign_sha256(octets: &mut Vec<u8>, key: &[u8]) {
    set_length(octets, 36);
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(octets);
    push(octets, MESSAGE_INTEGRITY_SHA256, &mac.finalize().into_bytes());
}

pub fn add_fingerprint(octets: &mut Vec<u8>) {
    set_length(octets, 8);
    let crc = crc32(octets) ^ 0x5354_554e;
    push(octets, FINGERPRINT, &crc.to_be_bytes());
}

/// CRC-32 of ITU-T V.42, bit by bit.
fn crc32(octets: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for octet in octets {
        crc ^= u32::from(*octet);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

pub fn md5_key(user: &str, realm: &str, password: &str) -> Vec<u8> {
    Md5::digest(format!("{user}:{realm}:{password}")).to_vec()
}

pub fn sha256_key(user: &str, realm: &str, password: &str) -> Vec<u8> {
    Sha256::digest(format!("{user}:{realm}:{password}")).to_vec()
}

pub fn userhash(user: &str, realm: &str) -> Vec<u8> {
    Sha256::digest(format!("{user}:{realm}")).to_vec()
}

/// An address as XOR-MAPPED-ADDRESS and its like carry it.
pub fn xor_address(address: SocketAddr, transaction: &TransactionId) -> Vec<u8> {
    let mut value = vec![0, if address.is_ipv4() { 1 } else { 2 }];
    value.extend((address.port() ^ 0x2112).to_be_bytes());
    let pad = MAGIC.iter().chain(transaction);
    match address.ip() {
        IpAddr::V4(v4) => value.extend(v4.octets().iter().zip(pad).map(|(a, b)| a ^ b)),
        IpAddr::V6(v6) => value.extend(v6.octets().iter().zip(pad).map(|(a, b)| a ^ b)),
    }
    value
}

pub fn read_xor_address(value: &[u8], transaction: &TransactionId) -> SocketAddr {
    let port = u16::from_be_bytes([value[2], value[3]]) ^ 0x2112;
    let octets: Vec<u8> = value[4..].iter().zip(MAGIC.iter().chain(transaction)).map(|(a, b)| a ^ b).collect();
    let ip = match value[1] {
        1 => IpAddr::from(<[u8; 4]>::try_from(octets).unwrap()),
        2 => IpAddr::from(<[u8; 16]>::try_from(octets).unwrap()),
        other => panic!("family {other}"),
    };
    SocketAddr::new(ip, port)
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub octets: Vec<u8>,
    pub kind: u16,
    pub transaction: TransactionId,
    /// Type, value, offset.
    attributes: Vec<(u16, Vec<u8>, usize)>,
}

impl Response {
    pub fn parse(octets: &[u8]) -> Self {
        assert_eq!(&octets[4..8], MAGIC);
        assert_eq!(usize::from(u16::from_be_bytes([octets[2], octets[3]])) + 20, octets.len());
        let mut attributes = Vec::new();
        let mut at = 20;
        while at < octets.len() {
            let kind = u16::from_be_bytes([octets[at], octets[at + 1]]);
            let length = usize::from(u16::from_be_bytes([octets[at + 2], octets[at + 3]]));
            attributes.push((kind, octets[at + 4..at + 4 + length].to_vec(), at));
            at += 4 + length.next_multiple_of(4);
        }
        Self {
            kind: u16::from_be_bytes([octets[0], octets[1]]),
            transaction: octets[8..20].try_into().unwrap(),
            octets: octets.to_vec(),
            attributes,
        }
    }

    pub fn kinds(&self) -> Vec<u16> {
        self.attributes.iter().map(|(kind, ..)| *kind).collect()
    }

    pub fn get(&self, kind: u16) -> Option<&[u8]> {
        self.attributes.iter().find(|(other, ..)| *other == kind).map(|(_, value, _)| value.as_slice())
    }

    pub fn is_success(&self) -> bool {
        self.kind & 0x0110 == 0x0100
    }

    /// 0 for a success.
    pub fn error(&self) -> u16 {
        match self.get(ERROR_CODE) {
            Some(value) => u16::from(value[2] & 7) * 100 + u16::from(value[3]),
            None => {
                assert!(self.is_success(), "an error response has a code");
                0
            }
        }
    }

    pub fn address(&self, kind: u16) -> Option<SocketAddr> {
        self.get(kind).map(|value| read_xor_address(value, &self.transaction))
    }

    /// All XOR-RELAYED-ADDRESSes.
    pub fn relayed(&self) -> Vec<SocketAddr> {
        let values = self.attributes.iter().filter(|(kind, ..)| *kind == XOR_RELAYED_ADDRESS);
        values.map(|(_, value, _)| read_xor_address(value, &self.transaction)).collect()
    }

    pub fn lifetime(&self) -> Option<u32> {
        self.get(LIFETIME).map(|value| u32::from_be_bytes(value.try_into().unwrap()))
    }

    /// Whether the message carries an integrity attribute of this type that fits the key.
    pub fn verifies(&self, kind: u16, key: &[u8]) -> bool {
        let Some((_, value, offset)) = self.attributes.iter().find(|(other, ..)| *other == kind) else { return false };
        let mut covered = self.octets[..*offset].to_vec();
        set_length(&mut covered, 4 + value.len());
        let mac = if kind == MESSAGE_INTEGRITY {
            let mut mac = Hmac::<Sha1>::new_from_slice(key).unwrap();
            mac.update(&covered);
            mac.finalize().into_bytes().to_vec()
        } else {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(&covered);
            mac.finalize().into_bytes().to_vec()
        };
        mac == *value
    }

    /// Whether FINGERPRINT is last and right.
    pub fn has_fingerprint(&self) -> bool {
        let Some((kind, value, offset)) = self.attributes.last() else { return false };
        *kind == FINGERPRINT && value[..] == (crc32(&self.octets[..*offset]) ^ 0x5354_554e).to_be_bytes()
    }
}
