//! What the relay keeps for us beside legs: the words of signalling.

use std::net::SocketAddr;

use raceway_ice::{Candidate, Component, Credentials, Mode, Role};
use raceway_sdp::{Direction, Kind, Protocol};
use serde::{Deserialize, Serialize};

use crate::call::{Call, Heard, Part, Party, PartyId, Stream};
use crate::dtls::DtlsAgreement;
use crate::ice::IceAgreement;

/// Version of both encodings; another one is not understood, and its sessions are removed.
const VERSION: u8 = 3;

/// Beside the session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionBlob<'a> {
    version: u8,
    pub call_id: &'a str,
    pub created_ns: u64,
    pub created_wall: u64,
    pub signal_ns: u64,
    pub signal_wall: u64,
    pub ends_at_ns: Option<u64>,
    pub answered: bool,
    pub next_leg: u32,
}

/// Beside each leg. No key: those are in the leg itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LegBlob<'a> {
    version: u8,
    pub party: u8,
    pub index: u8,
    pub tag: &'a str,
    pub branch: Option<&'a str>,
    pub label: Option<&'a str>,
    pub peer: Option<u8>,
    pub part: u8,
    pub hears: Option<(u8, u8)>,
    pub party_created: u64,
    pub kind: u8,
    pub mid: Option<&'a str>,
    pub transport: u32,
    pub carried: bool,
    pub interface: &'a str,
    pub external_ip: std::net::IpAddr,
    pub protocol: u8,
    pub direction: u8,
    pub codec: Option<&'a str>,
    pub bandwidth: Option<u64>,
    pub offered_mux: bool,
    #[serde(borrow)]
    pub ice: Option<IceBlob<'a>>,
    #[serde(borrow)]
    pub dtls: Option<DtlsBlob<'a>>,
}

/// Without this, a re-offer after a restart would need another handshake.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DtlsBlob<'a> {
    pub ours: &'a str,
    pub active: bool,
    pub theirs: Vec<String>,
}

/// Without this, checks after a restart would go unanswered. In the relay's memory, as SRTP keys are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IceBlob<'a> {
    /// Lite, controlling, controlled.
    pub mode: u8,
    #[serde(borrow)]
    pub local: (&'a str, &'a str),
    #[serde(borrow)]
    pub remote: Option<(&'a str, &'a str)>,
}

/// At most [`raceway_api::limits::BLOB_MAX`], by the limit of a call's name.
pub(crate) fn session(call: &Call) -> Vec<u8> {
    let blob = SessionBlob {
        version: VERSION,
        call_id: &call.call_id,
        created_ns: call.created.as_ns(),
        created_wall: call.created_wall.0,
        signal_ns: call.signal.as_ns(),
        signal_wall: call.signal_wall.0,
        ends_at_ns: call.ends_at.map(raceway_units::Instant::as_ns),
        answered: call.answered,
        next_leg: call.next_leg,
    };
    postcard::to_extend(&blob, Vec::with_capacity(96)).expect("writing into memory cannot fail")
}

/// At most [`raceway_api::limits::LEG_BLOB_MAX`]: long words that are only for people are left out, and fingerprints, then
/// credentials of ICE, where the names of signalling are very long.
pub(crate) fn leg(party: &Party, index: usize, stream: &Stream) -> Vec<u8> {
    let (ice, dtls) = (stream.ice.as_deref(), stream.dtls.as_deref());
    let fits = |octets: &Vec<u8>| octets.len() <= raceway_api::limits::LEG_BLOB_MAX;
    let shorter = [(ice, dtls), (ice, None)].into_iter();
    let found = shorter.map(|(ice, dtls)| encode(party, index, stream, ice, dtls)).find(fits);
    found.unwrap_or_else(|| encode(party, index, stream, None, None))
}

fn encode(
    party: &Party,
    index: usize,
    stream: &Stream,
    ice: Option<&IceAgreement>,
    dtls: Option<&DtlsAgreement>,
) -> Vec<u8> {
    let short = |text: &'_ str| text.len() <= 32;
    let blob = LegBlob {
        version: VERSION,
        party: party.id.0,
        index: index as u8,
        tag: party.tag(),
        branch: party.branch.as_deref(),
        label: party.label.as_deref(),
        peer: party.peer.map(|peer| peer.0),
        part: PARTS.iter().position(|part| *part == party.part).unwrap_or(0) as u8,
        hears: stream.hears.map(|heard| (heard.party.0, heard.index)),
        party_created: party.created_wall.0,
        kind: kind_number(stream.kind),
        mid: stream.mid.as_deref().filter(|mid| short(mid)),
        transport: stream.transport.0,
        carried: stream.carried,
        interface: &stream.interface,
        external_ip: stream.local.external.ip(),
        protocol: protocol_number(stream.protocol),
        direction: direction_number(stream.direction),
        codec: stream.codec.as_deref().filter(|codec| short(codec)),
        bandwidth: stream.bandwidth,
        offered_mux: stream.offered_mux,
        ice: ice.map(|ice| IceBlob {
            mode: MODES.iter().position(|mode| *mode == ice.mode).unwrap_or(0) as u8,
            local: (ice.local.ufrag(), ice.local.password()),
            remote: ice.remote.as_ref().map(|remote| (remote.ufrag(), remote.password())),
        }),
        dtls: dtls.filter(|dtls| dtls.role.is_some()).map(|dtls| DtlsBlob {
            ours: &dtls.ours,
            active: dtls.role == Some(raceway_dtls::Role::Active),
            theirs: dtls.theirs.iter().map(ToString::to_string).collect(),
        }),
    };
    postcard::to_extend(&blob, Vec::with_capacity(96)).expect("writing into memory cannot fail")
}

pub(crate) fn read_session(octets: &[u8]) -> Option<SessionBlob<'_>> {
    postcard::from_bytes(octets).ok().filter(|blob: &SessionBlob<'_>| blob.version == VERSION)
}

pub(crate) fn read_leg(octets: &[u8]) -> Option<LegBlob<'_>> {
    postcard::from_bytes(octets).ok().filter(|blob: &LegBlob<'_>| blob.version == VERSION)
}

/// The agreement of a blob. A full agent begins with where packets went.
pub(crate) fn ice(blob: &IceBlob<'_>, rtp: Option<SocketAddr>, rtcp: Option<SocketAddr>) -> Option<IceAgreement> {
    let credentials = |(ufrag, password): (&str, &str)| Credentials::new(ufrag, password).ok();
    let remote = match blob.remote {
        None => None,
        Some(remote) => Some(credentials(remote)?),
    };
    let candidate = |component, address: Option<SocketAddr>| Some(Candidate::host(component, address?));
    let candidates = [candidate(Component::Rtp, rtp), candidate(Component::Rtcp, rtcp)];
    Some(IceAgreement {
        mode: *MODES.get(usize::from(blob.mode))?,
        local: credentials(blob.local)?,
        remote,
        candidates: candidates.into_iter().flatten().collect(),
        relayed: false,
    })
}

/// The agreement of a blob.
pub(crate) fn dtls(blob: &DtlsBlob<'_>) -> Option<DtlsAgreement> {
    let theirs: Result<Vec<_>, _> = blob.theirs.iter().map(|text| text.parse()).collect();
    let role = if blob.active { raceway_dtls::Role::Active } else { raceway_dtls::Role::Passive };
    Some(DtlsAgreement { ours: blob.ours.into(), role: Some(role), theirs: theirs.ok()? })
}

const PARTS: [Part; 3] = [Part::Talks, Part::Publishes, Part::Subscribes];
const MODES: [Mode; 3] = [Mode::Lite, Mode::Full(Role::Controlling), Mode::Full(Role::Controlled)];
const KINDS: [Kind; 7] =
    [Kind::Audio, Kind::Video, Kind::Text, Kind::Image, Kind::Application, Kind::Message, Kind::Other];
const DIRECTIONS: [Direction; 4] = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];

pub(crate) fn part(number: u8) -> Option<Part> {
    PARTS.get(usize::from(number)).copied()
}

pub(crate) fn heard(heard: Option<(u8, u8)>) -> Option<Heard> {
    heard.map(|(party, index)| Heard { party: PartyId(party), index })
}

fn kind_number(kind: Kind) -> u8 {
    KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1) as u8
}

pub(crate) fn kind(number: u8) -> Option<Kind> {
    KINDS.get(usize::from(number)).copied()
}

fn protocol_number(protocol: Protocol) -> u8 {
    Protocol::RTP.iter().position(|known| *known == protocol).unwrap_or(Protocol::RTP.len()) as u8
}

pub(crate) fn protocol(number: u8) -> Option<Protocol> {
    Protocol::RTP.get(usize::from(number)).copied()
}

fn direction_number(direction: Direction) -> u8 {
    DIRECTIONS.iter().position(|known| *known == direction).unwrap_or(0) as u8
}

pub(crate) fn direction(number: u8) -> Option<Direction> {
    DIRECTIONS.get(usize::from(number)).copied()
}

// Three names of a party, and five words of at most 32 octets, the address and numbers.
const _: () = assert!(3 * (crate::limits::TAG_MAX + 2) + 3 * 33 + 18 + 22 <= raceway_api::limits::LEG_BLOB_MAX);
const _: () = assert!(crate::limits::CALL_ID_MAX + 96 <= raceway_api::limits::BLOB_MAX);
