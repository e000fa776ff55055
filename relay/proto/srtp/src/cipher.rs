//! AES in counter mode (RFC 3711 section 4.1.1, RFC 6188) and in Galois/counter mode (RFC 7714).

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipherCore};
use aes::{Aes128Enc, Aes256Enc};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;

use crate::suite::Suite;
use crate::wide;

/// Octets of a GCM tag.
pub(crate) const GCM_TAG: usize = 16;

/// A session's encryption key, expanded.
pub(crate) enum Cipher {
    /// AES in counter mode, also for key derivation, where the processor has wide registers.
    Wide(Box<wide::Counter>),
    /// AES-128 in counter mode elsewhere.
    Counter128(Box<Aes128Enc>),
    /// AES-256 in counter mode elsewhere.
    Counter256(Box<Aes256Enc>),
    /// AES-GCM with either length.
    Gcm(LessSafeKey),
}

impl Cipher {
    /// Of a suite. The key has the length that the suite asks for.
    pub fn new(suite: Suite, key: &[u8]) -> Self {
        let algorithm = match suite {
            Suite::AeadAes128Gcm => &AES_128_GCM,
            Suite::AeadAes256Gcm => &AES_256_GCM,
            Suite::Aes128CmSha1_80 | Suite::Aes128CmSha1_32 | Suite::Aes256CmSha1_80 | Suite::Aes256CmSha1_32 => {
                return Self::counter(key);
            }
        };
        Self::Gcm(LessSafeKey::new(
            UnboundKey::new(algorithm, key).expect("a session key is as long as its suite says"),
        ))
    }

    /// Counter mode, with a key of 16 or 32 octets.
    pub fn counter(key: &[u8]) -> Self {
        wide::Counter::new(key).map_or_else(|| Self::portable(key), |wide| Self::Wide(Box::new(wide)))
    }

    /// The same on any processor.
    fn portable(key: &[u8]) -> Self {
        const LENGTH: &str = "a key has 16 or 32 octets";
        match key.len() {
            16 => Self::Counter128(Box::new(Aes128Enc::new_from_slice(key).expect(LENGTH))),
            _ => Self::Counter256(Box::new(Aes256Enc::new_from_slice(key).expect(LENGTH))),
        }
    }

    /// Encrypts or decrypts in place in counter mode. GCM keys do not come here.
    pub fn apply_keystream(&self, iv: &[u8; 16], octets: &mut [u8]) {
        match self {
            Self::Wide(cipher) => cipher.apply_keystream(iv, octets),
            Self::Counter128(cipher) => apply_keystream(&**cipher, iv, octets),
            Self::Counter256(cipher) => apply_keystream(&**cipher, iv, octets),
            Self::Gcm(_) => debug_assert!(false, "GCM seals and opens"),
        }
    }

    /// Encrypts in place with GCM; the tag. Counter mode does not come here.
    pub fn seal(&self, iv: &[u8; 12], associated: &[u8], octets: &mut [u8]) -> [u8; GCM_TAG] {
        let Self::Gcm(key) = self else {
            debug_assert!(false, "counter mode has no seal");
            return [0; GCM_TAG];
        };
        let nonce = Nonce::assume_unique_for_key(*iv);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(associated), octets);
        let tag = tag.expect("a datagram is far shorter than what GCM takes");
        *tag.as_ref().first_chunk().expect("a GCM tag has 16 octets")
    }

    /// Decrypts in place with GCM; whether the tag is right. If not, what is in place is of no use.
    pub fn open(&self, iv: &[u8; 12], associated: &[u8], octets: &mut [u8], tag: &[u8; GCM_TAG]) -> bool {
        let Self::Gcm(key) = self else { return false };
        let nonce = Nonce::assume_unique_for_key(*iv);
        key.open_in_place_separate_tag(nonce, Aad::from(associated), tag, octets).is_ok()
    }
}

/// The lower 16 bits of the IV count blocks, and no datagram has more than 4,096.
fn apply_keystream<C: BlockCipherEncrypt<BlockSize = U16>>(cipher: &C, iv: &[u8; 16], octets: &mut [u8]) {
    CtrCore::<&C, Ctr32BE>::inner_iv_init(cipher, &(*iv).into()).apply_keystream_partial(octets.into());
}

/// The IV of counter mode: salt, SSRC and packet index, shifted and added without carry (RFC 3711 section 4.1.1).
pub(crate) fn counter_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let salt = salt.iter().fold(0_u128, |salt, octet| salt << 8 | u128::from(*octet));
    (salt << 16 ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16).to_be_bytes()
}

/// The IV of GCM (RFC 7714 sections 8.1 and 9.1): the same without the block counter.
pub(crate) fn gcm_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 12] {
    let (mut iv, mut place) = ([0; 12], [0; 12]);
    place[2..6].copy_from_slice(&ssrc.to_be_bytes());
    place[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    for (octet, (salt, place)) in iv.iter_mut().zip(salt.iter().zip(place)) {
        *octet = salt ^ place;
    }
    iv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_registers_make_the_same_keystream() {
        for octets in [16, 32] {
            let key: Vec<u8> = (0..octets).map(|n| n * 7 + 3).collect();
            let (chosen, portable) = (Cipher::counter(&key), Cipher::portable(&key));
            for length in (0..700).chain([1_188, 4_096, 65_535]) {
                let plain: Vec<u8> = (0..length).map(|n| n as u8).collect();
                let iv = counter_iv(&[9; 14], 0xdead_beef, 0xffff_ffff_ffff - length as u64);
                let (mut first, mut second) = (plain.clone(), plain);
                chosen.apply_keystream(&iv, &mut first);
                portable.apply_keystream(&iv, &mut second);
                assert_eq!(first, second, "{length} octets with a key of {octets}");
            }
        }
    }
}
