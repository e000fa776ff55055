//! When something that workers may still be reading can be reused.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::VecDeque;

use raceway_units::Instant;

use crate::limits::QUARANTINE;

/// Which workers have passed a quiescent point (QSBR): a moment at which they hold nothing that they looked up.
#[derive(Debug)]
pub struct Quiescence {
    epoch: AtomicU64,
    seen: Box<[Seen]>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Seen(AtomicU64);

impl Quiescence {
    /// For `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { epoch: AtomicU64::new(0), seen: (0..workers).map(|_| Seen::default()).collect() }
    }

    /// A worker says that it holds nothing that it looked up before, and that everything it sent is with the kernel.
    #[inline]
    pub fn pass(&self, worker: usize) {
        if let Some(seen) = self.seen.get(worker) {
            seen.0.store(self.epoch.load(Ordering::Acquire), Ordering::Release);
        }
    }

    /// Starts an epoch; what was unlinked before is out of use once [`reached`](Self::reached) passes it.
    fn advance(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The epoch that every worker has reached.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.seen.iter().map(|seen| seen.0.load(Ordering::Acquire)).min().unwrap_or(u64::MAX)
    }

    /// Workers that have not reached the current epoch: those to wake when something waits for them.
    pub fn behind(&self) -> impl Iterator<Item = usize> {
        let epoch = self.epoch.load(Ordering::Acquire);
        self.seen.iter().enumerate().filter(move |(_, seen)| seen.0.load(Ordering::Acquire) < epoch).map(|(at, _)| at)
    }
}

/// Things taken out of use, oldest first.
#[derive(Debug)]
pub struct Quarantine<T> {
    waiting: VecDeque<(u64, Instant, T)>,
}

impl<T> Default for Quarantine<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new() }
    }
}

impl<T> Quarantine<T> {
    /// Puts in what readers can no longer find.
    pub fn push(&mut self, quiescence: &Quiescence, now: Instant, thing: T) {
        self.waiting.push_back((quiescence.advance(), now, thing));
    }

    /// Takes out the oldest, if every worker has passed a quiescent point since and [`QUARANTINE`] is over.
    pub fn pop(&mut self, quiescence: &Quiescence, now: Instant) -> Option<T> {
        let (epoch, since, _) = self.waiting.front()?;
        if now.since(*since) < QUARANTINE || quiescence.reached() < *epoch {
            return None;
        }
        self.waiting.pop_front().map(|(_, _, thing)| thing)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn a_thing_waits_for_the_slowest_worker_and_for_the_clock() {
        let quiescence = Quiescence::new(2);
        let mut quarantine = Quarantine::default();
        let start = Instant::from_ns(5);
        quarantine.push(&quiescence, start, 'a');
        let later = start.after(QUARANTINE);
        assert_eq!(quarantine.pop(&quiescence, later), None);
        quiescence.pass(0);
        assert_eq!(quarantine.pop(&quiescence, later), None);
        assert_eq!(quiescence.behind().collect::<Vec<_>>(), [1]);
        quiescence.pass(1);
        assert_eq!(quarantine.pop(&quiescence, start.after(QUARANTINE - Duration::from_nanos(1))), None);
        assert_eq!(quarantine.pop(&quiescence, later), Some('a'));
        assert!(quarantine.is_empty());
    }

    #[test]
    fn a_quiescent_point_before_does_not_count() {
        let quiescence = Quiescence::new(1);
        let mut quarantine = Quarantine::default();
        quiescence.pass(0);
        quarantine.push(&quiescence, Instant::from_ns(0), 1);
        assert_eq!(quarantine.pop(&quiescence, Instant::from_ns(0).after(QUARANTINE)), None);
    }
}
