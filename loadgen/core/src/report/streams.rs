//! The streams of a run, side by side.

use core::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::StreamReport;
use crate::limits::ROWS_MAX;
use crate::quality::Band;

/// How a value is spread over streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Across {
    /// Streams that have the value.
    pub count: u64,
    /// Smallest.
    pub min: f64,
    /// 5th percentile.
    pub p5: f64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Largest.
    pub max: f64,
}

impl Across {
    /// Of these values, if there are any. They are sorted in place.
    #[must_use]
    pub fn of(values: &mut [f64]) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let at = |share| quantile(values, share);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let count = values.len() as u64;
        Some(Self { count, min, p5: at(0.05), mean, p50: at(0.5), p95: at(0.95), max })
    }
}

/// The value that this share of sorted values does not exceed; there is one.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((share * sorted.len() as f64).ceil() as usize).max(1) - 1]
}

fn curve(sorted: &[f64]) -> Vec<f64> {
    let percents = if sorted.is_empty() { 0..0 } else { 0..101 };
    percents.map(|percent| quantile(sorted, f64::from(percent) / 100.0)).collect()
}

/// All streams of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Streams {
    /// How many there are.
    pub count: u64,
    /// How many of them lost a packet or more.
    pub with_loss: u64,
    /// Mean opinion scores of those with a codec for speech. All of one band, or of the narrower one where both occur:
    /// scores of different scales are not put together.
    pub mos: Option<Across>,
    /// The scale of the scores.
    pub band: Option<Band>,
    /// Mean interarrival jitter of each stream, ms.
    pub jitter_ms: Option<Across>,
    /// What the jitter of 0, 1, 2 to 100 percent of the streams does not exceed; empty if there are none.
    pub jitter_curve_ms: Vec<f64>,
    /// Longest silence of each stream that its sender did not mean, ms.
    pub longest_gap_ms: Option<Across>,
    /// The worst, in order, at most [`ROWS_MAX`].
    pub rows: Vec<StreamReport>,
    /// How many more there are than rows.
    pub left_out: u64,
}

impl Streams {
    /// Puts streams side by side.
    #[must_use]
    pub fn of(mut rows: Vec<StreamReport>) -> Self {
        let count = rows.len();
        let band = rows.iter().filter_map(|row| row.rating).map(|rating| rating.band).min_by_key(|band| *band as u8);
        let rated = rows.iter().filter_map(|row| row.rating).filter(|rating| Some(rating.band) == band);
        let mos = Across::of(&mut rated.map(|rating| rating.mos).collect::<Vec<_>>());
        let heard = || rows.iter().filter(|row| row.received.packets != 0);
        let mut jitters: Vec<f64> = heard().map(|row| row.jitter_mean_ms).collect();
        let jitter_ms = Across::of(&mut jitters);
        let jitter_curve_ms = curve(&jitters);
        let longest_gap_ms = Across::of(&mut heard().map(|row| row.longest_gap_ms).collect::<Vec<_>>());
        let with_loss = rows.iter().filter(|row| row.lost != 0).count() as u64;
        rows.sort_by(worst_first);
        rows.truncate(ROWS_MAX);
        let left_out = (count - rows.len()) as u64;
        Self { count: count as u64, with_loss, mos, band, jitter_ms, jitter_curve_ms, longest_gap_ms, rows, left_out }
    }
}

/// By loss, then damage and lateness, then jitter.
fn worst_first(one: &StreamReport, other: &StreamReport) -> Ordering {
    let unplayed = |row: &StreamReport| row.lost + row.received.corrupted + row.received.late;
    let by_loss = other.loss_ratio.total_cmp(&one.loss_ratio);
    by_loss.then(unplayed(other).cmp(&unplayed(one))).then(other.jitter_mean_ms.total_cmp(&one.jitter_mean_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::Rating;
    use crate::report::Received;

    fn row(name: usize, lost: u64, band: Band, mos: f64) -> StreamReport {
        let received = Received { packets: 1000 - lost, ..Received::default() };
        let rating = Some(Rating { band, r: 0.0, mos });
        let (jitter_mean_ms, loss_ratio) = (name as f64, lost as f64 / 1000.0);
        StreamReport {
            name: name.to_string(),
            received,
            lost,
            loss_ratio,
            rating,
            jitter_mean_ms,
            ..Default::default()
        }
    }

    #[test]
    fn percentiles_are_values_that_occur() {
        let mut values: Vec<f64> = (1..=40).rev().map(f64::from).collect();
        let across = Across::of(&mut values).unwrap();
        let expected = Across { count: 40, min: 1.0, p5: 2.0, mean: 20.5, p50: 20.0, p95: 38.0, max: 40.0 };
        assert_eq!(across, expected);
        assert_eq!(Across::of(&mut []), None);
        let curve = curve(&values);
        assert_eq!((curve.len(), curve[0], curve[50], curve[100]), (101, 1.0, 20.0, 40.0));
    }

    #[test]
    fn the_worst_come_first_and_the_rest_is_counted() {
        let rows = (0..ROWS_MAX + 5).map(|name| row(name, u64::from(name % 5000 == 7), Band::Narrow, 4.0)).collect();
        let streams = Streams::of(rows);
        assert_eq!((streams.count, streams.with_loss, streams.left_out), (ROWS_MAX as u64 + 5, 2, 5));
        let names: Vec<&str> = streams.rows[..3].iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["5007", "7", "10004"]);
        assert_eq!(streams.jitter_ms.unwrap().max, 10_004.0);
    }

    #[test]
    fn scores_of_different_scales_are_not_put_together() {
        let streams =
            Streams::of(vec![row(0, 0, Band::Wide, 4.5), row(1, 0, Band::Narrow, 4.1), row(2, 0, Band::Narrow, 4.3)]);
        let mos = streams.mos.unwrap();
        assert_eq!((streams.band, mos.count, mos.max), (Some(Band::Narrow), 2, 4.3));
    }
}
