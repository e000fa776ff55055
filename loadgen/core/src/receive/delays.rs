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
/// Multiples of it are spread evenly between whole numbers, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_894_8;

/// A histogram of delays with buckets an eighth of their value wide: 768 octets, an error of at most 6.25 %,
/// twice that where clocks differ.
///
/// Delays between clocks that differ are counted from an origin, the smallest so far.
#[derive(Clone, Debug)]
pub struct Delays {
    relative: bool,
    /// How often the origin was moved.
    moves: u32,
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
        Self { relative, moves: 0, counts: [0; BUCKETS], origin, smallest, largest, sum: 0.0, count: 0 }
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
    ///
    /// Each bucket's packets are taken as spread evenly over it, and what a bucket above gets of them is rounded at a
    /// threshold that differs from move to move: many small moves come to as much as one large one.
    #[cold]
    fn lay_origin(&mut self, origin: i64) {
        let up = self.origin.abs_diff(origin);
        self.moves = self.moves.wrapping_add(1);
        let threshold = (f64::from(self.moves) * GOLDEN).fract();
        let mut counts = [0u32; BUCKETS];
        let (mut before, mut placed) = (0.0, 0);
        for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count != 0) {
            let (low, high) = (lower(index).saturating_add(up), lower(index + 1).saturating_add(up));
            for (at, bucket) in counts.iter_mut().enumerate().skip(bucket(low)) {
                let end = if at == BUCKETS - 1 { high } else { high.min(lower(at + 1)) };
                let share = if high > low { (end - low) as f64 / (high - low) as f64 } else { 1.0 };
                let through = (before + f64::from(*count) * share + threshold) as u64;
                *bucket = bucket.saturating_add((through - placed) as u32);
                placed = through;
                if end == high {
                    break;
                }
            }
            before += f64::from(*count);
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

/// Where a bucket begins, ns.
const fn lower(index: usize) -> u64 {
    let (octave, within) = (index as u32 / PER_OCTAVE, index as u32 % PER_OCTAVE);
    let units = if octave == 0 { within as u64 } else { ((PER_OCTAVE + within) as u64) << (octave - 1) };
    units << UNIT_SHIFT
}

/// The middle of a bucket, ns.
const fn middle(index: usize) -> u64 {
    lower(index).midpoint(lower(index + 1))
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
    fn many_small_moves_come_to_as_much_as_one_large_one() {
        // A hundred packets 20 ms above, then the origin falls by 100 us a hundred times.
        let mut delays = Delays::new(true, 0);
        delays.record(0);
        for _ in 0..100 {
            delays.record(20_000_000);
        }
        for step in 1..=100 {
            delays.record(-100_000 * step);
        }
        let (smallest, _) = delays.range();
        let found = delays.quantile_above(smallest, 0.75);
        assert!((found - 30_000_000.0).abs() < 2_500_000.0, "{found}");
        assert_eq!(delays.counts.iter().sum::<u32>(), 201);
    }

    #[test]
    fn with_one_clock_no_delay_is_below_none() {
        let delays = of(false, &[-5_000_000, 3_000_000, 9_000_000]);
        assert_eq!((delays.mean_above(0), delays.range()), (4_000_000.0, (-5_000_000, 9_000_000)));
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
            delays in prop::collection::vec(0..50_000_000i64, 100..400),
            falling in 0..200_000i64,
        ) {
            // A clock that goes slow makes every packet faster than those before.
            let fall = |(index, delay): (usize, &i64)| delay + offset - index as i64 * falling;
            let transits: Vec<i64> = delays.iter().enumerate().map(fall).collect();
            let relative = of(true, &transits);
            let (low, high) = (*transits.iter().min().unwrap(), *transits.iter().max().unwrap());
            prop_assert_eq!(relative.range(), (low, high));
            let mut sorted: Vec<i64> = transits.iter().map(|transit| transit - low).collect();
            sorted.sort_unstable();
            for quantile in [0.1, 0.5, 0.9] {
                let exact = |quantile: f64| sorted[(quantile * (sorted.len() - 1) as f64) as usize] as f64;
                let found = relative.quantile_above(low, quantile);
                let (least, most) = (exact(quantile - 0.04) * 0.87, exact(quantile + 0.04) * 1.13);
                prop_assert!((least - 20_000.0..most + 20_000.0).contains(&found), "{found} not from {least} to {most}");
            }
            let mean = sorted.iter().sum::<i64>() as f64 / sorted.len() as f64;
            prop_assert!((relative.mean_above(low) - mean).abs() < 1000.0);
        }
    }
}
