//! Why a body was refused.

use crate::limits;

/// A rule that a body broke. Lines are counted from 1; values are as they came, cut at 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Over [`limits::BODY_MAX`].
    #[error("SDP of {0} octets; at most {max} are read", max = limits::BODY_MAX)]
    BodyTooLong(usize),
    /// Over [`limits::LINE_MAX`].
    #[error("SDP line {line} has {octets} octets; at most {max} are read", max = limits::LINE_MAX)]
    LineTooLong {
        /// Which.
        line: usize,
        /// Its length.
        octets: usize,
    },
    /// Over one of the other limits.
    #[error("SDP line {line}: more than {max} {what}")]
    TooMany {
        /// The first one too many.
        line: usize,
        /// Of what.
        what: &'static str,
        /// How many are read.
        max: usize,
    },
    /// No `v=0` at the start (RFC 8866 section 5.1).
    #[error("SDP does not begin with v=0 but with {0:?}")]
    Version(String),
    /// Not `type=value` (RFC 8866 section 5), or with a control character.
    #[error("SDP line {line} is not <type>=<value>: {text:?}")]
    NotALine {
        /// Which.
        line: usize,
        /// As it came.
        text: String,
    },
    /// An m-line that is none (RFC 8866 section 5.14).
    #[error("SDP line {line} is not m=<media> <port> <protocol> <formats>: {text:?}")]
    MediaLine {
        /// Which.
        line: usize,
        /// As it came.
        text: String,
    },
    /// A c-line that is none (RFC 8866 section 5.7).
    #[error("SDP line {line} is not c=IN IP4|IP6 <address>: {text:?}")]
    ConnectionLine {
        /// Which.
        line: usize,
        /// As it came.
        text: String,
    },
    /// An attribute that decides where media goes and cannot be read.
    #[error("SDP line {line}: {what} cannot be read: {text:?}")]
    Attribute {
        /// Which.
        line: usize,
        /// What it should be.
        what: &'static str,
        /// As it came.
        text: String,
    },
    /// An m-line has no c-line, nor has the session (RFC 8866 section 5.7).
    #[error("SDP m-line {0} has no c= line, and the session has none either")]
    NoConnection(usize),
}

/// As much of a line as an error quotes.
pub(crate) fn quote(text: &str) -> String {
    text.chars().take(64).collect()
}
