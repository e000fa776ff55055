//! One request on its way: sent again until answered or given up.

use std::time::Duration;

use raceway_units::Instant;

/// Times that a request is sent at most (`Rc` of RFC 8489 section 6.2.1).
const SENT_MAX: u32 = 7;
/// Waits this many times the first interval after the last (`Rm`).
const LAST_WAIT: u32 = 16;

/// A request that waits for its response.
#[derive(Debug)]
pub(super) struct Exchange {
    pub transaction: u128,
    pub octets: Vec<u8>,
    interval: Duration,
    sent: u32,
    next_at: Instant,
}

/// What is to be done about a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Transmit,
    GiveUp,
}

impl Exchange {
    pub fn new(transaction: u128, octets: Vec<u8>, interval: Duration, now: Instant) -> Self {
        Self { transaction, octets, interval, sent: 0, next_at: now }
    }

    pub fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Whether the request has left at least once.
    pub fn is_sent(&self) -> bool {
        self.sent > 0
    }

    /// Looks at the time; counts the transmission that it asks for.
    pub fn poll(&mut self, now: Instant) -> Due {
        if now < self.next_at {
            return Due::Nothing;
        }
        if self.sent == SENT_MAX {
            return Due::GiveUp;
        }
        self.sent += 1;
        let wait =
            if self.sent == SENT_MAX { self.interval * LAST_WAIT } else { self.interval * (1 << (self.sent - 1)) };
        self.next_at = now.after(wait);
        Due::Transmit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_seven_times_at_doubling_distances_and_given_up_39_5_s_later() {
        let start = Instant::from_ns(0);
        let mut exchange = Exchange::new(1, Vec::new(), Duration::from_millis(500), start);
        let mut at = Vec::new();
        let given_up = loop {
            let now = exchange.next_at();
            match exchange.poll(now) {
                Due::Transmit => at.push(now.since(start).as_millis()),
                Due::GiveUp => break now.since(start).as_millis(),
                Due::Nothing => panic!("it is due"),
            }
        };
        // The example of RFC 8489 section 6.2.1.
        assert_eq!(at, [0, 500, 1500, 3500, 7500, 15500, 31500]);
        assert_eq!(given_up, 39_500);
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut exchange = Exchange::new(1, Vec::new(), Duration::from_millis(500), Instant::from_ns(9));
        assert_eq!(exchange.poll(Instant::from_ns(8)), Due::Nothing);
        assert_eq!(exchange.poll(Instant::from_ns(9)), Due::Transmit);
        assert_eq!(exchange.poll(Instant::from_ns(10)), Due::Nothing);
    }
}
