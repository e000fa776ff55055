//! Random numbers from a seed: the same seed gives the same run.

/// A stream of pseudo-random numbers (splitmix64). Eight octets, one multiplication chain a number; not for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random(u64);

impl Random {
    /// The numbers that belong to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The numbers that belong to member `number` of what `seed` stands for: streams of one run differ.
    #[must_use]
    pub const fn of(seed: u64, number: u64) -> Self {
        Self(mix(seed ^ mix(number.wrapping_add(1))))
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// The next number below `bound`; zero if `bound` is.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// The next number in 0.0..1.0.
    pub const fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The finaliser of splitmix64: every bit of the result depends on every bit of the input, and no two inputs meet.
pub(crate) const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_numbers_again_and_another_seed_others() {
        let numbers = |mut random: Random| [random.next(), random.next(), random.next()];
        assert_eq!(numbers(Random::new(5)), numbers(Random::new(5)));
        assert_ne!(numbers(Random::new(5)), numbers(Random::new(6)));
        assert_ne!(numbers(Random::of(5, 0)), numbers(Random::of(5, 1)));
    }

    #[test]
    fn numbers_are_spread_evenly_below_their_bound() {
        let mut random = Random::new(1);
        let mut seen = [0u32; 10];
        (0..100_000).for_each(|_| seen[random.below(10) as usize] += 1);
        assert!(seen.iter().all(|count| (9_500..10_500).contains(count)), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }
}
