//! What a stream's payloads are: sizes, prefixes, and which beat the next packet belongs to.

use std::time::Duration;

use raceway_units::Random;

use super::audio::{Events, Opus, Speech, Telephony};
use super::payload::descriptor::Mark;
use super::video::{Frames, Video};

/// How often something happens: `beats` times in `per_ms` milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) beats: u32,
    pub(crate) per_ms: u32,
}

impl Rate {
    pub(crate) const fn per_second(beats: u32) -> Self {
        Self { beats, per_ms: 1_000 }
    }

    pub(crate) const fn every_ms(per_ms: u32) -> Self {
        Self { beats: 1, per_ms }
    }

    pub(crate) fn interval(self) -> Duration {
        Duration::from_millis(u64::from(self.per_ms)) / self.beats
    }

    pub(crate) fn hertz(self) -> f64 {
        f64::from(self.beats) * 1_000.0 / f64::from(self.per_ms)
    }
}

/// What a stream sends, as its profile says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// A payload of so many octets on each beat.
    Steady { payload: u16, rate: Rate },
    /// Opus of variable size.
    Opus(Opus),
    /// PCMU with telephone events between.
    Events(Events),
    /// Frames.
    Video(Video),
}

impl Content {
    pub(crate) const fn rate(&self) -> Rate {
        match self {
            Self::Steady { rate, .. } => *rate,
            Self::Opus(_) => Opus::RATE,
            Self::Events(_) => Events::RATE,
            Self::Video(video) => video.rate(),
        }
    }

    /// Packets and bits a second, in the mean, with headers of `header` octets.
    pub(crate) fn load(&self, header: usize) -> (f64, f64) {
        let (packets, payload) = match self {
            Self::Steady { payload, rate } => (rate.hertz(), f64::from(*payload)),
            Self::Opus(opus) => opus.load(),
            Self::Events(events) => events.load(),
            Self::Video(video) => video.load(header),
        };
        (packets, packets * (header as f64 + payload) * 8.0)
    }

    /// Octets of the longest payload behind a header of `header` octets.
    pub(crate) fn payload_max(&self, header: usize) -> usize {
        match self {
            Self::Steady { payload, .. } => usize::from(*payload),
            Self::Opus(opus) => opus.payload_max(),
            Self::Events(_) => usize::from(Events::AUDIO),
            Self::Video(_) => Video::payload_max(header),
        }
    }
}

/// What the next packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Octets of the payload.
    pub(super) length: u16,
    /// Octets at its beginning that belong to the codec.
    pub(super) prefix: u8,
    /// The marker bit.
    pub(super) marker: bool,
    /// Another payload type than the stream's.
    pub(super) payload_type: Option<u8>,
    /// Units of the RTP clock by which the timestamp lies before the present beat.
    pub(super) back: u32,
    /// Content of the audio level extension (RFC 6464 section 3).
    pub(super) level: u8,
    /// Beats until the next packet; zero if it belongs to the same frame.
    pub(super) beats: u32,
    /// Nanoseconds after its beat at which the next packet is due.
    pub(super) within_ns: u32,
}

/// A stream's content at work.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Steady { payload: u16 },
    Opus(Speech),
    Events(Telephony),
    Video(Frames),
}

impl Source {
    /// `header` is the length of the header that payloads follow.
    pub(super) fn new(content: &Content, header: usize, random: &mut Random) -> Self {
        match content {
            Content::Steady { payload, .. } => Self::Steady { payload: *payload },
            Content::Opus(opus) => Self::Opus(Speech::new(*opus, random)),
            Content::Events(events) => Self::Events(Telephony::new(*events, random)),
            Content::Video(video) => Self::Video(Frames::new(*video, header, random)),
        }
    }

    /// Writes the prefix of the payload that is due, or all of one that is too short for a stamp, and moves on.
    #[inline]
    pub(super) fn write(&mut self, payload: &mut [u8], random: &mut Random) -> Shape {
        match self {
            Self::Steady { payload } => Shape { length: *payload, level: SPEECH_LEVEL, beats: 1, ..Shape::default() },
            Self::Opus(speech) => speech.write(payload, random),
            Self::Events(telephony) => telephony.write(payload),
            Self::Video(frames) => frames.write(payload, random),
        }
    }

    /// Decides what the next packet is: whether it begins a key frame.
    pub(super) fn prepare(&mut self, random: &mut Random) -> bool {
        match self {
            Self::Video(frames) => frames.prepare(random),
            Self::Steady { .. } | Self::Opus(_) | Self::Events(_) => false,
        }
    }

    /// What is to be said of the frame of the packet that was written last; of what has no frames, nothing.
    pub(super) fn mark(&self) -> Mark {
        match self {
            Self::Video(frames) => frames.mark(),
            Self::Steady { .. } | Self::Opus(_) | Self::Events(_) => Mark::default(),
        }
    }

    pub(super) const fn request_key_frame(&mut self) {
        if let Self::Video(frames) = self {
            frames.request_key_frame();
        }
    }
}

/// Audio level of speech: voice, 26 dB below the overload point, as ITU-T P.56 has active speech.
pub(super) const SPEECH_LEVEL: u8 = 0x80 | 26;
/// Audio level of silence: no voice, 127 dB below.
pub(super) const SILENCE_LEVEL: u8 = 127;
