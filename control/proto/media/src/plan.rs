//! What the relay should hold for a call, and how it gets there from what it holds.

use std::net::SocketAddr;

use raceway_api::{
    Bundled, Destination, Flow, FlowAction, FlowId, FlowReport, Framing, Learning, Leg, LegId, LegRules, Match,
    MediaPath, MediaRule, Operation, PayloadRules, Punts, Recording, Remote, Route, Security, SourcePolicy,
};
use raceway_ports::Relayed;

use crate::blob;
use crate::call::{Call, Part, Party, PartyId, Stream};
use crate::interfaces::{Interfaces, Place};
use crate::measured::{Live, Measurements};
use crate::{limits, payloads, rates};

/// A call in the relay's words: sockets, legs and exact flows, each at most once.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    session: Operation<'static>,
    media: Vec<Address>,
    recording: Option<Recording<'static>>,
    /// Files of a recording that is not made any more are to go.
    discard: bool,
    legs: Vec<Leg<'static>>,
    flows: Vec<Flow>,
}

/// A media address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address {
    internal: SocketAddr,
    external: SocketAddr,
    bits_per_second: u64,
}

/// Component of a leg that a flow carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    Rtp,
    Rtcp,
}

/// A flow's name says whose it is.
pub(crate) const fn flow_id(leg: LegId, component: Component) -> FlowId {
    FlowId(leg.0 << 1 | component as u32)
}

/// Whose a flow is.
pub(crate) const fn flow_of(flow: FlowId) -> (LegId, Component) {
    (LegId(flow.0 >> 1), if flow.0 & 1 == 0 { Component::Rtp } else { Component::Rtcp })
}

impl Plan {
    /// What the relay should hold. Rollover counters are only for one that knows nothing: see [`again`](Self::again).
    pub fn of(call: &Call, measured: &Measurements, interfaces: &Interfaces) -> Self {
        let session = Operation::PutSession {
            worker: call.worker,
            expires_at_ns: call.expires_at.as_ns(),
            bits_per_second: 0,
            blob: blob::session(call).into(),
        };
        let recording = call.recorded().map(|current| Recording {
            stem: current.stem.to_string().into(),
            note: current.note.to_string().into(),
            paused: current.paused,
        });
        let discard = call.recordings.as_ref().is_some_and(|recordings| recordings.discard);
        let mut plan = Self { session, media: Vec::new(), recording, discard, legs: Vec::new(), flows: Vec::new() };
        for (party, index, stream) in call.streams() {
            plan.open(stream.local, rates::rtp(stream));
            if let Some(local) = stream.local_rtcp() {
                plan.open(local, limits::rates::RTCP);
            }
            plan.legs.push(leg(call, party, index, stream, measured));
            plan.flows.extend(anchors(call, party, index, stream, measured, interfaces));
        }
        plan
    }

    /// Streams that share an address may bring what each of them may.
    fn open(&mut self, local: Relayed, bits_per_second: u64) {
        let Relayed { internal, external } = local;
        match self.media.iter_mut().find(|known| known.internal == internal) {
            Some(known) => known.bits_per_second += bits_per_second,
            None => self.media.push(Address { internal, external, bits_per_second }),
        }
    }

    /// The same with what a relay before this one knew of SRTP.
    pub fn again(call: &Call, measured: &Measurements, interfaces: &Interfaces) -> Self {
        let mut plan = Self::of(call, measured, interfaces);
        plan.legs.iter_mut().for_each(|leg| leg.rollovers = measured.rollovers(leg.id));
        plan
    }

    /// Everything, for a relay that knows nothing.
    pub fn whole(&self) -> Vec<Operation<'static>> {
        let nothing = Self {
            session: Operation::RemoveSession,
            media: Vec::new(),
            recording: None,
            discard: false,
            legs: Vec::new(),
            flows: Vec::new(),
        };
        nothing.towards(self)
    }

    /// Those of its flows that are not among these.
    pub fn missing(&self, flows: &[FlowReport]) -> Vec<Operation<'static>> {
        let is_there = |flow: &&Flow| flows.iter().any(|known| known.flow.id == flow.id);
        self.flows.iter().filter(|flow| !is_there(flow)).map(|flow| Operation::PutFlow(*flow)).collect()
    }

    /// Tells legs whose packets passed unopened until here, and do not any more, how far their streams are.
    pub fn count_in(&self, operations: &mut [Operation<'static>], call: &Call, measured: &Measurements) {
        let was_opaque = |leg: &Leg<'_>| {
            let before = self.legs.iter().find(|before| before.id == leg.id);
            before.is_some_and(|before| before.receive == Security::Opaque && leg.receive != Security::Opaque)
        };
        for operation in operations {
            let Operation::PutLeg(leg) = operation else { continue };
            if was_opaque(leg)
                && let Some((party, index, _)) = call.stream(leg.id)
            {
                let source = call.source_of(party, index).into_iter();
                let heard = source.flat_map(|source| measured.counted(source.leg, true));
                leg.rollovers = measured.counted(leg.id, false).chain(heard).collect();
                leg.rollovers.truncate(limits::ROLLOVERS_MAX);
            }
        }
    }

    /// Whether another flow takes the place of one of these.
    pub fn is_replaced_by(&self, operations: &[Operation<'static>]) -> bool {
        let is_other = |operation: &Operation<'_>| match operation {
            Operation::PutFlow(flow) => self.has(flow),
            _ => false,
        };
        operations.iter().any(is_other)
    }

    /// Whether a flow is there under its name, though it may do something else.
    pub fn has(&self, flow: &Flow) -> bool {
        self.flows.iter().any(|other| other.id == flow.id && other.matches == flow.matches)
    }

    /// How the relay gets from here to there. What carries packets goes first when it must go, and comes last.
    pub fn towards(&self, there: &Self) -> Vec<Operation<'static>> {
        let mut operations = Vec::new();
        let gone = self.flows.iter().filter(|flow| !there.has(flow));
        operations.extend(gone.map(|flow| Operation::RemoveFlow(flow.id)));
        if self.session != there.session {
            operations.push(there.session.clone());
        }
        let opened = there.media.iter().filter(|media| !self.media.contains(media));
        operations.extend(opened.map(|&Address { internal, external, bits_per_second }| Operation::OpenMedia {
            address: internal,
            external,
            bits_per_second,
        }));
        // Before the legs, so that their first packets are in it.
        match (&self.recording, &there.recording) {
            (before, Some(recording)) if before.as_ref() != Some(recording) => {
                operations.push(Operation::Record(recording.clone()));
            }
            (Some(_), None) => operations.push(Operation::StopRecording { discard: there.discard }),
            _ => {}
        }
        // A leg that goes makes room first where another one takes over its port of RTCP, which is one leg's alone.
        let port = |leg: &Leg<'_>| leg.rtcp.map(|path| path.local);
        let is_taken = |leg: &&Leg<'_>| port(leg).is_some() && there.legs.iter().any(|other| port(other) == port(leg));
        let gone = self.legs.iter().filter(|leg| !there.legs.iter().any(|other| other.id == leg.id));
        operations.extend(gone.clone().filter(is_taken).map(|leg| Operation::RemoveLeg(leg.id)));
        let changed = there.legs.iter().filter(|leg| !self.legs.contains(leg));
        operations.extend(changed.map(|leg| Operation::PutLeg(Box::new(leg.clone()))));
        operations.extend(gone.filter(|leg| !is_taken(leg)).map(|leg| Operation::RemoveLeg(leg.id)));
        let stays = |media: &Address| there.media.iter().any(|other| other.internal == media.internal);
        let closed = self.media.iter().filter(|media| !stays(media));
        operations.extend(closed.map(|media| Operation::CloseMedia { address: media.internal }));
        operations.extend(there.flows.iter().filter_map(|flow| {
            let before = self.flows.iter().find(|other| other.id == flow.id);
            let is_same = |before: &Flow| Flow { expires_at_ns: flow.expires_at_ns, ..*before } == *flow;
            match before.filter(|before| is_same(before)) {
                None => Some(Operation::PutFlow(*flow)),
                Some(before) if before.expires_at_ns == flow.expires_at_ns => None,
                Some(_) => Some(Operation::Extend { flow: flow.id, expires_at_ns: flow.expires_at_ns }),
            }
        }));
        operations
    }
}

/// Towards the peer is what the party sends that made the first offer.
fn towards(party: &Party) -> Destination {
    if party.id == PartyId(0) { Destination::Peer } else { Destination::Client }
}

/// Who gets the RTP of a stream: the peer, then copies.
fn sinks<'a>(call: &'a Call, party: &Party, index: usize) -> Vec<(&'a Party, &'a Stream, bool)> {
    let peer = party.peer.and_then(|peer| call.party(peer)).and_then(|peer| Some((peer, peer.stream(index)?, true)));
    peer.into_iter().chain(call.copies(party.id, index).map(|(party, copy)| (party, copy, false))).collect()
}

fn is_copied(call: &Call, party: Option<PartyId>, index: usize) -> bool {
    party.is_some_and(|party| call.copies(party, index).next().is_some())
}

fn routes(call: &Call, party: &Party, index: usize) -> Vec<Route> {
    if party.part == Part::Subscribes {
        let source = call.source_of(party, index).filter(|_| party.stream(index).is_some_and(|stream| stream.mirrors));
        return source.map(|source| Route::to(source.leg)).into_iter().collect();
    }
    let renumbered = party.stream(index).and_then(|stream| stream.renumbered.as_deref()).unwrap_or_default();
    let route = |(_, sink, is_peer): (&Party, &Stream, bool)| match is_peer {
        true => Route { leg: sink.leg, payload_types: renumbered.to_vec() },
        false => Route::to(sink.leg),
    };
    sinks(call, party, index).into_iter().map(route).collect()
}

fn leg(call: &Call, party: &Party, index: usize, stream: &Stream, measured: &Measurements) -> Leg<'static> {
    // What is recorded or copied is opened.
    let opaque = call.peer_of(party, index).is_some_and(|peer| {
        let is_copied = is_copied(call, Some(party.id), index) || is_copied(call, party.peer, index);
        call.recorded().is_none() && !is_copied && are_opaque(stream, peer)
    });
    let carrier = party.carrier(stream);
    let (receive, send) = match &carrier.dtls {
        Some(_) => measured.keys(stream.transport),
        None if opaque => (Security::Opaque, Security::Opaque),
        None => (stream.receive.clone(), stream.send.clone()),
    };
    // Of a subscriber at most RTCP goes on.
    let media = match (stream.rules.block || party.part == Part::Subscribes, stream.rules.silence) {
        (true, _) => MediaRule::Block,
        (false, true) => MediaRule::Silence,
        (false, false) => MediaRule::Pass,
    };
    let is_ice = carrier.ice.is_some();
    let (rtp, rtcp) = if is_ice { measured.nominated(stream.transport) } else { (stream.rtp, stream.rtcp) };
    // A body that came back names us: what is sent to a call by itself would go round for ever. Where the party is, its
    // packets will say.
    let [rtp, rtcp] = [rtp, rtcp].map(|remote| remote.filter(|remote| !call.receives_at(*remote)));
    Leg {
        id: stream.leg,
        rtp: MediaPath { local: stream.local.internal, remote: rtp },
        rtcp: stream.local_rtcp().map(|local| MediaPath { local: local.internal, remote: rtcp }),
        towards: towards(party),
        learning: if is_ice { Learning::Off } else { stream.learning },
        source: if is_ice { SourcePolicy::Any } else { stream.source },
        receive,
        send,
        to: routes(call, party, index),
        formats: stream.formats.clone(),
        bundled: party.is_bundled(stream).then(|| Box::new(bundled(stream))),
        rules: LegRules {
            media,
            block_dtmf: stream.rules.block_dtmf,
            detect_dtmf: stream.rules.detect_dtmf,
            feedback: stream.protocol.is_feedback(),
            dscp: stream.rules.dscp,
        },
        punt: Punts { stun: stream.ice.is_some(), dtls: stream.dtls.is_some() },
        rollovers: Vec::new(),
        blob: blob::leg(party, index, stream).into(),
    }
}

/// What tells the packets of an m-line from those of others of its bundle.
fn bundled(stream: &Stream) -> Bundled {
    let mid = stream.mid.as_deref().filter(|mid| mid.len() <= raceway_api::limits::MID_MAX).unwrap_or_default();
    let mid_extension = stream.mid_extension.filter(|_| !mid.is_empty());
    Bundled { mid_extension, mid: mid.as_bytes().to_vec(), sources: stream.sources.to_vec() }
}

/// Where a stream's packets go now.
fn live<'m>(party: &Party, stream: &Stream, measured: &'m Measurements) -> Option<&'m Live> {
    let is_ice = party.carrier(stream).ice.is_some();
    measured.live(if is_ice { stream.transport } else { stream.leg })
}

/// Exact flows for what a party sends, once both ends are settled and packets go on as they came.
fn anchors(
    call: &Call,
    party: &Party,
    index: usize,
    stream: &Stream,
    measured: &Measurements,
    interfaces: &Interfaces,
) -> Vec<Flow> {
    // A flow goes to one place.
    let [(other, sink, _)] = sinks(call, party, index)[..] else { return Vec::new() };
    let (Some(from), Some(to)) = (live(party, stream, measured), live(other, sink, measured)) else {
        return Vec::new();
    };
    // A flow takes all that comes to an address, whichever m-line it is of; RTCP of either side speaks of sources of the other;
    // and recordings are made by workers.
    let translates = |stream: &Stream| measured.leg(stream.leg).is_some_and(crate::measured::Leg::translates);
    if party.is_bundled(stream) || translates(stream) || translates(sink) || call.recorded().is_some() {
        return Vec::new();
    }
    let Some(payloads) = payloads::rules(stream, are_opaque(stream, sink)).filter(|_| passes_as_it_is(stream, sink))
    else {
        return Vec::new();
    };
    let flow = |component, remote: SocketAddr, local, our: SocketAddr, their: SocketAddr| {
        let place = interfaces.place(their);
        if place == Place::Here {
            return None;
        }
        let action = FlowAction::Anchor {
            towards: towards(party),
            from: our,
            to: their,
            dscp: sink.rules.dscp,
            payloads: if component == Component::Rtp { payloads } else { PayloadRules::default() },
            local_destination: place == Place::Media,
        };
        Some(Flow {
            id: flow_id(stream.leg, component),
            matches: Match { remote: Remote::Exact(remote), local, framing: Framing::Plain },
            action,
            expires_at_ns: call.flows_end_at.as_ns(),
        })
    };
    let rtp = settled_rtp(from)
        .zip(settled_rtp(to))
        .and_then(|(remote, their)| flow(Component::Rtp, remote, stream.local.internal, sink.local.internal, their));
    let rtcp = stream.local_rtcp().and_then(|local| {
        let remote = from.rtcp.filter(|_| from.rtcp_settled)?;
        let their = if sink.muxed { settled_rtp(to) } else { to.rtcp.filter(|_| to.rtcp_settled) };
        let our = sink.local_rtcp().unwrap_or(sink.local);
        flow(Component::Rtcp, remote, local.internal, our.internal, their?)
    });
    rtp.into_iter().chain(rtcp).collect()
}

fn settled_rtp(live: &Live) -> Option<SocketAddr> {
    live.rtp.filter(|_| live.rtp_settled)
}

/// Neither keys nor packets change between the two, but for what a flow does by payload type, and RTCP that comes on RTP's
/// port goes to RTP's port.
fn passes_as_it_is(stream: &Stream, sink: &Stream) -> bool {
    let is_plain = stream.receive == Security::Plain && sink.send == Security::Plain;
    let feedback = sink.protocol.is_feedback() || !stream.protocol.is_feedback();
    let rtcp = feedback && (!stream.muxed || sink.muxed);
    stream.renumbered.is_none() && (is_plain || are_opaque(stream, sink)) && rtcp
}

/// The parties share keys both ways, so that packets need not be opened.
fn are_opaque(one: &Stream, other: &Stream) -> bool {
    let same = |received: &Security, sent: &Security| match (received, sent) {
        (Security::Srtp(received), Security::Srtp(sent)) => received == sent,
        (Security::Opaque, Security::Opaque) => true,
        _ => false,
    };
    // Silence in the place of what was said, under the key that it was said under, would give that away: nothing is sent.
    let looks_inside = |stream: &Stream| stream.rules.detect_dtmf && payloads::has_events(stream);
    let is_wanted = !looks_inside(one) && !looks_inside(other);
    is_wanted && same(&one.receive, &other.send) && same(&other.receive, &one.send)
}
