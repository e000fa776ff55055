//! `NAME[:key=value,...]` taken apart.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::ProfileError;

/// The options of a profile that have not been read yet.
pub(super) struct Options<'a> {
    profile: &'static str,
    given: Vec<(&'a str, &'a str)>,
    known: Vec<&'static str>,
}

impl<'a> Options<'a> {
    /// Splits `key=value,...`.
    pub(super) fn parse(profile: &'static str, text: &'a str) -> Result<Self, ProfileError> {
        let mut given: Vec<(&str, &str)> = Vec::new();
        for option in text.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').ok_or_else(|| ProfileError::NoValue(option.to_owned()))?;
            let (key, value) = (key.trim(), value.trim());
            if given.iter().any(|(other, _)| *other == key) {
                return Err(ProfileError::Twice(key.to_owned()));
            }
            given.push((key, value));
        }
        Ok(Self { profile, given, known: Vec::new() })
    }

    /// Takes the value of `key`, if given.
    fn take(&mut self, key: &'static str) -> Option<&'a str> {
        self.known.push(key);
        let at = self.given.iter().position(|(given, _)| *given == key)?;
        Some(self.given.swap_remove(at).1)
    }

    /// A whole number, which may end in `k` (thousand) or `M` (million).
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32, ProfileError> {
        Ok(self.number_if_given(key, range)?.unwrap_or(default))
    }

    /// As [`Options::number`], for what may be left out.
    pub(super) fn number_if_given(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, ProfileError> {
        let Some(text) = self.take(key) else { return Ok(None) };
        match quantity(text).filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(key, text, format!("a whole number from {} to {}", range.start(), range.end()))),
        }
    }

    /// Milliseconds, written with a unit: `100ms`, `2s`.
    pub(super) fn milliseconds(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32, ProfileError> {
        let Some(text) = self.take(key) else { return Ok(default) };
        match milliseconds(text).filter(|duration| range.contains(duration)) {
            Some(duration) => Ok(duration),
            None => Err(self.wrong(key, text, format!("a time from {}ms to {}ms", range.start(), range.end()))),
        }
    }

    /// `on` or `off`.
    pub(super) fn switch(&mut self, key: &'static str) -> Result<bool, ProfileError> {
        match self.take(key) {
            None | Some("off") => Ok(false),
            Some("on") => Ok(true),
            Some(text) => Err(self.wrong(key, text, "`on` or `off`".to_owned())),
        }
    }

    /// A value of which the type says what it may be.
    pub(super) fn value<T: FromStr<Err: Display>>(&mut self, key: &'static str, default: T) -> Result<T, ProfileError> {
        let Some(text) = self.take(key) else { return Ok(default) };
        text.parse().map_err(|error: T::Err| self.wrong(key, text, error.to_string()))
    }

    /// No option is left that nobody asked for.
    pub(super) fn finish(self) -> Result<(), ProfileError> {
        match self.given.first() {
            None => Ok(()),
            Some((key, _)) => Err(ProfileError::UnknownOption {
                profile: self.profile,
                option: (*key).to_owned(),
                known: self.known.join(", "),
            }),
        }
    }

    fn wrong(&self, key: &'static str, value: &str, expected: String) -> ProfileError {
        ProfileError::Value { profile: self.profile, option: key, value: value.to_owned(), expected }
    }
}

fn quantity(text: &str) -> Option<u32> {
    let (digits, factor) = match text.strip_suffix(['k', 'M']) {
        Some(digits) => (digits, if text.ends_with('k') { 1_000 } else { 1_000_000 }),
        None => (text, 1),
    };
    digits.parse::<u32>().ok()?.checked_mul(factor)
}

fn milliseconds(text: &str) -> Option<u32> {
    let (digits, factor) = text.strip_suffix("ms").map_or((text.strip_suffix('s')?, 1_000), |digits| (digits, 1));
    digits.parse::<u32>().ok()?.checked_mul(factor)
}
