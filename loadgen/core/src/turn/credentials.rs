//! Who the client says it is.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use raceway_units::UnixTime;
use sha1::Sha1;
use thiserror::Error;
use zeroize::Zeroizing;

/// User name and password of the long-term mechanism (RFC 8489 section 9.2); the password is wiped when dropped.
pub struct Credentials {
    pub(super) name: String,
    pub(super) password: Zeroizing<String>,
}

/// Why a name or password cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CredentialsError {
    /// RFC 8489 section 9.2.2 wants names in OpaqueString form (RFC 8265), which has no control characters.
    #[error("the user name is empty or has characters that user names may not have (RFC 8265)")]
    Name,
    /// As for names.
    #[error("the password is empty or has characters that passwords may not have (RFC 8265)")]
    Password,
}

impl Credentials {
    /// A static user.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn new(name: &str, password: &str) -> Result<Self, CredentialsError> {
        let name = OpaqueString::enforce(name).map_err(|_| CredentialsError::Name)?;
        let password = OpaqueString::enforce(password).map_err(|_| CredentialsError::Password)?;
        Ok(Self { name: name.into_owned(), password: Zeroizing::new(password.into_owned()) })
    }

    /// A user that a shared secret vouches for until `expires`, as coturn's `use-auth-secret` has it: the name is
    /// `EXPIRY:USER` (`EXPIRY` alone for no user), the password the base64 of HMAC-SHA1 of the name.
    #[must_use]
    pub fn from_secret(secret: &str, user: &str, expires: UnixTime) -> Self {
        let name = if user.is_empty() { expires.0.to_string() } else { format!("{}:{user}", expires.0) };
        let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(name.as_bytes());
        let password = Zeroizing::new(STANDARD.encode(mac.finalize().into_bytes()));
        Self { name, password }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_vouches_as_coturn_has_it() {
        // printf 1700000000:alice | openssl dgst -sha1 -hmac north -binary | base64
        let credentials = Credentials::from_secret("north", "alice", UnixTime(1_700_000_000));
        assert_eq!(credentials.name(), "1700000000:alice");
        let expected = Hmac::<Sha1>::new_from_slice(b"north").unwrap().chain_update(b"1700000000:alice").finalize();
        assert_eq!(*credentials.password, STANDARD.encode(expected.into_bytes()));
        assert_eq!(Credentials::from_secret("north", "", UnixTime(17)).name(), "17");
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!("{:?}", Credentials::new("alice", "wonderland").unwrap());
        assert!(shown.contains("alice") && !shown.contains("wonderland"));
    }

    #[test]
    fn names_and_passwords_that_no_server_could_know_are_refused() {
        assert_eq!(Credentials::new("", "x").unwrap_err(), CredentialsError::Name);
        assert_eq!(Credentials::new("a", "x\u{7}").unwrap_err(), CredentialsError::Password);
    }
}
