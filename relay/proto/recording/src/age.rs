//! The age format (<https://age-encryption.org/v1>): an X25519 recipient, and STREAM with ChaCha20-Poly1305.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

/// X25519 (RFC 7748): an `age1...` recipient without its Bech32.
pub type PublicKey = [u8; 32];

/// What must be random and new for each part.
#[derive(Clone)]
pub struct Secrets {
    /// Private half of the pair that wraps the data key.
    pub ephemeral: Zeroizing<[u8; 32]>,
    /// The data key.
    pub file_key: Zeroizing<[u8; 16]>,
    /// Makes the key of the body out of it.
    pub nonce: [u8; 16],
}

impl Secrets {
    /// From 64 random octets.
    #[must_use]
    pub fn from_random(octets: &[u8; 64]) -> Self {
        let (ephemeral, rest) = octets.split_first_chunk().expect("64 octets have 32");
        let (file_key, rest) = rest.split_first_chunk().expect("32 octets have 16");
        let (nonce, _) = rest.split_first_chunk().expect("16 octets have 16");
        Self { ephemeral: (*ephemeral).into(), file_key: (*file_key).into(), nonce: *nonce }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(***)")
    }
}

/// The public key is one of the few with which every secret would be known to everybody (points of small order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the public key is none that anything could be encrypted for")]
pub struct UnusableKey;

/// The header, which wraps the data key, and the nonce of the body.
pub(crate) fn header(to: &PublicKey, secrets: &Secrets) -> Result<Vec<u8>, UnusableKey> {
    let ours = PrivateKey::from_private_key(&X25519, &*secrets.ephemeral).map_err(|_| UnusableKey)?;
    let share = ours.compute_public_key().map_err(|_| UnusableKey)?;
    let salt = [share.as_ref(), to].concat();
    let wrapping = agree(&ours, UnparsedPublicKey::new(&X25519, to), UnusableKey, |secret| {
        Ok(derive(&salt, secret, b"age-encryption.org/v1/X25519"))
    })?;
    let mut wrapped = secrets.file_key.to_vec();
    seal(&cipher(&wrapping), [0; 12], &mut wrapped, 0);
    let mut text = format!(
        "age-encryption.org/v1\n-> X25519 {}\n{}\n---",
        STANDARD_NO_PAD.encode(share.as_ref()),
        STANDARD_NO_PAD.encode(&wrapped)
    );
    let key = derive(b"", &*secrets.file_key, b"header");
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*key), text.as_bytes());
    text.push(' ');
    text.push_str(&STANDARD_NO_PAD.encode(mac.as_ref()));
    text.push('\n');
    let mut header = text.into_bytes();
    header.extend(secrets.nonce);
    Ok(header)
}

/// Encrypts the body, chunk by chunk.
pub(crate) struct Stream {
    key: LessSafeKey,
    counter: u64,
}

impl Stream {
    pub fn new(secrets: &Secrets) -> Self {
        Self { key: cipher(&derive(&secrets.nonce, &*secrets.file_key, b"payload")), counter: 0 }
    }

    /// Appends a chunk to `out`; all but the last are [`CHUNK`](crate::CHUNK) octets long, and the last has some.
    pub fn seal(&mut self, chunk: &[u8], last: bool, out: &mut Vec<u8>) {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.counter.to_be_bytes());
        nonce[11] = last.into();
        self.counter += 1;
        let start = out.len();
        out.extend_from_slice(chunk);
        seal(&self.key, nonce, out, start);
    }
}

/// Encrypts what lies in `buffer` from `start` on, and appends the tag.
fn seal(key: &LessSafeKey, nonce: [u8; 12], buffer: &mut Vec<u8>, start: usize) {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut buffer[start..]);
    buffer.extend_from_slice(tag.expect("a chunk is far below the cipher's limit").as_ref());
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("the key has the length of the cipher's"))
}

/// HKDF-SHA-256 (RFC 5869).
fn derive(salt: &[u8], secret: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let filled = prk.expand(&[info], hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut *key));
    filled.expect("32 octets are what one round of SHA-256 gives");
    key
}
