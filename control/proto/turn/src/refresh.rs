//! Refresh (RFC 8656 section 8.2).

use std::time::Duration;

use raceway_api::{FlowId, Operation, SessionId};
use raceway_units::Instant;
use turn_types::attribute::Lifetime;

use crate::allocate::{granted_lifetime, read_family, read_lifetime};
use crate::allocation::{Allocation, Family};
use crate::auth::Key;
use crate::counters::{Method, Outcome, Refusal};
use crate::flows::{self, EXTEND_MARGIN};
use crate::pending::{Pending, Purpose};
use crate::request::Proven;
use crate::respond::{Exchange, Response};
use crate::say::datagram;
use crate::server::{Server, Settings};

impl Server {
    pub(crate) fn refresh(&mut self, proven: &Proven<'_>) -> Result<(), Refusal> {
        let session = self.own_session(proven)?;
        let lifetime_s = read_lifetime(proven.request)?;
        let families = self.refreshed_families(session, proven)?;
        match lifetime_s {
            Some(0) => self.delete(session, proven, &families),
            wished => {
                let lifetime_s = granted_lifetime(&self.policy, wished);
                self.prolong(session, proven, &families, lifetime_s);
            }
        }
        Ok(())
    }

    /// Families that the request is about: all, or the one that it names, which must be there (443).
    fn refreshed_families(&self, session: SessionId, proven: &Proven<'_>) -> Result<Vec<Family>, Refusal> {
        let allocation = self.sessions.get(session).ok_or(Refusal::AllocationMismatch)?;
        let present: Vec<Family> = allocation.legs().map(|(family, _)| family).collect();
        let Some(value) = proven.request.requested_family else { return Ok(present) };
        match read_family(value) {
            Ok(family) if present.contains(&family) => Ok(vec![family]),
            Ok(_) | Err(Refusal::AddressFamilyNotSupported) => Err(Refusal::PeerAddressFamilyMismatch),
            Err(refusal) => Err(refusal),
        }
    }

    fn delete(&mut self, session: SessionId, proven: &Proven<'_>, families: &[Family]) {
        let response = refreshed(proven.exchange, 0, &self.policy, Some(&proven.key));
        self.counters.answered(Method::Refresh, Outcome::Success);
        let count = self.sessions.get(session).map_or(0, |allocation| allocation.legs().count());
        if families.len() < count {
            return families
                .iter()
                .for_each(|&family| self.drop_family(session, family, Some((proven.exchange, response.clone()))));
        }
        self.forget(session);
        self.tell_removed(session, Some(datagram(&proven.arrival.tuple, response)));
    }

    fn prolong(&mut self, session: SessionId, proven: &Proven<'_>, families: &[Family], lifetime_s: u32) {
        let now = proven.arrival.now;
        let expires_at = now.after(Duration::from_secs(lifetime_s.into()));
        let bits_per_second = self.policy.bits_per_second;
        let changed = self.sessions.change(session, |allocation| {
            let soon = now.after(EXTEND_MARGIN);
            let was_ending = allocation.legs().any(|(_, leg)| leg.expires_at <= soon);
            let before = ends(allocation);
            for &family in families {
                if let Some(leg) = allocation.leg_mut(family) {
                    leg.expires_at = expires_at;
                }
            }
            (was_ending, before)
        });
        let Some((was_ending, before)) = changed else { return };
        let Some(allocation) = self.sessions.get(session) else { return };
        debug_assert_eq!(before.len(), ends(allocation).len(), "a refresh adds and removes no flow");
        let operations = if was_ending {
            flows::whole(allocation, &self.peers, bits_per_second, now)
        } else {
            extend(allocation, &before, bits_per_second)
        };
        let response = refreshed(proven.exchange, lifetime_s, &self.policy, Some(&proven.key));
        let response = datagram(&allocation.tuple, response);
        self.counters.answered(Method::Refresh, Outcome::Success);
        let purpose = Purpose::Refresh { lifetime_s };
        let pending = Pending { session, exchange: Some(proven.exchange), purpose, reinstalled: was_ending };
        self.apply(session, operations, pending, Some(response));
    }
}

/// When each flow of an allocation ends.
fn ends(allocation: &Allocation) -> Vec<(FlowId, Instant)> {
    let mut ends = vec![(flows::Role::Allocation.id(), allocation.ends_at())];
    for (family, leg) in allocation.legs() {
        ends.push((flows::Role::Relayed(family).id(), leg.expires_at));
        ends.extend(flows::ends(allocation, family));
    }
    ends
}

/// Says the new ends of the flows that have one. The first operation names a flow, and the session comes last, so
/// that a relay which has lost the session says so instead of making an empty one.
fn extend(allocation: &Allocation, before: &[(FlowId, Instant)], bits_per_second: u64) -> Vec<Operation<'static>> {
    let after = ends(allocation);
    let is_needed = |at: usize| at == 0 || before[at].1 != after[at].1;
    let needed = (0..after.len()).filter(|at| is_needed(*at)).map(|at| after[at]);
    let mut operations: Vec<_> = needed.map(|(flow, end)| flows::extend(flow, end)).collect();
    operations.push(flows::put_session(allocation, bits_per_second));
    operations
}

/// The success response to a Refresh.
pub(crate) fn refreshed(exchange: Exchange, lifetime_s: u32, settings: &Settings, key: Option<&Key>) -> Vec<u8> {
    let mut response = Response::success(exchange);
    response.add(&Lifetime::new(lifetime_s));
    response.finish(settings.software.as_deref(), key)
}
