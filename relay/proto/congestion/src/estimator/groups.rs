//! Packets that were sent together, as one: pre-filtering (GCC section 5.2).

use crate::estimator::ms;

/// Packets sent within this time are one group (GCC section 5.6: burst_time).
const BURST_NS: i64 = 5_000_000;
/// A group that keeps growing because its packets arrive ever faster ends after this time.
const BURST_LONGEST_NS: i64 = 100_000_000;
/// Groups in a row that may arrive before the one that was sent before them, until the clock is not believed.
const DISORDER_MAX: u8 = 3;

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    first_arrival: i64,
    last_arrival: i64,
}

/// How far one group is from the one before it, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Deltas {
    pub sent_ms: f64,
    pub arrival_ms: f64,
    /// When its last packet arrived.
    pub arrived_ms: f64,
}

#[derive(Debug)]
pub(super) struct Groups {
    previous: Option<Group>,
    current: Option<Group>,
    disorder: u8,
}

impl Groups {
    pub const fn new() -> Self {
        Self { previous: None, current: None, disorder: 0 }
    }

    /// A packet was sent and arrived at these times (nanoseconds, each of its own clock). Gives what the group before is
    /// from the one before that, when the packet begins a new group.
    pub fn push(&mut self, sent: i64, arrival: i64) -> Option<Deltas> {
        let first = Group { first_sent: sent, last_sent: sent, first_arrival: arrival, last_arrival: arrival };
        let Some(current) = &mut self.current else {
            self.current = Some(first);
            return None;
        };
        if sent < current.first_sent {
            return None;
        }
        if sent - current.first_sent <= BURST_NS || current.bursts(sent, arrival) {
            current.last_sent = current.last_sent.max(sent);
            current.last_arrival = arrival.max(current.last_arrival);
            return None;
        }
        let ended = *current;
        self.current = Some(first);
        let before = self.previous.replace(ended)?;
        let arrival_ns = ended.last_arrival - before.last_arrival;
        if arrival_ns < 0 {
            self.disorder += 1;
            if self.disorder >= DISORDER_MAX {
                *self = Self::new();
            }
            return None;
        }
        self.disorder = 0;
        let sent_ms = ms(ended.last_sent - before.last_sent);
        Some(Deltas { sent_ms, arrival_ms: ms(arrival_ns), arrived_ms: ms(ended.last_arrival) })
    }
}

impl Group {
    /// A packet that came on the heels of the group, nearer than it was sent: a queue lets go of both.
    const fn bursts(&self, sent: i64, arrival: i64) -> bool {
        let (sent_after, arrived_after) = (sent - self.last_sent, arrival - self.last_arrival);
        sent_after == 0
            || (arrived_after < sent_after
                && arrived_after <= BURST_NS
                && arrival - self.first_arrival < BURST_LONGEST_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn packets_sent_within_a_burst_are_one_group() {
        let mut groups = Groups::new();
        for (sent, arrival) in [(0, 50), (5, 57), (20, 70), (22, 75)] {
            assert_eq!(groups.push(sent * MS, arrival * MS), None);
        }
        let deltas = groups.push(40 * MS, 95 * MS);
        assert_eq!(deltas, Some(Deltas { sent_ms: 17.0, arrival_ms: 18.0, arrived_ms: 75.0 }));
    }

    #[test]
    fn packets_that_an_outage_held_back_and_let_go_together_are_one_group() {
        let mut groups = Groups::new();
        groups.push(0, 50 * MS);
        groups.push(20 * MS, 70 * MS);
        // Sent 20 ms apart, they arrive within a millisecond after an outage.
        for n in 2..6 {
            let deltas = groups.push(20 * n * MS, 200 * MS + n * MS / 4);
            assert_eq!(deltas.is_some(), n == 2, "{n}");
        }
        assert!(groups.push(120 * MS, 220 * MS).is_some(), "what is sent after it is another group");
    }

    #[test]
    fn a_packet_sent_before_its_group_is_left_aside() {
        let mut groups = Groups::new();
        groups.push(100 * MS, 150 * MS);
        assert_eq!(groups.push(10 * MS, 160 * MS), None);
        assert_eq!(groups.push(120 * MS, 170 * MS), None, "the first group has none before it");
    }

    #[test]
    fn arrivals_that_keep_going_backwards_begin_anew() {
        let mut groups = Groups::new();
        assert!((0..20).all(|n| groups.push(n * 20 * MS, (1000 - n * 20) * MS).is_none()));
    }
}
