//! From a relay's snapshot back to calls.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use raceway_api::{
    FlowReport, Leg, LegId, LegReport, MediaRule, Operation, RecordingReport, Security, SessionId, SessionReport,
};
use raceway_ports::Relayed;
use raceway_units::{Instant, UnixTime};

use crate::blob::{self, LegBlob};
use crate::call::{Call, Party, PartyId, Rules, Stream};
use crate::calls::{Calls, Held, MEDIA};
use crate::limits;
use crate::measured::Measurements;
use crate::plan::Plan;
use crate::recording::{Current, Recordings};

/// Calls of a snapshot that is coming in, in the relay's words.
#[derive(Debug, Default)]
pub(crate) struct Restoring(BTreeMap<SessionId, Parts>);

#[derive(Debug)]
struct Parts {
    worker: u16,
    expires_at: Instant,
    blob: Vec<u8>,
    legs: Vec<LegReport<'static>>,
    flows: Vec<FlowReport>,
    recording: Option<RecordingReport<'static>>,
}

impl Calls {
    /// One report of the relay's snapshot; a call with much in it comes in several. Those of calls that are held already,
    /// and of sessions that are none, are passed over.
    pub fn restore(&mut self, report: &SessionReport<'_>) {
        if !crate::is_media(report.id) {
            return;
        }
        self.next_session = self.next_session.max(report.id.0.saturating_add(1));
        if self.held.contains_key(&report.id) {
            return;
        }
        let parts = self.restoring.0.entry(report.id).or_insert_with(|| Parts {
            worker: report.worker,
            expires_at: Instant::from_ns(report.expires_at_ns),
            blob: report.blob.to_vec(),
            legs: Vec::new(),
            flows: Vec::new(),
            recording: report.recording.clone().map(RecordingReport::into_owned),
        });
        parts.legs.extend(report.legs.iter().map(|leg| leg.clone().into_owned()));
        parts.flows.extend(&report.flows);
    }

    /// The snapshot is complete. What could not be understood or contradicts another call is removed from the relay;
    /// gives how many.
    pub fn restore_end(&mut self, now: Instant) -> usize {
        self.now = self.now.max(now);
        // Who has told all that it holds is there, though it may have been lost before it could.
        self.away = false;
        let mut failures = 0;
        for (session, parts) in std::mem::take(&mut self.restoring.0) {
            let known = call(session, &parts).filter(|call| !self.by_call_id.contains_key(&call.call_id));
            if !known.is_some_and(|call| self.adopt(call, &parts)) {
                failures += 1;
                self.tell(session, vec![Operation::RemoveSession], false);
            }
        }
        failures
    }

    fn adopt(&mut self, call: Call, parts: &Parts) -> bool {
        let pairs: Vec<(Arc<str>, Relayed)> = call.pairs().map(|(name, pair)| (name.clone(), pair)).collect();
        let claimed = pairs.iter().take_while(|(name, pair)| self.interfaces.claim(name, *pair)).count();
        if claimed < pairs.len() {
            pairs[..claimed].iter().for_each(|(name, pair)| self.interfaces.release(name, *pair));
            return false;
        }
        let (id, mut measured) = (call.id, Measurements::default());
        measured.report(&parts.report(id), |_, _| None, |_| false);
        for (_, _, stream) in call.streams().filter(|(_, _, stream)| stream.ice.is_some()) {
            measured.nominate(stream.transport, false, stream.rtp);
            measured.nominate(stream.transport, true, stream.rtcp);
        }
        self.by_call_id.insert(call.call_id.clone(), id);
        let mut held = Held::new(call, measured, self.now);
        let Held { call, measured, agents, .. } = &mut held;
        for (_, _, stream) in call.streams() {
            let has_keys = matches!((&stream.receive, &stream.send), (Security::Srtp(_), Security::Srtp(_)));
            if let Some(agreement) = stream.dtls.as_deref().filter(|_| has_keys) {
                measured.set_keys(stream.transport, stream.receive.clone(), stream.send.clone());
                agents.associations.restore(stream.transport, agreement.clone());
            }
        }
        measured.recording = parts.recording.clone().map(Box::new);
        self.held.insert(id, Box::new(held));
        self.follow_agents(id);
        self.reschedule(id);
        self.align_flows(id, parts);
        true
    }

    /// Flows that rest on what is not so any more go, and those that ended meanwhile are put again.
    fn align_flows(&mut self, id: SessionId, parts: &Parts) {
        let lifetime = self.flow_lifetime();
        let Some(held) = self.held.get_mut(&id) else { return };
        if parts.flows.is_empty() {
            held.call.flows_end_at = self.now.after(lifetime);
        }
        let plan = Plan::of(&held.call, &held.measured, &self.interfaces);
        let stale = parts.flows.iter().filter(|flow| !plan.has(&flow.flow));
        let mut operations: Vec<_> = stale.map(|flow| Operation::RemoveFlow(flow.flow.id)).collect();
        operations.extend(plan.missing(&parts.flows));
        self.tell(id, operations, false);
    }
}

impl Parts {
    fn report(&self, id: SessionId) -> SessionReport<'_> {
        SessionReport {
            id,
            worker: self.worker,
            expires_at_ns: self.expires_at.as_ns(),
            blob: (&self.blob[..]).into(),
            relayed: Vec::new(),
            media: Vec::new(),
            flows: self.flows.clone(),
            legs: self.legs.clone(),
            recording: self.recording.clone(),
        }
    }
}

fn call(id: SessionId, parts: &Parts) -> Option<Call> {
    let blob = blob::read_session(&parts.blob)?;
    if id.0 & MEDIA == 0 || blob.call_id.is_empty() || blob.call_id.len() > limits::CALL_ID_MAX {
        return None;
    }
    let flows_end_ns = parts.flows.iter().map(|flow| flow.flow.expires_at_ns).max();
    let mut call = Call {
        id,
        call_id: blob.call_id.into(),
        worker: parts.worker,
        created: Instant::from_ns(blob.created_ns),
        created_wall: UnixTime(blob.created_wall),
        signal: Instant::from_ns(blob.signal_ns),
        signal_wall: UnixTime(blob.signal_wall),
        expires_at: parts.expires_at,
        flows_end_at: Instant::from_ns(flows_end_ns.unwrap_or(0)),
        ends_at: blob.ends_at_ns.map(Instant::from_ns),
        answered: blob.answered,
        recordings: parts.recording.as_ref().map(recordings),
        next_leg: blob.next_leg,
        early: Vec::new(),
        parties: Vec::new(),
    };
    for report in &parts.legs {
        let leg = report.leg.as_ref()?;
        let words = blob::read_leg(&leg.blob)?;
        place(&mut call, leg, &words)?;
    }
    call.parties.sort_by_key(|party| party.id);
    let is_sound = !call.parties.is_empty() && call.parties.iter().all(transports_are_sound);
    is_sound.then_some(call)
}

/// Of each transport one m-line has the ports, and those that it carries have the same.
fn transports_are_sound(party: &Party) -> bool {
    party.streams.iter().flatten().all(|stream| {
        let same = party.streams.iter().flatten().filter(|other| other.transport == stream.transport);
        let carriers = same.clone().filter(|other| !other.carried).count();
        carriers == 1 && same.clone().all(|other| other.local == stream.local)
    })
}

/// The recording that is made; those before it are forgotten.
fn recordings(report: &RecordingReport<'_>) -> Box<Recordings> {
    let raceway_api::Recording { stem, note, paused } = &report.recording;
    let (stem, note): (Arc<str>, Arc<str>) = ((&**stem).into(), (&**note).into());
    let current = Current { stem: Arc::clone(&stem), note, paused: *paused };
    Box::new(Recordings { current: Some(current), stems: vec![stem], discard: false })
}

/// Puts a leg where its blob says.
fn place(call: &mut Call, leg: &Leg<'_>, words: &LegBlob<'_>) -> Option<()> {
    let (id, index) = (PartyId(words.party), usize::from(words.index));
    if index >= limits::STREAMS_MAX
        || leg.id.0.max(words.transport) >= call.next_leg
        || leg.rtp.local.port() == u16::MAX
    {
        return None;
    }
    if call.party(id).is_none() {
        if call.parties.len() >= limits::PARTIES_MAX {
            return None;
        }
        call.parties.push(Party {
            id,
            part: blob::part(words.part)?,
            tags: Some(words.tag).filter(|tag| !tag.is_empty()).map(Into::into).into_iter().collect(),
            branch: words.branch.map(Into::into),
            label: words.label.map(Into::into),
            created_wall: UnixTime(words.party_created),
            peer: words.peer.map(PartyId),
            streams: Vec::new(),
            offer: None,
            sent: None,
        });
    }
    let party = call.party_mut(id)?;
    if party.streams.len() <= index {
        party.streams.resize(index + 1, None);
    }
    let stream = stream(leg, words)?;
    party.streams[index].is_none().then(|| party.streams[index] = Some(stream))
}

fn renumbered(leg: &Leg<'_>) -> Option<Box<[(u8, u8)]>> {
    leg.to.iter().map(|route| &*route.payload_types).find(|changes| !changes.is_empty()).map(Into::into)
}

fn stream(leg: &Leg<'_>, words: &LegBlob<'_>) -> Option<Stream> {
    let local = leg.rtp.local;
    if words.external_ip.is_ipv4() != local.is_ipv4() {
        return None;
    }
    let (rtp, rtcp) = (leg.rtp.remote, leg.rtcp.and_then(|rtcp| rtcp.remote));
    Some(Stream {
        leg: leg.id,
        kind: blob::kind(words.kind)?,
        mid: words.mid.map(Into::into),
        mid_extension: leg.bundled.as_ref().and_then(|bundled| bundled.mid_extension),
        sources: leg.bundled.as_ref().map(|bundled| bundled.sources.clone().into()).unwrap_or_default(),
        transport: LegId(words.transport),
        carried: words.carried,
        interface: words.interface.into(),
        local: Relayed { internal: local, external: SocketAddr::new(words.external_ip, local.port()) },
        rtp,
        rtcp,
        protocol: blob::protocol(words.protocol)?,
        muxed: leg.rtcp.is_none(),
        direction: blob::direction(words.direction)?,
        receive: leg.receive.clone(),
        send: leg.send.clone(),
        formats: leg.formats.clone(),
        codec: words.codec.map(Into::into),
        bandwidth: words.bandwidth,
        encoding: None,
        renumbered: renumbered(leg),
        hears: blob::heard(words.hears),
        mirrors: words.hears.is_some() && !leg.to.is_empty(),
        learning: leg.learning,
        source: leg.source,
        rules: Rules {
            block: leg.rules.media == MediaRule::Block && words.hears.is_none(),
            silence: leg.rules.media == MediaRule::Silence,
            block_dtmf: leg.rules.block_dtmf,
            detect_dtmf: leg.rules.detect_dtmf,
            dscp: leg.rules.dscp,
        },
        offered: Vec::new(),
        offered_mux: words.offered_mux,
        offered_ice: words.ice.is_some(),
        dtls: words.dtls.as_ref().and_then(blob::dtls).map(Box::new),
        ice: words.ice.as_ref().and_then(|ice| blob::ice(ice, rtp, rtcp)).map(Box::new),
    })
}
