//! From a relay's snapshot back to allocations.

use foldhash::quality::RandomState;
use hashbrown::{HashMap, HashSet};
use raceway_api::{SessionId, SessionReport};
use raceway_units::Instant;

use crate::allocation::Allocation;
use crate::server::Server;
use crate::{blob, flows};
use raceway_ports::Relayed;

/// Sessions of a snapshot that is coming in.
#[derive(Debug, Default)]
pub(crate) struct Restoring {
    allocations: HashMap<SessionId, Box<Allocation>, RandomState>,
    broken: HashSet<SessionId, RandomState>,
}

impl Server {
    /// One report of the relay's snapshot; a session with many flows comes in several. Those of sessions that are
    /// held already say nothing new and are passed over.
    pub fn restore(&mut self, report: &SessionReport<'_>) {
        self.next_session = self.next_session.max(report.id.0.saturating_add(1));
        if self.sessions.get(report.id).is_some() || self.restoring.broken.contains(&report.id) {
            return;
        }
        if !self.restoring.allocations.contains_key(&report.id) {
            match blob::decode(report) {
                Some(allocation) => drop(self.restoring.allocations.insert(report.id, Box::new(allocation))),
                None => {
                    self.restoring.broken.insert(report.id);
                    return;
                }
            }
        }
        let Some(allocation) = self.restoring.allocations.get_mut(&report.id) else { return };
        for flow in &report.flows {
            flows::restore(allocation, flow, &self.peers);
        }
    }

    /// The snapshot is complete. What could not be understood, has ended, or contradicts another session is removed
    /// from the relay.
    pub fn restore_end(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let Restoring { allocations, broken } = std::mem::take(&mut self.restoring);
        let mut wrong: Vec<SessionId> = broken.into_iter().collect();
        for (id, allocation) in allocations {
            if allocation.ends_at() <= now {
                self.tell_removed(id, None);
            } else if !self.adopt(allocation, now) {
                wrong.push(id);
            }
        }
        for allocation in self.sessions.iter() {
            let Some(reservation) = allocation.granted.reservation else { continue };
            if reservation.expires_at > now && self.ports.claim(reservation.relayed) {
                self.reservations.hold(reservation, &allocation.user);
            }
        }
        self.counters.restore_failures += wrong.len() as u64;
        wrong.into_iter().for_each(|session| self.tell_removed(session, None));
    }

    fn adopt(&mut self, mut allocation: Box<Allocation>, now: Instant) -> bool {
        if self.sessions.id_of(&allocation.tuple).is_some() {
            return false;
        }
        let open: Vec<Relayed> = allocation.legs().map(|(_, leg)| leg.relayed).chain(allocation.closed).collect();
        let claimed: Vec<&Relayed> = open.iter().filter(|relayed| self.ports.claim(**relayed)).collect();
        if claimed.len() < open.len() {
            claimed.iter().for_each(|relayed| self.ports.release(relayed.internal));
            return false;
        }
        flows::unbound(&mut allocation, now);
        self.sessions.insert(allocation);
        true
    }
}
