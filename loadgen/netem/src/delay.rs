//! How long a packet takes.

use std::fmt;
use std::time::Duration;

use raceway_units::Random;

use crate::limits::DELAY_MAX;

/// How delays are spread around their mean by jitter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// Anything from jitter less to jitter more alike.
    #[default]
    Uniform,
    /// Bell-shaped, with jitter as its standard deviation.
    Normal,
    /// Never less than the delay, seldom very much more (Pareto with shape 3); jitter is the mean excess.
    Pareto,
}

impl Distribution {
    pub(crate) const ALL: [Self; 3] = [Self::Uniform, Self::Normal, Self::Pareto];
}

impl fmt::Display for Distribution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Uniform => "uniform",
            Self::Normal => "normal",
            Self::Pareto => "pareto",
        })
    }
}

/// A delay by these rules, from none to [`DELAY_MAX`]. Takes two random numbers whatever the rules.
pub(crate) fn draw(delay: Duration, jitter: Duration, distribution: Distribution, random: &mut Random) -> Duration {
    let (one, other) = (random.fraction(), random.fraction());
    let excess = match distribution {
        Distribution::Uniform => 2.0 * one - 1.0,
        // Box and Muller; 1 - x, since x may be zero.
        Distribution::Normal => (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * other).cos(),
        // The mean of a Pareto distribution of shape 3 from 1 is 1.5, so half above its least.
        Distribution::Pareto => ((1.0 - one).powf(-1.0 / 3.0) - 1.0) * 2.0,
    };
    let ns = delay.as_nanos() as f64 + jitter.as_nanos() as f64 * excess;
    // A conversion from f64 saturates: less than none is none.
    Duration::from_nanos(ns as u64).min(DELAY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY_MS: f64 = 50.0;
    const JITTER_MS: f64 = 10.0;

    fn sample(distribution: Distribution) -> Vec<f64> {
        let mut random = Random::new(8);
        let draw = |_| draw(Duration::from_millis(50), Duration::from_millis(10), distribution, &mut random);
        (0..100_000).map(draw).map(|delay| delay.as_secs_f64() * 1e3).collect()
    }

    /// Mean, standard deviation, least and most.
    fn shape(sample: &[f64]) -> (f64, f64, f64, f64) {
        let mean = sample.iter().sum::<f64>() / sample.len() as f64;
        let deviation = (sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / sample.len() as f64).sqrt();
        (mean, deviation, sample.iter().copied().fold(f64::MAX, f64::min), sample.iter().copied().fold(0.0, f64::max))
    }

    #[test]
    fn uniform_jitter_fills_its_range() {
        let (mean, deviation, least, most) = shape(&sample(Distribution::Uniform));
        assert!((mean - DELAY_MS).abs() < 0.1 && (deviation - JITTER_MS / 3f64.sqrt()).abs() < 0.1);
        assert!((40.0..40.1).contains(&least) && (59.9..=60.0).contains(&most));
    }

    #[test]
    fn normal_jitter_is_a_standard_deviation() {
        let (mean, deviation, least, _) = shape(&sample(Distribution::Normal));
        assert!((mean - DELAY_MS).abs() < 0.2 && (deviation - JITTER_MS).abs() < 0.2);
        assert!(least > 0.0);
    }

    #[test]
    fn pareto_jitter_is_a_mean_excess_with_a_long_tail() {
        let (mean, _, least, most) = shape(&sample(Distribution::Pareto));
        assert!((mean - DELAY_MS - JITTER_MS).abs() < 0.5, "{mean}");
        assert!(least >= DELAY_MS && most > DELAY_MS + 20.0 * JITTER_MS, "{least} {most}");
    }

    #[test]
    fn a_delay_is_never_negative_nor_endless() {
        let mut random = Random::new(1);
        for distribution in Distribution::ALL {
            for _ in 0..10_000 {
                assert!(draw(Duration::ZERO, DELAY_MAX, distribution, &mut random) <= DELAY_MAX);
            }
        }
    }
}
