//! Walks a parsed TOML document, collects what is wrong, and remembers where everything stands.

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::near::nearest;
use crate::origin::Origin;
use crate::problem::Problem;

/// Why a value cannot be taken.
pub(crate) struct Wrong {
    pub what: String,
    pub right: String,
}

impl Wrong {
    pub(crate) fn new(what: impl Into<String>, right: impl Into<String>) -> Self {
        Self { what: what.into(), right: right.into() }
    }

    /// The TOML type does not fit. The value is not quoted: it may be a secret.
    pub(crate) fn of_type(value: &DeValue<'_>, right: impl Into<String>) -> Self {
        let article = if matches!(value, DeValue::Integer(_) | DeValue::Array(_)) { "an" } else { "a" };
        Self::new(format!("{article} {} does not fit here", value.type_str()), right)
    }
}

/// A document being read.
pub(crate) struct Reader {
    line_ends: Vec<usize>,
    pub(crate) origin: Origin,
    pub(crate) problems: Vec<Problem>,
}

impl Reader {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let line_ends = text.match_indices('\n').map(|(at, _)| at).collect();
        Self { line_ends, origin: Origin::new(file), problems: Vec::new() }
    }

    pub(crate) fn line(&self, offset: usize) -> u32 {
        1 + self.line_ends.partition_point(|end| *end < offset) as u32
    }

    /// Notes a problem with `key`.
    pub(crate) fn refuse(&mut self, key: &str, what: impl Into<String>, right: impl Into<String>) {
        let problem = self.origin.problem(key, what, right);
        self.problems.push(problem);
    }

    /// Notes a syntax error. The parser's message describes the grammar, not the text.
    pub(crate) fn refuse_syntax(&mut self, error: &toml::de::Error, file: &str) {
        let line = error.span().map(|span| self.line(span.start));
        let what = format!("not valid TOML: {}", error.message().replace('\n', ", "));
        self.problems.push(Problem { file: file.to_owned(), line, key: String::new(), what, right: String::new() });
    }
}

/// One table of the document.
pub(crate) struct Section<'a, 'i> {
    path: &'static str,
    table: Option<&'a DeTable<'i>>,
    known: Vec<&'static str>,
}

impl<'a, 'i> Section<'a, 'i> {
    pub(crate) fn root(table: &'a DeTable<'i>) -> Self {
        Self { path: "", table: Some(table), known: Vec::new() }
    }

    fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether `key` is there and a list.
    pub(crate) fn is_list(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.iter().any(|(k, v)| k.get_ref() == key && v.get_ref().is_array()))
    }

    fn find(&mut self, reader: &mut Reader, key: &'static str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.known.push(key);
        let (found, value) = self.table?.iter().find(|(k, _)| k.get_ref() == key)?;
        reader.origin.put(self.dotted(key), reader.line(found.span().start));
        Some(value)
    }

    /// The table `key`; empty when it is absent. `path` is its dotted name.
    pub(crate) fn table(&mut self, reader: &mut Reader, key: &'static str, path: &'static str) -> Section<'a, 'i> {
        let table = match self.find(reader, key).map(Spanned::get_ref) {
            None => None,
            Some(DeValue::Table(table)) => Some(table),
            Some(other) => {
                let wrong = Wrong::of_type(other, format!("write a table: [{path}]"));
                reader.refuse(path, wrong.what, wrong.right);
                None
            }
        };
        Section { path, table, known: Vec::new() }
    }

    /// The value of `key`, if it is there and right.
    pub(crate) fn value<T>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        read: impl Fn(&DeValue<'i>) -> Result<T, Wrong>,
    ) -> Option<T> {
        let value = self.find(reader, key)?;
        match read(value.get_ref()) {
            Ok(value) => Some(value),
            Err(wrong) => {
                reader.refuse(&self.dotted(key), wrong.what, wrong.right);
                None
            }
        }
    }

    /// The list of `key`, if every element is right and there are at most `max`.
    pub(crate) fn list<T>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        max: usize,
        right: &str,
        read: impl Fn(&DeValue<'i>) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let value = self.find(reader, key)?;
        let dotted = self.dotted(key);
        let DeValue::Array(array) = value.get_ref() else {
            let wrong = Wrong::of_type(value.get_ref(), right);
            reader.refuse(&dotted, wrong.what, wrong.right);
            return None;
        };
        let before = reader.problems.len();
        if array.len() > max {
            reader.refuse(&dotted, format!("{} entries are too many", array.len()), format!("name at most {max}"));
        }
        let mut list = Vec::new();
        for (index, element) in array.iter().enumerate() {
            let dotted = format!("{dotted}[{index}]");
            reader.origin.put(dotted.clone(), reader.line(element.span().start));
            match read(element.get_ref()) {
                Ok(element) => list.push(element),
                Err(wrong) => reader.refuse(&dotted, wrong.what, wrong.right),
            }
        }
        (reader.problems.len() == before).then_some(list)
    }

    /// The table `key` as pairs, if every one is right and there are at most `max`.
    pub(crate) fn pairs<K, V>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        max: usize,
        right: &str,
        read: impl Fn(&str, &DeValue<'i>) -> Result<(K, V), Wrong>,
    ) -> Option<Vec<(K, V)>> {
        let value = self.find(reader, key)?;
        let dotted = self.dotted(key);
        let DeValue::Table(table) = value.get_ref() else {
            let wrong = Wrong::of_type(value.get_ref(), right);
            reader.refuse(&dotted, wrong.what, wrong.right);
            return None;
        };
        let before = reader.problems.len();
        if table.len() > max {
            reader.refuse(&dotted, format!("{} entries are too many", table.len()), format!("name at most {max}"));
        }
        let mut pairs = Vec::new();
        // In the order of the file.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let dotted = format!("{dotted}.{:?}", name.get_ref().as_ref());
            reader.origin.put(dotted.clone(), reader.line(name.span().start));
            match read(name.get_ref(), value.get_ref()) {
                Ok(pair) => pairs.push(pair),
                Err(wrong) => reader.refuse(&dotted, wrong.what, wrong.right),
            }
        }
        (reader.problems.len() == before).then_some(pairs)
    }

    /// Refuses the keys that nobody asked for.
    pub(crate) fn end(self, reader: &mut Reader) {
        let Some(table) = self.table else { return };
        let known: BTreeSet<&str> = self.known.iter().copied().collect();
        for (key, _) in table.iter().filter(|(key, _)| !known.contains(key.get_ref().as_ref())) {
            let dotted = self.dotted(key.get_ref());
            reader.origin.put(dotted.clone(), reader.line(key.span().start));
            let right = match nearest(key.get_ref(), &self.known) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            reader.refuse(&dotted, "unknown key", right);
        }
    }
}
