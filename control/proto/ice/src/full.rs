//! The full agent's checks and what becomes of them (RFC 8445 sections 6.1.4, 7.2 and 8, RFC 7675).

use std::net::SocketAddr;

use raceway_units::Instant;

use crate::agent::{Agent, Discard, Event, Generation, Mode, Outcome, Role};
use crate::candidate::{CandidateKind, priority};
use crate::checklist::{Check, State};
use crate::component::ComponentState;
use crate::integrity::IntegrityKind;
use crate::limits;
use crate::message::{Class, ICE_CONTROLLED, ICE_CONTROLLING, Message, PRIORITY, USE_CANDIDATE, USERNAME};
use crate::write::Writer;

impl Agent {
    /// Sends what is due.
    pub(crate) fn check(&mut self, now: Instant, role: Role) {
        for at in 0..self.components.len() {
            self.keep_consent(now, at);
        }
        if self.current.remote.is_none() {
            return;
        }
        for at in 0..self.components.len() {
            self.send_again(now, at);
            if role == Role::Controlling {
                self.nominate_best(now, at);
            }
            self.tell_failure(at);
        }
        self.start_check(now, role);
    }

    /// When something is.
    pub(crate) fn checks_due(&self) -> Option<Instant> {
        let consent = self.components.iter().filter_map(|state| state.selected).map(|selected| selected.next_consent);
        if self.current.remote.is_none() {
            return consent.min();
        }
        let number = self.current.number;
        let nominates = self.mode == Mode::Full(Role::Controlling);
        let open = |state: &&ComponentState| !state.has_selected(number);
        let nominations = self.components.iter().filter(open).filter_map(|state| state.checklist.nomination_due());
        let startable = |state: &ComponentState| state.checklist.has_next(!state.has_selected(number));
        let start = self.components.iter().any(startable).then_some(self.next_check);
        let again = self.components.iter().filter_map(|state| state.checklist.resend_due());
        consent.chain(nominations.filter(|_| nominates)).chain(start).chain(again).min()
    }

    /// A check of consent each five seconds or so, with a transaction of its own (RFC 7675 section 5.1).
    fn keep_consent(&mut self, now: Instant, at: usize) {
        let Some(selected) = self.components[at].selected.filter(|selected| selected.next_consent <= now) else {
            return;
        };
        let transaction = self.draws.transaction();
        // From 80 to 120 %.
        let interval = limits::CONSENT_INTERVAL * (800 + (self.draws.number() % 401) as u32) / 1000;
        let controlling = self.mode == Mode::Full(Role::Controlling);
        let payload = self.write_check(at, selected.generation, transaction, controlling, false);
        let remote = selected.remote;
        if let Some(selected) = &mut self.components[at].selected {
            selected.consent_checks = [selected.consent_checks[1], Some(transaction)];
            selected.next_consent = now.after(interval);
        }
        if let Some(payload) = payload {
            self.send(at, remote, payload);
        }
    }

    fn send_again(&mut self, now: Instant, at: usize) {
        while let Some(pair) = self.components[at].checklist.resend(now) {
            let (remote, check) = (pair.remote, pair.check.expect("it is due"));
            self.send_check(at, remote, check);
        }
    }

    /// Regular nomination: the best pair that works is checked again, with USE-CANDIDATE (RFC 8445 section 8.1.1).
    fn nominate_best(&mut self, now: Instant, at: usize) {
        if self.components[at].has_selected(self.current.number) {
            return;
        }
        let transaction = self.draws.transaction();
        if let Some(pair) = self.components[at].checklist.best_to_nominate(now) {
            let (remote, check) = (pair.remote, pair.start(now, transaction, true, true));
            self.send_check(at, remote, check);
        }
    }

    fn tell_failure(&mut self, at: usize) {
        let number = self.current.number;
        let state = &mut self.components[at];
        if state.checklist.has_failed() && !state.checklist.failure_told && !state.has_selected(number) {
            state.checklist.failure_told = true;
            self.events.push_back(Event::Failed { component: state.component });
        }
    }

    /// One new check at most each Ta, of the component whose turn it is by its pair's priority.
    fn start_check(&mut self, now: Instant, role: Role) {
        if now < self.next_check {
            return;
        }
        let number = self.current.number;
        let transaction = self.draws.transaction();
        let candidates = self.components.iter_mut().enumerate().filter_map(|(at, state)| {
            let ordinary = !state.has_selected(number);
            state.checklist.next(ordinary).map(|pair| (at, pair))
        });
        let Some((at, pair)) = candidates.max_by_key(|(_, pair)| (pair.triggered, pair.priority)) else { return };
        let (remote, check) = (pair.remote, pair.start(now, transaction, false, role == Role::Controlling));
        self.next_check = now.after(limits::PACING);
        self.send_check(at, remote, check);
    }

    fn send_check(&mut self, at: usize, remote: SocketAddr, check: Check) {
        let number = self.current.number;
        if let Some(payload) = self.write_check(at, number, check.transaction, check.controlling, check.nominates) {
            self.send(at, remote, payload);
        }
    }

    /// A connectivity check (RFC 8445 section 7.2.2). PRIORITY is what a candidate learned from it would have.
    fn write_check(
        &self,
        at: usize,
        generation: u32,
        transaction: [u8; 12],
        controlling: bool,
        nominates: bool,
    ) -> Option<Vec<u8>> {
        let Generation { local, remote, .. } = self.generation(generation)?;
        let remote = remote.as_ref()?;
        let learned = priority(CandidateKind::PeerReflexive, self.components[at].component);
        let role = if controlling { ICE_CONTROLLING } else { ICE_CONTROLLED };
        let mut writer = Writer::new(Class::Request, transaction)
            .add(USERNAME, format!("{}:{}", remote.ufrag(), local.ufrag()).as_bytes())
            .add(PRIORITY, &learned.to_be_bytes())
            .add(role, &self.tie_breaker.to_be_bytes());
        if nominates {
            writer = writer.add(USE_CANDIDATE, &[]);
        }
        Some(writer.sign(IntegrityKind::Sha1, remote).finish(true))
    }

    fn generation(&self, number: u32) -> Option<&Generation> {
        let both = [Some(&self.current), self.previous.as_ref()];
        both.into_iter().flatten().find(|generation| generation.number == number)
    }

    /// A response (RFC 8445 section 7.2.5).
    pub(crate) fn take_response(
        &mut self,
        now: Instant,
        at: usize,
        remote: SocketAddr,
        response: &Message<'_>,
    ) -> Outcome {
        if let Some(outcome) = self.take_consent(now, at, remote, response) {
            return outcome;
        }
        let state = &mut self.components[at];
        let Some(pair) = state.checklist.checked(response.transaction) else {
            return Outcome::Discarded(Discard::Unexpected);
        };
        let (pair_remote, check) = (pair.remote, pair.check.expect("it was found by its check"));
        if response.class == Class::Error {
            return self.take_error(at, pair_remote, check, response);
        }
        if !verifies(&self.current, response) {
            return Outcome::Discarded(Discard::Unauthenticated);
        }
        if pair_remote != remote || response.mapped.is_none() {
            pair.fail();
            return Outcome::Accepted;
        }
        let (priority, wanted) = (pair.priority, pair.wanted);
        state.checklist.succeed(now, remote);
        state.validate(remote);
        if check.nominates || wanted {
            self.nominate(now, at, remote, priority);
        }
        Outcome::Accepted
    }

    /// The answer to a consent check, if it is one.
    fn take_consent(&mut self, now: Instant, at: usize, remote: SocketAddr, response: &Message<'_>) -> Option<Outcome> {
        let selected = self.components[at].selected?;
        if !selected.consent_checks.contains(&Some(response.transaction)) {
            return None;
        }
        let right = self.generation(selected.generation).is_some_and(|generation| verifies(generation, response));
        if !right {
            return Some(Outcome::Discarded(Discard::Unauthenticated));
        }
        if let Some(selected) = &mut self.components[at].selected
            && response.class == Class::Success
            && remote == selected.remote
        {
            selected.fresh = now;
        }
        Some(Outcome::Accepted)
    }

    /// 487 turns the role and checks again (RFC 8445 section 7.2.5.1); any other error ends the pair.
    fn take_error(&mut self, at: usize, remote: SocketAddr, check: Check, response: &Message<'_>) -> Outcome {
        let conflict = response.error == Some(487);
        if conflict && !verifies(&self.current, response) {
            return Outcome::Discarded(Discard::Unauthenticated);
        }
        let Some(pair) = self.components[at].checklist.pair(remote) else {
            return Outcome::Discarded(Discard::Unexpected);
        };
        pair.fail();
        if conflict {
            (pair.state, pair.triggered) = (State::Waiting, true);
            self.mode = Mode::Full(if check.controlling { Role::Controlled } else { Role::Controlling });
        }
        Outcome::Accepted
    }
}

/// Whether a response was made with the peer's password.
fn verifies(generation: &Generation, response: &Message<'_>) -> bool {
    let verifies = |remote| response.integrity.is_some_and(|integrity| integrity.verifies(remote, response.octets));
    generation.remote.as_ref().is_some_and(verifies)
}
