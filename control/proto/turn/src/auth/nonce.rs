//! Nonces without state: a time and a MAC over it and the client's address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use raceway_units::Instant;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Begins every nonce of a server that knows RFC 8489 (section 9.2).
const COOKIE: &str = "obMatJos2";
/// Octets of the cookie with the security features behind it.
pub(crate) const COOKIE_LENGTH: usize = 13;
/// Octets of a nonce: cookie, then 4 octets of time and 16 of MAC in base64.
pub(crate) const NONCE_LENGTH: usize = COOKIE_LENGTH + 27;

/// STUN security feature "Password algorithms": bit 0 of 24 (RFC 8489 section 18.1).
const PASSWORD_ALGORITHMS: u8 = 0x80;
/// STUN security feature "Username anonymity": bit 1 of 24.
const USERNAME_ANONYMITY: u8 = 0x40;

/// Key of the nonces. The shell keeps it over a restart of control, so that nonces outlive it.
pub struct NonceKey(Zeroizing<[u8; 32]>);

impl NonceKey {
    /// From 32 random octets.
    #[must_use]
    pub fn new(octets: [u8; 32]) -> Self {
        Self(Zeroizing::new(octets))
    }
}

impl std::fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NonceKey(..)")
    }
}

/// Makes and judges nonces.
///
/// A nonce holds for one client address and port (RFC 8489 section 9.2.4: never the same for two of them), for a
/// given time by the kernel's clock, which no one can turn back.
#[derive(Debug)]
pub(crate) struct Nonces {
    key: NonceKey,
    cookie: [u8; COOKIE_LENGTH],
    lifetime: Duration,
}

impl Nonces {
    pub fn new(key: NonceKey) -> Self {
        Self { key, cookie: cookie(false), lifetime: Duration::ZERO }
    }

    /// Sets what the policy says: whether clients should hide their names in USERHASH, and the lifetime.
    pub fn configure(&mut self, username_anonymity: bool, lifetime: Duration) {
        self.cookie = cookie(username_anonymity);
        self.lifetime = lifetime;
    }

    /// A nonce for `client`.
    pub fn make(&self, now: Instant, client: SocketAddr) -> [u8; NONCE_LENGTH] {
        self.make_at(seconds(now), client)
    }

    fn make_at(&self, seconds: u32, client: SocketAddr) -> [u8; NONCE_LENGTH] {
        let mut inner = [0; 20];
        inner[..4].copy_from_slice(&seconds.to_be_bytes());
        inner[4..].copy_from_slice(&self.mac(seconds, client));
        let mut nonce = [0; NONCE_LENGTH];
        nonce[..COOKIE_LENGTH].copy_from_slice(&self.cookie);
        let written = URL_SAFE_NO_PAD.encode_slice(inner, &mut nonce[COOKIE_LENGTH..]);
        debug_assert_eq!(written, Ok(NONCE_LENGTH - COOKIE_LENGTH), "20 octets are 27 characters");
        nonce
    }

    /// Whether `nonce` was made here for `client` and still holds.
    pub fn is_valid(&self, now: Instant, client: SocketAddr, nonce: &[u8]) -> bool {
        let Some(encoded) = nonce.get(COOKIE_LENGTH..) else { return false };
        let mut inner = [0; 20];
        if URL_SAFE_NO_PAD.decode_slice(encoded, &mut inner) != Ok(20) {
            return false;
        }
        let made = u32::from_be_bytes([inner[0], inner[1], inner[2], inner[3]]);
        let age = seconds(now).checked_sub(made);
        let fresh = age.is_some_and(|age| u64::from(age) < self.lifetime.as_secs());
        fresh && bool::from(self.make_at(made, client)[..].ct_eq(nonce))
    }

    fn mac(&self, seconds: u32, client: SocketAddr) -> [u8; 16] {
        let mut hmac = Hmac::<Sha256>::new_from_slice(&self.key.0[..]).expect("HMAC takes keys of any length");
        hmac.update(&seconds.to_be_bytes());
        match client.ip() {
            IpAddr::V4(v4) => hmac.update(&v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => hmac.update(&v6.octets()),
        }
        hmac.update(&client.port().to_be_bytes());
        let mac = hmac.finalize().into_bytes();
        std::array::from_fn(|at| mac[at])
    }
}

/// Whether a nonce says that its server lists password algorithms (RFC 8489 section 9.2.4).
pub(crate) fn lists_password_algorithms(nonce: &[u8]) -> bool {
    let Some(features) = nonce.strip_prefix(COOKIE.as_bytes()).and_then(|rest| rest.get(..4)) else { return false };
    let mut octets = [0; 3];
    STANDARD.decode_slice(features, &mut octets) == Ok(3) && octets[0] & PASSWORD_ALGORITHMS != 0
}

fn cookie(username_anonymity: bool) -> [u8; COOKIE_LENGTH] {
    let features = PASSWORD_ALGORITHMS | if username_anonymity { USERNAME_ANONYMITY } else { 0 };
    let mut cookie = [0; COOKIE_LENGTH];
    cookie[..COOKIE.len()].copy_from_slice(COOKIE.as_bytes());
    let written = STANDARD.encode_slice([features, 0, 0], &mut cookie[COOKIE.len()..]);
    debug_assert_eq!(written, Ok(4), "3 octets are 4 characters");
    cookie
}

/// Seconds since boot; they fit for 136 years.
fn seconds(now: Instant) -> u32 {
    now.since(Instant::from_ns(0)).as_secs() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces() -> Nonces {
        let mut nonces = Nonces::new(NonceKey::new([7; 32]));
        nonces.configure(false, Duration::from_secs(600));
        nonces
    }

    fn client(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    const NOW: Instant = Instant::from_ns(1_000_000_000_000);

    #[test]
    fn a_nonce_begins_with_the_cookie_and_the_features() {
        let nonce = nonces().make(NOW, client(1));
        assert_eq!(&nonce[..COOKIE_LENGTH], b"obMatJos2gAAA");
        assert!(lists_password_algorithms(&nonce));
        let mut anonymous = nonces();
        anonymous.configure(true, Duration::from_secs(600));
        assert_eq!(&anonymous.make(NOW, client(1))[..COOKIE_LENGTH], b"obMatJos2wAAA");
    }

    #[test]
    fn a_nonce_holds_for_its_time_and_client_only() {
        let nonce = nonces().make(NOW, client(1));
        assert!(nonces().is_valid(NOW, client(1), &nonce));
        assert!(nonces().is_valid(NOW.after(Duration::from_secs(599)), client(1), &nonce));
        assert!(!nonces().is_valid(NOW.after(Duration::from_secs(600)), client(1), &nonce));
        assert!(!nonces().is_valid(Instant::from_ns(0), client(1), &nonce), "from the future");
        assert!(!nonces().is_valid(NOW, client(2), &nonce));
        assert!(!nonces().is_valid(NOW, SocketAddr::from(([192, 0, 2, 2], 1)), &nonce));
    }

    #[test]
    fn a_changed_nonce_or_another_key_does_not_hold() {
        let nonce = nonces().make(NOW, client(1));
        for at in 0..NONCE_LENGTH {
            let mut changed = nonce;
            changed[at] ^= 1;
            assert!(!nonces().is_valid(NOW, client(1), &changed));
        }
        let mut other = Nonces::new(NonceKey::new([8; 32]));
        other.configure(false, Duration::from_secs(600));
        assert!(!other.is_valid(NOW, client(1), &nonce));
        assert!(!nonces().is_valid(NOW, client(1), b""));
    }
}
