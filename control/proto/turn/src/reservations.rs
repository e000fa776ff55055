//! Ports held for who shows a token (RFC 8656 section 7.2, EVEN-PORT with the R bit).

use std::collections::BTreeSet;

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use raceway_units::Instant;

use crate::allocation::Reservation;
use crate::limits;
use crate::ports::Relayed;

/// Reservations by token. Their ports are taken as long as they are here.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    by_token: HashMap<u64, Reservation, RandomState>,
    by_expiry: BTreeSet<(Instant, u64)>,
}

impl Reservations {
    pub fn is_full(&self) -> bool {
        self.by_token.len() >= limits::RESERVATIONS_MAX
    }

    pub fn hold(&mut self, reservation: Reservation) {
        self.by_expiry.insert((reservation.expires_at, reservation.token));
        self.by_token.insert(reservation.token, reservation);
    }

    /// What a token stands for; it is good for one use.
    pub fn take(&mut self, token: u64) -> Option<Relayed> {
        let reservation = self.by_token.remove(&token)?;
        self.by_expiry.remove(&(reservation.expires_at, token));
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
