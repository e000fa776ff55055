//! What the thread knows, and what follows from what the relay says.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use prometheus::Histogram;
use raceway_api::{FromRelay, InterfaceReport, Punt, SessionReport, Statistics, ToRelay};
use raceway_media::{is_media, is_media_transaction};
use raceway_turn::Server;
use raceway_units::{Instant, UnixTime};
use tokio::sync::oneshot::Sender;

use super::Start;
use super::clock::{now, wall};
use super::command::{Command, Flows, SessionPage};
use super::connection::Connection;
use super::overview::{Overview, PROBLEMS_MAX, RelayInfo, allocations};
use crate::admin::view::{Flow, Session};
use crate::calls::{Clocks, Desk};
use crate::plan::{Assignment, Plan, PlanError};

/// Punts kept while sessions are being restored, at most 4 MiB. Later ones are let go: clients ask again.
const HELD_MAX: usize = 1024;

/// How far the two sides are with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No connection.
    Away,
    /// `Hello` was said.
    Greeting,
    /// The relay tells its sessions.
    Restoring,
    /// The relay is told every session, as fast as it reads.
    Telling,
    /// Everything is known to both.
    Live,
}

/// A report that was asked for.
struct Report {
    limit: usize,
    flows: Flows,
    reply: Sender<Option<Flows>>,
}

/// A punt that came too early.
struct Held {
    worker: u16,
    local: std::net::SocketAddr,
    remote: std::net::SocketAddr,
    received_at_ns: u64,
    payload: Vec<u8>,
}

/// Server, relay and everything that waits for them.
pub(super) struct State {
    pub(super) phase: Phase,
    server: Server,
    desk: Desk,
    assignment: Assignment,
    /// The first snapshot is complete: this side knows all, from now on the relay is told.
    restored: bool,
    held: Vec<Held>,
    relay: Option<Arc<RelayInfo>>,
    statistics: Option<Arc<Statistics>>,
    want_statistics: Vec<Sender<Overview>>,
    /// In the order in which the relay answers; none are those that the calls asked for.
    reports: VecDeque<Option<Report>>,
    problems: VecDeque<String>,
    punts_dropped: u64,
    punt_latency: Histogram,
}

impl State {
    pub(super) fn new(start: Start, desk: Desk) -> Self {
        Self {
            phase: Phase::Away,
            server: start.server,
            desk,
            assignment: start.assignment,
            restored: false,
            held: Vec::new(),
            relay: None,
            statistics: None,
            want_statistics: Vec::new(),
            reports: VecDeque::new(),
            problems: VecDeque::new(),
            punts_dropped: 0,
            punt_latency: start.punt_latency,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.server.poll_timeout(), self.desk.poll_timeout()].into_iter().flatten().min()
    }

    fn clocks() -> Clocks {
        Clocks { now: now(), wall: wall() }
    }

    pub(super) fn handle_timeout(&mut self, time: Instant) {
        if self.server.poll_timeout().is_some_and(|due| due <= time) {
            self.server.handle_timeout(time);
        }
        if self.desk.poll_timeout().is_some_and(|due| due <= time) {
            self.desk.drive(Self::clocks(), |calls| calls.handle_timeout(time));
        }
        if self.phase == Phase::Away {
            // A relay that comes back is told everything anew.
            while self.server.poll_output().is_some() || self.desk.poll_output().is_some() {}
        }
    }

    /// First words on a new connection.
    pub(super) fn greet(&mut self, connection: &mut Connection) -> io::Result<()> {
        self.phase = Phase::Greeting;
        connection.push(&ToRelay::Hello { version: env!("CARGO_PKG_VERSION").into() })?;
        connection.flush()
    }

    pub(super) fn lost_relay(&mut self) {
        self.phase = Phase::Away;
        self.held.clear();
        self.answer_statistics(false);
        for report in self.reports.drain(..).flatten() {
            let _ = report.reply.send(None);
        }
        self.desk.drive(Self::clocks(), raceway_media::Calls::relay_lost);
    }

    /// Hands what server and calls want said to the connection, as far as the relay takes it.
    pub(super) fn send_output(&mut self, connection: &mut Connection) -> io::Result<()> {
        while !connection.is_congested() {
            match self.server.poll_output().or_else(|| self.desk.poll_output()) {
                Some(message) => {
                    if matches!(message, ToRelay::Report { .. }) {
                        self.reports.push_back(None);
                    }
                    connection.push(&message)?;
                }
                None if self.phase == Phase::Telling => self.go_live(connection)?,
                None => break,
            }
        }
        connection.flush()
    }

    /// All is said: the relay may forget what nobody named, and clients are answered.
    fn go_live(&mut self, connection: &mut Connection) -> io::Result<()> {
        connection.push(&ToRelay::Synchronised)?;
        self.phase = Phase::Live;
        let wall = wall();
        for Held { worker, local, remote, received_at_ns, payload } in std::mem::take(&mut self.held) {
            self.answer_punt(wall, &Punt { worker, local, remote, received_at_ns, payload: payload.into() });
        }
        Ok(())
    }

    /// One frame of the relay.
    pub(super) fn handle_frame(&mut self, frame: &[u8], connection: &mut Connection) -> io::Result<()> {
        let wall = wall();
        for message in raceway_api::decode::<FromRelay<'_>>(frame).map_err(invalid)? {
            self.handle_message(message.map_err(invalid)?, wall, connection)?;
        }
        self.send_output(connection)
    }

    fn handle_message(
        &mut self,
        message: FromRelay<'_>,
        wall: UnixTime,
        connection: &mut Connection,
    ) -> io::Result<()> {
        match message {
            FromRelay::Punt(punt) => self.handle_punt(&punt, wall, connection.is_congested()),
            FromRelay::Failed { transaction, session, operation, error } => {
                tracing::debug!(session = session.0, operation, ?error, "the relay could not do as told");
                if is_media_transaction(transaction) {
                    self.desk.drive(Self::clocks(), |calls| calls.handle_failed(now(), transaction, error));
                } else {
                    self.server.handle_failed(now(), transaction, error);
                }
            }
            FromRelay::Expired(session) if is_media(session) => {
                self.desk.drive(Self::clocks(), |calls| calls.handle_expired(now(), session));
            }
            FromRelay::Expired(session) => self.server.handle_expired(now(), session),
            FromRelay::Applied { transaction, session: _ } => {
                self.desk.drive(Self::clocks(), |calls| calls.handle_applied(now(), transaction));
            }
            FromRelay::Leg { session, leg, at_ns, event } => {
                let at = Instant::from_ns(at_ns);
                self.desk.drive(Self::clocks(), |calls| calls.handle_leg_event(at, session, leg, &event));
            }
            FromRelay::Hello { version, instance, workers, flows_max, sessions, connections, interfaces } => {
                let interfaces = interfaces.into_iter().map(InterfaceReport::into_owned).collect();
                let version = version.into_owned();
                let relay = RelayInfo { version, instance, workers, flows_max, connections, interfaces };
                return self.handle_hello(relay, sessions, connection);
            }
            FromRelay::Session(report) => self.handle_session(&report),
            FromRelay::SnapshotEnd => return self.handle_snapshot_end(connection),
            FromRelay::Statistics(statistics) => {
                self.statistics = Some(Arc::new(statistics));
                self.answer_statistics(true);
            }
            FromRelay::Recording { session, state } => {
                self.desk.drive(Self::clocks(), |calls| calls.handle_recording(now(), session, state));
            }
            FromRelay::Problem(problem) => {
                tracing::warn!(%problem, "raceway-relay has a problem");
                if self.problems.len() == PROBLEMS_MAX {
                    self.problems.pop_front();
                }
                self.problems.push_back(problem.into_owned());
            }
        }
        Ok(())
    }

    fn handle_punt(&mut self, punt: &Punt<'_>, wall: UnixTime, congested: bool) {
        if self.phase != Phase::Live {
            if self.held.len() < HELD_MAX {
                let Punt { worker, local, remote, received_at_ns, .. } = *punt;
                let payload = punt.payload.to_vec();
                self.held.push(Held { worker, local, remote, received_at_ns, payload });
            } else {
                self.punts_dropped += 1;
            }
            return;
        }
        if congested {
            self.punts_dropped += 1;
            return;
        }
        self.answer_punt(wall, punt);
    }

    /// Clients send to listeners, parties of calls to the ports that they were told.
    fn answer_punt(&mut self, wall: UnixTime, punt: &Punt<'_>) {
        let Punt { worker, local, remote, received_at_ns, ref payload } = *punt;
        if self.assignment.listeners.contains(&local) {
            self.server.handle_punt(now(), wall, worker, local, remote, payload);
        } else {
            self.desk.drive(Self::clocks(), |calls| calls.handle_punt(now(), local, remote, payload));
        }
        self.observe_latency(received_at_ns);
    }

    fn observe_latency(&self, received_at_ns: u64) {
        self.punt_latency.observe(now().since(Instant::from_ns(received_at_ns)).as_secs_f64());
    }

    fn handle_hello(&mut self, relay: RelayInfo, sessions: u32, connection: &mut Connection) -> io::Result<()> {
        if self.phase != Phase::Greeting {
            return Err(io::Error::other("the relay greeted twice"));
        }
        let restarted = self.relay.as_ref().is_some_and(|before| before.instance != relay.instance);
        tracing::info!(
            version = relay.version,
            workers = relay.workers,
            sessions,
            restarted,
            "connected to raceway-relay"
        );
        for InterfaceReport { name, mode, reason } in &relay.interfaces {
            tracing::info!(interface = %name, xdp = mode.label(), %reason, "data path");
        }
        self.desk.set_workers(relay.workers);
        self.relay = Some(Arc::new(relay));
        self.problems.clear();
        connection.push(&self.assignment.message())?;
        if !self.restored {
            self.phase = Phase::Restoring;
            connection.push(&ToRelay::Snapshot)?;
            return connection.flush();
        }
        self.server.reinstall();
        self.desk.drive(Self::clocks(), raceway_media::Calls::reinstall);
        self.phase = Phase::Telling;
        self.send_output(connection)
    }

    fn handle_session(&mut self, report: &SessionReport<'_>) {
        let media = is_media(report.id);
        if self.phase == Phase::Restoring {
            if media {
                self.desk.drive(Self::clocks(), |calls| calls.restore(report));
            } else {
                self.server.restore(report);
            }
            return;
        }
        if media {
            self.desk.drive(Self::clocks(), |calls| calls.handle_report(now(), report));
        }
        if let Some(Some(wanted)) = self.reports.front_mut() {
            wanted.flows.total += report.flows.len();
            let left = wanted.limit.saturating_sub(wanted.flows.flows.len());
            let flows = report.flows.iter().take(left).map(|flow| Flow::new(report.id, flow, now()));
            wanted.flows.flows.extend(flows);
        }
    }

    fn handle_snapshot_end(&mut self, connection: &mut Connection) -> io::Result<()> {
        if self.phase != Phase::Restoring {
            if let Some(Some(report)) = self.reports.pop_front() {
                let _ = report.reply.send(Some(report.flows));
            }
            return Ok(());
        }
        self.server.restore_end(now());
        self.desk.drive(Self::clocks(), |calls| {
            let lost = calls.restore_end(now());
            if lost > 0 {
                tracing::warn!(calls = lost, "calls were found in the relay, could not be taken over, and end");
            }
        });
        self.restored = true;
        let (sessions, calls) = (self.server.session_count(), self.desk.tally().open);
        tracing::info!(sessions, calls, "restored from the relay");
        self.phase = Phase::Telling;
        self.send_output(connection)
    }

    /// Carries out a command.
    pub(super) fn obey(
        &mut self,
        time: Instant,
        command: Command,
        connection: Option<&mut Connection>,
    ) -> io::Result<()> {
        // Whoever asked may be gone by now; then nobody wants the answer.
        match command {
            Command::Overview { fresh, reply } => return self.ask_statistics(fresh, reply, connection),
            Command::Sessions { limit, reply } => {
                let _ = reply.send(self.page(time, limit));
            }
            Command::Session { id, reply } => {
                let _ = reply.send(self.server.session(time, id).map(|view| Session::new(&view, time)));
            }
            Command::Flows { session, limit, reply } => {
                let Some(connection) = connection.filter(|_| self.phase == Phase::Live) else {
                    let _ = reply.send(None);
                    return Ok(());
                };
                self.reports.push_back(Some(Report { limit, flows: Flows::default(), reply }));
                connection.push(&ToRelay::Report { session })?;
                return connection.flush();
            }
            Command::Apply { plan, reply } => {
                let Plan { policy, media, assignment } = *plan;
                let taken = self.server.reconfigure(policy).map_err(PlanError::from);
                let taken = taken.and_then(|()| self.desk.reconfigure(media).map_err(PlanError::from));
                let changed = taken.is_ok() && self.assignment != assignment;
                if taken.is_ok() {
                    self.assignment = assignment;
                }
                let _ = reply.send(taken);
                let known = matches!(self.phase, Phase::Live | Phase::Telling | Phase::Restoring);
                if let Some(connection) = connection.filter(|_| changed && known) {
                    self.problems.clear();
                    connection.push(&self.assignment.message())?;
                }
            }
            Command::End { id, reply } => {
                let _ = reply.send(self.server.remove(id));
            }
            Command::Drain { on, reply } => {
                self.server.drain(on);
                self.desk.drive(Self::clocks(), |calls| calls.drain(on));
                let _ = reply.send(self.server.session_count() + self.desk.tally().open);
            }
            Command::Ng { command, reply } => {
                self.desk.handle_command(Self::clocks(), self.phase == Phase::Live, *command, reply);
            }
            Command::Calls { limit, reply } => {
                let mut calls: Vec<_> = self.desk.calls().collect();
                let total = calls.len();
                calls.sort_unstable_by_key(|call| call.session);
                calls.truncate(limit);
                let _ = reply.send((calls, total));
            }
            Command::Call { call_id, reply } => {
                let _ = reply.send(self.desk.call(&call_id));
            }
            Command::Terminate { call_id, reply } => {
                let mut found = false;
                self.desk.drive(Self::clocks(), |calls| found = calls.terminate(time, &call_id));
                let _ = reply.send(found);
            }
            Command::LogLevel(level) => {
                if let Some(connection) = connection.filter(|_| self.phase != Phase::Greeting) {
                    connection.push(&ToRelay::LogLevel(level.as_str().into()))?;
                    return connection.flush();
                }
            }
        }
        Ok(())
    }

    fn page(&self, time: Instant, limit: usize) -> SessionPage {
        let mut ids: Vec<_> = self.server.sessions(time).map(|view| view.id).collect();
        let total = ids.len();
        ids.sort_unstable();
        ids.truncate(limit);
        let views = ids.into_iter().filter_map(|id| self.server.session(time, id));
        SessionPage { sessions: views.map(|view| Session::new(&view, time)).collect(), total }
    }

    fn ask_statistics(
        &mut self,
        fresh: bool,
        reply: Sender<Overview>,
        connection: Option<&mut Connection>,
    ) -> io::Result<()> {
        let Some(connection) = connection.filter(|_| fresh && self.phase == Phase::Live) else {
            let _ = reply.send(self.overview(false));
            return Ok(());
        };
        // Whoever gave up waiting wants no answer, and a relay that never gives one may be asked again.
        self.want_statistics.retain(|waiting| !waiting.is_closed());
        let asked = !self.want_statistics.is_empty();
        self.want_statistics.push(reply);
        if !asked {
            connection.push(&ToRelay::Statistics)?;
        }
        connection.flush()
    }

    fn answer_statistics(&mut self, fresh: bool) {
        if self.want_statistics.is_empty() {
            return;
        }
        let overview = self.overview(fresh);
        for reply in self.want_statistics.drain(..) {
            let _ = reply.send(overview.clone());
        }
    }

    fn overview(&self, fresh: bool) -> Overview {
        Overview {
            relay: self.relay.clone(),
            connected: matches!(self.phase, Phase::Restoring | Phase::Telling | Phase::Live),
            synchronised: self.phase == Phase::Live,
            draining: self.server.is_draining(),
            sessions: self.server.session_count(),
            calls: self.desk.tally().clone(),
            allocations: allocations(&self.server),
            counters: self.server.counters().clone(),
            statistics: self.statistics.clone(),
            fresh,
            problems: self.problems.iter().cloned().collect(),
            punts_dropped: self.punts_dropped,
        }
    }
}

fn invalid(error: raceway_api::DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
