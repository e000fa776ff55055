//! Passwords and keys.

use core::fmt;

use zeroize::Zeroizing;

/// Text that must not be seen: not shown by `Debug`, zeroed when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What a user proves to know.
#[derive(Clone, PartialEq, Eq)]
pub enum UserKey {
    /// A password.
    Password(Secret),
    /// `MD5(user ":" realm ":" password)`, as coturn writes it (`0x` and 32 hexadecimal digits).
    Ha1(Zeroizing<[u8; 16]>),
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl UserKey {
    /// Reads a password or coturn key; absent when it begins with `0x` and is not a key.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let Some(hex) = text.strip_prefix("0x") else {
            return Some(Self::Password(Secret::new(text.to_owned())));
        };
        let mut key = Zeroizing::new([0; 16]);
        if hex.len() != 32 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (octet, digits) in key.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let digits = core::str::from_utf8(digits).ok()?;
            *octet = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self::Ha1(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let key = UserKey::parse("hunter2");
        assert_eq!(format!("{key:?} {:?}", Secret::new("abc".into())), "Some((secret)) (secret)");
    }

    #[test]
    fn a_coturn_key_is_32_digits() {
        let key = UserKey::parse("0x000102030405060708090a0b0c0d0eFF").expect("a key");
        assert!(matches!(&key, UserKey::Ha1(k) if k[1] == 1 && k[15] == 255));
        assert_eq!(UserKey::parse("0x0001"), None);
        assert_eq!(UserKey::parse("0x+00102030405060708090a0b0c0d0eFF"), None);
    }
}
