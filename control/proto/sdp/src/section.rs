//! The lines of the session or of one m-line, and how they are changed.

use std::borrow::Cow;

use crate::address::{self, Connection};
use crate::error::SdpError;
use crate::lines::{Ending, Line};

/// Lines of the session, or of one m-line with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    pub(crate) lines: Vec<Line<'a>>,
    /// How lines that are added end.
    pub(crate) ending: Ending,
}

impl<'a> Section<'a> {
    /// Attributes by name, in order; a property has no value.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.lines.iter().filter_map(Line::attribute)
    }

    /// The value of the first attribute of that name; empty for a property.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes().find(|(known, _)| *known == name).map(|(_, value)| value.unwrap_or(""))
    }

    /// Whether there is an attribute of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// Adds an attribute after the others. Line ends and NUL in it are left out.
    pub fn add(&mut self, name: &str, value: Option<&str>) {
        let line = self.line(attribute_text(name, value));
        self.append(line);
    }

    /// Puts an attribute where the first of that name is, and removes further ones; adds it where there is none.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let is_it = |line: &Line<'_>| line.attribute().is_some_and(|(known, _)| known == name);
        let Some(at) = self.lines.iter().position(is_it) else { return self.add(name, value) };
        let text = attribute_text(name, value);
        if self.lines[at].text != text {
            self.lines[at].text = Cow::Owned(text);
        }
        let mut index = 0;
        self.lines.retain(|line| {
            index += 1;
            index - 1 <= at || !is_it(line)
        });
    }

    /// Removes attributes that the predicate names.
    pub fn remove(&mut self, mut is_unwanted: impl FnMut(&str, Option<&str>) -> bool) {
        self.lines.retain(|line| !line.attribute().is_some_and(|(name, value)| is_unwanted(name, value)));
    }

    /// Removes attributes of these names.
    pub fn remove_all(&mut self, names: &[&str]) {
        self.remove(|name, _| names.contains(&name));
    }

    /// Replaces an attribute line by another, both as written after `a=`. False if there is none like it.
    pub fn substitute(&mut self, old: &str, new: &str) -> bool {
        let found = self.lines.iter_mut().find(|line| line.text.strip_prefix("a=") == Some(old));
        found.map(|line| line.text = Cow::Owned(format!("a={}", clean(new)))).is_some()
    }

    /// The c-line (RFC 8866 section 5.7); the first of several.
    ///
    /// # Errors
    /// [`SdpError::ConnectionLine`].
    pub fn connection(&self) -> Result<Option<Connection>, SdpError> {
        self.lines.iter().find(|line| line.letter() == Some('c')).map(address::connection).transpose()
    }

    /// Replaces the c-lines by one, or adds it where RFC 8866 section 5 has it.
    pub fn set_connection(&mut self, ip: std::net::IpAddr) {
        let text = format!("c={}", address::write(ip));
        let Some(at) = self.lines.iter().position(|line| line.letter() == Some('c')) else {
            let is_before = |line: &Line<'_>| line.letter().is_some_and(|letter| "vosuepmi".contains(letter));
            let at = self.lines.iter().take_while(|line| is_before(line)).count();
            let line = self.line(text);
            return self.insert(at, line);
        };
        if self.lines[at].text != text {
            self.lines[at].text = Cow::Owned(text);
        }
        let mut index = 0;
        self.lines.retain(|line| {
            index += 1;
            index - 1 <= at || line.letter() != Some('c')
        });
    }

    pub(crate) fn find(&self, letter: char) -> Option<&Line<'a>> {
        self.lines.iter().find(|line| line.letter() == Some(letter))
    }

    /// Changes the text after `x=` of the first line of a type, if there is one.
    pub(crate) fn set_value(&mut self, letter: char, value: &str) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.letter() == Some(letter))
            && line.value() != value
        {
            line.text = Cow::Owned(format!("{letter}={}", clean(value)));
        }
    }

    fn line(&self, text: String) -> Line<'a> {
        Line { text: Cow::Owned(text), ending: self.ending, number: 0 }
    }

    /// Adds a line at the end, before empty ones.
    fn append(&mut self, line: Line<'a>) {
        let empty = self.lines.iter().rev().take_while(|line| line.text.is_empty()).count();
        self.insert(self.lines.len() - empty, line);
    }

    /// What comes to stand before another line must end.
    fn insert(&mut self, at: usize, line: Line<'a>) {
        let ending = self.ending;
        if let Some(before) = at.checked_sub(1).and_then(|before| self.lines.get_mut(before))
            && before.ending == Ending::Open
        {
            before.ending = ending;
        }
        self.lines.insert(at, line);
    }
}

fn attribute_text(name: &str, value: Option<&str>) -> String {
    value.map_or_else(|| format!("a={}", clean(name)), |value| format!("a={}:{}", clean(name), clean(value)))
}

/// A value in which no line ends.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains(['\r', '\n', '\0']) { text.replace(['\r', '\n', '\0'], "").into() } else { text.into() }
}
