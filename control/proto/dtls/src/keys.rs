//! What a handshake is for.

use std::fmt;

use zeroize::Zeroizing;

use crate::association::Role;

/// SRTP protection profile (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `SRTP_AEAD_AES_256_GCM`.
    AeadAes256Gcm,
    /// `SRTP_AEAD_AES_128_GCM`.
    AeadAes128Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80`.
    Aes128CmSha1_80,
    /// `SRTP_AES128_CM_HMAC_SHA1_32`.
    Aes128CmSha1_32,
}

impl Profile {
    /// All of them, best first.
    pub const ALL: [Self; 4] = [Self::AeadAes256Gcm, Self::AeadAes128Gcm, Self::Aes128CmSha1_80, Self::Aes128CmSha1_32];

    /// Its number in `use_srtp`.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::AeadAes256Gcm => 0x0008,
            Self::AeadAes128Gcm => 0x0007,
            Self::Aes128CmSha1_80 => 0x0001,
            Self::Aes128CmSha1_32 => 0x0002,
        }
    }

    /// As OpenSSL calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::Aes128CmSha1_80 => "SRTP_AES128_CM_SHA1_80",
            Self::Aes128CmSha1_32 => "SRTP_AES128_CM_SHA1_32",
        }
    }

    /// Octets of a master key and of a master salt.
    #[must_use]
    pub const fn octets(self) -> (usize, usize) {
        match self {
            Self::AeadAes256Gcm => (32, 12),
            Self::AeadAes128Gcm => (16, 12),
            Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 => (16, 14),
        }
    }
}

/// Master keys of both directions. Debug hides them; they are wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    profile: Profile,
    role: Role,
    material: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys {{ profile: {:?}, role: {:?}, *** }}", self.profile, self.role)
    }
}

impl Keys {
    /// `material` has the profile's length.
    pub(crate) fn new(profile: Profile, role: Role, material: Zeroizing<Vec<u8>>) -> Self {
        debug_assert_eq!(material.len(), 2 * (profile.octets().0 + profile.octets().1));
        Self { profile, role, material }
    }

    /// What they are for.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// As exported: client key, server key, client salt, server salt (RFC 5764 section 4.2).
    #[must_use]
    pub fn material(&self) -> &[u8] {
        &self.material
    }

    /// Key and salt of what is sent to the peer.
    #[must_use]
    pub fn send(&self) -> (&[u8], &[u8]) {
        self.of(self.role)
    }

    /// Key and salt of what the peer sends.
    #[must_use]
    pub fn receive(&self) -> (&[u8], &[u8]) {
        self.of(match self.role {
            Role::Active => Role::Passive,
            Role::Passive => Role::Active,
        })
    }

    /// Of one side; the active one is the client (RFC 5763 section 5).
    fn of(&self, role: Role) -> (&[u8], &[u8]) {
        let (key, salt) = self.profile.octets();
        let (keys, salts) = self.material.split_at(2 * key);
        let at = usize::from(role == Role::Passive);
        (&keys[at * key..][..key], &salts[at * salt..][..salt])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn material_is_client_key_server_key_client_salt_server_salt() {
        for profile in Profile::ALL {
            let (key, salt) = profile.octets();
            let material: Vec<u8> = (0..2 * (key + salt) as u8).collect();
            let keys = |role| Keys::new(profile, role, Zeroizing::new(material.clone()));
            let (active, passive) = (keys(Role::Active), keys(Role::Passive));
            assert_eq!(active.send(), (&material[..key], &material[2 * key..2 * key + salt]));
            assert_eq!(active.receive(), (&material[key..2 * key], &material[2 * key + salt..]));
            assert_eq!((passive.send(), passive.receive()), (active.receive(), active.send()));
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let keys = Keys::new(Profile::AeadAes128Gcm, Role::Active, Zeroizing::new(vec![171; 56]));
        assert_eq!(format!("{keys:?}"), "Keys { profile: AeadAes128Gcm, role: Active, *** }");
    }
}
