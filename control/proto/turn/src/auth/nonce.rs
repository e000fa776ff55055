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
/// In the first octet of a nonce's time: it came with [`Offer::Md5Alone`].
const MD5_ALONE: u8 = 0x80;

/// STUN security feature "Username anonymity": bit 1 of 24.
const USERNAME_ANONYMITY: u8 = 0x40;

/// Key of the nonces of one boot of the machine.
pub struct NonceKey(Zeroizing<[u8; 32]>);

impl NonceKey {
    /// From 32 random octets, which the shell keeps so that nonces outlive a restart of control, and whatever names the
    /// present boot. Nonces tell the time since boot: one of an earlier boot would hold again at the same uptime.
    #[must_use]
    pub fn new(secret: &[u8; 32], boot: &[u8]) -> Self {
        let mut hmac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        hmac.update(boot);
        Self(Zeroizing::new(hmac.finalize().into_bytes().into()))
    }
}

impl std::fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NonceKey(..)")
    }
}

/// Password algorithms that challenges list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// SHA-256 before MD5.
    Both,
    /// No key for another can be made.
    Md5Alone,
}

impl Offer {
    /// PASSWORD-ALGORITHMS (RFC 8489 section 14.11); neither algorithm has parameters.
    pub const fn octets(self) -> &'static [u8] {
        match self {
            Self::Both => &[0, 2, 0, 0, 0, 1, 0, 0],
            Self::Md5Alone => &[0, 1, 0, 0],
        }
    }

    /// The offer that came with a nonce, as it says; whether it says the truth is for [`Nonces::judge`].
    pub fn that_came_with(nonce: &[u8]) -> Self {
        match read(nonce) {
            Some(inner) if inner[0] & MD5_ALONE != 0 => Self::Md5Alone,
            _ => Self::Both,
        }
    }
}

/// What a nonce is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    /// Made here for this client, and holds.
    Valid,
    /// Made here for this client, and does not hold any more.
    Stale,
    /// Not made here, or for another client, or with other features.
    Foreign,
}

/// Makes and judges nonces.
///
/// A nonce holds for one client address and port (RFC 8489 section 9.2.4: never the same for two of them), for a
/// given time by the kernel's clock, which no one can turn back.
#[derive(Debug)]
pub(crate) struct Nonces {
    key: NonceKey,
    cookie: [u8; COOKIE_LENGTH],
    offer: Offer,
    lifetime: Duration,
}

impl Nonces {
    pub fn new(key: NonceKey) -> Self {
        Self { key, cookie: cookie(false), offer: Offer::Both, lifetime: Duration::ZERO }
    }

    /// Sets what the policy says: whether clients should hide their names in USERHASH, what they may choose from, and
    /// the lifetime.
    pub fn configure(&mut self, username_anonymity: bool, offer: Offer, lifetime: Duration) {
        self.cookie = cookie(username_anonymity);
        self.offer = offer;
        self.lifetime = lifetime;
    }

    /// What challenges list now.
    pub const fn offer(&self) -> Offer {
        self.offer
    }

    /// A nonce for `client`.
    pub fn make(&self, now: Instant, client: SocketAddr) -> [u8; NONCE_LENGTH] {
        let mut made = seconds(now).to_be_bytes();
        made[0] |= if self.offer == Offer::Md5Alone { MD5_ALONE } else { 0 };
        self.make_of(made, client)
    }

    fn make_of(&self, made: [u8; 4], client: SocketAddr) -> [u8; NONCE_LENGTH] {
        let mut inner = [0; 20];
        inner[..4].copy_from_slice(&made);
        inner[4..].copy_from_slice(&self.mac(made, client));
        let mut nonce = [0; NONCE_LENGTH];
        nonce[..COOKIE_LENGTH].copy_from_slice(&self.cookie);
        let written = URL_SAFE_NO_PAD.encode_slice(inner, &mut nonce[COOKIE_LENGTH..]);
        debug_assert_eq!(written, Ok(NONCE_LENGTH - COOKIE_LENGTH), "20 octets are 27 characters");
        nonce
    }

    /// What `nonce` is worth for `client`.
    pub fn judge(&self, now: Instant, client: SocketAddr, nonce: &[u8]) -> Worth {
        let Some(inner) = read(nonce) else { return Worth::Foreign };
        let made = [inner[0], inner[1], inner[2], inner[3]];
        if !bool::from(self.make_of(made, client)[..].ct_eq(nonce)) {
            return Worth::Foreign;
        }
        let age = seconds(now).checked_sub(u32::from_be_bytes([made[0] & !MD5_ALONE, made[1], made[2], made[3]]));
        if age.is_some_and(|age| u64::from(age) < self.lifetime.as_secs()) { Worth::Valid } else { Worth::Stale }
    }

    fn mac(&self, made: [u8; 4], client: SocketAddr) -> [u8; 16] {
        let mut hmac = Hmac::<Sha256>::new_from_slice(&self.key.0[..]).expect("HMAC takes keys of any length");
        hmac.update(&made);
        match client.ip() {
            IpAddr::V4(v4) => hmac.update(&v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => hmac.update(&v6.octets()),
        }
        hmac.update(&client.port().to_be_bytes());
        let mac = hmac.finalize().into_bytes();
        std::array::from_fn(|at| mac[at])
    }
}

/// What follows a nonce's cookie.
fn read(nonce: &[u8]) -> Option<[u8; 20]> {
    let mut inner = [0; 20];
    let encoded = nonce.get(COOKIE_LENGTH..)?;
    (URL_SAFE_NO_PAD.decode_slice(encoded, &mut inner) == Ok(20)).then_some(inner)
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

/// Seconds since boot; they leave the highest bit alone for 68 years.
fn seconds(now: Instant) -> u32 {
    now.since(Instant::from_ns(0)).as_secs() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces() -> Nonces {
        made_by(NonceKey::new(&[7; 32], b"this boot"))
    }

    fn made_by(key: NonceKey) -> Nonces {
        let mut nonces = Nonces::new(key);
        nonces.configure(false, Offer::Both, Duration::from_secs(600));
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
        anonymous.configure(true, Offer::Both, Duration::from_secs(600));
        assert_eq!(&anonymous.make(NOW, client(1))[..COOKIE_LENGTH], b"obMatJos2wAAA");
    }

    #[test]
    fn a_nonce_holds_for_its_time_and_client_only() {
        let nonce = nonces().make(NOW, client(1));
        let judge = |now, client| nonces().judge(now, client, &nonce);
        assert_eq!(judge(NOW, client(1)), Worth::Valid);
        assert_eq!(judge(NOW.after(Duration::from_secs(599)), client(1)), Worth::Valid);
        assert_eq!(judge(NOW.after(Duration::from_secs(600)), client(1)), Worth::Stale);
        assert_eq!(judge(Instant::from_ns(0), client(1)), Worth::Stale, "from the future");
        assert_eq!(judge(NOW, client(2)), Worth::Foreign);
        assert_eq!(judge(NOW, SocketAddr::from(([192, 0, 2, 2], 1))), Worth::Foreign);
    }

    #[test]
    fn a_nonce_remembers_the_offer_that_it_came_with() {
        let mut nonces = nonces();
        let before = nonces.make(NOW, client(1));
        nonces.configure(false, Offer::Md5Alone, Duration::from_secs(600));
        let after = nonces.make(NOW, client(1));
        assert_eq!(Offer::that_came_with(&before), Offer::Both);
        assert_eq!(Offer::that_came_with(&after), Offer::Md5Alone);
        assert_eq!(nonces.judge(NOW, client(1), &before), Worth::Valid);
        assert_eq!(nonces.judge(NOW, client(1), &after), Worth::Valid);
    }

    #[test]
    fn a_changed_nonce_or_another_key_does_not_hold() {
        let nonce = nonces().make(NOW, client(1));
        for at in 0..NONCE_LENGTH {
            let mut changed = nonce;
            changed[at] ^= 1;
            assert_eq!(nonces().judge(NOW, client(1), &changed), Worth::Foreign);
        }
        let other = made_by(NonceKey::new(&[8; 32], b"this boot"));
        assert_eq!(other.judge(NOW, client(1), &nonce), Worth::Foreign);
        assert_eq!(nonces().judge(NOW, client(1), b""), Worth::Foreign);
    }

    #[test]
    fn a_nonce_of_another_boot_does_not_hold_at_the_same_uptime() {
        let before = made_by(NonceKey::new(&[7; 32], b"the boot before")).make(NOW, client(1));
        assert_eq!(nonces().judge(NOW, client(1), &before), Worth::Foreign);
    }
}
