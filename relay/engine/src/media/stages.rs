//! What is done with the datagrams of a turn: open, take in, send on, close.

use core::ops::{Deref, Range};

use arrayvec::ArrayVec;
use raceway_abi::{Counter, DropReason, Policer};
use raceway_api::limits::ROUTES_MAX;
use raceway_api::{Codec, MediaRule, Rollover};
use raceway_datapath::measure::RtpHeader;
use raceway_srtp::{Job, SrtpError};
use raceway_units::{Endpoint, Instant};

use super::dtmf::Event;
use super::learning::Source;
use super::leg::{Leg, NO_LEG, Secured, reason, srtp_kind};
use super::rtp::{self, Kind, RtpPacket};
use super::silence::silence;
use super::{Buffers, Came, Dropped, Leaving, Media, News, Receivers, Senders, Waiting};
use crate::limits::{LEG_BATCH, ROLLOVER_LOOK, ROLLOVER_STEP, SRTP_STREAMS_OF_ANYBODY};

/// Where a packet goes on.
#[derive(Clone, Copy)]
struct Target {
    leg: u32,
    /// What its payload type is called there.
    payload_type: Option<u8>,
    socket: u32,
    to: Endpoint,
    traffic_class: u8,
    secured: bool,
    /// It may be anybody's, not only the party's whose leg it came to.
    anybodys: bool,
}

/// What is known of a packet that was taken in.
#[derive(Clone, Copy)]
struct Taken {
    octets: usize,
    /// Of RTP.
    payload_type: u8,
}

/// Where a packet goes on, all of it.
type Targets = ArrayVec<Target, ROUTES_MAX>;

/// What a leg tells of a packet, in the order in which it is found out.
type Told = ArrayVec<News, 4>;

impl<B, P: Deref<Target = [Policer]>> Media<B, P> {
    /// Works on all that waits, and sends it.
    pub fn flush<I: Buffers<Buffer = B>>(&mut self, now: Instant, io: &mut I) {
        if self.waiting.is_empty() {
            return;
        }
        self.open(io);
        // Not a new one: an empty vector has no memory.
        let mut waiting = core::mem::take(&mut self.waiting);
        for packet in waiting.drain(..) {
            self.pass_on(now, io, packet);
        }
        self.waiting = waiting;
        self.depart(now, io);
    }

    /// Authenticates and decrypts what is SRTP, all of it together.
    fn open<I: Buffers<Buffer = B>>(&mut self, io: &mut I) {
        let legs = &mut self.legs;
        let secured: ArrayVec<usize, LEG_BATCH> =
            self.waiting.iter().enumerate().filter(|(_, packet)| is_secured(legs, packet)).map(|(at, _)| at).collect();
        if secured.is_empty() {
            return;
        }
        let chosen = self.waiting.iter_mut().filter(|packet| is_secured(legs, packet));
        let memories = io.memories(chosen.map(|packet| &mut packet.buffer));
        let mut jobs = ArrayVec::<Job<'_>, LEG_BATCH>::new();
        for (at, memory) in secured.iter().zip(memories) {
            let packet = &self.waiting[*at];
            let room = &mut memory[packet.payload.start..];
            jobs.push(Job::new(packet.leg as usize, srtp_kind(packet.kind), room, packet.payload.len()));
        }
        self.batch.unprotect(&mut Receivers(legs), &mut jobs);
        for (at, job) in secured.iter().zip(jobs) {
            let packet = &mut self.waiting[*at];
            packet.payload.end = packet.payload.start + job.octets;
            packet.opened = job.result.map_err(reason);
        }
    }

    fn pass_on<I: Buffers<Buffer = B>>(&mut self, now: Instant, io: &mut I, packet: Waiting<B>) {
        let number = packet.leg;
        let Some(data) = io.memory(&packet.buffer).get_mut(packet.payload.clone()) else {
            return self.refuse(io, packet.buffer, Dropped(number, DropReason::Oversized));
        };
        let taken = self.take_in(now, &packet, data);
        let targets = taken.and_then(|taken| Ok((taken, self.targets(&packet, taken, data)?)));
        if let Ok(taken) = taken {
            self.record(now, io, &packet, taken);
        }
        match targets {
            Ok((taken, targets)) => self.fan_out(now, io, packet, taken, &targets),
            Err(reason) => self.refuse(io, packet.buffer, Dropped(number, reason)),
        }
    }

    /// Hands a copy of a packet to the recording of its leg, if there is one.
    #[inline]
    fn record<I: Buffers<Buffer = B>>(&mut self, now: Instant, io: &mut I, packet: &Waiting<B>, taken: Taken) {
        let Some(tap) = self.legs.get(packet.leg).and_then(Leg::tap) else { return };
        let payload = packet.payload.start..packet.payload.start + taken.octets;
        if !io.record(now, tap.recording, &packet.came, &packet.buffer, payload) {
            tap.lost.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        }
    }

    fn refuse<I: Buffers<Buffer = B>>(&mut self, io: &mut I, buffer: B, dropped: Dropped) {
        self.drop_one(dropped);
        io.release(buffer);
    }

    /// Learns from a packet, counts and measures it, and does to it what the rules of its leg say.
    fn take_in(&mut self, now: Instant, packet: &Waiting<B>, data: &mut [u8]) -> Result<Taken, DropReason> {
        let mut told = Told::new();
        let leg = self.legs.get_mut(packet.leg).ok_or(DropReason::MediaUnrouted)?;
        let taken = leg.take_in(now, packet.kind, packet, data, &mut told);
        let is_bundled = leg.bundle.is_some();
        for what in told {
            self.tell(now, packet.leg, what);
        }
        if is_bundled && packet.kind == Kind::Rtp && taken.is_ok() {
            let source = RtpHeader::of(data).map_or(0, |header| header.ssrc);
            self.legs.claim(self.first_at(packet.came.socket), packet.leg, source);
        }
        taken
    }

    /// Where a packet goes on, or why nowhere.
    fn targets(&mut self, packet: &Waiting<B>, taken: Taken, data: &[u8]) -> Result<Targets, DropReason> {
        let source = self.legs.get(packet.leg).ok_or(DropReason::MediaUnrouted)?;
        if packet.kind == Kind::Rtp || source.bundle.is_none() || source.receive.is_opaque() {
            return self.targets_of(source, packet, taken);
        }
        let first = self.first_at(packet.came.socket);
        let (mut targets, mut refused) = (Targets::new(), None);
        for holder in self.legs.stakeholders(first, data).filter_map(|number| self.legs.get(number)) {
            match self.targets_of(holder, packet, taken) {
                Ok(some) => targets.extend(some.into_iter().take(targets.remaining_capacity())),
                Err(reason) => refused = Some(reason),
            }
        }
        match refused {
            _ if !targets.is_empty() => Ok(targets),
            Some(reason) => Err(reason),
            // It is about nothing that is known here.
            None => self.targets_of(source, packet, taken),
        }
    }

    /// Where a packet goes on by the routes of a leg.
    fn targets_of(&self, source: &Leg, packet: &Waiting<B>, taken: Taken) -> Result<Targets, DropReason> {
        let legs = &self.legs;
        let mut targets = Targets::new();
        let mut refused = DropReason::MediaUnrouted;
        for route in source.routes.iter().take(ROUTES_MAX) {
            // The number may be another leg's by now.
            let leg = legs.get(route.leg).filter(|leg| leg.session == source.session && leg.id == route.id);
            let Some(leg) = leg else { continue };
            match leg.as_target(source, packet.kind) {
                Ok((socket, to)) => targets.push(Target {
                    leg: route.leg,
                    payload_type: change_of(&route.payload_types, taken.payload_type),
                    socket,
                    to,
                    traffic_class: leg.traffic_class(packet.came.traffic_class),
                    secured: matches!(leg.send, Secured::Srtp(_)),
                    anybodys: !source.is_partys(&packet.came),
                }),
                Err(reason) => refused = reason,
            }
        }
        if targets.is_empty() { Err(refused) } else { Ok(targets) }
    }

    /// Sends a packet to all its targets: the last one gets the buffer, the others copies.
    fn fan_out<I: Buffers<Buffer = B>>(
        &mut self,
        now: Instant,
        io: &mut I,
        mut packet: Waiting<B>,
        taken: Taken,
        targets: &[Target],
    ) {
        let Some((last, others)) = targets.split_last() else { return io.release(packet.buffer) };
        packet.payload.end = packet.payload.start + taken.octets;
        if let Some(leg) = self.legs.get(packet.leg) {
            self.counters.add(Counter::packets(leg.direction), 1);
            self.counters.add(Counter::octets(leg.direction), taken.octets as u64);
        }
        for target in others {
            match copy(io, &mut packet.buffer, &packet.payload) {
                Some(copy) => self.send_on(now, io, copy, packet.payload.clone(), (packet.kind, packet.leg), target),
                None => self.drop_one(Dropped(packet.leg, DropReason::NoBuffer)),
            }
        }
        self.send_on(now, io, packet.buffer, packet.payload, (packet.kind, packet.leg), last);
    }

    /// Makes of a packet what its target gets.
    fn send_on<I: Buffers<Buffer = B>>(
        &mut self,
        now: Instant,
        io: &mut I,
        buffer: B,
        mut payload: Range<usize>,
        (kind, from): (Kind, u32),
        target: &Target,
    ) {
        let data = &mut io.memory(&buffer)[payload.clone()];
        if let Some(payload_type) = target.payload_type.filter(|_| kind == Kind::Rtp) {
            rtp::set_payload_type(data, payload_type);
        }
        if self.legs.rename(now, from, target.leg, kind, data) {
            self.tell(now, target.leg, News::Translated);
        }
        let data = &mut io.memory(&buffer)[payload.clone()];
        if kind == Kind::Rtcp
            && let Some(leg) = self.legs.get_mut(target.leg)
        {
            payload.end = payload.start + leg.reports_to(now, data);
            if payload.is_empty() {
                return self.refuse(io, buffer, Dropped(target.leg, DropReason::RtcpFeedback));
            }
        }
        let Target { leg, socket, to, traffic_class, secured, anybodys, .. } = *target;
        let opens = if anybodys && secured { self.opens_stream(leg, kind, data) } else { Some(false) };
        let Some(opens) = opens.filter(|_| !secured || self.may_send(leg, socket, kind, data)) else {
            return self.refuse(io, buffer, Dropped(leg, DropReason::SrtpStreams));
        };
        self.leaving.push(Leaving { buffer, payload, leg, kind, socket, to, traffic_class, secured });
        // A stream that is opened counts for the next packet.
        if opens || self.leaving.len() == LEG_BATCH {
            self.depart(now, io);
        }
    }

    /// Whether a packet that may be anybody's opens a stream towards a leg; nothing if that is one too many: streams of a key
    /// are never forgotten, and strangers must not take them all from the party.
    fn opens_stream(&mut self, number: u32, kind: Kind, data: &[u8]) -> Option<bool> {
        let source = source_of(kind, data);
        let Some(sender) = self.legs.get_mut(number).and_then(|leg| leg.send.context()) else { return Some(false) };
        if sender.positions().any(|position| Some(position.ssrc) == source) {
            return Some(false);
        }
        (sender.positions().count() < SRTP_STREAMS_OF_ANYBODY).then_some(true)
    }

    /// Whether a leg is the only one of its bundle that sends what a source sends.
    #[inline]
    fn may_send(&mut self, number: u32, socket: u32, kind: Kind, data: &[u8]) -> bool {
        if self.legs.get(number).is_none_or(|leg| leg.bundle.is_none()) {
            return true;
        }
        let first = self.first_at(socket);
        source_of(kind, data).is_some_and(|source| self.legs.may_send(first, number, source))
    }

    /// The first leg at a socket, or [`NO_LEG`].
    #[inline]
    fn first_at(&self, socket: u32) -> u32 {
        self.sockets.get(socket as usize).map_or(NO_LEG, |socket| socket.first)
    }

    /// Encrypts what is to be SRTP, all of it together, and sends everything.
    fn depart<I: Buffers<Buffer = B>>(&mut self, now: Instant, io: &mut I) {
        let refused = self.close(io);
        let mut leaving = core::mem::take(&mut self.leaving);
        for (at, packet) in leaving.drain(..).enumerate() {
            let Leaving { buffer, payload, leg: number, kind, socket, to, traffic_class, secured } = packet;
            if let Some((_, error)) = refused.iter().find(|(refused, _)| *refused == at) {
                let data = io.memory(&buffer).get(payload).unwrap_or_default();
                self.unprotected(now, number, kind, data, *error);
                self.refuse(io, buffer, Dropped(number, reason(*error)));
                continue;
            }
            if secured && let Some(data) = io.memory(&buffer).get(payload.clone()) {
                let rollover = self.legs.get_mut(number).and_then(|leg| leg.note_position(kind, data, true));
                rollover.into_iter().for_each(|news| self.tell(now, number, news));
            }
            if let Some(leg) = self.legs.get(number) {
                leg.figures.sent.count(kind == Kind::Rtcp, payload.len());
            }
            io.send(socket, to, traffic_class, buffer, payload);
        }
        self.leaving = leaving;
    }

    /// Protects what is to be SRTP; which packets could not be, and why.
    fn close<I: Buffers<Buffer = B>>(&mut self, io: &mut I) -> ArrayVec<(usize, SrtpError), LEG_BATCH> {
        let mut refused = ArrayVec::new();
        let secured: ArrayVec<usize, LEG_BATCH> =
            self.leaving.iter().enumerate().filter(|(_, packet)| packet.secured).map(|(at, _)| at).collect();
        if secured.is_empty() {
            return refused;
        }
        let chosen = self.leaving.iter_mut().filter(|packet| packet.secured);
        let memories = io.memories(chosen.map(|packet| &mut packet.buffer));
        let mut jobs = ArrayVec::<Job<'_>, LEG_BATCH>::new();
        for (at, memory) in secured.iter().zip(memories) {
            let packet = &self.leaving[*at];
            let room = &mut memory[packet.payload.start..];
            jobs.push(Job::new(packet.leg as usize, srtp_kind(packet.kind), room, packet.payload.len()));
        }
        self.batch.protect(&mut Senders(&mut self.legs), &mut jobs);
        for (at, job) in secured.iter().zip(jobs) {
            let packet = &mut self.leaving[*at];
            packet.payload.end = packet.payload.start + job.octets;
            refused.extend(job.result.err().map(|error| (*at, error)));
        }
        refused
    }

    /// A packet could not be protected. A key that is used up is told of.
    #[cold]
    fn unprotected(&mut self, now: Instant, number: u32, kind: Kind, data: &[u8], error: SrtpError) {
        if error == SrtpError::Exhausted {
            self.tell(now, number, News::KeyExhausted(true));
        }
        if error == SrtpError::Old
            && kind == Kind::Rtp
            && let Some(leg) = self.legs.get_mut(number)
        {
            leg.too_old(data);
        }
    }
}

impl super::Slots {
    /// Gives the sources of a packet of one leg the names that they have towards the party of another. Whether that has any
    /// effect for the first time. What others have secured stays as it is.
    #[inline]
    fn rename(&mut self, now: Instant, from: u32, to: u32, kind: Kind, data: &mut [u8]) -> bool {
        let Some(source) = self.get(from) else { return false };
        let (id, hears_others) = (source.id, source.sources.translates());
        match self.get_mut(to) {
            Some(leg) if leg.send.is_opaque() => false,
            Some(leg) if kind == Kind::Rtp => leg.rename_rtp(now, id, data),
            Some(leg) if hears_others || leg.sources.translates() => {
                self.rename_reports(from, to, data);
                false
            }
            Some(_) | None => false,
        }
    }

    /// RTCP speaks of sources that the other party sends, by their names here, and of those that it hears, by their names
    /// there.
    #[cold]
    fn rename_reports(&mut self, from: u32, to: u32, data: &mut [u8]) {
        let (Some(source), Some(leg)) = (self.get(from), self.get(to)) else { return };
        let (ours, theirs) = (source.id, leg.id);
        rtp::translate(data, |ssrc| leg.sources.called(ours, ssrc), |ssrc| source.sources.original(theirs, ssrc));
    }
}

fn is_secured<B>(legs: &super::Slots, packet: &Waiting<B>) -> bool {
    legs.get(packet.leg).is_some_and(|leg| matches!(leg.receive, Secured::Srtp(_)))
}

/// A copy of a payload, in the same place of a buffer of its own.
fn copy<I: Buffers>(io: &mut I, buffer: &mut I::Buffer, payload: &Range<usize>) -> Option<I::Buffer> {
    let mut copy = io.originate()?;
    let mut memories = io.memories([buffer, &mut copy].into_iter());
    if let [from, to] = &mut memories[..] {
        to[payload.clone()].copy_from_slice(&from[payload.clone()]);
    }
    drop(memories);
    Some(copy)
}

/// Whose packet it is, as it says.
fn source_of(kind: Kind, data: &[u8]) -> Option<u32> {
    match kind {
        Kind::Rtp => RtpHeader::of(data).map(|header| header.ssrc),
        Kind::Rtcp => rtp::sender(data),
    }
}

fn change_of(changes: &[(u8, u8)], payload_type: u8) -> Option<u8> {
    changes.iter().find(|(from, _)| *from == payload_type).map(|(_, to)| *to)
}

impl Leg {
    /// See [`Media::take_in`].
    fn take_in<B>(
        &mut self,
        now: Instant,
        kind: Kind,
        packet: &Waiting<B>,
        data: &mut [u8],
        told: &mut Told,
    ) -> Result<Taken, DropReason> {
        if let Err(reason) = packet.opened {
            if reason == DropReason::SrtpKeyExhausted {
                told.push(News::KeyExhausted(false));
            }
            return Err(reason);
        }
        let authentic = matches!(self.receive, Secured::Srtp(_));
        if authentic {
            told.extend(self.note_position(kind, data, false));
        }
        let taken = match kind {
            Kind::Rtp => self.take_rtp(now, packet, data, authentic, told)?,
            Kind::Rtcp => self.take_rtcp(now, packet, data, authentic, told)?,
        };
        Ok(taken)
    }

    fn learn<B>(
        &mut self,
        now: Instant,
        packet: &Waiting<B>,
        authentic: bool,
        told: &mut Told,
    ) -> Result<(), DropReason> {
        let rtcp = self.is_rtcp_socket(packet.came.socket);
        let learner = &mut self.path_of(rtcp).learner;
        match learner.hear(now, packet.came.remote, authentic) {
            Source::Known => Ok(()),
            Source::Refused => Err(DropReason::MediaSource),
            Source::News => {
                let settled = learner.is_settled();
                told.extend(learner.remote().map(|remote| News::Learned(rtcp, remote, settled)));
                self.publish_remotes();
                Ok(())
            }
        }
    }

    fn take_rtp<B>(
        &mut self,
        now: Instant,
        packet: &Waiting<B>,
        data: &mut [u8],
        authentic: bool,
        told: &mut Told,
    ) -> Result<Taken, DropReason> {
        let opaque = self.receive.is_opaque();
        let read = if opaque { RtpPacket::of_encrypted(data) } else { RtpPacket::of(data) };
        let read = read.ok_or(DropReason::MalformedMedia)?;
        self.learn(now, packet, authentic, told)?;
        let payload_type = read.header.payload_type;
        let format = self.format(payload_type);
        self.figures.received.count(false, data.len());
        self.figures.last_rtp_ns.store(now.as_ns(), core::sync::atomic::Ordering::Relaxed);
        self.figures.measure(now, read.header, format.map(|format| format.clock_hz));
        self.note_source(read.header.ssrc, payload_type, told);
        let codec = format.map_or(Codec::Other, |format| format.codec);
        if !opaque && self.rules.detect_dtmf {
            told.extend(self.listen_for_keys(now, &read, codec, data).map(News::Dtmf));
        }
        let octets = self.rule(codec, opaque, data, &read)?;
        Ok(Taken { octets, payload_type })
    }

    /// What the leg's rules make of RTP: how long it is then.
    fn rule(&self, codec: Codec, opaque: bool, data: &mut [u8], read: &RtpPacket) -> Result<usize, DropReason> {
        if codec == Codec::TelephoneEvent && self.rules.block_dtmf {
            return Err(DropReason::MediaBlocked);
        }
        match self.rules.media {
            MediaRule::Pass => Ok(data.len()),
            MediaRule::Block => Err(DropReason::MediaBlocked),
            MediaRule::Silence if opaque => Err(DropReason::MediaBlocked),
            MediaRule::Silence => silence(codec, data, &read.payload).ok_or(DropReason::MediaBlocked),
        }
    }

    fn note_source(&mut self, ssrc: u32, payload_type: u8, told: &mut Told) {
        if !self.heard {
            self.heard = true;
            told.push(News::FirstPacket(ssrc, payload_type));
        } else if ssrc != self.last_ssrc {
            self.figures.ssrc_changes.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        }
        self.last_ssrc = ssrc;
    }

    fn listen_for_keys(
        &mut self,
        now: Instant,
        read: &RtpPacket,
        codec: Codec,
        data: &[u8],
    ) -> Option<raceway_api::Dtmf> {
        if codec != Codec::TelephoneEvent {
            return self.keypad.as_mut()?.released(now);
        }
        let header = &read.header;
        let clock_hz = self.format(header.payload_type).map_or(8000, |format| format.clock_hz);
        let (ssrc, timestamp, payload_type) = (header.ssrc, header.timestamp, header.payload_type);
        let event = Event { ssrc, timestamp, marker: read.marker, payload_type, clock_hz };
        self.keypad.as_mut()?.hear(now, event, data.get(read.payload.clone())?)
    }

    fn take_rtcp<B>(
        &mut self,
        now: Instant,
        packet: &Waiting<B>,
        data: &[u8],
        authentic: bool,
        told: &mut Told,
    ) -> Result<Taken, DropReason> {
        let opaque = self.receive.is_opaque();
        if !opaque && !rtp::is_rtcp(data) {
            return Err(DropReason::MalformedMedia);
        }
        self.learn(now, packet, authentic, told)?;
        self.figures.received.count(true, data.len());
        self.figures.last_rtcp_ns.store(now.as_ns(), core::sync::atomic::Ordering::Relaxed);
        if !opaque {
            self.figures.count_reports(data);
            let reports = rtp::rtcp(data).flat_map(|packet| packet.reception_reports().collect::<ArrayVec<_, 31>>());
            if let Some(us) = reports.filter_map(|report| self.round_trip_us(now, report)).last() {
                self.figures.set_round_trip_us(us);
            }
        }
        Ok(Taken { octets: data.len(), payload_type: 0 })
    }

    /// Whether nobody but the party can have sent what came there, or it came from where the party is for good.
    #[inline]
    fn is_partys(&self, came: &Came) -> bool {
        let path = self.rtcp.as_ref().filter(|path| path.socket == came.socket).unwrap_or(&self.rtp);
        let is_there = path.learner.is_settled() && path.remote() == Some(came.remote);
        is_there || matches!(self.receive, Secured::Srtp(_))
    }

    /// Where packets of `source` go if they go to this leg, and from which socket.
    fn as_target(&self, source: &Self, kind: Kind) -> Result<(u32, Endpoint), DropReason> {
        if matches!(self.send, Secured::Await) {
            return Err(DropReason::MediaKeyless);
        }
        // What nobody may look into is not made into something else, and nothing else is made into that.
        if source.receive.is_opaque() != self.send.is_opaque() {
            return Err(DropReason::MediaUnrouted);
        }
        let path = match &self.rtcp {
            Some(path) if kind == Kind::Rtcp => path,
            _ => &self.rtp,
        };
        path.remote().map(|to| (path.socket, to)).ok_or(DropReason::MediaUnrouted)
    }

    /// TOS or traffic class of what goes to the party.
    fn traffic_class(&self, came: u8) -> u8 {
        self.rules.dscp.map_or(came, |dscp| dscp << 2 | came & 3)
    }

    /// Makes of RTCP what the party gets; how long it is then.
    fn reports_to(&mut self, now: Instant, data: &mut [u8]) -> usize {
        if self.send.is_opaque() {
            return data.len();
        }
        let octets = if self.rules.feedback { data.len() } else { rtp::without_feedback(data) };
        for packet in rtp::rtcp(&data[..octets]) {
            if let Some((ssrc, ntp_middle)) = packet.sender_report() {
                self.report_sent(now, ssrc, ntp_middle);
            }
        }
        octets
    }

    /// Notes where SRTP of the stream of a packet stands, if that may be news.
    #[inline]
    fn note_position(&mut self, kind: Kind, data: &[u8], sent: bool) -> Option<News> {
        let word = |at: usize| data.get(at..at + 4)?.first_chunk().map(|octets| u32::from_be_bytes(*octets));
        let (ssrc, low) = match kind {
            Kind::Rtp => (word(8)?, word(0)? as u16),
            Kind::Rtcp => (word(4)?, 0),
        };
        let known = self.figures.rollover(ssrc, sent);
        if known.is_some() && low % ROLLOVER_STEP >= ROLLOVER_LOOK {
            return None;
        }
        let position = self.position(ssrc, sent)?;
        let stored = self.figures.set_rollover(position);
        let step = |rollover: &Rollover| (rollover.roc, rollover.sequence.map(|sequence| sequence / ROLLOVER_STEP));
        (stored && known.as_ref().map(step) != Some(step(&position))).then_some(News::Rollover(position))
    }
}
