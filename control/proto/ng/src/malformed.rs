//! Why octets are not a message.

/// Where and why. The rule says what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("octet {at}: {rule}")]
pub struct Malformed {
    /// Octets of the body before the place.
    pub at: usize,
    /// What is broken.
    pub rule: Rule,
}

/// A rule that a body broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// More is needed.
    #[error("the message ends too early")]
    Truncated,
    /// [`MESSAGE_MAX`](crate::limits::MESSAGE_MAX).
    #[error("a message has at most 65507 octets")]
    Long,
    /// Two messages in one.
    #[error("something follows the message")]
    Trailing,
    /// A list or a bare value.
    #[error("a message is a dictionary: bencode \"d...e\" or JSON \"{{...}}\"")]
    NotADictionary,
    /// [`DEPTH_MAX`](crate::limits::DEPTH_MAX).
    #[error("lists and dictionaries are nested at most 16 deep")]
    Deep,
    /// [`VALUES_MAX`](crate::limits::VALUES_MAX).
    #[error("a message has at most 4096 values")]
    Values,
    /// [`KEYS_MAX`](crate::limits::KEYS_MAX).
    #[error("a dictionary has at most 128 keys")]
    Keys,
    /// The same key again: which of the two was meant cannot be known.
    #[error("a key stands twice in its dictionary")]
    DuplicateKey,
    /// bencode: a key is a number or list.
    #[error("a key is a string")]
    Key,
    /// bencode: a key without value.
    #[error("a key has a value")]
    NoValue,
    /// Not a whole number of 64 bits, or one written in an odd way.
    #[error("numbers are whole, without leading zeros, from -2^63 to 2^63 - 1")]
    Integer,
    /// bencode: a string's length.
    #[error("the length of a string is a number without leading zeros before \":\"")]
    Length,
    /// bencode: no such type.
    #[error("a value begins with \"d\", \"l\", \"i\" or a digit")]
    Syntax,
    /// JSON grammar.
    #[error("not valid JSON")]
    Json,
}
