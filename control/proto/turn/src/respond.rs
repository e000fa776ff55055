//! Responses: attributes in, octets out.

use std::net::SocketAddr;

use stun_types::attribute::{
    AttributeStaticType, AttributeType, AttributeWrite, ErrorCode, Fingerprint, RawAttribute, Software,
    UnknownAttributes, XorMappedAddress,
};
use stun_types::message::{Message, MessageClass, MessageType, MessageWriteExt, MessageWriteVec, TransactionId};

use crate::auth::{IntegrityKind, Key, set_length};
use crate::counters::{Method, Refusal};
use crate::message::Request;

/// Capacity of a response buffer: the longest usual one (a 401, a dual Allocate success) fits without growing.
const CAPACITY: usize = 192;

/// What a response must repeat of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub method: Method,
    pub transaction: TransactionId,
    /// The request had one, so the response gets one (RFC 8489 section 7: the usage decides; clients that
    /// multiplex send it and expect it).
    pub fingerprint: bool,
    /// How the response is protected; none while the request is not authenticated.
    pub integrity: Option<IntegrityKind>,
}

impl Exchange {
    pub fn of(request: &Request<'_>) -> Self {
        Self {
            method: request.method,
            transaction: request.transaction,
            fingerprint: request.fingerprint,
            integrity: None,
        }
    }
}

/// A response that is being written.
#[derive(Debug)]
pub(crate) struct Response {
    exchange: Exchange,
    writer: MessageWriteVec,
}

impl Response {
    pub fn success(exchange: Exchange) -> Self {
        Self::new(exchange, MessageClass::Success)
    }

    /// With ERROR-CODE (RFC 8489 section 14.8).
    pub fn error(exchange: Exchange, refusal: Refusal) -> Self {
        let mut response = Self::new(exchange, MessageClass::Error);
        response.add(&error_code(refusal));
        response
    }

    fn new(exchange: Exchange, class: MessageClass) -> Self {
        let kind = MessageType::from_class_method(class, stun_types::message::Method::new(exchange.method.number()));
        let writer = Message::builder(kind, exchange.transaction, MessageWriteVec::with_capacity(CAPACITY));
        Self { exchange, writer }
    }

    /// Appends an attribute.
    pub fn add(&mut self, attribute: &dyn AttributeWrite) {
        self.writer.add_attribute(attribute).expect("integrity and fingerprint are added at the end, by `finish`");
    }

    /// Appends an attribute whose value is at hand.
    pub fn add_raw(&mut self, kind: AttributeType, value: &[u8]) {
        self.add(&RawAttribute::new(kind, value));
    }

    pub fn add_mapped_address(&mut self, client: SocketAddr) {
        let address = XorMappedAddress::new(client, self.exchange.transaction);
        self.add(&address);
    }

    pub fn add_unknown_attributes(&mut self, numbers: &[u16]) {
        let mut value = [0; 2 * crate::limits::UNKNOWN_ATTRIBUTES_MAX];
        for (place, number) in value.chunks_exact_mut(2).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        self.add_raw(UnknownAttributes::TYPE, &value[..2 * numbers.len().min(crate::limits::UNKNOWN_ATTRIBUTES_MAX)]);
    }

    /// The octets, with SOFTWARE, integrity and FINGERPRINT as they are due.
    pub fn finish(mut self, software: Option<&str>, key: Option<&Key>) -> Vec<u8> {
        if let Some(software) = software {
            self.add_raw(Software::TYPE, software.as_bytes());
        }
        let exchange = self.exchange;
        let mut octets: Vec<u8> = stun_types::message::MessageWrite::finish(self.writer);
        if let (Some(kind), Some(key)) = (exchange.integrity, key) {
            key.sign(kind, &mut octets);
        }
        if exchange.fingerprint {
            add_fingerprint(&mut octets);
        }
        octets
    }
}

/// The code with the reason phrase of the RFC.
pub(crate) fn error_code(refusal: Refusal) -> ErrorCode {
    ErrorCode::builder(refusal.code()).build().expect("the code is between 300 and 699")
}

/// FINGERPRINT (RFC 8489 section 14.7).
fn add_fingerprint(octets: &mut Vec<u8>) {
    let length = octets.len() - 20 + 8;
    set_length(octets, length);
    let attribute = Fingerprint::new(Fingerprint::compute(&[octets]));
    let start = octets.len();
    octets.resize(start + 8, 0);
    attribute.write_into_unchecked(&mut octets[start..]);
}
