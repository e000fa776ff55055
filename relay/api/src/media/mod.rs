//! Legs: what the relay is told about a media stream of a call, and what it tells of it.
//!
//! A leg is one media stream (an m-line of SDP) of one party: our sockets, the party's addresses, how its packets are
//! secured, and to which legs of the same session they go. What arrives by an exact flow
//! ([`FlowAction::Anchor`](crate::FlowAction::Anchor)) never reaches the leg, unless it is neither RTP nor RTCP.

mod packed;
mod payloads;
mod report;
mod security;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{Destination, limits};

pub use packed::PackedLeg;
pub use payloads::{PayloadFate, PayloadRule, PayloadRules};
pub use report::{Dtmf, LegEvent, LegReport, Rollover, StreamReport, Traffic};
pub use security::{Secret, Security, SrtpKey, Suite};

/// Names a leg inside its session; chosen by control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LegId(pub u32);

/// A media stream of one party. See the module for what it is, [`Leg::new`] for the plainest one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg<'a> {
    /// Name inside the session.
    pub id: LegId,
    /// Where RTP arrives and goes. The local address was opened by
    /// [`OpenMedia`](crate::Operation::OpenMedia).
    pub rtp: MediaPath,
    /// The same for RTCP; absent when it is multiplexed onto `rtp` (RFC 5761).
    pub rtcp: Option<MediaPath>,
    /// Which counters what arrives here is for, as of a flow: towards the peer is what the party that made the offer sends.
    pub towards: Destination,
    /// Whether, and when, the party's address is taken from its packets.
    pub learning: Learning,
    /// What becomes of packets from elsewhere, once the address is settled.
    pub source: SourcePolicy,
    /// How the party secures what it sends.
    pub receive: Security,
    /// How we secure what we send to it.
    pub send: Security,
    /// Where what arrives here goes. None: counted and dropped. A leg that is not there (yet) gets nothing.
    pub to: Vec<Route>,
    /// What the party may send, as negotiated.
    pub formats: Vec<Format>,
    /// What tells its packets from those of other legs with the same `rtp.local` (BUNDLE), besides `formats`. Absent: it
    /// shares that with none.
    pub bundled: Option<Box<Bundled>>,
    /// What else is done with its packets.
    pub rules: LegRules,
    /// What of it control wants to see.
    pub punt: Punts,
    /// What a relay before this one knew of its SRTP streams.
    pub rollovers: Vec<Rollover>,
    /// At most [`LEG_BLOB_MAX`](limits::LEG_BLOB_MAX) octets of control's; given back in a snapshot.
    pub blob: Cow<'a, [u8]>,
}

/// Our address and the party's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaPath {
    /// Ours.
    pub local: SocketAddr,
    /// The party's, as signalled or as ICE chose it; same family. Absent: nothing is sent before it is learned.
    ///
    /// Another one than in the `PutLeg` before makes learning start anew; the same one keeps what was learned.
    pub remote: Option<SocketAddr>,
}

/// Whether, and when, a party's address is taken from its packets (latching).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Learning {
    /// Never: the signalled address is settled.
    #[default]
    Off,
    /// From the first packet, which settles it.
    Immediate,
    /// From every packet for [`LEARNING`](limits::LEARNING) after the first; the last one settles it.
    Delayed,
    /// As `Delayed`, but of all sources in that time the one most like the signalled address is taken: the same
    /// address and port, else the same address, else the same port, else the first.
    Heuristic,
}

/// What becomes of packets that come from elsewhere than the settled address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourcePolicy {
    /// They pass; nothing goes to where they came from.
    #[default]
    Any,
    /// They are dropped.
    Strict,
    /// They pass, and when only they come, and in sequence, they settle the address anew.
    Handover,
}

/// One way that the packets of a leg take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// A leg of the same session.
    pub leg: LegId,
    /// RTP payload types that are called otherwise there: from, to. At most
    /// [`ROUTE_CHANGES_MAX`](limits::ROUTE_CHANGES_MAX).
    pub payload_types: Vec<(u8, u8)>,
}

impl Route {
    /// To a leg, with every payload type as it is.
    #[must_use]
    pub const fn to(leg: LegId) -> Self {
        Self { leg, payload_types: Vec::new() }
    }
}

/// How packets of a leg are told from those of others at the same address (RFC 9143 section 9.2): by MID, else by source,
/// else by a payload type that no other has. What is nobody's is dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundled {
    /// Number of the header extension (RFC 8285) that holds the MID; absent: none does.
    pub mid_extension: Option<u8>,
    /// The MID, at most [`MID_MAX`](limits::MID_MAX) octets.
    pub mid: Vec<u8>,
    /// SSRCs that the party announced (RFC 5576), at most [`SOURCES_MAX`](limits::SOURCES_MAX).
    pub sources: Vec<u32>,
}

/// An RTP payload type that was negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// 0 to 127.
    pub payload_type: u8,
    /// What it stands for.
    pub codec: Codec,
    /// RTP clock rate in Hz.
    pub clock_hz: u32,
}

/// What a payload type stands for, as far as the relay must know it: to silence it, to find DTMF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722.
    G722,
    /// G.729.
    G729,
    /// Opus.
    Opus,
    /// Telephone events: DTMF (RFC 4733).
    TelephoneEvent,
    /// Comfort noise (RFC 3389).
    ComfortNoise,
    /// Any other. Its silence is that nothing is sent.
    Other,
}

/// What is done with the packets of a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegRules {
    /// What becomes of RTP from the party.
    pub media: MediaRule,
    /// Its telephone events are dropped.
    pub block_dtmf: bool,
    /// Its telephone events are told as [`LegEvent::Dtmf`], blocked or not.
    pub detect_dtmf: bool,
    /// The party speaks an AVPF profile (RFC 4585): RTCP feedback is sent to it. Else it is taken out.
    pub feedback: bool,
    /// DSCP (0 to 63) of what is sent to the party; absent: that of the packet as it came.
    pub dscp: Option<u8>,
}

/// What becomes of RTP from a party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaRule {
    /// It passes.
    #[default]
    Pass,
    /// It is dropped.
    Block,
    /// It passes with the silence of its [`Codec`] inside; what has none is dropped.
    Silence,
}

/// What of a leg's packets goes to control, as [`FromRelay::Punt`](crate::FromRelay::Punt) with our media address.
/// What does not is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Punts {
    /// STUN: ICE (RFC 8445).
    pub stun: bool,
    /// DTLS (RFC 5764).
    pub dtls: bool,
}

impl Leg<'_> {
    /// A leg of plain RTP with RTCP multiplexed onto it: settled, unsecured, with nowhere to send what arrives.
    #[must_use]
    pub const fn new(id: LegId, rtp: MediaPath) -> Self {
        Self {
            id,
            rtp,
            rtcp: None,
            towards: Destination::Peer,
            learning: Learning::Off,
            source: SourcePolicy::Any,
            receive: Security::Plain,
            send: Security::Plain,
            to: Vec::new(),
            formats: Vec::new(),
            bundled: None,
            rules: LegRules {
                media: MediaRule::Pass,
                block_dtmf: false,
                detect_dtmf: false,
                feedback: false,
                dscp: None,
            },
            punt: Punts { stun: false, dtls: false },
            rollovers: Vec::new(),
            blob: Cow::Borrowed(&[]),
        }
    }

    /// The same, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Leg<'static> {
        let Self { id, rtp, rtcp, towards, learning, source, receive, send, to, formats, bundled, .. } = self;
        let Self { rules, punt, rollovers, blob, .. } = self;
        let blob = Cow::Owned(blob.into_owned());
        Leg {
            id,
            rtp,
            rtcp,
            towards,
            learning,
            source,
            receive,
            send,
            to,
            formats,
            bundled,
            rules,
            punt,
            rollovers,
            blob,
        }
    }

    /// Whether its parts keep their [`limits`].
    pub(crate) fn within_limits(&self) -> bool {
        self.to.len() <= limits::ROUTES_MAX
            && self.to.iter().all(|route| route.payload_types.len() <= limits::ROUTE_CHANGES_MAX)
            && self.formats.len() <= limits::FORMATS_MAX
            && self.bundled.as_deref().is_none_or(Bundled::within_limits)
            && self.rollovers.len() <= limits::ROLLOVERS_MAX
            && self.blob.len() <= limits::LEG_BLOB_MAX
            && self.receive.within_limits()
            && self.send.within_limits()
    }
}

impl Bundled {
    fn within_limits(&self) -> bool {
        self.mid.len() <= limits::MID_MAX && self.sources.len() <= limits::SOURCES_MAX
    }
}

#[cfg(test)]
mod tests;
