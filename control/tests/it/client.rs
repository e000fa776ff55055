//! A STUN and TURN client as bare as can be, written from the RFCs and not from the server's code.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;

pub const BINDING: u16 = 0x001;
pub const ALLOCATE: u16 = 0x003;
pub const REFRESH: u16 = 0x004;
pub const CREATE_PERMISSION: u16 = 0x008;
pub const CHANNEL_BIND: u16 = 0x009;

const SUCCESS: u16 = 0x0100;
const ERROR: u16 = 0x0110;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

pub const USERNAME: u16 = 0x0006;
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
pub const ERROR_CODE: u16 = 0x0009;
pub const CHANNEL_NUMBER: u16 = 0x000c;
pub const XOR_PEER_ADDRESS: u16 = 0x0012;
pub const REALM: u16 = 0x0014;
pub const NONCE: u16 = 0x0015;
pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub const REQUESTED_TRANSPORT: u16 = 0x0019;
pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// UDP as the relayed transport.
pub const UDP: (u16, [u8; 4]) = (REQUESTED_TRANSPORT, [17, 0, 0, 0]);

/// A response.
#[derive(Debug)]
pub struct Response {
    pub kind: u16,
    pub transaction: [u8; 12],
    pub attributes: Vec<(u16, Vec<u8>)>,
}

impl Response {
    pub fn parse(message: &[u8]) -> Self {
        assert!(message.len() >= 20 && message[4..8] == COOKIE, "not STUN: {message:02x?}");
        let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
        assert_eq!(message.len(), 20 + length, "length field");
        let mut attributes = Vec::new();
        let mut rest = &message[20..];
        while rest.len() >= 4 {
            let kind = u16::from_be_bytes([rest[0], rest[1]]);
            let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            attributes.push((kind, rest[4..4 + length].to_vec()));
            rest = &rest[4 + length.next_multiple_of(4)..];
        }
        let transaction = message[8..20].try_into().expect("12 octets");
        Self { kind: u16::from_be_bytes([message[0], message[1]]), transaction, attributes }
    }

    pub fn attribute(&self, kind: u16) -> Option<&[u8]> {
        self.attributes.iter().find(|(k, _)| *k == kind).map(|(_, value)| value.as_slice())
    }

    pub fn is_success(&self) -> bool {
        self.kind & ERROR == SUCCESS
    }

    pub fn error_code(&self) -> Option<u16> {
        self.attribute(ERROR_CODE).map(|value| u16::from(value[2]) * 100 + u16::from(value[3]))
    }

    /// An XOR-…-ADDRESS attribute with an IPv4 address.
    pub fn address(&self, kind: u16) -> SocketAddr {
        let value = self.attribute(kind).unwrap_or_else(|| panic!("{kind:#06x} is missing in {self:?}"));
        assert_eq!(value[1], 1, "IPv4");
        let port = u16::from_be_bytes([value[2] ^ COOKIE[0], value[3] ^ COOKIE[1]]);
        let ip: [u8; 4] = std::array::from_fn(|at| value[4 + at] ^ COOKIE[at]);
        SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port)
    }
}

/// Value of an XOR-…-ADDRESS attribute for an IPv4 address.
pub fn xor_address(address: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(ip) = address.ip() else { panic!("IPv4 only") };
    let port = address.port() ^ 0x2112;
    let ip = ip.octets();
    let mut value = vec![0, 1, (port >> 8) as u8, port as u8];
    value.extend((0..4).map(|at| ip[at] ^ COOKIE[at]));
    value
}

/// Credentials, and what the server told of them.
pub struct Client {
    user: String,
    password: String,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    next: u8,
}

impl Client {
    pub fn new(user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        Self { user, password, realm: Vec::new(), nonce: Vec::new(), next: 0 }
    }

    /// A request; signed once the server has sent a nonce.
    pub fn request(&mut self, method: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        self.next += 1;
        let mut message = Vec::new();
        message.extend(method.to_be_bytes());
        message.extend([0, 0]);
        message.extend(COOKIE);
        message.extend([0xab, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, self.next]);
        for (kind, value) in attributes {
            push(&mut message, *kind, value);
        }
        if !self.nonce.is_empty() {
            push(&mut message, USERNAME, self.user.as_bytes());
            push(&mut message, REALM, &self.realm);
            push(&mut message, NONCE, &self.nonce);
            self.sign(&mut message);
        }
        let length = (message.len() - 20) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
        message
    }

    /// MESSAGE-INTEGRITY with the MD5 key (RFC 8489 sections 9.2.2 and 14.5).
    fn sign(&self, message: &mut Vec<u8>) {
        let length = (message.len() - 20 + 24) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
        let realm = std::str::from_utf8(&self.realm).expect("a realm is UTF-8");
        let key = Md5::digest(format!("{}:{realm}:{}", self.user, self.password));
        let mut hmac = Hmac::<Sha1>::new_from_slice(&key).expect("any length");
        hmac.update(message);
        let mac = hmac.finalize().into_bytes();
        push(message, MESSAGE_INTEGRITY, &mac);
    }

    /// Takes realm and nonce from a 401 or 438.
    pub fn learn(&mut self, response: &Response) {
        self.realm = response.attribute(REALM).expect("REALM").to_vec();
        self.nonce = response.attribute(NONCE).expect("NONCE").to_vec();
    }
}

fn push(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}
