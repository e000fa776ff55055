//! The link itself.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use raceway_units::{Instant, Random};

use crate::config::Config;
use crate::delay::draw;
use crate::limits::HELD_MAX;
use crate::loss::Losing;

/// What became of a datagram on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// On its way.
    Held,
    /// Lost.
    Lost,
    /// The queue before the bottleneck was full.
    Overflowed,
}

/// A datagram at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<T> {
    /// What was handed in.
    pub payload: T,
    /// When it arrived; `poll` may be later.
    pub at: Instant,
    /// The bit to flip, counted from the first octet's lowest, if the link damaged it. The caller has the octets.
    pub damaged_bit: Option<u64>,
}

/// What a link did so far. `offered + duplicated = delivered + lost + overflowed +` those on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams handed in.
    pub offered: u64,
    /// Datagrams given out.
    pub delivered: u64,
    /// Datagrams lost.
    pub lost: u64,
    /// Datagrams for which the queue had no room.
    pub overflowed: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Datagrams held back so that others overtake them.
    pub held_back: u64,
    /// Datagrams damaged.
    pub damaged: u64,
}

/// A datagram on its way, in order of arrival, then of entry.
#[derive(Clone, Debug)]
struct Held<T> {
    at: Instant,
    number: u64,
    damaged_bit: Option<u64>,
    payload: T,
}

/// One direction of a link.
///
/// A datagram is lost or not, waits for the bottleneck, takes its time, and may be held back so that others overtake it.
/// Jitter alone does not reorder: a datagram arrives no sooner than the one before it.
#[derive(Clone, Debug)]
pub struct Link<T> {
    config: Config,
    random: Random,
    losing: Losing,
    /// When the bottleneck is done with all that entered.
    idle_at: Instant,
    /// When the last datagram that was not held back arrives.
    last_at: Instant,
    entered: u64,
    held: BinaryHeap<Reverse<Held<T>>>,
    counters: Counters,
}

impl<T: Clone> Link<T> {
    /// A link at rest.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            losing: Losing::new(config.loss),
            config,
            idle_at: Instant::default(),
            last_at: Instant::default(),
            entered: 0,
            held: BinaryHeap::new(),
            counters: Counters::default(),
        }
    }

    /// A datagram of so many octets enters. Call in order of time.
    pub fn handle(&mut self, payload: T, octets: usize, now: Instant) -> Fate {
        self.counters.offered += 1;
        // Every number is drawn whatever becomes of the datagram, so that one option does not change the others' luck.
        let lost = self.losing.next(&mut self.random);
        let [damaged, twice, back] = [self.config.corrupt, self.config.duplicate, self.config.reorder]
            .map(|share| self.random.fraction() < share);
        let bit = self.random.below(octets as u64 * 8);
        let Config { delay, jitter, distribution, .. } = self.config;
        let delay = draw(delay, jitter, distribution, &mut self.random);
        if lost {
            self.counters.lost += 1;
            return Fate::Lost;
        }
        let Some(through) = self.pass_bottleneck(octets, now) else {
            self.counters.overflowed += 1;
            return Fate::Overflowed;
        };
        let damaged_bit = (damaged && octets != 0).then_some(bit);
        self.counters.damaged += u64::from(damaged_bit.is_some());
        let at = self.arrival(through, delay, back);
        if twice && self.held.len() + 1 < HELD_MAX {
            self.counters.duplicated += 1;
            self.hold(payload.clone(), at, damaged_bit);
        }
        self.hold(payload, at, damaged_bit);
        Fate::Held
    }

    /// The next datagram that has arrived by now.
    pub fn poll(&mut self, now: Instant) -> Option<Delivery<T>> {
        self.poll_timeout().filter(|at| *at <= now)?;
        let Reverse(Held { at, damaged_bit, payload, .. }) = self.held.pop()?;
        self.counters.delivered += 1;
        Some(Delivery { payload, at, damaged_bit })
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.held.peek().map(|Reverse(held)| held.at)
    }

    /// From now on the bottleneck has this rate, or is none. What waits before it has to pass at the new rate before
    /// anything else does; when it arrives is already settled and stays.
    pub fn set_rate(&mut self, rate_bps: Option<u64>, now: Instant) {
        let waits = self.idle_at.since(now).as_nanos();
        let waits = match (self.config.rate_bps, rate_bps.filter(|rate| *rate > 0)) {
            (Some(before), Some(after)) => waits * u128::from(before) / u128::from(after),
            _ => 0,
        };
        self.idle_at = now.after(Duration::from_nanos(u64::try_from(waits).unwrap_or(u64::MAX)));
        self.config.rate_bps = rate_bps.filter(|rate| *rate > 0);
    }

    /// Datagrams on their way.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// What it did so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// When the bottleneck has let a datagram through; none if its queue is full.
    fn pass_bottleneck(&mut self, octets: usize, now: Instant) -> Option<Instant> {
        if self.held.len() >= HELD_MAX {
            return None;
        }
        let Some(rate_bps) = self.config.rate_bps else { return Some(now) };
        if self.idle_at.since(now) > self.config.queue {
            return None;
        }
        let ns = (octets as u128 * 8 * 1_000_000_000).div_ceil(u128::from(rate_bps));
        let begin = self.idle_at.max(now);
        self.idle_at = begin.after(Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX)));
        Some(self.idle_at)
    }

    fn arrival(&mut self, through: Instant, delay: Duration, back: bool) -> Instant {
        let at = through.after(delay).max(self.last_at);
        if back {
            self.counters.held_back += 1;
            return at.after(self.config.reorder_by);
        }
        self.last_at = at;
        at
    }

    fn hold(&mut self, payload: T, at: Instant, damaged_bit: Option<u64>) {
        self.entered += 1;
        self.held.push(Reverse(Held { at, number: self.entered, damaged_bit, payload }));
    }
}

impl<T> PartialEq for Held<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Held<T> {}

impl<T> PartialOrd for Held<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Held<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests;
