//! RFC 7714 sections 16 and 17. They give session keys, so they are of sealing and opening, below key derivation.

use super::{hex, unhex};
use crate::cipher::{Cipher, gcm_iv};
use crate::suite::Suite;

const KEY: &str = "000102030405060708090a0b0c0d0e0f 101112131415161718191a1b1c1d1e1f";
/// "Quid pro quo".
const SALT: &str = "517569642070726f2071756f 0000";
const RTP_CLEAR: &str = "8040f17b 8041f8d3 5501a0b2";
/// "Gallia est omnis divisa in partes tres".
const RTP_PAYLOAD: &str = "47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573";
const RTCP_CLEAR: &str = "81c8000d 4d617273";
const RTCP_BODY: &str =
    "4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef";

/// Seals and opens again, with SSRC and index out of the packets of the RFC.
fn sealed(suite: Suite, ssrc: u32, index: u64, associated: &str, plain: &str) -> Vec<u8> {
    let cipher = Cipher::new(suite, &unhex(KEY)[..suite.key_octets()]);
    let iv = gcm_iv(&hex(SALT), ssrc, index);
    let (associated, plain) = (unhex(associated), unhex(plain));
    let mut octets = plain.clone();
    let tag = cipher.seal(&iv, &associated, &mut octets);
    let whole = [&octets[..], &tag].concat();
    assert!(cipher.open(&iv, &associated, &mut octets, &tag), "it is opened again");
    assert_eq!(octets, plain);
    whole
}

fn rtp(suite: Suite) -> Vec<u8> {
    assert_eq!(gcm_iv(&hex(SALT), 0x5501_a0b2, 0xf17b), hex::<12>("51753c6580c2726f20718414"));
    sealed(suite, 0x5501_a0b2, 0xf17b, RTP_CLEAR, RTP_PAYLOAD)
}

#[test]
fn section_16_1_srtp_aead_aes_128_gcm() {
    let expected = "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833 \
                    899d7f27beb16a9152cf765ee4390cce";
    assert_eq!(rtp(Suite::AeadAes128Gcm), unhex(expected));
}

#[test]
fn section_16_2_srtp_aead_aes_256_gcm() {
    let expected = "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b \
                    7aa3db36dfffd6b0f9bb7878d7a76c13";
    assert_eq!(rtp(Suite::AeadAes256Gcm), unhex(expected));
}

#[test]
fn section_17_1_srtcp_aead_aes_128_gcm() {
    let associated = format!("{RTCP_CLEAR} 800005d4");
    let expected = "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b \
                    c84aa45896cf4d2fc5abf87245d9eade";
    assert_eq!(sealed(Suite::AeadAes128Gcm, 0x4d61_7273, 0x5d4, &associated, RTCP_BODY), unhex(expected));
}

#[test]
fn section_17_2_srtcp_aead_aes_256_gcm() {
    let associated = format!("{RTCP_CLEAR} 800005d4");
    let expected = "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad \
                    1d1eb30c4446839f57ff6f6cb26ac3be";
    assert_eq!(sealed(Suite::AeadAes256Gcm, 0x4d61_7273, 0x5d4, &associated, RTCP_BODY), unhex(expected));
}

#[test]
fn section_17_3_srtcp_aead_aes_128_gcm_without_encryption() {
    let associated = format!("{RTCP_CLEAR} {RTCP_BODY} 000005d4");
    let tag = sealed(Suite::AeadAes128Gcm, 0x4d61_7273, 0x5d4, &associated, "");
    assert_eq!(tag, unhex("841dd9683dd78ec92ae58790125f62b3"));
}
