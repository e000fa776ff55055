//! Time in equal steps that do not drift.

/// Multiples of a fraction, as whole numbers: the n-th sum is exactly `floor(n * numerator / denominator)`.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    whole: u64,
    part: u64,
    denominator: u64,
    carried: u64,
}

impl Steps {
    /// Steps of `numerator / denominator`, which is not zero.
    pub(crate) const fn new(numerator: u64, denominator: u64) -> Self {
        Self { whole: numerator / denominator, part: numerator % denominator, denominator, carried: 0 }
    }

    /// How far the next step leads.
    pub(crate) const fn next(&mut self) -> u64 {
        self.carried += self.part;
        if self.carried < self.denominator {
            return self.whole;
        }
        self.carried -= self.denominator;
        self.whole + 1
    }

    /// How far the next `count` steps lead.
    pub(crate) const fn skip(&mut self, count: u64) -> u64 {
        let parts = self.carried + self.part * count;
        self.carried = parts % self.denominator;
        self.whole * count + parts / self.denominator
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn steps_never_drift(numerator in 1..=1_000_000_000u64, denominator in 1..=1_000_000u64, skip in 0..1000u64) {
            let mut steps = Steps::new(numerator, denominator);
            let mut sum: u64 = (0..100).map(|_| steps.next()).sum();
            prop_assert_eq!(sum, 100 * numerator / denominator);
            sum += steps.skip(skip);
            prop_assert_eq!(sum, (100 + skip) * numerator / denominator);
            sum += steps.next();
            prop_assert_eq!(sum, (101 + skip) * numerator / denominator);
        }
    }
}
