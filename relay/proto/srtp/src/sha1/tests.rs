//! Published vectors, and lanes against one by one.

use super::*;

/// RFC 2202 section 3 has one key of 20 octets.
#[test]
fn rfc_2202_test_case_1() {
    let tag = HmacKey::new(&[0x0b; 20]).tag(b"Hi There");
    assert_eq!(tag, crate::tests::hex::<20>("b617318655057264e28bc0b6fb378c8ef146be00"));
}

#[test]
fn rfc_2202_test_case_3() {
    let tag = HmacKey::new(&[0xaa; 20]).tag(&[0xdd; 50]);
    assert_eq!(tag, crate::tests::hex::<20>("125d7342b9ac11cd91a39af48aa17b4f63f175d3"));
}

/// Lanes of every kind agree with one by one, whatever the lengths and however many.
#[test]
fn lanes_agree_with_one_by_one() {
    let octets: Vec<u8> = (0..2_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let keys: Vec<_> = (0..40).map(|n| HmacKey::new(&[n; 20])).collect();
    for count in [1, 2, 3, 15, 16, 17, 31, 64] {
        for spread in [0, 1, 3, 61, 64, 65, 119] {
            let messages: Vec<_> = (0..count)
                .map(|n| Message { key: &keys[n % keys.len()], octets: &octets[n..n + 176 + n * spread % 1_500] })
                .collect();
            let expected: Vec<_> = messages.iter().map(|message| message.key.tag(message.octets)).collect();
            for lanes in Lanes::all().into_iter().chain([Lanes::detect(), Lanes::NONE]) {
                let mut tags = vec![[0; TAG]; count];
                lanes.tags(&messages, &mut tags);
                assert_eq!(tags, expected, "{lanes}, {count} messages, {spread}");
            }
        }
    }
}

#[test]
fn every_length_is_padded_right() {
    let octets: Vec<u8> = (0..=255).collect();
    let key = HmacKey::new(&[7; 20]);
    let messages: Vec<_> = (0..256).map(|length| Message { key: &key, octets: &octets[..length] }).collect();
    for lanes in Lanes::all() {
        for messages in messages.chunks(16) {
            let mut tags = [[0; TAG]; 16];
            lanes.tags(messages, &mut tags);
            for (message, tag) in messages.iter().zip(tags) {
                assert_eq!(tag, reference(&[7; 20], message.octets), "{lanes}, {} octets", message.octets.len());
            }
        }
    }
}

/// By the book, with the hash of the `sha1` crate.
fn reference(key: &[u8; 20], octets: &[u8]) -> [u8; 20] {
    use sha1::{Digest, Sha1};
    let pad = |pad: u8| -> Vec<u8> { (0..64).map(|n| key.get(n).unwrap_or(&0) ^ pad).collect() };
    let inner = Sha1::new().chain_update(pad(0x36)).chain_update(octets).finalize();
    Sha1::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}
