//! One component: which remote address is nominated, and who has shown the password.

use std::net::SocketAddr;

use raceway_units::Instant;

use crate::candidate::Component;
use crate::checklist::Checklist;
use crate::limits;

/// The priority of a pair that is in use because it is the first one that is valid: whatever is nominated has a higher one.
pub(crate) const NOT_YET_NOMINATED: u32 = 0;

/// The nominated pair of a component.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selected {
    pub remote: SocketAddr,
    pub priority: u32,
    /// Of the credentials that it was nominated with.
    pub generation: u32,
    /// The first nomination of this generation.
    pub since: Instant,
    /// When the peer's last authenticated check came from there; of a full agent, when its last answer did.
    pub fresh: Instant,
    /// Whether silence means that consent is lost: always for a full agent, and for a lite one that was checked for a while.
    pub keeps_consent: bool,
    /// Consent checks that are not answered yet, the older one first (full agents).
    pub consent_checks: [Option<[u8; 12]>; 2],
    /// When the next one is due.
    pub next_consent: Instant,
}

/// Address and time of one check, to tell a copy from the original.
#[derive(Clone, Copy, Debug)]
struct Seen {
    transaction: [u8; 12],
    remote: SocketAddr,
}

/// State of a component.
#[derive(Debug)]
pub(crate) struct ComponentState {
    pub component: Component,
    pub base: SocketAddr,
    pub selected: Option<Selected>,
    pub checklist: Checklist,
    /// In the order of the last time.
    validated: Vec<SocketAddr>,
    seen: Vec<Seen>,
    next_seen: usize,
}

impl ComponentState {
    pub fn new(component: Component, base: SocketAddr) -> Self {
        let checklist = Checklist::default();
        Self { component, base, selected: None, checklist, validated: Vec::new(), seen: Vec::new(), next_seen: 0 }
    }

    /// Whether the component's pair is of this generation.
    pub fn has_selected(&self, generation: u32) -> bool {
        self.selected.is_some_and(|selected| selected.generation == generation)
    }

    pub fn is_validated(&self, remote: SocketAddr) -> bool {
        self.validated.contains(&remote)
    }

    /// Whether a check may change something: not if it is a copy of one that came from another address. Who copies a check
    /// cannot sign one of its own.
    pub fn is_original(&mut self, transaction: [u8; 12], remote: SocketAddr) -> bool {
        if let Some(seen) = self.seen.iter().find(|seen| seen.transaction == transaction) {
            return seen.remote == remote;
        }
        let seen = Seen { transaction, remote };
        if self.seen.len() < limits::REMEMBERED_CHECKS {
            self.seen.push(seen);
        } else {
            self.seen[self.next_seen] = seen;
            self.next_seen = (self.next_seen + 1) % limits::REMEMBERED_CHECKS;
        }
        true
    }

    /// Who is there has shown the password. The one that has not done so for longest makes room; never the nominated one.
    pub fn validate(&mut self, remote: SocketAddr) {
        if let Some(at) = self.validated.iter().position(|known| *known == remote) {
            self.validated[at..].rotate_left(1);
            return;
        }
        if self.validated.len() == limits::VALIDATED_MAX {
            let kept = self.selected.map(|selected| selected.remote);
            let oldest = self.validated.iter().position(|known| Some(*known) != kept);
            self.validated.remove(oldest.expect("one address at most is nominated"));
        }
        self.validated.push(remote);
    }

    /// A nomination by whoever controls; whether the component has another pair now. The latest one counts, so that a peer
    /// whose address has changed is followed at once; but a peer that nominates whatever works, as RFC 5245 allowed,
    /// does so in its first seconds, and means its best.
    pub fn nominate(&mut self, now: Instant, remote: SocketAddr, priority: u32, generation: u32) -> bool {
        let current = self.selected.filter(|selected| selected.generation == generation);
        if let (Some(current), Some(selected)) = (current, &mut self.selected) {
            if current.priority == NOT_YET_NOMINATED {
                selected.since = now;
            }
            if current.remote == remote {
                selected.priority = priority;
                return false;
            }
            if priority < current.priority && now.since(current.since) < limits::NOMINATION_SETTLING {
                return false;
            }
        }
        self.selected = Some(Selected {
            remote,
            priority,
            generation,
            since: current.filter(|current| current.priority != NOT_YET_NOMINATED).map_or(now, |current| current.since),
            fresh: now,
            keeps_consent: current.is_some_and(|current| current.keeps_consent),
            consent_checks: [None; 2],
            next_consent: now.after(limits::CONSENT_INTERVAL),
        });
        true
    }

    /// An authenticated check of the peer came from `remote` to this lite agent.
    pub fn refresh(&mut self, now: Instant, remote: SocketAddr) {
        if let Some(selected) = self.selected.as_mut().filter(|selected| selected.remote == remote) {
            selected.fresh = now;
            selected.keeps_consent |= now.since(selected.since) >= limits::CONSENT_SIGN;
        }
    }

    /// When consent is lost unless it is refreshed before.
    pub fn consent_deadline(&self) -> Option<Instant> {
        let selected = self.selected.filter(|selected| selected.keeps_consent)?;
        Some(selected.fresh.after(limits::CONSENT_TIMEOUT))
    }
}
