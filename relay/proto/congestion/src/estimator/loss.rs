//! Loss-based control (GCC section 6): a cap while packets are lost.

use core::time::Duration;

use raceway_units::Instant;

use crate::BitRate;

/// Above this share the cap is lowered by half the share; below the other it is raised.
const HIGH: f64 = 0.10;
const LOW: f64 = 0.02;
const INCREASE: f64 = 1.05;
/// Packets that a share is told of, at least, and after how long if there are fewer.
const PACKETS: u32 = 20;
const LONGEST: Duration = Duration::from_secs(1);
/// Added to the round trip: time between two decreases.
const DECREASE_APART: Duration = Duration::from_millis(300);
/// Time between two increases.
const INCREASE_APART: Duration = Duration::from_millis(200);
/// A cap that is this many times what delay allows has no effect and is dropped.
const IDLE: f64 = 2.0;

#[derive(Debug)]
pub(super) struct LossControl {
    cap: Option<BitRate>,
    expected: u32,
    lost: u32,
    counted_at: Instant,
    share: f64,
    /// The share has not lowered the cap yet.
    fresh: bool,
    changed_at: Instant,
    decreased_at: Option<Instant>,
}

impl LossControl {
    pub const fn new(now: Instant) -> Self {
        Self {
            cap: None,
            expected: 0,
            lost: 0,
            counted_at: now,
            share: 0.0,
            fresh: false,
            changed_at: now,
            decreased_at: None,
        }
    }

    pub const fn cap(&self) -> Option<BitRate> {
        self.cap
    }

    /// When the cap was last lowered.
    pub const fn decreased_at(&self) -> Option<Instant> {
        self.decreased_at
    }

    /// So much got through: the cap is not below it.
    pub fn lift(&mut self, found: BitRate) {
        self.cap = self.cap.map(|cap| cap.max(found));
    }

    /// Share that was lost lately, 0 to 1.
    pub const fn share(&self) -> f64 {
        self.share
    }

    /// A message spoke of so many packets, of which so many were missing.
    pub fn count(&mut self, expected: u32, lost: u32, now: Instant) {
        self.expected += expected;
        self.lost += lost;
        if self.expected >= PACKETS || (self.expected > 0 && now.since(self.counted_at) >= LONGEST) {
            self.share = f64::from(self.lost) / f64::from(self.expected);
            self.fresh = true;
            (self.expected, self.lost, self.counted_at) = (0, 0, now);
        }
    }

    /// The share is known from elsewhere: a receiver report.
    pub const fn set_share(&mut self, share: f64, now: Instant) {
        self.share = share;
        self.fresh = true;
        self.counted_at = now;
    }

    /// Moves the cap, if it is time. `target` is what is sent at, `delay_based` what delay alone would allow.
    pub fn update(&mut self, target: BitRate, delay_based: BitRate, round_trip: Duration, now: Instant) {
        let since = now.since(self.changed_at);
        if self.share > HIGH && self.fresh && since >= DECREASE_APART + round_trip {
            self.fresh = false;
            self.cap = Some(target.times(1.0 - 0.5 * self.share));
            (self.changed_at, self.decreased_at) = (now, Some(now));
        } else if self.share < LOW && since >= INCREASE_APART {
            self.cap = self.cap.map(|cap| cap.times(INCREASE)).filter(|cap| *cap < delay_based.times(IDLE));
            self.changed_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(100);
    const RATE: BitRate = BitRate::from_kbps(1000);

    fn ms(ms: u64) -> Instant {
        Instant::from_ns(ms * 1_000_000)
    }

    fn after(lost: u32) -> LossControl {
        let mut control = LossControl::new(ms(0));
        control.count(100, lost, ms(500));
        control.update(RATE, RATE, ROUND_TRIP, ms(500));
        control
    }

    #[test]
    fn much_loss_takes_half_its_share_off() {
        assert_eq!(after(20).cap(), Some(BitRate::from_kbps(900)));
    }

    #[test]
    fn some_loss_changes_nothing() {
        assert_eq!((after(10).cap(), after(2).cap(), after(0).cap()), (None, None, None));
    }

    #[test]
    fn without_loss_the_cap_rises_and_goes() {
        let mut control = after(20);
        control.count(100, 0, ms(600));
        control.update(RATE, RATE, ROUND_TRIP, ms(700));
        assert_eq!(control.cap(), Some(BitRate::from_kbps(945)));
        (0..40).for_each(|n| control.update(RATE, RATE, ROUND_TRIP, ms(900 + 200 * n)));
        assert_eq!(control.cap(), None);
    }

    #[test]
    fn the_cap_is_not_lowered_twice_for_one_loss() {
        let mut control = after(20);
        control.update(RATE, RATE, ROUND_TRIP, ms(5000));
        assert_eq!(control.cap(), Some(BitRate::from_kbps(900)), "nothing was counted since");
        let mut control = after(20);
        control.count(100, 20, ms(600));
        control.update(RATE, RATE, ROUND_TRIP, ms(899));
        assert_eq!(control.cap(), Some(BitRate::from_kbps(900)), "it cannot have had an effect yet");
        control.update(BitRate::from_kbps(900), RATE, ROUND_TRIP, ms(900));
        assert_eq!(control.cap(), Some(BitRate::from_kbps(810)));
    }

    #[test]
    fn a_few_packets_say_nothing_until_a_second_is_over() {
        let mut control = LossControl::new(ms(0));
        control.count(4, 2, ms(100));
        assert_eq!(control.share(), 0.0);
        control.count(4, 2, ms(1000));
        assert_eq!(control.share(), 0.5);
    }
}
