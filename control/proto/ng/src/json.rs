//! JSON, within the same limits as bencode.
//!
//! The grammar is serde_json's. Depth, numbers of keys and values, and keys that stand twice are checked as it reads:
//! it goes no deeper than [`DEPTH_MAX`](crate::limits::DEPTH_MAX), since each level is asked for here.

use core::cell::Cell;
use core::fmt;
use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::limits;
use crate::malformed::{Malformed, Rule};
use crate::value::Value;

/// Reads one object, which is all that `octets` have.
///
/// # Errors
/// The first rule that is broken.
pub fn read(octets: &[u8]) -> Result<Value<'_>, Malformed> {
    let (values, broken) = (Cell::new(0), Cell::new(None));
    let mut reader = serde_json::Deserializer::from_slice(octets);
    let seed = Seed { depth: 0, values: &values, broken: &broken };
    let told = |error: &serde_json::Error| {
        let before: usize =
            octets.split_inclusive(|octet| *octet == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
        let rule = match broken.get() {
            Some(rule) => rule,
            None if error.is_eof() => Rule::Truncated,
            None => Rule::Json,
        };
        Malformed { at: before + error.column(), rule }
    };
    match seed.deserialize(&mut reader) {
        Ok(Some(value @ Value::Dictionary(_))) => match reader.end() {
            Ok(()) => Ok(value),
            Err(error) => Err(Malformed { rule: Rule::Trailing, ..told(&error) }),
        },
        Ok(_) => Err(Malformed { at: 0, rule: Rule::NotADictionary }),
        Err(error) => Err(told(&error)),
    }
}

/// Octets of the object that `octets` begin with, once it is all there: what stands outside of strings is balanced.
///
/// # Errors
/// [`Rule::Truncated`] while it is not.
pub fn length(octets: &[u8]) -> Result<usize, Malformed> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, octet) in octets.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return Ok(at + 1),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    Err(Malformed { at: octets.len(), rule: Rule::Truncated })
}

/// Writes `value`.
pub fn write(value: &Value<'_>, into: &mut Vec<u8>) {
    serde_json::to_writer(into, value).expect("values have text keys, and a vector takes all");
}

#[derive(Clone, Copy)]
struct Seed<'s> {
    depth: usize,
    values: &'s Cell<usize>,
    broken: &'s Cell<Option<Rule>>,
}

impl Seed<'_> {
    fn refuse<E: Error>(&self, rule: Rule) -> E {
        self.broken.set(Some(rule));
        E::custom(rule)
    }

    fn count<E: Error>(&self) -> Result<(), E> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > limits::VALUES_MAX { Err(self.refuse(Rule::Values)) } else { Ok(()) }
    }

    fn deeper<E: Error>(&self) -> Result<Self, E> {
        if self.depth == limits::DEPTH_MAX {
            return Err(self.refuse(Rule::Deep));
        }
        Ok(Self { depth: self.depth + 1, ..*self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Option<Value<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// `None` is null.
impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Option<Value<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Integer(value.into())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Integer(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        match i64::try_from(number) {
            Ok(number) => Ok(Some(Value::Integer(number))),
            Err(_) => Err(self.refuse(Rule::Integer)),
        }
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(self.refuse(Rule::Integer))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Value::Text(Cow::Borrowed(text.as_bytes()))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Value::Text(Cow::Owned(text.as_bytes().to_vec()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let within = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(within)? {
            self.count()?;
            items.extend(item);
        }
        Ok(Some(Value::List(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let within = self.deeper()?;
        let mut pairs: Vec<(Cow<'de, [u8]>, Value<'de>)> = Vec::new();
        let mut keys = 0;
        while let Some(Some(Value::Text(name))) = map.next_key_seed(within)? {
            self.count()?;
            keys += 1;
            if keys > limits::KEYS_MAX {
                return Err(self.refuse(Rule::Keys));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(self.refuse(Rule::DuplicateKey));
            }
            if let Some(value) = map.next_value_seed(within)? {
                pairs.push((name, value));
            }
        }
        Ok(Some(Value::Dictionary(pairs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        read(text.as_bytes()).expect_err(text).rule
    }

    #[test]
    fn depth_ends_where_it_is_said_to() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(read(nested(limits::DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(rule(&nested(limits::DEPTH_MAX + 1)), Rule::Deep);
        assert_eq!(rule(&format!("{{\"a\":{}", "[".repeat(60_000))), Rule::Deep);
        assert_eq!(rule(&"{\"a\":".repeat(10_000)), Rule::Deep);
    }

    #[test]
    fn what_bencode_refuses_is_refused_here() {
        assert_eq!(rule(r#"{"a":1,"a":2}"#), Rule::DuplicateKey);
        assert_eq!(rule(r#"{"a":1,"\u0061":2}"#), Rule::DuplicateKey);
        assert_eq!(rule(r#"{"a":9223372036854775808}"#), Rule::Integer);
        assert_eq!(rule(r#"{"a":1.5}"#), Rule::Integer);
        assert_eq!(rule(r#"{"a":1} x"#), Rule::Trailing);
        assert_eq!(rule(r#"{"a":1"#), Rule::Truncated);
        assert_eq!(rule("[1]"), Rule::NotADictionary);
        assert_eq!(rule("null"), Rule::NotADictionary);
        assert_eq!(rule("{a:1}"), Rule::Json);
        let keys: String = (0..=limits::KEYS_MAX).map(|n| format!("\"{n}\":0,")).collect();
        assert_eq!(rule(&format!("{{{keys}\"x\":0}}")), Rule::Keys);
        assert_eq!(rule(&format!("{{\"a\":[{}0]}}", "0,".repeat(limits::VALUES_MAX))), Rule::Values);
    }

    #[test]
    fn null_is_absent_and_truth_is_a_number() {
        let value = read(br#"{"a":null,"b":true,"c":[null,1]}"#).expect("an object");
        assert_eq!(value.get("a"), None);
        assert_eq!(value.get("b"), Some(&Value::Integer(1)));
        assert_eq!(value.get("c"), Some(&Value::List(vec![Value::Integer(1)])));
    }

    #[test]
    fn an_object_ends_where_its_brackets_do() {
        let whole = r#"{"a":"}]\"{","b":[{"c":1}]}"#;
        for length in 0..whole.len() {
            assert_eq!(super::length(&whole.as_bytes()[..length]).expect_err("cut").rule, Rule::Truncated);
        }
        assert_eq!(super::length(format!("{whole} 2_3 {{").as_bytes()), Ok(whole.len()));
    }

    #[test]
    fn the_place_is_counted_from_the_beginning() {
        assert_eq!(read(b"{\n\"a\":1,\n\"a\":2}").expect_err("twice").at, 12);
    }
}
