//! The form of the tables that say what becomes of every key and flag of rtpengine.

use crate::fields::Fields;
use crate::value::Value;

/// Where a word stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A key of the message.
    Key,
    /// In `flags`.
    Flags,
    /// In `replace`.
    Replace,
    /// In `ICE`.
    Ice,
    /// In `ICE-lite`.
    IceLite,
    /// In `DTLS`.
    Dtls,
    /// In `DTLS-reverse`.
    DtlsReverse,
    /// In `SDES`.
    Sdes,
    /// In `OSRTP`.
    Osrtp,
    /// In `rtcp-mux`.
    RtcpMux,
    /// In `bundle`.
    Bundle,
    /// In `endpoint-learning`.
    Learning,
    /// In `DTMF-security`.
    DtmfSecurity,
    /// In `all`.
    All,
    /// A key of `codec`.
    Codec,
}

impl Place {
    /// As documents and warnings call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Flags => "flags",
            Self::Replace => "replace",
            Self::Ice => "ICE",
            Self::IceLite => "ICE-lite",
            Self::Dtls => "DTLS",
            Self::DtlsReverse => "DTLS-reverse",
            Self::Sdes => "SDES",
            Self::Osrtp => "OSRTP",
            Self::RtcpMux => "rtcp-mux",
            Self::Bundle => "bundle",
            Self::Learning => "endpoint-learning",
            Self::DtmfSecurity => "DTMF-security",
            Self::All => "all",
            Self::Codec => "codec",
        }
    }
}

/// What becomes of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does what rtpengine documents; the text says what differs, if anything does.
    Honoured(&'static str),
    /// It changes nothing, since what it asks for is so in any case; the text says why.
    Moot(&'static str),
    /// It is not carried out, and a warning says so with this reason.
    Unsupported(&'static str),
}

/// A value that does not fit.
pub(crate) enum Wrong {
    /// The command is refused: going on would send media elsewhere than was asked.
    Refuse(String),
    /// The value is left out with a warning.
    Warn(String),
}

/// How a word is taken.
#[derive(Clone, Copy)]
pub(crate) enum Apply {
    /// It is not.
    Nothing,
    /// A word that stands for itself.
    Word(fn(&mut Fields)),
    /// A key with a value.
    Value(fn(&mut Fields, &Value<'_>) -> Result<(), Wrong>),
    /// A key with words of that place: a list, or a string with commas.
    Words(Place),
    /// The beginning of a word; the rest is a name.
    Rest(fn(&mut Fields, &str) -> Result<(), Wrong>),
    /// The beginning of a word; the rest is a word of that place.
    RestIn(Place),
}

/// A row: a word that rtpengine knows.
pub struct Entry {
    /// Where it stands.
    pub place: Place,
    /// Its spelling in rtpengine's documentation, then others that mean the same. Case does not matter, and neither does
    /// which of space, hyphen and underline stands between words.
    pub names: &'static [&'static str],
    /// What becomes of it.
    pub fate: Fate,
    pub(crate) apply: Apply,
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {:?}: {:?}", self.place.as_str(), self.names, self.fate)
    }
}

/// One spelling for all: lower case, hyphens.
pub(crate) fn normal(name: &str) -> String {
    let one = |c: char| if matches!(c, ' ' | '_') { '-' } else { c.to_ascii_lowercase() };
    name.chars().map(one).collect()
}

const fn row(place: Place, names: &'static [&'static str], fate: Fate, apply: Apply) -> Entry {
    Entry { place, names, fate, apply }
}

/// A word that does what is documented.
pub(crate) const fn word(place: Place, names: &'static [&'static str], set: fn(&mut Fields)) -> Entry {
    row(place, names, Fate::Honoured(""), Apply::Word(set))
}

/// A key that does what is documented.
pub(crate) const fn key(
    names: &'static [&'static str],
    take: fn(&mut Fields, &Value<'_>) -> Result<(), Wrong>,
) -> Entry {
    row(Place::Key, names, Fate::Honoured(""), Apply::Value(take))
}

/// A key whose value is words.
pub(crate) const fn words(names: &'static [&'static str], place: Place) -> Entry {
    row(Place::Key, names, Fate::Honoured("see the words below"), Apply::Words(place))
}

/// A word that begins so.
pub(crate) const fn begins(
    place: Place,
    names: &'static [&'static str],
    take: fn(&mut Fields, &str) -> Result<(), Wrong>,
) -> Entry {
    row(place, names, Fate::Honoured(""), Apply::Rest(take))
}

/// A word that begins so and goes on as one of another place.
pub(crate) const fn begins_in(names: &'static [&'static str], place: Place) -> Entry {
    row(Place::Flags, names, Fate::Honoured("see the words below"), Apply::RestIn(place))
}

/// A word that asks for what is so anyway.
pub(crate) const fn moot(place: Place, names: &'static [&'static str], why: &'static str) -> Entry {
    row(place, names, Fate::Moot(why), Apply::Nothing)
}

/// A word that is warned about.
pub(crate) const fn no(place: Place, names: &'static [&'static str], why: &'static str) -> Entry {
    row(place, names, Fate::Unsupported(why), Apply::Nothing)
}

/// A word that is warned about, whatever follows it.
pub(crate) const fn no_rest(names: &'static [&'static str], why: &'static str) -> Entry {
    no_rest_in(Place::Flags, names, why)
}

/// The same in another place than `flags`.
pub(crate) const fn no_rest_in(place: Place, names: &'static [&'static str], why: &'static str) -> Entry {
    row(place, names, Fate::Unsupported(why), Apply::Rest(|_, _| Ok(())))
}

impl Entry {
    /// The same, with what differs from rtpengine.
    pub(crate) const fn but(self, how: &'static str) -> Self {
        Self { fate: Fate::Honoured(how), ..self }
    }

    /// Whether it is the beginning of a word.
    #[must_use]
    pub const fn is_prefix(&self) -> bool {
        matches!(self.apply, Apply::Rest(_) | Apply::RestIn(_))
    }
}
