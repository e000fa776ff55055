//! ICE in SDP (RFC 8839).

use std::net::SocketAddr;

use sdp_types::attributes::Candidate;
use sdp_types::{CandidateAddress, CandidateType};

use crate::error::SdpError;
use crate::limits;
use crate::section::Section;

/// Attributes of ICE in an m-line.
pub(crate) const MEDIA_ATTRIBUTES: [&str; 8] = [
    "candidate",
    "end-of-candidates",
    "ice-mismatch",
    "ice-options",
    "ice-pwd",
    "ice-ufrag",
    "remote-candidates",
    "rtcp-candidate",
];
/// Attributes of ICE in the session.
pub(crate) const SESSION_ATTRIBUTES: [&str; 5] = ["ice-lite", "ice-options", "ice-pacing", "ice-pwd", "ice-ufrag"];

/// User fragment and password of one side (RFC 8839 section 5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// User fragment.
    pub fragment: String,
    /// Password; never shown.
    pub password: String,
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceCredentials").field("fragment", &self.fragment).finish_non_exhaustive()
    }
}

/// What an m-line says of ICE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ice {
    /// Of the m-line, else of the session. None: this side does not do ICE.
    pub credentials: Option<IceCredentials>,
    /// Words of `a=ice-options` of both.
    pub options: Vec<String>,
    /// This side is a lite implementation.
    pub lite: bool,
    /// Candidates that could be read.
    pub candidates: Vec<Candidate>,
    /// There will be no more (RFC 8840 section 8.2).
    pub end_of_candidates: bool,
}

impl Ice {
    /// Whether more candidates may come by signalling (RFC 8840 section 4.1).
    #[must_use]
    pub fn is_trickle(&self) -> bool {
        self.options.iter().any(|option| option == "trickle")
    }

    /// Candidates that are addresses and reached over UDP: component, address, priority.
    pub fn udp(&self) -> impl Iterator<Item = (u16, SocketAddr, u32)> {
        self.candidates.iter().filter(|candidate| candidate.transport.eq_ignore_ascii_case("UDP")).filter_map(
            |candidate| {
                let CandidateAddress::IpAddr(ip) = candidate.address else { return None };
                let (component, priority) =
                    (candidate.component_id.try_into().ok()?, candidate.priority.try_into().ok()?);
                Some((component, SocketAddr::new(ip, candidate.port), priority))
            },
        )
    }

    pub(crate) fn read(session: &Section<'_>, media: &Section<'_>) -> Result<Self, SdpError> {
        let mut ice = Self {
            credentials: credentials(media, session),
            lite: session.has("ice-lite"),
            end_of_candidates: media.has("end-of-candidates"),
            ..Self::default()
        };
        for value in [session, media].into_iter().filter_map(|section| section.attribute("ice-options")) {
            ice.options.extend(value.split_ascii_whitespace().map(str::to_owned));
        }
        for line in &media.lines {
            let Some(("candidate", Some(value))) = line.attribute() else { continue };
            if ice.candidates.len() == limits::CANDIDATES_MAX {
                let max = limits::CANDIDATES_MAX;
                return Err(SdpError::TooMany { line: line.number, what: "candidates of one m-line", max });
            }
            ice.candidates.extend(value.trim().parse::<Candidate>());
        }
        Ok(ice)
    }
}

/// A candidate of ours (RFC 8839 section 5.1): a host one, or one that is called a relay's.
#[must_use]
pub fn candidate(component: u16, address: SocketAddr, priority: u32, relayed: bool) -> Candidate {
    let kind = if relayed { CandidateType::Relay } else { CandidateType::Host };
    let (ip, port) = (CandidateAddress::IpAddr(address.ip()), address.port());
    let foundation = if relayed { "2" } else { "1" };
    let mut candidate = Candidate::new(foundation, component.into(), "UDP", priority.into(), ip, port, kind);
    if relayed {
        candidate.set_rel_addr(address.ip());
        candidate.set_rel_port(address.port());
    }
    candidate
}

fn credentials(media: &Section<'_>, session: &Section<'_>) -> Option<IceCredentials> {
    let either = |name| media.attribute(name).or_else(|| session.attribute(name)).map(str::trim);
    let is_sound = |value: &&str| (1..=limits::TOKEN_MAX).contains(&value.len());
    let fragment = either("ice-ufrag").filter(is_sound)?;
    let password = either("ice-pwd").filter(is_sound)?;
    Some(IceCredentials { fragment: fragment.to_owned(), password: password.to_owned() })
}
