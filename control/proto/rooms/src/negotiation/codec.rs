//! Codecs that can be forwarded: those whose packets the forwarding core can tell key frames and layers of.

/// A codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// RFC 3551 section 4.5.14.
    Pcmu,
    /// RFC 3551 section 4.5.14.
    Pcma,
    /// RFC 3551 section 4.5.2.
    G722,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// The RTP payload format of the Alliance for Open Media.
    Av1,
}

impl Codec {
    pub(crate) const ALL: [Self; 8] =
        [Self::Opus, Self::Pcmu, Self::Pcma, Self::G722, Self::Vp8, Self::Vp9, Self::H264, Self::Av1];

    /// By what stands in `a=rtpmap`; names have no case (RFC 8866 section 6.6).
    #[must_use]
    pub fn of(name: &str, clock_hz: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name) && codec.clock_hz() == clock_hz)
    }

    /// Encoding name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
            Self::Av1 => "AV1",
        }
    }

    /// Hertz of RTP timestamps; 8000 for G.722, though it samples at 16,000 (RFC 3551 section 4.5.2).
    #[must_use]
    pub const fn clock_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma | Self::G722 => 8000,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::Av1 => 90_000,
        }
    }

    /// What follows `a=rtpmap:N `.
    #[must_use]
    pub const fn rtpmap(self) -> &'static str {
        match self {
            Self::Opus => "opus/48000/2",
            Self::Pcmu => "PCMU/8000",
            Self::Pcma => "PCMA/8000",
            Self::G722 => "G722/8000",
            Self::Vp8 => "VP8/90000",
            Self::Vp9 => "VP9/90000",
            Self::H264 => "H264/90000",
            Self::Av1 => "AV1/90000",
        }
    }

    /// Audio, not video.
    #[must_use]
    pub const fn is_audio(self) -> bool {
        matches!(self, Self::Opus | Self::Pcmu | Self::Pcma | Self::G722)
    }

    /// Feedback that is understood and given (RFC 4585, RFC 5104, transport-wide numbers, REMB).
    #[must_use]
    pub const fn feedback(self) -> &'static [&'static str] {
        if self.is_audio() {
            &["transport-cc", "nack"]
        } else {
            &["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"]
        }
    }
}

/// A codec as a party has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Which.
    pub codec: Codec,
    /// RTP payload type.
    pub payload_type: u8,
    /// What `a=fmtp` says of it.
    pub parameters: Option<String>,
    /// Feedback that the party has for it, of what is understood.
    pub feedback: Vec<&'static str>,
    /// Payload type of what is sent again (RFC 4588).
    pub rtx: Option<u8>,
    /// Payload type of redundant audio of it (RFC 2198).
    pub red: Option<u8>,
}

impl Format {
    /// Whether a decoder for `self` takes a stream of `other` as it is: same codec, and where that has several that exclude each
    /// other, the same (RFC 6184 section 8.2.2: packetization mode and profile; RFC 9628 section 6: profile; AV1: profile).
    #[must_use]
    pub fn takes(&self, other: &Self) -> bool {
        self.codec == other.codec
            && match self.codec {
                Codec::H264 => {
                    let mode = |format: &Self| format.parameter("packetization-mode").unwrap_or("0").to_owned();
                    mode(self) == mode(other) && self.h264_profile() == other.h264_profile()
                }
                Codec::Vp9 => {
                    self.parameter("profile-id").unwrap_or("0") == other.parameter("profile-id").unwrap_or("0")
                }
                Codec::Av1 => self.parameter("profile").unwrap_or("0") == other.parameter("profile").unwrap_or("0"),
                Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Vp8 => true,
            }
    }

    /// A parameter of `a=fmtp`, `NAME=VALUE` between semicolons.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let parameters = self.parameters.as_deref()?.split(';');
        let mut pairs = parameters.filter_map(|parameter| parameter.trim().split_once('='));
        pairs.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// `profile_idc` and the constraint bits that tell constrained baseline from baseline (RFC 6184 section 8.1); the level is
    /// left out, since both sides say that it may differ.
    fn h264_profile(&self) -> (u8, bool) {
        let text = self.parameter("profile-level-id").unwrap_or("42000a");
        let octet = |at: usize| text.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0);
        let (profile, constraints) = (octet(0), octet(2));
        let constrained = profile == 0x42 && constraints & 0x40 != 0 || profile == 0x4d && constraints & 0x80 != 0;
        (if constrained { 0x42 } else { profile }, constrained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(codec: Codec, parameters: &str) -> Format {
        let parameters = Some(parameters.to_owned());
        Format { codec, payload_type: 96, parameters, feedback: Vec::new(), rtx: None, red: None }
    }

    #[test]
    fn a_codec_is_told_by_name_and_clock() {
        assert_eq!(Codec::of("OPUS", 48_000), Some(Codec::Opus));
        assert_eq!(Codec::of("opus", 8000), None);
        assert_eq!(Codec::of("H265", 90_000), None);
        for codec in Codec::ALL {
            let prefix = format!("{}/{}", codec.name(), codec.clock_hz());
            assert!(codec.rtpmap().starts_with(&prefix));
        }
    }

    #[test]
    fn a_decoder_takes_its_own_profile_at_any_level() {
        let takes = |codec, a: &str, b: &str| format(codec, a).takes(&format(codec, b));
        let h264 = |a: &str, b: &str| takes(Codec::H264, a, b);
        assert!(h264("packetization-mode=1;profile-level-id=42e01f", "profile-level-id=42e034; packetization-mode=1"));
        assert!(h264("packetization-mode=1;profile-level-id=42e01f", "packetization-mode=1;profile-level-id=4d801f"));
        assert!(!h264("packetization-mode=1;profile-level-id=42e01f", "packetization-mode=1;profile-level-id=42001f"));
        assert!(!h264("packetization-mode=1;profile-level-id=42e01f", "profile-level-id=42e01f"), "mode 0 is another");
        assert!(!h264("packetization-mode=1;profile-level-id=640c1f", "packetization-mode=1;profile-level-id=42e01f"));
        assert!(takes(Codec::Vp9, "profile-id=0", "x=1") && !takes(Codec::Vp9, "profile-id=2", "profile-id=0"));
        assert!(takes(Codec::Vp8, "", "max-fr=30") && !format(Codec::Vp8, "").takes(&format(Codec::Vp9, "")));
    }
}
