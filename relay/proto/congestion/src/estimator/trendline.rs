//! Whether queues grow: arrival-time filter and over-use detector (GCC sections 5.3 and 5.4).
//!
//! Where the draft has a Kalman filter, browsers have since fitted a line through the smoothed one-way delay of the last 20
//! groups, and so do we: its slope, times how many groups it stands on, times 4, is what the threshold is held against. The
//! threshold then moves faster than with the draft's coefficients.

use super::Usage;
use super::groups::Deltas;

/// Groups that the line is fitted through.
const WINDOW: usize = 20;
const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
/// Groups that a slope is multiplied by, at most.
const GROUPS_MAX: u32 = 60;

/// Threshold in milliseconds: at first, least, most (GCC sections 5.4 and 5.6).
const THRESHOLD: f64 = 12.5;
const THRESHOLD_MIN: f64 = 6.0;
const THRESHOLD_MAX: f64 = 600.0;
/// How fast it follows from above and from below, per millisecond.
const K_UP: f64 = 0.0087;
const K_DOWN: f64 = 0.039;
/// What lies further above it than this does not move it: a sudden peak is no reason to become deaf.
const ADAPT_WITHIN: f64 = 15.0;
/// Longest time between groups that the threshold moves by.
const ADAPT_LONGEST_MS: f64 = 100.0;
/// How long delay must grow (GCC section 5.6: overuse_time_th).
const OVER_USE_MS: f64 = 10.0;

#[derive(Debug)]
pub(super) struct Trendline {
    /// Arrival (ms since the first group) and smoothed delay (ms) of the newest groups, by number modulo `WINDOW`.
    points: [(f64, f64); WINDOW],
    groups: u32,
    first_arrival_ms: f64,
    accumulated_ms: f64,
    smoothed_ms: f64,
    threshold: f64,
    adapted_at_ms: Option<f64>,
    /// How long, and how many groups, the trend has been above the threshold.
    over_ms: Option<f64>,
    over_groups: u32,
    trend: f64,
    usage: Usage,
}

impl Trendline {
    pub const fn new() -> Self {
        Self {
            points: [(0.0, 0.0); WINDOW],
            groups: 0,
            first_arrival_ms: 0.0,
            accumulated_ms: 0.0,
            smoothed_ms: 0.0,
            threshold: THRESHOLD,
            adapted_at_ms: None,
            over_ms: None,
            over_groups: 0,
            trend: 0.0,
            usage: Usage::Normal,
        }
    }

    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// The next group. Gives what is signalled after it.
    pub fn push(&mut self, deltas: Deltas) -> Usage {
        if self.groups == 0 {
            self.first_arrival_ms = deltas.arrived_ms;
        }
        self.accumulated_ms += deltas.arrival_ms - deltas.sent_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.accumulated_ms;
        let point = (deltas.arrived_ms - self.first_arrival_ms, self.smoothed_ms);
        self.points[self.groups as usize % WINDOW] = point;
        self.groups = self.groups.saturating_add(1);
        let slope = if self.groups as usize >= WINDOW { self.slope().unwrap_or(self.trend) } else { self.trend };
        self.detect(slope, deltas.sent_ms);
        self.adapt(self.modified(slope), deltas.arrived_ms);
        self.trend = slope;
        self.usage
    }

    fn modified(&self, slope: f64) -> f64 {
        f64::from(self.groups.min(GROUPS_MAX)) * slope * GAIN
    }

    /// Least squares through the points.
    fn slope(&self) -> Option<f64> {
        let count = WINDOW as f64;
        let (x_sum, y_sum) = self.points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        let (x_mean, y_mean) = (x_sum / count, y_sum / count);
        let (over, under) = self.points.iter().fold((0.0, 0.0), |(over, under), (x, y)| {
            let away = x - x_mean;
            (over + away * (y - y_mean), under + away * away)
        });
        (under != 0.0).then(|| over / under)
    }

    fn detect(&mut self, slope: f64, sent_ms: f64) {
        let modified = self.modified(slope);
        if modified > self.threshold {
            let over_ms = self.over_ms.map_or(sent_ms / 2.0, |so_far| so_far + sent_ms);
            self.over_ms = Some(over_ms);
            self.over_groups += 1;
            if over_ms > OVER_USE_MS && self.over_groups > 1 && slope >= self.trend {
                (self.over_ms, self.over_groups) = (Some(0.0), 0);
                self.usage = Usage::Over;
            }
        } else {
            (self.over_ms, self.over_groups) = (None, 0);
            self.usage = if modified < -self.threshold { Usage::Under } else { Usage::Normal };
        }
    }

    /// Moves the threshold (GCC section 5.4), so that flows whose packets fill the queue do not starve us.
    fn adapt(&mut self, modified: f64, now_ms: f64) {
        let since = now_ms - self.adapted_at_ms.replace(now_ms).unwrap_or(now_ms);
        let height = modified.abs();
        if height > self.threshold + ADAPT_WITHIN {
            return;
        }
        let k = if height < self.threshold { K_DOWN } else { K_UP };
        self.threshold += k * (height - self.threshold) * since.clamp(0.0, ADAPT_LONGEST_MS);
        self.threshold = self.threshold.clamp(THRESHOLD_MIN, THRESHOLD_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups 20 ms apart, each that much later than the one before.
    fn run(trendline: &mut Trendline, groups: u32, later_ms: f64, at_ms: &mut f64) -> Vec<Usage> {
        let group = |_| {
            *at_ms += 20.0 + later_ms;
            trendline.push(Deltas { sent_ms: 20.0, arrival_ms: 20.0 + later_ms, arrived_ms: *at_ms })
        };
        (0..groups).map(group).collect()
    }

    #[test]
    fn delay_that_does_not_change_is_normal() {
        let usage = run(&mut Trendline::new(), 200, 0.0, &mut 0.0);
        assert!(usage.iter().all(|usage| *usage == Usage::Normal));
    }

    #[test]
    fn delay_that_grows_is_over_use_and_delay_that_shrinks_under_use() {
        let (mut trendline, mut at) = (Trendline::new(), 0.0);
        run(&mut trendline, 60, 0.0, &mut at);
        let grows = run(&mut trendline, 15, 2.0, &mut at);
        assert_eq!(grows.last(), Some(&Usage::Over));
        let shrinks = run(&mut trendline, 25, -2.0, &mut at);
        assert_eq!(shrinks.last(), Some(&Usage::Under));
        assert_eq!(run(&mut trendline, 60, 0.0, &mut at).last(), Some(&Usage::Normal));
    }

    #[test]
    fn a_single_late_group_is_not_over_use() {
        let (mut trendline, mut at) = (Trendline::new(), 0.0);
        run(&mut trendline, 60, 0.0, &mut at);
        let peak = [run(&mut trendline, 1, 5.0, &mut at), run(&mut trendline, 1, -5.0, &mut at)].concat();
        assert!(peak.iter().all(|usage| *usage == Usage::Normal));
    }

    #[test]
    fn the_threshold_rises_while_delay_varies_and_falls_after() {
        let (mut trendline, mut at) = (Trendline::new(), 0.0);
        run(&mut trendline, 60, 0.0, &mut at);
        assert!((trendline.threshold - THRESHOLD_MIN).abs() < 0.1, "{}", trendline.threshold);
        let swing = |n: i32| {
            run(&mut trendline, 20, if n % 2 == 0 { 1.5 } else { -1.5 }, &mut at);
            trendline.threshold
        };
        let varied = (0..40).map(swing).fold(0.0, f64::max);
        assert!(varied > 1.3 * THRESHOLD_MIN, "{varied}");
        run(&mut trendline, 60, 0.0, &mut at);
        assert!(trendline.threshold < varied);
    }
}
