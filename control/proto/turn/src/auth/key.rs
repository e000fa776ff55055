//! Keys of long-term credentials and the two integrity attributes made with them.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use stun_types::attribute::{AttributeStaticType, AttributeType, MessageIntegrity, MessageIntegritySha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::message::frame;

/// How a password becomes a key (RFC 8489 section 18.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordAlgorithm {
    Md5,
    Sha256,
}

impl PasswordAlgorithm {
    /// The number in PASSWORD-ALGORITHM.
    pub const fn number(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha256 => 2,
        }
    }
}

/// Which integrity attribute (RFC 8489 sections 14.5 and 14.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntegrityKind {
    Sha1,
    Sha256,
}

/// Key of a long-term credential; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    octets: Zeroizing<[u8; 32]>,
    pub algorithm: PasswordAlgorithm,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// `hash(username ":" realm ":" password)` (RFC 8489 sections 9.2.2 and 18.5.1). Realm and password are
    /// prepared, the username is as the client sent it.
    pub fn derive(algorithm: PasswordAlgorithm, username: &[u8], realm: &str, password: &str) -> Self {
        let parts: [&[u8]; 5] = [username, b":", realm.as_bytes(), b":", password.as_bytes()];
        let mut octets = Zeroizing::new([0; 32]);
        match algorithm {
            PasswordAlgorithm::Md5 => octets[..16].copy_from_slice(&digest::<Md5>(&parts)),
            PasswordAlgorithm::Sha256 => octets.copy_from_slice(&digest::<Sha256>(&parts)),
        }
        Self { octets, algorithm }
    }

    /// An MD5 key that was made elsewhere.
    pub fn from_ha1(ha1: &[u8; 16]) -> Self {
        let mut octets = Zeroizing::new([0; 32]);
        octets[..16].copy_from_slice(ha1);
        Self { octets, algorithm: PasswordAlgorithm::Md5 }
    }

    fn octets(&self) -> &[u8] {
        match self.algorithm {
            PasswordAlgorithm::Md5 => &self.octets[..16],
            PasswordAlgorithm::Sha256 => &self.octets[..],
        }
    }

    /// Whether `value`, found in the integrity attribute at `offset`, is right for `message`.
    pub fn verifies(&self, kind: IntegrityKind, message: &[u8], offset: usize, value: &[u8]) -> bool {
        verifies(self.octets(), kind, message, offset, value)
    }

    /// Appends the integrity attribute to a message and counts it in the message's length.
    pub fn sign(&self, kind: IntegrityKind, message: &mut Vec<u8>) {
        let (number, size): (u16, u16) = match kind {
            IntegrityKind::Sha1 => (0x0008, 20),
            IntegrityKind::Sha256 => (0x001c, 32),
        };
        let length = message.len() - 20 + 4 + usize::from(size);
        let mac = mac(self.octets(), kind, message, length);
        set_length(message, length);
        message.extend_from_slice(&number.to_be_bytes());
        message.extend_from_slice(&size.to_be_bytes());
        message.extend_from_slice(&mac[..usize::from(size)]);
    }
}

/// Whether the integrity attribute of a message was made with this HMAC key; none if there is no attribute, or no
/// message. MESSAGE-INTEGRITY-SHA256 decides when both are there (RFC 8489 section 9.2.4).
#[must_use]
pub fn verify_integrity(message: &[u8], key: &[u8]) -> Option<bool> {
    let (octets, message) = frame(message).ok()?;
    let found = |wanted: AttributeType, kind| {
        let (offset, attribute) = message.raw_attribute_and_offset(wanted)?;
        Some(verifies(key, kind, octets, offset, &attribute.value))
    };
    found(MessageIntegritySha256::TYPE, IntegrityKind::Sha256)
        .or_else(|| found(MessageIntegrity::TYPE, IntegrityKind::Sha1))
}

/// The MAC covers the message up to the attribute, with a length as if the message ended with it (RFC 8489 section
/// 14.5). A SHA-256 value may be cut to a multiple of 4 octets, not below 16 (section 14.6).
fn verifies(key: &[u8], kind: IntegrityKind, message: &[u8], offset: usize, value: &[u8]) -> bool {
    let length_is_right = match kind {
        IntegrityKind::Sha1 => value.len() == 20,
        IntegrityKind::Sha256 => (16..=32).contains(&value.len()) && value.len().is_multiple_of(4),
    };
    if !length_is_right || message.len() < offset || offset < 20 {
        return false;
    }
    let mac = mac(key, kind, &message[..offset], offset - 20 + 4 + value.len());
    mac[..value.len()].ct_eq(value).into()
}

/// HMAC over a message up to its integrity attribute, with the length that counts it.
fn mac(key: &[u8], kind: IntegrityKind, covered: &[u8], length: usize) -> [u8; 32] {
    // Lengths come from messages of at most `limits::REQUEST_MAX` octets.
    let length = (length as u16).to_be_bytes();
    let parts = [&covered[..2], &length, &covered[4..]];
    let mut mac = [0; 32];
    match kind {
        IntegrityKind::Sha1 => mac[..20].copy_from_slice(&hmac::<Hmac<Sha1>>(key, &parts)),
        IntegrityKind::Sha256 => mac.copy_from_slice(&hmac::<Hmac<Sha256>>(key, &parts)),
    }
    mac
}

fn hmac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> hmac::digest::Output<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes()
}

/// Writes the length field of a message header.
pub(crate) fn set_length(message: &mut [u8], length: usize) {
    // Responses stay far below 64 KiB: every part of them has a limit.
    message[2..4].copy_from_slice(&(length as u16).to_be_bytes());
}

fn digest<D: Digest>(parts: &[&[u8]]) -> hmac::digest::Output<D> {
    let mut digest = D::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_rfc_8489_section_9_2_2() {
        let key = Key::derive(PasswordAlgorithm::Md5, b"user", "realm", "pass");
        assert_eq!(key.octets(), 0x8493_fbc5_3ba5_82fb_4c04_4c45_6bdc_40eb_u128.to_be_bytes());
    }

    #[test]
    fn a_signed_message_verifies_until_one_bit_changes() {
        let key = Key::derive(PasswordAlgorithm::Sha256, b"user", "realm", "pass");
        for kind in [IntegrityKind::Sha1, IntegrityKind::Sha256] {
            let mut message = vec![7; 32];
            key.sign(kind, &mut message);
            let value = message[36..].to_vec();
            assert!(key.verifies(kind, &message, 32, &value));
            for at in (0..2).chain(4..32) {
                message[at] ^= 1;
                assert!(!key.verifies(kind, &message, 32, &value));
                message[at] ^= 1;
            }
        }
    }

    #[test]
    fn a_sha256_value_may_be_cut_to_16_octets_and_no_further() {
        let key = Key::derive(PasswordAlgorithm::Sha256, b"user", "realm", "pass");
        let message = [7; 32];
        for size in 0..=32 {
            let mac = mac(key.octets(), IntegrityKind::Sha256, &message, 12 + 4 + size);
            let accepted = key.verifies(IntegrityKind::Sha256, &message, 32, &mac[..size]);
            assert_eq!(accepted, [16, 20, 24, 28, 32].contains(&size), "{size} octets");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = Key::derive(PasswordAlgorithm::Md5, b"user", "realm", "pass");
        assert_eq!(format!("{key:?}"), "Key(..)");
    }
}
