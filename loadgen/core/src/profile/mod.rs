//! What a stream is like, from a word on a command line: `pcmu`, `opus:bitrate=32k,dtx=on`.

mod spec;

use std::fmt;
use std::str::FromStr;

use spec::Options;

use crate::limits::{OPUS_BITRATES, PACKET_MAX, PACKET_MIN, PPS_MAX};
use crate::sender::content::{Content, Rate};
use crate::sender::{Events, Opus, header};
use crate::stamp::STAMP;
use crate::track::{Extensions, Media, Track};

/// Names of the profiles.
pub const PROFILES: [&str; 6] = ["pcmu", "pcma", "g722", "opus", "telephone-event", "constant"];

/// A kind of stream. Written as `NAME[:key=value,...]`; [`PROFILES`] has the names.
///
/// Options of all: `pt` is the payload type; `audio-level`, `abs-send-time`, `transport-cc`, `mid` and `rid` switch a
/// header extension on, and are the identifier that it was negotiated with (1 to 14).
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    kind: Kind,
    payload_type: PayloadType,
    extensions: Extensions,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// One octet for each 125 us: PCMU, PCMA, G.722.
    Sampled {
        codec: Sampled,
        ptime_ms: u32,
    },
    Opus(Opus),
    TelephoneEvent(Events),
    Constant {
        size: u32,
        pps: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sampled {
    Pcmu,
    Pcma,
    G722,
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
        match &self.kind {
            Kind::Sampled { codec, .. } => codec.name(),
            Kind::Opus(_) => "opus",
            Kind::TelephoneEvent(_) => "telephone-event",
            Kind::Constant { .. } => "constant",
        }
    }

    /// Its RTP streams, which start together.
    #[must_use]
    pub fn tracks(&self) -> Vec<Track> {
        vec![match &self.kind {
            Kind::Sampled { codec, ptime_ms } => {
                let content = Content::Steady { payload: (ptime_ms * 8) as u16, rate: Rate::every_ms(*ptime_ms) };
                self.track(Media::Audio, codec.encoding(), 8_000, content)
            }
            Kind::Opus(opus) => self.track(Media::Audio, "opus", 48_000, Content::Opus(*opus)),
            Kind::TelephoneEvent(events) => self.track(Media::Audio, "PCMU", 8_000, Content::Events(*events)),
            Kind::Constant { size, pps } => {
                let payload = size - self.header() as u32;
                let content = Content::Steady { payload: payload as u16, rate: Rate::per_second(*pps) };
                self.track(Media::Application, "x-constant", 90_000, content)
            }
        }]
    }

    fn track(&self, media: Media, encoding: &'static str, clock_rate: u32, content: Content) -> Track {
        Track {
            media,
            encoding,
            payload_type: self.payload_type.0,
            clock_rate,
            mid: Some("0".parse().expect("a digit is a tag")),
            rid: None,
            extensions: self.extensions,
            content,
        }
    }

    /// Octets of the RTP header of its packets.
    fn header(&self) -> usize {
        let nothing = Content::Steady { payload: 0, rate: Rate::per_second(1) };
        header::length(&self.track(Media::Application, "", 1, nothing))
    }

    /// Packets of a given size have room for their header and a stamp.
    fn check_room(&self) -> Result<(), ProfileError> {
        let Kind::Constant { size, .. } = self.kind else { return Ok(()) };
        let least = (self.header() + STAMP) as u32;
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
        let profile = *PROFILES.iter().find(|profile| **profile == name).ok_or_else(unknown)?;
        let mut options = Options::parse(profile, options)?;
        let kind = kind(profile, &mut options)?;
        let payload_type = options.value("pt", kind.payload_type())?;
        let extensions = extensions(&mut options)?;
        options.finish()?;
        let profile = Self { kind, payload_type, extensions };
        profile.check_room().map(|()| profile)
    }
}

/// What `profile` is with these options.
fn kind(profile: &'static str, options: &mut Options<'_>) -> Result<Kind, ProfileError> {
    Ok(match profile {
        "pcmu" => sampled(Sampled::Pcmu, options)?,
        "pcma" => sampled(Sampled::Pcma, options)?,
        "g722" => sampled(Sampled::G722, options)?,
        "opus" => {
            let bitrate = options.number("bitrate", OPUS_BITRATES, 32_000)?;
            Kind::Opus(Opus { bitrate, dtx: options.switch("dtx")? })
        }
        "telephone-event" => Kind::TelephoneEvent(events(options)?),
        "constant" => {
            let size = options.number("size", PACKET_MIN..=PACKET_MAX, 172)?;
            Kind::Constant { size, pps: options.number("pps", 1..=PPS_MAX, 50)? }
        }
        _ => unreachable!("PROFILES has no other"),
    })
}

fn sampled(codec: Sampled, options: &mut Options<'_>) -> Result<Kind, ProfileError> {
    let ptime_ms = options.milliseconds("ptime", 10..=120, 20)?;
    Ok(Kind::Sampled { codec, ptime_ms })
}

fn events(options: &mut Options<'_>) -> Result<Events, ProfileError> {
    let held_ms = options.milliseconds("held", 40..=5_000, 100)?;
    let every_ms = options.milliseconds("every", held_ms + Events::TAIL_MS + 40..=60_000, 2_000)?;
    let PayloadType(payload_type) = options.value("event-pt", PayloadType(101))?;
    Ok(Events { held_ms, every_ms, payload_type })
}

fn extensions(options: &mut Options<'_>) -> Result<Extensions, ProfileError> {
    let mut id = |key| Ok(options.number_if_given(key, 1..=14)?.map(|id| id as u8));
    let extensions = Extensions {
        audio_level: id("audio-level")?,
        abs_send_time: id("abs-send-time")?,
        transport_sequence: id("transport-cc")?,
        mid: id("mid")?,
        rid: id("rid")?,
    };
    let mut ids: Vec<u8> = extensions.ids().into_iter().flatten().collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ProfileError::SameExtension(pair[0])),
        None => Ok(extensions),
    }
}

/// As the text that it can be read from, with every option of its own.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match &self.kind {
            Kind::Sampled { ptime_ms, .. } => write!(f, ":ptime={ptime_ms}ms")?,
            Kind::Opus(Opus { bitrate, dtx }) => {
                write!(f, ":bitrate={bitrate},dtx={}", if *dtx { "on" } else { "off" })?;
            }
            Kind::TelephoneEvent(Events { held_ms, every_ms, payload_type }) => {
                write!(f, ":held={held_ms}ms,every={every_ms}ms,event-pt={payload_type}")?;
            }
            Kind::Constant { size, pps } => write!(f, ":size={size},pps={pps}")?,
        }
        if self.payload_type != self.kind.payload_type() {
            write!(f, ",pt={}", self.payload_type)?;
        }
        let keys = ["audio-level", "abs-send-time", "transport-cc", "mid", "rid"];
        for (key, id) in keys.into_iter().zip(self.extensions.ids()) {
            id.map_or(Ok(()), |id| write!(f, ",{key}={id}"))?;
        }
        Ok(())
    }
}

impl Kind {
    /// Its payload type unless options say otherwise.
    const fn payload_type(&self) -> PayloadType {
        PayloadType(match self {
            Self::Sampled { codec: Sampled::Pcmu, .. } | Self::TelephoneEvent(_) => 0,
            Self::Sampled { codec: Sampled::Pcma, .. } => 8,
            Self::Sampled { codec: Sampled::G722, .. } => 9,
            Self::Opus(_) => 111,
            Self::Constant { .. } => 96,
        })
    }
}

impl Sampled {
    const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "pcmu",
            Self::Pcma => "pcma",
            Self::G722 => "g722",
        }
    }

    /// As RFC 3551 section 6 has it.
    const fn encoding(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
        }
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
