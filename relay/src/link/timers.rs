//! When to look at what.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use raceway_units::Instant;

use crate::limits::TIMERS_MIN;

/// When to look whether something has ended. An entry may be too early, never too late: what is put off keeps the one
/// that it has, and gets another when that is due.
pub struct Timers<T> {
    heap: BinaryHeap<Reverse<(u64, T)>>,
    /// More than that are looked through for those of what is gone.
    many: usize,
}

impl<T: Ord> Default for Timers<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), many: TIMERS_MIN }
    }
}

impl<T: Ord> Timers<T> {
    /// Adds one, for kernel monotonic nanoseconds.
    pub fn set(&mut self, at_ns: u64, what: T) {
        self.heap.push(Reverse((at_ns, what)));
    }

    /// Takes out one whose time has come.
    pub fn due(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, what))| what)
    }

    /// When the next one is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at_ns, _))| Instant::from_ns(*at_ns))
    }

    /// Keeps only those of what `live` names, once there may be as many others: who makes things and ends them early
    /// would leave their timers behind for all their lifetimes.
    pub fn tidy(&mut self, live: impl Iterator<Item = (u64, T)>) {
        if self.heap.len() > self.many {
            self.heap = live.map(Reverse).collect();
            self.many = TIMERS_MIN.max(2 * self.heap.len());
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_nothing_before_its_time() {
        let mut timers = Timers::default();
        for at in [30, 10, 20] {
            timers.set(at, at);
        }
        assert_eq!(timers.next(), Some(Instant::from_ns(10)));
        assert_eq!(timers.due(Instant::from_ns(9)), None);
        let due: Vec<u64> = std::iter::from_fn(|| timers.due(Instant::from_ns(20))).collect();
        assert_eq!(due, [10, 20]);
    }

    #[test]
    fn many_timers_of_what_is_gone_are_cleared_away() {
        let mut timers = Timers::default();
        for at in 0..=TIMERS_MIN as u64 {
            assert_eq!(timers.len() as u64, at);
            timers.set(at, at);
            timers.tidy([(7, 7)].into_iter());
        }
        assert_eq!(timers.len(), 1);
        assert_eq!(timers.due(Instant::from_ns(7)), Some(7));
    }
}
