//! What the operator decides: who may use the server, what they get, whom they may reach.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use raceway_api::{RelayAddress, RelayPorts};
use zeroize::Zeroizing;

use crate::limits;

/// A password, shared secret or key: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Content);

#[derive(Clone, PartialEq, Eq)]
enum Content {
    Text(Zeroizing<String>),
    Ha1(Zeroizing<[u8; 16]>),
}

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Content::Text(Zeroizing::new(text)))
    }

    /// `MD5(user ":" realm ":" password)` in place of a user's password (coturn's `user=name:0x...`). While any user
    /// has one, SHA-256 is not offered to anybody: no key for it can be made from this.
    #[must_use]
    pub fn ha1(octets: [u8; 16]) -> Self {
        Self(Content::Ha1(Zeroizing::new(octets)))
    }

    /// The text; empty for a key, which is not allowed where a text is wanted.
    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            Content::Text(text) => text,
            Content::Ha1(_) => "",
        }
    }

    pub(crate) fn as_ha1(&self) -> Option<&[u8; 16]> {
        match &self.0 {
            Content::Text(_) => None,
            Content::Ha1(key) => Some(key),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A user with a long-term password (RFC 8489 section 9.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name, before OpaqueString preparation.
    pub name: String,
    /// Password, before OpaqueString preparation, or a key in its place.
    pub password: Secret,
}

/// Answers to those who have not proven who they are, beyond the size of their own requests
/// (see [`raceway_units::PrefixBudget`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnauthenticatedBudget {
    /// Octets a second for one source prefix (/24, /56).
    pub octets_per_second: u64,
    /// Octets at once.
    pub burst: u64,
}

impl Default for UnauthenticatedBudget {
    /// About 300 new clients a second from one prefix, 1,200 at once.
    fn default() -> Self {
        Self { octets_per_second: 32 << 10, burst: 128 << 10 }
    }
}

/// Everything the operator decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// REALM (RFC 8489 section 14.9), 1 to [`limits::REALM_MAX`] octets.
    pub realm: String,
    /// Static users.
    pub users: Vec<User>,
    /// Secrets for `expiry:user` credentials, as coturn's `use-auth-secret`; all are valid at once.
    pub shared_secrets: Vec<Secret>,
    /// Addresses that clients send to; a client may not use them as peers.
    pub listeners: Vec<SocketAddr>,
    /// Where relayed transport addresses are taken from; at least one.
    pub relay_addresses: Vec<RelayAddress>,
    /// Ports of relayed transport addresses.
    pub ports: RelayPorts,
    /// Lifetime of an allocation that asks for none or for less (RFC 8656 section 7.2: 600 s).
    pub lifetime_default: Duration,
    /// Longest lifetime that is granted.
    pub lifetime_max: Duration,
    /// Peers that are allowed although a default rule denies them.
    pub allow_peers: Vec<IpNet>,
    /// Peers that are denied, whatever else holds: this list wins over `allow_peers`.
    pub deny_peers: Vec<IpNet>,
    /// Addresses of this machine: denied as peers unless allowed, except that relayed addresses reach each other.
    pub own_addresses: Vec<IpAddr>,
    /// Allocations of one user; zero means no limit.
    pub quota_per_user: u32,
    /// Allocations of all; zero means [`limits::ALLOCATIONS_MAX`].
    pub quota_total: u32,
    /// Flows of one user, in all allocations together; zero means no limit. An allocation has one for Send indications
    /// and one for each relayed address, a permission one, a channel two.
    pub flows_per_user: u32,
    /// Bits per second of one allocation in each direction; zero means no limit.
    pub bits_per_second: u64,
    /// How long a nonce is good for.
    pub nonce_lifetime: Duration,
    /// SOFTWARE in responses; none by default, as it helps attackers more than anyone else.
    pub software: Option<String>,
    /// Answers to those who have not proven who they are.
    pub unauthenticated: UnauthenticatedBudget,
}

impl Policy {
    /// A policy with the defaults of the RFCs, no users and no peers denied or allowed beyond the default rules.
    #[must_use]
    pub fn new(realm: String, relay_addresses: Vec<RelayAddress>) -> Self {
        Self {
            realm,
            users: Vec::new(),
            shared_secrets: Vec::new(),
            listeners: Vec::new(),
            relay_addresses,
            ports: RelayPorts { first: 49152, last: 65535 },
            lifetime_default: Duration::from_secs(600),
            lifetime_max: Duration::from_secs(3600),
            allow_peers: Vec::new(),
            deny_peers: Vec::new(),
            own_addresses: Vec::new(),
            quota_per_user: 0,
            quota_total: 0,
            flows_per_user: 0,
            bits_per_second: 0,
            nonce_lifetime: Duration::from_secs(3600),
            software: None,
            unauthenticated: UnauthenticatedBudget::default(),
        }
    }

    /// Whether every value is one that the server can run with.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), PolicyError> {
        self.check_texts()?;
        self.check_addresses()?;
        if self.lifetime_default.is_zero() || self.lifetime_default > self.lifetime_max {
            return Err(PolicyError::Lifetimes);
        }
        if self.lifetime_max.as_secs() > u64::from(u32::MAX) {
            return Err(PolicyError::Lifetimes);
        }
        if self.nonce_lifetime < Duration::from_secs(1) {
            return Err(PolicyError::NonceLifetime);
        }
        if self.quota_total > limits::ALLOCATIONS_MAX {
            return Err(PolicyError::QuotaTotal);
        }
        Ok(())
    }

    fn check_texts(&self) -> Result<(), PolicyError> {
        if self.realm.is_empty() || self.realm.len() > limits::REALM_MAX {
            return Err(PolicyError::RealmLength);
        }
        if self.software.as_ref().is_some_and(|s| s.is_empty() || s.len() > limits::SOFTWARE_MAX) {
            return Err(PolicyError::SoftwareLength);
        }
        if self.users.len() > limits::USERS_MAX {
            return Err(PolicyError::TooManyUsers);
        }
        if self.shared_secrets.len() > limits::SHARED_SECRETS_MAX {
            return Err(PolicyError::TooManySharedSecrets);
        }
        if self.shared_secrets.iter().any(|s| s.as_str().is_empty() || s.as_str().len() > limits::SECRET_MAX) {
            return Err(PolicyError::SharedSecretLength);
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), PolicyError> {
        if self.relay_addresses.is_empty() || self.relay_addresses.len() > limits::RELAY_ADDRESSES_MAX {
            return Err(PolicyError::RelayAddressCount);
        }
        for (at, address) in self.relay_addresses.iter().enumerate() {
            if address.internal.is_ipv4() != address.external.is_ipv4() {
                return Err(PolicyError::ExternalFamily(address.internal));
            }
            if address.internal.is_unspecified() || address.external.is_unspecified() {
                return Err(PolicyError::UnspecifiedRelayAddress);
            }
            if self.relay_addresses[..at].iter().any(|a| a.internal == address.internal) {
                return Err(PolicyError::DuplicateRelayAddress(address.internal));
            }
        }
        if self.ports.first == 0 || self.ports.first > self.ports.last {
            return Err(PolicyError::Ports);
        }
        if self.allow_peers.len().max(self.deny_peers.len()) > limits::PEER_PREFIXES_MAX {
            return Err(PolicyError::TooManyPeerPrefixes);
        }
        Ok(())
    }
}

/// Why a policy was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Empty or too long.
    #[error("realm must have 1 to {} octets", limits::REALM_MAX)]
    RealmLength,
    /// Not an OpaqueString (RFC 8265).
    #[error("realm has characters that RFC 8265 (OpaqueString) forbids")]
    RealmCharacters,
    /// Empty or too long.
    #[error("software must have 1 to {} octets", limits::SOFTWARE_MAX)]
    SoftwareLength,
    /// Over the limit.
    #[error("more than {} users", limits::USERS_MAX)]
    TooManyUsers,
    /// Over the limit.
    #[error("more than {} shared secrets", limits::SHARED_SECRETS_MAX)]
    TooManySharedSecrets,
    /// Empty or too long.
    #[error("a shared secret must have 1 to {} octets", limits::SECRET_MAX)]
    SharedSecretLength,
    /// Empty, too long, with a colon, or not an OpaqueString.
    #[error(
        "user name `{0}` is not usable: 1 to {max} octets, no colon, characters that RFC 8265 (OpaqueString) allows",
        max = limits::USERNAME_MAX
    )]
    UserName(String),
    /// Empty, too long, or not an OpaqueString.
    #[error(
        "password of user `{0}` is not usable: 1 to {max} octets, characters that RFC 8265 (OpaqueString) allows",
        max = limits::SECRET_MAX
    )]
    Password(String),
    /// Given twice.
    #[error("user `{0}` is given twice")]
    DuplicateUser(String),
    /// None or too many.
    #[error("relay addresses: 1 to {} are needed", limits::RELAY_ADDRESSES_MAX)]
    RelayAddressCount,
    /// IPv4 against IPv6.
    #[error("relay address {0} and its external address are of different families")]
    ExternalFamily(IpAddr),
    /// A wildcard.
    #[error("a relay address must not be 0.0.0.0 or ::")]
    UnspecifiedRelayAddress,
    /// Given twice.
    #[error("relay address {0} is given twice")]
    DuplicateRelayAddress(IpAddr),
    /// Empty range, or port 0.
    #[error("relay ports: first must be at least 1 and not above last")]
    Ports,
    /// Over the limit.
    #[error("more than {} prefixes in a peer list", limits::PEER_PREFIXES_MAX)]
    TooManyPeerPrefixes,
    /// Zero, or default above maximum.
    #[error("lifetimes: the default must be at least 1 s and not above the maximum, which is at most 2^32 - 1 s")]
    Lifetimes,
    /// Below one second.
    #[error("a nonce must live for at least one second")]
    NonceLifetime,
    /// Over the limit.
    #[error("quota_total is above {}", limits::ALLOCATIONS_MAX)]
    QuotaTotal,
}
