//! Rate control: additive and multiplicative increase, multiplicative decrease (GCC section 5.5).

use core::time::Duration;

use raceway_units::Instant;

use super::{Bounds, Usage};
use crate::BitRate;

/// What an over-use leaves of the rate that arrives (GCC section 5.6: beta).
const BETA: f64 = 0.85;
/// Multiplicative increase in a second.
const ETA: f64 = 1.08;
/// Added to the round trip: how long an over-use takes to be noticed.
const NOTICE: Duration = Duration::from_millis(100);
/// Frames a second that the size of a packet is guessed by, and the largest packet, for additive increase.
const FRAMES: f64 = 30.0;
const PACKET_BITS: f64 = 1200.0 * 8.0;
/// Least additive increase in a second.
const INCREASE_MIN_BPS: f64 = 4000.0;
/// How far the target may go beyond what arrives (GCC section 5.5: 1.5 times).
const BEYOND: f64 = 1.5;
const BEYOND_PLUS: BitRate = BitRate::from_kbps(10);
/// Time between two decreases.
const DECREASE_APART: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Hold,
    Increase,
    Decrease,
}

#[derive(Debug)]
pub(super) struct Aimd {
    bounds: Bounds,
    target: BitRate,
    state: State,
    changed_at: Instant,
    decreased_at: Option<Instant>,
    capacity: Capacity,
}

impl Aimd {
    pub const fn new(bounds: Bounds, now: Instant) -> Self {
        let capacity = Capacity { mean: None, deviation: 0.4 };
        Self { bounds, target: bounds.start, state: State::Hold, changed_at: now, decreased_at: None, capacity }
    }

    pub const fn target(&self) -> BitRate {
        self.target
    }

    /// When the target was last lowered.
    pub const fn decreased_at(&self) -> Option<Instant> {
        self.decreased_at
    }

    /// Takes a rate that was measured, or that is known otherwise.
    pub fn set(&mut self, target: BitRate, now: Instant) {
        self.target = target.clamp(self.bounds.min, self.bounds.max);
        self.changed_at = now;
    }

    /// After each message: what the detector says, and what arrived lately.
    pub fn update(&mut self, usage: Usage, acknowledged: Option<BitRate>, round_trip: Duration, now: Instant) {
        self.state = match (usage, self.state) {
            (Usage::Over, _) => State::Decrease,
            (Usage::Under, _) | (Usage::Normal, State::Decrease) => State::Hold,
            (Usage::Normal, State::Hold | State::Increase) => State::Increase,
        };
        match self.state {
            State::Hold => self.changed_at = now,
            State::Increase => self.increase(acknowledged, round_trip, now),
            State::Decrease => self.decrease(acknowledged, round_trip, now),
        }
    }

    fn increase(&mut self, acknowledged: Option<BitRate>, round_trip: Duration, now: Instant) {
        if acknowledged.is_some_and(|rate| self.capacity.is_below(rate)) {
            self.capacity.mean = None;
        }
        let seconds = now.since(self.changed_at).as_secs_f64().min(1.0);
        let increased = if self.capacity.mean.is_some() {
            self.target.as_bps() as f64 + self.additive(round_trip) * seconds
        } else {
            (self.target.as_bps() as f64 * ETA.powf(seconds)).max(self.target.as_bps() as f64 + 1000.0 * seconds)
        };
        let most = acknowledged.map_or(self.bounds.max, |rate| rate.times(BEYOND).plus(BEYOND_PLUS));
        // What is beyond that already, by a probe, stays.
        let increased = BitRate::from_bps(increased as u64).min(most.max(self.target));
        self.set(increased, now);
    }

    /// About a packet in each round trip, in bits a second.
    fn additive(&self, round_trip: Duration) -> f64 {
        let frame_bits = self.target.as_bps() as f64 / FRAMES;
        let packet_bits = frame_bits / (frame_bits / PACKET_BITS).ceil().max(1.0);
        (packet_bits / (round_trip + NOTICE).as_secs_f64()).max(INCREASE_MIN_BPS)
    }

    fn decrease(&mut self, acknowledged: Option<BitRate>, round_trip: Duration, now: Instant) {
        let apart = round_trip.clamp(DECREASE_APART.0, DECREASE_APART.1);
        let far = acknowledged.is_some_and(|rate| rate < self.target.times(0.5));
        if !far && self.decreased_at.is_some_and(|at| now.since(at) < apart) {
            return;
        }
        let measured = acknowledged.unwrap_or_else(|| self.target.times(0.5));
        let mut target = measured.times(BETA);
        if target > self.target {
            target = self.capacity.mean.map_or(self.target, |mean| mean.times(BETA)).min(self.target);
        }
        if self.capacity.is_above(measured) {
            self.capacity.mean = None;
        }
        self.capacity.push(measured);
        self.decreased_at = Some(now);
        self.set(target, now);
    }
}

/// What the path carried when it was over-used: near it the increase is additive (GCC section 5.5).
#[derive(Debug)]
struct Capacity {
    mean: Option<BitRate>,
    /// Variance by the mean, in kbit/s.
    deviation: f64,
}

impl Capacity {
    const SMOOTHING: f64 = 0.05;

    fn push(&mut self, rate: BitRate) {
        let sample = rate.as_bps() as f64 / 1000.0;
        let mean = self.mean.map_or(sample, |mean| {
            let mean = mean.as_bps() as f64 / 1000.0;
            mean + Self::SMOOTHING * (sample - mean)
        });
        let error = (mean - sample) * (mean - sample) / mean.max(1.0);
        self.deviation = ((1.0 - Self::SMOOTHING) * self.deviation + Self::SMOOTHING * error).clamp(0.4, 2.5);
        self.mean = Some(BitRate::from_bps((mean * 1000.0) as u64));
    }

    /// Three standard deviations.
    fn range(&self) -> Option<(BitRate, BitRate)> {
        let mean = self.mean?;
        let range = 3.0 * (self.deviation * mean.as_bps() as f64 / 1000.0).sqrt();
        let range = BitRate::from_bps((range * 1000.0) as u64);
        Some((mean.minus(range), mean.plus(range)))
    }

    fn is_below(&self, rate: BitRate) -> bool {
        self.range().is_some_and(|(_, high)| rate > high)
    }

    fn is_above(&self, rate: BitRate) -> bool {
        self.range().is_some_and(|(low, _)| rate < low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { min: BitRate::from_kbps(50), start: BitRate::from_kbps(500), max: BitRate::from_kbps(5_000) };
    const ROUND_TRIP: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Instant {
        Instant::from_ns(ms * 1_000_000)
    }

    /// Normal use, every 100 ms.
    fn normal(aimd: &mut Aimd, from_ms: u64, to_ms: u64, acknowledged: u64) {
        for at in (from_ms..to_ms).step_by(100) {
            aimd.update(Usage::Normal, Some(BitRate::from_kbps(acknowledged)), ROUND_TRIP, ms(at));
        }
    }

    #[test]
    fn without_over_use_the_target_grows_by_eight_percent_a_second() {
        let mut aimd = Aimd::new(BOUNDS, ms(0));
        normal(&mut aimd, 0, 1001, 500);
        assert!((539..=541).contains(&(aimd.target().as_bps() / 1000)), "{}", aimd.target());
    }

    #[test]
    fn the_target_does_not_grow_far_beyond_what_arrives() {
        let mut aimd = Aimd::new(BOUNDS, ms(0));
        normal(&mut aimd, 0, 60_000, 400);
        assert_eq!(aimd.target(), BitRate::from_kbps(610));
    }

    #[test]
    fn over_use_leaves_85_percent_of_what_arrives_and_then_growth_is_additive() {
        let mut aimd = Aimd::new(BOUNDS, ms(0));
        aimd.update(Usage::Over, Some(BitRate::from_kbps(400)), ROUND_TRIP, ms(0));
        assert_eq!(aimd.target(), BitRate::from_kbps(340));
        aimd.update(Usage::Under, Some(BitRate::from_kbps(400)), ROUND_TRIP, ms(500));
        assert_eq!(aimd.target(), BitRate::from_kbps(340), "queues are let drain");
        normal(&mut aimd, 600, 1700, 400);
        // A packet of 340/30/2 kbit in each 200 ms.
        assert!((365..=372).contains(&(aimd.target().as_bps() / 1000)), "{}", aimd.target());
    }

    #[test]
    fn more_that_arrives_than_the_capacity_that_was_known_makes_growth_multiplicative_again() {
        let mut aimd = Aimd::new(BOUNDS, ms(0));
        aimd.update(Usage::Over, Some(BitRate::from_kbps(400)), ROUND_TRIP, ms(0));
        aimd.update(Usage::Normal, Some(BitRate::from_kbps(400)), ROUND_TRIP, ms(100));
        assert!(aimd.capacity.mean.is_some());
        aimd.update(Usage::Normal, Some(BitRate::from_kbps(900)), ROUND_TRIP, ms(200));
        assert!(aimd.capacity.mean.is_none());
    }

    #[test]
    fn over_use_does_not_decrease_twice_in_a_round_trip() {
        let mut aimd = Aimd::new(BOUNDS, ms(0));
        aimd.update(Usage::Over, Some(BitRate::from_kbps(400)), ROUND_TRIP, ms(0));
        aimd.update(Usage::Over, Some(BitRate::from_kbps(300)), ROUND_TRIP, ms(90));
        assert_eq!(aimd.target(), BitRate::from_kbps(340));
        aimd.update(Usage::Over, Some(BitRate::from_kbps(300)), ROUND_TRIP, ms(110));
        assert_eq!(aimd.target(), BitRate::from_kbps(255));
    }

    #[test]
    fn the_target_stays_in_its_bounds() {
        let mut aimd = Aimd::new(BOUNDS, ms(0));
        (0..200).for_each(|n| aimd.update(Usage::Over, Some(BitRate::ZERO), ROUND_TRIP, ms(n * 300)));
        assert_eq!(aimd.target(), BOUNDS.min);
        normal(&mut aimd, 60_000, 200_000, 1_000_000);
        assert_eq!(aimd.target(), BOUNDS.max);
    }
}
