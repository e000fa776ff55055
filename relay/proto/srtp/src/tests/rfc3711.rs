//! RFC 3711 appendix B.

use super::{hex, unhex};
use crate::cipher::{Cipher, counter_iv};
use crate::keys::derive;
use crate::master::MasterKey;
use crate::suite::Suite;

/// The keystream of a session key, as long as asked for.
pub(super) fn keystream(key: &str, blocks: usize) -> Vec<u8> {
    let iv = counter_iv(&hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd"), 0, 0);
    assert_eq!(iv, hex::<16>("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000"));
    let mut octets = vec![0; 16 * blocks];
    Cipher::counter(&unhex(key)).apply_keystream(&iv, &mut octets);
    octets
}

#[test]
fn appendix_b_2_keystream() {
    let octets = keystream("2b7e151628aed2a6abf7158809cf4f3c", 0xff02);
    let first = "e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab 41e95b3bb0a2e8dd477901e4fca894c0";
    assert_eq!(octets[..48], unhex(first));
    let last = "ec8cdf7398607cb0f2d21675ea9ea1e4 362b7c3c6773516318a077d7fc5073ae 6a2cc3787889374fbeb4c81b17ba6c44";
    assert_eq!(octets[16 * 0xfeff..], unhex(last));
}

#[test]
fn appendix_b_3_key_derivation() {
    let key = unhex("e1f97a0d3e018be0d64fa32c06de4139");
    let master = MasterKey::new(Suite::Aes128CmSha1_80, &key, &unhex("0ec675ad498afeebb6960b3aabe6")).unwrap();
    let prf = Cipher::counter(&key);
    let derived = |label, octets: usize| {
        let mut out = vec![0xff; octets];
        derive(&prf, &master, label, &mut out);
        out
    };
    assert_eq!(derived(0, 16), unhex("c61e7a93744f39ee10734afe3ff7a087"));
    assert_eq!(derived(2, 14), unhex("30cbbc08863d8c85d49db34a9ae1"));
    let authentication = "cebe321f6ff7716b6fd4ab49af256a15 6d38baa48f0a0acf3c34e2359e6cdbce e049646c43d9327ad175578ef7227098 \
                          6371c10c9a369ac2f94a8c5fbcdddc25 6d6e919a48b610ef17c2041e47403576 6b68642c59bbfc2f34db60dbdfb2";
    assert_eq!(derived(1, 94), unhex(authentication));
}

#[test]
fn the_iv_is_salt_ssrc_and_index_shifted_and_added() {
    let iv = counter_iv(&[0; 14], 0x0102_0304, 0x0506_0708_090a);
    assert_eq!(iv, hex::<16>("00000000 01020304 05060708090a 0000"));
    let salted = counter_iv(&[0xff; 14], 0x0102_0304, 0x0506_0708_090a);
    assert_eq!(salted, hex::<16>("ffffffff fefdfcfb faf9f8f7f6f5 0000"));
}
