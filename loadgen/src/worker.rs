//! One core's share of a run: sends each packet at its time, measures what arrives.

mod access;
mod clients;
mod inbox;
mod receivers;
mod reporters;
mod transports;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::channel::Sender as Channel;
use hdrhistogram::Histogram;
use raceway_loadgen_core::limits::PACKET_MAX;
use raceway_loadgen_core::report::Interval;
use raceway_loadgen_core::rtcp::{Figures, NtpClock};
use raceway_loadgen_core::turn::{CHANNEL_HEADER, INDICATION_HEADER_MAX, channel_header};
use raceway_loadgen_core::{Schedule, Wheel};
use raceway_netem::Config;
use raceway_sys::io::{Buffer, Event, HEADROOM, PacketIo, Wait};
use raceway_sys::socket;
use raceway_units::{Endpoint, Instant, Random};

use crate::clock::Timeline;
use crate::limits::{BATCH, IDLE, REPORT_EVERY};
use crate::plan::{Plan, Route, Stream};
use crate::source::Sending;

use access::{Access, Through};
use clients::Clients;
pub use clients::{Carried, Refusal, Settled, TurnFigures};
use inbox::{Inbox, Taken};
pub use receivers::{Arriving, Expectation, Place, Receivers};
use reporters::{Reporters, Way};
use transports::Transports;

/// Where a packet is written in a buffer, so that a header of TURN has room in front of it.
const ROOM: usize = INDICATION_HEADER_MAX.next_multiple_of(16);
/// Octets of the longest RTCP that is read: a datagram of Ethernet.
const RTCP_MAX: usize = 1500;
/// A packet that is due so soon is waited for awake: being woken takes longer.
const SPIN: Duration = Duration::from_micros(40);
/// How long clients may take to end their allocations.
const CLOSING: Duration = Duration::from_secs(2);

/// What the main thread tells workers.
#[derive(Debug, Default)]
pub struct Control {
    /// When media begins, nanoseconds on the timeline; zero until all workers are ready.
    pub begin_at: AtomicU64,
    /// Nothing more is to be sent.
    pub stop: AtomicBool,
}

/// What a worker tells the main thread.
#[derive(Debug)]
pub enum Report {
    /// Its clients are ready, or have failed; media may begin.
    Ready(Box<Settled>),
    /// The network says that this address cannot be reached; said once.
    Unreachable(SocketAddr),
    /// What was counted since the last.
    Interval(Box<Interval>),
    /// All is over.
    Done(Box<Outcome>),
    /// The kernel refuses to go on.
    Failed(io::Error),
}

/// What a worker found in the end.
#[derive(Debug)]
pub struct Outcome {
    /// Streams that arrived, or should have.
    pub receivers: Receivers,
    /// Packets sent, by place in the plan's streams.
    pub sent: Vec<u64>,
    /// Packets that fell due and were not sent any more.
    pub unsent: u64,
    /// Streams as planned.
    pub streams: Vec<Stream>,
    /// What TURN clients met.
    pub turn: TurnFigures,
    /// What each participant exchanged by RTCP, by the stream that it sends, and round trips in microseconds.
    pub rtcp: (Vec<(Option<u32>, Figures)>, Histogram<u64>),
    /// Share of the time in which the worker worked or waited awake.
    pub busy: f64,
}

/// What all workers of a run have in common.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The time that counts.
    pub timeline: Timeline,
    /// How long media flows.
    pub duration: Duration,
    /// How long late packets are waited for.
    pub drain: Duration,
    /// How streams begin; `begin` is set when it is known.
    pub schedule: Schedule,
    /// Seed of streams.
    pub seed: u64,
    /// What is expected of streams that arrive.
    pub expectation: Expectation,
    /// The link that impaired sockets are behind.
    pub impair: Option<Config>,
    /// Whether reports are sent and read.
    pub rtcp: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    SettingUp,
    Waiting,
    Media,
    Draining { until: Instant },
    Closing { until: Instant },
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
    reporters: Reporters,
    senders: Vec<Sending>,
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
        for (stream, sender) in self.senders.iter_mut().enumerate() {
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
            sender.stop_at(end);
            if let Some(due) = sender.next_due()
                && self.inbox.clients.carry(stream.route)
            {
                self.wheel.schedule(number as u32, due);
                self.flowing += 1;
            }
            self.senders.push(sender);
            self.transports.join(stream.route);
        }
        self.begin_reports(begin);
        if self.inbox.clients.begin(begin) {
            self.schedule_clients();
        }
        self.phase = Phase::Media;
    }

    /// A participant for each stream, and for each socket at which streams arrive only.
    fn begin_reports(&mut self, begin: Instant) {
        for (number, stream) in self.plan.streams.iter().enumerate() {
            let port = self.inbox.clients.port(stream.route);
            let of = Some((number as u32, stream.source.bits_per_second()));
            if self.inbox.clients.carry(stream.route) {
                let place = Place { port, remote: None };
                self.reporters.add(place, stream.identity.ssrc, of, Way::Route(stream.route), begin);
            }
        }
        for stream in 0..self.plan.streams.len() {
            let Stream { arrives_at, back, identity, .. } = &self.plan.streams[stream];
            let (Some(port), Some(back)) = (*arrives_at, *back) else { continue };
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
        self.sent = self.senders.iter().map(|sender| sender.sent(now).packets).collect();
        let mut nowhere = [0; PACKET_MAX as usize];
        for (stream, sender) in self.senders.iter_mut().enumerate() {
            self.wheel.cancel(stream as u32);
            while self.inbox.clients.carry(self.plan.streams[stream].route)
                && sender.next_due().is_some_and(|due| due < now)
            {
                sender.write(self.transports.of(stream as u32), &mut nowhere);
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

    fn send_what_is_due(&mut self, now: Instant) {
        while self.batch.len() < BATCH {
            let Some((timer, due)) = self.wheel.poll(now) else { return };
            let clients = self.inbox.clients.len() as u32;
            match timer.checked_sub(self.plan.streams.len() as u32) {
                Some(client) if client < clients => self.look_after(client, now),
                Some(reporter) => self.send_report(reporter - clients, false, now),
                None if !self.send(timer, due) => {
                    // No buffer is free: all of them leave with this batch.
                    self.wheel.schedule(timer, due);
                    return;
                }
                None => {}
            }
        }
    }

    /// Sends the packet of a stream that is due; false if there is no buffer for it.
    #[inline]
    fn send(&mut self, stream: u32, due: Instant) -> bool {
        let Some(buffer) = self.io.originate() else { return false };
        let sender = &mut self.senders[stream as usize];
        let memory = self.io.memory(&buffer);
        let length = sender.write(self.transports.of(stream), &mut memory[ROOM..]);
        match sender.next_due() {
            Some(next) => self.wheel.schedule(stream, next),
            None => self.flowing -= 1,
        }
        self.dispatch(self.plan.streams[stream as usize].route, buffer, length);
        self.batch.push((due, length));
        true
    }

    /// Sends the report of a participant that is due, or its last one.
    fn send_report(&mut self, reporter: u32, last: bool, now: Instant) {
        let Some(buffer) = self.io.originate() else { return };
        let sender = self.reporters.stream(reporter).and_then(|stream| self.senders.get(stream as usize));
        let sent = sender.map(|sender| sender.sent(now));
        let out = &mut self.io.memory(&buffer)[ROOM..];
        match self.reporters.write(reporter, sent, &self.inbox.receivers, last, now, out) {
            None => self.io.release(buffer),
            Some((Way::Route(route), length)) => self.dispatch(route, buffer, length),
            Some((Way::Back { port, to }, length)) => self.put(port, to, buffer, ROOM..ROOM + length),
        }
        if !last {
            self.wheel.schedule(self.reporter_timer(reporter), self.reporters.poll_timeout(reporter));
        }
    }

    /// Takes RTCP that arrived.
    fn hear(&mut self, port: u32, remote: Option<Endpoint>, datagram: &[u8], now: Instant) {
        for stream in self.reporters.handle(port, remote, datagram, now) {
            if let Some(sender) = self.senders.get_mut(stream as usize) {
                sender.request_key_frame();
            }
        }
        self.meet(port, remote, now);
    }

    /// A socket at which strangers arrive gets a participant that reports to them.
    fn meet(&mut self, port: u32, remote: Option<Endpoint>, now: Instant) {
        let Some(to) = remote.filter(|_| self.terms.expectation.strangers && !self.terms.expectation.echo) else {
            return;
        };
        let place = Place { port, remote };
        if self.reporters.is_at(place) || self.reporters.len() >= Reporters::strangers_max() {
            return;
        }
        let ssrc = Random::of(self.terms.seed, u64::from(self.reporters.len())).next() as u32;
        if let Some(reporter) = self.reporters.add(place, ssrc, None, Way::Back { port, to }, now) {
            self.wheel.schedule(self.reporter_timer(reporter), self.reporters.poll_timeout(reporter));
        }
    }

    /// Puts what a route needs around `length` octets at [`ROOM`], and sends them.
    fn dispatch(&mut self, route: Route, buffer: Buffer, length: usize) {
        let end = ROOM + length;
        match route {
            Route::Plain { port, to } => self.put(port, to.into(), buffer, ROOM..end),
            Route::ToClient { port, client } => {
                let Some(to) = self.inbox.clients.relayed(client) else { return self.io.release(buffer) };
                self.put(port, to, buffer, ROOM..end);
            }
            Route::ByClient { client } => {
                let (port, server) = self.inbox.clients.transport(client);
                let memory = self.io.memory(&buffer);
                let range = match self.inbox.clients.template(client) {
                    None => {
                        let header = channel_header(self.inbox.clients.channel(client), length as u16);
                        memory[ROOM - CHANNEL_HEADER..ROOM].copy_from_slice(&header);
                        ROOM - CHANNEL_HEADER..end
                    }
                    Some(template) => {
                        let start = ROOM - template.header();
                        let total = template.write(&mut memory[start..], length);
                        start..start + total.expect("a buffer has room for a packet and its header")
                    }
                };
                self.put(port, server, buffer, range);
            }
        }
    }

    fn fd(&self, port: u32) -> i32 {
        self.plan.ports[port as usize].fd.as_raw_fd()
    }

    /// Sends what a TURN client wants to say, and notes when to ask it again.
    fn look_after(&mut self, client: u32, now: Instant) {
        self.inbox.clients.look_at_the_time(client, now);
        let (port, server) = self.inbox.clients.transport(client);
        let fd = self.fd(port);
        while let Some(request) = self.inbox.clients.poll_transmit(client, now) {
            match self.access.as_mut().filter(|_| self.plan.ports[port as usize].impaired) {
                Some(access) => access.up(port, server, request, now),
                None if socket::send_to(fd, server, request).is_err() => self.inbox.interval.sent.refused += 1,
                None => {}
            }
        }
        if self.inbox.clients.note_events(client, now) {
            // It has a relayed address now: what it does next may be due at once.
            return self.look_after(client, now);
        }
        if let Some(at) = self.inbox.clients.poll_timeout(client) {
            self.wheel.schedule(self.client_timer(client), at);
        }
    }

    #[inline]
    fn deal_with(&mut self, event: Event, now: Instant) {
        match event {
            Event::Received { socket, buffer, length, remote, truncated: false, arrived, .. } => {
                let range = HEADROOM..HEADROOM + length;
                if let Some(access) = self.access.as_mut().filter(|_| self.plan.ports[socket as usize].impaired) {
                    access.down(socket, remote, &self.io.memory(&buffer)[range], now);
                    return self.io.release(buffer);
                }
                let client = self.plan.ports[socket as usize].client;
                let at = self.terms.timeline.of_wall(arrived, now);
                match self.inbox.take(socket, client, remote, &self.io.memory(&buffer)[range], at) {
                    Taken::Media(media) => {
                        self.meet(socket, remote, now);
                        self.echo(socket, remote, buffer, HEADROOM + media.start..HEADROOM + media.end);
                    }
                    Taken::Rtcp(part) => {
                        let mut copy = [0; RTCP_MAX];
                        let part = HEADROOM + part.start..HEADROOM + part.end;
                        let octets = part.len().min(RTCP_MAX);
                        copy[..octets].copy_from_slice(&self.io.memory(&buffer)[part.start..part.start + octets]);
                        self.hear(socket, remote, &copy[..octets], now);
                        self.echo(socket, remote, buffer, part);
                    }
                    Taken::Answer => {
                        self.io.release(buffer);
                        client.inspect(|client| self.look_after(*client, now));
                    }
                    Taken::Nothing => self.io.release(buffer),
                }
            }
            Event::Received { buffer, .. } => {
                self.inbox.interval.received.foreign += 1;
                self.io.release(buffer);
            }
            Event::NetworkError { socket } => self.note_network_errors(socket),
            Event::Stopped { .. } | Event::Woken => {}
        }
    }

    fn echo(&mut self, port: u32, remote: Option<Endpoint>, buffer: Buffer, media: Range<usize>) {
        match remote.filter(|_| self.terms.expectation.echo) {
            Some(remote) => self.io.send(self.fd(port), remote, 0, buffer, media),
            None => self.io.release(buffer),
        }
    }

    /// Sends a datagram, by the emulated link if its socket is behind one.
    #[inline]
    fn put(&mut self, port: u32, to: Endpoint, buffer: Buffer, range: Range<usize>) {
        match self.access.as_mut().filter(|_| self.plan.ports[port as usize].impaired) {
            None => self.io.send(self.fd(port), to, 0, buffer, range),
            Some(access) => {
                access.up(port, to, &self.io.memory(&buffer)[range], self.terms.timeline.now());
                self.io.release(buffer);
            }
        }
    }

    /// Takes out of the emulated link what has come through it.
    fn deliver(&mut self, now: Instant) {
        while let Some(arrival) = self.access.as_mut().and_then(|access| access.poll(now)) {
            match arrival {
                Through::Up { port, to, octets } => {
                    if socket::send_to(self.fd(port), to, &octets).is_err() {
                        self.inbox.interval.sent.refused += 1;
                    }
                }
                Through::Down { port, remote, octets } => {
                    let client = self.plan.ports[port as usize].client;
                    match self.inbox.take(port, client, remote, &octets, now) {
                        Taken::Rtcp(part) => self.hear(port, remote, &octets[part], now),
                        Taken::Media(media) => {
                            self.meet(port, remote, now);
                            if let Some(remote) = remote.filter(|_| self.terms.expectation.echo) {
                                // A full socket loses it, as any would.
                                let _ = socket::send_to(self.fd(port), remote, &octets[media]);
                            }
                        }
                        Taken::Answer => {
                            client.inspect(|client| self.look_after(*client, now));
                        }
                        Taken::Nothing => {}
                    }
                }
            }
        }
    }

    fn note_network_errors(&mut self, port: u32) {
        while let Some(error) = socket::network_error(self.fd(port)) {
            let target = SocketAddr::from(error.destination);
            // A sink sends only to those who sent, and does not end because one of them has gone.
            if !self.unreachable && !self.terms.expectation.strangers {
                self.unreachable = true;
                let _ = self.reports.send(Report::Unreachable(target));
            }
        }
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
