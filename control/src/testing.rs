//! What tests share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A certificate that says `localhost`, and its key, in PEM.
pub(crate) fn self_signed() -> (Vec<u8>, Vec<u8>) {
    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::x509::{X509, X509NameBuilder};
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve that OpenSSL has");
    let key = PKey::from_ec_key(EcKey::generate(&group).expect("random numbers")).expect("a key");
    let mut name = X509NameBuilder::new().expect("memory");
    name.append_entry_by_nid(Nid::COMMONNAME, "localhost").expect("a name");
    let name = name.build();
    let mut builder = X509::builder().expect("memory");
    builder.set_version(2).expect("X.509 version 3");
    builder.set_subject_name(&name).expect("a name");
    builder.set_issuer_name(&name).expect("a name");
    builder.set_pubkey(&key).expect("a key");
    builder.set_not_before(&Asn1Time::days_from_now(0).expect("a time")).expect("a time");
    builder.set_not_after(&Asn1Time::days_from_now(2).expect("a time")).expect("a time");
    builder.sign(&key, MessageDigest::sha256()).expect("a signature");
    (builder.build().to_pem().expect("PEM"), key.private_key_to_pem_pkcs8().expect("PEM"))
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory of its own that goes away with the value.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("raceway-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("the temporary directory is writable");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed stays behind; no test depends on it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
