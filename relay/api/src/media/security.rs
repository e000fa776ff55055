//! Keys, and what they are for.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::limits;

/// How packets are secured in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    /// Not at all: RTP and RTCP.
    Plain,
    /// With keys that the parties share and we do not use: packets pass as they are, and nothing looks into them. Passes
    /// only from and to legs that are opaque too.
    Opaque,
    /// SRTP and SRTCP with this key.
    Srtp(Box<SrtpKey>),
    /// With a key that is still being agreed on (DTLS-SRTP): nothing passes until it comes.
    Await,
}

impl From<SrtpKey> for Security {
    fn from(key: SrtpKey) -> Self {
        Self::Srtp(Box::new(key))
    }
}

impl Security {
    pub(crate) fn within_limits(&self) -> bool {
        match self {
            Self::Plain | Self::Opaque | Self::Await => true,
            Self::Srtp(key) => {
                key.key.expose().len() <= limits::KEY_MAX
                    && key.salt.expose().len() <= limits::SALT_MAX
                    && key.mki.len() <= limits::MKI_MAX
            }
        }
    }
}

/// A master key and what it is used with (RFC 3711, RFC 4568, RFC 5764). An equal one keeps its context: rollover
/// counters, replay lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrtpKey {
    /// Cipher and authentication.
    pub suite: Suite,
    /// Master key, as long as the suite wants it.
    pub key: Secret,
    /// Master salt, as long as the suite wants it.
    pub salt: Secret,
    /// Master key identifier that packets carry; empty when they carry none.
    pub mki: Vec<u8>,
    /// Packets that it may protect, where that was agreed to be fewer than the suite allows (RFC 4568 section 6.1).
    pub lifetime: Option<u64>,
}

/// Protection profiles of SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Suite {
    /// AES in counter mode, 128-bit key, 80-bit tag (RFC 4568 section 6.2.1).
    AesCm128HmacSha1_80,
    /// The same with a 32-bit tag on RTP (RFC 4568 section 6.2.2).
    AesCm128HmacSha1_32,
    /// AES in counter mode, 256-bit key, 80-bit tag (RFC 6188 section 4).
    AesCm256HmacSha1_80,
    /// The same with a 32-bit tag on RTP.
    AesCm256HmacSha1_32,
    /// AES-GCM with a 128-bit key (RFC 7714).
    AeadAes128Gcm,
    /// AES-GCM with a 256-bit key (RFC 7714).
    AeadAes256Gcm,
}

impl Suite {
    /// Octets of the master key and of the master salt.
    #[must_use]
    pub const fn key_octets(self) -> (usize, usize) {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => (16, 14),
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 => (32, 14),
            Self::AeadAes128Gcm => (16, 12),
            Self::AeadAes256Gcm => (32, 12),
        }
    }
}

/// Octets that must not be seen: not shown by `Debug`, zeroed when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Copies the octets.
    #[must_use]
    pub fn new(octets: &[u8]) -> Self {
        Self(Zeroizing::new(octets.to_vec()))
    }

    /// The octets.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Octets)
    }
}

struct Octets;

impl Visitor<'_> for Octets {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("octets")
    }

    fn visit_bytes<E: Error>(self, octets: &[u8]) -> Result<Secret, E> {
        Ok(Secret::new(octets))
    }
}
