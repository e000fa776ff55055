//! What both forms of a message are made of.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// A value: what bencode can say. JSON's `null` is an absent value, `true` and `false` are 1 and 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Octets; text in UTF-8 where a name is meant.
    Text(Cow<'a, [u8]>),
    /// A whole number.
    Integer(i64),
    /// Values.
    List(Vec<Value<'a>>),
    /// Values with names, in the order of the message; no name twice.
    Dictionary(Vec<(Cow<'a, [u8]>, Value<'a>)>),
}

impl Value<'_> {
    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(octets) => core::str::from_utf8(octets).ok(),
            Self::Integer(_) | Self::List(_) | Self::Dictionary(_) => None,
        }
    }

    /// The number, which may be written as text.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(_) => self.text()?.trim().parse().ok(),
            Self::List(_) | Self::Dictionary(_) => None,
        }
    }

    /// The value of `key`, if this is a dictionary that has it, spelled just so.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dictionary(pairs) => pairs.iter().find(|(name, _)| **name == *key.as_bytes()).map(|(_, value)| value),
            Self::Text(_) | Self::Integer(_) | Self::List(_) => None,
        }
    }

    /// What a message says of its type.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a number",
            Self::List(_) => "a list",
            Self::Dictionary(_) => "a dictionary",
        }
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u64> for Value<'_> {
    /// Saturates: counters of packets never get there.
    fn from(number: u64) -> Self {
        Self::Integer(number.min(i64::MAX as u64) as i64)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text.as_bytes()))
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(octets: &'a [u8]) -> Self {
        Self::Text(Cow::Borrowed(octets))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text.into_bytes()))
    }
}

impl<'a, T: Into<Value<'a>>> FromIterator<T> for Value<'a> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

/// A dictionary being made.
#[derive(Clone, Debug, Default)]
pub struct Dictionary<'a>(Vec<(Cow<'a, [u8]>, Value<'a>)>);

impl<'a> Dictionary<'a> {
    /// Adds `value` as `key`, which must not be there yet.
    #[must_use]
    pub fn with(mut self, key: &'a str, value: impl Into<Value<'a>>) -> Self {
        debug_assert!(self.0.iter().all(|(name, _)| **name != *key.as_bytes()), "{key} twice");
        self.0.push((Cow::Borrowed(key.as_bytes()), value.into()));
        self
    }

    /// Adds `value` as `key`, which is made and must not be there yet.
    #[must_use]
    pub fn with_owned(mut self, key: String, value: impl Into<Value<'a>>) -> Self {
        self.0.push((Cow::Owned(key.into_bytes()), value.into()));
        self
    }

    /// Adds all of `other`.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Adds it if it is there.
    #[must_use]
    pub fn with_some(self, key: &'a str, value: Option<impl Into<Value<'a>>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

impl<'a> From<Dictionary<'a>> for Value<'a> {
    fn from(dictionary: Dictionary<'a>) -> Self {
        Self::Dictionary(dictionary.0)
    }
}

impl Serialize for Value<'_> {
    /// For JSON: octets that are not UTF-8 become U+FFFD.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(octets) => serializer.serialize_str(&String::from_utf8_lossy(octets)),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Self::Dictionary(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (name, value) in pairs {
                    map.serialize_entry(&String::from_utf8_lossy(name), value)?;
                }
                map.end()
            }
        }
    }
}
