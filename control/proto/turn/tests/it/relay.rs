//! A relay that keeps what it is told and refuses what a real one refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use raceway_api::{
    Datagram, Flow, FlowId, FlowReport, Operation, OperationError, Remote, SessionId, SessionReport, ToRelay, limits,
};

#[derive(Clone, Debug, Default)]
pub struct Session {
    pub worker: u16,
    pub expires_at_ns: u64,
    pub bits_per_second: u64,
    pub blob: Vec<u8>,
    pub relayed: Vec<(SocketAddr, SocketAddr)>,
    pub flows: BTreeMap<FlowId, Flow>,
}

#[derive(Clone, Debug, Default)]
pub struct Relay {
    pub sessions: BTreeMap<SessionId, Session>,
    /// Addresses that another process has.
    pub occupied: BTreeSet<SocketAddr>,
    /// The next operations of this many `Apply`s fail so, at their last operation.
    pub failing: Vec<OperationError>,
    pub flows_max: Option<usize>,
    /// What was sent to clients.
    pub sent: Vec<Datagram<'static>>,
    pub applied: Vec<ToRelay<'static>>,
}

pub struct Failure {
    pub transaction: u64,
    pub error: OperationError,
}

impl Relay {
    pub fn take(&mut self, message: ToRelay<'static>) -> Result<(), Failure> {
        match &message {
            ToRelay::Send(datagram) => self.sent.push(datagram.clone()),
            ToRelay::Apply { transaction, session, operations, then_send } => {
                assert!(operations.len() <= limits::OPERATIONS_MAX);
                self.applied.push(message.clone());
                let injected = if self.is_removal(operations) { None } else { self.failing.pop() };
                let count = if injected.is_some() { operations.len() - 1 } else { operations.len() };
                for operation in &operations[..count] {
                    self.operate(*session, operation).map_err(|error| Failure { transaction: *transaction, error })?;
                }
                if let Some(error) = injected {
                    return Err(Failure { transaction: *transaction, error });
                }
                self.sent.extend(then_send.clone());
            }
            other => panic!("not for a core to say: {other:?}"),
        }
        Ok(())
    }

    fn is_removal(&self, operations: &[Operation<'_>]) -> bool {
        operations.iter().all(|operation| matches!(operation, Operation::RemoveSession | Operation::RemoveFlow(_)))
    }

    fn operate(&mut self, id: SessionId, operation: &Operation<'_>) -> Result<(), OperationError> {
        let flow_count: usize = self.sessions.values().map(|session| session.flows.len()).sum();
        let taken = |address: &SocketAddr| {
            let mut others = self.sessions.iter().filter(|(other, _)| **other != id);
            others.any(|(_, session)| session.relayed.iter().any(|(local, _)| local == address))
        };
        match operation {
            Operation::PutSession { worker, expires_at_ns, bits_per_second, blob } => {
                assert!(blob.len() <= limits::BLOB_MAX);
                let session = self.sessions.entry(id).or_default();
                session.worker = *worker;
                session.expires_at_ns = *expires_at_ns;
                session.bits_per_second = *bits_per_second;
                session.blob = blob.to_vec();
            }
            Operation::OpenRelayed { address, external } => {
                if self.occupied.contains(address) || taken(address) {
                    return Err(OperationError::AddressInUse);
                }
                let session = self.sessions.get_mut(&id).ok_or(OperationError::UnknownSession)?;
                if !session.relayed.contains(&(*address, *external)) {
                    session.relayed.push((*address, *external));
                }
            }
            Operation::PutFlow(flow) => {
                let mut others = self.sessions.iter().filter(|(other, _)| **other != id);
                if others.any(|(_, session)| session.flows.values().any(|other| other.matches == flow.matches)) {
                    return Err(OperationError::MatchTaken);
                }
                let session = self.sessions.get_mut(&id).ok_or(OperationError::UnknownSession)?;
                let doubled = session.flows.values().any(|other| other.matches == flow.matches && other.id != flow.id);
                assert!(!doubled, "two flows of one session with the match of {flow:?}");
                let is_open = |local: &SocketAddr| session.relayed.iter().any(|(open, _)| open == local);
                let to_relayed = !matches!(flow.matches.remote, Remote::Exact(_))
                    || matches!(
                        flow.action,
                        raceway_api::FlowAction::Forward { towards: raceway_api::Destination::Client, .. }
                    );
                assert!(!to_relayed || is_open(&flow.matches.local), "flow before its relayed address: {flow:?}");
                if !session.flows.contains_key(&flow.id) && self.flows_max.is_some_and(|max| flow_count >= max) {
                    return Err(OperationError::FlowsFull);
                }
                session.flows.insert(flow.id, *flow);
            }
            Operation::Extend { flow, expires_at_ns } => {
                let session = self.sessions.get_mut(&id).ok_or(OperationError::UnknownSession)?;
                let flow = session.flows.get_mut(flow).ok_or(OperationError::UnknownFlow)?;
                flow.expires_at_ns = *expires_at_ns;
            }
            Operation::RemoveFlow(flow) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.flows.remove(flow);
                }
            }
            Operation::RemoveSession => drop(self.sessions.remove(&id)),
            Operation::OpenMedia { .. }
            | Operation::CloseMedia { .. }
            | Operation::PutLeg(_)
            | Operation::RemoveLeg(_)
            | Operation::Record(_)
            | Operation::StopRecording { .. }
            | Operation::Confirm => panic!("TURN has no calls: {operation:?}"),
        }
        Ok(())
    }

    /// Removes what has ended; names the sessions.
    pub fn reap(&mut self, now_ns: u64) -> Vec<SessionId> {
        for session in self.sessions.values_mut() {
            session.flows.retain(|_, flow| flow.expires_at_ns > now_ns);
        }
        let ended: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| session.expires_at_ns <= now_ns).map(|(id, _)| *id).collect();
        ended.iter().for_each(|id| drop(self.sessions.remove(id)));
        ended
    }

    /// A snapshot, at most three flows to a report.
    pub fn snapshot(&self) -> Vec<SessionReport<'static>> {
        let mut reports = Vec::new();
        for (id, session) in &self.sessions {
            let flows: Vec<FlowReport> = session.flows.values().map(|flow| report(*flow)).collect();
            let mut parts: Vec<&[FlowReport]> = flows.chunks(3).collect();
            if parts.is_empty() {
                parts.push(&[]);
            }
            for part in parts {
                reports.push(SessionReport {
                    id: *id,
                    worker: session.worker,
                    expires_at_ns: session.expires_at_ns,
                    blob: session.blob.clone().into(),
                    relayed: session.relayed.clone(),
                    media: Vec::new(),
                    flows: part.to_vec(),
                    legs: Vec::new(),
                    recording: None,
                });
            }
        }
        reports
    }
}

fn report(flow: Flow) -> FlowReport {
    FlowReport {
        flow,
        xdp: false,
        packets: 0,
        octets: 0,
        dropped: 0,
        blocked: 0,
        last_ns: 0,
        rtp_received: 0,
        rtp_lost: 0,
        rtp_reordered: 0,
        rtp_jitter_us: None,
        rtp_ssrc: 0,
        rtp_sequence: 0,
        rtp_payload_type: 0,
    }
}
