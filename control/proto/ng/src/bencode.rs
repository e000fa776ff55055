//! bencode, as rtpengine and its clients speak it: dictionary keys in any order.
//!
//! Our own reader rather than a guard before a serde one: the guard must walk the same grammar to find the depth, and
//! would leave duplicate keys, odd numbers and the length of a message on a stream to a second walk. This one keeps its
//! own stack, so no input makes it recurse.

use std::borrow::Cow;

use crate::limits;
use crate::malformed::{Malformed, Rule};
use crate::value::Value;

/// A list or dictionary that is not complete.
enum Open<'a> {
    List(Vec<Value<'a>>),
    Dictionary { pairs: Vec<(Cow<'a, [u8]>, Value<'a>)>, key: Option<Cow<'a, [u8]>> },
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
    values: usize,
    open: Vec<Open<'a>>,
}

/// Reads one dictionary from the beginning of `octets`; also gives the octets that it takes.
///
/// # Errors
/// The first rule that is broken; [`Rule::Truncated`] if more octets could make it right.
pub fn read(octets: &[u8]) -> Result<(Value<'_>, usize), Malformed> {
    let mut reader = Reader { octets, at: 0, values: 0, open: Vec::new() };
    match reader.read() {
        Ok(value) => Ok((value, reader.at)),
        Err(rule) => Err(Malformed { at: reader.at, rule }),
    }
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<Value<'a>, Rule> {
        match self.octets.first() {
            Some(b'd') => {}
            Some(_) => return Err(Rule::NotADictionary),
            None => return Err(Rule::Truncated),
        }
        loop {
            let start = self.at;
            let first = *self.octets.get(start).ok_or(Rule::Truncated)?;
            let value = match first {
                b'd' => self.begin(Open::Dictionary { pairs: Vec::new(), key: None })?,
                b'l' => self.begin(Open::List(Vec::new()))?,
                b'e' => Some(self.end()?),
                b'i' => Some(Value::Integer(self.integer()?)),
                b'0'..=b'9' => Some(Value::Text(Cow::Borrowed(self.string()?))),
                _ => return Err(Rule::Syntax),
            };
            let Some(value) = value else { continue };
            if self.open.is_empty() {
                return Ok(value);
            }
            if let Err(rule) = self.put(value) {
                self.at = start;
                return Err(rule);
            }
        }
    }

    fn begin(&mut self, open: Open<'a>) -> Result<Option<Value<'a>>, Rule> {
        if self.open.len() == limits::DEPTH_MAX {
            return Err(Rule::Deep);
        }
        if let Some(Open::Dictionary { key: None, .. }) = self.open.last() {
            return Err(Rule::Key);
        }
        self.at += 1;
        self.open.push(open);
        Ok(None)
    }

    fn end(&mut self) -> Result<Value<'a>, Rule> {
        let value = match self.open.pop() {
            Some(Open::List(items)) => Value::List(items),
            Some(Open::Dictionary { pairs, key: None }) => Value::Dictionary(pairs),
            Some(Open::Dictionary { key: Some(_), .. }) => return Err(Rule::NoValue),
            None => return Err(Rule::Syntax),
        };
        self.at += 1;
        Ok(value)
    }

    /// Adds what was read to what it stands in.
    fn put(&mut self, value: Value<'a>) -> Result<(), Rule> {
        match self.open.last_mut().expect("the caller saw that something is open") {
            Open::List(items) => items.push(value),
            Open::Dictionary { pairs, key } => {
                let Some(name) = key.take() else {
                    let Value::Text(name) = value else { return Err(Rule::Key) };
                    if pairs.iter().any(|(other, _)| *other == name) {
                        return Err(Rule::DuplicateKey);
                    }
                    if pairs.len() == limits::KEYS_MAX {
                        return Err(Rule::Keys);
                    }
                    *key = Some(name);
                    return Ok(());
                };
                pairs.push((name, value));
            }
        }
        self.values += 1;
        if self.values > limits::VALUES_MAX { Err(Rule::Values) } else { Ok(()) }
    }

    /// Digits up to `end`, which is passed.
    fn digits(&mut self, end: u8, rule: Rule) -> Result<&'a [u8], Rule> {
        let rest = &self.octets[self.at..];
        let count = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        match rest.get(count) {
            // A length or number of more digits than any that fits is wrong however it goes on.
            None if count <= 20 => Err(Rule::Truncated),
            Some(octet) if *octet == end && count > 0 && (count == 1 || rest[0] != b'0') => {
                self.at += count + 1;
                Ok(&rest[..count])
            }
            None | Some(_) => Err(rule),
        }
    }

    fn integer(&mut self) -> Result<i64, Rule> {
        self.at += 1;
        let negative = self.octets.get(self.at) == Some(&b'-');
        self.at += usize::from(negative);
        let mut number: i64 = 0;
        for digit in self.digits(b'e', Rule::Integer)? {
            let digit = i64::from(digit - b'0');
            let next = number.checked_mul(10);
            let next = next.and_then(|n| if negative { n.checked_sub(digit) } else { n.checked_add(digit) });
            number = next.ok_or(Rule::Integer)?;
        }
        if negative && number == 0 { Err(Rule::Integer) } else { Ok(number) }
    }

    fn string(&mut self) -> Result<&'a [u8], Rule> {
        let mut length: usize = 0;
        for digit in self.digits(b':', Rule::Length)? {
            length = length * 10 + usize::from(digit - b'0');
            if length > limits::MESSAGE_MAX {
                return Err(Rule::Long);
            }
        }
        let octets = self.octets.get(self.at..self.at + length).ok_or(Rule::Truncated)?;
        self.at += length;
        Ok(octets)
    }
}

/// Writes `value`, keys in the order they have.
pub fn write(value: &Value<'_>, into: &mut Vec<u8>) {
    match value {
        Value::Text(octets) => string(octets, into),
        Value::Integer(number) => into.extend_from_slice(format!("i{number}e").as_bytes()),
        Value::List(items) => {
            into.push(b'l');
            items.iter().for_each(|item| write(item, into));
            into.push(b'e');
        }
        Value::Dictionary(pairs) => {
            into.push(b'd');
            for (name, value) in pairs {
                string(name, into);
                write(value, into);
            }
            into.push(b'e');
        }
    }
}

fn string(octets: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(octets.len().to_string().as_bytes());
    into.push(b':');
    into.extend_from_slice(octets);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        read(text.as_bytes()).expect_err(text).rule
    }

    #[test]
    fn depth_ends_where_it_is_said_to() {
        let nested = |depth: usize| format!("d1:a{}{}e", "l".repeat(depth - 1), "e".repeat(depth - 1));
        assert!(read(nested(limits::DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(rule(&nested(limits::DEPTH_MAX + 1)), Rule::Deep);
        assert_eq!(rule(&format!("d1:a{}", "l".repeat(60_000))), Rule::Deep);
        assert_eq!(rule(&"d1:a".repeat(10_000)), Rule::Deep);
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        assert_eq!(read(b"d1:ai1e1:ai1ee"), Err(Malformed { at: 7, rule: Rule::DuplicateKey }));
        assert!(read(b"d1:ad1:ai1eee").is_ok(), "in another dictionary");
    }

    #[test]
    fn numbers_are_written_in_one_way_and_fit() {
        let number = |text: &str| read(format!("d1:ai{text}ee").as_bytes()).map(|(v, _)| v.get("a").unwrap().integer());
        assert_eq!(number("9223372036854775807"), Ok(Some(i64::MAX)));
        assert_eq!(number("-9223372036854775808"), Ok(Some(i64::MIN)));
        for bad in ["9223372036854775808", "-9223372036854775809", "", "-", "-0", "01", "+1", "1.5", " 1"] {
            assert_eq!(number(bad).expect_err(bad).rule, Rule::Integer, "{bad}");
        }
        assert_eq!(rule(&format!("d1:ai{}", "1".repeat(40))), Rule::Integer, "no more can make it right");
    }

    #[test]
    fn a_length_is_a_number_that_fits_a_message() {
        assert_eq!(rule("d01:ai1ee"), Rule::Length);
        assert_eq!(rule("d1ai1ee"), Rule::Length);
        assert_eq!(rule("d99999999999999999999999:a"), Rule::Long);
        assert_eq!(rule("d65508:a"), Rule::Long);
        assert_eq!(rule("d65507:a"), Rule::Truncated);
    }

    #[test]
    fn whatever_is_cut_off_wants_more() {
        let whole = b"d7:command5:offer3:sdp3:v=05:flagsl1:a2:bbe3:TOSi184ee";
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]).expect_err("cut").rule, Rule::Truncated, "{length}");
        }
        assert_eq!(read(whole).expect("whole").1, whole.len());
    }

    #[test]
    fn other_grammar_is_named() {
        assert_eq!(rule("le"), Rule::NotADictionary);
        assert_eq!(rule("di1ei2ee"), Rule::Key);
        assert_eq!(rule("dlei2ee"), Rule::Key);
        assert_eq!(rule("d1:ae"), Rule::NoValue);
        assert_eq!(rule("d1:ax"), Rule::Syntax);
    }

    #[test]
    fn keys_and_values_are_counted() {
        let keys = |count: usize| (0..count).map(|n| format!("4:{n:04}i0e")).collect::<String>();
        assert!(read(format!("d{}e", keys(limits::KEYS_MAX)).as_bytes()).is_ok());
        assert_eq!(rule(&format!("d{}e", keys(limits::KEYS_MAX + 1))), Rule::Keys);
        let values = |count: usize| format!("d1:al{}ee", "i0e".repeat(count));
        assert!(read(values(limits::VALUES_MAX - 1).as_bytes()).is_ok());
        assert_eq!(rule(&values(limits::VALUES_MAX)), Rule::Values);
    }
}
