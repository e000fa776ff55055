//! Fingerprints of certificates in SDP (RFC 8122).

use std::fmt;
use std::str::FromStr;

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::x509::X509Ref;

/// A hash function, better ones later. MD5 and MD2, which RFC 8122 forbids, are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// Only taken from peers that name no other.
    Sha1,
    /// 28 octets.
    Sha224,
    /// What everybody has (RFC 8122 section 5).
    Sha256,
    /// 48 octets.
    Sha384,
    /// 64 octets.
    Sha512,
}

impl Hash {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// As in an `a=fingerprint` line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn digest(self) -> MessageDigest {
        match self {
            Self::Sha1 => MessageDigest::sha1(),
            Self::Sha224 => MessageDigest::sha224(),
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha384 => MessageDigest::sha384(),
            Self::Sha512 => MessageDigest::sha512(),
        }
    }
}

/// Hash of a certificate. Written as in an `a=fingerprint` line: `sha-256 AB:CD:..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    octets: Vec<u8>,
}

/// A fingerprint that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// MD5, or something that came after this was written.
    #[error("the fingerprint's hash function {0:?} is not one of sha-1, sha-224, sha-256, sha-384, sha-512")]
    UnknownHash(String),
    /// Not pairs of hexadecimal digits with colons between, as many as the hash has octets.
    #[error("a {} fingerprint has {} pairs of hexadecimal digits with colons between", .0.name(), .0.digest().size())]
    Value(Hash),
}

impl Fingerprint {
    /// Of a certificate.
    pub(crate) fn of(certificate: &X509Ref, hash: Hash) -> Result<Self, ErrorStack> {
        Ok(Self { hash, octets: certificate.digest(hash.digest())?.to_vec() })
    }

    /// The hash function.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }
}

/// Whether a certificate is one that the fingerprints name: by those of the best hash function among them, of which one must
/// fit (RFC 8122 section 5).
pub(crate) fn matches(fingerprints: &[Fingerprint], certificate: &X509Ref) -> bool {
    let Some(best) = fingerprints.iter().map(|fingerprint| fingerprint.hash).max() else { return false };
    Fingerprint::of(certificate, best).is_ok_and(|found| fingerprints.contains(&found))
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        self.octets
            .iter()
            .zip(std::iter::once(' ').chain(std::iter::repeat(':')))
            .try_for_each(|(octet, before)| write!(f, "{before}{octet:02X}"))
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let (name, value) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let known = Hash::ALL.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name));
        let hash = known.ok_or_else(|| FingerprintError::UnknownHash(name.chars().take(16).collect()))?;
        let octet = |pair: &str| match pair.as_bytes() {
            [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => u8::from_str_radix(pair, 16).ok(),
            _ => None,
        };
        let size = hash.digest().size();
        let octets: Option<Vec<u8>> = value.trim().split(':').take(size + 1).map(octet).collect();
        let octets = octets.filter(|octets| octets.len() == size).ok_or(FingerprintError::Value(hash))?;
        Ok(Self { hash, octets })
    }
}

#[cfg(test)]
mod tests {
    use raceway_units::UnixTime;

    use super::*;
    use crate::certificate::{Certificate, Identity};

    #[test]
    fn a_fingerprint_reads_back_as_it_is_written() {
        let identity = Identity::new(&Certificate::generate(UnixTime(1_800_000_000)).unwrap()).unwrap();
        for hash in Hash::ALL {
            let fingerprint = identity.fingerprint(hash).unwrap();
            let text = fingerprint.to_string();
            assert_eq!(text.parse(), Ok(fingerprint.clone()), "{text}");
            assert_eq!(text.to_lowercase().parse(), Ok(fingerprint), "{text}");
        }
    }

    #[test]
    fn a_wrong_one_is_refused_with_what_is_wrong() {
        for (text, expected) in [
            (
                "md5 00",
                "the fingerprint's hash function \"md5\" is not one of sha-1, sha-224, sha-256, sha-384, sha-512",
            ),
            ("sha-1 00:11", "a sha-1 fingerprint has 20 pairs of hexadecimal digits with colons between"),
            ("sha-1", "a sha-1 fingerprint has 20 pairs of hexadecimal digits with colons between"),
            ("", "the fingerprint's hash function \"\" is not one of sha-1, sha-224, sha-256, sha-384, sha-512"),
        ] {
            assert_eq!(text.parse::<Fingerprint>().unwrap_err().to_string(), expected);
        }
        let long = format!("sha-1 00{}", ":00".repeat(20));
        assert!(long.parse::<Fingerprint>().is_err());
        let sign = format!("sha-1 +1{}", ":00".repeat(19));
        assert!(sign.parse::<Fingerprint>().is_err());
    }

    #[test]
    fn the_best_hash_decides_and_one_of_its_fingerprints_must_fit() {
        let [ours, other] = [0, 1].map(|_| Certificate::generate(UnixTime(1_800_000_000)).unwrap());
        let certificate = Identity::new(&ours).unwrap();
        let other = Identity::new(&other).unwrap();
        let x509 = ours.certificate();
        let of = |identity: &Identity, hash| identity.fingerprint(hash).unwrap();
        let (good, bad) = (of(&certificate, Hash::Sha256), of(&other, Hash::Sha256));
        assert!(matches(std::slice::from_ref(&good), x509));
        assert!(matches(&[bad.clone(), good.clone()], x509), "several certificates");
        assert!(matches(&[of(&other, Hash::Sha1), good.clone()], x509), "a worse hash does not count");
        assert!(!matches(&[good, of(&other, Hash::Sha512)], x509), "a better one does");
        assert!(!matches(&[bad], x509) && !matches(&[], x509));
    }
}
