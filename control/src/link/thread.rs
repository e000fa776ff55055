//! The loop: waits for the relay, for commands and for timers.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use raceway_units::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Start;
use super::clock::now;
use super::command::Command;
use super::connection::{Connection, frame_buffer};
use super::state::{Phase, State};
use crate::calls::Desk;

/// Between attempts to connect.
const RETRY: Duration = Duration::from_millis(100);

/// Before the first: both programs may be starting.
const COMPLAIN_FIRST: Duration = Duration::from_secs(2);

/// Between log lines that say that the relay is still not there.
const COMPLAIN_EVERY: Duration = Duration::from_secs(30);

/// For the relay to answer `Hello`.
const GREETING_MAX: Duration = Duration::from_secs(5);

/// Frames read before commands and timers have their turn.
const FRAMES_PER_TURN: usize = 32;

/// Runs until every [`Link`](super::Link) is gone.
pub(super) fn run(start: Start, desk: Desk, inbox: Receiver<Command>, wake: &OwnedFd) {
    let mut relay = Relay {
        path: start.relay_socket.clone(),
        connection: None,
        due: now(),
        complain_at: now().after(COMPLAIN_FIRST),
    };
    let mut state = State::new(start, desk);
    let mut buffer = frame_buffer();
    loop {
        if !obey(&inbox, &mut state, &mut relay) {
            return;
        }
        let time = now();
        state.handle_timeout(time);
        relay.keep(time, &mut state);
        relay.exchange(&mut state, &mut buffer);
        relay.wait(&state, wake);
    }
}

/// Carries out what was asked; false when nobody can ask any more.
fn obey(inbox: &Receiver<Command>, state: &mut State, relay: &mut Relay) -> bool {
    loop {
        match inbox.try_recv() {
            Ok(command) => {
                let told = state.obey(now(), command, relay.connection.as_mut());
                relay.check(told, state);
            }
            Err(TryRecvError::Empty) => return true,
            Err(TryRecvError::Disconnected) => return false,
        }
    }
}

/// The relay as this side sees it.
struct Relay {
    path: PathBuf,
    connection: Option<Connection>,
    /// When the next attempt is made; while greeting, when the relay should have answered.
    due: Instant,
    complain_at: Instant,
}

impl Relay {
    /// Connects if there is no connection; gives up one that does not answer.
    fn keep(&mut self, time: Instant, state: &mut State) {
        if self.connection.is_some() {
            if state.phase == Phase::Greeting && time >= self.due {
                self.lose(state, &io::Error::from(io::ErrorKind::TimedOut));
            }
            return;
        }
        if time < self.due {
            return;
        }
        self.due = time.after(RETRY);
        match Connection::open(&self.path) {
            Ok(connection) => {
                let connection = self.connection.insert(connection);
                let told = state.greet(connection);
                self.due = time.after(GREETING_MAX);
                self.check(told, state);
            }
            Err(error) => self.complain(time, &error),
        }
    }

    fn complain(&mut self, time: Instant, error: &io::Error) {
        if time < self.complain_at {
            return;
        }
        self.complain_at = time.after(COMPLAIN_EVERY);
        let what_to_do = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "start raceway-relay with the same configuration"
            }
            io::ErrorKind::InvalidData => "run relay and control of the same build",
            _ => "the relay takes commands from root, its own account and the owner of RUN_DIR; its log says more",
        };
        tracing::warn!(
            socket = %self.path.display(), %error,
            "no raceway-relay to work with, no client is answered; {what_to_do}; trying again ten times a second"
        );
    }

    fn check(&mut self, told: io::Result<()>, state: &mut State) {
        if let Err(error) = told {
            self.lose(state, &error);
        }
    }

    fn lose(&mut self, state: &mut State, error: &io::Error) {
        if self.connection.take().is_none() {
            return;
        }
        let time = now();
        if state.phase == Phase::Greeting {
            self.complain(time, error);
        } else {
            tracing::warn!(%error, "lost raceway-relay; what it relays goes on without control; connecting again");
            self.complain_at = time.after(COMPLAIN_FIRST);
        }
        state.lost_relay();
        self.due = time.after(RETRY);
    }

    /// Reads some frames, says what follows from them.
    fn exchange(&mut self, state: &mut State, buffer: &mut [u8]) {
        let Some(connection) = self.connection.as_mut() else { return };
        let done = exchange(connection, state, buffer);
        self.check(done, state);
    }

    /// Sleeps until there is something to do.
    fn wait(&self, state: &State, wake: &OwnedFd) {
        let due = match &self.connection {
            Some(_) if state.phase != Phase::Greeting => None,
            _ => Some(self.due),
        };
        let next = [due, state.poll_timeout()].into_iter().flatten().min();
        let timeout = next.map(|at| {
            let left = at.since(now());
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        let mut fds = vec_of_two(wake, self.connection.as_ref());
        let count = if self.connection.is_some() { 2 } else { 1 };
        // An interrupted or failed wait is a wait that is over: the loop looks at everything anyway.
        let _ = poll(&mut fds[..count], timeout.as_ref());
        if fds[0].revents().contains(PollFlags::IN) {
            let mut counter = [0; 8];
            let _ = rustix::io::read(wake, &mut counter);
        }
    }
}

fn vec_of_two<'a>(wake: &'a OwnedFd, connection: Option<&'a Connection>) -> [PollFd<'a>; 2] {
    let wake = PollFd::new(wake, PollFlags::IN);
    match connection {
        Some(connection) => {
            let mut events = PollFlags::IN;
            if connection.is_congested() {
                events |= PollFlags::OUT;
            }
            [wake, PollFd::from_borrowed_fd(connection.fd(), events)]
        }
        None => [wake.clone(), wake],
    }
}

fn exchange(connection: &mut Connection, state: &mut State, buffer: &mut [u8]) -> io::Result<()> {
    connection.flush_backlog()?;
    state.send_output(connection)?;
    for _ in 0..FRAMES_PER_TURN {
        let Some(length) = connection.receive(buffer)? else { break };
        state.handle_frame(&buffer[..length], connection)?;
    }
    connection.flush()
}
