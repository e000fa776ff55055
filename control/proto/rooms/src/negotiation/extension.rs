//! Header extensions of RTP that are understood (RFC 8285); ids are each party's own.

/// A header extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extension {
    /// How loud (RFC 6464).
    AudioLevel,
    /// When it was sent, for REMB.
    AbsoluteSendTime,
    /// The transport-wide sequence number.
    TransportSequence,
    /// Of which media section (RFC 9143 section 15).
    Mid,
    /// Of which encoding (RFC 8852).
    StreamId,
    /// What is sent again of which encoding (RFC 8852).
    RepairedStreamId,
    /// Which layers, and what depends on what (AV1 RTP payload format, appendix A).
    DependencyDescriptor,
    /// Which way a camera is held (3GPP TS 26.114).
    VideoOrientation,
    /// How long a receiver may wait.
    PlayoutDelay,
}

impl Extension {
    const ALL: [Self; 9] = [
        Self::AudioLevel,
        Self::AbsoluteSendTime,
        Self::TransportSequence,
        Self::Mid,
        Self::StreamId,
        Self::RepairedStreamId,
        Self::DependencyDescriptor,
        Self::VideoOrientation,
        Self::PlayoutDelay,
    ];

    /// Its name in `a=extmap`.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::AbsoluteSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::TransportSequence => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::StreamId => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedStreamId => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        }
    }

    /// By that name.
    #[must_use]
    pub fn of(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.uri() == uri)
    }

    /// Those that are offered to who plays, with our ids: the same for all, so that a packet's extensions are written once.
    #[must_use]
    pub const fn offered(is_audio: bool) -> &'static [(u8, Self)] {
        if is_audio {
            &[(1, Self::AudioLevel), (2, Self::AbsoluteSendTime), (3, Self::TransportSequence), (4, Self::Mid)]
        } else {
            &[
                (2, Self::AbsoluteSendTime),
                (3, Self::TransportSequence),
                (4, Self::Mid),
                (5, Self::PlayoutDelay),
                (12, Self::DependencyDescriptor),
                (13, Self::VideoOrientation),
            ]
        }
    }

    /// Whether it is told apart from others in what a room sends out: encodings are one stream there.
    pub(crate) const fn is_of_encodings(self) -> bool {
        matches!(self, Self::StreamId | Self::RepairedStreamId)
    }
}
