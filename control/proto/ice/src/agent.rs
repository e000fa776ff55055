//! The agent: what it is told and asked, and its answers to checks.

use std::collections::VecDeque;
use std::net::SocketAddr;

use raceway_units::Instant;

use crate::candidate::{Candidate, Component, TooManyCandidates};
use crate::checklist::Checklist;
use crate::component::ComponentState;
use crate::credentials::Credentials;
use crate::integrity::Draws;
use crate::limits;
use crate::message::{Class, Message};

/// What kind of agent (RFC 8445 section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Answers checks and makes none; always controlled. For peers that are full: browsers, most phones.
    Lite,
    /// Checks and answers. For a peer that is lite, or that asks for it. The role is where it starts: a conflict may turn it
    /// (RFC 8445 section 7.3.1.1).
    Full(Role),
}

/// Who nominates (RFC 8445 section 6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This agent: it has offered, or its peer is lite.
    Controlling,
    /// The peer.
    Controlled,
}

/// A datagram that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// One of the agent's bases.
    pub local: SocketAddr,
    /// Where to.
    pub remote: SocketAddr,
    /// A STUN message.
    pub payload: Vec<u8>,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A component's pair was nominated: from now on its packets go there. Comes again at each change. Of a lite agent that has
    /// no pair yet also the first one that is valid.
    Nominated {
        /// Which.
        component: Component,
        /// Where the peer is.
        remote: SocketAddr,
    },
    /// The peer has been silent for [`limits::CONSENT_TIMEOUT`]: nothing more may be sent there (RFC 7675 section 5.1).
    ConsentLost {
        /// Which.
        component: Component,
    },
    /// A full agent has tried all candidates it has. More of them may still help.
    Failed {
        /// Which.
        component: Component,
    },
}

/// Why a datagram was discarded in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Discard {
    /// It came to an address that is not one of the agent's.
    UnknownLocal,
    /// Not a STUN message that holds together.
    Malformed,
    /// FINGERPRINT is wrong.
    Fingerprint,
    /// A method that is not Binding.
    NotBinding,
    /// A Binding indication: it keeps NATs open, and says nothing.
    Indication,
    /// A response that nobody waits for.
    Unexpected,
    /// A response without integrity, or with a wrong one.
    Unauthenticated,
    /// The response would be larger than the request, and enough of those were sent this second.
    OverBudget,
}

/// What became of a datagram. Anything but `Accepted` has changed nothing, except that an error response to a check of ours
/// ends that check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A check or a response with the right password.
    Accepted,
    /// Answered with an error of this code.
    Refused(u16),
    /// No answer.
    Discarded(Discard),
}

/// Credentials of both sides between two restarts.
#[derive(Debug)]
pub(crate) struct Generation {
    pub number: u32,
    pub local: Credentials,
    pub remote: Option<Credentials>,
}

/// An ICE agent for one media stream.
///
/// After each `handle_*`, `set_*`, `add_*` the caller drains [`Self::poll_transmit`] and [`Self::poll_event`], and calls
/// [`Self::handle_timeout`] when [`Self::poll_timeout`] says so.
#[derive(Debug)]
pub struct Agent {
    pub(crate) mode: Mode,
    pub(crate) current: Generation,
    /// Before the last restart: until there is a new pair, the old one is kept alive with it (RFC 8445 section 9).
    pub(crate) previous: Option<Generation>,
    pub(crate) components: Vec<ComponentState>,
    pub(crate) tie_breaker: u64,
    /// When the next check may start.
    pub(crate) next_check: Instant,
    pub(crate) transmits: VecDeque<Transmit>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) draws: Draws,
    /// Responses larger than their request to who has proven nothing: the second, and how many in it.
    pub(crate) unauthenticated: (u64, u32),
}

impl Agent {
    /// An agent that waits. `bases` are its own addresses, of RTP and then of RTCP if that is not muxed; more are left out.
    /// `seed` is unpredictable: transaction numbers and the tie-breaker are drawn from it.
    #[must_use]
    pub fn new(mode: Mode, local: Credentials, bases: &[SocketAddr], seed: [u8; 32]) -> Self {
        let mut draws = Draws::new(seed);
        let tie_breaker = draws.number();
        let mut agent = Self {
            mode,
            current: Generation { number: 0, local, remote: None },
            previous: None,
            components: Vec::new(),
            tie_breaker,
            next_check: Instant::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            draws,
            unauthenticated: (0, 0),
        };
        agent.set_bases(bases);
        agent
    }

    /// Its own addresses from now on: RTCP goes when the answer said that it is muxed. A component whose address is as it was
    /// keeps its state.
    pub fn set_bases(&mut self, bases: &[SocketAddr]) {
        let mut old = std::mem::take(&mut self.components);
        for (component, base) in Component::ALL.into_iter().zip(bases) {
            let same = old.iter().position(|state| (state.component, state.base) == (component, *base));
            self.components.push(same.map_or_else(|| ComponentState::new(component, *base), |at| old.remove(at)));
        }
    }

    /// Its own credentials.
    #[must_use]
    pub fn local_credentials(&self) -> &Credentials {
        &self.current.local
    }

    /// The peer's credentials. Checks of the peer may come before (RFC 8445 section 7.3), ours begin with them. Others than
    /// before, without a restart of ours: candidates are asked for anew.
    pub fn set_remote(&mut self, remote: Credentials) {
        if self.current.remote.as_ref().is_some_and(|known| *known != remote) {
            self.components.iter_mut().for_each(|state| state.checklist = Checklist::default());
        }
        self.current.remote = Some(remote);
    }

    /// A remote candidate, at any time (RFC 8838). A known one is nothing new, and a lite agent needs none.
    ///
    /// # Errors
    /// There is no room, or no such component.
    pub fn add_remote_candidate(&mut self, now: Instant, candidate: Candidate) -> Result<(), TooManyCandidates> {
        let Candidate { component, address, priority } = candidate;
        let state = self.components.iter_mut().find(|state| state.component == component).ok_or(TooManyCandidates)?;
        if self.mode == Mode::Lite || state.checklist.add(address, priority) {
            self.next_check = self.next_check.max(now);
            return Ok(());
        }
        Err(TooManyCandidates)
    }

    /// An ICE restart (RFC 8445 section 9): new credentials of ours; those of the peer and its candidates are to be set again.
    /// The nominated pairs stay in use until others are nominated.
    pub fn restart(&mut self, local: Credentials) {
        let next = Generation { number: self.current.number + 1, local, remote: None };
        let old = std::mem::replace(&mut self.current, next);
        // If the old generation has nothing nominated yet, the one before it may have.
        if self.previous.is_none() || self.components.iter().any(|state| state.has_selected(old.number)) {
            self.previous = Some(old);
        }
        self.components.iter_mut().for_each(|state| state.checklist = Checklist::default());
    }

    /// A datagram whose first octet is 0 to 3 (RFC 7983).
    pub fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, payload: &[u8]) -> Outcome {
        let Some(at) = self.components.iter().position(|state| state.base == local) else {
            return Outcome::Discarded(Discard::UnknownLocal);
        };
        match Message::parse(payload) {
            Err(discard) => Outcome::Discarded(discard),
            Ok(message) => match message.class {
                Class::Request => self.answer(now, at, remote, &message),
                Class::Indication => Outcome::Discarded(Discard::Indication),
                Class::Success | Class::Error => self.take_response(now, at, remote, &message),
            },
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        for state in &mut self.components {
            if state.consent_deadline().is_some_and(|deadline| deadline <= now) {
                state.selected = None;
                // What worked once is no longer known to: it takes a check of the peer, or a candidate, to begin again.
                state.checklist = Checklist::default();
                self.events.push_back(Event::ConsentLost { component: state.component });
            }
        }
        if let Mode::Full(role) = self.mode {
            self.check(now, role);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let consent = self.components.iter().filter_map(ComponentState::consent_deadline).min();
        let checks = if self.mode == Mode::Lite { None } else { self.checks_due() };
        consent.into_iter().chain(checks).min()
    }

    /// The next datagram that is to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing that has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Where a component's packets go.
    #[must_use]
    pub fn selected(&self, component: Component) -> Option<SocketAddr> {
        self.components.iter().find(|state| state.component == component)?.selected.map(|selected| selected.remote)
    }

    /// Whether a check with the right password came from there, or a right answer to ours, not long ago.
    #[must_use]
    pub fn is_validated(&self, remote: SocketAddr) -> bool {
        self.components.iter().any(|state| state.is_validated(remote))
    }

    /// Remote candidates that a full agent has, of all components: what it takes of memory.
    #[must_use]
    pub fn candidates(&self) -> usize {
        self.components.iter().map(|state| state.checklist.len()).sum()
    }

    /// Whoever controls has nominated this pair.
    pub(crate) fn nominate(&mut self, now: Instant, at: usize, remote: SocketAddr, priority: u32) {
        let number = self.current.number;
        let state = &mut self.components[at];
        if !state.nominate(now, remote, priority, number) {
            return;
        }
        if let (Mode::Full(_), Some(selected)) = (self.mode, &mut state.selected) {
            selected.keeps_consent = true;
        }
        self.events.push_back(Event::Nominated { component: state.component, remote });
        if self.components.iter().all(|state| state.has_selected(number)) {
            self.previous = None;
        }
    }

    pub(crate) fn send(&mut self, at: usize, remote: SocketAddr, payload: Vec<u8>) {
        // A caller that does not drain loses what is oldest.
        if self.transmits.len() == limits::TRANSMITS_MAX {
            self.transmits.pop_front();
        }
        self.transmits.push_back(Transmit { local: self.components[at].base, remote, payload });
    }
}
