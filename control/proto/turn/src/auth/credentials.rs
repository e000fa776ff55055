//! Who may use the server: static users, and names that carry their expiry.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hashbrown::HashMap;
use hmac::{Hmac, KeyInit, Mac};
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use raceway_units::UnixTime;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::key::{Key, PasswordAlgorithm};
use super::nonce::Offer;
use crate::limits;
use crate::policy::{Policy, PolicyError, Secret, User};

/// Who a request says it is from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Identity<'a> {
    /// USERNAME (RFC 8489 section 14.3).
    Name(&'a [u8]),
    /// USERHASH (RFC 8489 section 14.4).
    Hash(&'a [u8]),
}

/// Users and secrets of one policy, with keys made ready.
#[derive(Debug)]
pub(crate) struct Credentials {
    realm: String,
    users: HashMap<Box<str>, UserKeys, foldhash::quality::RandomState>,
    names_by_hash: HashMap<[u8; 32], Box<str>, foldhash::quality::RandomState>,
    shared_secrets: Vec<Secret>,
    offer: Offer,
    /// Compared with what comes from unknown users, so that they are not told by a faster refusal.
    decoy: Key,
}

#[derive(Debug)]
struct UserKeys {
    md5: Key,
    /// Absent when only the MD5 key is known.
    sha256: Option<Key>,
}

impl Credentials {
    /// Prepares (OpaqueString, RFC 8265) and derives.
    ///
    /// # Errors
    /// What cannot be prepared, and doubled users.
    pub fn new(policy: &Policy) -> Result<Self, PolicyError> {
        let realm = prepare(&policy.realm).ok_or(PolicyError::RealmCharacters)?.into_owned();
        let mut credentials = Self {
            decoy: Key::derive(PasswordAlgorithm::Md5, b"", &realm, ""),
            realm,
            users: HashMap::default(),
            names_by_hash: HashMap::default(),
            shared_secrets: policy.shared_secrets.clone(),
            offer: Offer::Both,
        };
        for user in &policy.users {
            credentials.add(user)?;
        }
        Ok(credentials)
    }

    fn add(&mut self, user: &User) -> Result<(), PolicyError> {
        let bad_name = || PolicyError::UserName(user.name.clone());
        let name = prepare(&user.name).ok_or_else(bad_name)?;
        // A colon would make `name ":" realm` ambiguous (RFC 7616 section 3.4 forbids it as well).
        if name.len() > limits::USERNAME_MAX || name.contains(':') {
            return Err(bad_name());
        }
        self.names_by_hash.insert(userhash(&name, &self.realm), name.as_ref().into());
        let keys = match user.password.as_ha1() {
            Some(ha1) => {
                self.offer = Offer::Md5Alone;
                UserKeys { md5: Key::from_ha1(ha1), sha256: None }
            }
            None => self.keys(&name, user).ok_or_else(|| PolicyError::Password(user.name.clone()))?,
        };
        match self.users.insert(name.as_ref().into(), keys) {
            None => Ok(()),
            Some(_) => Err(PolicyError::DuplicateUser(user.name.clone())),
        }
    }

    /// Keys of both algorithms; none if the password has forbidden characters or is too long.
    fn keys(&self, name: &str, user: &User) -> Option<UserKeys> {
        let password = match prepare(user.password.as_str())? {
            Cow::Borrowed(same) => Zeroizing::new(same.to_owned()),
            Cow::Owned(prepared) => Zeroizing::new(prepared),
        };
        if password.len() > limits::SECRET_MAX {
            return None;
        }
        let derive = |algorithm| Key::derive(algorithm, name.as_bytes(), &self.realm, &password);
        let sha256 = Some(derive(PasswordAlgorithm::Sha256));
        Some(UserKeys { md5: derive(PasswordAlgorithm::Md5), sha256 })
    }

    /// What is offered in PASSWORD-ALGORITHMS.
    pub const fn offer(&self) -> Offer {
        self.offer
    }

    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether clients may hide their names: a hashed `expiry:user` could not be told from any other.
    pub fn username_anonymity(&self) -> bool {
        self.shared_secrets.is_empty()
    }

    /// The name behind an identity; `known` is the name that the client's allocation was made with.
    pub fn name<'n>(&'n self, identity: Identity<'n>, known: Option<&'n str>) -> Option<&'n str> {
        match identity {
            Identity::Name(name) if name.len() > limits::USERNAME_MAX => None,
            Identity::Name(name) => std::str::from_utf8(name).ok(),
            Identity::Hash(hash) => {
                let hash: &[u8; 32] = hash.try_into().ok()?;
                let listed = self.names_by_hash.get(hash).map(AsRef::as_ref);
                listed.or_else(|| known.filter(|known| userhash(known, &self.realm) == *hash))
            }
        }
    }

    /// The first key of `name` that `fits`: a static user's, or one made with a shared secret while the name's
    /// expiry has not passed. Without `wall` the expiry does not count.
    pub fn key(
        &self,
        name: &str,
        algorithm: PasswordAlgorithm,
        wall: Option<UnixTime>,
        fits: impl Fn(&Key) -> bool,
    ) -> Option<Key> {
        if let Some(keys) = self.users.get(name) {
            let key = match algorithm {
                PasswordAlgorithm::Md5 => &keys.md5,
                PasswordAlgorithm::Sha256 => keys.sha256.as_ref()?,
            };
            return fits(key).then(|| key.clone());
        }
        let has_expired = wall.is_some_and(|wall| expiry(name) < wall);
        if has_expired || self.shared_secrets.is_empty() {
            std::hint::black_box(fits(&self.decoy));
            return None;
        }
        let keys = self.shared_secrets.iter().map(|secret| self.shared_secret_key(name, algorithm, secret));
        keys.into_iter().find(|key| fits(key))
    }

    /// Key of `expiry:user`: its password is `base64(HMAC-SHA1(secret, name))`, as coturn's `use-auth-secret`.
    fn shared_secret_key(&self, name: &str, algorithm: PasswordAlgorithm, secret: &Secret) -> Key {
        let mut hmac = Hmac::<Sha1>::new_from_slice(secret.as_str().as_bytes()).expect("HMAC takes keys of any length");
        hmac.update(name.as_bytes());
        let mut password = Zeroizing::new([0; 28]);
        let written = STANDARD.encode_slice(hmac.finalize().into_bytes(), &mut password[..]);
        debug_assert_eq!(written, Ok(28), "20 octets are 28 characters");
        let password = std::str::from_utf8(&password[..]).expect("base64 is ASCII");
        Key::derive(algorithm, name.as_bytes(), &self.realm, password)
    }
}

/// Whose quota an allocation of `name` counts against: the user without its expiry, as coturn counts. Static names
/// have no colon, and are users themselves.
pub(crate) fn quota_name(name: &str) -> &str {
    match name.split_once(':') {
        Some((before, user)) if !user.is_empty() && is_decimal(before) => user,
        Some((user, after)) if !user.is_empty() && is_decimal(after) => user,
        _ => name,
    }
}

/// The expiry that a name carries, read as coturn reads it: the digits before the colon, else those after it, else
/// those of the whole name; zero when there are none.
fn expiry(name: &str) -> UnixTime {
    let digits = match name.split_once(':') {
        Some((before, after)) if before.is_empty() || !is_decimal(before) => after,
        Some((before, _)) => before,
        None => name,
    };
    let end = digits.bytes().position(|octet| !octet.is_ascii_digit()).unwrap_or(digits.len());
    UnixTime(digits[..end].parse().unwrap_or(0))
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

/// OpaqueString (RFC 8265 section 4.2); none if the text is empty or has forbidden characters.
fn prepare(text: &str) -> Option<Cow<'_, str>> {
    OpaqueString::enforce(text).ok()
}

/// USERHASH of a name (RFC 8489 section 14.4).
fn userhash(name: &str, realm: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(name.as_bytes());
    digest.update(b":");
    digest.update(realm.as_bytes());
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(users: &[(&str, &str)], secrets: &[&str]) -> Result<Credentials, PolicyError> {
        let mut policy = Policy::new("example.org".to_owned(), Vec::new());
        let user = |(name, password): &(&str, &str)| User {
            name: (*name).to_owned(),
            password: Secret::new((*password).to_owned()),
        };
        policy.users = users.iter().map(user).collect();
        policy.shared_secrets = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
        Credentials::new(&policy)
    }

    fn expected(name: &str, password: &str) -> Key {
        Key::derive(PasswordAlgorithm::Md5, name.as_bytes(), "example.org", password)
    }

    #[test]
    fn names_and_passwords_are_prepared_with_opaque_string() {
        // A non-ASCII space becomes a plain one; full-width characters stay (RFC 8265 section 4.2.2).
        let credentials = credentials(&[("al\u{3000}ice", "p\u{a0}w")], &[]).unwrap();
        assert_eq!(credentials.key("al ice", PasswordAlgorithm::Md5, None, |_| true), Some(expected("al ice", "p w")));
    }

    #[test]
    fn a_user_may_have_a_key_in_place_of_a_password() {
        let mut policy = Policy::new("north.gov".to_owned(), Vec::new());
        // turnadmin -k -u ninefingers -r north.gov -p youhavetoberealistic
        let ha1 = 0xbc80_7ee2_9df3_c9ff_a736_523f_b2c4_e8ee_u128.to_be_bytes();
        policy.users = vec![User { name: "ninefingers".to_owned(), password: Secret::ha1(ha1) }];
        let credentials = Credentials::new(&policy).unwrap();
        let expected = Key::derive(PasswordAlgorithm::Md5, b"ninefingers", "north.gov", "youhavetoberealistic");
        assert_eq!(credentials.key("ninefingers", PasswordAlgorithm::Md5, None, |_| true), Some(expected));
        assert_eq!(credentials.key("ninefingers", PasswordAlgorithm::Sha256, None, |_| true), None);
        assert_eq!(credentials.offer(), Offer::Md5Alone, "no choice that would not work");
        policy.shared_secrets = vec![Secret::ha1(ha1)];
        assert_eq!(policy.check(), Err(PolicyError::SharedSecretLength));
    }

    #[test]
    fn an_unknown_or_expired_user_costs_as_many_comparisons_as_a_known_one() {
        let known = credentials(&[("alice", "p")], &[]).unwrap();
        let shared = credentials(&[], &["north"]).unwrap();
        for (credentials, name) in [(&known, "alice"), (&known, "bob"), (&shared, "12:bob"), (&shared, "99:bob")] {
            let count = std::cell::Cell::new(0);
            let fits = |_: &Key| {
                count.set(count.get() + 1);
                false
            };
            credentials.key(name, PasswordAlgorithm::Md5, Some(UnixTime(50)), fits);
            assert_eq!(count.get(), 1, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_prepared_is_refused() {
        let error = |users| credentials(users, &[]).unwrap_err();
        assert_eq!(error(&[("a\u{0}", "p")]), PolicyError::UserName("a\u{0}".to_owned()));
        assert_eq!(error(&[("", "p")]), PolicyError::UserName(String::new()));
        assert_eq!(error(&[("a:b", "p")]), PolicyError::UserName("a:b".to_owned()));
        assert_eq!(error(&[("a", "")]), PolicyError::Password("a".to_owned()));
        assert_eq!(error(&[("a", "p"), ("a", "q")]), PolicyError::DuplicateUser("a".to_owned()));
    }

    #[test]
    fn a_shared_secret_name_holds_through_the_second_of_its_expiry() {
        let credentials = credentials(&[], &["old", "north"]).unwrap();
        // printf 1700000000:alice | openssl dgst -sha1 -hmac north -binary | base64
        let key = expected("1700000000:alice", "Cd/49soE35ICqcJF/bCTn8Z4OyE=");
        let found =
            |wall| credentials.key("1700000000:alice", PasswordAlgorithm::Md5, Some(UnixTime(wall)), |k| *k == key);
        assert_eq!(found(1_699_999_999), Some(key.clone()));
        assert_eq!(found(1_700_000_000), Some(key.clone()));
        assert_eq!(found(1_700_000_001), None);
    }

    #[test]
    fn the_expiry_is_read_as_coturn_reads_it() {
        for (name, seconds) in
            [("12:x", 12), ("12", 12), ("x:12", 12), (":12", 12), ("12:", 12), ("x", 0), ("", 0), ("12x", 12)]
        {
            assert_eq!(expiry(name), UnixTime(seconds), "{name}");
        }
    }

    #[test]
    fn a_quota_counts_the_user_and_not_the_expiry() {
        for (name, user) in [("12:bob", "bob"), ("bob:12", "bob"), ("12", "12"), ("12:", "12:"), ("alice", "alice")] {
            assert_eq!(quota_name(name), user);
        }
    }

    #[test]
    fn a_userhash_leads_to_its_user() {
        let credentials = credentials(&[("alice", "p")], &[]).unwrap();
        let hash = userhash("alice", "example.org");
        assert_eq!(credentials.name(Identity::Hash(&hash), None), Some("alice"));
        let hash = userhash("12:bob", "example.org");
        assert_eq!(credentials.name(Identity::Hash(&hash), None), None);
        assert_eq!(credentials.name(Identity::Hash(&hash), Some("12:bob")), Some("12:bob"));
        assert_eq!(credentials.name(Identity::Hash(&hash[..31]), Some("12:bob")), None);
    }
}
