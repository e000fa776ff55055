//! What a stream is like, from a word on a command line: `pcmu`, `opus:bitrate=32k,dtx=on`.

mod kind;
mod spec;

use std::fmt;
use std::str::FromStr;

use kind::Kind;
use spec::{Options, Unit};

use crate::limits::PACKET_MAX;
use crate::sender::header;
use crate::stamp::STAMP;
use crate::track::{Extensions, Track};

/// Names of the profiles.
pub const PROFILES: [&str; 10] =
    ["pcmu", "pcma", "g722", "opus", "telephone-event", "vp8", "h264", "av1", "simulcast", "constant"];

/// A kind of stream, or several that belong together. Written as `NAME[:key=value,...]`; [`PROFILES`] has the names.
///
/// | name | options, with their defaults |
/// | --- | --- |
/// | `pcmu`, `pcma`, `g722` | `ptime=20ms` |
/// | `opus` | `bitrate=32k`, `dtx=off` |
/// | `telephone-event`: PCMU, now and then a key | `held=100ms`, `every=2s`, `event-pt=101` |
/// | `vp8`, `h264`, `av1` | `bitrate=1500k` (of frames), `fps=30`, `keyframe=10s` (`off`: on request only), `temporal=1` (layers) |
/// | `simulcast`: three layers | `codec=vp8`, `bitrate=2500k` (of the highest), `fps=30`, `keyframe=10s`, `temporal=1` |
/// | `constant` | `size=172` (octets of the RTP packet), `pps=50` |
///
/// Options of all: `pt` is the payload type; `audio-level`, `abs-send-time`, `transport-cc`, `mid` and `rid` are the
/// identifiers of header extensions (1 to 14), or `off`; those of video, `frame-marking` and `descriptor` as well. Audio has
/// none by itself; video has those that browsers send.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    kind: Kind,
    payload_type: PayloadType,
    extensions: Extensions,
}

/// Why a text is no [`Profile`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No profile of that name.
    #[error("no profile is called `{0}`; there are {names}", names = PROFILES.join(", "))]
    Unknown(String),
    /// The profile has no such option.
    #[error("profile {profile} has no option `{option}`; it has {known}")]
    UnknownOption {
        /// Name of the profile.
        profile: &'static str,
        /// The option.
        option: String,
        /// Those that there are.
        known: String,
    },
    /// An option is not followed by a value.
    #[error("option `{0}` has no value: write {0}=VALUE")]
    NoValue(String),
    /// An option is there twice.
    #[error("option `{0}` is given twice")]
    Twice(String),
    /// A value that an option cannot have.
    #[error("{option}={value} is not possible for profile {profile}: {option} is {expected}")]
    Value {
        /// Name of the profile.
        profile: &'static str,
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// Two header extensions have one identifier.
    #[error("two header extensions have the identifier {0}; each needs its own")]
    SameExtension(u8),
}

impl Profile {
    /// Its name: one of [`PROFILES`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Its RTP streams, which start together.
    #[must_use]
    pub fn tracks(&self) -> Vec<Track> {
        let empty = self.kind.track(self.payload_type.0, self.extensions);
        self.kind.tracks(empty)
    }

    /// Packets of a given size have room for their header and a stamp.
    fn check_room(&self) -> Result<(), ProfileError> {
        let Kind::Constant { size, .. } = self.kind else { return Ok(()) };
        let empty = self.kind.track(self.payload_type.0, self.extensions);
        let least = (header::length(&empty) + STAMP) as u32;
        if size >= least {
            return Ok(());
        }
        let expected = format!("a whole number from {least} to {PACKET_MAX} with these header extensions");
        Err(ProfileError::Value { profile: self.name(), option: "size", value: size.to_string(), expected })
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let name = name.trim();
        let unknown = || ProfileError::Unknown(name.to_owned());
        let name = *PROFILES.iter().find(|profile| **profile == name).ok_or_else(unknown)?;
        let mut options = Options::parse(name, options)?;
        let kind = Kind::read(name, &mut options)?;
        let payload_type = options.value("pt", kind.payload_type())?;
        let extensions = extensions(&mut options, &kind)?;
        options.finish()?;
        let profile = Self { kind, payload_type, extensions };
        profile.check_room().map(|()| profile)
    }
}

/// Keys of the header extensions, in the order of [`Extensions::ids`].
const EXTENSIONS: [&str; 7] =
    ["audio-level", "abs-send-time", "transport-cc", "mid", "rid", "frame-marking", "descriptor"];
/// How many of them are not of video alone.
const OF_ALL: usize = 5;

fn extensions(options: &mut Options<'_>, kind: &Kind) -> Result<Extensions, ProfileError> {
    let mut ids = kind.extensions().ids();
    let keys = if kind.is_video() { EXTENSIONS.len() } else { OF_ALL };
    for (key, id) in EXTENSIONS.into_iter().take(keys).zip(&mut ids) {
        *id = options.number_or_off(key, Unit::Whole, 1..=14, id.map(u32::from))?.map(|id| id as u8);
    }
    let mut used: Vec<u8> = ids.into_iter().flatten().collect();
    used.sort_unstable();
    match used.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ProfileError::SameExtension(pair[0])),
        None => Ok(Extensions::from_ids(ids)),
    }
}

/// As the text that it can be read from, with every option of its own.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name(), self.kind)?;
        if self.payload_type != self.kind.payload_type() {
            write!(f, ",pt={}", self.payload_type)?;
        }
        let ids = self.extensions.ids().into_iter().zip(self.kind.extensions().ids());
        for (key, (id, default)) in EXTENSIONS.into_iter().zip(ids) {
            match id {
                _ if id == default => {}
                Some(id) => write!(f, ",{key}={id}")?,
                None => write!(f, ",{key}=off")?,
            }
        }
        Ok(())
    }
}

/// A payload type that RTCP on the same port cannot be mistaken for (RFC 5761 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PayloadType(u8);

/// Why a text is no [`PayloadType`].
#[derive(Debug, thiserror::Error)]
#[error("a whole number from 0 to 63 or from 96 to 127")]
struct PayloadTypeError;

impl FromStr for PayloadType {
    type Err = PayloadTypeError;

    fn from_str(text: &str) -> Result<Self, PayloadTypeError> {
        match text.parse() {
            Ok(number @ (0..=63 | 96..=127)) => Ok(Self(number)),
            _ => Err(PayloadTypeError),
        }
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests;
