//! The packet path of one core: receive, decide, send.

use std::io;
use std::ops::Range;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrayvec::ArrayVec;
use raceway_abi::{DropReason, KEEP_DSCP};
use raceway_engine::limits::LEG_BATCH;
use raceway_engine::{Arrival, Buffers, Came, Datagram, Forward, Forwarder, Icmp, Media, Verdict};
use raceway_sys::io::{Buffer, Event, HEADROOM, PacketIo, Wait};
use raceway_sys::socket;
use raceway_units::{Endpoint, Instant};

use crate::clock;
use crate::limits::NETWORK_ERRORS_MAX;
use crate::shared::{Command, Place, Policers, Port, Records, Returned, Shared};

/// Turns at a shorter distance mean load.
const BUSY: Duration = Duration::from_micros(100);
/// Events of a turn from which on they come in batches by themselves, and waiting for more only costs a timer.
const ENOUGH: usize = 8;

/// A worker. Lives on its own thread from [`new`](Self::new) on.
pub struct Worker<I> {
    number: usize,
    shared: Arc<Shared>,
    io: I,
    forwarder: Forwarder<Records, Policers>,
    media: Media<Buffer, Policers>,
    sockets: Box<[Option<Source>]>,
    sends_failed: u64,
    ring_link: bool,
    turned_at: Instant,
    /// Turns follow each other so closely, with so little in each, that it pays to let datagrams gather.
    gather: bool,
}

/// What legs reach the world through.
struct Way<'a, I> {
    io: &'a mut I,
    shared: &'a Shared,
    sockets: &'a [Option<Source>],
    number: usize,
}

impl<I: PacketIo> Buffers for Way<'_, I> {
    type Buffer = Buffer;

    fn memory(&mut self, buffer: &Buffer) -> &mut [u8] {
        self.io.memory(buffer)
    }

    fn memories<'a, 'b>(
        &'a mut self,
        buffers: impl Iterator<Item = &'b mut Buffer>,
    ) -> ArrayVec<&'a mut [u8], LEG_BATCH> {
        self.io.memories(buffers)
    }

    fn originate(&mut self) -> Option<Buffer> {
        self.io.originate()
    }

    fn send(&mut self, socket: u32, to: Endpoint, traffic_class: u8, buffer: Buffer, payload: Range<usize>) {
        let fd = self.shared.sockets.fd(Place(socket), self.number);
        self.io.send(fd, to, traffic_class, buffer, payload);
    }

    fn record(&mut self, now: Instant, recording: u32, came: &Came, buffer: &Buffer, payload: Range<usize>) -> bool {
        let source = self.sockets.get(came.socket as usize).copied().flatten();
        let copies = &self.shared.workers[self.number].copies;
        let Some((source, mut copied)) = source.and_then(|source| Some((source, copies.free.pop()?))) else {
            return false;
        };
        (copied.recording, copied.at) = (recording, now);
        (copied.from, copied.to, copied.traffic_class) = (came.remote, source.local, came.traffic_class);
        copied.fill(self.io.memory(buffer).get(payload).unwrap_or_default());
        // As many places as copies exist. The recorder looks by itself.
        copies.full.push(copied).is_ok()
    }

    fn release(&mut self, buffer: Buffer) {
        self.io.release(buffer);
    }
}

/// A socket that this worker receives from.
#[derive(Clone, Copy)]
struct Source {
    local: Endpoint,
    arrival: Arrival,
    fd: RawFd,
}

impl<I: PacketIo> Worker<I> {
    /// Worker `number`, on the thread that calls; `io` answers to the waker of its port, `seed` is random.
    #[must_use]
    pub fn new(number: usize, shared: Arc<Shared>, io: I, seed: u64) -> Self {
        let port = &shared.workers[number];
        port.thread.store(nix::unistd::gettid().as_raw() as u32, Ordering::Relaxed);
        let places = shared.sockets.places();
        let forwarder = Forwarder::new(
            Arc::clone(&shared.table),
            Arc::clone(&shared.policers),
            Arc::clone(&shared.own),
            Arc::clone(&shared.requests),
            Arc::clone(&port.counters),
            seed,
        );
        let sockets = vec![None; places as usize].into();
        let (policers, counters) = (Arc::clone(&shared.policers), Arc::clone(&port.counters));
        let media = Media::new(shared.legs_max(), places as usize, policers, counters);
        Self {
            number,
            io,
            forwarder,
            media,
            sockets,
            sends_failed: 0,
            ring_link: false,
            turned_at: clock::now(),
            gather: false,
            shared,
        }
    }

    /// Works until the relay stops.
    ///
    /// # Errors
    /// The kernel refuses to go on.
    pub fn run(mut self) -> io::Result<()> {
        while !self.shared.stopping.load(Ordering::Relaxed) {
            self.turn()?;
        }
        Ok(())
    }

    /// One batch.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn turn(&mut self) -> io::Result<()> {
        self.io.wait(if self.gather { Wait::Gather } else { Wait::Event })?;
        // All that was sent is with the kernel, and nothing that was looked up before is held.
        self.shared.quiescence.pass(self.number);
        self.count_failed_sends();
        // After `wait`: whoever made a datagram arrive in this batch had its command queued before.
        let now = clock::now();
        // What comes back must find room: the link thread fetches it, and this goes on.
        while !self.port().returned.is_full()
            && let Some(command) = self.port().commands.pop()
        {
            self.obey(now, command);
        }
        let mut events = 0;
        while let Some(event) = self.io.next_event() {
            self.deal_with(now, event);
            events += 1;
        }
        let Self { media, io, shared, number, sockets, .. } = self;
        media.flush(now, &mut Way { io, shared, sockets, number: *number });
        self.tell_news();
        self.gather = now.since(self.turned_at) < BUSY && events < ENOUGH;
        self.turned_at = now;
        if self.ring_link {
            self.ring_link = false;
            self.shared.link.ring();
        }
        Ok(())
    }

    fn port(&self) -> &Port {
        &self.shared.workers[self.number]
    }

    fn count_failed_sends(&mut self) {
        let failed = self.io.figures().sends_failed;
        for _ in self.sends_failed..failed {
            self.forwarder.dropped(DropReason::SendFailed);
        }
        self.sends_failed = failed;
    }

    /// Tells the link thread what happened on legs; what there is no room for is in their figures.
    #[inline]
    fn tell_news(&mut self) {
        while let Some(news) = self.media.poll_news() {
            let _ = self.port().news.push(news);
            self.ring_link = true;
        }
    }

    fn give_back(&mut self, returned: Returned) {
        // Room was looked for.
        let _ = self.port().returned.push(returned);
        self.ring_link = true;
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::PutLeg { number, leg } => {
                if let Some(before) = self.media.put(now, number, leg) {
                    self.give_back(Returned::Replaced(before));
                }
            }
            Command::RemoveLeg(number) => {
                let leg = self.media.remove(number);
                self.give_back(Returned::Removed(number, leg));
            }
            Command::Untap(recording) => self.give_back(Returned::Untapped(recording)),
            Command::SetRoute { leg, route, to } => self.media.set_route(leg, route.into(), to),
            Command::Receive { place, local, arrival, policer } => {
                let fd = self.shared.sockets.fd(place, self.number);
                self.media.set_policer(place.0, policer);
                if let Some(socket) = self.sockets.get_mut(place.0 as usize) {
                    *socket = Some(Source { local, arrival, fd });
                    self.io.receive(place.0, fd);
                }
            }
            Command::Stop(place) => self.io.stop(place.0),
        }
    }

    #[inline]
    fn deal_with(&mut self, now: Instant, event: Event) {
        match event {
            Event::Received { socket, buffer, length, remote, truncated, traffic_class, .. } => {
                let source = self.sockets.get(socket as usize).copied().flatten();
                match (source, remote) {
                    _ if truncated => self.refuse(buffer, DropReason::Oversized),
                    (Some(source), Some(remote)) => {
                        self.received(now, (socket, source), remote, buffer, length, traffic_class);
                    }
                    _ => self.refuse(buffer, DropReason::MalformedPacket),
                }
            }
            Event::NetworkError { socket } => self.report_network_errors(now, socket),
            Event::Stopped { socket } => {
                if let Some(source) = self.sockets.get_mut(socket as usize) {
                    *source = None;
                }
                // Has a place for every socket.
                let _ = self.port().stopped.push(Place(socket));
                self.ring_link = true;
            }
            Event::Woken => {}
        }
    }

    fn refuse(&mut self, buffer: Buffer, reason: DropReason) {
        self.forwarder.dropped(reason);
        self.io.release(buffer);
    }

    #[inline]
    fn received(
        &mut self,
        now: Instant,
        (socket, source): (u32, Source),
        remote: Endpoint,
        buffer: Buffer,
        length: usize,
        traffic_class: u8,
    ) {
        let payload = HEADROOM..HEADROOM + length;
        let datagram = Datagram {
            arrival: source.arrival,
            local: source.local,
            remote,
            buffer: self.io.memory(&buffer),
            payload: payload.clone(),
        };
        match self.forwarder.handle(now, datagram) {
            Verdict::Forward(forward) => self.send(now, forward, buffer, traffic_class),
            Verdict::Punt => self.punt(now, source, remote, buffer, payload),
            Verdict::Leg => {
                let came = Came { socket, remote, traffic_class };
                let Self { media, io, shared, number, sockets, .. } = self;
                let way = &mut Way { io, shared, sockets, number: *number };
                let for_control = media.handle(now, way, came, buffer, payload.clone());
                if let Some(buffer) = for_control {
                    self.punt(now, source, remote, buffer, payload);
                }
            }
            Verdict::Drop(_) => self.io.release(buffer),
        }
    }

    #[inline]
    fn send(&mut self, now: Instant, forward: Forward, buffer: Buffer, traffic_class: u8) {
        let Forward { egress, to, payload, dont_fragment, dscp } = forward;
        let fd = self.shared.sockets.fd(Place(egress), self.number);
        let traffic_class = if dscp == KEEP_DSCP { traffic_class } else { dscp << 2 | traffic_class & 3 };
        if dont_fragment {
            return self.send_unfragmented(now, Place(egress), to, buffer, payload);
        }
        self.io.send(fd, to, traffic_class, buffer, payload);
    }

    #[cold]
    fn send_unfragmented(&mut self, now: Instant, from: Place, to: Endpoint, buffer: Buffer, payload: Range<usize>) {
        let fd = self.shared.sockets.fd(from, self.number);
        let sent = self.io.memory(&buffer).get(payload).map(|payload| socket::send_unfragmented(fd, to, payload));
        self.io.release(buffer);
        if !matches!(sent, Some(Ok(()))) {
            self.forwarder.dropped(DropReason::SendFailed);
            // Too long for the interface: the kernel's word about it waits in the queue, and nothing else tells of it.
            self.report_network_errors(now, from.0);
        }
    }

    fn punt(&mut self, now: Instant, source: Source, remote: Endpoint, buffer: Buffer, payload: Range<usize>) {
        let port = &self.shared.workers[self.number];
        let Some(mut punt) = port.free.pop() else {
            return self.refuse(buffer, DropReason::ControlCongested);
        };
        punt.local = source.local;
        punt.remote = remote;
        punt.received_at_ns = now.as_ns();
        let fits = self.io.memory(&buffer).get(payload).is_some_and(|payload| punt.fill(payload));
        // As many places as punts exist.
        let _ = if fits { port.punts.push(punt) } else { port.free.push(punt) };
        self.ring_link |= fits;
        if fits { self.io.release(buffer) } else { self.refuse(buffer, DropReason::Oversized) }
    }

    #[cold]
    fn report_network_errors(&mut self, now: Instant, socket: u32) {
        let Some(source) = self.sockets.get(socket as usize).copied().flatten() else { return };
        for _ in 0..NETWORK_ERRORS_MAX {
            let Some(error) = socket::network_error(source.fd) else { return };
            let icmp = Icmp { kind: error.kind, code: error.code, data: error.mtu };
            let Some(report) = self.forwarder.handle_icmp(now, source.local, error.destination, icmp) else { continue };
            let fd = self.shared.sockets.fd(Place(report.egress), self.number);
            if socket::send_to(fd, report.to, report.message()).is_err() {
                self.forwarder.dropped(DropReason::SendFailed);
            }
        }
    }
}
