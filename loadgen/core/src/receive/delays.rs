//! Delays of one stream in fixed memory.

/// Values below this many units have a bucket each; every octave above has as many.
const PER_OCTAVE: u32 = 8;
/// Octaves above the linear part; values reach 17 s.
const OCTAVES: u32 = 23;
const BUCKETS: usize = (PER_OCTAVE * (OCTAVES + 1)) as usize;
/// A unit is 256 ns.
const UNIT_SHIFT: u32 = 8;
/// How far below the smallest relative delay so far the origin is laid, so that a new smallest one seldom moves it.
const SLACK_NS: i64 = 64_000;

/// A histogram of delays with buckets an eighth of their value wide: 768 octets, an error of at most 6.25 %.
///
/// Delays between clocks that differ are counted from an origin, the smallest so far.
#[derive(Clone, Debug)]
pub struct Delays {
    relative: bool,
    counts: [u32; BUCKETS],
    /// What a transit time is counted from, ns.
    origin: i64,
    smallest: i64,
    largest: i64,
    sum: f64,
    count: u64,
}

impl Delays {
    /// Of a stream whose clock is the receiver's (`relative` false) or another.
    #[must_use]
    pub const fn new(relative: bool, transit: i64) -> Self {
        let origin = if relative { transit.saturating_sub(SLACK_NS) } else { 0 };
        let (smallest, largest) = (i64::MAX, i64::MIN);
        Self { relative, counts: [0; BUCKETS], origin, smallest, largest, sum: 0.0, count: 0 }
    }

    /// Counts a packet that took `transit` ns by the two clocks, and says how much longer than the smallest that was.
    #[inline]
    pub fn record(&mut self, transit: i64) -> u64 {
        self.smallest = self.smallest.min(transit);
        self.largest = self.largest.max(transit);
        if self.relative && transit < self.origin {
            self.lay_origin(transit.saturating_sub(SLACK_NS));
        }
        let value = transit.saturating_sub(self.origin).max(0) as u64;
        let bucket = &mut self.counts[bucket(value)];
        *bucket = bucket.saturating_add(1);
        self.sum += value as f64;
        self.count += 1;
        transit.abs_diff(self.smallest)
    }

    /// Whether the two clocks differ, so that only differences of transit times mean something.
    #[must_use]
    pub const fn is_relative(&self) -> bool {
        self.relative
    }

    /// The smallest and the largest transit time, ns.
    #[must_use]
    pub const fn range(&self) -> (i64, i64) {
        (self.smallest, self.largest)
    }

    /// The mean above `from`, ns.
    #[must_use]
    pub fn mean_above(&self, from: i64) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 + self.origin.saturating_sub(from) as f64 }
    }

    /// The value above `from` that a share of `quantile` (0 to 1) does not exceed, ns.
    #[must_use]
    pub fn quantile_above(&self, from: i64, quantile: f64) -> f64 {
        let rank = (quantile * self.count as f64).ceil().max(1.0) as u64;
        let mut sum = 0;
        let found = self.counts.iter().position(|count| {
            sum += u64::from(*count);
            sum >= rank
        });
        let value = found.map_or(0, |index| middle(index) as i64).saturating_add(self.origin);
        value.clamp(self.smallest, self.largest.max(self.smallest)).saturating_sub(from) as f64
    }

    /// Moves the origin down; what was counted moves up.
    #[cold]
    fn lay_origin(&mut self, origin: i64) {
        let up = self.origin.abs_diff(origin);
        let mut counts = [0u32; BUCKETS];
        for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count != 0) {
            let bucket = &mut counts[bucket(middle(index).saturating_add(up))];
            *bucket = bucket.saturating_add(*count);
        }
        self.counts = counts;
        self.sum += up as f64 * self.count as f64;
        self.origin = origin;
    }
}

fn bucket(ns: u64) -> usize {
    let units = ns >> UNIT_SHIFT;
    if units < u64::from(PER_OCTAVE) {
        return units as usize;
    }
    let octave = units.ilog2() - PER_OCTAVE.ilog2();
    let within = (units >> octave) as u32 - PER_OCTAVE;
    ((octave + 1) * PER_OCTAVE + within).min(BUCKETS as u32 - 1) as usize
}

/// The middle of a bucket, ns.
const fn middle(index: usize) -> u64 {
    let (octave, within) = (index as u32 / PER_OCTAVE, index as u32 % PER_OCTAVE);
    let (low, width) = if octave == 0 {
        (within as u64, 1)
    } else {
        (((PER_OCTAVE + within) as u64) << (octave - 1), 1 << (octave - 1))
    };
    (low << UNIT_SHIFT) + (width << UNIT_SHIFT) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(relative: bool, transits: &[i64]) -> Delays {
        let mut delays = Delays::new(relative, transits[0]);
        for transit in transits {
            delays.record(*transit);
        }
        delays
    }

    #[test]
    fn buckets_follow_each_other_and_hold_their_middle() {
        for index in 0..BUCKETS {
            assert_eq!(bucket(middle(index)), index);
        }
        assert!((1..BUCKETS).all(|index| middle(index - 1) < middle(index)));
    }

    #[test]
    fn the_excess_over_the_smallest_is_returned() {
        let mut delays = Delays::new(false, 500);
        assert_eq!([500, 900, 300, 350].map(|transit| delays.record(transit)), [0, 400, 0, 50]);
    }

    #[test]
    fn extremes_of_forged_stamps_are_survived() {
        for relative in [false, true] {
            let delays = of(relative, &[i64::MAX, i64::MIN, 0, i64::MIN + 1, i64::MAX]);
            for from in [i64::MIN, 0, i64::MAX] {
                assert!(delays.quantile_above(from, 0.99).is_finite() && delays.mean_above(from).is_finite());
            }
        }
    }

    proptest! {
        #[test]
        fn quantiles_are_within_the_width_of_a_bucket(
            transits in prop::collection::vec(0..2_000_000_000i64, 1..300),
            quantile in 0.0..1.0f64,
        ) {
            let delays = of(false, &transits);
            let mut sorted = transits;
            sorted.sort_unstable();
            let exact = sorted[((quantile * sorted.len() as f64).ceil() as usize).max(1) - 1] as f64;
            let found = delays.quantile_above(0, quantile);
            prop_assert!((found - exact).abs() <= exact * 0.0625 + 128.0, "{found} for {exact}");
        }

        /// The origin moves whenever a packet was faster than all before; what is told apart stays close.
        #[test]
        fn relative_delays_count_from_the_smallest_whenever_it_comes(
            offset in -10_000_000_000_000i64..10_000_000_000_000,
            delays in prop::collection::vec(0..50_000_000i64, 1..200),
        ) {
            let transits: Vec<i64> = delays.iter().map(|delay| delay + offset).collect();
            let relative = of(true, &transits);
            let (smallest, largest) = relative.range();
            let (low, high) = (*delays.iter().min().unwrap(), *delays.iter().max().unwrap());
            prop_assert_eq!((smallest - offset, largest - offset), (low, high));
            let mut sorted = delays.clone();
            sorted.sort_unstable();
            let exact = (sorted[sorted.len().div_ceil(2) - 1] - low) as f64;
            let found = relative.quantile_above(smallest, 0.5);
            prop_assert!((found - exact).abs() <= exact * 0.13 + 20_000.0, "{found} for {exact}");
            let mean = delays.iter().sum::<i64>() as f64 / delays.len() as f64 - low as f64;
            prop_assert!((relative.mean_above(smallest) - mean).abs() < 1000.0);
        }
    }
}
