//! Time in equal steps that do not drift.

/// Multiples of a fraction, as whole numbers: the n-th sum is exactly `floor(n * numerator / denominator)`.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    whole: u32,
    part: u32,
    denominator: u32,
    carried: u32,
}

impl Steps {
    /// Steps of `numerator / denominator`: neither is zero, and one step is less than 2^32.
    pub(crate) const fn new(numerator: u64, denominator: u64) -> Self {
        let common = common_divisor(numerator, denominator);
        let (numerator, denominator) = (numerator / common, denominator / common);
        assert!(denominator < 1 << 31 && numerator / denominator < 1 << 32);
        let (whole, part) = ((numerator / denominator) as u32, (numerator % denominator) as u32);
        Self { whole, part, denominator: denominator as u32, carried: 0 }
    }

    /// How far the next step leads.
    pub(crate) const fn next(&mut self) -> u64 {
        self.carried += self.part;
        if self.carried < self.denominator {
            return self.whole as u64;
        }
        self.carried -= self.denominator;
        self.whole as u64 + 1
    }

    /// How far the next `count` steps lead.
    pub(crate) const fn skip(&mut self, count: u32) -> u64 {
        let parts = self.carried as u64 + self.part as u64 * count as u64;
        self.carried = (parts % self.denominator as u64) as u32;
        self.whole as u64 * count as u64 + parts / self.denominator as u64
    }
}

const fn common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn steps_never_drift(numerator in 1..=1_000_000_000u64, denominator in 1..=1_000_000u64, skip in 0..1000u32) {
            let mut steps = Steps::new(numerator, denominator);
            let mut sum: u64 = (0..100).map(|_| steps.next()).sum();
            prop_assert_eq!(sum, 100 * numerator / denominator);
            sum += steps.skip(skip);
            prop_assert_eq!(sum, (100 + u64::from(skip)) * numerator / denominator);
            sum += steps.next();
            prop_assert_eq!(sum, (101 + u64::from(skip)) * numerator / denominator);
        }
    }
}
