//! The socket to the relay's ng port, and the calls that are made through it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use raceway_loadgen_core::call::{self, Event, Figures, Reply, Switchboard};
use raceway_loadgen_core::report::{Interval, Spread};
use raceway_units::Instant;
use socket2::SockRef;

use crate::clock::Timeline;
use crate::session::{Interrupt, Session};

/// Octets of the longest datagram.
const DATAGRAM_MAX: usize = 65_536;
/// Octets that may wait in the socket, if the system allows it.
const WAITING_OCTETS: usize = 4 << 20;
/// Longest wait between two looks at Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);
/// Datagrams that are taken before the clock is looked at.
const TURN: u32 = 256;
/// From one ping to the next, and how many there are.
const PING_EVERY: Duration = Duration::from_millis(500);
const PINGS: u32 = 6;
/// Between two pictures of the progress.
const PICTURE: Duration = Duration::from_millis(200);

/// Calls and the socket by which they are made.
pub struct Signalling {
    socket: UdpSocket,
    relay: SocketAddr,
    timeline: Timeline,
    interrupt: Interrupt,
    board: Switchboard,
    bar: ProgressBar,
    pictured_at: Instant,
    buffer: Box<[u8]>,
    /// How late calls were begun that have a time for it.
    begun: Interval,
    /// Largest share of a stretch of work in which there was something to do.
    busy: f64,
    /// Time in which there was nothing to do, of the present stretch.
    idle: Duration,
}

/// The socket, once the relay has said that it is there.
///
/// # Errors
/// It has not.
pub fn connect(relay: SocketAddr, from: IpAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((from, 0)).with_context(|| format!("no socket on {from}"))?;
    socket.connect(relay).with_context(|| format!("{relay}: no route to it"))?;
    // As much as the system gives.
    let _ = SockRef::from(&socket).set_recv_buffer_size(WAITING_OCTETS);
    socket.set_read_timeout(Some(PING_EVERY))?;
    let cookie = format!("{:016x}", getrandom::u64().context("the system gives no random numbers")?);
    let request = call::ping(&cookie);
    let mut buffer = vec![0; DATAGRAM_MAX];
    for _ in 0..PINGS {
        let answered = socket.send(&request).and_then(|_| socket.recv(&mut buffer));
        match answered {
            Ok(length) => match call::reply(&buffer[..length]) {
                Some((answer, Reply::Ok { .. })) if answer == cookie.as_bytes() => {
                    socket.set_nonblocking(true)?;
                    return Ok(socket);
                }
                Some((_, Reply::Refused(reason))) => bail!("{relay}: the relay is not ready: {reason}"),
                _ => bail!("{relay}: what answers there does not speak ng (a cookie, and a dictionary in bencode)"),
            },
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => bail!("{}", nobody(relay)),
            Err(error) if is_wait(&error) => {}
            Err(error) => return Err(error).with_context(|| format!("{relay}: cannot be reached")),
        }
    }
    bail!(
        "{relay}: no answer to ng's ping in {} s: is it the ng port (UDP), is this host allowed to use it, does a firewall \
         drop UDP?",
        (PING_EVERY * PINGS).as_secs()
    )
}

fn nobody(relay: SocketAddr) -> String {
    format!(
        "{relay}: nobody listens there (the network says so: ICMP unreachable). Is the relay started, is it the ng port?"
    )
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

impl Signalling {
    /// Calls of a session.
    #[must_use]
    pub fn new(
        session: &Session,
        interrupt: &Interrupt,
        socket: UdpSocket,
        relay: SocketAddr,
        board: Switchboard,
    ) -> Self {
        let target = if session.common.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::with_template("{msg}").expect("a constant template"));
        Self {
            socket,
            relay,
            timeline: session.timeline,
            interrupt: interrupt.clone(),
            board,
            bar,
            pictured_at: session.timeline.now(),
            buffer: vec![0; DATAGRAM_MAX].into_boxed_slice(),
            begun: Interval::new(),
            busy: 0.0,
            idle: Duration::ZERO,
        }
    }

    /// The same without a picture of its progress: somebody else shows one.
    #[must_use]
    pub fn silent(self) -> Self {
        self.bar.set_draw_target(ProgressDrawTarget::hidden());
        self
    }

    /// The calls.
    pub const fn board(&mut self) -> &mut Switchboard {
        &mut self.board
    }

    /// How late calls were begun that had a time for it, and the largest share of the time in which there was something to do.
    #[must_use]
    pub fn effort(&self) -> (Spread, f64) {
        (self.begun.lateness(), self.busy)
    }

    /// What was counted.
    #[must_use]
    pub const fn figures(&self) -> &Figures {
        self.board.figures()
    }

    /// Works until `done`, or until `until` has come, or until somebody wants the run to end if it `heeds` that; hands on what
    /// became of calls.
    ///
    /// # Errors
    /// Nobody is there, or the kernel refuses to go on.
    pub fn work(
        &mut self,
        what: &str,
        until: Option<Instant>,
        heeds: bool,
        mut done: impl FnMut(&Switchboard) -> bool,
        mut event: impl FnMut(Event, Instant) -> Result<()>,
    ) -> Result<()> {
        let begun = self.timeline.now();
        self.idle = Duration::ZERO;
        loop {
            let now = self.timeline.now();
            self.send(now)?;
            let heard = self.receive()?;
            while let Some(happened) = self.board.poll_event() {
                event(happened, now)?;
            }
            if done(&self.board) || until.is_some_and(|until| now >= until) || (heeds && self.interrupt.is_set()) {
                let took = self.timeline.now().since(begun).as_secs_f64().max(1e-9);
                self.busy = self.busy.max(1.0 - self.idle.as_secs_f64() / took);
                self.bar.finish_and_clear();
                return Ok(());
            }
            if !heard {
                let end = until.into_iter().chain(self.board.poll_timeout()).min();
                self.wait(end.map_or(LOOK, |end| end.since(self.timeline.now()).min(LOOK)))?;
            }
            self.picture(what, now);
            if self.board.is_deaf() && self.figures().failures.values().sum::<u64>() > 0 {
                bail!(
                    "{}: ng's ping was answered, and commands are not: is its version one that takes calls?",
                    self.relay
                );
            }
        }
    }

    fn send(&mut self, now: Instant) -> Result<()> {
        while let Some(datagram) = self.board.poll_transmit(now) {
            match self.socket.send(datagram) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    if self.board.is_deaf() {
                        bail!("{}", nobody(self.relay));
                    }
                }
                // It is sent again when no answer comes.
                Ok(_) => {}
                Err(error) if is_wait(&error) => {}
                Err(error) => return Err(error).with_context(|| format!("{}: cannot be reached", self.relay)),
            }
            if let Some(lateness) = self.board.poll_lateness() {
                self.begun.were_late(lateness.as_nanos() as u64, 1);
            }
        }
        Ok(())
    }

    /// Takes what has come; whether anything had.
    fn receive(&mut self) -> Result<bool> {
        for heard in 0..TURN {
            match self.socket.recv(&mut self.buffer) {
                Ok(length) => {
                    let now = self.timeline.now();
                    self.board.handle(&self.buffer[..length], now);
                    // The next command of this call leaves before others are looked at.
                    self.send(now)?;
                }
                Err(error) if is_wait(&error) => return Ok(heard > 0),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    if self.board.is_deaf() {
                        bail!("{}", nobody(self.relay));
                    }
                    return Ok(heard > 0);
                }
                Err(error) => return Err(error).with_context(|| format!("{}: cannot be reached", self.relay)),
            }
        }
        Ok(true)
    }

    fn wait(&mut self, at_most: Duration) -> Result<()> {
        let before = self.timeline.now();
        let mut readable = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut readable, Some(TimeSpec::from_duration(at_most)), None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
        self.idle += self.timeline.now().since(before);
        Ok(())
    }

    fn picture(&mut self, what: &str, now: Instant) {
        if now.since(self.pictured_at) < PICTURE {
            return;
        }
        self.pictured_at = now;
        let figures = self.board.figures();
        let failed: u64 = figures.failures.values().sum();
        let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
        let (up, rate) = (figures.answered, figures.pairs_per_s());
        self.bar.set_message(format!(
            "{what}: {up} calls answered, {rate:.0} a second{failed}, {} deleted",
            figures.deleted
        ));
    }
}
