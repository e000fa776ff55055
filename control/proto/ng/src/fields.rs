//! A message's keys and flags, gathered before it is known what its command needs.

use core::net::IpAddr;
use std::sync::LazyLock;

use hashbrown::HashMap;

use crate::command::All;
use crate::entry::{Apply, Entry, Fate, Place, Wrong, normal};
use crate::flags::{FLAGS, WORDS};
use crate::keys::{KEY_WORDS, KEYS};
use crate::limits;
use crate::options::{AttributeChange, Options, Scope};
use crate::refusal::Refusal;
use crate::value::Value;

/// What a message said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    pub(crate) call_id: Option<String>,
    pub(crate) from_tag: Option<String>,
    pub(crate) to_tag: Option<String>,
    pub(crate) to_call_id: Option<String>,
    pub(crate) from_tags: Vec<String>,
    pub(crate) via_branch: Option<String>,
    pub(crate) to_label: Option<String>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) all: All,
    pub(crate) limit: Option<usize>,
    pub(crate) sdp: Option<Vec<u8>>,
    pub(crate) fatal: bool,
    pub(crate) fast: bool,
    pub(crate) pause: bool,
    pub(crate) discard: bool,
    /// The flag, which says that a delete is about this tag alone.
    pub(crate) to_tag_flag: bool,
    pub(crate) options: Options,
    pub(crate) warnings: Warnings,
}

/// What is told in `warning`: each thing once, so many and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    told: Vec<String>,
    untold: usize,
}

impl Warnings {
    /// Adds one.
    pub fn add(&mut self, warning: String) {
        if self.told.contains(&warning) {
            return;
        }
        if self.told.len() < limits::WARNINGS_MAX {
            self.told.push(warning);
        } else {
            self.untold += 1;
        }
    }

    /// The text; none if there is nothing to say.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let mut text = self.told.join("; ");
        if self.untold > 0 {
            text.push_str(&format!("; and {} more", self.untold));
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Every row.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    [KEYS, KEY_WORDS, FLAGS, WORDS].into_iter().flatten()
}

/// Whole words, by place and normal spelling.
static BY_NAME: LazyLock<HashMap<(Place, String), &'static Entry, foldhash::fast::RandomState>> = LazyLock::new(|| {
    let whole = entries().filter(|entry| !entry.is_prefix());
    whole.flat_map(|entry| entry.names.iter().map(move |name| ((entry.place, normal(name)), entry))).collect()
});

/// Beginnings of words.
static PREFIXES: LazyLock<Vec<(Place, String, &'static Entry)>> = LazyLock::new(|| {
    let beginnings = entries().filter(|entry| entry.is_prefix());
    beginnings.flat_map(|entry| entry.names.iter().map(move |name| (entry.place, normal(name), entry))).collect()
});

/// The row of a word; of a beginning also where the rest is.
fn find(place: Place, word: &str) -> Option<(&'static Entry, &str)> {
    let normal = normal(word);
    if let Some(entry) = PREFIXES.iter().find(|(at, prefix, _)| *at == place && normal.starts_with(prefix.as_str())) {
        // Spelling changes no octet to another length.
        let (_, prefix, entry) = entry;
        return Some((entry, &word[prefix.len()..]));
    }
    BY_NAME.get(&(place, normal)).map(|entry| (*entry, ""))
}

impl Fields {
    /// Takes every key of a message.
    pub(crate) fn read(message: &Value<'_>) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        if let Value::Dictionary(pairs) = message {
            for (name, value) in pairs {
                fields.key(&String::from_utf8_lossy(name), value)?;
            }
        }
        Ok(fields)
    }

    /// Takes one key.
    pub(crate) fn key(&mut self, name: &str, value: &Value<'_>) -> Result<(), Refusal> {
        let Some((entry, _)) = find(Place::Key, name) else {
            self.warnings.add(format!("key {} is not known", quoted(name)));
            return Ok(());
        };
        if let Fate::Unsupported(why) = entry.fate {
            self.warnings.add(format!("{name} is not supported: {why}"));
        }
        let taken = match entry.apply {
            Apply::Value(take) => take(self, value),
            Apply::Words(place) => self.words(place, value),
            Apply::Nothing | Apply::Word(_) | Apply::Rest(_) | Apply::RestIn(_) => Ok(()),
        };
        match taken {
            Ok(()) => Ok(()),
            Err(Wrong::Warn(what)) => {
                self.warnings.add(format!("{name}: {what}"));
                Ok(())
            }
            Err(Wrong::Refuse(what)) => Err(Refusal::Value { key: name.to_owned(), what }),
        }
    }

    fn words(&mut self, place: Place, value: &Value<'_>) -> Result<(), Wrong> {
        match value {
            Value::List(list) => {
                for item in list {
                    match item.text() {
                        Some(word) => self.word(place, word),
                        None => self.warnings.add(format!("{}: a word is a string in UTF-8", place.as_str())),
                    }
                }
                Ok(())
            }
            Value::Text(_) => {
                let text = value.text().ok_or_else(|| Wrong::Warn("not UTF-8".to_owned()))?;
                text.split(',').map(str::trim).filter(|word| !word.is_empty()).for_each(|word| self.word(place, word));
                Ok(())
            }
            other => Err(Wrong::Warn(format!("a string or a list of strings is expected, not {}", other.kind()))),
        }
    }

    /// Takes one word.
    pub(crate) fn word(&mut self, place: Place, word: &str) {
        let Some((entry, rest)) = find(place, word) else {
            self.warnings.add(format!("{}: {} is not known", place.as_str(), quoted(word)));
            return;
        };
        if let Fate::Unsupported(why) = entry.fate {
            self.warnings.add(format!("{}: {} is not supported: {why}", place.as_str(), quoted(word)));
        }
        match entry.apply {
            Apply::Word(set) => set(self),
            Apply::Rest(take) => {
                if let Err(Wrong::Warn(what) | Wrong::Refuse(what)) = take(self, rest) {
                    self.warnings.add(format!("{}: {}: {what}", place.as_str(), quoted(word)));
                }
            }
            Apply::RestIn(place) => self.word(place, rest),
            Apply::Nothing | Apply::Value(_) | Apply::Words(_) => {}
        }
    }

    pub(crate) fn attribute(&mut self, scope: Scope, change: AttributeChange) -> Result<(), Wrong> {
        if self.options.attributes.len() == limits::LIST_MAX {
            return Err(Wrong::Warn(format!("more than {} changes", limits::LIST_MAX)));
        }
        self.options.attributes.push((scope, change));
        Ok(())
    }

    pub(crate) fn add_from_tag(&mut self, tag: String) -> Result<(), Wrong> {
        if self.from_tags.len() == limits::LIST_MAX || tag.len() > limits::NAME_MAX {
            return Err(Wrong::Warn(format!("at most {} tags of {} octets", limits::LIST_MAX, limits::NAME_MAX)));
        }
        self.from_tags.push(tag);
        Ok(())
    }
}

/// What a client sent, cut to what a person reads, in quotation marks, with control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().find(|(at, _)| *at >= limits::QUOTE_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Text of at most `max` octets.
pub(crate) fn text(value: &Value<'_>, max: usize) -> Result<String, Wrong> {
    let Value::Text(octets) = value else {
        return Err(Wrong::Refuse(format!("a string is expected, not {}", value.kind())));
    };
    if octets.len() > max {
        return Err(Wrong::Refuse(format!("{} octets are too many, {max} are taken", octets.len())));
    }
    value.text().map(str::to_owned).ok_or_else(|| Wrong::Refuse("not UTF-8".to_owned()))
}

/// A name of an interface or the like, not empty.
pub(crate) fn name(value: &Value<'_>) -> Result<String, Wrong> {
    let name = text(value, limits::NAME_MAX)?;
    if name.is_empty() { Err(Wrong::Refuse("an empty name".to_owned())) } else { Ok(name) }
}

/// A list of names, or names between commas, with rtpengine's escapes.
pub(crate) fn names(value: &Value<'_>) -> Result<Vec<String>, Wrong> {
    let names: Vec<&str> = match value {
        Value::List(list) => list.iter().filter_map(Value::text).collect(),
        Value::Text(_) => value.text().unwrap_or_default().split(',').collect(),
        other => return Err(Wrong::Warn(format!("a list of strings is expected, not {}", other.kind()))),
    };
    if names.len() > limits::LIST_MAX {
        return Err(Wrong::Refuse(format!("{} names are too many, {} are taken", names.len(), limits::LIST_MAX)));
    }
    Ok(names.into_iter().map(unescaped).collect())
}

/// rtpengine's escapes for places where `=` and spaces part words: `--` and `..`.
pub(crate) fn unescaped(text: &str) -> String {
    text.replace("--", "=").replace("..", " ")
}

/// One of the words.
pub(crate) fn one_of<T: Copy>(value: &Value<'_>, words: &[(&str, T)]) -> Result<T, Wrong> {
    let text = value.text().unwrap_or_default();
    let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
    found.ok_or_else(|| Wrong::Refuse(format!("{} is not one of {}", quoted(text), known())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(place: Place, word: &str) -> Option<String> {
        let mut fields = Fields::default();
        fields.word(place, word);
        fields.warnings.text()
    }

    #[test]
    fn no_word_stands_in_the_tables_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for entry in entries() {
            for name in entry.names {
                assert!(seen.insert((entry.place, normal(name))), "{entry:?}");
            }
        }
        assert!(seen.len() > 250, "{}", seen.len());
    }

    #[test]
    fn every_word_that_is_not_supported_is_warned_about_and_no_other_is() {
        for entry in entries().filter(|entry| entry.place != Place::Key && !entry.is_prefix()) {
            for name in entry.names {
                let unsupported = matches!(entry.fate, Fate::Unsupported(_));
                assert_eq!(warned(entry.place, name).is_some(), unsupported, "{entry:?}");
            }
        }
        for entry in KEYS.iter().filter(|entry| matches!(entry.apply, Apply::Nothing)) {
            let mut fields = Fields::default();
            fields.key(entry.names[0], &Value::from("x")).expect("no value is wrong");
            assert_eq!(fields.warnings.text().is_some(), matches!(entry.fate, Fate::Unsupported(_)), "{entry:?}");
        }
    }

    #[test]
    fn spelling_with_spaces_hyphens_and_in_any_case_is_the_same_word() {
        for spelling in ["strict source", "strict-source", "Strict_Source"] {
            let mut fields = Fields::default();
            fields.word(Place::Flags, spelling);
            assert!(fields.options.strict_source, "{spelling}");
        }
    }

    #[test]
    fn what_is_not_known_is_named_and_cut() {
        assert_eq!(warned(Place::Ice, "banana").as_deref(), Some("ICE: \"banana\" is not known"));
        let long = warned(Place::Flags, &"é".repeat(500)).expect("a warning");
        assert!(long.len() < 150 && long.contains("\"..."), "{long}");
        let mut fields = Fields::default();
        (0..100).for_each(|n| fields.word(Place::Flags, &n.to_string()));
        assert!(fields.warnings.text().expect("warnings").ends_with("; and 84 more"));
    }

    #[test]
    fn a_prefix_takes_the_rest_as_a_word_of_its_place() {
        let mut fields = Fields::default();
        for word in ["replace-origin", "rtcp-mux-require", "SDES-only-AES_CM_128_HMAC_SHA1_80", "sdes-order:A;B;"] {
            fields.word(Place::Flags, word);
        }
        assert!(fields.options.replace.origin && fields.options.rtcp_mux.require);
        assert_eq!(fields.options.sdes.only, ["AES_CM_128_HMAC_SHA1_80"]);
        assert_eq!(fields.options.sdes.order, ["A", "B"]);
        assert_eq!(fields.warnings.text(), None);
        fields.word(Place::Flags, "codec-transcode-PCMU");
        assert!(fields.warnings.text().expect("a warning").contains("transcode-PCMU"));
    }

    #[test]
    fn codecs_come_in_both_forms() {
        let list = |names: &[&'static str]| Value::List(names.iter().map(|name| Value::from(*name)).collect());
        let pairs = vec![(b"strip"[..].into(), list(&["all"])), (b"offer"[..].into(), list(&["PCMA", "opus/48000/2"]))];
        let mut by_key = Fields::default();
        by_key.key("codec", &Value::Dictionary(pairs)).expect("no value is wrong");
        let mut by_flags = Fields::default();
        for word in ["codec-strip-all", "codec-offer-PCMA", "Codec-Offer-opus/48000/2"] {
            by_flags.word(Place::Flags, word);
        }
        assert_eq!(by_key.options, by_flags.options);
        assert_eq!(by_key.options.codecs.strip, ["all"]);
        assert_eq!(by_key.options.codecs.offer, ["PCMA", "opus/48000/2"]);
        assert_eq!((by_key.warnings.text(), by_flags.warnings.text()), (None, None));
    }

    #[test]
    fn attributes_come_in_both_forms() {
        let mut fields = Fields::default();
        fields.word(Place::Flags, "sdp-attr-add-audio-ptime:20");
        fields.word(Place::Flags, "sdp-attr-substitute-none-sendrecv>a..b--c");
        assert_eq!(
            fields.options.attributes,
            [
                (Scope::Audio, AttributeChange::Add("ptime:20".to_owned())),
                (Scope::Session, AttributeChange::Substitute("sendrecv".to_owned(), "a b=c".to_owned())),
            ]
        );
        fields.word(Place::Flags, "sdp-attr-add-picture-x");
        assert!(fields.warnings.text().is_some());
    }
}
