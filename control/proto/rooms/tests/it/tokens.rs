//! Tokens: by whom, for what, until when. Tokens of others are made with the library and by hand.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use raceway_rooms::{Grants, Identity, Key, KeyError, Keys, RoomName, RoomScope, TokenError, limits};
use raceway_units::UnixTime;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: UnixTime = UnixTime(1_700_000_000);

fn room(name: &str) -> RoomName {
    RoomName::new(name).expect("a name")
}

pub(crate) fn grants(identity: &str, scope: RoomScope) -> Grants {
    Grants {
        identity: Identity::new(identity).expect("an identity"),
        is_shared: false,
        name: None,
        room: scope,
        publish: true,
        subscribe: true,
        admin: false,
        expires: Some(UnixTime(NOW.0 + 60)),
    }
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    keys.add(Key::hmac("a", SECRET).expect("long enough")).expect("the first");
    keys
}

fn signed(keys: &Keys) -> String {
    keys.sign("a", &grants("alice", RoomScope::One(room("r"))), UnixTime(NOW.0 + 60)).expect("signed")
}

/// A token of these parts, as anybody can write one.
fn forged(header: &str, claims: &str, signature: &[u8]) -> String {
    let encode = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
    format!("{}.{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()), encode(signature))
}

#[test]
fn a_token_grants_what_it_says_until_it_expires() {
    let keys = keys();
    let token = signed(&keys);
    assert_eq!(keys.verify(&token, NOW), Ok(grants("alice", RoomScope::One(room("r")))));
    assert!(keys.verify(&token, UnixTime(NOW.0 + 59)).is_ok());
    assert_eq!(keys.verify(&token, UnixTime(NOW.0 + 60)), Err(TokenError::Expired(0)));
    assert_eq!(keys.verify(&token, UnixTime(NOW.0 + 70)), Err(TokenError::Expired(10)));
}

#[test]
fn a_token_that_anything_was_changed_in_grants_nothing() {
    let keys = keys();
    let token = signed(&keys);
    let parts: Vec<_> = token.split('.').collect();
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).expect("base64")).expect("JSON");
    let more = URL_SAFE_NO_PAD.encode(claims.replace("\"admin\":false", "\"admin\":true"));
    let raised = [parts[0], &more, parts[2]].join(".");
    assert_eq!(keys.verify(&raised, NOW), Err(TokenError::Signature("a".to_owned())));
    for at in (0..token.len()).filter(|at| token.as_bytes()[*at] != b'.') {
        let mut octets = token.clone().into_bytes();
        octets[at] = if octets[at] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(octets).expect("text");
        assert!(other == token || keys.verify(&other, NOW).is_err(), "octet {at}");
    }
}

#[test]
fn a_token_without_a_signature_or_signed_by_another_rule_grants_nothing() {
    let keys = keys();
    let claims = format!(r#"{{"sub":"m","room":"*","admin":true,"exp":{}}}"#, NOW.0 + 60);
    let refused = |header: &str, signature: &[u8]| keys.verify(&forged(header, &claims, signature), NOW).is_err();
    assert!(refused(r#"{"alg":"none"}"#, b"") && refused(r#"{"alg":"none","kid":"a"}"#, b""));
    assert!(refused(r#"{"alg":"HS256","kid":"a"}"#, b"") && refused(r#"{"alg":"HS256"}"#, &[0; 32]));
    let other = forged(r#"{"alg":"HS512","kid":"a"}"#, &claims, &[0; 64]);
    assert!(matches!(keys.verify(&other, NOW), Err(TokenError::Algorithm { expected: "HS256", .. })));
    let unknown = forged(r#"{"alg":"HS256","kid":"b"}"#, &claims, &[0; 32]);
    assert_eq!(keys.verify(&unknown, NOW), Err(TokenError::UnknownKey("b".to_owned())));
}

/// A key pair, its public half in PEM form, and the octets of that form.
fn pair() -> (EcdsaKeyPair, String) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("generated");
    // SubjectPublicKeyInfo of a P-256 point (RFC 5480 section 2): all before the point is always the same.
    let mut der = hex("3059301306072a8648ce3d020106082a8648ce3d030107034200");
    der.extend_from_slice(pair.public_key().as_ref());
    let text = STANDARD.encode(der);
    (pair, format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &text[..64], &text[64..]))
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn whoever_has_the_private_key_signs_and_the_public_one_is_no_secret() {
    let (pair, pem) = pair();
    let mut keys = Keys::default();
    keys.add(Key::ecdsa("e", pem.as_bytes()).expect("a key")).expect("the first");
    let claims = format!(r#"{{"sub":"bob","room":"*","subscribe":true,"exp":{}}}"#, NOW.0 + 60);
    let unsigned = forged(r#"{"alg":"ES256","kid":"e"}"#, &claims, b"");
    let over = unsigned.trim_end_matches('.');
    let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), over.as_bytes()).expect("signed");
    let token = format!("{over}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
    let granted = keys.verify(&token, NOW).expect("right");
    assert_eq!((granted.room, granted.publish, granted.subscribe), (RoomScope::Any, false, true));
    // The public key taken as a secret of HMAC: the oldest trick with these tokens.
    let unsigned = forged(r#"{"alg":"HS256","kid":"e"}"#, &claims, b"");
    let over = unsigned.trim_end_matches('.');
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, pem.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, over.as_bytes());
    let confused = format!("{over}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
    assert!(matches!(keys.verify(&confused, NOW), Err(TokenError::Algorithm { expected: "ES256", .. })));
    assert!(
        matches!(keys.sign("e", &grants("a", RoomScope::Any), NOW), Err(TokenError::UnknownKey(_))),
        "it only verifies"
    );
}

#[test]
fn claims_that_are_missing_or_no_names_are_told() {
    let keys = keys();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET);
    let verify = |claims: &str| {
        let unsigned = forged(r#"{"alg":"HS256","kid":"a"}"#, claims, b"");
        let over = unsigned.trim_end_matches('.');
        let tag = aws_lc_rs::hmac::sign(&key, over.as_bytes());
        keys.verify(&format!("{over}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref())), NOW)
    };
    assert!(matches!(verify(r#"{"sub":"a","room":"r"}"#), Err(TokenError::Claims(why)) if why.contains("exp")));
    assert!(matches!(verify(r#"{"sub":"a","exp":1800000000}"#), Err(TokenError::Claims(why)) if why.contains("room")));
    assert!(matches!(verify(r#"{"sub":"a/b","room":"r","exp":1800000000}"#), Err(TokenError::Name(_))));
    assert!(matches!(verify(r#"{"sub":"a","room":"r/s","exp":1800000000}"#), Err(TokenError::Name(_))));
    let later = NOW.0 + limits::CLOCK_SKEW.as_secs();
    let begins = |at: u64| verify(&format!(r#"{{"sub":"a","room":"r","exp":1800000000,"nbf":{at}}}"#));
    assert!(begins(later).is_ok(), "clocks differ a little");
    assert_eq!(begins(later + 1), Err(TokenError::NotYet(limits::CLOCK_SKEW.as_secs() + 1)));
}

#[test]
fn a_static_token_is_compared_whole() {
    let mut keys = Keys::default();
    let shared = Grants { is_shared: true, expires: None, ..grants("obs", RoomScope::Any) };
    keys.add_static("correct-horse-battery", shared.clone()).expect("long enough");
    assert_eq!(keys.verify("correct-horse-battery", NOW), Ok(shared.clone()));
    for other in ["correct-horse-batter", "correct-horse-battery ", "", "Correct-horse-battery"] {
        assert_eq!(keys.verify(other, NOW), Err(TokenError::Unknown), "{other:?}");
    }
    assert_eq!(keys.add_static("short", shared), Err(KeyError::Short { octets: 5 }));
}

#[test]
fn keys_are_named_once_and_are_no_easy_secrets() {
    let mut keys = keys();
    assert_eq!(keys.add(Key::hmac("a", SECRET).expect("long enough")), Err(KeyError::Twice("a".to_owned())));
    assert_eq!(Key::hmac("b", &SECRET[1..]).err(), Some(KeyError::Short { octets: 31 }));
    assert!(matches!(Key::ecdsa("c", b"-----BEGIN NONSENSE-----"), Err(KeyError::Pem(_))));
    keys.add(Key::hmac("b", SECRET).expect("long enough")).expect("another name");
    let unnamed = forged(r#"{"alg":"HS256"}"#, "{}", &[0; 32]);
    assert_eq!(keys.verify(&unnamed, NOW), Err(TokenError::NoKeyNamed));
    let text = format!("{keys:?}");
    assert!(!text.contains("0123456789"), "no secret is shown: {text}");
    assert_eq!(
        keys.verify(&"a".repeat(limits::TOKEN_MAX + 1), NOW),
        Err(TokenError::Long { octets: limits::TOKEN_MAX + 1 })
    );
}
