//! Transport protocols of m-lines (RFC 8866 section 5.14, RFC 3551, RFC 3711, RFC 4585, RFC 5124, RFC 5764).

/// Protocol of an m-line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `RTP/AVP`.
    Avp,
    /// `RTP/AVPF`: with early feedback (RFC 4585).
    Avpf,
    /// `RTP/SAVP`: SRTP, keys from signalling (RFC 4568).
    Savp,
    /// `RTP/SAVPF`.
    Savpf,
    /// `UDP/TLS/RTP/SAVP`: SRTP, keys from DTLS (RFC 5764).
    TlsSavp,
    /// `UDP/TLS/RTP/SAVPF`.
    TlsSavpf,
    /// Not RTP over UDP; kept as it is.
    Other,
}

impl Protocol {
    /// Those that are RTP.
    pub const RTP: [Self; 6] = [Self::Avp, Self::Avpf, Self::Savp, Self::Savpf, Self::TlsSavp, Self::TlsSavpf];

    /// By its name in an m-line, in any case.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self::RTP.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(name)).unwrap_or(Self::Other)
    }

    /// Its name; empty for [`Other`](Self::Other).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avp => "RTP/AVP",
            Self::Avpf => "RTP/AVPF",
            Self::Savp => "RTP/SAVP",
            Self::Savpf => "RTP/SAVPF",
            Self::TlsSavp => "UDP/TLS/RTP/SAVP",
            Self::TlsSavpf => "UDP/TLS/RTP/SAVPF",
            Self::Other => "",
        }
    }

    /// RTP over UDP.
    #[must_use]
    pub const fn is_rtp(self) -> bool {
        !matches!(self, Self::Other)
    }

    /// SRTP.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Savp | Self::Savpf | Self::TlsSavp | Self::TlsSavpf)
    }

    /// Keys come from DTLS.
    #[must_use]
    pub const fn is_dtls(self) -> bool {
        matches!(self, Self::TlsSavp | Self::TlsSavpf)
    }

    /// Early RTCP feedback may be sent (RFC 4585).
    #[must_use]
    pub const fn is_feedback(self) -> bool {
        matches!(self, Self::Avpf | Self::Savpf | Self::TlsSavpf)
    }

    /// The same with or without feedback.
    #[must_use]
    pub const fn with_feedback(self, feedback: bool) -> Self {
        match (self, feedback) {
            (Self::Avp | Self::Avpf, false) => Self::Avp,
            (Self::Avp | Self::Avpf, true) => Self::Avpf,
            (Self::Savp | Self::Savpf, false) => Self::Savp,
            (Self::Savp | Self::Savpf, true) => Self::Savpf,
            (Self::TlsSavp | Self::TlsSavpf, false) => Self::TlsSavp,
            (Self::TlsSavp | Self::TlsSavpf, true) => Self::TlsSavpf,
            (Self::Other, _) => Self::Other,
        }
    }
}

impl std::str::FromStr for Protocol {
    type Err = ();

    /// Of one that is RTP.
    fn from_str(name: &str) -> Result<Self, ()> {
        Some(Self::of(name)).filter(|protocol| protocol.is_rtp()).ok_or(())
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
