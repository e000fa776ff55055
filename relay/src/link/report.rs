//! Sessions and figures, as control asks for them.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use raceway_abi::{Action, Flow};
use raceway_api::limits::PUT_LEGS_MAX;
use raceway_api::{FlowReport, FromRelay, SessionId, SessionReport};

use super::connection::Connection;
use super::state::State;
use crate::limits::OWN_FLOW_IDS;

/// Flows in one message: far below what fits a frame.
const FLOWS_A_MESSAGE: usize = 256;
/// Sessions reported before other work gets its turn.
const SESSIONS_A_TURN: usize = 512;

/// Reports that are being given.
#[derive(Default)]
pub struct Reports {
    waiting: VecDeque<Report>,
}

/// A report that is being given.
enum Report {
    /// Of all sessions, each as it is when its turn comes; a snapshot has legs described whole.
    All { sessions: VecDeque<SessionId>, whole: bool },
    /// Of one session as it was when it was asked for: the next message may remove it.
    One(VecDeque<SessionReport<'static>>),
}

impl Reports {
    /// Begins a report of all sessions; a snapshot is `whole`.
    pub fn begin(&mut self, state: &State, whole: bool) {
        self.waiting.push_back(Report::All { sessions: state.sessions.keys().copied().collect(), whole });
    }

    /// A report of one session, as it is now.
    pub fn of_one(&mut self, state: &State, session: SessionId) {
        self.waiting.push_back(Report::One(state.reports(session, false).into()));
    }

    /// Goes on, as long as control keeps up. True when there is more.
    pub fn advance(&mut self, state: &State, connection: &mut Connection) -> bool {
        for _ in 0..SESSIONS_A_TURN {
            if connection.is_busy() {
                break;
            }
            let Some(report) = self.waiting.front_mut() else { return false };
            match report.next(state) {
                Some(messages) => {
                    messages.into_iter().for_each(|message| connection.push(&FromRelay::Session(message)));
                }
                None => {
                    connection.push(&FromRelay::SnapshotEnd);
                    self.waiting.pop_front();
                }
            }
        }
        !self.waiting.is_empty()
    }

    /// Forgets all of them: control is gone.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Whether there is more to give.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl Report {
    /// What comes next of it.
    fn next(&mut self, state: &State) -> Option<Vec<SessionReport<'static>>> {
        match self {
            Self::All { sessions, whole } => sessions.pop_front().map(|session| state.reports(session, *whole)),
            Self::One(messages) => messages.pop_front().map(|message| vec![message]),
        }
    }
}

impl State {
    /// A session, in as many messages as it needs.
    fn reports(&self, id: SessionId, whole: bool) -> Vec<SessionReport<'static>> {
        let mut messages = Vec::new();
        let Some(session) = self.sessions.get(&id) else { return messages };
        let mut flows: Vec<FlowReport> = self.flows.of_session(id).map(|slot| self.flow_report(slot)).collect();
        let mut message = SessionReport {
            id,
            worker: session.worker,
            expires_at_ns: session.expires_at_ns,
            blob: session.blob.to_vec().into(),
            relayed: session.relayed.iter().map(|relayed| (relayed.address, relayed.external)).collect(),
            media: session.media.iter().map(|media| (media.address, media.external)).collect(),
            flows: Vec::new(),
            legs: Vec::new(),
            recording: self.recordings.report(id),
        };
        let mut legs = self.legs.reports(id, whole).peekable();
        // Of the relay's own flows nobody else knows.
        flows.retain(|report| report.flow.id.0 < OWN_FLOW_IDS);
        loop {
            let rest = flows.split_off(flows.len().min(FLOWS_A_MESSAGE));
            message.flows = std::mem::replace(&mut flows, rest);
            message.legs = legs.by_ref().take(PUT_LEGS_MAX).collect();
            messages.push(message.clone());
            if flows.is_empty() && legs.peek().is_none() {
                return messages;
            }
            message.relayed.clear();
            message.media.clear();
            message.recording = None;
        }
    }

    fn flow_report(&self, slot: u32) -> FlowReport {
        let record = self.flows.record(slot);
        let measured = &record.measured;
        FlowReport {
            flow: self.flows.describe(slot),
            xdp: self.flows.fast_path.is_on() && forwards_in_xdp(record),
            packets: measured.packets.load(Relaxed),
            octets: measured.octets.load(Relaxed),
            dropped: measured.dropped.load(Relaxed),
            blocked: measured.blocked.load(Relaxed),
            last_ns: measured.last_ns.load(Relaxed),
            rtp_received: measured.rtp.received.load(Relaxed),
            rtp_lost: measured.rtp.lost.load(Relaxed),
            rtp_reordered: measured.rtp.reordered.load(Relaxed),
            rtp_jitter_us: jitter_of(record),
            rtp_ssrc: measured.rtp.ssrc.load(Relaxed),
            rtp_sequence: measured.rtp.highest_sequence.load(Relaxed) as u16,
            rtp_payload_type: measured.rtp.payload_type.load(Relaxed) as u8,
        }
    }
}

/// Whether XDP deals with the flow by itself; it hands the rest to the workers.
pub(super) fn forwards_in_xdp(record: &Flow) -> bool {
    matches!(record.action(), Action::Forward | Action::Drop | Action::Refuse)
}

/// Jitter (RFC 3550) of a flow in microseconds, once the clock rate is known.
pub(super) fn jitter_of(record: &Flow) -> Option<u32> {
    let rtp = &record.measured.rtp;
    jitter_us(rtp.jitter_q4.load(Relaxed), rtp.clock_hz.load(Relaxed))
}

/// The same of figures: jitter times 16, clock rate.
pub(super) fn jitter_us(jitter_q4: u32, clock_hz: u32) -> Option<u32> {
    let us = (u64::from(jitter_q4) * 1_000_000 / 16).checked_div(clock_hz.into())?;
    Some(u32::try_from(us).unwrap_or(u32::MAX))
}
