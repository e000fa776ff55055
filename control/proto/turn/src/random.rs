//! Randomness from the shell.

/// Fills a buffer with unpredictable octets.
pub type RandomSource = Box<dyn FnMut(&mut [u8]) + Send>;

/// Draws from a [`RandomSource`].
pub(crate) struct Random(pub RandomSource);

impl Random {
    pub fn u64(&mut self) -> u64 {
        let mut octets = [0; 8];
        (self.0)(&mut octets);
        u64::from_ne_bytes(octets)
    }

    /// Below `bound`, each value as likely as any other up to 2^-40: `bound` is at most 2^24 here.
    pub fn below(&mut self, bound: usize) -> usize {
        debug_assert!(0 < bound && bound <= 1 << 24);
        (self.u64() % bound as u64) as usize
    }
}
