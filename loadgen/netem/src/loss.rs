//! Which packets are lost.

use raceway_units::Random;

/// A loss model: Gilbert-Elliott, of which independent loss is a case.
///
/// A link is good or bad. Before each packet it turns bad with probability `to_bad` if it is good, and good with
/// `to_good` if it is bad; then the packet is lost with the probability of the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// From good to bad.
    pub to_bad: f64,
    /// From bad to good.
    pub to_good: f64,
    /// Loss while bad.
    pub in_bad: f64,
    /// Loss while good.
    pub in_good: f64,
}

impl Loss {
    /// Nothing is lost.
    pub const NONE: Self = Self { to_bad: 0.0, to_good: 1.0, in_bad: 0.0, in_good: 0.0 };

    /// Each packet is lost with this probability, whatever became of those before.
    #[must_use]
    pub const fn independent(ratio: f64) -> Self {
        Self { to_bad: 0.0, to_good: 1.0, in_bad: 0.0, in_good: ratio }
    }

    /// This share of packets is lost, in runs of this mean length (1 or more).
    ///
    /// Runs longer than chance alone makes: with a share of `ratio`, chance makes `1 / (1 - ratio)`. None if no link of
    /// two states does that: a mean run so short that the share would need more losses than there are turns to bad.
    #[must_use]
    pub fn in_runs(ratio: f64, mean_run: f64) -> Option<Self> {
        let to_good = 1.0 / mean_run;
        let to_bad = to_good * ratio / (1.0 - ratio);
        (mean_run >= 1.0 && to_bad <= 1.0).then_some(Self { to_bad, to_good, in_bad: 1.0, in_good: 0.0 })
    }

    /// Share of packets that is lost in the long run.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let turns = self.to_bad + self.to_good;
        let bad = if turns == 0.0 { 0.0 } else { self.to_bad / turns };
        bad * self.in_bad + (1.0 - bad) * self.in_good
    }
}

/// A link as far as loss goes.
#[derive(Clone, Debug)]
pub(crate) struct Losing {
    loss: Loss,
    bad: bool,
}

impl Losing {
    pub(crate) const fn new(loss: Loss) -> Self {
        Self { loss, bad: false }
    }

    /// Whether the next packet is lost. Takes two random numbers whatever the model.
    pub(crate) fn next(&mut self, random: &mut Random) -> bool {
        let turn = random.fraction();
        self.bad = if self.bad { turn >= self.loss.to_good } else { turn < self.loss.to_bad };
        random.fraction() < if self.bad { self.loss.in_bad } else { self.loss.in_good }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: usize = 400_000;

    /// Share of lost packets, and mean length of runs of them.
    fn measure(loss: Loss) -> (f64, f64) {
        let (mut losing, mut random) = (Losing::new(loss), Random::new(3));
        let lost: Vec<bool> = (0..PACKETS).map(|_| losing.next(&mut random)).collect();
        let total = lost.iter().filter(|lost| **lost).count() as f64;
        let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64 + f64::from(u8::from(lost[0]));
        (total / PACKETS as f64, if runs == 0.0 { 0.0 } else { total / runs })
    }

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected * 0.05, "{value} is not {expected}");
    }

    #[test]
    fn independent_loss_has_its_share_and_the_runs_of_chance() {
        let (ratio, run) = measure(Loss::independent(0.1));
        near(ratio, 0.1);
        near(run, 1.0 / 0.9);
        assert_eq!(measure(Loss::NONE).0, 0.0);
        assert_eq!(measure(Loss::independent(1.0)).0, 1.0);
    }

    #[test]
    fn loss_in_runs_has_its_share_and_its_runs() {
        for (share, mean_run) in [(0.02, 4.0), (0.3, 10.0), (0.5, 2.0)] {
            let loss = Loss::in_runs(share, mean_run).unwrap();
            near(loss.ratio(), share);
            let (ratio, run) = measure(loss);
            near(ratio, share);
            near(run, mean_run);
        }
    }

    #[test]
    fn runs_too_short_for_their_share_are_refused() {
        assert_eq!(Loss::in_runs(0.6, 1.0), None);
        assert_eq!(Loss::in_runs(0.1, 0.9), None);
        assert_eq!(Loss::in_runs(1.0, 5.0), None);
    }

    #[test]
    fn a_link_that_is_not_all_bad_loses_as_its_model_says() {
        let loss = Loss { to_bad: 0.01, to_good: 0.2, in_bad: 0.7, in_good: 0.001 };
        near(measure(loss).0, loss.ratio());
    }
}
