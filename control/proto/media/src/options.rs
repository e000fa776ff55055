//! What a command asks for beyond its SDP, as far as it changes anything. Every field is "not said" by default; the names are
//! those of the ng protocol. What becomes of flags that change nothing is in the tables of whoever reads the command.

use std::net::IpAddr;
use std::time::Duration;

use raceway_api::Learning;
use raceway_sdp::{Protocol, Selection, Suite};

/// Flags of an offer or an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What of the session part is made ours.
    pub replace: Replace,
    /// Family of the addresses that the other side is told.
    pub address_family: Option<Family>,
    /// Address that the other side is told instead of the interface's.
    pub media_address: Option<IpAddr>,
    /// Where the signalling came from.
    pub received_from: Option<IpAddr>,
    /// Media goes to [`received_from`](Self::received_from) instead of the SDP's address.
    pub sip_source_address: bool,
    /// Interface towards who sent the SDP.
    pub interface_from: Option<String>,
    /// Interface towards who gets it.
    pub interface_to: Option<String>,
    /// Protocol that the other side is offered.
    pub transport: Option<Transport>,
    /// ICE towards the other side.
    pub ice: Option<Ice>,
    /// ICE is refused to who offered it.
    pub ice_reject: bool,
    /// ICE lite.
    pub ice_lite: Option<IceLite>,
    /// It is said that candidates may trickle in (RFC 8840).
    pub trickle: bool,
    /// Role in DTLS, or none.
    pub dtls: Option<Dtls>,
    /// Opportunistic SRTP (RFC 8643).
    pub osrtp: Osrtp,
    /// SRTP with keys in SDP (RFC 4568).
    pub sdes: Sdes,
    /// RTCP on RTP's port (RFC 5761).
    pub rtcp_mux: RtcpMux,
    /// m-lines at one address (RFC 9143).
    pub bundle: Bundle,
    /// How `a=rtcp` is written.
    pub rtcp_attribute: Option<RtcpAttribute>,
    /// How addresses are learned.
    pub learning: Option<Learning>,
    /// Packets from elsewhere than the settled address are dropped.
    pub strict_source: bool,
    /// They may take the call over.
    pub media_handover: bool,
    /// The sender's address is not where it wants to receive: nothing is learned.
    pub asymmetric: bool,
    /// Nothing is learned.
    pub no_port_latching: bool,
    /// Both legs are told to be inactive.
    pub inactive: bool,
    /// Every m-line gets an identification.
    pub generate_mid: bool,
    /// DTMF of who sent the SDP is dropped.
    pub block_dtmf: bool,
    /// DTMF of who sent the SDP is told.
    pub detect_dtmf: bool,
    /// RTCP of a subscriber reaches whose media it gets.
    pub rtcp_mirror: bool,
    /// Type of service of packets to the party that gets the SDP, the whole octet.
    pub tos: Option<u8>,
    /// Name for the party that sent the SDP.
    pub label: Option<String>,
    /// How long a deleted call stays.
    pub delete_delay: Option<Duration>,
    /// Formats that are taken out or put in another order.
    pub codecs: Selection,
    /// The call is recorded, or not any more.
    pub record: Option<bool>,
    /// Whether it may be.
    pub consent: crate::Consent,
    /// Kinds of media that are taken out.
    pub remove_media: Vec<String>,
    /// Attributes that are added, removed, substituted.
    pub attributes: Vec<(Scope, AttributeChange)>,
}

/// What of the session part is made ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replace {
    /// Address of the o-line.
    pub origin: bool,
    /// The whole o-line but its version.
    pub origin_full: bool,
    /// Session name, as of the first SDP that this party was sent.
    pub session_name: bool,
    /// Version, so that it goes up by one when something changed.
    pub sdp_version: bool,
    /// Version, so that it goes up by one each time.
    pub force_increment_version: bool,
    /// User name of the o-line.
    pub username: bool,
    /// Also addresses that are zero.
    pub zero_address: bool,
    /// The session's c-line, also where every m-line has its own.
    pub session_connection: bool,
}

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Of an address.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// `transport protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// This one.
    As(Protocol),
    /// Whatever the answer has.
    Accept,
}

/// `ICE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ice {
    /// Taken out.
    Remove,
    /// Offered whether or not it was.
    Force,
    /// As offered.
    Default,
    /// Our candidates beside those that are there, as relay ones.
    ForceRelay,
    /// Offered if it was offered.
    Optional,
}

/// `ICE-lite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceLite {
    /// Towards who gets the SDP.
    Forward,
    /// Towards who sent it.
    Backward,
    /// Towards both.
    Both,
    /// Not.
    Off,
}

/// `DTLS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtls {
    /// Not.
    Off,
    /// We wait for the other side.
    Passive,
    /// We begin.
    Active,
}

/// `OSRTP` (RFC 8643).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Osrtp {
    /// Offered in an `RTP/AVP` m-line.
    pub offer: bool,
    /// Offered as it was before the RFC.
    pub offer_legacy: bool,
    /// Accepted from who offered it, whatever the other side says.
    pub accept: bool,
}

/// `SDES` (RFC 4568).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sdes {
    /// Not offered.
    pub off: bool,
    /// Suites that are not offered.
    pub without: Vec<Suite>,
    /// If any, only these are offered.
    pub only: Vec<Suite>,
    /// Suites in the order in which they are offered; others after them.
    pub order: Vec<Suite>,
    /// No suite is added to those that were offered.
    pub nonew: bool,
    /// Keys are written with base64 padding.
    pub pad: bool,
    /// Of several suites our order decides.
    pub prefer: bool,
    /// Each side has keys of its own.
    pub recrypt: bool,
}

/// `rtcp-mux` (RFC 5761).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtcpMux {
    /// Offered also where it was not.
    pub offer: bool,
    /// Offered without an own port for RTCP.
    pub require: bool,
    /// Accepted from who offered, and not offered on.
    pub demux: bool,
    /// Accepted from who offered, whatever the other side says.
    pub accept: bool,
    /// Refused to who offered.
    pub reject: bool,
}

/// `bundle` (RFC 9143).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Offered also where it was not.
    pub offer: bool,
    /// Offered so that m-lines but the first are for the bundle only.
    pub require: bool,
    /// Offered on if it was offered, to whomever.
    pub accept: bool,
    /// Refused to who offered.
    pub reject: bool,
}

/// How `a=rtcp` (RFC 3605) is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpAttribute {
    /// Not.
    None,
    /// With the address.
    Full,
}

/// Where an attribute is changed (`sdp-attr`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In the session.
    Session,
    /// In every m-line.
    EveryMedia,
    /// In m-lines of this kind.
    Media(String),
}

/// How (`sdp-attr`); text as after `a=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeChange {
    /// One is added.
    Add(String),
    /// Those of this name or text are removed.
    Remove(String),
    /// One is replaced by another.
    Substitute(String, String),
}
