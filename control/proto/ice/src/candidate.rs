//! Candidates, and how they are weighed.

use std::net::SocketAddr;

use crate::limits;

/// A component of a media stream (RFC 8445 section 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// RTP, and RTCP where it is muxed.
    Rtp,
    /// RTCP on a port of its own.
    Rtcp,
}

impl Component {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; limits::COMPONENTS_MAX] = [Self::Rtp, Self::Rtcp];

    /// As in an `a=candidate` line: 1 or 2.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16 + 1
    }

    /// The component of a number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|component| component.number() == number)
    }
}

/// How a candidate came to be (RFC 8445 section 5.1.1). That ours are called relayed when relaying is forced is a matter of
/// the SDP: the agent does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandidateKind {
    /// An address of the machine itself.
    Host,
    /// Learned from a check.
    PeerReflexive,
    /// Learned from a STUN server.
    ServerReflexive,
    /// Of a relay.
    Relayed,
}

/// Priority of the only local candidate of its kind and component (RFC 8445 section 5.1.2).
#[must_use]
pub const fn priority(kind: CandidateKind, component: Component) -> u32 {
    let preference = match kind {
        CandidateKind::Host => 126,
        CandidateKind::PeerReflexive => 110,
        CandidateKind::ServerReflexive => 100,
        CandidateKind::Relayed => 0,
    };
    preference << 24 | 65535 << 8 | (256 - component.number() as u32)
}

/// A remote candidate, UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it carries.
    pub component: Component,
    /// Where checks go.
    pub address: SocketAddr,
    /// As the peer said.
    pub priority: u32,
}

impl Candidate {
    /// One with the priority of a host candidate.
    #[must_use]
    pub const fn host(component: Component, address: SocketAddr) -> Self {
        Self { component, address, priority: priority(CandidateKind::Host, component) }
    }
}

/// More candidates than [`limits::CANDIDATES_MAX`], or one for a component that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {} remote ICE candidates for one component", limits::CANDIDATES_MAX)]
pub struct TooManyCandidates;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_those_of_rfc_8445() {
        assert_eq!(priority(CandidateKind::Host, Component::Rtp), 2_130_706_431);
        assert_eq!(priority(CandidateKind::Host, Component::Rtcp), 2_130_706_430);
        assert_eq!(priority(CandidateKind::Relayed, Component::Rtp), 16_777_215);
    }

    #[test]
    fn components_have_the_numbers_of_candidate_lines() {
        assert_eq!(Component::from_number(1), Some(Component::Rtp));
        assert_eq!(Component::from_number(2), Some(Component::Rtcp));
        assert_eq!((Component::from_number(0), Component::from_number(3)), (None, None));
    }
}
