//! What a check of the peer is answered, and what it changes.

use std::net::SocketAddr;

use raceway_units::Instant;

use crate::agent::{Agent, Discard, Generation, Mode, Outcome, Role};
use crate::candidate::{CandidateKind, priority};
use crate::checklist::State;
use crate::component::NOT_YET_NOMINATED;
use crate::limits;
use crate::message::{Claim, Class, Message};
use crate::write::Writer;

impl Agent {
    /// A check of the peer (RFC 8445 section 7.3, RFC 8489 section 9.1.3).
    pub(crate) fn answer(&mut self, now: Instant, at: usize, remote: SocketAddr, check: &Message<'_>) -> Outcome {
        let (Some(username), Some(integrity)) = (check.username, check.integrity) else {
            return self.refuse_stranger(now, at, remote, check, 400);
        };
        let Some(generation) = self.addressed(username).filter(|g| integrity.verifies(&g.local, check.octets)) else {
            return self.refuse_stranger(now, at, remote, check, 401);
        };
        let (number, local) = (generation.number, generation.local.clone());
        let response = |class| Writer::new(class, check.transaction);
        let refusal = if check.unknown_count > 0 {
            Some((420, response(Class::Error).error(420).unknown(&check.unknown[..check.unknown_count])))
        } else {
            self.role_conflict(check.claim).then(|| (487, response(Class::Error).error(487)))
        };
        let (outcome, writer) = match refusal {
            Some((code, writer)) => (Outcome::Refused(code), writer),
            None => (Outcome::Accepted, response(Class::Success).mapped(remote)),
        };
        let payload = writer.sign(integrity.kind, &local).finish(true);
        self.send(at, remote, payload);
        if outcome == Outcome::Accepted && self.components[at].is_original(check.transaction, remote) {
            self.heard(now, at, remote, number, check);
        }
        outcome
    }

    /// Whose user fragment a check's USERNAME begins with.
    fn addressed(&self, username: &[u8]) -> Option<&Generation> {
        let to = username.split(|octet| *octet == b':').next()?;
        let both = [Some(&self.current), self.previous.as_ref()];
        both.into_iter().flatten().find(|generation| generation.local.ufrag().as_bytes() == to)
    }

    /// Answers who has proven nothing, without integrity.
    fn refuse_stranger(
        &mut self,
        now: Instant,
        at: usize,
        remote: SocketAddr,
        check: &Message<'_>,
        code: u16,
    ) -> Outcome {
        let payload = Writer::new(Class::Error, check.transaction).error(code).finish(check.fingerprint);
        if payload.len() > check.octets.len() && !self.has_budget(now) {
            return Outcome::Discarded(Discard::OverBudget);
        }
        self.send(at, remote, payload);
        Outcome::Refused(code)
    }

    fn has_budget(&mut self, now: Instant) -> bool {
        let second = now.as_ns() / 1_000_000_000;
        if self.unauthenticated.0 != second {
            self.unauthenticated = (second, 0);
        }
        self.unauthenticated.1 += 1;
        self.unauthenticated.1 <= limits::UNAUTHENTICATED_PER_SECOND
    }

    /// Whether the peer must change its role; where it need not, we change ours (RFC 8445 section 7.3.1.1).
    fn role_conflict(&mut self, claim: Option<Claim>) -> bool {
        match (self.mode, claim) {
            (Mode::Lite, Some(Claim::Controlled(_))) => true,
            (Mode::Full(Role::Controlling), Some(Claim::Controlling(theirs))) => {
                if self.tie_breaker < theirs {
                    self.mode = Mode::Full(Role::Controlled);
                }
                self.tie_breaker >= theirs
            }
            (Mode::Full(Role::Controlled), Some(Claim::Controlled(theirs))) => {
                if self.tie_breaker >= theirs {
                    self.mode = Mode::Full(Role::Controlling);
                }
                self.tie_breaker < theirs
            }
            _ => false,
        }
    }

    /// What an authenticated check means beyond its answer.
    fn heard(&mut self, now: Instant, at: usize, remote: SocketAddr, generation: u32, check: &Message<'_>) {
        let state = &mut self.components[at];
        let learned = priority(CandidateKind::PeerReflexive, state.component);
        let priority = check.priority.unwrap_or(learned);
        state.validate(remote);
        if self.mode == Mode::Lite {
            let is_first = self.components[at].selected.is_none();
            if generation == self.current.number && (check.use_candidate || is_first) {
                // Browsers nominate to a lite agent with their second check, up to 2.5 s after they are connected. Until then
                // the first pair that is valid will do (RFC 8445 section 12.1).
                self.nominate(now, at, remote, if check.use_candidate { priority } else { NOT_YET_NOMINATED });
            }
            self.components[at].refresh(now, remote);
            return;
        }
        if generation != self.current.number {
            return;
        }
        let pair = state.checklist.heard(remote, priority);
        let works = pair.state == State::Succeeded;
        let nominated = check.use_candidate && self.mode == Mode::Full(Role::Controlled);
        pair.wanted |= nominated && !works;
        if nominated && works {
            self.nominate(now, at, remote, priority);
        }
    }
}
