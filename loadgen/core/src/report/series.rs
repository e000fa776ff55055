//! How a run went over time.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Interval;
use crate::limits::SERIES_MAX;

/// One stretch of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Seconds from the start of the run to that of the stretch.
    pub at_s: f64,
    /// Seconds that it lasted.
    pub length_s: f64,
    /// Packets sent.
    pub sent: u64,
    /// Octets of RTP sent.
    pub sent_octets: u64,
    /// Packets received.
    pub received: u64,
    /// Octets of RTP received.
    pub received_octets: u64,
    /// Packets found missing, less those that came after all.
    pub missing: i64,
    /// Median delay.
    pub p50_ms: f64,
    /// 99th percentile of delay; of stretches put together the worst.
    pub p99_ms: f64,
    /// 99th percentile of the generator's own lateness; of stretches put together the worst.
    pub lateness_p99_ms: f64,
}

impl Point {
    /// What an interval of `length` that began at `at` was like.
    #[must_use]
    pub fn of(interval: &Interval, at: Duration, length: Duration) -> Self {
        let delay = interval.delay();
        Self {
            at_s: at.as_secs_f64(),
            length_s: length.as_secs_f64(),
            sent: interval.sent.packets,
            sent_octets: interval.sent.octets,
            received: interval.received.packets,
            received_octets: interval.received.octets,
            missing: interval.received.missing,
            p50_ms: delay.p50_ms,
            p99_ms: delay.p99_ms,
            lateness_p99_ms: interval.lateness().p99_ms,
        }
    }

    fn join(&self, next: &Self) -> Self {
        Self {
            at_s: self.at_s,
            length_s: self.length_s + next.length_s,
            sent: self.sent + next.sent,
            sent_octets: self.sent_octets + next.sent_octets,
            received: self.received + next.received,
            received_octets: self.received_octets + next.received_octets,
            missing: self.missing + next.missing,
            p50_ms: self.p50_ms.max(next.p50_ms),
            p99_ms: self.p99_ms.max(next.p99_ms),
            lateness_p99_ms: self.lateness_p99_ms.max(next.lateness_p99_ms),
        }
    }
}

/// Points of equal length, at most [`SERIES_MAX`]: when there would be more, every two become one.
#[derive(Clone, Debug, Default)]
pub struct Series {
    points: Vec<Point>,
    /// Intervals in a point; zero stands for one.
    per_point: u32,
    /// Intervals in the last point.
    in_last: u32,
}

impl Series {
    /// Adds the next interval.
    pub fn push(&mut self, point: Point) {
        self.per_point = self.per_point.max(1);
        match self.points.last_mut().filter(|_| self.in_last < self.per_point) {
            Some(last) => {
                *last = last.join(&point);
                self.in_last += 1;
            }
            None => {
                self.make_room();
                self.points.push(point);
                self.in_last = 1;
            }
        }
    }

    /// All points, in order.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    fn make_room(&mut self) {
        if self.points.len() == SERIES_MAX {
            self.points = self.points.chunks_exact(2).map(|pair| pair[0].join(&pair[1])).collect();
            self.per_point *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_its_sums_in_fewer_points() {
        let mut series = Series::default();
        let seconds = 3 * SERIES_MAX as u32 + 1;
        for second in 0..seconds {
            let p99_ms = f64::from(second % 5);
            series.push(Point {
                at_s: second.into(),
                length_s: 1.0,
                sent: 10,
                missing: -1,
                p99_ms,
                ..Point::default()
            });
        }
        let points = series.points();
        assert!(points.len() <= SERIES_MAX && points.len() > SERIES_MAX / 2);
        assert_eq!(points.iter().map(|point| point.sent).sum::<u64>(), u64::from(seconds) * 10);
        assert_eq!(points.iter().map(|point| point.missing).sum::<i64>(), -i64::from(seconds));
        assert!(points.windows(2).all(|pair| pair[0].at_s + pair[0].length_s == pair[1].at_s));
        assert!(points[..points.len() - 1].iter().all(|point| point.length_s == 4.0 && point.p99_ms >= 3.0));
    }
}
