//! A body as lines that can be written back octet for octet.

use std::borrow::Cow;

use crate::error::{SdpError, quote};
use crate::limits;

/// How a line ended (RFC 8866 section 5: CRLF is right, LF alone is to be accepted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    CrLf,
    Lf,
    /// The last line of a body that has no end.
    Open,
}

impl Ending {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CrLf => "\r\n",
            Self::Lf => "\n",
            Self::Open => "",
        }
    }
}

/// One line: `x=value`, or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Without its end.
    pub text: Cow<'a, str>,
    pub ending: Ending,
    /// Where it was in the body, from 1; 0 of one that was added.
    pub number: usize,
}

impl Line<'_> {
    /// The type letter; None of an empty line.
    pub fn letter(&self) -> Option<char> {
        self.text.chars().next()
    }

    /// What is after `x=`.
    pub fn value(&self) -> &str {
        self.text.get(2..).unwrap_or("")
    }

    /// Name and value of an a-line; a property has no value.
    pub fn attribute(&self) -> Option<(&str, Option<&str>)> {
        let text = self.text.strip_prefix("a=")?;
        Some(text.split_once(':').map_or((text, None), |(name, value)| (name, Some(value))))
    }
}

/// How the octets of a body are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    Utf8,
    /// What is not UTF-8 is read as ISO 8859-1, in which every octet is a character, and written so again.
    Latin1,
}

/// Splits a body; every octet of it is in one of the lines.
pub(crate) fn split(body: &[u8]) -> Result<(Charset, Vec<Line<'_>>), SdpError> {
    if body.len() > limits::BODY_MAX {
        return Err(SdpError::BodyTooLong(body.len()));
    }
    if let Ok(text) = std::str::from_utf8(body) {
        return Ok((Charset::Utf8, collect(text, Cow::Borrowed)?));
    }
    let text: String = body.iter().copied().map(char::from).collect();
    let lines = collect(&text, |line| Cow::Owned(line.to_owned()))?;
    Ok((Charset::Latin1, lines))
}

fn collect<'t, 'a>(text: &'t str, keep: impl Fn(&'t str) -> Cow<'a, str>) -> Result<Vec<Line<'a>>, SdpError> {
    let mut lines = Vec::new();
    for (at, raw) in text.split_inclusive('\n').enumerate() {
        let number = at + 1;
        if number > limits::LINES_MAX {
            return Err(SdpError::TooMany { line: number, what: "lines", max: limits::LINES_MAX });
        }
        let (text, ending) = match (raw.strip_suffix("\r\n"), raw.strip_suffix('\n')) {
            (Some(text), _) => (text, Ending::CrLf),
            (None, Some(text)) => (text, Ending::Lf),
            (None, None) => (raw, Ending::Open),
        };
        check(text, number)?;
        lines.push(Line { text: keep(text), ending, number });
    }
    Ok(lines)
}

fn check(text: &str, line: usize) -> Result<(), SdpError> {
    if text.len() > limits::LINE_MAX {
        return Err(SdpError::LineTooLong { line, octets: text.len() });
    }
    let is_typed = matches!(text.as_bytes(), [b'a'..=b'z', b'=', ..]);
    let is_sound = (text.is_empty() || is_typed) && !text.contains(['\0', '\r']);
    if is_sound { Ok(()) } else { Err(SdpError::NotALine { line, text: quote(text) }) }
}
