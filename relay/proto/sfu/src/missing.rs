//! Packets of a stream that have not come: which are late, which are asked for, which came before.

use core::time::Duration;

use arrayvec::ArrayVec;
use raceway_units::Instant;

use crate::limits::{MISSING_MAX, NACK_AGAIN, NACKS_MAX, RECEIVED, REORDERING, REPAIR_MAX};

/// Sequence numbers that have come, the last [`RECEIVED`] of them.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    bits: [u64; (RECEIVED / 64) as usize],
    highest: Option<u64>,
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Higher than all before; so many between are missing.
    Newest { gap: u64 },
    /// Lower, and not here before.
    Late,
    /// Here before.
    Duplicate,
    /// Too old to be known.
    Old,
}

impl Received {
    pub(crate) const fn new() -> Self {
        Self { bits: [0; (RECEIVED / 64) as usize], highest: None }
    }

    /// What `number` is; nothing changes.
    pub(crate) fn look(&self, number: u64) -> Arrival {
        let Some(highest) = self.highest else { return Arrival::Newest { gap: 0 } };
        match highest.checked_sub(number) {
            None => Arrival::Newest { gap: number - highest - 1 },
            Some(back) if back >= RECEIVED => Arrival::Old,
            Some(_) if self.bit(number) => Arrival::Duplicate,
            Some(_) => Arrival::Late,
        }
    }

    /// `number` has come.
    pub(crate) fn insert(&mut self, number: u64) {
        if let Arrival::Newest { gap } = self.look(number) {
            let skipped = number - gap.min(RECEIVED)..number;
            skipped.for_each(|number| self.set(number, false));
            self.highest = Some(number);
        }
        self.set(number, true);
    }

    const fn place(number: u64) -> (usize, u64) {
        ((number % RECEIVED / 64) as usize, 1 << (number % 64))
    }

    const fn bit(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        self.bits[word] & bit != 0
    }

    const fn set(&mut self, number: u64, value: bool) {
        let (word, bit) = Self::place(number);
        if value {
            self.bits[word] |= bit;
        } else {
            self.bits[word] &= !bit;
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Absent {
    number: u64,
    noticed: Instant,
    asked: Option<Instant>,
    times: u8,
}

/// Packets that are missing and are asked for (RFC 4585 section 6.2.1), in the order of their numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Missing(ArrayVec<Absent, MISSING_MAX>);

impl Missing {
    /// Numbers from `first` on are missing. False if they are too many: none is asked for then.
    pub(crate) fn note(&mut self, first: u64, count: u64, now: Instant) -> bool {
        self.forget(now);
        if count > (MISSING_MAX - self.0.len()) as u64 {
            self.0.clear();
            return false;
        }
        self.0.extend((first..first + count).map(|number| Absent { number, noticed: now, asked: None, times: 0 }));
        true
    }

    /// A number has come. Whether it was asked for.
    pub(crate) fn came(&mut self, number: u64) -> bool {
        let Ok(at) = self.0.binary_search_by_key(&number, |absent| absent.number) else { return false };
        self.0.remove(at).asked.is_some()
    }

    fn forget(&mut self, now: Instant) {
        self.0.retain(|absent| now.since(absent.noticed) < REPAIR_MAX && absent.times < NACKS_MAX);
    }

    /// Numbers to be asked for now: those that were not waited for in vain long enough are left out.
    pub(crate) fn due(&mut self, now: Instant, round_trip: Duration) -> ArrayVec<u16, MISSING_MAX> {
        self.forget(now);
        let again = round_trip.max(NACK_AGAIN);
        let mut due = ArrayVec::new();
        for absent in &mut self.0 {
            let ready = match absent.asked {
                None => now.since(absent.noticed) >= REORDERING,
                Some(at) => now.since(at) >= again,
            };
            if ready {
                (absent.asked, absent.times) = (Some(now), absent.times + 1);
                due.push(absent.number as u16);
            }
        }
        due
    }

    /// When something may be due.
    pub(crate) fn timeout(&self, round_trip: Duration) -> Option<Instant> {
        let again = round_trip.max(NACK_AGAIN);
        let due = |absent: &Absent| absent.asked.map_or(absent.noticed.after(REORDERING), |at| at.after(again));
        self.0.iter().map(due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: Duration = Duration::from_millis(50);

    fn at(ms: u64) -> Instant {
        Instant::from_ns(ms * 1_000_000)
    }

    #[test]
    fn a_number_that_came_is_known_as_long_as_it_is_among_the_last() {
        let mut received = Received::new();
        assert_eq!(received.look(5_000), Arrival::Newest { gap: 0 });
        received.insert(5_000);
        assert_eq!(received.look(5_003), Arrival::Newest { gap: 2 });
        received.insert(5_003);
        assert_eq!(received.look(5_001), Arrival::Late);
        received.insert(5_001);
        assert_eq!([received.look(5_001), received.look(5_000)], [Arrival::Duplicate; 2]);
        assert_eq!(received.look(5_002), Arrival::Late);
        received.insert(5_003 + RECEIVED);
        assert_eq!(received.look(5_003), Arrival::Old);
        assert_eq!(received.look(5_004), Arrival::Late, "its place held another's mark");
        received.insert(100_000);
        assert_eq!(received.look(99_999), Arrival::Late);
        assert_eq!(received.look(100_000 - RECEIVED + 1), Arrival::Late);
    }

    #[test]
    fn a_missing_packet_is_asked_for_until_it_comes() {
        let mut missing = Missing::default();
        assert!(missing.note(10, 2, at(0)));
        assert_eq!(missing.timeout(TRIP), Some(at(10)));
        assert!(missing.due(at(9), TRIP).is_empty(), "it may be late");
        assert_eq!(missing.due(at(10), TRIP)[..], [10, 11]);
        assert!(missing.came(10) && !missing.came(10) && !missing.came(12));
        assert!(missing.due(at(59), TRIP).is_empty(), "the answer is on its way");
        assert_eq!(missing.due(at(60), TRIP)[..], [11]);
    }

    #[test]
    fn a_missing_packet_is_given_up() {
        let mut missing = Missing::default();
        missing.note(10, 1, at(0));
        let times = (0..2_000).filter(|ms| !missing.due(at(*ms), TRIP).is_empty()).count();
        assert_eq!(times, usize::from(NACKS_MAX));
        missing.note(20, 1, at(5_000));
        assert!(missing.due(at(6_000), TRIP).is_empty(), "nobody can use it any more");
        assert_eq!(missing.timeout(TRIP), None);
    }

    #[test]
    fn of_too_many_missing_packets_none_is_asked_for() {
        let mut missing = Missing::default();
        assert!(missing.note(0, MISSING_MAX as u64, at(0)));
        assert!(!missing.note(1_000, 1, at(0)));
        assert!(missing.due(at(20), TRIP).is_empty());
        assert!(!missing.note(0, u64::MAX, at(0)));
    }
}
