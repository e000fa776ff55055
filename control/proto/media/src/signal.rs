//! What an SDP that passes has to do with a call: common parts of offer and answer.

use std::net::{IpAddr, SocketAddr};

use raceway_api::{Learning, LegId, Security, SourcePolicy};
use raceway_ports::Random;
use raceway_sdp::{Direction, Kind, Media, Protocol};
use raceway_units::UnixTime;

use crate::call::{Call, OfferedMedia, Part, Party, PartyId, Rules, Stream, formats};
use crate::dtls::TheirDtls;
use crate::ice::TheirIce;
use crate::interfaces::Interfaces;
use crate::limits;
use crate::options::{Dtls, Family, Options, Transport};
use crate::refusal::Refusal;
use crate::settings::Settings;

/// What a command works with.
pub(crate) struct Context<'a> {
    pub interfaces: &'a mut Interfaces,
    pub random: &'a mut Random,
    /// Of our certificate; None while DTLS is not possible.
    pub fingerprint: Option<&'a str>,
    pub settings: &'a Settings,
    pub wall: UnixTime,
}

/// How one side's stream is to be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach<'a> {
    pub interface: Option<&'a str>,
    pub family: Family,
    /// No other family will do.
    pub must: bool,
}

/// Checks a name of signalling.
pub(crate) fn check_name(what: &'static str, name: &str, max: usize) -> Result<(), Refusal> {
    if (1..=max).contains(&name.len()) { Ok(()) } else { Err(Refusal::Name { what, octets: name.len(), max }) }
}

/// Whether an address means something on one link alone (RFC 3927, RFC 4291 section 2.5.6); on many networks a machine's own
/// secrets are served at one.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

impl Context<'_> {
    /// What an m-line says, as far as the relay is to be told. None: it is refused, or is nothing that is relayed.
    pub fn read(&self, line: usize, media: &Media, options: &Options) -> Result<Option<OfferedMedia>, Refusal> {
        let is_unwanted = options.remove_media.iter().any(|kind| kind.eq_ignore_ascii_case(media.kind.name()));
        if media.port == 0 || !media.protocol.is_rtp() || is_unwanted || line > limits::STREAMS_MAX {
            return Ok(None);
        }
        let dtls = TheirDtls::read(media);
        let protocol = || media.protocol.to_string();
        if media.protocol.is_dtls() && dtls.is_none() {
            return Err(Refusal::NoFingerprint { line, protocol: protocol() });
        }
        if dtls.is_some() && self.fingerprint.is_none() {
            return Err(Refusal::Dtls { line, protocol: protocol() });
        }
        let (rtp, rtcp) = self.addresses(line, media, options)?;
        let ice = TheirIce::read(&media.ice, self.interfaces);
        let is_held = media.is_zero_address() && ice.is_none();
        let (learning, source) = self.learning(options);
        Ok(Some(OfferedMedia {
            rtp,
            rtcp,
            protocol: media.protocol,
            mux: media.rtcp_mux,
            mid: media.mid.as_deref().map(Into::into),
            mid_extension: media.mid_extension,
            sources: media.ssrcs.iter().copied().take(raceway_api::limits::SOURCES_MAX).collect(),
            crypto: media.crypto.clone(),
            direction: if is_held { held(media.direction) } else { media.direction },
            formats: formats(media),
            codec: media.codecs.preferred().map(|codec| codec.to_string().into()),
            bandwidth: media.bandwidth,
            encoding: media.encoding.as_str().into(),
            learning,
            source,
            ice,
            dtls,
        }))
    }

    /// How the address of who sent an SDP is learned.
    pub fn learning(&self, options: &Options) -> (Learning, SourcePolicy) {
        let learns_nothing = options.asymmetric || options.no_port_latching;
        let learning = options.learning.unwrap_or(self.settings.learning);
        let source = match (options.strict_source, options.media_handover) {
            (true, _) => SourcePolicy::Strict,
            (false, true) => SourcePolicy::Handover,
            (false, false) => SourcePolicy::Any,
        };
        (if learns_nothing { Learning::Off } else { learning }, source)
    }

    /// Where RTP and RTCP are to be sent; None for on hold.
    fn addresses(
        &self,
        line: usize,
        media: &Media,
        options: &Options,
    ) -> Result<(Option<SocketAddr>, Option<SocketAddr>), Refusal> {
        if media.is_zero_address() {
            return Ok((None, None));
        }
        if let (true, Some(ip)) = (options.sip_source_address, options.received_from) {
            let rtcp = media.rtcp_address().map_or_else(|| media.port.saturating_add(1), |rtcp| rtcp.port());
            let (rtp, rtcp) = (SocketAddr::new(ip, media.port), SocketAddr::new(ip, rtcp));
            return Ok((Some(self.check(line, rtp)?), Some(self.check(line, rtcp)?)));
        }
        let Some(rtp) = media.rtp else {
            let name = match &media.connection {
                raceway_sdp::Connection::Name(name) => name.chars().take(64).collect(),
                raceway_sdp::Connection::Ip(ip) => ip.to_string(),
            };
            return Err(Refusal::NotAnAddress { line, name });
        };
        // RTCP at an address of the other family could not be sent to from where RTP is.
        let rtcp = media.rtcp_address().filter(|rtcp| rtcp.is_ipv4() == rtp.is_ipv4() && !rtcp.ip().is_unspecified());
        let rtcp = rtcp.filter(|rtcp| rtcp.port() != 0).map(|rtcp| self.check(line, rtcp)).transpose()?;
        Ok((Some(self.check(line, rtp)?), rtcp))
    }

    /// Media goes to hosts; to this machine's loopback only where the interface is that.
    fn check(&self, line: usize, remote: SocketAddr) -> Result<SocketAddr, Refusal> {
        let ip = remote.ip().to_canonical();
        let loopback = ip.is_loopback() && !self.settings.interfaces.iter().any(|ours| ours.address.is_loopback());
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        let link_local = is_link_local(ip) && !self.settings.interfaces.iter().any(|ours| is_link_local(ours.address));
        if ip.is_multicast() || ip.is_unspecified() || loopback || broadcast || link_local {
            return Err(Refusal::Address { line, address: ip });
        }
        Ok(self.interfaces.internal(SocketAddr::new(ip, remote.port())))
    }

    /// Makes sure that a party has a stream for an m-line, with ports of the right interface and family: its own, or those
    /// of the m-line `carrier`, if that has any.
    pub fn ensure(
        &mut self,
        call: &mut Call,
        id: PartyId,
        index: usize,
        (media, carrier): (&Media, Option<usize>),
        reach: Reach<'_>,
    ) -> Result<(), Refusal> {
        let (kind, mid, protocol) = (media.kind, media.mid.as_deref(), media.protocol);
        self.ensure_stream(call, (id, index), (kind, mid, protocol), carrier, reach)
    }

    /// The same for an m-line that no SDP has yet.
    pub fn ensure_stream(
        &mut self,
        call: &mut Call,
        (id, index): (PartyId, usize),
        (kind, mid, protocol): (Kind, Option<&str>, Protocol),
        carrier: Option<usize>,
        reach: Reach<'_>,
    ) -> Result<(), Refusal> {
        let (name, family) = self.interfaces.choose(reach.interface, reach.family, reach.must)?;
        let party = call.party(id).expect("it was found just now");
        let fits = |stream: &Stream| {
            let same_family = Family::of(stream.local.internal.ip()) == family;
            same_family && (reach.interface.is_none() || stream.interface == name)
        };
        let carrier = carrier.filter(|carrier| party.stream(*carrier).is_some());
        let is_carried = |stream: &Stream| stream.carried == carrier.is_some();
        if party.stream(index).is_some_and(|stream| fits(stream) && is_carried(stream)) {
            return Ok(());
        }
        if let (Some(_), Some(carrier)) = (party.stream(index), carrier) {
            call.party_mut(id).expect("it was found just now").share(index, carrier);
            return Ok(());
        }
        if call.streams().count() >= limits::LEGS_MAX {
            return Err(Refusal::TooMany { call_id: call.call_id.to_string(), what: "streams", max: limits::LEGS_MAX });
        }
        let shared = carrier.and_then(|carrier| party.stream(carrier)).map(|carrier| carrier.local);
        let local = match shared {
            Some(local) => local,
            None => self.interfaces.take(&name, family, self.random)?,
        };
        let leg = LegId(call.next_leg);
        call.next_leg += 1;
        let party = call.party_mut(id).expect("it was found just now");
        let rules = party.streams.iter().flatten().next().map(|other| other.rules).unwrap_or_default();
        let stream = Stream {
            leg,
            kind,
            mid: mid.map(Into::into),
            mid_extension: None,
            sources: Box::default(),
            transport: leg,
            carried: false,
            interface: name,
            local,
            rtp: None,
            rtcp: None,
            protocol,
            muxed: false,
            direction: Direction::SendRecv,
            receive: Security::Plain,
            send: Security::Plain,
            formats: Vec::new(),
            codec: None,
            bandwidth: None,
            encoding: None,
            renumbered: None,
            hears: None,
            mirrors: false,
            learning: self.settings.learning,
            source: SourcePolicy::Any,
            rules: Rules { dscp: None, detect_dtmf: rules.detect_dtmf || self.settings.detect_dtmf, ..rules },
            offered: Vec::new(),
            offered_mux: false,
            offered_ice: false,
            ice: None,
            dtls: None,
        };
        if party.streams.len() <= index {
            party.streams.resize(index + 1, None);
        }
        party.hand_over(index);
        party.streams[index] = Some(stream);
        if let Some(carrier) = carrier {
            party.share(index, carrier);
        }
        Ok(())
    }

    /// Adds a party.
    pub fn add_party(&self, call: &mut Call, tag: Option<&str>, branch: Option<&str>) -> Result<PartyId, Refusal> {
        let id = (0..=u8::MAX).map(PartyId).find(|id| call.party(*id).is_none());
        let full = call.parties.len() >= limits::PARTIES_MAX;
        let Some(id) = id.filter(|_| !full) else {
            return Err(Refusal::TooMany {
                call_id: call.call_id.to_string(),
                what: "parties",
                max: limits::PARTIES_MAX,
            });
        };
        call.parties.push(Party {
            id,
            part: Part::Talks,
            tags: tag.map(Into::into).into_iter().collect(),
            branch: branch.map(Into::into),
            label: None,
            created_wall: self.wall,
            peer: None,
            streams: Vec::new(),
            offer: None,
            sent: None,
        });
        Ok(id)
    }
}

/// An address of zero takes away who would receive (RFC 3264 section 8.4).
const fn held(direction: Direction) -> Direction {
    match direction {
        Direction::SendRecv | Direction::SendOnly => Direction::SendOnly,
        Direction::RecvOnly | Direction::Inactive => Direction::Inactive,
    }
}

/// What is switched on for the media of who sent an SDP, and for what is sent to who gets it.
pub(crate) fn switch(sender: &mut Party, options: &Options) {
    for stream in sender.streams.iter_mut().flatten() {
        stream.rules.block_dtmf |= options.block_dtmf;
        stream.rules.detect_dtmf |= options.detect_dtmf;
    }
    if let Some(label) = &options.label {
        sender.label = Some(label.as_str().into());
    }
}

/// Type of service of packets to a party, of which the upper six bits are DSCP (RFC 2474).
pub(crate) fn mark(receiver: &mut Party, options: &Options) {
    if let Some(tos) = options.tos {
        receiver.streams.iter_mut().flatten().for_each(|stream| stream.rules.dscp = Some(tos >> 2));
    }
}

impl Context<'_> {
    /// Protocol that the other side is offered.
    pub fn out_protocol(&self, protocol: Protocol, options: &Options, line: usize) -> Result<Protocol, Refusal> {
        let out = match options.transport {
            Some(Transport::As(wanted)) if wanted.is_rtp() => wanted,
            Some(Transport::As(_) | Transport::Accept) | None => protocol,
        };
        match (out.is_dtls(), options.dtls, self.fingerprint) {
            (true, Some(Dtls::Off), _) => Ok(Protocol::Savp.with_feedback(out.is_feedback())),
            (true, _, None) => Err(Refusal::Dtls { line, protocol: out.to_string() }),
            _ => Ok(out),
        }
    }
}
