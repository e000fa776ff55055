//! Legs: media that has to be looked into, or changed, on its way from party to party.
//!
//! [`Media`] takes the datagrams of a turn one by one and works on them together: classified by their first octets (RFC
//! 7983, RFC 5761) as they come, then unprotected, learned from, measured, rewritten, and protected for each leg that gets
//! them. What is sent leaves in the order in which it came.

mod bundle;
mod dtmf;
mod figures;
mod learning;
mod leg;
mod rtp;
mod silence;
mod sources;
mod stages;

#[cfg(test)]
mod tests;

use core::ops::{Deref, Index, IndexMut, Range};
use std::collections::VecDeque;
use std::sync::Arc;

use arrayvec::ArrayVec;
use raceway_abi::{DropReason, NO_POLICER, Policer};
use raceway_datapath::{Protocol, police};
use raceway_srtp::{Batch, Lanes, Receiver, Sender};
use raceway_units::{Endpoint, Instant};

use crate::Counters;
use crate::limits::{LEG_BATCH, NEWS_MAX};

pub use figures::{LegFigures, LegNews, News, StreamFigures, TrafficFigures};
pub use leg::{Leg, LegRoute, LegSetup, NO_LEG, Protection, Tap};
pub use rtp::fuzz;

use rtp::{Kind, RtpPacket};

/// Memory of datagrams, and where they leave by.
pub trait Buffers {
    /// A buffer; nobody else has it.
    type Buffer;

    /// The whole memory of a buffer.
    fn memory(&mut self, buffer: &Self::Buffer) -> &mut [u8];

    /// That of several buffers, in their order.
    fn memories<'a, 'b>(
        &'a mut self,
        buffers: impl Iterator<Item = &'b mut Self::Buffer>,
    ) -> ArrayVec<&'a mut [u8], LEG_BATCH>
    where
        Self::Buffer: 'b;

    /// One more buffer, if there is one.
    fn originate(&mut self) -> Option<Self::Buffer>;

    /// Sends a datagram that lies in a buffer, from a socket.
    fn send(&mut self, socket: u32, to: Endpoint, traffic_class: u8, buffer: Self::Buffer, payload: Range<usize>);

    /// Takes a copy of a packet that a leg took in, for a recording; false if there is no room for it.
    fn record(
        &mut self,
        now: Instant,
        recording: u32,
        came: &Came,
        buffer: &Self::Buffer,
        payload: Range<usize>,
    ) -> bool;

    /// Gives a buffer back.
    fn release(&mut self, buffer: Self::Buffer);
}

/// Where a datagram came.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// Number of the socket.
    pub socket: u32,
    /// Its source.
    pub remote: Endpoint,
    /// Its TOS or traffic class.
    pub traffic_class: u8,
}

/// The legs of one worker.
pub struct Media<B, P> {
    legs: Slots,
    /// By number.
    sockets: Box<[Socket]>,
    policers: Arc<P>,
    counters: Arc<Counters>,
    batch: Batch,
    waiting: Vec<Waiting<B>>,
    leaving: Vec<Leaving<B>>,
    news: VecDeque<LegNews>,
}

/// What is known of a socket.
#[derive(Clone, Copy)]
struct Socket {
    /// The first leg that has it, or [`NO_LEG`].
    first: u32,
    /// What limits what comes there, or [`NO_POLICER`].
    policer: u32,
}

/// Legs by number.
struct Slots(Box<[Option<Box<Leg>>]>);

/// A datagram that came in this turn.
struct Waiting<B> {
    buffer: B,
    payload: Range<usize>,
    leg: u32,
    kind: Kind,
    came: Came,
    /// What authentication and decryption said, if there was any.
    opened: Result<(), DropReason>,
}

/// A datagram that is on its way out.
struct Leaving<B> {
    buffer: B,
    payload: Range<usize>,
    leg: u32,
    kind: Kind,
    socket: u32,
    to: Endpoint,
    traffic_class: u8,
    secured: bool,
}

/// Why a datagram is dropped, and whose it was.
struct Dropped(u32, DropReason);

/// What is to become of a datagram, by its first octets.
enum Class {
    Wait(u32, Kind),
    Punt,
}

impl<B, P: Deref<Target = [Policer]>> Media<B, P> {
    /// Room for so many legs at so many sockets.
    #[must_use]
    pub fn new(legs: usize, sockets: usize, policers: Arc<P>, counters: Arc<Counters>) -> Self {
        Self {
            legs: Slots((0..legs).map(|_| None).collect()),
            sockets: vec![Socket { first: NO_LEG, policer: NO_POLICER }; sockets].into(),
            policers,
            counters,
            batch: Batch::new(Lanes::detect()),
            waiting: Vec::with_capacity(LEG_BATCH),
            leaving: Vec::with_capacity(LEG_BATCH),
            news: VecDeque::with_capacity(NEWS_MAX),
        }
    }

    /// Puts a leg in its place; one that was there before goes on in it. What is not needed any more comes back, to be freed.
    pub fn put(&mut self, now: Instant, number: u32, mut leg: Box<Leg>) -> Option<Box<Leg>> {
        let mut before = self.remove(number);
        if let Some(before) = &mut before {
            leg.follow(before, now);
        }
        leg.publish_remotes();
        let (rtp, rtcp) = (leg.rtp.socket, leg.rtcp.as_ref().map(|path| path.socket));
        let Some(place) = self.legs.0.get_mut(number as usize) else { return Some(leg) };
        if let Some(socket) = self.sockets.get_mut(rtp as usize) {
            leg.next = core::mem::replace(&mut socket.first, number);
        }
        if let Some(socket) = rtcp.and_then(|socket| self.sockets.get_mut(socket as usize)) {
            socket.first = number;
        }
        *place = Some(leg);
        before
    }

    /// Takes a leg out.
    pub fn remove(&mut self, number: u32) -> Option<Box<Leg>> {
        let leg = self.legs.0.get_mut(number as usize)?.take()?;
        let sockets = &mut self.sockets;
        if let Some(socket) = leg.rtcp.as_ref().and_then(|path| sockets.get_mut(path.socket as usize))
            && socket.first == number
        {
            socket.first = NO_LEG;
        }
        if let Some(socket) = sockets.get_mut(leg.rtp.socket as usize) {
            if socket.first == number {
                socket.first = leg.next;
            } else {
                self.legs.unchain(socket.first, number, leg.next);
            }
        }
        Some(leg)
    }

    /// Names what limits what comes to a socket, by its index; [`NO_POLICER`] for nothing.
    pub fn set_policer(&mut self, socket: u32, policer: u32) {
        if let Some(socket) = self.sockets.get_mut(socket as usize) {
            socket.policer = policer;
        }
    }

    /// Leads a route of a leg to another leg.
    pub fn set_route(&mut self, number: u32, route: usize, leg: u32) {
        let routes = self.legs.get_mut(number).map(|leg| &mut leg.routes);
        if let Some(route) = routes.and_then(|routes| routes.get_mut(route)) {
            route.leg = leg;
        }
    }

    /// Takes a datagram that came to a media socket and that no flow took. It waits for [`flush`](Self::flush), or comes
    /// back because control has to see it.
    #[inline]
    pub fn handle<I: Buffers<Buffer = B>>(
        &mut self,
        now: Instant,
        io: &mut I,
        came: Came,
        buffer: B,
        payload: Range<usize>,
    ) -> Option<B> {
        let data = io.memory(&buffer).get(payload.clone()).unwrap_or_default();
        match self.classify(now, &came, data) {
            Ok(Class::Wait(leg, kind)) => {
                self.waiting.push(Waiting { buffer, payload, leg, kind, came, opened: Ok(()) });
                if self.waiting.len() == LEG_BATCH {
                    self.flush(now, io);
                }
                None
            }
            Ok(Class::Punt) => Some(buffer),
            Err(dropped) => {
                self.drop_one(dropped);
                io.release(buffer);
                None
            }
        }
    }

    #[inline]
    fn classify(&mut self, now: Instant, came: &Came, data: &[u8]) -> Result<Class, Dropped> {
        let socket = self.sockets.get(came.socket as usize).copied();
        let Socket { first, policer } = socket.unwrap_or(Socket { first: NO_LEG, policer: NO_POLICER });
        // Before all else: of a flood nothing but this is to cost anything.
        if let Some(policer) = self.policers.get(policer as usize)
            && !police::conforms(policer, data.len() as u32, now.as_ns())
        {
            return Err(Dropped(first, DropReason::Policed));
        }
        match data.first().map_or(Protocol::Other, |octet| Protocol::of(*octet)) {
            Protocol::Media => self.media(now, came, first, data),
            Protocol::Stun => match raceway_stun::header(data) {
                Ok(_) => self.punt(now, came, first, |leg| leg.punt.stun),
                Err(_) => Err(Dropped(first, DropReason::MalformedStun)),
            },
            Protocol::Dtls => self.punt(now, came, first, |leg| leg.punt.dtls),
            Protocol::ChannelData | Protocol::Other => Err(Dropped(first, DropReason::UnknownProtocol)),
        }
    }

    /// A datagram for control, within what the leg that wants it may hand over.
    fn punt(&mut self, now: Instant, came: &Came, first: u32, wants: impl Fn(&Leg) -> bool) -> Result<Class, Dropped> {
        let number = self.legs.chain(first).find(|(_, leg)| wants(leg)).map(|(number, _)| number);
        let number = number.ok_or(Dropped(first, DropReason::UnknownProtocol))?;
        let within = self.legs.get_mut(number).is_some_and(|leg| leg.may_punt(now, came.remote));
        if within { Ok(Class::Punt) } else { Err(Dropped(number, DropReason::LegBudget)) }
    }

    /// RTP or RTCP: whose it is, and whether it is worth any work.
    fn media(&mut self, now: Instant, came: &Came, first: u32, data: &[u8]) -> Result<Class, Dropped> {
        let kind = Kind::of(data).ok_or(Dropped(first, DropReason::MalformedMedia))?;
        let number = self.legs.owner(first, kind, data);
        let leg = self.legs.get_mut(number).ok_or(Dropped(first, DropReason::MediaUnrouted))?;
        let rtcp_socket = leg.is_rtcp_socket(came.socket);
        let whole = match kind {
            Kind::Rtp => !rtcp_socket && RtpPacket::is_whole(data),
            Kind::Rtcp => data.len() >= 8,
        };
        if !whole {
            return Err(Dropped(number, DropReason::MalformedMedia));
        }
        if leg.path_of(rtcp_socket).learner.refuses(came.remote) {
            return Err(Dropped(number, DropReason::MediaSource));
        }
        if matches!(leg.receive, leg::Secured::Await) {
            return Err(Dropped(number, DropReason::MediaKeyless));
        }
        leg.forget_previous_key(now);
        Ok(Class::Wait(number, kind))
    }

    /// Something that happened, until there is no more.
    pub fn poll_news(&mut self) -> Option<LegNews> {
        self.news.pop_front()
    }

    fn tell(&mut self, now: Instant, number: u32, what: News) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let news = LegNews { session: leg.session, leg: leg.id, at: now, what };
        // What is not told is in the leg's figures.
        if self.news.len() < NEWS_MAX {
            self.news.push_back(news);
        }
    }

    fn drop_one(&mut self, Dropped(number, reason): Dropped) {
        self.counters.add(raceway_abi::Counter::drops(reason), 1);
        if let Some(leg) = self.legs.get_mut(number) {
            leg.figures.drop_one(reason);
        }
    }
}

impl Slots {
    #[inline]
    fn get(&self, number: u32) -> Option<&Leg> {
        self.0.get(number as usize)?.as_deref()
    }

    #[inline]
    fn get_mut(&mut self, number: u32) -> Option<&mut Leg> {
        self.0.get_mut(number as usize)?.as_deref_mut()
    }

    /// Legs that share the socket of which `first` is the first.
    fn chain(&self, first: u32) -> impl Iterator<Item = (u32, &Leg)> {
        let mut next = first;
        core::iter::from_fn(move || {
            let (number, leg) = (next, self.get(next)?);
            next = leg.next;
            Some((number, leg))
        })
    }

    fn unchain(&mut self, first: u32, number: u32, next: u32) {
        let before = self.chain(first).find(|(_, leg)| leg.next == number).map(|(before, _)| before);
        if let Some(before) = before.and_then(|before| self.get_mut(before)) {
            before.next = next;
        }
    }
}

/// Contexts of legs, as a batch of SRTP asks for them.
struct Receivers<'a>(&'a mut Slots);
struct Senders<'a>(&'a mut Slots);

/// A job is made only for a leg that has the context.
const HAS_CONTEXT: &str = "the leg of a job has a context";

impl Index<usize> for Receivers<'_> {
    type Output = Receiver;

    fn index(&self, number: usize) -> &Receiver {
        self.0.get(number as u32).and_then(|leg| leg.receive.context_ref()).expect(HAS_CONTEXT)
    }
}

impl IndexMut<usize> for Receivers<'_> {
    fn index_mut(&mut self, number: usize) -> &mut Receiver {
        self.0.get_mut(number as u32).and_then(|leg| leg.receive.context()).expect(HAS_CONTEXT)
    }
}

impl Index<usize> for Senders<'_> {
    type Output = Sender;

    fn index(&self, number: usize) -> &Sender {
        self.0.get(number as u32).and_then(|leg| leg.send.context_ref()).expect(HAS_CONTEXT)
    }
}

impl IndexMut<usize> for Senders<'_> {
    fn index_mut(&mut self, number: usize) -> &mut Sender {
        self.0.get_mut(number as u32).and_then(|leg| leg.send.context()).expect(HAS_CONTEXT)
    }
}
