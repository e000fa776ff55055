//! What `age -d` does, for captures that are made in tests.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use raceway_recording::{CHUNK, PublicKey};

/// The private half.
pub const IDENTITY: [u8; 32] = [9; 32];

pub fn public_key() -> PublicKey {
    let identity = PrivateKey::from_private_key(&X25519, &IDENTITY).expect("32 octets");
    identity.compute_public_key().expect("a point").as_ref().try_into().expect("32 octets")
}

fn derive(salt: &[u8], secret: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let prk = Salt::new(HKDF_SHA256, salt).extract(secret);
    prk.expand(&[info], HKDF_SHA256).and_then(|okm| okm.fill(&mut key)).expect("32 octets");
    key
}

fn open(key: &[u8; 32], nonce: [u8; 12], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("32 octets"));
    let mut octets = sealed.to_vec();
    let opened = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut octets).ok()?.len();
    octets.truncate(opened);
    Some(octets)
}

/// The data key, if `identity` is the private half of what it was wrapped for; and the nonce of the body.
pub fn unwrap(key: &[u8], identity: &[u8; 32]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (text, nonce) = key.split_at(key.len() - 16);
    let text = std::str::from_utf8(text).expect("a header is text");
    let lines: Vec<&str> = text.lines().collect();
    let ["age-encryption.org/v1", stanza, wrapped, mac] = lines[..] else { panic!("{text}") };
    assert!(mac.starts_with("--- ") && mac.len() == 47, "{mac}");
    let share = STANDARD_NO_PAD.decode(stanza.strip_prefix("-> X25519 ").expect("X25519")).expect("base64");
    let identity = PrivateKey::from_private_key(&X25519, identity).expect("32 octets");
    let salt = [&share[..], identity.compute_public_key().expect("a point").as_ref()].concat();
    let wrapping = agree(&identity, UnparsedPublicKey::new(&X25519, &share), (), |secret| {
        Ok(derive(&salt, secret, b"age-encryption.org/v1/X25519"))
    })
    .expect("a share");
    let file_key = open(&wrapping, [0; 12], &STANDARD_NO_PAD.decode(wrapped).expect("base64"))?;
    Some((file_key, nonce.to_vec()))
}

/// The capture: all whole chunks, and whether the last one is there.
pub fn decrypt(key: &[u8], body: &[u8]) -> (Vec<u8>, bool) {
    let (file_key, nonce) = unwrap(key, &IDENTITY).expect("the identity fits");
    let payload = derive(&nonce, &file_key, b"payload");
    let (mut capture, mut ended) = (Vec::new(), false);
    for (counter, chunk) in body.chunks(CHUNK + 16).enumerate() {
        assert!(!ended, "nothing follows the last chunk");
        let nonce = |last: u8| {
            let mut nonce = [0; 12];
            nonce[3..11].copy_from_slice(&(counter as u64).to_be_bytes());
            nonce[11] = last;
            nonce
        };
        let (opened, last) = match open(&payload, nonce(0), chunk) {
            Some(opened) => (opened, false),
            None => match open(&payload, nonce(1), chunk) {
                Some(opened) => (opened, true),
                None => return (capture, false),
            },
        };
        ended = last;
        assert!(ended || opened.len() == CHUNK);
        capture.extend(opened);
    }
    (capture, ended)
}
