//! A call: its parties, and their media streams.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use raceway_api::{Format, Learning, LegId, Security, SessionId, SourcePolicy};
use raceway_ports::Relayed;
use raceway_sdp::{Crypto, Direction, Kind, Media, Origin, Protocol};
use raceway_units::{Instant, UnixTime};

use crate::dtls::{DtlsAgreement, TheirDtls};
use crate::ice::{IceAgreement, TheirIce};
use crate::options::{Dtls, IceLite, Osrtp, RtcpMux, Sdes};
use crate::recording::Recordings;
use crate::trickle::Early;

/// Names a party inside its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartyId(pub u8);

/// What was agreed on by signalling. Cheap enough to be copied for a command, so that a refusal leaves the original.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub id: SessionId,
    pub call_id: Arc<str>,
    pub worker: u16,
    pub created: Instant,
    pub created_wall: UnixTime,
    /// The last command about it.
    pub signal: Instant,
    pub signal_wall: UnixTime,
    /// When the relay forgets it.
    pub expires_at: Instant,
    /// When its exact flows end.
    pub flows_end_at: Instant,
    /// It was deleted, and ends then.
    pub ends_at: Option<Instant>,
    pub answered: bool,
    pub recordings: Option<Box<Recordings>>,
    pub next_leg: u32,
    /// Candidates of parties that are not known yet.
    pub early: Vec<Early>,
    pub parties: Vec<Party>,
}

/// What a party does in its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Part {
    /// Talks with another party: offers and answers.
    #[default]
    Talks,
    /// Sends, and is heard by subscribers.
    Publishes,
    /// Gets copies of what others send.
    Subscribes,
}

/// The m-line of another party that a subscriber's m-line is a copy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub party: PartyId,
    pub index: u8,
}

/// Who takes part: the caller, who was called, who publishes or subscribes. A fork without branches is one party with
/// several tags.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Party {
    pub id: PartyId,
    pub part: Part,
    /// The last one answered last; none before the first answer.
    pub tags: Vec<Box<str>>,
    pub branch: Option<Box<str>>,
    pub label: Option<Box<str>>,
    pub created_wall: UnixTime,
    /// Who gets what it sends, beside subscribers.
    pub peer: Option<PartyId>,
    /// By m-line.
    pub streams: Vec<Option<Stream>>,
    /// What it offered last.
    pub offer: Option<Box<Offered>>,
    /// What it was sent last.
    pub sent: Option<Box<Sent>>,
}

/// One m-line of a party.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stream {
    pub leg: LegId,
    pub kind: Kind,
    pub mid: Option<Box<str>>,
    /// Number of the header extension of its packets that holds the mid.
    pub mid_extension: Option<u8>,
    /// SSRCs that it announced.
    pub sources: Box<[u32]>,
    /// Names addresses, ICE and DTLS. In a bundle (RFC 9143) m-lines share these; else it is the leg's.
    pub transport: LegId,
    /// Another m-line of the bundle has its ICE and DTLS, and owns the ports.
    pub carried: bool,
    pub interface: Arc<str>,
    /// Ours for RTP; RTCP has the next port.
    pub local: Relayed,
    /// Where it wants RTP and RTCP.
    pub rtp: Option<SocketAddr>,
    pub rtcp: Option<SocketAddr>,
    pub protocol: Protocol,
    /// RTCP comes and goes on RTP's port.
    pub muxed: bool,
    pub direction: Direction,
    pub receive: Security,
    pub send: Security,
    /// What it may send.
    pub formats: Vec<Format>,
    /// Of its SDP, for people: `PCMU/8000`.
    pub codec: Option<Box<str>>,
    /// Bits per second that either side's SDP speaks of.
    pub bandwidth: Option<u64>,
    /// What its SDP says of how packets are understood; not known after a restart.
    pub encoding: Option<Arc<str>>,
    /// Payload types of what it sends that its peer calls otherwise: from, to.
    pub renumbered: Option<Box<[(u8, u8)]>>,
    /// Of a subscriber: of what this is a copy.
    pub hears: Option<Heard>,
    /// Of a subscriber: its RTCP reaches whom it hears.
    pub mirrors: bool,
    pub learning: Learning,
    pub source: SourcePolicy,
    pub rules: Rules,
    /// What we offered to it; keys stay for the next offer.
    pub offered: Vec<Crypto>,
    pub offered_mux: bool,
    pub offered_ice: bool,
    pub ice: Option<Box<IceAgreement>>,
    pub dtls: Option<Box<DtlsAgreement>>,
}

/// What was switched on for the packets of a party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub block: bool,
    pub silence: bool,
    pub block_dtmf: bool,
    pub detect_dtmf: bool,
    /// Of packets to the party.
    pub dscp: Option<u8>,
}

/// An offer that can be answered, also several times: by the branches of a fork, early and finally.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offered {
    pub to: PartyId,
    /// By m-line; None is not relayed.
    pub media: Vec<Option<OfferedMedia>>,
    /// What it bundles, and what the other side was offered to bundle.
    pub groups: Vec<Vec<usize>>,
    pub far_groups: Vec<Vec<usize>>,
    pub osrtp: Osrtp,
    pub rtcp_mux: RtcpMux,
    pub sdes: Sdes,
    pub ice_reject: bool,
    pub ice_lite: Option<IceLite>,
    pub dtls: Option<Dtls>,
}

/// What an m-line says, as far as the relay is to be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OfferedMedia {
    pub rtp: Option<SocketAddr>,
    pub rtcp: Option<SocketAddr>,
    pub protocol: Protocol,
    pub mux: bool,
    pub mid: Option<Box<str>>,
    pub mid_extension: Option<u8>,
    pub sources: Box<[u32]>,
    pub crypto: Vec<Crypto>,
    pub direction: Direction,
    pub formats: Vec<Format>,
    pub codec: Option<Box<str>>,
    pub bandwidth: Option<u64>,
    pub encoding: Arc<str>,
    pub learning: Learning,
    pub source: SourcePolicy,
    pub ice: Option<TheirIce>,
    pub dtls: Option<TheirDtls>,
}

/// A body that went to a party.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    /// The first one's.
    pub origin: Option<Origin>,
    pub session_name: Option<String>,
    /// Version and fingerprint of the last one.
    pub version: u64,
    pub fingerprint: u64,
}

impl Call {
    pub fn party(&self, id: PartyId) -> Option<&Party> {
        self.parties.iter().find(|party| party.id == id)
    }

    pub fn party_mut(&mut self, id: PartyId) -> Option<&mut Party> {
        self.parties.iter_mut().find(|party| party.id == id)
    }

    pub fn by_tag(&self, tag: &str) -> Option<PartyId> {
        self.parties.iter().find(|party| party.has_tag(tag)).map(|party| party.id)
    }

    /// Takes a party out, and what others have to do with it.
    pub fn remove_party(&mut self, id: PartyId) {
        self.parties.retain(|party| party.id != id);
        for party in &mut self.parties {
            party.peer = party.peer.filter(|peer| *peer != id);
            party.offer.take_if(|offer| offer.to == id);
            for stream in party.streams.iter_mut().flatten() {
                stream.hears.take_if(|heard| heard.party == id);
            }
        }
    }

    /// Streams with their party and m-line.
    pub fn streams(&self) -> impl Iterator<Item = (&Party, usize, &Stream)> {
        self.parties.iter().flat_map(|party| {
            let streams = party.streams.iter().enumerate();
            streams.filter_map(move |(index, stream)| Some((party, index, stream.as_ref()?)))
        })
    }

    pub fn stream(&self, leg: LegId) -> Option<(&Party, usize, &Stream)> {
        self.streams().find(|(_, _, stream)| stream.leg == leg)
    }

    /// The stream of the peer, which gets what this one brings.
    pub fn peer_of(&self, party: &Party, index: usize) -> Option<&Stream> {
        self.party(party.peer?)?.stream(index)
    }

    /// The streams that are copies of what this one brings, with whose they are.
    pub fn copies(&self, party: PartyId, index: usize) -> impl Iterator<Item = (&Party, &Stream)> {
        let heard = Heard { party, index: index as u8 };
        let subscribers = self.parties.iter().filter(|party| party.part == Part::Subscribes);
        let streams = subscribers.flat_map(|party| party.streams.iter().flatten().map(move |stream| (party, stream)));
        streams.filter(move |(_, stream)| stream.hears == Some(heard) && stream.direction.receives())
    }

    /// The stream whose packets this one gets.
    pub fn source_of(&self, party: &Party, index: usize) -> Option<&Stream> {
        match (party.part, party.stream(index).and_then(|stream| stream.hears)) {
            (Part::Subscribes, heard) => heard.and_then(|heard| self.party(heard.party)?.stream(heard.index.into())),
            (Part::Talks | Part::Publishes, _) => self.peer_of(party, index),
        }
    }

    /// The stream that has the ICE and DTLS of a transport.
    pub fn carrier(&self, transport: LegId) -> Option<(&Party, &Stream)> {
        let mut streams = self.streams().filter(|(_, _, stream)| stream.transport == transport && !stream.carried);
        streams.next().map(|(party, _, stream)| (party, stream))
    }

    /// Pairs of ports that it holds, each with its interface.
    pub fn pairs(&self) -> impl Iterator<Item = (&Arc<str>, Relayed)> {
        let carriers = self.streams().filter(|(_, _, stream)| !stream.carried);
        carriers.map(|(_, _, stream)| (&stream.interface, stream.local))
    }

    /// Whether an address is one of ours for this call.
    pub fn receives_at(&self, address: SocketAddr) -> bool {
        let is_it = |local: Relayed| local.internal == address;
        self.streams().any(|(_, _, stream)| is_it(stream.local) || stream.local_rtcp().is_some_and(is_it))
    }

    /// Nobody is to send anything: on hold, or refused.
    pub fn is_silent(&self) -> bool {
        !self.streams().any(|(_, _, stream)| stream.direction.sends())
    }
}

impl Party {
    /// The tag that it has now; empty before the first answer.
    pub fn tag(&self) -> &str {
        self.tags.last().map_or("", |tag| tag)
    }

    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|known| **known == *tag)
    }

    /// Takes a tag that answered last.
    pub fn put_tag(&mut self, tag: &str) {
        self.tags.retain(|known| **known != *tag);
        if self.tags.len() == 8 {
            self.tags.remove(0);
        }
        self.tags.push(tag.into());
    }

    pub fn stream(&self, index: usize) -> Option<&Stream> {
        self.streams.get(index)?.as_ref()
    }

    pub fn stream_mut(&mut self, index: usize) -> Option<&mut Stream> {
        self.streams.get_mut(index)?.as_mut()
    }

    /// The m-line with an identification, of what it offered last or has.
    pub fn line_of(&self, mid: &str) -> Option<usize> {
        let offered = self.offer.as_ref().and_then(|offer| {
            let is_it =
                |media: &Option<OfferedMedia>| media.as_ref().is_some_and(|media| media.mid.as_deref() == Some(mid));
            offer.media.iter().position(is_it)
        });
        let is_it = |stream: &Option<Stream>| stream.as_ref().is_some_and(|stream| stream.mid.as_deref() == Some(mid));
        offered.or_else(|| self.streams.iter().position(is_it))
    }

    /// The stream that has the ICE and DTLS of another one's transport: itself, or another of its bundle.
    pub fn carrier<'s>(&'s self, stream: &'s Stream) -> &'s Stream {
        let is_it = |other: &&Stream| other.transport == stream.transport && !other.carried;
        if stream.carried { self.streams.iter().flatten().find(is_it).unwrap_or(stream) } else { stream }
    }

    /// The m-line that carries another one's transport; None of one that has its own, or is not there.
    pub fn carried_by(&self, index: usize) -> Option<usize> {
        let stream = self.stream(index).filter(|stream| stream.carried)?;
        let carries = |other: &Stream| other.transport == stream.transport && !other.carried;
        self.streams.iter().position(|other| other.as_ref().is_some_and(carries))
    }

    /// Whether several m-lines share the transport of a stream.
    pub fn is_bundled(&self, stream: &Stream) -> bool {
        self.streams.iter().flatten().any(|other| other.transport == stream.transport && other.leg != stream.leg)
    }

    /// The party is at this address.
    pub fn is_at(&self, ip: IpAddr) -> bool {
        self.streams.iter().flatten().any(|stream| stream.rtp.is_some_and(|rtp| rtp.ip() == ip))
    }
}

impl Stream {
    /// Our address for RTCP; None while it comes on RTP's port, as in a bundle.
    pub fn local_rtcp(&self) -> Option<Relayed> {
        (!self.muxed && !self.carried).then(|| self.local.next())
    }

    /// Our addresses, of RTP and then of RTCP if that has its own.
    pub fn bases(&self) -> Vec<SocketAddr> {
        let locals = [Some(self.local), self.local_rtcp()];
        locals.into_iter().flatten().map(|local| local.internal).collect()
    }

    /// Takes over what the party said.
    pub fn take(&mut self, media: &OfferedMedia) {
        self.rtp = media.rtp;
        self.rtcp = media.rtcp;
        self.protocol = media.protocol;
        self.direction = media.direction;
        self.codec.clone_from(&media.codec);
        if media.mid.is_some() {
            self.mid.clone_from(&media.mid);
        }
        self.mid_extension = media.mid_extension;
        self.sources.clone_from(&media.sources);
        self.encoding = Some(Arc::clone(&media.encoding));
        self.learning = media.learning;
        self.source = media.source;
    }
}

/// Formats of an m-line in the relay's words.
pub(crate) fn formats(media: &Media) -> Vec<Format> {
    use raceway_api::Codec;
    let names = [
        ("PCMU", Codec::Pcmu),
        ("PCMA", Codec::Pcma),
        ("G722", Codec::G722),
        ("G729", Codec::G729),
        ("opus", Codec::Opus),
        ("telephone-event", Codec::TelephoneEvent),
        ("CN", Codec::ComfortNoise),
    ];
    let codec = |codec: &raceway_sdp::Codec| {
        let known = names.into_iter().find(|(name, _)| codec.is(name));
        let (payload_type, clock_hz) = (codec.payload_type, codec.clock_rate);
        Format { payload_type, codec: known.map_or(Codec::Other, |(_, codec)| codec), clock_hz }
    };
    let codecs = media.codecs.0.iter().filter(|codec| codec.clock_rate != 0).map(codec);
    codecs.take(raceway_api::limits::FORMATS_MAX).collect()
}

/// What a party may send: what the other side wants, and what it announced itself.
pub(crate) fn both(wanted: &[Format], announced: &[Format]) -> Vec<Format> {
    let mut formats = wanted.to_vec();
    let more = announced.iter().filter(|format| !wanted.iter().any(|known| known.payload_type == format.payload_type));
    formats.extend(more);
    formats.truncate(raceway_api::limits::FORMATS_MAX);
    formats
}
