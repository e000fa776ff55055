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

    /// A number of `unit`s.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        unit: Unit,
        range: RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32, ProfileError> {
        let Some(text) = self.take(key) else { return Ok(default) };
        let number = unit.read(text).filter(|number| range.contains(number));
        number.ok_or_else(|| self.wrong(key, text, unit.range(&range)))
    }

    /// As [`Options::number`], or `off`.
    pub(super) fn number_or_off(
        &mut self,
        key: &'static str,
        unit: Unit,
        range: RangeInclusive<u32>,
        default: Option<u32>,
    ) -> Result<Option<u32>, ProfileError> {
        let Some(text) = self.take(key) else { return Ok(default) };
        if text == "off" {
            return Ok(None);
        }
        let number = unit.read(text).filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| self.wrong(key, text, format!("{}, or `off`", unit.range(&range))))
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

/// What a number counts, and so how it is written.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    /// May end in `k` (thousand) or `M` (million).
    Whole,
    /// Ends in `ms` or `s`.
    Milliseconds,
}

impl Unit {
    fn read(self, text: &str) -> Option<u32> {
        let units: &[(&str, u32)] = match self {
            Self::Whole => &[("k", 1_000), ("M", 1_000_000), ("", 1)],
            Self::Milliseconds => &[("ms", 1), ("s", 1_000)],
        };
        let (digits, factor) = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
        digits.parse::<u32>().ok()?.checked_mul(*factor)
    }

    fn range(self, range: &RangeInclusive<u32>) -> String {
        let (least, most) = (range.start(), range.end());
        match self {
            Self::Whole => format!("a whole number from {least} to {most}"),
            Self::Milliseconds => format!("a time from {least}ms to {most}ms"),
        }
    }
}
