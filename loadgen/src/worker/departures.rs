//! The sending side of a worker: what is due, and how it gets to where it goes.

use std::ops::Range;

use raceway_loadgen_core::turn::{CHANNEL_HEADER, channel_header};
use raceway_srtp::Kind;
use raceway_sys::io::{Buffer, PacketIo};
use raceway_sys::socket;
use raceway_units::{Endpoint, Instant};

use super::reporters::Way;
use super::{Outgoing, ROOM, Worker};
use crate::limits::BATCH;
use crate::plan::Route;

impl<I: PacketIo> Worker<I> {
    pub(super) fn send_what_is_due(&mut self, now: Instant) {
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
        let Outgoing { sender, route, transport } = &mut self.senders[stream as usize];
        let route = *route;
        let memory = self.io.memory(&buffer);
        let length = sender.write(self.transports.get(*transport), &mut memory[ROOM..]);
        match sender.next_due() {
            Some(next) => self.wheel.schedule(stream, next),
            None => self.flowing -= 1,
        }
        self.dispatch(route, Kind::Rtp, buffer, length);
        self.batch.push((due, length));
        true
    }

    /// Sends the report of a participant that is due, or its last one.
    pub(super) fn send_report(&mut self, reporter: u32, last: bool, now: Instant) {
        let Some(buffer) = self.io.originate() else { return };
        let sender = self.reporters.stream(reporter).and_then(|stream| self.senders.get(stream as usize));
        let sent = sender.map(|outgoing| outgoing.sender.sent(now));
        let out = &mut self.io.memory(&buffer)[ROOM..];
        match self.reporters.write(reporter, sent, &self.inbox.receivers, last, now, out) {
            None => self.io.release(buffer),
            Some((Way::Route(route), length)) => self.dispatch(route, Kind::Rtcp, buffer, length),
            Some((Way::Back { port, to }, length)) => self.put(port, to, buffer, ROOM..ROOM + length),
        }
        if !last {
            self.wheel.schedule(self.reporter_timer(reporter), self.reporters.poll_timeout(reporter));
        }
    }

    /// Puts what a route needs around `length` octets at [`ROOM`], and sends them.
    fn dispatch(&mut self, route: Route, kind: Kind, buffer: Buffer, length: usize) {
        let end = ROOM + length;
        match route {
            Route::Plain { port, to } => {
                match self.secure.protect(port, kind, &mut self.io.memory(&buffer)[ROOM..], length) {
                    Some(octets) => self.put(port, to.into(), buffer, ROOM..ROOM + octets),
                    None => {
                        self.inbox.interval.sent.refused += 1;
                        self.io.release(buffer);
                    }
                }
            }
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

    /// Sends what a TURN client wants to say, and notes when to ask it again.
    pub(super) fn look_after(&mut self, client: u32, now: Instant) {
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
}
