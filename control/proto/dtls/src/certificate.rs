//! Our own certificates.

use std::fmt;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use raceway_units::UnixTime;

use crate::fingerprint::{Fingerprint, Hash};
use crate::limits;

/// What is offered and taken, best first: forward secrecy, AEAD before CBC, any kind of certificate (RFC 8827 section 6.5).
const CIPHERS: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL";
const GROUPS: &str = "X25519:P-256:P-384";

/// OpenSSL could not do what it should always be able to: no memory, no random numbers, a configuration that forbids it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("OpenSSL: {0}")]
pub struct LibraryError(pub(crate) String);

impl From<ErrorStack> for LibraryError {
    fn from(stack: ErrorStack) -> Self {
        Self(reason(&stack))
    }
}

/// The first reason of a stack, without what surrounds it.
pub(crate) fn reason(stack: &ErrorStack) -> String {
    let reason = stack.errors().first().and_then(|error| error.reason());
    reason.unwrap_or("an error without a reason").to_owned()
}

/// A self-signed certificate with its key, ECDSA over P-256. Debug shows neither.
#[derive(Clone)]
pub struct Certificate {
    certificate: X509,
    key: PKey<Private>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

impl Certificate {
    /// A new one, valid from a day ago (clocks differ) for [`limits::CERTIFICATE_DAYS`].
    ///
    /// # Errors
    /// OpenSSL fails.
    pub fn generate(now: UnixTime) -> Result<Self, LibraryError> {
        const DAY: u64 = 24 * 3600;
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut serial = BigNum::new()?;
        serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_nid(Nid::COMMONNAME, "raceway")?;
        let name = name.build();
        let time = |seconds: u64| Asn1Time::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX));
        let mut builder = X509Builder::new()?;
        // Version 3.
        builder.set_version(2)?;
        builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_not_before(&*time(now.0.saturating_sub(DAY))?)?;
        builder.set_not_after(&*time(now.0.saturating_add(limits::CERTIFICATE_DAYS * DAY))?)?;
        builder.set_pubkey(&key)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self { certificate: builder.build(), key })
    }

    #[cfg(test)]
    pub(crate) fn certificate(&self) -> &X509 {
        &self.certificate
    }
}

/// A certificate ready for use. Cheap to clone; an association keeps the one that it was made with, so a new one can be put
/// in its place at any time.
#[derive(Clone)]
pub struct Identity {
    pub(crate) context: SslContext,
    certificate: X509,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// # Errors
    /// OpenSSL fails, or its configuration forbids DTLS 1.2 or our ciphers.
    pub fn new(certificate: &Certificate) -> Result<Self, LibraryError> {
        let mut builder = SslContextBuilder::new(SslMethod::dtls())?;
        builder.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
        builder.set_cipher_list(CIPHERS)?;
        builder.set_groups_list(GROUPS)?;
        builder.set_options(
            SslOptions::NO_QUERY_MTU
                | SslOptions::NO_TICKET
                | SslOptions::NO_COMPRESSION
                | SslOptions::NO_RENEGOTIATION
                | SslOptions::CIPHER_SERVER_PREFERENCE,
        );
        // Buffers of records come and go with each flight.
        builder.set_mode(SslMode::RELEASE_BUFFERS);
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        // Anybody's certificate goes through the handshake: whose it is, the fingerprint says (RFC 5763 section 5).
        builder.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_, _| true);
        builder.set_certificate(&certificate.certificate)?;
        builder.set_private_key(&certificate.key)?;
        Ok(Self { context: builder.build(), certificate: certificate.certificate.clone() })
    }

    /// For our SDP.
    ///
    /// # Errors
    /// Never for the hashes of [`Hash`], unless OpenSSL's configuration forbids one.
    pub fn fingerprint(&self, hash: Hash) -> Result<Fingerprint, LibraryError> {
        Ok(Fingerprint::of(&self.certificate, hash)?)
    }
}
