//! What nobody sends in good faith.

use std::borrow::Cow;

use proptest::prelude::*;
use raceway_ng::{Form, Request, Rule, StreamError, Value, bencode, frame, fuzz, json, limits, split};

#[test]
fn a_datagram_without_a_cookie_cannot_be_answered() {
    for datagram in ["", " d7:command4:pinge", "ping", "a\0b d7:command4:pinge", "\u{e9} d"] {
        assert!(split(datagram.as_bytes()).is_err(), "{datagram:?}");
    }
    let long = "x".repeat(limits::COOKIE_MAX);
    assert!(split(format!("{long} d").as_bytes()).is_ok());
    assert!(split(format!("{long}x d").as_bytes()).is_err());
}

#[test]
fn deep_bodies_are_refused_before_anything_recurses() {
    // 9,000 octets of "l" are what overflows the stack of readers that recurse.
    for body in ["l".repeat(60_000), "d1:a".repeat(15_000), "{\"a\":".repeat(10_000), "[".repeat(60_000)] {
        let refusal = Request::read(body.as_bytes()).command.expect_err("refused").to_string();
        assert!(refusal.contains("deep") || refusal.contains("dictionary"), "{refusal}");
    }
}

#[test]
fn a_body_is_one_dictionary() {
    let reason = |body: &str| Request::read(body.as_bytes()).command.expect_err(body).to_string();
    assert_eq!(reason("d7:command4:pingex"), "octet 17: something follows the message");
    assert_eq!(reason(""), "octet 0: the message ends too early");
    assert_eq!(reason("le"), "octet 0: a message is a dictionary: bencode \"d...e\" or JSON \"{...}\"");
    assert!(reason("{\"command\":\"ping\",\"command\":\"list\"}").ends_with("a key stands twice in its dictionary"));
    assert!(Request::read(b"d7:command4:pinge\r\n").command.is_ok(), "a line end is no message");
    assert!(Request::read(b"  {\"command\":\"ping\"}\n").command.is_ok());
    let long = format!("d7:command4:ping1:x{0}:{1}e", limits::MESSAGE_MAX, "x".repeat(limits::MESSAGE_MAX));
    assert_eq!(reason(&long), "octet 65507: a message has at most 65507 octets");
}

#[test]
fn a_stream_ends_at_what_can_never_become_a_message() {
    assert_eq!(frame(b"1_2"), Ok(None));
    assert_eq!(frame(b"1_2 "), Ok(None));
    assert_eq!(frame(b"1_2 d7:command4:pin"), Ok(None));
    assert_eq!(frame(b"1_2 d7:command4:pinge3_4 d"), Ok(Some(21)));
    assert_eq!(frame(b"1_2 {\"command\":\"ping\"}3_4 {"), Ok(Some(22)));
    assert!(matches!(frame(b"1_2 x"), Err(StreamError::Malformed(_))));
    assert!(matches!(frame(" d".as_bytes()), Err(StreamError::NoCookie(_))));
    assert!(matches!(frame("x".repeat(200).as_bytes()), Err(StreamError::NoCookie(_))));
    let endless = format!("1 {{\"a\":\"{}", "x".repeat(limits::MESSAGE_MAX));
    assert_eq!(frame(endless.as_bytes()), Err(StreamError::Long));
    let endless = format!("1 d1:a65000:{}", "x".repeat(limits::MESSAGE_MAX));
    assert_eq!(frame(&endless.as_bytes()[..60_000]), Ok(None));
}

#[test]
fn a_key_that_is_not_text_is_only_not_known() {
    let request = Request::read(b"d7:command4:ping2:\xff\xfei1ee");
    assert!(request.command.is_ok());
    assert!(request.warnings.text().expect("a warning").contains("is not known"));
    let refusal = Request::read(b"d7:command5:query7:call-id2:\xff\xfee").command.expect_err("not text");
    assert_eq!(refusal.to_string(), "call-id: not UTF-8");
}

fn text() -> impl Strategy<Value = Cow<'static, [u8]>> {
    "[a-z\"\\\\\n\u{e4} :]{0,12}".prop_map(|text| Cow::Owned(text.into_bytes()))
}

fn value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![text().prop_map(Value::Text), any::<i64>().prop_map(Value::Integer)];
    leaf.prop_recursive(6, 48, 8, |inner| {
        prop_oneof![proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::List), dictionary(inner)]
    })
}

fn dictionary(inner: impl Strategy<Value = Value<'static>>) -> impl Strategy<Value = Value<'static>> {
    let pairs = proptest::collection::btree_map(text().prop_map(Cow::into_owned), inner, 0..6);
    pairs.prop_map(|pairs| Value::Dictionary(pairs.into_iter().map(|(key, value)| (Cow::Owned(key), value)).collect()))
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(value in dictionary(value())) {
        let mut octets = Vec::new();
        bencode::write(&value, &mut octets);
        prop_assert_eq!(bencode::read(&octets), Ok((value.clone(), octets.len())));
        let mut octets = Vec::new();
        json::write(&value, &mut octets);
        prop_assert_eq!(json::length(&octets), Ok(octets.len()));
        prop_assert_eq!(json::read(&octets), Ok(value));
    }

    #[test]
    fn what_is_cut_off_is_not_complete_and_never_another_message(value in dictionary(value()), at in any::<prop::sample::Index>()) {
        let mut octets = b"c ".to_vec();
        bencode::write(&value, &mut octets);
        let cut = at.index(octets.len());
        prop_assert_eq!(frame(&octets[..cut]), Ok(None));
        let broken = bencode::read(&octets[2..cut.max(2)]).expect_err("cut");
        prop_assert_eq!(broken.rule, Rule::Truncated);
    }

    #[test]
    fn any_octets_are_a_command_or_a_reason(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz(&octets);
    }

    #[test]
    fn a_message_with_octets_changed_is_a_command_or_a_reason(
        which in 0..super::corpus::COUNT, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)
    ) {
        let mut octets = super::corpus::messages().remove(which);
        for (at, octet) in changes {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        fuzz(&octets);
    }
}

#[test]
fn the_form_of_what_cannot_be_read_is_guessed_by_its_first_octet() {
    assert_eq!(Request::read(b"{").form, Form::Json);
    assert_eq!(Request::read(b"x").form, Form::Bencode);
}
