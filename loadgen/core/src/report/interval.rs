//! What workers count between two looks, and what the looks add up to.

use core::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Point, Received, Sent, Series};
use crate::limits::DELAY_MAX;
use crate::receive::Arrival;

/// Smallest difference that the histograms of a run keep, ns.
const RESOLUTION_NS: u64 = 64;
const DIGITS: u8 = 3;

/// What one worker, or all, counted in a stretch of time.
///
/// Three histograms of about 170 kB each. Workers keep two intervals, fill one and hand over the other; nothing is
/// allocated after [`Interval::new`].
#[derive(Clone, Debug)]
pub struct Interval {
    /// Packets sent.
    pub sent: Sent,
    /// Packets received.
    pub received: Received,
    delay: Histogram<u64>,
    variation: Histogram<u64>,
    lateness: Histogram<u64>,
}

impl Default for Interval {
    fn default() -> Self {
        Self::new()
    }
}

impl Interval {
    /// Nothing counted.
    #[must_use]
    pub fn new() -> Self {
        let histogram = || {
            let max = DELAY_MAX.as_nanos() as u64;
            Histogram::new_with_bounds(RESOLUTION_NS, max, DIGITS).expect("the bounds are constant and apart")
        };
        let (sent, received) = (Sent::default(), Received::default());
        Self { sent, received, delay: histogram(), variation: histogram(), lateness: histogram() }
    }

    /// A packet of so many octets was sent, so much after it was due.
    #[inline]
    pub fn sent(&mut self, octets: usize, lateness: Duration) {
        self.sent.packets += 1;
        self.sent.octets += octets as u64;
        self.lateness.saturating_record(lateness.as_nanos() as u64);
    }

    /// A packet arrived.
    #[inline]
    pub fn arrived(&mut self, arrival: &Arrival) {
        self.received.note(arrival);
        let Some(timing) = arrival.timing else { return };
        self.delay.saturating_record(timing.delay_ns);
        if let Some(variation) = timing.variation_ns {
            self.variation.saturating_record(variation);
        }
    }

    /// So many packets were sent, all so much after they were due; they are counted in [`Interval::sent`] by the caller.
    pub fn were_late(&mut self, lateness_ns: u64, packets: u64) {
        self.lateness.saturating_record_n(lateness_ns, packets);
    }

    /// So many packets had this delay; they are counted in [`Interval::received`] by the caller.
    pub fn were_delayed(&mut self, delay_ns: u64, packets: u64) {
        self.delay.saturating_record_n(delay_ns, packets);
    }

    /// Between so many packets and those before them the delay varied so much.
    pub fn varied(&mut self, variation_ns: u64, packets: u64) {
        self.variation.saturating_record_n(variation_ns, packets);
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        let pairs = [
            (&mut self.delay, &other.delay),
            (&mut self.variation, &other.variation),
            (&mut self.lateness, &other.lateness),
        ];
        for (sum, other) in pairs.into_iter().filter(|(_, other)| !other.is_empty()) {
            sum.add(other).expect("all have the same bounds");
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        (self.sent, self.received) = (Sent::default(), Received::default());
        [&mut self.delay, &mut self.variation, &mut self.lateness].into_iter().for_each(Histogram::reset);
    }

    /// From due time to arrival.
    #[must_use]
    pub fn delay(&self) -> Spread {
        Spread::of(&self.delay)
    }

    /// Differences of delay between packets that follow each other, without their sign (RFC 5481 section 4.1).
    #[must_use]
    pub fn variation(&self) -> Spread {
        Spread::of(&self.variation)
    }

    /// From due time to sending: how late the generator itself was.
    #[must_use]
    pub fn lateness(&self) -> Spread {
        Spread::of(&self.lateness)
    }

    /// Delay in ns at shares of packets that come ever closer to all: the points of a percentile curve.
    pub fn delay_curve(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let steps = self.delay.iter_quantiles(5);
        steps.map(|step| (step.quantile_iterated_to(), step.value_iterated_to()))
    }
}

/// Percentiles of a histogram, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Values counted; if there are none, the others are zero.
    pub count: u64,
    /// Smallest.
    pub min_ms: f64,
    /// Mean.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p99_9_ms: f64,
    /// 99.99th percentile.
    pub p99_99_ms: f64,
    /// Largest.
    pub max_ms: f64,
}

impl Spread {
    /// Of a histogram of nanoseconds.
    fn of(histogram: &Histogram<u64>) -> Self {
        Self::of_units(histogram, 1e6)
    }

    /// Of a histogram of microseconds.
    #[must_use]
    pub fn of_us(histogram: &Histogram<u64>) -> Self {
        Self::of_units(histogram, 1e3)
    }

    fn of_units(histogram: &Histogram<u64>, each_ms: f64) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / each_ms;
        Self {
            count: histogram.len(),
            min_ms: histogram.min() as f64 / each_ms,
            mean_ms: histogram.mean() / each_ms,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            p99_99_ms: at(0.9999),
            max_ms: histogram.max() as f64 / each_ms,
        }
    }
}

/// A run so far: everything counted, and how it went over time.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Everything counted.
    pub all: Interval,
    /// A point for each interval.
    pub series: Series,
}

impl Totals {
    /// Adds an interval of all workers that began at `at` after the start of the run and lasted `length`.
    pub fn add(&mut self, interval: &Interval, at: Duration, length: Duration) {
        self.all.merge(interval);
        self.series.push(Point::of(interval, at, length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::{Content, Place, Timing};

    fn arrival(delay_ms: u64) -> Arrival {
        let timing =
            Timing { delay_ns: delay_ms * 1_000_000, variation_ns: Some(7_000), late: false, before_due: false };
        let place = Place::Newest { missing: 1 };
        Arrival { content: Content::Intact, place, octets: 172, timing: Some(timing), gap: false }
    }

    fn close(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= expected * 0.001 + 0.000_064
    }

    #[test]
    fn intervals_of_workers_add_up_to_one() {
        let (mut first, mut second, mut whole) = (Interval::new(), Interval::new(), Interval::new());
        for ms in 1..=100 {
            let half = if ms % 2 == 0 { &mut first } else { &mut second };
            for interval in [half, &mut whole] {
                interval.arrived(&arrival(ms));
                interval.sent(172, Duration::from_micros(ms));
            }
        }
        first.merge(&second);
        assert_eq!((first.sent, first.received), (whole.sent, whole.received));
        assert_eq!((first.delay(), first.lateness()), (whole.delay(), whole.lateness()));
        let delay = first.delay();
        assert!(close(delay.p50_ms, 50.0) && close(delay.p99_ms, 99.0) && close(delay.max_ms, 100.0), "{delay:?}");
        assert!(close(first.variation().p99_ms, 0.007) && close(first.lateness().p90_ms, 0.09));
        assert_eq!(first.received.missing, 100);
    }

    #[test]
    fn a_cleared_interval_has_nothing_and_adds_nothing() {
        let mut interval = Interval::new();
        interval.arrived(&arrival(3));
        interval.sent(172, Duration::ZERO);
        interval.clear();
        assert_eq!((interval.sent, interval.received), (Sent::default(), Received::default()));
        assert_eq!((interval.delay(), interval.delay_curve().count()), (Spread::default(), 0));
    }

    #[test]
    fn delays_beyond_what_is_told_apart_count_as_the_longest() {
        let mut interval = Interval::new();
        interval.arrived(&arrival(600_000));
        assert!(close(interval.delay().max_ms, 60_000.0));
    }

    #[test]
    fn the_curve_rises_from_the_smallest_to_all() {
        let mut interval = Interval::new();
        (1..=1000).for_each(|ms| interval.arrived(&arrival(ms)));
        let curve: Vec<_> = interval.delay_curve().collect();
        assert!(curve.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
        assert_eq!(curve.last().unwrap().0, 1.0);
        assert!(close(curve.last().unwrap().1 as f64 / 1e6, 1000.0));
    }
}
