//! The client's state: one allocation, its channels and permissions, one request at a time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use raceway_units::Instant;

use super::credentials::Credentials;
use super::exchange::{Due, Exchange};
use super::message::{self, Ask, Challenge, Method, Outcome, Received, Response};

/// Channel numbers that clients may use (RFC 8656 section 12).
const FIRST_CHANNEL: u16 = 0x4000;
const LAST_CHANNEL: u16 = 0x4fff;
/// Challenges answered for one request: the first, one that brings a fresh nonce, and one for bad luck between them.
const CHALLENGES_MAX: u32 = 3;
/// A lifetime that no server means: the shortest between refreshes.
const REFRESH_MIN: Duration = Duration::from_secs(1);

/// Address family of the relayed transport address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4 (nothing is asked for: it is the default of RFC 8656).
    V4,
    /// IPv6, by REQUESTED-ADDRESS-FAMILY.
    V6,
}

/// When things that end are made anew.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// First retransmission (RFC 8489 section 6.2.1 recommends 500 ms at least).
    pub retransmit: Duration,
    /// An allocation is refreshed this long before its end (half its life, if that is shorter).
    pub refresh_ahead: Duration,
    /// Permissions last 300 s (RFC 8656 section 9); they are made anew after this long.
    pub permission: Duration,
    /// Channels last 600 s (RFC 8656 section 12), and their permissions 300 s.
    pub channel: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            retransmit: Duration::from_millis(500),
            refresh_ahead: Duration::from_secs(60),
            permission: Duration::from_secs(240),
            channel: Duration::from_secs(240),
        }
    }
}

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Family of the relayed transport address.
    pub family: Family,
    /// LIFETIME of the Allocate request; none: the server's default.
    pub lifetime_s: Option<u32>,
    /// Whether the client proves who it is when it is asked to; otherwise a 401 is a refusal.
    pub answers_challenges: bool,
    /// Timers.
    pub timing: Timing,
}

impl Default for Settings {
    fn default() -> Self {
        Self { family: Family::V4, lifetime_s: None, answers_challenges: true, timing: Timing::default() }
    }
}

/// What happened. `took` is the time from the first transmission of the request (the first of the two, where a server
/// demands credentials first) to the success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The allocation is there.
    Allocated {
        /// Where peers send to.
        relayed: SocketAddr,
        /// The client as the server sees it.
        mapped: Option<SocketAddr>,
        /// How long it lasts without a refresh.
        lifetime_s: u32,
        /// Time of the request.
        took: Duration,
    },
    /// A channel is bound: data may be sent on it.
    Bound {
        /// Its number.
        channel: u16,
        /// Its peer.
        peer: SocketAddr,
        /// Time of the request.
        took: Duration,
    },
    /// A peer may send, and be sent to by indications.
    Permitted {
        /// The peer.
        peer: SocketAddr,
        /// Time of the request.
        took: Duration,
    },
    /// The allocation goes on.
    Refreshed {
        /// Time of the request.
        took: Duration,
    },
    /// The allocation is over, as the client wished.
    Closed {
        /// Time of the request.
        took: Duration,
    },
    /// The server refused; for an Allocate the client does no more.
    Refused {
        /// Method of the request.
        method: Method,
        /// ERROR-CODE.
        code: u16,
        /// The server's words.
        reason: String,
    },
    /// The server did not answer, however often it was asked.
    Unanswered {
        /// Method of the request.
        method: Method,
    },
}

/// What a datagram from the server was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Data of a peer: a range of the datagram.
    Data {
        /// By what it came.
        origin: Origin,
        /// The data.
        payload: Range<usize>,
    },
    /// An answer to a request.
    Answer,
    /// Nothing that this client waits for.
    Unexpected,
}

/// By what data came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A ChannelData message on this number.
    Channel(u16),
    /// A Data indication from this peer.
    Peer(SocketAddr),
}

/// A peer, and when its channel or permission is made anew.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: SocketAddr,
    channel: Option<u16>,
    renew_at: Option<Instant>,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    credentials: Arc<Credentials>,
    challenge: Option<Challenge>,
    challenges: u32,
    /// The request in progress, and since when it is.
    current: Option<(Ask, Instant, Exchange)>,
    waiting: VecDeque<Ask>,
    peers: Vec<Peer>,
    lifetime_s: u32,
    refresh_at: Option<Instant>,
    over: bool,
    transactions: u128,
    events: VecDeque<Event>,
    unexpected: u64,
}

impl Client {
    /// A client that begins to allocate. `seed` makes its transaction ids: let clients have different ones, from a source
    /// of randomness where answers could be forged.
    #[must_use]
    pub fn new(credentials: Arc<Credentials>, settings: Settings, seed: u128, now: Instant) -> Self {
        let mut client = Self {
            settings,
            credentials,
            challenge: None,
            challenges: 0,
            current: None,
            waiting: VecDeque::new(),
            peers: Vec::new(),
            lifetime_s: 0,
            refresh_at: None,
            over: false,
            transactions: seed,
            events: VecDeque::new(),
            unexpected: 0,
        };
        let ipv6 = settings.family == Family::V6;
        client.ask(Ask::Allocate { ipv6, lifetime_s: settings.lifetime_s }, now);
        client
    }

    /// Binds a channel to a peer; its number, or nothing when all numbers are taken. Data may be sent on it after
    /// [`Event::Bound`].
    pub fn bind(&mut self, peer: SocketAddr, now: Instant) -> Option<u16> {
        let taken = self.peers.iter().filter(|peer| peer.channel.is_some()).count();
        let channel = FIRST_CHANNEL + u16::try_from(taken).ok().filter(|n| *n <= LAST_CHANNEL - FIRST_CHANNEL)?;
        self.peers.push(Peer { address: peer, channel: Some(channel), renew_at: None });
        self.ask(Ask::Bind { channel, peer }, now);
        Some(channel)
    }

    /// Creates a permission for a peer.
    pub fn permit(&mut self, peer: SocketAddr, now: Instant) {
        self.peers.push(Peer { address: peer, channel: None, renew_at: None });
        self.ask(Ask::Permit { peer }, now);
    }

    /// Ends the allocation, once the request in progress is answered.
    pub fn close(&mut self, now: Instant) {
        self.peers.clear();
        self.waiting.clear();
        self.refresh_at = None;
        self.ask(Ask::Refresh { lifetime_s: 0 }, now);
    }

    /// Whether the client does no more: closed, refused, or unanswered.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Datagrams that were nothing that the client waits for: late, forged, or malformed.
    #[must_use]
    pub fn unexpected(&self) -> u64 {
        self.unexpected
    }

    /// Reads a datagram from the server.
    #[inline]
    pub fn handle(&mut self, datagram: &[u8], now: Instant) -> Incoming {
        match datagram.first_chunk() {
            Some(&[n0 @ 0x40..=0x4f, n1, l0, l1]) => {
                let length = usize::from(u16::from_be_bytes([l0, l1]));
                let payload = 4..4 + length;
                if payload.end > datagram.len() {
                    return self.wonder();
                }
                Incoming::Data { origin: Origin::Channel(u16::from_be_bytes([n0, n1])), payload }
            }
            _ => self.handle_message(datagram, now),
        }
    }

    fn handle_message(&mut self, datagram: &[u8], now: Instant) -> Incoming {
        match message::read(datagram) {
            Some(Received::Data { peer, payload }) => Incoming::Data { origin: Origin::Peer(peer), payload },
            Some(Received::Response(response)) if self.answers(&response, now) => Incoming::Answer,
            _ => self.wonder(),
        }
    }

    fn wonder(&mut self) -> Incoming {
        self.unexpected += 1;
        Incoming::Unexpected
    }

    /// Takes a response to the request in progress; false if it is not one.
    fn answers(&mut self, response: &Response<'_>, now: Instant) -> bool {
        let Some((ask, since, _)) =
            self.current.take_if(|(_, _, exchange)| exchange.is_sent() && exchange.transaction == response.transaction)
        else {
            return false;
        };
        match response.outcome() {
            // A server proves who it is wherever the client did (RFC 8489 section 9.2.5).
            Some(Outcome::Success { relayed, mapped, lifetime_s })
                if self.challenge.as_ref().is_none_or(|challenge| response.is_authentic(challenge)) =>
            {
                self.challenges = 0;
                self.succeeded(ask, relayed, mapped, lifetime_s, now.since(since), now);
            }
            Some(Outcome::Error { code: code @ (401 | 438), reason }) => {
                self.challenged(response, ask, since, code, reason, now);
            }
            Some(Outcome::Error { code, reason }) => self.refused(ask, code, reason),
            _ => {
                // As if it had not come; the request goes out again in time.
                self.resume(ask, since, now);
                return false;
            }
        }
        self.next(now);
        true
    }

    fn resume(&mut self, ask: Ask, since: Instant, now: Instant) {
        self.transactions = self.transactions.wrapping_add(1);
        let exchange = self.exchange(ask, now.after(self.settings.timing.retransmit));
        self.current = Some((ask, since, exchange));
    }

    /// Answers a challenge, or takes it for a refusal: of these credentials, or of whatever the client says.
    fn challenged(
        &mut self,
        response: &Response<'_>,
        ask: Ask,
        since: Instant,
        code: u16,
        reason: String,
        now: Instant,
    ) {
        let challenge = response.challenge(&self.credentials, self.challenge.as_ref());
        let known_to_be_wrong =
            code == 401 && matches!((&challenge, &self.challenge), (Some(new), Some(known)) if new.same_demand(known));
        self.challenges += 1;
        match challenge {
            Some(challenge)
                if self.settings.answers_challenges && !known_to_be_wrong && self.challenges <= CHALLENGES_MAX =>
            {
                self.challenge = Some(challenge);
                let exchange = self.exchange(ask, now);
                self.current = Some((ask, since, exchange));
            }
            _ => self.refused(ask, code, reason),
        }
    }

    fn succeeded(
        &mut self,
        ask: Ask,
        relayed: Option<SocketAddr>,
        mapped: Option<SocketAddr>,
        lifetime_s: Option<u32>,
        took: Duration,
        now: Instant,
    ) {
        let event = match ask {
            Ask::Allocate { .. } => {
                let Some(relayed) = relayed else { return self.refused(ask, 0, "no XOR-RELAYED-ADDRESS".into()) };
                self.lifetime_s = lifetime_s.unwrap_or(600);
                self.plan_refresh(now);
                Event::Allocated { relayed, mapped, lifetime_s: self.lifetime_s, took }
            }
            Ask::Refresh { lifetime_s: 0 } => {
                self.over = true;
                Event::Closed { took }
            }
            Ask::Refresh { .. } => {
                self.lifetime_s = lifetime_s.unwrap_or(self.lifetime_s);
                self.plan_refresh(now);
                Event::Refreshed { took }
            }
            Ask::Permit { peer } => {
                self.renew(peer, None, now.after(self.settings.timing.permission));
                Event::Permitted { peer, took }
            }
            Ask::Bind { channel, peer } => {
                self.renew(peer, Some(channel), now.after(self.settings.timing.channel));
                Event::Bound { channel, peer, took }
            }
        };
        self.events.push_back(event);
    }

    fn plan_refresh(&mut self, now: Instant) {
        let life = Duration::from_secs(self.lifetime_s.into());
        let ahead = self.settings.timing.refresh_ahead.min(life / 2);
        self.refresh_at = Some(now.after((life - ahead).max(REFRESH_MIN)));
    }

    fn renew(&mut self, address: SocketAddr, channel: Option<u16>, at: Instant) {
        let peer = self.peers.iter_mut().find(|peer| peer.address == address && peer.channel == channel);
        if let Some(peer) = peer {
            peer.renew_at = Some(at);
        }
    }

    fn refused(&mut self, ask: Ask, code: u16, reason: String) {
        self.challenges = 0;
        // Without an allocation there is nothing to go on with (437: the server knows none).
        self.over |= matches!(ask, Ask::Allocate { .. } | Ask::Refresh { .. }) || code == 437;
        self.events.push_back(Event::Refused { method: ask.method(), code, reason });
    }

    /// What is to be sent now. Call until `None`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<&[u8]> {
        if self.over {
            return None;
        }
        self.renew_what_is_due(now);
        let (ask, _, exchange) = self.current.as_mut()?;
        match exchange.poll(now) {
            Due::Nothing => None,
            Due::Transmit => Some(&self.current.as_ref()?.2.octets),
            Due::GiveUp => {
                let method = ask.method();
                self.over |= matches!(method, Method::Allocate | Method::Refresh);
                self.events.push_back(Event::Unanswered { method });
                self.current = None;
                self.next(now);
                None
            }
        }
    }

    fn renew_what_is_due(&mut self, now: Instant) {
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = None;
            self.ask(Ask::Refresh { lifetime_s: self.settings.lifetime_s.unwrap_or(self.lifetime_s) }, now);
        }
        for at in 0..self.peers.len() {
            let peer = &mut self.peers[at];
            if peer.renew_at.take_if(|at| *at <= now).is_some() {
                let Peer { address, channel, .. } = *peer;
                self.ask(
                    match channel {
                        Some(channel) => Ask::Bind { channel, peer: address },
                        None => Ask::Permit { peer: address },
                    },
                    now,
                );
            }
        }
    }

    /// When [`poll_transmit`](Self::poll_transmit) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let renewals = self.peers.iter().filter_map(|peer| peer.renew_at);
        let request = self.current.as_ref().map(|(_, _, exchange)| exchange.next_at());
        renewals.chain(self.refresh_at).chain(request).min()
    }

    /// What happened, until `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn ask(&mut self, ask: Ask, now: Instant) {
        self.waiting.push_back(ask);
        self.next(now);
    }

    /// Begins the next request if none is in progress.
    fn next(&mut self, now: Instant) {
        if self.current.is_some() || self.over {
            return;
        }
        if let Some(ask) = self.waiting.pop_front() {
            let exchange = self.exchange(ask, now);
            self.current = Some((ask, now, exchange));
        }
    }

    fn exchange(&mut self, ask: Ask, first_at: Instant) -> Exchange {
        self.transactions = self.transactions.wrapping_add(1);
        // 96 bits, spread, so that clients with neighbouring seeds do not meet.
        let transaction = self.transactions.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 32;
        let octets = message::request(ask, transaction, &self.credentials, self.challenge.as_ref());
        Exchange::new(transaction, octets, self.settings.timing.retransmit, first_at)
    }
}

#[cfg(test)]
mod tests;
