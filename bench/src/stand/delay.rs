//! Delays as percentiles.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Shares of the packets for which a delay is told.
pub const QUANTILES: [f64; 12] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];
/// Steps of each power of two in the sink's buckets, as in the kernel half.
const STEPS: u64 = 64;

/// Percentiles of a delay in nanoseconds; empty if nothing was timed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Delays {
    /// Share of the packets, and the delay that none of them exceeded.
    pub points: Vec<(f64, u64)>,
}

impl Delays {
    /// From the counts of the sink's buckets.
    pub fn of_buckets(counts: &[u64]) -> Result<Self> {
        let mut histogram = Histogram::<u64>::new(3)?;
        for (bucket, count) in (0..).zip(counts) {
            histogram.record_n(middle(bucket), *count)?;
        }
        Ok(Self::of(&histogram))
    }

    /// From single durations.
    pub fn of_durations(durations: impl IntoIterator<Item = Duration>) -> Result<Self> {
        let mut histogram = Histogram::<u64>::new(3)?;
        for duration in durations {
            histogram.record(duration.as_nanos() as u64)?;
        }
        Ok(Self::of(&histogram))
    }

    fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        Self { points: QUANTILES.map(|quantile| (quantile, histogram.value_at_quantile(quantile))).to_vec() }
    }

    /// The delay at one of [`QUANTILES`], in nanoseconds.
    #[must_use]
    pub fn at(&self, quantile: f64) -> Option<u64> {
        self.points.iter().find(|(share, _)| (share - quantile).abs() < 1e-9).map(|(_, ns)| *ns)
    }
}

/// The middle of a bucket of the sink, in nanoseconds.
fn middle(bucket: u64) -> u64 {
    let exponent = bucket / STEPS;
    if exponent == 0 {
        return bucket;
    }
    let width = 1 << (exponent - 1);
    (STEPS + bucket % STEPS) * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel half has it.
    fn bucket(ns: u64) -> u64 {
        let exponent = if ns < STEPS { 0 } else { 64 - 6 - u64::from(ns.leading_zeros()) };
        if exponent == 0 { ns } else { exponent * STEPS + (ns >> (exponent - 1)) - STEPS }
    }

    #[test]
    fn the_middle_of_a_bucket_is_within_one_step_of_all_its_delays() {
        for ns in (0..200).chain([999, 1_000, 4_095, 4_096, 123_456, 9_999_999, 77_777_777_777]) {
            let middle = middle(bucket(ns));
            assert!(middle.abs_diff(ns) <= ns / STEPS, "{ns}: {middle}");
        }
    }

    #[test]
    fn percentiles_come_from_the_counts_of_buckets() {
        let mut counts = vec![0; 2048];
        counts[bucket(1_000) as usize] = 98;
        counts[bucket(50_000) as usize] = 2;
        let delays = Delays::of_buckets(&counts).expect("delays that fit");
        assert!(delays.at(0.5).is_some_and(|ns| ns.abs_diff(1_000) < 20));
        assert!(delays.at(0.99).is_some_and(|ns| ns.abs_diff(50_000) < 1_000));
        assert_eq!(Delays::of_buckets(&[0; 2048]).expect("no delays").at(0.5), None);
    }
}
