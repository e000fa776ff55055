//! Messages that go out.

use std::net::SocketAddr;

use stun_types::attribute::{AttributeStaticType, AttributeWrite, Fingerprint, XorMappedAddress};
use stun_types::message::TransactionId;

use crate::credentials::Credentials;
use crate::integrity::{IntegrityKind, mac};
use crate::message::{
    Class, ERROR_CODE, FINGERPRINT, MAGIC_COOKIE, MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256, UNKNOWN_ATTRIBUTES,
    XOR_MAPPED_ADDRESS, stored, u96,
};

/// A Binding message that is being written.
pub(crate) struct Writer {
    octets: Vec<u8>,
    transaction: [u8; 12],
}

impl Writer {
    pub fn new(class: Class, transaction: [u8; 12]) -> Self {
        let mut octets = Vec::with_capacity(128);
        octets.extend_from_slice(&class.number().to_be_bytes());
        octets.extend_from_slice(&[0, 0]);
        octets.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        octets.extend_from_slice(&transaction);
        Self { octets, transaction }
    }

    /// Appends an attribute.
    pub fn add(mut self, kind: u16, value: &[u8]) -> Self {
        self.octets.extend_from_slice(&kind.to_be_bytes());
        // Values are credentials and numbers: far below 64 KiB.
        self.octets.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.octets.extend_from_slice(value);
        self.octets.resize(self.octets.len().next_multiple_of(4), 0);
        self
    }

    /// XOR-MAPPED-ADDRESS.
    pub fn mapped(self, address: SocketAddr) -> Self {
        let attribute = XorMappedAddress::new(address, TransactionId::from(u96(self.transaction)));
        debug_assert_eq!(XorMappedAddress::TYPE.value(), XOR_MAPPED_ADDRESS);
        let raw = attribute.to_raw();
        self.add(XOR_MAPPED_ADDRESS, &raw.value)
    }

    /// ERROR-CODE without a phrase, which keeps the response small.
    pub fn error(self, code: u16) -> Self {
        let [class, number] = [code / 100, code % 100].map(|part| part as u8);
        self.add(ERROR_CODE, &[0, 0, class, number])
    }

    /// UNKNOWN-ATTRIBUTES.
    pub fn unknown(self, kinds: &[u16]) -> Self {
        let value: Vec<u8> = kinds.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        self.add(UNKNOWN_ATTRIBUTES, &value)
    }

    /// The integrity attribute.
    pub fn sign(self, kind: IntegrityKind, credentials: &Credentials) -> Self {
        let (number, size) = match kind {
            IntegrityKind::Sha1 => (MESSAGE_INTEGRITY, 20),
            IntegrityKind::Sha256 => (MESSAGE_INTEGRITY_SHA256, 32),
        };
        let mac = mac(credentials, kind, &self.octets, self.octets.len() - 20 + 4 + size);
        self.add(number, &mac[..size])
    }

    /// The octets, with FINGERPRINT if wanted.
    pub fn finish(mut self, fingerprint: bool) -> Vec<u8> {
        let length = self.octets.len() - 20 + if fingerprint { 8 } else { 0 };
        self.octets[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        if !fingerprint {
            return self.octets;
        }
        let value = stored(Fingerprint::compute(&[&self.octets]));
        self.add(FINGERPRINT, &value).octets
    }
}
