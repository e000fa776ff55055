//! User fragments and passwords.

use std::fmt;

use zeroize::Zeroizing;

use crate::limits;

/// The 64 octets that ICE credentials are made of (`ice-char`, RFC 8839 section 5.4).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// User fragment and password of one agent (RFC 8445 section 5.3). Debug hides the password; it is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    ufrag: String,
    password: Zeroizing<String>,
}

/// Credentials that no ICE agent may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Not 4 to 256 of `ice-char`.
    #[error("an ICE user fragment has 4 to 256 of the characters A-Z a-z 0-9 + /")]
    Fragment,
    /// Not 22 to 256 of `ice-char`.
    #[error("an ICE password has 22 to 256 of the characters A-Z a-z 0-9 + /")]
    Password,
}

impl Credentials {
    /// New ones out of unpredictable octets: 48 bits of fragment, 144 of password (RFC 8445 asks for 24 and 128).
    #[must_use]
    pub fn from_random(octets: &[u8; 24]) -> Self {
        let text = |octets: &[u8]| octets.chunks(3).flat_map(quartet).collect::<String>();
        Self { ufrag: text(&octets[..6]), password: Zeroizing::new(text(&octets[6..])) }
    }

    /// Those of a peer, as its SDP has them. `-` and `_` are let through beside `ice-char`, because there are peers that
    /// use them.
    ///
    /// # Errors
    /// Their length or their characters are not those of RFC 8839 section 5.4.
    pub fn new(ufrag: &str, password: &str) -> Result<Self, CredentialsError> {
        let fits = |text: &str, min: usize| {
            let known = |octet: u8| ALPHABET.contains(&octet) || matches!(octet, b'-' | b'_');
            (min..=limits::CREDENTIAL_MAX).contains(&text.len()) && text.bytes().all(known)
        };
        if !fits(ufrag, 4) {
            return Err(CredentialsError::Fragment);
        }
        if !fits(password, 22) {
            return Err(CredentialsError::Password);
        }
        Ok(Self { ufrag: ufrag.to_owned(), password: Zeroizing::new(password.to_owned()) })
    }

    /// `a=ice-ufrag`.
    #[must_use]
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// `a=ice-pwd`: for the SDP, and nothing else.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials {{ ufrag: {:?}, password: *** }}", self.ufrag)
    }
}

/// Three octets as four characters.
fn quartet(octets: &[u8]) -> [char; 4] {
    let bits = octets.iter().fold(0, |bits, octet| bits << 8 | usize::from(*octet));
    [18, 12, 6, 0].map(|shift| char::from(ALPHABET[bits >> shift & 63]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_random_bit_is_in_the_text() {
        let octets = std::array::from_fn(|at| at as u8 * 11);
        let base = Credentials::from_random(&octets);
        assert_eq!((base.ufrag().len(), base.password().len()), (8, 24));
        for bit in 0..192 {
            let mut other = octets;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Credentials::from_random(&other), base, "bit {bit}");
        }
        assert_eq!(Credentials::new(base.ufrag(), base.password()), Ok(base));
    }

    #[test]
    fn a_password_is_not_printed() {
        let credentials = Credentials::new("abcd", "secretsecretsecretsecret").unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials { ufrag: \"abcd\", password: *** }");
    }

    #[test]
    fn lengths_and_characters_are_those_of_rfc_8839() {
        let password = "p".repeat(22);
        for (ufrag, password, error) in [
            ("abc", password.clone(), CredentialsError::Fragment),
            ("ab:d", password.clone(), CredentialsError::Fragment),
            (&"u".repeat(257), password, CredentialsError::Fragment),
            ("abcd", "p".repeat(21), CredentialsError::Password),
            ("abcd", "p".repeat(257), CredentialsError::Password),
            ("abcd", "ä".repeat(22), CredentialsError::Password),
        ] {
            assert_eq!(Credentials::new(ufrag, &password), Err(error), "{ufrag} {password}");
        }
    }
}
