//! A relay that takes what it is told, and complains of what it should not have been told.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use raceway_api::{
    Datagram, Flow, FlowAction, FlowId, FlowReport, Learning, Leg, LegId, LegReport, Operation, OperationError,
    Recording, RecordingProblem, RecordingReport, RecordingState, Remote, SessionId, SessionReport, ToRelay, Traffic,
};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    pub blob: Vec<u8>,
    pub worker: u16,
    pub expires_at_ns: u64,
    pub media: BTreeMap<SocketAddr, SocketAddr>,
    pub legs: BTreeMap<LegId, Leg<'static>>,
    pub flows: BTreeMap<FlowId, Flow>,
    pub recording: Option<Recording<'static>>,
}

#[derive(Debug, Default)]
pub struct Relay {
    pub sessions: BTreeMap<SessionId, Session>,
    open: HashSet<SocketAddr>,
    /// Ports that other programs have.
    pub foreign: Vec<u16>,
    /// The next operation like this fails.
    pub fail: Option<OperationError>,
    /// One failed: what nobody waited for may be missing until it is said again.
    pub failed: bool,
    /// Operations so far.
    pub operations: Vec<Operation<'static>>,
    /// Datagrams that it was to send.
    pub sent: Vec<Datagram<'static>>,
    /// What is measured, by leg and by flow.
    pub legs: BTreeMap<LegId, LegReport<'static>>,
    pub flows: BTreeMap<FlowId, FlowReport>,
    /// Why nothing can be recorded.
    pub unrecordable: Option<RecordingProblem>,
    /// It says nothing of recordings.
    pub recorder_silent: bool,
    /// What it will say of them.
    pub recordings: Vec<(SessionId, RecordingState)>,
}

/// What the relay answers.
#[derive(Debug)]
pub enum Said {
    Nothing,
    Applied(u64),
    Failed(u64, OperationError),
    Report(SessionId),
}

impl Relay {
    /// It restarted and knows nothing.
    pub fn forget(&mut self) {
        self.sessions.clear();
        self.open.clear();
    }

    pub fn take(&mut self, message: ToRelay<'static>) -> Said {
        assert!(raceway_api::Limited::within_limits(&message), "{message:?}");
        match message {
            ToRelay::Apply { transaction, session, operations, .. } => {
                let mut said = Said::Nothing;
                for operation in operations {
                    self.operations.push(operation.clone());
                    if operation == Operation::Confirm {
                        said = Said::Applied(transaction);
                    } else if let Err(error) = self.apply(session, operation) {
                        return Said::Failed(transaction, error);
                    }
                }
                said
            }
            ToRelay::Report { session: Some(session) } => Said::Report(session),
            ToRelay::Send(datagram) => {
                assert!(self.open.contains(&datagram.from), "{} is not open", datagram.from);
                self.sent.push(datagram);
                Said::Nothing
            }
            other => panic!("unexpected: {other:?}"),
        }
    }

    fn apply(&mut self, id: SessionId, operation: Operation<'static>) -> Result<(), OperationError> {
        if let Operation::PutSession { worker, expires_at_ns, blob, .. } = operation {
            if let Some(error) = self.fail.take() {
                self.failed = true;
                return Err(error);
            }
            let session = self.sessions.entry(id).or_default();
            (session.worker, session.expires_at_ns, session.blob) = (worker, expires_at_ns, blob.into_owned());
            return Ok(());
        }
        if operation == Operation::RemoveSession {
            for (address, _) in self.sessions.remove(&id).into_iter().flat_map(|session| session.media) {
                self.open.remove(&address);
            }
            return Ok(());
        }
        let session = self.sessions.get_mut(&id).ok_or(OperationError::UnknownSession)?;
        match operation {
            Operation::OpenMedia { address, external, .. } => {
                if self.foreign.contains(&address.port()) {
                    return Err(OperationError::AddressInUse);
                }
                if session.media.insert(address, external).is_none() {
                    assert!(self.open.insert(address), "{address} is open already");
                }
            }
            Operation::CloseMedia { address } => {
                session.media.remove(&address);
                self.open.remove(&address);
            }
            Operation::PutLeg(leg) => {
                let open = |address: SocketAddr| session.media.contains_key(&address);
                for other in session.legs.values().filter(|other| other.id != leg.id) {
                    let others = [Some(other.rtp.local), other.rtcp.map(|path| path.local)];
                    assert!(leg.rtcp.is_none_or(|rtcp| !others.contains(&Some(rtcp.local))), "{leg:?} and {other:?}");
                    assert_ne!(others[1], Some(leg.rtp.local), "{leg:?} and {other:?}");
                }
                assert!(open(leg.rtp.local), "RTP of {leg:?}");
                assert!(leg.rtcp.is_none_or(|rtcp| open(rtcp.local)), "RTCP of {leg:?}");
                for path in [Some(leg.rtp), leg.rtcp].into_iter().flatten() {
                    assert!(path.remote.is_none_or(|remote| remote.is_ipv4() == path.local.is_ipv4()), "{leg:?}");
                }
                session.legs.insert(leg.id, *leg);
            }
            Operation::RemoveLeg(leg) => drop(session.legs.remove(&leg)),
            Operation::PutFlow(flow) => {
                let other = session.flows.values().find(|other| other.matches == flow.matches);
                assert!(other.is_none_or(|other| other.id == flow.id), "{flow:?} {other:?}");
                let open = |address: SocketAddr| session.media.contains_key(&address);
                let FlowAction::Anchor { from, to, .. } = flow.action else { panic!("{flow:?}") };
                assert!(open(flow.matches.local) && open(from), "{flow:?}");
                assert!(matches!(flow.matches.remote, Remote::Exact(_)) && to.is_ipv4() == from.is_ipv4());
                session.flows.insert(flow.id, flow);
            }
            Operation::Extend { flow, expires_at_ns } => {
                session.flows.get_mut(&flow).ok_or(OperationError::UnknownFlow)?.expires_at_ns = expires_at_ns;
            }
            Operation::RemoveFlow(flow) => drop(session.flows.remove(&flow)),
            Operation::Record(recording) => {
                let begins = session.recording.as_ref().is_none_or(|known| known.stem != recording.stem);
                session.recording = Some(recording);
                let state = self.unrecordable.map_or(RecordingState::Writing, RecordingState::Failed);
                if begins && !self.recorder_silent {
                    self.recordings.push((id, state));
                }
            }
            Operation::StopRecording { .. } => session.recording = None,
            other => panic!("unexpected: {other:?}"),
        }
        Ok(())
    }

    /// What the relay says of a session: for a snapshot with whole legs.
    pub fn report(&self, id: SessionId, snapshot: bool) -> Option<SessionReport<'static>> {
        let session = self.sessions.get(&id)?;
        let legs = session.legs.values().map(|leg| {
            let measured = self.legs.get(&leg.id).cloned();
            let report = measured.unwrap_or_else(|| leg_report(leg.id));
            LegReport {
                leg: snapshot.then(|| leg.clone()),
                rtp_remote: report.rtp_remote.or(leg.rtp.remote),
                rtcp_remote: report.rtcp_remote.or(leg.rtcp.and_then(|rtcp| rtcp.remote)),
                rtp_settled: report.rtp_settled || leg.learning == Learning::Off,
                rtcp_settled: report.rtcp_settled || leg.learning == Learning::Off,
                ..report
            }
        });
        Some(SessionReport {
            id,
            worker: session.worker,
            expires_at_ns: session.expires_at_ns,
            blob: session.blob.clone().into(),
            relayed: Vec::new(),
            media: session.media.clone().into_iter().collect(),
            flows: session.flows.values().map(|flow| self.flow_report(flow)).collect(),
            legs: legs.collect(),
            recording: session.recording.clone().map(|recording| RecordingReport {
                recording,
                state: self.unrecordable.map_or(RecordingState::Writing, RecordingState::Failed),
                part: 1,
                packets: 40,
                octets: 65552,
                lost: 2,
            }),
        })
    }

    fn flow_report(&self, flow: &Flow) -> FlowReport {
        self.flows.get(&flow.id).map_or_else(|| flow_report(*flow), |report| FlowReport { flow: *flow, ..*report })
    }
}

/// A leg of which nothing came.
pub fn leg_report(id: LegId) -> LegReport<'static> {
    LegReport {
        id,
        leg: None,
        rtp_remote: None,
        rtcp_remote: None,
        rtp_settled: false,
        rtcp_settled: false,
        received: Traffic::default(),
        sent: Traffic::default(),
        dropped: Vec::new(),
        last_rtp_ns: 0,
        last_rtcp_ns: 0,
        round_trip_us: None,
        ssrc_changes: 0,
        streams: Vec::new(),
        translates: false,
        goodbyes: 0,
        extended_reports: 0,
        rollovers: Vec::new(),
    }
}

pub fn flow_report(flow: Flow) -> FlowReport {
    FlowReport {
        flow,
        xdp: true,
        packets: 0,
        octets: 0,
        dropped: 0,
        blocked: 0,
        rtp_received: 0,
        rtp_lost: 0,
        rtp_reordered: 0,
        rtp_jitter_us: None,
        rtp_ssrc: 0,
        rtp_sequence: 0,
        rtp_payload_type: 0,
        last_ns: 0,
    }
}
