//! The search for the highest load that still passes, after RFC 2544 section 26.1: double until something breaks, then
//! halve the distance; all of it several times, since one search on a noisy machine proves little.

use serde::{Deserialize, Serialize};

/// How a trial at some load came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All that was asked of it held.
    Passed,
    /// Something did not.
    Failed,
    /// The generator could not make this load: it says nothing of the other side.
    Invalid,
}

/// What one search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The highest load that passed; zero if none did.
    pub load: u32,
    /// Nothing higher was shown to fail: the generator or the given maximum was the limit.
    pub at_least: bool,
}

/// One search over loads from 1 to a maximum.
#[derive(Clone, Debug)]
pub struct Search {
    /// The highest that passed.
    passed: u32,
    /// The lowest that did not.
    limit: Option<(u32, Verdict)>,
    next: u32,
    max: u32,
    /// Distance between the two that is close enough, as a share of the load.
    resolution: f64,
}

impl Search {
    /// Starts at `first`; ends when pass and failure are closer than `resolution` (0 to 1) of the load.
    #[must_use]
    pub fn new(first: u32, max: u32, resolution: f64) -> Self {
        let max = max.max(1);
        Self { passed: 0, limit: None, next: first.clamp(1, max), max, resolution: resolution.max(0.0) }
    }

    /// The load of the next trial; `None` when all is known.
    #[must_use]
    pub fn next(&self) -> Option<u32> {
        match self.limit {
            None if self.passed == self.max => None,
            None => Some(self.next),
            Some((limit, _)) => {
                let gap = limit - self.passed;
                let close = gap <= 1 || f64::from(gap) <= self.resolution * f64::from(limit);
                (!close).then_some(self.passed + gap / 2)
            }
        }
    }

    /// How the trial at [`next`](Self::next) came out.
    pub fn note(&mut self, verdict: Verdict) {
        let Some(load) = self.next() else { return };
        match verdict {
            Verdict::Passed => {
                self.passed = load;
                self.next = load.saturating_mul(2).min(self.max);
            }
            Verdict::Failed | Verdict::Invalid => self.limit = Some((load, verdict)),
        }
    }

    /// What the search came to.
    #[must_use]
    pub fn found(&self) -> Found {
        let at_least = self.limit.is_none_or(|(_, verdict)| verdict == Verdict::Invalid);
        Found { load: self.passed, at_least }
    }
}

/// Several searches together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Searches.
    pub searches: u32,
    /// Mean of what they found.
    pub mean: f64,
    /// Smallest found.
    pub min: u32,
    /// Largest found.
    pub max: u32,
    /// Half the width of the interval that holds the true mean with 95 % probability, if what keeps searches apart is
    /// chance; none for a single search.
    pub confidence_95: Option<f64>,
    /// In one search or more the generator or the given maximum was the limit.
    pub at_least: bool,
}

impl Capacity {
    /// Of these searches.
    #[must_use]
    pub fn of(found: &[Found]) -> Self {
        let loads = || found.iter().map(|found| found.load);
        let count = found.len() as f64;
        if found.is_empty() {
            return Self::default();
        }
        let mean = loads().map(f64::from).sum::<f64>() / count;
        let squares = loads().map(|load| (f64::from(load) - mean).powi(2)).sum::<f64>();
        let deviation = (squares / (count - 1.0).max(1.0)).sqrt();
        Self {
            searches: found.len() as u32,
            mean,
            min: loads().min().unwrap_or(0),
            max: loads().max().unwrap_or(0),
            confidence_95: (found.len() > 1).then(|| student_95(found.len() - 1) * deviation / count.sqrt()),
            at_least: found.iter().any(|found| found.at_least),
        }
    }
}

/// Two-sided 95 % quantile of Student's t distribution, by degrees of freedom.
fn student_95(freedom: usize) -> f64 {
    const TABLE: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    // Beyond ten it falls slowly towards the normal distribution's; the value of ten errs on the safe side.
    TABLE[freedom.clamp(1, TABLE.len()) - 1]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn search(first: u32, max: u32, resolution: f64, verdict: impl Fn(u32) -> Verdict) -> (Found, u32) {
        let mut search = Search::new(first, max, resolution);
        let mut trials = 0;
        while let Some(load) = search.next() {
            assert!((1..=max).contains(&load));
            search.note(verdict(load));
            trials += 1;
            assert!(trials < 100, "it ends");
        }
        (search.found(), trials)
    }

    proptest! {
        #[test]
        fn the_highest_load_that_passes_is_found(capacity in 0..100_000u32, first in 1..5_000u32) {
            let holds = |load| if load <= capacity { Verdict::Passed } else { Verdict::Failed };
            let (found, _) = search(first, 200_000, 0.0, holds);
            prop_assert_eq!(found, Found { load: capacity, at_least: false });
        }

        #[test]
        fn a_resolution_saves_trials_and_stays_within_it(capacity in 100..100_000u32) {
            let holds = |load| if load <= capacity { Verdict::Passed } else { Verdict::Failed };
            let (found, trials) = search(100, 200_000, 0.02, holds);
            prop_assert!(found.load <= capacity && f64::from(capacity - found.load) <= 0.021 * f64::from(capacity) + 1.0);
            prop_assert!(trials <= 20, "{} trials", trials);
        }
    }

    #[test]
    fn where_the_generator_gives_up_the_figure_is_a_lower_bound() {
        let (found, _) = search(10, 1000, 0.0, |load| if load <= 300 { Verdict::Passed } else { Verdict::Invalid });
        assert_eq!(found, Found { load: 300, at_least: true });
        let (found, _) = search(10, 500, 0.0, |_| Verdict::Passed);
        assert_eq!(found, Found { load: 500, at_least: true });
    }

    #[test]
    fn nothing_that_passes_is_zero() {
        assert_eq!(search(64, 1000, 0.01, |_| Verdict::Failed).0, Found { load: 0, at_least: false });
    }

    #[test]
    fn confidence_is_that_of_student() {
        let found = [98, 100, 102].map(|load| Found { load, at_least: false });
        let capacity = Capacity::of(&found);
        assert_eq!((capacity.mean, capacity.min, capacity.max, capacity.at_least), (100.0, 98, 102, false));
        // Deviation 2, three searches, t = 4.303.
        assert!((capacity.confidence_95.unwrap() - 4.303 * 2.0 / 3f64.sqrt()).abs() < 1e-9);
        assert_eq!(Capacity::of(&found[..1]).confidence_95, None);
    }
}
