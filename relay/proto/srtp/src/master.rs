//! Master keys, and where they come from.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::KeyError;
use crate::limits;
use crate::suite::{Kind, Suite};

/// A master key with its salt and suite (RFC 3711 section 3.2.1). Debug does not show it; memory of it is zeroed.
#[derive(Clone)]
pub struct MasterKey {
    pub(crate) suite: Suite,
    key: [u8; 32],
    salt: [u8; 14],
    pub(crate) mki: Box<[u8]>,
    pub(crate) lifetime: Option<u64>,
    unencrypted: [bool; 2],
}

impl MasterKey {
    /// # Errors
    /// Key or salt are not as long as the suite asks for.
    pub fn new(suite: Suite, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        let (name, expected) = (suite.name(), suite.key_octets());
        if key.len() != expected {
            return Err(KeyError::Key { suite: name, expected, found: key.len() });
        }
        let expected = suite.salt_octets();
        if salt.len() != expected {
            return Err(KeyError::Salt { suite: name, expected, found: salt.len() });
        }
        let (mki, lifetime, unencrypted) = (Box::default(), None, [false; 2]);
        let mut master = Self { suite, key: [0; 32], salt: [0; 14], mki, lifetime, unencrypted };
        master.key[..key.len()].copy_from_slice(key);
        master.salt[..salt.len()].copy_from_slice(salt);
        Ok(master)
    }

    /// The same with a master key identifier, which every packet carries then. An empty one is none.
    ///
    /// # Errors
    /// It is longer than [`limits::MKI_MAX`].
    pub fn with_mki(mut self, mki: &[u8]) -> Result<Self, KeyError> {
        if mki.len() > limits::MKI_MAX {
            return Err(KeyError::Identifier(mki.len()));
        }
        self.mki = mki.into();
        Ok(self)
    }

    /// The same with a lifetime in packets, SRTP and SRTCP each, shorter than the suite's own (RFC 4568 section 6.1). A
    /// sender keeps to it.
    #[must_use]
    pub fn with_lifetime(mut self, packets: u64) -> Self {
        self.lifetime = Some(packets);
        self
    }

    /// The same for packets that are authenticated only: `UNENCRYPTED_SRTP` and `UNENCRYPTED_SRTCP` (RFC 4568 section
    /// 6.3.2). A receiver goes by what each SRTCP packet says of itself.
    #[must_use]
    pub fn unencrypted(mut self, kind: Kind) -> Self {
        self.unencrypted[kind as usize] = true;
        self
    }

    /// Both keys of a DTLS-SRTP association, client's and server's, out of the exported keying material (RFC 5764 section
    /// 4.2): client key, server key, client salt, server salt.
    ///
    /// # Errors
    /// The material is not [`Self::material_octets`] long.
    pub fn from_dtls(suite: Suite, material: &[u8]) -> Result<(Self, Self), KeyError> {
        let expected = Self::material_octets(suite);
        if material.len() != expected {
            return Err(KeyError::Material { suite: suite.name(), expected, found: material.len() });
        }
        let (keys, salts) = material.split_at(2 * suite.key_octets());
        let (client, server) = keys.split_at(suite.key_octets());
        let (client_salt, server_salt) = salts.split_at(suite.salt_octets());
        Ok((Self::new(suite, client, client_salt)?, Self::new(suite, server, server_salt)?))
    }

    /// Octets of keying material that a DTLS-SRTP association exports, with the label `EXTRACTOR-dtls_srtp`.
    #[must_use]
    pub const fn material_octets(suite: Suite) -> usize {
        2 * (suite.key_octets() + suite.salt_octets())
    }

    /// Whether packets are encrypted.
    pub(crate) fn encrypts(&self, kind: Kind) -> bool {
        !self.unencrypted[kind as usize]
    }

    /// What it is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Its identifier in packets; empty if it has none.
    #[must_use]
    pub fn mki(&self) -> &[u8] {
        &self.mki
    }

    /// The secret itself.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key[..self.suite.key_octets()]
    }

    /// The secret's other half.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt[..self.suite.salt_octets()]
    }

    /// The salt as key derivation takes it: one of 96 bits is followed by zeros (RFC 7714 section 11).
    pub(crate) fn salt_112(&self) -> &[u8; 14] {
        &self.salt
    }
}

impl PartialEq for MasterKey {
    /// In constant time as far as the secret is concerned.
    fn eq(&self, other: &Self) -> bool {
        let secrets = self.key.ct_eq(&other.key) & self.salt.ct_eq(&other.salt);
        let Self { suite, mki, lifetime, unencrypted, .. } = self;
        let same =
            (*suite, mki, *lifetime, *unencrypted) == (other.suite, &other.mki, other.lifetime, other.unencrypted);
        same && bool::from(secrets)
    }
}

impl Eq for MasterKey {}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suite, mki, lifetime, .. } = self;
        write!(f, "MasterKey {{ suite: {suite}, key: ***, mki: {mki:?}, lifetime: {lifetime:?} }}")
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.key.zeroize();
        self.salt.zeroize();
    }
}

impl ZeroizeOnDrop for MasterKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_length_is_refused_with_both_lengths() {
        let error = MasterKey::new(Suite::Aes256CmSha1_80, &[0; 16], &[0; 14]).unwrap_err();
        assert_eq!(error.to_string(), "the master key of AES_256_CM_HMAC_SHA1_80 has 32 octets, not 16");
        let error = MasterKey::new(Suite::AeadAes128Gcm, &[0; 16], &[0; 14]).unwrap_err();
        assert_eq!(error.to_string(), "the master salt of AEAD_AES_128_GCM has 12 octets, not 14");
        let key = MasterKey::new(Suite::AeadAes128Gcm, &[0; 16], &[0; 12]).unwrap();
        assert_eq!(key.with_mki(&[0; 129]).unwrap_err(), KeyError::Identifier(129));
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = MasterKey::new(Suite::Aes128CmSha1_80, &[0xab; 16], &[0xcd; 14]).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains("***") && !shown.contains("171") && !shown.contains("205"), "{shown}");
    }

    #[test]
    fn keying_material_is_client_key_server_key_client_salt_server_salt() {
        for suite in Suite::ALL {
            let (key, salt) = (suite.key_octets(), suite.salt_octets());
            let material: Vec<u8> = (0..MasterKey::material_octets(suite) as u8).collect();
            let (client, server) = MasterKey::from_dtls(suite, &material).unwrap();
            assert_eq!((client.key(), server.key()), (&material[..key], &material[key..2 * key]));
            assert_eq!(client.salt(), &material[2 * key..2 * key + salt]);
            assert_eq!(server.salt(), &material[2 * key + salt..]);
            let found = material.len() - 1;
            let error = MasterKey::from_dtls(suite, &material[1..]).unwrap_err();
            assert_eq!(error, KeyError::Material { suite: suite.name(), expected: found + 1, found });
        }
    }

    #[test]
    fn keys_are_equal_when_all_of_them_is() {
        let key = MasterKey::new(Suite::Aes128CmSha1_80, &[1; 16], &[2; 14]).unwrap();
        assert_eq!(key, key.clone());
        assert_ne!(key, MasterKey::new(Suite::Aes128CmSha1_80, &[1; 16], &[3; 14]).unwrap());
        assert_ne!(key, MasterKey::new(Suite::Aes128CmSha1_32, &[1; 16], &[2; 14]).unwrap());
        assert_ne!(key, key.clone().with_mki(&[1]).unwrap());
        assert_ne!(key, key.clone().with_lifetime(1));
        assert_ne!(key, key.clone().unencrypted(Kind::Rtp));
    }
}
