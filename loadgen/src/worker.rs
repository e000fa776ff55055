//! One core's share of a run: sends each packet at its time, measures what arrives.

mod access;
mod arrivals;
mod clients;
mod departures;
mod inbox;
mod receivers;
mod reporters;
mod secure;
mod terms;
mod transports;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam::channel::Sender as Channel;
use raceway_loadgen_core::limits::PACKET_MAX;
use raceway_loadgen_core::rtcp::NtpClock;
use raceway_loadgen_core::turn::INDICATION_HEADER_MAX;
use raceway_loadgen_core::{Schedule, Wheel};
use raceway_sys::io::{PacketIo, Wait};
use raceway_units::{Endpoint, Instant};

use crate::limits::{BATCH, IDLE, REPORT_EVERY};
use crate::plan::{Plan, Route, Stream};
use crate::source::Sending;

use access::Access;
use clients::Clients;
pub use clients::{Carried, Refusal, Settled, TurnFigures};
use inbox::Inbox;
pub use receivers::{Arriving, Expectation, Place, Receivers};
use reporters::{Reporters, Way};
use secure::Secure;
pub use terms::{Control, Order, Outcome, Report, Terms};
use transports::Transports;

/// Where a packet is written in a buffer, so that a header of TURN has room in front of it.
const ROOM: usize = INDICATION_HEADER_MAX.next_multiple_of(16);
/// A packet that is due so soon is waited for awake: being woken takes longer.
const SPIN: Duration = Duration::from_micros(40);
/// How long clients may take to end their allocations.
const CLOSING: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    SettingUp,
    Waiting,
    Media,
    Draining { until: Instant },
    Closing { until: Instant },
}

/// A stream that is being sent: all that a packet takes, in one place.
#[derive(Debug)]
struct Outgoing {
    sender: Sending,
    route: Route,
    /// Number of what it shares with others on its route.
    transport: u32,
}

/// A worker. Lives on its own thread from [`new`](Self::new) on.
pub struct Worker<I> {
    io: I,
    terms: Terms,
    control: Arc<Control>,
    reports: Channel<Report>,
    plan: Plan,
    inbox: Inbox,
    access: Option<Access>,
    secure: Secure,
    reporters: Reporters,
    senders: Vec<Outgoing>,
    transports: Transports,
    /// Packets that each stream has sent, once media is over.
    sent: Vec<u64>,
    /// Packets that were due and never left.
    unsent: u64,
    /// Streams that have packets to send.
    flowing: u32,
    wheel: Wheel,
    phase: Phase,
    reported_at: Instant,
    /// When each packet of the batch was due, and its octets.
    batch: Vec<(Instant, usize)>,
    refused: u64,
    /// The main thread knows that a target cannot be reached.
    unreachable: bool,
    idle: Duration,
    begun: Instant,
}

impl<I: PacketIo> Worker<I> {
    /// A worker with its plan, on the thread that calls.
    #[must_use]
    pub fn new(mut plan: Plan, terms: Terms, control: Arc<Control>, reports: Channel<Report>, mut io: I) -> Self {
        let now = terms.timeline.now();
        for (number, port) in plan.ports.iter().enumerate() {
            io.receive(number as u32, port.fd.as_raw_fd());
        }
        let inbox = Inbox {
            receivers: Receivers::new(terms.expectation.clone(), &plan.streams, terms.timeline.clock()),
            clients: Clients::new(std::mem::take(&mut plan.clients), now),
            interval: Box::default(),
        };
        let clock = NtpClock::new(terms.timeline.to_wall(now), now);
        let reporters = Reporters::new(clock, terms.seed, terms.rtcp);
        let strangers = if terms.expectation.strangers { Reporters::strangers_max() } else { plan.ports.len() as u32 };
        let timers = 2 * plan.streams.len() + inbox.clients.len();
        let wheel = Wheel::new(timers as u32 + strangers, now);
        Self {
            io,
            senders: Vec::with_capacity(plan.streams.len()),
            transports: Transports::default(),
            secure: Secure::new(&mut plan.ports),
            access: terms.impair.map(|config| Access::new(config, terms.seed)),
            inbox,
            reporters,
            wheel,
            flowing: 0,
            sent: Vec::new(),
            unsent: 0,
            phase: Phase::SettingUp,
            reported_at: now,
            batch: Vec::with_capacity(BATCH),
            refused: 0,
            unreachable: false,
            idle: Duration::ZERO,
            begun: now,
            terms,
            control,
            reports,
            plan,
        }
    }

    /// Works until all is over, and reports.
    pub fn run(mut self) {
        if !self.inbox.clients.are_settled() {
            self.schedule_clients();
        }
        let report = loop {
            let now = self.terms.timeline.now();
            if self.step(now) {
                break Report::Done(Box::new(self.outcome()));
            }
            if let Err(error) = self.turn(now) {
                break Report::Failed(error);
            }
        };
        // The main thread has gone only when the process ends.
        let _ = self.reports.send(report);
    }

    fn schedule_clients(&mut self) {
        for client in 0..self.inbox.clients.len() as u32 {
            self.wheel.schedule(self.client_timer(client), self.inbox.clients.begins_at(client));
        }
    }

    fn client_timer(&self, client: u32) -> u32 {
        self.plan.streams.len() as u32 + client
    }

    fn reporter_timer(&self, reporter: u32) -> u32 {
        self.client_timer(self.inbox.clients.len() as u32) + reporter
    }

    /// Moves on to the next phase when it is time; true when all is over.
    fn step(&mut self, now: Instant) -> bool {
        if now.since(self.reported_at) >= REPORT_EVERY {
            self.report(now);
        }
        let stop = self.control.stop.load(Ordering::Relaxed);
        match self.phase {
            Phase::SettingUp if stop || self.inbox.clients.are_settled() => {
                let _ = self.reports.send(Report::Ready(Box::new(self.inbox.clients.settled())));
                self.phase = Phase::Waiting;
            }
            Phase::Waiting if stop => self.drain(now),
            Phase::Waiting => match self.control.begin_at.load(Ordering::Acquire) {
                0 => {}
                begin => self.begin(Instant::from_ns(begin)),
            },
            Phase::Media => {
                if stop {
                    self.cut_short(now);
                }
                self.take_orders(now);
                if self.has_sent_all(now) {
                    self.drain(now);
                }
            }
            Phase::Draining { until } if now >= until => {
                self.inbox.clients.close(now);
                for client in 0..self.inbox.clients.len() as u32 {
                    self.wheel.schedule(self.client_timer(client), now);
                }
                self.phase = Phase::Closing { until: now.after(CLOSING) };
            }
            Phase::Closing { until } => return now >= until || self.inbox.clients.are_over(),
            Phase::SettingUp | Phase::Draining { .. } => {}
        }
        false
    }

    /// Media ends now instead of later: what is due already is still sent.
    fn cut_short(&mut self, now: Instant) {
        let end = self.terms.schedule.begin.after(self.terms.duration);
        if now >= end {
            return;
        }
        self.terms.duration = now.since(self.terms.schedule.begin);
        for (stream, Outgoing { sender, .. }) in self.senders.iter_mut().enumerate() {
            sender.stop_at(now);
            if sender.next_due().is_none() && self.wheel.cancel(stream as u32) {
                self.flowing -= 1;
            }
        }
    }

    fn begin(&mut self, begin: Instant) {
        self.terms.schedule.begin = begin;
        let end = begin.after(self.terms.duration);
        for (number, stream) in self.plan.streams.iter().enumerate() {
            let start = self.terms.schedule.start(stream.call, stream.source.interval());
            let mut sender = stream.source.sender(stream.identity, start, self.terms.seed);
            sender.stop_at(if stream.waits { start } else { end });
            if let Some(due) = sender.next_due()
                && self.inbox.clients.carry(stream.route)
            {
                self.wheel.schedule(number as u32, due);
                self.flowing += 1;
            }
            let transport = self.transports.join(stream.route);
            self.senders.push(Outgoing { sender, route: stream.route, transport });
        }
        self.begin_reports(begin);
        if self.inbox.clients.begin(begin) {
            self.schedule_clients();
        }
        self.phase = Phase::Media;
    }

    /// Begins the media of calls that are up.
    fn take_orders(&mut self, now: Instant) {
        while let Some(order) = self.plan.orders.as_ref().and_then(|orders| orders.try_recv().ok()) {
            self.carry_out(order, now);
        }
    }

    fn carry_out(&mut self, order: Order, now: Instant) {
        let Order { streams, port: first, to, keys, begin, end } = order;
        for (port, keys) in (first..).zip(&keys) {
            self.secure.set(port, keys.as_ref());
        }
        let schedule = Schedule { begin: begin.max(now), ramp: None, ..self.terms.schedule };
        let end = end.min(self.terms.schedule.begin.after(self.terms.duration));
        for number in streams {
            let stream = &self.plan.streams[number as usize];
            let Route::Plain { port, .. } = stream.route else { continue };
            let route = Route::Plain { port, to: to[(port - first) as usize] };
            let start = schedule.start(stream.call, stream.source.interval());
            let mut sender = stream.source.sender(stream.identity, start, self.terms.seed);
            sender.stop_at(end);
            if let Some(due) = sender.next_due() {
                self.wheel.schedule(number, due);
                self.flowing += 1;
            }
            let transport = self.transports.join(route);
            self.senders[number as usize] = Outgoing { sender, route, transport };
        }
    }

    /// A participant for each stream, and for each socket at which streams arrive only.
    fn begin_reports(&mut self, begin: Instant) {
        for (number, stream) in self.plan.streams.iter().enumerate() {
            let port = self.inbox.clients.port(stream.route);
            let of = Some((number as u32, stream.source.bits_per_second()));
            if self.inbox.clients.carry(stream.route) && !stream.waits {
                let place = Place { port, remote: None };
                self.reporters.add(place, stream.identity.ssrc, of, Way::Route(stream.route), begin);
            }
        }
        for stream in 0..self.plan.streams.len() {
            let Stream { arrives_at, back, identity, waits, .. } = &self.plan.streams[stream];
            let (Some(port), Some(back), false) = (*arrives_at, *back, *waits) else { continue };
            let place = Place { port, remote: None };
            if !self.reporters.is_at(place) && self.inbox.clients.carry(back) {
                self.reporters.add(place, !identity.ssrc, None, Way::Route(back), begin);
            }
        }
        for reporter in 0..self.reporters.len() {
            self.wheel.schedule(self.reporter_timer(reporter), self.reporters.poll_timeout(reporter));
        }
    }

    /// Whether media is over: its time has passed, and what was due within it has left, or will not in good time.
    fn has_sent_all(&self, now: Instant) -> bool {
        let end = self.terms.schedule.begin.after(self.terms.duration);
        now >= end && (self.flowing == 0 || now >= end.after(self.terms.drain))
    }

    fn drain(&mut self, now: Instant) {
        self.sent = self.senders.iter().map(|outgoing| outgoing.sender.sent(now).packets).collect();
        let mut nowhere = [0; PACKET_MAX as usize];
        for (stream, Outgoing { sender, route, transport }) in self.senders.iter_mut().enumerate() {
            self.wheel.cancel(stream as u32);
            while self.inbox.clients.carry(*route) && sender.next_due().is_some_and(|due| due < now) {
                sender.write(self.transports.get(*transport), &mut nowhere);
                self.unsent += 1;
            }
        }
        self.inbox.clients.stop();
        for reporter in 0..self.reporters.len() {
            self.wheel.cancel(self.reporter_timer(reporter));
            self.send_report(reporter, true, now);
        }
        self.phase = Phase::Draining { until: now.after(self.terms.drain) };
    }

    /// One batch out, and what has come in.
    fn turn(&mut self, now: Instant) -> io::Result<()> {
        self.send_what_is_due(now);
        if self.batch.is_empty() {
            let link = self.access.as_ref().and_then(Access::poll_timeout);
            let next = self.wheel.poll_timeout().into_iter().chain(link).min().map_or(IDLE, |at| at.since(now));
            if next > SPIN {
                let wait = (next - SPIN).min(IDLE);
                self.io.wait(Wait::AtMost(wait))?;
                self.idle += self.terms.timeline.now().since(now).min(wait);
            } else {
                self.io.wait(Wait::AtMost(Duration::ZERO))?;
            }
        } else {
            // Everything is with the kernel when this returns: the time after it is when packets left at the latest.
            self.io.wait(Wait::AtMost(Duration::ZERO))?;
            let left = self.terms.timeline.now();
            for (due, octets) in self.batch.drain(..) {
                self.inbox.interval.sent(octets, left.since(due));
            }
            let refused = self.io.figures().sends_failed;
            self.inbox.interval.sent.refused += refused - self.refused;
            self.refused = refused;
        }
        let now = self.terms.timeline.now();
        while let Some(event) = self.io.next_event() {
            self.deal_with(event, now);
        }
        self.deliver(now);
        Ok(())
    }

    fn fd(&self, port: u32) -> i32 {
        self.plan.ports[port as usize].fd.as_raw_fd()
    }

    fn report(&mut self, now: Instant) {
        self.reported_at = now;
        self.terms.timeline.look_at_the_wall();
        let interval = std::mem::take(&mut self.inbox.interval);
        let _ = self.reports.send(Report::Interval(interval));
    }

    fn outcome(&mut self) -> Outcome {
        let now = self.terms.timeline.now();
        self.report(now);
        let elapsed = now.since(self.begun).max(Duration::from_nanos(1));
        Outcome {
            receivers: std::mem::take(&mut self.inbox.receivers),
            sent: std::mem::take(&mut self.sent),
            unsent: self.unsent,
            streams: std::mem::take(&mut self.plan.streams),
            turn: self.inbox.clients.figures().clone(),
            rtcp: self.reporters.figures(),
            busy: 1.0 - self.idle.as_secs_f64() / elapsed.as_secs_f64(),
        }
    }
}

/// The address of a datagram's sender as people write it.
#[must_use]
pub fn written(remote: Option<Endpoint>) -> String {
    remote.map_or_else(|| "?".to_owned(), |remote| SocketAddr::from(remote).to_string())
}
