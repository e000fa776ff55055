//! Short-term credentials of messages (RFC 8489 section 9.1), and unpredictable numbers.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::credentials::Credentials;

/// Which integrity attribute a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntegrityKind {
    /// MESSAGE-INTEGRITY: what ICE agents use.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256.
    Sha256,
}

/// An integrity attribute: where it starts in the message, and its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Integrity<'a> {
    pub kind: IntegrityKind,
    pub offset: usize,
    pub value: &'a [u8],
}

impl Integrity<'_> {
    /// Whether it was made with the password. The key is the password itself: `ice-char` needs no preparation.
    pub fn verifies(&self, credentials: &Credentials, message: &[u8]) -> bool {
        let length_is_right = match self.kind {
            IntegrityKind::Sha1 => self.value.len() == 20,
            IntegrityKind::Sha256 => (16..=32).contains(&self.value.len()) && self.value.len().is_multiple_of(4),
        };
        let covered = &message[..self.offset];
        length_is_right && {
            let mac = mac(credentials, self.kind, covered, self.offset - 20 + 4 + self.value.len());
            mac[..self.value.len()].ct_eq(self.value).into()
        }
    }
}

/// HMAC over a message up to its integrity attribute, with a length that counts it (RFC 8489 section 14.5).
pub(crate) fn mac(credentials: &Credentials, kind: IntegrityKind, covered: &[u8], length: usize) -> [u8; 32] {
    // At most `limits::MESSAGE_MAX`.
    let length = (length as u16).to_be_bytes();
    let parts = [&covered[..2], &length, &covered[4..]];
    let key = credentials.password().as_bytes();
    let mut mac = [0; 32];
    match kind {
        IntegrityKind::Sha1 => mac[..20].copy_from_slice(&hmac::<Hmac<Sha1>>(key, &parts)),
        IntegrityKind::Sha256 => mac.copy_from_slice(&hmac::<Hmac<Sha256>>(key, &parts)),
    }
    mac
}

/// Numbers that nobody can foresee, drawn from a seed with HMAC-SHA256. Debug hides the seed; it is wiped when dropped.
pub(crate) struct Draws {
    seed: Zeroizing<[u8; 32]>,
    drawn: u64,
}

impl Draws {
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed), drawn: 0 }
    }

    /// A transaction number (RFC 8489 section 5).
    pub fn transaction(&mut self) -> [u8; 12] {
        self.octets()
    }

    /// 64 bits.
    pub fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.octets())
    }

    fn octets<const N: usize>(&mut self) -> [u8; N] {
        self.drawn += 1;
        let octets = hmac::<Hmac<Sha256>>(&self.seed[..], &[&self.drawn.to_be_bytes()]);
        std::array::from_fn(|at| octets[at])
    }
}

impl fmt::Debug for Draws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draws")
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> hmac::digest::Output<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes()
}
