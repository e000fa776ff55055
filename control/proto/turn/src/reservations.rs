//! Ports held for who shows a token (RFC 8656 section 7.2, EVEN-PORT with the R bit).

use std::collections::BTreeSet;

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use raceway_units::Instant;

use crate::allocation::Reservation;
use crate::auth::quota_name;
use crate::by_user::ByUser;
use crate::limits;
use raceway_ports::Relayed;

/// Reservations by token. Their ports are taken as long as they are here: they outlive the allocation that they were
/// made with, as the RFC wants them held for 30 seconds.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    by_token: HashMap<u64, Held, RandomState>,
    by_expiry: BTreeSet<(Instant, u64)>,
    by_user: ByUser<u32>,
}

#[derive(Debug)]
struct Held {
    reservation: Reservation,
    user: Box<str>,
}

impl Reservations {
    pub fn len(&self) -> usize {
        self.by_token.len()
    }

    pub fn is_full(&self) -> bool {
        self.len() >= limits::RESERVATIONS_MAX
    }

    /// Ports that are held for this name's user.
    pub fn user_count(&self, name: &str) -> u32 {
        self.by_user.of(name)
    }

    /// Whether a token stands for a port, and whether that is held for this name's user.
    pub fn holder(&self, token: u64, name: &str) -> Option<bool> {
        self.by_token.get(&token).map(|held| *held.user == *quota_name(name))
    }

    /// Holds a port for who shows the token; it counts as one of this name's user.
    pub fn hold(&mut self, reservation: Reservation, name: &str) {
        self.by_user.change(name, |count| *count += 1);
        self.by_expiry.insert((reservation.expires_at, reservation.token));
        self.by_token.insert(reservation.token, Held { reservation, user: quota_name(name).into() });
    }

    /// What a token stands for; it is good for one use.
    pub fn take(&mut self, token: u64) -> Option<Relayed> {
        let Held { reservation, user } = self.by_token.remove(&token)?;
        self.by_expiry.remove(&(reservation.expires_at, token));
        self.by_user.change(&user, |count| *count -= 1);
        Some(reservation.relayed)
    }

    pub fn next_expiry(&self) -> Option<Instant> {
        self.by_expiry.first().map(|(at, _)| *at)
    }

    /// One that has ended.
    pub fn take_expired(&mut self, now: Instant) -> Option<Relayed> {
        let (at, token) = self.by_expiry.first().copied()?;
        if at > now { None } else { self.take(token) }
    }
}
