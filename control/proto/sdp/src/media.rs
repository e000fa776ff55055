//! One m-line and what belongs to it, changed line by line.

use std::net::IpAddr;

use sdp_types::attributes::{Candidate, Fingerprint, Setup};

use crate::crypto::Crypto;
use crate::ice::{IceCredentials, MEDIA_ATTRIBUTES};
use crate::protocol::Protocol;
use crate::section::Section;

/// Attributes that say how SRTP gets its keys (RFC 4568, RFC 8122, RFC 8842).
const SECURITY: [&str; 6] = ["crypto", "fingerprint", "setup", "tls-id", "connection", "key-mgmt"];

/// Which way media goes, as the one who says it sees it (RFC 8866 section 6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// It sends only.
    SendOnly,
    /// It receives only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    /// Name of the attribute.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether the one who says it sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the one who says it receives.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    pub(crate) fn read(section: &Section<'_>) -> Option<Self> {
        section.attributes().find_map(|(name, _)| Self::ALL.into_iter().find(|direction| direction.name() == name))
    }
}

/// The lines from one m-line to the next. The first is the m-line itself and stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSection<'a>(pub(crate) Section<'a>);

impl<'a> MediaSection<'a> {
    /// The m-line, without `m=`.
    #[must_use]
    pub fn line(&self) -> &str {
        self.0.lines.first().map_or("", |line| line.value())
    }

    /// Its lines.
    #[must_use]
    pub const fn section(&self) -> &Section<'a> {
        &self.0
    }

    /// Its lines, for changes that have no method here.
    pub const fn section_mut(&mut self) -> &mut Section<'a> {
        &mut self.0
    }

    /// Words of the m-line: media, port, protocol, formats.
    pub(crate) fn words(&self) -> Vec<&str> {
        self.0.lines[0].value().split_ascii_whitespace().collect()
    }

    fn set_word(&mut self, at: usize, word: &str) {
        let mut words = self.words();
        if words.get(at).is_some_and(|known| *known != word) {
            words[at] = word;
            let text = words.join(" ");
            self.0.set_value('m', &text);
        }
    }

    /// Port of the m-line; a count of ports (`/2`) is left out.
    pub fn set_port(&mut self, port: u16) {
        self.set_word(1, &port.to_string());
    }

    /// Refuses the media (RFC 3264 section 6): port 0, and nothing that could be taken for willingness.
    pub fn refuse(&mut self) {
        self.set_port(0);
        self.0.remove_all(&["bundle-only", "rtcp", "rtcp-mux", "rtcp-mux-only"]);
        self.remove_ice();
        self.remove_security();
    }

    /// Protocol of the m-line. Without feedback, attributes that need it go as well (RFC 4585 section 4.2).
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.set_word(2, protocol.name());
        if !protocol.is_feedback() {
            self.0.remove_all(&["rtcp-fb"]);
        }
    }

    /// `a=rtcp` (RFC 3605), with an address if one is given; None removes it.
    pub fn set_rtcp(&mut self, rtcp: Option<(u16, Option<IpAddr>)>) {
        match rtcp {
            None => self.0.remove_all(&["rtcp"]),
            Some((port, None)) => self.0.set("rtcp", Some(&port.to_string())),
            Some((port, Some(ip))) => self.0.set("rtcp", Some(&format!("{port} {}", crate::address::write(ip)))),
        }
    }

    /// `a=rtcp-mux` (RFC 5761 section 5.1.1).
    pub fn set_rtcp_mux(&mut self, muxed: bool) {
        if muxed { self.0.set("rtcp-mux", None) } else { self.0.remove_all(&["rtcp-mux", "rtcp-mux-only"]) }
    }

    /// Direction of this m-line.
    pub fn set_direction(&mut self, direction: Direction) {
        if let Some(first) = Direction::read(&self.0).filter(|first| *first != direction) {
            self.0.substitute(first.name(), direction.name());
        }
        self.0.set(direction.name(), None);
        self.0.remove(|name, _| name != direction.name() && Direction::ALL.iter().any(|other| other.name() == name));
    }

    /// Removes what says how SRTP gets its keys.
    pub fn remove_security(&mut self) {
        self.0.remove_all(&SECURITY);
    }

    /// Adds `a=crypto` lines (RFC 4568); with `pad`, keys have base64 padding.
    pub fn add_crypto(&mut self, lines: &[Crypto], pad: bool) {
        lines.iter().for_each(|crypto| self.0.add("crypto", Some(&crypto.value(pad))));
    }

    /// Adds what DTLS needs (RFC 5763, RFC 8122).
    pub fn add_dtls(&mut self, fingerprint: &Fingerprint, setup: &Setup) {
        self.0.add("setup", Some(&setup.to_string()));
        self.0.add("fingerprint", Some(&fingerprint.to_string()));
    }

    /// Removes ICE.
    pub fn remove_ice(&mut self) {
        self.0.remove_all(&MEDIA_ATTRIBUTES);
    }

    /// Adds ICE (RFC 8839 section 5), after what was there was removed.
    pub fn add_ice(&mut self, credentials: &IceCredentials, candidates: &[Candidate], complete: bool) {
        self.0.add("ice-ufrag", Some(&credentials.fragment));
        self.0.add("ice-pwd", Some(&credentials.password));
        candidates.iter().for_each(|candidate| self.0.add("candidate", Some(&candidate.to_string())));
        if complete {
            self.0.add("end-of-candidates", None);
        }
    }
}
