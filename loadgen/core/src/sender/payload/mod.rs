//! What precedes the octets of a frame in each packet, as an SFU reads it to find key frames.

mod av1;
mod bits;
pub(super) mod descriptor;
mod h264;
mod vp8;

use std::str::FromStr;

use super::layers::Place;

/// How frames are put into packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VideoCodec {
    /// RFC 7741.
    Vp8,
    /// RFC 6184, packetization mode 1.
    H264,
    /// RTP Payload Format For AV1, version 1.0.0.
    Av1,
}

/// Most octets before those of the frame.
pub(super) const PREFIX_MAX: usize = 20;

/// Picture elements of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dimensions {
    pub(crate) width: u16,
    pub(crate) height: u16,
}

/// One packet's part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    /// It begins the frame.
    pub(super) first: bool,
    /// It ends the frame.
    pub(super) last: bool,
    /// The frame needs no other to be decoded.
    pub(super) key: bool,
    /// Number of the frame.
    pub(super) picture: u16,
    /// Number of the last frame of temporal layer 0.
    pub(super) base: u8,
    /// Where it is among the temporal layers.
    pub(super) place: Place,
    /// There are several.
    pub(super) layered: bool,
    /// Octets of the frame.
    pub(super) frame: u32,
    /// Its picture elements.
    pub(super) dimensions: Dimensions,
}

/// Why a text is no [`VideoCodec`].
#[derive(Debug, thiserror::Error)]
#[error("vp8, h264 or av1")]
pub(crate) struct VideoCodecError;

impl FromStr for VideoCodec {
    type Err = VideoCodecError;

    fn from_str(text: &str) -> Result<Self, VideoCodecError> {
        [Self::Vp8, Self::H264, Self::Av1].into_iter().find(|codec| codec.name() == text).ok_or(VideoCodecError)
    }
}

impl VideoCodec {
    /// As profiles call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "vp8",
            Self::H264 => "h264",
            Self::Av1 => "av1",
        }
    }

    /// Encoding name of `a=rtpmap`.
    pub(crate) const fn encoding(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::H264 => "H264",
            Self::Av1 => "AV1",
        }
    }

    /// Writes what precedes this part of the frame's octets; how long that is.
    #[inline]
    pub(super) fn write(self, payload: &mut [u8], fragment: &Fragment) -> usize {
        match self {
            Self::Vp8 => vp8::write(payload, fragment),
            Self::H264 => h264::write(payload, fragment),
            Self::Av1 => av1::write(payload, fragment),
        }
    }

    /// Writes the packet that goes before a key frame, if the codec has one; how long it is. Too short for a stamp.
    pub(super) fn write_parameter_sets(self, payload: &mut [u8], dimensions: Dimensions) -> usize {
        match self {
            Self::H264 => h264::write_parameter_sets(payload, dimensions),
            Self::Vp8 | Self::Av1 => 0,
        }
    }

    /// Octets that precede those of the frame, in most packets.
    pub(super) const fn prefix(self) -> usize {
        match self {
            Self::Vp8 => vp8::DESCRIPTOR,
            Self::H264 => 2,
            Self::Av1 => 1,
        }
    }

    /// Packets of a key frame before its own.
    pub(super) const fn parameter_sets(self) -> u16 {
        match self {
            Self::H264 => 1,
            Self::Vp8 | Self::Av1 => 0,
        }
    }
}
