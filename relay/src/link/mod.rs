//! The link thread: the only writer of flows, sockets and settings.

mod connection;
mod describe;
mod describe_leg;
mod flows;
mod legs;
mod listen;
mod policers;
mod recordings;
mod report;
mod sockets;
mod state;
mod statistics;
mod timers;

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use raceway_abi::{Counter, DropReason};
use raceway_api::{Datagram, DecodeError, FromRelay, LegId, Operation, Punt, SessionId, ToRelay, decode};
use raceway_units::Instant;

use connection::Connection;
use report::Reports;
use statistics::BusyMeter;

pub use listen::Door;
pub use recordings::Recordings;
pub use state::{Failure, State};

use crate::clock;
use crate::limits::NEWS_MAX;
use crate::log::{LevelSwitch, Private};
use crate::shared::Shared;

/// Frames read from control before other work gets its turn.
const FRAMES_A_TURN: usize = 64;
/// Datagrams taken from one worker before other work gets its turn.
const PUNTS_A_TURN: usize = 256;
/// Datagrams that waited longer for control are not worth an answer: their clients sent them again or gave up.
const PUNT_AGE_MAX: Duration = Duration::from_secs(3);
/// How soon to look again at what waits for workers.
const ADVANCE: Duration = Duration::from_millis(20);
/// How often refused connections are logged.
const TURNED_AWAY: Duration = Duration::from_secs(10);
/// How often XDP is told anew which interfaces it may send to.
const REFRESH: Duration = Duration::from_secs(2);
/// Longest sleep: an expiry is noticed this late at most.
const IDLE: Duration = Duration::from_millis(500);

/// The link thread's world.
pub struct Link {
    shared: Arc<Shared>,
    state: State,
    door: Door,
    connection: Option<Connection>,
    connections: u64,
    instance: u64,
    reports: Reports,
    busy: BusyMeter,
    level: LevelSwitch,
    turned_away: Option<Instant>,
}

/// Why a connection ended.
enum Ended {
    Gone(io::Error),
    Nonsense(DecodeError),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

impl Link {
    /// Ready to run. `instance` is a random number that names this process.
    #[must_use]
    pub fn new(shared: Arc<Shared>, state: State, door: Door, instance: u64, level: LevelSwitch) -> Self {
        let busy = BusyMeter::new(clock::now(), shared.workers.len());
        Self {
            shared,
            state,
            door,
            connection: None,
            connections: 0,
            instance,
            reports: Reports::default(),
            busy,
            level,
            turned_away: None,
        }
    }

    /// Runs until `stop` becomes readable.
    ///
    /// # Errors
    /// poll(2) fails.
    pub fn run(mut self, stop: BorrowedFd<'_>) -> io::Result<()> {
        let (mut waits, mut refreshed) = (false, clock::now());
        while !self.sleep(stop, waits)? {
            let now = clock::now();
            self.welcome();
            if let Err(ended) = self.converse(now) {
                self.hang_up(&ended);
            }
            self.state.recordings.hear();
            self.reap(now);
            if now.since(refreshed) >= REFRESH {
                refreshed = now;
                self.state.flows.refresh();
            }
            waits = self.state.advance(now);
            if waits {
                // A worker without traffic passes no quiescent point by itself.
                for worker in self.shared.quiescence.behind() {
                    self.shared.workers[worker].waker.wake();
                }
            }
        }
        Ok(())
    }

    /// Sleeps until there is something to do; true when it is time to stop.
    fn sleep(&mut self, stop: BorrowedFd<'_>, waits: bool) -> io::Result<bool> {
        self.shared.link.about_to_sleep();
        let timeout = self.sleep_for(waits);
        let mut flags = PollFlags::POLLIN;
        if self.connection.as_ref().is_some_and(Connection::is_waiting) {
            flags |= PollFlags::POLLOUT;
        }
        let mut fds = vec![
            PollFd::new(stop, PollFlags::POLLIN),
            PollFd::new(self.shared.link.waker.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.door.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(connection) = &self.connection {
            fds.push(PollFd::new(connection.as_fd(), flags));
        }
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::ZERO);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |at: usize| fds[at].any().unwrap_or(false);
        let (stop, bell) = (ready(0) || self.shared.stopping.load(Ordering::Relaxed), ready(1));
        self.shared.link.awake();
        if bell {
            self.shared.link.waker.drain();
        }
        Ok(stop)
    }

    fn sleep_for(&self, waits: bool) -> Duration {
        let can_write = self.connection.as_ref().is_some_and(|connection| !connection.is_busy());
        let punts = || self.shared.workers.iter().any(|port| !port.punts.is_empty() || !port.news.is_empty());
        if can_write && (self.reports.is_pending() || punts()) {
            return Duration::ZERO;
        }
        if self.state.recordings.is_told() {
            return Duration::ZERO;
        }
        let now = clock::now();
        let expiry = self.state.next_expiry().map_or(IDLE, |at| at.since(now) + Duration::from_millis(1));
        let longest = if waits { ADVANCE } else { IDLE };
        expiry.min(longest)
    }

    /// Lets a new control in; it replaces the one before.
    fn welcome(&mut self) {
        let accepted = match self.door.accept() {
            Ok(socket) => Connection::new(socket),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => Err(error),
        };
        match accepted {
            Ok(connection) => {
                if self.connection.replace(connection).is_some() {
                    tracing::warn!("another control connected; the one before is disconnected");
                }
                self.reports.clear();
                self.connections += 1;
            }
            Err(error) => self.turn_away(&error),
        }
    }

    /// Says that somebody could not come in; not more often than [`TURNED_AWAY`], whoever tries.
    fn turn_away(&mut self, error: &io::Error) {
        let now = clock::now();
        if self.turned_away.is_none_or(|last| now.since(last) > TURNED_AWAY) {
            self.turned_away = Some(now);
            tracing::warn!(%error, "a connection to the relay's socket was refused");
        }
    }

    /// Reads what control says, answers, and passes datagrams on.
    fn converse(&mut self, now: Instant) -> Result<(), Ended> {
        let Some(mut connection) = self.connection.take() else { return Ok(()) };
        self.listen_to(now, &mut connection)?;
        self.pass_punts(now, &mut connection);
        self.pass_news(&mut connection);
        self.pass_recordings(&mut connection);
        self.reports.advance(&self.state, &mut connection);
        connection.flush()?;
        self.connection = Some(connection);
        Ok(())
    }

    fn listen_to(&mut self, now: Instant, connection: &mut Connection) -> Result<(), Ended> {
        for _ in 0..FRAMES_A_TURN {
            // A frame is read into memory of the connection, and answers go to the connection: keep them apart.
            let mut answers = Vec::new();
            let Some(frame) = connection.receive()? else { return Ok(()) };
            let messages = decode::<ToRelay<'_>>(frame).map_err(Ended::Nonsense);
            let heard = messages.and_then(|messages| self.hear_all(now, messages, &mut answers));
            // Last figures of what the frame removes: they must be there before its end is confirmed.
            self.reports.advance(&self.state, connection);
            for answer in answers {
                connection.push(&answer);
            }
            if let Err(ended) = heard {
                if let Ended::Nonsense(error) = &ended {
                    connection.push(&FromRelay::Problem(Cow::Owned(error.to_string())));
                    connection.flush()?;
                }
                return Err(ended);
            }
        }
        Ok(())
    }

    /// Does all that a frame asks for, then sends the datagrams that speak of it.
    fn hear_all<'a>(
        &mut self,
        now: Instant,
        mut messages: raceway_api::Decode<'a, ToRelay<'a>>,
        answers: &mut Vec<FromRelay<'static>>,
    ) -> Result<(), Ended> {
        let (mut datagrams, mut applied) = (Vec::new(), Vec::new());
        let heard = messages.try_for_each(|message| {
            self.hear(now, message.map_err(Ended::Nonsense)?, answers, (&mut datagrams, &mut applied));
            Ok(())
        });
        self.state.settle();
        answers.append(&mut applied);
        datagrams.iter().for_each(|datagram| self.state.send(datagram));
        heard
    }

    fn hear<'a>(
        &mut self,
        now: Instant,
        message: ToRelay<'a>,
        answers: &mut Vec<FromRelay<'static>>,
        (datagrams, applied): (&mut Vec<Datagram<'a>>, &mut Vec<FromRelay<'static>>),
    ) {
        match message {
            ToRelay::Hello { version } => {
                tracing::info!(%version, "control is here");
                answers.push(self.hello());
            }
            ToRelay::Configure { listeners, relay_addresses, relay_ports, media_ports, stun_requests_per_second } => {
                let mut problems = self.state.listen(&listeners);
                problems.extend(self.state.relay_on(&relay_addresses));
                self.shared.requests.set_rate(stun_requests_per_second);
                let fast_path = &mut self.state.flows.fast_path;
                problems.extend(fast_path.configure(&listeners, relay_ports, media_ports, stun_requests_per_second));
                problems.iter().for_each(|problem| tracing::error!("{problem}"));
                answers.extend(problems.into_iter().map(|problem| FromRelay::Problem(problem.into())));
            }
            ToRelay::Apply { transaction, session, operations, then_send } => {
                match self.state.apply(now, session, &operations) {
                    Ok(()) => {
                        datagrams.extend(then_send);
                        let asked = operations.contains(&Operation::Confirm);
                        applied.extend(asked.then_some(FromRelay::Applied { transaction, session }));
                    }
                    Err(Failure { operation, error }) => {
                        tracing::debug!(
                            session = session.0,
                            transaction,
                            operation,
                            ?error,
                            "control's commands failed"
                        );
                        answers.push(FromRelay::Failed { transaction, session, operation, error });
                    }
                }
            }
            ToRelay::Send(datagram) => datagrams.push(datagram),
            ToRelay::Snapshot => self.reports.begin(&self.state, true),
            ToRelay::Report { session: None } => self.reports.begin(&self.state, false),
            ToRelay::Report { session: Some(session) } => self.reports.of_one(&self.state, session),
            ToRelay::Synchronised => {
                let orphans = self.state.forget_orphans(now);
                if orphans > 0 {
                    tracing::info!(flows = orphans, "flows of the relay before this one that nobody claimed are gone");
                }
            }
            ToRelay::Statistics => {
                answers.push(FromRelay::Statistics(self.state.statistics(now, &mut self.busy)));
            }
            ToRelay::LogLevel(level) => {
                if !self.level.set(&level) {
                    answers.push(FromRelay::Problem("no such log level: use error, warn, info or debug".into()));
                }
            }
        }
    }

    fn hello(&self) -> FromRelay<'static> {
        FromRelay::Hello {
            version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
            instance: self.instance,
            workers: self.shared.workers.len() as u16,
            flows_max: self.shared.table.records().len() as u32,
            sessions: self.state.sessions.len() as u32,
            connections: self.connections,
            interfaces: self.state.flows.fast_path.interfaces(),
        }
    }

    fn pass_punts(&self, now: Instant, connection: &mut Connection) {
        for (worker, port) in self.shared.workers.iter().enumerate() {
            for _ in 0..PUNTS_A_TURN {
                if connection.is_busy() {
                    return;
                }
                let Some(punt) = port.punts.pop() else { break };
                if now.since(Instant::from_ns(punt.received_at_ns)) > PUNT_AGE_MAX {
                    self.shared.link_counters.add(Counter::drops(DropReason::ControlCongested), 1);
                    let _ = port.free.push(punt);
                    continue;
                }
                connection.push(&FromRelay::Punt(Punt {
                    worker: worker as u16,
                    local: punt.local.into(),
                    remote: punt.remote.into(),
                    received_at_ns: punt.received_at_ns,
                    payload: punt.payload().into(),
                }));
                let _ = port.free.push(punt);
            }
        }
    }

    /// Tells what happened on legs. Before any control was there nobody listened: a report has the state.
    fn pass_news(&self, connection: &mut Connection) {
        for port in &self.shared.workers {
            for _ in 0..NEWS_MAX {
                if connection.is_busy() {
                    return;
                }
                let Some(news) = port.news.pop() else { break };
                connection.push(&FromRelay::Leg {
                    session: SessionId(news.session),
                    leg: LegId(news.leg),
                    at_ns: news.at.as_ns(),
                    event: describe_leg::to_event(news.what),
                });
            }
        }
    }

    /// Tells how recordings go.
    fn pass_recordings(&mut self, connection: &mut Connection) {
        self.state.recordings.hear();
        while !connection.is_busy()
            && let Some((session, state)) = self.state.recordings.poll_untold()
        {
            connection.push(&FromRelay::Recording { session, state });
        }
    }

    fn reap(&mut self, now: Instant) {
        let connection = &mut self.connection;
        self.state.reap(now, |session| {
            tracing::debug!(session = %Private(session.0), "a session expired");
            if let Some(connection) = connection {
                connection.push(&FromRelay::Expired(session));
            }
        });
        if let Some(connection) = connection
            && let Err(error) = connection.flush()
        {
            self.hang_up(&Ended::Gone(error));
        }
    }

    fn hang_up(&mut self, ended: &Ended) {
        self.connection = None;
        self.reports.clear();
        match ended {
            Ended::Gone(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                tracing::info!("control went away; what it set up stays");
            }
            Ended::Gone(error) => tracing::warn!(%error, "the connection to control broke; what it set up stays"),
            Ended::Nonsense(error) => tracing::error!(%error, "control is not understood and was disconnected"),
        }
    }
}

/// Tells every thread to end.
pub fn stop_workers(shared: &Shared) {
    shared.stopping.store(true, Ordering::Relaxed);
    for port in &shared.workers {
        port.waker.wake();
    }
}
