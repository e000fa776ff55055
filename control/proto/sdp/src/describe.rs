//! What a body means to a media relay.

use std::net::{IpAddr, SocketAddr};

use sdp_types::attributes::{Fingerprint, Group, Setup};

use crate::address::{self, Connection};
use crate::codecs::Codecs;
use crate::crypto::Crypto;
use crate::error::{SdpError, quote};
use crate::ice::Ice;
use crate::limits;
use crate::lines::Line;
use crate::media::{Direction, MediaSection};
use crate::origin::Origin;
use crate::protocol::Protocol;
use crate::section::Section;
use crate::session::Sdp;

/// A body, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// None if the o-line is missing or odd.
    pub origin: Option<Origin>,
    /// Media identifications of each BUNDLE group (RFC 9143, before it RFC 8843).
    pub bundles: Vec<Vec<String>>,
    /// The m-lines, in order.
    pub media: Vec<Media>,
}

/// What an m-line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `audio`.
    Audio,
    /// `video`.
    Video,
    /// `text` (RFC 4103).
    Text,
    /// `image` (T.38).
    Image,
    /// `application` (data channels and others).
    Application,
    /// `message` (MSRP).
    Message,
    /// Another word.
    Other,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Audio, Self::Video, Self::Text, Self::Image, Self::Application, Self::Message];

    /// By the first word of an m-line.
    #[must_use]
    pub fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(word)).unwrap_or(Self::Other)
    }

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Text => "text",
            Self::Image => "image",
            Self::Application => "application",
            Self::Message => "message",
            Self::Other => "other",
        }
    }
}

/// What `a=rtcp` says (RFC 3605).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rtcp {
    /// Nothing: the next higher port.
    #[default]
    Next,
    /// This port of the m-line's address.
    Port(u16),
    /// This port of this address.
    At(SocketAddr),
}

/// An m-line, understood. What stands in the session for all m-lines is in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What it is about.
    pub kind: Kind,
    /// Port as it stands there; 0 refuses, or leaves it to the bundle.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
    /// Where the c-line points.
    pub connection: Connection,
    /// Where RTP is wanted; None for a port of 0 or a name.
    pub rtp: Option<SocketAddr>,
    /// Where RTCP is wanted.
    pub rtcp: Rtcp,
    /// RTCP on the port of RTP (RFC 5761): offered or accepted.
    pub rtcp_mux: bool,
    /// RTCP on the port of RTP and nowhere else (RFC 8858).
    pub rtcp_mux_only: bool,
    /// Which way.
    pub direction: Direction,
    /// Its identification (RFC 5888).
    pub mid: Option<String>,
    /// Number of the header extension of RTP that holds the identification (RFC 9143 section 16.2).
    pub mid_extension: Option<u8>,
    /// Lives only inside the bundle (RFC 9143 section 6).
    pub bundle_only: bool,
    /// Keys that could be read.
    pub crypto: Vec<Crypto>,
    /// `a=crypto` lines that are there, read or not.
    pub crypto_lines: usize,
    /// Certificates of this side (RFC 8122).
    pub fingerprints: Vec<Fingerprint>,
    /// Who opens DTLS (RFC 4145, RFC 5763).
    pub setup: Option<Setup>,
    /// ICE.
    pub ice: Ice,
    /// Formats of RTP.
    pub codecs: Codecs,
    /// The same as text with all that explains it: [`MediaSection::encoding`].
    pub encoding: String,
    /// Milliseconds in a packet (RFC 8866 section 6.4).
    pub ptime_ms: Option<u16>,
    /// Bits per second that this side wants at most: the larger of `b=TIAS` (RFC 3890) and `b=AS` (RFC 8866 section 5.8).
    pub bandwidth: Option<u64>,
    /// SSRCs that are announced (RFC 5576), each once.
    pub ssrcs: Vec<u32>,
    /// Names of restricted streams (RFC 8851).
    pub rids: Vec<String>,
    /// Several encodings of one source (RFC 8853).
    pub simulcast: bool,
}

/// Name of the header extension with the identification of the m-line (RFC 9143 section 16.2).
pub const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

impl Media {
    /// Not wanted (RFC 3264 section 6).
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.port == 0 && !self.bundle_only
    }

    /// Where RTCP is to be sent; None where RTP has no address.
    #[must_use]
    pub fn rtcp_address(&self) -> Option<SocketAddr> {
        if self.rtcp_mux_only {
            return self.rtp;
        }
        match self.rtcp {
            Rtcp::At(address) => Some(address),
            Rtcp::Port(port) => self.rtp.map(|rtp| SocketAddr::new(rtp.ip(), port)),
            Rtcp::Next => self.rtp.and_then(|rtp| Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?))),
        }
    }

    /// The address is all zeros: nothing is to be sent (RFC 3264 section 8.4 has it from RFC 2543; in trickle ICE and
    /// by browsers it only means that addresses come otherwise).
    #[must_use]
    pub fn is_zero_address(&self) -> bool {
        self.connection.ip().is_some_and(|ip| ip.is_unspecified())
    }
}

impl Sdp<'_> {
    /// Reads what the lines mean.
    ///
    /// # Errors
    /// A limit, or a line that decides where media goes and cannot be read. Other attributes that are malformed are as
    /// if they were not there (RFC 8866 section 5.13).
    pub fn describe(&self) -> Result<Description, SdpError> {
        let session = self.session();
        let connection = session.connection()?;
        let media = self.media().iter().map(|media| read(session, connection.as_ref(), media));
        Ok(Description { origin: self.origin(), bundles: bundles(session)?, media: media.collect::<Result<_, _>>()? })
    }
}

fn bundles(session: &Section<'_>) -> Result<Vec<Vec<String>>, SdpError> {
    let mut bundles = Vec::new();
    for line in &session.lines {
        let Some(("group", Some(value))) = line.attribute() else { continue };
        let Ok(group) = value.trim().parse::<Group>() else { continue };
        if bundles.len() == limits::GROUPS_MAX {
            return Err(SdpError::TooMany { line: line.number, what: "groups", max: limits::GROUPS_MAX });
        }
        if group.semantics.as_str() == "BUNDLE" {
            bundles.push(group.mid_tags);
        }
    }
    Ok(bundles)
}

fn read(session: &Section<'_>, shared: Option<&Connection>, media: &MediaSection<'_>) -> Result<Media, SdpError> {
    let (section, words) = (media.section(), media.words());
    let head = &section.lines[0];
    let port = port(head, words[1])?;
    let connection = section.connection()?.or_else(|| shared.cloned()).ok_or(SdpError::NoConnection(head.number))?;
    let protocol = Protocol::of(words[2]);
    let formats = words.get(3..).unwrap_or(&[]);
    if formats.len() > limits::FORMATS_MAX {
        return Err(SdpError::TooMany { line: head.number, what: "formats", max: limits::FORMATS_MAX });
    }
    let codecs = if protocol.is_rtp() { Codecs::read(section, formats) } else { Codecs::default() };
    let (crypto, crypto_lines) = crypto(section)?;
    let either = |name| section.attribute(name).or_else(|| session.attribute(name));
    let mut ssrcs: Vec<u32> =
        values(section, "ssrc").filter_map(|value| value.split(' ').next()?.parse().ok()).collect();
    ssrcs.dedup();
    Ok(Media {
        kind: Kind::of(words[0]),
        port,
        protocol,
        rtp: connection.ip().filter(|_| port != 0).map(|ip| SocketAddr::new(ip, port)),
        connection,
        rtcp: rtcp(section)?,
        rtcp_mux: section.has("rtcp-mux") || section.has("rtcp-mux-only"),
        rtcp_mux_only: section.has("rtcp-mux-only"),
        direction: Direction::read(section).or_else(|| Direction::read(session)).unwrap_or_default(),
        mid: section.attribute("mid").map(str::trim).filter(|mid| mid.len() <= limits::TOKEN_MAX).map(str::to_owned),
        mid_extension: [section, session].into_iter().find_map(mid_extension),
        bundle_only: section.has("bundle-only"),
        crypto,
        crypto_lines,
        fingerprints: fingerprints(section, session),
        setup: either("setup").and_then(|value| value.trim().parse().ok()),
        ice: Ice::read(session, section)?,
        codecs,
        encoding: media.encoding(),
        ptime_ms: section.attribute("ptime").and_then(|value| value.trim().parse().ok()),
        bandwidth: bandwidth(section),
        ssrcs,
        rids: values(section, "rid").filter_map(|value| value.split(' ').next()).map(str::to_owned).collect(),
        simulcast: section.has("simulcast"),
    })
}

/// `a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 8285 section 8).
fn mid_extension(section: &Section<'_>) -> Option<u8> {
    values(section, "extmap").find_map(|value| {
        let mut words = value.split_ascii_whitespace();
        let number = words.next()?.split('/').next()?.parse().ok().filter(|number| *number != 0);
        words.next().filter(|name| *name == MID_EXTENSION).and(number)
    })
}

/// The port of an m-line, a count aside.
pub(crate) fn port(head: &Line<'_>, word: &str) -> Result<u16, SdpError> {
    let wrong = || SdpError::MediaLine { line: head.number, text: quote(&head.text) };
    word.split('/').next().and_then(|port| port.parse().ok()).ok_or_else(wrong)
}

fn values<'s>(section: &'s Section<'_>, name: &'static str) -> impl Iterator<Item = &'s str> {
    section.attributes().filter(move |(known, _)| *known == name).filter_map(|(_, value)| value)
}

fn bandwidth(section: &Section<'_>) -> Option<u64> {
    let lines = section.lines.iter().filter(|line| line.letter() == Some('b'));
    let said = lines.filter_map(|line| {
        let (kind, value) = line.value().split_once(':')?;
        let value: u64 = value.trim().parse().ok()?;
        match kind.trim() {
            "TIAS" => Some(value),
            "AS" => value.checked_mul(1000),
            _ => None,
        }
    });
    said.max()
}

fn rtcp(section: &Section<'_>) -> Result<Rtcp, SdpError> {
    let line = section.lines.iter().find(|line| line.attribute().is_some_and(|(name, _)| name == "rtcp"));
    let Some(line) = line else { return Ok(Rtcp::Next) };
    let wrong = || SdpError::Attribute { line: line.number, what: "a=rtcp (RFC 3605)", text: quote(&line.text) };
    let value = line.attribute().and_then(|(_, value)| value).ok_or_else(wrong)?;
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let port: u16 = words.first().and_then(|port| port.parse().ok()).ok_or_else(wrong)?;
    let address: Option<IpAddr> = match words[1..] {
        [] => None,
        [network, kind, address] => address::read(network, kind, address).ok_or_else(wrong)?.ip(),
        _ => return Err(wrong()),
    };
    Ok(address.map_or(Rtcp::Port(port), |ip| Rtcp::At(SocketAddr::new(ip, port))))
}

fn crypto(section: &Section<'_>) -> Result<(Vec<Crypto>, usize), SdpError> {
    let mut found = (Vec::new(), 0);
    for line in &section.lines {
        let Some(("crypto", Some(value))) = line.attribute() else { continue };
        if found.1 == limits::CRYPTO_MAX {
            return Err(SdpError::TooMany { line: line.number, what: "a=crypto lines", max: limits::CRYPTO_MAX });
        }
        found.1 += 1;
        found.0.extend(Crypto::parse(value));
    }
    Ok(found)
}

/// Fingerprints of the m-line, else of the session (RFC 8122 section 5).
fn fingerprints(section: &Section<'_>, session: &Section<'_>) -> Vec<Fingerprint> {
    let of = |section: &Section<'_>| -> Vec<Fingerprint> {
        values(section, "fingerprint").filter_map(|value| value.trim().parse().ok()).take(limits::CRYPTO_MAX).collect()
    };
    let own = of(section);
    if own.is_empty() { of(session) } else { own }
}
