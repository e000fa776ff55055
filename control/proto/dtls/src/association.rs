//! An association: from the first datagram to keys.

use std::collections::VecDeque;
use std::net::SocketAddr;

use openssl::x509::X509;
use raceway_units::Instant;

use crate::certificate::{Identity, LibraryError};
use crate::fingerprint::{Fingerprint, matches};
use crate::flight::Flight;
use crate::keys::{Keys, Profile};
use crate::limits;
use crate::records::Records;
use crate::session::{Progress, Session};

/// Who begins (`a=setup`, RFC 5763 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We do: the client.
    Active,
    /// The peer does.
    Passive,
}

/// A datagram that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub remote: SocketAddr,
    /// DTLS records.
    pub payload: Vec<u8>,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer is who its SDP says, and these are the keys.
    Keys(Keys),
    /// There will be no keys.
    Failed(Failure),
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The handshake broke, as OpenSSL says it.
    #[error("the DTLS handshake failed: {0}")]
    Handshake(String),
    /// Not done in [`limits::HANDSHAKE_TIMEOUT`]. The alert is one that came in the clear, from the peer or from whoever.
    #[error("the DTLS handshake was not over after {} s{}", limits::HANDSHAKE_TIMEOUT.as_secs(), say_alert(*.0))]
    Timeout(Option<u8>),
    /// The certificate is not one that the peer's SDP names.
    #[error("the peer's certificate is not the one that its SDP has the fingerprint of")]
    Fingerprint,
    /// The handshake is over without an SRTP profile that both sides have (RFC 5764 section 4.1.1).
    #[error("the peer and this side have no SRTP profile in common")]
    NoProfile,
}

fn say_alert(alert: Option<u8>) -> String {
    alert.map_or_else(String::new, |alert| format!("; an alert {alert} had come"))
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It went to the association.
    Accepted,
    /// Nothing has changed.
    Discarded(Discard),
}

/// Why a datagram was discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Discard {
    /// From an address that nobody has named.
    NotAllowed,
    /// Not DTLS records that hold together.
    Malformed,
    /// A passive association begins with a ClientHello.
    NotClientHello,
    /// There was nothing but alerts in the clear, which end nothing.
    Alert,
    /// The association is over.
    Over,
}

/// Where an association is.
#[derive(Debug)]
enum State {
    /// The handshake has not begun, or goes on.
    Handshake(Session),
    /// It is over, and who the peer is must be said. None: no profile in common.
    Unnamed(X509, Option<Keys>),
    /// Keys are out, or never will be.
    Over,
}

/// A DTLS-SRTP association with one peer, for one component.
///
/// After each call the caller drains [`Self::poll_transmit`] and [`Self::poll_event`], and calls [`Self::handle_timeout`] when
/// [`Self::poll_timeout`] says so. One event comes of it. OpenSSL's half, the most of its memory, is let go with the handshake's
/// end: only the last flight is kept, for a peer that has missed it, and an alert that says goodbye.
#[derive(Debug)]
pub struct Association {
    role: Role,
    state: State,
    flight: Flight,
    /// Tells the peer that it has ended, sealed with the keys of the association.
    goodbye: Vec<Vec<u8>>,
    /// In the order that they were named.
    allowed: Vec<SocketAddr>,
    /// Where datagrams go.
    remote: Option<SocketAddr>,
    fingerprints: Option<Vec<Fingerprint>>,
    /// End of the handshake, or of the time after it.
    deadline: Option<Instant>,
    alert: Option<u8>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Association {
    /// One that waits. `profiles` are in our order of preference.
    ///
    /// # Errors
    /// OpenSSL fails, or there is no profile.
    pub fn new(role: Role, identity: &Identity, profiles: &[Profile]) -> Result<Self, LibraryError> {
        Ok(Self {
            role,
            state: State::Handshake(Session::new(role, identity, profiles)?),
            flight: Flight::default(),
            goodbye: Vec::new(),
            allowed: Vec::new(),
            remote: None,
            fingerprints: None,
            deadline: None,
            alert: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        })
    }

    /// Fingerprints of the peer's SDP, at most [`limits::FINGERPRINTS_MAX`]. Keys wait for them; they may come at any time
    /// before.
    pub fn set_fingerprints(&mut self, now: Instant, mut fingerprints: Vec<Fingerprint>) {
        fingerprints.truncate(limits::FINGERPRINTS_MAX);
        self.fingerprints = Some(fingerprints);
        self.judge(now);
    }

    /// The peer may speak from here: ICE has validated the address, or signalling has named it. Datagrams go there from now
    /// on. An active association begins with the first.
    pub fn allow(&mut self, now: Instant, remote: SocketAddr) {
        self.allowed.retain(|known| *known != remote);
        if self.allowed.len() == limits::ALLOWED_MAX {
            self.allowed.remove(0);
        }
        self.allowed.push(remote);
        let first = self.remote.replace(remote).is_none();
        if first && self.role == Role::Active {
            self.advance(now, None);
        }
    }

    /// A datagram whose first octet is 20 to 63 (RFC 7983).
    pub fn handle_datagram(&mut self, now: Instant, remote: SocketAddr, payload: &[u8]) -> Outcome {
        if !self.allowed.contains(&remote) {
            return Outcome::Discarded(Discard::NotAllowed);
        }
        let Some(records) = Records::read(payload).filter(|_| payload.len() <= limits::DATAGRAM_MAX) else {
            return Outcome::Discarded(Discard::Malformed);
        };
        let begun = self.deadline.is_some() || self.role == Role::Active;
        match self.state {
            State::Handshake(_) if begun || records.client_hello => {}
            State::Handshake(_) => return Outcome::Discarded(Discard::NotClientHello),
            State::Unnamed(..) | State::Over => return self.repeat(now, remote, &records),
        }
        self.alert = records.alert.or(self.alert);
        if records.kept.is_empty() {
            return Outcome::Discarded(Discard::Alert);
        }
        self.remote = Some(remote);
        self.advance(now, Some(records.kept));
        Outcome::Accepted
    }

    /// After the handshake: a peer that repeats its last flight has missed ours, if ours was the last of all (RFC 6347 section
    /// 4.2.4).
    fn repeat(&mut self, now: Instant, remote: SocketAddr, records: &Records) -> Outcome {
        if !records.handshake || self.role == Role::Active || self.flight.is_empty() {
            return Outcome::Discarded(Discard::Over);
        }
        self.remote = Some(remote);
        let again = self.flight.asked(now).to_vec();
        self.send(again);
        Outcome::Accepted
    }

    /// Ends it: the peer is told, if there was a handshake.
    pub fn close(&mut self) {
        let goodbye = std::mem::take(&mut self.goodbye);
        self.send(goodbye);
        self.end();
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            match self.state {
                State::Handshake(_) => self.fail(Failure::Timeout(self.alert)),
                State::Unnamed(..) | State::Over => self.end(),
            }
        }
        let again = self.flight.again(now).to_vec();
        self.send(again);
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline.into_iter().chain(self.flight.due()).min()
    }

    /// The next datagram that is to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing that has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Lets OpenSSL go on, and sends what it wants sent.
    fn advance(&mut self, now: Instant, datagram: Option<Vec<u8>>) {
        let State::Handshake(session) = &mut self.state else { return };
        let progress = session.advance(datagram);
        let datagrams = session.datagrams();
        if !datagrams.is_empty() {
            self.deadline.get_or_insert(now.after(limits::HANDSHAKE_TIMEOUT));
            self.flight.replace(now, datagrams.clone());
            self.send(datagrams);
        }
        match progress {
            Ok(Progress::Handshake) => {}
            Ok(Progress::Done) => self.finish(now),
            Err(reason) => self.fail(Failure::Handshake(reason)),
        }
    }

    /// The handshake is over.
    fn finish(&mut self, now: Instant) {
        let State::Handshake(mut session) = std::mem::replace(&mut self.state, State::Over) else { return };
        let Some(certificate) = session.peer_certificate() else { return self.fail(Failure::Fingerprint) };
        let keys = session.keying_material().map(|(profile, material)| Keys::new(profile, self.role, material));
        self.goodbye = session.close();
        self.flight.settle();
        // Signalling may take as long as it likes.
        self.deadline = None;
        self.state = State::Unnamed(certificate, keys);
        self.judge(now);
    }

    /// Gives keys out if the certificate is the right one, once both are known.
    fn judge(&mut self, now: Instant) {
        let Some(fingerprints) = self.fingerprints.as_ref() else { return };
        match std::mem::replace(&mut self.state, State::Over) {
            State::Unnamed(certificate, _) if !matches(fingerprints, &certificate) => self.reject(Failure::Fingerprint),
            State::Unnamed(_, None) => self.reject(Failure::NoProfile),
            State::Unnamed(_, Some(keys)) => {
                self.deadline = Some(now.after(limits::LINGER));
                self.events.push_back(Event::Keys(keys));
            }
            other @ (State::Handshake(_) | State::Over) => self.state = other,
        }
    }

    /// Tells the peer that it is not wanted.
    fn reject(&mut self, failure: Failure) {
        self.close();
        self.fail(failure);
    }

    fn fail(&mut self, failure: Failure) {
        self.events.push_back(Event::Failed(failure));
        self.end();
    }

    fn end(&mut self) {
        self.state = State::Over;
        self.deadline = None;
        self.flight = Flight::default();
    }

    fn send(&mut self, datagrams: Vec<Vec<u8>>) {
        let Some(remote) = self.remote else { return };
        // A caller that does not drain loses what is oldest.
        let beyond = (self.transmits.len() + datagrams.len()).saturating_sub(2 * limits::FLIGHT_MAX);
        self.transmits.drain(..beyond.min(self.transmits.len()));
        self.transmits.extend(datagrams.into_iter().map(|payload| Transmit { remote, payload }));
    }
}
