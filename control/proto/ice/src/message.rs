//! Binding messages as they come in: one pass, nothing copied.

use std::net::SocketAddr;

use stun_types::attribute::{AttributeStaticType, Fingerprint, RawAttribute, XorMappedAddress};
use stun_types::message::TransactionId;

use crate::agent::Discard;
use crate::integrity::{Integrity, IntegrityKind};
use crate::limits;

pub(crate) const MAGIC_COOKIE: u32 = 0x2112_a442;

pub(crate) const USERNAME: u16 = 0x0006;
pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
pub(crate) const ERROR_CODE: u16 = 0x0009;
pub(crate) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
pub(crate) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
pub(crate) const PRIORITY: u16 = 0x0024;
pub(crate) const USE_CANDIDATE: u16 = 0x0025;
pub(crate) const FINGERPRINT: u16 = 0x8028;
pub(crate) const ICE_CONTROLLED: u16 = 0x8029;
pub(crate) const ICE_CONTROLLING: u16 = 0x802a;

/// Class of a Binding message (RFC 8489 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

impl Class {
    /// Message type of the method Binding.
    pub const fn number(self) -> u16 {
        match self {
            Self::Request => 0x0001,
            Self::Indication => 0x0011,
            Self::Success => 0x0101,
            Self::Error => 0x0111,
        }
    }
}

/// Who a message says decides, and its tie-breaker (RFC 8445 section 7.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Controlling(u64),
    Controlled(u64),
}

/// A Binding message. Where an attribute comes twice, the first counts (RFC 8489 section 14); what follows the integrity
/// attribute is not looked at, but for another one and FINGERPRINT.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub octets: &'a [u8],
    pub class: Class,
    pub transaction: [u8; 12],
    pub username: Option<&'a [u8]>,
    /// MESSAGE-INTEGRITY-SHA256 if there are both (RFC 8489 section 9.1.3).
    pub integrity: Option<Integrity<'a>>,
    pub fingerprint: bool,
    pub priority: Option<u32>,
    pub use_candidate: bool,
    pub claim: Option<Claim>,
    pub mapped: Option<SocketAddr>,
    pub error: Option<u16>,
    /// Comprehension-required ones that ICE has no use for.
    pub unknown: [u16; limits::UNKNOWN_ATTRIBUTES_MAX],
    pub unknown_count: usize,
}

/// The user fragment that a Binding request is addressed to: what USERNAME has before the colon (RFC 8445 section 7.2.2).
/// Nothing of it is proven: it says only which agent to ask, where several share an address.
#[must_use]
pub fn addressed_to(datagram: &[u8]) -> Option<&str> {
    let message = Message::parse(datagram).ok().filter(|message| message.class == Class::Request)?;
    let fragment = message.username?.split(|octet| *octet == b':').next()?;
    core::str::from_utf8(fragment).ok()
}

impl<'a> Message<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// Why it is discarded in silence (RFC 8489 section 6.3).
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Discard> {
        let octets = frame(datagram)?;
        let class = match u16::from_be_bytes([octets[0], octets[1]]) {
            0x0001 => Class::Request,
            0x0011 => Class::Indication,
            0x0101 => Class::Success,
            0x0111 => Class::Error,
            _ => return Err(Discard::NotBinding),
        };
        let transaction = octets[8..20].try_into().expect("12 octets");
        let mut message = Self {
            octets,
            class,
            transaction,
            username: None,
            integrity: None,
            fingerprint: false,
            priority: None,
            use_candidate: false,
            claim: None,
            mapped: None,
            error: None,
            unknown: [0; limits::UNKNOWN_ATTRIBUTES_MAX],
            unknown_count: 0,
        };
        message.walk()?;
        Ok(message)
    }

    fn walk(&mut self) -> Result<(), Discard> {
        let mut offset = 20;
        while offset < self.octets.len() {
            let header = self.octets.get(offset..offset + 4).ok_or(Discard::Malformed)?;
            let kind = u16::from_be_bytes([header[0], header[1]]);
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let value = self.octets.get(offset + 4..offset + 4 + length).ok_or(Discard::Malformed)?;
            let next = offset + 4 + length.next_multiple_of(4);
            if next > self.octets.len() {
                return Err(Discard::Malformed);
            }
            match kind {
                FINGERPRINT => return self.check_fingerprint(offset, value),
                MESSAGE_INTEGRITY if self.integrity.is_none() => {
                    self.integrity = Some(Integrity { kind: IntegrityKind::Sha1, offset, value });
                }
                MESSAGE_INTEGRITY_SHA256 if !self.has_sha256() => {
                    self.integrity = Some(Integrity { kind: IntegrityKind::Sha256, offset, value });
                }
                _ if self.integrity.is_some() => {}
                _ => self.note(kind, value)?,
            }
            offset = next;
        }
        Ok(())
    }

    fn has_sha256(&self) -> bool {
        self.integrity.is_some_and(|integrity| integrity.kind == IntegrityKind::Sha256)
    }

    fn note(&mut self, kind: u16, value: &'a [u8]) -> Result<(), Discard> {
        let number = || <[u8; 8]>::try_from(value).map(u64::from_be_bytes).map_err(|_| Discard::Malformed);
        match kind {
            USERNAME => self.username = self.username.or(Some(value)),
            PRIORITY if self.priority.is_none() => {
                let value = value.try_into().map_err(|_| Discard::Malformed)?;
                self.priority = Some(u32::from_be_bytes(value));
            }
            USE_CANDIDATE => self.use_candidate = true,
            ICE_CONTROLLED if self.claim.is_none() => self.claim = Some(Claim::Controlled(number()?)),
            ICE_CONTROLLING if self.claim.is_none() => self.claim = Some(Claim::Controlling(number()?)),
            XOR_MAPPED_ADDRESS if self.mapped.is_none() => {
                let raw = RawAttribute::new(XorMappedAddress::TYPE, value);
                let mapped = XorMappedAddress::try_from(&raw).map_err(|_| Discard::Malformed)?;
                self.mapped = Some(mapped.addr(TransactionId::from(u96(self.transaction))));
            }
            ERROR_CODE if self.error.is_none() => {
                let [_, _, class, number, ..] = value else { return Err(Discard::Malformed) };
                self.error = Some(u16::from(class & 7) * 100 + u16::from(*number));
            }
            // MAPPED-ADDRESS and what only other classes have say nothing here, and are known (RFC 8489 section 14).
            0x0001 | UNKNOWN_ATTRIBUTES | 0x0014 | 0x0015 | XOR_MAPPED_ADDRESS | ERROR_CODE | PRIORITY => {}
            0..0x8000 => self.note_unknown(kind),
            0x8000.. => {}
        }
        Ok(())
    }

    fn note_unknown(&mut self, kind: u16) {
        let seen = self.unknown[..self.unknown_count].contains(&kind);
        if !seen && self.unknown_count < self.unknown.len() {
            self.unknown[self.unknown_count] = kind;
            self.unknown_count += 1;
        }
    }

    /// What comes after FINGERPRINT is not looked at (RFC 8489 section 14.7).
    fn check_fingerprint(&mut self, offset: usize, value: &[u8]) -> Result<(), Discard> {
        // At most `limits::MESSAGE_MAX`.
        let length = (offset as u16 - 20 + 8).to_be_bytes();
        let expected = Fingerprint::compute(&[&self.octets[..2], &length, &self.octets[4..offset]]);
        // `compute` leaves the XOR of section 14.7 to the attribute.
        if stored(expected) != value {
            return Err(Discard::Fingerprint);
        }
        self.fingerprint = true;
        Ok(())
    }
}

/// The value of FINGERPRINT for a checksum (RFC 8489 section 14.7).
pub(crate) fn stored(checksum: [u8; 4]) -> [u8; 4] {
    (u32::from_be_bytes(checksum) ^ 0x5354_554e).to_be_bytes()
}

pub(crate) fn u96(octets: [u8; 12]) -> u128 {
    octets.iter().fold(0, |number, octet| number << 8 | u128::from(*octet))
}

/// The message of a datagram; what follows it is not looked at.
fn frame(datagram: &[u8]) -> Result<&[u8], Discard> {
    let header = datagram.get(..20).ok_or(Discard::Malformed)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let cookie = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    if header[0] > 3 || cookie != MAGIC_COOKIE || !length.is_multiple_of(4) || length + 20 > limits::MESSAGE_MAX {
        return Err(Discard::Malformed);
    }
    datagram.get(..20 + length).ok_or(Discard::Malformed)
}
