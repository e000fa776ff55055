//! One RTP stream of a profile: what it is, and how much it sends.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::quality::Codec;
use crate::sender::content::Content;
use crate::sender::header;

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Neither.
    Application,
}

/// One RTP stream of a profile.
///
/// What a session description would negotiate is public and may be changed before a [`Sender`](crate::Sender) is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// What it carries.
    pub media: Media,
    /// Encoding name, as `a=rtpmap` has it.
    pub encoding: &'static str,
    /// Payload type: static where RFC 3551 has one for the encoding.
    pub payload_type: u8,
    /// RTP clock, hertz.
    pub clock_rate: u32,
    /// Identification of the media section, for the header extension of RFC 9143.
    pub mid: Option<Tag>,
    /// Identification of the layer, for the header extension of RFC 8852.
    pub rid: Option<Tag>,
    /// Header extensions of its packets.
    pub extensions: Extensions,
    pub(crate) content: Content,
}

impl Track {
    /// Time between packets of audio, or frames of video.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.content.rate().interval()
    }

    /// Packets a second, in the mean.
    #[must_use]
    pub fn packets_per_second(&self) -> f64 {
        self.content.load(header::length(self)).0
    }

    /// Bits a second of RTP packets, in the mean: with their headers, without those of UDP and IP.
    #[must_use]
    pub fn bits_per_second(&self) -> f64 {
        self.content.load(header::length(self)).1
    }

    /// What its packets are, if they are all alike but for their numbers and carry no header extensions.
    #[must_use]
    pub fn steady(&self) -> Option<Steady> {
        let Content::Steady { payload, rate } = self.content else { return None };
        let (beats, per_ms) = (u64::from(rate.beats), u64::from(rate.per_ms));
        let ticks = (per_ms * u64::from(self.clock_rate), beats * 1_000);
        let plain = self.extensions == Extensions::default();
        plain.then_some(Steady { payload: payload.into(), interval_ns: (per_ms * 1_000_000, beats), ticks })
    }

    /// The codec as the E-model knows it; `None` for what is not speech.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        Codec::of_encoding(self.encoding)
    }

    /// Octets of the longest packet: what a buffer for [`Sender::write`](crate::Sender::write) must hold.
    #[must_use]
    pub fn packet_max(&self) -> usize {
        header::longest(self) + self.content.payload_max(header::longest(self))
    }

    /// Payload type of the telephone events between the audio, if it has any (RFC 4733).
    #[must_use]
    pub const fn event_payload_type(&self) -> Option<u8> {
        match &self.content {
            Content::Events(events) => Some(events.payload_type),
            _ => None,
        }
    }
}

/// Packets that are all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steady {
    /// Octets of payload.
    pub payload: usize,
    /// From one to the next, ns: numerator and denominator.
    pub interval_ns: (u64, u64),
    /// The same in units of the RTP clock.
    pub ticks: (u64, u64),
}

/// Header extensions that a stream sends, by the identifier that each was negotiated with (RFC 8285 section 4.2, the
/// one-octet form: 1 to 14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// How loud the audio is (RFC 6464).
    pub audio_level: Option<u8>,
    /// When the packet was due, as 24 bits of seconds, 18 of them behind the point.
    pub abs_send_time: Option<u8>,
    /// A sequence number that all streams of a transport share (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    pub transport_sequence: Option<u8>,
    /// The media section (RFC 9143).
    pub mid: Option<u8>,
    /// The layer (RFC 8852).
    pub rid: Option<u8>,
    /// Which packets a frame of video has, its temporal layer, and who needs it (RFC 9626).
    pub frame_marking: Option<u8>,
    /// The same with what it depends on, of video alone (RTP Payload Format For AV1, appendix A).
    pub descriptor: Option<u8>,
}

impl Extensions {
    /// From identifiers in the order of the fields.
    pub(crate) const fn from_ids(ids: [Option<u8>; 7]) -> Self {
        let [audio_level, abs_send_time, transport_sequence, mid, rid, frame_marking, descriptor] = ids;
        Self { audio_level, abs_send_time, transport_sequence, mid, rid, frame_marking, descriptor }
    }

    /// Identifiers in the order of the fields.
    pub(crate) const fn ids(&self) -> [Option<u8>; 7] {
        let Self { audio_level, abs_send_time, transport_sequence, mid, rid, frame_marking, descriptor } = *self;
        [audio_level, abs_send_time, transport_sequence, mid, rid, frame_marking, descriptor]
    }
}

/// Octets of the longest [`Tag`]: what an extension in the one-octet form holds.
pub const TAG_MAX: usize = 16;

/// A MID or RID: 1 to [`TAG_MAX`] letters and digits.
///
/// RFC 8852 section 3 has no other characters for a RID; a MID could have more, which nobody uses.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag {
    octets: [u8; TAG_MAX],
    length: u8,
}

/// Why a text is no [`Tag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 1 to {TAG_MAX} letters and digits")]
pub struct TagError;

impl Tag {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_octets()).expect("letters and digits of ASCII")
    }

    /// As octets.
    #[must_use]
    pub fn as_octets(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let fits = (1..=TAG_MAX).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_alphanumeric());
        if !fits {
            return Err(TagError);
        }
        let mut octets = [0; TAG_MAX];
        octets[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { octets, length: text.len() as u8 })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_short_and_of_letters_and_digits() {
        assert_eq!("q1".parse::<Tag>().unwrap().as_str(), "q1");
        for wrong in ["", "a-b", "é", "seventeenletters1"] {
            assert_eq!(wrong.parse::<Tag>(), Err(TagError), "{wrong}");
        }
    }
}
