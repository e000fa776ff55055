//! Where keys stand in the file.

use std::collections::BTreeMap;

use crate::Problem;

/// The file's name and the line of each key in it.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    file: String,
    lines: BTreeMap<String, u32>,
}

impl Origin {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), lines: BTreeMap::new() }
    }

    pub(crate) fn put(&mut self, key: String, line: u32) {
        self.lines.insert(key, line);
    }

    /// Line of a dotted key, if the file has it.
    #[must_use]
    pub fn line(&self, key: &str) -> Option<u32> {
        self.lines.get(key).copied()
    }

    /// A problem with what `key` says; for checks that need the machine.
    #[must_use]
    pub fn problem(&self, key: &str, what: impl Into<String>, right: impl Into<String>) -> Problem {
        let line = self.line(key).or_else(|| self.line(key.split('[').next().unwrap_or(key)));
        let file = if line.is_some() { self.file.clone() } else { "default".to_owned() };
        Problem { file, line, key: key.to_owned(), what: what.into(), right: right.into() }
    }
}
