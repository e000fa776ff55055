//! The last flight, and when to send it again (RFC 6347 section 4.2.4).
//!
//! What is sent again is the same datagram, as if the network had doubled it: a peer that has it already drops it by its
//! record number, one that lost it takes it. So it needs nothing of the library, and keeps to the caller's time.

use std::time::Duration;

use raceway_units::Instant;

use crate::limits;

/// Datagrams that wait for the peer's next flight.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    datagrams: Vec<Vec<u8>>,
    /// When to send them again, and how long to wait then.
    due: Option<(Instant, Duration)>,
    /// When they were last sent.
    sent: Instant,
}

impl Flight {
    /// A new flight was sent.
    pub fn replace(&mut self, now: Instant, datagrams: Vec<Vec<u8>>) {
        let due = Some((now.after(limits::FIRST_TIMEOUT), limits::FIRST_TIMEOUT));
        *self = Self { datagrams, due, sent: now };
    }

    /// Nothing is waited for any more; the flight can still be asked for.
    pub fn settle(&mut self) {
        self.due = None;
    }

    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    pub fn due(&self) -> Option<Instant> {
        self.due.map(|(due, _)| due)
    }

    /// Datagrams to send again now.
    pub fn again(&mut self, now: Instant) -> &[Vec<u8>] {
        let Some((_, wait)) = self.due.filter(|(due, _)| *due <= now) else { return &[] };
        let wait = (wait * 2).min(limits::LAST_TIMEOUT);
        self.due = Some((now.after(wait), wait));
        self.sent = now;
        &self.datagrams
    }

    /// Datagrams to send again because the peer asked by repeating its own.
    pub fn asked(&mut self, now: Instant) -> &[Vec<u8>] {
        if now.since(self.sent) < limits::REPEAT_INTERVAL {
            return &[];
        }
        self.sent = now;
        &self.datagrams
    }
}
