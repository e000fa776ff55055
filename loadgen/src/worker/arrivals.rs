//! The receiving side of a worker: what comes out of sockets, and out of the emulated link.

use std::net::SocketAddr;
use std::ops::Range;

use raceway_sys::io::{Buffer, Event, HEADROOM, PacketIo};
use raceway_sys::socket;
use raceway_units::{Endpoint, Instant, Random};

use super::access::Through;
use super::inbox::Taken;
use super::receivers::Place;
use super::reporters::{Reporters, Way};
use super::{Report, Worker};

/// Octets of the longest RTCP that is read: a datagram of Ethernet.
const RTCP_MAX: usize = 1500;

impl<I: PacketIo> Worker<I> {
    #[inline]
    pub(super) fn deal_with(&mut self, event: Event, now: Instant) {
        match event {
            Event::Received { socket, buffer, length, remote, truncated: false, arrived, .. } => {
                let mut range = HEADROOM..HEADROOM + length;
                if let Some(access) = self.access.as_mut().filter(|_| self.plan.ports[socket as usize].impaired) {
                    access.down(socket, remote, &self.io.memory(&buffer)[range], now);
                    return self.io.release(buffer);
                }
                match self.secure.unprotect(socket, &mut self.io.memory(&buffer)[range.clone()]) {
                    Ok(octets) => range.end = HEADROOM + octets,
                    Err(error) => {
                        self.inbox.refuse(error);
                        return self.io.release(buffer);
                    }
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

    /// Takes RTCP that arrived.
    fn hear(&mut self, port: u32, remote: Option<Endpoint>, datagram: &[u8], now: Instant) {
        for stream in self.reporters.handle(port, remote, datagram, now) {
            if let Some(outgoing) = self.senders.get_mut(stream as usize) {
                outgoing.sender.request_key_frame();
            }
        }
        self.meet(port, remote, now);
    }

    /// A socket at which strangers arrive gets a participant that reports to them.
    fn meet(&mut self, port: u32, remote: Option<Endpoint>, now: Instant) {
        let expectation = &self.terms.expectation;
        let Some(to) = remote.filter(|_| expectation.strangers && !expectation.echo) else { return };
        if !expectation.reach.allows(SocketAddr::from(to).ip()) {
            return;
        }
        let place = Place { port, remote };
        if self.reporters.is_at(place) || self.reporters.len() >= Reporters::strangers_max() {
            return;
        }
        let ssrc = Random::of(self.terms.seed, u64::from(self.reporters.len())).next() as u32;
        if let Some(reporter) = self.reporters.add(place, ssrc, None, Way::Back { port, to }, now) {
            self.wheel.schedule(self.reporter_timer(reporter), self.reporters.poll_timeout(reporter));
        }
    }

    /// To whom what came from there goes back.
    fn echoes_to(&self, remote: Option<Endpoint>) -> Option<Endpoint> {
        let expectation = &self.terms.expectation;
        remote.filter(|remote| expectation.echo && expectation.reach.allows(SocketAddr::from(*remote).ip()))
    }

    fn echo(&mut self, port: u32, remote: Option<Endpoint>, buffer: Buffer, part: Range<usize>) {
        match self.echoes_to(remote) {
            Some(remote) => self.io.send(self.fd(port), remote, 0, buffer, part),
            None => self.io.release(buffer),
        }
    }

    /// The same of what came through the emulated link. A full socket loses it, as any would.
    fn echo_octets(&self, port: u32, remote: Option<Endpoint>, octets: &[u8]) {
        if let Some(remote) = self.echoes_to(remote) {
            let _ = socket::send_to(self.fd(port), remote, octets);
        }
    }

    /// Takes out of the emulated link what has come through it.
    pub(super) fn deliver(&mut self, now: Instant) {
        while let Some(arrival) = self.access.as_mut().and_then(|access| access.poll(now)) {
            match arrival {
                Through::Up { port, to, octets } => {
                    if socket::send_to(self.fd(port), to, &octets).is_err() {
                        self.inbox.interval.sent.refused += 1;
                    }
                }
                Through::Down { port, remote, mut octets } => {
                    match self.secure.unprotect(port, &mut octets) {
                        Ok(length) => octets.truncate(length),
                        Err(error) => {
                            self.inbox.refuse(error);
                            continue;
                        }
                    }
                    let client = self.plan.ports[port as usize].client;
                    match self.inbox.take(port, client, remote, &octets, now) {
                        Taken::Rtcp(part) => {
                            self.hear(port, remote, &octets[part.clone()], now);
                            self.echo_octets(port, remote, &octets[part]);
                        }
                        Taken::Media(media) => {
                            self.meet(port, remote, now);
                            self.echo_octets(port, remote, &octets[media]);
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
}
