//! What a proxy can ask of an offer or answer beyond its defaults, in types.

use core::net::IpAddr;
use core::time::Duration;

/// Everything that can be asked for. The default is that nothing was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `replace`: which parts of the session level are rewritten.
    pub replace: Replace,
    /// `address family`: of the addresses that the other side is shown.
    pub address_family: Option<Family>,
    /// `media address`: what the other side is told in place of our interface's address.
    pub media_address: Option<IpAddr>,
    /// `received from`: where the SIP message came from.
    pub received_from: Option<IpAddr>,
    /// `SIP source address`: media comes from there, whatever the SDP says.
    pub sip_source_address: bool,
    /// `direction`, `from-interface`: towards whoever sent the SDP.
    pub interface_from: Option<String>,
    /// `direction`, `to-interface`: towards whoever is to get it.
    pub interface_to: Option<String>,
    /// `interface`: where there is only one side.
    pub interface: Option<String>,
    /// `transport protocol`.
    pub transport: Option<Transport>,
    /// `ICE`.
    pub ice: Option<Ice>,
    /// `ICE-lite`.
    pub ice_lite: Option<IceLite>,
    /// `reject ICE`: ICE that was offered is declined.
    pub ice_reject: bool,
    /// `trickle ICE`, `ICE=trickle`.
    pub trickle: bool,
    /// `fragment`: the SDP is a fragment with candidates (RFC 8840).
    pub fragment: bool,
    /// `DTLS`: towards whoever is to get the SDP.
    pub dtls: Option<Dtls>,
    /// `OSRTP` (RFC 8643).
    pub osrtp: Osrtp,
    /// `SDES` (RFC 4568).
    pub sdes: Sdes,
    /// `rtcp-mux` (RFC 5761).
    pub rtcp_mux: RtcpMux,
    /// `bundle` (RFC 9143).
    pub bundle: Bundle,
    /// `full rtcp attribute`, `no rtcp attribute`.
    pub rtcp_attribute: Option<RtcpAttribute>,
    /// `endpoint-learning`.
    pub learning: Option<Learning>,
    /// `strict source`.
    pub strict_source: bool,
    /// `media handover`.
    pub media_handover: bool,
    /// `asymmetric`.
    pub asymmetric: bool,
    /// `no port latching`.
    pub no_port_latching: bool,
    /// `inactive`.
    pub inactive: bool,
    /// `generate mid`.
    pub generate_mid: bool,
    /// `block DTMF`.
    pub block_dtmf: bool,
    /// `detect DTMF`.
    pub detect_dtmf: bool,
    /// `RTCP mirror`: what a subscriber's RTCP says reaches whom it hears.
    pub rtcp_mirror: bool,
    /// `TOS`: the whole octet.
    pub tos: Option<u8>,
    /// `delete delay`.
    pub delete_delay: Option<Duration>,
    /// `label`.
    pub label: Option<String>,
    /// `set-label`.
    pub set_label: Option<String>,
    /// `codec`, as far as it takes codecs out or puts them in order.
    pub codecs: Codecs,
    /// `sdp-media-remove`: media types whose m-lines go.
    pub remove_media: Vec<String>,
    /// `sdp-attr`.
    pub attributes: Vec<(Scope, AttributeChange)>,
    /// `record call`.
    pub record: Option<bool>,
    /// `metadata`.
    pub metadata: Option<Metadata>,
    /// `supports`: `load limit` may be answered.
    pub supports_load_limit: bool,
}

/// `replace`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replace {
    /// Address of the o-line.
    pub origin: bool,
    /// The whole o-line but its version.
    pub origin_full: bool,
    /// The s-line.
    pub session_name: bool,
    /// The version of the o-line: rises when the SDP changed.
    pub sdp_version: bool,
    /// It rises in any case.
    pub force_increment_version: bool,
    /// The user name of the o-line stays what the peer saw first.
    pub username: bool,
    /// An address of zeros (hold as of RFC 2543) is replaced too.
    pub zero_address: bool,
    /// The c-line of the session.
    pub session_connection: bool,
}

/// `address family`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `IP4`.
    Ipv4,
    /// `IP6`.
    Ipv6,
}

/// `transport protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Speak this one.
    As(Protocol),
    /// In an answer: the one that was answered, also if another was offered.
    Accept,
}

/// Profiles of an m-line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `RTP/AVP`.
    Avp,
    /// `RTP/AVPF`.
    Avpf,
    /// `RTP/SAVP`.
    Savp,
    /// `RTP/SAVPF`.
    Savpf,
    /// `UDP/TLS/RTP/SAVP`.
    TlsSavp,
    /// `UDP/TLS/RTP/SAVPF`.
    TlsSavpf,
}

impl Protocol {
    /// Every one.
    pub const ALL: [Self; 6] = [Self::Avp, Self::Avpf, Self::Savp, Self::Savpf, Self::TlsSavp, Self::TlsSavpf];

    /// As an m-line has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avp => "RTP/AVP",
            Self::Avpf => "RTP/AVPF",
            Self::Savp => "RTP/SAVP",
            Self::Savpf => "RTP/SAVPF",
            Self::TlsSavp => "UDP/TLS/RTP/SAVP",
            Self::TlsSavpf => "UDP/TLS/RTP/SAVPF",
        }
    }

    /// Reads what [`as_str`](Self::as_str) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == text)
    }
}

/// `ICE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ice {
    /// No ICE towards the other side.
    Remove,
    /// Our candidates alone.
    Force,
    /// Ours alone if ICE was offered, else none.
    Default,
    /// The client's without its relayed ones, and ours as a relayed one.
    ForceRelay,
    /// The client's, and ours behind them.
    Optional,
}

/// `ICE-lite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceLite {
    /// Towards whoever gets the offer.
    Forward,
    /// Towards whoever sent it.
    Backward,
    /// Towards both.
    Both,
    /// Towards nobody.
    Off,
}

/// `DTLS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtls {
    /// No DTLS-SRTP.
    Off,
    /// We wait for the peer's ClientHello.
    Passive,
    /// We send ours.
    Active,
}

/// `OSRTP`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Osrtp {
    /// Offer it (RFC 8643) where none was offered.
    pub offer: bool,
    /// The same where rtpengine would offer each m-line twice.
    pub offer_legacy: bool,
    /// Accept what was offered by RFC 8643.
    pub accept: bool,
}

/// `SDES`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sdes {
    /// No SDES.
    pub off: bool,
    /// Suites that are not offered.
    pub without: Vec<String>,
    /// The only suites that are offered.
    pub only: Vec<String>,
    /// Suites in the order that they are offered in.
    pub order: Vec<String>,
    /// Only suites that were offered.
    pub nonew: bool,
    /// `recrypt`: each side has keys of its own, also where they could be shared.
    pub recrypt: bool,
    /// Base64 with its `=` at the end.
    pub pad: bool,
    /// Before DTLS where both were offered.
    pub prefer: bool,
}

/// `rtcp-mux`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtcpMux {
    /// Offered in any case.
    pub offer: bool,
    /// Offered as if it were accepted: no port for RTCP.
    pub require: bool,
    /// Accepted here, not offered there.
    pub demux: bool,
    /// Accepted here, and offered there if it was here.
    pub accept: bool,
    /// Not accepted here.
    pub reject: bool,
}

/// `codec`; names as they are said: `opus/48000/2`, a payload type, `all`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codecs {
    /// These go.
    pub strip: Vec<String>,
    /// These stay if all go.
    pub except: Vec<String>,
    /// These stay, and come first in this order.
    pub offer: Vec<String>,
    /// `single codec`: the first one stays, with events.
    pub single: bool,
}

/// `bundle`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Offered in any case.
    pub offer: bool,
    /// Offered, and m-lines but the first for it only.
    pub require: bool,
    /// Offered there if it was here, whoever is there.
    pub accept: bool,
    /// Not accepted here.
    pub reject: bool,
}

/// The `a=rtcp` line (RFC 3605).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpAttribute {
    /// None.
    None,
    /// With address.
    Full,
}

/// `endpoint-learning`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learning {
    /// What was signalled.
    Off,
    /// The first packet's source.
    Immediate,
    /// The source after three seconds.
    Delayed,
    /// The source that is most like what was signalled.
    Heuristic,
}

/// Where `sdp-attr` acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `none`, `global`: the session.
    Session,
    /// Audio m-lines.
    Audio,
    /// Video m-lines.
    Video,
}

/// What `sdp-attr` does. Texts are what stands behind `a=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeChange {
    /// Adds it, unless it is there.
    Add(String),
    /// Removes those that begin so.
    Remove(String),
    /// Puts the second in place of the first.
    Substitute(String, String),
}

/// `metadata`: `key:value` pairs between `|`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(pub String);

impl Metadata {
    /// Its pairs. What has no colon is a key without value.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.split('|').map(|pair| pair.split_once(':').unwrap_or((pair, "")));
        pairs.map(|(key, value)| (key.trim(), value.trim())).filter(|(key, _)| !key.is_empty())
    }

    /// Whether it says that the parties agreed to be recorded: `consent:yes` (or `true`, `on`, `1`).
    #[must_use]
    pub fn consents(&self) -> bool {
        let yes = |value: &str| ["yes", "true", "on", "1"].iter().any(|yes| value.eq_ignore_ascii_case(yes));
        self.pairs().any(|(key, value)| key.eq_ignore_ascii_case("consent") && yes(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consent_is_given_only_in_so_many_words() {
        let consents = |text: &str| Metadata(text.to_owned()).consents();
        assert!(consents("consent:yes") && consents("case:7| Consent : TRUE |x"));
        for no in ["", "consent", "consent:", "consent:no", "consents:yes", "noconsent:yes", "yes:consent"] {
            assert!(!consents(no), "{no}");
        }
    }
}
