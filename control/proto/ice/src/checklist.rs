//! Pairs of a component and their checks: the full agent's half (RFC 8445 sections 6 and 7). There is one local candidate for
//! each component, so a pair is a remote candidate, and none is ever frozen.

use std::net::SocketAddr;

use raceway_units::Instant;

use crate::limits;

/// Where a pair is in its life (RFC 8445 section 6.1.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    InProgress,
    Succeeded,
    Failed,
}

/// A check that waits for its response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    pub transaction: [u8; 12],
    /// It carries USE-CANDIDATE.
    pub nominates: bool,
    /// It says that its sender is controlling.
    pub controlling: bool,
    sends: u8,
    /// When to send again or to give up.
    due: Instant,
}

impl Check {
    fn new(transaction: [u8; 12], nominates: bool, controlling: bool, now: Instant) -> Self {
        Self { transaction, nominates, controlling, sends: 1, due: now.after(limits::RETRANSMISSION) }
    }
}

/// A remote candidate and what is known of the way to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub remote: SocketAddr,
    pub priority: u32,
    pub state: State,
    pub check: Option<Check>,
    /// Signalling named it; otherwise a check came from there.
    pub signalled: bool,
    /// A check is due before all others (RFC 8445 section 7.3.1.4).
    pub triggered: bool,
    /// The controlling peer nominated it before it was known to work.
    pub wanted: bool,
}

/// Pairs of a component.
#[derive(Debug, Default)]
pub(crate) struct Checklist {
    pairs: Vec<Pair>,
    /// When the first pair worked.
    first_success: Option<Instant>,
    /// The failure of all pairs was told.
    pub failure_told: bool,
}

impl Checklist {
    /// A candidate of signalling; whether there was room.
    pub fn add(&mut self, remote: SocketAddr, priority: u32) -> bool {
        if let Some(pair) = self.pair(remote) {
            (pair.priority, pair.signalled) = (priority, true);
            return true;
        }
        if self.pairs.iter().filter(|pair| pair.signalled).count() == limits::CANDIDATES_MAX {
            return false;
        }
        self.push(remote, priority, true);
        true
    }

    /// An authenticated check came from `remote` (RFC 8445 sections 7.3.1.3 and 7.3.1.4).
    pub fn heard(&mut self, remote: SocketAddr, priority: u32) -> &mut Pair {
        if self.pair(remote).is_none() {
            self.make_room();
            self.push(remote, priority, false);
        }
        let pair = self.pair(remote).expect("it was just put there");
        pair.triggered |= pair.state != State::Succeeded && pair.check.is_none_or(|check| check.sends > 1);
        pair
    }

    fn push(&mut self, remote: SocketAddr, priority: u32, signalled: bool) {
        let (state, check) = (State::Waiting, None);
        self.pairs.push(Pair { remote, priority, state, check, signalled, triggered: false, wanted: false });
        self.failure_told = false;
    }

    /// Forgets a learned candidate when there are too many: the first that does not work, else the first.
    fn make_room(&mut self) {
        let mut learned = self.pairs.iter().enumerate().filter(|(_, pair)| !pair.signalled);
        if learned.clone().count() < limits::PEER_REFLEXIVE_MAX {
            return;
        }
        let first = learned.clone().next();
        let useless = learned.find(|(_, pair)| pair.state != State::Succeeded);
        if let Some((at, _)) = useless.or(first) {
            self.pairs.remove(at);
        }
    }

    pub fn pair(&mut self, remote: SocketAddr) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.remote == remote)
    }

    /// The pair whose check has this transaction.
    pub fn checked(&mut self, transaction: [u8; 12]) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.check.is_some_and(|check| check.transaction == transaction))
    }

    /// A pair's check was answered as it should be.
    pub fn succeed(&mut self, now: Instant, remote: SocketAddr) {
        if let Some(pair) = self.pair(remote) {
            (pair.state, pair.check, pair.triggered) = (State::Succeeded, None, false);
            self.first_success.get_or_insert(now);
        }
    }

    /// The pair that is to be checked next: triggered ones first; ordinary ones unless the component has its pair.
    pub fn next(&mut self, ordinary: bool) -> Option<&mut Pair> {
        let due = |pair: &&mut Pair| pair.triggered || (ordinary && pair.state == State::Waiting);
        self.pairs.iter_mut().filter(due).max_by_key(|pair| (pair.triggered, pair.priority))
    }

    /// Whether `next` would have one.
    pub fn has_next(&self, ordinary: bool) -> bool {
        self.pairs.iter().any(|pair| pair.triggered || (ordinary && pair.state == State::Waiting))
    }

    /// The pair that a controlling agent should nominate now (RFC 8445 section 8.1.1), if no nomination is under way.
    pub fn best_to_nominate(&mut self, now: Instant) -> Option<&mut Pair> {
        if now < self.nomination_due()? {
            return None;
        }
        self.pairs.iter_mut().filter(|pair| pair.state == State::Succeeded).max_by_key(|pair| pair.priority)
    }

    /// When that is. Each of our pairs has the same local candidate, so their order is that of the remote priorities.
    pub fn nomination_due(&self) -> Option<Instant> {
        let first = self.first_success?;
        let nominating = |pair: &Pair| pair.check.is_some_and(|check| check.nominates);
        if self.pairs.iter().any(nominating) {
            return None;
        }
        let best = self.pairs.iter().filter(|pair| pair.state == State::Succeeded).map(|pair| pair.priority).max()?;
        let open = |pair: &Pair| matches!(pair.state, State::Waiting | State::InProgress) && pair.priority > best;
        let wait = self.pairs.iter().any(open);
        Some(if wait { first.after(limits::NOMINATION_PATIENCE) } else { first })
    }

    /// A pair whose check is due to be sent again; those that have been sent often enough fail.
    pub fn resend(&mut self, now: Instant) -> Option<&Pair> {
        self.pairs.iter_mut().find_map(|pair| pair.resend(now).then_some(&*pair))
    }

    /// When the next check is to be sent again or given up.
    pub fn resend_due(&self) -> Option<Instant> {
        self.pairs.iter().filter_map(|pair| pair.check).map(|check| check.due).min()
    }

    /// Whether there are pairs and none can work any more.
    pub fn has_failed(&self) -> bool {
        !self.pairs.is_empty() && self.pairs.iter().all(|pair| pair.state == State::Failed && !pair.triggered)
    }

    pub fn len(&self) -> usize {
        self.pairs.len()
    }
}

impl Pair {
    /// A new check of this pair is sent.
    pub fn start(&mut self, now: Instant, transaction: [u8; 12], nominates: bool, controlling: bool) -> Check {
        let check = Check::new(transaction, nominates, controlling, now);
        self.check = Some(check);
        self.triggered = false;
        if self.state != State::Succeeded {
            self.state = State::InProgress;
        }
        check
    }

    /// Whether its check is to be sent again now (RFC 8489 section 6.2.1); it fails when that was done often enough.
    fn resend(&mut self, now: Instant) -> bool {
        let Some(check) = self.check.as_mut().filter(|check| check.due <= now) else { return false };
        if check.sends == limits::SENDS_MAX {
            self.fail();
            return false;
        }
        check.sends += 1;
        let wait = if check.sends == limits::SENDS_MAX { limits::LAST_WAIT } else { 1 << (check.sends - 1) };
        check.due = now.after(limits::RETRANSMISSION * wait);
        true
    }

    /// Its check was refused, came back another way, or not at all.
    pub fn fail(&mut self) {
        (self.state, self.check, self.triggered) = (State::Failed, None, false);
    }
}
