//! What the profiles are, each with its own options.

use std::fmt;

use super::spec::{Options, Unit};
use super::{PayloadType, ProfileError};
use crate::limits::{FPS, OPUS_BITRATES, PACKET_MAX, PACKET_MIN, PPS_MAX, VIDEO_BITRATE_MAX};
use crate::sender::content::{Content, Rate};
use crate::sender::{Dimensions, Events, FRAME_MIN, LAYERS_MAX, Layers, Opus, Video, VideoCodec, header};
use crate::track::{Extensions, Media, Tag, Track};

const SCREEN: Dimensions = Dimensions { width: 1_280, height: 720 };
/// The layers of a simulcast: RID, what width and height are divided by, and what the bit rate. As browsers have them.
const LAYERS: [(&str, u16, u32); 3] = [("q", 4, 16), ("h", 2, 5), ("f", 1, 1)];

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// One octet for each 125 us: PCMU, PCMA, G.722.
    Sampled {
        codec: Sampled,
        ptime_ms: u32,
    },
    Opus(Opus),
    TelephoneEvent(Events),
    Video(Video),
    /// Three layers, of which this is the highest.
    Simulcast(Video),
    Constant {
        size: u32,
        pps: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampled {
    Pcmu,
    Pcma,
    G722,
}

impl Kind {
    /// The profile called `name`, which is one of [`super::PROFILES`], with these options.
    pub(super) fn read(name: &'static str, options: &mut Options<'_>) -> Result<Self, ProfileError> {
        Ok(match name {
            "pcmu" => Self::Sampled { codec: Sampled::Pcmu, ptime_ms: ptime(options)? },
            "pcma" => Self::Sampled { codec: Sampled::Pcma, ptime_ms: ptime(options)? },
            "g722" => Self::Sampled { codec: Sampled::G722, ptime_ms: ptime(options)? },
            "opus" => Self::Opus(opus(options)?),
            "telephone-event" => Self::TelephoneEvent(events(options)?),
            "vp8" => Self::Video(video(options, VideoCodec::Vp8, 1_500_000, 1)?),
            "h264" => Self::Video(video(options, VideoCodec::H264, 1_500_000, 1)?),
            "av1" => Self::Video(video(options, VideoCodec::Av1, 1_500_000, 1)?),
            "simulcast" => Self::Simulcast(simulcast(options)?),
            "constant" => constant(options)?,
            _ => unreachable!("no other name is a profile's"),
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Sampled { codec: Sampled::Pcmu, .. } => "pcmu",
            Self::Sampled { codec: Sampled::Pcma, .. } => "pcma",
            Self::Sampled { codec: Sampled::G722, .. } => "g722",
            Self::Opus(_) => "opus",
            Self::TelephoneEvent(_) => "telephone-event",
            Self::Video(video) => video.codec.name(),
            Self::Simulcast(_) => "simulcast",
            Self::Constant { .. } => "constant",
        }
    }

    /// Its payload type unless options say otherwise: static ones (RFC 3551 section 6), or what browsers use.
    pub(super) const fn payload_type(&self) -> PayloadType {
        PayloadType(match self {
            Self::Sampled { codec: Sampled::Pcmu, .. } | Self::TelephoneEvent(_) => 0,
            Self::Sampled { codec: Sampled::Pcma, .. } => 8,
            Self::Sampled { codec: Sampled::G722, .. } => 9,
            Self::Opus(_) => 111,
            Self::Video(video) | Self::Simulcast(video) => match video.codec {
                VideoCodec::Vp8 => 96,
                VideoCodec::H264 => 102,
                VideoCodec::Av1 => 45,
            },
            Self::Constant { .. } => 96,
        })
    }

    /// Its header extensions unless options say otherwise.
    pub(super) fn extensions(&self) -> Extensions {
        let bandwidth = Extensions { abs_send_time: Some(2), transport_sequence: Some(3), ..Extensions::default() };
        match self {
            Self::Video(video) => Extensions { descriptor: descriptor(video), ..bandwidth },
            Self::Simulcast(video) => {
                Extensions { mid: Some(4), rid: Some(10), descriptor: descriptor(video), ..bandwidth }
            }
            Self::Sampled { .. } | Self::Opus(_) | Self::TelephoneEvent(_) | Self::Constant { .. } => {
                Extensions::default()
            }
        }
    }

    /// Whether it has frames.
    pub(super) const fn is_video(&self) -> bool {
        matches!(self, Self::Video(_) | Self::Simulcast(_))
    }

    /// A stream of it, but for what it carries.
    pub(super) fn track(&self, payload_type: u8, extensions: Extensions) -> Track {
        let (media, encoding, clock_rate) = match self {
            Self::Sampled { codec: Sampled::Pcmu, .. } | Self::TelephoneEvent(_) => (Media::Audio, "PCMU", 8_000),
            Self::Sampled { codec: Sampled::Pcma, .. } => (Media::Audio, "PCMA", 8_000),
            Self::Sampled { codec: Sampled::G722, .. } => (Media::Audio, "G722", 8_000),
            Self::Opus(_) => (Media::Audio, "opus", 48_000),
            Self::Video(video) | Self::Simulcast(video) => (Media::Video, video.codec.encoding(), 90_000),
            Self::Constant { .. } => (Media::Application, "x-constant", 90_000),
        };
        let content = Content::Steady { payload: 0, rate: Rate::per_second(1) };
        let mid = Some(tag("0"));
        Track { media, encoding, payload_type, clock_rate, mid, rid: None, extensions, content }
    }

    /// Its streams: `track` with what they carry.
    pub(super) fn tracks(&self, track: Track) -> Vec<Track> {
        let content = match self {
            Self::Sampled { ptime_ms, .. } => {
                Content::Steady { payload: (ptime_ms * 8) as u16, rate: Rate::every_ms(*ptime_ms) }
            }
            Self::Opus(opus) => Content::Opus(*opus),
            Self::TelephoneEvent(events) => Content::Events(*events),
            Self::Video(video) => Content::Video(*video),
            Self::Simulcast(video) => return layers(video, &track),
            Self::Constant { size, pps } => {
                let payload = *size as usize - header::length(&track);
                Content::Steady { payload: payload as u16, rate: Rate::per_second(*pps) }
            }
        };
        vec![Track { content, ..track }]
    }
}

fn layers(highest: &Video, track: &Track) -> Vec<Track> {
    let layer = |(rid, scale, share): (&str, u16, u32)| {
        let dimensions = Dimensions { width: SCREEN.width / scale, height: SCREEN.height / scale };
        let video = Video { bitrate: highest.bitrate / share, dimensions, ..*highest };
        Track { rid: Some(tag(rid)), content: Content::Video(video), ..track.clone() }
    };
    LAYERS.into_iter().map(layer).collect()
}

/// Identifier of the dependency descriptor, which AV1 goes with: its payloads say nothing of layers.
fn descriptor(video: &Video) -> Option<u8> {
    (video.codec == VideoCodec::Av1).then_some(12)
}

fn tag(text: &str) -> Tag {
    text.parse().expect("letters and digits")
}

fn ptime(options: &mut Options<'_>) -> Result<u32, ProfileError> {
    options.number("ptime", Unit::Milliseconds, 10..=120, 20)
}

fn opus(options: &mut Options<'_>) -> Result<Opus, ProfileError> {
    let bitrate = options.number("bitrate", Unit::Whole, OPUS_BITRATES, 32_000)?;
    Ok(Opus { bitrate, dtx: options.switch("dtx")? })
}

fn events(options: &mut Options<'_>) -> Result<Events, ProfileError> {
    let held_ms = options.number("held", Unit::Milliseconds, 40..=5_000, 100)?;
    let least = held_ms + Events::TAIL_MS + 40;
    let every_ms = options.number("every", Unit::Milliseconds, least..=60_000, 2_000.max(least))?;
    let PayloadType(payload_type) = options.value("event-pt", PayloadType(101))?;
    Ok(Events { held_ms, every_ms, payload_type })
}

fn simulcast(options: &mut Options<'_>) -> Result<Video, ProfileError> {
    let codec = options.value("codec", VideoCodec::Vp8)?;
    video(options, codec, 2_500_000, LAYERS[0].2)
}

/// A video of which the least layer has one part of `parts` of the bit rate: enough for frames with a stamp.
fn video(options: &mut Options<'_>, codec: VideoCodec, bitrate: u32, parts: u32) -> Result<Video, ProfileError> {
    let fps = options.number("fps", Unit::Whole, FPS, 30)?;
    let least = 2 * FRAME_MIN * 8 * fps * parts;
    let bitrate = options.number("bitrate", Unit::Whole, least..=VIDEO_BITRATE_MAX, bitrate.max(least))?;
    let key_every_ms = options.number_or_off("keyframe", Unit::Milliseconds, 100..=600_000, Some(10_000))?;
    let layers = Layers::new(options.number("temporal", Unit::Whole, 1..=LAYERS_MAX, 1)?);
    Ok(Video { codec, bitrate, fps, key_every_ms, dimensions: SCREEN, layers })
}

fn constant(options: &mut Options<'_>) -> Result<Kind, ProfileError> {
    let size = options.number("size", Unit::Whole, PACKET_MIN..=PACKET_MAX, 172)?;
    Ok(Kind::Constant { size, pps: options.number("pps", Unit::Whole, 1..=PPS_MAX, 50)? })
}

/// Its own options.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sampled { ptime_ms, .. } => write!(f, "ptime={ptime_ms}ms"),
            Self::Opus(Opus { bitrate, dtx }) => write!(f, "bitrate={bitrate},dtx={}", if *dtx { "on" } else { "off" }),
            Self::TelephoneEvent(Events { held_ms, every_ms, payload_type }) => {
                write!(f, "held={held_ms}ms,every={every_ms}ms,event-pt={payload_type}")
            }
            Self::Video(video) => show_video(f, video),
            Self::Simulcast(video) => {
                write!(f, "codec={},", video.codec.name())?;
                show_video(f, video)
            }
            Self::Constant { size, pps } => write!(f, "size={size},pps={pps}"),
        }
    }
}

fn show_video(f: &mut fmt::Formatter<'_>, video: &Video) -> fmt::Result {
    write!(f, "bitrate={},fps={},keyframe=", video.bitrate, video.fps)?;
    match video.key_every_ms {
        Some(every) => write!(f, "{every}ms")?,
        None => f.write_str("off")?,
    }
    match video.layers.count() {
        1 => Ok(()),
        layers => write!(f, ",temporal={layers}"),
    }
}
