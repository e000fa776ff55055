//! The tables of keys and flags, for documents.

use crate::entry::{Entry, Fate, Place};
use crate::fields::entries;

/// The tables as docs/ng.md has them: one row a word, in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| where | word | honoured | differs how, or why not |\n| --- | --- | --- | --- |\n");
    let mut rows: Vec<&Entry> = entries().collect();
    rows.sort_by_key(|entry| entry.place);
    for entry in rows {
        let names: Vec<String> = entry.names.iter().map(|name| shown(entry, name)).collect();
        let (honoured, how) = match entry.fate {
            Fate::Honoured(how) => ("yes", how),
            Fate::Moot(why) => ("so anyway", why),
            Fate::Unsupported(why) => ("no", why),
        };
        let place = if entry.place == Place::Key { "key".to_owned() } else { format!("`{}`", entry.place.as_str()) };
        text.push_str(&format!("| {place} | {} | {honoured} | {how} |\n", names.join(", ")));
    }
    text
}

fn shown(entry: &Entry, name: &str) -> String {
    if entry.is_prefix() { format!("`{name}...`") } else { format!("`{name}`") }
}
